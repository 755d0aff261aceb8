/**
 * The system calls and devices that Node cannot reach. The only place in plyfs with raw syscalls.
 *
 * Conventions, kept by every function of {@link Native} unless its own comment says otherwise:
 *
 * - **Memory.** One shared mapping per process, the *arena*: a memfd mapped once at its greatest size. "Offset" always means a byte
 *   offset into it. A buffer is (offset, capacity). Every range is checked against the arena before it is used: -EFAULT when it does
 *   not fit. A path or name is NUL-terminated bytes at an offset; without a NUL before PATH_MAX (4096) bytes: -ENAMETOOLONG, or
 *   -EFAULT when the arena ends before that.
 * - **Arguments** are 32-bit integers. A missing argument or one that is no integer: -EINVAL, and nothing is done. A 64-bit argument
 *   is two: low word, then high word (signed 64-bit when put together). Integers from -2^31 to 2^32-1 are taken, modulo 2^32; whatever
 *   else is a number (NaN, a fraction, more bits) is no integer here.
 * - **Result**: a count or a file descriptor >= 0, or a negative errno. Nothing throws, nothing is allocated on the JS heap.
 * - Every descriptor made is close-on-exec. EINTR is retried for calls that can be restarted.
 * - (dirfd, path): an absolute path is refused with -EINVAL, so that a call cannot leave its directory by accident. The final
 *   component is never followed if it is a symlink. Callers pass one component, or a path they know to hold no symlinks; use
 *   {@link Native.openDirectory} and {@link Native.openBeneath} where symlinks must be refused on the way. An empty path names
 *   dirfd's own file where the call's comment says so, else it is -ENOENT. A negative dirfd is -EBADF, AT_FDCWD too.
 * - A process whose environment says PLYFS_NO_XATTRAT=1 or PLYFS_NO_FCHMODAT2=1 at the first such call does without these system calls,
 *   as on an older kernel: for tests.
 */
import { join } from 'node:path';

/** Byte layout of a stat record: 128 bytes, the first 88 being `struct fuse_attr` of <linux/fuse.h>. All little-endian. */
export const enum StatRecord {
  /** u64 */ ino = 0,
  /** u64, bytes */ size = 8,
  /** u64, units of 512 bytes */ blocks = 16,
  /** s64, seconds */ atime = 24,
  mtime = 32,
  ctime = 40,
  /** u32, nanoseconds */ atimensec = 48,
  mtimensec = 52,
  ctimensec = 56,
  /** u32, type and permission bits */ mode = 60,
  nlink = 64,
  uid = 68,
  gid = 72,
  /** u32, new_encode_dev(3): (minor & 0xff) | major << 8 | (minor & ~0xff) << 12 */ rdev = 76,
  blksize = 80,
  /** fuse_attr.flags; always 0 */ flags = 84,
  /** u32: st_dev of the file */ devMajor = 88,
  devMinor = 92,
  /** s64, u32; both 0 when the file system has no birth time */ btime = 96,
  btimensec = 104,
  /** u32: 1 when btime is known */ btimeKnown = 108,
  SIZE = 128,
}

/** Byte layout of a record of {@link Native.readDirents}. Records are padded to 8 bytes. */
export const enum DirentRecord {
  /** u32: bytes of the whole record, a multiple of 8 */ recordLength = 0,
  /** u16 */ nameLength = 4,
  /** u8: DT_* */ type = 6,
  /** u8: 1 when the stat record is filled in, 0 when only its ino is */ hasStat = 7,
  /** a stat record, 128 bytes; without WITH_STAT only ino */ stat = 8,
  /** name bytes, then a NUL */ name = 136,
}

/** Bits of {@link Native.socketKind}. */
export const enum SocketKind {
  UNIX = 1,
  STREAM = 2,
  LISTENING = 4,
}

/** Flags of {@link Native.readDirents}. */
export const enum ReadDirents {
  /** fstatat each entry; an entry that vanished meanwhile is left out */ WITH_STAT = 1,
  /** fstatat only entries whose type is DT_CHR, DT_UNKNOWN or DT_REG with a name starting with ".wh." */ STAT_SUSPECTS = 2,
}

/** Flags of JobKind.COPY. */
export const enum JobFlag {
  FSYNC = 1,
  KEEP_SIZE = 2,
}

/** Kinds of slow job; see {@link Native.jobSubmit}. */
export const enum JobKind {
  /** copy a byte range from fd a to fd b, same offsets: FICLONE when whole, else holes kept (SEEK_DATA) and copy_file_range, falling
   * back to read and write; then ftruncate b to the end of the range, but for JobFlag.KEEP_SIZE; with
   * JobFlag.FSYNC, fsync b, unless its blocks are a clone's: what is renamed after it is never seen without them. Result 0. */
  COPY = 1,
  /** fsync(a); with flag 1 fdatasync(a) */ FSYNC = 2,
  /** syncfs(a) */ SYNCFS = 3,
  /** fallocate(a, flags, offset, length) */ FALLOCATE = 4,
  /** copy_file_range(a at offset, b at offset2, length, flags); result is the count */ COPY_RANGE = 5,
  /** close(a): the last close of a large unlinked file frees its blocks */ CLOSE = 6,
}

/**
 * Byte layout of a job slot, 128 bytes in the arena, 8-byte aligned. The submitter fills in what it asks for and sets state to QUEUED
 * by {@link Native.jobSubmit}; the pool writes result, then state DONE (release order), then wakes.
 */
export const enum JobSlot {
  /** i32: 0 free, 1 queued or running, 2 done; a futex word */ state = 0,
  /** i32: 0 or the count (saturated to 2^31-1), or a negative errno; valid when done */ result = 4,
  /** u32: JobKind */ kind = 8,
  /** u32: see the kind */ flags = 12,
  /** i32: file descriptors; the pool closes neither (but for CLOSE) */ a = 16,
  b = 20,
  /** s64 */ offset = 24,
  length = 32,
  offset2 = 40,
  /** u32: bit i set: write to the eventfd registered by jobPoolEvent(i, fd) when done. Read by the pool after it stored DONE. */ notify = 48,
  /** i64: bytes copied so far, for progress */ progress = 56,
  /** i32: the submitter's own count of who may still look at the slot; the pool counts itself from jobSubmit until it has read notify. */ holders = 124,
  SIZE = 128,
}

/**
 * Byte layout of an entry of an io_uring queue, 8-byte aligned in the arena: what the kernel and we hand each other requests and answers in. Its
 * payload, of `capacity` bytes, begins at `payload`. The caller fills in queue, file and capacity before {@link Native.ringRegister}; the rest of
 * the first 320 bytes is the kernel's and the addon's.
 */
export const enum RingEntry {
  /** u32: the kernel's queue, one per possible CPU */ queue = 320,
  /** u32: number of the device in the ring's table of files */ file = 324,
  /** u32: bytes of the payload; FUSE_MIN_READ_BUFFER, max_write and max_pages must fit (fuse_uring_create) */ capacity = 328,
  /** u32: the caller's own */ mount = 332,
  payload = 4096,
}

/** What {@link Native.ringNext} writes: 24 bytes, 32-bit words. */
export const enum RingEvent {
  /** the entry's offset, or the tag of a poll or nop */ tag = 0,
  /** 0, or a negative errno: the entry is the caller's again, or was never the kernel's */ result = 4,
  /** of an entry with result 0: where the request lies, and its length; where the answer is to be written, and its greatest length */ request = 8,
  length = 12,
  reply = 16,
  capacity = 20,
  SIZE = 24,
}

/** Bytes that the inbox of {@link Native.ringNext} must have. */
export const RING_INBOX = 40 + 128 + 8192;

/** Entries are above, tags of polls below. */
export const RING_TAGS = 4096;

/** Layout of what {@link Native.statvfs} writes: `struct fuse_kstatfs` of <linux/fuse.h>, 80 bytes. */
export const STATFS_SIZE = 80;

/** Made by {@link Native.zstdStream}. */
export interface ZstdStream {
  readonly zstd: unique symbol;
}

export interface Native {
  // ---- arena -------------------------------------------------------------------------------------------------------------------
  /** Makes the process's arena: a memfd of `mebibytes` MiB, mapped shared and without reserve. Once per process: then -EEXIST. Returns its fd. */
  arenaCreate(mebibytes: number): number;
  /** Maps an arena another process made. Once per process. 0 or -errno; -EINVAL when the memfd is smaller than asked. The arena keeps
   * a duplicate of its descriptor, here and in arenaCreate: yours may be closed. */
  arenaAttach(fd: number, mebibytes: number): number;
  /** The arena as an ArrayBuffer of the calling thread (worker threads each call it once). Throws before arenaCreate/arenaAttach.
   * Always the same object in one thread. (Node 20: Buffer.write does nothing in a Buffer of the whole of a 2048 MiB arena; make smaller views.) */
  arenaBuffer(): ArrayBuffer;
  /** Gives whole pages back (fallocate PUNCH_HOLE on the memfd): they read as zero afterwards. Of a page only partly in the range that part is zeroed. */
  arenaPunch(offset: number, length: number): number;
  /** futex(2) FUTEX_WAIT on the 4-aligned word at `offset` while it holds `expected`; 0, -EAGAIN, -ETIMEDOUT. timeoutMs < 0: no limit. */
  futexWait(offset: number, expected: number, timeoutMs: number): number;
  /** FUTEX_WAKE of at most `count` waiters. Returns how many. */
  futexWake(offset: number, count: number): number;

  // ---- FUSE device -------------------------------------------------------------------------------------------------------------
  /** open("/dev/fuse", O_RDWR|O_NONBLOCK|O_CLOEXEC) */
  fuseOpen(): number;
  /** A new device fd (nonblocking) cloned from `fd` by FUSE_DEV_IOC_CLONE. */
  fuseClone(fd: number): number;
  /** One read(2) of a request into (offset, capacity). EINTR and ENOENT (an aborted request) are retried. -EAGAIN: none waiting. -ENODEV: unmounted. */
  recv(fd: number, offset: number, capacity: number): number;
  /** One write(2) of a whole reply or notification. -ENOENT: the request was interrupted or aborted. */
  send(fd: number, offset: number, length: number): number;
  /** send, then recv, in one call (length 0: only recv). The result is recv's; a failure of send is written to *status* (i32 at statusOffset, else 0). */
  sendRecv(fd: number, outOffset: number, outLength: number, inOffset: number, inCapacity: number, statusOffset: number): number;
  /** FUSE_DEV_IOC_BACKING_OPEN of file descriptor `fd` (O_PATH will do): a backing id > 0, or -EPERM, -ELOOP, -EOPNOTSUPP… */
  backingOpen(device: number, fd: number): number;
  backingClose(device: number, backingId: number): number;
  /** openat(dirfd, path, O_PATH|O_NOFOLLOW), backingOpen, close in one call. */
  backingOpenAt(device: number, dirfd: number, path: number): number;

  // ---- io_uring: one ring per thread; only its thread may use it. See src/ring.c ------------------------------------------------------
  /** Could this process have a ring for FUSE? 0; -ENOSYS, -EPERM (kernel.io_uring_disabled, seccomp), -EINVAL (older than 6.1), -ENOMEM… */
  ringProbe(): number;
  /** The calling thread's ring: commands that may be queued at once, and completions. -EEXIST when there is one. */
  ringCreate(commands: number, completions: number): number;
  ringClose(): number;
  /** Puts a device (a clone too) under a number from 0 to 255; fd -1 takes it out. The ring holds the file until then, though fd be closed. */
  ringFile(number: number, fd: number): number;
  /** Queues the lending of an entry (RingEntry) to the kernel. Nothing completes until a request comes, unless the kernel refuses. */
  ringRegister(entry: number): number;
  /** Queues the answer to the request in `entry`, `length` bytes at `reply` with their header (length 0: an empty one), and the entry's lending again.
   * The kernel does not say what it made of an answer. */
  ringCommit(entry: number, reply: number, length: number): number;
  /** Queues a one-shot poll (readable) of `fd`, which begins after delayMs. */
  ringPoll(fd: number, tag: number, delayMs: number): number;
  /** Queues a completion of `tag`: it comes after the refusals of what was queued before it. */
  ringNop(tag: number): number;
  /** Tells the kernel of what is queued, now. */
  ringSubmit(): number;
  /** The next completion, as a RingEvent at `event`: 1; 0 after timeoutMs (< 0: no limit; it may take twice as long) or a signal. When none is there, one
   * io_uring_enter submits what is queued and waits. A request is put together as /dev/fuse would have it: at `inbox` (RING_INBOX bytes), its answer to be written into the entry itself; or,
   * when it is large, in the entry, its answer to be written at `outbox`. `behind` 1: what is queued is submitted in SCHED_IDLE (sched(7)), so that whom it
   * wakes up runs on this CPU; that wants CAP_SYS_NICE, to come back from it (else -EPERM). */
  ringNext(event: number, inbox: number, outbox: number, timeoutMs: number, behind: number): number;
  /** Tells the kernel that nobody will serve this mount through rings: what waits for them goes over the device. Not with a ring of one's own. */
  ringRefuse(device: number): number;

  // ---- waiting -----------------------------------------------------------------------------------------------------------------
  epollCreate(): number;
  /** EPOLL_CTL_ADD; `events` as in <sys/epoll.h> (EPOLLEXCLUSIVE = 1 << 28); `tag` comes back from epollWait. */
  epollAdd(epoll: number, fd: number, events: number, tag: number): number;
  epollDelete(epoll: number, fd: number): number;
  /** Writes up to `max` pairs (u32 tag, u32 events) at offset; returns how many. timeoutMs < 0: no limit. -EINTR is returned as 0. */
  epollWait(epoll: number, offset: number, max: number, timeoutMs: number): number;
  /** eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC) */
  eventfd(): number;
  /** Adds 1. */
  eventfdSignal(fd: number): number;
  /** Reads and clears; the count saturated to 2^31-1, or -EAGAIN. */
  eventfdDrain(fd: number): number;

  // ---- files: (dirfd, path) as above ---------------------------------------------------------------------------------------------
  /** openat(dirfd, path, flags|O_CLOEXEC|O_NOFOLLOW, mode). An empty path reopens dirfd itself through /proc/self/fd. */
  openat(dirfd: number, path: number, flags: number, mode: number): number;
  /** openat2 with RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS|RESOLVE_NO_MAGICLINKS. Symlink on the way: -ELOOP; as the last component too, unless the
   * flags are O_PATH|O_NOFOLLOW, which open the symlink itself. ".." above dirfd: -EXDEV. A flag that openat2 does not know: -EINVAL
   * (openat ignores it), and the open_flags of a FUSE request hold such ones (FMODE_EXEC, 0x20). */
  openBeneath(dirfd: number, path: number, flags: number, mode: number): number;
  /** O_PATH|O_DIRECTORY descriptor of a directory below dirfd; symlinks refused as in openBeneath; the path is `length` bytes, of any length,
   * without NUL, opened in steps when longer than PATH_MAX (".." cannot leave the step it stands in: -EXDEV). Length 0: a duplicate of dirfd.
   * `forReading` 1: open for reading, where that is not -EACCES, and so that atime stays, where that is not -EPERM (O_NOATIME). */
  openDirectory(dirfd: number, path: number, length: number, forReading: number): number;
  /** openat of an absolute or cwd-relative path, symlinks followed: for what the user named on the command line, never for a layer's content. */
  openHost(path: number, flags: number, mode: number): number;
  close(fd: number): number;
  /** fcntl(F_DUPFD_CLOEXEC) */
  dup(fd: number): number;
  /** O_PATH descriptor of the directory `dirfd` on a private clone of its mount, without what is mounted below it: open_tree(2), and mount_setattr(2) with
   * `set` and `clear` (MOUNT_ATTR_*). The clone is in no tree of mounts, and goes with the last descriptor of a file on it. -ENOSYS before Linux 5.12;
   * -EPERM without CAP_SYS_ADMIN over the mount namespace, and for attributes that are locked (mount_namespaces(7)); -EINVAL for a mount of another
   * namespace, an unbindable one, and one that hides something from us by a locked mount. */
  cloneMount(dirfd: number, set: number, clear: number): number;
  /** O_PATH descriptor of the root of a new mount of a FUSE device (`fuseOpen`), in no tree of mounts: fsopen(2), fsmount(2). It goes with the last descriptor
   * of a file on it. -ENOSYS before Linux 5.2; -EPERM without CAP_SYS_ADMIN over the mount namespace. */
  fuseMount(device: number): number;
  /** The mount that `fd` came by, as in mountinfo (statx(2), stx_mnt_id): another's as soon as nothing holds it any more. -EOPNOTSUPP before Linux 5.8 */
  mountId(fd: number): number;
  /** O_PATH descriptor of the directory `dirfd` by the mount of `mountFd`, which is another one of the same file system and open for reading. By file handle:
   * -EPERM without CAP_DAC_READ_SEARCH; -EOPNOTSUPP where the file system has none. */
  openOnMount(mountFd: number, dirfd: number): number;
  /** dup3(2): `to`, which is open, becomes what `from` is, and `from` is closed. Returns 0. */
  moveDescriptor(from: number, to: number): number;
  /** flock(2), LOCK_EX | LOCK_NB, of a descriptor that is not O_PATH; held until the last copy of it is closed. -EAGAIN: another one has it. */
  lockDirectory(fd: number): number;
  /** statx of the file (AT_SYMLINK_NOFOLLOW; empty path: dirfd itself, also O_PATH) into a stat record at `out`. */
  stat(dirfd: number, path: number, out: number): number;
  /** The same for many: `names` holds `count` offsets of paths (u32), `out` gets a stat record for each, all zeros for a file that could not be asked.
   * Returns how many could. A path that is none ends the call with its errno. */
  statAll(dirfd: number, names: number, count: number, out: number): number;
  mkdirat(dirfd: number, path: number, mode: number): number;
  /** `mode` with type bits; rdev in the encoding of StatRecord.rdev. */
  mknodat(dirfd: number, path: number, mode: number, rdev: number): number;
  /** target: NUL-terminated offset */
  symlinkat(target: number, dirfd: number, path: number): number;
  /** Writes at most `capacity` bytes, no NUL; returns the length. Empty path: dirfd is an O_PATH fd of the link itself. */
  readlinkat(dirfd: number, path: number, out: number, capacity: number): number;
  /** flags: AT_REMOVEDIR = 0x200 */
  unlinkat(dirfd: number, path: number, flags: number): number;
  /** flags: RENAME_NOREPLACE 1, EXCHANGE 2, WHITEOUT 4 */
  renameat2(dirfd: number, path: number, newDirfd: number, newPath: number, flags: number): number;
  /** linkat without following. An empty source path links dirfd's own file (through /proc/self/fd with AT_SYMLINK_FOLLOW; works for O_TMPFILE). */
  linkat(dirfd: number, path: number, newDirfd: number, newPath: number): number;
  /** No following. Empty path: dirfd itself (also O_PATH). -1 leaves an id unchanged. */
  fchownat(dirfd: number, path: number, uid: number, gid: number): number;
  /** chmod without following: a symlink gives -EOPNOTSUPP. fchmodat2 where there is one, else /proc/self/fd of an O_PATH fd. Empty path: dirfd itself. */
  fchmodat(dirfd: number, path: number, mode: number): number;
  /** utimensat without following; times: offset of two {s64 seconds, s64 nanoseconds} (UTIME_NOW 0x3fffffff, UTIME_OMIT 0x3ffffffe). Empty path: dirfd itself. */
  utimensat(dirfd: number, path: number, times: number): number;
  /** truncate to a 64-bit size, by openat(O_WRONLY|O_NOFOLLOW|O_NONBLOCK) and ftruncate; empty path: ftruncate of dirfd (must be writable). */
  truncateat(dirfd: number, path: number, sizeLow: number, sizeHigh: number): number;

  // ---- xattrs: never through a symlink; the link's own are read and set. Empty path: dirfd itself (also O_PATH) -------------------
  /** size 0 asks for the length. -ERANGE, -ENODATA, -EOPNOTSUPP… */
  getxattr(dirfd: number, path: number, name: number, value: number, size: number): number;
  /** flags: XATTR_CREATE 1, XATTR_REPLACE 2 */
  setxattr(dirfd: number, path: number, name: number, value: number, size: number, flags: number): number;
  /** NUL-separated names */
  listxattr(dirfd: number, path: number, out: number, size: number): number;
  removexattr(dirfd: number, path: number, name: number): number;
  /** Every xattr of one file copied to another, but for names with the given prefix (NUL-terminated offset, "" = none left out).
   * Stops at the first failure; -EOPNOTSUPP of the source is success; on the destination it is a failure only for names other than security.selinux. A name removed meanwhile is left out. */
  copyXattrs(dirfd: number, path: number, newDirfd: number, newPath: number, exceptPrefix: number): number;

  // ---- directories ---------------------------------------------------------------------------------------------------------------
  /** Reads on from the position of directory descriptor `fd` (O_RDONLY|O_DIRECTORY): DirentRecords into (out, capacity), without "." and "..".
   * Returns the bytes written; 0 at the end; -ENOBUFS when not one record fits. `flags`: ReadDirents. What did not fit comes with the next call.
   * One call reads at most 64 KiB of the kernel's entries, so less than the capacity does not mean the end. The type of an entry with a stat
   * record is the one of its mode. A failing fstatat ends the call, with what stands before it or, if nothing does, with its errno. */
  readDirents(fd: number, flags: number, out: number, capacity: number): number;

  // ---- file contents -------------------------------------------------------------------------------------------------------------
  /** pread until length or the end of the file. */
  pread(fd: number, out: number, length: number, offsetLow: number, offsetHigh: number): number;
  /** pwrite of all; a short count only when some were written before an error. */
  pwrite(fd: number, from: number, length: number, offsetLow: number, offsetHigh: number): number;
  /** lseek; writes the s64 result at `out`; returns 0. whence: SEEK_DATA 3, SEEK_HOLE 4 */
  lseek(fd: number, offsetLow: number, offsetHigh: number, whence: number, out: number): number;
  /** FICLONE */
  ficlone(toFd: number, fromFd: number): number;
  /** syncfs(2): everything of the file system of `fd` is on the disk. It takes as long as it takes: for threads that may wait. */
  syncfs(fd: number): number;
  /** statvfs of the file system of dirfd, as struct fuse_kstatfs, with namelen as found. */
  statvfs(fd: number, out: number): number;
  /** name_to_handle_at(2): writes the handle's bytes (without struct file_handle) at `out`; returns their count; the s32 handle_type goes to typeOut.
   * Empty path: dirfd itself. -EOPNOTSUPP when the file system has none; -EOVERFLOW when the capacity is too small (128 always does). */
  fileHandle(dirfd: number, path: number, out: number, capacity: number, typeOut: number): number;
  /** The 16-byte UUID of the file system of `fd` (FS_IOC_GETFSUUID); returns 16; -ENOTTY where the file system or kernel has none; -EBADF for an O_PATH fd. */
  filesystemUuid(fd: number, out: number): number;
  /** ioctl FS_IOC_GETFLAGS/SETFLAGS (u32 at offset). -EBADF for an O_PATH fd. */
  getInodeFlags(fd: number, out: number): number;
  setInodeFlags(fd: number, flags: number): number;

  // ---- slow jobs -----------------------------------------------------------------------------------------------------------------
  /** Starts the native thread pool: `threads` 1 to 16. Once per process: then -EEXIST. */
  jobPoolStart(threads: number): number;
  /** Registers the eventfd for bit `index` (0 to 31) of JobSlot.notify, in the place of an earlier one; fd -1: none. */
  jobPoolEvent(index: number, fd: number): number;
  /** Queues the job described at `slot` (8-aligned, else -EINVAL; an unknown kind too). -EAGAIN when 1,024 are queued, -EBUSY when the slot's
   * state is QUEUED, -ESRCH before jobPoolStart. */
  jobSubmit(slot: number): number;

  // ---- process, mount, sockets: not hot; strings and objects allowed here, still no exceptions but for wrong argument types ------------
  /** mount(2). flags: MS_*. */
  mount(source: string, target: Buffer, type: string, flags: number, data: string): number;
  /** umount2(2); MNT_DETACH 2, MNT_FORCE 1 */
  umount(target: Buffer, flags: number): number;
  /** execvp(3): this process becomes another program, found in PATH, with the standard streams. Returns only when it fails. */
  exec(words: string[]): number;
  /** sched_setaffinity of the calling thread to one CPU; -1: every CPU the process may use. */
  pinThread(cpu: number): number;
  /**
   * How long the calling thread wants to run at a time, in microseconds (the kernel takes 100 to 100,000): one that asks for little is let run sooner
   * when it wakes up, and gets no more of the CPU (EEVDF; sched_setattr(2), Linux 6.12; older kernels take no notice).
   */
  timeSlice(microseconds: number): number;
  /**
   * 1: the calling thread becomes one of the class SCHED_IDLE, 0: SCHED_OTHER again, with the default slice (sched(7); -EPERM: back wants CAP_SYS_NICE). On the
   * CPU of one that is lowered whoever is woken up counts as being on an idle CPU.
   */
  lowerThread(lower: number): number;
  /** The CPU that a thread runs on, or ran on last (proc_pid_stat(5)). */
  threadCpu(tid: number): number;
  /** prctl(PR_SET_NAME) of the calling thread, for ps and gdb. */
  nameThread(name: string): number;
  umask(mode: number): number;
  /** setrlimit(RLIMIT_NOFILE) soft to hard; returns the new soft limit. */
  raiseFileLimit(): number;
  /**
   * Room for `count` descriptors, soon: a thread of its own has the kernel make it. The table grows by doubling else, and who opens the file that does not
   * fit any more waits for an RCU grace period, 10 to 30 ms. More than the soft limit: nothing. 0 or -errno.
   */
  growFileTable(count: number): number;
  /** socketpair(AF_UNIX, SOCK_SEQPACKET): writes two s32 fds into the given array; 0 or -errno. */
  socketpair(fds: Int32Array): number;
  /** One datagram with descriptors (at most 250) on a SOCK_SEQPACKET or SOCK_STREAM Unix socket. Returns the bytes sent. Empty data: -EINVAL, for it
   * would arrive as the end of the file. */
  sendMessage(fd: number, data: Buffer, fds: number[]): number;
  /** One datagram: {data, fds}, undefined at the end of file, or a negative errno. Up to `capacity` bytes; descriptors are close-on-exec. A truncated one: -EMSGSIZE, its fds closed. */
  receiveMessage(fd: number, capacity: number): { data: Buffer; fds: number[] } | undefined | number;
  /** One datagram to a Unix socket, from one made for it; does not wait (-EAGAIN). An address that begins with '@' is abstract. Returns the bytes sent;
   * empty data or address: -EINVAL. */
  sendDatagram(address: Buffer, data: Buffer): number;
  /** What a socket is: SocketKind bits, or -ENOTSOCK, -EBADF. */
  socketKind(fd: number): number;
  /** FD_CLOEXEC on (1) or off (0). */
  closeOnExec(fd: number, on: number): number;
  /** SO_PEERCRED: {pid, uid, gid} or a negative errno */
  peerCredentials(fd: number): { pid: number; uid: number; gid: number } | number;
  /** Calls back on the event loop of the calling thread (uv_poll, readable) until stop() is called. Throws when fd cannot be polled.
   * Keeps the loop alive; makes fd nonblocking, as uv_poll does; call stop() before fd is closed. A descriptor in an error state (the FUSE device
   * after umount) calls back once and then no more. */
  watchReadable(fd: number, callback: () => void): { stop(): void };
  /** _exit(2): the last resort when a worker cannot be stopped. */
  exitNow(status: number): never;
  /** Marks all descriptors from `first` on close-on-exec: close_range(2). */
  closeOnExecFrom(first: number): number;
  /** Size of a C struct, value of a macro, offset of a field ("sizeof:fuse_in_header", "offsetof:fuse_attr.mode", "FUSE_LOOKUP") from the <linux/fuse.h> it was compiled with; undefined when that header has none. */
  fuseHeader(name: string): number | undefined;

  // ---- zstd: strings and objects allowed here too --------------------------------------------------------------------------------
  /** A stream of the calling thread: level < 0 decompresses (frames one after the other, windows up to 128 MiB), else compresses at that level.
   * -ENOMEM, -EINVAL (no such level). */
  zstdStream(level: number): ZstdStream | number;
  /** Takes from `input` from at[0] on, puts into `output` from at[1] on, and moves both. Decompressing: 0 when a frame has come to its end, else 1 (more
   * input, or more room, is needed; a step that moved nothing says nothing); -EBADMSG: no zstd, or damaged. Compressing: `end` 1 says that nothing follows the input; 0 when all is
   * put out, else 1. -EINVAL: a position beyond its buffer. */
  zstdStep(stream: ZstdStream, input: Uint8Array, output: Uint8Array, at: Uint32Array, end: number): number;

  // ---- faults: only in a build with PLYFS_FAULTS=1 (npm run build:native:faults); else -ENOSYS --------------------------------------
  /** From now on the calls of the named function (as named here, e.g. "mkdirat"; jobs: "job:COPY") numbered `after` (0 = the next) to
   * after + count - 1 fail with `errno` (0: none) and start after delayMs. count < 0: for ever. Process-wide. A second call for
   * the same name replaces the first; an unknown name: -EINVAL. */
  faultSet(name: string, errno: number, after: number, count: number, delayMs: number): number;
  faultClear(): number;
}

/** The addon, from where node-gyp leaves it; PLYFS_FAULTS=1 in the environment takes the build with fault injection. */
function load(): Native {
  const root = join(__dirname, '..', '..');
  // The other build is a test's: native-bindings/build-faults, see package.json.
  const build = process.env['PLYFS_FAULTS'] === '1' ? 'build-faults' : 'build';
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- a native addon can only be required
  return require(join(root, 'native-bindings', build, 'Release', 'plyfs.node')) as Native;
}

export const native: Native = load();

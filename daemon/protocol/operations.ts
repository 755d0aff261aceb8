/**
 * What a FUSE request asks for, one type per operation, and what its answer can say. This is all that the overlay sees of the protocol:
 * no byte of the wire. The decoder (decode.ts) owns one object of each class per worker and fills it anew for each request, so an operation
 * is valid only until its handler returns; nothing is allocated per request.
 *
 * Names, targets, values and data are (offset, length) in the arena (native-bindings), where the request lies. Each name is followed by a
 * NUL in place, so that `offset` can be handed to a system call; its bytes are the user's, not text. The decoder has checked that lengths
 * are inside the message, names are 1 to 255 bytes without '/', and not "." or ".." (a LOOKUP of these, which an export asks for, is ENOENT:
 * the kernel makes ESTALE of it). Names of xattrs are 1 to 255 bytes, and '/' may be in them.
 *
 * 64-bit numbers are two signed 32-bit words (Low, High), as the system calls of native-bindings take them: `High * 2 ** 32 + (Low >>> 0)`.
 * Other numbers are unsigned. A handle (fh) that cannot be ours, 2^53 or more, is -1.
 */

/** What an operation is to people who look at statistics (rows.ts says which is which). */
export const enum Kind {
  /** what the kernel tells on its own (FORGET), and what is rare or refused */
  OTHER = 0,
  LOOKUP = 1,
  /** asking about a file */
  ATTRIBUTES = 2,
  LIST = 3,
  /** and closing */
  OPEN = 4,
  READ = 5,
  /** data, and having them on disk */
  WRITE = 6,
  /** names and attributes */
  CHANGE = 7,
}

/** In every operation: who asks, and about which node. */
export class Caller {
  /** nodeid: what the overlay gave out in entry(), 1 for the root; 0 when the wire's was above 2^32 (never ours: ESTALE). */
  node = 0;
  /** fsuid and fsgid of the calling thread, in the mount's user namespace. */
  uid = 0;
  gid = 0;
  pid = 0;
}

/** fuse(4) LOOKUP: the child `name` of directory `node`. Answer: entry or negativeEntry. */
export class Lookup extends Caller {
  name = 0;
  nameLength = 0;
}

/** FORGET and each part of BATCH_FORGET: the kernel drops `count` of the references that entries gave it. No answer. */
export class Forget extends Caller {
  /** saturated at 2^31 - 1 */
  count = 0;
}

/** GETATTR. Answer: attr. */
export class Getattr extends Caller {
  /** the handle is in `fh` */
  hasHandle = false;
  fh = 0;
}

/** STATX: like GETATTR, with the birth time. Answer: statx. */
export class Statx extends Caller {
  hasHandle = false;
  fh = 0;
  /** STATX_* mask that was asked for */
  mask = 0;
}

/** Bits of Setattr.valid (FATTR_* of <linux/fuse.h>). */
export const enum Fattr {
  MODE = 1 << 0,
  UID = 1 << 1,
  GID = 1 << 2,
  SIZE = 1 << 3,
  ATIME = 1 << 4,
  MTIME = 1 << 5,
  FH = 1 << 6,
  ATIME_NOW = 1 << 7,
  MTIME_NOW = 1 << 8,
  LOCKOWNER = 1 << 9,
  CTIME = 1 << 10,
  KILL_SUIDGID = 1 << 11,
}

/** FOPEN_* of <linux/fuse.h>: Reply.open's and created's openFlags. fuse-kernel-facts.md says what may go with PASSTHROUGH. */
export const enum Fopen {
  DIRECT_IO = 1 << 0,
  KEEP_CACHE = 1 << 1,
  NONSEEKABLE = 1 << 2,
  /** 7.28 */ CACHE_DIR = 1 << 3,
  /** 7.31 */ STREAM = 1 << 4,
  /** 7.35 */ NOFLUSH = 1 << 5,
  /** 7.38 */ PARALLEL_DIRECT_WRITES = 1 << 6,
  /** 7.40 */ PASSTHROUGH = 1 << 7,
}

/** SETATTR. `valid` 0 means: strip setuid, and setgid if group-executable, because of a write (fuse-kernel-facts.md section 2). Answer: attr. */
export class Setattr extends Caller {
  valid = 0;
  fh = 0;
  sizeLow = 0;
  sizeHigh = 0;
  /** s64 seconds in two words, u32 nanoseconds */
  atimeLow = 0;
  atimeHigh = 0;
  atimeNsec = 0;
  mtimeLow = 0;
  mtimeHigh = 0;
  mtimeNsec = 0;
  /** type and permission bits */
  mode = 0;
  newUid = 0;
  newGid = 0;
}

/** READLINK. Answer: bytes. */
export class Readlink extends Caller {}

/** What the operations that make something have in common. */
export class Make extends Caller {
  name = 0;
  nameLength = 0;
  /** Type and permission bits as given by the caller: the umask is not applied (FUSE_DONT_MASK). */
  mode = 0;
  umask = 0;
  /** FUSE_CREATE_SUPP_GROUP: a group the caller is a member of that the parent belongs to; -1 when not sent. */
  supplementaryGroup = -1;
}

/** SYMLINK: `target` is NUL-terminated. Answer: entry. */
export class Symlink extends Make {
  target = 0;
  targetLength = 0;
}

/** MKNOD: fifo, socket, device, or a regular file. rdev as StatRecord.rdev. Answer: entry. */
export class Mknod extends Make {
  rdev = 0;
}

/** MKDIR. Answer: entry. */
export class Mkdir extends Make {}

/** CREATE (open with O_CREAT of a name that was not there), and TMPFILE (node is the directory, the name has no meaning). Answer: created. */
export class Create extends Make {
  /** open(2) flags */
  flags = 0;
  /** FUSE_OPEN_KILL_SUIDGID */
  killSuidgid = false;
}

export class Unlink extends Caller {
  name = 0;
  nameLength = 0;
}

export class Rmdir extends Unlink {}

/** RENAME and RENAME2: `name` in directory `node` becomes `newName` in directory `newParent`. */
export class Rename extends Caller {
  newParent = 0;
  /** RENAME_NOREPLACE 1, RENAME_EXCHANGE 2, RENAME_WHITEOUT 4 */
  flags = 0;
  name = 0;
  nameLength = 0;
  newName = 0;
  newNameLength = 0;
}

/** LINK: `name` in directory `node` becomes another name of `target`. Answer: entry. */
export class Link extends Caller {
  target = 0;
  name = 0;
  nameLength = 0;
}

/** OPEN of a regular file. Answer: open. */
export class Open extends Caller {
  flags = 0;
  killSuidgid = false;
}

export class Read extends Caller {
  fh = 0;
  offsetLow = 0;
  offsetHigh = 0;
  size = 0;
}

/** WRITE. Answer: written. */
export class Write extends Caller {
  fh = 0;
  offsetLow = 0;
  offsetHigh = 0;
  data = 0;
  size = 0;
  /** open flags of the file now */
  flags = 0;
  /** FUSE_WRITE_KILL_SUIDGID */
  killSuidgid = false;
}

/** FLUSH: close(2) of one descriptor. Never sent when opens say FOPEN_NOFLUSH. */
export class Flush extends Caller {
  fh = 0;
}

/** RELEASE and RELEASEDIR: the last reference of a handle is gone. */
export class Release extends Caller {
  fh = 0;
  flags = 0;
}

/** FSYNC, FSYNCDIR. */
export class Fsync extends Caller {
  fh = 0;
  datasync = false;
}

export class Fallocate extends Caller {
  fh = 0;
  offsetLow = 0;
  offsetHigh = 0;
  lengthLow = 0;
  lengthHigh = 0;
  /** FALLOC_FL_* */
  mode = 0;
}

/** LSEEK with SEEK_DATA (3) or SEEK_HOLE (4). Answer: seek. */
export class Lseek extends Caller {
  fh = 0;
  offsetLow = 0;
  offsetHigh = 0;
  whence = 0;
}

/** COPY_FILE_RANGE from (node, fh) to (targetNode, targetFh). Answer: written, or seek for COPY_FILE_RANGE_64. */
export class CopyFileRange extends Caller {
  fh = 0;
  offsetLow = 0;
  offsetHigh = 0;
  targetNode = 0;
  targetFh = 0;
  targetOffsetLow = 0;
  targetOffsetHigh = 0;
  lengthLow = 0;
  lengthHigh = 0;
  flags = 0;
  /** COPY_FILE_RANGE_64: the answer is 64 bits wide */
  wide = false;
}

export class Setxattr extends Caller {
  name = 0;
  nameLength = 0;
  value = 0;
  valueLength = 0;
  /** XATTR_CREATE 1, XATTR_REPLACE 2 */
  flags = 0;
  /** FUSE_SETXATTR_ACL_KILL_SGID */
  aclKillSgid = false;
}

/** GETXATTR: size 0 asks for the length. Answer: xattrSize, or bytes. */
export class Getxattr extends Caller {
  name = 0;
  nameLength = 0;
  size = 0;
}

/** LISTXATTR. Answer: xattrSize, or bytes. */
export class Listxattr extends Caller {
  size = 0;
}

export class Removexattr extends Caller {
  name = 0;
  nameLength = 0;
}

/** OPENDIR. Answer: open. */
export class Opendir extends Caller {
  flags = 0;
}

/** READDIR and READDIRPLUS. Answer: dirent or direntPlus, again and again; none: the end. */
export class Readdir extends Caller {
  fh = 0;
  /** Cookie after which to go on; 0: from the start. */
  offsetLow = 0;
  offsetHigh = 0;
  size = 0;
  plus = false;
}

export class Statfs extends Caller {}

/** ACCESS; never sent with default_permissions. */
export class Access extends Caller {
  mask = 0;
}

/** IOCTL. Answered ENOTTY but for what the overlay serves: bytes (the ioctl's result is then 0), or nothing when outSize is 0. */
export class Ioctl extends Caller {
  fh = 0;
  flags = 0;
  command = 0;
  data = 0;
  inSize = 0;
  outSize = 0;
}

/** `seconds` of entry and attribute validity: never to be asked again. */
export const FOREVER = -1;

/**
 * The answer to one operation, written where the kernel will read it. A handler calls at most one of these (readdir: one kind many times)
 * and returns 0, or returns a negative errno and what it wrote does not count. Each is for the operations that name it.
 *
 * `attr` is the offset of a stat record (native-bindings StatRecord); seconds are a number from 0 on, or FOREVER.
 */
export interface Reply {
  /** Where READ, READLINK, GETXATTR, LISTXATTR, IOCTL may put their bytes, to be followed by bytes(). */
  readonly data: number;
  /** How many they may be: what was asked for, if the buffer holds it. More is EIO. */
  readonly capacity: number;
  bytes(length: number): void;
  entry(node: number, generation: number, entrySeconds: number, attrSeconds: number, attr: number): void;
  /** There is no such name, and the kernel may remember it. */
  negativeEntry(entrySeconds: number): void;
  attr(attrSeconds: number, attr: number): void;
  statx(attrSeconds: number, attr: number): void;
  /** openFlags: FOPEN_*; backingId with FOPEN_PASSTHROUGH, else 0 */
  open(fh: number, openFlags: number, backingId: number): void;
  created(
    node: number,
    generation: number,
    entrySeconds: number,
    attrSeconds: number,
    attr: number,
    fh: number,
    openFlags: number,
    backingId: number,
  ): void;
  written(count: number): void;
  /** s64 result in two words */
  seek(low: number, high: number): void;
  xattrSize(length: number): void;
  /** offset of a struct fuse_kstatfs */
  statfs(from: number): void;
  /** One READDIR record; false: it did not fit and the answer is full. The inode number and the cookie are two words each; type is DT_*. */
  dirent(inoLow: number, inoHigh: number, cookieLow: number, cookieHigh: number, type: number, name: number, nameLength: number): boolean;
  /** One READDIRPLUS record. node 0: the kernel learns no more than dirent says (attr 0 is then allowed, inoLow/High count). */
  direntPlus(
    node: number,
    generation: number,
    entrySeconds: number,
    attrSeconds: number,
    attr: number,
    inoLow: number,
    inoHigh: number,
    cookieLow: number,
    cookieHigh: number,
    type: number,
    name: number,
    nameLength: number,
  ): boolean;
}

/** A handler's result: 0 answered; negative errno; or this: the operation waits for a slow job and is to be dispatched again from its start. */
export const SET_ASIDE = 1;

/**
 * What serves a mount's operations: the overlay, or a stand-in in a test. Every method returns 0, a negative errno, or SET_ASIDE.
 * Names are the kernel's.
 */
export interface Operations {
  lookup(op: Lookup, reply: Reply): number;
  forget(op: Forget): void;
  getattr(op: Getattr, reply: Reply): number;
  statx(op: Statx, reply: Reply): number;
  setattr(op: Setattr, reply: Reply): number;
  readlink(op: Readlink, reply: Reply): number;
  symlink(op: Symlink, reply: Reply): number;
  mknod(op: Mknod, reply: Reply): number;
  mkdir(op: Mkdir, reply: Reply): number;
  create(op: Create, reply: Reply): number;
  tmpfile(op: Create, reply: Reply): number;
  unlink(op: Unlink): number;
  rmdir(op: Rmdir): number;
  rename(op: Rename): number;
  link(op: Link, reply: Reply): number;
  open(op: Open, reply: Reply): number;
  read(op: Read, reply: Reply): number;
  write(op: Write, reply: Reply): number;
  flush(op: Flush): number;
  release(op: Release): number;
  fsync(op: Fsync): number;
  fallocate(op: Fallocate): number;
  lseek(op: Lseek, reply: Reply): number;
  copyFileRange(op: CopyFileRange, reply: Reply): number;
  setxattr(op: Setxattr): number;
  getxattr(op: Getxattr, reply: Reply): number;
  listxattr(op: Listxattr, reply: Reply): number;
  removexattr(op: Removexattr): number;
  opendir(op: Opendir, reply: Reply): number;
  readdir(op: Readdir, reply: Reply): number;
  releasedir(op: Release): number;
  fsyncdir(op: Fsync): number;
  statfs(op: Statfs, reply: Reply): number;
  access(op: Access): number;
  ioctl(op: Ioctl, reply: Reply): number;
  /**
   * The answer of the operation just handled could not be delivered (the request was aborted): what it counted for the kernel is taken back,
   * a lookup on `node` (0: it counted none) and an open. Called again for each further node of a READDIRPLUS.
   */
  undelivered(node: number): void;
}

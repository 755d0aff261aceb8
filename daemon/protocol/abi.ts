/**
 * The numbers of <linux/fuse.h> (protocol 7.45) under the kernel's names: `Opcode.LOOKUP` is FUSE_LOOKUP, and so on. The structures are in
 * layout.ts; Fattr and Fopen, which the overlay speaks too, in operations.ts. "7.33" is the protocol version a thing came in; what has none
 * is older than the 7.31 we ask for. scripts/check-protocol compares all of it with the header of the machine.
 */

export { Fattr, Fopen } from './operations';

/** What we speak. */
export const enum Version {
  KERNEL_VERSION = 7,
  KERNEL_MINOR_VERSION = 45,
}

export const enum Limit {
  ROOT_ID = 1,
  MIN_READ_BUFFER = 8192,
  IOCTL_MAX_IOV = 256,
  MAX_NR_SECCTX = 31,
  COMPAT_ENTRY_OUT_SIZE = 120,
  COMPAT_ATTR_OUT_SIZE = 96,
  COMPAT_MKNOD_IN_SIZE = 8,
  COMPAT_WRITE_IN_SIZE = 24,
  COMPAT_STATFS_SIZE = 48,
  COMPAT_SETXATTR_IN_SIZE = 8,
  COMPAT_INIT_OUT_SIZE = 8,
  COMPAT_22_INIT_OUT_SIZE = 24,
  URING_IN_OUT_HEADER_SZ = 128,
  URING_OP_IN_OUT_SZ = 128,
}

/** enum fuse_opcode */
export const enum Opcode {
  LOOKUP = 1,
  /** no reply */ FORGET = 2,
  GETATTR = 3,
  SETATTR = 4,
  READLINK = 5,
  SYMLINK = 6,
  MKNOD = 8,
  MKDIR = 9,
  UNLINK = 10,
  RMDIR = 11,
  RENAME = 12,
  LINK = 13,
  OPEN = 14,
  READ = 15,
  WRITE = 16,
  STATFS = 17,
  RELEASE = 18,
  FSYNC = 20,
  SETXATTR = 21,
  GETXATTR = 22,
  LISTXATTR = 23,
  REMOVEXATTR = 24,
  FLUSH = 25,
  INIT = 26,
  OPENDIR = 27,
  READDIR = 28,
  RELEASEDIR = 29,
  /** 7.2 */ FSYNCDIR = 30,
  /** 7.7 */ GETLK = 31,
  SETLK = 32,
  SETLKW = 33,
  /** 7.3 */ ACCESS = 34,
  CREATE = 35,
  /** 7.7 */ INTERRUPT = 36,
  /** 7.8 */ BMAP = 37,
  DESTROY = 38,
  /** 7.11 */ IOCTL = 39,
  POLL = 40,
  /** 7.15; no reply */ NOTIFY_REPLY = 41,
  /** 7.16; no reply */ BATCH_FORGET = 42,
  /** 7.19 */ FALLOCATE = 43,
  /** 7.21 */ READDIRPLUS = 44,
  /** 7.23 */ RENAME2 = 45,
  /** 7.24 */ LSEEK = 46,
  /** 7.28 */ COPY_FILE_RANGE = 47,
  /** 7.31; virtiofs only */ SETUPMAPPING = 48,
  REMOVEMAPPING = 49,
  /** 7.34; virtiofs and fuseblk only */ SYNCFS = 50,
  /** 7.37 */ TMPFILE = 51,
  /** 7.39 */ STATX = 52,
  /** 7.45 */ COPY_FILE_RANGE_64 = 53,
  /** the number after the last */ END = 54,
}

/** Opcodes that are no FUSE request. */
export const enum Cuse {
  INIT = 4096,
  INIT_BSWAP_RESERVED = 1048576,
  /** FUSE_INIT from a kernel of the other byte order */ FUSE_INIT_BSWAP_RESERVED = 436207616,
}

/** enum fuse_notify_code: in OutHeader.error of a message whose unique is 0 */
export const enum NotifyCode {
  /** 7.11 */ POLL = 1,
  /** 7.12 */ INVAL_INODE = 2,
  INVAL_ENTRY = 3,
  /** 7.15 */ STORE = 4,
  RETRIEVE = 5,
  /** 7.18 */ DELETE = 6,
  /** 7.40 */ RESEND = 7,
  /** 7.44 */ INC_EPOCH = 8,
  /** 7.45 */ PRUNE = 9,
}

/** FUSE_*: InitIn.flags and InitOut.flags, the bits 0 to 31 */
export const enum InitFlag {
  ASYNC_READ = 1 << 0,
  POSIX_LOCKS = 1 << 1,
  FILE_OPS = 1 << 2,
  ATOMIC_O_TRUNC = 1 << 3,
  EXPORT_SUPPORT = 1 << 4,
  BIG_WRITES = 1 << 5,
  DONT_MASK = 1 << 6,
  SPLICE_WRITE = 1 << 7,
  SPLICE_MOVE = 1 << 8,
  SPLICE_READ = 1 << 9,
  FLOCK_LOCKS = 1 << 10,
  HAS_IOCTL_DIR = 1 << 11,
  /** 7.20 */ AUTO_INVAL_DATA = 1 << 12,
  /** 7.21 */ DO_READDIRPLUS = 1 << 13,
  READDIRPLUS_AUTO = 1 << 14,
  /** 7.22 */ ASYNC_DIO = 1 << 15,
  /** 7.23 */ WRITEBACK_CACHE = 1 << 16,
  NO_OPEN_SUPPORT = 1 << 17,
  /** 7.25 */ PARALLEL_DIROPS = 1 << 18,
  /** 7.26 */ HANDLE_KILLPRIV = 1 << 19,
  POSIX_ACL = 1 << 20,
  /** 7.27 */ ABORT_ERROR = 1 << 21,
  /** 7.28 */ MAX_PAGES = 1 << 22,
  CACHE_SYMLINKS = 1 << 23,
  /** 7.29 */ NO_OPENDIR_SUPPORT = 1 << 24,
  /** 7.30 */ EXPLICIT_INVAL_DATA = 1 << 25,
  /** 7.31 */ MAP_ALIGNMENT = 1 << 26,
  /** 7.32 */ SUBMOUNTS = 1 << 27,
  /** 7.33 */ HANDLE_KILLPRIV_V2 = 1 << 28,
  SETXATTR_EXT = 1 << 29,
  /** 7.36 */ INIT_EXT = 1 << 30,
  INIT_RESERVED = 1 << 31,
}

/** FUSE_*: InitIn.flags2 and InitOut.flags2, the bits 32 to 63 shifted down; they count only with InitFlag.INIT_EXT */
export const enum InitFlag2 {
  /** 7.36 */ SECURITY_CTX = 1 << 0,
  HAS_INODE_DAX = 1 << 1,
  /** 7.38 */ CREATE_SUPP_GROUP = 1 << 2,
  HAS_EXPIRE_ONLY = 1 << 3,
  /** 7.39 */ DIRECT_IO_ALLOW_MMAP = 1 << 4,
  /** 7.40 */ PASSTHROUGH = 1 << 5,
  NO_EXPORT_SUPPORT = 1 << 6,
  HAS_RESEND = 1 << 7,
  /** 7.41 */ ALLOW_IDMAP = 1 << 8,
  /** 7.42 */ OVER_IO_URING = 1 << 9,
  /** 7.43 */ REQUEST_TIMEOUT = 1 << 10,
}

/** FUSE_GETATTR_*: GetattrIn.getattr_flags, StatxIn.getattr_flags */
export const enum GetattrFlag {
  FH = 1 << 0,
}

/** FUSE_OPEN_*: OpenIn.open_flags, CreateIn.open_flags (7.33) */
export const enum OpenFlag {
  KILL_SUIDGID = 1 << 0,
}

/** FUSE_READ_*: ReadIn.read_flags */
export const enum ReadFlag {
  LOCKOWNER = 1 << 1,
}

/** FUSE_WRITE_*: WriteIn.write_flags */
export const enum WriteFlag {
  CACHE = 1 << 0,
  LOCKOWNER = 1 << 1,
  /** 7.31 */ KILL_SUIDGID = 1 << 2,
}

/** FUSE_RELEASE_*: ReleaseIn.release_flags */
export const enum ReleaseFlag {
  FLUSH = 1 << 0,
  FLOCK_UNLOCK = 1 << 1,
}

/** FUSE_FSYNC_*: FsyncIn.fsync_flags */
export const enum FsyncFlag {
  FDATASYNC = 1 << 0,
}

/** FUSE_SETXATTR_*: SetxattrIn.setxattr_flags (7.33) */
export const enum SetxattrFlag {
  ACL_KILL_SGID = 1 << 0,
}

/** FUSE_LK_*: LkIn.lk_flags */
export const enum LkFlag {
  FLOCK = 1 << 0,
}

/** FUSE_POLL_*: PollIn.flags */
export const enum PollFlag {
  SCHEDULE_NOTIFY = 1 << 0,
}

/** FUSE_IOCTL_*: IoctlIn.flags, IoctlOut.flags */
export const enum IoctlFlag {
  COMPAT = 1 << 0,
  UNRESTRICTED = 1 << 1,
  RETRY = 1 << 2,
  _32BIT = 1 << 3,
  DIR = 1 << 4,
  /** 7.30 */ COMPAT_X32 = 1 << 5,
}

/** FUSE_ATTR_*: Attr.flags (7.32) */
export const enum AttrFlag {
  SUBMOUNT = 1 << 0,
  /** 7.36 */ DAX = 1 << 1,
}

/** FUSE_*: NotifyInvalEntryOut.flags */
export const enum InvalEntryFlag {
  /** 7.38, with InitFlag2.HAS_EXPIRE_ONLY: revalidate the entry instead of dropping it */ EXPIRE_ONLY = 1 << 0,
}

/** FUSE_*: ExtHeader.type; below 32 it is the nr_secctx of a SecctxHeader */
export const enum ExtType {
  /** 7.38, with InitFlag2.CREATE_SUPP_GROUP */ EXT_GROUPS = 32,
}

/** FUSE_DEV_IOC_*: ioctls on /dev/fuse */
export const enum DeviceIoctl {
  CLONE = 0x8004e500,
  /** 7.40 */ BACKING_OPEN = 0x4010e501,
  BACKING_CLOSE = 0x4004e502,
}

/** enum fuse_uring_cmd (7.42) */
export const enum UringCommand {
  INVALID = 0,
  REGISTER = 1,
  COMMIT_AND_FETCH = 2,
}

/** Bit 63 of a request's unique (7.40): it was sent before, to a server that did not answer it. In the high word. */
export const UNIQUE_RESEND_HIGH = 1 << 31;

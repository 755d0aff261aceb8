/**
 * The system calls that the overlay may make on the files of its layers, under the rules of native-bindings: (dirfd, name in the arena),
 * results are counts or negative errnos, no symlink is followed. Everything else of native-bindings is out of the overlay's reach.
 */
import { native, type Native } from '../../native-bindings/index';

export type Disk = Pick<
  Native,
  | 'openat'
  | 'openBeneath'
  | 'openDirectory'
  | 'close'
  | 'dup'
  | 'stat'
  | 'statAll'
  | 'mkdirat'
  | 'mknodat'
  | 'symlinkat'
  | 'readlinkat'
  | 'unlinkat'
  | 'renameat2'
  | 'linkat'
  | 'fchownat'
  | 'fchmodat'
  | 'utimensat'
  | 'truncateat'
  | 'getxattr'
  | 'setxattr'
  | 'listxattr'
  | 'removexattr'
  | 'readDirents'
  | 'pread'
  | 'pwrite'
  | 'lseek'
  | 'statvfs'
  | 'fileHandle'
  | 'filesystemUuid'
  | 'getInodeFlags'
  | 'setInodeFlags'
  | 'backingOpen'
  | 'backingOpenAt'
  | 'backingClose'
>;

export const disk: Disk = native;

/** open(2) flags, x86_64 and arm64 alike but for O_DIRECTORY and O_NOFOLLOW, which only native-bindings sets by itself. */
export const enum O {
  RDONLY = 0,
  WRONLY = 1,
  RDWR = 2,
  ACCMODE = 3,
  CREAT = 0o100,
  EXCL = 0o200,
  TRUNC = 0o1000,
  APPEND = 0o2000,
  NONBLOCK = 0o4000,
  PATH = 0o10000000,
}

import { constants } from 'node:fs';

export const O_DIRECTORY: number = constants.O_DIRECTORY;
/** Needs to own the file or CAP_FOWNER, else EPERM. */
export const O_NOATIME = 0o1000000;
export const O_TMPFILE: number = 0o20000000 | constants.O_DIRECTORY;
export const AT_REMOVEDIR = 0x200;

/** renameat2(2) flags */
export const enum RenameFlag {
  NOREPLACE = 1,
  EXCHANGE = 2,
  WHITEOUT = 4,
}

/** st_mode, inode(7) */
export const enum Mode {
  TYPE = 0o170000,
  SOCKET = 0o140000,
  LINK = 0o120000,
  REGULAR = 0o100000,
  BLOCK = 0o060000,
  DIRECTORY = 0o040000,
  CHARACTER = 0o020000,
  FIFO = 0o010000,
  SETUID = 0o4000,
  SETGID = 0o2000,
  STICKY = 0o1000,
  GROUP_EXECUTE = 0o0010,
  PERMISSIONS = 0o7777,
}

/** d_type of readdir(3) */
export const enum DirentType {
  UNKNOWN = 0,
  CHARACTER = 2,
  DIRECTORY = 4,
  REGULAR = 8,
  LINK = 10,
}

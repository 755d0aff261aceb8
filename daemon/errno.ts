/** The errno values plyfs uses, by the kernel's names (asm-generic/errno*.h). Results are negative errnos: `return -Errno.ENOENT`. */
export const enum Errno {
  EPERM = 1,
  ENOENT = 2,
  EINTR = 4,
  EIO = 5,
  ENXIO = 6,
  E2BIG = 7,
  EBADF = 9,
  EAGAIN = 11,
  ENOMEM = 12,
  EACCES = 13,
  EFAULT = 14,
  EBUSY = 16,
  EEXIST = 17,
  EXDEV = 18,
  ENODEV = 19,
  ENOTDIR = 20,
  EISDIR = 21,
  EINVAL = 22,
  ENFILE = 23,
  EMFILE = 24,
  ENOTTY = 25,
  ETXTBSY = 26,
  EFBIG = 27,
  ENOSPC = 28,
  EROFS = 30,
  EMLINK = 31,
  ERANGE = 34,
  ENAMETOOLONG = 36,
  ENOSYS = 38,
  ENOTEMPTY = 39,
  ELOOP = 40,
  ENODATA = 61,
  EPROTO = 71,
  EOVERFLOW = 75,
  EOPNOTSUPP = 95,
  ECONNABORTED = 103,
  ENOBUFS = 105,
  ENOTCONN = 107,
  ETIMEDOUT = 110,
  ESTALE = 116,
  EDQUOT = 122,
}

/** A request that fails with this errno where no result can be handed on. */
export class SystemError extends Error {
  constructor(readonly errno: number) {
    super(`errno ${errno}`);
  }
}

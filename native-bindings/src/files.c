/**
 * Names and attributes: the *at system calls on (dirfd, path). The guards refuse absolute paths; nothing here follows a final symlink.
 */
#include "args.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

bool kernelHas(struct Probe *probe) {
  int state = atomic_load_explicit(&probe->state, memory_order_relaxed);
  if (state == 0) {
    const char *off = getenv(probe->off);
    long returned = syscall(probe->number, -1, NULL, 0, NULL, NULL, 0);
    // EPERM: what the seccomp filter of an old container runtime answers to a call it does not know.
    bool missing = returned < 0 && (errno == ENOSYS || errno == EPERM);
    state = missing || (off && strcmp(off, "1") == 0) ? 2 : 1;
    atomic_store_explicit(&probe->state, state, memory_order_relaxed);
  }
  return state == 1;
}

// ---- opening -------------------------------------------------------------------------------------------------------------------------

int32_t call_openat(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  mode_t mode = (mode_t)arg[3] & 07777;
  if (*path) return result(RETRY(openat(dirfd, path, arg[2] | O_CLOEXEC | O_NOFOLLOW, mode)));
  // The last step of /proc/self/fd/N is a magic link, which O_NOFOLLOW would refuse; a symlink it leads to is not followed (ELOOP).
  char self[PROC_PATH];
  return result(procReturned(dirfd, RETRY(open(procPath(self, dirfd), (arg[2] & ~O_NOFOLLOW) | O_CLOEXEC, mode))));
}

/** openat2(2) answers EAGAIN when a rename elsewhere makes it doubt that ".." is still beneath: worth another try, but not for ever. */
static int openBelow(int dirfd, const char *path, int flags, mode_t mode) {
  bool makes = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
  struct open_how how = {
      .flags = (uint32_t)flags | O_CLOEXEC,
      .mode = makes ? mode & 07777 : 0,
      .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
  };
  long fd;
  for (int attempt = 0; attempt < 64; attempt++) {
    fd = RETRY(syscall(SYS_openat2, dirfd, path, &how, sizeof how));
    if (fd >= 0 || errno != EAGAIN) break;
  }
  return (int)fd;
}

int32_t call_openBeneath(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  return result(openBelow(dirfd, path, arg[2], (mode_t)arg[3]));
}

/** Bytes of the next step of a path: all of it, or up to the last slash that still leaves room for a NUL; 0 when one name is too long. */
static size_t pathStep(const char *path, size_t length) {
  if (length < PATH_MAX) return length;
  const char *slash = memrchr(path, '/', PATH_MAX);
  return slash ? (size_t)(slash - path) : 0;
}

/** For reading it, as no access where one may, if that is wanted and allowed; else O_PATH. */
static int openStep(int dirfd, const char *path, bool forReading) {
  int fd = forReading ? openBelow(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOATIME, 0) : -1;
  if (forReading && fd < 0 && errno == EPERM) fd = openBelow(dirfd, path, O_RDONLY | O_DIRECTORY, 0);
  return fd >= 0 || (forReading && errno != EACCES) ? fd : openBelow(dirfd, path, O_PATH | O_DIRECTORY, 0);
}

int32_t call_openDirectory(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  BYTES(bytes, arg[1], arg[2]);
  const char *path = (const char *)bytes;
  size_t left = (size_t)arg[2];
  bool forReading = arg[3] != 0;
  if (left == 0) return result(forReading ? openStep(dirfd, ".", true) : fcntl(dirfd, F_DUPFD_CLOEXEC, 0));
  if (path[0] == '/' || memchr(path, 0, left)) return -EINVAL;
  int fd = dirfd;
  while (left > 0) {
    char step[PATH_MAX];
    size_t length = pathStep(path, left);
    int next = -1;
    if (length == 0) {
      errno = ENAMETOOLONG;
    } else {
      memcpy(step, path, length);
      step[length] = 0;
      next = openStep(fd, step, forReading && length == left);
    }
    int32_t error = next < 0 ? -errno : 0;
    if (fd != dirfd) close(fd);
    if (error < 0) return error;
    fd = next;
    path += length;
    left -= length;
    for (; left > 0 && *path == '/'; path++) left--;
  }
  return fd;
}

int32_t call_openHost(const int32_t *arg) {
  STRING(path, arg[0]);
  return result(RETRY(open(path, arg[1] | O_CLOEXEC, (mode_t)arg[2] & 07777)));
}

/** After EINTR Linux has closed the descriptor all the same: close(2), NOTES. Again would close another thread's. */
int32_t call_close(const int32_t *arg) {
  return close(arg[0]) < 0 && errno != EINTR ? -errno : 0;
}

int32_t call_dup(const int32_t *arg) {
  return result(fcntl(arg[0], F_DUPFD_CLOEXEC, 0));
}

// ---- attributes ----------------------------------------------------------------------------------------------------------------------

/** new_encode_dev of <linux/kdev_t.h>: 12 bits of major between the low 8 and the high 12 of minor. */
static uint32_t encodeDevice(uint32_t high, uint32_t low) {
  return (low & 0xff) | high << 8 | (low & ~0xffu) << 12;
}

static dev_t decodeDevice(uint32_t device) {
  return makedev(device >> 8 & 0xfff, (device & 0xff) | (device >> 12 & 0xfff00));
}

int32_t statAt(int dirfd, const char *path, struct StatRecord *out) {
  struct statx s;
  int flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT;
  if (RETRY(statx(dirfd, path, flags, STATX_BASIC_STATS | STATX_BTIME, &s)) < 0) return -errno;
  *out = (struct StatRecord){
      .ino = s.stx_ino, .size = s.stx_size, .blocks = s.stx_blocks,
      .atime = s.stx_atime.tv_sec, .mtime = s.stx_mtime.tv_sec, .ctime = s.stx_ctime.tv_sec,
      .atimensec = s.stx_atime.tv_nsec, .mtimensec = s.stx_mtime.tv_nsec, .ctimensec = s.stx_ctime.tv_nsec,
      .mode = s.stx_mode, .nlink = s.stx_nlink, .uid = s.stx_uid, .gid = s.stx_gid,
      .rdev = encodeDevice(s.stx_rdev_major, s.stx_rdev_minor), .blksize = s.stx_blksize,
      .devMajor = s.stx_dev_major, .devMinor = s.stx_dev_minor,
  };
  if (s.stx_mask & STATX_BTIME) {
    out->btime = s.stx_btime.tv_sec;
    out->btimensec = s.stx_btime.tv_nsec;
    out->btimeKnown = 1;
  }
  return 0;
}

int32_t call_stat(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  BYTES(out, arg[2], sizeof(struct StatRecord));
  struct StatRecord record;
  int32_t error = statAt(dirfd, path, &record);
  if (error == 0) memcpy(out, &record, sizeof record);
  return error;
}

int32_t call_statAll(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  const int32_t count = arg[2];
  if (count < 0 || count > INT32_MAX / (int32_t)sizeof(struct StatRecord)) return -EFAULT;
  ALIGNED(names, arg[1], count * 4, 4);
  ALIGNED(out, arg[3], count * (int32_t)sizeof(struct StatRecord), 8);
  int32_t told = 0;
  for (int32_t i = 0; i < count; i++) {
    int32_t offset;
    memcpy(&offset, names + 4 * i, sizeof offset);
    PATH(name, offset);
    struct StatRecord record = {0};
    if (statAt(dirfd, name, &record) == 0) told++;
    memcpy(out + i * sizeof record, &record, sizeof record);
  }
  return told;
}

int32_t call_fchownat(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  return result(RETRY(fchownat(dirfd, path, (uid_t)arg[2], (gid_t)arg[3], AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)));
}

/** Before fchmodat2 (Linux 6.6) nothing changes the mode without following but the magic link of an O_PATH descriptor. */
static int32_t chmodByProc(int fd, mode_t mode) {
  struct stat st;
  char self[PROC_PATH];
  if (fstat(fd, &st) < 0) return -errno;
  if (S_ISLNK(st.st_mode)) return -EOPNOTSUPP;
  return result(RETRY(chmod(procPath(self, fd), mode)));
}

int32_t call_fchmodat(const int32_t *arg) {
  static struct Probe fchmodat2 = {.number = SYS_fchmodat2, .off = "PLYFS_NO_FCHMODAT2"};
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  mode_t mode = (mode_t)arg[2] & 07777;
  if (kernelHas(&fchmodat2)) {
    return result(RETRY(syscall(SYS_fchmodat2, dirfd, path, mode, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)));
  }
  if (!*path) return chmodByProc(dirfd, mode);
  int fd = RETRY(openat(dirfd, path, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (fd < 0) return -errno;
  int32_t error = chmodByProc(fd, mode);
  close(fd);
  return error;
}

int32_t call_utimensat(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  int64_t given[4];
  BYTES(bytes, arg[2], sizeof given);
  memcpy(given, bytes, sizeof given);
  struct timespec times[2] = {{.tv_sec = given[0], .tv_nsec = given[1]}, {.tv_sec = given[2], .tv_nsec = given[3]}};
  return result(RETRY(utimensat(dirfd, path, times, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)));
}

int32_t call_truncateat(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  int64_t size = wide(arg[2], arg[3]);
  if (!*path) return result(RETRY(ftruncate(dirfd, size)));
  int fd = RETRY(openat(dirfd, path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (fd < 0) return -errno;
  int32_t error = result(RETRY(ftruncate(fd, size)));
  close(fd);
  return error;
}

// ---- names ---------------------------------------------------------------------------------------------------------------------------

int32_t call_mkdirat(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  return result(RETRY(mkdirat(dirfd, path, (mode_t)arg[2])));
}

int32_t call_mknodat(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  return result(RETRY(mknodat(dirfd, path, (mode_t)arg[2], decodeDevice((uint32_t)arg[3]))));
}

int32_t call_lockDirectory(const int32_t *arg) {
  DIRECTORY(fd, arg[0]);
  return result(RETRY(flock(fd, LOCK_EX | LOCK_NB)));
}

int32_t call_symlinkat(const int32_t *arg) {
  STRING(target, arg[0]);
  DIRECTORY(dirfd, arg[1]);
  PATH(path, arg[2]);
  return result(RETRY(symlinkat(target, dirfd, path)));
}

int32_t call_readlinkat(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  BYTES(out, arg[2], arg[3]);
  return result(RETRY(readlinkat(dirfd, path, (char *)out, (size_t)arg[3])));
}

int32_t call_unlinkat(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  return result(RETRY(unlinkat(dirfd, path, arg[2])));
}

int32_t call_renameat2(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  DIRECTORY(newDirfd, arg[2]);
  PATH(newPath, arg[3]);
  return result(RETRY(syscall(SYS_renameat2, dirfd, path, newDirfd, newPath, arg[4])));
}

/** AT_EMPTY_PATH would ask for CAP_DAC_READ_SEARCH; the magic link does not (open(2), O_TMPFILE). */
int32_t call_linkat(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  DIRECTORY(newDirfd, arg[2]);
  PATH(newPath, arg[3]);
  if (*path) return result(RETRY(linkat(dirfd, path, newDirfd, newPath, 0)));
  char self[PROC_PATH];
  return result(procReturned(dirfd, RETRY(linkat(AT_FDCWD, procPath(self, dirfd), newDirfd, newPath, AT_SYMLINK_FOLLOW))));
}

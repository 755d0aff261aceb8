/**
 * Extended attributes of the file itself, never of what a symlink points to.
 *
 * Linux 6.13 has *xattrat(2). Before it, and for an O_PATH descriptor (which those calls refuse with EBADF when the path is empty), the
 * way is /proc/self/fd/N: "N/path" with the l-calls, which do not follow the final component, and "N" alone with the plain ones,
 * because there the final component is the magic link that leads to the file, a symlink too.
 */
#include "args.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#define SYS_getxattrat 464
#define SYS_listxattrat 465
#define SYS_removexattrat 466
#endif

enum { VALUE_MAX = 65536, LIST_MAX = 65536, AT_FLAGS = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH };

/** struct xattr_args of <linux/xattr.h> */
struct XattrArguments {
  uint64_t value;
  uint32_t size;
  uint32_t flags;
};

static struct Probe xattrat = {.number = SYS_getxattrat, .off = "PLYFS_NO_XATTRAT"};

/** A file as the calls below take it. */
struct Target {
  int dirfd;
  const char *path;
};

/** The /proc path of a target. snprintf cannot cut it short: a path has less than PATH_MAX bytes. */
static const char *targetPath(char out[PROC_PATH + PATH_MAX], struct Target file) {
  snprintf(out, PROC_PATH + PATH_MAX, "/proc/self/fd/%d%s%s", file.dirfd, *file.path ? "/" : "", file.path);
  return out;
}

/** True when the answer of a *xattrat call stands; false when /proc is to be asked. */
static bool answered(struct Target file, long returned) {
  return returned >= 0 || errno != EBADF || *file.path;
}

static int64_t getValue(struct Target file, const char *name, void *value, size_t size) {
  if (kernelHas(&xattrat)) {
    struct XattrArguments args = {.value = (uintptr_t)value, .size = (uint32_t)size};
    long n = syscall(SYS_getxattrat, file.dirfd, file.path, AT_FLAGS, name, &args, sizeof args);
    if (answered(file, n)) return n;
  }
  char proc[PROC_PATH + PATH_MAX];
  return procReturned(file.dirfd, (*file.path ? lgetxattr : getxattr)(targetPath(proc, file), name, value, size));
}

static int64_t setValue(struct Target file, const char *name, const void *value, size_t size, int flags) {
  if (kernelHas(&xattrat)) {
    struct XattrArguments args = {.value = (uintptr_t)value, .size = (uint32_t)size, .flags = (uint32_t)flags};
    long done = syscall(SYS_setxattrat, file.dirfd, file.path, AT_FLAGS, name, &args, sizeof args);
    if (answered(file, done)) return done;
  }
  char proc[PROC_PATH + PATH_MAX];
  return procReturned(file.dirfd, (*file.path ? lsetxattr : setxattr)(targetPath(proc, file), name, value, size, flags));
}

static int64_t listNames(struct Target file, char *out, size_t size) {
  if (kernelHas(&xattrat)) {
    long n = syscall(SYS_listxattrat, file.dirfd, file.path, AT_FLAGS, out, size);
    if (answered(file, n)) return n;
  }
  char proc[PROC_PATH + PATH_MAX];
  return procReturned(file.dirfd, (*file.path ? llistxattr : listxattr)(targetPath(proc, file), out, size));
}

static int64_t removeName(struct Target file, const char *name) {
  if (kernelHas(&xattrat)) {
    long done = syscall(SYS_removexattrat, file.dirfd, file.path, AT_FLAGS, name);
    if (answered(file, done)) return done;
  }
  char proc[PROC_PATH + PATH_MAX];
  return procReturned(file.dirfd, (*file.path ? lremovexattr : removexattr)(targetPath(proc, file), name));
}

int32_t call_getxattr(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  STRING(name, arg[2]);
  BYTES(value, arg[3], arg[4]);
  return result(RETRY(getValue((struct Target){dirfd, path}, name, value, (size_t)arg[4])));
}

int32_t call_setxattr(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  STRING(name, arg[2]);
  BYTES(value, arg[3], arg[4]);
  return result(RETRY(setValue((struct Target){dirfd, path}, name, value, (size_t)arg[4], arg[5])));
}

int32_t call_listxattr(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  BYTES(out, arg[2], arg[3]);
  return result(RETRY(listNames((struct Target){dirfd, path}, (char *)out, (size_t)arg[3])));
}

int32_t call_removexattr(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  STRING(name, arg[2]);
  return result(RETRY(removeName((struct Target){dirfd, path}, name)));
}

/** One attribute. 0 too when it went away meanwhile, or when it is a label that the destination has no room for. */
static int32_t copyOne(struct Target from, struct Target to, const char *name, char *value) {
  int64_t size = RETRY(getValue(from, name, value, VALUE_MAX));
  if (size < 0) return errno == ENODATA ? 0 : -errno;
  if (RETRY(setValue(to, name, value, (size_t)size, 0)) == 0) return 0;
  return errno == EOPNOTSUPP && strcmp(name, "security.selinux") == 0 ? 0 : -errno;
}

static int32_t copyAll(struct Target from, struct Target to, const char *except, char *names, char *value) {
  int64_t length = RETRY(listNames(from, names, LIST_MAX));
  if (length < 0) return -errno;
  size_t exceptLength = strlen(except);
  for (const char *name = names; name < names + length; name += strlen(name) + 1) {
    if (exceptLength > 0 && strncmp(name, except, exceptLength) == 0) continue;
    int32_t error = copyOne(from, to, name, value);
    if (error < 0) return error;
  }
  return 0;
}

/** Most files have no attribute: one call finds that out, without the buffers. */
int32_t call_copyXattrs(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  DIRECTORY(newDirfd, arg[2]);
  PATH(newPath, arg[3]);
  STRING(except, arg[4]);
  struct Target from = {dirfd, path}, to = {newDirfd, newPath};
  int64_t length = RETRY(listNames(from, NULL, 0));
  if (length < 0) return errno == EOPNOTSUPP ? 0 : -errno;
  if (length == 0) return 0;
  char *buffer = malloc(LIST_MAX + VALUE_MAX);
  if (!buffer) return -ENOMEM;
  int32_t error = copyAll(from, to, except, buffer, buffer + LIST_MAX);
  free(buffer);
  return error;
}

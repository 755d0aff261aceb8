/**
 * The guards: whatever comes from JavaScript is read and checked here, before a function uses it.
 *
 * A guard in capitals declares the checked value under the name given, or **returns the errno from the function that uses it**. Guards
 * therefore stand at the top of a function, before anything that would have to be undone.
 */
#ifndef PLYFS_ARGS_H
#define PLYFS_ARGS_H

#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

// ---- the arena -----------------------------------------------------------------------------------------------------------------------

/** The process's one shared mapping. Set once, under a mutex (arena.c); size is stored last, so who sees a size sees the base. */
struct Arena {
  uint8_t *base;
  _Atomic size_t size;
  int fd;
};
extern struct Arena arena;

/** The bytes at (offset, length), or NULL when they are not all inside the arena. Both are below 2^31: the sum cannot overflow. */
static inline uint8_t *arenaAt(int32_t offset, int32_t length) {
  size_t size = atomic_load_explicit(&arena.size, memory_order_acquire);
  if (size == 0 || offset < 0 || length < 0 || (size_t)offset + (size_t)length > size) return NULL;
  return arena.base + offset;
}

/** Finds the NUL-terminated string at `offset`. The search ends at PATH_MAX bytes (-ENAMETOOLONG) and at the arena's end (-EFAULT). */
static inline int32_t arenaString(int32_t offset, const char **out) {
  const uint8_t *start = arenaAt(offset, 1);
  if (!start) return -EFAULT;
  size_t left = atomic_load_explicit(&arena.size, memory_order_relaxed) - (size_t)offset;
  if (!memchr(start, 0, left < PATH_MAX ? left : PATH_MAX)) return left < PATH_MAX ? -EFAULT : -ENAMETOOLONG;
  *out = (const char *)start;
  return 0;
}

/** Length bytes at an offset: -EFAULT when they are not all in the arena. */
#define BYTES(name, offset, length) \
  uint8_t *const name = arenaAt(offset, length); \
  if (!name) return -EFAULT

/** BYTES at a multiple of `alignment`: -EINVAL otherwise. */
#define ALIGNED(name, offset, length, alignment) \
  BYTES(name, offset, length); \
  if ((offset) % (alignment) != 0) return -EINVAL

/** A NUL-terminated name, value or symlink target: any content. */
#define STRING(name, offset) \
  const char *name; \
  int32_t name##Error = arenaString(offset, &name); \
  if (name##Error < 0) return name##Error

/** A path below a directory descriptor: -EINVAL when it is absolute. */
#define PATH(name, offset) \
  STRING(name, offset); \
  if (name[0] == '/') return -EINVAL

/** A directory descriptor. AT_FDCWD is refused too: a forgotten check of a negative errno must not reach the working directory. */
#define DIRECTORY(name, value) \
  const int name = (value); \
  if (name < 0) return -EBADF

/** A 64-bit argument from its two words. */
static inline int64_t wide(int32_t low, int32_t high) {
  return (int64_t)((uint64_t)(uint32_t)high << 32 | (uint32_t)low);
}

// ---- results -------------------------------------------------------------------------------------------------------------------------

static inline int32_t saturate(int64_t value) {
  return value > INT32_MAX ? INT32_MAX : (int32_t)value;
}

/** What a system call wrapper returned, as the addon's result. Call it at once: it reads errno. */
static inline int32_t result(int64_t returned) {
  return returned < 0 ? -errno : saturate(returned);
}

/** Calls again for as long as a signal interrupts. */
#define RETRY(call) \
  __extension__({ \
    __typeof__(call) returned_; \
    do returned_ = (call); \
    while (returned_ < 0 && errno == EINTR); \
    returned_; \
  })

// ---- arguments of methods --------------------------------------------------------------------------------------------------------------

/** A JavaScript integer from -2^31 to 2^32-1, as 32 bits. False for everything else: NaN, fractions, strings, undefined. */
static inline bool readInteger(napi_env env, napi_value value, int32_t *out) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) return false;
  if (!(number >= INT32_MIN && number <= UINT32_MAX)) return false;
  int64_t integer = (int64_t)number;
  if ((double)integer != number) return false;
  *out = (int32_t)(uint32_t)integer;
  return true;
}

/** A string into a buffer, with a NUL. False when it is no string, does not fit or holds a NUL. */
static inline bool readString(napi_env env, napi_value value, char *out, size_t capacity) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok || length >= capacity) return false;
  napi_get_value_string_utf8(env, value, out, capacity, &length);
  return strlen(out) == length;
}

static inline napi_value integer(napi_env env, int32_t value) {
  napi_value out = NULL;
  napi_create_int32(env, value, &out);
  return out;
}

static inline napi_value typeError(napi_env env, const char *message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return NULL;
}

// ---- what files share ----------------------------------------------------------------------------------------------------------------

enum { PROC_PATH = 32 };

/** "/proc/self/fd/N": the way to reach the file of an O_PATH descriptor, a symlink too, with calls that take only a path. */
static inline const char *procPath(char out[PROC_PATH], int fd) {
  snprintf(out, PROC_PATH, "/proc/self/fd/%d", fd);
  return out;
}

/** What a call on a /proc path of `fd` returned, with errno put right: of a descriptor that is not open, /proc says ENOENT. */
static inline int64_t procReturned(int fd, int64_t returned) {
  int error = errno;
  if (returned >= 0 || error != ENOENT || fcntl(fd, F_GETFD) >= 0) errno = error; // else EBADF, from fcntl
  return returned;
}

/** ../index.ts, StatRecord. The first 88 bytes are struct fuse_attr, spelled out because older headers lack its last field. */
struct StatRecord {
  uint64_t ino, size, blocks;
  int64_t atime, mtime, ctime;
  uint32_t atimensec, mtimensec, ctimensec;
  uint32_t mode, nlink, uid, gid, rdev, blksize, flags;
  uint32_t devMajor, devMinor;
  int64_t btime;
  uint32_t btimensec, btimeKnown;
  uint8_t reserved[16];
};
_Static_assert(sizeof(struct StatRecord) == 128 && offsetof(struct StatRecord, devMajor) == 88, "StatRecord of index.ts");

/** statx of (dirfd, path), an empty path being dirfd itself. 0 or a negative errno. */
int32_t statAt(int dirfd, const char *path, struct StatRecord *out);

/** A system call that not every kernel has: asked once per process, with arguments that cannot do anything. */
struct Probe {
  long number;
  /** When this environment variable is "1", the kernel is taken to have none: for tests of the way without it. */
  const char *off;
  /** 0 not asked yet, 1 there, 2 not */
  atomic_int state;
};
bool kernelHas(struct Probe *probe);

/** Gives the calling thread every CPU that the process had when the addon was loaded. */
int32_t unpinThread(void);
void recordAffinity(void);

// ---- faults --------------------------------------------------------------------------------------------------------------------------

/** True for a name that faultSet may be given: of a function, or "job:KIND". */
bool isFunctionName(const char *name);
bool isJobName(const char *name);

#if PLYFS_FAULTS
/** Counts a call; sleeps and returns a negative errno as faultSet has asked, else 0. */
int32_t faultCheck(const char *name);
#else
#define faultCheck(name) ((void)(name), 0)
#endif

/** Begins a METHOD: the fault that faultSet has asked for. A CALL has its fault in addon.c, a job in jobs.c. */
#define FAULT(env, name) \
  int32_t fault_ = faultCheck(name); \
  if (fault_ < 0) return integer(env, fault_)

#endif

/**
 * The arena: one memfd per process, mapped shared, that every thread and every call sees. It is never unmapped, so a range that was
 * checked once stays valid.
 */
#include "args.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct Arena arena = {.fd = -1};
static pthread_mutex_t arenaLock = PTHREAD_MUTEX_INITIALIZER;

enum { MOST_MEBIBYTES = 2048 };

/** Maps `fd`, of which the arena keeps a duplicate: the caller may close or send its own. */
static int32_t mapArena(int fd, size_t size) {
  int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) return -errno;
  void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, own, 0);
  if (base == MAP_FAILED) {
    int32_t error = -errno;
    close(own);
    return error;
  }
  arena.fd = own;
  arena.base = base;
  atomic_store_explicit(&arena.size, size, memory_order_release);
  return 0;
}

static int32_t createLocked(size_t size) {
  if (atomic_load(&arena.size)) return -EEXIST;
  int fd = memfd_create("plyfs-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -errno;
  int32_t error = result(ftruncate(fd, (off_t)size));
  // Whoever gets the memfd cannot shrink it under us: that would be a SIGBUS at the next access.
  if (error == 0) error = result(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
  if (error == 0) error = mapArena(fd, size);
  if (error < 0) close(fd);
  return error < 0 ? error : fd;
}

int32_t call_arenaCreate(const int32_t *arg) {
  if (arg[0] < 1 || arg[0] > MOST_MEBIBYTES) return -EINVAL;
  pthread_mutex_lock(&arenaLock);
  int32_t out = createLocked((size_t)arg[0] << 20);
  pthread_mutex_unlock(&arenaLock);
  return out;
}

static int32_t attachLocked(int fd, size_t size) {
  if (atomic_load(&arena.size)) return -EEXIST;
  struct stat st;
  if (fstat(fd, &st) < 0) return -errno;
  if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < size) return -EINVAL;
  return mapArena(fd, size);
}

int32_t call_arenaAttach(const int32_t *arg) {
  if (arg[1] < 1 || arg[1] > MOST_MEBIBYTES) return -EINVAL;
  pthread_mutex_lock(&arenaLock);
  int32_t out = attachLocked(arg[0], (size_t)arg[1] << 20);
  pthread_mutex_unlock(&arenaLock);
  return out;
}

int32_t call_arenaPunch(const int32_t *arg) {
  BYTES(start, arg[0], arg[1]);
  (void)start;
  return result(RETRY(fallocate(arena.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, arg[0], arg[1])));
}

static void deleteInstance(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data); // the reference in it goes with its environment
}

/** The environment's one ArrayBuffer over the arena, made at the first call and kept as its instance data. */
napi_value method_arenaBuffer(napi_env env, napi_callback_info info) {
  (void)info;
  size_t size = atomic_load_explicit(&arena.size, memory_order_acquire);
  if (size == 0) {
    napi_throw_error(env, "ENXIO", "no arena: call arenaCreate or arenaAttach first");
    return NULL;
  }
  napi_ref *kept = NULL;
  napi_value buffer = NULL;
  napi_get_instance_data(env, (void **)&kept);
  if (kept) {
    napi_get_reference_value(env, *kept, &buffer);
    return buffer;
  }
  kept = calloc(1, sizeof *kept);
  if (!kept || napi_create_external_arraybuffer(env, arena.base, size, NULL, NULL, &buffer) != napi_ok ||
      napi_create_reference(env, buffer, 1, kept) != napi_ok || napi_set_instance_data(env, kept, deleteInstance, NULL) != napi_ok) {
    free(kept);
    napi_throw_error(env, NULL, "cannot make an ArrayBuffer of the arena");
    return NULL;
  }
  return buffer;
}

/**
 * The pool of threads for what may take long. A job is described by a slot in the arena (../index.ts, JobSlot); the pool knows nothing
 * else of it, so a slot can be handed in by any thread and awaited by any process that maps the arena.
 */
#include "args.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FREE = 0, QUEUED = 1, DONE = 2 };
enum { COPY = 1, FSYNC, SYNCFS, FALLOCATE, COPY_RANGE, CLOSE, KINDS };
enum { MOST_THREADS = 16, MOST_QUEUED = 1024, EVENTS = 32, SLOT_SIZE = 128 };

/** At most this much per call of the kernel, so that progress shows and a thread ends in time. */
static const int64_t CHUNK = 64 << 20;
static const size_t COPY_BUFFER = 256 << 10;

struct Slot {
  _Atomic int32_t state;
  int32_t result;
  uint32_t kind, flags;
  int32_t a, b;
  int64_t offset, length, offset2;
  _Atomic uint32_t notify;
  uint32_t reserved;
  _Atomic int64_t progress;
  uint8_t rest[60];
  _Atomic int32_t holders;
};
_Static_assert(offsetof(struct Slot, notify) == 48 && offsetof(struct Slot, progress) == 56 && offsetof(struct Slot, holders) == 124 &&
                   sizeof(struct Slot) == SLOT_SIZE,
               "JobSlot of index.ts");

static struct {
  pthread_mutex_t lock;
  pthread_cond_t work;
  bool started;
  unsigned first, count;
  int32_t slots[MOST_QUEUED];
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER};

/** The eventfd of each bit of Slot.notify, plus one: 0 is none. */
static _Atomic int32_t events[EVENTS];

// ---- COPY ----------------------------------------------------------------------------------------------------------------------------

/** Makes [from, to) of fd read as zero as far as the file reaches. In the usual copy the file is new and there is nothing to do. */
static int32_t clearRange(int fd, int64_t from, int64_t to) {
  struct stat st;
  if (fstat(fd, &st) < 0) return -errno;
  if (to > st.st_size) to = st.st_size;
  if (from >= to) return 0;
  if (RETRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, to - from)) == 0) return 0;
  if (errno != EOPNOTSUPP && errno != ENOSYS) return -errno;
  static const uint8_t zeros[65536];
  while (from < to) {
    size_t size = to - from < (int64_t)sizeof zeros ? (size_t)(to - from) : sizeof zeros;
    ssize_t n = RETRY(pwrite(fd, zeros, size, from));
    if (n < 0) return -errno;
    from += n;
  }
  return 0;
}

/** pread and pwrite of [from, to); ends early, without error, where the source does. */
static int32_t copyThrough(struct Slot *slot, int64_t from, int64_t to) {
  uint8_t *buffer = malloc(COPY_BUFFER);
  if (!buffer) return -ENOMEM;
  int32_t error = 0;
  while (from < to && error == 0) {
    size_t size = to - from < (int64_t)COPY_BUFFER ? (size_t)(to - from) : COPY_BUFFER;
    ssize_t n = RETRY(pread(slot->a, buffer, size, from));
    if (n < 0) error = -errno;
    if (n <= 0) break;
    for (ssize_t done = 0; done < n && error == 0;) {
      ssize_t written = RETRY(pwrite(slot->b, buffer + done, (size_t)(n - done), from + done));
      if (written < 0) error = -errno;
      else done += written;
    }
    from += n;
    atomic_store_explicit(&slot->progress, from - slot->offset, memory_order_relaxed);
  }
  free(buffer);
  return error;
}

/** Whether copy_file_range cannot do it here, though a plain copy can: another file system, an old kernel, an odd file. */
static bool wantsPlainCopy(int error) {
  return error == EXDEV || error == EOPNOTSUPP || error == EINVAL || error == ENOSYS;
}

/** One stretch of data. copy_file_range answers 0 at the end of the source, and for files of /proc and /sys, which lie about their size. */
static int32_t copyData(struct Slot *slot, int64_t from, int64_t to) {
  while (from < to) {
    off_t in = from, out = from;
    ssize_t n = RETRY(copy_file_range(slot->a, &in, slot->b, &out, (size_t)(to - from < CHUNK ? to - from : CHUNK), 0));
    if (n == 0 || (n < 0 && wantsPlainCopy(errno))) return copyThrough(slot, from, to);
    if (n < 0) return -errno;
    from += n;
    atomic_store_explicit(&slot->progress, from - slot->offset, memory_order_relaxed);
  }
  return 0;
}

/** Data copied, holes kept. */
static int32_t copySparse(struct Slot *slot, int64_t end) {
  for (int64_t at = slot->offset; at < end;) {
    int64_t data = lseek(slot->a, at, SEEK_DATA), hole = end;
    if (data < 0 && errno == ENXIO) return clearRange(slot->b, at, end); // only a hole, or nothing, from here on
    if (data < 0 && errno != EINVAL && errno != EOPNOTSUPP && errno != ESPIPE) return -errno;
    if (data < 0) data = at; // a file system that cannot tell: all is data
    else if ((hole = lseek(slot->a, data, SEEK_HOLE)) < 0) return -errno;
    if (data < at || hole <= data) { // a device like /dev/zero seeks to 0 whatever is asked
      data = at;
      hole = end;
    }
    if (data > end) data = end;
    if (hole > end) hole = end;
    int32_t error = clearRange(slot->b, at, data);
    if (error == 0) error = copyData(slot, data, hole);
    if (error < 0) return error;
    at = hole;
  }
  return 0;
}

static int32_t runCopy(struct Slot *slot) {
  int64_t end;
  struct stat st;
  if (slot->offset < 0 || slot->length < 0 || __builtin_add_overflow(slot->offset, slot->length, &end)) return -EINVAL;
  if (fstat(slot->a, &st) < 0) return -errno;
  bool cloned = slot->offset == 0 && end >= st.st_size && ioctl(slot->b, FICLONE, slot->a) == 0;
  int32_t error = cloned ? clearRange(slot->b, st.st_size, end) : copySparse(slot, end);
  if (error == 0 && !(slot->flags & 2)) error = result(RETRY(ftruncate(slot->b, end)));
  // A clone shares blocks that are on the disk, and comes before the rename in the file system's log: as fs/overlayfs/copy_up.c has it.
  if (error == 0 && (slot->flags & 1) && !cloned) error = result(RETRY(fsync(slot->b)));
  if (error == 0) atomic_store_explicit(&slot->progress, slot->length, memory_order_relaxed);
  return error;
}

// ---- the other kinds -----------------------------------------------------------------------------------------------------------------

static int32_t runFsync(struct Slot *slot) {
  return result(RETRY(slot->flags & 1 ? fdatasync(slot->a) : fsync(slot->a)));
}

static int32_t runSyncfs(struct Slot *slot) {
  return result(RETRY(syncfs(slot->a)));
}

static int32_t runFallocate(struct Slot *slot) {
  return result(RETRY(fallocate(slot->a, (int)slot->flags, slot->offset, slot->length)));
}

static int32_t runCopyRange(struct Slot *slot) {
  off_t in = slot->offset, out = slot->offset2;
  if (slot->length < 0) return -EINVAL;
  return result(RETRY(copy_file_range(slot->a, &in, slot->b, &out, (size_t)slot->length, slot->flags)));
}

static int32_t runClose(struct Slot *slot) {
  return close(slot->a) < 0 && errno != EINTR ? -errno : 0;
}

static const struct {
  const char *name;
  int32_t (*run)(struct Slot *slot);
} kinds[KINDS] = {
    [COPY] = {"job:COPY", runCopy},
    [FSYNC] = {"job:FSYNC", runFsync},
    [SYNCFS] = {"job:SYNCFS", runSyncfs},
    [FALLOCATE] = {"job:FALLOCATE", runFallocate},
    [COPY_RANGE] = {"job:COPY_RANGE", runCopyRange},
    [CLOSE] = {"job:CLOSE", runClose},
};

bool isJobName(const char *name) {
  for (unsigned kind = COPY; kind < KINDS; kind++) {
    if (strcmp(kinds[kind].name, name) == 0) return true;
  }
  return false;
}

// ---- the pool ------------------------------------------------------------------------------------------------------------------------

static int32_t perform(struct Slot *slot) {
  uint32_t kind = slot->kind;
  if (kind < COPY || kind >= KINDS) return -EINVAL;
  int32_t fault = faultCheck(kinds[kind].name);
  return fault < 0 ? fault : kinds[kind].run(slot);
}

/**
 * Publishes the result and wakes. Sequentially consistent on purpose: a waiter sets its bit of notify and then looks at state, the pool
 * stores state and then looks at notify, and one of the two must see the other's store. Between these two the slot may be given back:
 * its holder count keeps it from being another job's until notify was read. (The futex wake is of the address only.)
 */
static void finish(struct Slot *slot, int32_t outcome) {
  slot->result = outcome;
  atomic_store(&slot->state, DONE);
  uint32_t notify = atomic_load(&slot->notify);
  atomic_fetch_sub(&slot->holders, 1);
  syscall(SYS_futex, &slot->state, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
  for (; notify; notify &= notify - 1) {
    int fd = atomic_load(&events[__builtin_ctz(notify)]) - 1;
    uint64_t one = 1;
    // Nobody to tell of a failure; a full eventfd has its reader awake anyway.
    if (fd >= 0 && RETRY(write(fd, &one, sizeof one)) < 0) continue;
  }
}

static struct Slot *slotAt(int32_t offset) {
  return (struct Slot *)arenaAt(offset, SLOT_SIZE);
}

static void *runThread(void *argument) {
  char name[16];
  snprintf(name, sizeof name, "plyfs-job-%d", (int)(intptr_t)argument);
  pthread_setname_np(pthread_self(), name);
  unpinThread(); // a thread inherits its maker's CPUs
  for (;;) {
    pthread_mutex_lock(&pool.lock);
    while (pool.count == 0) pthread_cond_wait(&pool.work, &pool.lock);
    struct Slot *slot = slotAt(pool.slots[pool.first]);
    pool.first = (pool.first + 1) % MOST_QUEUED;
    pool.count--;
    pthread_mutex_unlock(&pool.lock);
    finish(slot, perform(slot));
  }
  return NULL;
}

/** Starts them with every signal blocked: signals are the main thread's. */
static int32_t startThreads(int32_t threads) {
  sigset_t all, before;
  pthread_attr_t attributes;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  int error = 0, started = 0;
  for (; started < threads && error == 0; started += error == 0) {
    pthread_t thread;
    error = pthread_create(&thread, &attributes, runThread, (void *)(intptr_t)started);
  }
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return started > 0 ? 0 : -error; // fewer than asked still serve
}

int32_t call_jobPoolStart(const int32_t *arg) {
  if (arg[0] < 1 || arg[0] > MOST_THREADS) return -EINVAL;
  pthread_mutex_lock(&pool.lock);
  int32_t error = pool.started ? -EEXIST : startThreads(arg[0]);
  if (error == 0) pool.started = true;
  pthread_mutex_unlock(&pool.lock);
  return error;
}

int32_t call_jobPoolEvent(const int32_t *arg) {
  if (arg[0] < 0 || arg[0] >= EVENTS || arg[1] < -1 || arg[1] == INT32_MAX) return -EINVAL;
  atomic_store(&events[arg[0]], arg[1] + 1);
  return 0;
}

int32_t call_jobSubmit(const int32_t *arg) {
  ALIGNED(bytes, arg[0], SLOT_SIZE, 8);
  struct Slot *slot = (struct Slot *)bytes;
  if (slot->kind < COPY || slot->kind >= KINDS) return -EINVAL;
  if (atomic_load(&slot->state) == QUEUED) return -EBUSY;
  int32_t error = 0;
  pthread_mutex_lock(&pool.lock);
  if (!pool.started) {
    error = -ESRCH;
  } else if (pool.count == MOST_QUEUED) {
    error = -EAGAIN;
  } else {
    atomic_fetch_add(&slot->holders, 1);
    atomic_store(&slot->state, QUEUED);
    pool.slots[(pool.first + pool.count++) % MOST_QUEUED] = arg[0];
    pthread_cond_signal(&pool.work);
  }
  pthread_mutex_unlock(&pool.lock);
  return error;
}

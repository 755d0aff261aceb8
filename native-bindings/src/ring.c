/**
 * FUSE over io_uring (Linux 6.14): a ring per thread, through which a worker gets the requests of all its mounts and answers them.
 *
 * The kernel keeps a queue per possible CPU and connection. We lend it *entries*, each a header and a payload in the arena: it writes a request
 * there and completes the entry's command; our commit gives the answer, in the same place, and lends the entry again (fs/fuse/dev_uring.c). An
 * entry is named by its arena offset, which is also the user_data of its commands; what is below RING_TAGS is a tag of the caller's.
 *
 * The kernel delivers a request in three pieces (header, fixed structure, names and data). Here it is put together, so that nobody else knows
 * how it came: as /dev/fuse would have it. The system calls are spelled out, for neither liburing nor a new <linux/io_uring.h> is everywhere.
 */
#include "args.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
  OP_NOP = 0,
  OP_POLL_ADD = 6,
  OP_TIMEOUT = 11,
  OP_URING_CMD = 46,

  SETUP_CQSIZE = 1 << 3,
  SETUP_SUBMIT_ALL = 1 << 7,
  SETUP_SQE128 = 1 << 10,
  SETUP_SINGLE_ISSUER = 1 << 12,
  SETUP_DEFER_TASKRUN = 1 << 13,

  SQE_FIXED_FILE = 1 << 0,
  SQE_IO_LINK = 1 << 2,
  SQE_CQE_SKIP_SUCCESS = 1 << 6,
  TIMEOUT_ETIME_SUCCESS = 1 << 5,

  ENTER_GETEVENTS = 1 << 0,
  ENTER_EXT_ARG = 1 << 3,
  ENTER_REGISTERED_RING = 1 << 4,

  REGISTER_FILES_UPDATE = 6,
  REGISTER_FILES2 = 13,
  REGISTER_RING_FDS = 20,
  UNREGISTER_RING_FDS = 21,
  RSRC_SPARSE = 1 << 0,
};

/** struct io_uring_sqe with IORING_SETUP_SQE128: the fields that we use. */
struct Sqe {
  uint8_t opcode, flags;
  uint16_t ioprio;
  int32_t fd;
  /** a command's number, in its low half */
  uint64_t off;
  uint64_t addr;
  uint32_t len;
  uint32_t opFlags;
  uint64_t userData;
  uint16_t bufIndex, personality;
  int32_t fileIndex;
  uint8_t command[80];
};
_Static_assert(sizeof(struct Sqe) == 128 && offsetof(struct Sqe, command) == 48, "struct io_uring_sqe");

struct GetEventsArg {
  uint64_t sigmask;
  uint32_t sigmaskSize, minWait;
  uint64_t timeout;
};

struct Timespec {
  int64_t seconds, nanoseconds;
};

/** struct io_uring_rsrc_register and io_uring_rsrc_update */
struct FilesRegister {
  uint32_t count, flags;
  uint64_t reserved, data, tags;
};
struct RsrcUpdate {
  uint32_t offset, reserved;
  uint64_t data;
};

// ---- what <linux/fuse.h> says since 7.42 -----------------------------------------------------------------------------------------------

enum { CMD_REGISTER = 1, CMD_COMMIT_AND_FETCH = 2 };

/** struct fuse_in_header: the length is all that is needed here. */
enum { IN_HEADER = 40, OUT_HEADER = 16, OP_IN = 128 };

/** struct fuse_uring_req_header, and behind it what is ours: ../index.ts, RingEntry. */
struct Entry {
  uint8_t inOut[128];
  uint8_t opIn[OP_IN];
  uint64_t flags, commitId;
  uint32_t payloadSize, padding;
  uint64_t reserved;
  // 288: ours
  struct iovec iov[2];
  uint32_t queue, file, capacity, mount;
};
_Static_assert(offsetof(struct Entry, iov) == 288 && offsetof(struct Entry, queue) == 320, "RingEntry of index.ts");

/** The entry's payload begins on its next page; in what is between stands what comes before a large payload, to be in one piece with it. */
enum { PAYLOAD = 4096 };

/** struct fuse_uring_cmd_req */
struct Command {
  uint64_t flags, commitId;
  uint16_t queue;
  uint8_t padding[6];
};

struct OutHeader {
  uint32_t length;
  int32_t error;
  uint64_t unique;
};

// ---- the ring --------------------------------------------------------------------------------------------------------------------------

enum { RING_FILES = 256, RING_TAGS = 4096, MOST_UNSENT = 8 };

struct Ring {
  int fd;
  /** what io_uring_enter is given for the ring: its registered number, or fd */
  unsigned enterFd, enterFlags;
  uint8_t *rings;
  size_t ringsSize;
  struct Sqe *sqes;
  size_t sqesSize;
  _Atomic uint32_t *sqHead, *sqTail, *cqHead, *cqTail;
  struct io_uring_cqe *cqes;
  uint32_t sqMask, sqEntries, cqMask;
  /** commands that the kernel has not been told of */
  uint32_t unsent;
  bool open;
};

static __thread struct Ring ring;

static int32_t enter(unsigned submit, unsigned wait, unsigned flags, const void *arg, size_t size) {
  return result(syscall(SYS_io_uring_enter, ring.enterFd, submit, wait, flags | ring.enterFlags, arg, size));
}

static int32_t doRegister(unsigned what, const void *arg, unsigned count) {
  return result(syscall(SYS_io_uring_register, ring.fd, what, arg, count));
}

static void closeRing(void) {
  struct RsrcUpdate self = {.offset = ring.enterFd};
  if (ring.enterFlags & ENTER_REGISTERED_RING) doRegister(UNREGISTER_RING_FDS, &self, 1); // it would outlive its descriptor
  if (ring.rings && ring.rings != MAP_FAILED) munmap(ring.rings, ring.ringsSize);
  if (ring.sqes && ring.sqes != MAP_FAILED) munmap(ring.sqes, ring.sqesSize);
  if (ring.fd >= 0) close(ring.fd);
  memset(&ring, 0, sizeof ring);
}

/** Both queues lie in one mapping (IORING_FEAT_SINGLE_MMAP, 5.4). */
static int32_t mapRing(const struct io_uring_params *p) {
  size_t sq = p->sq_off.array + p->sq_entries * sizeof(uint32_t), cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
  ring.ringsSize = sq > cq ? sq : cq;
  ring.sqesSize = p->sq_entries * sizeof(struct Sqe);
  const int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
  ring.rings = mmap(NULL, ring.ringsSize, protection, flags, ring.fd, IORING_OFF_SQ_RING);
  if (ring.rings == MAP_FAILED) return -errno;
  ring.sqes = mmap(NULL, ring.sqesSize, protection, flags, ring.fd, IORING_OFF_SQES);
  if (ring.sqes == MAP_FAILED) return -errno;
  ring.sqHead = (_Atomic uint32_t *)(ring.rings + p->sq_off.head);
  ring.sqTail = (_Atomic uint32_t *)(ring.rings + p->sq_off.tail);
  ring.cqHead = (_Atomic uint32_t *)(ring.rings + p->cq_off.head);
  ring.cqTail = (_Atomic uint32_t *)(ring.rings + p->cq_off.tail);
  ring.cqes = (struct io_uring_cqe *)(ring.rings + p->cq_off.cqes);
  ring.sqEntries = p->sq_entries;
  ring.sqMask = p->sq_entries - 1;
  ring.cqMask = p->cq_entries - 1;
  uint32_t *array = (uint32_t *)(ring.rings + p->sq_off.array);
  for (uint32_t i = 0; i < p->sq_entries; i++) array[i] = i;
  return 0;
}

/** A table of files for the mounts' devices, and the ring's own number: both save the counting of references in every call. */
static int32_t registerFiles(void) {
  struct FilesRegister files = {.count = RING_FILES, .flags = RSRC_SPARSE};
  int32_t error = doRegister(REGISTER_FILES2, &files, sizeof files);
  if (error < 0) return error;
  struct RsrcUpdate self = {.offset = UINT32_MAX, .data = (uint64_t)ring.fd};
  ring.enterFd = (unsigned)ring.fd;
  ring.enterFlags = 0;
  if (doRegister(REGISTER_RING_FDS, &self, 1) != 1) return 0;
  ring.enterFd = self.offset;
  ring.enterFlags = ENTER_REGISTERED_RING;
  return 0;
}

static int32_t openRing(unsigned sqEntries, unsigned cqEntries) {
  struct io_uring_params p = {
      .flags = SETUP_SQE128 | SETUP_SUBMIT_ALL | SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN | SETUP_CQSIZE, .cq_entries = cqEntries};
  ring.fd = (int)syscall(SYS_io_uring_setup, sqEntries, &p);
  if (ring.fd < 0) return -errno;
  int32_t error = mapRing(&p);
  return error < 0 ? error : registerFiles();
}

int32_t call_ringCreate(const int32_t *arg) {
  if (arg[0] < 1 || arg[1] < arg[0]) return -EINVAL;
  if (ring.open) return -EEXIST;
  int32_t error = openRing((unsigned)arg[0], (unsigned)arg[1]);
  if (error < 0) closeRing();
  else ring.open = true;
  return error;
}

int32_t call_ringClose(const int32_t *arg) {
  (void)arg;
  if (!ring.open) return -EBADF;
  closeRing();
  return 0;
}

int32_t call_ringFile(const int32_t *arg) {
  if (!ring.open) return -EBADF;
  if (arg[0] < 0 || arg[0] >= RING_FILES) return -EINVAL;
  int32_t fd = arg[1];
  struct RsrcUpdate update = {.offset = (uint32_t)arg[0], .data = (uint64_t)(uintptr_t)&fd};
  int32_t updated = doRegister(REGISTER_FILES_UPDATE, &update, 1);
  return updated < 0 ? updated : 0;
}

// ---- submission ------------------------------------------------------------------------------------------------------------------------

/** Tells the kernel of what was queued, without waiting. */
static int32_t submit(void) {
  while (ring.unsent > 0) {
    int32_t sent = enter(ring.unsent, 0, 0, NULL, 0);
    if (sent == -EINTR || sent == -EAGAIN || sent == -EBUSY) continue;
    if (sent < 0) return sent;
    ring.unsent -= (uint32_t)sent;
  }
  return 0;
}

int32_t call_ringSubmit(const int32_t *arg) {
  (void)arg;
  return ring.open ? submit() : -EBADF;
}

/** Makes sure of room for `count` commands, so that a chain is not torn. 0 or a negative errno. */
static int32_t makeRoom(uint32_t count) {
  return ring.unsent + count > ring.sqEntries ? submit() : 0;
}

/** The next free command, zeroed; the kernel sees it with the next enter. */
static struct Sqe *nextSqe(void) {
  uint32_t tail = atomic_load_explicit(ring.sqTail, memory_order_relaxed);
  struct Sqe *sqe = &ring.sqes[tail & ring.sqMask];
  memset(sqe, 0, sizeof *sqe);
  atomic_store_explicit(ring.sqTail, tail + 1, memory_order_release);
  ring.unsent++;
  return sqe;
}

/** An entry at an arena offset, with its payload. */
#define ENTRY(name, offset) \
  ALIGNED(name##Bytes, offset, PAYLOAD, 8); \
  struct Entry *const name = (struct Entry *)name##Bytes; \
  if (name->capacity > INT32_MAX - PAYLOAD || !arenaAt(offset, (int32_t)(PAYLOAD + name->capacity))) return -EFAULT

static uint8_t *payloadOf(struct Entry *entry) {
  return (uint8_t *)entry + PAYLOAD;
}

static void command(const struct Entry *entry, int32_t tag, unsigned number, uint64_t commitId, uint64_t addr, uint32_t len) {
  struct Sqe *sqe = nextSqe();
  sqe->opcode = OP_URING_CMD;
  sqe->flags = SQE_FIXED_FILE;
  sqe->fd = (int32_t)entry->file;
  sqe->off = number;
  sqe->addr = addr;
  sqe->len = len;
  sqe->userData = (uint32_t)tag;
  struct Command request = {.commitId = commitId, .queue = (uint16_t)entry->queue};
  memcpy(sqe->command, &request, sizeof request);
}

int32_t call_ringRegister(const int32_t *arg) {
  ENTRY(entry, arg[0]);
  if (!ring.open) return -EBADF;
  if (arg[0] < RING_TAGS) return -EINVAL;
  entry->iov[0] = (struct iovec){entry, offsetof(struct Entry, iov)};
  entry->iov[1] = (struct iovec){payloadOf(entry), entry->capacity};
  int32_t error = makeRoom(1);
  if (error < 0) return error;
  command(entry, arg[0], CMD_REGISTER, 0, (uint64_t)(uintptr_t)entry->iov, 2);
  return 0;
}

int32_t call_ringCommit(const int32_t *arg) {
  ENTRY(entry, arg[0]);
  BYTES(reply, arg[1], arg[2]);
  if (!ring.open) return -EBADF;
  struct OutHeader none = {.length = sizeof none, .unique = entry->commitId};
  size_t payload = arg[2] == 0 ? 0 : (size_t)arg[2] - OUT_HEADER;
  if (arg[2] != 0 && (arg[2] < OUT_HEADER || payload > entry->capacity)) return -EINVAL;
  int32_t error = makeRoom(1);
  if (error < 0) return error;
  memcpy(entry->inOut, arg[2] == 0 ? (const void *)&none : reply, OUT_HEADER);
  if (payload > 0 && reply + OUT_HEADER != payloadOf(entry)) memcpy(payloadOf(entry), reply + OUT_HEADER, payload);
  entry->payloadSize = (uint32_t)payload;
  command(entry, arg[0], CMD_COMMIT_AND_FETCH, entry->commitId, 0, 0);
  return 0;
}

int32_t call_ringNop(const int32_t *arg) {
  if (!ring.open) return -EBADF;
  if (arg[0] < 0 || arg[0] >= RING_TAGS) return -EINVAL;
  int32_t error = makeRoom(1);
  if (error < 0) return error;
  struct Sqe *sqe = nextSqe();
  sqe->opcode = OP_NOP;
  sqe->userData = (uint32_t)arg[0];
  return 0;
}

int32_t call_ringPoll(const int32_t *arg) {
  if (!ring.open) return -EBADF;
  if (arg[1] < 0 || arg[1] >= RING_TAGS || arg[2] < 0) return -EINVAL;
  int32_t error = makeRoom(2);
  if (error < 0) return error;
  static __thread struct Timespec delay; // read when it is submitted
  if (arg[2] > 0) {
    delay = (struct Timespec){arg[2] / 1000, arg[2] % 1000 * 1000000LL};
    struct Sqe *wait = nextSqe();
    wait->opcode = OP_TIMEOUT;
    wait->flags = SQE_IO_LINK | SQE_CQE_SKIP_SUCCESS;
    wait->addr = (uint64_t)(uintptr_t)&delay;
    wait->len = 1;
    wait->opFlags = TIMEOUT_ETIME_SUCCESS;
    wait->userData = (uint32_t)arg[1];
  }
  struct Sqe *poll = nextSqe();
  poll->opcode = OP_POLL_ADD;
  poll->fd = arg[0];
  poll->opFlags = EPOLLIN;
  poll->userData = (uint32_t)arg[1];
  return 0;
}

// ---- completion ------------------------------------------------------------------------------------------------------------------------

/** ../index.ts, RingEvent. */
struct Event {
  int32_t tag, result, request, length, reply, capacity;
};

/** Requests of up to this size are copied to the caller's buffer, so that the answer can be written straight into the entry. */
enum { COPIED = 8192 };

static int32_t offsetOf(const uint8_t *at) {
  return (int32_t)(at - arena.base);
}

/** A request in one piece. `inbox` has room for what is copied, `outbox` for the answer to what is not. */
static void deliver(struct Entry *entry, struct Event *event, uint8_t *inbox, int32_t outbox) {
  uint32_t length, payload = entry->payloadSize;
  memcpy(&length, entry->inOut, sizeof length);
  // What does not add up goes on as a header alone, whose length then is wrong: the decoder says so to the caller.
  bool sound = payload <= entry->capacity && length >= IN_HEADER + payload && length - IN_HEADER - payload <= OP_IN;
  uint32_t fixed = sound ? length - IN_HEADER - payload : 0;
  if (!sound) payload = 0;
  bool inPlace = payload > COPIED;
  uint8_t *request = inPlace ? payloadOf(entry) - fixed - IN_HEADER : inbox;
  memcpy(request, entry->inOut, IN_HEADER);
  memcpy(request + IN_HEADER, entry->opIn, fixed);
  if (!inPlace) memcpy(request + IN_HEADER + fixed, payloadOf(entry), payload);
  event->request = offsetOf(request);
  event->length = (int32_t)(IN_HEADER + fixed + payload);
  event->reply = inPlace ? outbox : offsetOf(payloadOf(entry)) - OUT_HEADER;
  event->capacity = (int32_t)entry->capacity + OUT_HEADER;
}

/** Submits what is queued and waits for a completion. 0: there may be one; -ETIME; or another negative errno. */
static int32_t await(int32_t timeoutMs) {
  struct Timespec limit = {timeoutMs / 1000, timeoutMs % 1000 * 1000000LL};
  struct GetEventsArg extended = {.timeout = (uint64_t)(uintptr_t)&limit};
  int32_t sent = timeoutMs < 0 ? enter(ring.unsent, 1, ENTER_GETEVENTS, NULL, 0)
                               : enter(ring.unsent, 1, ENTER_GETEVENTS | ENTER_EXT_ARG, &extended, sizeof extended);
  if (sent >= 0) ring.unsent -= (uint32_t)sent;
  return sent == -EAGAIN || sent == -EBUSY || sent > 0 ? 0 : sent;
}

/**
 * Sends what is queued as a thread of the lowest class. Whom an answer wakes up is then let run here at once, as on an idle CPU, instead of on another one
 * that is idle; we go on when it waits again.
 */
static int32_t submitBehind(void) {
  const struct sched_param none = {0};
  if (sched_setscheduler(0, SCHED_IDLE, &none) < 0) return -errno;
  int32_t error = submit();
  return sched_setscheduler(0, SCHED_OTHER, &none) < 0 ? -errno : error;
}

int32_t call_ringNext(const int32_t *arg) {
  ALIGNED(out, arg[0], sizeof(struct Event), 4);
  BYTES(inbox, arg[1], IN_HEADER + OP_IN + COPIED);
  if (!ring.open) return -EBADF;
  if (ring.unsent >= MOST_UNSENT) {
    int32_t error = submit();
    if (error < 0) return error;
  }
  uint32_t head = atomic_load_explicit(ring.cqHead, memory_order_relaxed);
  while (head == atomic_load_explicit(ring.cqTail, memory_order_acquire)) {
    int32_t error = arg[4] && ring.unsent > 0 ? submitBehind() : await(arg[3]);
    if (error == -ETIME || error == -EINTR) return 0;
    if (error < 0) return error;
  }
  const struct io_uring_cqe *cqe = &ring.cqes[head & ring.cqMask];
  struct Event event = {.tag = (int32_t)cqe->user_data, .result = cqe->res};
  atomic_store_explicit(ring.cqHead, head + 1, memory_order_release);
  if (event.tag >= RING_TAGS && event.result >= 0) {
    ENTRY(entry, event.tag);
    deliver(entry, &event, inbox, arg[2]);
  }
  memcpy(out, &event, sizeof event);
  return 1;
}

// ---- whether it can be -----------------------------------------------------------------------------------------------------------------

int32_t call_ringProbe(const int32_t *arg) {
  (void)arg;
  if (ring.open) return 0;
  int32_t error = openRing(8, 16);
  closeRing();
  return error;
}

/** A registration that cannot be right: the kernel takes it for a sign that the server has no rings (fuse_uring_cmd). */
int32_t call_ringRefuse(const int32_t *arg) {
  if (ring.open) return -EEXIST;
  int32_t error = openRing(8, 16);
  if (error >= 0) {
    struct Sqe *sqe = nextSqe();
    sqe->opcode = OP_URING_CMD;
    sqe->fd = arg[0];
    sqe->off = CMD_REGISTER;
    error = submit();
  }
  closeRing();
  return error;
}

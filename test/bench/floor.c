/*
 * The least that a FUSE server costs: it has a tree in memory, read-only, and every answer ready. What a row of `make bench` takes on it is the kernel's
 * part and that of two context switches a request, which no server is spared; the rest of what plyfs takes is plyfs.
 *
 *   floor TREE POINT       mounts TREE's names and attributes (no contents) on POINT, and returns; it ends with the mount
 *
 * Over io_uring: a thread for each CPU, pinned, with the kernel's queue of that CPU, and of class SCHED_IDLE, so that the scheduler leaves whom an answer wakes
 * up on that CPU (daemon/engine/wandering.ts). A plain server over the device is no floor: where its threads and its caller chase each other over the CPUs
 * it is slower than plyfs.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <unistd.h>

static void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "floor: ");
  vfprintf(stderr, format, args);
  fprintf(stderr, "\n");
  exit(1);
}

static void *need(void *memory) {
  if (!memory || memory == MAP_FAILED) die("no memory");
  return memory;
}

/* --- the tree -------------------------------------------------------------------------------------------------------------------------- */

/* Node ids count from 1, the root's (FUSE_ROOT_ID). A directory's children are in one piece. */
struct node {
  struct fuse_entry_out entry;
  const char *name;
  uint32_t length, parent, first, children;
};

static struct node *nodes;
static uint32_t count, room;
static uint32_t *slots, mask; /* by parent and name; 0: free */

enum { FOREVER = 1 << 30 };

static uint32_t hash(uint32_t parent, const char *name, size_t length) {
  uint32_t value = 2166136261u ^ parent * 2654435761u;
  for (size_t i = 0; i < length; i++) value = (value ^ (uint8_t)name[i]) * 16777619u;
  return value;
}

static uint32_t add(uint32_t parent, const char *name, const struct stat *st) {
  if (count + 1 >= room) nodes = need(realloc(nodes, (room = room ? room * 2 : 4096) * sizeof *nodes));
  struct node *node = &nodes[++count];
  *node = (struct node){.name = need(strdup(name)), .length = (uint32_t)strlen(name), .parent = parent};
  node->entry = (struct fuse_entry_out){.nodeid = count, .entry_valid = FOREVER, .attr_valid = FOREVER};
  node->entry.attr = (struct fuse_attr){
      .ino = st->st_ino, .size = (uint64_t)st->st_size, .blocks = (uint64_t)st->st_blocks, .mode = st->st_mode, .nlink = (uint32_t)st->st_nlink,
      .uid = st->st_uid, .gid = st->st_gid, .blksize = 4096, .mtime = (uint64_t)st->st_mtim.tv_sec, .mtimensec = (uint32_t)st->st_mtim.tv_nsec,
      .atime = (uint64_t)st->st_atim.tv_sec, .ctime = (uint64_t)st->st_ctim.tv_sec};
  return count;
}

static void load(int fd, uint32_t id) {
  DIR *directory = fdopendir(fd);
  if (!directory) die("cannot read a directory: %s", strerror(errno));
  nodes[id].first = count + 1;
  for (struct dirent *entry; (entry = readdir(directory));) {
    struct stat st;
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) die("%s: %s", entry->d_name, strerror(errno));
    add(id, entry->d_name, &st);
  }
  nodes[id].children = count + 1 - nodes[id].first;
  for (uint32_t child = nodes[id].first, end = child + nodes[id].children; child < end; child++) {
    if (!S_ISDIR(nodes[child].entry.attr.mode)) continue;
    int below = openat(fd, nodes[child].name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (below < 0) die("%s: %s", nodes[child].name, strerror(errno));
    load(below, child);
  }
  closedir(directory);
}

static void load_tree(const char *tree) {
  struct stat st;
  int fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &st) < 0) die("%s: %s", tree, strerror(errno));
  load(fd, add(0, "", &st));
  for (mask = 1; mask < count * 2; mask *= 2) continue;
  slots = need(calloc(mask--, sizeof *slots));
  for (uint32_t id = 2; id <= count; id++) {
    uint32_t at = hash(nodes[id].parent, nodes[id].name, nodes[id].length) & mask;
    while (slots[at]) at = (at + 1) & mask;
    slots[at] = id;
  }
}

/* --- answers --------------------------------------------------------------------------------------------------------------------------- */

enum { PAGES = 32, BUFFER = PAGES * 4096, REQUEST = BUFFER + 4096, OVER_URING = 1 << 9 /* in flags2 */ };

static int greeted;

static size_t init(const struct fuse_init_in *in, struct fuse_init_out *out) {
  const uint32_t wanted = FUSE_ASYNC_READ | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | FUSE_NO_OPENDIR_SUPPORT |
                          FUSE_EXPLICIT_INVAL_DATA | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_INIT_EXT;
  *out = (struct fuse_init_out){.major = FUSE_KERNEL_VERSION, .minor = in->minor, .max_readahead = in->max_readahead, .flags = in->flags & wanted};
  out->flags2 = in->flags2 & OVER_URING;
  out->max_background = 64;
  out->congestion_threshold = 48;
  out->max_write = BUFFER;
  out->max_pages = PAGES;
  out->time_gran = 1;
  greeted = 1;
  return sizeof *out;
}

/* A name that is not there is remembered as well. */
static size_t lookup(uint32_t parent, const char *name, struct fuse_entry_out *out) {
  size_t length = strlen(name);
  for (uint32_t at = hash(parent, name, length) & mask; slots[at]; at = (at + 1) & mask) {
    const struct node *node = &nodes[slots[at]];
    if (node->parent != parent || node->length != length || memcmp(node->name, name, length)) continue;
    *out = node->entry;
    return sizeof *out;
  }
  *out = (struct fuse_entry_out){.entry_valid = FOREVER};
  return sizeof *out;
}

/* Cookies count the children from 1; "." and ".." are not shown. */
static size_t list(const struct node *directory, const struct fuse_read_in *in, int plus, uint8_t *out) {
  size_t filled = 0;
  for (uint64_t at = in->offset; at < directory->children; at++) {
    const struct node *node = &nodes[directory->first + at];
    size_t before = plus ? sizeof node->entry : 0, size = FUSE_DIRENT_ALIGN(before + FUSE_NAME_OFFSET + node->length);
    if (filled + size > in->size) break;
    if (plus) memcpy(out + filled, &node->entry, before);
    struct fuse_dirent *entry = (struct fuse_dirent *)(out + filled + before);
    *entry = (struct fuse_dirent){.ino = node->entry.attr.ino, .off = at + 1, .namelen = node->length, .type = node->entry.attr.mode >> 12};
    memcpy(entry->name, node->name, node->length);
    filled += size;
  }
  return filled;
}

enum { NO_ANSWER = -1 };

/* The size of the answer, or NO_ANSWER; 0 with a negative errno in *error. `rest` is what comes after the fixed structure of the request. */
static long answer(const struct fuse_in_header *header, const void *fixed, const char *rest, uint8_t *out, int *error) {
  const struct node *node = header->nodeid <= count ? &nodes[header->nodeid] : NULL;
  *error = 0;
  switch (header->opcode) {
  case FUSE_INIT: return (long)init(fixed, (struct fuse_init_out *)out);
  case FUSE_LOOKUP: return (long)lookup((uint32_t)header->nodeid, rest, (struct fuse_entry_out *)out);
  case FUSE_GETATTR:
    if (!node) break;
    *(struct fuse_attr_out *)out = (struct fuse_attr_out){.attr_valid = FOREVER, .attr = node->entry.attr};
    return sizeof(struct fuse_attr_out);
  case FUSE_READDIR:
  case FUSE_READDIRPLUS:
    if (!node) break;
    return (long)list(node, fixed, header->opcode == FUSE_READDIRPLUS, out);
  case FUSE_STATFS: memset(out, 0, sizeof(struct fuse_statfs_out)); return sizeof(struct fuse_statfs_out);
  case FUSE_FORGET:
  case FUSE_BATCH_FORGET: return NO_ANSWER;
  default: break;
  }
  *error = node ? -ENOSYS : -ESTALE;
  return 0;
}

/* --- over the device ------------------------------------------------------------------------------------------------------------------- */

static int device;

/* Waits for a request and serves it. 0: the kernel has let go of the mount. */
static int serve_device(uint8_t *request, uint8_t *reply) {
  ssize_t length = read(device, request, REQUEST);
  if (length < 0) return errno == EINTR || errno == ENOENT;
  const struct fuse_in_header *header = (const void *)request;
  const uint8_t *body = request + sizeof *header;
  struct fuse_out_header *out = (void *)reply;
  long size = answer(header, body, (const char *)body, reply + sizeof *out, &out->error);
  if (size == NO_ANSWER) return 1;
  out->len = (uint32_t)(sizeof *out + (size_t)size);
  out->unique = header->unique;
  if (write(device, reply, out->len) < 0 && errno != ENOENT) return 0;
  return 1;
}

static int ready[2];

static void begin(int cpu) {
  const struct sched_param none = {0};
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) < 0 || sched_setscheduler(0, SCHED_IDLE, &none) < 0) _exit(1);
}

/* Whoever has started us waits for all threads. */
static void say_ready(void) {
  if (write(ready[1], "", 1) != 1) _exit(1);
}

/* --- over io_uring: what <linux/fuse.h> and <linux/io_uring.h> say since 6.14 ------------------------------------------------------------ */

enum { CMD_REGISTER = 1, CMD_COMMIT_AND_FETCH = 2, URING_CMD = 46, SQE_BYTES = 128, SQES = 64 };

struct entry {
  uint8_t in_out[128], op_in[128];
  uint64_t flags, commit_id;
  uint32_t payload_size, padding;
  uint64_t reserved;
  /* ours */
  struct iovec iov[2];
  uint32_t queue;
  uint8_t *payload;
};

struct command {
  uint64_t flags, commit_id;
  uint16_t queue;
  uint8_t padding[6];
};

struct ring {
  int fd;
  uint8_t *sqes;
  _Atomic uint32_t *sq_tail, *cq_head, *cq_tail;
  uint32_t sq_mask, cq_mask, unsent;
  struct io_uring_cqe *cqes;
};

static void open_ring(struct ring *ring) {
  struct io_uring_params p = {.flags = 1 << 10 | 1 << 12 | 1 << 13}; /* SQE128, SINGLE_ISSUER, DEFER_TASKRUN */
  ring->fd = (int)syscall(SYS_io_uring_setup, SQES, &p);
  if (ring->fd < 0) _exit(1);
  size_t sq = p.sq_off.array + p.sq_entries * 4, cq = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
  uint8_t *rings = need(mmap(NULL, sq > cq ? sq : cq, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING));
  ring->sqes = need(mmap(NULL, p.sq_entries * SQE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQES));
  ring->sq_tail = (void *)(rings + p.sq_off.tail);
  ring->cq_head = (void *)(rings + p.cq_off.head);
  ring->cq_tail = (void *)(rings + p.cq_off.tail);
  ring->cqes = (void *)(rings + p.cq_off.cqes);
  ring->sq_mask = p.sq_entries - 1;
  ring->cq_mask = p.cq_entries - 1;
  for (uint32_t i = 0; i < p.sq_entries; i++) ((uint32_t *)(rings + p.sq_off.array))[i] = i;
}

static void submit(struct ring *ring, struct entry *entry, unsigned number) {
  uint32_t tail = atomic_load_explicit(ring->sq_tail, memory_order_relaxed);
  uint8_t *sqe = ring->sqes + (tail & ring->sq_mask) * SQE_BYTES;
  memset(sqe, 0, SQE_BYTES);
  struct io_uring_sqe *fields = (void *)sqe;
  fields->opcode = URING_CMD;
  fields->fd = device;
  fields->off = number;
  fields->user_data = (uint64_t)(uintptr_t)entry;
  if (number == CMD_REGISTER) {
    fields->addr = (uint64_t)(uintptr_t)entry->iov;
    fields->len = 2;
  }
  struct command command = {.commit_id = number == CMD_REGISTER ? 0 : entry->commit_id, .queue = (uint16_t)entry->queue};
  memcpy(sqe + 48, &command, sizeof command);
  atomic_store_explicit(ring->sq_tail, tail + 1, memory_order_release);
  ring->unsent++;
}

static void serve_entry(struct ring *ring, struct entry *entry) {
  struct fuse_in_header header;
  memcpy(&header, entry->in_out, sizeof header);
  struct fuse_out_header out = {.unique = entry->commit_id};
  char name[4096];
  if (header.opcode == FUSE_LOOKUP) snprintf(name, sizeof name, "%.*s", (int)entry->payload_size, (char *)entry->payload);
  long size = answer(&header, entry->op_in, name, entry->payload, &out.error);
  if (size == NO_ANSWER) size = 0;
  out.len = (uint32_t)(sizeof out + (size_t)size);
  memcpy(entry->in_out, &out, sizeof out);
  entry->payload_size = (uint32_t)size;
  submit(ring, entry, CMD_COMMIT_AND_FETCH);
}

static void *ring_thread(void *argument) {
  int cpu = (int)(intptr_t)argument;
  begin(cpu);
  struct ring ring = {0};
  open_ring(&ring);
  for (int queue = cpu; queue < get_nprocs_conf(); queue += get_nprocs()) {
    struct entry *entry = need(aligned_alloc(4096, 4096 + BUFFER));
    memset(entry, 0, sizeof *entry);
    entry->payload = (uint8_t *)entry + 4096;
    entry->queue = (uint32_t)queue;
    entry->iov[0] = (struct iovec){entry, offsetof(struct entry, iov)};
    entry->iov[1] = (struct iovec){entry->payload, BUFFER};
    submit(&ring, entry, CMD_REGISTER);
  }
  say_ready();
  for (;;) {
    long sent = syscall(SYS_io_uring_enter, ring.fd, ring.unsent, 1, IORING_ENTER_GETEVENTS, NULL, 0);
    if (sent < 0 && errno != EINTR && errno != EAGAIN && errno != EBUSY) _exit(1);
    if (sent > 0) ring.unsent -= (uint32_t)sent;
    uint32_t head = atomic_load_explicit(ring.cq_head, memory_order_relaxed);
    for (; head != atomic_load_explicit(ring.cq_tail, memory_order_acquire); head++) {
      const struct io_uring_cqe *cqe = &ring.cqes[head & ring.cq_mask];
      if (cqe->res < 0) _exit(0); /* the mount's end */
      serve_entry(&ring, (struct entry *)(uintptr_t)cqe->user_data);
    }
    atomic_store_explicit(ring.cq_head, head, memory_order_release);
  }
}

/* --- the mount ------------------------------------------------------------------------------------------------------------------------- */

/* INIT, FORGET and INTERRUPT come over the device always. */
static void serve(void) {
  uint8_t *buffers = need(aligned_alloc(4096, REQUEST * 2));
  while (!greeted) {
    if (!serve_device(buffers, buffers + REQUEST)) _exit(1);
  }
  for (int cpu = 0; cpu < get_nprocs(); cpu++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, ring_thread, (void *)(intptr_t)cpu)) _exit(1);
  }
  while (serve_device(buffers, buffers + REQUEST)) continue;
  _exit(0);
}

int main(int argc, char **argv) {
  if (argc != 3) die("it takes TREE POINT");
  load_tree(argv[1]);
  device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (device < 0) die("/dev/fuse: %s", strerror(errno));
  char options[128];
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", device);
  if (mount("floor", argv[2], "fuse.floor", MS_NODEV | MS_NOSUID, options) < 0) die("mounting on %s: %s", argv[2], strerror(errno));
  if (pipe(ready) < 0) die("pipe: %s", strerror(errno));
  pid_t child = fork();
  if (child < 0) die("fork: %s", strerror(errno));
  if (child > 0) {
    close(ready[1]);
    for (int cpu = 0; cpu < get_nprocs(); cpu++) {
      char byte;
      if (read(ready[0], &byte, 1) != 1) die("the server has ended");
    }
    return 0;
  }
  setsid();
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  serve();
}

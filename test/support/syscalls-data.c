/* Operations on a file's contents: reading, writing, holes, mappings, locks. */
#include "syscalls.h"
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

long long open_flags_of(const struct call *);

/* The descriptor of fd=, or a new one of path= (then *opened) */
static int reach(const struct call *c, int flags, bool *opened) {
  *opened = !find_arg(c, "fd");
  if (!*opened) return directory_of(c, "fd");
  return openat(directory_of(c, "at"), text(c, "path", NULL), flags | (int)open_flags_of(c) | O_CLOEXEC, 0644);
}

/* O_DIRECT wants aligned memory */
static void *buffer(size_t length) {
  void *p = NULL;
  if (posix_memalign(&p, 4096, length + 4096)) broken("out of memory");
  return p;
}

static void describe(const struct call *c, const char *bytes, size_t n) {
  field("n", "%zu", n);
  if (n <= 512 || flag(c, "full")) {
    field_bytes("data", bytes, n);
    return;
  }
  struct hash h;
  hash_init(&h), hash_add(&h, bytes, n);
  field("hash", "%016llx", (unsigned long long)hash_value(&h));
}

static int do_read(const struct call *c) {
  bool opened;
  int fd = reach(c, O_RDONLY, &opened);
  if (fd < 0) return result_of(opened ? fd : (errno = EBADF, -1));
  struct stat s;
  size_t length = find_arg(c, "len") ? (size_t)number(c, "len", 0) : !fstat(fd, &s) && S_ISREG(s.st_mode) ? (size_t)s.st_size + 1 : 65536, done = 0;
  long long offset = number(c, "off", -1);
  char *bytes = buffer(length);
  ssize_t n = 0;
  int result = 0;
  while (done < length) { /* one call is not always all: a short count that is no end of file is legal */
    n = offset < 0 ? read(fd, bytes + done, length - done) : pread(fd, bytes + done, length - done, offset + (off_t)done);
    if (n <= 0) break;
    done += (size_t)n;
    if (flag(c, "once")) break;
  }
  if (n < 0) result = -errno;
  if (!result || done) describe(c, bytes, done), result = 0;
  free(bytes);
  if (opened) close(fd);
  return result;
}

static int do_write(const struct call *c) {
  bool opened;
  int fd = reach(c, O_WRONLY, &opened);
  if (fd < 0) return result_of(opened ? fd : (errno = EBADF, -1));
  const struct arg *data = find_arg(c, "data");
  long long offset = number(c, "off", -1), seed = number(c, "pattern", 0);
  size_t length = data ? data->length : (size_t)number(c, "len", 0);
  char *bytes = buffer(length);
  if (data) memcpy(bytes, data->value, length);
  else
    for (size_t i = 0; i < length; i++) {
      unsigned long long at = (unsigned long long)(offset < 0 ? 0 : offset) + i;
      bytes[i] = (char)(at * 31 + (at >> 8) * 7 + (unsigned long long)seed * 17);
    }
  ssize_t n = offset < 0 ? write(fd, bytes, length) : pwrite(fd, bytes, length, offset);
  int result = result_of(n);
  free(bytes);
  if (opened && close(fd) && !result) result = -errno;
  if (!result) field("n", "%zd", n);
  return result;
}

static const struct word whences[] = {{"SET", SEEK_SET}, {"CUR", SEEK_CUR}, {"END", SEEK_END}, {"DATA", SEEK_DATA}, {"HOLE", SEEK_HOLE}, {0}};

/* file=1: positions in a directory mean nothing and are not to be compared */
static bool unwanted(const struct call *c, int fd) {
  struct stat s;
  return flag(c, "file") && !fstat(fd, &s) && S_ISDIR(s.st_mode);
}

static int do_lseek(const struct call *c) {
  if (unwanted(c, directory_of(c, "fd"))) return -EISDIR;
  off_t at = lseek(directory_of(c, "fd"), number(c, "off", 0), (int)words(c, "whence", whences, SEEK_SET));
  if (at >= 0) field("off", "%lld", (long long)at);
  return result_of(at);
}

static int do_segments(const struct call *c) {
  bool opened;
  int fd = reach(c, O_RDONLY | O_NONBLOCK, &opened), result = 0; /* a FIFO has no segments, and must not block */
  if (fd < 0) return result_of(opened ? fd : (errno = EBADF, -1));
  if (unwanted(c, fd)) return opened ? close(fd) : 0, -EISDIR;
  for (off_t hole = 0, data; (data = lseek(fd, hole, SEEK_DATA)) >= 0;) {
    if ((hole = lseek(fd, data, SEEK_HOLE)) <= data) break; /* a device answers 0 for ever */
    field("start", "%lld", (long long)data), field("end", "%lld", (long long)hole), end_row();
  }
  if (errno != ENXIO) result = -errno;
  if (opened) close(fd);
  return result;
}

static const struct word fallocate_modes[] = {
  {"KEEP_SIZE", 1}, {"PUNCH_HOLE", 2}, {"COLLAPSE_RANGE", 8}, {"ZERO_RANGE", 16}, {"INSERT_RANGE", 32}, {"UNSHARE_RANGE", 64}, {0}};

static int do_fallocate(const struct call *c) {
  return result_of(fallocate(directory_of(c, "fd"), (int)words(c, "mode", fallocate_modes, 0), number(c, "off", 0), number(c, "len", 0)));
}

static int do_copyrange(const struct call *c) {
  loff_t from = number(c, "off", 0), to = number(c, "tooff", 0);
  ssize_t n = copy_file_range(directory_of(c, "fd"), find_arg(c, "off") ? &from : NULL, directory_of(c, "tofd"), find_arg(c, "tooff") ? &to : NULL,
                              (size_t)number(c, "len", 0), 0);
  if (n >= 0) field("n", "%zd", n);
  return result_of(n);
}

static int do_sendfile(const struct call *c) {
  off_t from = number(c, "off", 0);
  ssize_t n = sendfile(directory_of(c, "tofd"), directory_of(c, "fd"), find_arg(c, "off") ? &from : NULL, (size_t)number(c, "len", 0));
  if (n >= 0) field("n", "%zd", n);
  return result_of(n);
}

static int do_fsync(const struct call *c) { return result_of(fsync(directory_of(c, "fd"))); }
static int do_fdatasync(const struct call *c) { return result_of(fdatasync(directory_of(c, "fd"))); }
static int do_syncfs(const struct call *c) { return result_of(syncfs(directory_of(c, "fd"))); }

/* -- mappings -- */
static struct {
  char name[16];
  char *base;
  size_t length;
} maps[64];

static int map_slot(const char *name) {
  for (int i = 0; i < 64; i++)
    if (!strcmp(maps[i].name, name)) return i;
  return -1;
}

/* A forked process starts without mappings, as without descriptors. */
void forget_maps(void) {
  for (int i = 0; i < 64; i++)
    if (maps[i].name[0]) munmap(maps[i].base, maps[i].length), maps[i].name[0] = 0;
}

static const struct word protections[] = {{"READ", PROT_READ}, {"WRITE", PROT_WRITE}, {"EXEC", PROT_EXEC}, {0}};

static int do_mmap(const struct call *c) {
  const char *name = text(c, "map", NULL);
  int i = map_slot("");
  if (i < 0 || map_slot(name) >= 0 || strlen(name) > 15) broken("mmap: bad name %s", name);
  size_t length = (size_t)number(c, "len", 4096);
  char *base = mmap(NULL, length, (int)words(c, "prot", protections, PROT_READ), flag(c, "private") ? MAP_PRIVATE : MAP_SHARED, directory_of(c, "fd"),
                    number(c, "off", 0));
  if (base == MAP_FAILED) return -errno;
  strcpy(maps[i].name, name), maps[i].base = base, maps[i].length = length;
  return 0;
}

/* A mapping that could not be made is an outcome (EFAULT), a range outside it a mistake. */
static char *map_range(const struct call *c, size_t length, int *i) {
  *i = map_slot(text(c, "map", NULL));
  size_t offset = (size_t)number(c, "off", 0);
  if (*i < 0) return NULL;
  if (offset + length > maps[*i].length) broken("%s: outside the mapping", c->verb);
  return maps[*i].base + offset;
}

static int do_mread(const struct call *c) {
  int i;
  size_t length = (size_t)number(c, "len", 16);
  char *from = map_range(c, length, &i), *copy = malloc(length);
  if (!from) return free(copy), -EFAULT;
  for (size_t n = 0; n < length; n++) copy[n] = ((volatile char *)from)[n];
  describe(c, copy, length);
  free(copy);
  return 0;
}

static int do_mwrite(const struct call *c) {
  int i;
  const struct arg *data = find_arg(c, "data");
  if (!data) broken("mwrite: data= is missing");
  char *to = map_range(c, data->length, &i);
  if (!to) return -EFAULT;
  for (size_t n = 0; n < data->length; n++) ((volatile char *)to)[n] = data->value[n];
  return 0;
}

static int do_msync(const struct call *c) {
  int i;
  if (!map_range(c, 0, &i)) return -EFAULT;
  return result_of(msync(maps[i].base, maps[i].length, MS_SYNC));
}

static int do_munmap(const struct call *c) {
  int i;
  if (!map_range(c, 0, &i)) return -EFAULT;
  maps[i].name[0] = 0;
  return result_of(munmap(maps[i].base, maps[i].length));
}

/* -- locks -- */
static int do_flock(const struct call *c) {
  static const struct word kinds[] = {{"sh", LOCK_SH}, {"ex", LOCK_EX}, {"un", LOCK_UN}, {0}};
  return result_of(flock(directory_of(c, "fd"), (int)words(c, "kind", kinds, LOCK_EX) | (flag(c, "wait") ? 0 : LOCK_NB)));
}

static struct flock lock_of(const struct call *c) {
  const char *kind = text(c, "kind", "wr");
  return (struct flock){.l_type = !strcmp(kind, "rd") ? F_RDLCK : !strcmp(kind, "wr") ? F_WRLCK : F_UNLCK, .l_whence = SEEK_SET,
                        .l_start = number(c, "start", 0), .l_len = number(c, "len", 0)};
}

static int do_lock(const struct call *c) {
  struct flock lock = lock_of(c);
  int command = flag(c, "ofd") ? (flag(c, "wait") ? F_OFD_SETLKW : F_OFD_SETLK) : flag(c, "wait") ? F_SETLKW : F_SETLK;
  return result_of(fcntl(directory_of(c, "fd"), command, &lock));
}

static int do_getlock(const struct call *c) {
  struct flock lock = lock_of(c);
  int result = result_of(fcntl(directory_of(c, "fd"), flag(c, "ofd") ? F_OFD_GETLK : F_GETLK, &lock));
  if (result) return result;
  field("kind", "%s", lock.l_type == F_UNLCK ? "un" : lock.l_type == F_RDLCK ? "rd" : "wr");
  if (lock.l_type != F_UNLCK) field("start", "%lld", (long long)lock.l_start), field("len", "%lld", (long long)lock.l_len);
  return 0;
}

const struct verb data_verbs[] = {
  {"read", do_read, "fd path at off len flags full once"},
  {"write", do_write, "fd path at off len flags data pattern"},
  {"lseek", do_lseek, "fd off whence file"},
  {"segments", do_segments, "fd path at file"},
  {"fallocate", do_fallocate, "fd mode off len"},
  {"copyrange", do_copyrange, "fd tofd off tooff len"},
  {"sendfile", do_sendfile, "fd tofd off len"},
  {"fsync", do_fsync, "fd"},
  {"fdatasync", do_fdatasync, "fd"},
  {"syncfs", do_syncfs, "fd"},
  {"mmap", do_mmap, "map fd len off prot private"},
  {"mread", do_mread, "map off len full"},
  {"mwrite", do_mwrite, "map off data"},
  {"msync", do_msync, "map"},
  {"munmap", do_munmap, "map"},
  {"flock", do_flock, "fd kind wait"},
  {"lock", do_lock, "fd kind start len ofd wait"},
  {"getlock", do_getlock, "fd kind start len ofd"},
  {0},
};

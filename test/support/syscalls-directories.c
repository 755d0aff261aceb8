/* Reading directories: sorted listings, raw getdents64 with cookies, and the check that every cookie can be gone back to. */
#include "syscalls.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct entry {
  char *name;
  uint64_t ino;
  int64_t cookie;
  unsigned char type;
};
struct listing {
  struct entry *entries;
  size_t count, capacity;
};

static char letter(unsigned char type) { return "?pc?d?b?f?l?s?w"[type < 15 ? type : 0]; }
static bool is_dot(const char *name) { return !strcmp(name, ".") || !strcmp(name, ".."); }

static void free_listing(struct listing *l) {
  for (size_t i = 0; i < l->count; i++) free(l->entries[i].name);
  free(l->entries);
}

/* One getdents64 call; returns its result, entries appended. */
static long read_some(int fd, size_t size, struct listing *l) {
  _Alignas(8) static char bytes[1 << 20];
  long n = syscall(SYS_getdents64, fd, bytes, size < sizeof bytes ? size : sizeof bytes);
  for (long at = 0; at < n;) {
    const struct dirent64 *d = (const void *)(bytes + at);
    if (l->count == l->capacity) l->entries = realloc(l->entries, (l->capacity = l->capacity * 2 + 64) * sizeof *l->entries);
    if (!l->entries) broken("out of memory");
    l->entries[l->count++] = (struct entry){strdup(d->d_name), d->d_ino, d->d_off, d->d_type};
    at += d->d_reclen;
  }
  return n < 0 ? -errno : n;
}

static int read_all(int fd, size_t size, struct listing *l) {
  long n;
  while ((n = read_some(fd, size, l)) > 0) {}
  return (int)n;
}

static int by_name(const void *a, const void *b) { return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name); }

/* A descriptor of its own: of path=, or a new one of fd='s directory, or with own=1 fd='s open file itself, read again from the start */
static int reach(const struct call *c) {
  if (flag(c, "own")) {
    int fd = fcntl(directory_of(c, "fd"), F_DUPFD_CLOEXEC, 3);
    if (fd >= 0) lseek(fd, 0, SEEK_SET);
    return fd;
  }
  if (find_arg(c, "fd")) return openat(directory_of(c, "fd"), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return openat(directory_of(c, "at"), text(c, "path", NULL), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int do_list(const struct call *c) {
  int fd = reach(c);
  if (fd < 0) return -errno;
  struct listing l = {0};
  int result = read_all(fd, (size_t)number(c, "size", 65536), &l);
  if (l.count) qsort(l.entries, l.count, sizeof *l.entries, by_name);
  for (size_t i = 0; i < l.count && !result; i++) {
    const struct entry *e = &l.entries[i];
    if (is_dot(e->name) && !flag(c, "dots")) continue;
    field_bytes("name", e->name, strlen(e->name));
    field("type", "%c", letter(e->type));
    if (flag(c, "ino")) {
      struct stat s;
      field("ino", "%llu", (unsigned long long)e->ino);
      if (!fstatat(fd, e->name, &s, AT_SYMLINK_NOFOLLOW)) field("st", "%llu", (unsigned long long)s.st_ino);
    }
    end_row();
  }
  free_listing(&l), close(fd);
  return result;
}

/* -- cookies -- */
static struct {
  char name[16];
  int64_t cookie;
} kept[32];

static int64_t *kept_cookie(const char *name) {
  for (int i = 0; i < 32; i++) {
    if (!kept[i].name[0]) snprintf(kept[i].name, sizeof kept[i].name, "%s", name);
    if (!strcmp(kept[i].name, name)) return &kept[i].cookie;
  }
  broken("too many cookies");
}

static int do_getdents(const struct call *c) {
  struct listing l = {0};
  long n = read_some(directory_of(c, "fd"), (size_t)number(c, "size", 65536), &l);
  for (size_t i = 0; i < l.count; i++) {
    if (is_dot(l.entries[i].name) && !flag(c, "dots")) continue;
    field_bytes("name", l.entries[i].name, strlen(l.entries[i].name)), field("type", "%c", letter(l.entries[i].type)), end_row();
  }
  if (l.count && find_arg(c, "keep")) *kept_cookie(text(c, "keep", NULL)) = l.entries[l.count - 1].cookie;
  free_listing(&l);
  return n < 0 ? (int)n : 0;
}

static int do_seekdir(const struct call *c) {
  return result_of(lseek(directory_of(c, "fd"), find_arg(c, "keep") ? *kept_cookie(text(c, "keep", NULL)) : 0, SEEK_SET));
}

static int do_seekcheck(const struct call *c) {
  int fd = reach(c);
  if (fd < 0) return -errno;
  size_t size = (size_t)number(c, "size", 1024);
  struct listing l = {0};
  int result = read_all(fd, size, &l);
  size_t step = l.count > 600 ? l.count / 300 : 1; /* a large directory: a sample */
  for (size_t i = 0; i + 1 < l.count && !result; i += step) {
    struct listing after = {0};
    if (lseek(fd, l.entries[i].cookie, SEEK_SET) < 0) result = -errno;
    else {
      long n = read_some(fd, size, &after);
      if (n < 0) result = (int)n;
      else if (!after.count || strcmp(after.entries[0].name, l.entries[i + 1].name)) {
        field_bytes("at", l.entries[i].name, strlen(l.entries[i].name));
        result = -EBADMSG;
      }
    }
    free_listing(&after);
  }
  if (!result) field("count", "%zu", l.count);
  free_listing(&l), close(fd);
  return result;
}

const struct verb directory_verbs[] = {
  {"list", do_list, "fd path at ino dots size own"},
  {"getdents", do_getdents, "fd size keep dots"},
  {"seekdir", do_seekdir, "fd keep"},
  {"seekcheck", do_seekcheck, "fd path at size"},
  {0},
};

/*
 * Whole trees: `manifest` and `remove`.
 *
 * manifest path= → for every file, depth first, names in byte order (the directory itself is "."), a row
 *   path type mode uid gid [nlink] [size] [rdev] mtime [target] [hash] [group] [x.NAME=VALUE]* [ino]
 * size, hash: regular files; rdev: devices; target: symlinks; nlink: all but directories; group: the first path of the hard-link group
 * of a file with nlink > 1. xattrs in the order of their names, without the overlays' private ones unless private=1, a value above 64
 * bytes as #HASH. hash=0, xattrs=0 leave that out; ino=1 adds it. An error of one file is a field error=ERRNO of its row.
 */
#include "syscalls.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

struct walk {
  bool contents, xattrs, private, ino;
  uint64_t count;
  struct {
    dev_t dev;
    ino_t ino;
    char *path;
  } *groups;
  size_t group_count, group_capacity; /* open addressing */
};

static const char *group_of(struct walk *w, const struct stat *s, const char *path) {
  if (w->group_count * 2 >= w->group_capacity) {
    struct walk old = *w;
    w->group_capacity = old.group_capacity ? old.group_capacity * 2 : 1024;
    if (!(w->groups = calloc(w->group_capacity, sizeof *w->groups))) broken("out of memory");
    for (size_t i = 0; i < old.group_capacity; i++)
      if (old.groups[i].path) {
        size_t at = old.groups[i].ino * 0x9E3779B185EBCA87 >> 20 & (w->group_capacity - 1);
        while (w->groups[at].path) at = (at + 1) & (w->group_capacity - 1);
        w->groups[at] = old.groups[i];
      }
    free(old.groups);
  }
  size_t at = s->st_ino * 0x9E3779B185EBCA87 >> 20 & (w->group_capacity - 1);
  for (; w->groups[at].path; at = (at + 1) & (w->group_capacity - 1))
    if (w->groups[at].ino == s->st_ino && w->groups[at].dev == s->st_dev) return w->groups[at].path;
  w->groups[at].dev = s->st_dev, w->groups[at].ino = s->st_ino, w->groups[at].path = strdup(path), w->group_count++;
  return w->groups[at].path;
}

static void fail(int error) { field("error", "%s", strerrorname_np(error)); }

static void print_hash(int dirfd, const char *name) {
  static char bytes[1 << 18];
  int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return fail(errno);
  struct hash h;
  hash_init(&h);
  ssize_t n;
  while ((n = read(fd, bytes, sizeof bytes)) > 0) hash_add(&h, bytes, (size_t)n);
  if (n < 0) fail(errno);
  else field("hash", "%016llx", (unsigned long long)hash_value(&h));
  close(fd);
}

static bool is_private(const char *name) {
  return !strncmp(name, "trusted.overlay.", 16) || !strncmp(name, "user.overlay.", 13) || !strncmp(name, "user.fuseoverlayfs.", 19) ||
         !strcmp(name, "security.selinux");
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void print_xattrs(const struct walk *w, int dirfd, const char *name) {
  static char list[65536], value[65536];
  char path[320], key[300], *names[1024];
  snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dirfd, name);
  ssize_t length = llistxattr(path, list, sizeof list);
  if (length < 0 && errno != EOPNOTSUPP) return fail(errno);
  size_t count = 0;
  for (char *p = list; p < list + length && count < 1024; p += strlen(p) + 1)
    if (w->private || !is_private(p)) names[count++] = p;
  if (count) qsort(names, count, sizeof *names, by_text);
  for (size_t i = 0; i < count; i++) {
    ssize_t n = lgetxattr(path, names[i], value, sizeof value);
    snprintf(key, sizeof key, "x.%s", names[i]);
    for (char *p = key; *p; p++)
      if (*p == ' ' || *p == '=' || *p == '\n') *p = '?';
    if (n < 0) fail(errno);
    else if (n <= 64) field_bytes(key, value, (size_t)n);
    else {
      struct hash h;
      hash_init(&h), hash_add(&h, value, (size_t)n);
      field(key, "#%016llx", (unsigned long long)hash_value(&h));
    }
  }
}

static void print_file(struct walk *w, int dirfd, const char *name, const char *path, const struct stat *s) {
  static const char types[] = "?pc?d?b?f?l?s???";
  w->count++;
  field_bytes("path", path, strlen(path));
  field("type", "%c", types[s->st_mode >> 12 & 15]);
  field("mode", "%04o", s->st_mode & 07777);
  field("uid", "%u", s->st_uid), field("gid", "%u", s->st_gid);
  field("mtime", "%lld.%09ld", (long long)s->st_mtim.tv_sec, s->st_mtim.tv_nsec);
  if (!S_ISDIR(s->st_mode)) field("nlink", "%lu", (unsigned long)s->st_nlink);
  if (S_ISREG(s->st_mode)) field("size", "%lld", (long long)s->st_size);
  if (S_ISCHR(s->st_mode) || S_ISBLK(s->st_mode)) field("rdev", "%u:%u", major(s->st_rdev), minor(s->st_rdev));
  if (S_ISLNK(s->st_mode)) {
    char target[4200];
    ssize_t n = readlinkat(dirfd, name, target, sizeof target);
    if (n < 0) fail(errno);
    else field_bytes("target", target, (size_t)n);
  }
  if (S_ISREG(s->st_mode) && w->contents) print_hash(dirfd, name);
  if (!S_ISDIR(s->st_mode) && s->st_nlink > 1) {
    const char *first = group_of(w, s, path);
    field_bytes("group", first, strlen(first));
  }
  if (w->xattrs) print_xattrs(w, dirfd, name);
  if (w->ino) field("ino", "%llu", (unsigned long long)s->st_ino);
  end_row();
}

/* The names in a directory, sorted; *error when it cannot be read to its end. */
static char **sorted_names(DIR *dir, size_t *count, int *error) {
  char **names = NULL;
  size_t capacity = 0;
  *count = 0;
  errno = 0;
  for (struct dirent *d; (d = readdir(dir)); errno = 0) {
    if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..")) continue;
    if (*count == capacity && !(names = realloc(names, (capacity = capacity * 2 + 32) * sizeof *names))) broken("out of memory");
    names[(*count)++] = strdup(d->d_name);
  }
  *error = errno;
  if (*count) qsort(names, *count, sizeof *names, by_text);
  return names;
}

enum { PATH_ROOM = 65536 };

static void failed_row(const char *path, int error) { field_bytes("path", path, strlen(path)), fail(error), end_row(); }

/* What is below the directory whose path is the first `length` bytes of `path` (0: the top). The rest of `path` is scratch. */
static void walk_directory(struct walk *w, int dirfd, const char *name, char *path, size_t length) {
  int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  if (!dir) {
    failed_row(length ? path : ".", errno);
    return;
  }
  size_t count;
  int error;
  char **names = sorted_names(dir, &count, &error);
  if (error) failed_row(length ? path : ".", error);
  for (size_t i = 0; i < count; i++) {
    struct stat s;
    if (length + strlen(names[i]) + 2 > PATH_ROOM) broken("manifest: path too long");
    size_t child = length + (size_t)sprintf(path + length, length ? "/%s" : "%s", names[i]);
    if (fstatat(fd, names[i], &s, AT_SYMLINK_NOFOLLOW)) failed_row(path, errno);
    else {
      print_file(w, fd, names[i], path, &s);
      if (S_ISDIR(s.st_mode)) walk_directory(w, fd, names[i], path, child);
    }
    free(names[i]);
  }
  path[length] = 0;
  free(names), closedir(dir);
}

static int do_manifest(const struct call *c) {
  static char path[PATH_ROOM];
  struct walk w = {.contents = number(c, "hash", 1), .xattrs = number(c, "xattrs", 1), .private = flag(c, "private"), .ino = flag(c, "ino")};
  int fd = openat(directory_of(c, "at"), text(c, "path", "."), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct stat s;
  if (fd < 0 || fstat(fd, &s)) return -errno;
  print_file(&w, fd, ".", ".", &s);
  walk_directory(&w, fd, ".", path, 0);
  for (size_t i = 0; i < w.group_capacity; i++) free(w.groups[i].path);
  free(w.groups), close(fd);
  field("count", "%llu", (unsigned long long)w.count);
  return 0;
}

static int remove_tree(int dirfd, const char *name) {
  if (!unlinkat(dirfd, name, 0)) return 0;
  if (errno != EISDIR && errno != EPERM) return -errno;
  int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  if (!dir) return -errno;
  int result = 0;
  size_t count;
  char **names = sorted_names(dir, &count, &result);
  result = -result;
  for (size_t i = 0; i < count; i++) {
    if (!result) result = remove_tree(fd, names[i]);
    free(names[i]);
  }
  free(names), closedir(dir);
  return result ? result : result_of(unlinkat(dirfd, name, AT_REMOVEDIR));
}

static int do_remove(const struct call *c) { return remove_tree(directory_of(c, "at"), text(c, "path", NULL)); }

const struct verb tree_verbs[] = {
  {"manifest", do_manifest, "path at hash xattrs private ino"},
  {"remove", do_remove, "path at"},
  {0},
};

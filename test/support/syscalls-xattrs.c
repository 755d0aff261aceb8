/* Extended attributes, of a descriptor, of a path's target (follow=1) or of the path itself. */
#include "syscalls.h"
#include <sys/xattr.h>

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static ssize_t get(const struct call *c, const char *name, void *value, size_t size) {
  if (find_arg(c, "fd")) return fgetxattr(directory_of(c, "fd"), name, value, size);
  return (flag(c, "follow") ? getxattr : lgetxattr)(plain_path(c), name, value, size);
}

static int do_getxattr(const struct call *c) {
  static char value[65536 + 64];
  size_t size = (size_t)number(c, "size", 65536);
  ssize_t n = get(c, text(c, "name", NULL), value, size);
  if (n < 0) return -errno;
  field("size", "%zd", n);
  if (size) field_bytes("value", value, (size_t)n);
  return 0;
}

static int do_setxattr(const struct call *c) {
  static const struct word kinds[] = {{"CREATE", XATTR_CREATE}, {"REPLACE", XATTR_REPLACE}, {0}};
  static char filler[65536 + 64];
  memset(filler, 'x', sizeof filler);
  const struct arg *value = find_arg(c, "value");
  const char *name = text(c, "name", NULL), *bytes = value ? value->value : filler;
  size_t size = value ? value->length : (size_t)number(c, "size", 0);
  int flags = (int)words(c, "flags", kinds, 0);
  if (size > 65536 + 64) broken("setxattr: too long");
  if (find_arg(c, "fd")) return result_of(fsetxattr(directory_of(c, "fd"), name, bytes, size, flags));
  return result_of((flag(c, "follow") ? setxattr : lsetxattr)(plain_path(c), name, bytes, size, flags));
}

static int do_listxattr(const struct call *c) {
  static char list[65536];
  size_t size = (size_t)number(c, "size", sizeof list);
  ssize_t n = find_arg(c, "fd") ? flistxattr(directory_of(c, "fd"), list, size) : (flag(c, "follow") ? listxattr : llistxattr)(plain_path(c), list, size);
  if (n < 0) return -errno;
  if (size == 0) return field("size", "%zd", n), 0;
  char *names[4096];
  size_t count = 0;
  for (char *p = list; p < list + n && count < 4096; p += strlen(p) + 1) names[count++] = p;
  if (count) qsort(names, count, sizeof *names, by_text);
  for (size_t i = 0; i < count; i++) field_bytes("name", names[i], strlen(names[i])), end_row();
  return 0;
}

static int do_removexattr(const struct call *c) {
  const char *name = text(c, "name", NULL);
  if (find_arg(c, "fd")) return result_of(fremovexattr(directory_of(c, "fd"), name));
  return result_of((flag(c, "follow") ? removexattr : lremovexattr)(plain_path(c), name));
}

const struct verb xattr_verbs[] = {
  {"getxattr", do_getxattr, "fd path at follow name size"},
  {"setxattr", do_setxattr, "fd path at follow name value size flags"},
  {"listxattr", do_listxattr, "fd path at follow size"},
  {"removexattr", do_removexattr, "fd path at follow name"},
  {0},
};

/* Operations on names and attributes. */
#include "syscalls.h"
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static const struct word open_flags[] = {
#define W(name) {#name, name}
  W(O_RDONLY), W(O_WRONLY), W(O_RDWR), W(O_CREAT), W(O_EXCL), W(O_TRUNC), W(O_APPEND), W(O_NONBLOCK), W(O_DIRECTORY),
  W(O_NOFOLLOW), W(O_TMPFILE), W(O_PATH), W(O_SYNC), W(O_DSYNC), W(O_DIRECT), W(O_NOATIME), W(O_NOCTTY), {0}};
static const struct word rename_flags[] = {{"NOREPLACE", 1}, {"EXCHANGE", 2}, {"WHITEOUT", 4}, {0}};
static const struct word access_modes[] = {{"F", F_OK}, {"R", R_OK}, {"W", W_OK}, {"X", X_OK}, {0}};

long long open_flags_of(const struct call *c) { return words(c, "flags", open_flags, O_RDONLY); }

static mode_t mode_of(const struct call *c, mode_t fallback) {
  const struct arg *a = find_arg(c, "mode");
  return a ? (mode_t)strtoul(a->value, NULL, 8) : fallback;
}

static int nofollow(const struct call *c) { return flag(c, "follow") ? 0 : AT_SYMLINK_NOFOLLOW; }

/* fd= when it is given, else -1 */
static int fd_of(const struct call *c) { return find_arg(c, "fd") ? directory_of(c, "fd") : -1; }

static int do_open(const struct call *c) {
  /* O_LARGEFILE is nothing on 64 bits; no O_NOFOLLOW unless asked: open follows, as programs do */
  int fd = openat(directory_of(c, "at"), text(c, "path", NULL), (int)open_flags_of(c) | O_CLOEXEC, mode_of(c, 0644));
  if (fd < 0) {
    int error = errno;
    if (descriptor(text(c, "fd", NULL)) >= 0) broken("open: descriptor %s is in use", text(c, "fd", NULL));
    return -error;
  }
  name_descriptor(text(c, "fd", NULL), fd);
  return 0;
}

static int do_close(const struct call *c) {
  const char *name = text(c, "fd", NULL);
  int fd = descriptor(name);
  forget_descriptor(name);
  return result_of(close(fd));
}

static int do_dup(const struct call *c) {
  int fd = fcntl(fd_of(c), F_DUPFD_CLOEXEC, 3);
  if (fd >= 0) name_descriptor(text(c, "to", NULL), fd);
  return result_of(fd);
}

void print_stat_fields(int dirfd, const char *path, int flags, int *result) {
  struct statx s;
  if (statx(dirfd, path, flags, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, &s)) {
    *result = -errno;
    return;
  }
  *result = 0;
  static const char types[] = "?pc?d?b?f?l?s???";
  field("type", "%c", types[s.stx_mode >> 12]);
  field("mode", "%04o", s.stx_mode & 07777);
  field("uid", "%u", s.stx_uid);
  field("gid", "%u", s.stx_gid);
  field("size", "%llu", (unsigned long long)s.stx_size);
  field("nlink", "%u", s.stx_nlink);
  field("rdev", "%u:%u", s.stx_rdev_major, s.stx_rdev_minor);
  field("blocks", "%llu", (unsigned long long)s.stx_blocks);
  field("ino", "%llu", (unsigned long long)s.stx_ino);
  field("dev", "%u:%u", s.stx_dev_major, s.stx_dev_minor);
  const struct {
    const char *key;
    struct statx_timestamp t;
  } times[] = {{"atime", s.stx_atime}, {"mtime", s.stx_mtime}, {"ctime", s.stx_ctime}, {"btime", s.stx_btime}};
  for (int i = 0; i < (s.stx_mask & STATX_BTIME ? 4 : 3); i++) field(times[i].key, "%lld.%09u", (long long)times[i].t.tv_sec, times[i].t.tv_nsec);
}

static int do_stat(const struct call *c) {
  int result;
  if (find_arg(c, "fd")) print_stat_fields(fd_of(c), "", AT_EMPTY_PATH, &result);
  else print_stat_fields(directory_of(c, "at"), text(c, "path", NULL), nofollow(c), &result);
  return result;
}

static int do_mkdir(const struct call *c) { return result_of(mkdirat(directory_of(c, "at"), text(c, "path", NULL), mode_of(c, 0755))); }

static int do_mknod(const struct call *c) {
  unsigned major_number = 0, minor_number = 0;
  sscanf(text(c, "dev", "0:0"), "%u:%u", &major_number, &minor_number);
  return result_of(mknodat(directory_of(c, "at"), text(c, "path", NULL), mode_of(c, S_IFREG | 0644), makedev(major_number, minor_number)));
}

static int do_symlink(const struct call *c) { return result_of(symlinkat(text(c, "target", NULL), directory_of(c, "at"), text(c, "path", NULL))); }

static int do_readlink(const struct call *c) {
  char target[4200];
  ssize_t n = find_arg(c, "fd") ? readlinkat(fd_of(c), "", target, sizeof target)
                                : readlinkat(directory_of(c, "at"), text(c, "path", NULL), target, sizeof target);
  if (n >= 0) field_bytes("target", target, (size_t)n);
  return result_of(n);
}

static int do_link(const struct call *c) {
  return result_of(linkat(directory_of(c, "at"), text(c, "path", NULL), directory_of(c, "toat"), text(c, "to", NULL),
                          flag(c, "follow") ? AT_SYMLINK_FOLLOW : 0));
}

static int do_linkfd(const struct call *c) {
  char source[64];
  snprintf(source, sizeof source, "/proc/self/fd/%d", fd_of(c));
  return result_of(linkat(AT_FDCWD, source, directory_of(c, "toat"), text(c, "to", NULL), AT_SYMLINK_FOLLOW));
}

static int do_unlink(const struct call *c) { return result_of(unlinkat(directory_of(c, "at"), text(c, "path", NULL), 0)); }
static int do_rmdir(const struct call *c) { return result_of(unlinkat(directory_of(c, "at"), text(c, "path", NULL), AT_REMOVEDIR)); }

static int do_rename(const struct call *c) {
  return result_of(renameat2(directory_of(c, "at"), text(c, "path", NULL), directory_of(c, "toat"), text(c, "to", NULL),
                             (unsigned)words(c, "flags", rename_flags, 0)));
}

static int do_chmod(const struct call *c) {
  mode_t mode = mode_of(c, 0644);
  return result_of(find_arg(c, "fd") ? fchmod(fd_of(c), mode) : fchmodat(directory_of(c, "at"), text(c, "path", NULL), mode, 0));
}

static int do_chown(const struct call *c) {
  uid_t owner = (uid_t)number(c, "owner", -1);
  gid_t group = (gid_t)number(c, "group", -1);
  return result_of(find_arg(c, "fd") ? fchown(fd_of(c), owner, group)
                                     : fchownat(directory_of(c, "at"), text(c, "path", NULL), owner, group, nofollow(c)));
}

static struct timespec time_of(const struct call *c, const char *key) {
  const char *value = text(c, key, "omit");
  if (!strcmp(value, "omit")) return (struct timespec){0, UTIME_OMIT};
  if (!strcmp(value, "now")) return (struct timespec){0, UTIME_NOW};
  char *end;
  struct timespec t = {strtoll(value, &end, 10), 0};
  if (*end == '.') {
    char digits[10] = "000000000";
    memcpy(digits, end + 1, strnlen(end + 1, 9));
    t.tv_nsec = strtol(digits, NULL, 10);
  }
  return t;
}

static int do_utimens(const struct call *c) {
  struct timespec times[2] = {time_of(c, "atime"), time_of(c, "mtime")};
  return result_of(find_arg(c, "fd") ? futimens(fd_of(c), times)
                                     : utimensat(directory_of(c, "at"), text(c, "path", NULL), times, nofollow(c)));
}

static int do_access(const struct call *c) {
  return result_of(faccessat(directory_of(c, "at"), text(c, "path", NULL), (int)words(c, "mode", access_modes, F_OK), AT_EACCESS));
}

static int do_truncate(const struct call *c) {
  off_t size = number(c, "size", 0);
  return result_of(find_arg(c, "fd") ? ftruncate(fd_of(c), size) : truncate(plain_path(c), size));
}

static int do_statfs(const struct call *c) {
  struct statfs s;
  int result = result_of(find_arg(c, "fd") ? fstatfs(fd_of(c), &s) : statfs(plain_path(c), &s));
  if (result) return result;
  field("type", "0x%lx", (unsigned long)s.f_type);
  field("bsize", "%ld", (long)s.f_bsize);
  field("frsize", "%ld", (long)s.f_frsize);
  field("namelen", "%ld", (long)s.f_namelen);
  field("blocks", "%llu", (unsigned long long)s.f_blocks);
  field("bfree", "%llu", (unsigned long long)s.f_bfree);
  field("bavail", "%llu", (unsigned long long)s.f_bavail);
  field("files", "%llu", (unsigned long long)s.f_files);
  field("ffree", "%llu", (unsigned long long)s.f_ffree);
  field("flags", "0x%lx", (unsigned long)s.f_flags);
  return 0;
}

static int do_getflags(const struct call *c) {
  int value = 0, result = result_of(ioctl(fd_of(c), FS_IOC_GETFLAGS, &value));
  if (!result) field("value", "0x%x", value);
  return result;
}

static int do_setflags(const struct call *c) {
  int value = (int)number(c, "value", 0);
  return result_of(ioctl(fd_of(c), FS_IOC_SETFLAGS, &value));
}

const struct verb file_verbs[] = {
  {"open", do_open, "fd path at flags mode"},
  {"close", do_close, "fd"},
  {"dup", do_dup, "fd to"},
  {"stat", do_stat, "fd path at follow"},
  {"mkdir", do_mkdir, "path at mode"},
  {"mknod", do_mknod, "path at mode dev"},
  {"symlink", do_symlink, "target path at"},
  {"readlink", do_readlink, "fd path at"},
  {"link", do_link, "path at to toat follow"},
  {"linkfd", do_linkfd, "fd to toat"},
  {"unlink", do_unlink, "path at"},
  {"rmdir", do_rmdir, "path at"},
  {"rename", do_rename, "path at to toat flags"},
  {"chmod", do_chmod, "fd path at mode"},
  {"chown", do_chown, "fd path at follow owner group"},
  {"utimens", do_utimens, "fd path at follow atime mtime"},
  {"access", do_access, "path at mode"},
  {"truncate", do_truncate, "fd path at size"},
  {"statfs", do_statfs, "fd path at"},
  {"getflags", do_getflags, "fd"},
  {"setflags", do_setflags, "fd value"},
  {0},
};

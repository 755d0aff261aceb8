/* Operations about processes, file handles and change events. */
#include "syscalls.h"
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

long long open_flags_of(const struct call *);

static int do_exec(const struct call *c) {
  char *argv[64] = {(char *)text(c, "path", NULL)};
  for (int i = 0, n = 1; i < c->count && n < 63; i++)
    if (!strcmp(c->args[i].key, "arg")) argv[n++] = c->args[i].value;
  int output[2], failure[2];
  if (pipe2(output, O_CLOEXEC) || pipe2(failure, O_CLOEXEC)) broken("pipe: %s", strerror(errno));
  fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) return -errno;
  if (pid == 0) {
    dup2(output[1], STDOUT_FILENO);
    execve(argv[0], argv, (char *[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL});
    int error = errno;
    if (write(failure[1], &error, sizeof error) < 0) _exit(126);
    _exit(127);
  }
  close(output[1]), close(failure[1]);
  char out[4096];
  size_t used = 0;
  ssize_t n;
  while (used < sizeof out && (n = read(output[0], out + used, sizeof out - used)) > 0) used += (size_t)n;
  int error = 0, status = 0;
  bool failed = read(failure[0], &error, sizeof error) == sizeof error;
  close(output[0]), close(failure[0]);
  waitpid(pid, &status, 0);
  if (failed) return -error;
  field("status", "%d", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  field_bytes("out", out, used);
  return 0;
}

static int do_chdir(const struct call *c) { return result_of(find_arg(c, "fd") ? fchdir(directory_of(c, "fd")) : chdir(plain_path(c))); }
static int do_sleep(const struct call *c) { return usleep((useconds_t)number(c, "ms", 0) * 1000), 0; }

static int do_ids(const struct call *c) {
  (void)c;
  gid_t groups[64];
  int n = getgroups(64, groups);
  field("uid", "%d", getuid()), field("euid", "%d", geteuid()), field("gid", "%d", getgid()), field("egid", "%d", getegid()), field("groups", "%d", n);
  return 0;
}

static int do_drop(const struct call *c) {
  (void)c;
  int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int result = result_of(write(fd, "3\n", 2));
  close(fd);
  return result;
}

/* -- file handles -- */
static struct {
  char name[16];
  union {
    struct file_handle handle;
    char room[sizeof(struct file_handle) + 128];
  };
} handles[32];

static int handle_slot(const char *name) {
  for (int i = 0; i < 32; i++) {
    if (!handles[i].name[0]) snprintf(handles[i].name, sizeof handles[i].name, "%s", name);
    if (!strcmp(handles[i].name, name)) return i;
  }
  broken("too many handles");
}

static int do_handle(const struct call *c) {
  struct file_handle *h = &handles[handle_slot(text(c, "keep", NULL))].handle;
  h->handle_bytes = 128;
  int mount_id;
  return result_of(name_to_handle_at(directory_of(c, "at"), text(c, "path", NULL), h, &mount_id, 0));
}

static int do_openhandle(const struct call *c) {
  struct file_handle *h = &handles[handle_slot(text(c, "keep", NULL))].handle;
  int fd = open_by_handle_at(directory_of(c, "at"), h, (int)open_flags_of(c) | O_CLOEXEC);
  if (fd >= 0) name_descriptor(text(c, "fd", NULL), fd);
  return result_of(fd);
}

/* -- inotify -- */
static int do_watch(const struct call *c) {
  int fd = descriptor(text(c, "fd", NULL));
  if (fd < 0) {
    if ((fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) < 0) return -errno;
    name_descriptor(text(c, "fd", NULL), fd);
  }
  return result_of(inotify_add_watch(fd, plain_path(c), (uint32_t)number(c, "mask", IN_ALL_EVENTS)));
}

static int do_events(const struct call *c) {
  _Alignas(struct inotify_event) char bytes[65536];
  ssize_t n = read(directory_of(c, "fd"), bytes, sizeof bytes);
  if (n < 0 && errno == EAGAIN) return 0;
  if (n < 0) return -errno;
  for (ssize_t at = 0; at < n;) {
    const struct inotify_event *e = (const void *)(bytes + at);
    field("mask", "0x%x", e->mask), field_bytes("name", e->name, e->len ? strlen(e->name) : 0), end_row();
    at += (ssize_t)(sizeof *e + e->len);
  }
  return 0;
}

const struct verb process_verbs[] = {
  {"exec", do_exec, "path arg"},
  {"chdir", do_chdir, "fd path at"},
  {"sleep", do_sleep, "ms"},
  {"ids", do_ids, ""},
  {"drop", do_drop, ""},
  {"handle", do_handle, "path at keep"},
  {"openhandle", do_openhandle, "fd keep at flags"},
  {"watch", do_watch, "fd path at mask"},
  {"events", do_events, "fd"},
  {0},
};

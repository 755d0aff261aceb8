/**
 * plyfs, started fast. A mount through podman or mount(8) waits for this program, and starting Node takes some 50 ms. So this does what plyfs does when all
 * is well: it parses the command line as far as -o and the mountpoint, has a plyd, or the engine of this user (which it starts), say what the options ask
 * for (`plan` in daemon/engine/control.ts), opens, mounts, and hands the descriptors over.
 *
 * It explains nothing. Whenever something is not as expected, at any step, it takes back what it did and becomes dist/cli/plyfs.js with the same command
 * line, which does the whole work, or says what is wrong.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
  /** control.ts: MESSAGE_BYTES, MESSAGE_DESCRIPTORS */
  MESSAGE_BYTES = 192 * 1024,
  MESSAGE_DESCRIPTORS = 250,
  PLAN_MS = 2000,
  /** for an engine that starts */
  START_MS = 10000,
  /** as long as plyfs.js waits: the engine decides */
  MOUNT_MS = 30000,
  FUSE_SUPER_MAGIC = 0x65735546,
};

/** What the command line asks for. */
struct Command {
  char options[MESSAGE_BYTES / 8];
  const char *source;
  const char *target;
};

/** What the options ask for. */
struct Plan {
  unsigned long flags;
  const char *name;
  /** the end of the mount request */
  const char *request;
  bool writable;
  int count;
  /** layers, then upper and work when writable */
  int fds[MESSAGE_DESCRIPTORS];
};

static char home[PATH_MAX];
static char target[PATH_MAX];
static volatile sig_atomic_t mounted;

/** Returns when there is no Node. What starts here speaks no TLS, and Node reads and parses all of those certificates at its start: 25 ms. */
static void execNode(char **words) {
  unsetenv("NODE_EXTRA_CA_CERTS");
  static const char *const nodes[] = {"node", "/usr/local/bin/node", "/usr/bin/node"};
  for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) execvp(nodes[i], words);
}

/** mount(8) calls its helpers mount.TYPE, and by -f it means "fake": do all but mount. To plyfs itself it is "in the foreground". */
static bool isMountHelper(const char *name) {
  const char *slash = strrchr(name, '/');
  return strncmp(slash ? slash + 1 : name, "mount.", 6) == 0;
}

static void becomeScript(char **argv) {
  char script[PATH_MAX + 32];
  snprintf(script, sizeof script, "%s/cli/plyfs.js", home);
  int count = 0;
  while (argv[count]) count++;
  char **words = calloc((size_t)count + 2, sizeof *words);
  if (words) {
    words[0] = (char *)"node";
    words[1] = script;
    bool helper = count > 0 && isMountHelper(argv[0]);
    for (int i = 1; i < count; i++) words[i + 1] = helper && strcmp(argv[i], "-f") == 0 ? (char *)"--fake" : argv[i];
    execNode(words);
  }
  fprintf(stderr, "plyfs: cannot start Node, which plyfs needs (%s): is it in PATH?\n", strerror(errno));
  _exit(1);
}

/** Directory of the installation: dist, with bin/plyfs in it. */
static bool findHome(void) {
  ssize_t length = readlink("/proc/self/exe", home, sizeof home - 1);
  if (length <= 0) return false;
  home[length] = 0;
  for (int up = 0; up < 2; up++) {
    char *slash = strrchr(home, '/');
    if (!slash) return false;
    *slash = 0;
  }
  return true;
}

// ---- the command line (cli/arguments.ts): what is plain; the rest is the script's ------------------------------------------------------------------

static bool addOptions(struct Command *command, const char *text) {
  size_t used = strlen(command->options), length = strlen(text);
  if (used + length + 2 > sizeof command->options) return false;
  snprintf(command->options + used, sizeof command->options - used, "%s%s", used > 0 ? "," : "", text);
  return true;
}

static bool parse(char **argv, struct Command *command) {
  const char *positionals[2] = {NULL, NULL};
  int count = 0;
  for (int i = 1; argv[i]; i++) {
    const char *word = argv[i];
    if (word[0] != '-') {
      if (count == 2) return false;
      positionals[count++] = word;
    } else if (strcmp(word, "-o") == 0) {
      if (!argv[++i] || !addOptions(command, argv[i])) return false;
    } else if (strncmp(word, "-o", 2) == 0) {
      if (!addOptions(command, word + 2)) return false;
    } else if (strcmp(word, "-t") == 0) {
      if (!argv[++i]) return false;
    } else if (strcmp(word, "-n") != 0 && strcmp(word, "-s") != 0 && strcmp(word, "-v") != 0) {
      return false;
    }
  }
  if (count == 2) command->source = positionals[0];
  command->target = positionals[count - 1 < 0 ? 0 : count - 1];
  return count > 0;
}

// ---- JSON: byte strings, one character per byte ------------------------------------------------------------------------------------------------------

struct Text {
  char *bytes;
  size_t length, room;
  bool full;
};

static void add(struct Text *text, const char *bytes, size_t length) {
  if (text->full || text->length + length > text->room) {
    text->full = true;
    return;
  }
  memcpy(text->bytes + text->length, bytes, length);
  text->length += length;
}

static void addPlain(struct Text *text, const char *plain) { add(text, plain, strlen(plain)); }

static void addString(struct Text *text, const char *string) {
  addPlain(text, "\"");
  for (; *string; string++) {
    uint8_t byte = (uint8_t)*string;
    if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\') add(text, string, 1);
    else {
      char escaped[8];
      snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      addPlain(text, escaped);
    }
  }
  addPlain(text, "\"");
}

// ---- whoever serves ----------------------------------------------------------------------------------------------------------------------------------

static bool userNamespaceOf(const char *process, char *out, size_t room) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/ns/user", process);
  ssize_t length = readlink(path, out, room - 1);
  if (length <= 0) return false;
  out[length] = 0;
  return true;
}

/** Is the peer of our uid and user namespace (isOurOwn in daemon/runtime.ts)? */
static bool isOurOwn(int fd) {
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.uid != geteuid()) return false;
  char process[16], theirs[64], ours[64];
  snprintf(process, sizeof process, "%d", (int)peer.pid);
  return userNamespaceOf(process, theirs, sizeof theirs) && userNamespaceOf("self", ours, sizeof ours) && strcmp(theirs, ours) == 0;
}

static bool sendAll(int fd, const char *bytes, size_t length, const int *fds, int count) {
  char control[CMSG_SPACE(MESSAGE_DESCRIPTORS * sizeof(int))];
  struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (count > 0) {
    memset(control, 0, sizeof control);
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, (size_t)count * sizeof(int));
  }
  return sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)length;
}

/** One message, with a NUL behind it; false at the end, or when it takes longer. */
static bool receive(int fd, char *out, size_t room, int ms) {
  struct pollfd poll_ = {.fd = fd, .events = POLLIN};
  if (poll(&poll_, 1, ms) <= 0) return false;
  ssize_t length = recv(fd, out, room - 1, 0);
  if (length <= 0) return false;
  out[length] = 0;
  return true;
}

/** A control channel of whoever is met at `path` (daemon/mounts/meet.ts); -1: nobody. */
static int meet(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  int pair[2] = {-1, -1};
  bool met = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && isOurOwn(fd) &&
             socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0 && sendAll(fd, "{}", 2, &pair[1], 1);
  close(fd);
  if (pair[1] >= 0) close(pair[1]);
  if (met) return pair[0];
  if (pair[0] >= 0) close(pair[0]);
  return -1;
}

/** Is there nothing, or what is left of one that was killed? */
static bool isNobodyAt(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return false;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  bool nobody = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && (errno == ENOENT || errno == ECONNREFUSED);
  if (fd >= 0) close(fd);
  return nobody;
}

/** Root of the machine, not of a user namespace of somebody's (daemon/runtime.ts). */
static bool isRoot(void) {
  if (geteuid() != 0) return false;
  FILE *file = fopen("/proc/self/uid_map", "re");
  unsigned long inside = 1, outside = 1;
  bool read = file && fscanf(file, "%lu %lu", &inside, &outside) == 2;
  if (file) fclose(file);
  return read && inside == 0 && outside == 0;
}

static bool usualSocket(char *out, size_t room) {
  const char *given = getenv("PLY_SOCKET"), *runtime = getenv("XDG_RUNTIME_DIR");
  int length;
  if (given && *given) length = snprintf(out, room, "%s", given);
  else if (isRoot()) length = snprintf(out, room, "/run/ply/ply.sock");
  else if (runtime && *runtime) length = snprintf(out, room, "%s/ply/ply.sock", runtime);
  else return false;
  return length > 0 && (size_t)length < room;
}

/** The first engine of this user, user namespace, build and level 1 (daemon/mounts/share.ts). */
static bool engineSocket(const char *socketPath, char *out, size_t room) {
  char directory[PATH_MAX], namespace[64], main_[PATH_MAX + 32], build[16];
  snprintf(directory, sizeof directory, "%s", socketPath);
  char *slash = strrchr(directory, '/');
  if (!slash) return false;
  *slash = 0;
  snprintf(main_, sizeof main_, "%s/daemon/engine/main.js", home);
  struct stat file, place;
  if (stat(main_, &file) != 0 || !userNamespaceOf("self", namespace, sizeof namespace)) return false;
  char *number = strchr(namespace, '['), *end = number ? strchr(number, ']') : NULL;
  if (!end) return false;
  *end = 0;
  uint64_t ms = (uint64_t)file.st_mtim.tv_sec * 1000 + (uint64_t)file.st_mtim.tv_nsec / 1000000;
  size_t at = sizeof build - 1;
  build[at] = 0;
  for (; ms > 0 && at > 0; ms /= 36) build[--at] = "0123456789abcdefghijklmnopqrstuvwxyz"[ms % 36];
  int length = snprintf(out, room, "%s/engines", directory);
  if (length <= 0 || (size_t)length >= room || (mkdir(out, 0700) != 0 && errno != EEXIST) || lstat(out, &place) != 0) return false;
  if (place.st_uid != geteuid() || (place.st_mode & 0170077) != 0040000) return false;
  length = snprintf(out, room, "%s/engines/%s-%s-1-0.sock", directory, number + 1, build + at);
  return length > 0 && (size_t)length < room;
}

// ---- the plan ----------------------------------------------------------------------------------------------------------------------------------------

static int nibble(char digit) { return digit >= '0' && digit <= '9' ? digit - '0' : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1; }

/** Asks for it; its fields, separated by NULs, end up in `out`. Their length, or -1. */
static ssize_t askPlan(int channel, const struct Command *command, char *out, size_t room, int ms) {
  struct Text text = {.bytes = out, .room = room};
  addPlain(&text, "{\"type\":\"plan\",\"id\":1,\"options\":");
  addString(&text, command->options);
  if (command->source) {
    addPlain(&text, ",\"source\":");
    addString(&text, command->source);
  }
  addPlain(&text, "}");
  if (text.full || !sendAll(channel, text.bytes, text.length, NULL, 0) || !receive(channel, out, room, ms)) return -1;
  char *hex = strstr(out, "\"plan\":\"");
  if (!hex) return -1;
  size_t length = 0;
  for (hex += 8; nibble(hex[0]) >= 0 && nibble(hex[1]) >= 0; hex += 2) out[length++] = (char)(nibble(hex[0]) << 4 | nibble(hex[1]));
  if (length == 0 || out[length - 1] != 0) return -1;
  return (ssize_t)length;
}

/** Opens what the plan names. Whatever lies on a FUSE mount makes a deeper level: the script's. */
static bool openPlan(struct Plan *plan, char *fields, size_t length) {
  const char *end = fields + length;
  const char *words[3];
  char *at = fields;
  for (int i = 0; i < 3; i++, at += strlen(at) + 1) {
    if (at >= end) return false;
    words[i] = at;
  }
  plan->flags = strtoul(words[0], NULL, 10);
  plan->name = words[1];
  plan->request = words[2];
  for (; at < end; at += strlen(at) + 1) {
    if (plan->count == MESSAGE_DESCRIPTORS - 1) return false;
    if (at[0] == 'u') plan->writable = true;
    int fd = open(at + 1, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    plan->fds[plan->count++] = fd;
    struct statfs on;
    if (fstatfs(fd, &on) != 0 || on.f_type == FUSE_SUPER_MAGIC) return false;
  }
  return plan->count > 0;
}

struct Place {
  struct stat stat;
  char path[PATH_MAX];
  char mount[32];
};

static bool placeOf(int fd, struct Place *place) {
  char name[64], line[128];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(name, place->path, sizeof place->path - 1);
  if (length <= 0 || fstat(fd, &place->stat) != 0) return false;
  place->path[length] = 0;
  snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
  FILE *file = fopen(name, "re");
  place->mount[0] = 0;
  while (file && fgets(line, sizeof line, file)) {
    if (sscanf(line, "mnt_id: %31s", place->mount) == 1) break;
  }
  if (file) fclose(file);
  return place->mount[0] != 0;
}

static bool overlap(const struct Place *a, const struct Place *b) {
  if (a->stat.st_dev != b->stat.st_dev) return false;
  if (a->stat.st_ino == b->stat.st_ino) return true;
  size_t one = strlen(a->path), other = strlen(b->path);
  const struct Place *outer = one < other ? a : b, *inner = one < other ? b : a;
  size_t length = one < other ? one : other;
  return strncmp(inner->path, outer->path, length) == 0 && (length == 1 || inner->path[length] == '/');
}

/** Nothing that daemon/mounts/directories.ts refuses. */
static bool fits(const struct Plan *plan) {
  if (!plan->writable) return true;
  static struct Place upper, work, lower;
  if (plan->count < 3 || !placeOf(plan->fds[plan->count - 2], &upper) || !placeOf(plan->fds[plan->count - 1], &work)) return false;
  if (upper.stat.st_dev != work.stat.st_dev || strcmp(upper.mount, work.mount) != 0 || overlap(&upper, &work)) return false;
  for (int i = 0; i < plan->count - 2; i++) {
    if (!placeOf(plan->fds[i], &lower) || overlap(&upper, &lower) || overlap(&work, &lower)) return false;
  }
  return true;
}

// ---- the mount ---------------------------------------------------------------------------------------------------------------------------------------

static void interrupted(int signal) {
  (void)signal;
  if (mounted) umount2(target, MNT_DETACH);
  _exit(1);
}

static bool mountAndHandOver(int channel, const struct Command *command, struct Plan *plan, char *buffer, size_t room) {
  int point = open(command->target, O_PATH | O_DIRECTORY | O_CLOEXEC);
  struct Place place;
  int device = open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (point < 0 || device < 0 || !placeOf(point, &place)) return false;
  close(point);
  strcpy(target, place.path);
  char data[160];
  snprintf(data, sizeof data, "fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions,allow_other", device, geteuid(), getegid());
  for (int i = 0; i < 3; i++) signal((const int[]){SIGINT, SIGTERM, SIGHUP}[i], interrupted);
  if (mount(plan->name, target, "fuse.plyfs", plan->flags, data) != 0) return false;
  mounted = 1;
  // Its device number, without asking the file system, which nobody serves yet.
  struct statx root;
  if (statx(AT_FDCWD, target, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &root) != 0) return false;
  char dev[32];
  snprintf(dev, sizeof dev, "%u:%u", root.stx_dev_major, root.stx_dev_minor);

  struct Text text = {.bytes = buffer, .room = room};
  addPlain(&text, "{\"type\":\"mount\",\"id\":2,\"mountpoint\":");
  addString(&text, target);
  addPlain(&text, ",\"dev\":");
  addString(&text, dev);
  addPlain(&text, ",");
  addPlain(&text, plan->request);
  addPlain(&text, "}");
  int fds[MESSAGE_DESCRIPTORS];
  fds[0] = device;
  memcpy(fds + 1, plan->fds, (size_t)plan->count * sizeof *fds);
  if (text.full || !sendAll(channel, text.bytes, text.length, fds, plan->count + 1)) return false;
  close(device); // if they die, the kernel must see that nobody is left
  return receive(channel, buffer, room, MOUNT_MS) && strstr(buffer, "\"id\":2") && strstr(buffer, "\"ok\":true");
}

/** Mounts with whoever is at the other end of `channel`, which it closes. */
static bool tryWith(int channel, const struct Command *command, int planMs) {
  static char fields[MESSAGE_BYTES], buffer[MESSAGE_BYTES];
  struct Plan plan = {.count = 0};
  ssize_t length = askPlan(channel, command, fields, sizeof fields, planMs);
  bool served = length > 0 && openPlan(&plan, fields, (size_t)length) && fits(&plan) && mountAndHandOver(channel, command, &plan, buffer, sizeof buffer);
  if (!served && mounted) umount2(target, MNT_DETACH);
  for (int i = 0; i < plan.count; i++) close(plan.fds[i]);
  close(channel);
  return served;
}

static bool tryAt(const char *path, const struct Command *command) {
  int channel = meet(path);
  return channel >= 0 && tryWith(channel, command, PLAN_MS);
}

/** As Exclusive (daemon/mounts/exclusive.ts) has it, which is SQLite's exclusive lock: a write lock on all of its lock bytes. The descriptor, or -1. */
static int takeLock(const char *path) {
  char file[PATH_MAX + 80];
  snprintf(file, sizeof file, "%s.lock", path);
  int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x40000000, .l_len = 512};
  if (fd < 0 || fcntl(fd, F_SETLK, &lock) == 0) return fd;
  close(fd);
  return -1;
}

/** Starts the engine that is to be found at `path` (EngineProcess in daemon/mounts/engine-process.ts); its control channel, or -1. */
static int startEngine(const char *path) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return -1;
  char script[PATH_MAX + 32], rendezvous[PATH_MAX + 80], label[32];
  snprintf(script, sizeof script, "%s/daemon/engine/main.js", home);
  snprintf(rendezvous, sizeof rendezvous, "--rendezvous=%s", path);
  snprintf(label, sizeof label, "user %u", geteuid());
  char *words[] = {(char *)"node", script, (char *)"--control=3", rendezvous, (char *)"--", label, NULL};
  pid_t child = fork();
  if (child == 0) {
    int null = open("/dev/null", O_RDWR);
    setsid();
    if (null < 0 || chdir("/") != 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0) _exit(127);
    int control = pair[1] == 3 ? dup(pair[1]) : pair[1]; // so that dup2 takes its close-on-exec away
    if (control < 0 || dup2(control, 3) < 0) _exit(127);
    if (close_range(4, ~0U, 0) != 0) _exit(127);
    execNode(words);
    _exit(127);
  }
  close(pair[1]);
  if (child > 0) return pair[0];
  close(pair[0]);
  return -1;
}

/** One plyfs at a time starts an engine; the others leave it to the script, which waits. */
static bool tryToStart(const char *path, const struct Command *command) {
  int lock = takeLock(path);
  if (lock < 0) return false;
  bool served = tryAt(path, command); // somebody may have been faster
  if (!served && !mounted) {
    unlink(path); // of one that was killed
    int channel = startEngine(path);
    served = channel >= 0 && tryWith(channel, command, START_MS);
  }
  close(lock);
  return served;
}

int main(int argc, char **argv) {
  (void)argc;
  static struct Command command;
  static char socketPath[PATH_MAX], path[PATH_MAX + 64];
  if (!findHome()) {
    fprintf(stderr, "plyfs: /proc is not mounted, and plyfs needs it\n");
    return 1;
  }
  if (parse(argv, &command) && usualSocket(socketPath, sizeof socketPath)) {
    snprintf(path, sizeof path, "%s.plyfs", socketPath);
    if (tryAt(path, &command)) return 0;
    if (!mounted && engineSocket(socketPath, path, sizeof path)) {
      if (tryAt(path, &command)) return 0;
      if (!mounted && isNobodyAt(path) && tryToStart(path, &command)) return 0;
    }
  }
  for (int i = 0; i < 3; i++) signal((const int[]){SIGINT, SIGTERM, SIGHUP}[i], SIG_DFL);
  becomeScript(argv);
}

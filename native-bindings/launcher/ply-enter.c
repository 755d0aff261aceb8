/**
 * ply-enter: the first process (pid 1) of a container that `ply run` made. It is linked statically, as the container's files are all there is, and comes in
 * as an open descriptor: ply executes /proc/self/fd/3.
 *
 *     ply-enter COMMAND [ARGUMENT…]
 *
 * Descriptor 4 is a socket to ply. First come a length (u32, little-endian) and as many bytes: the user, the working directory and the environment's
 * NAME=VALUE, each ended by a NUL. The environment does not come as such, or it would be that of the programs that build the namespaces. ply-enter answers with
 * one byte: the namespaces stand, and from here on failures are its own. Then each byte that comes is a signal for the command; when ply ends, so does
 * everything here.
 *
 * It gives the command the user's identity as /etc/passwd and /etc/group in here have it, waits for whatever ends, and ends with the command's status, or 128
 * and the signal. 125: the command could not be prepared, 126: it cannot be executed, 127: there is no such command; as with docker and the shells.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  OURSELVES = 3,
  CONTROL = 4,
  MOST_SETTINGS = 4 << 20,
  MOST_GROUPS = 256,
  LINE_BYTES = 64 << 10,
  NOT_PREPARED = 125,
  NOT_EXECUTABLE = 126,
  NOT_FOUND = 127,
};

struct Identity {
  uid_t uid;
  gid_t gid;
  gid_t groups[MOST_GROUPS];
  size_t count;
  char home[PATH_MAX];
};

extern char **environ;

__attribute__((noreturn, format(printf, 2, 3))) static void fail(int status, const char *format, ...) {
  va_list values;
  va_start(values, format);
  fputs("ply: run: ", stderr);
  vfprintf(stderr, format, values);
  fputc('\n', stderr);
  va_end(values);
  _exit(status);
}

static void receive(void *to, size_t length) {
  for (size_t at = 0; at < length;) {
    ssize_t got = read(CONTROL, (char *)to + at, length - at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) _exit(NOT_PREPARED); // ply is gone: nobody is there to be told
    at += (size_t)got;
  }
}

// ---- who is it to be? ---------------------------------------------------------------------------------------------------------------------------

/** A whole decimal number? */
static bool isNumber(const char *text, unsigned long *number) {
  if (*text < '0' || *text > '9') return false;
  char *end;
  errno = 0;
  *number = strtoul(text, &end, 10);
  return *end == 0 && errno == 0 && *number < 0xffffffffUL;
}

/** The line's fields, cut at the colons; missing ones are empty. */
static void fields(char *line, char *found[], size_t count) {
  line[strcspn(line, "\n")] = 0;
  for (size_t i = 0; i < count; i++) {
    found[i] = line;
    line += strcspn(line, ":");
    if (*line) *line++ = 0;
  }
}

/** From /etc/passwd, by name or number. False: it is not there. */
static bool lookUpUser(const char *wanted, struct Identity *who, char name[static 256]) {
  FILE *file = fopen("/etc/passwd", "re");
  unsigned long number = 0, uid, gid;
  bool byNumber = isNumber(wanted, &number), found = false;
  static char line[LINE_BYTES];
  while (file && !found && fgets(line, sizeof line, file)) {
    char *field[7];
    fields(line, field, 7);
    if (!isNumber(field[2], &uid) || !isNumber(field[3], &gid)) continue;
    if (byNumber ? uid != number : strcmp(field[0], wanted) != 0) continue;
    found = true;
    who->uid = (uid_t)uid;
    who->gid = (gid_t)gid;
    snprintf(name, 256, "%s", field[0]);
    snprintf(who->home, sizeof who->home, "%s", field[5]);
  }
  if (file) fclose(file);
  if (!found && byNumber) who->uid = (uid_t)number;
  return found || byNumber;
}

/** From /etc/group: the number of the group `wanted`, or where that is NULL the groups that `member` is in. */
static bool lookUpGroups(const char *wanted, const char *member, struct Identity *who) {
  FILE *file = fopen("/etc/group", "re");
  unsigned long gid;
  bool found = false;
  static char line[LINE_BYTES];
  while (file && !found && fgets(line, sizeof line, file)) {
    char *field[4];
    fields(line, field, 4);
    if (!isNumber(field[2], &gid)) continue;
    if (wanted) {
      if ((found = strcmp(field[0], wanted) == 0)) who->gid = (gid_t)gid;
      continue;
    }
    for (char *rest = field[3], *one; (one = strsep(&rest, ",")) && who->count < MOST_GROUPS;)
      if (*one && strcmp(one, member) == 0) who->groups[who->count++] = (gid_t)gid;
  }
  if (file) fclose(file);
  return found;
}

/** "USER", "USER:GROUP", names or numbers; nothing: root. */
static struct Identity *identify(char *spec) {
  static struct Identity who = {.home = "/"};
  char name[256] = "";
  char *group = strchr(spec, ':');
  if (group) *group++ = 0;
  if (!lookUpUser(*spec ? spec : "0", &who, name)) fail(NOT_PREPARED, "there is no user %s in the container's /etc/passwd", spec);
  unsigned long gid;
  if (!group || !*group) {
    if (*name) lookUpGroups(NULL, name, &who);
  } else if (isNumber(group, &gid)) who.gid = (gid_t)gid;
  else if (!lookUpGroups(group, NULL, &who)) fail(NOT_PREPARED, "there is no group %s in the container's /etc/group", group);
  if (!*who.home) strcpy(who.home, "/");
  return &who;
}

static void become(const struct Identity *who) {
  // A user namespace of one user has no other groups, and does not let them be set.
  if (setgroups(who->count, who->groups) < 0 && errno != EPERM)
    fail(NOT_PREPARED, "cannot set the groups of user %u: %s", who->uid, strerror(errno));
  if (setresgid(who->gid, who->gid, who->gid) < 0 || setresuid(who->uid, who->uid, who->uid) < 0) {
    if (errno == EINVAL) fail(NOT_PREPARED, "user %u or group %u is not mapped in this user namespace: only root can be used", who->uid, who->gid);
    fail(NOT_PREPARED, "cannot become user %u: %s", who->uid, strerror(errno));
  }
}

// ---- the command --------------------------------------------------------------------------------------------------------------------------------

/** As docker does, the working directory is made if it is missing. */
static void enterDirectory(char *directory) {
  for (char *slash = directory + 1; *directory && (slash = strchr(slash, '/')); slash++) {
    *slash = 0;
    mkdir(directory, 0755);
    *slash = '/';
  }
  if (*directory) mkdir(directory, 0755);
  if (chdir(*directory ? directory : "/") < 0) fail(NOT_PREPARED, "cannot enter the working directory %s: %s", directory, strerror(errno));
}

__attribute__((noreturn)) static void command(char **words, char *settings, char *end) {
  char *user = settings;
  char *directory = user + strlen(user) + 1;
  clearenv();
  for (char *one = directory + strlen(directory) + 1; one < end; one += strlen(one) + 1) putenv(one);
  enterDirectory(directory);
  const struct Identity *who = identify(user);
  setenv("HOME", who->home, 0);
  become(who);
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  execvp(words[0], words);
  if (errno == ENOENT || errno == ENOTDIR) fail(NOT_FOUND, "there is no command %s in the container", words[0]);
  fail(NOT_EXECUTABLE, "cannot execute %s: %s", words[0], strerror(errno));
}

static int statusOf(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/** Takes in all that has ended. */
static void reap(pid_t child) {
  int status;
  for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;)
    if (ended == child) _exit(statusOf(status));
}

int main(int argc, char **argv) {
  if (argc < 2) fail(NOT_PREPARED, "no command: this program is for ply run only");
  for (int fd = OURSELVES; fd <= CONTROL; fd++) fcntl(fd, F_SETFD, FD_CLOEXEC);
  uint32_t length;
  receive(&length, sizeof length);
  if (length < 2 || length > MOST_SETTINGS) fail(NOT_PREPARED, "the environment is too large");
  char *settings = malloc(length);
  if (!settings) fail(NOT_PREPARED, "no memory");
  receive(settings, length);
  settings[length - 1] = 0;
  if (write(CONTROL, "", 1) != 1) _exit(NOT_PREPARED);

  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  sigprocmask(SIG_BLOCK, &children, NULL);
  int ends = signalfd(-1, &children, SFD_CLOEXEC);
  pid_t child = fork();
  if (child < 0 || ends < 0) fail(NOT_PREPARED, "cannot start the command: %s", strerror(errno));
  if (child == 0) command(argv + 1, settings, settings + length);

  struct pollfd watched[] = {{.fd = ends, .events = POLLIN}, {.fd = CONTROL, .events = POLLIN}};
  for (;;) {
    if (poll(watched, 2, -1) < 0 && errno != EINTR) _exit(NOT_PREPARED);
    if (watched[0].revents) {
      struct signalfd_siginfo info;
      if (read(ends, &info, sizeof info) < 0 && errno != EINTR && errno != EAGAIN) _exit(NOT_PREPARED);
      reap(child);
    }
    if (watched[1].revents) {
      unsigned char number;
      ssize_t got = read(CONTROL, &number, 1);
      if (got == 0) _exit(128 + SIGKILL);
      if (got == 1) kill(child, number);
    }
  }
}

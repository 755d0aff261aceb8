/*
 * The clients that `make bench` times: what they do is one system call after the other, and little else, so that the file system is what is measured.
 * Each prints one line of JSON: how long it took, and what it saw, for the bench to verify. It changes nothing but what its name says.
 *
 *   client walk DIR                      lstat of every entry below DIR, directories read with getdents64
 *   client lstat DIR LIST                lstat of the names in LIST (a line each), relative to DIR
 *   client read DIR LIST                 open, read to the end, close
 *   client append DIR LIST               open for appending, write a line, close
 *   client getattr FILE COUNT CLIENTS    COUNT statx that must ask the server, in each of CLIENTS processes
 *   client latency FILE SECONDS          the same for a time, or until SIGTERM: percentiles
 *   client fsync FILE                    writes 4 KiB and fsyncs, until SIGTERM
 *   client mmap FILE                     the sum of a file's words through a mapping
 *   client mixed DIR COUNT SEED          changes and looks at a small tree of its own
 *   client calibrate CPUS                a loop that touches no file, on CPUS threads: is the machine quiet?
 *   client run OUT COMMAND…              how long a command takes; its output goes to OUT
 *   client usable DIR NAME COMMAND…      from exec to the end of the command and a successful lstat of DIR/NAME
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "client: ");
  vfprintf(stderr, format, args);
  fprintf(stderr, "\n");
  exit(1);
}

static double seconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double wall(void) { return seconds(CLOCK_MONOTONIC); }

static volatile sig_atomic_t stopped;

static void stop(int signal) {
  (void)signal;
  stopped = 1;
}

/* No SA_RESTART: a call that waits ends. */
static void stop_on_sigterm(void) {
  struct sigaction action = {.sa_handler = stop};
  sigaction(SIGTERM, &action, NULL);
}

/* --- walk ------------------------------------------------------------------------------------------------------------------------------ */

struct entry {
  uint64_t ino;
  int64_t off;
  unsigned short length;
  unsigned char type;
  char name[];
};

static uint64_t files, directories, bytes;

static void walk(int parent, const char *name) {
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) die("%s: %s", name, strerror(errno));
  char *buffer = malloc(32768);
  if (!buffer) die("no memory");
  for (;;) {
    long got = syscall(SYS_getdents64, fd, buffer, 32768);
    if (got < 0) die("getdents64 of %s: %s", name, strerror(errno));
    if (got == 0) break;
    for (long at = 0; at < got;) {
      struct entry *entry = (struct entry *)(buffer + at);
      at += entry->length;
      if (entry->name[0] == '.' && (!entry->name[1] || (entry->name[1] == '.' && !entry->name[2]))) continue;
      struct statx attributes;
      if (statx(fd, entry->name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &attributes) < 0) die("%s: %s", entry->name, strerror(errno));
      if (S_ISDIR(attributes.stx_mode)) {
        directories++;
        walk(fd, entry->name);
      } else {
        files++;
        bytes += attributes.stx_size;
      }
    }
  }
  free(buffer);
  close(fd);
}

static void walk_command(const char *directory) {
  double start = wall();
  walk(AT_FDCWD, directory);
  printf("{\"seconds\":%.9f,\"files\":%lu,\"directories\":%lu,\"bytes\":%lu}\n", wall() - start, files, directories, bytes);
}

/* --- lists of names -------------------------------------------------------------------------------------------------------------------- */

static char **names;
static size_t count;

static void read_list(const char *file) {
  int fd = open(file, O_RDONLY | O_CLOEXEC);
  struct stat attributes;
  if (fd < 0 || fstat(fd, &attributes) < 0) die("%s: %s", file, strerror(errno));
  char *text = malloc((size_t)attributes.st_size + 1);
  if (!text) die("no memory");
  for (off_t at = 0; at < attributes.st_size;) {
    ssize_t got = read(fd, text + at, (size_t)(attributes.st_size - at));
    if (got <= 0) die("%s: cannot read", file);
    at += got;
  }
  text[attributes.st_size] = 0;
  close(fd);
  for (char *at = text; *at; at++) count += *at == '\n';
  names = malloc((count + 1) * sizeof *names);
  if (!names) die("no memory");
  char *at = text;
  for (size_t i = 0; i < count; i++) {
    names[i] = at;
    at = strchr(at, '\n');
    *at++ = 0;
  }
}

static void enter(const char *directory, const char *list) {
  read_list(list);
  if (chdir(directory) < 0) die("%s: %s", directory, strerror(errno));
}

static void lstat_command(void) {
  uint64_t found = 0, missing = 0;
  double start = wall();
  for (size_t i = 0; i < count; i++) {
    struct statx attributes;
    if (statx(AT_FDCWD, names[i], AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &attributes) == 0) found++, bytes += attributes.stx_size;
    else if (errno == ENOENT) missing++;
    else die("%s: %s", names[i], strerror(errno));
  }
  printf("{\"seconds\":%.9f,\"found\":%lu,\"missing\":%lu,\"bytes\":%lu}\n", wall() - start, found, missing, bytes);
}

static void read_command(void) {
  static char buffer[65536];
  double start = wall();
  for (size_t i = 0; i < count; i++) {
    int fd = open(names[i], O_RDONLY | O_CLOEXEC);
    if (fd < 0) die("%s: %s", names[i], strerror(errno));
    for (;;) {
      ssize_t got = read(fd, buffer, sizeof buffer);
      if (got < 0) die("%s: %s", names[i], strerror(errno));
      if (got == 0) break;
      bytes += (uint64_t)got;
    }
    close(fd);
    files++;
  }
  printf("{\"seconds\":%.9f,\"files\":%lu,\"bytes\":%lu}\n", wall() - start, files, bytes);
}

static void append_command(void) {
  double start = wall();
  for (size_t i = 0; i < count; i++) {
    int fd = open(names[i], O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0) die("%s: %s", names[i], strerror(errno));
    if (write(fd, "one more line\n", 14) != 14) die("%s: %s", names[i], strerror(errno));
    if (close(fd) < 0) die("%s: %s", names[i], strerror(errno));
    files++;
  }
  printf("{\"seconds\":%.9f,\"files\":%lu}\n", wall() - start, files);
}

/* --- round trips ----------------------------------------------------------------------------------------------------------------------- */

/* The kernel may answer nothing of this from its caches. */
static void ask(int fd, const char *file) {
  struct statx attributes;
  if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &attributes) < 0) die("%s: %s", file, strerror(errno));
}

static int open_path(const char *file) {
  int fd = open(file, O_PATH | O_CLOEXEC);
  if (fd < 0) die("%s: %s", file, strerror(errno));
  return fd;
}

static void getattr_command(const char *file, uint64_t rounds, int clients) {
  int fd = open_path(file);
  ask(fd, file);
  double start = wall();
  for (int i = 0; i < clients; i++) {
    pid_t pid = fork();
    if (pid < 0) die("fork: %s", strerror(errno));
    if (pid > 0) continue;
    for (uint64_t round = 0; round < rounds; round++) ask(fd, file);
    _exit(0);
  }
  int ended = 0, status;
  while (wait(&status) > 0) {
    if (status != 0) die("a client failed");
    ended++;
  }
  printf("{\"seconds\":%.9f,\"clients\":%d,\"rounds\":%lu}\n", wall() - start, ended, rounds);
}

static int compare(const void *a, const void *b) {
  uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
  return left < right ? -1 : left > right;
}

static void latency_command(const char *file, double limit) {
  size_t room = 1 << 16, used = 0;
  uint32_t *nanoseconds = malloc(room * sizeof *nanoseconds);
  int fd = open_path(file);
  stop_on_sigterm();
  double start = wall(), now = start;
  while (!stopped && now - start < limit) {
    ask(fd, file);
    double then = now;
    now = wall();
    if (used == room && !(nanoseconds = realloc(nanoseconds, (room *= 2) * sizeof *nanoseconds))) die("no memory");
    double took = (now - then) * 1e9;
    nanoseconds[used++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
  }
  if (used == 0) die("no round trip within the time");
  qsort(nanoseconds, used, sizeof *nanoseconds, compare);
  printf("{\"seconds\":%.9f,\"count\":%zu,\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}\n", now - start, used, nanoseconds[used / 2] / 1e3,
         nanoseconds[used * 99 / 100] / 1e3, nanoseconds[used - 1] / 1e3);
}

static void fsync_command(const char *file) {
  static char block[4096];
  int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) die("%s: %s", file, strerror(errno));
  stop_on_sigterm();
  double start = wall();
  while (!stopped) {
    if (pwrite(fd, block, sizeof block, (off_t)(files % 256) * 4096) != sizeof block) die("%s: %s", file, strerror(errno));
    if (fsync(fd) < 0) die("fsync of %s: %s", file, strerror(errno));
    files++;
  }
  printf("{\"seconds\":%.9f,\"count\":%lu}\n", wall() - start, files);
}

/* --- data ------------------------------------------------------------------------------------------------------------------------------ */

static void mmap_command(const char *file) {
  int fd = open(file, O_RDONLY | O_CLOEXEC);
  struct stat attributes;
  if (fd < 0 || fstat(fd, &attributes) < 0) die("%s: %s", file, strerror(errno));
  double start = wall();
  uint64_t *words = mmap(NULL, (size_t)attributes.st_size, PROT_READ, MAP_SHARED, fd, 0);
  if (words == MAP_FAILED) die("mmap of %s: %s", file, strerror(errno));
  uint64_t sum = 0;
  for (off_t i = 0; i < attributes.st_size / 8; i++) sum += words[i];
  printf("{\"seconds\":%.9f,\"bytes\":%lu,\"sum\":\"%lx\"}\n", wall() - start, (uint64_t)attributes.st_size, sum);
}

/* --- a mixture ------------------------------------------------------------------------------------------------------------------------- */

static uint64_t state;

static uint32_t pick(uint32_t below) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(((state >> 33) * below) >> 31);
}

/* Names come again and again, so most calls find something: what they may answer otherwise is ENOENT, EEXIST, ENOTEMPTY. */
static void expect(int result, const char *what, const char *name) {
  if (result < 0 && errno != ENOENT && errno != EEXIST && errno != ENOTEMPTY) die("%s %s: %s", what, name, strerror(errno));
}

static void mixed_command(const char *directory, uint64_t rounds, uint64_t seed) {
  state = seed;
  if (chdir(directory) < 0) die("%s: %s", directory, strerror(errno));
  double start = wall();
  for (uint64_t round = 0; round < rounds; round++) {
    char name[64], other[64];
    struct statx attributes;
    uint32_t in = pick(100);
    snprintf(name, sizeof name, "m%u/n%u", in, pick(200));
    snprintf(other, sizeof other, "m%u/n%u", pick(100), pick(200));
    int fd = -1;
    switch (pick(10)) {
    case 0:
    case 1:
    case 2:
      expect(statx(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &attributes), "statx", name);
      break;
    case 3:
    case 4:
      name[strcspn(name, "/")] = 0;
      expect(mkdir(name, 0755), "mkdir", name);
      name[strlen(name)] = '/';
      expect(fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644), "create", name);
      if (fd >= 0 && write(fd, name, sizeof name) != sizeof name) die("write %s: %s", name, strerror(errno));
      break;
    case 5:
      expect(fd = open(name, O_RDONLY | O_CLOEXEC), "open", name);
      if (fd >= 0) expect((int)read(fd, other, sizeof other), "read", name);
      break;
    case 6:
      expect(rename(name, other), "rename", name);
      break;
    case 7:
      expect(unlink(name), "unlink", name);
      break;
    case 8:
      expect(chmod(name, 0600 + pick(64)), "chmod", name);
      break;
    default:
      name[strcspn(name, "/")] = 0;
      DIR *open_directory = opendir(name);
      expect(open_directory ? 0 : -1, "opendir", name);
      if (!open_directory) break;
      while (readdir(open_directory)) files++;
      closedir(open_directory);
    }
    if (fd >= 0) close(fd);
  }
  printf("{\"seconds\":%.9f,\"rounds\":%lu,\"entries\":%lu}\n", wall() - start, rounds, files);
}

/* --- the machine ----------------------------------------------------------------------------------------------------------------------- */

/* Wall and processor time of the same integer loop in as many processes as there are CPUs: others on the machine make the first longer than the
   second, and steal or a lower clock make both longer. */
static void calibrate_command(int cpus) {
  double *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED || cpus > 256) die("calibrate");
  for (int i = 0; i < cpus; i++) {
    pid_t pid = fork();
    if (pid < 0) die("fork: %s", strerror(errno));
    if (pid > 0) continue;
    double start = wall(), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    volatile uint64_t x = 88172645463325252u;
    for (int round = 0; round < 16000000; round++) x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    shared[2 * i] = wall() - start;
    shared[2 * i + 1] = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    _exit(0);
  }
  while (wait(NULL) > 0) continue;
  double longest = 0, cpu = 0;
  for (int i = 0; i < cpus; i++) {
    if (shared[2 * i] > longest) longest = shared[2 * i];
    if (shared[2 * i + 1] > cpu) cpu = shared[2 * i + 1];
  }
  printf("{\"seconds\":%.9f,\"cpu\":%.9f}\n", longest, cpu);
}

/* --- commands -------------------------------------------------------------------------------------------------------------------------- */

static int execute(char **command, const char *out) {
  pid_t pid = fork();
  if (pid < 0) die("fork: %s", strerror(errno));
  if (pid == 0) {
    int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || dup2(fd, 1) < 0) die("%s: %s", out, strerror(errno));
    close(fd);
    execvp(command[0], command);
    die("%s: %s", command[0], strerror(errno));
  }
  int status;
  if (waitpid(pid, &status, 0) < 0) die("waitpid: %s", strerror(errno));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run_command(const char *out, char **command) {
  double start = wall();
  int status = execute(command, out);
  double took = wall() - start;
  if (status != 0) die("%s ended with status %d", command[0], status); /* it has said why on our standard error */
  struct rusage usage;
  getrusage(RUSAGE_CHILDREN, &usage);
  printf("{\"seconds\":%.9f,\"user\":%ld.%06ld,\"system\":%ld.%06ld}\n", took, usage.ru_utime.tv_sec, usage.ru_utime.tv_usec,
         usage.ru_stime.tv_sec, usage.ru_stime.tv_usec);
}

static void usable_command(const char *directory, const char *name, char **command) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  struct statx attributes;
  if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &attributes) == 0) die("%s is there before the mount", path);
  double start = wall();
  int status = execute(command, "/dev/null");
  if (status != 0) die("%s ended with status %d", command[0], status);
  if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &attributes) < 0) die("%s: %s", path, strerror(errno));
  printf("{\"seconds\":%.9f}\n", wall() - start);
}

int main(int argc, char **argv) {
  const char *verb = argc > 1 ? argv[1] : "";
  if (!strcmp(verb, "walk") && argc == 3) walk_command(argv[2]);
  else if (!strcmp(verb, "lstat") && argc == 4) enter(argv[2], argv[3]), lstat_command();
  else if (!strcmp(verb, "read") && argc == 4) enter(argv[2], argv[3]), read_command();
  else if (!strcmp(verb, "append") && argc == 4) enter(argv[2], argv[3]), append_command();
  else if (!strcmp(verb, "getattr") && argc == 5) getattr_command(argv[2], strtoul(argv[3], NULL, 10), atoi(argv[4]));
  else if (!strcmp(verb, "latency") && argc == 4) latency_command(argv[2], atof(argv[3]));
  else if (!strcmp(verb, "fsync") && argc == 3) fsync_command(argv[2]);
  else if (!strcmp(verb, "mmap") && argc == 3) mmap_command(argv[2]);
  else if (!strcmp(verb, "mixed") && argc == 5) mixed_command(argv[2], strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
  else if (!strcmp(verb, "calibrate") && argc == 3) calibrate_command(atoi(argv[2]));
  else if (!strcmp(verb, "run") && argc > 3) run_command(argv[2], argv + 3);
  else if (!strcmp(verb, "usable") && argc > 4) usable_command(argv[2], argv[3], argv + 4);
  else die("unknown command line: see client.c");
  return 0;
}

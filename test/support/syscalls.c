/*
 * The system calls of the behaviour tests, from a process of its own: `syscalls DIR` changes to DIR, reads operations from stdin, one
 * per line, and answers each before it reads the next. Whoever starts it can kill it when the file system under test hangs.
 *
 *   request   VERB key=value key=value…        in bytes; \xHH stands for any byte that is not printable ASCII, a space, or \
 *   answer    | key=value key=value…           rows: none, or as many as there are entries, xattrs, files
 *             ok key=value…                    or, instead of ok, the errno's name (ENOENT), or SIGBUS. A descriptor that does not
 *                                              exist (an earlier open failed) is EBADF
 *
 * Empty lines are passed over. A line that makes no sense (unknown verb, argument, flag) ends the helper with status 2 and a
 * message: that is a mistake in the test, not an outcome. For every operation:
 *   path=P [at=D]     relative to DIR, or to the descriptor named D. The last component is not followed; follow=1 follows it.
 *   fd=F              a descriptor that an earlier open gave the name F. Where path= is also possible, either will do.
 *   uid= gid= groups=4,24 umask=077   for this operation only; uid=1000 alone also takes gid 1000 and no groups
 *   proc=B            done by process B, forked at its first use with no descriptors. defer=1: answered at once with
 *                     "ok deferred=1"; `collect proc=B` gives the real answer later (for calls that block).
 *   name=, modes octal (mode=0644), times S.NNNNNNNNN (the nanoseconds count up, also for S < 0) or now or omit
 *
 * open fd= path= [flags=O_RDWR|O_CREAT…] [mode=]      close fd=      dup fd= to=      openat flags are those of <fcntl.h> by name
 * stat path=|fd=   type (f d l p s c b) mode uid gid size nlink rdev blocks ino dev atime mtime ctime btime
 * mkdir path= [mode=]    mknod path= mode=010644 [dev=1:3]    symlink target= path=    readlink path=|fd=  → target
 * link path= [at=] to= [toat=]    linkfd fd= to= [toat=] (through /proc/self/fd)    unlink    rmdir
 * rename path= to= [at= toat=] [flags=NOREPLACE|EXCHANGE|WHITEOUT]
 * chmod path=|fd= mode=    chown path=|fd= [owner=] [group=]    utimens path=|fd= [atime=] [mtime=]    access path= [mode=R|W|X]
 * truncate path=|fd= size=    statfs path=|fd=    getflags/setflags fd= [value=] (FS_IOC_*)
 * read fd=|path= [off=] [len=]  → n, and data (up to 512 bytes, or all with full=1) or hash    [flags= when by path]
 * write fd=|path= [off=] data=|pattern=SEED len=  → n     lseek fd= off= [whence=SET|CUR|END|DATA|HOLE] → off
 * fallocate fd= [mode=KEEP_SIZE|PUNCH_HOLE…] off= len=    copyrange fd= tofd= len= [off= tooff=] → n    sendfile likewise → n
 * segments fd=|path= → a row per data segment (start end)    fsync fdatasync syncfs fd=    lseek, segments file=1: EISDIR for a directory
 * mmap map= fd= [len= off= prot=READ|WRITE private=1]    mread map= off= len=    mwrite map= off= data=    msync munmap map=
 * flock fd= kind=sh|ex|un [wait=1]    lock fd= kind=rd|wr|un [start= len= ofd=1 wait=1]    getlock fd= kind= → kind start len
 * list path=|fd= [ino=1]  → rows name type (sorted; no "." and ".."); ino=1: also ino and st (the inode number by stat);
 *   own=1: through the open file of fd= itself, from the start, instead of a new one
 * getdents fd= [size=] [keep=K] → rows name type in the order given; K keeps the cookie of the last    seekdir fd= [keep=K]: K, or start
 * seekcheck path= [size=] → count: every cookie of the directory leads back to the entry that followed it, else EBADMSG and at=
 * getxattr path=|fd= name= [size=] → size value    setxattr name= value= [flags=CREATE|REPLACE] | size= (that many x)
 * listxattr path=|fd= [size=] → rows name (sorted)    removexattr name=
 * handle path= keep=K    openhandle fd= keep=K [flags=] (by a file descriptor of the mount: at=)
 * watch fd= path= [mask=] (inotify)    events fd= → rows mask name
 * exec path= [arg=…]* → status out (its stdout)    chdir path=    sleep ms=    ids → uid euid gid egid groups    drop (page and dentry caches)
 * remove path= : a whole tree, the directory itself too
 * manifest path= [hash=0] [xattrs=0] [private=1] [ino=1] → a row per file, sorted; see syscalls-manifest.c
 */
#include "syscalls.h"
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf on_bus_error;
static void bus_error(int signal) { siglongjmp(on_bus_error, signal); }

static const struct verb *find_verb(const char *name) {
  const struct verb *const tables[] = {file_verbs, data_verbs, directory_verbs, xattr_verbs, process_verbs, tree_verbs};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
    for (const struct verb *v = tables[i]; v->name; v++)
      if (!strcmp(v->name, name)) return v;
  broken("unknown verb %s", name);
}

static bool has_word(const char *list, const char *word) {
  size_t length = strlen(word);
  for (const char *p = list; (p = strstr(p, word)); p += length)
    if ((p == list || p[-1] == ' ') && (p[length] == ' ' || !p[length])) return true;
  return false;
}

static void check_arguments(const struct verb *v, const struct call *c) {
  for (int i = 0; i < c->count; i++)
    if (!has_word(v->args, c->args[i].key) && !has_word("uid gid groups umask defer", c->args[i].key)) broken("%s has no argument %s", v->name, c->args[i].key);
}

/* Takes the identity the call asks for. The saved uid stays 0, so that drop_identity can come back. */
static int take_identity(const struct call *c) {
  const struct arg *uid = find_arg(c, "uid"), *gid = find_arg(c, "gid"), *groups = find_arg(c, "groups");
  if (!uid && !gid && !groups) return 0;
  gid_t list[64];
  int n = 0;
  if (groups)
    for (char *p = groups->value; *p && n < 64; p += strcspn(p, ","), p += *p == ',') list[n++] = (gid_t)strtoul(p, NULL, 10);
  gid_t g = (gid_t)number(c, "gid", number(c, "uid", 0));
  uid_t u = (uid_t)number(c, "uid", 0);
  if (setgroups((size_t)n, list) || setresgid(g, g, 0) || setresuid(u, u, 0)) return -errno;
  prctl(PR_SET_DUMPABLE, 1); /* or /proc/self/fd would belong to root */
  return 0;
}

static void drop_identity(const struct call *c) {
  if (!find_arg(c, "uid") && !find_arg(c, "gid") && !find_arg(c, "groups")) return;
  if (setresuid(0, 0, 0) || setresgid(0, 0, 0) || setgroups(0, NULL)) broken("cannot become root again: %s", strerror(errno));
}

static void perform(const struct call *c) {
  static const struct verb *v; /* static: siglongjmp must not lose it */
  v = find_verb(c->verb);
  check_arguments(v, c);
  const struct arg *mask = find_arg(c, "umask");
  if (mask) umask((mode_t)strtoul(mask->value, NULL, 8));
  int result = take_identity(c);
  if (!result) result = sigsetjmp(on_bus_error, 1) ? -EHWPOISON : v->run(c);
  drop_identity(c);
  if (mask) umask(0);
  end_call(result);
}

static void serve(FILE *in);

/* -- other processes: proc=B -- */
struct sibling {
  char name[32];
  FILE *to, *from;
};
static struct sibling siblings[16];

static struct sibling *sibling(const char *name) {
  struct sibling *s = siblings;
  while (s < siblings + 16 && s->to && strcmp(s->name, name)) s++;
  if (s == siblings + 16) broken("more than 16 processes");
  if (s->to) return s;
  int down[2], up[2];
  if (pipe2(down, O_CLOEXEC) || pipe2(up, O_CLOEXEC)) broken("pipe: %s", strerror(errno));
  fflush(stdout);
  pid_t parent = getpid(), pid = fork();
  if (pid < 0) broken("fork: %s", strerror(errno));
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(3);
    close_descriptors();
    forget_maps();
    for (struct sibling *other = siblings; other < siblings + 16; other++)
      if (other->to) close(fileno(other->to)), close(fileno(other->from));
    memset(siblings, 0, sizeof siblings);
    dup2(up[1], STDOUT_FILENO);
    close(up[0]), close(up[1]), close(down[1]);
    serve(fdopen(down[0], "r"));
    _exit(0);
  }
  close(down[0]), close(up[1]);
  snprintf(s->name, sizeof s->name, "%s", name);
  s->to = fdopen(down[1], "w"), s->from = fdopen(up[0], "r");
  return s;
}

static void relay_answer(struct sibling *s) {
  char *line = NULL;
  size_t size = 0;
  do {
    if (getline(&line, &size, s->from) < 0) broken("process %s ended", s->name);
    fputs(line, stdout);
  } while (line[0] == '|');
  free(line);
  fflush(stdout);
}

/* ` proc=B` is cut out of the line that process B gets. */
static bool relay(const char *line) {
  const char *start = strstr(line, " proc=");
  if (!start) return false;
  const char *name = start + 6, *end = name + strcspn(name, " \n");
  char copy[32];
  snprintf(copy, sizeof copy, "%.*s", (int)(end - name), name);
  struct sibling *s = sibling(copy);
  if (!strncmp(line, "collect ", 8)) return relay_answer(s), true;
  fprintf(s->to, "%.*s%s", (int)(start - line), line, end);
  fflush(s->to);
  if (strstr(line, " defer=1")) end_call((field("deferred", "1"), 0));
  else relay_answer(s);
  return true;
}

static void serve(FILE *in) {
  static struct call c;
  char *line = NULL;
  size_t size = 0;
  while (getline(&line, &size, in) >= 0) {
    if (line[strspn(line, " \n")] == 0) continue;
    if (relay(line)) continue;
    if (!parse_call(line, &c)) broken("cannot parse: %s", line);
    perform(&c);
  }
  free(line);
}

int main(int argc, char **argv) {
  if (argc != 2) return fputs("usage: syscalls DIR < operations\n", stderr), 2;
  if (!strcmp(argv[1], "--ids")) { /* what `exec` runs to see setuid at work */
    printf("%d %d %d %d\n", getuid(), geteuid(), getgid(), getegid());
    return 0;
  }
  if (chdir(argv[1])) return fprintf(stderr, "%s: %s\n", argv[1], strerror(errno)), 2;
  struct rlimit files;
  if (!getrlimit(RLIMIT_NOFILE, &files)) files.rlim_cur = files.rlim_max, setrlimit(RLIMIT_NOFILE, &files);
  struct sigaction action = {.sa_handler = bus_error};
  sigaction(SIGBUS, &action, NULL);
  signal(SIGPIPE, SIG_IGN); /* EPIPE is an outcome */
  umask(0);
  serve(stdin);
  return 0;
}

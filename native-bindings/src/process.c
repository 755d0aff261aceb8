/**
 * Mounting, and what concerns the whole process or the calling thread.
 */
#include "args.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <pthread.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/** A path in a Buffer, as a C string. False when it is no Buffer; *error when it cannot be a path. */
static bool readPath(napi_env env, napi_value value, char out[PATH_MAX], int32_t *error) {
  bool isBuffer = false;
  void *bytes;
  size_t length;
  napi_is_buffer(env, value, &isBuffer);
  if (!isBuffer || napi_get_buffer_info(env, value, &bytes, &length) != napi_ok) return false;
  *error = length >= PATH_MAX ? -ENAMETOOLONG : length > 0 && memchr(bytes, 0, length) ? -EINVAL : 0;
  if (*error < 0) return true;
  if (length > 0) memcpy(out, bytes, length);
  out[length] = 0;
  return true;
}

static bool isString(napi_env env, napi_value value) {
  napi_valuetype type;
  return napi_typeof(env, value, &type) == napi_ok && type == napi_string;
}

napi_value method_mount(napi_env env, napi_callback_info info) {
  napi_value value[5];
  size_t given = 5;
  napi_get_cb_info(env, info, &given, value, NULL, NULL);
  char source[PATH_MAX], target[PATH_MAX], type[256], data[PATH_MAX];
  int32_t flags, error = 0;
  if (!isString(env, value[0]) || !readPath(env, value[1], target, &error) || !isString(env, value[2]) ||
      !readInteger(env, value[3], &flags) || !isString(env, value[4])) {
    return typeError(env, "mount(source: string, target: Buffer, type: string, flags: integer, data: string)");
  }
  if (error < 0) return integer(env, error);
  // The kernel takes at most a page of data (copy_mount_options) and PATH_MAX of the rest.
  if (!readString(env, value[0], source, sizeof source) || !readString(env, value[2], type, sizeof type) ||
      !readString(env, value[4], data, sizeof data)) {
    return integer(env, -EINVAL);
  }
  FAULT(env, "mount");
  return integer(env, result(mount(source, target, type, (uint32_t)flags, data)));
}

napi_value method_umount(napi_env env, napi_callback_info info) {
  napi_value value[2];
  size_t given = 2;
  napi_get_cb_info(env, info, &given, value, NULL, NULL);
  char target[PATH_MAX];
  int32_t flags, error = 0;
  if (!readPath(env, value[0], target, &error) || !readInteger(env, value[1], &flags)) {
    return typeError(env, "umount(target: Buffer, flags: integer)");
  }
  if (error < 0) return integer(env, error);
  FAULT(env, "umount");
  return integer(env, result(umount2(target, flags)));
}

/** Frees as many of the words as there are. */
static void freeWords(char **words) {
  for (char **word = words; word && *word; word++) free(*word);
  free(words);
}

napi_value method_exec(napi_env env, napi_callback_info info) {
  napi_value list, word;
  size_t given = 1, length;
  uint32_t count = 0;
  bool isArray = false;
  napi_get_cb_info(env, info, &given, &list, NULL, NULL);
  if (napi_is_array(env, list, &isArray) != napi_ok || !isArray) return typeError(env, "exec(words: string[])");
  napi_get_array_length(env, list, &count);
  if (count == 0) return integer(env, -EINVAL);
  char **words = calloc((size_t)count + 1, sizeof *words);
  if (!words) return integer(env, -ENOMEM);
  for (uint32_t i = 0; i < count; i++) {
    if (napi_get_element(env, list, i, &word) != napi_ok || napi_get_value_string_utf8(env, word, NULL, 0, &length) != napi_ok) {
      freeWords(words);
      return typeError(env, "exec(words: string[])");
    }
    words[i] = malloc(length + 1);
    if (!words[i]) {
      freeWords(words);
      return integer(env, -ENOMEM);
    }
    napi_get_value_string_utf8(env, word, words[i], length + 1, NULL);
  }
  FAULT(env, "exec");
  for (int fd = 0; fd <= 2; fd++) fcntl(fd, F_SETFD, 0); // which Node marks at its start
  execvp(words[0], words);
  int error = errno;
  freeWords(words);
  return integer(env, -error);
}

// ---- CPUs ----------------------------------------------------------------------------------------------------------------------------

enum { MOST_CPUS = 8192 };

static union {
  cpu_set_t set;
  uint8_t space[MOST_CPUS / 8];
} processCpus;
static int32_t processCpusError = -ENXIO;

/** sched_getaffinity(2) of the main thread, whichever loads the addon: none has pinned itself yet. */
static void readAffinity(void) {
  processCpusError = result(sched_getaffinity(getpid(), sizeof processCpus, &processCpus.set));
}

void recordAffinity(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, readAffinity);
}

int32_t unpinThread(void) {
  if (processCpusError < 0) return processCpusError;
  return result(sched_setaffinity(0, sizeof processCpus, &processCpus.set));
}

int32_t call_pinThread(const int32_t *arg) {
  if (arg[0] == -1) return unpinThread();
  if (arg[0] < 0 || arg[0] >= MOST_CPUS) return -EINVAL;
  uint8_t one[MOST_CPUS / 8] __attribute__((aligned(sizeof(long)))) = {0};
  CPU_SET_S((size_t)arg[0], sizeof one, (cpu_set_t *)one);
  return result(sched_setaffinity(0, sizeof one, (cpu_set_t *)one));
}

/** struct sched_attr of <linux/sched/types.h>, first version */
struct SchedAttr {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

int32_t call_timeSlice(const int32_t *arg) {
  struct SchedAttr attr;
  if (arg[0] < 1) return -EINVAL;
  if (syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) < 0) return -errno;
  attr.runtime = (uint64_t)arg[0] * 1000;
  return result(syscall(SYS_sched_setattr, 0, &attr, 0));
}

int32_t call_lowerThread(const int32_t *arg) {
  const struct sched_param none = {0};
  return result(sched_setscheduler(0, arg[0] ? SCHED_IDLE : SCHED_OTHER, &none));
}

int32_t call_threadCpu(const int32_t *arg) {
  enum { FIELD = 39, AFTER_NAME = 3 }; // proc_pid_stat(5); a name may hold blanks and parentheses
  char path[32], stat[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", arg[0]);
  int fd = RETRY(open(path, O_RDONLY | O_CLOEXEC));
  if (fd < 0) return -errno;
  ssize_t length = RETRY(read(fd, stat, sizeof stat - 1));
  int32_t error = -errno;
  close(fd);
  if (length < 0) return error;
  stat[length] = 0;
  const char *at = strrchr(stat, ')');
  for (int field = AFTER_NAME; at && field <= FIELD; field++) at = strchr(at + 1, ' ');
  return at ? atoi(at) : -EINVAL;
}

// ---- the rest ------------------------------------------------------------------------------------------------------------------------

/** The kernel keeps 15 bytes of it. */
napi_value method_nameThread(napi_env env, napi_callback_info info) {
  napi_value value;
  size_t given = 1;
  napi_get_cb_info(env, info, &given, &value, NULL, NULL);
  char name[64];
  if (!isString(env, value)) return typeError(env, "nameThread(name: string)");
  napi_get_value_string_utf8(env, value, name, sizeof name, NULL);
  FAULT(env, "nameThread");
  return integer(env, result(prctl(PR_SET_NAME, name)));
}

int32_t call_umask(const int32_t *arg) {
  return (int32_t)umask((mode_t)arg[0] & 0777);
}

int32_t call_raiseFileLimit(const int32_t *arg) {
  (void)arg;
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
  return limit.rlim_cur > INT32_MAX ? INT32_MAX : (int32_t)limit.rlim_cur;
}

static void *growFileTable(void *arg) {
  int fd = eventfd(0, EFD_CLOEXEC); // any
  if (fd < 0) return NULL;
  int last = fcntl(fd, F_DUPFD_CLOEXEC, (int)(intptr_t)arg - 1); // EINVAL: beyond the limit
  if (last >= 0) close(last);
  close(fd);
  return NULL;
}

/** A thread of its own waits: expand_files() of a process with threads calls synchronize_rcu(). */
int32_t call_growFileTable(const int32_t *arg) {
  if (arg[0] < 1) return -EINVAL;
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, 64 * 1024);
  int error = pthread_create(&thread, &attributes, growFileTable, (void *)(intptr_t)arg[0]);
  pthread_attr_destroy(&attributes);
  return -error;
}

int32_t call_exitNow(const int32_t *arg) {
  _exit(arg[0]);
}

/** Not closed: some may be a library's. Linux 5.11 has a call for it. */
int32_t call_closeOnExecFrom(const int32_t *arg) {
  if (arg[0] < 0) return -EINVAL;
  if (syscall(SYS_close_range, (unsigned)arg[0], ~0u, 1u << 2 /* CLOSE_RANGE_CLOEXEC */) == 0) return 0;
  DIR *open = opendir("/proc/self/fd");
  if (!open) return -errno;
  for (struct dirent *entry; (entry = readdir(open));) {
    int fd = atoi(entry->d_name);
    if (fd >= arg[0]) fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  closedir(open);
  return 0;
}

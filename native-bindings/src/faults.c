/**
 * Fault injection for tests, in a build with PLYFS_FAULTS=1: named calls that fail, or start late, on demand.
 *
 * From inside the process by faultSet; from another one by a file that both map, which PLYFS_FAULT_CONTROL names (test/support/faults.ts).
 */
#include "args.h"

#if PLYFS_FAULTS

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MOST_RULES = 64, MOST_NAME = 48, MOST_LOGGED = 1024 };

/** The file. Its owner writes it while `on` is 0; we count in `seen` and write the names of what counted to `log`. */
struct Control {
  _Atomic int32_t on;
  /** the call that fails, counted from 0 over all that count, and how many from there on (-1: all) */
  int32_t failAt, times, error;
  _Atomic int32_t seen, failed;
  int32_t nameCount;
  char names[MOST_RULES][MOST_NAME];
  char log[MOST_LOGGED][MOST_NAME];
};

static struct Control *control;
static pthread_once_t controlOnce = PTHREAD_ONCE_INIT;

static void openControl(void) {
  const char *path = getenv("PLYFS_FAULT_CONTROL");
  int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped != MAP_FAILED) control = mapped;
}

static int32_t controlCheck(const char *name) {
  pthread_once(&controlOnce, openControl);
  if (!control || atomic_load(&control->on) == 0) return 0;
  int32_t i = 0;
  while (i < control->nameCount && i < MOST_RULES && strncmp(control->names[i], name, MOST_NAME) != 0) i++;
  if (i == control->nameCount || i == MOST_RULES) return 0;
  int32_t at = atomic_fetch_add(&control->seen, 1);
  if (at < MOST_LOGGED) snprintf(control->log[at], MOST_NAME, "%s", name);
  bool hit = control->failAt >= 0 && at >= control->failAt && (control->times < 0 || at < control->failAt + control->times);
  if (!hit) return 0;
  atomic_fetch_add(&control->failed, 1);
  return -control->error;
}

struct Rule {
  char name[MOST_NAME];
  int32_t error;
  int64_t after, count, seen;
  int32_t delayMs;
};

static struct Rule rules[MOST_RULES];
static size_t ruleCount;
static pthread_mutex_t rulesLock = PTHREAD_MUTEX_INITIALIZER;

static struct Rule *findRule(const char *name) {
  for (size_t i = 0; i < ruleCount; i++) {
    if (strcmp(rules[i].name, name) == 0) return &rules[i];
  }
  return NULL;
}

int32_t faultCheck(const char *name) {
  int32_t asked = controlCheck(name);
  if (asked < 0) return asked;
  struct Rule rule = {0};
  bool hit = false;
  pthread_mutex_lock(&rulesLock);
  struct Rule *found = findRule(name);
  if (found) {
    rule = *found;
    hit = rule.seen >= rule.after && (rule.count < 0 || rule.seen < rule.after + rule.count);
    found->seen++;
  }
  pthread_mutex_unlock(&rulesLock);
  if (!hit) return 0;
  struct timespec delay = {.tv_sec = rule.delayMs / 1000, .tv_nsec = rule.delayMs % 1000 * 1000000L};
  while (rule.delayMs > 0 && nanosleep(&delay, &delay) < 0 && errno == EINTR) continue;
  return -rule.error;
}

static int32_t setRule(const struct Rule *rule) {
  int32_t error = 0;
  pthread_mutex_lock(&rulesLock);
  struct Rule *place = findRule(rule->name);
  if (!place && ruleCount < MOST_RULES) place = &rules[ruleCount++];
  if (place) *place = *rule;
  else error = -ENOSPC;
  pthread_mutex_unlock(&rulesLock);
  return error;
}

napi_value method_faultSet(napi_env env, napi_callback_info info) {
  napi_value value[5];
  size_t given = 5;
  napi_get_cb_info(env, info, &given, value, NULL, NULL);
  struct Rule rule = {0};
  int32_t number[4];
  bool valid = readString(env, value[0], rule.name, sizeof rule.name) && (isFunctionName(rule.name) || isJobName(rule.name));
  for (int i = 0; i < 4 && valid; i++) valid = readInteger(env, value[i + 1], &number[i]);
  if (!valid || number[0] < 0 || number[0] > 4095 || number[1] < 0 || number[3] < 0) return integer(env, -EINVAL);
  rule.error = number[0];
  rule.after = number[1];
  rule.count = number[2];
  rule.delayMs = number[3];
  return integer(env, setRule(&rule));
}

int32_t call_faultClear(const int32_t *arg) {
  (void)arg;
  pthread_mutex_lock(&rulesLock);
  ruleCount = 0;
  pthread_mutex_unlock(&rulesLock);
  return 0;
}

#else

napi_value method_faultSet(napi_env env, napi_callback_info info) {
  (void)info;
  return integer(env, -ENOSYS);
}

int32_t call_faultClear(const int32_t *arg) {
  (void)arg;
  return -ENOSYS;
}

#endif

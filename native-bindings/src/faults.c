/**
 * Fault injection for tests, in a build with PLYFS_FAULTS=1: named calls that fail, or start late, on demand.
 */
#include "args.h"

#if PLYFS_FAULTS

#include <pthread.h>
#include <time.h>

enum { MOST_RULES = 64, MOST_NAME = 48 };

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

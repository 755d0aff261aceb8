/**
 * Registration, and the one callback through which every CALL goes.
 *
 * The addon may be loaded by several environments of one process (worker_threads): nothing here or elsewhere is kept per process but
 * the arena, the job pool, the faults and what was found out about the kernel. What an environment owns is its instance data (arena.c).
 */
#include "args.h"

enum { MOST_ARGUMENTS = 6 };

struct Row {
  const char *name;
  unsigned count;
  int32_t (*call)(const int32_t *arg);
};

#define CALL_ROW(name, count) {#name, count, call_##name},
static const struct Row rows[] = {PLYFS_CALLS(CALL_ROW)};
enum { ROWS = sizeof rows / sizeof rows[0] };

#define CALL_FITS(name, count) _Static_assert(count <= MOST_ARGUMENTS, #name);
PLYFS_CALLS(CALL_FITS)

struct MethodRow {
  const char *name;
  napi_callback callback;
};

#define METHOD_ROW(name) {#name, method_##name},
static const struct MethodRow methodRows[] = {PLYFS_METHODS(METHOD_ROW)};
enum { METHOD_ROWS = sizeof methodRows / sizeof methodRows[0] };

/** Reads the row's integers and calls its function. An argument too many is ignored, as JavaScript does. */
static napi_value invoke(napi_env env, napi_callback_info info) {
  napi_value value[MOST_ARGUMENTS];
  size_t given = MOST_ARGUMENTS;
  void *data = NULL;
  if (napi_get_cb_info(env, info, &given, value, NULL, &data) != napi_ok) return NULL;
  const struct Row *row = data;
  int32_t arg[MOST_ARGUMENTS];
  for (unsigned i = 0; i < row->count; i++) {
    if (!readInteger(env, value[i], &arg[i])) return integer(env, -EINVAL);
  }
  int32_t fault = faultCheck(row->name);
  return integer(env, fault < 0 ? fault : row->call(arg));
}

bool isFunctionName(const char *name) {
  for (size_t i = 0; i < ROWS; i++) {
    if (strcmp(rows[i].name, name) == 0) return true;
  }
  for (size_t i = 0; i < METHOD_ROWS; i++) {
    if (strcmp(methodRows[i].name, name) == 0) return true;
  }
  return false;
}

NAPI_MODULE_INIT(/* napi_env env, napi_value exports */) {
  recordAffinity();
  napi_property_descriptor properties[ROWS + METHOD_ROWS] = {0};
  for (size_t i = 0; i < ROWS; i++) {
    properties[i] = (napi_property_descriptor){
        .utf8name = rows[i].name, .method = invoke, .attributes = napi_enumerable, .data = (void *)&rows[i]};
  }
  for (size_t i = 0; i < METHOD_ROWS; i++) {
    properties[ROWS + i] = (napi_property_descriptor){
        .utf8name = methodRows[i].name, .method = methodRows[i].callback, .attributes = napi_enumerable};
  }
  if (napi_define_properties(env, exports, ROWS + METHOD_ROWS, properties) != napi_ok) return NULL;
  return exports;
}

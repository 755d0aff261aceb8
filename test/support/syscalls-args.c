/* Parsing a request, the table of named descriptors, printing an answer, and the content hash. */
#include "syscalls.h"
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

_Noreturn void broken(const char *format, ...) {
  va_list list;
  va_start(list, format);
  fflush(stdout);
  vfprintf(stderr, format, list);
  fputc('\n', stderr);
  _exit(2);
}

static int hex(int c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

static size_t unescape(char *s) {
  char *out = s;
  for (char *in = s; *in; out++)
    if (in[0] == '\\' && in[1] == 'x' && hex(in[2]) >= 0 && hex(in[3]) >= 0) *out = (char)(hex(in[2]) << 4 | hex(in[3])), in += 4;
    else *out = *in++;
  *out = 0;
  return (size_t)(out - s);
}

bool parse_call(char *line, struct call *out) {
  char *save, *token = strtok_r(line, " \n", &save);
  if (!token) return false;
  out->verb = token;
  out->count = 0;
  while ((token = strtok_r(NULL, " \n", &save))) {
    char *equals = strchr(token, '=');
    if (!equals || out->count == 64) return false;
    *equals = 0;
    struct arg *a = &out->args[out->count++];
    a->key = token, a->value = equals + 1, a->length = unescape(equals + 1);
  }
  return true;
}

const struct arg *find_arg(const struct call *c, const char *key) {
  for (int i = 0; i < c->count; i++)
    if (!strcmp(c->args[i].key, key)) return &c->args[i];
  return NULL;
}

const char *text(const struct call *c, const char *key, const char *fallback) {
  const struct arg *a = find_arg(c, key);
  if (!a && !fallback) broken("%s: %s= is missing", c->verb, key);
  return a ? a->value : fallback;
}

long long number(const struct call *c, const char *key, long long fallback) {
  const struct arg *a = find_arg(c, key);
  if (!a) return fallback;
  char *end;
  long long value = strtoll(a->value, &end, 0);
  if (*end || end == a->value) broken("%s: %s=%s is no number", c->verb, key, a->value);
  return value;
}

bool flag(const struct call *c, const char *key) { return number(c, key, 0) != 0; }

long long words(const struct call *c, const char *key, const struct word *table, long long fallback) {
  const struct arg *a = find_arg(c, key);
  if (!a) return fallback;
  long long value = 0;
  for (const char *p = a->value; *p;) {
    size_t length = strcspn(p, "|");
    const struct word *w = table;
    while (w->name && (strlen(w->name) != length || strncmp(w->name, p, length))) w++;
    if (w->name) value |= w->value;
    else if (p[0] >= '0' && p[0] <= '9') value |= strtoll(p, NULL, 0);
    else broken("%s: %s=%s: unknown %.*s", c->verb, key, a->value, (int)length, p);
    p += length + (p[length] == '|');
  }
  return value;
}

/* -- descriptors -- */
static struct {
  char name[24];
  int fd;
} table[4096];
static int used;

static int slot(const char *name) {
  for (int i = 0; i < used; i++)
    if (!strcmp(table[i].name, name)) return i;
  return -1;
}

int descriptor(const char *name) {
  int i = slot(name);
  return i < 0 ? -1 : table[i].fd;
}

void name_descriptor(const char *name, int fd) {
  int i = slot(name);
  if (i >= 0) close(table[i].fd);
  else if ((i = slot("")) < 0) {
    if (used == 4096) broken("too many descriptors");
    i = used++;
  }
  if (strlen(name) >= sizeof table[i].name) broken("descriptor name too long: %s", name);
  strcpy(table[i].name, name);
  table[i].fd = fd;
}

void forget_descriptor(const char *name) {
  int i = slot(name);
  if (i >= 0) table[i].name[0] = 0, table[i].fd = -1;
}

void close_descriptors(void) {
  for (int i = 0; i < used; i++)
    if (table[i].name[0]) close(table[i].fd);
  used = 0;
}

int directory_of(const struct call *c, const char *key) {
  const struct arg *a = find_arg(c, key);
  if (!a) return AT_FDCWD;
  return descriptor(a->value); /* -1 gives EBADF: an earlier open failed, and that is an outcome */
}

const char *plain_path(const struct call *c) {
  static char buffer[8192];
  if (!find_arg(c, "at")) return text(c, "path", NULL);
  snprintf(buffer, sizeof buffer, "/proc/self/fd/%d/%s", directory_of(c, "at"), text(c, "path", NULL));
  return buffer;
}

/* -- answers -- */
static char *gathered;
static size_t length, capacity;

static void append(const char *bytes, size_t n) {
  if (length + n + 1 > capacity && !(gathered = realloc(gathered, capacity = (length + n + 1) * 2))) broken("out of memory");
  memcpy(gathered + length, bytes, n);
  length += n;
}

void field(const char *key, const char *format, ...) {
  char value[256];
  va_list list;
  va_start(list, format);
  int n = vsnprintf(value, sizeof value, format, list);
  va_end(list);
  append(" ", 1), append(key, strlen(key)), append("=", 1), append(value, (size_t)n);
}

void field_bytes(const char *key, const void *bytes, size_t n) {
  append(" ", 1), append(key, strlen(key)), append("=", 1);
  const unsigned char *p = bytes;
  for (size_t i = 0; i < n; i++) {
    char escaped[8];
    if (p[i] > ' ' && p[i] < 127 && p[i] != '\\') append((const char *)p + i, 1);
    else append(escaped, (size_t)snprintf(escaped, sizeof escaped, "\\x%02x", p[i]));
  }
}

static void print_gathered(const char *head) {
  fputs(head, stdout);
  if (length) fwrite(gathered, 1, length, stdout);
  putchar('\n');
  length = 0;
}

void end_row(void) { print_gathered("|"); }

void end_call(int result) {
  print_gathered(result >= 0 ? "ok" : result == -EHWPOISON ? "SIGBUS" : strerrorname_np(-result));
  fflush(stdout);
}

/* -- XXH64 (seed 0) -- */
static const uint64_t P1 = 0x9E3779B185EBCA87, P2 = 0xC2B2AE3D27D4EB4F, P3 = 0x165667B19E3779F9, P4 = 0x85EBCA77C2B2AE63, P5 = 0x27D4EB2F165667C5;
static uint64_t rotate(uint64_t v, int by) { return v << by | v >> (64 - by); }
static uint64_t word64(const unsigned char *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static uint64_t stir(uint64_t lane, uint64_t v) { return rotate(lane + v * P2, 31) * P1; }

void hash_init(struct hash *h) { *h = (struct hash){.lane = {P1 + P2, P2, 0, 0 - P1}}; }

static void stripe(struct hash *h, const unsigned char *p) {
  for (int i = 0; i < 4; i++) h->lane[i] = stir(h->lane[i], word64(p + 8 * i));
}

void hash_add(struct hash *h, const void *bytes, size_t n) {
  const unsigned char *p = bytes;
  h->total += n;
  if (h->used) {
    size_t take = 32 - h->used < n ? 32 - h->used : n;
    memcpy(h->rest + h->used, p, take);
    h->used += (unsigned)take, p += take, n -= take;
    if (h->used < 32) return;
    stripe(h, h->rest), h->used = 0;
  }
  for (; n >= 32; p += 32, n -= 32) stripe(h, p);
  if (n) memcpy(h->rest, p, n);
  h->used = (unsigned)n;
}

uint64_t hash_value(const struct hash *h) {
  const uint64_t *l = h->lane;
  uint64_t v = h->total < 32 ? P5 : rotate(l[0], 1) + rotate(l[1], 7) + rotate(l[2], 12) + rotate(l[3], 18);
  if (h->total >= 32)
    for (int i = 0; i < 4; i++) v = (v ^ stir(0, l[i])) * P1 + P4;
  v += h->total;
  const unsigned char *p = h->rest, *end = p + h->used;
  for (; end - p >= 8; p += 8) v = rotate(v ^ stir(0, word64(p)), 27) * P1 + P4;
  if (end - p >= 4) {
    uint32_t half;
    memcpy(&half, p, 4);
    v = rotate(v ^ half * P1, 23) * P2 + P3, p += 4;
  }
  for (; p < end; p++) v = rotate(v ^ *p * P5, 11) * P1;
  v = (v ^ v >> 33) * P2, v = (v ^ v >> 29) * P3;
  return v ^ v >> 32;
}

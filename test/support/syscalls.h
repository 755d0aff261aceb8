/* What the parts of the system-call helper share; syscalls.c describes the format. */
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

struct arg {
  const char *key;
  char *value; /* unescaped, NUL-terminated; may hold NULs of its own */
  size_t length;
};

struct call {
  const char *verb;
  struct arg args[64];
  int count;
};

/* An operation prints its rows and fields and returns 0 or a negative errno. */
typedef int (*operation)(const struct call *);
struct verb {
  const char *name;
  operation run;
  const char *args; /* the keys it knows, besides uid gid groups umask */
};
extern const struct verb file_verbs[], data_verbs[], directory_verbs[], xattr_verbs[], process_verbs[], tree_verbs[];

/* -- arguments (syscalls-args.c) -- */
bool parse_call(char *line, struct call *out);
const struct arg *find_arg(const struct call *, const char *key);
const char *text(const struct call *, const char *key, const char *fallback);
long long number(const struct call *, const char *key, long long fallback); /* decimal, 0x hex, 0 octal */
bool flag(const struct call *, const char *key);
/* NAME|NAME|0x8 by a table; an unknown name ends the helper: that is a mistake in the test. */
struct word {
  const char *name;
  long long value;
};
long long words(const struct call *, const char *key, const struct word *table, long long fallback);
_Noreturn void broken(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* -- named descriptors: fd=, at= -- */
int descriptor(const char *name); /* -1 when there is none */
void name_descriptor(const char *name, int fd);
void forget_descriptor(const char *name);
void close_descriptors(void);
void forget_maps(void);
/* the directory descriptor that argument `key` names; AT_FDCWD without it */
int directory_of(const struct call *, const char *key);
/* `path`, or through /proc/self/fd when at= is given, for calls without an *at form; into a static buffer */
const char *plain_path(const struct call *);

/* -- results: fields gather, and go out with the result line; a row goes out at once -- */
void field(const char *key, const char *format, ...) __attribute__((format(printf, 2, 3)));
void field_bytes(const char *key, const void *bytes, size_t length);
void end_row(void); /* what was gathered becomes a row */
void end_call(int result);
void print_stat_fields(int dirfd, const char *path, int flags, int *result);

/* XXH64 of a stream, in pieces of any size */
struct hash {
  uint64_t lane[4], total;
  unsigned char rest[32];
  unsigned used;
};
void hash_init(struct hash *);
void hash_add(struct hash *, const void *bytes, size_t length);
uint64_t hash_value(const struct hash *);

static inline int result_of(long long value) { return value < 0 ? -errno : 0; }

/**
 * Reading a directory into records (../index.ts, DirentRecord): getdents64(2) into a buffer of the thread, then entry by entry.
 */
#include "args.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BUFFER_SIZE = 65536, WITH_STAT = 1, STAT_SUSPECTS = 2 };

/** struct linux_dirent64 of getdents64(2) */
struct Entry {
  uint64_t ino;
  int64_t next;
  uint16_t length;
  uint8_t type;
  char name[];
};

struct Record {
  uint32_t length;
  uint16_t nameLength;
  uint8_t type;
  uint8_t hasStat;
  struct StatRecord stat;
};
_Static_assert(sizeof(struct Record) == 136, "DirentRecord of index.ts");

static pthread_key_t bufferKey;
static pthread_once_t bufferOnce = PTHREAD_ONCE_INIT;

static void makeKey(void) {
  if (pthread_key_create(&bufferKey, free) != 0) abort(); // at load: the process has no key left for anyone
}

/** The thread's buffer, freed when the thread ends. */
static uint8_t *threadBuffer(void) {
  pthread_once(&bufferOnce, makeKey);
  uint8_t *buffer = pthread_getspecific(bufferKey);
  if (!buffer && (buffer = malloc(BUFFER_SIZE))) pthread_setspecific(bufferKey, buffer);
  return buffer;
}

static bool isDots(const char *name) {
  return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

/** Whether an entry may be a whiteout: a 0/0 character device, or with a name that AUFS and OCI layers give one. */
static bool isSuspect(const struct Entry *entry) {
  return entry->type == DT_CHR || entry->type == DT_UNKNOWN || (entry->type == DT_REG && strncmp(entry->name, ".wh.", 4) == 0);
}

/** Writes one record. Its length; 0 for an entry that is left out; -ENOBUFS when it does not fit; another errno of stat. */
static int32_t writeRecord(int fd, int flags, const struct Entry *entry, uint8_t *out, size_t room) {
  if (isDots(entry->name)) return 0;
  size_t nameLength = strlen(entry->name);
  size_t length = (sizeof(struct Record) + nameLength + 1 + 7) & ~(size_t)7;
  if (length > room) return -ENOBUFS;
  struct Record record = {
      .length = (uint32_t)length, .nameLength = (uint16_t)nameLength, .type = entry->type, .stat.ino = entry->ino};
  if ((flags & WITH_STAT) || ((flags & STAT_SUSPECTS) && isSuspect(entry))) {
    int32_t error = statAt(fd, entry->name, &record.stat);
    if (error < 0) return error == -ENOENT ? 0 : error;
    record.hasStat = 1;
    record.type = IFTODT(record.stat.mode);
  }
  memset(out + length - 8, 0, 8);
  memcpy(out, &record, sizeof record);
  memcpy(out + sizeof record, entry->name, nameLength);
  return (int32_t)length;
}

int32_t call_readDirents(const int32_t *arg) {
  int fd = arg[0], flags = arg[1];
  BYTES(out, arg[2], arg[3]);
  if (flags & ~(WITH_STAT | STAT_SUSPECTS)) return -EINVAL;
  size_t room = (size_t)arg[3], used = 0;
  uint8_t *buffer = threadBuffer();
  if (!buffer) return -ENOMEM;
  // An entry grows at most sixfold (24 bytes to 144), so that much of a batch surely fits; but the longest name must come through.
  size_t batch = room / 6 < 1024 ? 1024 : room / 6 < BUFFER_SIZE ? room / 6 : BUFFER_SIZE;
  // The place to go back to; not needed where all of a batch fits and no file of it has to be asked about.
  int64_t position = -1;
  if ((batch == 1024 || (flags & WITH_STAT)) && (position = lseek(fd, 0, SEEK_CUR)) < 0) return -errno;
  do {
    long n = RETRY(syscall(SYS_getdents64, fd, buffer, batch));
    if (n <= 0) return result(n);
    for (long at = 0; at < n;) {
      const struct Entry *entry = (const struct Entry *)(buffer + at);
      int32_t length = writeRecord(fd, flags, entry, out + used, room - used);
      if (length < 0) {
        // Back to before this entry; what stands so far is this call's, and an error but of room comes again with the next.
        if (position >= 0 && lseek(fd, position, SEEK_SET) < 0) return -errno;
        return used > 0 ? (int32_t)used : length;
      }
      used += (size_t)length;
      position = entry->next;
      at += entry->length;
    }
  } while (used == 0); // a batch of nothing but dots and vanished entries is not the end
  return (int32_t)used;
}

/**
 * File contents, and what there is to know about a file system.
 */
#include "args.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef FS_IOC_GETFSUUID
struct fsuuid2 {
  uint8_t len;
  uint8_t uuid[16];
};
#define FS_IOC_GETFSUUID _IOR(0x15, 0, struct fsuuid2)
#endif

int32_t call_pread(const int32_t *arg) {
  BYTES(out, arg[1], arg[2]);
  int64_t offset = wide(arg[3], arg[4]);
  size_t length = (size_t)arg[2], done = 0;
  do {
    ssize_t n = RETRY(pread(arg[0], out + done, length - done, offset + (int64_t)done));
    if (n < 0 && done == 0) return -errno;
    if (n <= 0) break;
    done += (size_t)n;
  } while (done < length);
  return (int32_t)done;
}

int32_t call_pwrite(const int32_t *arg) {
  BYTES(from, arg[1], arg[2]);
  int64_t offset = wide(arg[3], arg[4]);
  size_t length = (size_t)arg[2], done = 0;
  do {
    ssize_t n = RETRY(pwrite(arg[0], from + done, length - done, offset + (int64_t)done));
    if (n < 0 && done == 0) return -errno;
    if (n <= 0) break;
    done += (size_t)n;
  } while (done < length);
  return (int32_t)done;
}

int32_t call_lseek(const int32_t *arg) {
  BYTES(out, arg[4], sizeof(int64_t));
  int64_t position = lseek(arg[0], wide(arg[1], arg[2]), arg[3]);
  if (position < 0) return -errno;
  memcpy(out, &position, sizeof position);
  return 0;
}

int32_t call_ficlone(const int32_t *arg) {
  return result(RETRY(ioctl(arg[0], FICLONE, arg[1])));
}

int32_t call_syncfs(const int32_t *arg) {
  return result(RETRY(syncfs(arg[0])));
}

int32_t call_statvfs(const int32_t *arg) {
  BYTES(out, arg[1], sizeof(struct fuse_kstatfs));
  struct statfs s;
  if (RETRY(fstatfs(arg[0], &s)) < 0) return -errno;
  struct fuse_kstatfs record = {
      .blocks = s.f_blocks, .bfree = s.f_bfree, .bavail = s.f_bavail, .files = s.f_files, .ffree = s.f_ffree,
      .bsize = (uint32_t)s.f_bsize, .namelen = (uint32_t)s.f_namelen, .frsize = (uint32_t)s.f_frsize,
  };
  memcpy(out, &record, sizeof record);
  return 0;
}

int32_t call_fileHandle(const int32_t *arg) {
  DIRECTORY(dirfd, arg[0]);
  PATH(path, arg[1]);
  BYTES(out, arg[2], arg[3]);
  BYTES(typeOut, arg[4], sizeof(int32_t));
  union {
    struct file_handle handle;
    uint8_t space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
  } found = {.handle.handle_bytes = MAX_HANDLE_SZ};
  int mountId;
  if (name_to_handle_at(dirfd, path, &found.handle, &mountId, *path ? 0 : AT_EMPTY_PATH) < 0) return -errno;
  if (found.handle.handle_bytes > (uint32_t)arg[3]) return -EOVERFLOW;
  memcpy(out, found.handle.f_handle, found.handle.handle_bytes);
  memcpy(typeOut, &found.handle.handle_type, sizeof(int32_t));
  return (int32_t)found.handle.handle_bytes;
}

int32_t call_filesystemUuid(const int32_t *arg) {
  struct fsuuid2 found = {0};
  BYTES(out, arg[1], sizeof found.uuid);
  if (ioctl(arg[0], FS_IOC_GETFSUUID, &found) < 0) return -errno;
  if (found.len != sizeof found.uuid) return -ENOTTY;
  memcpy(out, found.uuid, sizeof found.uuid);
  return sizeof found.uuid;
}

int32_t call_getInodeFlags(const int32_t *arg) {
  BYTES(out, arg[1], sizeof(uint32_t));
  long flags = 0; // declared long, written as int: ioctl_iflags(2), BUGS
  if (ioctl(arg[0], FS_IOC_GETFLAGS, &flags) < 0) return -errno;
  memcpy(out, &flags, sizeof(uint32_t)); // little-endian
  return 0;
}

int32_t call_setInodeFlags(const int32_t *arg) {
  long flags = (uint32_t)arg[1];
  return result(ioctl(arg[0], FS_IOC_SETFLAGS, &flags));
}

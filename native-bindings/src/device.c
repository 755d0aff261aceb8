/**
 * /dev/fuse: messages and the device's ioctls. <linux/fuse.h> of older systems lacks the ioctls for passthrough (Linux 6.9): they are
 * spelled out here.
 */
#include "args.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef FUSE_DEV_IOC_BACKING_OPEN
struct fuse_backing_map {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};
#define FUSE_DEV_IOC_BACKING_OPEN _IOW(FUSE_DEV_IOC_MAGIC, 1, struct fuse_backing_map)
#define FUSE_DEV_IOC_BACKING_CLOSE _IOW(FUSE_DEV_IOC_MAGIC, 2, uint32_t)
#endif

int32_t call_fuseOpen(const int32_t *arg) {
  (void)arg;
  return result(RETRY(open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC)));
}

int32_t call_fuseClone(const int32_t *arg) {
  uint32_t original = (uint32_t)arg[0];
  int fd = RETRY(open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (fd < 0) return -errno;
  if (ioctl(fd, FUSE_DEV_IOC_CLONE, &original) == 0) return fd;
  int32_t error = -errno;
  close(fd);
  return error;
}

/** The kernel's reason for ENOENT at a read: the request was aborted between being queued and being copied (fuse_dev_do_read). */
static int32_t receive(int fd, uint8_t *buffer, size_t capacity) {
  for (;;) {
    ssize_t n = read(fd, buffer, capacity);
    if (n >= 0) return saturate(n);
    if (errno != EINTR && errno != ENOENT) return -errno;
  }
}

int32_t call_recv(const int32_t *arg) {
  BYTES(buffer, arg[1], arg[2]);
  return receive(arg[0], buffer, (size_t)arg[2]);
}

int32_t call_send(const int32_t *arg) {
  BYTES(message, arg[1], arg[2]);
  return result(RETRY(write(arg[0], message, (size_t)arg[2])));
}

int32_t call_sendRecv(const int32_t *arg) {
  BYTES(message, arg[1], arg[2]);
  BYTES(buffer, arg[3], arg[4]);
  BYTES(status, arg[5], sizeof(int32_t));
  int32_t sent = arg[2] ? result(RETRY(write(arg[0], message, (size_t)arg[2]))) : 0;
  if (sent > 0) sent = 0;
  memcpy(status, &sent, sizeof sent);
  return receive(arg[0], buffer, (size_t)arg[4]);
}

static int32_t openBacking(int device, int fd) {
  struct fuse_backing_map map = {.fd = fd};
  return result(ioctl(device, FUSE_DEV_IOC_BACKING_OPEN, &map));
}

int32_t call_backingOpen(const int32_t *arg) {
  return openBacking(arg[0], arg[1]);
}

int32_t call_backingClose(const int32_t *arg) {
  uint32_t id = (uint32_t)arg[1];
  return result(ioctl(arg[0], FUSE_DEV_IOC_BACKING_CLOSE, &id));
}

int32_t call_backingOpenAt(const int32_t *arg) {
  DIRECTORY(dirfd, arg[1]);
  PATH(path, arg[2]);
  int fd = RETRY(openat(dirfd, path, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (fd < 0) return -errno;
  int32_t id = openBacking(arg[0], fd);
  close(fd);
  return id;
}

/**
 * Mounts that are in nobody's tree of mounts: clones, open_tree(2) and mount_setattr(2), with directories reached through them, open_by_handle_at(2); and
 * new ones of FUSE, fsopen(2).
 */
#include "args.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_fsopen
#define SYS_fsopen 430
#define SYS_fsconfig 431
#define SYS_fsmount 432
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

/** <linux/mount.h>, which cannot be had beside <sys/mount.h> everywhere; of Linux 5.12 */
enum { TREE_CLONE = 1, PRIVATE = 1 << 18 };
struct MountAttributes {
  uint64_t set, clear, propagation, userNamespace;
};

int32_t call_cloneMount(const int32_t *arg) {
  static struct Probe openTree = {.number = SYS_open_tree, .off = "PLYFS_NO_OPEN_TREE"};
  DIRECTORY(dirfd, arg[0]);
  if (!kernelHas(&openTree)) return -ENOSYS;
  int fd = (int)syscall(SYS_open_tree, dirfd, "", TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH);
  if (fd < 0) return -errno;
  // private: what is mounted below the original from now on stays out of the clone
  struct MountAttributes attributes = {.set = (uint32_t)arg[1], .clear = (uint32_t)arg[2], .propagation = PRIVATE};
  if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0) return fd;
  int32_t error = -errno;
  close(fd);
  return error;
}

/** Of <linux/mount.h>, as above. */
enum { CONTEXT_CLOEXEC = 1, SET_FLAG = 0, SET_STRING = 1, CREATE = 6, MOUNT_CLOEXEC = 1 };

static long setNumber(int context, const char *key, const char *format, unsigned value) {
  char text[16];
  snprintf(text, sizeof text, format, value);
  return syscall(SYS_fsconfig, context, SET_STRING, key, text, 0);
}

int32_t call_fuseMount(const int32_t *arg) {
  DIRECTORY(device, arg[0]);
  int context = (int)syscall(SYS_fsopen, "fuse", CONTEXT_CLOEXEC);
  if (context < 0) return -errno;
  bool made = setNumber(context, "fd", "%u", (unsigned)device) == 0 && setNumber(context, "rootmode", "%o", S_IFDIR) == 0 &&
              setNumber(context, "user_id", "%u", geteuid()) == 0 && setNumber(context, "group_id", "%u", getegid()) == 0 &&
              syscall(SYS_fsconfig, context, SET_FLAG, "default_permissions", NULL, 0) == 0 &&
              syscall(SYS_fsconfig, context, SET_FLAG, "allow_other", NULL, 0) == 0 &&
              syscall(SYS_fsconfig, context, CREATE, NULL, NULL, 0) == 0;
  int32_t fd = made ? result(syscall(SYS_fsmount, context, MOUNT_CLOEXEC, 0)) : -errno;
  close(context);
  return fd;
}

int32_t call_mountId(const int32_t *arg) {
  DIRECTORY(fd, arg[0]);
  struct statx s;
  if (RETRY(statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &s)) < 0) return -errno;
  return s.stx_mask & STATX_MNT_ID ? saturate((int64_t)s.stx_mnt_id) : -EOPNOTSUPP;
}

int32_t call_openOnMount(const int32_t *arg) {
  DIRECTORY(mountFd, arg[0]);
  DIRECTORY(dirfd, arg[1]);
  union {
    struct file_handle handle;
    uint8_t space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
  } found = {.handle.handle_bytes = MAX_HANDLE_SZ};
  int mountId;
  if (name_to_handle_at(dirfd, "", &found.handle, &mountId, AT_EMPTY_PATH) < 0) return -errno;
  return result(RETRY(open_by_handle_at(mountFd, &found.handle, O_PATH | O_DIRECTORY | O_CLOEXEC)));
}

int32_t call_moveDescriptor(const int32_t *arg) {
  DIRECTORY(from, arg[0]);
  DIRECTORY(to, arg[1]);
  if (RETRY(dup3(from, to, O_CLOEXEC)) < 0) return -errno;
  close(from);
  return 0;
}

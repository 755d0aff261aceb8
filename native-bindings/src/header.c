/**
 * fuseHeader: what <linux/fuse.h> says, for a test that compares it with the constants of the TypeScript.
 *
 * Structs, fields and enumerators cannot be asked for with #ifdef, so they stand under the minor version they came with (7.31 is the
 * oldest header that will do), as macros that were always there do; newer macros are each asked for.
 */
#include "args.h"

#include <linux/fuse.h>
#include <sys/ioctl.h>

#define STRUCT(type) {"sizeof:" #type, sizeof(struct type)},
#define FIELD(type, field) {"offsetof:" #type "." #field, offsetof(struct type, field)},
// through uint32_t when it is an int: 1 << 31 is a bit, not a negative number
#define NUMBER(name) {#name, sizeof(name) == 4 ? (double)(uint32_t)(name) : (double)(name)},

static const struct {
  const char *name;
  double value;
} known[] = {
  STRUCT(fuse_attr) FIELD(fuse_attr, ino) FIELD(fuse_attr, size) FIELD(fuse_attr, blocks) FIELD(fuse_attr, atime) FIELD(fuse_attr, mtime)
  FIELD(fuse_attr, ctime) FIELD(fuse_attr, atimensec) FIELD(fuse_attr, mtimensec) FIELD(fuse_attr, ctimensec) FIELD(fuse_attr, mode)
  FIELD(fuse_attr, nlink) FIELD(fuse_attr, uid) FIELD(fuse_attr, gid) FIELD(fuse_attr, rdev) FIELD(fuse_attr, blksize)
  STRUCT(fuse_kstatfs) FIELD(fuse_kstatfs, blocks) FIELD(fuse_kstatfs, bfree) FIELD(fuse_kstatfs, bavail) FIELD(fuse_kstatfs, files)
  FIELD(fuse_kstatfs, ffree) FIELD(fuse_kstatfs, bsize) FIELD(fuse_kstatfs, namelen) FIELD(fuse_kstatfs, frsize)
  STRUCT(fuse_file_lock) FIELD(fuse_file_lock, start) FIELD(fuse_file_lock, end) FIELD(fuse_file_lock, type) FIELD(fuse_file_lock, pid)
  STRUCT(fuse_entry_out) FIELD(fuse_entry_out, nodeid) FIELD(fuse_entry_out, generation) FIELD(fuse_entry_out, entry_valid)
  FIELD(fuse_entry_out, attr_valid) FIELD(fuse_entry_out, entry_valid_nsec) FIELD(fuse_entry_out, attr_valid_nsec)
  FIELD(fuse_entry_out, attr)
  STRUCT(fuse_forget_in) FIELD(fuse_forget_in, nlookup)
  STRUCT(fuse_forget_one) FIELD(fuse_forget_one, nodeid) FIELD(fuse_forget_one, nlookup)
  STRUCT(fuse_batch_forget_in) FIELD(fuse_batch_forget_in, count)
  STRUCT(fuse_getattr_in) FIELD(fuse_getattr_in, getattr_flags) FIELD(fuse_getattr_in, fh)
  STRUCT(fuse_attr_out) FIELD(fuse_attr_out, attr_valid) FIELD(fuse_attr_out, attr_valid_nsec) FIELD(fuse_attr_out, attr)
  STRUCT(fuse_mknod_in) FIELD(fuse_mknod_in, mode) FIELD(fuse_mknod_in, rdev) FIELD(fuse_mknod_in, umask)
  STRUCT(fuse_mkdir_in) FIELD(fuse_mkdir_in, mode) FIELD(fuse_mkdir_in, umask)
  STRUCT(fuse_rename_in) FIELD(fuse_rename_in, newdir)
  STRUCT(fuse_rename2_in) FIELD(fuse_rename2_in, newdir) FIELD(fuse_rename2_in, flags)
  STRUCT(fuse_link_in) FIELD(fuse_link_in, oldnodeid)
  STRUCT(fuse_setattr_in) FIELD(fuse_setattr_in, valid) FIELD(fuse_setattr_in, fh) FIELD(fuse_setattr_in, size)
  FIELD(fuse_setattr_in, lock_owner) FIELD(fuse_setattr_in, atime) FIELD(fuse_setattr_in, mtime) FIELD(fuse_setattr_in, ctime)
  FIELD(fuse_setattr_in, atimensec) FIELD(fuse_setattr_in, mtimensec) FIELD(fuse_setattr_in, ctimensec) FIELD(fuse_setattr_in, mode)
  FIELD(fuse_setattr_in, uid) FIELD(fuse_setattr_in, gid)
  STRUCT(fuse_open_in) FIELD(fuse_open_in, flags)
  STRUCT(fuse_create_in) FIELD(fuse_create_in, flags) FIELD(fuse_create_in, mode) FIELD(fuse_create_in, umask)
  STRUCT(fuse_open_out) FIELD(fuse_open_out, fh) FIELD(fuse_open_out, open_flags)
  STRUCT(fuse_release_in) FIELD(fuse_release_in, fh) FIELD(fuse_release_in, flags) FIELD(fuse_release_in, release_flags)
  FIELD(fuse_release_in, lock_owner)
  STRUCT(fuse_flush_in) FIELD(fuse_flush_in, fh) FIELD(fuse_flush_in, lock_owner)
  STRUCT(fuse_read_in) FIELD(fuse_read_in, fh) FIELD(fuse_read_in, offset) FIELD(fuse_read_in, size) FIELD(fuse_read_in, read_flags)
  FIELD(fuse_read_in, lock_owner) FIELD(fuse_read_in, flags)
  STRUCT(fuse_write_in) FIELD(fuse_write_in, fh) FIELD(fuse_write_in, offset) FIELD(fuse_write_in, size) FIELD(fuse_write_in, write_flags)
  FIELD(fuse_write_in, lock_owner) FIELD(fuse_write_in, flags)
  STRUCT(fuse_write_out) FIELD(fuse_write_out, size)
  STRUCT(fuse_statfs_out) FIELD(fuse_statfs_out, st)
  STRUCT(fuse_fsync_in) FIELD(fuse_fsync_in, fh) FIELD(fuse_fsync_in, fsync_flags)
  STRUCT(fuse_setxattr_in) FIELD(fuse_setxattr_in, size) FIELD(fuse_setxattr_in, flags)
  STRUCT(fuse_getxattr_in) FIELD(fuse_getxattr_in, size)
  STRUCT(fuse_getxattr_out) FIELD(fuse_getxattr_out, size)
  STRUCT(fuse_lk_in) FIELD(fuse_lk_in, fh) FIELD(fuse_lk_in, owner) FIELD(fuse_lk_in, lk) FIELD(fuse_lk_in, lk_flags)
  STRUCT(fuse_lk_out) FIELD(fuse_lk_out, lk)
  STRUCT(fuse_access_in) FIELD(fuse_access_in, mask)
  STRUCT(fuse_init_in) FIELD(fuse_init_in, major) FIELD(fuse_init_in, minor) FIELD(fuse_init_in, max_readahead) FIELD(fuse_init_in, flags)
  STRUCT(fuse_init_out) FIELD(fuse_init_out, major) FIELD(fuse_init_out, minor) FIELD(fuse_init_out, max_readahead)
  FIELD(fuse_init_out, flags) FIELD(fuse_init_out, max_background) FIELD(fuse_init_out, congestion_threshold)
  FIELD(fuse_init_out, max_write) FIELD(fuse_init_out, time_gran) FIELD(fuse_init_out, max_pages) FIELD(fuse_init_out, map_alignment)
  STRUCT(cuse_init_in) FIELD(cuse_init_in, major) FIELD(cuse_init_in, minor) FIELD(cuse_init_in, flags)
  STRUCT(cuse_init_out) FIELD(cuse_init_out, major) FIELD(cuse_init_out, minor) FIELD(cuse_init_out, flags) FIELD(cuse_init_out, max_read)
  FIELD(cuse_init_out, max_write) FIELD(cuse_init_out, dev_major) FIELD(cuse_init_out, dev_minor)
  STRUCT(fuse_interrupt_in) FIELD(fuse_interrupt_in, unique)
  STRUCT(fuse_bmap_in) FIELD(fuse_bmap_in, block) FIELD(fuse_bmap_in, blocksize)
  STRUCT(fuse_bmap_out) FIELD(fuse_bmap_out, block)
  STRUCT(fuse_ioctl_in) FIELD(fuse_ioctl_in, fh) FIELD(fuse_ioctl_in, flags) FIELD(fuse_ioctl_in, cmd) FIELD(fuse_ioctl_in, arg)
  FIELD(fuse_ioctl_in, in_size) FIELD(fuse_ioctl_in, out_size)
  STRUCT(fuse_ioctl_iovec) FIELD(fuse_ioctl_iovec, base) FIELD(fuse_ioctl_iovec, len)
  STRUCT(fuse_ioctl_out) FIELD(fuse_ioctl_out, result) FIELD(fuse_ioctl_out, flags) FIELD(fuse_ioctl_out, in_iovs)
  FIELD(fuse_ioctl_out, out_iovs)
  STRUCT(fuse_poll_in) FIELD(fuse_poll_in, fh) FIELD(fuse_poll_in, kh) FIELD(fuse_poll_in, flags) FIELD(fuse_poll_in, events)
  STRUCT(fuse_poll_out) FIELD(fuse_poll_out, revents)
  STRUCT(fuse_notify_poll_wakeup_out) FIELD(fuse_notify_poll_wakeup_out, kh)
  STRUCT(fuse_fallocate_in) FIELD(fuse_fallocate_in, fh) FIELD(fuse_fallocate_in, offset) FIELD(fuse_fallocate_in, length)
  FIELD(fuse_fallocate_in, mode)
  STRUCT(fuse_in_header) FIELD(fuse_in_header, len) FIELD(fuse_in_header, opcode) FIELD(fuse_in_header, unique)
  FIELD(fuse_in_header, nodeid) FIELD(fuse_in_header, uid) FIELD(fuse_in_header, gid) FIELD(fuse_in_header, pid)
  STRUCT(fuse_out_header) FIELD(fuse_out_header, len) FIELD(fuse_out_header, error) FIELD(fuse_out_header, unique)
  STRUCT(fuse_dirent) FIELD(fuse_dirent, ino) FIELD(fuse_dirent, off) FIELD(fuse_dirent, namelen) FIELD(fuse_dirent, type)
  FIELD(fuse_dirent, name)
  STRUCT(fuse_direntplus) FIELD(fuse_direntplus, entry_out) FIELD(fuse_direntplus, dirent)
  STRUCT(fuse_notify_inval_inode_out) FIELD(fuse_notify_inval_inode_out, ino) FIELD(fuse_notify_inval_inode_out, off)
  FIELD(fuse_notify_inval_inode_out, len)
  STRUCT(fuse_notify_inval_entry_out) FIELD(fuse_notify_inval_entry_out, parent) FIELD(fuse_notify_inval_entry_out, namelen)
  STRUCT(fuse_notify_delete_out) FIELD(fuse_notify_delete_out, parent) FIELD(fuse_notify_delete_out, child)
  FIELD(fuse_notify_delete_out, namelen)
  STRUCT(fuse_notify_store_out) FIELD(fuse_notify_store_out, nodeid) FIELD(fuse_notify_store_out, offset) FIELD(fuse_notify_store_out, size)
  STRUCT(fuse_notify_retrieve_out) FIELD(fuse_notify_retrieve_out, notify_unique) FIELD(fuse_notify_retrieve_out, nodeid)
  FIELD(fuse_notify_retrieve_out, offset) FIELD(fuse_notify_retrieve_out, size)
  STRUCT(fuse_notify_retrieve_in) FIELD(fuse_notify_retrieve_in, offset) FIELD(fuse_notify_retrieve_in, size)
  STRUCT(fuse_lseek_in) FIELD(fuse_lseek_in, fh) FIELD(fuse_lseek_in, offset) FIELD(fuse_lseek_in, whence)
  STRUCT(fuse_lseek_out) FIELD(fuse_lseek_out, offset)
  STRUCT(fuse_copy_file_range_in) FIELD(fuse_copy_file_range_in, fh_in) FIELD(fuse_copy_file_range_in, off_in)
  FIELD(fuse_copy_file_range_in, nodeid_out) FIELD(fuse_copy_file_range_in, fh_out) FIELD(fuse_copy_file_range_in, off_out)
  FIELD(fuse_copy_file_range_in, len) FIELD(fuse_copy_file_range_in, flags)
  STRUCT(fuse_setupmapping_in) FIELD(fuse_setupmapping_in, fh) FIELD(fuse_setupmapping_in, foffset) FIELD(fuse_setupmapping_in, len)
  FIELD(fuse_setupmapping_in, flags) FIELD(fuse_setupmapping_in, moffset)
  STRUCT(fuse_removemapping_in) FIELD(fuse_removemapping_in, count)
  STRUCT(fuse_removemapping_one) FIELD(fuse_removemapping_one, moffset) FIELD(fuse_removemapping_one, len)
  NUMBER(FUSE_LOOKUP) NUMBER(FUSE_FORGET) NUMBER(FUSE_GETATTR) NUMBER(FUSE_SETATTR) NUMBER(FUSE_READLINK) NUMBER(FUSE_SYMLINK)
  NUMBER(FUSE_MKNOD) NUMBER(FUSE_MKDIR) NUMBER(FUSE_UNLINK) NUMBER(FUSE_RMDIR) NUMBER(FUSE_RENAME) NUMBER(FUSE_LINK) NUMBER(FUSE_OPEN)
  NUMBER(FUSE_READ) NUMBER(FUSE_WRITE) NUMBER(FUSE_STATFS) NUMBER(FUSE_RELEASE) NUMBER(FUSE_FSYNC) NUMBER(FUSE_SETXATTR)
  NUMBER(FUSE_GETXATTR) NUMBER(FUSE_LISTXATTR) NUMBER(FUSE_REMOVEXATTR) NUMBER(FUSE_FLUSH) NUMBER(FUSE_INIT) NUMBER(FUSE_OPENDIR)
  NUMBER(FUSE_READDIR) NUMBER(FUSE_RELEASEDIR) NUMBER(FUSE_FSYNCDIR) NUMBER(FUSE_GETLK) NUMBER(FUSE_SETLK) NUMBER(FUSE_SETLKW)
  NUMBER(FUSE_ACCESS) NUMBER(FUSE_CREATE) NUMBER(FUSE_INTERRUPT) NUMBER(FUSE_BMAP) NUMBER(FUSE_DESTROY) NUMBER(FUSE_IOCTL) NUMBER(FUSE_POLL)
  NUMBER(FUSE_NOTIFY_REPLY) NUMBER(FUSE_BATCH_FORGET) NUMBER(FUSE_FALLOCATE) NUMBER(FUSE_READDIRPLUS) NUMBER(FUSE_RENAME2)
  NUMBER(FUSE_LSEEK) NUMBER(FUSE_COPY_FILE_RANGE) NUMBER(FUSE_SETUPMAPPING) NUMBER(FUSE_REMOVEMAPPING) NUMBER(CUSE_INIT)
  NUMBER(CUSE_INIT_BSWAP_RESERVED) NUMBER(FUSE_INIT_BSWAP_RESERVED)
  NUMBER(FUSE_NOTIFY_REPLY) NUMBER(FUSE_NOTIFY_POLL) NUMBER(FUSE_NOTIFY_INVAL_INODE) NUMBER(FUSE_NOTIFY_INVAL_ENTRY)
  NUMBER(FUSE_NOTIFY_STORE) NUMBER(FUSE_NOTIFY_RETRIEVE) NUMBER(FUSE_NOTIFY_DELETE)
  NUMBER(FUSE_KERNEL_VERSION) NUMBER(FUSE_KERNEL_MINOR_VERSION) NUMBER(FUSE_ROOT_ID) NUMBER(FATTR_MODE) NUMBER(FATTR_UID) NUMBER(FATTR_GID)
  NUMBER(FATTR_SIZE) NUMBER(FATTR_ATIME) NUMBER(FATTR_MTIME) NUMBER(FATTR_FH) NUMBER(FATTR_ATIME_NOW) NUMBER(FATTR_MTIME_NOW)
  NUMBER(FATTR_LOCKOWNER) NUMBER(FATTR_CTIME) NUMBER(FOPEN_DIRECT_IO) NUMBER(FOPEN_KEEP_CACHE) NUMBER(FOPEN_NONSEEKABLE)
  NUMBER(FOPEN_CACHE_DIR) NUMBER(FOPEN_STREAM) NUMBER(FUSE_ASYNC_READ) NUMBER(FUSE_POSIX_LOCKS) NUMBER(FUSE_FILE_OPS)
  NUMBER(FUSE_ATOMIC_O_TRUNC) NUMBER(FUSE_EXPORT_SUPPORT) NUMBER(FUSE_BIG_WRITES) NUMBER(FUSE_DONT_MASK) NUMBER(FUSE_SPLICE_WRITE)
  NUMBER(FUSE_SPLICE_MOVE) NUMBER(FUSE_SPLICE_READ) NUMBER(FUSE_FLOCK_LOCKS) NUMBER(FUSE_HAS_IOCTL_DIR) NUMBER(FUSE_AUTO_INVAL_DATA)
  NUMBER(FUSE_DO_READDIRPLUS) NUMBER(FUSE_READDIRPLUS_AUTO) NUMBER(FUSE_ASYNC_DIO) NUMBER(FUSE_WRITEBACK_CACHE) NUMBER(FUSE_NO_OPEN_SUPPORT)
  NUMBER(FUSE_PARALLEL_DIROPS) NUMBER(FUSE_HANDLE_KILLPRIV) NUMBER(FUSE_POSIX_ACL) NUMBER(FUSE_ABORT_ERROR) NUMBER(FUSE_MAX_PAGES)
  NUMBER(FUSE_CACHE_SYMLINKS) NUMBER(FUSE_NO_OPENDIR_SUPPORT) NUMBER(FUSE_EXPLICIT_INVAL_DATA) NUMBER(FUSE_MAP_ALIGNMENT)
  NUMBER(CUSE_UNRESTRICTED_IOCTL) NUMBER(FUSE_RELEASE_FLUSH) NUMBER(FUSE_RELEASE_FLOCK_UNLOCK) NUMBER(FUSE_GETATTR_FH) NUMBER(FUSE_LK_FLOCK)
  NUMBER(FUSE_WRITE_CACHE) NUMBER(FUSE_WRITE_LOCKOWNER) NUMBER(FUSE_WRITE_KILL_PRIV) NUMBER(FUSE_READ_LOCKOWNER) NUMBER(FUSE_IOCTL_COMPAT)
  NUMBER(FUSE_IOCTL_UNRESTRICTED) NUMBER(FUSE_IOCTL_RETRY) NUMBER(FUSE_IOCTL_32BIT) NUMBER(FUSE_IOCTL_DIR) NUMBER(FUSE_IOCTL_COMPAT_X32)
  NUMBER(FUSE_IOCTL_MAX_IOV) NUMBER(FUSE_POLL_SCHEDULE_NOTIFY) NUMBER(FUSE_FSYNC_FDATASYNC) NUMBER(FUSE_MIN_READ_BUFFER)
  NUMBER(FUSE_COMPAT_ENTRY_OUT_SIZE) NUMBER(FUSE_COMPAT_ATTR_OUT_SIZE) NUMBER(FUSE_COMPAT_MKNOD_IN_SIZE) NUMBER(FUSE_COMPAT_WRITE_IN_SIZE)
  NUMBER(FUSE_COMPAT_STATFS_SIZE) NUMBER(FUSE_COMPAT_SETXATTR_IN_SIZE) NUMBER(FUSE_COMPAT_INIT_OUT_SIZE)
  NUMBER(FUSE_COMPAT_22_INIT_OUT_SIZE) NUMBER(CUSE_INIT_INFO_MAX) NUMBER(FUSE_NAME_OFFSET) NUMBER(FUSE_DEV_IOC_MAGIC)
  NUMBER(FUSE_DEV_IOC_CLONE) NUMBER(FUSE_SETUPMAPPING_FLAG_WRITE) NUMBER(FUSE_SETUPMAPPING_FLAG_READ)
#if FUSE_KERNEL_MINOR_VERSION >= 32
  FIELD(fuse_attr, flags)
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 33
  FIELD(fuse_open_in, open_flags) FIELD(fuse_create_in, open_flags) FIELD(fuse_setxattr_in, setxattr_flags)
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 34
  STRUCT(fuse_syncfs_in) NUMBER(FUSE_SYNCFS)
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 36
  FIELD(fuse_init_in, flags2) FIELD(fuse_init_out, flags2)
  STRUCT(fuse_secctx) FIELD(fuse_secctx, size)
  STRUCT(fuse_secctx_header) FIELD(fuse_secctx_header, size) FIELD(fuse_secctx_header, nr_secctx)
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 37
  NUMBER(FUSE_TMPFILE)
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 38
  FIELD(fuse_in_header, total_extlen) FIELD(fuse_notify_inval_entry_out, flags)
  STRUCT(fuse_ext_header) FIELD(fuse_ext_header, size) FIELD(fuse_ext_header, type) NUMBER(FUSE_MAX_NR_SECCTX)
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 39
  STRUCT(fuse_statx_in) FIELD(fuse_statx_in, getattr_flags) FIELD(fuse_statx_in, fh) FIELD(fuse_statx_in, sx_flags)
  FIELD(fuse_statx_in, sx_mask)
  STRUCT(fuse_statx_out) FIELD(fuse_statx_out, attr_valid) FIELD(fuse_statx_out, attr_valid_nsec) FIELD(fuse_statx_out, flags)
  FIELD(fuse_statx_out, stat)
  STRUCT(fuse_sx_time) FIELD(fuse_sx_time, tv_sec) FIELD(fuse_sx_time, tv_nsec)
  STRUCT(fuse_statx) FIELD(fuse_statx, mask) FIELD(fuse_statx, blksize) FIELD(fuse_statx, attributes) FIELD(fuse_statx, nlink)
  FIELD(fuse_statx, uid) FIELD(fuse_statx, gid) FIELD(fuse_statx, mode) FIELD(fuse_statx, ino) FIELD(fuse_statx, size)
  FIELD(fuse_statx, blocks) FIELD(fuse_statx, attributes_mask) FIELD(fuse_statx, atime) FIELD(fuse_statx, btime) FIELD(fuse_statx, ctime)
  FIELD(fuse_statx, mtime) FIELD(fuse_statx, rdev_major) FIELD(fuse_statx, rdev_minor) FIELD(fuse_statx, dev_major)
  FIELD(fuse_statx, dev_minor)
  NUMBER(FUSE_STATX)
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 40
  FIELD(fuse_open_out, backing_id) FIELD(fuse_init_out, max_stack_depth)
  STRUCT(fuse_backing_map) FIELD(fuse_backing_map, fd) FIELD(fuse_backing_map, flags)
  NUMBER(FUSE_NOTIFY_RESEND)
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 42
  STRUCT(fuse_uring_ent_in_out) FIELD(fuse_uring_ent_in_out, flags) FIELD(fuse_uring_ent_in_out, commit_id)
  FIELD(fuse_uring_ent_in_out, payload_sz)
  STRUCT(fuse_uring_req_header) FIELD(fuse_uring_req_header, in_out) FIELD(fuse_uring_req_header, op_in)
  FIELD(fuse_uring_req_header, ring_ent_in_out)
  STRUCT(fuse_uring_cmd_req) FIELD(fuse_uring_cmd_req, flags) FIELD(fuse_uring_cmd_req, commit_id) FIELD(fuse_uring_cmd_req, qid)
  NUMBER(FUSE_IO_URING_CMD_REGISTER) NUMBER(FUSE_IO_URING_CMD_COMMIT_AND_FETCH)
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 43
  FIELD(fuse_init_out, request_timeout)
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 44
  NUMBER(FUSE_NOTIFY_INC_EPOCH)
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 45
  STRUCT(fuse_notify_prune_out) FIELD(fuse_notify_prune_out, count) NUMBER(FUSE_NOTIFY_PRUNE)
  STRUCT(fuse_copy_file_range_out) FIELD(fuse_copy_file_range_out, bytes_copied) NUMBER(FUSE_COPY_FILE_RANGE_64)
#endif
#ifdef FUSE_CREATE_SUPP_GROUP
  STRUCT(fuse_supp_groups) FIELD(fuse_supp_groups, nr_groups) FIELD(fuse_supp_groups, groups) NUMBER(FUSE_EXT_GROUPS)
#endif
#ifdef FATTR_KILL_SUIDGID
  NUMBER(FATTR_KILL_SUIDGID)
#endif
#ifdef FOPEN_NOFLUSH
  NUMBER(FOPEN_NOFLUSH)
#endif
#ifdef FOPEN_PARALLEL_DIRECT_WRITES
  NUMBER(FOPEN_PARALLEL_DIRECT_WRITES)
#endif
#ifdef FUSE_SUBMOUNTS
  NUMBER(FUSE_SUBMOUNTS)
#endif
#ifdef FUSE_HANDLE_KILLPRIV_V2
  NUMBER(FUSE_HANDLE_KILLPRIV_V2)
#endif
#ifdef FUSE_SETXATTR_EXT
  NUMBER(FUSE_SETXATTR_EXT)
#endif
#ifdef FUSE_INIT_EXT
  NUMBER(FUSE_INIT_EXT)
#endif
#ifdef FUSE_INIT_RESERVED
  NUMBER(FUSE_INIT_RESERVED)
#endif
#ifdef FUSE_SECURITY_CTX
  NUMBER(FUSE_SECURITY_CTX)
#endif
#ifdef FUSE_HAS_INODE_DAX
  NUMBER(FUSE_HAS_INODE_DAX)
#endif
#ifdef FUSE_HAS_EXPIRE_ONLY
  NUMBER(FUSE_HAS_EXPIRE_ONLY)
#endif
#ifdef FUSE_WRITE_KILL_SUIDGID
  NUMBER(FUSE_WRITE_KILL_SUIDGID)
#endif
#ifdef FUSE_ATTR_SUBMOUNT
  NUMBER(FUSE_ATTR_SUBMOUNT)
#endif
#ifdef FUSE_ATTR_DAX
  NUMBER(FUSE_ATTR_DAX)
#endif
#ifdef FUSE_OPEN_KILL_SUIDGID
  NUMBER(FUSE_OPEN_KILL_SUIDGID)
#endif
#ifdef FUSE_SETXATTR_ACL_KILL_SGID
  NUMBER(FUSE_SETXATTR_ACL_KILL_SGID)
#endif
#ifdef FUSE_EXPIRE_ONLY
  NUMBER(FUSE_EXPIRE_ONLY)
#endif
#ifdef FUSE_CREATE_SUPP_GROUP
  NUMBER(FUSE_CREATE_SUPP_GROUP)
#endif
#ifdef FUSE_DIRECT_IO_ALLOW_MMAP
  NUMBER(FUSE_DIRECT_IO_ALLOW_MMAP)
#endif
#ifdef FUSE_DIRECT_IO_RELAX
  NUMBER(FUSE_DIRECT_IO_RELAX)
#endif
#ifdef FUSE_PASSTHROUGH
  NUMBER(FUSE_PASSTHROUGH)
#endif
#ifdef FUSE_NO_EXPORT_SUPPORT
  NUMBER(FUSE_NO_EXPORT_SUPPORT)
#endif
#ifdef FUSE_HAS_RESEND
  NUMBER(FUSE_HAS_RESEND)
#endif
#ifdef FUSE_ALLOW_IDMAP
  NUMBER(FUSE_ALLOW_IDMAP)
#endif
#ifdef FUSE_OVER_IO_URING
  NUMBER(FUSE_OVER_IO_URING)
#endif
#ifdef FUSE_REQUEST_TIMEOUT
  NUMBER(FUSE_REQUEST_TIMEOUT)
#endif
#ifdef FUSE_UNIQUE_RESEND
  NUMBER(FUSE_UNIQUE_RESEND)
#endif
#ifdef FUSE_INVALID_UIDGID
  NUMBER(FUSE_INVALID_UIDGID)
#endif
#ifdef FOPEN_PASSTHROUGH
  NUMBER(FOPEN_PASSTHROUGH)
#endif
#ifdef FUSE_DEV_IOC_BACKING_OPEN
  NUMBER(FUSE_DEV_IOC_BACKING_OPEN)
#endif
#ifdef FUSE_DEV_IOC_BACKING_CLOSE
  NUMBER(FUSE_DEV_IOC_BACKING_CLOSE)
#endif
#ifdef FUSE_DEV_IOC_SYNC_INIT
  NUMBER(FUSE_DEV_IOC_SYNC_INIT)
#endif
};

napi_value method_fuseHeader(napi_env env, napi_callback_info info) {
  napi_value value, out;
  size_t given = 1;
  napi_get_cb_info(env, info, &given, &value, NULL, NULL);
  char name[128];
  napi_valuetype type;
  if (napi_typeof(env, value, &type) != napi_ok || type != napi_string) return typeError(env, "fuseHeader(name: string)");
  napi_get_undefined(env, &out);
  if (!readString(env, value, name, sizeof name)) return out;
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    if (strcmp(known[i].name, name) == 0) napi_create_double(env, known[i].value, &out);
  }
  return out;
}

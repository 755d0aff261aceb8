/**
 * The structures of <linux/fuse.h> (protocol 7.45): offset of each field, and SIZE, under the kernel's names. `InHeader` is struct
 * fuse_in_header, and so on. Fields are u32 unless a comment says otherwise; padding is left out. "7.33" is the protocol version a structure
 * or field came in. scripts/check-protocol compares all of it with the header of the machine.
 */

/** struct fuse_in_header: every request */
export const enum InHeader {
  len = 0,
  opcode = 4,
  /** u64 */ unique = 8,
  /** u64 */ nodeid = 16,
  uid = 24,
  gid = 28,
  pid = 32,
  /** u16; 7.38, in units of 8 bytes */ total_extlen = 36,
  SIZE = 40,
}

/** struct fuse_out_header: every reply and notification */
export const enum OutHeader {
  len = 0,
  /** s32; a notification: its NotifyCode */ error = 4,
  /** u64 */ unique = 8,
  SIZE = 16,
}

/** struct fuse_ext_header: 7.38 */
export const enum ExtHeader {
  size = 0,
  type = 4,
  SIZE = 8,
}

/** struct fuse_supp_groups: 7.38; after an ext_header of type EXT_GROUPS */
export const enum SuppGroups {
  nr_groups = 0,
  /** u32[] */ groups = 4,
  SIZE = 4,
}

/** struct fuse_secctx_header: 7.36 */
export const enum SecctxHeader {
  size = 0,
  nr_secctx = 4,
  SIZE = 8,
}

/** struct fuse_secctx: 7.36; then name NUL label */
export const enum Secctx {
  size = 0,
  SIZE = 8,
}

/** struct fuse_attr: 7.1 */
export const enum Attr {
  /** u64 */ ino = 0,
  /** u64 */ size = 8,
  /** u64 */ blocks = 16,
  /** u64 */ atime = 24,
  /** u64 */ mtime = 32,
  /** u64 */ ctime = 40,
  atimensec = 48,
  mtimensec = 52,
  ctimensec = 56,
  mode = 60,
  nlink = 64,
  uid = 68,
  gid = 72,
  rdev = 76,
  /** 7.9 */ blksize = 80,
  /** 7.32 */ flags = 84,
  SIZE = 88,
}

/** struct fuse_sx_time: 7.39 */
export const enum SxTime {
  /** s64 */ tv_sec = 0,
  tv_nsec = 8,
  SIZE = 16,
}

/** struct fuse_statx: 7.39; as struct statx */
export const enum Statx {
  mask = 0,
  blksize = 4,
  /** u64 */ attributes = 8,
  nlink = 16,
  uid = 20,
  gid = 24,
  /** u16 */ mode = 28,
  /** u64 */ ino = 32,
  /** u64 */ size = 40,
  /** u64 */ blocks = 48,
  /** u64 */ attributes_mask = 56,
  /** fuse_sx_time */ atime = 64,
  /** fuse_sx_time */ btime = 80,
  /** fuse_sx_time */ ctime = 96,
  /** fuse_sx_time */ mtime = 112,
  rdev_major = 128,
  rdev_minor = 132,
  dev_major = 136,
  dev_minor = 140,
  SIZE = 256,
}

/** struct fuse_kstatfs: frsize: 7.4 */
export const enum Kstatfs {
  /** u64 */ blocks = 0,
  /** u64 */ bfree = 8,
  /** u64 */ bavail = 16,
  /** u64 */ files = 24,
  /** u64 */ ffree = 32,
  bsize = 40,
  namelen = 44,
  frsize = 48,
  SIZE = 80,
}

/** struct fuse_file_lock: 7.7 */
export const enum FileLock {
  /** u64 */ start = 0,
  /** u64 */ end = 8,
  type = 16,
  pid = 20,
  SIZE = 24,
}

/** struct fuse_entry_out: the attr makes it 128 bytes since 7.9 */
export const enum EntryOut {
  /** u64 */ nodeid = 0,
  /** u64 */ generation = 8,
  /** u64 */ entry_valid = 16,
  /** u64 */ attr_valid = 24,
  entry_valid_nsec = 32,
  attr_valid_nsec = 36,
  /** fuse_attr */ attr = 40,
  SIZE = 128,
}

/** struct fuse_forget_in */
export const enum ForgetIn {
  /** u64 */ nlookup = 0,
  SIZE = 8,
}

/** struct fuse_forget_one: 7.16 */
export const enum ForgetOne {
  /** u64 */ nodeid = 0,
  /** u64 */ nlookup = 8,
  SIZE = 16,
}

/** struct fuse_batch_forget_in: 7.16; then `count` forget_one */
export const enum BatchForgetIn {
  count = 0,
  SIZE = 8,
}

/** struct fuse_getattr_in: 7.9 */
export const enum GetattrIn {
  getattr_flags = 0,
  /** u64 */ fh = 8,
  SIZE = 16,
}

/** struct fuse_attr_out: 104 bytes since 7.9 */
export const enum AttrOut {
  /** u64 */ attr_valid = 0,
  attr_valid_nsec = 8,
  /** fuse_attr */ attr = 16,
  SIZE = 104,
}

/** struct fuse_statx_in: 7.39 */
export const enum StatxIn {
  getattr_flags = 0,
  /** u64 */ fh = 8,
  sx_flags = 16,
  sx_mask = 20,
  SIZE = 24,
}

/** struct fuse_statx_out: 7.39 */
export const enum StatxOut {
  /** u64 */ attr_valid = 0,
  attr_valid_nsec = 8,
  flags = 12,
  /** fuse_statx */ stat = 32,
  SIZE = 288,
}

/** struct fuse_mknod_in: then name NUL; 16 bytes since 7.12 */
export const enum MknodIn {
  mode = 0,
  rdev = 4,
  /** 7.12 */ umask = 8,
  SIZE = 16,
}

/** struct fuse_mkdir_in: then name NUL */
export const enum MkdirIn {
  mode = 0,
  /** 7.12 */ umask = 4,
  SIZE = 8,
}

/** struct fuse_rename_in: RENAME; then old NUL new NUL */
export const enum RenameIn {
  /** u64 */ newdir = 0,
  SIZE = 8,
}

/** struct fuse_rename2_in: 7.23, RENAME2; then old NUL new NUL */
export const enum Rename2In {
  /** u64 */ newdir = 0,
  flags = 8,
  SIZE = 16,
}

/** struct fuse_link_in: then name NUL */
export const enum LinkIn {
  /** u64 */ oldnodeid = 0,
  SIZE = 8,
}

/** struct fuse_setattr_in */
export const enum SetattrIn {
  valid = 0,
  /** u64; 7.3 */ fh = 8,
  /** u64 */ size = 16,
  /** u64; 7.9 */ lock_owner = 24,
  /** u64 */ atime = 32,
  /** u64 */ mtime = 40,
  /** u64; 7.23 */ ctime = 48,
  atimensec = 56,
  mtimensec = 60,
  ctimensec = 64,
  mode = 68,
  uid = 76,
  gid = 80,
  SIZE = 88,
}

/** struct fuse_open_in */
export const enum OpenIn {
  flags = 0,
  /** 7.33 */ open_flags = 4,
  SIZE = 8,
}

/** struct fuse_create_in: 7.3, 16 bytes since 7.12; then name NUL */
export const enum CreateIn {
  flags = 0,
  mode = 4,
  /** 7.12 */ umask = 8,
  /** 7.33 */ open_flags = 12,
  SIZE = 16,
}

/** struct fuse_open_out */
export const enum OpenOut {
  /** u64 */ fh = 0,
  open_flags = 8,
  /** s32; 7.40 */ backing_id = 12,
  SIZE = 16,
}

/** struct fuse_release_in: 7.8 */
export const enum ReleaseIn {
  /** u64 */ fh = 0,
  flags = 8,
  release_flags = 12,
  /** u64 */ lock_owner = 16,
  SIZE = 24,
}

/** struct fuse_flush_in: 7.7 */
export const enum FlushIn {
  /** u64 */ fh = 0,
  /** u64 */ lock_owner = 16,
  SIZE = 24,
}

/** struct fuse_read_in: READ, READDIR, READDIRPLUS; 40 bytes since 7.9 */
export const enum ReadIn {
  /** u64 */ fh = 0,
  /** u64 */ offset = 8,
  size = 16,
  read_flags = 20,
  /** u64 */ lock_owner = 24,
  flags = 32,
  SIZE = 40,
}

/** struct fuse_write_in: 40 bytes since 7.9; then size bytes */
export const enum WriteIn {
  /** u64 */ fh = 0,
  /** u64 */ offset = 8,
  size = 16,
  write_flags = 20,
  /** u64 */ lock_owner = 24,
  flags = 32,
  SIZE = 40,
}

/** struct fuse_write_out */
export const enum WriteOut {
  size = 0,
  SIZE = 8,
}

/** struct fuse_statfs_out */
export const enum StatfsOut {
  /** fuse_kstatfs */ st = 0,
  SIZE = 80,
}

/** struct fuse_fsync_in */
export const enum FsyncIn {
  /** u64 */ fh = 0,
  fsync_flags = 8,
  SIZE = 16,
}

/** struct fuse_setxattr_in: 16 bytes with SETXATTR_EXT (7.33), else the first 8; then name NUL value */
export const enum SetxattrIn {
  size = 0,
  flags = 4,
  /** 7.33 */ setxattr_flags = 8,
  SIZE = 16,
}

/** struct fuse_getxattr_in */
export const enum GetxattrIn {
  size = 0,
  SIZE = 8,
}

/** struct fuse_getxattr_out */
export const enum GetxattrOut {
  size = 0,
  SIZE = 8,
}

/** struct fuse_lk_in: 7.7 */
export const enum LkIn {
  /** u64 */ fh = 0,
  /** u64 */ owner = 8,
  /** fuse_file_lock */ lk = 16,
  /** 7.9 */ lk_flags = 40,
  SIZE = 48,
}

/** struct fuse_lk_out: 7.7 */
export const enum LkOut {
  /** fuse_file_lock */ lk = 0,
  SIZE = 24,
}

/** struct fuse_access_in: 7.3 */
export const enum AccessIn {
  mask = 0,
  SIZE = 8,
}

/** struct fuse_init_in: 16 bytes without INIT_EXT (7.36) */
export const enum InitIn {
  major = 0,
  minor = 4,
  max_readahead = 8,
  flags = 12,
  /** 7.36 */ flags2 = 16,
  SIZE = 64,
}

/** struct fuse_init_out: 7.23 made it 64 bytes */
export const enum InitOut {
  major = 0,
  minor = 4,
  max_readahead = 8,
  flags = 12,
  /** u16; 7.13 */ max_background = 16,
  /** u16; 7.13 */ congestion_threshold = 18,
  max_write = 20,
  /** 7.23 */ time_gran = 24,
  /** u16; 7.28 */ max_pages = 28,
  /** u16; 7.31 */ map_alignment = 30,
  /** 7.36 */ flags2 = 32,
  /** 7.40 */ max_stack_depth = 36,
  /** u16; 7.43 */ request_timeout = 40,
  SIZE = 64,
}

/** struct cuse_init_in: 7.12 */
export const enum CuseInitIn {
  major = 0,
  minor = 4,
  flags = 12,
  SIZE = 16,
}

/** struct cuse_init_out: 7.12 */
export const enum CuseInitOut {
  major = 0,
  minor = 4,
  flags = 12,
  max_read = 16,
  max_write = 20,
  dev_major = 24,
  dev_minor = 28,
  SIZE = 72,
}

/** struct fuse_interrupt_in: 7.7 */
export const enum InterruptIn {
  /** u64 */ unique = 0,
  SIZE = 8,
}

/** struct fuse_bmap_in: 7.8 */
export const enum BmapIn {
  /** u64 */ block = 0,
  blocksize = 8,
  SIZE = 16,
}

/** struct fuse_bmap_out: 7.8 */
export const enum BmapOut {
  /** u64 */ block = 0,
  SIZE = 8,
}

/** struct fuse_ioctl_in: 7.11; then in_size bytes */
export const enum IoctlIn {
  /** u64 */ fh = 0,
  flags = 8,
  cmd = 12,
  /** u64 */ arg = 16,
  in_size = 24,
  out_size = 28,
  SIZE = 32,
}

/** struct fuse_ioctl_iovec: 7.16 */
export const enum IoctlIovec {
  /** u64 */ base = 0,
  /** u64 */ len = 8,
  SIZE = 16,
}

/** struct fuse_ioctl_out: 7.11; then out_size bytes */
export const enum IoctlOut {
  /** s32 */ result = 0,
  flags = 4,
  in_iovs = 8,
  out_iovs = 12,
  SIZE = 16,
}

/** struct fuse_poll_in: 7.11 */
export const enum PollIn {
  /** u64 */ fh = 0,
  /** u64 */ kh = 8,
  flags = 16,
  events = 20,
  SIZE = 24,
}

/** struct fuse_poll_out: 7.11 */
export const enum PollOut {
  revents = 0,
  SIZE = 8,
}

/** struct fuse_notify_poll_wakeup_out: 7.11 */
export const enum NotifyPollWakeupOut {
  /** u64 */ kh = 0,
  SIZE = 8,
}

/** struct fuse_fallocate_in: 7.19 */
export const enum FallocateIn {
  /** u64 */ fh = 0,
  /** u64 */ offset = 8,
  /** u64 */ length = 16,
  mode = 24,
  SIZE = 32,
}

/** struct fuse_dirent: a record is padded to 8 bytes */
export const enum Dirent {
  /** u64 */ ino = 0,
  /** u64 */ off = 8,
  namelen = 16,
  type = 20,
  /** bytes */ name = 24,
  SIZE = 24,
}

/** struct fuse_direntplus: 7.21 */
export const enum Direntplus {
  /** fuse_entry_out */ entry_out = 0,
  /** fuse_dirent */ dirent = 128,
  SIZE = 152,
}

/** struct fuse_notify_inval_inode_out: 7.12 */
export const enum NotifyInvalInodeOut {
  /** u64 */ ino = 0,
  /** s64 */ off = 8,
  /** s64 */ len = 16,
  SIZE = 24,
}

/** struct fuse_notify_inval_entry_out: 7.12; then name NUL */
export const enum NotifyInvalEntryOut {
  /** u64 */ parent = 0,
  namelen = 8,
  /** 7.38 */ flags = 12,
  SIZE = 16,
}

/** struct fuse_notify_delete_out: 7.18; then name NUL */
export const enum NotifyDeleteOut {
  /** u64 */ parent = 0,
  /** u64 */ child = 8,
  namelen = 16,
  SIZE = 24,
}

/** struct fuse_notify_store_out: 7.15; then size bytes */
export const enum NotifyStoreOut {
  /** u64 */ nodeid = 0,
  /** u64 */ offset = 8,
  size = 16,
  SIZE = 24,
}

/** struct fuse_notify_retrieve_out: 7.15 */
export const enum NotifyRetrieveOut {
  /** u64 */ notify_unique = 0,
  /** u64 */ nodeid = 8,
  /** u64 */ offset = 16,
  size = 24,
  SIZE = 32,
}

/** struct fuse_notify_retrieve_in: 7.15; as write_in */
export const enum NotifyRetrieveIn {
  /** u64 */ offset = 8,
  size = 16,
  SIZE = 40,
}

/** struct fuse_notify_prune_out: 7.45; then count nodeids */
export const enum NotifyPruneOut {
  count = 0,
  SIZE = 16,
}

/** struct fuse_backing_map: 7.40; of FUSE_DEV_IOC_BACKING_OPEN */
export const enum BackingMap {
  /** s32 */ fd = 0,
  flags = 4,
  SIZE = 16,
}

/** struct fuse_lseek_in: 7.24 */
export const enum LseekIn {
  /** u64 */ fh = 0,
  /** u64 */ offset = 8,
  whence = 16,
  SIZE = 24,
}

/** struct fuse_lseek_out: 7.24 */
export const enum LseekOut {
  /** u64 */ offset = 0,
  SIZE = 8,
}

/** struct fuse_copy_file_range_in: 7.28 */
export const enum CopyFileRangeIn {
  /** u64 */ fh_in = 0,
  /** u64 */ off_in = 8,
  /** u64 */ nodeid_out = 16,
  /** u64 */ fh_out = 24,
  /** u64 */ off_out = 32,
  /** u64 */ len = 40,
  /** u64 */ flags = 48,
  SIZE = 56,
}

/** struct fuse_copy_file_range_out: 7.45; of COPY_FILE_RANGE_64 */
export const enum CopyFileRangeOut {
  /** u64 */ bytes_copied = 0,
  SIZE = 8,
}

/** struct fuse_setupmapping_in: 7.31 */
export const enum SetupmappingIn {
  /** u64 */ fh = 0,
  /** u64 */ foffset = 8,
  /** u64 */ len = 16,
  /** u64 */ flags = 24,
  /** u64 */ moffset = 32,
  SIZE = 40,
}

/** struct fuse_removemapping_in: 7.31 */
export const enum RemovemappingIn {
  count = 0,
  SIZE = 4,
}

/** struct fuse_removemapping_one: 7.31 */
export const enum RemovemappingOne {
  /** u64 */ moffset = 0,
  /** u64 */ len = 8,
  SIZE = 16,
}

/** struct fuse_syncfs_in: 7.34 */
export const enum SyncfsIn {
  SIZE = 8,
}

/** struct fuse_uring_ent_in_out: 7.42 */
export const enum UringEntInOut {
  /** u64 */ flags = 0,
  /** u64 */ commit_id = 8,
  payload_sz = 16,
  SIZE = 32,
}

/** struct fuse_uring_req_header: 7.42 */
export const enum UringReqHeader {
  /** bytes[FUSE_URING_IN_OUT_HEADER_SZ] */ in_out = 0,
  /** bytes[FUSE_URING_OP_IN_OUT_SZ] */ op_in = 128,
  /** fuse_uring_ent_in_out */ ring_ent_in_out = 256,
  SIZE = 288,
}

/** struct fuse_uring_cmd_req: 7.42; in the command area of the SQE */
export const enum UringCmdReq {
  /** u64 */ flags = 0,
  /** u64 */ commit_id = 8,
  /** u16 */ qid = 16,
  SIZE = 24,
}

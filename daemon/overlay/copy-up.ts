/**
 * Copy-up: what only a lower has gets an upper of its own (fs/overlayfs/copy_up.c). Everything is built in the work directory and renamed
 * into place, so a crash leaves the lower or the whole upper. Changing metadata copies metadata only (metacopy); the data follow, as a
 * slow job, when they are first written. Ancestors are copied up first, from the root down.
 *
 * All functions are called with the rename lock held (shared or exclusive) and no other.
 */
import { Count } from './counters';
import { Errno } from '../errno';
import { AT_REMOVEDIR, disk, Mode, O, RenameFlag } from '../layers/disk';
import type { Files } from '../layers/lower';
import { startsWith } from '../layers/names';
import { modeOnDisk } from '../layers/override';
import { JobFlag, JobKind, JobSlot, StatRecord } from '../layers/records';
import { SET_ASIDE } from '../protocol/operations';
import { isAcl } from './acl';
import { asked, isAbsent } from './failure';
import { nameInIndex, originHandle, storeNlink } from './hardlinks';
import { blobText, findData, text, textBlob } from './lowers';
import type { Mount } from './mount';
import { remember } from './record';
import { DataSource, Dentry, DentryFlags, Inode, InodeFlags, Known, MountFlags } from './table/layout';

/** All of a file's data. */
export const ALL = Number.MAX_SAFE_INTEGER;

/** Files up to this many bytes are copied by the worker itself when nothing is to be synced. */
const SMALL = 64 * 1024;

/** Gives a directory an upper. 0 or negative errno. */
export function copyUpDirectory(m: Mount, directory: number): number {
  if (m.hasUpper(directory)) return 0;
  // the ancestors that have none, nearest first
  const way: number[] = [];
  for (let at = directory; !m.hasUpper(at);) {
    way.push(at);
    const dentry = m.i32[at + Inode.DENTRY];
    if (dentry === 0) return -Errno.ENOENT;
    at = m.i32[dentry + Dentry.PARENT];
  }
  for (let i = way.length - 1; i >= 0; i--) {
    const result = copyUpOneDirectory(m, way[i]);
    if (result < 0) return result;
  }
  return 0;
}

function copyUpOneDirectory(m: Mount, directory: number): number {
  const { i32, table, scratch } = m;
  const dentry = i32[directory + Inode.DENTRY];
  if (dentry === 0) return -Errno.ENOENT;
  const parent = i32[dentry + Dentry.PARENT];
  m.lock(parent);
  m.lock(directory);
  try {
    if (m.hasUpper(directory)) return 0;
    if (i32[directory + Inode.DENTRY] !== dentry) return -Errno.ENOENT;
    const to = m.upperDirectory(parent);
    if (to < 0) return to;
    const found = m.lowerPlace(directory);
    if (found < 0) return found;
    const [files, from, fromName] = [m.placeFiles, m.placeFd, m.placeName];
    const name = m.workName(scratch.path2, directory);
    let result = afresh(m, name, () => disk.mkdirat(m.workFd, name, 0o700), AT_REMOVEDIR);
    if (result < 0) return result;
    result = copyMetadata(m, directory, files, from, fromName, m.workFd, name);
    if (result >= 0) result = moveIntoPlace(m, name, to, table.name(dentry), parent);
    if (result < 0) {
      disk.unlinkat(m.workFd, name, AT_REMOVEDIR);
      return result;
    }
    table.setDentryFlags(dentry, i32[dentry + Dentry.FLAGS] | DentryFlags.UPPER);
    m.setFlags(directory, InodeFlags.MERGED);
    m.setFlags(directory, InodeFlags.UPPER);
    return 0;
  } finally {
    m.unlock(directory);
    m.unlock(parent);
  }
}

/** Renames what was built as `name` in the work directory to its place; the parent's times stay as they were. */
function moveIntoPlace(m: Mount, name: number, to: number, toName: number, parent: number): number {
  const { u32, scratch } = m;
  const impure = markImpure(m, parent);
  if (impure < 0) return impure;
  const { stat2, words } = scratch;
  const before = disk.stat(to, m.names.empty, stat2);
  if (before < 0) return before;
  const result = disk.renameat2(m.workFd, name, to, toName, RenameFlag.NOREPLACE);
  if (result < 0) return result;
  timesOf(u32, stat2, words);
  disk.utimensat(to, m.names.empty, words);
  return 0;
}

/** Writes atime and mtime of a stat record as two timespecs. */
function timesOf(u32: Uint32Array, stat: number, out: number): void {
  const [s, o] = [stat >> 2, out >> 2];
  u32[o] = u32[s + StatRecord.atime / 4];
  u32[o + 1] = u32[s + StatRecord.atime / 4 + 1];
  u32[o + 2] = u32[s + StatRecord.atimensec / 4];
  u32[o + 3] = 0;
  u32[o + 4] = u32[s + StatRecord.mtime / 4];
  u32[o + 5] = u32[s + StatRecord.mtime / 4 + 1];
  u32[o + 6] = u32[s + StatRecord.mtimensec / 4];
  u32[o + 7] = 0;
}

/** Says, in the kernel's way, that a directory of the upper may hold what was copied up or moved there. */
export function markImpure(m: Mount, directory: number): number {
  if ((m.nodeFlags(directory) & InodeFlags.IMPURE) !== 0) return 0;
  const fd = m.upperDirectory(directory);
  if (fd < 0) return fd;
  m.u8[m.scratch.words] = 0x79;
  const result = disk.setxattr(fd, m.names.empty, m.names.impure, m.scratch.words, 1, 0);
  if (result >= 0) m.setFlags(directory, InodeFlags.IMPURE);
  return result;
}

/**
 * Gives the file at (to, toName) owner, xattrs, mode, times of the lower at (from, fromName), the inode number that the node shows, and its
 * origin. 0 or negative errno.
 */
function copyMetadata(m: Mount, node: number, files: Files, from: number, fromName: number, to: number, toName: number): number {
  const { u32, i32, scratch, names } = m;
  const { stat2, words } = scratch;
  let result = files.stat(from, fromName, stat2);
  if (result < 0) return result;
  const mode = u32[(stat2 + StatRecord.mode) >> 2];
  const link = (mode & Mode.TYPE) === Mode.LINK;
  result = giveTo(m, to, toName, u32[(stat2 + StatRecord.uid) >> 2], u32[(stat2 + StatRecord.gid) >> 2]);
  if (result < 0) return result;
  result = copyXattrs(m, files, from, fromName, to, toName);
  if (result < 0) return result;
  if (!link) {
    result = m.upper.fchmodat(to, toName, mode & Mode.PERMISSIONS);
    if (result >= 0 && m.overridesUpper) result = disk.fchmodat(to, toName, modeOnDisk(mode) & Mode.PERMISSIONS);
    if (result < 0) return result;
  }
  result = writeIno(m, node, to, toName);
  if (result < 0) return result;
  const layer = m.isDirectory(node) ? m.lowerLayer(node, i32[node + Inode.ATTRIBUTES_OF]) : i32[node + Inode.LAYER] - 1;
  const origin = originHandle(m, layer, from, fromName);
  if (origin < 0) return origin;
  if (origin > 0) {
    result = disk.setxattr(to, toName, names.origin, scratch.value, origin, 0);
    if (result < 0 && !mayLackXattr(m, mode, result)) return result;
  }
  timesOf(u32, stat2, words);
  return disk.utimensat(to, toName, words);
}

/**
 * Gives the upper's file at (fd, name) an owner, by ids as they are kept; -1 leaves one as it is. Where all is shown as of one owner, one that cannot be
 * given is no failure, as with fuse-overlayfs: squashing is for those who may not give files away. 0 or negative errno.
 */
export function giveTo(m: Mount, fd: number, name: number, uid: number, gid: number): number {
  const result = m.upper.fchownat(fd, name, uid, gid);
  return result < 0 && m.view?.squashes === true && (result === -Errno.EPERM || result === -Errno.EINVAL) ? 0 : result;
}

/** user.* xattrs exist on regular files and directories only. */
function mayLackXattr(m: Mount, mode: number, result: number): boolean {
  if (result !== -Errno.EPERM && result !== -Errno.EOPNOTSUPP) return false;
  const type = mode & Mode.TYPE;
  return m.has(MountFlags.USERXATTR) && type !== Mode.REGULAR && type !== Mode.DIRECTORY;
}

/** Keeps the shown inode number with the upper file. */
export function writeIno(m: Mount, node: number, to: number, toName: number): number {
  const { i32 } = m;
  const { value } = m.scratch;
  i32[value >> 2] = i32[node + Inode.INO_LOW];
  i32[(value >> 2) + 1] = i32[node + Inode.INO_HIGH];
  const result = disk.setxattr(to, toName, m.names.ino, value, 8, 0);
  return result < 0 && mayLackXattr(m, i32[node + Inode.MODE], result) ? 0 : result;
}

/** Every xattr but the overlay's own. */
export function copyXattrs(m: Mount, files: Files, from: number, fromName: number, to: number, toName: number): number {
  const { scratch, names } = m;
  const list = files.listxattr(from, fromName, scratch.dirents, 65536);
  if (list === -Errno.EOPNOTSUPP) return 0;
  if (list < 0) return list;
  for (let at = scratch.dirents; at < scratch.dirents + list;) {
    const name = at;
    while (m.u8[at] !== 0) at++;
    at++;
    if (names.isPrivate(name) || startsWith(m.u8, name, 'user.fuseoverlayfs.') || isLeftOut(m, name)) continue;
    const length = files.getxattr(from, fromName, name, scratch.value, 65536);
    if (length === -Errno.ENODATA) continue;
    if (length < 0) return length;
    const result = disk.setxattr(to, toName, name, scratch.value, length, 0);
    if (result < 0 && !(result === -Errno.EOPNOTSUPP && startsWith(m.u8, name, 'security.selinux'))) return result;
  }
  return 0;
}

/** Owners and modes are copied as such; and where they are kept in xattrs there are no ACLs. */
function isLeftOut(m: Mount, name: number): boolean {
  return m.hasOverrides && (m.names.isOverride(name) || (m.overridesUpper && isAcl(m, name)));
}

// ---- files -------------------------------------------------------------------------------------------------------------------------------

/** Gives a node of any type an upper for its metadata. 0, negative errno, or SET_ASIDE where metacopy is off and data must be copied. */
export function copyUpMetadata(m: Mount, node: number): number {
  if (m.isDirectory(node)) return copyUpDirectory(m, node);
  if (m.hasUpper(node)) return 0;
  if (m.isRegular(node) && !m.has(MountFlags.METACOPY)) return copyUpData(m, node, ALL);
  const result = underLocks(m, node, (parent) => {
    if (m.hasUpper(node)) return 0;
    // data that are being copied go where the metadata would: then all of it is waited for
    return fromLower(m, node, parent, m.i32[node + Inode.JOB] !== 0 ? ALL : metadataOnly);
  });
  // the path of the data may be longer than the upper has room for: then the data are copied after all
  return result === -Errno.ENOSPC && m.isRegular(node) ? copyUpData(m, node, ALL) : result;
}

/**
 * Gives a regular file an upper with its data, at least the first `limit` bytes, as a caller needs that truncates to `limit` next.
 * 0, negative errno, SET_ASIDE, or -ESTALE when the node was swapped: a lower passthrough is open, and whoever asks again finds a new node.
 *
 * `cut` truncates the file at a place to `limit`: it is called before what it is done to can be seen, so that no failure leaves a file with
 * `limit` bytes whose caller was told that nothing was changed. Then CUT is returned instead of 0.
 */
export function copyUpData(m: Mount, node: number, limit: number, cut?: Cut): number {
  if (dataSource(m, node) === DataSource.UPPER) return 0;
  return underLocks(m, node, (parent) => {
    if (dataSource(m, node) === DataSource.UPPER) return 0;
    return m.hasUpper(node) ? fill(m, node, limit, cut) : fromLower(m, node, parent, limit, cut);
  });
}

export type Cut = (fd: number, name: number) => number;
/** What copyUpData was called for is done already. */
export const CUT = 2;

export function dataSource(m: Mount, node: number): DataSource {
  const flags = m.nodeFlags(node);
  return (flags & InodeFlags.UPPER) !== 0 && (flags & InodeFlags.METACOPY) === 0 ? DataSource.UPPER : DataSource.LOWER;
}

/** Instead of a limit: no data, marked as a metacopy. */
const metadataOnly = -1;

/** Runs `work` with the upper of the node's directory there, and the directory's and the node's lock held. */
function underLocks(m: Mount, node: number, work: (parent: number) => number): number {
  for (;;) {
    const dentry = m.i32[node + Inode.DENTRY];
    const parent = dentry === 0 ? 0 : m.i32[dentry + Dentry.PARENT];
    if (parent !== 0) {
      const result = copyUpDirectory(m, parent);
      if (result < 0) return result;
      m.lock(parent);
    }
    m.lock(node);
    try {
      if (m.i32[node + Inode.DENTRY] === dentry) return work(parent);
    } finally {
      m.unlock(node);
      if (parent !== 0) m.unlock(parent);
    }
  }
}

/** A pure lower node gets its upper. */
function fromLower(m: Mount, node: number, parent: number, limit: number, cut?: Cut): number {
  const { u32, i32, scratch } = m;
  if ((m.nodeFlags(node) & InodeFlags.SWAPPED) !== 0) return -Errno.ESTALE;
  let result = m.lowerPlace(node);
  if (result < 0) return result;
  const [files, from, fromName] = [m.placeFiles, m.placeFd, m.placeName];
  const mode = i32[node + Inode.MODE];
  const size = u32[node + Inode.SIZE_LOW] + u32[node + Inode.SIZE_HIGH] * 4294967296;
  const name = m.workName(scratch.path2, node);
  let metacopy = false;
  if ((mode & Mode.TYPE) === Mode.REGULAR) {
    metacopy = limit === metadataOnly && size > 0;
    if (metacopy || size === 0 || limit === 0) result = makeEmpty(m, name, metacopy ? size : 0);
    else result = makeWithData(m, node, name, Math.min(limit, size));
  } else result = makeSpecial(m, node, files, from, fromName, name, mode);
  if (result !== 0) return result;
  result = copyMetadata(m, node, files, from, fromName, m.workFd, name);
  if (result >= 0 && metacopy) result = markMetacopy(m, node, name);
  if (result >= 0 && cut !== undefined) result = cut(m.workFd, name);
  if (result >= 0) result = install(m, node, parent, name, from, fromName, metacopy);
  if (result < 0) disk.unlinkat(m.workFd, name, 0);
  return result >= 0 && cut !== undefined ? CUT : result;
}

/** Makes something as `name` in the work directory; what a failure has left there goes, by an unlinkat(2) with the flags `removal`. */
function afresh(m: Mount, name: number, make: () => number, removal = 0): number {
  const made = make();
  if (made !== -Errno.EEXIST) return made;
  const removed = disk.unlinkat(m.workFd, name, removal);
  return removed < 0 ? removed : make();
}

function makeFile(m: Mount, name: number): number {
  return afresh(m, name, () => disk.openat(m.workFd, name, O.CREAT | O.EXCL | O.RDWR, 0o600));
}

function makeEmpty(m: Mount, name: number, size: number): number {
  const fd = makeFile(m, name);
  if (fd < 0) return fd;
  const result = size === 0 ? 0 : disk.truncateat(fd, m.names.empty, size | 0, Math.floor(size / 4294967296));
  disk.close(fd);
  return result;
}

function makeSpecial(m: Mount, node: number, files: Files, from: number, fromName: number, name: number, mode: number): number {
  if ((mode & Mode.TYPE) !== Mode.LINK) {
    const rdev = m.u32[node + Inode.ATTR + StatRecord.rdev / 4];
    return afresh(m, name, () => disk.mknodat(m.workFd, name, mode & (Mode.TYPE | 0o600), rdev));
  }
  const { value } = m.scratch;
  const length = files.readlinkat(from, fromName, value, 4096);
  if (length < 0) return length;
  m.u8[value + length] = 0;
  return afresh(m, name, () => disk.symlinkat(value, m.workFd, name));
}

/** Builds `name` with the first `length` bytes of the data: at once when they are few, else by a job. 0 when they are there. */
function makeWithData(m: Mount, node: number, name: number, length: number): number {
  if (m.i32[node + Inode.JOB] !== 0) return jobOutcome(m, node, length, name);
  const source = openLowerData(m, node);
  if (source < 0) return source;
  const target = makeFile(m, name);
  if (target < 0) {
    disk.close(source);
    return target;
  }
  if (m.has(MountFlags.VOLATILE) && length <= SMALL && isDense(m, node, source)) {
    const result = copySmall(m, source, target, length);
    disk.close(source);
    disk.close(target);
    if (result < 0) disk.unlinkat(m.workFd, name, 0);
    return result;
  }
  return startJob(m, node, source, target, length);
}

/** Has it no holes, as far as its blocks tell? A listed lower does not know them: the file at `source` does. */
function isDense(m: Mount, node: number, source: number): boolean {
  const { i32, u32 } = m;
  if (m.lowers[i32[node + Inode.LAYER] - 1].isListed) {
    const { stat2 } = m.scratch;
    const at = stat2 >> 2;
    if (disk.stat(source, m.names.empty, stat2) < 0) return false;
    return u32[at + StatRecord.blocks / 4] * 512 >= u32[at + StatRecord.size / 4];
  }
  return i32[node + Inode.SIZE_HIGH] === 0 && u32[node + Inode.BLOCKS_LOW] * 512 >= u32[node + Inode.SIZE_LOW];
}

function copySmall(m: Mount, source: number, target: number, length: number): number {
  const { value } = m.scratch;
  const read = disk.pread(source, value, length, 0, 0);
  if (read < 0) return read;
  const written = disk.pwrite(target, value, read, 0, 0);
  return written < 0 ? written : written < read ? -Errno.ENOSPC : 0;
}

/** A readable descriptor of a node's lower data. The caller holds the node's lock. */
export function openLowerData(m: Mount, node: number): number {
  const result = findLowerData(m, node);
  return result < 0 ? result : m.placeFiles.openat(m.placeFd, m.placeName, O.RDONLY | O.NONBLOCK, 0);
}

/** The place of a regular file's lower data: a lower may itself be a metacopy, of data in a layer below it. The caller holds the node's lock. */
export function findLowerData(m: Mount, node: number): number {
  const { i32, names, scratch } = m;
  if (i32[node + Inode.DATA_PATH] === 0 && i32[node + Inode.DATA_RESOLVED] === Known.UNKNOWN) {
    const result = m.lowerPlace(node);
    if (result < 0) return result;
    if (asked(m.placeFiles.getxattr(m.placeFd, m.placeName, names.metacopy, scratch.value, 64)) < 0) {
      i32[node + Inode.DATA_RESOLVED] = Known.NO;
      return 0;
    }
    const kept = i32[node + Inode.LOWER_PATH];
    const path = kept !== 0 ? blobText(m, kept) : lowerPathOf(m, i32[node + Inode.DENTRY]);
    const data = findData(m, path, i32[node + Inode.LAYER] - 1);
    if (data === undefined) return -Errno.EIO;
    i32[node + Inode.DATA_LAYER] = data.layer + 1;
    i32[node + Inode.DATA_PATH] = textBlob(m, data.path);
    i32[node + Inode.DATA_RESOLVED] = Known.YES;
  }
  return m.lowerDataPlace(node);
}

function startJob(m: Mount, node: number, source: number, target: number, length: number): number {
  const { i32, u32, table } = m;
  let slot: number;
  try {
    slot = table.takeJob();
  } catch (error) {
    disk.close(source);
    disk.close(target);
    throw error;
  }
  const at = slot >> 2;
  u32[at + JobSlot.kind / 4] = JobKind.COPY;
  u32[at + JobSlot.flags / 4] = (m.has(MountFlags.VOLATILE) ? 0 : JobFlag.FSYNC) | (m.hasUpper(node) ? JobFlag.KEEP_SIZE : 0);
  i32[at + JobSlot.a / 4] = source;
  i32[at + JobSlot.b / 4] = target;
  u32[at + JobSlot.length / 4] = length % 4294967296;
  u32[at + JobSlot.length / 4 + 1] = Math.floor(length / 4294967296);
  i32[node + Inode.JOB] = at;
  const result = table.submitJob(slot);
  if (result < 0) {
    endJob(m, node);
    return result;
  }
  return SET_ASIDE;
}

/** What became of the copy under way for a node: SET_ASIDE while it runs; 0 when at least `length` bytes are there; else an errno. */
function jobOutcome(m: Mount, node: number, length: number, name: number): number {
  const { i32, u32, table } = m;
  const slot = i32[node + Inode.JOB] * 4;
  if (!table.jobDone(slot)) return SET_ASIDE;
  const at = slot >> 2;
  const result = i32[at + JobSlot.result / 4];
  const copied = u32[at + JobSlot.length / 4] + u32[at + JobSlot.length / 4 + 1] * 4294967296;
  endJob(m, node);
  if (result < 0) {
    if (name !== 0) disk.unlinkat(m.workFd, name, 0);
    return result;
  }
  const { counters } = m.context;
  counters.words[counters.at + Count.COPIED_FILES]++;
  counters.words[counters.at + Count.COPIED_BYTES] += copied;
  if (copied >= length) return 0;
  // It was started by one who truncates and went away: not enough for this one. Begin again.
  if (name === 0) return fill(m, node, length);
  return makeWithData(m, node, name, length);
}

function endJob(m: Mount, node: number): void {
  const { i32 } = m;
  const at = i32[node + Inode.JOB];
  disk.close(i32[at + JobSlot.a / 4]);
  disk.close(i32[at + JobSlot.b / 4]);
  i32[node + Inode.JOB] = 0;
  m.table.giveJob(at * 4);
}

/** Marks what is built as `name` as having its data below, at the path of the redirect. */
function markMetacopy(m: Mount, node: number, name: number): number {
  const { names, scratch } = m;
  const path = dataPath(m, node);
  let result = disk.setxattr(m.workFd, name, names.metacopy, scratch.value, 0, 0);
  if (result < 0) return result;
  const length = Buffer.from(m.table.memory.buffer, scratch.value, scratch.valueCapacity).write(`/${path}`, 'latin1');
  result = disk.setxattr(m.workFd, name, names.redirect, scratch.value, length, 0);
  return result === -Errno.ERANGE || result === -Errno.E2BIG ? -Errno.ENOSPC : result;
}

/** Where a pure lower's data are, as a path in the merged lowers. */
function dataPath(m: Mount, node: number): string {
  const { i32, table } = m;
  const dentry = i32[node + Inode.DENTRY];
  if (dentry === 0) return blobText(m, i32[node + Inode.LOWER_PATH]);
  const origin = blobText(m, i32[i32[dentry + Dentry.PARENT] + Inode.ORIGIN]);
  const name = text(m, table.name(dentry), table.nameLength(dentry));
  return origin === '' ? name : `${origin}/${name}`;
}

/** Remembers in the record where the lower is, before the name that leads there changes its meaning. */
export function keepLowerPath(m: Mount, node: number, dentry: number): void {
  const { i32 } = m;
  if (i32[node + Inode.LOWER_PATH] !== 0 || dentry === 0 || i32[dentry + Dentry.LOWER] === 0) return;
  i32[node + Inode.LAYER] = m.lowerLayer(i32[dentry + Dentry.PARENT], i32[dentry + Dentry.LOWER] - 1) + 1;
  i32[node + Inode.LOWER_PATH] = textBlob(m, lowerPathOf(m, dentry));
}

/** The path, in its layer, of the topmost lower that `dentry` names. */
function lowerPathOf(m: Mount, dentry: number): string {
  const { i32, table } = m;
  const path = blobText(m, m.lowerPath(i32[dentry + Dentry.PARENT], i32[dentry + Dentry.LOWER] - 1));
  const name = text(m, table.name(dentry), table.nameLength(dentry));
  return path === '' ? name : `${path}/${name}`;
}

/** Moves what was built as `name` to where the node's upper belongs: the index, its directory, or the orphans; and the node with it. */
function install(m: Mount, node: number, parent: number, name: number, from: number, fromName: number, metacopy: boolean): number {
  const { i32, table } = m;
  const dentry = i32[node + Inode.DENTRY];
  const nlink = i32[node + Inode.NLINK];
  const swap = !metacopy && m.isRegular(node) && i32[node + Inode.OPEN_PASSTHROUGH] > 0;
  keepLowerPath(m, node, dentry);
  let result: number;
  let indexed: number;
  let flags = InodeFlags.UPPER | InodeFlags.OWN_INO;
  if (metacopy) flags |= InodeFlags.METACOPY;
  if (dentry === 0) {
    flags |= InodeFlags.ORPHAN;
    result = disk.renameat2(m.workFd, name, m.orphansFd, m.orphanName(node), 0);
  } else if ((indexed = nlink > 1 && m.has(MountFlags.INDEX) ? nameInIndex(m, node, from, fromName) : 0) !== 0) {
    if (indexed < 0) return indexed;
    flags |= InodeFlags.INDEXED;
    i32[node + Inode.NLINK_DELTA] = nlink - 1;
    result = storeNlink(m, node, m.workFd, name);
    if (result >= 0)
      result = disk.renameat2(m.workFd, name, m.indexFd, table.blobBytes(i32[node + Inode.INDEX_NAME]), RenameFlag.NOREPLACE);
    if (result < 0) {
      table.dropBlob(i32[node + Inode.INDEX_NAME]);
      i32[node + Inode.INDEX_NAME] = 0;
    }
  } else {
    const to = m.upperDirectory(parent);
    result = to < 0 ? to : moveIntoPlace(m, name, to, table.name(dentry), parent);
    if (result >= 0) table.setDentryFlags(dentry, i32[dentry + Dentry.FLAGS] | DentryFlags.UPPER);
  }
  if (result < 0) return result;
  if (swap) return swapOut(m, node);
  becomeUpper(m, node, flags);
  return 0;
}

/** From here on the node is its upper. */
function becomeUpper(m: Mount, node: number, flags: number): void {
  const { i32 } = m;
  if ((flags & InodeFlags.METACOPY) === 0) retireLowerFd(m, node);
  if (i32[node + Inode.FLAGS] & InodeFlags.GONE) flags |= InodeFlags.GONE;
  m.setFlags(node, flags);
}

/** Served opens go on reading through the old descriptor only until their system call ends; new ones take the upper's. */
function retireLowerFd(m: Mount, node: number): void {
  const { i32 } = m;
  if (i32[node + Inode.FD] === 0 || i32[node + Inode.FD_SOURCE] !== DataSource.LOWER) return;
  i32[node + Inode.FD_OLD] = i32[node + Inode.FD];
  Atomics.store(i32, node + Inode.FD, 0);
}

/**
 * A lower passthrough is open and somebody writes: the old node keeps the lower for its opens and loses its names, which lead to a new
 * node from now on (fuse-kernel-facts.md, "A write-open while a lower passthrough open is live"). The caller answers ESTALE.
 */
function swapOut(m: Mount, node: number): number {
  const { i32, table } = m;
  if (i32[node + Inode.LOWER_PATH] === 0) {
    i32[node + Inode.LOWER_PATH] = table.holdBlob(i32[node + Inode.DATA_PATH]);
    i32[node + Inode.LAYER] = i32[node + Inode.DATA_LAYER];
  }
  m.clearFlags(node, InodeFlags.UPPER | InodeFlags.METACOPY | InodeFlags.INDEXED);
  table.removeIdent(node);
  for (let dentry = i32[node + Inode.DENTRY]; dentry !== 0; dentry = i32[node + Inode.DENTRY]) table.unbind(dentry);
  m.setFlags(node, InodeFlags.SWAPPED);
  return -Errno.ESTALE;
}

/** A metacopy gets its data: written into the upper file itself, which hides them until the mark is gone. */
function fill(m: Mount, node: number, limit: number, cut?: Cut): number {
  const { u32, i32, scratch } = m;
  let result = m.place(node);
  if (result < 0) return result;
  let [fd, name] = [m.placeFd, m.stablePlaceName()];
  result = disk.stat(fd, name, scratch.stat2);
  if (result < 0) return result;
  const size = u32[(scratch.stat2 + StatRecord.size) >> 2] + u32[((scratch.stat2 + StatRecord.size) >> 2) + 1] * 4294967296;
  const length = Math.min(size, limit);
  const running = i32[node + Inode.JOB] !== 0;
  // a copy that somebody else began must have ended before the file is truncated, or it would write on behind that
  if (length > 0 || running) {
    result = running ? jobOutcome(m, node, length, 0) : startFill(m, node, fd, name, length);
    if (result > 0) return result;
    const place = m.place(node);
    if (place < 0) return place;
    [fd, name] = [m.placeFd, m.stablePlaceName()];
    if (result < 0 && !running) return result; // nothing was written
    if (result < 0) {
      // what was written before the disk was full is worth nothing
      disk.truncateat(fd, name, 0, 0);
      putBack(m, node, fd, name, size);
      giveCapability(m, fd, name);
      return result;
    }
    const given = giveCapability(m, fd, name);
    if (given < 0) return given;
  }
  result = cut === undefined ? putTimes(m, node, fd, name) : cut(fd, name);
  if (result >= 0) result = endFill(m, fd, name);
  if (result >= 0) return filled(m, node, cut);
  if (cut !== undefined) putBack(m, node, fd, name, size);
  return result;
}

/** What was done to a metacopy is undone: its size, and what else the record remembers. */
function putBack(m: Mount, node: number, fd: number, name: number, size: number): void {
  disk.truncateat(fd, name, size | 0, Math.floor(size / 4294967296));
  m.upper.fchmodat(fd, name, m.i32[node + Inode.MODE] & Mode.PERMISSIONS);
  putTimes(m, node, fd, name);
}

/** The copy moved mtime: what is remembered is what was shown. */
function putTimes(m: Mount, node: number, fd: number, name: number): number {
  const { u32, scratch } = m;
  const { stat2, words } = scratch;
  u32.copyWithin(stat2 >> 2, node + Inode.ATTR, node + Inode.ATTR + StatRecord.SIZE / 4);
  timesOf(u32, stat2, words);
  return disk.utimensat(fd, name, words);
}

/** The mark of the metacopy is gone: the upper's data are the node's. */
function filled(m: Mount, node: number, cut: Cut | undefined): number {
  const { i32 } = m;
  if (i32[node + Inode.OPEN_PASSTHROUGH] > 0 && i32[node + Inode.DENTRY] !== 0) return swapOut(m, node);
  retireLowerFd(m, node);
  m.clearFlags(node, InodeFlags.METACOPY);
  return cut === undefined ? 0 : CUT;
}

function startFill(m: Mount, node: number, fd: number, name: number, length: number): number {
  const { scratch, names } = m;
  // writing strips security.capability: put by under a name of ours until the data are there
  const capability = asked(disk.getxattr(fd, name, names.fileCapability, scratch.value, 256));
  if (capability > 0) {
    const kept = disk.setxattr(fd, name, names.capability, scratch.value, capability, 0);
    if (kept < 0) return kept;
  }
  const target = disk.openat(fd, name, O.RDWR, 0);
  if (target < 0) return target;
  const source = openLowerData(m, node);
  if (source < 0) {
    disk.close(target);
    return source === -Errno.ENOENT ? -Errno.EIO : source;
  }
  return startJob(m, node, source, target, length);
}

/** A metacopy's capabilities are taken away: those that a crash in the middle of filling it left put by, too. */
export function dropCapability(m: Mount, node: number, fd: number, name: number): void {
  if ((m.nodeFlags(node) & InodeFlags.METACOPY) !== 0) disk.removexattr(fd, name, m.names.capability);
}

/** Gives a file that was filled, or was to be, its capabilities back. 0 or negative errno: then whoever fills it next does. */
function giveCapability(m: Mount, fd: number, name: number): number {
  const { names, scratch } = m;
  const capability = disk.getxattr(fd, name, names.capability, scratch.value, 256);
  if (capability < 0) return isAbsent(capability) ? 0 : capability;
  const result = disk.setxattr(fd, name, names.fileCapability, scratch.value, capability, 0);
  return result < 0 ? result : disk.removexattr(fd, name, names.capability);
}

/** Takes the mark away: that is the moment the file is whole. 0 or negative errno. */
function endFill(m: Mount, fd: number, name: number): number {
  const { names } = m;
  const result = disk.removexattr(fd, name, names.metacopy);
  if (result >= 0) disk.removexattr(fd, name, names.redirect); // without the metacopy mark it says nothing
  return result;
}

/** After a change of an upper's metadata: owner, mode and times as they are now are what the record remembers. */
export function refresh(m: Mount, node: number): number {
  const result = m.place(node);
  if (result < 0) return result;
  const stat = m.upper.stat(m.placeFd, m.placeName, m.scratch.stat2);
  if (stat >= 0) remember(m, node, m.scratch.stat2);
  return stat;
}

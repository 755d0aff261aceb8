/**
 * UNLINK and RMDIR. What a lower has is hidden by a whiteout; what the upper has goes, and becomes a whiteout at the same instant where a
 * lower has the name too (RENAME_WHITEOUT). A file that is open when its last name goes is kept among the orphans until FORGET.
 */
import { Errno } from '../errno';
import { disk, AT_REMOVEDIR, DirentType, Mode, O, O_DIRECTORY, RenameFlag } from '../layers/disk';
import { DirentRecord, JobKind, JobSlot, StatRecord } from '../layers/records';
import type { Rmdir, Unlink } from '../protocol/operations';
import { copyUpDirectory, copyUpMetadata, keepLowerPath } from './copy-up';
import { load } from './directory';
import { storeNlink } from './hardlinks';
import type { Mount } from './mount';
import { attributes, directoryOf, forget, nodeOf } from './node';
import { remember } from './record';
import { Dentry, DentryFlags, Inode, InodeFlags, LoadState, MountFlags } from './table/layout';

/** Freeing the blocks of a larger file takes long: done by a job. */
const HUGE = 64 * 1024 * 1024;

export function unlink(m: Mount, op: Unlink): number {
  return withChild(m, op, false, (directory, dentry, node) => unlinkLocked(m, directory, dentry, node));
}

export function rmdir(m: Mount, op: Rmdir): number {
  return withChild(m, op, true, (directory, dentry, node) => rmdirLocked(m, directory, dentry, node));
}

/** Runs `work` with the directory and the node that its `op.name` leads to locked, when both are ready to be changed. */
function withChild(
  m: Mount,
  op: Unlink,
  wantsDirectory: boolean,
  work: (directory: number, dentry: number, node: number) => number,
): number {
  if (!m.writable) return -Errno.EROFS;
  const { table } = m;
  const directory = directoryOf(m, op.node);
  if (directory < 0) return directory;
  const upper = copyUpDirectory(m, directory);
  if (upper < 0) return upper;
  for (;;) {
    let node = 0;
    let result = AGAIN;
    m.lock(directory);
    try {
      result = load(m, directory);
      if (result < 0) return result;
      const dentry = table.find(directory, op.name, op.nameLength);
      const type = m.dentryType(dentry);
      if (type < 0) return -Errno.ENOENT;
      if ((type === DirentType.DIRECTORY) !== wantsDirectory) return wantsDirectory ? -Errno.ENOTDIR : -Errno.EISDIR;
      node = nodeOf(m, directory, dentry);
      if (node < 0) return node;
      if (needsIndex(m, node)) result = AGAIN;
      else {
        m.lock(node);
        try {
          result = work(directory, dentry, node);
        } finally {
          m.unlock(node);
        }
      }
    } finally {
      m.unlock(directory);
    }
    if (result === AGAIN) result = copyUpMetadata(m, node);
    else {
      forget(m, node, 1);
      return result;
    }
    forget(m, node, 1);
    if (result !== 0) return result;
  }
}

const AGAIN = 1 << 20;

/** A lower file with several names loses one: the count of names needs an upper to stand in. */
export function needsIndex(m: Mount, node: number): boolean {
  return !m.isDirectory(node) && !m.hasUpper(node) && m.i32[node + Inode.NLINK] > 1 && m.has(MountFlags.INDEX);
}

function unlinkLocked(m: Mount, directory: number, dentry: number, node: number): number {
  const { i32, scratch } = m;
  const result = attributes(m, node, scratch.stat);
  if (result < 0) return result;
  remember(m, node, scratch.stat);
  const last = isLastName(m, node, i32[(scratch.stat + StatRecord.nlink) >> 2]);
  const fd = m.upperDirectory(directory);
  if (fd < 0) return fd;
  const inUpper = (i32[dentry + Dentry.FLAGS] & DentryFlags.UPPER) !== 0;
  const gone = inUpper ? unlinkUpper(m, dentry, node, fd, last) : unlinkLower(m, dentry, node, fd);
  if (gone < 0) return gone;
  lostName(m, dentry, node, last);
  if (!last) countsAgain(m, node);
  return 0;
}

/**
 * A file with several names has lost one. The kernel counts its copy of st_nlink down by itself, wrongly if another has just asked for the
 * attributes: it is to ask again.
 */
export function countsAgain(m: Mount, node: number): void {
  m.context.stale = m.nodeid(node);
  m.context.staleContent = false;
}

/** Has a node with `nlink` names only one? Without the index, names of a lower file are files of their own. */
export function isLastName(m: Mount, node: number, nlink: number): boolean {
  return nlink <= 1 || (!m.hasUpper(node) && !m.has(MountFlags.INDEX));
}

/**
 * An upper file loses a name, not its last: if that is the only one known here, the others never having been looked up, an extra link
 * among the orphans leads to it from now on. 0 or negative errno.
 */
export function keepReachable(m: Mount, dentry: number, node: number, fd: number): number {
  const { i32, table } = m;
  const flags = m.nodeFlags(node);
  if ((flags & (InodeFlags.INDEXED | InodeFlags.ORPHAN)) !== 0) return 0;
  if (i32[node + Inode.DENTRY] !== dentry || i32[dentry + Dentry.ALIAS] !== 0) return 0;
  const result = disk.linkat(fd, table.name(dentry), m.orphansFd, m.orphanName(node));
  if (result < 0) return result;
  i32[node + Inode.NLINK_DELTA] = -1;
  m.setFlags(node, InodeFlags.ORPHAN);
  return 0;
}

/** The name exists in lowers only. */
function unlinkLower(m: Mount, dentry: number, node: number, fd: number): number {
  const name = m.table.name(dentry);
  const result = disk.mknodat(fd, name, Mode.CHARACTER, 0);
  if (result < 0) return result;
  if ((m.nodeFlags(node) & InodeFlags.INDEXED) === 0) {
    keepLowerPath(m, node, dentry);
    return 0;
  }
  const counted = countDown(m, node);
  if (counted < 0) disk.unlinkat(fd, name, 0);
  else dropIndexed(m, node);
  return counted;
}

/**
 * A name of an indexed file that only a lower had is hidden, or has become one of the upper's: the count, which is relative to the upper's, is
 * one less. After that change, not before: a count that a crash leaves too high costs an index entry, one too low loses a file.
 */
export function countDown(m: Mount, node: number): number {
  const { i32, table } = m;
  i32[node + Inode.NLINK_DELTA]--;
  const result = storeNlink(m, node, m.indexFd, table.blobBytes(i32[node + Inode.INDEX_NAME]));
  if (result < 0) i32[node + Inode.NLINK_DELTA]++;
  return result;
}

/** The count as it is now, in the form that follows the upper's: to be written before the upper loses a name. 0 or negative errno. */
export function fixCount(m: Mount, node: number): number {
  return storeNlink(m, node, m.indexFd, m.table.blobBytes(m.i32[node + Inode.INDEX_NAME]));
}

/**
 * An indexed file has lost a name: with the last one the index entry goes, or becomes the orphan. The name is gone already: what fails here
 * leaves an entry that is dropped with the node, or by the kernel at its next mount (ovl_indexdir_cleanup).
 */
export function dropIndexed(m: Mount, node: number): void {
  const { i32, u32, table, scratch } = m;
  const name = table.blobBytes(i32[node + Inode.INDEX_NAME]);
  if (disk.stat(m.indexFd, name, scratch.stat2) < 0) return;
  if (u32[(scratch.stat2 + StatRecord.nlink) >> 2] + i32[node + Inode.NLINK_DELTA] > 0) return;
  if (!mayBeOpen(m, node)) {
    disk.unlinkat(m.indexFd, name, 0);
    return;
  }
  if (disk.renameat2(m.indexFd, name, m.orphansFd, m.orphanName(node), 0) < 0) return;
  m.clearFlags(node, InodeFlags.INDEXED);
  m.setFlags(node, InodeFlags.ORPHAN);
}

/** Opens of regular files are counted; those of FIFOs, devices and sockets never reach us. */
export function mayBeOpen(m: Mount, node: number): boolean {
  const { i32 } = m;
  if (i32[node + Inode.OPEN_PASSTHROUGH] > 0 || i32[node + Inode.OPEN_CACHED] > 0) return true;
  const type = i32[node + Inode.MODE] & Mode.TYPE;
  return type !== Mode.REGULAR && type !== Mode.LINK && type !== Mode.DIRECTORY;
}

function unlinkUpper(m: Mount, dentry: number, node: number, fd: number, last: boolean): number {
  const { i32, table } = m;
  const name = table.name(dentry);
  const whiteout = (i32[dentry + Dentry.FLAGS] & DentryFlags.LOWER) !== 0;
  const indexed = (m.nodeFlags(node) & InodeFlags.INDEXED) !== 0;
  const orphan = (m.nodeFlags(node) & InodeFlags.ORPHAN) !== 0;
  if (indexed) {
    const counted = fixCount(m, node);
    if (counted < 0) return counted;
  }
  if (!last) {
    const kept = keepReachable(m, dentry, node, fd);
    if (kept < 0) return kept;
  } else if (mayBeOpen(m, node) && !indexed && !orphan) {
    const kept = disk.renameat2(fd, name, m.orphansFd, m.orphanName(node), whiteout ? RenameFlag.WHITEOUT : 0);
    if (kept >= 0) m.setFlags(node, InodeFlags.ORPHAN);
    return kept;
  }
  if (last && !orphan) freeLater(m, node, fd, name);
  const result = removeUpper(m, fd, name, whiteout, 0);
  if (result >= 0 && indexed) dropIndexed(m, node);
  return result;
}

/** Takes a name out of the upper; with `whiteout`, one stands in its place from the same instant on. */
export function removeUpper(m: Mount, fd: number, name: number, whiteout: boolean, flags: number): number {
  if (!whiteout) return disk.unlinkat(fd, name, flags);
  const work = m.freshName(m.scratch.path2);
  const result = disk.renameat2(fd, name, m.workFd, work, RenameFlag.WHITEOUT);
  // the name is gone; what resists here is swept at the next mount
  if (result >= 0) disk.unlinkat(m.workFd, work, flags);
  return result;
}

/** Keeps a huge file open over its unlinking, and closes it in a job. */
export function freeLater(m: Mount, node: number, fd: number, name: number): void {
  const { i32, u32, table, context } = m;
  if (!m.isRegular(node) || (u32[node + Inode.SIZE_HIGH] === 0 && u32[node + Inode.SIZE_LOW] < HUGE)) return;
  const file = disk.openat(fd, name, O.RDONLY | O.NONBLOCK, 0);
  if (file < 0) return;
  const slot = table.takeJob();
  i32[(slot + JobSlot.kind) >> 2] = JobKind.CLOSE;
  i32[(slot + JobSlot.a) >> 2] = file;
  if (table.submitJob(slot) < 0) {
    table.giveJob(slot);
    disk.close(file);
  } else context.abandon(slot, []);
}

/** The table's side: the dentry becomes a whiteout or goes; the node loses the name. Directory and node are locked. */
export function lostName(m: Mount, dentry: number, node: number, last: boolean): void {
  const { i32, table } = m;
  table.unbind(dentry);
  const flags = i32[dentry + Dentry.FLAGS];
  if ((flags & DentryFlags.LOWER) !== 0) table.setDentryFlags(dentry, DentryFlags.WHITEOUT | DentryFlags.UPPER | DentryFlags.LOWER);
  else table.removeDentry(dentry);
  if (!last) return;
  m.setFlags(node, InodeFlags.GONE);
  i32[node + Inode.NLINK] = 0;
}

function rmdirLocked(m: Mount, directory: number, dentry: number, node: number): number {
  const { i32, table, scratch } = m;
  let result = load(m, node);
  if (result < 0) return result;
  if (i32[node + Inode.ENTRIES] > 0) return -Errno.ENOTEMPTY;
  result = attributes(m, node, scratch.stat);
  if (result < 0) return result;
  remember(m, node, scratch.stat);
  const fd = m.upperDirectory(directory);
  if (fd < 0) return fd;
  const flags = i32[dentry + Dentry.FLAGS];
  const name = table.name(dentry);
  const lower = (flags & DentryFlags.LOWER) !== 0;
  if ((flags & DentryFlags.UPPER) === 0) result = disk.mknodat(fd, name, Mode.CHARACTER, 0);
  else result = removeUpperDirectory(m, fd, name, lower);
  if (result < 0) return result;
  lostName(m, dentry, node, true);
  emptied(m, node);
  return 0;
}

/** A directory that is gone has no entries, and none of its whiteouts matters. */
export function emptied(m: Mount, node: number): void {
  for (let dentry = m.i32[node + Inode.FIRST]; dentry !== 0; dentry = m.i32[node + Inode.FIRST]) m.table.removeDentry(dentry);
  Atomics.store(m.i32, node + Inode.LOAD, LoadState.LOADED);
}

/** Takes an upper directory that holds at most whiteouts out of the way in one step, then apart. */
export function removeUpperDirectory(m: Mount, fd: number, name: number, whiteout: boolean): number {
  if (!whiteout) {
    const result = disk.unlinkat(fd, name, AT_REMOVEDIR);
    if (result !== -Errno.ENOTEMPTY && result !== -Errno.EEXIST) return result;
  }
  const work = m.freshName(m.scratch.path2);
  const result = disk.renameat2(fd, name, m.workFd, work, whiteout ? RenameFlag.WHITEOUT : 0);
  if (result >= 0) removeTree(m, m.workFd, work);
  return Math.min(result, 0);
}

/** Removes what is at (fd, name), with all below it: in the work directory only. What resists stays for the next mount to sweep. */
export function removeTree(m: Pick<Mount, 'u8' | 'u32' | 'scratch' | 'names'>, fd: number, name: number): void {
  if (disk.unlinkat(fd, name, AT_REMOVEDIR) >= 0 || disk.unlinkat(fd, name, 0) >= 0) return;
  const own = Buffer.from(m.u8.subarray(name, m.u8.indexOf(0, name) + 1)); // below, scratch.walk is used again
  const inside = disk.openat(fd, name, O.RDONLY | O_DIRECTORY, 0);
  if (inside < 0) return;
  const names: Buffer[] = [];
  const { dirents, direntsCapacity } = m.scratch;
  for (let bytes; (bytes = disk.readDirents(inside, 0, dirents, direntsCapacity)) > 0;) {
    for (let at = dirents; at < dirents + bytes; at += m.u32[at >> 2]) {
      const length = m.u8[at + DirentRecord.nameLength] | (m.u8[at + DirentRecord.nameLength + 1] << 8);
      names.push(Buffer.from(m.u8.subarray(at + DirentRecord.name, at + DirentRecord.name + length)));
    }
  }
  for (const entry of names) {
    m.u8.set(entry, m.scratch.walk);
    m.u8[m.scratch.walk + entry.length] = 0;
    removeTree(m, inside, m.scratch.walk);
  }
  disk.close(inside);
  m.u8.set(own, m.scratch.walk);
  disk.unlinkat(fd, m.scratch.walk, AT_REMOVEDIR);
}

/**
 * RENAME and RENAME2 (fs/overlayfs/dir.c, ovl_rename). What moves is in the upper first; where a lower has the old name a whiteout is left
 * at the same instant (RENAME_WHITEOUT); a directory that has lowers takes along where they are (redirect), one that has none says so
 * where it would merge (opaque).
 */
import { Errno } from '../errno';
import { disk, DirentType, RenameFlag } from '../layers/disk';
import { StatRecord } from '../layers/records';
import type { Rename } from '../protocol/operations';
import { copyUpDirectory, copyUpMetadata, keepLowerPath, markImpure, writeIno } from './copy-up';
import { load } from './directory';
import { blobText } from './lowers';
import { buildFakeWhiteout, isReserved, named } from './make';
import type { Mount } from './mount';
import { attributes, directoryOf, forget, nodeOf } from './node';
import { remember } from './record';
import {
  countDown,
  countsAgain,
  dropIndexed,
  emptied,
  fixCount,
  freeLater,
  isLastName,
  keepReachable,
  lostName,
  mayBeOpen,
  needsIndex,
  removeTree,
} from './remove';
import { Dentry, DentryFlags, Inode, InodeFlags, MountFlags, MountWord } from './table/layout';

/** One end of a rename. */
interface End {
  directory: number;
  name: number;
  length: number;
  dentry: number;
  /** 0: there is nothing of that name */
  node: number;
}

const KNOWN_FLAGS = RenameFlag.NOREPLACE | RenameFlag.EXCHANGE | RenameFlag.WHITEOUT;

/** Called without the rename lock: takes it exclusively if a directory moves. */
export function rename(m: Mount, op: Rename): number {
  if (!m.writable) return -Errno.EROFS;
  if ((op.flags & ~KNOWN_FLAGS) !== 0) return -Errno.EINVAL;
  if (isReserved(m, op.newName)) return -Errno.EINVAL;
  const lock = m.record + MountWord.RENAME_LOCK;
  const { memory } = m.table;
  let [from, to] = [0, 0];
  memory.lockShared(lock);
  try {
    from = directoryOf(m, op.node);
    to = directoryOf(m, op.newParent);
  } finally {
    memory.unlockShared(lock);
  }
  if (from < 0 || to < 0) return Math.min(from, to);
  let exclusive = false;
  for (;;) {
    if (exclusive) memory.lockExclusive(lock);
    else memory.lockShared(lock);
    try {
      const result = attempt(m, op, from, to, exclusive);
      if (result !== NEEDS_EXCLUSIVE) return result;
    } finally {
      if (exclusive) memory.unlockExclusive(lock);
      else memory.unlockShared(lock);
    }
    exclusive = true;
  }
}

const NEEDS_EXCLUSIVE = 1 << 20;

function attempt(m: Mount, op: Rename, from: number, to: number, exclusive: boolean): number {
  let result = copyUpDirectory(m, from);
  if (result >= 0) result = copyUpDirectory(m, to);
  if (result < 0) return result;
  const source: End = { directory: from, name: op.name, length: op.nameLength, dentry: 0, node: 0 };
  const target: End = { directory: to, name: op.newName, length: op.newNameLength, dentry: 0, node: 0 };
  try {
    // find both ends and copy up what moves, until nothing is left to be done before the locks
    for (;;) {
      lockDirectories(m, from, to);
      let ready: number;
      try {
        ready = prepare(m, op, source, target, exclusive);
        if (ready === READY)
          return (op.flags & RenameFlag.WHITEOUT) !== 0 ? moveAndLeave(m, op, source, target) : moveLocked(m, op, source, target);
      } finally {
        unlockDirectories(m, from, to);
      }
      if (ready === SOURCE_FIRST) result = copyUpMetadata(m, source.node);
      else if (ready === TARGET_FIRST) result = copyUpMetadata(m, target.node);
      else return ready;
      if (result !== 0) return result;
      drop(m, source, target);
    }
  } finally {
    drop(m, source, target);
  }
}

/** RENAME_WHITEOUT: the container's own whiteout, which it sees as a char 0/0, is left where the source was. It is built before anything moves. */
function moveAndLeave(m: Mount, op: Rename, source: End, target: End): number {
  const { i32, u8, table, scratch } = m;
  const built = m.freshName(scratch.path);
  const name = Buffer.from(u8.subarray(built, u8.indexOf(0, built) + 1));
  let result = buildFakeWhiteout(m, op, source.directory, built);
  if (result < 0) return result;
  const ino = scratch.stat >> 2;
  const [low, high] = [m.inoLow(i32[ino], i32[ino + 1], -1), m.inoHigh(i32[ino], i32[ino + 1], -1)];
  const vacant = target.node === 0;
  result = moveLocked(m, op, source, target);
  u8.set(name, scratch.path);
  if (result < 0) {
    disk.unlinkat(m.workFd, scratch.path, 0);
    return result;
  }
  const fd = m.upperDirectory(source.directory);
  result = fd < 0 ? fd : disk.renameat2(m.workFd, scratch.path, fd, source.name, 0);
  if (result < 0) {
    disk.unlinkat(m.workFd, scratch.path, 0);
    if (vacant) moveBack(m, op, source, target);
    return result;
  }
  const old = table.find(source.directory, source.name, source.length);
  const flags = DentryFlags.UPPER | DirentType.CHARACTER;
  if (old !== 0) table.setDentryFlags(old, (i32[old + Dentry.FLAGS] & DentryFlags.LOWER) | flags);
  const dentry = old !== 0 ? old : table.addDentry(source.directory, source.name, source.length, flags, 0);
  i32[dentry + Dentry.INO_LOW] = low;
  i32[dentry + Dentry.INO_HIGH] = high;
  return 0;
}

/** What has just moved to a name that was free goes back. */
function moveBack(m: Mount, op: Rename, source: End, target: End): void {
  const { table } = m;
  const from = { ...target, dentry: table.find(target.directory, target.name, target.length), node: source.node };
  const to = { ...source, dentry: table.find(source.directory, source.name, source.length), node: 0 };
  moveLocked(m, op, from, to);
}

const READY = 1 << 21;
const SOURCE_FIRST = 1 << 22;
const TARGET_FIRST = 1 << 23;

/** Gives back the lookups that prepare counted. */
function drop(m: Mount, ...ends: End[]): void {
  for (const end of ends) {
    if (end.node > 0) forget(m, end.node, 1);
    end.node = 0;
  }
}

/** Ancestor first, else by record. The kernel lets one rename across directories into a mount at a time, so there is no longer cycle. */
function lockDirectories(m: Mount, from: number, to: number): void {
  const first = isAncestor(m, from, to) || (!isAncestor(m, to, from) && from < to) ? from : to;
  m.lock(first);
  if (from !== to) m.lock(first === from ? to : from);
}

function isAncestor(m: Mount, ancestor: number, directory: number): boolean {
  for (let at = directory; at !== 0;) {
    if (at === ancestor) return true;
    const dentry = m.i32[at + Inode.DENTRY];
    at = dentry === 0 ? 0 : m.i32[dentry + Dentry.PARENT];
  }
  return false;
}

function unlockDirectories(m: Mount, from: number, to: number): void {
  m.unlock(from);
  if (from !== to) m.unlock(to);
}

/** Finds both ends with their directories locked: READY, what is to be copied up first, NEEDS_EXCLUSIVE, 0 (nothing to do), or an errno. */
function prepare(m: Mount, op: Rename, source: End, target: End, exclusive: boolean): number {
  let result = find(m, source);
  if (result === 0) result = find(m, target);
  if (result < 0) return result;
  if (source.node === 0) return -Errno.ENOENT;
  if ((m.nodeFlags(target.directory) & InodeFlags.GONE) !== 0) return -Errno.ENOENT;
  const exchange = (op.flags & RenameFlag.EXCHANGE) !== 0;
  if (exchange && target.node === 0) return -Errno.ENOENT;
  if ((op.flags & RenameFlag.NOREPLACE) !== 0 && target.node !== 0) return -Errno.EEXIST;
  if (source.node === target.node) return 0; // two names of one file: POSIX wants nothing done
  const sourceDirectory = m.isDirectory(source.node);
  const targetDirectory = target.node !== 0 && m.isDirectory(target.node);
  if (target.node !== 0 && !exchange) {
    if (sourceDirectory && !targetDirectory) return -Errno.ENOTDIR;
    if (!sourceDirectory && targetDirectory) return -Errno.EISDIR;
  }
  if ((sourceDirectory || targetDirectory) && !exclusive) return NEEDS_EXCLUSIVE;
  if (!mayMove(m, source.node) || (exchange && !mayMove(m, target.node))) return -Errno.EXDEV;
  if (!m.hasUpper(source.node)) return SOURCE_FIRST;
  if (target.node !== 0 && !m.hasUpper(target.node) && (exchange || needsIndex(m, target.node))) return TARGET_FIRST;
  if (targetDirectory && !exchange) {
    m.lock(target.node);
    try {
      result = load(m, target.node);
    } finally {
      m.unlock(target.node);
    }
    if (result < 0) return result;
    if (m.i32[target.node + Inode.ENTRIES] > 0) return -Errno.ENOTEMPTY;
  }
  return READY;
}

function find(m: Mount, end: End): number {
  const loaded = load(m, end.directory);
  if (loaded < 0) return loaded;
  end.dentry = m.table.find(end.directory, end.name, end.length);
  end.node = m.dentryType(end.dentry) < 0 ? 0 : nodeOf(m, end.directory, end.dentry);
  return Math.min(end.node, 0);
}

/** With redirect_dir=off a directory that has lowers cannot move: EXDEV, as from the kernel. */
function mayMove(m: Mount, node: number): boolean {
  return !m.isDirectory(node) || m.lowerCount(node) === 0 || m.has(MountFlags.REDIRECT);
}

/** Both ends are as they must be, both directories are locked, and no directory moves meanwhile. */
function moveLocked(m: Mount, op: Rename, source: End, target: End): number {
  const nodes = [source.node, target.node].filter((node) => node !== 0).sort((a, b) => a - b);
  const locked: number[] = [];
  try {
    for (const node of nodes) {
      m.lock(node);
      locked.push(node);
    }
    return (op.flags & RenameFlag.EXCHANGE) !== 0 ? exchange(m, source, target) : move(m, source, target);
  } finally {
    for (const node of locked) m.unlock(node);
  }
}

function hasLower(m: Mount, dentry: number): boolean {
  return dentry !== 0 && (m.i32[dentry + Dentry.FLAGS] & DentryFlags.LOWER) !== 0;
}

function inUpper(m: Mount, dentry: number): boolean {
  return dentry !== 0 && (m.i32[dentry + Dentry.FLAGS] & DentryFlags.UPPER) !== 0;
}

/** Marks what is about to appear as `name` of `directory`, so that nothing wrong merges with it there. 0 or negative errno. */
function markForPlace(m: Mount, node: number, directory: number, dentryThere: number): number {
  const { scratch, names } = m;
  const flags = m.nodeFlags(node);
  if (m.isDirectory(node)) {
    const place = m.place(node);
    if (place < 0) return place;
    if (m.lowerCount(node) > 0) {
      const path = `/${blobText(m, m.i32[node + Inode.ORIGIN])}`;
      const length = Buffer.from(m.table.memory.buffer, scratch.value, scratch.valueCapacity).write(path, 'latin1');
      const result = disk.setxattr(m.placeFd, m.placeName, names.redirect, scratch.value, length, 0);
      if (result < 0) return result === -Errno.ERANGE || result === -Errno.E2BIG ? -Errno.ENOSPC : result;
      // until now its name told which lower's number it shows
      const kept = writeIno(m, node, m.placeFd, m.placeName);
      if (kept < 0) return kept;
    } else if ((flags & InodeFlags.OPAQUE) === 0 && (hasLower(m, dentryThere) || m.lowerCount(directory) > 0)) {
      m.u8[scratch.words] = 0x79;
      const result = disk.setxattr(m.placeFd, m.placeName, names.opaque, scratch.words, 1, 0);
      if (result < 0) return result;
      m.setFlags(node, InodeFlags.OPAQUE);
    }
    return markImpure(m, directory);
  }
  const marked = InodeFlags.OWN_INO | InodeFlags.METACOPY | InodeFlags.FAKE_WHITEOUT | InodeFlags.INDEXED;
  return (flags & marked) !== 0 ? markImpure(m, directory) : 0;
}

function move(m: Mount, source: End, target: End): number {
  const { i32, scratch } = m;
  const fromFd = m.upperDirectory(source.directory);
  const toFd = m.upperDirectory(target.directory);
  if (fromFd < 0 || toFd < 0) return Math.min(fromFd, toFd);
  let result = markForPlace(m, source.node, target.directory, target.dentry);
  if (result < 0) return result;
  let last = false;
  let saved = 0;
  if (target.node !== 0) {
    result = attributes(m, target.node, scratch.stat);
    if (result < 0) return result;
    remember(m, target.node, scratch.stat);
    last = m.isDirectory(target.node) || isLastName(m, target.node, i32[(scratch.stat + StatRecord.nlink) >> 2]);
    saved = saveTarget(m, target, toFd, last);
    if (saved < 0) return saved;
  }
  result = solidify(m, source, fromFd);
  if (result >= 0) result = moveUpper(m, source, target, fromFd, toFd, hasLower(m, source.dentry));
  if (result < 0) {
    if (saved === SAVED_LAST) unsave(m, target.node);
    return result;
  }
  if (target.node !== 0) {
    if ((m.nodeFlags(target.node) & InodeFlags.INDEXED) !== 0) dropIndexed(m, target.node);
    forgetTarget(m, target, last);
  }
  retitle(m, source, target);
  movedTo(m, source, target);
  return 0;
}

/** What the kernel has read of a directory names its parent ("..") too. */
function movedTo(m: Mount, source: End, target: End): void {
  if (source.directory === target.directory || !m.isDirectory(source.node)) return;
  m.context.stale = m.nodeid(source.node);
  m.context.staleContent = true;
}

/** saveTarget has given the file its last name's successor. */
const SAVED_LAST = 1;

/** The target's file loses this name: what must survive is put where it can be reached. SAVED_LAST, 0, or a negative errno. */
function saveTarget(m: Mount, target: End, toFd: number, last: boolean): number {
  const { node, dentry } = target;
  if (m.isDirectory(node)) return 0;
  if ((m.nodeFlags(node) & InodeFlags.INDEXED) !== 0) {
    const counted = inUpper(m, dentry) ? fixCount(m, node) : solidify(m, target, toFd);
    if (counted < 0) return counted;
  }
  const flags = m.nodeFlags(node);
  if (!inUpper(m, dentry)) return 0;
  const name = m.table.name(dentry);
  if (!last) return keepReachable(m, dentry, node, toFd);
  if ((flags & (InodeFlags.INDEXED | InodeFlags.ORPHAN)) !== 0) return 0;
  if (!mayBeOpen(m, node)) {
    freeLater(m, node, toFd, name);
    return 0;
  }
  const kept = disk.linkat(toFd, name, m.orphansFd, m.orphanName(node));
  if (kept < 0) return kept;
  m.setFlags(node, InodeFlags.ORPHAN);
  return SAVED_LAST;
}

/** The name was not lost after all. */
function unsave(m: Mount, node: number): void {
  if (disk.unlinkat(m.orphansFd, m.orphanName(node), 0) >= 0) m.clearFlags(node, InodeFlags.ORPHAN);
  else m.i32[node + Inode.NLINK_DELTA] = -1; // as one of several names that keepReachable saved
}

function forgetTarget(m: Mount, target: End, last: boolean): void {
  const { i32, table } = m;
  const { node, dentry } = target;
  // the name stays: only the node loses it
  if (!inUpper(m, dentry) && !m.isDirectory(node)) keepLowerPath(m, node, dentry); // it may still be open
  table.unbind(dentry);
  if (!last) {
    countsAgain(m, node);
    return;
  }
  m.setFlags(node, InodeFlags.GONE);
  i32[node + Inode.NLINK] = 0;
  if (m.isDirectory(node)) emptied(m, node);
}

/** The source's name is in the upper: one rename does it, whiteout included. */
function moveUpper(m: Mount, source: End, target: End, fromFd: number, toFd: number, whiteout: boolean): number {
  const flags = whiteout ? RenameFlag.WHITEOUT : 0;
  const ontoUpper = inUpper(m, target.dentry);
  if (!m.isDirectory(source.node) || !ontoUpper) return disk.renameat2(fromFd, source.name, toFd, target.name, flags);
  // a directory onto a whiteout, or onto a directory that holds whiteouts: change places, then clear away what was there
  const direct =
    m.dentryType(target.dentry) === DirentType.DIRECTORY ? disk.renameat2(fromFd, source.name, toFd, target.name, flags) : -Errno.ENOTDIR;
  if (direct !== -Errno.ENOTEMPTY && direct !== -Errno.EEXIST && direct !== -Errno.ENOTDIR) return direct;
  const swapped = disk.renameat2(fromFd, source.name, toFd, target.name, RenameFlag.EXCHANGE);
  if (swapped < 0) return swapped;
  // what was the target now stands at the source's name; a whiteout there is just what is wanted, or goes
  let cleared: number;
  if (m.dentryType(target.dentry) !== DirentType.DIRECTORY) cleared = whiteout ? 0 : disk.unlinkat(fromFd, source.name, 0);
  else {
    const work = m.freshName(m.scratch.path2);
    cleared = disk.renameat2(fromFd, source.name, m.workFd, work, flags);
    if (cleared >= 0) removeTree(m, m.workFd, work);
  }
  if (cleared < 0) disk.renameat2(fromFd, source.name, toFd, target.name, RenameFlag.EXCHANGE);
  return Math.min(cleared, 0);
}

/** The table's side: the source's dentry leaves, the target's name leads to the source's node. */
function retitle(m: Mount, source: End, target: End): void {
  const { i32, table } = m;
  const type = i32[source.dentry + Dentry.FLAGS] & DentryFlags.TYPE_MASK;
  if (m.dentryType(target.dentry) >= 0) {
    // replaced: the whiteout's flag keeps the count of entries right
    table.setDentryFlags(target.dentry, (i32[target.dentry + Dentry.FLAGS] & DentryFlags.LOWER) | DentryFlags.UPPER | DentryFlags.WHITEOUT);
  }
  const dentry = named(m, target.directory, target.dentry, target.name, target.length, type, source.node);
  // Else a reading of the directory might show it under neither name.
  if (target.dentry === 0 && source.directory === target.directory) table.changePlaces(dentry, source.dentry);
  lostName(m, source.dentry, source.node, false);
  table.bind(dentry, source.node);
}

function exchange(m: Mount, source: End, target: End): number {
  const { i32, table } = m;
  const fromFd = m.upperDirectory(source.directory);
  const toFd = m.upperDirectory(target.directory);
  if (fromFd < 0 || toFd < 0) return Math.min(fromFd, toFd);
  let result = solidify(m, source, fromFd);
  if (result >= 0) result = solidify(m, target, toFd);
  if (result >= 0) result = markForPlace(m, source.node, target.directory, target.dentry);
  if (result >= 0) result = markForPlace(m, target.node, source.directory, source.dentry);
  if (result < 0) return result;
  result = disk.renameat2(fromFd, source.name, toFd, target.name, RenameFlag.EXCHANGE);
  if (result < 0) return result;
  const [sourceType, targetType] = [
    i32[source.dentry + Dentry.FLAGS] & DentryFlags.TYPE_MASK,
    i32[target.dentry + Dentry.FLAGS] & DentryFlags.TYPE_MASK,
  ];
  table.unbind(source.dentry);
  table.unbind(target.dentry);
  named(m, source.directory, source.dentry, source.name, source.length, targetType, target.node);
  named(m, target.directory, target.dentry, target.name, target.length, sourceType, source.node);
  table.bind(source.dentry, target.node);
  table.bind(target.dentry, source.node);
  return 0;
}

/** An indexed file's name that only a lower has becomes an upper name, so that it can move. The tree is the same before and after. */
function solidify(m: Mount, end: End, fd: number): number {
  const { i32, table } = m;
  if (inUpper(m, end.dentry)) return 0;
  let result = m.place(end.node);
  if (result < 0) return result;
  result = disk.linkat(m.placeFd, m.placeName, fd, end.name);
  if (result < 0) return result;
  result = countDown(m, end.node);
  if (result < 0) {
    disk.unlinkat(fd, end.name, 0);
    return result;
  }
  table.setDentryFlags(end.dentry, i32[end.dentry + Dentry.FLAGS] | DentryFlags.UPPER);
  return 0;
}

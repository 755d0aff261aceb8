/** An inode record's life: made from a dentry when the kernel first asks, its attributes, and its end after FORGET. */
import { Count } from './counters';
import { Errno } from '../errno';
import { disk, Mode } from '../layers/disk';
import type { Files } from '../layers/lower';
import { JobSlot, StatRecord } from '../layers/records';
import { keepLowerPath } from './copy-up';
import { unload } from './directory';
import { asked, LayerError } from './failure';
import { adoptIndexed, findIndexed, indexedNumber } from './hardlinks';
import { copyNames, standDown, standFor, twinOf } from './image';
import { blobText, childLowers, findData, redirectMark, text, textBlob, walk } from './lowers';
import type { Mount } from './mount';
import { STAT_WORDS } from './record';
import { statIn } from './stats';
import { Dentry, DentryFlags, Inode, InodeFlags, LoadState, Lookups, LowerHandle, MountFlags, MountWord } from './table/layout';

/**
 * The node of a dentry that names something, made if there is none, with one lookup counted on it. The caller holds the directory's lock.
 * A negative errno when the layers do not answer. `stats`: what is kept for a listing of the directory (stats.ts).
 */
export function nodeOf(m: Mount, directory: number, dentry: number, stats = 0): number {
  const { i32, table } = m;
  const known = Atomics.load(i32, dentry + Dentry.INODE);
  if (known !== 0) {
    if (table.addLookup(known)) return known;
    // it died meanwhile and whoever killed it has not come here yet
    m.lock(known);
    if (i32[dentry + Dentry.INODE] === known) table.unbind(dentry);
    m.unlock(known);
  }
  return instantiate(m, directory, dentry, stats);
}

function instantiate(m: Mount, directory: number, dentry: number, stats: number): number {
  const { i32, u32, table } = m;
  m.context.counters.miss(Count.NODES_MADE);
  const flags = i32[dentry + Dentry.FLAGS];
  const inUpper = (flags & DentryFlags.UPPER) !== 0;
  const position = i32[dentry + Dentry.LOWER] - 1;
  const kept = inUpper ? 0 : statIn(m, stats, dentry);
  const stat = kept === 0 ? m.scratch.stat : kept;
  // what is kept needs no descriptor
  const place = inUpper ? m.upperDirectory(directory) : kept === 0 ? m.lowerDirectory(directory, position) : 0;
  if (place < 0) return place;
  if (!inUpper && (flags & DentryFlags.STAT) !== 0) table.keptStat(dentry, stat);
  else if (kept === 0) {
    const files: Pick<Files, 'stat'> = inUpper ? m.upper : m.lowerAt(directory, position);
    const result = files.stat(place, table.name(dentry), stat);
    if (result < 0) return result;
  }
  const type = u32[(stat + StatRecord.mode) >> 2] & Mode.TYPE;
  const several = type !== Mode.DIRECTORY && u32[(stat + StatRecord.nlink) >> 2] > 1;
  const joins = several && (inUpper || m.has(MountFlags.INDEX));
  if (joins && !inUpper) {
    const holder = kept === 0 ? place : m.lowerDirectory(directory, position);
    if (holder < 0) return holder;
    const numbered = indexedNumber(m, dentry, m.lowerLayer(directory, position), holder);
    if (numbered < 0) return numbered;
  }
  if (joins) {
    const other = table.findIdent(m.index, i32[dentry + Dentry.INO_LOW], i32[dentry + Dentry.INO_HIGH]);
    if (other !== 0) return join(m, dentry, other);
  }
  const node = table.newInode(m.index);
  u32.copyWithin(node + Inode.ATTR, stat >> 2, (stat >> 2) + STAT_WORDS);
  i32[node + Inode.INO_LOW] = i32[dentry + Dentry.INO_LOW];
  i32[node + Inode.INO_HIGH] = i32[dentry + Dentry.INO_HIGH];
  i32[node + Inode.LOOKUPS] = 1;
  if (m.isImage) i32[node + Inode.ORDINAL] = Atomics.add(i32, m.record + MountWord.ORDINALS, 1);
  let twin = 0;
  try {
    if (inUpper) fromUpper(m, directory, dentry, node, place, several);
    else fromLower(m, directory, dentry, node, several);
    twin = twinOf(m, directory, dentry, node);
    if (twin !== 0 && m.isDirectory(node) && !inUpper) copyNames(m, node, twin);
  } catch (error) {
    i32[node + Inode.LOOKUPS] = Lookups.DEAD;
    if (i32[node + Inode.FIRST] !== 0) unload(m, node);
    table.freeInode(node);
    throw error;
  }
  if (!joins) {
    i32[node + Inode.SHARED] = twin;
    table.bind(dentry, node);
    if (twin !== 0) standFor(m, node, twin);
    return node;
  }
  // From here on others can find it by its number. Somebody who came by another of its names may have been first.
  const first = table.addIdent(node);
  if (first !== node) {
    i32[node + Inode.LOOKUPS] = Lookups.DEAD;
    table.freeInode(node);
  }
  return join(m, dentry, first);
}

/** The dentry is a name of a node on which a lookup is counted. */
function join(m: Mount, dentry: number, node: number): number {
  m.lock(node);
  m.table.bind(dentry, node);
  m.unlock(node);
  return node;
}

function answered(result: number): void {
  if (result < 0) throw new LayerError(-result);
}

function fromLower(m: Mount, directory: number, dentry: number, node: number, several: boolean): void {
  const { i32, table } = m;
  if (m.isDirectory(node)) {
    inheritLowers(m, node, directory, dentry);
    if (m.lowerCount(node) > 1) m.setFlags(node, InodeFlags.MERGED);
    if ((i32[dentry + Dentry.FLAGS] & DentryFlags.IMPLICIT) !== 0) answered(takeAttributes(m, node));
    return;
  }
  i32[node + Inode.LAYER] = m.lowerLayer(directory, i32[dentry + Dentry.LOWER] - 1) + 1;
  if (several && m.has(MountFlags.INDEX)) {
    answered(findIndexed(m, node, m.lowerDirectory(directory, i32[dentry + Dentry.LOWER] - 1), table.name(dentry)));
    if (m.hasUpper(node)) keepLowerPath(m, node, dentry);
  }
}

/**
 * The attributes of a directory whose topmost lower does not have it itself are those of the next that has; with none, what stands for them in the
 * index. 0 or negative errno.
 */
export function takeAttributes(m: Mount, node: number): number {
  const { i32, u32 } = m;
  const { stat2 } = m.scratch;
  for (let position = 0; position < m.lowerCount(node); position++) {
    const handle = m.lowerDirectory(node, position);
    if (handle < 0) return handle;
    const lower = m.lowerAt(node, position);
    if (lower.isImplicit(handle)) continue;
    const result = lower.stat(handle, m.names.empty, stat2);
    if (result < 0) return result;
    const [low, high] = [i32[node + Inode.INO_LOW], i32[node + Inode.INO_HIGH]];
    u32.copyWithin(node + Inode.ATTR, stat2 >> 2, (stat2 >> 2) + STAT_WORDS);
    i32[node + Inode.INO_LOW] = low;
    i32[node + Inode.INO_HIGH] = high;
    i32[node + Inode.ATTRIBUTES_OF] = position;
    return 0;
  }
  return 0;
}

function fromUpper(m: Mount, directory: number, dentry: number, node: number, place: number, several: boolean): void {
  const { i32, table, names } = m;
  const name = table.name(dentry);
  const { value } = m.scratch;
  m.setFlags(node, InodeFlags.UPPER);
  const owned = (m.nodeFlags(directory) & (InodeFlags.MERGED | InodeFlags.IMPURE)) !== 0;
  if (m.isDirectory(node)) {
    if (asked(disk.getxattr(place, name, names.impure, value, 16)) > 0) m.setFlags(node, InodeFlags.IMPURE);
    if (!owned) return;
    if (asked(disk.getxattr(place, name, names.opaque, value, 16)) === 1 && m.u8[value] === 0x79) {
      m.setFlags(node, InodeFlags.OPAQUE);
      return;
    }
    const redirect = redirectMark(m, disk, place, name);
    if (redirect === undefined) {
      inheritLowers(m, node, directory, dentry);
    } else {
      const path = redirect.startsWith('/') ? redirect.slice(1) : joined(originOf(m, directory), redirect);
      const list: number[] = [];
      for (const lower of walk(m, path, 0).directories) list.push(lower.layer, textBlob(m, lower.path), LowerHandle.NONE);
      setLowers(m, node, list, path);
    }
    if (m.lowerCount(node) > 0) m.setFlags(node, InodeFlags.MERGED);
    return;
  }
  const ino = (m.scratch.stat + StatRecord.ino) >> 2;
  const [low, high] = [m.inoLow(i32[ino], i32[ino + 1], -1), m.inoHigh(i32[ino], i32[ino + 1], -1)];
  if (i32[node + Inode.INO_LOW] !== low || i32[node + Inode.INO_HIGH] !== high) m.setFlags(node, InodeFlags.OWN_INO);
  if (!owned) return;
  if (m.isRegular(node)) {
    if ((i32[dentry + Dentry.FLAGS] & DentryFlags.TYPE_MASK) << 12 !== Mode.REGULAR) m.setFlags(node, InodeFlags.FAKE_WHITEOUT);
    if (asked(disk.getxattr(place, name, names.metacopy, value, 64)) >= 0) {
      const redirect = redirectMark(m, disk, place, name);
      const path =
        redirect === undefined
          ? ownPath(m, directory, dentry)
          : redirect.startsWith('/')
            ? redirect.slice(1)
            : joined(originOf(m, directory), redirect);
      const data = findData(m, path, 0);
      m.setFlags(node, InodeFlags.METACOPY);
      if (data !== undefined) {
        i32[node + Inode.DATA_LAYER] = data.layer + 1;
        i32[node + Inode.DATA_PATH] = textBlob(m, data.path);
        copyBlocks(m, node);
      }
    }
  }
  if (several && m.has(MountFlags.INDEX)) answered(adoptIndexed(m, node, place, name));
}

/** st_blocks of a metacopy is its data's. */
function copyBlocks(m: Mount, node: number): void {
  const { i32, u32 } = m;
  if (m.lowerDataPlace(node) < 0 || m.placeFiles.stat(m.placeFd, m.placeName, m.scratch.stat2) < 0) return;
  i32[node + Inode.BLOCKS_LOW] = u32[(m.scratch.stat2 + StatRecord.blocks) >> 2];
  i32[node + Inode.BLOCKS_HIGH] = u32[(m.scratch.stat2 + StatRecord.blocks + 4) >> 2];
}

function joined(path: string, name: string): string {
  return path === '' ? name : `${path}/${name}`;
}

function originOf(m: Mount, directory: number): string {
  return blobText(m, m.i32[directory + Inode.ORIGIN]);
}

/** The path in the merged lowers of a name in a directory that has lowers. */
export function ownPath(m: Mount, directory: number, dentry: number): string {
  return joined(originOf(m, directory), text(m, m.table.name(dentry), m.table.nameLength(dentry)));
}

/** What is not redirected goes on in its parent's lowers, under its name. */
function inheritLowers(m: Mount, node: number, directory: number, dentry: number): void {
  const { i32, table } = m;
  const list = childLowers(m, directory, dentry);
  // usually its topmost lower has it under that path
  if (list.length > 0 && m.lowerPath(directory, i32[dentry + Dentry.LOWER] - 1) === i32[directory + Inode.ORIGIN]) {
    i32[node + Inode.LOWERS] = table.listBlob(list);
    i32[node + Inode.ORIGIN] = table.holdBlob(list[1]);
  } else setLowers(m, node, list, ownPath(m, directory, dentry));
}

function setLowers(m: Mount, node: number, list: readonly number[], path: string): void {
  if (list.length === 0) return;
  const { i32, table } = m;
  i32[node + Inode.LOWERS] = table.listBlob(list);
  const first = list[1];
  i32[node + Inode.ORIGIN] = blobText(m, first) === path ? table.holdBlob(first) : textBlob(m, path);
}

// ---- attributes ------------------------------------------------------------------------------------------------------------------------

/** Writes the attributes of a node, as they are shown, to the stat record `out`. 0 or negative errno. */
export function attributes(m: Mount, node: number, out: number): number {
  const flags = m.nodeFlags(node);
  if (!isInUpper(flags)) {
    m.u32.copyWithin(out >> 2, node + Inode.ATTR, node + Inode.ATTR + STAT_WORDS);
    return adjust(m, flags, out >> 2);
  }
  const result = m.place(node);
  if (result < 0) return result;
  const stat = m.upper.stat(m.placeFd, m.placeName, out);
  return stat < 0 ? stat : showUpper(m, node, flags, out);
}

/** The same, of a node whose upper has just been asked: what it said is in the stat record `said`. */
export function attributesSaid(m: Mount, node: number, said: number, out: number): number {
  const flags = m.nodeFlags(node);
  if (!isInUpper(flags)) return attributes(m, node, out);
  m.u32.copyWithin(out >> 2, said >> 2, (said >> 2) + STAT_WORDS);
  return showUpper(m, node, flags, out);
}

/** Do the attributes of a node with these flags stand in the upper? */
function isInUpper(flags: number): boolean {
  return (flags & InodeFlags.UPPER) !== 0 && (flags & (InodeFlags.GONE | InodeFlags.ORPHAN)) !== InodeFlags.GONE;
}

/** Makes of what the upper says, in the stat record `out`, what is shown. */
function showUpper(m: Mount, node: number, flags: number, out: number): number {
  const { i32, u32 } = m;
  const at = out >> 2;
  i32[at] = i32[node + Inode.INO_LOW];
  i32[at + 1] = i32[node + Inode.INO_HIGH];
  if ((flags & (InodeFlags.INDEXED | InodeFlags.ORPHAN)) !== 0) i32[at + StatRecord.nlink / 4] += i32[node + Inode.NLINK_DELTA];
  if ((flags & InodeFlags.FAKE_WHITEOUT) !== 0) {
    u32[at + StatRecord.mode / 4] = (u32[at + StatRecord.mode / 4] & Mode.PERMISSIONS) | Mode.CHARACTER;
    u32[at + StatRecord.rdev / 4] = 0;
  }
  if ((flags & InodeFlags.METACOPY) !== 0) {
    u32[at + StatRecord.blocks / 4] = u32[node + Inode.BLOCKS_LOW];
    u32[at + StatRecord.blocks / 4 + 1] = u32[node + Inode.BLOCKS_HIGH];
    // while its data are being copied in, the upper file's times move: shown is what is remembered
    keepTimes(u32, node + Inode.ATTR, at);
  }
  return adjust(m, flags, at);
}

/** Writes the attributes that the record remembers, as they are shown, to the stat record `out`: no layer is asked. */
export function recorded(m: Mount, node: number, out: number): void {
  const flags = m.nodeFlags(node);
  const at = out >> 2;
  m.u32.copyWithin(at, node + Inode.ATTR, node + Inode.ATTR + STAT_WORDS);
  if ((flags & InodeFlags.FAKE_WHITEOUT) !== 0) {
    m.u32[at + StatRecord.mode / 4] = (m.u32[at + StatRecord.mode / 4] & Mode.PERMISSIONS) | Mode.CHARACTER;
    m.u32[at + StatRecord.rdev / 4] = 0;
  }
  adjust(m, flags, at);
}

function adjust(m: Mount, flags: number, at: number): number {
  const { i32 } = m;
  if ((flags & InodeFlags.GONE) !== 0) i32[at + StatRecord.nlink / 4] = 0;
  else if ((flags & InodeFlags.MERGED) !== 0) i32[at + StatRecord.nlink / 4] = 1;
  if (m.view !== undefined) m.view.apply(m.u32, at);
  return 0;
}

function keepTimes(u32: Uint32Array, from: number, to: number): void {
  for (const at of [StatRecord.atime / 4, StatRecord.atime / 4 + 1, StatRecord.mtime / 4, StatRecord.mtime / 4 + 1])
    u32[to + at] = u32[from + at];
  for (const at of [StatRecord.atimensec / 4, StatRecord.mtimensec / 4]) u32[to + at] = u32[from + at];
}

/** How long the kernel may believe a node's attributes: as long as the mount says, unless stores through a shared mapping pass us by. */
export function attrSeconds(m: Mount, node: number): number {
  return (m.nodeFlags(node) & InodeFlags.UNSEEN_STORES) !== 0 ? 0 : m.seconds;
}

// ---- the end -----------------------------------------------------------------------------------------------------------------------------

/** Takes `count` of the kernel's references away, and the record with the last one. The caller holds no lock. */
export function forget(m: Mount, node: number, count: number): void {
  if (node !== m.root && m.table.dropLookups(node, count) === 0) release(m, node);
}

/** Frees a record nobody refers to, then its parents if they waited for that. */
function release(m: Mount, first: number): void {
  const { i32, table } = m;
  const candidates = [first];
  for (let node = candidates.pop(); node !== undefined; node = candidates.pop()) {
    if (node === m.root || !killed(m, node)) continue;
    table.removeIdent(node);
    for (;;) {
      const dentry: number = Atomics.load(i32, node + Inode.DENTRY);
      if (dentry === 0) break;
      const parent = i32[dentry + Dentry.PARENT];
      m.lock(parent);
      m.lock(node);
      if (i32[dentry + Dentry.INODE] === node) table.unbind(dentry);
      m.unlock(node);
      const idle = i32[parent + Inode.LOOKUPS] === 0 && i32[parent + Inode.PINS] === 0;
      m.unlock(parent);
      if (idle) candidates.push(parent);
    }
    standDown(m, node);
    dispose(m, node);
  }
}

/** A directory with live children does not die; they will ask again. */
function killed(m: Mount, node: number): boolean {
  const { i32 } = m;
  m.lock(node);
  try {
    if (Atomics.load(i32, node + Inode.PINS) !== 0 || Atomics.load(i32, node + Inode.LOOKUPS) !== 0) return false;
    // The extra link of a file with other names goes while the node can still be found: whoever looks one of them up sees the right count.
    if ((m.nodeFlags(node) & (InodeFlags.ORPHAN | InodeFlags.GONE)) === InodeFlags.ORPHAN) {
      disk.unlinkat(m.orphansFd, m.orphanName(node), 0);
      i32[node + Inode.NLINK_DELTA] = 0;
      m.clearFlags(node, InodeFlags.ORPHAN);
    }
    return m.table.kill(node);
  } finally {
    m.unlock(node);
  }
}

/** What a dead record still held. */
export function dispose(m: Mount, node: number): void {
  const { i32 } = m;
  if (i32[node + Inode.BACKING] > 0) disk.backingClose(m.device, i32[node + Inode.BACKING]);
  closeData(m, node);
  if (i32[node + Inode.JOB] !== 0) {
    const slot = i32[node + Inode.JOB] * 4;
    i32[node + Inode.JOB] = 0;
    m.context.abandon(slot, [i32[(slot + JobSlot.a) >> 2], i32[(slot + JobSlot.b) >> 2]]);
    disk.unlinkat(m.workFd, m.workName(m.scratch.path, node), 0);
  }
  const flags = m.nodeFlags(node);
  if ((flags & InodeFlags.ORPHAN) !== 0) disk.unlinkat(m.orphansFd, m.orphanName(node), 0);
  const indexed = InodeFlags.INDEXED | InodeFlags.GONE;
  if ((flags & indexed) === indexed) disk.unlinkat(m.indexFd, m.table.blobBytes(i32[node + Inode.INDEX_NAME]), 0);
  if (i32[node + Inode.LOAD] !== LoadState.NOT || i32[node + Inode.FIRST] !== 0) unload(m, node);
  m.table.freeInode(node);
}

/** Closes the descriptors kept for served reads and writes: nobody has the node open. */
export function closeData(m: Mount, node: number): void {
  const { i32 } = m;
  const [fd, old] = [i32[node + Inode.FD], i32[node + Inode.FD_OLD]];
  i32[node + Inode.FD_OLD] = 0;
  Atomics.store(i32, node + Inode.FD, 0);
  if (fd !== 0) disk.close(fd - 1);
  if (old !== 0) disk.close(old - 1);
}

/** A directory of the operation: the node, or a negative errno. */
export function directoryOf(m: Mount, nodeid: number): number {
  const node = m.node(nodeid);
  if (node === 0) return -Errno.ESTALE;
  return m.isDirectory(node) ? node : -Errno.ENOTDIR;
}

/**
 * Attributes that are read ahead: what an idle worker loads (ahead.ts) is going to be listed by another one, with the attributes of all entries
 * (READDIRPLUS). Those are asked for by the one that has the descriptors at hand, in one call for each lower, and so is whether its directories have marks.
 *
 * They are kept in one blob of the directory: the time, then a stat record for each entry, of which a dentry knows the number. They are for that listing
 * only: dropped at its end, and not believed when it comes late. Those of an upper change: they are never among them.
 */
import { StatRecord } from '../layers/records';
import { Marks, marks } from './lowers';
import type { Mount } from './mount';
import { Blob, Dentry, DentryFlags, Inode } from './table/layout';
import { TableFull } from './table/memory';

/** Words of the blob before the records: the time, and what aligns them. */
const HEAD = 2;
/** Of so many entries at most: they fit into a cell of 32 KiB, and a program that wants no more than names will not have had much read in vain. */
const MOST = 255;
/** Milliseconds: longer is as for ever. */
const BELIEVED = 1000;
const CLOCK_MASK = 0x3fffffff;

/** The caller holds the lock of the directory, which it has just loaded. */
export function readStats(m: Mount, directory: number): void {
  const { i32, u32, table } = m;
  if (i32[directory + Inode.SHARED] !== 0) return; // its lowers' entries are the image's nodes
  const names = m.scratch.dirents;
  // [position, how many of its names]*: what a lower has added stands together
  const runs: number[] = [];
  let number = 0;
  let last = 0;
  for (let dentry = i32[directory + Inode.FIRST]; dentry !== 0; dentry = i32[dentry + Dentry.NEXT]) {
    const lower = i32[dentry + Dentry.LOWER];
    if ((i32[dentry + Dentry.FLAGS] & (DentryFlags.UPPER | DentryFlags.WHITEOUT | DentryFlags.STAT)) !== 0) continue;
    if (number === MOST) return;
    if (lower !== last) runs.push(lower - 1, 0);
    last = lower;
    runs[runs.length - 1]++;
    u32[(names >> 2) + number++] = table.name(dentry);
    i32[dentry + Dentry.STAT] = number;
  }
  const stats = number === 0 ? 0 : blobFor(m, number);
  if (stats === 0) return;
  for (let i = 0, first = 0; i < runs.length; first += runs[i + 1], i += 2) {
    const place = m.lowerDirectory(directory, runs[i]);
    if (place >= 0) m.lowerAt(directory, runs[i]).statAll?.(place, names + 4 * first, runs[i + 1], recordAt(stats, first));
  }
  askForMarks(m, directory);
  Atomics.store(i32, directory + Inode.STATS, stats);
}

function askForMarks(m: Mount, directory: number): void {
  const { i32, table } = m;
  for (let dentry = i32[directory + Inode.FIRST]; dentry !== 0; dentry = i32[dentry + Dentry.NEXT]) {
    const flags = i32[dentry + Dentry.FLAGS];
    if (m.isDirectoryDentry(dentry) && (flags & DentryFlags.UPPER) === 0 && isUnmarked(m, directory, dentry))
      table.setDentryFlags(dentry, flags | DentryFlags.UNMARKED);
  }
}

/** 0: there is no room for what can be asked for later too. */
function blobFor(m: Mount, count: number): number {
  try {
    const stats = m.table.takeBlob(HEAD * 4 + count * StatRecord.SIZE);
    m.i32[stats + Blob.LENGTH] = count;
    m.i32[stats + Blob.DATA] = Date.now() & CLOCK_MASK;
    return stats;
  } catch (error) {
    if (error instanceof TableFull) return 0;
    throw error;
  }
}

/** Says a lower that it cannot tell, then whoever needs to know asks again, and hears why. */
function isUnmarked(m: Mount, directory: number, dentry: number): boolean {
  const { i32, table } = m;
  const several = i32[dentry + Dentry.LOWERS];
  const count = several === 0 ? 1 : i32[several + Blob.LENGTH];
  for (let i = 0; i < count; i++) {
    const position = several === 0 ? i32[dentry + Dentry.LOWER] - 1 : i32[several + Blob.DATA + i];
    const lower = m.lowerAt(directory, position);
    if (lower.isListed || m.lowerLayer(directory, position) === m.layerFds.length - 1) continue;
    const place = m.lowerDirectory(directory, position);
    if (place < 0 || marks(m, lower, place, table.name(dentry)) !== (Marks.NONE as number)) return false;
  }
  return true;
}

/** What has been kept for a listing of the directory; 0: nothing, or too long. */
export function statsOf(m: Mount, directory: number): number {
  const stats = Atomics.load(m.i32, directory + Inode.STATS);
  if (stats === 0 || ((Date.now() - m.i32[stats + Blob.DATA]) & CLOCK_MASK) <= BELIEVED) return stats;
  dropStats(m, directory);
  return 0;
}

/** Whoever looks at them just now goes on to. */
export function dropStats(m: Mount, directory: number): void {
  if (Atomics.load(m.i32, directory + Inode.STATS) !== 0) m.table.dropBlob(Atomics.exchange(m.i32, directory + Inode.STATS, 0));
}

/** Offset of an entry's record in its directory's `stats`; 0: there is none. */
export function statIn(m: Mount, stats: number, dentry: number): number {
  const number = stats === 0 ? 0 : m.i32[dentry + Dentry.STAT];
  if (number === 0) return 0;
  const record = recordAt(stats, number - 1);
  return m.i32[(record + StatRecord.mode) >> 2] === 0 ? 0 : record;
}

function recordAt(stats: number, number: number): number {
  return (stats + Blob.DATA + HEAD) * 4 + number * StatRecord.SIZE;
}

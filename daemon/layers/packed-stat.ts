/**
 * A stat record in ten words, for files of imported layers: their blocks and other times follow from what is kept. It stands behind the name of a
 * dentry, so that a node can be made without asking the layer again.
 */
import { Mode } from './disk';
import { StatRecord } from './records';

export const PACKED_WORDS = 10;

/** One after the other, by word index: of StatRecord where the record's word is, in the order in which they are kept. */
const WORDS = [
  StatRecord.size / 4,
  StatRecord.size / 4 + 1,
  StatRecord.mtime / 4,
  StatRecord.mtime / 4 + 1,
  StatRecord.mtimensec / 4,
  StatRecord.mode / 4,
  StatRecord.nlink / 4,
  StatRecord.uid / 4,
  StatRecord.gid / 4,
  StatRecord.rdev / 4,
] as const;

/** All are word indexes. */
export function packStat(u32: Uint32Array, stat: number, to: number): void {
  for (let i = 0; i < PACKED_WORDS; i++) u32[to + i] = u32[stat + WORDS[i]];
}

/** Everything but the inode number. */
export function unpackStat(u32: Uint32Array, from: number, stat: number): void {
  for (let i = 0; i < PACKED_WORDS; i++) u32[stat + WORDS[i]] = u32[from + i];
  completeStat(u32, stat);
}

/** Fills in what follows from size, mode and mtime. */
export function completeStat(u32: Uint32Array, stat: number): void {
  const type = u32[stat + StatRecord.mode / 4] & Mode.TYPE;
  const size = u32[stat + StatRecord.size / 4] + u32[stat + StatRecord.size / 4 + 1] * 4294967296;
  const blocks = type === Mode.LINK ? 0 : Math.ceil(size / BLOCK) * (BLOCK / 512);
  u32[stat + StatRecord.blocks / 4] = blocks;
  u32[stat + StatRecord.blocks / 4 + 1] = Math.floor(blocks / 4294967296);
  for (const time of [StatRecord.atime / 4, StatRecord.ctime / 4]) {
    u32[stat + time] = u32[stat + StatRecord.mtime / 4];
    u32[stat + time + 1] = u32[stat + StatRecord.mtime / 4 + 1];
  }
  u32[stat + StatRecord.atimensec / 4] = u32[stat + StatRecord.mtimensec / 4];
  u32[stat + StatRecord.ctimensec / 4] = u32[stat + StatRecord.mtimensec / 4];
  u32[stat + StatRecord.blksize / 4] = BLOCK;
}

/** A directory's size, as on ext4, and what a file's is rounded up to. */
export const BLOCK = 4096;

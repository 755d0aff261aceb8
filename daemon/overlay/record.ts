/** What an inode record remembers of a stat record. */
import { StatRecord } from '../layers/records';
import type { Mount } from './mount';
import { Inode, InodeFlags } from './table/layout';

export const STAT_WORDS = StatRecord.SIZE / 4;

/** Keeps owner, group and mode in the record as they are in the upper, and the rest for when the upper file is gone. */
export function remember(m: Mount, node: number, stat: number): void {
  const { u32, i32 } = m;
  const [low, high] = [i32[node + Inode.INO_LOW], i32[node + Inode.INO_HIGH]];
  const [blocksLow, blocksHigh] = [i32[node + Inode.BLOCKS_LOW], i32[node + Inode.BLOCKS_HIGH]];
  u32.copyWithin(node + Inode.ATTR, stat >> 2, (stat >> 2) + STAT_WORDS);
  i32[node + Inode.INO_LOW] = low;
  i32[node + Inode.INO_HIGH] = high;
  if ((m.nodeFlags(node) & InodeFlags.METACOPY) !== 0) {
    i32[node + Inode.BLOCKS_LOW] = blocksLow;
    i32[node + Inode.BLOCKS_HIGH] = blocksHigh;
  }
}

/**
 * Attributes as the kernel takes them, made from a stat record: 128 bytes of which the first 88 are a struct fuse_attr (native-bindings,
 * StatRecord). `words` and `signed` are views of the arena; offsets are in words where the name says so, else in bytes, multiples of 4.
 */
import { Attr, EntryOut, Statx, StatxOut } from './layout';

/** The rest of a stat record. Mirrors StatRecord, which protocol may not import; scripts/check-protocol compares the two. */
export const enum StatTail {
  btime = 96,
  btimensec = 104,
  btimeKnown = 108,
}

const enum StatxMask {
  BASIC_STATS = 0x7ff,
  BTIME = 0x800,
}

/** A u64 of seconds: FOREVER (-1) is U64_MAX, which the kernel takes for no limit. */
export function putSeconds(words: Uint32Array, word: number, seconds: number): void {
  words[word] = seconds;
  words[word + 1] = seconds >> 31;
}

/** struct fuse_attr at byte offset `to` */
export function putAttr(words: Uint32Array, to: number, attr: number): void {
  const target = to >> 2;
  const source = attr >> 2;
  for (let i = 0; i < Attr.SIZE / 4; i++) words[target + i] = words[source + i];
}

/** struct fuse_entry_out at byte offset `to`; attr 0: none, all zero */
export function putEntry(
  words: Uint32Array,
  to: number,
  node: number,
  generation: number,
  entrySeconds: number,
  attrSeconds: number,
  attr: number,
): void {
  const word = to >> 2;
  words[word + (EntryOut.nodeid >> 2)] = node;
  words[word + (EntryOut.nodeid >> 2) + 1] = 0;
  words[word + (EntryOut.generation >> 2)] = generation;
  words[word + (EntryOut.generation >> 2) + 1] = 0;
  putSeconds(words, word + (EntryOut.entry_valid >> 2), entrySeconds);
  putSeconds(words, word + (EntryOut.attr_valid >> 2), attrSeconds);
  words[word + (EntryOut.entry_valid_nsec >> 2)] = 0;
  words[word + (EntryOut.attr_valid_nsec >> 2)] = 0;
  if (attr !== 0) putAttr(words, to + EntryOut.attr, attr);
  else for (let i = EntryOut.attr >> 2; i < EntryOut.SIZE >> 2; i++) words[word + i] = 0;
}

/** struct fuse_statx_out at byte offset `to`. st_dev stays 0: the kernel puts its own there. */
export function putStatx(words: Uint32Array, to: number, attrSeconds: number, attr: number): void {
  const out = to >> 2;
  for (let i = 0; i < StatxOut.SIZE >> 2; i++) words[out + i] = 0;
  putSeconds(words, out + (StatxOut.attr_valid >> 2), attrSeconds);

  const statx = (to + StatxOut.stat) >> 2;
  const from = attr >> 2;
  const rdev = words[from + (Attr.rdev >> 2)];
  words[statx + (Statx.mask >> 2)] = StatxMask.BASIC_STATS;
  words[statx + (Statx.blksize >> 2)] = words[from + (Attr.blksize >> 2)];
  words[statx + (Statx.nlink >> 2)] = words[from + (Attr.nlink >> 2)];
  words[statx + (Statx.uid >> 2)] = words[from + (Attr.uid >> 2)];
  words[statx + (Statx.gid >> 2)] = words[from + (Attr.gid >> 2)];
  words[statx + (Statx.mode >> 2)] = words[from + (Attr.mode >> 2)] & 0xffff;
  putLong(words, statx + (Statx.ino >> 2), from + (Attr.ino >> 2));
  putLong(words, statx + (Statx.size >> 2), from + (Attr.size >> 2));
  putLong(words, statx + (Statx.blocks >> 2), from + (Attr.blocks >> 2));
  putTime(words, statx + (Statx.atime >> 2), from + (Attr.atime >> 2), from + (Attr.atimensec >> 2));
  putTime(words, statx + (Statx.mtime >> 2), from + (Attr.mtime >> 2), from + (Attr.mtimensec >> 2));
  putTime(words, statx + (Statx.ctime >> 2), from + (Attr.ctime >> 2), from + (Attr.ctimensec >> 2));
  // Both halves of new_encode_dev() (include/linux/kdev_t.h).
  words[statx + (Statx.rdev_major >> 2)] = (rdev >>> 8) & 0xfff;
  words[statx + (Statx.rdev_minor >> 2)] = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  if (words[from + (StatTail.btimeKnown >> 2)] === 0) return;
  words[statx + (Statx.mask >> 2)] = StatxMask.BASIC_STATS | StatxMask.BTIME;
  putTime(words, statx + (Statx.btime >> 2), from + (StatTail.btime >> 2), from + (StatTail.btimensec >> 2));
}

function putLong(words: Uint32Array, to: number, from: number): void {
  words[to] = words[from];
  words[to + 1] = words[from + 1];
}

/** struct fuse_sx_time */
function putTime(words: Uint32Array, to: number, seconds: number, nanoseconds: number): void {
  putLong(words, to, seconds);
  words[to + 2] = words[nanoseconds];
}

/**
 * Hard links of lower files, by the kernel's index (Documentation/filesystems/overlayfs.rst, "Index"; fs/overlayfs/copy_up.c, util.c):
 * a lower file with several names is copied up once, to workdir/index/<hex of its origin handle>. Names still in lowers lead there by
 * the handle, so the group stays one file. How many names the merged tree has stands in the `nlink` xattr, relative to the upper's count.
 */
import { Errno } from '../errno';
import { disk } from '../layers/disk';
import { StatRecord } from '../layers/records';
import { writeAscii } from '../layers/names';
import { writeIno } from './copy-up';
import { isAbsent } from './failure';
import { text } from './lowers';
import type { Mount } from './mount';
import { remember } from './record';
import { Dentry, Inode, InodeFlags } from './table/layout';

const HANDLE_HEAD = 21;
const HEX = '0123456789abcdef';

/**
 * Writes what the kernel keeps as `origin` of a file of `layer` (struct ovl_fb: version 0, magic 0xfb, length, flags, handle type, file
 * system UUID, file handle) to scratch.value; returns its length, 0 where the file system has no handles, or a negative errno.
 */
export function originHandle(m: Mount, layer: number, fd: number, name: number): number {
  const { u8, u32 } = m;
  const { value, words } = m.scratch;
  const length = m.lowers[layer].fileHandle(fd, name, value + HANDLE_HEAD, 128, words);
  if (length < 0 && length !== -Errno.EOPNOTSUPP && length !== -Errno.EOVERFLOW) return length;
  if (length <= 0 || HANDLE_HEAD + length > 255) return 0;
  u8[value] = 0;
  u8[value + 1] = 0xfb;
  u8[value + 2] = HANDLE_HEAD + length;
  u8[value + 3] = 0;
  u8[value + 4] = u32[words >> 2];
  u8.set(m.layerUuid(layer), value + 5);
  return HANDLE_HEAD + length;
}

/** The index name of the origin in scratch.value, written to scratch.path3; its length. */
function hexName(m: Mount, length: number): number {
  const { u8 } = m;
  const { value, path3 } = m.scratch;
  for (let i = 0; i < length; i++) {
    u8[path3 + 2 * i] = HEX.charCodeAt(u8[value + i] >> 4);
    u8[path3 + 2 * i + 1] = HEX.charCodeAt(u8[value + i] & 15);
  }
  u8[path3 + 2 * length] = 0;
  return 2 * length;
}

/** Gives a node that is being copied up from (fd, name) its index name: 1; 0 where it cannot have one; or a negative errno. */
export function nameInIndex(m: Mount, node: number, fd: number, name: number): number {
  const length = originHandle(m, m.i32[node + Inode.LAYER] - 1, fd, name);
  if (length <= 0) return length;
  m.i32[node + Inode.INDEX_NAME] = m.table.bytesBlob(m.scratch.path3, hexName(m, length));
  return 1;
}

/** A lower's name of a file that was copied up shows the number that the index entry says, if it says one. 0 or negative errno. */
export function indexedNumber(m: Mount, dentry: number, layer: number, fd: number): number {
  const { i32, u32, scratch } = m;
  const length = originHandle(m, layer, fd, m.table.name(dentry));
  if (length <= 0) return length;
  hexName(m, length);
  const known = disk.getxattr(m.indexFd, scratch.path3, m.names.ino, scratch.value, 8);
  if (known < 0 && !isAbsent(known)) return known;
  if (known !== 8) return 0;
  i32[dentry + Dentry.INO_LOW] = u32[scratch.value >> 2];
  i32[dentry + Dentry.INO_HIGH] = u32[(scratch.value >> 2) + 1];
  return 0;
}

/** A lower file with several names: if one of them was copied up, the node is that upper file. The node is not published yet. 0 or negative errno. */
export function findIndexed(m: Mount, node: number, fd: number, name: number): number {
  const { u32, i32 } = m;
  const lowerNlink = i32[node + Inode.NLINK];
  const length = originHandle(m, i32[node + Inode.LAYER] - 1, fd, name);
  if (length <= 0) return length;
  const hex = hexName(m, length);
  const { stat2, path3 } = m.scratch;
  const found = m.upper.stat(m.indexFd, path3, stat2);
  if (found < 0) return found === -Errno.ENOENT ? 0 : found;
  i32[node + Inode.INDEX_NAME] = m.table.bytesBlob(path3, hex);
  const joined = becomeIndexed(m, node, u32[(stat2 + StatRecord.nlink) >> 2], lowerNlink);
  if (joined < 0) return joined;
  m.setFlags(node, InodeFlags.UPPER);
  const metacopy = disk.getxattr(m.indexFd, path3, m.names.metacopy, m.scratch.value, 64);
  if (metacopy < 0 && !isAbsent(metacopy)) return metacopy;
  if (metacopy >= 0) m.setFlags(node, InodeFlags.METACOPY);
  remember(m, node, stat2);
  // an upper that the kernel wrote: all its names are to show one number
  const known = disk.getxattr(m.indexFd, path3, m.names.ino, m.scratch.value, 8);
  if (known === 8) return 0;
  return known < 0 && !isAbsent(known) ? known : writeIno(m, node, m.indexFd, path3);
}

/** An upper file with several names: is it one of the index? The node is not published yet. 0 or negative errno. */
export function adoptIndexed(m: Mount, node: number, fd: number, name: number): number {
  const { i32, u32 } = m;
  const { value, stat2, path3 } = m.scratch;
  const length = disk.getxattr(fd, name, m.names.origin, value, 255);
  if (length < 0 && !isAbsent(length)) return length;
  if (length <= HANDLE_HEAD || m.u8[value + 1] !== 0xfb) return 0;
  const hex = hexName(m, length);
  const found = disk.stat(m.indexFd, path3, stat2);
  if (found < 0) return found === -Errno.ENOENT ? 0 : found;
  const same = u32[stat2 >> 2] === u32[m.scratch.stat >> 2] && u32[(stat2 >> 2) + 1] === u32[(m.scratch.stat >> 2) + 1];
  if (!same) return 0;
  i32[node + Inode.INDEX_NAME] = m.table.bytesBlob(path3, hex);
  // "L" counts from the lower's links, which are not known here: the upper's names without the index entry are a lower bound
  return becomeIndexed(m, node, u32[(stat2 + StatRecord.nlink) >> 2], u32[(stat2 + StatRecord.nlink) >> 2] - 1);
}

/** Reads the `nlink` xattr of the index entry in scratch.path3: "U+n" or "L+n" (ovl_get_nlink). 0 or negative errno. */
function becomeIndexed(m: Mount, node: number, upperNlink: number, lowerNlink: number): number {
  const { value, path3 } = m.scratch;
  m.setFlags(node, InodeFlags.INDEXED | InodeFlags.OWN_INO);
  const length = disk.getxattr(m.indexFd, path3, m.names.nlink, value, 16);
  if (length < 0 && !isAbsent(length)) return length;
  const mark = length > 0 ? /^([UL])([+-]\d+)$/.exec(text(m, value, length)) : null;
  let shown = lowerNlink;
  if (mark !== null) shown = (mark[1] === 'U' ? upperNlink : lowerNlink) + Number(mark[2]);
  m.i32[node + Inode.NLINK_DELTA] = Math.max(shown, 1) - upperNlink;
  return 0;
}

/** Writes NLINK_DELTA to the upper file at (fd, name). 0 or negative errno. */
export function storeNlink(m: Mount, node: number, fd: number, name: number): number {
  const delta = m.i32[node + Inode.NLINK_DELTA];
  const { value } = m.scratch;
  const length = writeAscii(m.u8, value, `U${delta < 0 ? '-' : '+'}${Math.abs(delta)}`);
  return disk.setxattr(fd, name, m.names.nlink, value, length, 0);
}

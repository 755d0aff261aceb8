/**
 * Directory records as READDIR and READDIRPLUS answer them. A record is a fixed head, the name without a NUL, and zeros up to a multiple of 8 bytes.
 * The kernel reads until what is left cannot be a whole record, and asks on from the last cookie it took.
 */
import { Dirent, Direntplus } from './layout';

/** Bytes of a record whose head has `head` bytes. */
export function recordSize(head: number, nameLength: number): number {
  return (head + nameLength + 7) & ~7;
}

/** Writes a struct fuse_dirent of `size` bytes, as recordSize() says, at byte offset `at`, a multiple of 8. */
export function putDirent(
  words: Uint32Array,
  bytes: Uint8Array,
  at: number,
  size: number,
  inoLow: number,
  inoHigh: number,
  cookieLow: number,
  cookieHigh: number,
  type: number,
  name: number,
  nameLength: number,
): void {
  const word = at >> 2;
  const last = (at + size) >> 2;
  words[last - 2] = 0;
  words[last - 1] = 0;
  words[word + (Dirent.ino >> 2)] = inoLow;
  words[word + (Dirent.ino >> 2) + 1] = inoHigh;
  words[word + (Dirent.off >> 2)] = cookieLow;
  words[word + (Dirent.off >> 2) + 1] = cookieHigh;
  words[word + (Dirent.namelen >> 2)] = nameLength;
  words[word + (Dirent.type >> 2)] = type;
  const to = at + Dirent.name;
  for (let i = 0; i < nameLength; i++) bytes[to + i] = bytes[name + i];
}

/** The nodes that READDIRPLUS records between two offsets give the kernel a reference to: those but for ".", ".." and nodeid 0. */
export function forEachPlusNode(
  words: Uint32Array,
  bytes: Uint8Array,
  from: number,
  to: number,
  visit: { undelivered(node: number): void },
): void {
  let at = from;
  while (at < to) {
    const dirent = at + Direntplus.dirent;
    const nameLength = words[(dirent + Dirent.namelen) >> 2];
    const node = words[at >> 2];
    if (nameLength > to - at) return;
    if (node !== 0 && !isDots(bytes, dirent + Dirent.name, nameLength)) visit.undelivered(node);
    at += recordSize(Direntplus.dirent + Dirent.name, nameLength);
  }
}

function isDots(bytes: Uint8Array, name: number, length: number): boolean {
  if (length > 2 || bytes[name] !== 0x2e) return false;
  return length === 1 || bytes[name + 1] === 0x2e;
}

/** What a container wrote. */
import fs from 'node:fs';
import { isDirectory, isMark, OPAQUE_FILE, TreeReader } from './tree-reader';

export interface Size {
  /** on disk: the blocks of each inode, once, directories too */
  bytes: number;
  /** names that are neither directories nor whiteouts */
  files: number;
  whiteouts: number;
}

/** `upper` is a byte string. */
export function measure(upper: string, slot: number): Size {
  const reader = new TreeReader(slot);
  const size: Size = { bytes: 0, files: 0, whiteouts: 0 };
  const linked = new Set<bigint>();

  function read(fd: number): void {
    for (const entry of reader.list(fd)) {
      if (isDirectory(entry) || entry.nlink === 1 || !linked.has(entry.ino)) size.bytes += entry.blocks * 512;
      if (isDirectory(entry)) {
        const child = reader.open(fd, entry.name);
        if (child !== undefined) within(child, read);
      } else {
        if (entry.nlink > 1) linked.add(entry.ino);
        if (reader.isWhiteout(fd, entry) || isMark(entry)) size.whiteouts += entry.name === OPAQUE_FILE ? 0 : 1;
        else size.files++;
      }
    }
  }

  const root = fs.openSync(Buffer.from(upper, 'latin1'), fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  size.bytes += fs.fstatSync(root).blocks * 512;
  within(root, read);
  return size;
}

/** What a tree takes on disk, as containerd counts: every inode once, the root too. */
export function measureInodes(root: string, slot: number): { bytes: number; inodes: number } {
  const reader = new TreeReader(slot);
  const found = { bytes: 0, inodes: 1 };
  const linked = new Set<bigint>();

  function read(fd: number): void {
    for (const entry of reader.list(fd)) {
      if (!isDirectory(entry) && entry.nlink > 1) {
        if (linked.has(entry.ino)) continue;
        linked.add(entry.ino);
      }
      found.bytes += entry.blocks * 512;
      found.inodes++;
      const child = isDirectory(entry) ? reader.open(fd, entry.name) : undefined;
      if (child !== undefined) within(child, read);
    }
  }

  const fd = fs.openSync(Buffer.from(root, 'latin1'), fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  found.bytes += fs.fstatSync(fd).blocks * 512;
  within(fd, read);
  return found;
}

/** Closes the descriptor whatever happens. */
export function within<T>(fd: number, use: (fd: number) => T): T {
  try {
    return use(fd);
  } finally {
    fs.closeSync(fd);
  }
}

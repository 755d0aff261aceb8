/** LOOKUP, FORGET, READLINK, STATFS: finding nodes, and what is read of them without opening. */
import { Errno } from '../errno';
import { disk, Mode } from '../layers/disk';
import { FOREVER, type Lookup, type Readlink, type Reply } from '../protocol/operations';
import { ensureLoaded } from './directory';
import type { Mount } from './mount';
import { attributes, attrSeconds, directoryOf, forget, nodeOf, recorded } from './node';
import { Dentry, Inode } from './table/layout';

export function lookup(m: Mount, op: Lookup, reply: Reply): number {
  const { i32, table } = m;
  const directory = directoryOf(m, op.node);
  if (directory < 0) return directory;
  const loaded = ensureLoaded(m, directory);
  if (loaded < 0) return loaded;
  const dentry = table.find(directory, op.name, op.nameLength);
  if (m.dentryType(dentry) < 0) return answerNegative(reply);
  let node = Atomics.load(i32, dentry + Dentry.INODE);
  if (node === 0 || !table.addLookup(node)) {
    m.lock(directory);
    try {
      // looked up again: it may have been renamed or removed meanwhile
      const now = table.find(directory, op.name, op.nameLength);
      if (m.dentryType(now) < 0) return answerNegative(reply);
      node = nodeOf(m, directory, now);
    } finally {
      m.unlock(directory);
    }
    if (node < 0) return node;
  }
  return answerEntry(m, node, reply);
}

function answerNegative(reply: Reply): number {
  reply.negativeEntry(FOREVER);
  return 0;
}

/** Answers with a node on which the lookup is counted already; takes it back on failure. */
export function answerEntry(m: Mount, node: number, reply: Reply): number {
  const { stat } = m.scratch;
  const result = attributes(m, node, stat);
  if (result < 0) {
    forget(m, node, 1);
    return result;
  }
  reply.entry(m.nodeid(node), m.i32[node + Inode.GENERATION], FOREVER, attrSeconds(m, node), stat);
  return 0;
}

/**
 * Answers with a node that was just made or linked, a lookup counted. That cannot fail any more: the name is there. `fresh`: the record has
 * just been read.
 */
export function answerNew(m: Mount, node: number, fresh: boolean, reply: Reply): void {
  const { stat } = m.scratch;
  const known = fresh || attributes(m, node, stat) < 0;
  if (known) recorded(m, node, stat);
  reply.entry(m.nodeid(node), m.i32[node + Inode.GENERATION], FOREVER, known && !fresh ? 0 : attrSeconds(m, node), stat);
}

export function readlink(m: Mount, op: Readlink, reply: Reply): number {
  const node = m.node(op.node);
  if (node === 0) return -Errno.ESTALE;
  if ((m.i32[node + Inode.MODE] & Mode.TYPE) !== Mode.LINK) return -Errno.EINVAL;
  const place = m.place(node);
  if (place < 0) return place;
  const length = disk.readlinkat(m.placeFd, m.placeName, reply.data, Math.min(reply.capacity, 4096));
  if (length >= 0) reply.bytes(length);
  return Math.min(length, 0);
}

export function statfs(m: Mount, reply: Reply): number {
  const { value } = m.scratch;
  const result = disk.statvfs(m.writable ? m.upperFd : m.layerFds[0], value);
  if (result >= 0) reply.statfs(value);
  return result;
}

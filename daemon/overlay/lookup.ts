/** LOOKUP, FORGET, READLINK, STATFS: finding nodes, and what is read of them without opening. */
import { Errno } from '../errno';
import { disk, Mode } from '../layers/disk';
import { type Lookup, type Readlink, type Reply } from '../protocol/operations';
import { ensureLoaded } from './directory';
import { addShared, findShared, forgetNodeid, isShared, sharedDirectory } from './image';
import type { Mount } from './mount';
import { attributes, attrSeconds, directoryOf, nodeOf, recorded } from './node';
import { Dentry, Inode } from './table/layout';

export function lookup(m: Mount, op: Lookup, reply: Reply): number {
  const { i32, table } = m;
  if (isShared(m, op.node)) {
    const node = lookupShared(m, op.node, op);
    if (node <= 0) return node === 0 ? answerNegative(m, reply) : node;
    if (addShared(m, node)) return answerEntry(m, node, reply);
  }
  const directory = directoryOf(m, op.node);
  if (directory < 0) return directory;
  const loaded = ensureLoaded(m, directory);
  if (loaded < 0) return loaded;
  const dentry = table.find(directory, op.name, op.nameLength);
  if (m.dentryType(dentry) < 0) return answerNegative(m, reply);
  const shared = sharedDirectory(m, directory, dentry);
  if (shared !== 0) {
    const found = lookupShared(m, shared, op);
    if (found > 0 && addShared(m, found)) return answerEntry(m, found, reply);
  }
  let node = Atomics.load(i32, dentry + Dentry.INODE);
  if (node === 0 || !table.addLookup(node)) {
    m.lock(directory);
    try {
      // looked up again: it may have been renamed or removed meanwhile
      const now = table.find(directory, op.name, op.nameLength);
      if (m.dentryType(now) < 0) return answerNegative(m, reply);
      node = nodeOf(m, directory, now);
    } finally {
      m.unlock(directory);
    }
    if (node < 0) return node;
  }
  return answerEntry(m, node, reply);
}

/** In a directory of the image: the node, 0, or a negative errno. */
function lookupShared(m: Mount, shared: number, op: Lookup): number {
  if (m.image === undefined || !m.isDirectory(shared)) return -Errno.ENOTDIR;
  return findShared(m.image, shared, op.name, op.nameLength);
}

function answerNegative(m: Mount, reply: Reply): number {
  reply.negativeEntry(m.seconds);
  return 0;
}

/** Answers with a node on which the lookup is counted already; takes it back on failure. */
export function answerEntry(m: Mount, node: number, reply: Reply): number {
  const { stat } = m.scratch;
  const result = attributes(m, node, stat);
  if (result < 0) {
    forgetNodeid(m, m.nodeid(node), 1);
    return result;
  }
  reply.entry(m.nodeid(node), m.generation(node), m.seconds, attrSeconds(m, node), stat);
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
  reply.entry(m.nodeid(node), m.generation(node), m.seconds, known && !fresh ? 0 : attrSeconds(m, node), stat);
}

export function readlink(m: Mount, op: Readlink, reply: Reply): number {
  const node = m.nodeToLookAt(op.node);
  if (node === 0) return -Errno.ESTALE;
  if ((m.i32[node + Inode.MODE] & Mode.TYPE) !== Mode.LINK) return -Errno.EINVAL;
  const holder = m.holderOf(node);
  const place = holder.place(node);
  if (place < 0) return place;
  const length = holder.placeFiles.readlinkat(holder.placeFd, holder.placeName, reply.data, Math.min(reply.capacity, 4096));
  if (length >= 0) reply.bytes(length);
  return Math.min(length, 0);
}

export function statfs(m: Mount, reply: Reply): number {
  const { value } = m.scratch;
  const result = disk.statvfs(m.writable ? m.upperFd : m.layerFds[0], value);
  if (result >= 0) reply.statfs(value);
  return result;
}

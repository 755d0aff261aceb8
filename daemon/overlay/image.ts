/**
 * Lowers that many mounts share. Where the lowers never change (layers of the store; the option `sharelowers`), what they say is kept once
 * for all mounts of the same list of lowers: in a mount record of its own, the *image*, that has no device and no upper and whose nodes
 * stay until the last of its mounts has gone. A mount hands the image's nodes out as its own; all it adds is a word for each:
 *
 *   n ≥ 0    the kernel has n references to the image's node, by the image's nodeid
 *   -record  the mount has a record of its own that *stands for* the node (Inode.SHARED): it carries the image's nodeid from then on
 *   -1       that record was forgotten: the nodeid means nothing until the mount has made another record for it
 *
 * What only looks (LOOKUP, GETATTR, READDIR, READLINK, GETXATTR) is answered from the image. Whatever needs state of the mount, an open or
 * a change, comes through Mount.node, which makes the mount's own record here, with those of all directories above it. A directory that
 * stands for one of the image copies its names once; names in it that only the lowers have go on to lead to the image's nodes, as long as
 * nothing needs them to be the mount's own. So: above a mount's own record are only its own, and whether a name in a mount's own directory
 * is the image's shows in its dentry (from a lower, not bound).
 *
 * Files with several names are never shared: which of their names are one file is the mount's to say (its index).
 *
 * LOCKS. The image's directories come after all of the mount's: nobody who holds a lock of an image's node takes one of a mount's.
 */
import { ensureLoaded } from './directory';
import { LayerError } from './failure';
import type { Mount } from './mount';
import { forget, nodeOf } from './node';
import { Blob, Dentry, DentryFlags, Inode, LoadState } from './table/layout';

const GONE = -1;
/** Words of one chunk, and of the list of chunks: enough for more nodes than the table holds. */
const CHUNK_BITS = 12;
export const CHUNK_WORDS = 1 << CHUNK_BITS;

/** The word that a mount keeps for an image's node. */
export function sharedWord(m: Mount, shared: number): number {
  const { i32 } = m;
  const ordinal = i32[shared + Inode.ORDINAL];
  const slot = m.sharedWords + (ordinal >>> CHUNK_BITS);
  let chunk = Atomics.load(i32, slot);
  if (chunk === 0) {
    const { allocator } = m.table;
    const fresh = allocator.take(CHUNK_WORDS * 4);
    chunk = Atomics.compareExchange(i32, slot, 0, fresh);
    if (chunk === 0) chunk = fresh;
    else allocator.give(fresh);
  }
  return chunk + (ordinal & (CHUNK_WORDS - 1));
}

/** Is this the image's node itself, because the mount has none of its own for it? */
export function isShared(m: Mount, nodeid: number): boolean {
  const { i32, image } = m;
  if (image === undefined || !m.table.allocator.isInode(nodeid) || i32[nodeid + Inode.MOUNT] !== image.index) return false;
  return Atomics.load(i32, sharedWord(m, nodeid)) >= 0;
}

/** The node of the image's directory `shared` that a name leads to: 0 if there is none, or a negative errno. */
export function findShared(image: Mount, shared: number, name: number, length: number): number {
  const { i32, table } = image;
  const loaded = ensureLoaded(image, shared);
  if (loaded < 0) return loaded;
  const dentry = table.find(shared, name, length);
  if (image.dentryType(dentry) < 0) return 0;
  return Atomics.load(i32, dentry + Dentry.INODE) || made(image, shared, dentry);
}

/** The image's node of a name in one of its directories; or a negative errno. */
export function imageNode(image: Mount, dentry: number): number {
  return Atomics.load(image.i32, dentry + Dentry.INODE) || made(image, image.i32[dentry + Dentry.PARENT], dentry);
}

function made(image: Mount, shared: number, dentry: number): number {
  image.lock(shared);
  try {
    return nodeOf(image, shared, dentry);
  } finally {
    image.unlock(shared);
  }
}

/** Counts a reference of the kernel to the image's node; false: the mount must answer with a record of its own. */
export function addShared(m: Mount, shared: number): boolean {
  const { i32 } = m;
  if (!m.isDirectory(shared) && i32[shared + Inode.NLINK] > 1) return false;
  const word = sharedWord(m, shared);
  for (;;) {
    const count = Atomics.load(i32, word);
    if (count < 0) return false;
    if (Atomics.compareExchange(i32, word, count, count + 1) === count) return true;
  }
}

/**
 * The image's node for a name of its directory `shared`, with a reference counted; 0 if the mount must answer with a record of its own.
 * `dentry` is that directory's or of one that stands for it. The caller does not hold the lock of `shared`.
 */
export function sharedEntry(m: Mount, shared: number, dentry: number): number {
  const { i32, table, image } = m;
  if (image === undefined) return 0;
  const node =
    i32[dentry + Dentry.PARENT] === shared
      ? imageNode(image, dentry)
      : findShared(image, shared, table.name(dentry), table.nameLength(dentry));
  return node > 0 && addShared(m, node) ? node : 0;
}

/** Takes references away by nodeid, whoever's the node is. */
export function forgetNodeid(m: Mount, nodeid: number, count: number): void {
  const { i32 } = m;
  while (isShared(m, nodeid)) {
    const word = sharedWord(m, nodeid);
    const was = Atomics.load(i32, word);
    if (was >= 0 && Atomics.compareExchange(i32, word, was, Math.max(was - count, 0)) === was) return;
  }
  const node = m.node(nodeid);
  if (node !== 0) forget(m, node, count);
}

/** Does this name of a directory of the mount lead to the image's node? Returns the image's directory to look in, or 0. */
export function sharedDirectory(m: Mount, directory: number, dentry: number): number {
  const { i32 } = m;
  if (m.image === undefined || i32[directory + Inode.SHARED] === 0 || Atomics.load(i32, dentry + Dentry.INODE) !== 0) return 0;
  const flags = i32[dentry + Dentry.FLAGS];
  const own = DentryFlags.UPPER | DentryFlags.WHITEOUT | DentryFlags.HIDDEN | DentryFlags.DEAD;
  return (flags & (own | DentryFlags.LOWER)) === DentryFlags.LOWER ? i32[directory + Inode.SHARED] : 0;
}

/** The mount's own record for an image's node that the kernel knows; 0 if it does not. The caller holds the rename lock and no other. */
export function ownNode(m: Mount, shared: number): number {
  const { i32, image } = m;
  const word = Atomics.load(i32, sharedWord(m, shared));
  if (word === GONE || (word === 0 && !m.isDirectory(shared))) return 0;
  // up to the first that the mount has, then down again
  const way: number[] = [];
  let at = shared;
  let own = ownAlready(m, at);
  while (own === 0) {
    way.push(at);
    at = i32[i32[at + Inode.DENTRY] + Dentry.PARENT];
    own = at === image?.root ? m.root : ownAlready(m, at);
  }
  for (let next = way.pop(); next !== undefined && own > 0; next = way.pop()) own = ownChild(m, own, next);
  return Math.max(own, 0);
}

/** 0: none yet; -1: none any more. */
function ownAlready(m: Mount, shared: number): number {
  const word = Atomics.load(m.i32, sharedWord(m, shared));
  if (word >= GONE) return Math.min(word, 0);
  return Atomics.load(m.i32, -word + Inode.LOOKUPS) > 0 ? -word : GONE;
}

/** Makes the mount's record for `shared`, which is in the directory that the mount's own `directory` stands for; 0: it is not there. */
function ownChild(m: Mount, directory: number, shared: number): number {
  const { i32, table } = m;
  const name = i32[shared + Inode.DENTRY];
  const loaded = ensureLoaded(m, directory);
  if (loaded < 0) throw new LayerError(-loaded);
  let node: number;
  m.lock(directory);
  try {
    const dentry = table.find(directory, table.name(name), table.nameLength(name));
    if (m.dentryType(dentry) < 0) return 0;
    node = nodeOf(m, directory, dentry);
  } finally {
    m.unlock(directory);
  }
  if (node < 0) throw new LayerError(-node);
  const stands = i32[node + Inode.SHARED] === shared;
  forget(m, node, 1);
  return stands ? node : 0;
}

/** The image's node of what `dentry` of the mount's `directory` has in the lowers; 0: none that `node`, made of it, could stand for. */
export function twinOf(m: Mount, directory: number, dentry: number, node: number): number {
  const { i32, table, image } = m;
  const shared = i32[directory + Inode.SHARED];
  if (image === undefined || shared === 0) return 0;
  if (m.isDirectory(node) ? m.lowerCount(node) === 0 : m.hasUpper(node) || i32[node + Inode.NLINK] > 1) return 0;
  const twin = findShared(image, shared, table.name(dentry), table.nameLength(dentry));
  if (twin <= 0) return 0;
  if (m.isDirectory(node)) return m.isDirectory(twin) && sameLowers(m, node, twin) ? twin : 0;
  return i32[node + Inode.LAYER] === i32[twin + Inode.LAYER] ? twin : 0;
}

function sameLowers(m: Mount, one: number, other: number): boolean {
  const count = m.lowerCount(one);
  if (count !== m.lowerCount(other)) return false;
  for (let i = 0; i < count; i++) {
    if (m.lowerLayer(one, i) !== m.lowerLayer(other, i)) return false;
    const [path, twin] = [m.lowerPath(one, i), m.lowerPath(other, i)];
    const length = m.i32[path + Blob.LENGTH];
    if (length !== m.i32[twin + Blob.LENGTH]) return false;
    const [from, to] = [m.table.blobBytes(path), m.table.blobBytes(twin)];
    for (let at = 0; at < length; at++) if (m.u8[from + at] !== m.u8[to + at]) return false;
  }
  return true;
}

/**
 * From now on `node` stands for the image's `twin` and has the references that were counted on it. The caller holds the directory's lock
 * and has bound the node to its name. A directory's record stays until the mount ends: nodes of the image below it lead back to it.
 */
export function standFor(m: Mount, node: number, twin: number): void {
  const { i32 } = m;
  const word = sharedWord(m, twin);
  const stay = m.isDirectory(node) ? 1 : 0;
  for (;;) {
    const was = Atomics.load(i32, word);
    if (was < GONE && Atomics.load(i32, -was + Inode.LOOKUPS) > 0)
      throw new Error(`two records for node ${twin} of an image: ${-was}, ${node}`);
    const counted = Math.max(was, 0) + stay;
    Atomics.add(i32, node + Inode.LOOKUPS, counted);
    if (Atomics.compareExchange(i32, word, was, -node) === was) return;
    Atomics.sub(i32, node + Inode.LOOKUPS, counted);
  }
}

/** A record that is dead no longer stands for what it stood for. */
export function standDown(m: Mount, node: number): void {
  const shared = m.i32[node + Inode.SHARED];
  if (m.image !== undefined && shared !== 0) Atomics.compareExchange(m.i32, sharedWord(m, shared), -node, GONE);
}

/** Gives `node`, which nobody else sees yet and whose names are all the lowers', the names of the image's directory `twin`. */
export function copyNames(m: Mount, node: number, twin: number): void {
  const { i32, table, image } = m;
  if (image === undefined || ensureLoaded(image, twin) < 0) return; // whoever looks inside will hear of it
  image.lock(twin);
  try {
    for (let from = i32[twin + Inode.FIRST]; from !== 0; from = i32[from + Dentry.NEXT]) {
      const made = table.addDentry(
        node,
        table.name(from),
        table.nameLength(from),
        i32[from + Dentry.FLAGS] & 0xffff & ~DentryFlags.STAT,
        0,
      );
      i32[made + Dentry.COOKIE] = i32[from + Dentry.COOKIE]; // whoever reads the directory just now goes on
      i32[made + Dentry.LOWER] = i32[from + Dentry.LOWER];
      i32[made + Dentry.LOWERS] = table.holdBlob(i32[from + Dentry.LOWERS]);
      i32[made + Dentry.INO_LOW] = i32[from + Dentry.INO_LOW];
      i32[made + Dentry.INO_HIGH] = i32[from + Dentry.INO_HIGH];
    }
  } finally {
    image.unlock(twin);
  }
  Atomics.store(i32, node + Inode.LOAD, LoadState.LOADED);
}

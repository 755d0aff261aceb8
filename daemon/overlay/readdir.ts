/**
 * READDIR and READDIRPLUS, stateless: the cookie is the serial of the dentry, and a serial that is gone is followed by the next higher one. "." and ".." have the
 * cookies 1 and 2. Cookies have 31 bits: 32-bit programs without large file support take no more (readdir(3), EOVERFLOW). So that going on needs no search, the
 * table remembers where listings have ended last.
 */
import { Errno } from '../errno';
import { DirentType } from '../layers/disk';
import { writeAscii } from '../layers/names';
import { type Readdir, type Reply } from '../protocol/operations';
import { listed, ownListed } from './ahead';
import { ensureLoaded, load } from './directory';
import { forgetNodeid, isShared, sharedDirectory, sharedEntry } from './image';
import type { Mount } from './mount';
import { attributes, attrSeconds, directoryOf, nodeOf } from './node';
import { dropStats, statsOf } from './stats';
import { Control, Dentry, DentryFlags, Inode, InodeFlags, MountFlags } from './table/layout';

/** OPENDIR: without state, and the kernel may keep what it read. ENOSYS says so once for the whole mount, where the kernel knows that. */
export function opendir(m: Mount, node: number, reply: Reply): number {
  if (node === 0) return -Errno.ESTALE;
  if (m.has(MountFlags.NO_OPENDIR)) return -Errno.ENOSYS;
  reply.open(0, KEEP_CACHE | CACHE_DIR, 0);
  return 0;
}

const KEEP_CACHE = 1 << 1;
const CACHE_DIR = 1 << 3;

export function readdir(m: Mount, op: Readdir, reply: Reply): number {
  if (isShared(m, op.node)) return readShared(m, op, reply);
  const directory = directoryOf(m, op.node);
  if (directory < 0) return directory;
  // nodes whose record did not fit any more, or could not be answered: given back when the directory is unlocked
  const unused: number[] = [];
  m.lock(directory);
  try {
    const loaded = load(m, directory);
    return loaded < 0 ? loaded : list(m, op, reply, directory, unused);
  } finally {
    m.unlock(directory);
    for (const node of unused) forgetNodeid(m, m.nodeid(node), 1);
    if (op.offsetHigh === 0 && op.offsetLow === 0) ownListed(m, directory);
  }
}

/** A directory of the image: its names stay, so no lock is needed. */
function readShared(m: Mount, op: Readdir, reply: Reply): number {
  const { image } = m;
  if (image === undefined || !m.isDirectory(op.node)) return -Errno.ENOTDIR;
  const loaded = ensureLoaded(image, op.node);
  if (loaded < 0) return loaded;
  const unused: number[] = [];
  list(m, op, reply, op.node, unused);
  if (op.offsetHigh === 0 && op.offsetLow === 0) listed(m, image, op.node);
  for (const node of unused) forgetNodeid(m, m.nodeid(node), 1);
  return 0;
}

function list(m: Mount, op: Readdir, reply: Reply, directory: number, unused: number[]): number {
  const { i32 } = m;
  if ((m.nodeFlags(directory) & InodeFlags.GONE) !== 0) return 0;
  if (op.offsetHigh === 0 && op.offsetLow < 2 && !dots(m, op, reply, directory)) return 0;
  const stats = op.plus ? statsOf(m, directory) : 0;
  let last = 0;
  let dentry = after(m, directory, op.offsetLow, op.offsetHigh);
  for (; dentry !== 0; dentry = i32[dentry + Dentry.NEXT]) {
    const flags = i32[dentry + Dentry.FLAGS];
    if ((flags & (DentryFlags.WHITEOUT | DentryFlags.HIDDEN)) !== 0) continue;
    const fits = op.plus ? plus(m, reply, directory, dentry, stats, unused) : plain(m, reply, dentry, flags);
    if (!fits) break;
    last = dentry;
  }
  if (last !== 0) i32[position(directory, i32[last + Dentry.COOKIE])] = last;
  if (dentry === 0) dropStats(m, directory);
  return 0;
}

function dots(m: Mount, op: Readdir, reply: Reply, directory: number): boolean {
  const { i32, scratch } = m;
  const upwards = i32[directory + Inode.DENTRY];
  const parent = upwards === 0 ? directory : i32[upwards + Dentry.PARENT];
  for (let at = op.offsetLow; at < 2; at++) {
    writeAscii(m.u8, scratch.path, at === 0 ? '.' : '..');
    const node = at === 0 ? directory : parent;
    const [low, high] = [i32[node + Inode.INO_LOW], i32[node + Inode.INO_HIGH]];
    const fits = op.plus
      ? reply.direntPlus(0, 0, 0, 0, 0, low, high, at + 1, 0, DirentType.DIRECTORY, scratch.path, at + 1)
      : reply.dirent(low, high, at + 1, 0, DirentType.DIRECTORY, scratch.path, at + 1);
    if (!fits) return false;
  }
  return true;
}

/** The first dentry behind a cookie; a cookie may be anything: lseek(2) lets a program make one up. */
function after(m: Mount, directory: number, low: number, high: number): number {
  const { i32 } = m;
  if (high !== 0) return 0;
  if (low <= 2) return i32[directory + Inode.FIRST];
  const known = i32[position(directory, low)];
  if (isAt(m, known, directory, low)) return i32[known + Dentry.NEXT];
  let dentry = i32[directory + Inode.FIRST];
  while (dentry !== 0 && i32[dentry + Dentry.COOKIE] <= low) dentry = i32[dentry + Dentry.NEXT];
  return dentry;
}

/** Word where the dentry is remembered that a listing of the directory has ended with; another may have taken its place. */
function position(directory: number, serial: number): number {
  return Control.POSITIONS + ((Math.imul(directory >>> 3, 0x9e3779b1) ^ Math.imul(serial, 0x85ebca6b)) >>> 22);
}

/** Is this, which may be anything by now, the directory's dentry with the serial? */
function isAt({ i32, table }: Mount, dentry: number, directory: number, serial: number): boolean {
  if (!table.allocator.isCell(dentry) || i32[dentry + Dentry.PARENT] !== directory || i32[dentry + Dentry.COOKIE] !== serial) return false;
  if ((i32[dentry + Dentry.FLAGS] & DentryFlags.DEAD) !== 0) return false;
  return table.find(directory, table.name(dentry), table.nameLength(dentry)) === dentry;
}

function plain(m: Mount, reply: Reply, dentry: number, flags: number): boolean {
  const { i32, table } = m;
  const type = flags & DentryFlags.TYPE_MASK;
  return reply.dirent(
    i32[dentry + Dentry.INO_LOW],
    i32[dentry + Dentry.INO_HIGH],
    i32[dentry + Dentry.COOKIE],
    0,
    type,
    table.name(dentry),
    table.nameLength(dentry),
  );
}

/** The node of a name, with a reference counted; none (0) for a name of the image that only a lookup can answer. */
function entryNode(m: Mount, directory: number, dentry: number, stats: number): number {
  const ofImage = m.holderOf(directory) !== m;
  const shared = ofImage ? directory : sharedDirectory(m, directory, dentry);
  const node = shared === 0 ? 0 : sharedEntry(m, shared, dentry);
  return node > 0 || ofImage ? node : nodeOf(m, directory, dentry, stats);
}

/** A record with the node's attributes; without them where they cannot be had. */
function plus(m: Mount, reply: Reply, directory: number, dentry: number, stats: number, unused: number[]): boolean {
  const { i32, table, scratch } = m;
  const node = entryNode(m, directory, dentry, stats);
  if (node > 0) {
    if (attributes(m, node, scratch.stat) >= 0) {
      const fits = reply.direntPlus(
        m.nodeid(node),
        m.generation(node),
        m.seconds,
        attrSeconds(m, node),
        scratch.stat,
        i32[dentry + Dentry.INO_LOW],
        i32[dentry + Dentry.INO_HIGH],
        i32[dentry + Dentry.COOKIE],
        0,
        i32[dentry + Dentry.FLAGS] & DentryFlags.TYPE_MASK,
        table.name(dentry),
        table.nameLength(dentry),
      );
      if (!fits) unused.push(node);
      return fits;
    }
    unused.push(node);
  }
  const [low, high] = [i32[dentry + Dentry.INO_LOW], i32[dentry + Dentry.INO_HIGH]];
  const type = i32[dentry + Dentry.FLAGS] & DentryFlags.TYPE_MASK;
  return reply.direntPlus(0, 0, 0, 0, 0, low, high, i32[dentry + Dentry.COOKIE], 0, type, table.name(dentry), table.nameLength(dentry));
}

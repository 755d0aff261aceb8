/**
 * Reading ahead in an image of imported layers: whoever lists a directory mostly goes on into those in it, one after the other. What there is to be known
 * of them is rows of an index, so an idle worker loads them meanwhile, and finds them loaded already where it was too late.
 *
 * Only the directories in a listed one are loaded, so it is never more than a level ahead of what was asked for.
 *
 * Where lowers are directories that costs system calls, so it is done only for those who walk through a tree: the directory that was listed before lies
 * below the parent of this one. The mount's own nodes are loaded then: the kernel has just got to know them, and they go when it forgets them.
 */
import { ensureLoaded } from './directory';
import { LayerError } from './failure';
import { imageNode } from './image';
import type { Mount } from './mount';
import { forget } from './node';
import { Dentry, Inode, LoadState, MountWord } from './table/layout';

/** Directories that are loaded, or a multiple of names that are passed over, between two looks at what else there is to do. */
const STEP = 8;
const NAMES = 64;

/** A directory of the image is listed from its beginning. */
export function listed(m: Mount, image: Mount, directory: number): void {
  if (!image.readsAhead) return;
  Atomics.store(m.i32, image.record + MountWord.AHEAD, directory);
  m.context.readAhead();
}

/** Some of what is to be loaded, the directories in the one listed last first. False: there is nothing more. */
export function readAhead(image: Mount): boolean {
  const { i32, ahead } = image;
  if (!image.prepared) {
    image.prepared = true;
    image.lowers[0].prepare();
  }
  const directory = Atomics.exchange(i32, image.record + MountWord.AHEAD, 0);
  if (directory !== 0) ahead.push(i32[directory + Inode.FIRST]);
  let left = STEP * NAMES;
  while (left > 0) {
    const dentry = ahead.pop();
    if (dentry === undefined) return false;
    if (dentry === 0) continue;
    ahead.push(i32[dentry + Dentry.NEXT]);
    left -= image.isDirectoryDentry(dentry) && load(image, dentry) ? NAMES : 1;
  }
  return true;
}

function load(image: Mount, dentry: number): boolean {
  try {
    const node = imageNode(image, dentry);
    if (node <= 0 || Atomics.load(image.i32, node + Inode.LOAD) === LoadState.LOADED || ensureLoaded(image, node) < 0) return false;
    // READDIRPLUS will ask for the nodes too
    for (let inside = image.i32[node + Inode.FIRST]; inside !== 0; inside = image.i32[inside + Dentry.NEXT]) imageNode(image, inside);
    return true;
  } catch (error) {
    if (error instanceof LayerError) return false; // whoever asks for it hears of it
    throw error;
  }
}

// ---- a mount's own directories ---------------------------------------------------------------------------------------------------------

/** So many of them between two looks: each takes tens of microseconds, or a disk's time. */
const OWN_STEP = 2;
/** Of one listing, at most. */
const MOST = 4096;
/** How far up the parent of a directory is looked for. */
const LEVELS = 32;

/** A directory of the mount is listed from its beginning. */
export function ownListed(m: Mount, directory: number): void {
  const before = Atomics.exchange(m.i32, m.record + MountWord.LISTED, directory);
  if (before === directory || !isBelow(m, before, parentOf(m, directory))) return;
  Atomics.store(m.i32, m.record + MountWord.OWN_AHEAD, directory);
  m.context.readAhead();
}

/** 0: it has none. What `node` was may be something else by now: this is only to guess by. */
function parentOf(m: Mount, node: number): number {
  if (!m.table.allocator.isInode(node) || m.i32[node + Inode.MOUNT] !== m.index) return 0;
  const dentry = m.i32[node + Inode.DENTRY];
  return dentry === 0 ? 0 : m.i32[dentry + Dentry.PARENT];
}

function isBelow(m: Mount, node: number, directory: number): boolean {
  let at = node;
  for (let level = 0; level < LEVELS && at !== 0 && directory !== 0; level++) {
    if (at === directory) return true;
    at = parentOf(m, at);
  }
  return false;
}

/** As readAhead. The caller holds the mount's rename lock, shared. */
export function readOwnAhead(m: Mount): boolean {
  const { i32, ahead } = m;
  const directory = Atomics.exchange(i32, m.record + MountWord.OWN_AHEAD, 0);
  if (directory !== 0) whileAlive(m, directory, () => ahead.push(...directoriesIn(m, directory)));
  for (let left = OWN_STEP; left > 0; left--) {
    const generation = ahead.pop();
    const node = ahead.pop();
    if (node === undefined) return false;
    whileAlive(m, node, () => {
      if (i32[node + Inode.GENERATION] === generation) ensureLoaded(m, node, true);
    });
  }
  return true;
}

/** Those that are known and not loaded, with their generations: the last one first. */
function directoriesIn(m: Mount, directory: number): number[] {
  const { i32 } = m;
  const found: number[] = [];
  m.lock(directory);
  try {
    for (let dentry = i32[directory + Inode.FIRST]; dentry !== 0 && found.length < 2 * MOST; dentry = i32[dentry + Dentry.NEXT]) {
      const node = m.isDirectoryDentry(dentry) ? Atomics.load(i32, dentry + Dentry.INODE) : 0;
      if (node !== 0 && Atomics.load(i32, node + Inode.LOAD) === LoadState.NOT) found.push(i32[node + Inode.GENERATION], node);
    }
  } finally {
    m.unlock(directory);
  }
  return found.reverse();
}

function whileAlive(m: Mount, node: number, work: () => void): void {
  if (!m.table.allocator.isInode(node) || m.i32[node + Inode.MOUNT] !== m.index || !m.isDirectory(node)) return;
  if (!m.table.addLookup(node)) return;
  try {
    work();
  } catch (error) {
    if (!(error instanceof LayerError)) throw error; // whoever asks for it hears of it
  } finally {
    forget(m, node, 1);
  }
}

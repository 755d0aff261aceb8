/**
 * Reading ahead in an image of imported layers: whoever lists a directory mostly goes on into those in it, one after the other. What there is to be known
 * of them is rows of an index, so an idle worker loads them meanwhile, and finds them loaded already where it was too late.
 *
 * Only the directories in a listed one are loaded, so it is never more than a level ahead of what was asked for.
 */
import { ensureLoaded } from './directory';
import { LayerError } from './failure';
import { imageNode } from './image';
import type { Mount } from './mount';
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

/** What the rows over the big tree have in common. */
import type { Bench, Mounted, Place } from '../bench.js';
import { verify } from '../contract.js';
import { Plyd } from '../plyd.js';
import { type BigTree, bigTree, warmLowers } from '../trees.js';
import type { Walked } from '../client.js';

export async function warmTree(bench: Bench): Promise<BigTree> {
  const tree = await bigTree(bench);
  bench.say('warming the lowers');
  await warmLowers(tree);
  return tree;
}

/** A fresh mount of it, with an empty upper. Bare is the merged tree itself; `change`: a copy of it. */
export function mountTree(place: Place, tree: BigTree, change = false): Promise<Mounted> {
  return place.mount({ lowers: tree.lowers, bare: { tree: tree.merged, copy: change } });
}

/** A mount that shows anything else than the tree is not fast but wrong. */
export function verifyWalk(walked: Walked, { files, directories, bytes }: { files: number; directories: number; bytes: number }): void {
  verify('files', walked.files, files);
  verify('directories', walked.directories, directories);
  verify('bytes', walked.bytes, bytes);
}

export type MountImage = () => Promise<string>;

/**
 * Mounts of one image: the answer makes another one each time it is called, and says where. plyfs shares what mounts of one image have in common
 * where plyd knows the image, so that is what is measured if there is a plyd; else it is one plyfs for each.
 */
export async function imageMounts(place: Place, tree: BigTree): Promise<MountImage> {
  if (place.system !== 'dev' && place.system !== 'uring') return async () => (await mountTree(place, tree)).point;
  if (!Plyd.exists(place)) {
    place.remark('plyfs without plyd: an engine for each mount, nothing shared');
    return async () => (await mountTree(place, tree)).point;
  }
  const plyd = await Plyd.start(place);
  await plyd.image('tree', tree.lowers);
  let serial = 0;
  return async () => {
    const name = `c${serial++}`;
    await plyd.create('tree', name, `transport=${place.system}`);
    return plyd.startContainer(name);
  };
}

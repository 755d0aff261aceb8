import { row, seconds, SYSTEMS } from '../contract.js';
import { mountTree, verifyWalk, warmTree } from './tree-mount.js';

/** The first look at everything, as `find` or a backup does it: one client, one thread. */
export const coldWalk = row({
  name: 'cold-walk',
  title: 'Cold walk, 51 k files, 5 lowers',
  about:
    'lstat of every entry of the tree, and every directory read, in a mount made just before. The number of files, directories and bytes is verified.',
  dominates:
    'for plyfs reading and merging each directory of the lowers, once (getdents64 and statx per lower), and the round trips of OPENDIR, READDIRPLUS and LOOKUP.',
  systems: SYSTEMS,
  figures: [seconds('walk', 'cold walk', { devOv: 2.9, uringOv: 2.3, foDev: 4.2, foUring: 5.3 })],
  setup: warmTree,
  prepare: mountTree,
  async measure(place, { point }, tree) {
    const walked = await place.client.walk(point);
    verifyWalk(walked, tree.counts);
    return { walk: walked.seconds };
  },
});

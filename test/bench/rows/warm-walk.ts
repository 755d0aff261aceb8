import { row, seconds, SYSTEMS } from '../contract.js';
import { mountTree, verifyWalk, warmTree } from './tree-mount.js';

/** The walk again: what the kernel may answer for us, and how it is told. */
export const warmWalk = row({
  name: 'warm-walk',
  title: 'Warm walk',
  about: 'the cold walk for the second time in the same mount.',
  dominates:
    'OPENDIR, READDIR and RELEASEDIR where the kernel does not keep the directory; entries and attributes are answered from its caches without a request.',
  systems: SYSTEMS,
  figures: [seconds('walk', 'warm walk', { devOv: 2.1, uringOv: 0.75, foDev: 3.5, foUring: 9 })],
  setup: warmTree,
  async prepare(place, tree) {
    const mounted = await mountTree(place, tree);
    verifyWalk(await place.client.walk(mounted.point), tree.counts);
    return mounted;
  },
  async measure(place, { point }, tree) {
    const walked = await place.client.walk(point);
    verifyWalk(walked, tree.counts);
    return { walk: walked.seconds };
  },
});

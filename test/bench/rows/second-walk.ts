import { row, seconds } from '../contract.js';
import { imageMounts, verifyWalk, warmTree } from './tree-mount.js';

/** What a second container of an image costs while the first one runs. */
export const secondWalk = row({
  name: 'second-walk',
  title: 'Cold walk, second mount of the same image',
  about:
    'the cold walk in a second mount of the same lowers, with an upper of its own, while a first one is mounted and has been walked. With plyd both are containers of one image.',
  dominates:
    'the round trips: what the layers say is in the shared table already, where plyd knows the image. Without plyd it is the cold walk again.',
  systems: ['bare', 'ov', 'fo', 'dev', 'uring'],
  figures: [seconds('walk', 'cold walk, second mount', { devOv: 1.5, uringOv: 1.0, foDev: 8, foUring: 11 })],
  setup: warmTree,
  async prepare(place, tree) {
    const mountImage = await imageMounts(place, tree);
    verifyWalk(await place.client.walk(await mountImage()), tree.counts);
    return mountImage();
  },
  async measure(place, point, tree) {
    const walked = await place.client.walk(point);
    verifyWalk(walked, tree.counts);
    return { walk: walked.seconds };
  },
});

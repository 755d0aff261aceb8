import { row, seconds, verify } from '../contract.js';
import { mountTree, warmTree } from './tree-mount.js';

/** What starting an interpreter or serving a web site is made of. */
export const smallFiles = row({
  name: 'small-files',
  title: 'open + read + close of 20 k small files',
  about:
    'open, read to the end, close, of 20,000 files of at most 4 KiB that lie evenly over the tree, in a fresh mount, and then again. The bytes are counted.',
  dominates: 'cold: LOOKUP, OPEN (with the registration of a backing, or the content handed over) and READ. Warm: OPEN and RELEASE.',
  systems: ['bare', 'ov', 'fo', 'dev', 'uring', 'fuse-native'],
  figures: [
    seconds('cold', 'open + read + close, cold', { devOv: 6.1, uringOv: 5.0, foDev: 5.4, foUring: 6 }),
    seconds('warm', 'open + read + close, warm', { devOv: 7.6, uringOv: 2.6, foDev: 2.1, foUring: 6 }),
  ],
  setup: warmTree,
  prepare: mountTree,
  async measure(place, { point }, tree) {
    const times: number[] = [];
    for (let i = 0; i < 2; i++) {
      const answer = await place.client.read(point, tree.small.file);
      verify('files', answer.files, tree.small.count);
      verify('bytes', answer.bytes, tree.small.bytes);
      times.push(answer.seconds);
    }
    return { cold: times[0], warm: times[1] };
  },
});

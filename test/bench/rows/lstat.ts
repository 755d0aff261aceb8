import { type Row, row, seconds, SYSTEMS, verify } from '../contract.js';
import type { BigTree, List } from '../trees.js';
import { mountTree, warmTree } from './tree-mount.js';

/** Twice the same names in a fresh mount: the first time is cold, the second warm. */
function lstatRow(definition: Pick<Row, 'name' | 'title' | 'about' | 'dominates' | 'figures'>, kind: 'existing' | 'missing'): Row {
  return row({
    ...definition,
    systems: SYSTEMS,
    setup: warmTree,
    prepare: (place, tree: BigTree) => mountTree(place, tree),
    async measure(place, { point }, tree) {
      const list: List = tree[kind];
      const times: number[] = [];
      for (let i = 0; i < 2; i++) {
        const answer = await place.client.lstat(point, list.file);
        verify(`${kind} names`, kind === 'existing' ? answer.found : answer.missing, list.count);
        verify('bytes', answer.bytes, list.bytes);
        times.push(answer.seconds);
      }
      return { cold: times[0], warm: times[1] };
    },
  });
}

/** Looking names up, as a program does that knows what it wants. */
export const lstatExisting = lstatRow(
  {
    name: 'lstat-existing',
    title: 'lstat of 20 k existing names',
    about: 'lstat of 20,000 files that lie evenly over the tree, in a fresh mount, and then again.',
    dominates:
      'cold: LOOKUPs, of the files and of all directories on the way to them. Warm: nothing of ours, the kernel has entries and attributes.',
    figures: [
      seconds('cold', 'lstat existing, cold', { devOv: 5.2, uringOv: 3.6, foDev: 4.2, foUring: 6 }),
      seconds('warm', 'lstat existing, warm', { devOv: 1.0, uringOv: 1.0 }),
    ],
  },
  'existing',
);

/** Looking for what is not there, as every search path does. */
export const lstatMissing = lstatRow(
  {
    name: 'lstat-missing',
    title: 'lstat of 20 k missing names',
    about: 'lstat of 40 names that do not exist in each of 500 directories, in a fresh mount, and then again.',
    dominates: 'cold: a LOOKUP for each name. Warm: nothing of ours, the kernel keeps negative entries.',
    figures: [
      seconds('cold', 'lstat missing, cold', { devOv: 3.7, uringOv: 1.7, foDev: 5.4, foUring: 11 }),
      seconds('warm', 'lstat missing, warm', { devOv: 1.0, uringOv: 1.0 }),
    ],
  },
  'missing',
);

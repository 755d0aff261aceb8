import fs from 'node:fs';
import path from 'node:path';
import { settle } from '../bench.js';
import { row, seconds } from '../contract.js';
import { command } from '../processes.js';
import { bigTree, firstTops, warmFile } from '../trees.js';
import { verifyWalk } from './tree-mount.js';

/** Much that is new, and its end: what installing and building do. */
export const untar = row({
  name: 'untar',
  title: 'untar of 20 k files; rm -rf of them',
  about:
    'tar extracts 20,400 small files in 5,208 directories into a new directory of a fresh mount; after a sync, rm -rf removes it. Both results are walked.',
  dominates:
    'CREATE, WRITE (passed through), SETATTR of owner, mode and times, RELEASE; then LOOKUP, UNLINK, RMDIR. The disk is in it: creations are journalled.',
  systems: ['bare', 'ov', 'fo', 'dev', 'uring'],
  figures: [
    seconds('untar', 'untar', { devOv: 1.7, uringOv: 1.3, foDev: 2.4, foUring: 3.3 }),
    seconds('rm', 'rm -rf', { devOv: 3.6, uringOv: 1.3, foDev: 2.3, foUring: 6 }),
  ],
  async setup(bench) {
    const tree = await bigTree(bench);
    const { names, ...counts } = firstTops(tree, bench.amount(20_000));
    const directory = await bench.cached(`untar-2-${counts.files}`, async (fresh) => {
      const args = ['-C', tree.merged, '--sort=name', '--format=posix', '-cf', path.join(fresh, 'files.tar'), ...names];
      await command('tar', args, { limitMs: 300_000 });
    });
    return { tree, counts, tar: path.join(directory, 'files.tar') };
  },
  async prepare(place, { tree, tar }) {
    await warmFile(tar);
    const { point } = await place.mount({ lowers: tree.lowers });
    fs.mkdirSync(path.join(point, 'new'));
    return path.join(point, 'new');
  },
  async measure(place, target, { counts, tar }) {
    const extracted = await place.client.run(['tar', '-xf', tar, '-C', target], { limitMs: 300_000 });
    verifyWalk(await place.client.walk(target), counts);
    await settle();
    const removed = await place.client.run(['sh', '-c', 'rm -rf "$1"/*', 'sh', target], { limitMs: 300_000 });
    verifyWalk(await place.client.walk(target), { files: 0, directories: 0, bytes: 0 });
    return { untar: extracted.seconds, rm: removed.seconds };
  },
});

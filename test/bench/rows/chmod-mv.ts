import path from 'node:path';
import { settle } from '../bench.js';
import { row, seconds, verify } from '../contract.js';
import { command } from '../processes.js';
import { bigTree, firstTops, warmLowers } from '../trees.js';
import { verifyWalk } from './tree-mount.js';

/** Changes that need no data: metacopy and redirect. */
export const chmodMv = row({
  name: 'chmod-mv',
  title: 'chmod -R of a lower tree; mv of a lower directory',
  about:
    'chmod -R g+w of a quarter of the tree (12,750 files in 3,255 directories), then mv of another directory (2,550 files) to another name. ov with metacopy=on,redirect_dir=on. All modes, and the tree under the new name, are verified.',
  dominates:
    'chmod: copying metadata up, a file, its xattrs and a rename for each. mv: a redirect for us and the kernel; fuse-overlayfs answers EXDEV, and mv copies.',
  systems: ['bare', 'ov', 'fo', 'dev', 'uring'],
  figures: [seconds('chmod', 'chmod -R', { foDev: 2, foUring: 3 }), seconds('mv', 'mv of a directory', { foDev: 2, foUring: 3 })],
  async setup(bench) {
    const tree = await bigTree(bench);
    await warmLowers(tree);
    return { tree, chosen: firstTops(tree, tree.counts.files / 4), moved: tree.tops[tree.tops.length - 1] };
  },
  prepare: (place, { tree }) =>
    place.mount({ lowers: tree.lowers, bare: { tree: tree.merged, copy: true }, kernelOptions: 'metacopy=on,redirect_dir=on' }),
  async measure(place, { point }, { chosen, moved }) {
    const directories = chosen.names.map((name) => path.join(point, name));
    const chmod = await place.client.run(['chmod', '-R', 'g+w', ...directories], { limitMs: 280_000 });
    verify('files without the new mode', (await command('find', [...directories, '!', '-perm', '-g+w'])).trim(), '');
    await settle();
    const [from, to] = [path.join(point, moved.name), path.join(point, 'moved')];
    const mv = await place.client.run(['mv', from, to], { limitMs: 280_000 });
    verifyWalk(await place.client.walk(to), moved);
    return { chmod: chmod.seconds, mv: mv.seconds };
  },
});

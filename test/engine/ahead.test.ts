/**
 * Reading ahead for those who walk through a tree: what an idle worker has loaded is seen by what a change of a lower, which must not be made, does not
 * change any more.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { leftBehind } from '../support/leaks.js';
import { must } from '../support/mounts.js';
import { target } from '../support/targets.js';

const CANNOT = process.geteuid!() !== 0 ? 'needs root' : !fs.existsSync('/dev/fuse') ? 'needs /dev/fuse' : false;

const TREE = { 'a/b/old': '', 'a/c/d/old': '', 'e/f/old': '' };

const list = async (directory: string): Promise<string[]> => (await must('ls', [directory])).trim().split('\n');

for (const workers of [1, 2]) {
  t.test(`with ${workers} worker(s)`, { skip: CANNOT }, async (t) => {
    const mounted = await target('plyfs').setup([TREE], { mountOptions: [`workers=${workers}`] });
    t.teardown(() => mounted.teardown());
    const { mountpoint, lowers } = mounted;
    await list(mountpoint);
    await list(path.join(mountpoint, 'a'));
    await new Promise((resolve) => setTimeout(resolve, 500));
    for (const directory of ['a/b', 'a/c/d', 'e/f']) fs.writeFileSync(path.join(lowers[0], directory, 'new'), '');
    const ahead = workers > 1 ? ['old'] : ['new', 'old'];
    t.same(await list(path.join(mountpoint, 'a/b')), ahead, 'below what was listed: loaded before it was asked for, if a worker was idle');
    t.same(await list(path.join(mountpoint, 'a/c/d')), ['new', 'old'], 'one level ahead, no more');
    t.same(await list(path.join(mountpoint, 'e/f')), ['new', 'old'], 'not where nobody went');
  });
}

t.test('who looks here and there is no walker', { skip: CANNOT }, async (t) => {
  const mounted = await target('plyfs').setup([TREE], { mountOptions: ['workers=2'] });
  t.teardown(() => mounted.teardown());
  const { mountpoint, lowers } = mounted;
  await list(path.join(mountpoint, 'e/f'));
  await list(path.join(mountpoint, 'a/c'));
  await new Promise((resolve) => setTimeout(resolve, 500));
  fs.writeFileSync(path.join(lowers[0], 'a/c/d/new'), '');
  t.same(await list(path.join(mountpoint, 'a/c/d')), ['new', 'old']);
});

t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

/** Which layer each path comes from, and what the layers waste, against what lies on the disk. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { ImageTree, Layer, TreeEntry } from '../../daemon/api/types.js';
import { leftBehind, type Plyd, sh, testWithPlyd } from '../plyd/daemon.js';
import { done, lines } from './support.js';

/** From the lowest up. */
const LAYERS = [
  `mkdir -p etc usr/lib var/cache && head -c 1000 /dev/zero >etc/a && head -c 200 /dev/zero >etc/b && head -c 30 /dev/zero >usr/lib/c
   head -c 7000 /dev/zero >var/cache/one && head -c 500 /dev/zero >var/cache/two && ln var/cache/two usr/lib/two && ln -s a etc/link`,
  `mkdir -p etc var && head -c 1001 /dev/zero >etc/a && mknod etc/b c 0 0 && mkdir var/cache && setfattr -n trusted.overlay.opaque -v y var/cache
   head -c 11 /dev/zero >var/cache/new`,
  `mkdir -p etc usr/lib && head -c 13 /dev/zero >etc/b && mknod usr/lib/two c 0 0 && mkdir -p etc/a && head -c 17 /dev/zero >etc/a/x`,
];

async function make(plyd: Plyd): Promise<string[]> {
  const layers: string[] = [];
  for (const [at, script] of LAYERS.entries()) {
    const directory = path.join(plyd.base, `layer${at}`);
    fs.mkdirSync(directory);
    const made = await sh(`cd "$1" && ${script}`, directory);
    if (made.status !== 0) throw new Error(made.stderr);
    layers.unshift((await plyd.must<Layer>('POST', '/v1/layers', { path: directory })).id);
  }
  await plyd.must('POST', '/v1/images', { name: 'img', layers });
  return layers;
}

const EXPECTED = [
  { adds: { entries: 6, bytes: 30 }, hides: { entries: 2, bytes: 1501 }, wastes: { entries: 0, bytes: 0 } },
  { adds: { entries: 5, bytes: 1012 }, hides: { entries: 5, bytes: 8200 }, wastes: { entries: 1, bytes: 1001 } },
  { adds: { entries: 12, bytes: 8730 }, hides: { entries: 0, bytes: 0 }, wastes: { entries: 6, bytes: 8700 } },
];

testWithPlyd('what layers add, hide and waste is right to the byte, of directories and imported again', async (t, plyd) => {
  const layers = await make(plyd);
  const { progress, result } = await lines<ImageTree, TreeEntry[]>(plyd, 'GET', '/v1/images/img/tree');
  t.same(
    result.layers.map(({ id }) => id),
    layers,
  );
  t.same(
    result.layers.map(({ adds, hides, wastes }) => ({ adds, hides, wastes })),
    EXPECTED,
  );
  const entries = progress.flat();
  const of = (name: string): TreeEntry | undefined => entries.find(({ path }) => path === name);
  t.match(of('/etc/a'), {
    type: 'directory',
    layer: 0,
    hidden: [
      { layer: 1, by: 0, size: 1001 },
      { layer: 2, by: 1, size: 1000 },
    ],
  });
  t.match(of('/etc/b'), { type: 'file', layer: 0, size: 13, hidden: [{ layer: 2, by: 1, size: 200 }] });
  t.match(of('/usr/lib/c'), { layer: 2, hidden: [] });
  t.match(of('/var/cache/one'), { layer: null, hidden: [{ layer: 2, by: 1, size: 7000 }] });

  // As a container shows it.
  await plyd.create('img', 'c');
  const { mountpoint } = await plyd.begin('c');
  const shown = (await sh('cd "$1" && find . -mindepth 1 | sed "s/^.//" | sort', mountpoint!)).stdout.split('\n').slice(0, -1);
  t.same(
    entries
      .filter(({ layer }) => layer !== null)
      .map(({ path }) => path)
      .sort(),
    shown,
  );
  const bytes = (
    await sh('cd "$1" && find . -type f -printf "%i %s\\n" | sort -u | awk "{ s += \\$2 } END { print s }"', mountpoint!)
  ).stdout.trim();
  const sum = (of: 'adds' | 'wastes'): number => result.layers.reduce((all, layer) => all + layer[of].bytes, 0);
  t.equal(sum('adds') - sum('wastes'), Number(bytes));
  await plyd.end('c');

  const file = `${plyd.base}/img.tar`;
  await done(plyd, 'POST', '/v1/images/img/export', { path: file });
  await done(plyd, 'POST', '/v1/images/import', { path: file, tags: ['again'] });
  const again = await lines<ImageTree, TreeEntry[]>(plyd, 'GET', '/v1/images/again/tree');
  t.same(
    again.result.layers.map(({ adds, hides, wastes }) => ({ adds, hides, wastes })),
    EXPECTED,
    'of imported layers',
  );
  t.same(again.progress.flat(), entries);
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

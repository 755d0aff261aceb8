/** kill -9 at every step of import and prune, and a disk that is full: afterwards it is either done or not, and what is left over is found. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { DiskUsage, FsckResult, Image, ImportResult, Layer, Line, Pruned } from '../../daemon/api/types.js';
import { importImage } from '../../daemon/images/import.js';
import { fsck } from '../../daemon/images/store-work.js';
import { Catalog, StoreError } from '../../daemon/store/index.js';
import { leftBehind, type Plyd, testWithPlyd, until } from '../plyd/daemon.js';
import { layoutFiles, makeImage, sha256, tar, writeFiles } from './tars.js';

const BASE = tar(...Array.from({ length: 50 }, (_, i) => ({ name: `base/${i}`, content: `base ${i}` })));
const TOP = tar(...Array.from({ length: 50 }, (_, i) => ({ name: `top/${i}`, content: i % 2 === 0 ? `base ${i}` : `top ${i}` })));
const NEXT = tar({ name: 'next', content: 'next' });

/** The last line of long work; rejects when plyd breaks off. */
async function work<T>(plyd: Plyd, url: string, body: object = {}): Promise<T> {
  const { text } = await plyd.text('POST', url, JSON.stringify(body));
  const last = JSON.parse(text.trim().split('\n').at(-1)!) as Partial<Line<unknown, T>>;
  if (!('result' in last)) throw new Error(text);
  return last.result;
}

function images(plyd: Plyd): { one: string; two: string } {
  const [one, two] = ['one', 'two'].map((name) => join(plyd.base, name));
  writeFiles(one, layoutFiles(makeImage({ layers: [BASE, TOP], tag: 'one' })));
  writeFiles(two, layoutFiles(makeImage({ layers: [BASE, NEXT], tag: 'two' })));
  return { one, two };
}

/** All files in objects/, layers/ and tmp/. */
function files(plyd: Plyd): string[] {
  return ['objects', 'layers', 'tmp'].flatMap((name) =>
    fs.existsSync(join(plyd.root, name))
      ? fs
          .readdirSync(join(plyd.root, name), { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath, entry.name))
      : [],
  );
}

/** Images are whole, and nothing is lost; after a prune of all nothing at all is left. */
async function consistent(t: Test, plyd: Plyd, allowed: string[]): Promise<void> {
  const { images } = await plyd.must<{ images: Image[] }>('GET', '/v1/images');
  for (const { name } of images) t.ok(allowed.includes(name!), `${name} is there`);
  const { problems } = await work<FsckResult>(plyd, '/v1/fsck');
  t.same(
    problems.filter(({ kind }) => kind !== 'leftover'),
    [],
  );
  await plyd.must<Pruned>('POST', '/v1/prune');
  t.same((await work<FsckResult>(plyd, '/v1/fsck')).problems, [], 'prune finds every leftover');
  const { layers } = await plyd.must<{ layers: Layer[] }>('GET', '/v1/layers');
  t.same(new Set(layers.map(({ id }) => id)), new Set(images.flatMap((image) => image.layers)), 'no layer without an image');
  const { objects, layers: row } = await plyd.must<DiskUsage>('GET', '/v1/df');
  t.equal(objects.total, objects.active);
  t.equal(
    row.size,
    files(plyd).reduce((sum, file) => sum + fs.statSync(file).size, 0),
  );
}

async function killedAt(plyd: Plyd, point: string, request: () => Promise<unknown>): Promise<void> {
  await plyd.stop('SIGKILL');
  fs.rmSync(plyd.pauses, { force: true });
  await plyd.start([], { PLYD_PAUSE_AT: point });
  const answer = request().catch(() => undefined);
  await until(point, () => fs.existsSync(plyd.pauses) && fs.readFileSync(plyd.pauses, 'utf8').includes(point));
  await plyd.stop('SIGKILL');
  await answer;
  fs.rmSync(plyd.pauses, { force: true });
  await plyd.start();
}

const IMPORT = ['import:read', 'import:leased', 'import:objects', 'import:placed', 'import:layers', 'import:image'];
for (const point of IMPORT) {
  testWithPlyd(`plyd is killed during import, at ${point}`, async (t, plyd) => {
    const { one, two } = images(plyd);
    await work<ImportResult>(plyd, '/v1/images/import', { path: one });
    await killedAt(plyd, point, () => work(plyd, '/v1/images/import', { path: two }));
    t.equal((await plyd.must<{ images: Image[] }>('GET', '/v1/images')).images.length, point === 'import:image' ? 2 : 1);
    await consistent(t, plyd, ['one', 'two']);
    const { layers } = await work<ImportResult>(plyd, '/v1/images/import', { path: two });
    t.equal(layers[0].reused, true);
    await consistent(t, plyd, ['one', 'two']);
    t.match(await plyd.must('GET', '/v1/images/two'), { layers: [sha256(NEXT), sha256(BASE)] });
    await plyd.must('POST', '/v1/prune?all=true');
    t.same(files(plyd), []);
  });
}

for (const point of ['prune:images', 'prune:layer', 'prune:rows', 'prune:objects']) {
  testWithPlyd(`plyd is killed during prune, at ${point}`, async (t, plyd) => {
    const { one, two } = images(plyd);
    await work(plyd, '/v1/images/import', { path: one });
    await work(plyd, '/v1/images/import', { path: two });
    await plyd.must('DELETE', '/v1/images/two');
    await killedAt(plyd, point, () => plyd.request('POST', '/v1/prune'));
    await consistent(t, plyd, ['one']);
    await work(plyd, '/v1/images/import', { path: two });
    await consistent(t, plyd, ['one', 'two']);
  });
}

testWithPlyd('kills at random times of import and prune', async (t, plyd) => {
  const { one, two } = images(plyd);
  let seed = 7;
  const random = (below: number): number => (seed = (seed * 48271) % 2147483647) % below;
  for (let round = 0; round < (process.env['PLYFS_TEST_LONG'] === '1' ? 30 : 4); round++) {
    const running = [
      work(plyd, '/v1/images/import', { path: one }),
      work(plyd, '/v1/images/import', { path: two }),
      plyd.request('POST', '/v1/prune?all=true'),
    ];
    const settled = Promise.allSettled(running);
    await new Promise((resolve) => setTimeout(resolve, random(300)));
    await plyd.stop('SIGKILL');
    await settled;
    await plyd.start();
    await consistent(t, plyd, ['one', 'two']);
  }
});

t.test(
  'no space is left: nothing is imported, and there is room again',
  { skip: process.geteuid!() === 0 ? false : 'needs root' },
  async (t) => {
    const base = fs.mkdtempSync('/tmp/plyfs-full-');
    const root = join(base, 'small');
    fs.mkdirSync(root);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'plyfs-test', root]);
    const catalog = Catalog.open(root);
    t.teardown(() => {
      catalog.close();
      execFileSync('umount', [root]);
      fs.rmSync(base, { recursive: true });
    });
    const image = (megabytes: number): string => {
      const layers = [1, 2, 3].map((n) => tar({ name: `f${n}`, content: Buffer.alloc((megabytes * 2 ** 20) / 3, `${n}${megabytes}`) }));
      return writeFiles(join(base, `image-${megabytes}`), layoutFiles(makeImage({ layers, tag: `m${megabytes}` })));
    };
    await importImage(catalog, image(3), {});
    const log = (): number => fs.statSync(join(root, 'ply.db-wal')).blocks * 512; // stays as large as it was
    const used = (): number => (fs.statfsSync(root).blocks - fs.statfsSync(root).bfree) * 4096 - log();
    const before = used();
    // where it is full to the last block when something is to be removed, depends on some pages
    for (let megabytes = 16; megabytes < 22; megabytes += 0.25) {
      const file = image(megabytes);
      await t.rejects(importImage(catalog, file, {}), StoreError, `${megabytes} MiB`);
      fs.rmSync(file, { recursive: true });
      t.match((await fsck(catalog)).problems, []);
      t.equal(catalog.layers.all().length, 3);
      t.ok(used() - before < 1_000_000, `freed again: ${used() - before} bytes`);
    }
    t.match(await importImage(catalog, image(4), {}), { image: { name: 'm4' } });
  },
);

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

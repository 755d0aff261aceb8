/** plyfs/client against a real plyd, and as another package sees it. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { Client, type Event, PlyError, Work } from '../../client/index.js';
import { leftBehind, testWithPlyd, writeTree } from '../plyd/daemon.js';
import { must, run } from '../support/mounts.js';

const REPOSITORY = path.resolve(__dirname, '../../..');

testWithPlyd('layers, images, containers, mounts: every method gives what the API says', async (t, plyd) => {
  const ply = new Client({ socket: plyd.socket });
  t.match(await ply.info(), { pid: plyd.child?.pid, socket: plyd.socket });
  t.match(await ply.openApi(), { openapi: '3.1.0' });
  const at = (name: string): string => path.join(plyd.base, name);
  writeTree(at('base'), { 'etc/motd': 'base\n' });
  writeTree(at('top'), { 'bin/tool': 'tool\n' });
  const base = await ply.layers.add({ path: at('base'), name: 'base' });
  const top = await ply.layers.add({ path: at('top') });
  t.same(await ply.layers.list(), [base, top]);
  t.same(await ply.layers.get('base'), base);
  t.match(await ply.layers.verify('base'), { ok: true });

  const image = await ply.images.create({ name: 'img', layers: [top.id, 'base'] });
  t.match(await ply.images.tag('img', 'img:2'), { id: image.id, names: ['img', 'img:2'] });
  t.match(await ply.images.get('img'), {
    config: null,
    digest: null,
    rootFS: { layers: [`tree:${base.treeDigest}`, `tree:${top.treeDigest}`] },
    stack: [{ layer: base.id, kind: 'directory', diffId: null, chainId: null, source: at('base') }, { layer: top.id }],
  });
  t.match(await ply.images.list(), [{ id: image.id, uniqueSize: image.size }]);

  const { id } = await ply.containers.create({ image: 'img', name: 'c' });
  const { mountpoint } = await ply.containers.start('c');
  t.equal(mountpoint, `${plyd.root}/containers/${id}/merged`);
  await must('sh', ['-c', 'echo new >"$0"/etc/new', mountpoint!], { timeoutMs: 10_000 });
  t.same(await ply.containers.diff('c'), [
    { kind: 'C', path: '/etc' },
    { kind: 'A', path: '/etc/new' },
  ]);
  t.match(await ply.containers.list({ size: true }), [{ name: 'c', size: { files: 1 } }]);
  const data = { lowerDir: [at('top'), at('base')], upperDir: `${plyd.root}/containers/${id}/upper`, mergedDir: mountpoint };
  t.match(await ply.containers.get('c', { size: true }), { size: { files: 1 }, graphDriver: { name: 'plyfs', data } });
  t.match(await ply.mounts.list(), [{ container: id, snapshot: null }]);
  t.match(await ply.stats(), { mounts: [{ container: id }] });
  t.match(await ply.metrics(), /^plyfs_operations_total\{mount="[0-9a-f]{12}",container="[0-9a-f]{12}",operation="LOOKUP"\} \d+$/m);
  t.match(await ply.containers.stop('c'), { state: 'stopped' });
  await ply.containers.remove('c');

  fs.mkdirSync(at('m'));
  const mount = await ply.mounts.add({ mountpoint: at('m'), lower: [at('top'), at('base')] });
  await ply.mounts.remove(mount.id, { lazy: true });
  t.same(await ply.images.remove('img:2'), { id: image.id, untagged: ['img:2'], removed: false });
  t.same(await ply.images.remove('img'), { id: image.id, untagged: ['img'], removed: true });
  await ply.layers.remove('base');
  await ply.layers.remove(top.id);
  t.same(await ply.layers.list(), []);
});

testWithPlyd('failures are PlyErrors: a code, what to do, names like the one asked for, users', async (t, plyd) => {
  const ply = new Client({ socket: plyd.socket });
  await plyd.image();
  await plyd.create('img', 'web');
  const failed = async (work: Promise<unknown>): Promise<PlyError> => {
    try {
      await work;
    } catch (error) {
      if (error instanceof PlyError) return error;
      throw error;
    }
    throw new Error('it did not fail');
  };
  t.match(await failed(ply.containers.get('wbe')), { code: 'not-found', near: ['web'], name: 'PlyError', message: /ply ps/ });
  t.match(await failed(ply.images.remove('img')), { code: 'in-use', by: ['web'] });
  t.match(await failed(ply.layers.remove('top')), { code: 'in-use', by: ['img'] });
  t.match(await failed(ply.containers.create({ image: 'img', name: 'web' })), { code: 'conflict' });
  t.match(await failed(ply.layers.add({ path: 'relative' })), { code: 'bad-request' });
  t.match(await failed(new Client({ socket: `${plyd.base}/none` }).info()), { code: 'no-daemon', message: /start it/ });
  const aborted = AbortSignal.abort(new Error('no more'));
  await t.rejects(ply.info({ signal: aborted }), { message: 'no more' });
});

testWithPlyd('events are an async iterator: those that were, those that come, until the loop is left', async (t, plyd) => {
  const ply = new Client({ socket: plyd.socket });
  await plyd.image();
  const seen: Event[] = [];
  setTimeout(() => void plyd.create('img', 'later'), 200);
  for await (const event of ply.events({ since: 0 })) {
    seen.push(event);
    if (event.type === 'container.create') break;
  }
  t.same(
    seen.map(({ type }) => type),
    ['layer.add', 'layer.add', 'image.create', 'container.create'],
  );
  const controller = new AbortController();
  setTimeout(() => controller.abort(new Error('enough')), 200);
  await t.rejects(async () => {
    for await (const _ of ply.events({ signal: controller.signal }));
  });
});

void t.test('work: progress in a loop, and the result; or the result alone; or the error', async (t) => {
  async function* lines(...all: object[]): AsyncGenerator<never> {
    for (const one of all) {
      await Promise.resolve();
      yield one as never;
    }
  }
  const [one, two, result] = [{ progress: 1 }, { progress: 2 }, { result: 'done' }];
  const looped = new Work<number, string>(lines(one, two, result), 's');
  const seen: number[] = [];
  for await (const step of looped) seen.push(step);
  t.same([seen, await looped.result(), await looped.result()], [[1, 2], 'done', 'done']);
  t.equal(await new Work<number, string>(lines(one, two, result), 's').result(), 'done');
  const bad = { error: { code: 'conflict', message: 'no' } };
  await t.rejects(new Work(lines(one, bad), 's').result(), { code: 'conflict', message: 'no' });
  await t.rejects(new Work(lines(one), 's').result(), { code: 'no-answer' });
  const left = new Work<number, string>(lines(one, two, result), 's');
  for await (const _ of left) break;
  await t.rejects(left.result(), { code: 'no-answer' });
});

void t.test('another package gets it as plyfs/client, with its types, from CommonJS and ES modules', async (t) => {
  const directory = t.testdir({
    node_modules: { plyfs: t.fixture('symlink', REPOSITORY), '@types': t.fixture('symlink', path.join(REPOSITORY, 'node_modules/@types')) },
    'use.mts': `import { Client, PlyError, type Container } from 'plyfs/client';
const ply = new Client({ socket: '/nowhere/sock' });
export async function names(): Promise<string[]> {
  const all: Container[] = await ply.containers.list({ size: true });
  for await (const { seq, type } of ply.events({ since: 1 })) { const n: number = seq; void n; if (type === 'image.rm') break; }
  // @ts-expect-error a container is no image
  const wrong: Container = await ply.images.get('x');
  return [...all, wrong].map(({ name }) => name);
}
try { await names(); } catch (error) { if (!(error instanceof PlyError)) throw error; console.log(error.code); }
`,
    'use.cjs': `const { Client } = require('plyfs/client'); console.log(typeof new Client({ socket: '/x' }).images.list);`,
    'package.json': '{"type": "module"}',
  });
  const tsc = path.join(REPOSITORY, 'node_modules/.bin/tsc');
  const options = [
    '--strict',
    '--module',
    'node16',
    '--moduleResolution',
    'node16',
    '--target',
    'es2022',
    '--skipLibCheck',
    '--types',
    'node',
  ];
  const compiled = await run(tsc, [...options, 'use.mts'], { cwd: directory, timeoutMs: 120_000 });
  t.match(compiled, { status: 0, stdout: '' });
  t.equal(await must(process.execPath, ['use.mjs'], { cwd: directory }), 'no-daemon\n');
  t.equal(await must(process.execPath, ['use.cjs'], { cwd: directory }), 'function\n');
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

/** kill -9 of plyd, and a full disk, at every step of commit and export: done or not, and nothing is left that prune does not find. */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { CommitResult, ExportResult, Pruned } from '../../daemon/api/types.js';
import { hasEnded, leftBehind, type Plyd, testWithPlyd, until } from '../plyd/daemon.js';
import { must as command } from '../support/mounts.js';
import { done, lines } from './support.js';

const COMMIT = ['import:read', 'import:leased', 'import:objects', 'import:placed', 'commit:layer', 'commit:image'];
const EXPORT = ['export:noted', 'export:layers', 'export:written', 'export:renamed'];

async function prepare(plyd: Plyd): Promise<void> {
  await plyd.image();
  const { upper } = await plyd.create('img', 'c');
  fs.mkdirSync(`${upper}/new`);
  fs.writeFileSync(`${upper}/new/file`, 'content\n');
  fs.writeFileSync(`${upper}/new/other`, 'other\n');
}

/** All files below a directory of the store. */
function below(plyd: Plyd, directory: string): string[] {
  const found = fs.existsSync(path.join(plyd.root, directory))
    ? fs.readdirSync(path.join(plyd.root, directory), { recursive: true, withFileTypes: true })
    : [];
  return found.filter((entry) => entry.isFile()).map(({ parentPath, name }) => path.join(parentPath, name).slice(plyd.root.length));
}

/** Nothing but what the catalog's images need. */
async function consistent(t: Test, plyd: Plyd, what: string): Promise<void> {
  await plyd.must<Pruned>('POST', '/v1/prune');
  const { layers } = await plyd.must<{ layers: { id: string; kind: string }[] }>('GET', '/v1/layers');
  t.same(fs.readdirSync(`${plyd.root}/layers`).sort(), layers.map(({ id }) => id).sort(), `${what}: layers`);
  t.same(below(plyd, 'tmp'), [], `${what}: nothing half written`);
  t.equal(below(plyd, 'objects').length, layers.some(({ kind }) => kind === 'imported') ? 2 : 0, `${what}: objects`);
  t.same(fs.existsSync(`${plyd.root}/exports`) ? fs.readdirSync(`${plyd.root}/exports`) : [], [], `${what}: notes`);
}

for (const point of COMMIT) {
  testWithPlyd(`plyd is killed during commit, at ${point}`, async (t, plyd) => {
    await prepare(plyd);
    await plyd.stop();
    await plyd.start([], { PLYD_PAUSE_AT: point });
    const work = lines<CommitResult>(plyd, 'POST', '/v1/containers/c/commit', { tag: 'made' }).catch(() => undefined);
    await until(`it is at ${point}`, () => fs.existsSync(plyd.pauses));
    await plyd.stop('SIGKILL');
    await work;
    fs.rmSync(plyd.pauses);
    await plyd.start();
    const names = (await plyd.must<{ images: { name: string | null }[] }>('GET', '/v1/images')).images.map(({ name }) => name);
    t.same(names, point === 'commit:image' ? ['img', 'made'] : ['img'], 'done or not');
    await consistent(t, plyd, 'after the kill');
    const { layer } = await done<CommitResult>(plyd, 'POST', '/v1/containers/c/commit', { tag: 'made' });
    t.equal(layer.files, 2);
    await consistent(t, plyd, 'once more');
    await done<ExportResult>(plyd, 'POST', '/v1/images/made/export', { path: `${plyd.base}/made.tar` });
  });
}

for (const point of EXPORT) {
  for (const victim of ['plyd', 'plyd and the child']) {
    testWithPlyd(`${victim} killed during export, at ${point}`, async (t, plyd) => {
      await prepare(plyd);
      await plyd.stop();
      await plyd.start([], { PLYD_PAUSE_AT: point });
      const target = `${plyd.base}/out.tar`;
      const work = lines<ExportResult>(plyd, 'POST', '/v1/images/img/export', { path: target }).catch(() => undefined);
      await until(`it is at ${point}`, () => fs.existsSync(plyd.pauses));
      const children = (await command('sh', ['-c', 'pgrep -P "$0" -f images/work.js || true', String(plyd.child!.pid!)]))
        .split('\n')
        .filter(Boolean);
      if (victim !== 'plyd') for (const pid of children) process.kill(Number(pid), 'SIGSTOP');
      await plyd.stop('SIGKILL');
      if (victim !== 'plyd') for (const pid of children) process.kill(Number(pid), 'SIGKILL');
      await work;
      fs.rmSync(plyd.pauses, { force: true });
      await until('the child has ended', () => children.every(hasEnded));
      t.equal(fs.existsSync(target), point === 'export:renamed', 'done or not');
      if (fs.existsSync(target)) await command('skopeo', ['inspect', `oci-archive:${target}`], { timeoutMs: 20_000 });
      await plyd.start();
      const parts = (): string[] => fs.readdirSync(plyd.base).filter((name) => name.endsWith('.ply-part'));
      await until('nothing half written is left', () => parts().length === 0);
      await consistent(t, plyd, 'after the kill');
      await done<ExportResult>(plyd, 'POST', '/v1/images/img/export', { path: target });
      await command('skopeo', ['inspect', `oci-archive:${target}`], { timeoutMs: 20_000 });
    });
  }
}

testWithPlyd('a full disk: nothing is made, and the message says so', async (t, plyd) => {
  await prepare(plyd);
  const { upper } = await plyd.container('c');
  await command('sh', ['-c', 'head -c 8000000 /dev/urandom >"$0/big"', upper]);
  const disk = `${plyd.base}/disk`;
  fs.mkdirSync(disk);
  await command('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', disk]);
  try {
    await done<CommitResult>(plyd, 'POST', '/v1/containers/c/commit', { tag: 'made' });
    for (const format of ['oci-archive', 'oci-dir']) {
      const { error } = await lines(plyd, 'POST', '/v1/images/made/export', { path: `${disk}/out`, format });
      t.match(error?.message, /no space is left for .*out/, format);
      t.same(fs.readdirSync(disk), [], format);
    }
  } finally {
    await command('umount', [disk]);
  }
});

testWithPlyd('a full store: a commit makes nothing', async (t, plyd) => {
  await plyd.stop();
  fs.mkdirSync(plyd.root, { recursive: true });
  fs.rmSync(plyd.root, { recursive: true });
  fs.mkdirSync(plyd.root);
  await command('mount', ['-t', 'tmpfs', '-o', 'size=18m', 'tmpfs', plyd.root]);
  try {
    await plyd.start();
    await prepare(plyd);
    const { upper } = await plyd.container('c');
    await command('sh', ['-c', 'head -c 8000000 /dev/urandom >"$0/big"', upper]);
    const { error } = await lines(plyd, 'POST', '/v1/containers/c/commit', { tag: 'made' });
    t.match(error?.message, /no space is left/);
    t.same(
      (await plyd.must<{ images: { name: string }[] }>('GET', '/v1/images')).images.map(({ name }) => name),
      ['img'],
    );
    await consistent(t, plyd, 'after it');
    await command('rm', [`${upper}/big`]);
    await done<CommitResult>(plyd, 'POST', '/v1/containers/c/commit', { tag: 'made' });
    await consistent(t, plyd, 'with room');
    await plyd.stop();
  } finally {
    await command('umount', ['-l', plyd.root]);
  }
});

testWithPlyd('a store that is full to the last block: what it holds can be removed, and plyd starts', async (t, plyd) => {
  await plyd.stop();
  fs.rmSync(plyd.root, { recursive: true, force: true });
  fs.mkdirSync(plyd.root);
  await command('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', plyd.root]);
  const fill = (): Promise<unknown> => command('sh', ['-c', '! cat /dev/zero >>"$0"', `${plyd.root}/fill`]);
  try {
    await plyd.start();
    await prepare(plyd);
    await plyd.create('img', 'd');
    await fill();
    const another = (i: number): Promise<{ status: number; text: string }> =>
      plyd.request('POST', '/v1/images/img/tag', { name: `another-${i}` });
    let last = await another(0);
    for (let i = 1; i < 2000 && last.status < 400; i++) last = await another(i); // until its log can take no more
    t.equal(last.status, 500);
    t.match(last.text, /no space is left for .*ply.db: free some/);
    await plyd.must('DELETE', '/v1/containers/c?force=true');
    await plyd.stop('SIGKILL');
    await fill();
    await plyd.start();
    await plyd.must('DELETE', '/v1/containers/d?force=true');
    await fill();
    await plyd.must('POST', '/v1/prune?all=true');
    t.same(await plyd.must('GET', '/v1/images'), { images: [] });
    for (const name of ['base', 'top']) {
      await fill();
      await plyd.must('DELETE', `/v1/layers/${name}`);
    }
    fs.rmSync(`${plyd.root}/fill`);
    await consistent(t, plyd, 'with room');
    await prepare(plyd);
    await consistent(t, plyd, 'and used again');
    t.equal(fs.statSync(`${plyd.root}/ply.db-reserve`).size, 4 << 20, 'there is a reserve again');
    await plyd.stop();
  } finally {
    await command('umount', ['-l', plyd.root]);
  }
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

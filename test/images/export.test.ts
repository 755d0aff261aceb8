/** Exported images: other tools take them, the same image gives the same bytes, and a file is there whole or not at all. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import t from 'tap';
import type { CommitResult, ExportResult, HistoryEntry, Image } from '../../daemon/api/types.js';
import { leftBehind, type Plyd, sh, sleep, testWithPlyd, until, writeTree } from '../plyd/daemon.js';
import { must as command } from '../support/mounts.js';
import { Podman } from './podman.js';
import { done, lines, manifest } from './support.js';

const sha256 = (file: string): string => createHash('sha256').update(fs.readFileSync(file)).digest('hex');

/** podman puts a time of its own there. */
const withoutRoot = (lines: string[]): string[] => lines.filter((line) => !line.startsWith('. '));

/** An image that was committed from a container with all kinds of changes. What it shows. */
async function committed(plyd: Plyd): Promise<{ result: CommitResult; shown: string[] }> {
  await plyd.image();
  await plyd.create('img', 'c');
  const { mountpoint } = await plyd.begin('c');
  const script = `cd "$1" && echo more >>etc/motd && rm usr/lib/libc && mv opt moved && rm -r var && mkdir var && ln etc/hosts etc/hosts2
    head -c 3000000 /dev/zero >zeros && head -c 300000 /dev/urandom >random && setcap cap_net_raw+ep random && chmod 4755 usr/bin/tool`;
  const made = await sh(script, mountpoint!);
  if (made.status !== 0) throw new Error(made.stderr);
  const shown = await manifest(mountpoint!);
  const result = await done<CommitResult>(plyd, 'POST', '/v1/containers/c/commit', {
    tag: 'web:1',
    author: 'me',
    message: 'a change',
    changes: ['CMD ["tool", "-v"]', 'ENV A=1 B="two words"', 'EXPOSE 80 53/udp', 'LABEL a.b=c', 'USER 1:2', 'VOLUME /data', 'WORKDIR /srv'],
  });
  await plyd.end('c');
  return { result, shown };
}

testWithPlyd('podman, skopeo and umoci take what is exported, in every form', async (t, plyd) => {
  const { result, shown } = await committed(plyd);
  const digests = new Set<string>();
  for (const format of ['oci-archive', 'docker-archive', 'oci-dir']) {
    for (const compress of ['gzip', 'none', 'zstd']) {
      const file = `${plyd.base}/${format}.${compress}`;
      const told = await done<ExportResult>(plyd, 'POST', '/v1/images/web:1/export', { path: file, format, compress });
      t.match(told, { image: result.image.id, path: file, format, compress });
      digests.add(told.layers.map(({ diffId }) => diffId).join());
      if (format === 'docker-archive' && compress === 'zstd') continue; // podman 4.3 does not look for zstd there
      const transport = format === 'oci-dir' ? 'oci' : format;
      const seen = JSON.parse(await command('skopeo', ['inspect', `${transport}:${file}`], { timeoutMs: 20_000 })) as {
        Env: string[];
        Layers: string[];
      };
      t.same(seen.Env, ['A=1', 'B=two words'], `skopeo, ${format} ${compress}`);
      t.equal(seen.Layers.length, 3);
      if (format === 'oci-dir' || compress === 'none') continue;
      const podman = new Podman(`${plyd.base}/podman`);
      try {
        t.match(await podman.run('load', '-i', file), /localhost\/web:1/, `podman load, ${format} ${compress}`);
        const [config] = JSON.parse(await podman.run('inspect', 'localhost/web:1')) as {
          Config: object;
          Author: string;
          History: { comment: string }[];
        }[];
        const expected = { Cmd: ['tool', '-v'], ExposedPorts: { '80/tcp': {}, '53/udp': {} }, Labels: { 'a.b': 'c' } };
        t.match(config.Config, { ...expected, User: '1:2', WorkingDir: '/srv', Volumes: { '/data': {} } });
        t.equal(config.Author, 'me');
        t.equal(config.History.at(-1)?.comment, 'a change');
        const mounted = (await podman.run('image', 'mount', 'localhost/web:1')).trim();
        t.same(withoutRoot(await manifest(mounted)), withoutRoot(shown), `podman shows what the container showed, ${format} ${compress}`);
        await podman.run('image', 'umount', '--all');
        await podman.run('rmi', '-f', 'localhost/web:1');
      } finally {
        await podman.end();
      }
    }
  }
  t.equal(digests.size, 1, 'the diffIDs are the same in all forms');
  const ids = [...digests][0].split(',');
  t.equal(ids.at(-1), result.layer.id);
});

testWithPlyd('the same image gives the same bytes, and the tar of a committed layer is what its diffID says', async (t, plyd) => {
  const { result } = await committed(plyd);
  for (const options of [{ format: 'docker-archive' }, { format: 'oci-archive' }, { compress: 'zstd' }]) {
    const files = ['first', 'second'].map((name) => `${plyd.base}/${name}`);
    for (const file of files) await done<ExportResult>(plyd, 'POST', '/v1/images/web:1/export', { path: file, ...options });
    t.equal(sha256(files[0]), sha256(files[1]), JSON.stringify(options));
  }
  const layout = `${plyd.base}/layout`;
  await done(plyd, 'POST', '/v1/images/web:1/export', { path: layout, format: 'oci-dir', compress: 'none' });
  t.equal(sha256(`${layout}/blobs/sha256/${result.layer.id}`), result.layer.id);
  t.equal(sha256(`${layout}/blobs/sha256/${result.image.id}`), result.image.id, 'the config is there as it is');
  const names = (await command('tar', ['-tf', `${layout}/blobs/sha256/${result.layer.id}`])).split('\n').slice(0, -1);
  t.ok(names.includes('.wh.opt') && names.includes('var/.wh..wh..opq') && names.includes('moved/a/b/c'));
  const marks = await command('grep', ['-c', 'trusted.overlay', `${layout}/blobs/sha256/${result.layer.id}`]).catch(() => '0');
  t.equal(marks, '0', 'nothing of an overlay is in it');
});

testWithPlyd('what an export may not replace it refuses, and what fails leaves nothing', async (t, plyd) => {
  await plyd.image();
  const { base } = plyd;
  const refused = async (body: object, message: RegExp): Promise<void> => {
    const { error } = await lines(plyd, 'POST', '/v1/images/img/export', body);
    t.match(error?.message, message);
  };
  fs.mkdirSync(`${base}/full/x`, { recursive: true });
  const before = fs.readdirSync(base);
  await refused({ path: 'relative' }, /not absolute/);
  await refused({ path: `${base}/full` }, /no plain file/);
  await refused({ path: `${base}/full`, format: 'oci-dir' }, /no empty directory/);
  await refused({ path: `${base}/missing/x` }, /missing/);
  await refused({ path: `${base}/x`, format: 'tarball' }, /format/);
  fs.writeFileSync(`${base}/base/etc/hosts`, 'other content');
  await refused({ path: `${base}/x` }, /etc\/hosts is not what it was/);
  t.same(fs.readdirSync(base), before);
  t.same(fs.readdirSync(`${plyd.root}/exports`), []);
  t.match((await plyd.refused('POST', '/v1/images/imx/export', { path: '/x' })).near, ['img']);
});

testWithPlyd('a client that hangs up ends the export, and nothing of it is left', async (t, plyd) => {
  await plyd.image();
  await plyd.stop();
  await plyd.start([], { PLYD_PAUSE_AT: 'export:layers' });
  for (const format of ['oci-archive', 'oci-dir']) {
    const before = fs.readdirSync(plyd.base).filter((name) => name !== 'pauses');
    fs.rmSync(plyd.pauses, { force: true });
    const body = JSON.stringify({ path: `${plyd.base}/out`, format });
    const request = http.request({ socketPath: plyd.socket, method: 'POST', path: '/v1/images/img/export', agent: false });
    request.on('error', () => undefined).end(body);
    await until('it is at that point', () => fs.existsSync(plyd.pauses));
    t.ok(fs.readdirSync(plyd.base).some((name) => name.endsWith('.ply-part')));
    request.destroy();
    await until('nothing is left', () => !fs.readdirSync(plyd.base).some((name) => name.endsWith('.ply-part')));
    t.same(
      fs.readdirSync(plyd.base).filter((name) => name !== 'pauses'),
      before,
      format,
    );
    await until('no note is left', () => fs.readdirSync(`${plyd.root}/exports`).length === 0);
  }
});

testWithPlyd('history tells the steps, and those that made no layer', async (t, plyd) => {
  const { result } = await committed(plyd);
  const { history } = await plyd.must<{ history: HistoryEntry[] }>('GET', '/v1/images/web:1/history');
  t.match(history, [
    { id: result.image.id, createdBy: 'ply commit c', comment: 'a change', author: 'me', layer: result.layer.id, size: result.layer.size },
    { id: null, createdBy: /^ply layer add .*\/top$/, author: '' },
    { id: null, createdBy: /^ply layer add .*\/base$/ },
  ]);
  const image = await plyd.must<Image>('GET', '/v1/images/web:1');
  t.equal(
    history.reduce((sum, { size }) => sum + size, 0),
    image.size,
  );
});

testWithPlyd('an export and a commit do not hold up other requests', async (t, plyd) => {
  await plyd.image();
  writeTree(`${plyd.base}/big`, { file: 'x'.repeat(50_000_000) });
  await plyd.must('POST', '/v1/layers', { path: `${plyd.base}/big`, name: 'big' });
  await plyd.must('POST', '/v1/images', { name: 'big', layers: ['big'] });
  const work = done<ExportResult>(plyd, 'POST', '/v1/images/big/export', { path: `${plyd.base}/out` });
  let slowest = 0;
  let isDone = false;
  void work.finally(() => (isDone = true));
  while (!isDone) {
    const began = Date.now();
    await plyd.info();
    slowest = Math.max(slowest, Date.now() - began);
    await sleep(5);
  }
  t.ok(slowest < 1000, `the slowest took ${slowest} ms`);
  t.ok(fs.statSync(path.join(plyd.base, 'out')).size < 1_000_000);
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

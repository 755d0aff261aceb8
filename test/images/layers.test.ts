/** What comes out is what the container shows: unpacked by umoci, attribute by attribute. */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { Change, CommitResult, ExportResult, Layer } from '../../daemon/api/types.js';
import { leftBehind, type Plyd, sh, testWithPlyd } from '../plyd/daemon.js';
import { must as command } from '../support/mounts.js';
import { done, manifest } from './support.js';

const LONG = 'n'.repeat(120);

/** Run in the directory of the lower and of the upper layer. */
const LAYERS = [
  `mkdir -p etc usr/lib usr/bin var/old opt/a/b "sp ace" deep/${LONG}/${LONG}
   echo base >etc/motd && echo localhost >etc/hosts && seq 20000 >usr/lib/libc && echo 1 >var/old/one && echo 2 >var/old/two
   echo one >usr/bin/first && ln usr/bin/first usr/bin/second && ln usr/bin/first opt/third
   echo l >usr/lib/linked && ln usr/lib/linked usr/lib/linked2
   chown 1:2 etc/hosts && chmod 4755 usr/bin/first && chmod 2755 var && chmod 1777 opt
   setcap cap_net_raw+ep usr/lib/libc && setfattr -n user.note -v hello etc/motd && setfattr -n trusted.mine -v x etc/hosts
   setfacl -m u:7:rw etc/motd && setfacl -d -m g:8:rx opt/a
   ln -s ../nowhere etc/link && ln -s ${LONG} deep/link && mkfifo var/fifo && mknod opt/null c 1 3 && mknod opt/loop b 7 259
   echo x >deep/${LONG}/${LONG}/end && : >"sp ace/new
line" && : >"$(printf 'sp ace/\\377\\376')"
   chown 3000000:4000000 opt/a/b && touch -d '1960-01-02 03:04:05.678' var/old/one && touch -d '2026-01-02 03:04:05.123456789' etc/hosts`,
  `mkdir -p etc usr/bin opt/new && echo top >etc/hosts && echo '#!/bin/sh' >usr/bin/tool && chmod 755 usr/bin/tool
   echo c >opt/new/c && mknod var-old c 0 0 2>/dev/null; mkdir -p var && mknod var/old c 0 0; rm -f var-old`,
];

const CASES: Record<string, string> = {
  nothing: 'true',
  'new files of every kind':
    'mkdir -p a/b && echo x >a/b/c && ln -s nowhere a/link && mkfifo a/fifo && mknod a/null c 1 3 && ln a/b/c a/hard && chmod 6711 a/b/c && chown 5:6 a/b/c',
  'changed data and attributes':
    'echo more >>etc/motd && chmod 600 etc/hosts && chown 9:9 usr/lib && touch -d 2020-01-01 opt/new && setfattr -n user.more -v 1 etc/hosts && setfattr -x user.note etc/motd',
  'metadata only of a file with capabilities': 'chown 0:0 usr/lib/linked && touch -d 2021-01-01 usr/lib/libc',
  'deleted files and directories': 'rm -r "sp ace" etc/motd usr/bin/tool opt/new/c',
  'a directory that was replaced': 'rm -r etc && mkdir etc && echo mine >etc/hosts',
  'a directory that was replaced and is empty': 'rm -r usr && mkdir usr',
  'a directory that was moved': 'mv usr usr2',
  'a directory that was moved, and changed in its place':
    'mv usr usr2 && rm usr2/lib/libc && echo x >usr2/bin/new && chmod 700 usr2/lib && echo y >>usr2/bin/tool',
  'a directory that was moved below another': 'mkdir -p new/er && mv opt/a new/er/a && mv new/er/a/b new/b',
  'two directories that changed places': 'mv etc x && mv usr etc && mv x usr',
  'a directory that was moved over the place of another': 'rm -r etc && mv usr etc',
  'a file in the place of a directory, and the other way round':
    'rm -r etc && echo x >etc && rm opt/third && mkdir -p opt/third/sub && echo x >opt/third/sub/x',
  'hard links of the layers, changed': 'echo more >>usr/bin/first',
  'hard links of the layers, changed, the name deleted': 'echo more >>usr/lib/linked && rm usr/lib/linked',
  'hard links of the layers, attributes changed': 'chmod 711 opt/third',
  'hard links of the layers, a further name': 'ln usr/bin/second etc/fourth && echo more >>etc/fourth',
  'hard links of the layers, a name moved and changed': 'mv usr/lib/linked etc/moved && echo more >>etc/moved',
  'hard links of the layers, in a moved directory': 'echo more >>usr/bin/first && mv usr usr2',
  'a hard link of a file of the layers': 'ln etc/hosts etc/hosts2 && ln etc/link etc/link2',
  'names that need more than ustar has': `mkdir -p ${LONG}/${LONG}/${LONG} && echo x >${LONG}/${LONG}/${LONG}/end && ln ${LONG}/${LONG}/${LONG}/end hard && ln -s ${LONG}/${LONG} soft`,
  'a socket': 'python3 -c "import socket; socket.socket(socket.AF_UNIX).bind(\'etc/motd2\')" && rm etc/motd2',
};

/** A tree for each case, so that one container and one image have them all. */
const place = (at: number): string => `case${at}`;

async function layered(plyd: Plyd): Promise<void> {
  const layers: Layer[] = [];
  for (const [at, script] of LAYERS.entries()) {
    const directory = path.join(plyd.base, `layer${at}`);
    fs.mkdirSync(directory);
    const all = Object.keys(CASES).map((_, i) => `mkdir "$1/${place(i)}" && cd "$1/${place(i)}" && ${script}`);
    const made = await sh(`set -e; ${all.join('\n')}`, directory);
    if (made.status !== 0) throw new Error(made.stderr);
    layers.unshift(await plyd.must<Layer>('POST', '/v1/layers', { path: directory }));
  }
  await plyd.must('POST', '/v1/images', { name: 'img', layers: layers.map(({ id }) => id) });
}

/** Does in a container what people do. Its mountpoint. */
async function changed(t: Test, plyd: Plyd, cases: string[], image = 'img'): Promise<string> {
  await plyd.create(image, 'c');
  const { mountpoint } = await plyd.begin('c');
  for (const [at, [what, script]] of Object.entries(CASES).entries()) {
    if (!cases.includes(what)) continue;
    const made = await sh(`cd "$1/${place(at)}" && ${script}`, mountpoint!);
    t.equal(made.status, 0, `${what}: ${made.stderr}`);
  }
  await sh('chmod 711 "$1" && chown 3:4 "$1" && setfattr -n user.root -v 1 "$1"', mountpoint!);
  return mountpoint!;
}

/** What umoci makes of an image. */
async function unpacked(plyd: Plyd, image: string): Promise<string> {
  const layout = path.join(plyd.base, 'layout');
  const bundle = path.join(plyd.base, 'bundle');
  for (const directory of [layout, bundle]) fs.rmSync(directory, { recursive: true, force: true });
  await done<ExportResult>(plyd, 'POST', `/v1/images/${image}/export`, { path: layout, format: 'oci-dir', compress: 'none' });
  await command('umoci', ['unpack', '--image', `${layout}:latest`, bundle], { timeoutMs: 30_000 });
  return path.join(bundle, 'rootfs');
}

const caseOf = (line: string): string => line.replace(/^\.\/case(\d+)\b/, (_, at: string) => `[${Object.keys(CASES)[Number(at)]}] `);

async function compare(t: Test, plyd: Plyd, image: string, shown: string[], what: string): Promise<void> {
  const found = await manifest(await unpacked(plyd, image));
  t.same(found.filter((line) => !shown.includes(line)).map(caseOf), [], `${what}: nothing is made up`);
  t.same(shown.filter((line) => !found.includes(line)).map(caseOf), [], `${what}: nothing is missing`);
}

testWithPlyd('directories that are layers are exported as they are', async (t, plyd) => {
  await layered(plyd);
  await plyd.create('img', 'c');
  const shown = await manifest((await plyd.begin('c')).mountpoint!);
  await plyd.remove('c', true);
  await compare(t, plyd, 'img', shown, 'an image of directories');
});

testWithPlyd('an upper that is a layer is exported as the container showed it', async (t, plyd) => {
  await layered(plyd);
  const { layers } = await plyd.must<{ layers: string[] }>('GET', '/v1/images/img');
  // an upper alone does not know what the index joins
  const mountpoint = await changed(
    t,
    plyd,
    Object.keys(CASES).filter((what) => !what.startsWith('hard links of the layers')),
  );
  const shown = await manifest(mountpoint);
  await plyd.end('c');
  const layer = await plyd.must<Layer>('POST', '/v1/layers', { path: (await plyd.container('c')).upper });
  await plyd.must('POST', '/v1/images', { name: 'upper', layers: [layer.id, ...layers] });
  await compare(t, plyd, 'upper', shown, 'the upper');
});

testWithPlyd('what is committed is what the container showed, running or stopped', async (t, plyd) => {
  await layered(plyd);
  const shown = await manifest(await changed(t, plyd, Object.keys(CASES)));
  const running = await done<CommitResult>(plyd, 'POST', '/v1/containers/c/commit', { tag: 'committed' });
  await plyd.end('c');
  const stopped = await done<CommitResult>(plyd, 'POST', '/v1/containers/c/commit', { tag: 'committed' });
  t.equal(running.layer.id, stopped.layer.id, 'the same content is the same layer');
  t.ok(stopped.reused);
  await compare(t, plyd, 'committed', shown, 'the commit');
});

testWithPlyd('of an imported image too, and diff says the same of both', async (t, plyd) => {
  await layered(plyd);
  await changed(t, plyd, Object.keys(CASES));
  const ofDirectories = await plyd.must<{ changes: Change[] }>('GET', '/v1/containers/c/diff');
  await plyd.remove('c', true);
  const file = path.join(plyd.base, 'img.tar');
  await done<ExportResult>(plyd, 'POST', '/v1/images/img/export', { path: file, format: 'docker-archive' });
  await done(plyd, 'POST', '/v1/images/import', { path: file, tags: ['imported'] });
  const shown = await manifest(await changed(t, plyd, Object.keys(CASES), 'imported'));
  const ofImported = await plyd.must<{ changes: Change[] }>('GET', '/v1/containers/c/diff');
  t.same(ofImported, ofDirectories);
  const linked = Object.keys(CASES).indexOf('hard links of the layers, changed');
  for (const name of ['usr/bin/first', 'usr/bin/second', 'opt/third'])
    t.match(
      ofImported.changes.find((change) => change.path === `/${place(linked)}/${name}`),
      { kind: 'C' },
      `${name} is another name of what was changed`,
    );
  const { layer, image } = await done<CommitResult>(plyd, 'POST', '/v1/containers/c/commit', { tag: 'committed' });
  t.equal(image.layers[0], layer.id);
  await compare(t, plyd, 'committed', shown, 'the commit');
  await plyd.remove('c', true);

  // What is committed is mounted like any other image.
  await plyd.create('committed', 'd');
  t.same(await manifest((await plyd.begin('d')).mountpoint!), shown, 'a container of it');
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

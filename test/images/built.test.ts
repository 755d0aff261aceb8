/** Images that podman builds, in all their forms: what is mounted of them is what umoci unpacks, attribute by attribute. */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { ContainerDetail, Image, ImageDetail } from '../../daemon/api/types.js';
import { ply as plyWith } from '../cli/stand-in.js';
import { CANNOT, leftBehind, Plyd } from '../plyd/daemon.js';
import { must } from '../support/mounts.js';
import { manifest, Podman, unpacked, whyNoImages } from './podman.js';
import { writeContexts } from './six-layers.js';

async function ply(plyd: Plyd, ...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await plyWith(args, { PLY_SOCKET: plyd.socket }, { timeoutMs: 120_000 });
  if (status !== 0) throw new Error(`ply ${args.join(' ')}: status ${status}\n${stdout}${stderr}\n${plyd.log().slice(-2000)}`);
  return stdout;
}

async function json<T>(plyd: Plyd, ...args: string[]): Promise<T> {
  return JSON.parse(await ply(plyd, ...args, '--json')) as T;
}

/** What a container of the image shows before anything is written in it. */
async function mounted(plyd: Plyd, image: string): Promise<string> {
  await ply(plyd, 'create', image, '--name', 'looked-at');
  const point = (await ply(plyd, 'start', 'looked-at')).trim();
  const text = await manifest(point);
  await ply(plyd, 'stop', 'looked-at');
  await ply(plyd, 'rm', 'looked-at');
  return text;
}

/** umoci makes the root directory itself where no layer has it. */
function withoutRoot(text: string): string {
  return text.replace(/^\. .*\n/, '');
}

/**
 * A file of which another name went in a higher layer: an overlay shows the link count that it has in its own layer, as nothing is taken from that. Unpacked
 * over one another, the layers lose it.
 */
function withoutLinks(text: string): string {
  return text.replace(/ nlink=\d+/g, '');
}

function same(t: Test, found: string, expected: string, what: string): void {
  const [a, b] = [found, expected].map((text) => withoutRoot(text).split('\n'));
  const known = [new Set(a), new Set(b)];
  const different = [
    ...a.filter((line) => !known[1].has(line)).map((line) => `+${line}`),
    ...b.filter((line) => !known[0].has(line)).map((line) => `-${line}`),
  ];
  t.same(different.slice(0, 20), [], what);
  t.ok(a.length > 250, `${a.length} entries`);
}

void t.test('images of six layers and more, in all forms', { skip: CANNOT ?? whyNoImages() ?? false }, async (t) => {
  const plyd = await Plyd.start();
  const podman = new Podman(path.join(plyd.base, 'podman'));
  try {
    await images(t, plyd, podman);
  } finally {
    await podman.end();
    t.same(await plyd.cleanUp(), [], 'nothing is left');
  }
});

async function images(t: Test, plyd: Plyd, podman: Podman): Promise<void> {
  const at = (name: string): string => path.join(plyd.base, name);
  fs.mkdirSync(at('contexts'));
  const contexts = await writeContexts(at('contexts'));
  await podman.build(contexts.six, 'six');
  await podman.build(contexts.other, 'other');
  const archive = await podman.save('six', 'oci-archive', at('six.oci.tar'));
  const forms: Record<string, string> = {
    'oci-archive': archive,
    'docker-archive': await podman.save('six', 'docker-archive', at('six.docker.tar')),
    'oci-gzip': await podman.convert(archive, at('six.gzip'), 'gzip'),
    'oci-zstd': await podman.convert(archive, at('six.zstd'), 'zstd'),
  };
  const expected = await manifest(await unpacked(forms['oci-gzip'], 'image', at('unpacked')));
  const byPodman = await podman.mounted('six', manifest);

  let first: ImageDetail | undefined;
  for (const [name, file] of Object.entries(forms)) {
    await ply(plyd, 'import', file, name);
    const image = await json<ImageDetail>(plyd, 'inspect', '--type', 'image', name);
    first ??= image;
    t.equal(image.id, first.id, `${name}: the same image, known by its config`);
    t.ok(image.layers.length >= 7, `${image.layers.length} layers`);
    const found = await mounted(plyd, name);
    same(t, withoutLinks(found), withoutLinks(expected), `${name}: what is mounted is what umoci unpacks`);
    same(t, found, byPodman, `${name}: and what podman mounts, link counts too`);
  }
  await described(t, plyd, podman, await json<ImageDetail>(plyd, 'inspect', '--type', 'image', first!.id));
  await ran(t, plyd);
  await shared(t, plyd, await podman.save('other', 'oci-archive', at('other.oci.tar')), first!);
  await exported(t, plyd, podman, expected);
}

/** What skopeo reads of it. */
async function described(t: Test, plyd: Plyd, podman: Podman, image: ImageDetail): Promise<void> {
  const file = path.join(plyd.base, 'six.oci.tar');
  const config = JSON.parse(await podman.skopeo('inspect', '--config', '--raw', `oci-archive:${file}`)) as {
    rootfs: { diff_ids: string[] };
  };
  t.same(image.rootFS.layers, config.rootfs.diff_ids);
  t.same(image.config, config);
  t.same(image.names.sort(), ['docker-archive', 'oci-archive', 'oci-gzip', 'oci-zstd']);
  t.equal(image.stack[0].chainId, image.rootFS.layers[0]);
  t.ok(image.stack.every(({ source, blob }) => source !== '' && blob !== null));
}

/** Its config is what is run. */
async function ran(t: Test, plyd: Plyd): Promise<void> {
  t.equal(await ply(plyd, 'run', 'oci-zstd'), 'hello\n33\n/opt\n');
  t.equal(await ply(plyd, 'run', '-u', 'www', '-e', 'GREETING=good day', 'oci-zstd'), 'good day\n33\n/opt\n');
  t.equal(await ply(plyd, 'run', '--entrypoint', '', 'oci-zstd', 'cat', '/opt/old/2'), 'again\n');
  const details = await json<ContainerDetail[]>(plyd, 'ps', '-a');
  t.same(details, []);
}

/** Files below the directory, and the bytes in them. */
async function filesOf(directory: string): Promise<{ files: number; bytes: number }> {
  const listed = await must('find', [directory, '-type', 'f', '-printf', '%s\n']);
  const sizes = listed
    .split('\n')
    .filter((line) => line !== '')
    .map(Number);
  return { files: sizes.length, bytes: sizes.reduce((a, b) => a + b, 0) };
}

async function shared(t: Test, plyd: Plyd, other: string, six: ImageDetail): Promise<void> {
  const objects = path.join(plyd.root, 'objects');
  const before = await filesOf(objects);
  await ply(plyd, 'import', other, 'other');
  const image = await json<ImageDetail>(plyd, 'inspect', '--type', 'image', 'other');
  const common = image.layers.filter((layer) => six.layers.includes(layer));
  t.ok(common.length >= 3, `${common.length} layers are common`);
  const after = await filesOf(objects);
  t.same(
    { files: after.files - before.files, bytes: after.bytes - before.bytes },
    { files: 1, bytes: 'other\n'.length },
    'one file is new',
  );
  const images = await json<Image[]>(plyd, 'images');
  const mine = images.find(({ id }) => id === image.id)!;
  t.equal(mine.uniqueSize, 'other\n'.length, 'and that is what it has alone');
  const df = await json<{ objects: { size: number; total: number } }>(plyd, 'df');
  t.match(df, { objects: { size: after.bytes, total: after.files } }, 'ply df and du agree');
}

/** Out again: the same diffIDs, and others read it. */
async function exported(t: Test, plyd: Plyd, podman: Podman, expected: string): Promise<void> {
  const layers = (await json<ImageDetail>(plyd, 'inspect', '--type', 'image', 'oci-zstd')).rootFS.layers;
  const at = (name: string): string => path.join(plyd.base, name);
  await ply(plyd, 'export', 'oci-zstd', at('out.oci.tar'));
  const config = JSON.parse(await podman.skopeo('inspect', '--config', '--raw', `oci-archive:${at('out.oci.tar')}`)) as {
    rootfs: { diff_ids: string[] };
  };
  t.same(config.rootfs.diff_ids, layers);
  const layout = await podman.convert(at('out.oci.tar'), at('out.layout'), 'gzip');
  same(t, await manifest(await unpacked(layout, 'image', at('out.unpacked'))), expected, 'umoci unpacks the same tree');
  await ply(plyd, 'export', '--format', 'docker-archive', 'oci-zstd', at('out.docker.tar'));
  t.match(await podman.run('load', '-q', '-i', at('out.docker.tar')), /Loaded image/);
}

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

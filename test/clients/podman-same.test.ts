/** The same Containerfile gives the same image on plyfs, on fuse-overlayfs and on the kernel's overlay: its tree, and what each layer changed. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { leftBehind } from '../plyd/daemon.js';
import { must } from '../support/mounts.js';
import { plyfsBinary } from '../support/targets.js';
import { smallContext } from './context.js';
import { Place, whyNot } from './place.js';

const MANIFEST = path.resolve(__dirname, '../../../scripts/tree-manifest.py');
const PROGRAMS = { plyfs: plyfsBinary, 'fuse-overlayfs': '/usr/bin/fuse-overlayfs', overlay: '' } as const;

interface Built {
  /** a line for each entry: all attributes but the times, which are the build's */
  tree: string;
  /** names of entries in each layer's tar, sorted, with type, mode, owner, size, link target */
  layers: string[];
  diff: string;
}

/** Podman knows of times what they are, and those of the build differ from one to the next: they are kept only where they are long ago. */
const timeless = (text: string): string => text.replaceAll(/mtime=(?!157793424\d)\d+/g, 'mtime=now');

async function layersOf(place: Place): Promise<string[]> {
  await place.podman('save', '-q', '--format', 'docker-archive', '-o', place.at('tmp/img.tar'), 'img');
  const to = place.at('tmp/img');
  fs.mkdirSync(to);
  await must('tar', ['-C', to, '-xf', place.at('tmp/img.tar')]);
  const [{ Layers: files }] = JSON.parse(fs.readFileSync(path.join(to, 'manifest.json'), 'utf8')) as { Layers: string[] }[];
  const lists = files.map((file) =>
    must('sh', ['-c', 'tar --numeric-owner -tvf "$0" | sed -E "s/ [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]+ / /"', path.join(to, file)]),
  );
  return (await Promise.all(lists)).map((text) => text.split('\n').sort().join('\n'));
}

async function build(t: Parameters<Place['end']>[0], mountProgram: string): Promise<Built> {
  const place = await Place.make('root', { mountProgram });
  try {
    await place.build(smallContext(place), 'img');
    const point = (await place.podman('image', 'mount', 'img')).trim();
    const tree = timeless(await must(MANIFEST, ['--nlink', point]));
    await place.podman('image', 'unmount', 'img');
    return { tree, diff: (await place.podman('diff', 'img')).split('\n').sort().join('\n'), layers: await layersOf(place) };
  } finally {
    await place.end(t);
  }
}

/**
 * Where native overlay is another: without index=on, writing to one name of a lower's file parts it from its others; and podman makes the diff of the upper
 * itself, where an opaque directory is one step ("D", then what is new), not of two trees.
 */
const NATIVE_DIFFERS = /^\.\/usr\/lib\/libc|^[ACD] \/opt\/old/;
const alike = (text: string): string[] => text.split('\n').filter((line) => !NATIVE_DIFFERS.test(line));

void t.test('one Containerfile', { skip: whyNot('root', 'fuse-overlayfs') ?? false }, async (t) => {
  const plyfs = await build(t, PROGRAMS.plyfs);
  const fuse = await build(t, PROGRAMS['fuse-overlayfs']);
  const native = await build(t, PROGRAMS.overlay);
  t.equal(plyfs.tree, fuse.tree, 'the same tree as with fuse-overlayfs');
  t.equal(plyfs.diff, fuse.diff, 'the same diff');
  t.same(plyfs.layers, fuse.layers, 'the same entries in each layer, hard links too');
  t.same(alike(plyfs.tree), alike(native.tree), 'the same tree as with native overlay');
  t.same(alike(plyfs.diff), alike(native.diff), 'the same diff');
  t.match(
    plyfs.tree,
    /^\.\/usr\/lib\/libc .* nlink=2 size=9 .*\n\.\/usr\/lib\/libc\.6 .* nlink=2 size=9 /m,
    'hard links of lower layers stay joined',
  );
  t.match(plyfs.tree, /^\.\/opt\/two .* nlink=2 /m);
  t.notMatch(plyfs.tree, /opt\/old\/[13] /);
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

/** Rows over imported images: a store is made once, and each plyd gets a root with its layers. */
import fs from 'node:fs';
import path from 'node:path';
import { Catalog } from '../../../daemon/store/index.js';
import { importToCatalog } from '../../support/imported.js';
import { type Bench, type Place } from '../bench.js';
import { ownLimit, row, seconds, verify } from '../contract.js';
import { Plyd } from '../plyd.js';
import { command } from '../processes.js';
import { warmLowers } from '../trees.js';
import { mountTree, verifyWalk, warmTree } from './tree-mount.js';

/** The lowers, the topmost first, by the name of the image. */
type Images = Readonly<Record<string, readonly string[]>>;

async function makeStore(root: string, images: Images): Promise<void> {
  for (const [name, lowers] of Object.entries(images)) {
    const layers: string[] = [];
    for (const lower of lowers) layers.push(await importToCatalog(root, lower));
    const catalog = Catalog.open(root);
    catalog.images.create({ name, layers });
    catalog.close();
  }
}

/** A plyd with the images of the store at `root`, of which it has copies: all but the objects. */
async function startOn(place: Place, root: string): Promise<Plyd> {
  const own = place.path('plyd');
  fs.mkdirSync(own);
  await command('cp', ['-a', path.join(root, 'ply.db'), path.join(root, 'layers'), own]);
  fs.symlinkSync(path.join(root, 'objects'), path.join(own, 'objects'));
  return Plyd.start(place);
}

async function mountImage(place: Place, plyd: Plyd, image: string): Promise<string> {
  await plyd.create(image, image, `transport=${place.system}`);
  return plyd.startContainer(image);
}

/** What an image costs that was imported and never unpacked. */
export const importedWalk = row({
  name: 'imported-walk',
  title: 'Cold walk of an imported image, 51 k files, 5 layers',
  about:
    "the cold walk of the same tree, of which the layers were imported: a container of plyd, started just before. The kernel's overlayfs walks the unpacked layers.",
  dominates: "the round trips of READDIRPLUS and LOOKUP; a directory's entries and all attributes come from one query per layer.",
  systems: ['ov', 'dev', 'uring', 'floor'],
  figures: [seconds('walk', 'cold walk, imported', { devOv: 1, uringOv: 1 })],
  async setup(bench) {
    const tree = await warmTree(bench);
    const store = await bench.cached(`imported-tree-1-${bench.amount(20)}`, (fresh) => makeStore(fresh, { tree: tree.lowers }));
    return { tree, store };
  },
  async prepare(place, { tree, store }) {
    if (place.system === 'dev' || place.system === 'uring') return mountImage(place, await startOn(place, store), 'tree');
    await warmLowers(tree);
    return (await mountTree(place, tree)).point;
  },
  async measure(place, point, { tree }) {
    const walked = await place.client.walk(point);
    verifyWalk(walked, tree.counts);
    return { walk: walked.seconds };
  },
});

const NUMBERS = [1, 128];
const NAMES = 2000;

/** As many-lowers.ts has them: a directory that is in all layers, its files dealt out among them. */
async function deepImages(bench: Bench): Promise<{ store: string; list: string }> {
  const directory = await bench.cached('imported-lookup-1', async (fresh) => {
    const names = Array.from({ length: NAMES }, (_, i) => `d/f${i}`);
    fs.writeFileSync(path.join(fresh, 'list'), names.map((name) => `${name}\n`).join(''));
    const images: Record<string, string[]> = {};
    for (const number of NUMBERS) {
      const layers = Array.from({ length: number }, (_, i) => path.join(fresh, 'trees', String(number), `l${i}`));
      for (const layer of layers) fs.mkdirSync(path.join(layer, 'd'), { recursive: true });
      fs.writeFileSync(path.join(layers[number - 1], 'd', 'first'), '');
      for (const [index, name] of names.entries()) fs.writeFileSync(path.join(layers[index % number], name), name);
      images[`n${number}`] = layers;
    }
    await makeStore(path.join(fresh, 'store'), images);
  });
  return { store: path.join(directory, 'store'), list: path.join(directory, 'list') };
}

/** What the depth of an image costs. */
export const importedLookup = row({
  name: 'imported-lookup',
  title: 'lookup in an imported image of 1 and of 128 layers',
  about:
    'lstat of 2,000 files of one directory that is in all layers, the files dealt out among them, after the first lookup in it; microseconds for each.',
  dominates: 'the round trip of a LOOKUP: all layers were merged at the first, and nothing is asked of the index any more.',
  systems: ['dev', 'uring'],
  figures: NUMBERS.map((number) => ({
    key: `n${number}`,
    title: `lookup, ${number} layer${number === 1 ? '' : 's'}`,
    unit: 'µs',
    better: 'less',
    checks: number === 128 ? ownLimit({ atMost: 1.1 }, 'n1') : [],
  })),
  setup: deepImages,
  async prepare(place, { store }) {
    const plyd = await startOn(place, store);
    const points: string[] = [];
    for (const number of NUMBERS) points.push(await mountImage(place, plyd, `n${number}`));
    return points;
  },
  async measure(place, points, { list }) {
    const values: Record<string, number> = {};
    for (const [index, point] of points.entries()) {
      fs.lstatSync(path.join(point, 'd', 'first'));
      const answer = await place.client.lstat(point, list);
      verify('files', answer.found, NAMES);
      values[`n${NUMBERS[index]}`] = (answer.seconds / NAMES) * 1e6;
    }
    return values;
  },
});

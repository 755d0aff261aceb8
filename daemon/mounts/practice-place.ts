/**
 * What engines practise on (practice.ts): `<root>/practice`, with two layers as directories and the same two as imported ones. It is made once; what
 * mounts of it write is beside it, and of no use afterwards.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { LayerIndex, Objects } from '../store';
import { indexTree } from '../store/layer-index';
import { DIRECTORY_NAMES, FILE_NAMES, LINK_NAME } from './practice-lesson';

/** Of what is made here: another one is made anew. */
const VERSION = '1';

/** Their contents: handed over at open, more than that, an ELF head. */
const CONTENTS = [Buffer.alloc(0), Buffer.from('practice\n'), Buffer.alloc(12_000, 0x2e), Buffer.from('\x7fELF practice\n', 'latin1')];
/** The layers' names, the topmost first. */
const LAYERS = ['upper', 'lower'] as const;

export interface PracticePlace {
  /** absolute, the topmost first */
  directories: string[];
  /** the same layers, imported: for each `layers/<id>` of a store, and its id */
  imported: { path: string; id: string }[];
  objects: string;
  /** what is written goes below it, a directory for each mount */
  writable: string;
}

/** Where it is, and where it is made. */
export const practiceBases = (root: string): readonly [base: string, part: string] => [join(root, 'practice'), join(root, 'practice.new')];

/** Makes it, unless it is there. */
export async function practicePlace(root: string): Promise<PracticePlace> {
  const [base, part] = practiceBases(root);
  const layers = LAYERS.map((name, i) => ({ name, id: String(i + 1).repeat(64) }));
  const place = {
    directories: layers.map(({ name }) => join(base, 'directories', name)),
    imported: layers.map(({ id }) => ({ id, path: join(base, 'layers', id) })),
    objects: join(base, 'objects'),
    writable: join(base, 'writable'),
  };
  fs.rmSync(place.writable, { recursive: true, force: true }); // of a plyd that was killed
  if (!isCurrent(base)) {
    for (const directory of [part, base]) fs.rmSync(directory, { recursive: true, force: true });
    fs.mkdirSync(part, { mode: 0o700 });
    for (const [i, { name, id }] of layers.entries()) {
      const directory = join(part, 'directories', name);
      await fill(directory, i);
      await importInto(part, id, directory);
    }
    fs.writeFileSync(join(part, 'version'), VERSION);
    fs.renameSync(part, base);
  }
  fs.mkdirSync(place.writable);
  return place;
}

function isCurrent(base: string): boolean {
  const file = join(base, 'version');
  return fs.existsSync(file) && fs.readFileSync(file, 'latin1') === VERSION;
}

/** The topmost layer has some of the directories, and some of the files in these. */
async function fill(layer: string, depth: number): Promise<void> {
  for (const [i, name] of DIRECTORY_NAMES.entries()) {
    if (depth === 0 && i % 2 === 1) continue;
    const directory = join(layer, name);
    fs.mkdirSync(directory, { recursive: true });
    for (const [j, file] of FILE_NAMES.entries()) {
      if (depth === 1 || j % 3 === 0) await fs.promises.writeFile(join(directory, file), CONTENTS[(i + j) % CONTENTS.length]);
    }
    if (depth === 1) fs.symlinkSync(FILE_NAMES[0], join(directory, LINK_NAME));
  }
}

/** As import makes a layer (images/import), without a row in the catalog. */
async function importInto(store: string, id: string, directory: string): Promise<void> {
  const layer = join(store, 'layers', id);
  fs.mkdirSync(layer, { recursive: true });
  const file = join(layer, 'index.db');
  await indexTree(directory, file);
  const objects = new Objects(store);
  objects.prepare();
  const index = LayerIndex.open(file);
  try {
    const contents = new Map(CONTENTS.map((content) => [content.length, content]));
    for (const { digest, size } of index.rows()) {
      if (digest !== null && !objects.has(digest)) fs.writeFileSync(objects.path(digest), contents.get(size)!, { mode: 0o400 });
    }
  } finally {
    index.close();
  }
}

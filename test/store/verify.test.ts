/** What verify finds, quickly and deeply. */
import Database from 'better-sqlite3';
import * as fs from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { LayerVerification } from '../../daemon/api/types.js';
import { addLayer, type Catalog, FileType, verifyLayer } from '../../daemon/store/index.js';
import { failure, openCatalog, temporary } from './support.js';
import { bytes, isRoot, keepTimes, makeNode, setXattr } from './trees.js';

const needsRoot = isRoot ? false : 'needs root';
const GOOD: LayerVerification = { ok: true, changed: [], added: [], removed: [] };

function makeTree(directory: string): void {
  fs.mkdirSync(join(directory, 'etc/sub'), { recursive: true });
  fs.mkdirSync(join(directory, 'empty'));
  fs.writeFileSync(join(directory, 'etc/passwd'), 'root:x:0:0');
  fs.writeFileSync(join(directory, 'etc/sub/deep'), 'deep');
  fs.writeFileSync(join(directory, 'etc/twin'), 'twin');
  fs.linkSync(join(directory, 'etc/twin'), join(directory, 'etc/twin2'));
  fs.symlinkSync('etc/passwd', join(directory, 'link'));
  makeNode(directory, 'pipe', FileType.FIFO | 0o600);
  fs.writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), bytes('\xff\n')]), 'odd');
}

async function layerOf(t: Test, make = makeTree): Promise<{ catalog: Catalog; tree: string }> {
  const catalog = openCatalog(t);
  const tree = join(temporary(t), 'tree');
  fs.mkdirSync(tree);
  make(tree);
  await addLayer(catalog, { path: tree, name: 'base' });
  return { catalog, tree };
}

t.test('an untouched tree', async (t) => {
  const { catalog } = await layerOf(t);
  t.same(await verifyLayer(catalog, 'base'), GOOD);
  t.same(await verifyLayer(catalog, 'base', { deep: true }), GOOD);
});

t.test('each kind of change, seen quickly', { skip: needsRoot }, async (t) => {
  const edit =
    (path: string, change: (file: string) => void) =>
    (tree: string): void =>
      change(join(tree, path));
  const rows: [what: string, change: (tree: string) => void, found: Partial<LayerVerification>][] = [
    ['content', edit('etc/passwd', (file) => fs.writeFileSync(file, 'root:y:0:0')), { changed: ['etc/passwd'] }],
    [
      'content, the time put back',
      (tree) => keepTimes(join(tree, 'etc'), 'passwd', (file) => fs.writeFileSync(file, 'root:y:0:0')),
      { changed: ['etc/passwd'] },
    ],
    ['size', edit('etc/sub/deep', (file) => fs.appendFileSync(file, '!')), { changed: ['etc/sub/deep'] }],
    ['time', edit('etc/passwd', (file) => fs.utimesSync(file, 1, 1)), { changed: ['etc/passwd'] }],
    ['time of a directory', edit('empty', (file) => fs.utimesSync(file, 1, 1)), { changed: ['empty'] }],
    ['mode', edit('etc/passwd', (file) => fs.chmodSync(file, 0o600)), { changed: ['etc/passwd'] }],
    ['mode of a directory', edit('etc/sub', (file) => fs.chmodSync(file, 0o700)), { changed: ['etc/sub'] }],
    ['mode of the root', edit('', (file) => fs.chmodSync(file, 0o700)), { changed: ['.'] }],
    ['owner of a symlink', edit('link', (file) => fs.lchownSync(file, 5, 5)), { changed: ['link'] }],
    ['an xattr', (tree) => setXattr(join(tree, 'etc'), 'passwd', 'user.x', '1'), { changed: ['etc/passwd'] }],
    ['an xattr of a directory', (tree) => setXattr(tree, 'empty', 'user.x', '1'), { changed: ['empty'] }],
    [
      'a link target, the time put back',
      (tree) => keepTimes(tree, 'link', (file) => replace(file, () => fs.symlinkSync('etc/passwe', file))),
      { changed: ['link'] },
    ],
    ['a link made a copy', edit('etc/twin2', (file) => replaceByCopy(file)), { changed: ['etc/twin2'] }],
    [
      'a copy made a link',
      (tree) => replace(join(tree, 'etc/sub/deep'), () => fs.linkSync(join(tree, 'etc/twin'), join(tree, 'etc/sub/deep'))),
      { changed: ['etc/sub/deep'] },
    ],
    ['type', edit('pipe', (file) => replace(file, () => fs.writeFileSync(file, ''))), { changed: ['pipe'] }],
    [
      'a directory in place of a file',
      edit('pipe', (file) => replace(file, () => fs.mkdirSync(join(file, 'in'), { recursive: true }))),
      { changed: ['pipe'], added: ['pipe/in'] },
    ],
    [
      'a file in place of a directory',
      (tree) => fileForDirectory(join(tree, 'etc/sub')),
      { changed: ['etc/sub'], removed: ['etc/sub/deep'] },
    ],
    ['an entry more', edit('etc/new', (file) => fs.writeFileSync(file, '')), { added: ['etc/new'] }],
    ['a tree more', edit('more/a/b', (file) => fs.mkdirSync(file, { recursive: true })), { added: ['more', 'more/a', 'more/a/b'] }],
    ['an entry less', edit('etc/passwd', (file) => fs.unlinkSync(file)), { removed: ['etc/passwd'] }],
    [
      'a tree less',
      edit('etc', (file) => fs.rmSync(file, { recursive: true })),
      { removed: ['etc', 'etc/passwd', 'etc/sub', 'etc/sub/deep', 'etc/twin', 'etc/twin2'] },
    ],
    [
      'a new name',
      (tree) => fs.renameSync(join(tree, 'etc/passwd'), join(tree, 'etc/shadow')),
      { added: ['etc/shadow'], removed: ['etc/passwd'] },
    ],
    ['an odd name gone', (tree) => fs.unlinkSync(Buffer.concat([Buffer.from(`${tree}/`), bytes('\xff\n')])), { removed: ['\\xff\\x0a'] }],
  ];
  for (const [what, change, found] of rows) {
    await t.test(what, async (t) => {
      const { catalog, tree } = await layerOf(t);
      change(tree);
      const { ok, changed, added, removed } = await verifyLayer(catalog, 'base');
      t.equal(ok, false);
      const parents = new Set(['etc', '.', 'etc/sub']);
      const explained = (path: string): boolean => parents.has(path) && !found.changed?.includes(path); // a directory in which something was replaced
      t.same({ changed: changed.filter((path) => !explained(path)), added, removed }, { changed: [], added: [], removed: [], ...found });
      t.same(await verifyLayer(catalog, 'base', { deep: true }), { ok, changed, added, removed }, 'deeply the same');
    });
  }
});

function replace(file: string, make: () => void): void {
  fs.unlinkSync(file);
  make();
}

function replaceByCopy(file: string): void {
  const { atime, mtime } = fs.statSync(file);
  fs.copyFileSync(file, `${file}.new`);
  fs.utimesSync(`${file}.new`, atime, mtime);
  fs.renameSync(`${file}.new`, file);
}

function fileForDirectory(directory: string): void {
  fs.rmSync(directory, { recursive: true });
  fs.writeFileSync(directory, '');
}

t.test('what changes nothing in the tree is no change', async (t) => {
  const { catalog, tree } = await layerOf(t);
  fs.chmodSync(join(tree, 'etc/passwd'), 0o600);
  fs.chmodSync(join(tree, 'etc/passwd'), 0o644);
  keepTimes(join(tree, 'etc'), 'passwd', (file) => fs.writeFileSync(file, 'root:x:0:0'));
  fs.linkSync(join(tree, 'etc/sub/deep'), `${tree}.outside`);
  fs.readFileSync(join(tree, 'etc/passwd'));
  t.same(await verifyLayer(catalog, 'base'), GOOD);
});

t.test('deeply: content that changed under unchanged attributes', async (t) => {
  const { catalog, tree } = await layerOf(t);
  const row = new Database(join(catalog.layerDirectory(catalog.layers.get('base').id), 'index.db'));
  keepTimes(join(tree, 'etc'), 'passwd', (file) => fs.writeFileSync(file, 'root:y:0:0'));
  // As if the disk had done it: the index takes the new ctime for the old one, which its digest does not cover.
  const { ctimeNs } = fs.statSync(join(tree, 'etc/passwd'), { bigint: true });
  row
    .prepare(`UPDATE entries SET ctime = ?, ctime_nsec = ? WHERE name = CAST('passwd' AS BLOB)`)
    .run(ctimeNs / 1_000_000_000n, ctimeNs % 1_000_000_000n);
  row.close();
  t.same(await verifyLayer(catalog, 'base'), GOOD, 'quickly it is not seen');
  t.same(await verifyLayer(catalog, 'base', { deep: true }), { ...GOOD, ok: false, changed: ['etc/passwd'] });
});

t.test('at most a thousand of each are named', async (t) => {
  const { catalog, tree } = await layerOf(t, (tree) => {
    fs.mkdirSync(join(tree, 'gone'));
    for (let i = 0; i < 1100; i++) fs.writeFileSync(join(tree, 'gone', `f${i}`), '');
  });
  fs.rmSync(join(tree, 'gone'), { recursive: true });
  fs.mkdirSync(join(tree, 'new'));
  for (let i = 0; i < 1100; i++) fs.writeFileSync(join(tree, 'new', `f${i}`), '');
  const { ok, added, removed } = await verifyLayer(catalog, 'base');
  t.same([ok, added.length, removed.length], [false, 1000, 1000]);
});

t.test('a tree that is gone, an index that is gone or damaged', async (t) => {
  const { catalog, tree } = await layerOf(t);
  const { id } = catalog.layers.get('base');
  const index = join(catalog.layerDirectory(id), 'index.db');
  fs.renameSync(tree, `${tree}.away`);
  t.match(await failure(() => verifyLayer(catalog, 'base')), /cannot open the layer's directory .*tree: .*ENOENT/);
  fs.renameSync(`${tree}.away`, tree);
  const db = new Database(index);
  db.exec(`UPDATE entries SET uid = 4711 WHERE name = CAST('passwd' AS BLOB)`);
  db.close();
  t.match(await failure(() => verifyLayer(catalog, 'base')), /index\.db is damaged.*ply layer add/);
  fs.writeFileSync(index, 'garbage');
  t.match(await failure(() => verifyLayer(catalog, 'base')), /index\.db is not a layer's index.*ply layer add/);
  fs.unlinkSync(index);
  t.match(await failure(() => verifyLayer(catalog, 'base')), /index\.db.*ply layer add/);
});

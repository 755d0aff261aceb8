/** Indexing that is aborted, killed, or overtaken by a change leaves nothing behind; plyd's event loop goes on meanwhile. */
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { addLayer, type Catalog, removeLayer, StoreError, sweepLayers } from '../../daemon/store/index.js';
import { addRow, failure, hex, openCatalog, temporary } from './support.js';

const GIBIBYTE = 2 ** 30;

/** A tree whose reading takes long: a sparse file. */
function slowTree(t: Test): string {
  const tree = temporary(t);
  fs.writeFileSync(join(tree, 'a'), 'x');
  fs.writeFileSync(join(tree, 'huge'), '');
  fs.truncateSync(join(tree, 'huge'), 200 * GIBIBYTE);
  return tree;
}

function layersOnDisk(catalog: Catalog): string[] {
  return fs.existsSync(join(catalog.root, 'layers')) ? fs.readdirSync(join(catalog.root, 'layers')) : [];
}

/** Processes that read the tree. */
function readers(tree: string): number[] {
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const command = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return command.includes('index-layer.js') && command.includes(tree);
      } catch {
        return false; // it ended while we looked
      }
    });
}

async function until(what: () => boolean): Promise<void> {
  for (const end = Date.now() + 20_000; !what();) {
    if (Date.now() > end) throw new Error('it did not happen');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Waits for the first news of the work. */
function started(): { onProgress: () => void; news: Promise<void> } {
  let onProgress = (): void => undefined;
  const news = new Promise<void>((resolve) => (onProgress = resolve));
  return { onProgress: () => onProgress(), news };
}

t.test('aborted', async (t) => {
  const catalog = openCatalog(t);
  const tree = slowTree(t);
  const { onProgress, news } = started();
  const controller = new AbortController();
  const work = addLayer(catalog, { path: tree, name: 'base' }, { signal: controller.signal, onProgress });
  let ticks = 0;
  const clock = setInterval(() => ticks++, 5);
  await news;
  clearInterval(clock);
  t.ok(ticks > 10, `the event loop went on: ${ticks} ticks`);
  t.equal(layersOnDisk(catalog).length, 1);
  controller.abort(new Error('the client went away'));
  await t.rejects(work, { message: 'the client went away' });
  t.same(layersOnDisk(catalog), []);
  t.same(catalog.layers.all(), []);
  t.same(readers(tree), []);
  await t.rejects(addLayer(catalog, { path: tree }, { signal: controller.signal }), { message: 'the client went away' }, 'before it began');
});

t.test('its process is killed', async (t) => {
  const catalog = openCatalog(t);
  const tree = slowTree(t);
  const { onProgress, news } = started();
  const work = addLayer(catalog, { path: tree, name: 'base' }, { onProgress }).catch((error: unknown) => error);
  await news;
  for (const pid of readers(tree)) process.kill(pid, 'SIGKILL');
  const error = await work;
  t.ok(error instanceof StoreError);
  t.match(error, { message: /was killed by SIGKILL: try again/ });
  t.same(layersOnDisk(catalog), []);
  t.same(catalog.layers.all(), []);
});

t.test('plyd is killed: the child ends, and the next plyd sweeps', async (t) => {
  const root = temporary(t);
  const tree = slowTree(t);
  const child: ChildProcess = spawn(process.execPath, [join(__dirname, 'index-child.js'), root, tree], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise<void>((resolve) => child.stdout!.once('data', () => resolve()));
  t.equal(readers(tree).length, 1);
  child.kill('SIGKILL');
  await until(() => readers(tree).length === 0);
  const catalog = openCatalog(t, root);
  const kept = addRow(catalog, 'kept');
  fs.mkdirSync(join(root, 'layers', kept));
  fs.mkdirSync(join(root, 'layers/lost+found'));
  const left = layersOnDisk(catalog);
  t.equal(left.length, 3);
  t.equal(sweepLayers(catalog).length, 1);
  t.same(layersOnDisk(catalog).sort(), [kept, 'lost+found'].sort(), 'what is a layer, or not ours, stays');
  t.same(sweepLayers(catalog), []);
  t.same(sweepLayers(openCatalog(t)), [], 'without any layer');
});

t.test('a tree that is changed meanwhile', async (t) => {
  const catalog = openCatalog(t);
  const tree = temporary(t);
  fs.writeFileSync(join(tree, 'large'), '');
  fs.truncateSync(join(tree, 'large'), 3 * GIBIBYTE);
  const { onProgress, news } = started();
  const work = failure(() => addLayer(catalog, { path: tree }, { onProgress }));
  await news;
  fs.writeFileSync(join(tree, 'more'), 'x');
  fs.truncateSync(join(tree, 'large'), 10);
  t.match(await work, /large in .* changed while it was read: stop what changes it and try again/);
  t.same(layersOnDisk(catalog), []);
});

t.test('a name that is taken while the tree is read', async (t) => {
  const catalog = openCatalog(t);
  const tree = temporary(t);
  const work = addLayer(catalog, { path: tree, name: 'base' });
  addRow(catalog, 'base');
  await t.rejects(work, { code: 'conflict' });
  t.same(layersOnDisk(catalog), []);
  t.equal(catalog.layers.all().length, 1);
});

t.test('a directory that may not be read', async (t) => {
  const root = temporary(t);
  const tree = temporary(t);
  for (const directory of [root, tree]) fs.chmodSync(directory, 0o777);
  fs.mkdirSync(join(tree, 'secret'), { mode: 0 });
  // Without tap's own preload, which writes into our directory.
  const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  const child = spawn('/usr/bin/env', ['-i', process.execPath, join(__dirname, 'index-child.js'), root, tree], {
    ...nobody,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  await new Promise((resolve) => child.once('close', resolve));
  t.match(said, /StoreError: cannot (open|read) secret in .*EACCES/);
  t.same(fs.readdirSync(join(root, 'layers')), []);
});

t.test('removing a layer removes its index and never its tree', async (t) => {
  const catalog = openCatalog(t);
  const tree = temporary(t);
  fs.writeFileSync(join(tree, 'a'), 'x');
  const layer = await addLayer(catalog, { path: tree, name: 'base' });
  catalog.images.create({ name: 'one', layers: ['base'] });
  t.throws(() => removeLayer(catalog, 'base'), { code: 'in-use' });
  t.same(layersOnDisk(catalog), [layer.id]);
  catalog.images.remove('one');
  t.equal(removeLayer(catalog, layer.id.slice(0, 4)).id, layer.id);
  t.same(layersOnDisk(catalog), []);
  t.ok(fs.existsSync(join(tree, 'a')));
  t.throws(() => removeLayer(catalog, hex()), { code: 'not-found' });
});

t.test('several at once', async (t) => {
  const catalog = openCatalog(t);
  const trees = [0, 1, 2].map(() => temporary(t));
  trees.forEach((tree, i) => fs.writeFileSync(join(tree, 'a'), String(i)));
  const layers = await Promise.all(trees.map((path, i) => addLayer(catalog, { path, name: `layer-${i}` })));
  t.equal(new Set(layers.map(({ treeDigest }) => treeDigest)).size, 3);
  t.same(layersOnDisk(catalog).sort(), layers.map(({ id }) => id).sort());
});

/** Files that are no catalog are refused and left as they are; readers and the catalog do not disturb each other; kill -9 loses nothing. */
import Database from 'better-sqlite3';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Catalog } from '../../daemon/store/index.js';
import { addContainer, addRow, failure, openCatalog, temporary } from './support.js';

t.test('files that are no catalog', async (t) => {
  const otherProgram = (file: string): void => void new Database(file).exec('CREATE TABLE notes (text)').close();
  const rows: [what: string, make: (file: string) => void, message: RegExp][] = [
    ['text', (file) => writeFileSync(file, 'this is a shopping list, long enough for a header'), /nor any SQLite database.*backup/],
    ['a short text', (file) => writeFileSync(file, 'x'), /nor any SQLite database/],
    ['another program', otherProgram, /database of another program/],
    ['an application id', (file) => (new Database(file).pragma('application_id = 12'), undefined), /database of another program/],
    ['a newer plyfs', newer, /newer plyfs \(version 99; this one knows up to \d+\): install that plyfs/],
    ['damage within', (file) => damage(file, 4096 * 2), /is damaged.*backup/],
    ['damage of the head', (file) => damage(file, 100), /is damaged/],
    ['a directory', (file) => mkdirSync(file), /cannot read .*ply\.db/],
  ];
  for (const [what, make, message] of rows) {
    const root = temporary(t);
    const file = join(root, 'ply.db');
    make(file);
    const before = what === 'a directory' ? undefined : readFileSync(file);
    const told = await failure(() => Catalog.open(root));
    t.match(told, message, what);
    t.match(told, file, `${what}: the file is named`);
    if (before !== undefined) t.ok(readFileSync(file).equals(before), `${what}: it is left as it was`);
  }
});

function newer(file: string): void {
  Catalog.open(join(file, '..')).close();
  const db = new Database(file);
  db.pragma('user_version = 99');
  db.close();
}

function damage(file: string, at: number): void {
  const catalog = Catalog.open(join(file, '..'));
  for (let i = 0; i < 100; i++) addRow(catalog, `layer-${i}`);
  catalog.close();
  const bytes = readFileSync(file);
  bytes.fill(0xa5, at, at + 4096 * 4);
  writeFileSync(file, bytes);
}

t.test('an empty file is a new catalog; a root that cannot be made is told', async (t) => {
  const root = temporary(t);
  writeFileSync(join(root, 'ply.db'), '');
  const empty = openCatalog(t, root);
  t.same(empty.layers.all(), []);
  t.equal(empty.isNew, true);
  t.equal(openCatalog(t, root).isNew, false, 'the next one finds it');
  const deeper = openCatalog(t, join(root, 'a/b'));
  t.equal(statSync(deeper.root).mode & 0o777, 0o700);
  t.match(await failure(() => Catalog.open(join(root, 'ply.db/x'))), /cannot make .*--root/);
});

t.test('a catalog that another program holds locked is told, after a while', async (t) => {
  const catalog = openCatalog(t);
  const other = new Database(join(catalog.root, 'ply.db'));
  t.teardown(() => other.close());
  other.exec('BEGIN IMMEDIATE');
  t.match(await failure(() => addRow(catalog, 'base')), /locked by another program.*fuser/);
  other.exec('ROLLBACK');
  t.ok(addRow(catalog, 'base'));
});

t.test('readers see whole states, and nobody waits', (t) => {
  const catalog = openCatalog(t);
  addRow(catalog, 'base');
  catalog.images.create({ name: 'one', layers: ['base'] });
  const readers = [0, 1, 2].map(() => new Database(join(catalog.root, 'ply.db'), { readonly: true }));
  t.teardown(() => readers.forEach((reader) => reader.close()));
  const count = (reader: Database.Database): unknown =>
    reader.prepare('SELECT (SELECT count(*) FROM containers) || (SELECT count(*) FROM mounts)').pluck().get();
  readers[0].exec('BEGIN');
  t.equal(count(readers[0]), '00');
  catalog.transaction(() => {
    const container = addContainer(catalog, 'one', 'web');
    t.equal(count(readers[1]), '00', 'nothing of a transaction that is not finished');
    catalog.mounts.add({ mountpoint: '/m', lower: [], options: '', container });
  });
  t.equal(count(readers[0]), '00', 'the state at its begin');
  t.equal(count(readers[1]), '11');
  readers[0].exec('COMMIT');
  t.equal(count(readers[0]), '11');
  t.end();
});

t.test('its settings', (t) => {
  const catalog = openCatalog(t);
  const db = new Database(join(catalog.root, 'ply.db'));
  t.teardown(() => db.close());
  t.equal(db.pragma('journal_mode', { simple: true }), 'wal');
  t.throws(() => db.exec(`PRAGMA foreign_keys = ON; INSERT INTO image_layers VALUES ('x', 0, 'y')`), {
    code: 'SQLITE_CONSTRAINT_FOREIGNKEY',
  });
  t.end();
});

/** Adds and removes until it is killed; see kill-child.ts. */
function writer(root: string): ChildProcess {
  return spawn(process.execPath, [join(__dirname, 'kill-child.js'), root], { stdio: ['ignore', 'pipe', 'inherit'] });
}

t.test('kill -9 in the middle of many changes', async (t) => {
  const root = temporary(t);
  let total = 0;
  for (let round = 0; round < 12; round++) {
    const child = writer(root);
    let said = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (said += text));
    await new Promise<void>((resolve) => child.stdout!.once('data', () => resolve()));
    await new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 120));
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));

    const catalog = Catalog.open(root);
    // Each line is "+NAME" or "-NAME" and was written after its change had been committed; the last line may be cut.
    const lines = said.split('\n').slice(0, -1);
    const last = new Map(lines.map((line) => [line.slice(1), line[0]]));
    const names = new Set(catalog.containers.all().map(({ name }) => name));
    const lost = [...last].filter(([name, sign]) => sign === '+' && !names.has(name)).map(([name]) => name);
    const back = [...last].filter(([name, sign]) => sign === '-' && names.has(name)).map(([name]) => name);
    // The change after the last line may have been committed and not told.
    t.ok(lost.length <= 1 && back.length === 0, `round ${round}: ${lines.length} changes told; lost: ${lost.join()}; back: ${back.join()}`);
    const running = catalog.containers.all().filter(({ state }) => state === 'running');
    t.same(
      catalog.mounts.all().map(({ container }) => container),
      running.map(({ id }) => id),
      'what is running is mounted, and nothing else',
    );
    catalog.close();
    const db = new Database(join(root, 'ply.db'), { readonly: true });
    t.equal(db.pragma('integrity_check', { simple: true }), 'ok');
    t.same(db.pragma('foreign_key_check'), []);
    db.close();
    total += lines.length;
  }
  t.ok(total > 50, `${total} changes`);
});

/** From every earlier version to the newest. */
import Database from 'better-sqlite3';
import { join } from 'node:path';
import t from 'tap';
import { migrate, version } from '../../daemon/store/migrations.js';
import { CATALOG, splitImageName } from '../../daemon/store/schema.js';
import { Catalog } from '../../daemon/store/index.js';
import { failure, openCatalog, temporary } from './support.js';

const NEWEST = CATALOG.migrations.length;
const id = (digit: string): string => digit.repeat(64);
const TIME = '2026-01-02T03:04:05.678Z';

/** What a plyfs of version 1 left behind. */
function fillFirst(db: Database.Database): void {
  db.exec(`
    INSERT INTO layers VALUES (1, '${id('a')}', 'base', '/base', '${TIME}', 3, 2, 100, '${id('0')}'), (2, '${id('b')}', NULL, '/top', '${TIME}', 1, 1, 10, '${id('1')}');
    INSERT INTO images VALUES (1, '${id('c')}', 'debian', '${TIME}'), (3, '${id('d')}', 'host:5000/app:2', '${TIME}');
    INSERT INTO image_layers VALUES ('${id('c')}', 0, '${id('a')}'), ('${id('d')}', 0, '${id('b')}'), ('${id('d')}', 1, '${id('a')}');
    INSERT INTO containers VALUES (1, '${id('e')}', 'web', '${id('d')}', '${TIME}', '${TIME}', 'running', NULL, '/m', '/u', '/w', 'volatile');
    INSERT INTO mounts VALUES (1, '${id('f')}', '/m', '["/top","/base"]', '/u', '/w', 'volatile', '${id('e')}', '${TIME}', 'mounted');
  `);
}

/** The schema, without what CREATE's text keeps of its history. */
function schema(db: Database.Database): unknown {
  const rows = db
    .prepare<[], { type: string; name: string; sql: string | null }>('SELECT type, name, sql FROM sqlite_schema ORDER BY type, name')
    .all();
  return rows.map((row) => ({ ...row, sql: row.sql?.replaceAll('"', '').replace(/\s+/g, ' ') }));
}

t.test('every version ends in the same schema', (t) => {
  const fresh = openCatalog(t);
  fresh.close();
  const wanted = new Database(join(fresh.root, 'ply.db'), { readonly: true });
  t.teardown(() => wanted.close());
  for (let from = 0; from <= NEWEST; from++) {
    const root = temporary(t);
    const db = new Database(join(root, 'ply.db'));
    migrate(db, CATALOG, from);
    t.equal(version(db), from);
    if (from === 1) fillFirst(db);
    db.close();
    Catalog.open(root).close();
    const found = new Database(join(root, 'ply.db'), { readonly: true });
    t.equal(version(found), NEWEST, `from ${from}`);
    t.equal(found.pragma('application_id', { simple: true }), CATALOG.applicationId);
    t.same(schema(found), schema(wanted), `from ${from}`);
    t.same(found.pragma('foreign_key_check'), []);
    found.close();
  }
  t.ok(NEWEST >= 3);
  t.end();
});

t.test('what version 1 held is all there', (t) => {
  const root = temporary(t);
  const db = new Database(join(root, 'ply.db'));
  migrate(db, CATALOG, 1);
  fillFirst(db);
  db.close();
  const catalog = openCatalog(t, root);
  t.match(catalog.layers.all(), [
    { id: id('a'), name: 'base', size: 100 },
    { id: id('b'), name: null, path: '/top', kind: 'directory', source: null, tarSize: null, blob: null },
  ]);
  t.match(catalog.images.all(), [
    { id: id('c'), name: 'debian', layers: [id('a')], createdAt: TIME },
    { id: id('d'), name: 'host:5000/app:2', layers: [id('b'), id('a')], size: 110, containers: 1 },
  ]);
  t.match(catalog.containers.get('web'), {
    id: id('e'),
    imageName: 'host:5000/app:2',
    state: 'running',
    mountpoint: '/m',
    options: 'volatile',
  });
  t.match(catalog.mounts.get('/m'), {
    id: id('f'),
    lower: ['/top', '/base'],
    container: id('e'),
    phase: 'mounted',
    device: null,
    engine: null,
  });
  t.throws(() => catalog.images.remove('host:5000/app:2'), { code: 'in-use' }, 'what refers to the new tables still does');
  catalog.images.remove('debian');
  t.throws(() => catalog.layers.remove('base'), { code: 'in-use' });
  t.end();
});

t.test('a step that fails leaves the version before it, whole', async (t) => {
  const root = temporary(t);
  const file = join(root, 'ply.db');
  const db = new Database(file);
  migrate(db, CATALOG, 1);
  fillFirst(db);
  const before = schema(db);
  const halfway = {
    ...CATALOG,
    migrations: [
      CATALOG.migrations[0],
      (db: Database.Database): void => {
        db.exec('CREATE TABLE more (x); DELETE FROM containers');
        throw new Error('no');
      },
    ],
  };
  t.throws(() => migrate(db, halfway), { message: 'no' });
  t.same(schema(db), before);
  t.equal(version(db), 1);
  t.equal(db.prepare('SELECT count(*) FROM containers').pluck().get(), 1);
  const broken = {
    ...CATALOG,
    migrations: [CATALOG.migrations[0], (db: Database.Database): unknown => db.exec('DELETE FROM images')] as never,
  };
  t.match(await failure(() => migrate(db, broken)), /refer to nothing/);
  t.equal(db.prepare('SELECT count(*) FROM images').pluck().get(), 2);
  db.close();
  t.equal(openCatalog(t, root).images.all().length, 2);
});

t.test('names of images fall into repository and tag', (t) => {
  t.same(splitImageName('a'), { repository: 'a', tag: 'latest' });
  t.same(splitImageName('h:5/a'), { repository: 'h:5/a', tag: 'latest' });
  t.same(splitImageName('h:5/a:b'), { repository: 'h:5/a', tag: 'b' });
  t.end();
});

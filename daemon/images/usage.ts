/** What the store holds: who uses how much of it, and what would be freed. Bytes are those of the files in objects/, layers/ and the uppers, to the byte. */
import fs from 'node:fs';
import { join } from 'node:path';
import type { DiskUsage } from '../api/types';
import { type Connection, openReadOnly } from '../store/database';
import { CATALOG } from '../store/schema';

/** What the tables below are made of: a layer's own files count as its own, an object for all layers that refer to it. */
const TABLES = `
  CREATE TEMP TABLE own (layer TEXT PRIMARY KEY, size INTEGER NOT NULL);
  CREATE TEMP TABLE uses (layer TEXT NOT NULL, seq INTEGER NOT NULL, image TEXT, active INTEGER NOT NULL);
  INSERT INTO uses SELECT DISTINCT layers.id, seq, image, image IN (SELECT image FROM containers) FROM layers LEFT JOIN image_layers ON layer = layers.id;
  CREATE TEMP TABLE held (object INTEGER PRIMARY KEY, size INTEGER NOT NULL, layers INTEGER NOT NULL, images INTEGER NOT NULL, active INTEGER NOT NULL,
    layer TEXT, image TEXT);
  INSERT INTO held SELECT objects.id, size, count(DISTINCT uses.layer), count(DISTINCT image), coalesce(max(active), 0), min(uses.layer), min(image)
    FROM objects LEFT JOIN layer_objects ON object = objects.id LEFT JOIN uses ON seq = layer_objects.layer GROUP BY objects.id;
  CREATE TEMP TABLE kept (layer TEXT PRIMARY KEY, size INTEGER NOT NULL, images INTEGER NOT NULL, active INTEGER NOT NULL, image TEXT);
`;

type Verbose = Required<Pick<DiskUsage, 'imageList' | 'layerList'>>;

/** What DiskUsage has of the store itself; containers' uppers and snapshots are measured by plyd. */
export type StoreUsage = Omit<DiskUsage, 'containers' | 'containerList' | 'snapshots' | 'snapshotList'>;

/** In a thread (store-thread.ts). */
export function storeUsage(root: string, verbose: boolean): StoreUsage {
  const db = openReadOnly(join(root, 'ply.db'), CATALOG);
  try {
    db.pragma('temp_store = FILE');
    db.exec(TABLES);
    const add = db.prepare('INSERT INTO own VALUES (?, ?)');
    for (const id of db.prepare<[], string>('SELECT id FROM layers').pluck().all()) add.run(id, sizeOf(join(root, 'layers', id)));
    db.exec('INSERT INTO kept SELECT layer, size, count(image), max(active), min(image) FROM uses JOIN own USING (layer) GROUP BY layer');
    return { ...totals(db), ...(verbose && lists(db)) };
  } finally {
    db.close();
  }
}

function totals(db: Connection): Pick<DiskUsage, 'images' | 'layers' | 'objects'> {
  const number = (sql: string): number => db.prepare<[], number | null>(sql).pluck().get() ?? 0;
  return {
    images: {
      total: number('SELECT count(*) FROM images'),
      active: number('SELECT count(DISTINCT image) FROM containers'),
      size: number('SELECT sum(size) FROM held WHERE images > 0') + number('SELECT sum(size) FROM kept WHERE images > 0'),
      reclaimable:
        number('SELECT sum(size) FROM held WHERE images > 0 AND NOT active') +
        number('SELECT sum(size) FROM kept WHERE images > 0 AND NOT active'),
    },
    layers: {
      total: number('SELECT count(*) FROM layers'),
      active: number('SELECT count(*) FROM kept WHERE images > 0'),
      size: number('SELECT sum(size) FROM held WHERE layers > 0') + number('SELECT sum(size) FROM kept'),
      reclaimable:
        number('SELECT sum(size) FROM held WHERE layers > 0 AND images = 0') + number('SELECT sum(size) FROM kept WHERE images = 0'),
    },
    objects: {
      total: number('SELECT count(*) FROM held'),
      active: number('SELECT count(*) FROM held WHERE layers > 0'),
      size: number('SELECT sum(size) FROM held'),
      reclaimable: number('SELECT sum(size) FROM held WHERE layers = 0'),
    },
  };
}

function lists(db: Connection): Verbose {
  const images = db
    .prepare<[], Verbose['imageList'][number]>(
      `SELECT id, (SELECT CASE tag WHEN 'latest' THEN repository ELSE repository || ':' || tag END FROM tags WHERE image = images.id ORDER BY seq LIMIT 1) AS name,
          (SELECT count(*) FROM containers WHERE image = images.id) AS containers,
          coalesce((SELECT sum(size) FROM objects WHERE id IN (SELECT object FROM layer_objects JOIN uses ON uses.seq = layer_objects.layer WHERE uses.image = images.id)), 0)
            + coalesce((SELECT sum(size) FROM own WHERE layer IN (SELECT layer FROM uses WHERE image = images.id)), 0) AS size,
          coalesce((SELECT sum(size) FROM held WHERE images = 1 AND held.image = images.id), 0)
            + coalesce((SELECT sum(size) FROM kept WHERE images = 1 AND kept.image = images.id), 0) AS "unique"
        FROM images ORDER BY seq`,
    )
    .all();
  const layers = db
    .prepare<[], Verbose['layerList'][number]>(
      `SELECT id, kind, kept.images AS images,
          coalesce((SELECT sum(size) FROM objects WHERE id IN (SELECT object FROM layer_objects WHERE layer = seq)), 0) + kept.size AS size,
          coalesce((SELECT sum(size) FROM held WHERE layers = 1 AND held.layer = layers.id), 0) + kept.size AS "unique"
        FROM layers JOIN kept ON kept.layer = layers.id ORDER BY seq`,
    )
    .all();
  const withShared = <T extends { size: number; unique: number }>(row: T): T => ({ ...row, shared: row.size - row.unique });
  return { imageList: images.map(withShared), layerList: layers.map(withShared) };
}

/** A layer's directory holds files only. */
function sizeOf(directory: string): number {
  if (!fs.existsSync(directory)) return 0;
  return fs
    .readdirSync(directory)
    .reduce((sum, name) => sum + (fs.lstatSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0), 0);
}

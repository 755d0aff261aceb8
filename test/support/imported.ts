/** Layers of a store made of directories, as importing their tars would make them: index normalised, contents as objects. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import { buildIndex } from '../../daemon/store/index-build.js';
import { Catalog, LayerIndex } from '../../daemon/store/index.js';
import { Objects } from '../../daemon/store/objects.js';

/** Makes `directory` a layer of the store at `root`; its id. */
export async function importDirectory(root: string, directory: string): Promise<string> {
  const part = path.join(root, 'layers', 'part');
  fs.rmSync(part, { recursive: true, force: true });
  fs.mkdirSync(part, { recursive: true });
  const file = path.join(part, 'index.db');
  await buildIndex(directory, file, { entries: 0, bytes: 0 }, () => Promise.resolve());
  const db = new Database(file);
  try {
    storeObjects(new Objects(root), db, Buffer.from(directory));
    db.transaction(() => normalise(db))();
  } finally {
    db.close();
  }
  // as if of its tar: the same tree in another place has another id
  const id = createHash('sha256').update(directory).update(fs.readFileSync(file)).digest('hex');
  fs.rmSync(path.join(root, 'layers', id), { recursive: true, force: true });
  fs.renameSync(part, path.join(root, 'layers', id));
  return id;
}

/** The same, with the layer's row in the catalog of that store, which no plyd has open. */
export async function importToCatalog(root: string, directory: string): Promise<string> {
  const id = await importDirectory(root, directory);
  const catalog = Catalog.open(root);
  const index = LayerIndex.open(path.join(root, 'layers', id, 'index.db'));
  const lease = catalog.leases.take('a test');
  try {
    const objects = new Map<string, { digest: Buffer; size: number }>();
    for (const { digest, size } of index.rows()) if (digest !== null) objects.set(digest.toString('hex'), { digest, size });
    catalog.leases.holdObjects(lease, objects.values());
    catalog.layers.addImported({ ...index.facts(), id, source: directory, tarSize: 0, blob: null }, lease);
    return id;
  } finally {
    catalog.leases.release(lease);
    index.close();
    catalog.close();
  }
}

interface Row {
  id: number;
  parent: number;
  name: Buffer;
  mode: number;
  digest: Buffer | null;
  whiteout: number;
}

function storeObjects(objects: Objects, db: Database.Database, directory: Buffer): void {
  fs.mkdirSync(path.join(objects.root, 'objects'), { recursive: true });
  const paths = new Map<number, Buffer>([[0, directory]]);
  for (const { id, parent, name, mode, digest } of db.prepare<[], Row>('SELECT * FROM entries ORDER BY id').all()) {
    const own = name.length === 0 ? directory : Buffer.concat([paths.get(parent)!, Buffer.from('/'), name]);
    if ((mode & 0o170000) === 0o040000) paths.set(id, own);
    if (digest === null || objects.has(digest)) continue;
    const object = objects.path(digest);
    fs.mkdirSync(path.dirname(object), { recursive: true });
    copy(own, object);
    fs.chmodSync(object, 0o400);
  }
}

/** Holes are kept. */
function copy(from: Buffer, to: string): void {
  const { size, blocks } = fs.statSync(from);
  if (blocks * 512 >= size) {
    fs.copyFileSync(from, to);
    return;
  }
  const content = fs.readFileSync(from);
  const fd = fs.openSync(to, 'wx');
  for (let at = 0; at < size; at += 4096) {
    const block = content.subarray(at, at + 4096);
    if (block.some((byte) => byte !== 0)) fs.writeSync(fd, block, 0, block.length, at);
  }
  fs.ftruncateSync(fd, size);
  fs.closeSync(fd);
}

const CHARACTER = 0o020000;

/** The other dialects of whiteouts become the index's own. */
function normalise(db: Database.Database): void {
  const asWhiteout = db.prepare(
    `UPDATE entries SET name = ?, mode = ${CHARACTER}, size = 0, rdev = 0, digest = NULL, xattrs = NULL, whiteout = 1, hardlink = 0 WHERE id = ?`,
  );
  const remove = db.prepare('DELETE FROM entries WHERE id = ?');
  const sibling = db.prepare<[number, Buffer], Row>('SELECT * FROM entries WHERE parent = ? AND name = ?');
  const opaque = db.prepare('UPDATE entries SET opaque = 1 WHERE id = ?');
  for (const { id, parent, name, whiteout } of db.prepare<[], Row>('SELECT * FROM entries WHERE whiteout != 0').all()) {
    if (whiteout === 1) asWhiteout.run(name, id);
    else {
      const hidden = name.subarray(4);
      const other = name.toString('latin1').startsWith('.wh..wh.') ? undefined : sibling.get(parent, hidden);
      if (other !== undefined && (other.mode & 0o170000) === 0o040000) opaque.run(other.id);
      if (other !== undefined || hidden.length === 0 || name.toString('latin1').startsWith('.wh..wh.')) remove.run(id);
      else asWhiteout.run(hidden, id);
    }
  }
  db.exec('UPDATE entries SET ino = 0, ctime = 0, ctime_nsec = 0');
}

/**
 * The tree that a layer's tar means, put together in SQLite as the entries come, in any order, and written as the layer's index in the end: memory
 * does not grow with the layer.
 *
 * An entry replaces what was there; a directory over a directory only changes its attributes. What a whiteout hides is in lower layers, wherever in
 * the tar it stands. Nothing is ever looked up through a symlink.
 */
import Database from 'better-sqlite3';
import { join } from 'node:path';
import { FileType, INDEX, type IndexFacts, type IndexRow, LayerIndex, Whiteout } from '../store/index-rows';
import { migrate } from '../store/migrations';
import { displayPath } from '../store/paths';
import { TreeDigest } from '../store/tree-digest';
import { encodeXattrs } from '../store/xattrs';
import { findInChain } from './chain';
import { isOverlayXattr, type Place } from './entry-path';
import { TarError } from './tar-header';
import type { TarEntry } from './tar-reader';

type Connection = Database.Database;

const schema = `
  CREATE TABLE stage.entries (
    id         INTEGER PRIMARY KEY,
    parent     INTEGER NOT NULL,
    name       BLOB NOT NULL,
    mode       INTEGER NOT NULL, -- 0: a link to a file of a lower layer, which is yet to be looked for
    uid        INTEGER NOT NULL,
    gid        INTEGER NOT NULL,
    mtime      INTEGER NOT NULL,
    mtime_nsec INTEGER NOT NULL,
    size       INTEGER NOT NULL,
    rdev       INTEGER NOT NULL,
    target     BLOB,
    xattrs     BLOB,
    digest     BLOB,
    whiteout   INTEGER NOT NULL,
    opaque     INTEGER NOT NULL,
    implicit   INTEGER NOT NULL,
    link       INTEGER NOT NULL, -- the same for all names of one inode; 0: it has one
    UNIQUE (parent, name)
  ) STRICT;
  CREATE TABLE stage.contents (digest BLOB PRIMARY KEY, size INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE stage.lower_links (id INTEGER PRIMARY KEY, path BLOB NOT NULL) STRICT;
  CREATE TABLE stage.numbered (new INTEGER PRIMARY KEY, old INTEGER NOT NULL UNIQUE) STRICT;
  CREATE TABLE stage.links (link INTEGER PRIMARY KEY, first INTEGER NOT NULL) STRICT;
`;

/** A row of stage.entries that is not written yet. */
interface Staged {
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  mtimeNsec: number;
  size: number;
  rdev: number;
  target: Buffer | null;
  xattrs: Buffer | null;
  digest: Buffer | null;
  whiteout: Whiteout;
  opaque: boolean;
  implicit: boolean;
  link: number;
}

type Found = Staged & { id: number };

const BARE: Staged = {
  ...{ mode: 0, uid: 0, gid: 0, mtime: 0, mtimeNsec: 0, size: 0, rdev: 0, target: null, xattrs: null, digest: null },
  ...{ whiteout: Whiteout.NONE, opaque: false, implicit: false, link: 0 },
};
const IMPLICIT: Staged = { ...BARE, mode: FileType.DIRECTORY | 0o755, implicit: true };
const WHITEOUT: Staged = { ...BARE, mode: FileType.CHARACTER, whiteout: Whiteout.OWN_NAME };

const ROOT = 1;
const COLUMNS = 'mode, uid, gid, mtime, mtime_nsec, size, rdev, target, xattrs, digest, whiteout, opaque, implicit, link';
const FIND = `SELECT id, ${COLUMNS.replace('mtime_nsec', 'mtime_nsec AS mtimeNsec')} FROM stage.entries WHERE parent = ? AND name = ?`;
const INSERT = `INSERT OR IGNORE INTO stage.entries (parent, name, ${COLUMNS}) VALUES (?, ?, ${COLUMNS.replace(/\w+/g, '?')})`;
/** Ids of directories that are remembered: a tar goes from one to the next. */
const MOST_REMEMBERED = 4096;

const TYPES = {
  file: FileType.REGULAR,
  symlink: FileType.LINK,
  character: FileType.CHARACTER,
  block: FileType.BLOCK,
  directory: FileType.DIRECTORY,
  fifo: FileType.FIFO,
} as const;

export class LayerTree {
  private readonly db: Connection;
  private readonly known = new Map<string, number>();

  /** @param directory gets index.db; `scratch` is for the time of the work. Both are the layer's alone, and empty. */
  constructor(directory: string, scratch: string) {
    const db = new Database(join(directory, 'index.db'));
    this.db = db;
    db.exec(`ATTACH '${join(scratch, 'stage.db').replaceAll("'", "''")}' AS stage`);
    // Nobody else looks at them, and what is not finished is thrown away.
    for (const name of ['main', 'stage'])
      for (const setting of ['journal_mode = OFF', 'synchronous = OFF', 'cache_size = -16384']) db.pragma(`${name}.${setting}`);
    db.pragma('temp_store = MEMORY');
    migrate(db, INDEX);
    db.exec(schema);
    db.exec('BEGIN');
    this.put(0, Buffer.alloc(0), IMPLICIT);
  }

  /** One that the layer's framing refers to, whether or not the tree does in the end. */
  content(digest: Buffer, size: number): void {
    this.statement('INSERT OR IGNORE INTO stage.contents VALUES (?, ?)').run(digest, size);
  }

  /** Throws TarError for what no tree can hold. */
  add(place: Place, entry: TarEntry, digest: Buffer | null): void {
    const { kind, names } = place;
    if (kind === 'ignored') return;
    if (kind === 'opaque') {
      this.statement('UPDATE stage.entries SET opaque = 1 WHERE id = ?').run(this.parentOf(names));
      return;
    }
    if (names.length === 0) {
      if (entry.type !== 'directory') throw new TarError(`the layer's root is a ${entry.type}`);
      this.change(ROOT, stagedOf(entry, null));
      return;
    }
    const parent = this.parentOf(names);
    const name = names[names.length - 1];
    if (kind === 'whiteout') this.put(parent, name, WHITEOUT);
    else if (entry.type === 'hardlink') this.link(parent, names, place.target!);
    else this.put(parent, name, stagedOf(entry, digest));
  }

  /** Does finish() need the lower layers? */
  get needsLowers(): boolean {
    return this.statement('SELECT 1 FROM stage.lower_links LIMIT 1').get() !== undefined;
  }

  /** Some contents, in the order of their digests, after one. */
  contents(after: Buffer, most: number): { digest: Buffer; size: number }[] {
    return this.statement('SELECT digest, size FROM stage.contents WHERE digest > ? ORDER BY digest LIMIT ?').all(after, most) as never;
  }

  /** Writes the index. `lowers`: the index files of the layers below, topmost first, if needed. Only contents() and close() may follow. */
  finish(lowers: readonly string[]): IndexFacts {
    if (this.needsLowers) this.resolveLowerLinks(lowers);
    const { db } = this;
    this.number();
    db.exec(`
      INSERT INTO stage.links SELECT link, min(new) FROM stage.entries JOIN stage.numbered ON old = id WHERE link <> 0 GROUP BY link HAVING count(*) > 1;
      INSERT INTO main.entries (id, parent, name, mode, uid, gid, mtime, mtime_nsec, size, rdev, target, xattrs, digest, whiteout, opaque, implicit, hardlink,
          ino, ctime, ctime_nsec)
        SELECT n.new, coalesce(p.new, 0), name, mode, uid, gid, mtime, mtime_nsec, size, rdev, target, xattrs, digest, whiteout, opaque, implicit,
          coalesce(first, 0), 0, 0, 0
        FROM stage.numbered n JOIN stage.entries e ON e.id = n.old LEFT JOIN stage.numbered p ON p.old = e.parent
          LEFT JOIN stage.links l ON l.link = e.link
        ORDER BY n.new;
      CREATE UNIQUE INDEX entries_by_name ON entries (parent, name);
      CREATE INDEX entries_by_hardlink ON entries (hardlink) WHERE hardlink <> 0; -- store/index-reader.ts counts with it
    `);
    const facts = this.facts();
    db.prepare('INSERT INTO facts (entries, files, size, tree_digest) VALUES (?, ?, ?, ?)').run(
      ...[facts.entries, facts.files, facts.size, facts.treeDigest],
    );
    db.exec('COMMIT');
    db.pragma('main.journal_mode = DELETE'); // a read-only WAL database would still want its -shm file
    return facts;
  }

  /** Whenever. Without finish(), what is there is worth nothing. */
  close(): void {
    this.db.close();
  }

  // ---- the tree --------------------------------------------------------------------------------------------------------------------------------

  private parentOf(names: readonly Buffer[]): number {
    return this.directoryAt(names, names.length - 1);
  }

  /** The id of the directory that the first `length` names are; those that the tar has not (yet) are implicit. */
  private directoryAt(names: readonly Buffer[], length: number): number {
    if (length === 0) return ROOT;
    const key = keyOf(names, length);
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const parent = this.directoryAt(names, length - 1);
    const name = names[length - 1];
    const found = this.find(parent, name);
    let id = found?.id;
    if (found === undefined || found.whiteout !== Whiteout.NONE) id = this.put(parent, name, IMPLICIT);
    else if (!isDirectory(found)) throw new TarError(`it lies below ${shown(names.slice(0, length))}, which is no directory in this layer`);
    if (this.known.size >= MOST_REMEMBERED) this.known.clear();
    this.known.set(key, id!);
    return id!;
  }

  private find(parent: number, name: Buffer): Found | undefined {
    const found = this.statement(FIND).get(parent, name) as
      (Omit<Found, 'opaque' | 'implicit'> & { opaque: number; implicit: number }) | undefined;
    return found && { ...found, opaque: found.opaque === 1, implicit: found.implicit === 1 };
  }

  /** Returns the id. */
  private put(parent: number, name: Buffer, row: Staged): number {
    const done = this.insert(parent, name, row);
    if (done !== undefined) return done;
    const old = this.find(parent, name)!;
    if (row.whiteout !== Whiteout.NONE) {
      // What is here stays, what is below it is hidden.
      if (isDirectory(old)) this.statement('UPDATE stage.entries SET opaque = 1 WHERE id = ?').run(old.id);
      return old.id;
    }
    if (isDirectory(old) && isDirectory(row)) {
      if (!row.implicit) this.change(old.id, row);
      return old.id;
    }
    this.remove(old);
    // What was here would have hidden what lower layers have below this name.
    return this.insert(parent, name, isDirectory(row) ? { ...row, opaque: true } : row)!;
  }

  private insert(parent: number, name: Buffer, row: Staged): number | undefined {
    const { changes, lastInsertRowid } = this.statement(INSERT).run(parent, name, ...valuesOf(row));
    return changes > 0 ? Number(lastInsertRowid) : undefined;
  }

  /** Attributes of a directory; that it is opaque stays. */
  private change(id: number, row: Staged): void {
    this.statement(
      'UPDATE stage.entries SET mode = ?, uid = ?, gid = ?, mtime = ?, mtime_nsec = ?, xattrs = ?, implicit = 0 WHERE id = ?',
    ).run(row.mode, row.uid, row.gid, row.mtime, row.mtimeNsec, row.xattrs, id);
  }

  private remove(old: Found): void {
    if (isDirectory(old)) {
      this.known.clear();
      this.statement(
        `WITH RECURSIVE below (id) AS (VALUES (?) UNION ALL SELECT entries.id FROM stage.entries, below WHERE parent = below.id)
          DELETE FROM stage.entries WHERE id IN (SELECT id FROM below)`,
      ).run(old.id);
    } else {
      this.statement('DELETE FROM stage.entries WHERE id = ?').run(old.id);
    }
  }

  // ---- hard links ------------------------------------------------------------------------------------------------------------------------------

  private link(parent: number, names: readonly Buffer[], target: readonly Buffer[]): void {
    const name = names[names.length - 1];
    if (keyOf(names, names.length) === keyOf(target, target.length)) throw new TarError('it is a hard link to itself');
    const first = this.findTarget(target);
    if (first === undefined) {
      const id = this.put(parent, name, BARE);
      this.statement('INSERT OR REPLACE INTO stage.lower_links VALUES (?, ?)').run(id, joined(target));
      return;
    }
    if (isDirectory(first)) throw new TarError(`it is a hard link to the directory ${shown(target)}`);
    const link = first.link === 0 ? first.id : first.link;
    if (first.link === 0) this.statement('UPDATE stage.entries SET link = id WHERE id = ?').run(first.id);
    this.put(parent, name, { ...first, link });
  }

  /** Undefined: if it is anywhere, it is in a lower layer. */
  private findTarget(target: readonly Buffer[]): Found | undefined {
    let parent = ROOT;
    let isOpaque = false;
    for (const [i, name] of target.entries()) {
      const found = this.find(parent, name);
      const isLast = i === target.length - 1;
      if (found === undefined && !isOpaque) return undefined;
      if (found === undefined || found.whiteout !== Whiteout.NONE || (!isLast && !isDirectory(found)))
        throw new TarError(`it is a hard link to ${shown(target)}, which is not there`);
      if (isLast) return found;
      isOpaque ||= found.opaque;
      parent = found.id;
    }
    throw new TarError('it is a hard link to the root');
  }

  private resolveLowerLinks(files: readonly string[]): void {
    const lowers = files.map((file) => LayerIndex.open(file));
    try {
      const links = this.statement('SELECT id, path FROM stage.lower_links JOIN stage.entries USING (id) WHERE mode = 0 ORDER BY id').all();
      const firsts = new Map<string, number>();
      for (const { id, path } of links as { id: number; path: Buffer }[]) {
        const key = path.toString('latin1');
        const first = firsts.get(key);
        if (first === undefined) firsts.set(key, id);
        this.resolve(id, path, first ?? id, findInChain(lowers, path));
      }
    } finally {
      for (const lower of lowers) lower.close();
    }
  }

  /** The row, and all links to it, get the attributes of the lower layer's file; it is this layer's own from now on. */
  private resolve(id: number, path: Buffer, first: number, row: IndexRow | undefined): void {
    if (row === undefined || (row.mode & FileType.MASK) === FileType.DIRECTORY)
      throw new TarError(`a hard link to ${displayPath(path)}, which is no file in this layer nor in those below it`);
    const { mode, uid, gid, mtime, mtimeNsec, size, rdev, target, xattrs, digest } = row;
    this.statement(
      `UPDATE stage.entries SET mode = ?, uid = ?, gid = ?, mtime = ?, mtime_nsec = ?, size = ?, rdev = ?, target = ?, xattrs = ?, digest = ?, link = ?
        WHERE id = ? OR link = ?`,
    ).run(mode, uid, gid, mtime, mtimeNsec, size, rdev, target, xattrs, digest, first, id, id);
    if (digest !== null) this.content(digest, size);
  }

  // ---- the index -------------------------------------------------------------------------------------------------------------------------------

  /** Breadth first, each directory's entries by the bytes of their names. */
  private number(): void {
    this.statement('INSERT INTO stage.numbered VALUES (1, ?)').run(ROOT);
    const next = this.statement(
      `INSERT INTO stage.numbered (old) SELECT e.id FROM stage.numbered n JOIN stage.entries e ON e.parent = n.old WHERE n.new BETWEEN ? AND ?
        ORDER BY n.new, e.name`,
    );
    for (let first = 1, last = 1; first <= last;) {
      const { changes } = next.run(first, last);
      [first, last] = [last + 1, last + changes];
    }
  }

  private facts(): IndexFacts {
    const digest = new TreeDigest('imported');
    for (const row of LayerIndex.of(this.db).rows()) digest.add(row);
    const counts = this.db
      .prepare<[], Omit<IndexFacts, 'treeDigest'>>(
        `SELECT count(*) - 1 AS entries, coalesce(sum(mode & ${FileType.MASK} = ${FileType.REGULAR}), 0) AS files,
          coalesce(sum(CASE WHEN mode & ${FileType.MASK} = ${FileType.REGULAR} AND hardlink IN (0, id) THEN size END), 0) AS size FROM main.entries`,
      )
      .get()!;
    return { ...counts, treeDigest: digest.hex() };
  }

  private statement(sql: string): Database.Statement {
    let statement = this.statements.get(sql);
    if (statement === undefined) this.statements.set(sql, (statement = this.db.prepare(sql)));
    return statement;
  }

  private readonly statements = new Map<string, Database.Statement>();
}

function isDirectory({ mode }: Staged): boolean {
  return (mode & FileType.MASK) === FileType.DIRECTORY;
}

function stagedOf(entry: TarEntry, digest: Buffer | null): Staged {
  const { type, mode, uid, gid, size, mtime, mtimeNsec, target, major, minor, xattrs } = entry;
  const isDevice = type === 'character' || type === 'block';
  return {
    ...BARE,
    ...{ uid, gid, mtime, mtimeNsec, digest },
    mode: TYPES[type as keyof typeof TYPES] | mode,
    size: type === 'symlink' ? target.length : size,
    rdev: isDevice ? (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12) : 0,
    target: type === 'symlink' ? target : null,
    xattrs: encodeXattrs(xattrs.filter(({ name }) => !isOverlayXattr(name))),
  };
}

function valuesOf(row: Staged): unknown[] {
  const { mode, uid, gid, mtime, mtimeNsec, size, rdev, target, xattrs, digest, whiteout, opaque, implicit, link } = row;
  return [mode, uid, gid, mtime, mtimeNsec, size, rdev, target, xattrs, digest, whiteout, opaque ? 1 : 0, implicit ? 1 : 0, link];
}

function keyOf(names: readonly Buffer[], length: number): string {
  let key = '';
  for (let i = 0; i < length; i++) key += `/${names[i].toString('latin1')}`;
  return key;
}

function joined(names: readonly Buffer[]): Buffer {
  return Buffer.from(keyOf(names, names.length).slice(1), 'latin1');
}

function shown(names: readonly Buffer[]): string {
  return displayPath(joined(names));
}

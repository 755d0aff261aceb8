/**
 * A layer's index for whoever serves it (layers/imported.ts): the same rows as index-rows.ts has, as they come out of SQLite, since a walk reads every one
 * of them. Its file is finished and never changes, so one read transaction is held all the time: no locks and no looking for changes per query.
 */
import { type Connection, openReadOnly } from './database';
import { INDEX } from './index-rows';

/** Places in a row as it is read. `FLAGS`: RowFlag. The last three are null in what children() returns. */
export const enum Column {
  ID = 0,
  PARENT = 1,
  MODE = 2,
  UID = 3,
  GID = 4,
  MTIME = 5,
  MTIME_NSEC = 6,
  SIZE = 7,
  RDEV = 8,
  FLAGS = 9,
  HARDLINK = 10,
  NAME = 11,
  TARGET = 12,
  XATTRS = 13,
  DIGEST = 14,
}

export const enum RowFlag {
  WHITEOUT = 3,
  OPAQUE = 4,
  IMPLICIT = 8,
}

type Numbers = [number, number, number, number, number, number, number, number, number, number, number];
export type ListedRow = readonly [...Numbers, Buffer];
export type WholeRow = readonly [...Numbers, Buffer, Buffer | null, Buffer | null, Buffer | null];

const LISTED = 'id, parent, mode, uid, gid, mtime, mtime_nsec, size, rdev, whiteout | (opaque << 2) | (implicit << 3), hardlink, name';
const WHOLE = `${LISTED}, target, xattrs, digest`;

/** A worker's heap is small, and directories have any number of entries. */
const PAGE = 1024;

/** KiB: of the rows of a directory that has been read nobody asks again. */
const CACHE = 512;

export class IndexReader {
  private readonly statements: ReturnType<typeof prepareAll>;
  /** can the names of a group of hard links be counted by themselves? */
  private readonly isGrouped: boolean;
  private groups: Map<number, number> | undefined;

  private constructor(private readonly db: Connection) {
    db.pragma(`cache_size = -${CACHE}`);
    db.exec('BEGIN');
    this.statements = prepareAll(db);
    this.isGrouped = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'entries_by_hardlink'").get() !== undefined;
  }

  /** Throws StoreError. */
  static open(file: string): IndexReader {
    const db = openReadOnly(file, INDEX);
    try {
      return new IndexReader(db);
    } catch (error) {
      db.close();
      throw error;
    }
  }

  /** A directory's entries, sorted by name: the first ones after a name (an empty one: from the beginning), PAGE of them if there are as many. */
  children(directory: number, after: Buffer): ListedRow[] {
    return this.statements.children.all(directory, after) as unknown as ListedRow[];
  }

  child(directory: number, name: Buffer): WholeRow | undefined {
    return this.statements.child.get(directory, name) as WholeRow | undefined;
  }

  childId(directory: number, name: Buffer): number | undefined {
    return this.statements.childId.get(directory, name);
  }

  row(id: number): WholeRow | undefined {
    return this.statements.row.get(id) as WholeRow | undefined;
  }

  /** How many names has a group of hard links? */
  links(group: number): number {
    if (this.isGrouped) return this.statements.links.get(group) ?? 1;
    this.groups ??= this.countLinks();
    return this.groups.get(group) ?? 1;
  }

  /** Of an index that was made when there was none of groups: all rows are read. */
  private countLinks(): Map<number, number> {
    const groups = new Map<number, number>();
    for (const [group, names] of this.statements.groups.iterate() as unknown as Iterable<[number, number]>) groups.set(group, names);
    return groups;
  }

  close(): void {
    this.db.close();
  }
}

function prepareAll(db: Connection) {
  return {
    children: db.prepare<[number, Buffer]>(`SELECT ${LISTED} FROM entries WHERE parent = ? AND name > ? ORDER BY name LIMIT ${PAGE}`).raw(),
    child: db.prepare<[number, Buffer]>(`SELECT ${WHOLE} FROM entries WHERE parent = ? AND name = ?`).raw(),
    childId: db.prepare<[number, Buffer], number>('SELECT id FROM entries WHERE parent = ? AND name = ?').pluck(),
    row: db.prepare<[number]>(`SELECT ${WHOLE} FROM entries WHERE id = ?`).raw(),
    links: db.prepare<[number], number>('SELECT count(*) FROM entries WHERE hardlink != 0 AND hardlink = ?').pluck(),
    groups: db.prepare('SELECT hardlink, count(*) FROM entries WHERE hardlink != 0 GROUP BY hardlink').raw(),
  };
}

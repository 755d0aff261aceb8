/**
 * `layers/<id>/index.db`: a layer's tree as rows, one per path, the root the first. Names, link targets and xattrs are bytes as they were found.
 *
 * Of a directory, rows are what lies there. An imported layer's are what its tar means: a whiteout has the name that it hides, `whiteout` OWN_NAME
 * and mode char 0; `.wh..wh..opq` is only `opaque` of its directory; `ino` and `ctime` are 0.
 *
 * Ids are the order of the tree read breadth first, each directory's entries sorted by the bytes of their names: the same tree has the same ids, and
 * a directory's children stand together.
 */
import { type Connection, type Kind, openReadOnly } from './database';
import { StoreError } from './errors';
import { version } from './migrations';

/** inode(7) */
export const enum FileType {
  MASK = 0o170000,
  SOCKET = 0o140000,
  LINK = 0o120000,
  REGULAR = 0o100000,
  BLOCK = 0o060000,
  DIRECTORY = 0o040000,
  CHARACTER = 0o020000,
  FIFO = 0o010000,
}

export const enum Whiteout {
  NONE = 0,
  /** char 0/0, or an empty file with the xattr: hides what lower layers have under its own name */
  OWN_NAME = 1,
  /** a file `.wh.NAME` that hides NAME, or `.wh..wh.…` with a meaning of its own: shown to nobody */
  MARKER = 2,
}

const WHITEOUTS: readonly Whiteout[] = [Whiteout.NONE, Whiteout.OWN_NAME, Whiteout.MARKER];

export interface IndexRow {
  id: number;
  /** 0: of the root */
  parent: number;
  name: Buffer;
  /** with the type's bits */
  mode: number;
  uid: number;
  gid: number;
  mtime: bigint;
  mtimeNsec: number;
  /** of a regular file's content or a symlink's target, else 0 */
  size: number;
  /** of a device, as new_encode_dev has it, else 0 */
  rdev: number;
  /** of a symlink */
  target: Buffer | null;
  /** see encodeXattrs */
  xattrs: Buffer | null;
  /** sha256 of a regular file's content */
  digest: Buffer | null;
  whiteout: Whiteout;
  opaque: boolean;
  /** the same for all names of one inode: the id of the first; 0: it has one name here */
  hardlink: number;
  /**
   * A directory that an imported layer's tar has not, but something in it: its attributes are those of the next lower layer's directory of that path,
   * or, without one, the ones here (root's, 0755, time 0).
   */
  implicit: boolean;
  /** only to notice a change: not part of the layer */
  ino: bigint;
  ctime: bigint;
  ctimeNsec: number;
}

/** What an index says of its layer as a whole. */
export interface IndexFacts {
  /** paths below the root */
  entries: number;
  /** those of them that are regular files */
  files: number;
  /** of the regular files, each inode once */
  size: number;
  treeDigest: string;
}

const schema = `
  CREATE TABLE entries (
    id         INTEGER PRIMARY KEY,
    parent     INTEGER NOT NULL,
    name       BLOB NOT NULL,
    mode       INTEGER NOT NULL,
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
    hardlink   INTEGER NOT NULL,
    ino        INTEGER NOT NULL,
    ctime      INTEGER NOT NULL,
    ctime_nsec INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE facts (
    entries     INTEGER NOT NULL,
    files       INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    tree_digest TEXT NOT NULL
  ) STRICT;
`;

export const INDEX: Kind = {
  name: "a layer's index",
  applicationId: 0x706c7949, // "plyI"
  oldestRead: 1, // which has no implicit directories: no layer was imported then
  remedy: 'remove the layer and add it again (ply layer rm, ply layer add)',
  migrations: [(db) => db.exec(schema), (db) => db.exec('ALTER TABLE entries ADD COLUMN implicit INTEGER NOT NULL DEFAULT 0')],
};

const INTEGERS = 'id, parent, mode, uid, gid, mtime, mtime_nsec, size, rdev, whiteout, opaque, hardlink, ino, ctime, ctime_nsec, implicit';
const COLUMNS = `${INTEGERS}, name, target, xattrs, digest`;

type Blob = Buffer | null;
type Stored = [...bigint[], Blob, Blob, Blob, Blob];

/** Writes rows: see index-build.ts for what comes before and after. */
export function rowWriter(db: Connection): (row: IndexRow) => void {
  const insert = db.prepare(`INSERT INTO entries (${COLUMNS}) VALUES (${COLUMNS.replace(/\w+/g, '?')})`);
  return (row) => {
    const { id, parent, mode, uid, gid, mtime, mtimeNsec, size, rdev, whiteout, opaque, hardlink, ino, ctime, ctimeNsec, implicit } = row;
    const numbers = [
      id,
      parent,
      mode,
      uid,
      gid,
      mtime,
      mtimeNsec,
      size,
      rdev,
      whiteout,
      opaque ? 1 : 0,
      hardlink,
      BigInt.asIntN(64, ino),
      ctime,
      ctimeNsec,
      implicit ? 1 : 0,
    ];
    insert.run(...numbers, row.name, row.target, row.xattrs, row.digest);
  };
}

function parsed(stored: Stored): IndexRow {
  const integers = stored.slice(0, 16) as bigint[];
  const [id, parent, mode, uid, gid, , mtimeNsec, size, rdev, , opaque, hardlink, , , ctimeNsec, implicit] = integers.map(Number);
  const [name, target, xattrs, digest] = stored.slice(16) as [Buffer, Blob, Blob, Blob];
  const ino = BigInt.asUintN(64, integers[12]);
  const whiteout = WHITEOUTS[Number(integers[9])];
  const [mtime, ctime] = [integers[5], integers[13]];
  return {
    id,
    parent,
    name,
    mode,
    uid,
    gid,
    mtime,
    mtimeNsec,
    size,
    rdev,
    target,
    xattrs,
    digest,
    whiteout,
    opaque: opaque === 1,
    hardlink,
    implicit: implicit === 1,
    ino,
    ctime,
    ctimeNsec,
  };
}

/** A finished index, for reading. It never changes; a layer that changes gets a new one. */
export class LayerIndex {
  private readonly columns: string;

  private constructor(private readonly db: Connection) {
    this.columns = version(db) < 2 ? COLUMNS.replace('implicit', '0') : COLUMNS;
  }

  static open(file: string): LayerIndex {
    return new LayerIndex(openReadOnly(file, INDEX));
  }

  /** Of a connection that goes on being its owner's. */
  static of(db: Connection): LayerIndex {
    return new LayerIndex(db);
  }

  facts(): IndexFacts {
    return this.db.prepare<[], IndexFacts>('SELECT entries, files, size, tree_digest AS treeDigest FROM facts').get()!;
  }

  root(): IndexRow {
    return this.select('id = 1')[0];
  }

  /** Throws StoreError for a file that SQLite finds damaged. */
  checkFile(): void {
    const found = this.db.prepare<[], string>('PRAGMA integrity_check(1)').pluck().get();
    if (found !== 'ok') throw new StoreError(`${this.db.name} is damaged (${found}): ${INDEX.remedy}`);
  }

  /** Of a directory, sorted by name. */
  children(id: number): IndexRow[] {
    return this.select('parent = ? ORDER BY name', id);
  }

  /** One entry of a directory. */
  child(id: number, name: Buffer): IndexRow | undefined {
    return this.select('parent = ? AND name = ?', id, name).at(0);
  }

  /** The row of a path below the layer, bytes between slashes; "" is the root. */
  find(path: Buffer): IndexRow | undefined {
    let row: IndexRow | undefined = this.root();
    for (let at = 0; at < path.length && row !== undefined;) {
      const slash = path.indexOf(0x2f, at);
      const end = slash < 0 ? path.length : slash;
      row = this.child(row.id, path.subarray(at, end));
      at = end + 1;
    }
    return row;
  }

  /** All of them, in the order of their ids. Nothing else may be asked of the index meanwhile. */
  *rows(): Generator<IndexRow> {
    for (const stored of this.statement('1 ORDER BY id').iterate()) yield parsed(stored);
  }

  close(): void {
    this.db.close();
  }

  private select(where: string, ...values: (number | Buffer)[]): IndexRow[] {
    return this.statement(where)
      .all(...values)
      .map(parsed);
  }

  private statement(where: string): ReturnType<typeof prepare> {
    let statement = this.statements.get(where);
    if (statement === undefined) this.statements.set(where, (statement = prepare(this.db, this.columns, where)));
    return statement;
  }

  private readonly statements = new Map<string, ReturnType<typeof prepare>>();
}

function prepare(db: Connection, columns: string, where: string) {
  return db.prepare<(number | Buffer)[], Stored>(`SELECT ${columns} FROM entries WHERE ${where}`).raw().safeIntegers();
}

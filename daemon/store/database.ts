/**
 * Opening a SQLite file that is ours, and only such a one: the catalog (ply.db) and the layers' indexes (index.db) go through here.
 *
 * `application_id` says whose file it is, `user_version` which of its versions (migrations.ts). A file that is no database, belongs to another
 * program, is damaged or was written by a newer plyfs is refused and left as it is.
 */
import Database from 'better-sqlite3';
import { closeSync, openSync, readSync } from 'node:fs';
import { StoreError } from './errors';
import { migrate, type Migration, version } from './migrations';

export type { Database };
export type Connection = Database.Database;

/** What a file of ours is. */
export interface Kind {
  /** for messages: "the catalog" */
  name: string;
  applicationId: number;
  migrations: readonly Migration[];
  /** the oldest version that is read as it is, where files are not migrated; absent: the newest only */
  oldestRead?: number;
  /** what to do about a file that cannot be used: the end of a sentence */
  remedy: string;
}

/** How long a statement waits for another connection's transaction: a reader of ours never holds one for long, sqlite3(1) in a shell might. */
const BUSY_TIMEOUT_MS = 5000;
const MAGIC = 'SQLite format 3\0';

/**
 * Opens `file` for reading and writing, makes it if it is missing or empty, and brings it to the newest version.
 *
 * WAL: readers (a backup, sqlite3 in a shell) and plyd do not wait for each other. synchronous=FULL: what plyd has answered outlives a loss of
 * power too; NORMAL could forget the last commits, and a container that was removed would be back without its upper. It costs one fsync for
 * a create, start, stop or rm (unsynced() has the exceptions): 0.2 ms, or 100 when the disk is busy.
 */
export function openDatabase(file: string, kind: Kind): Connection {
  checkHeader(file, kind);
  return opening(
    file,
    kind,
    () => new Database(file, { timeout: BUSY_TIMEOUT_MS }),
    (db) => {
      db.pragma('trusted_schema = OFF');
      checkOwner(db, file, kind);
      checkContents(db, file, kind);
      db.pragma('journal_mode = WAL');
      db.pragma('synchronous = FULL');
      migrate(db, kind);
      db.pragma('foreign_keys = ON');
      keepStatements(db);
    },
  );
}

/** Each is compiled once: that takes ten times as long as to run it. None of them is in use when the next one comes. */
function keepStatements(db: Connection): void {
  const kept = new Map<string, Database.Statement>();
  const prepare = db.prepare.bind(db);
  db.prepare = ((sql: string) => {
    let statement = kept.get(sql);
    if (statement === undefined) kept.set(sql, (statement = prepare(sql)));
    return statement;
  }) as typeof db.prepare;
}

/**
 * A change that need not outlive a loss of power, since what it is about does not: it costs no fsync. For a plyd that comes after one that was killed it is
 * there, and later changes do not outlive it.
 */
export function unsynced<T>(db: Connection, change: () => T): T {
  if (db.inTransaction) return change();
  db.pragma('synchronous = NORMAL');
  try {
    return change();
  } finally {
    db.pragma('synchronous = FULL');
  }
}

/** What is written next takes the place of what the log holds, if the database can take all that (https://sqlite.org/pragma.html#pragma_wal_checkpoint). */
export function restartLog(db: Connection): void {
  try {
    db.pragma('wal_checkpoint(RESTART)');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'SQLITE_FULL') throw error;
  }
}

/** Opens a finished file for reading. Its version must be one that is read as it is: indexes are made again, not migrated. */
export function openReadOnly(file: string, kind: Kind): Connection {
  if (!checkHeader(file, kind)) throw new StoreError(`${file} is missing: ${kind.remedy}`);
  return opening(
    file,
    kind,
    () => new Database(file, { readonly: true, fileMustExist: true, timeout: BUSY_TIMEOUT_MS }),
    (db) => {
      db.pragma('trusted_schema = OFF');
      checkOwner(db, file, kind);
      const found = version(db);
      const oldest = kind.oldestRead ?? kind.migrations.length;
      if (found < oldest)
        throw new StoreError(`${file} is ${kind.name} of version ${found}, this plyfs reads ${oldest} and later: ${kind.remedy}`);
    },
  );
}

function opening(file: string, kind: Kind, open: () => Connection, prepare: (db: Connection) => void): Connection {
  let db: Connection | undefined;
  try {
    db = open();
    prepare(db);
    return db;
  } catch (error) {
    db?.close();
    throw explained(error, file, kind);
  }
}

/** False: there is no such file. SQLite takes a short file for an empty database and writes over it: look before it does. */
function checkHeader(file: string, kind: Kind): boolean {
  const head = Buffer.alloc(16);
  let length: number;
  try {
    const fd = openSync(file, 'r');
    try {
      length = readSync(fd, head, 0, head.length, 0);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw new StoreError(`cannot read ${file} (${(error as Error).message}): ${kind.remedy}`, { cause: error });
  }
  if (length > 0 && head.toString('latin1', 0, length) !== MAGIC)
    throw new StoreError(`${file} is not ${kind.name}, nor any SQLite database: ${kind.remedy}`);
  return true;
}

function checkOwner(db: Connection, file: string, kind: Kind): void {
  const owner = db.pragma('application_id', { simple: true }) as number;
  if (owner === kind.applicationId) {
    const found = version(db);
    const newest = kind.migrations.length;
    if (found > newest)
      throw new StoreError(
        `${file} was written by a newer plyfs (version ${found}; this one knows up to ${newest}): install that plyfs again`,
      );
    return;
  }
  const tables = db.prepare<[], number>('SELECT count(*) FROM sqlite_schema').pluck().get() ?? 0;
  if (owner !== 0 || tables > 0 || version(db) !== 0)
    throw new StoreError(`${file} is a database of another program, not ${kind.name}: ${kind.remedy}`);
}

/** Damage is found at the start, not in the middle of a stop. The catalog is small: this takes milliseconds. */
function checkContents(db: Connection, file: string, kind: Kind): void {
  const found = db.prepare<[], string>('PRAGMA quick_check(1)').pluck().get();
  if (found !== 'ok') throw new StoreError(`${file} is damaged (${String(found).replace(/^\*\*\*.*\*\*\*\s*/, '')}): ${kind.remedy}`);
}

/** The error that a person can act on, of whatever SQLite threw; others come back as they are. */
export function explained(error: unknown, file: string, kind: Kind): unknown {
  if (!(error instanceof Database.SqliteError)) return error;
  const told = (text: string): StoreError => new StoreError(text, { cause: error });
  const code = error.code;
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') return told(`${file} is damaged (${error.message}): ${kind.remedy}`);
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED'))
    return told(`${file} is locked by another program: end it (fuser ${file} names it) and try again`);
  if (code === 'SQLITE_FULL') return told(`no space is left for ${file}: free some and try again`);
  if (code.startsWith('SQLITE_READONLY'))
    return told(`${file} cannot be written: check its owner, its permissions and the mount it lies on`);
  if (code.startsWith('SQLITE_CANTOPEN'))
    return told(`cannot open ${file} (${error.message}): check that its directory exists and may be written`);
  if (code.startsWith('SQLITE_IOERR')) return told(`cannot read or write ${file} (${error.message}, ${code}): check the disk`);
  return error;
}

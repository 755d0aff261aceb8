/** Numbered changes of a database's schema. Version N is what migrations 1 to N make; `user_version` holds N. */
import type Database from 'better-sqlite3';
import { StoreError } from './errors';

type Connection = Database.Database;

/** Never changed once released: a later one mends what an earlier one got wrong. */
export type Migration = (db: Connection) => void;

export function version(db: Connection): number {
  return db.pragma('user_version', { simple: true }) as number;
}

/**
 * Brings the database to the newest version (or to `upTo`, for tests), each step in a transaction of its own that holds or fails as a whole, its
 * number with it. Foreign keys are off meanwhile, so that a table can be made anew under its name, and checked before each commit.
 */
export function migrate(
  db: Connection,
  kind: { applicationId: number; migrations: readonly Migration[] },
  upTo = kind.migrations.length,
): void {
  db.pragma('foreign_keys = OFF');
  const step = db.transaction((): boolean => {
    const from = version(db); // read under the lock: another process may have been faster
    if (from >= upTo) return false;
    kind.migrations[from](db);
    const broken = db.pragma('foreign_key_check') as unknown[];
    if (broken.length > 0)
      throw new StoreError(
        `the change to version ${from + 1} of ${db.name} leaves ${broken.length} rows that refer to nothing: keep the file and report this`,
      );
    db.pragma(`application_id = ${kind.applicationId}`);
    db.pragma(`user_version = ${from + 1}`);
    return true;
  });
  while (version(db) < upTo) if (!step.immediate()) break;
}

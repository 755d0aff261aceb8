/**
 * One plyd at a time: a lock that the kernel takes back whatever becomes of its holder. Node has no flock(2), so it is SQLite's lock on an empty database.
 */
import Database from 'better-sqlite3';
import fs from 'node:fs';

/** Somebody else has it. */
export class Taken extends Error {}

export class Exclusive {
  private constructor(private readonly database: Database.Database) {}

  /** Throws Taken. The file stays: removing it would let two have the lock. */
  static take(file: string): Exclusive {
    fs.closeSync(fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_CREAT, 0o600));
    const database = new Database(file, { timeout: 0 });
    try {
      database.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      database.close();
      const { code = '' } = error as { code?: string };
      if (code.startsWith('SQLITE_BUSY')) throw new Taken(`${file} is locked`);
      throw error;
    }
    return new Exclusive(database);
  }

  release(): void {
    this.database.close();
  }
}

/** The catalog's objects: which there should be, and who refers to them. Their files: objects.ts. */
import type { Connection } from './database';
import type { Id } from './names';

export interface ObjectRow {
  /** sha256, 32 bytes */
  digest: Buffer;
  size: number;
}

/** Neither a layer nor a lease refers to it. */
const UNUSED = `NOT EXISTS (SELECT 1 FROM layer_objects WHERE object = objects.id) AND NOT EXISTS (SELECT 1 FROM leased_objects WHERE object = objects.id)`;

export class ObjectRows {
  constructor(private readonly db: Connection) {}

  has(digest: Buffer): boolean {
    return this.db.prepare('SELECT 1 FROM objects WHERE digest = ?').get(digest) !== undefined;
  }

  /** Ids of the layers that refer to it. */
  users(digest: Buffer): Id[] {
    const sql = `SELECT layers.id FROM objects JOIN layer_objects ON object = objects.id JOIN layers ON seq = layer WHERE digest = ? ORDER BY seq`;
    return this.db.prepare<[Buffer], Id>(sql).pluck().all(digest);
  }

  count(): number {
    return this.db.prepare<[], number>('SELECT count(*) FROM objects').pluck().get()!;
  }

  /** The greatest number that one has; they begin with 1. */
  last(): number {
    return this.db.prepare<[], number | null>('SELECT max(id) FROM objects').pluck().get() ?? 0;
  }

  /** Those of some numbers that neither a layer nor a lease refers to. */
  unused(first: number, last: number): ObjectRow[] {
    return this.db
      .prepare<[number, number], ObjectRow>(`SELECT digest, size FROM objects WHERE id BETWEEN ? AND ? AND ${UNUSED}`)
      .all(first, last);
  }

  /** Forgets these, but for those that somebody has come to refer to; says which are gone. Their files are the caller's to delete, in the same turn. */
  removeUnused(rows: readonly ObjectRow[]): ObjectRow[] {
    const remove = this.db.prepare<[Buffer]>(`DELETE FROM objects WHERE digest = ? AND ${UNUSED}`);
    return this.db.transaction(() => rows.filter(({ digest }) => remove.run(digest).changes > 0)).immediate();
  }
}

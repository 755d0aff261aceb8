/** The catalog's objects: which there should be, and who refers to them. Their files: objects.ts. */
import type { Connection } from './database';

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

  /** Some of those that neither a layer nor a lease refers to. */
  unused(most: number): ObjectRow[] {
    return this.db.prepare<[number], ObjectRow>(`SELECT digest, size FROM objects WHERE ${UNUSED} LIMIT ?`).all(most);
  }

  /** Forgets these, but for those that somebody has come to refer to; says which are gone. Their files are the caller's to delete, in the same turn. */
  removeUnused(digests: readonly Buffer[]): Buffer[] {
    const remove = this.db.prepare<[Buffer]>(`DELETE FROM objects WHERE digest = ? AND ${UNUSED}`);
    return this.db.transaction(() => digests.filter((digest) => remove.run(digest).changes > 0)).immediate();
  }
}

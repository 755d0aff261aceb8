/**
 * Leases: what an import, a commit or an export that runs relies on and what nothing else may refer to yet. A layer or object that is leased is not removed.
 * They are rows so that taking one and looking for the unreferenced exclude each other; they end with plyd, whose start forgets them all.
 */
import type { Connection } from './database';
import type { Id } from './names';

export type LeaseId = number;

export interface Lease {
  id: LeaseId;
  /** who, for messages: "the import of /srv/debian.tar" */
  owner: string;
  since: string;
}

export class Leases {
  constructor(private readonly db: Connection) {}

  take(owner: string): LeaseId {
    const { lastInsertRowid } = this.db.prepare('INSERT INTO leases (owner, since) VALUES (?, ?)').run(owner, new Date().toISOString());
    return Number(lastInsertRowid);
  }

  /** With all that it holds. */
  release(lease: LeaseId): void {
    this.db.prepare('DELETE FROM leases WHERE id = ?').run(lease);
  }

  all(): Lease[] {
    return this.db.prepare<[], Lease>('SELECT id, owner, since FROM leases ORDER BY id').all();
  }

  /** False: there is no such layer (any more). */
  holdLayer(lease: LeaseId, layer: Id): boolean {
    return this.db
      .transaction(() => {
        if (this.db.prepare('SELECT 1 FROM layers WHERE id = ?').get(layer) === undefined) return false;
        this.db.prepare('INSERT OR IGNORE INTO leased_layers (lease, layer) VALUES (?, ?)').run(lease, layer);
        return true;
      })
      .immediate();
  }

  /**
   * Those that are not known yet too: their rows are there before their files. A file that is there after this returned stays; whether it is there is to be
   * looked at then. Some thousands at once take some ten milliseconds: give more in pieces.
   */
  holdObjects(lease: LeaseId, objects: Iterable<{ digest: Buffer; size: number }>): void {
    const known = this.db.prepare<[Buffer], number>('SELECT id FROM objects WHERE digest = ?').pluck();
    const add = this.db.prepare<[Buffer, number]>('INSERT INTO objects (digest, size) VALUES (?, ?)');
    const hold = this.db.prepare<[LeaseId, number]>('INSERT OR IGNORE INTO leased_objects (lease, object) VALUES (?, ?)');
    this.db
      .transaction(() => {
        for (const { digest, size } of objects) hold.run(lease, known.get(digest) ?? Number(add.run(digest, size).lastInsertRowid));
      })
      .immediate();
  }

  /** At plyd's start: those who held them are gone. */
  forgetAll(): void {
    this.db.prepare('DELETE FROM leases').run();
  }
}

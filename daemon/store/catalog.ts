/**
 * The catalog: which layers, images, containers and mounts there are. One plyd has it open; everything is synchronous and takes microseconds, but
 * for the fsync at the end of a change.
 *
 * Every method is a transaction: it holds as a whole or throws (CatalogError for what the request got wrong, StoreError for a file that cannot
 * be read or written) and changes nothing. transaction() makes one of several.
 */
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Info } from '../api/types';
import { Containers } from './containers';
import { type Connection, explained, openDatabase, restartLog } from './database';
import { StoreError } from './errors';
import { Images } from './images';
import { Layers } from './layers';
import { Leases } from './leases';
import { Mounts } from './mounts';
import type { Id } from './names';
import { Objects } from './objects';
import { ObjectRows } from './object-rows';
import { Reserve } from './reserve';
import { CATALOG } from './schema';
import { Snapshots } from './snapshots';

export interface StoreSizes {
  objects: number;
  objectBytes: number;
  /** of layers' regular files, each layer's own */
  importedBytes: number;
  directoryBytes: number;
  /** snapshots */
  active: number;
  views: number;
  committed: number;
  /** on disk, as it was at the commit */
  committedBytes: number;
}

export class Catalog {
  readonly layers: Layers;
  readonly images: Images;
  readonly containers: Containers;
  readonly mounts: Mounts;
  readonly leases: Leases;
  readonly snapshots: Snapshots;
  /** which objects there are, and who refers to them */
  readonly objectRows: ObjectRows;
  /** the objects' files */
  readonly objects: Objects;

  private constructor(
    /** /var/lib/ply or what stands for it: absolute */
    readonly root: string,
    private readonly db: Connection,
    /**
     * There was no catalog before. What lies in containers/ then belongs to one that was lost: whoever sweeps directories without a row must leave it.
     */
    readonly isNew: boolean,
    private readonly reserve: Reserve,
  ) {
    const { guarded } = this;
    this.layers = guarded(new Layers(db), ['remove']);
    this.images = guarded(new Images(db, this.layers), ['remove']);
    this.containers = guarded(new Containers(db, this.images), ['stopped', 'failed', 'remove']);
    this.mounts = guarded(new Mounts(db), ['unmounting', 'update', 'remove']);
    this.snapshots = guarded(new Snapshots(db), ['remove']);
    this.leases = guarded(new Leases(db), ['release', 'forgetAll']);
    this.objectRows = guarded(new ObjectRows(db), ['removeUnused']);
    this.objects = new Objects(root);
  }

  /** Opens `<root>/ply.db`; makes both if they are missing. Throws StoreError. */
  static open(root: string): Catalog {
    try {
      mkdirSync(root, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw new StoreError(`cannot make ${root} (${(error as Error).message}): choose another --root`, { cause: error });
    }
    const isNew = (statSync(file(root), { throwIfNoEntry: false })?.size ?? 0) === 0;
    const reserve = new Reserve(root, `${file(root)}-reserve`);
    return reserve.use(
      isFull,
      () => new Catalog(root, openDatabase(file(root), CATALOG), isNew, reserve),
      () => undefined,
    ); // opening does that
  }

  /** Runs `change` as one transaction: what it did holds together, or not at all if it throws. It must not wait for anything. */
  transaction<T>(change: () => T): T {
    try {
      return this.db.transaction(change).immediate();
    } catch (error) {
      throw explained(error, file(this.root), CATALOG);
    }
  }

  /** The same object, with SQLite's errors told in words for people. `removing` names the methods that may use the reserve when no space is left. */
  private readonly guarded = <T extends object>(part: T, removing: (keyof T)[]): T =>
    new Proxy(part, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== 'function') return value;
        const call = (args: unknown[]): unknown => {
          try {
            return Reflect.apply(value, target, args);
          } catch (error) {
            throw explained(error, file(this.root), CATALOG);
          }
        };
        const mayRetry = (error: unknown): boolean => removing.includes(key as keyof T) && isFull(error) && !this.db.inTransaction;
        return (...args: unknown[]) =>
          this.reserve.use(
            mayRetry,
            () => call(args),
            () => restartLog(this.db),
          );
      },
    });

  counts(): Info['counts'] {
    const sql = `SELECT (SELECT count(*) FROM layers) AS layers, (SELECT count(*) FROM images) AS images, (SELECT count(*) FROM containers) AS containers,
      (SELECT count(*) FROM containers WHERE state = 'running') AS running, (SELECT count(*) FROM mounts) AS mounts`;
    return this.db.prepare<[], Info['counts']>(sql).get()!;
  }

  /** What the rows say: no file is looked at. */
  sizes(): StoreSizes {
    const layers = `SELECT coalesce(sum(size), 0) FROM layers WHERE kind =`;
    const snapshots = `SELECT count(*) FROM snapshots WHERE kind =`;
    const sql = `SELECT (SELECT count(*) FROM objects) AS objects, (SELECT coalesce(sum(size), 0) FROM objects) AS objectBytes,
      (${layers} 'imported') AS importedBytes, (${layers} 'directory') AS directoryBytes,
      (${snapshots} 'active') AS active, (${snapshots} 'view') AS views, (${snapshots} 'committed') AS committed,
      (SELECT coalesce(sum(bytes), 0) FROM snapshots) AS committedBytes`;
    return this.db.prepare<[], StoreSizes>(sql).get()!;
  }

  /** Where a layer's index lies, and what else is kept of it. */
  layerDirectory(id: Id): string {
    return join(this.root, 'layers', id);
  }

  /** Holds upper, work and merged of a container. */
  containerDirectory(id: Id): string {
    return join(this.root, 'containers', id);
  }

  /** Holds fs, work and merged of a snapshot. */
  snapshotDirectory(number: number): string {
    return join(this.root, 'snapshots', String(number));
  }

  /** Writes the log into ply.db, so that it alone is the catalog. Safe to call twice. */
  close(): void {
    this.db.close();
  }
}

function file(root: string): string {
  return join(root, 'ply.db');
}

/** No space for the log, or for what connections share. */
function isFull(error: unknown): boolean {
  return (
    error instanceof StoreError && ['SQLITE_FULL', 'SQLITE_IOERR_SHMSIZE'].includes((error.cause as NodeJS.ErrnoException)?.code ?? '')
  );
}

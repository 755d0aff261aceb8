/**
 * What is mounted now, written so that a plyd that comes after a crash finds every mount of the one before:
 *
 *     add (mounting) → mount(2) → mounted → unmounting → umount(2) → remove
 *
 * A row without its mount means that plyd died between the two steps; a mount of ours without a row cannot be. `failed`: its engine is gone and
 * could not be started again; the mount point may still be covered.
 */
import type { Mount } from '../api/types';
import { type Connection, unsynced } from './database';
import { CatalogError } from './errors';
import { type Id, isId, newId, quoted, shortId } from './names';
import { type Referable, resolve } from './references';

export type MountPhase = 'mounting' | 'mounted' | 'unmounting' | 'failed';

export interface MountRow extends Omit<Mount, 'state' | 'driver' | 'snapshot'> {
  phase: MountPhase;
  /** of the mounted file system, as in /proc/self/mountinfo ("0:52"); null before it is mounted */
  device: string | null;
  /** pid of the engine that serves it */
  engine: number | null;
  /** the number of containerd's snapshot that it belongs to */
  snapshot: number | null;
  snapshotKey: string | null;
}

export interface NewMount extends Omit<Mount, 'id' | 'createdAt' | 'state' | 'driver' | 'upper' | 'work' | 'container' | 'snapshot'> {
  id?: Id;
  upper?: string | null;
  work?: string | null;
  /** a container's id */
  container?: Id | null;
  snapshot?: number | null;
}

export interface MountChange {
  phase?: MountPhase;
  device?: string | null;
  engine?: number | null;
}

/** As the API shows it, but for what its options mean. */
export function apiMount(row: MountRow): Omit<Mount, 'driver'> {
  const { id, mountpoint, lower, upper, work, options, container, snapshotKey: snapshot, createdAt, phase } = row;
  const state = phase === 'failed' ? 'failed' : 'mounted';
  return { id, mountpoint, lower, upper, work, options, container, snapshot, createdAt, state };
}

const COLUMNS = `id, mountpoint, lower, upper, work, options, container, created_at AS createdAt, phase, device, engine, snapshot,
  (SELECT key FROM snapshots WHERE snapshots.seq = snapshot) AS snapshotKey`;

type Stored = Omit<MountRow, 'lower'> & { lower: string };

/** A reference may be a mount point too. */
export class Mounts implements Referable {
  readonly what = 'mount';
  readonly table = 'mounts';
  readonly list = 'ply mounts';

  constructor(private readonly db: Connection) {}

  /** In phase 'mounting': before mount(2). 'conflict' if the mount point or the container has a mount already. */
  add(mount: NewMount): MountRow {
    const id = mount.id ?? newId();
    if (!isId(id)) throw new CatalogError('bad-request', `${quoted(id)} is no id: 64 hexadecimal digits are needed`);
    const change = this.db.transaction(() => {
      const { mountpoint, lower, upper = null, work = null, options, container = null, snapshot = null } = mount;
      if (this.byName(mountpoint) !== undefined)
        throw new CatalogError(
          'conflict',
          `something of plyd's is already mounted at ${mountpoint}: unmount it first (ply umount ${mountpoint})`,
        );
      if (container !== null) this.checkContainer(container);
      this.db
        .prepare(
          `INSERT INTO mounts (id, mountpoint, lower, upper, work, options, container, snapshot, created_at, phase) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'mounting')`,
        )
        .run(id, mountpoint, JSON.stringify(lower), upper, work, options, container, snapshot, new Date().toISOString());
      return this.byId(id);
    });
    return unsynced(this.db, () => change.immediate()); // no mount outlives the machine
  }

  /** What plyfs has mounted is served. After a loss of power whoever called plyfs calls it again: podman, systemd with its fstab. */
  taken(id: Id, device: string, engine: number): MountRow {
    return unsynced(this.db, () => this.update(id, { phase: 'mounted', device, engine }));
  }

  /** Before umount(2). */
  unmounting(id: Id): MountRow {
    return unsynced(this.db, () => this.update(id, { phase: 'unmounting' }));
  }

  private checkContainer(container: Id): void {
    const known = this.db.prepare<[Id], number>('SELECT 1 FROM containers WHERE id = ?').pluck().get(container);
    if (known === undefined) throw new CatalogError('not-found', `there is no container ${quoted(shortId(container))}: it was removed`);
    const other = this.ofContainer(container);
    if (other !== undefined)
      throw new CatalogError('conflict', `the container is already mounted at ${other.mountpoint}: stop it first`, {
        by: [other.mountpoint],
      });
  }

  get(ref: string): MountRow {
    return this.byId(resolve(this.db, this, ref));
  }

  ofContainer(container: Id): MountRow | undefined {
    const id = this.db.prepare<[Id], Id>('SELECT id FROM mounts WHERE container = ?').pluck().get(container);
    return id === undefined ? undefined : this.byId(id);
  }

  ofSnapshot(snapshot: number): MountRow | undefined {
    const id = this.db.prepare<[number], Id>('SELECT id FROM mounts WHERE snapshot = ?').pluck().get(snapshot);
    return id === undefined ? undefined : this.byId(id);
  }

  all(): MountRow[] {
    return this.db.prepare<[], Stored>(`SELECT ${COLUMNS} FROM mounts ORDER BY seq`).all().map(parsed);
  }

  /** Sets what is given, leaves what is not. `id` is a whole one. */
  update(id: Id, change: MountChange): MountRow {
    return this.db
      .transaction(() => {
        const row = { ...this.get(id), ...change };
        this.db.prepare('UPDATE mounts SET phase = ?, device = ?, engine = ? WHERE id = ?').run(row.phase, row.device, row.engine, row.id);
        return row;
      })
      .immediate();
  }

  /** After umount(2). A row that is gone already is no error: two may have seen the same end. */
  remove(id: Id): boolean {
    return this.db.prepare('DELETE FROM mounts WHERE id = ?').run(id).changes > 0;
  }

  private byId(id: Id): MountRow {
    return parsed(this.db.prepare<[Id], Stored>(`SELECT ${COLUMNS} FROM mounts WHERE id = ?`).get(id)!);
  }

  byName(mountpoint: string): Id | undefined {
    return this.db.prepare<[string], Id>('SELECT id FROM mounts WHERE mountpoint = ?').pluck().get(mountpoint);
  }

  names(): string[] {
    return this.db.prepare<[], string>('SELECT mountpoint FROM mounts').pluck().all();
  }
}

function parsed(row: Stored): MountRow {
  return { ...row, lower: JSON.parse(row.lower) as string[] };
}

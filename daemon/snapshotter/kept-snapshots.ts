/**
 * Snapshots as directories below the store's root, with rows in the catalog: snapshots/<n>/fs is the snapshot's own tree (the upper, and once it is committed
 * a layer of its children), work the work directory, merged the mountpoint, which the client binds where it likes.
 *
 * As with containers (mounts/containers.ts), the order of steps is such that a plyd that is killed between two of them leaves what recovery.ts can put right: a
 * directory is `<n>.new` until its row is there, and `<n>.removing` before its row goes. Nothing else is ever swept.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { HALF_MADE, HALF_REMOVED, removeTree } from '../mounts/containers';
import { bytes, type Keeper } from '../mounts/keeper';
import type { Locks } from '../mounts/lock';
import { isWithin, mountTable } from '../mounts/mountinfo';
import { shown } from '../mounts/options';
import { pauseAt } from '../mounts/pause';
import { sweepSnapshots, underWay } from '../mounts/snapshot-directories';
import { MountBusy } from '../mounts/supervisor';
import { type Catalog, CatalogError, type MountRow, type SnapshotInfo, type SnapshotRow, type SnapshotUsage, quoted } from '../store';
import { anyOf } from './filters';
import type { Labels, Snapshotter, SnapshotMount } from './snapshotter';

/**
 * Hard links of lower files are torn apart by a change, as containerd's users know it from overlayfs: what index=on keeps joined is kept in the work directory,
 * which a committed snapshot has none of.
 */
const OPTIONS = 'index=off';

export class KeptSnapshots implements Snapshotter {
  private next: number;

  constructor(
    private readonly catalog: Catalog,
    private readonly keeper: Keeper,
    private readonly locks: Locks,
  ) {
    // After a lost catalog there may be directories of an earlier one.
    const there = fs.readdirSync(this.directory).map((name) => parseInt(name, 10) || 0);
    this.next = Math.max(catalog.snapshots.nextNumber(), ...there.map((number) => number + 1));
  }

  prepare(key: string, parent: string, labels: Labels): Promise<SnapshotMount[]> {
    return this.make('active', key, parent, labels);
  }

  view(key: string, parent: string, labels: Labels): Promise<SnapshotMount[]> {
    return this.make('view', key, parent, labels);
  }

  private make(kind: 'active' | 'view', key: string, parent: string, labels: Labels): Promise<SnapshotMount[]> {
    return this.alone(key, async () => {
      this.catalog.snapshots.checkNew({ key, parent, kind, labels });
      const number = this.next++;
      const whole = this.catalog.snapshotDirectory(number);
      const half = `${whole}${HALF_MADE}`;
      let row: SnapshotRow | undefined;
      try {
        underWay.add(half);
        this.makeDirectories(half, parent);
        await pauseAt('snapshot:directories');
        row = this.catalog.snapshots.add({ number, key, parent, kind, labels });
        await pauseAt('snapshot:row');
        fs.renameSync(half, whole);
        await pauseAt('snapshot:renamed');
        return await this.mounted(row);
      } catch (error) {
        if (row !== undefined) await this.removeNow(row);
        else await removeTree(half);
        throw error;
      } finally {
        underWay.delete(half);
      }
    });
  }

  private makeDirectories(half: string, parent: string): void {
    fs.mkdirSync(half, { recursive: true, mode: 0o700 });
    for (const part of ['fs', 'work', 'merged']) fs.mkdirSync(join(half, part), 0o755);
    if (parent === '') return;
    const above = join(this.catalog.snapshotDirectory(this.catalog.snapshots.get(parent).number), 'fs');
    const { uid, gid, mode } = fs.statSync(above);
    fs.chownSync(join(half, 'fs'), uid, gid);
    fs.chmodSync(join(half, 'fs'), mode & 0o7777);
  }

  mounts(key: string): Promise<SnapshotMount[]> {
    return this.alone(key, () => {
      const row = this.catalog.snapshots.get(key);
      if (row.kind === 'committed')
        throw new CatalogError('in-use', `snapshot ${quoted(key)} is committed: it is not mounted, take a view of it`);
      return this.mounted(row);
    });
  }

  /** Mounts it where that is not so yet. */
  private async mounted(row: SnapshotRow): Promise<SnapshotMount[]> {
    const { number, kind } = row;
    const directory = this.catalog.snapshotDirectory(number);
    const options = [kind === 'view' ? 'ro' : 'rw', 'rbind'];
    const chain = this.catalog.snapshots.chain(number);
    if (chain.length === 0) return [{ type: 'bind', source: join(directory, 'fs'), options }];
    const mountpoint = join(directory, 'merged');
    if (!(await this.isServed(number))) {
      const own = kind === 'view' ? {} : { upper: join(directory, 'fs'), work: join(directory, 'work') };
      const lower = chain.map((one) => join(this.catalog.snapshotDirectory(one), 'fs'));
      const mount = this.catalog.mounts.add({ mountpoint, lower, ...own, options: OPTIONS, snapshot: number });
      await this.locks.hold(mount.id, () => this.keeper.mount(mount, () => undefined));
    }
    return [{ type: 'bind', source: mountpoint, options }];
  }

  /** One that has failed is forgotten, so that it is tried again. */
  private async isServed(number: number): Promise<boolean> {
    const mount = this.catalog.mounts.ofSnapshot(number);
    if (mount === undefined) return false;
    const { supervisor } = this.keeper;
    await supervisor.get(mount.id)?.recovered;
    if (supervisor.get(mount.id)?.state === 'served') return true;
    await this.unmount(mount, true);
    return false;
  }

  private async unmount(mount: MountRow, lazy: boolean): Promise<void> {
    await this.locks.hold(mount.id, () => this.keeper.unmount(mount.id, lazy, () => undefined));
  }

  commit(name: string, key: string, parent: string, labels: Labels): Promise<void> {
    return this.alone(key, async () => {
      const { number, parent: own } = this.catalog.snapshots.checkCommit(name, key);
      if (parent !== '' && parent !== own)
        throw new CatalogError('bad-request', `snapshot ${quoted(key)} cannot get another parent: prepare it over ${quoted(parent)}`);
      const mount = this.catalog.mounts.ofSnapshot(number);
      if (mount !== undefined) await this.endWriting(key, mount);
      await pauseAt('snapshot-commit:unmounted');
      const directory = this.catalog.snapshotDirectory(number);
      const usage = await this.measure(number);
      this.catalog.snapshots.commit(name, key, labels, usage);
      await pauseAt('snapshot-commit:row');
      await removeTree(join(directory, 'work'));
    });
  }

  /** What others have mounted, they can write to: in a committed snapshot that would change the ground under its children. */
  private async endWriting(key: string, mount: MountRow): Promise<void> {
    const { supervisor } = this.keeper;
    const served = supervisor.get(mount.id);
    const elsewhere = mountTable().find(({ dev, id }) => dev === served?.dev && id !== served.mountId);
    if (elsewhere !== undefined) throw busy(key, `is mounted at ${shown(elsewhere.point)}`, [shown(elsewhere.point)]);
    await this.unmount(mount, false);
    if (served === undefined || supervisor.get(mount.id) !== served) return;
    // Mount namespaces that were made meanwhile have copies of it, and that nobody uses these is usual.
    const [holder] = await supervisor.blocking.call('holders', { mountId: served.mountId, dev: served.dev, elsewhere: false });
    if (holder !== undefined) throw busy(key, `is in use by ${holder.command} (pid ${holder.pid})`, []);
  }

  remove(key: string): Promise<void> {
    return this.alone(key, () => this.removeNow(this.catalog.snapshots.checkRemoval(key)));
  }

  private async removeNow({ key, number }: SnapshotRow): Promise<void> {
    const directory = this.catalog.snapshotDirectory(number);
    const half = `${directory}${HALF_REMOVED}`;
    const mount = this.catalog.mounts.ofSnapshot(number);
    if (mount !== undefined) await this.unmountWhateverUsesIt(mount);
    const inside = mountTable().find(({ point }) => isWithin(point, bytes(directory)));
    if (inside !== undefined) throw busy(key, `has a mount in its directory (${shown(inside.point)})`, [shown(inside.point)]);
    await pauseAt('snapshot-remove:unmounted');
    this.catalog.snapshots.checkRemoval(key); // again, as somebody may have made a child meanwhile, whose layer must not be elsewhere while it is mounted
    underWay.add(half);
    try {
      const isThere = fs.existsSync(directory);
      if (isThere) fs.renameSync(directory, half);
      await pauseAt('snapshot-remove:renamed');
      try {
        this.catalog.snapshots.remove(key);
      } catch (error) {
        if (isThere) fs.renameSync(half, directory);
        throw error;
      }
      await pauseAt('snapshot-remove:row');
      await removeTree(half);
    } finally {
      underWay.delete(half);
    }
  }

  private async unmountWhateverUsesIt(mount: MountRow): Promise<void> {
    try {
      await this.unmount(mount, false);
    } catch (error) {
      if (!(error instanceof MountBusy)) throw error;
      await this.unmount(mount, true);
    }
  }

  stat(key: string): SnapshotInfo {
    return this.catalog.snapshots.get(key);
  }

  update(key: string, labels: Labels, paths: readonly string[]): SnapshotInfo {
    const wrong = paths.find((path) => path !== 'labels' && !/^labels\../s.test(path));
    if (wrong !== undefined) throw new CatalogError('bad-request', `${quoted(wrong)} of a snapshot cannot be changed: labels can`);
    return this.catalog.snapshots.update(key, (before) => {
      if (paths.length === 0 || paths.includes('labels')) return labels;
      const named = paths.map((path) => path.slice('labels.'.length));
      return { ...before, ...Object.fromEntries(named.map((name) => [name, Object.hasOwn(labels, name) ? labels[name] : ''])) };
    });
  }

  list(filters: readonly string[]): SnapshotInfo[] {
    const holds = anyOf(filters);
    return this.catalog.snapshots.all().filter((row) => holds(row));
  }

  async usage(key: string): Promise<SnapshotUsage> {
    const { number, kind, usage } = this.catalog.snapshots.get(key);
    if (usage !== undefined) return usage;
    return kind === 'view' ? { bytes: 0, inodes: 0 } : await this.measure(number);
  }

  private measure(number: number): Promise<SnapshotUsage> {
    const root = bytes(join(this.catalog.snapshotDirectory(number), 'fs'));
    return this.keeper.supervisor.blocking.call('inodes', { root });
  }

  async cleanup(): Promise<void> {
    await sweepSnapshots(this.catalog);
  }

  private get directory(): string {
    return join(this.catalog.root, 'snapshots');
  }

  private alone<T>(key: string, work: () => T | Promise<T>): Promise<T> {
    return this.locks.hold(`snapshot ${key}`, async () => work());
  }
}

function busy(key: string, how: string, mounts: string[]): MountBusy {
  return new MountBusy(`snapshot ${quoted(key)} ${how}: end that first`, [], mounts);
}

/**
 * Mounts with a memory: every mount has a row in the catalog, written before mount(2) and removed after umount(2), so that a plyd that comes after a
 * crash knows what there should be, and what was only begun.
 */
import { basename, dirname, join } from 'node:path';
import { apiMount, type Catalog, CatalogError, isId, type MountRow } from '../store';
import type { Mount, MountRequest } from '../api/types';
import { otherDriver, refuseOtherDriver } from './drivers';
import type { Locks } from './lock';
import { type Driver, type MountOptions, OptionError, parseOptions, shown } from './options';
import { pauseAt } from './pause';
import type { Prepared } from './prepare';
import type { Served, Supervisor } from './supervisor';

/** What a row says, as options. Rows hold text, options byte strings. */
export type Layout = Pick<MountRow, 'lower' | 'upper' | 'work' | 'options'> & Partial<Pick<MountRow, 'container' | 'snapshot'>>;

export function bytes(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** For a value of lowerdir, upperdir or workdir. */
export function escaped(path: string): string {
  return bytes(path).replace(/[\\,:"]/g, '\\$&');
}

/**
 * Throws OptionError. A container's lowers are layers of the catalog, and a snapshot's are committed ones, which do not change: directories, or imported layers, which a row has by the path of
 * `layers/<id>` below `root`.
 */
export function optionsOf({ lower, upper, work, options, container = null, snapshot = null }: Layout, root: string): MountOptions {
  const places = [`lowerdir=${lower.map(escaped).join(':')}`];
  if (upper !== null) places.push(`upperdir=${escaped(upper)}`, `workdir=${escaped(work ?? '')}`);
  const alone = parseOptions(places.join(','));
  const parsed = parseOptions([...places, bytes(options)].join(','));
  const same = parsed.upper === alone.upper && parsed.work === alone.work && parsed.lower.join('\0') === alone.lower.join('\0');
  if (!same) throw new OptionError('the further options name lowerdir, upperdir or workdir: leave these to their own fields');
  otherDriver(parsed); // it may refuse
  if (container === null && snapshot === null) return parsed;
  const ids = lower.map((path) => importedLayer(path, root));
  const imported = ids.every((id) => id === '') ? undefined : { objects: bytes(join(root, 'objects')), ids };
  return { ...parsed, share: true, ...(imported && { imported }) };
}

/** A row was judged when it was written. */
function driverOf({ options }: MountRow): Driver {
  return parseOptions(`lowerdir=/,${bytes(options)}`).driver ?? 'plyfs';
}

/** The id of the imported layer that a container's lower is, or ''. */
function importedLayer(path: string, root: string): string {
  const id = basename(path);
  return isId(id) && dirname(path) === join(root, 'layers') ? id : '';
}

export class Keeper {
  constructor(
    private readonly catalog: Catalog,
    readonly supervisor: Supervisor,
    private readonly locks: Locks,
  ) {}

  /** Mounts what the row says. `settled` writes what else belongs to the success in the same transaction. When it rejects, row and mount are gone. */
  async mount(row: MountRow, settled: (served: Served) => void): Promise<Served> {
    try {
      await pauseAt('mount:row');
      const served = await this.supervisor.mount({ id: row.id, options: this.optionsOf(row), mountpoint: bytes(row.mountpoint) });
      await pauseAt('mount:mounted');
      this.catalog.transaction(() => {
        this.catalog.mounts.update(row.id, { phase: 'mounted', device: served.dev, engine: served.engine.pid });
        settled(served);
      });
      return served;
    } catch (error) {
      if (this.supervisor.get(row.id)?.state === 'served') await this.supervisor.unmount(row.id, true);
      this.catalog.mounts.remove(row.id);
      throw error;
    }
  }

  /** Has what plyfs has mounted (Supervisor.take) served, and remembers it. */
  async take(layout: Layout, mountpoint: string, prepared: Prepared): Promise<Mount> {
    refuseOtherDriver(this.optionsOf(layout));
    await this.supervisor.checkWrites(prepared.writes);
    const row = this.catalog.mounts.add({ mountpoint, ...layout }); // nobody may have two
    return this.locks.hold(row.id, async () => {
      try {
        await pauseAt('take:row');
        const { dev, engine } = await this.supervisor.take(
          { id: row.id, options: this.optionsOf(row), mountpoint: bytes(mountpoint) },
          prepared,
        );
        await pauseAt('take:served');
        this.catalog.mounts.taken(row.id, dev, engine.pid);
        return this.shown({ ...row, phase: 'mounted' });
      } catch (error) {
        this.catalog.mounts.remove(row.id);
        throw error;
      }
    });
  }

  /** `settled` as above. Rejects with MountBusy, and then all is as it was. */
  async unmount(id: string, lazy: boolean, settled: () => void): Promise<void> {
    const before = this.catalog.mounts.get(id);
    this.catalog.mounts.unmounting(id);
    await pauseAt('unmount:row');
    try {
      await this.supervisor.unmount(id, lazy);
    } catch (error) {
      this.catalog.mounts.update(id, { phase: before.phase });
      throw error;
    }
    await pauseAt('unmount:unmounted');
    this.catalog.transaction(() => {
      this.catalog.mounts.remove(id);
      settled();
    });
  }

  // ---- mounts that belong to no container --------------------------------------------------------------------------------------------------------

  async add(request: MountRequest): Promise<Mount> {
    const { lower, upper = null, work = null, driver } = request;
    const options = [request.options ?? '', driver === undefined ? '' : `driver=${driver}`].filter((one) => one !== '').join(',');
    if ((upper === null) !== (work === null))
      throw new OptionError('upper and work belong together: name both, or neither for a read-only mount');
    const layout = { lower, upper, work, options };
    this.optionsOf(layout);
    for (const path of [request.mountpoint, ...lower, upper, work]) {
      if (path !== null && !path.startsWith('/')) throw new OptionError(`${path} is not absolute: give whole paths, from /`);
    }
    const mountpoint = shown(await this.supervisor.blocking.call('resolvePoint', bytes(request.mountpoint)));
    const row = this.catalog.mounts.add({ mountpoint, ...layout });
    await this.locks.hold(row.id, () => this.mount(row, () => undefined));
    return this.shown({ ...row, phase: 'mounted' });
  }

  /** What belongs to a container is the container's to unmount. */
  async remove(ref: string, lazy: boolean): Promise<Mount> {
    const { id } = this.catalog.mounts.get(ref);
    return this.locks.hold(id, async () => {
      const row = this.catalog.mounts.get(id);
      if (row.container !== null) {
        const { name } = this.catalog.containers.get(row.container);
        throw new CatalogError('in-use', `that mount belongs to the container ${name}: stop the container (ply stop ${name})`, {
          by: [name],
        });
      }
      if (row.snapshot !== null) {
        const { key } = this.catalog.snapshots.byNumber(row.snapshot);
        throw new CatalogError(
          'in-use',
          `that mount belongs to containerd's snapshot ${key}: remove the container there (ctr, nerdctl, crictl)`,
          {
            by: [key],
          },
        );
      }
      await this.unmount(id, lazy, () => undefined);
      return this.shown(row);
    });
  }

  /** Throws OptionError. */
  optionsOf(layout: Layout): MountOptions {
    return optionsOf(layout, this.catalog.root);
  }

  private shown(row: MountRow): Mount {
    return { ...apiMount(row), driver: driverOf(row) };
  }

  all(): Mount[] {
    return this.catalog.mounts.all().map((row) => this.shown(row));
  }
}

/**
 * Putting right what a plyd left that was killed, or that went with --keep-mounts: its engines are adopted with what they serve, what is not served
 * any more is detached and mounted again, what was only begun is undone.
 */
import fs from 'node:fs';
import { basename, join } from 'node:path';
import { type Catalog, isId, type MountRow, shortId, sweepLayers } from '../store';
import type { ListedMount } from '../engine/control';
import type { Log } from '../log';
import { HALF_MADE, HALF_REMOVED, removeTree } from './containers';
import type { Engine } from './engine';
import type { Events } from './events';
import { bytes, optionsOf } from './keeper';
import { isWithin, type MountEntry, mountTable, PLYFS, topMount } from './mountinfo';
import { shown } from './options';
import { type Supervisor, type Tag, tagOf } from './supervisor';
import { loseMount } from './watch';

const HALVES = [HALF_MADE, HALF_REMOVED];

interface Offer {
  engine: Engine;
  listed: ListedMount;
  tag: Tag;
}

export class Recovery {
  /** by the id of the row */
  private readonly offers = new Map<string, Offer>();

  constructor(
    private readonly catalog: Catalog,
    private readonly supervisor: Supervisor,
    private readonly events: Events,
    private readonly log: Log,
  ) {}

  /** Before the first request. Resolves when catalog, mounts and directories agree. */
  async run(): Promise<void> {
    const { found, killed } = await this.supervisor.adopt();
    if (killed.length > 0) this.log.warn({ engines: killed }, 'engines of an earlier plyd did not answer: ended');
    for (const { engine, mounts } of found) {
      this.log.info({ engine: engine.pid, mounts: mounts.length }, 'an engine of an earlier plyd is adopted');
      for (const listed of mounts) {
        const tag = tagOf(listed);
        if (tag !== undefined) this.offers.set(tag.id, { engine, listed, tag });
      }
    }
    const rows = this.catalog.mounts.all();
    await this.undoStrangers(rows);
    // A mount may lie on another: those that were made first come first.
    for (const row of rows) await this.settle(row);
    for (const { id, name, state } of this.catalog.containers.all()) {
      if (state !== 'running' || this.catalog.mounts.ofContainer(id) !== undefined) continue;
      this.catalog.containers.stopped(id); // no plyd leaves this, and a person with sqlite3 may
      this.log.warn({ container: name }, 'a container without its mount is stopped');
    }
    await this.sweep();
    this.supervisor.stopIdle();
  }

  private async settle(row: MountRow): Promise<void> {
    const offer = this.offers.get(row.id);
    const mounted = this.isMounted(row, offer);
    if (row.phase === 'mounting') {
      await this.undo(row, 'it was being mounted when plyd was killed');
    } else if (row.phase === 'unmounting' && !mounted) {
      await this.undo(row, 'it was being unmounted when plyd was killed');
    } else if (offer !== undefined && mounted === undefined) {
      await this.undo(row, 'it was unmounted while no plyd ran');
    } else if (row.phase === 'failed') {
      await this.detach(row);
    } else if (offer !== undefined && mounted !== undefined) {
      await this.adopt(row, offer, mounted);
    } else {
      await this.mountAgain(row);
    }
  }

  /** The mount of an adopted engine, where it should be. */
  private isMounted(row: MountRow, offer: Offer | undefined): MountEntry | undefined {
    if (offer === undefined) return undefined;
    const { dev } = offer.tag;
    return mountTable().find((entry) => entry.point === bytes(row.mountpoint) && entry.type === PLYFS && entry.dev === dev);
  }

  private async adopt(row: MountRow, { engine, listed, tag }: Offer, entry: MountEntry): Promise<void> {
    try {
      const plan = { id: row.id, options: optionsOf(row, this.catalog.root), mountpoint: bytes(row.mountpoint) };
      await this.supervisor.adoptMount(plan, engine, listed, tag, entry);
      this.catalog.mounts.update(row.id, { phase: 'mounted', device: entry.dev, engine: engine.pid });
      this.tell(row, 'still mounted, its engine is adopted');
    } catch (error) {
      this.log.warn({ mount: row.id, mountpoint: row.mountpoint, err: error }, 'a mount cannot be adopted: it is made again');
      await this.detach(row);
      await this.mountAgain(row);
    }
  }

  private async mountAgain(row: MountRow): Promise<void> {
    await this.detach(row);
    try {
      const served = await this.supervisor.mount({
        id: row.id,
        options: optionsOf(row, this.catalog.root),
        mountpoint: bytes(row.mountpoint),
      });
      this.catalog.mounts.update(row.id, { phase: 'mounted', device: served.dev, engine: served.engine.pid });
      this.tell(row, 'mounted again');
    } catch (error) {
      this.log.error({ mount: row.id, mountpoint: row.mountpoint, err: error }, 'a mount is lost');
      loseMount(this.catalog, this.events, row, error as Error);
    }
  }

  private async undo(row: MountRow, why: string): Promise<void> {
    await this.detach(row);
    const offer = this.offers.get(row.id);
    if (offer !== undefined) await this.supervisor.adoptLingering(offer.engine, offer.listed, offer.tag);
    const { container } = row;
    this.catalog.transaction(() => {
      this.catalog.mounts.remove(row.id);
      if (container !== null && this.catalog.containers.get(container).state === 'running') this.catalog.containers.stopped(container);
    });
    this.tell(row, `undone: ${why}`);
  }

  /** Takes away what is left of the row's mount. A mountpoint of our own holds nothing else; elsewhere it must be that very mount, or a dead one. */
  private async detach(row: MountRow): Promise<void> {
    const point = bytes(row.mountpoint);
    const dev = this.offers.get(row.id)?.tag.dev ?? row.device;
    const detached = await this.supervisor.detachStale(
      point,
      (top) =>
        row.container !== null || row.snapshot !== null || top.dev === dev || this.supervisor.blocking.call('isDead', { path: point }),
    );
    if (detached > 0) this.log.info({ mount: row.id, mountpoint: row.mountpoint }, 'a stale mount is detached');
  }

  /** What adopted engines serve, and what is mounted in our directory, that no row knows. */
  private async undoStrangers(rows: readonly MountRow[]): Promise<void> {
    const known = new Set(rows.map(({ id }) => id));
    for (const [id, { engine, listed, tag }] of this.offers) {
      if (known.has(id)) continue;
      const { dev } = tag;
      await this.supervisor.detachStale(listed.mountpoint, (top) => top.dev === dev);
      this.log.warn({ mountpoint: shown(listed.mountpoint) }, 'a mount that the catalog does not know is detached');
      await this.supervisor.adoptLingering(engine, listed, tag);
    }
    const points = new Set(rows.map(({ mountpoint }) => bytes(mountpoint)));
    const own = ['containers', 'snapshots'].map((name) => bytes(join(this.catalog.root, name)));
    for (const { point, type } of mountTable().reverse()) {
      if (type !== PLYFS || !own.some((directory) => isWithin(point, directory)) || points.has(point)) continue;
      if (topMount(mountTable(), point) !== undefined && (await this.supervisor.detachStale(point)) > 0)
        this.log.warn({ mountpoint: shown(point) }, 'a stale mount is detached');
    }
  }

  /**
   * Containers that were being created or removed: their directories say so. Any other directory without a row holds what somebody wrote, whatever became
   * of the catalog: it stays, and so does everything when the catalog is new.
   */
  private async sweep(): Promise<void> {
    const directory = join(this.catalog.root, 'containers');
    const known = new Set(this.catalog.containers.all().map(({ id }) => id));
    const strangers: string[] = [];
    for (const name of fs.readdirSync(directory)) {
      const id = HALVES.reduce((rest, half) => (name.endsWith(half) ? name.slice(0, -half.length) : rest), name);
      if (name === id || !isId(id) || this.catalog.isNew) {
        if (!known.has(name)) strangers.push(join(directory, name));
      } else if (known.has(id)) {
        this.makeWhole(join(directory, name), join(directory, id));
      } else {
        await this.finishRemoval(join(directory, name));
      }
    }
    if (strangers.length > 0) {
      const why = this.catalog.isNew
        ? 'the catalog is new, and these directories are of an older one'
        : 'no container of the catalog has these directories';
      this.log.warn(
        { directories: strangers },
        `${why}: they stay as they are; what was written is in upper/. Put ply.db back, or delete them`,
      );
    }
    await this.sweepSnapshots();
    if (this.catalog.isNew) return;
    for (const id of sweepLayers(this.catalog)) this.log.info({ layer: shortId(id) }, "an unfinished layer's index is removed");
  }

  /** As above. */
  private async sweepSnapshots(): Promise<void> {
    const directory = join(this.catalog.root, 'snapshots');
    const known = new Set(this.catalog.snapshots.numbers().map(String));
    const strangers: string[] = [];
    for (const name of fs.readdirSync(directory)) {
      const number = HALVES.reduce((rest, half) => (name.endsWith(half) ? name.slice(0, -half.length) : rest), name);
      if (name === number || this.catalog.isNew) {
        if (!known.has(name)) strangers.push(join(directory, name));
      } else if (known.has(number)) {
        this.makeWhole(join(directory, name), join(directory, number));
      } else {
        await this.finishRemoval(join(directory, name));
      }
    }
    if (strangers.length > 0)
      this.log.warn(
        { directories: strangers },
        'no snapshot of the catalog has these directories: they stay as they are. Put ply.db back, or delete them',
      );
  }

  /** Its row is there: it was made but for its name, or it was not removed. */
  private makeWhole(half: string, whole: string): void {
    if (fs.existsSync(whole)) {
      this.log.error({ directories: [half, whole] }, 'a container has two directories: the second one is used');
      return;
    }
    fs.renameSync(half, whole);
    this.log.info(
      { container: shortId(basename(whole)) },
      'the directory of a container that was being made or removed has its name again',
    );
  }

  private async finishRemoval(half: string): Promise<void> {
    if (mountTable().some(({ point }) => isWithin(point, bytes(half)))) {
      this.log.error({ directory: half }, 'what is left of a container holds a mount: it stays');
      return;
    }
    try {
      await removeTree(half);
      this.log.info({ directory: half }, 'what was left of a container is removed');
    } catch (error) {
      this.log.error({ err: error, directory: half }, 'what was left of a container cannot be removed');
    }
  }

  private tell(row: MountRow, what: string): void {
    const { container, mountpoint } = row;
    const name = container === null ? mountpoint : this.catalog.containers.get(container).name;
    this.log.info({ mount: row.id, mountpoint, ...(container !== null && { container: name }) }, `recovered: ${what}`);
    this.events.emit({ type: 'recover', id: container ?? row.id, name, detail: what });
  }
}

/**
 * The life of a container: created (its directories are there), running (mounted), stopped, gone.
 *
 * Changes of one container follow each other. The order of steps is such that a plyd that is killed between two of them leaves what recovery.ts can
 * put right. A mount's row comes before the mount and goes after it. A container's directory is `<id>.new` until its row is there, and `<id>.removing`
 * before its row goes: nothing but these two is ever swept, so a catalog that is lost, or an old one from a backup, costs no upper.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import type { Change, Container, ContainerDetail, DiskUsage, UsageRow } from '../api/types';
import { type Catalog, CatalogError, type Id, newId } from '../store';
import type { ContainerTrees } from './diff';
import type { Events } from './events';
import { bytes, type Keeper } from './keeper';
import type { LayerPlace } from './layer-tree';
import type { Locks } from './lock';
import { isWithin, mountTable } from './mountinfo';
import { OptionError, parseOptions, shown } from './options';
import { pauseAt } from './pause';
import { MountBusy } from './supervisor';

/** What follows the id in the name of a directory whose container is being created, or removed. */
export const HALF_MADE = '.new';
export const HALF_REMOVED = '.removing';

export interface NewContainer {
  image: string;
  name?: string | undefined;
  options?: string | undefined;
}

export class Containers {
  constructor(
    private readonly catalog: Catalog,
    private readonly keeper: Keeper,
    private readonly events: Events,
    private readonly locks: Locks,
  ) {}

  async create({ image, name, options = '' }: NewContainer): Promise<Container> {
    const { layers } = this.catalog.images.get(image);
    const id = newId();
    const directory = this.catalog.containerDirectory(id);
    const half = `${directory}${HALF_MADE}`;
    const [upper, work] = ['upper', 'work'].map((part) => join(directory, part));
    const { xattrPermissions } = this.keeper.optionsOf({ lower: this.paths(layers), upper, work, options });
    if (xattrPermissions !== 0)
      throw new OptionError(
        'xattr_permissions is not for containers: diff and commit take owners from the files; use it with plyfs or ply mount',
      );
    return this.locks.hold(id, async () => {
      let made = false;
      try {
        fs.mkdirSync(half, { recursive: true, mode: 0o700 });
        for (const part of ['upper', 'work', 'merged']) fs.mkdirSync(join(half, part), 0o755);
        await this.likeTheImage(join(half, 'upper'), layers);
        await pauseAt('create:directories');
        const container = this.catalog.containers.create({ id, image, name, upper, work, options });
        made = true;
        await pauseAt('create:row');
        fs.renameSync(half, directory);
        await pauseAt('create:renamed');
        this.tell('container.create', container);
        return container;
      } catch (error) {
        if (made) this.catalog.containers.remove(id);
        await removeTree(half);
        throw error;
      }
    });
  }

  start(ref: string): Promise<Container> {
    return this.change(ref, async (container) => {
      if (container.state === 'running') return container;
      this.catalog.containers.checkTransition(container, 'running');
      const { id, upper, work, options } = container;
      const mountpoint = this.mountpoint(id);
      const { layers } = this.catalog.images.get(container.image);
      const row = this.catalog.mounts.add({ mountpoint, lower: this.paths(layers), upper, work, options, container: id });
      await this.keeper.mount(row, () => this.catalog.containers.running(id, mountpoint));
      await pauseAt('start:row');
      const started = this.catalog.containers.get(id);
      this.tell('container.start', started);
      return started;
    });
  }

  stop(ref: string, lazy: boolean): Promise<Container> {
    return this.change(ref, (container) => this.stopNow(container, lazy));
  }

  private async stopNow(container: Container, lazy: boolean): Promise<Container> {
    const { id, state } = container;
    if (state === 'created' || state === 'stopped') return container;
    const row = this.catalog.mounts.ofContainer(id);
    if (row === undefined) this.catalog.containers.stopped(id);
    else await this.keeper.unmount(row.id, lazy, () => this.catalog.containers.stopped(id));
    await pauseAt('stop:row');
    const stopped = this.catalog.containers.get(id);
    this.tell('container.stop', stopped);
    return stopped;
  }

  /** `force` stops it first, whoever uses it. What it wrote is gone when this resolves. */
  remove(ref: string, force: boolean): Promise<void> {
    return this.change(ref, async (container) => {
      const { id } = container;
      if (force && container.state === 'running') await this.stopForcibly(container);
      const directory = this.catalog.containerDirectory(id);
      const half = `${directory}${HALF_REMOVED}`;
      this.catalog.containers.checkRemoval(id);
      this.refuseUsed(directory);
      await pauseAt('rm:stopped');
      const isThere = fs.existsSync(directory); // who deleted it by hand wants to be rid of the row too
      if (isThere) fs.renameSync(directory, half);
      await pauseAt('rm:renamed');
      try {
        this.catalog.containers.remove(id);
      } catch (error) {
        if (isThere) fs.renameSync(half, directory);
        throw error;
      }
      await pauseAt('rm:row');
      await removeTree(half);
      await pauseAt('rm:directories');
      this.tell('container.rm', container);
    });
  }

  private async stopForcibly(container: Container): Promise<void> {
    try {
      await this.stopNow(container, false);
    } catch (error) {
      if (!(error instanceof MountBusy)) throw error;
      await this.stopNow(container, true);
    }
  }

  /** Somebody mounted something in the container's directories: deleting would reach into it. */
  private refuseUsed(directory: string): void {
    const mounts = mountTable().filter(({ point }) => isWithin(point, bytes(directory)));
    if (mounts.length === 0) return;
    const points = mounts.map(({ point }) => shown(point));
    throw new MountBusy(
      `${points.join(', ')} ${points.length > 1 ? 'are' : 'is'} mounted in the container's directory: unmount that first`,
      [],
      points,
    );
  }

  async changes(ref: string): Promise<Change[]> {
    const found = await this.keeper.supervisor.blocking.call('diff', this.trees(this.catalog.containers.get(ref)));
    return found.map(({ kind, path }) => {
      const text = shown(path);
      return { kind, path: text, ...(bytes(text) !== path && { pathBase64: Buffer.from(path, 'latin1').toString('base64') }) };
    });
  }

  detail(container: Container): ContainerDetail {
    const { id, upper, work, image } = container;
    const lowerDir = this.catalog.images
      .get(image)
      .layers.map((layer) => this.catalog.layers.get(layer).path ?? this.catalog.layerDirectory(layer));
    return {
      ...container,
      graphDriver: { name: 'plyfs', data: { lowerDir, upperDir: upper, workDir: work, mergedDir: this.mountpoint(id) } },
    };
  }

  /** What a container is made of, for who reads it. */
  trees({ upper, work, image, options }: Container): ContainerTrees {
    const { userxattr } = parseOptions(`lowerdir=/,${bytes(options)}`);
    return {
      upper: bytes(upper),
      work: bytes(work),
      ...(userxattr !== undefined && { userxattr }),
      layers: this.catalog.images.get(image).layers.map((id) => layerPlace(this.catalog, id)),
    };
  }

  async withSize(container: Container): Promise<Container> {
    try {
      return { ...container, size: await this.keeper.supervisor.blocking.call('size', { upper: bytes(container.upper) }) };
    } catch (error) {
      if (fs.existsSync(container.upper)) throw error;
      return container; // it was removed meanwhile
    }
  }

  /** What all of them wrote. */
  async usage(): Promise<{ row: UsageRow; list: Required<DiskUsage>['containerList'] }> {
    const all = await Promise.all(this.catalog.containers.all().map((one) => this.withSize(one)));
    const list = all.map(({ id, name, state, size }) => ({ id, name, state, size: size?.bytes ?? 0 }));
    const sum = (some: typeof list): number => some.reduce((bytes, { size }) => bytes + size, 0);
    const running = list.filter(({ state }) => state === 'running');
    return { row: { total: list.length, active: running.length, size: sum(list), reclaimable: sum(list) - sum(running) }, list };
  }

  mountpoint(id: string): string {
    return join(this.catalog.containerDirectory(id), 'merged');
  }

  /** The container is neither started nor stopped nor removed meanwhile. */
  hold<T>(ref: string, work: (container: Container) => Promise<T>): Promise<T> {
    return this.change(ref, work);
  }

  private change<T>(ref: string, work: (container: Container) => Promise<T>): Promise<T> {
    const { id } = this.catalog.containers.get(ref);
    return this.locks.hold(id, () => work(this.catalog.containers.get(id)));
  }

  /** Where the layers are: of an imported one, its directory in the store (optionsOf in keeper.ts knows it by that). */
  private paths(layers: readonly string[]): string[] {
    return layers.map((layer) => this.catalog.layers.get(layer).path ?? this.catalog.layerDirectory(layer));
  }

  /** The root directory is like the topmost layer's. */
  private async likeTheImage(upper: string, layers: readonly string[]): Promise<void> {
    const from = layers.map((layer, i) => {
      const { kind } = this.catalog.layers.get(layer);
      return { kind, path: bytes(this.paths(layers)[i]) };
    });
    const failed = await this.keeper.supervisor.blocking.call('imitate', { from, to: bytes(upper) });
    if (failed !== undefined) {
      throw new CatalogError(
        'conflict',
        `the layer ${shown(failed.path)} of the image cannot be read (${failed.why}): put it back in its place, or import the image again`,
      );
    }
  }

  private tell(type: 'container.create' | 'container.start' | 'container.stop' | 'container.rm', { id, name }: Container): void {
    this.events.emit({ type, id, name });
  }
}

/** Where a layer lies, for who reads it. */
export function layerPlace(catalog: Catalog, id: Id): LayerPlace {
  const layer = catalog.layers.get(id);
  const index = bytes(join(catalog.layerDirectory(layer.id), 'index.db'));
  if (layer.path === null) return { kind: 'imported', id: layer.id, index, root: bytes(catalog.root) };
  return { kind: 'directory', path: bytes(layer.path), index };
}

/** rm(1) takes trees of any depth, from outside, and does not cross into another file system. */
export async function removeTree(directory: string): Promise<void> {
  const child = spawn('rm', ['-rf', '--one-file-system', '--', directory], { stdio: ['ignore', 'ignore', 'pipe'], cwd: '/' });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(0, 2000)));
  const status = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (status !== 0) throw new Error(`cannot delete all of ${directory}: ${stderr.trim().split('\n')[0]}`);
}

/**
 * File systems that can show layers as one tree, behind one interface: a behaviour test runs on each of them.
 *
 *   const mounted = await target('kernel-overlay').setup([top, bottom]);
 *   … mounted.mountpoint …
 *   await mounted.teardown();
 */
import fs from 'node:fs';
import path from 'node:path';
import { EngineProcess } from '../../daemon/mounts/engine-process.js';
import { parseOptions } from '../../daemon/mounts/options.js';
import { prepareMount } from '../../daemon/mounts/prepare.js';
import { importDirectory } from './imported.js';
import { type Tree, build, merge } from './layers.js';
import { removeDirectory, temporaryDirectory } from './leaks.js';
import { must, run, tearAway, unmount } from './mounts.js';
import { TRANSPORT } from './transport.js';

/** A lower: a tree to be made, or a directory that exists and is left alone. */
export type Lower = Tree | string;

export interface SetupOptions {
  /** no upper: every change must fail */
  readOnly?: boolean;
  /** what the upper holds before the mount: a tree to be made, or an upper with its work directory that another mount wrote */
  upper?: Tree | { upper: string; work: string };
  /** where upper and work directory are made, when they are not to be on /tmp */
  upperIn?: string;
  /** further mount options, of the target's own kind */
  mountOptions?: readonly string[];
  /** plyfs: file that its engine's log is appended to */
  log?: string;
  /** plyfs-imported: a store that has the layers already, in the place of the lowers */
  store?: { root: string; ids: readonly string[] };
  /** plyfs: its environment, where it is not ours */
  env?: NodeJS.ProcessEnv;
}

export interface Mounted {
  readonly target: string;
  readonly mountpoint: string;
  /** absolute, the topmost first */
  readonly lowers: readonly string[];
  readonly upper: string;
  readonly work: string;
  /** unmounts, and mounts again over the same directories */
  remount(): Promise<void>;
  /** unmounts only; the directories stay until teardown */
  unmount(): Promise<void>;
  /** unmounts whatever its state, without waiting for an answer: for a helper's onHang */
  tearAway(): Promise<void>;
  /** unmounts, and removes what setup made */
  teardown(): Promise<void>;
}

export interface Target {
  readonly name: string;
  setup(lowers: readonly Lower[], options?: SetupOptions): Promise<Mounted>;
}

/** The directories of one setup; subclasses say how they are mounted. */
abstract class Directories implements Mounted {
  readonly base = temporaryDirectory();
  readonly mountpoint = path.join(this.base, 'm');
  lowers: string[] = [];
  upper = path.join(this.base, 'u');
  work = path.join(this.base, 'w');

  constructor(
    readonly target: string,
    protected readonly options: SetupOptions,
  ) {}

  async create(lowers: readonly Lower[]): Promise<this> {
    try {
      fs.mkdirSync(this.mountpoint);
      await this.prepare(lowers);
      await this.mount();
    } catch (error) {
      await this.teardown().catch(() => undefined); // the first error is the one to tell
      throw error;
    }
    return this;
  }

  protected async prepare(lowers: readonly Lower[]): Promise<void> {
    this.lowers = lowers.map((lower, index) => (typeof lower === 'string' ? lower : path.join(this.base, `l${index}`)));
    for (const [index, lower] of lowers.entries()) if (typeof lower !== 'string') await buildIn(this.lowers[index], lower);
    const { upper, readOnly } = this.options;
    if (readOnly) return;
    if (upper && typeof upper.upper === 'string' && typeof upper.work === 'string') {
      this.upper = upper.upper;
      this.work = upper.work;
    } else {
      if (this.options.upperIn !== undefined) {
        this.upper = path.join(this.options.upperIn, 'u');
        this.work = path.join(this.options.upperIn, 'w');
      }
      await buildIn(this.upper, upper ?? {});
      fs.mkdirSync(this.work);
    }
  }

  abstract mount(): Promise<void>;

  unmount(): Promise<void> {
    return unmount(this.mountpoint);
  }

  async remount(): Promise<void> {
    await this.unmount();
    await this.mount();
  }

  tearAway(): Promise<void> {
    return tearAway(this.mountpoint);
  }

  async teardown(): Promise<void> {
    try {
      await this.unmount();
    } finally {
      if (this.options.upperIn !== undefined) await must('rm', ['-rf', this.upper, this.work]);
      await removeDirectory(this.base);
    }
  }

  protected layerOptions(lowers: readonly string[]): string {
    return [`lowerdir=${lowers.join(':')}`, ...(this.options.readOnly ? [] : [`upperdir=${this.upper}`, `workdir=${this.work}`])].join(',');
  }

  protected withExtra(options: string, ...more: string[]): string {
    return [options, ...more, ...(this.options.mountOptions ?? [])].join(',');
  }
}

async function buildIn(directory: string, tree: Tree): Promise<void> {
  fs.mkdirSync(directory);
  await build(directory, tree);
}

/** The merged tree, copied to a plain directory: what a file system does when no overlay is in the way. */
class Host extends Directories {
  private readonly copy = path.join(this.base, 'copy');

  protected override async prepare(lowers: readonly Lower[]): Promise<void> {
    const trees = lowers.filter((lower) => typeof lower !== 'string');
    const upper = this.options.upper as Tree | undefined;
    if (trees.length === lowers.length) await buildIn(this.copy, merge(upper ? [upper, ...trees] : trees));
    else await this.copyDirectories(lowers);
  }

  private async copyDirectories(lowers: readonly Lower[]): Promise<void> {
    const view = new KernelOverlay('kernel-overlay', { readOnly: true });
    await view.create(lowers);
    try {
      fs.mkdirSync(this.copy);
      await must('cp', ['-a', `${view.mountpoint}/.`, this.copy], { timeoutMs: 300_000 });
    } finally {
      await view.teardown();
    }
  }

  /** A bind mount, so that read-only and unmounting are the same as on the others. */
  async mount(): Promise<void> {
    await must('mount', ['--bind', this.copy, this.mountpoint]);
    if (this.options.readOnly) await must('mount', ['-o', 'remount,bind,ro', this.mountpoint]);
  }
}

/** The options under which the kernel reads and writes what plyfs does. */
export const ORACLE_OPTIONS = 'index=on,redirect_dir=on,metacopy=on,xino=on';

class KernelOverlay extends Directories {
  async mount(): Promise<void> {
    const lowers = [...this.lowers];
    if (this.options.readOnly && lowers.length === 1) {
      const empty = path.join(this.base, 'empty'); // without an upper the kernel wants two lowers
      fs.mkdirSync(empty, { recursive: true });
      lowers.push(empty);
    }
    // Relative where possible: the options of mount(2) must fit one page.
    const short = lowers.map((lower) => (lower.startsWith(this.base + '/') ? path.basename(lower) : lower));
    const options = this.withExtra(this.layerOptions(short), ORACLE_OPTIONS);
    await mountWhenFree(['-t', 'overlay', 'overlay', '-o', options, this.mountpoint], this.base);
  }
}

/** An upper stays in use while a mount namespace made by another process holds a copy of the mount that was here. */
async function mountWhenFree(args: readonly string[], cwd: string): Promise<void> {
  for (const end = Date.now() + 60_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 500))) {
    const { status, stderr } = await run('mount', args, { cwd });
    if (status === 0) return;
    if (!/busy/.test(stderr)) break;
  }
  await must('mount', args, { cwd });
}

class FuseOverlayfs extends Directories {
  async mount(): Promise<void> {
    await must('fuse-overlayfs', ['-o', this.withExtra(this.layerOptions(this.lowers)), this.mountpoint], { timeoutMs: 20_000 });
  }
}

export const plyfsBinary = path.resolve(__dirname, '../../../dist/bin/plyfs');

class Plyfs extends Directories {
  constructor(
    target: string,
    options: SetupOptions,
    private readonly variant: readonly string[],
  ) {
    super(target, options);
  }

  async mount(): Promise<void> {
    if (!fs.existsSync(plyfsBinary)) throw new Error(`${plyfsBinary} does not exist: make build`);
    const options = this.withExtra(this.layerOptions(this.lowers), `transport=${TRANSPORT}`, ...this.variant);
    const log = this.options.log === undefined ? [] : ['--log', this.options.log];
    const { env = process.env } = this.options;
    await must(plyfsBinary, [...log, '-o', options, this.mountpoint], { timeoutMs: 20_000, env });
  }
}

/** The lowers as imported layers of a store, served by an engine of its own: only plyd mounts such. */
class PlyfsImported extends Directories {
  private readonly store = this.options.store?.root ?? path.join(this.base, 'store');
  private readonly logFile = path.join(this.base, 'engine.log');
  private ids = this.options.store?.ids;
  private engine: EngineProcess | undefined;

  async mount(): Promise<void> {
    this.ids ??= await this.import();
    const lowers = this.ids.map((id) => path.join(this.store, 'layers', id));
    const options = parseOptions(this.withExtra(this.layerOptions(lowers), `transport=${TRANSPORT}`));
    options.imported = { objects: path.join(this.store, 'objects'), ids: [...this.ids] };
    const log = fs.openSync(this.options.log ?? this.logFile, 'a');
    const engine = new EngineProcess({ workers: 3, log, foreground: true, label: this.base });
    fs.closeSync(log);
    this.engine = engine;
    const { point, level, dev, device, layers, imported, upper, work } = prepareMount({ options, mountpoint: this.mountpoint });
    const own = upper >= 0 ? [upper, work] : [];
    const descriptors = [device, ...layers, imported!.objects, ...own];
    try {
      await engine.mount({ options, mountpoint: point, dev, writable: upper >= 0, level, imported: imported!.ids }, descriptors);
    } finally {
      for (const fd of descriptors) fs.closeSync(fd);
    }
  }

  /** Layers that are one directory are one layer. */
  private async import(): Promise<string[]> {
    const ids: string[] = [];
    for (const lower of this.lowers) ids.push(await importDirectory(this.store, lower));
    return ids;
  }

  override async unmount(): Promise<void> {
    await super.unmount();
    await this.engine?.ended;
    this.engine?.leave();
    this.engine = undefined;
  }
}

type Make = new (target: string, options: SetupOptions) => Directories;

function simple(name: string, make: Make): Target {
  return { name, setup: (lowers, options = {}) => new make(name, options).create(lowers) };
}

function plyfs(name: string, ...variant: string[]): Target {
  return { name, setup: (lowers, options = {}) => new Plyfs(name, options, variant).create(lowers) };
}

export const targets: readonly Target[] = [
  simple('host', Host),
  simple('kernel-overlay', KernelOverlay),
  simple('fuse-overlayfs', FuseOverlayfs), // to develop the tests with; nothing is expected of it
  plyfs('plyfs', 'workers=3'),
  plyfs('plyfs-one-worker', 'workers=1'),
  plyfs('plyfs-served', 'workers=3', 'passthrough=never'),
  plyfs('plyfs-shared', 'workers=3', 'sharelowers'),
  simple('plyfs-imported', PlyfsImported),
];

export function target(name: string): Target {
  const found = targets.find((one) => one.name === name);
  if (!found) throw new Error(`no target ${name}; there are: ${targets.map((one) => one.name).join(', ')}`);
  return found;
}

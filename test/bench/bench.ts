/** What rows work with: the run's settings and directories, and for each measurement a place that is taken away with all that was made in it. */
import fs from 'node:fs';
import path from 'node:path';
import { mounts } from '../support/mounts.js';
import type { Client } from './client.js';
import { type System, Unavailable } from './contract.js';
import { mountFuseNative } from './fuse-native.js';
import { Plyd } from './plyd.js';
import { allowCommands, command, servers } from './processes.js';
import { type Programs, checkMounted, mount, serversGone, unmount } from './systems.js';

export interface Bench {
  client: Client;
  /** floor.c's binary */
  floor: string;
  /** what is kept for the next run: <cache>/<name>, made whole or not at all (cached) */
  cache: string;
  /** of this run; gone at its end */
  directory: string;
  /** 1: the sizes */
  scale: number;
  programs: Programs;
  /** plyfs is measured without a plyd */
  alone: boolean;
  /** a number of things, by the scale */
  amount(full: number, least?: number): number;
  /** <cache>/name, made by `make` in a directory that is renamed when it is complete; names end in a version */
  cached(name: string, make: (directory: string) => Promise<void>): Promise<string>;
  /** one line for whoever waits */
  say(text: string): void;
}

export interface MountSpec {
  lowers: readonly string[];
  /** what bare gives: `tree` as it lies there, a copy of it to write to, or (without it) an empty directory */
  bare?: { tree: string; copy: boolean };
  readOnly?: boolean;
  kernelOptions?: string;
  /** where upper and work directories go: on the file system of a row's own */
  on?: string;
}

export interface Mounted {
  /** where the tree is seen */
  point: string;
  /** the directory with upper, work and mount point */
  home: string;
  upper: string;
}

export class Place {
  private readonly mounted: string[] = [];
  private readonly homes: string[] = [];
  private readonly deferred: (() => Promise<void>)[] = [];
  private serial = 0;
  private plyd: Promise<Plyd> | undefined;
  /** what whoever reads the results must know */
  readonly remarks: string[] = [];
  /** servers that were there before: of an outer place */
  private readonly before = servers();

  constructor(
    readonly bench: Bench,
    readonly system: System,
    readonly directory: string,
  ) {
    fs.mkdirSync(directory, { recursive: true });
  }

  get client(): Client {
    return this.bench.client;
  }

  remark(text: string): void {
    this.remarks.push(text);
  }

  path(...names: string[]): string {
    return path.join(this.directory, ...names);
  }

  /** Done when the place is taken away, the last one first, before it is unmounted. */
  defer(action: () => Promise<void>): void {
    this.deferred.push(action);
  }

  /** Directories for a mount, not mounted yet. */
  home(on = this.directory): Mounted {
    const home = path.join(on, `c${process.pid}-${this.serial++}`);
    for (const name of ['', 'u', 'w', 'm']) fs.mkdirSync(path.join(home, name));
    this.homes.push(home);
    return { home, point: path.join(home, 'm'), upper: path.join(home, 'u') };
  }

  /** Unmounted with the place, whoever mounts it. */
  expectMount(point: string): void {
    this.mounted.push(point);
  }

  /** A fresh mount, with an upper of its own, as this place's system shows it. */
  async mount(spec: MountSpec, system: System = this.system): Promise<Mounted> {
    const made = this.home(spec.on);
    if (system === 'bare') return this.bareDirectory(spec, made);
    const { home, point, upper } = made;
    const writable = spec.readOnly === true ? {} : { upper, work: path.join(home, 'w') };
    this.expectMount(point);
    if (system === 'fuse-native') {
      await mountFuseNative(this, spec.lowers, point);
      checkMounted(system, point);
      return made;
    }
    if (system === 'floor') {
      if (spec.bare === undefined) throw new Error(`there is no one tree that the floor could show`);
      await command(this.bench.floor, [spec.bare.tree, point]);
      checkMounted(system, point);
      return made;
    }
    const options = spec.kernelOptions === undefined ? {} : { kernelOptions: spec.kernelOptions };
    const env = system === 'dev' || system === 'uring' ? await this.plyfsEnvironment() : {};
    await mount(system, { lowers: spec.lowers, ...writable, ...options }, point, this.bench.programs, env);
    return made;
  }

  /** For plyfs: where the place's plyd is, which serves its mounts. */
  private async plyfsEnvironment(): Promise<{ PLY_SOCKET: string }> {
    if (this.bench.alone || !Plyd.exists(this)) return { PLY_SOCKET: this.path('no-plyd.sock') };
    this.plyd ??= Plyd.start(this);
    return { PLY_SOCKET: (await this.plyd).socket };
  }

  private async bareDirectory({ bare }: MountSpec, made: Mounted): Promise<Mounted> {
    if (bare === undefined) return made;
    if (!bare.copy) return { ...made, point: bare.tree };
    await command('cp', ['-a', `${bare.tree}/.`, made.point], { limitMs: 600_000 });
    return made;
  }

  async unmount(point: string): Promise<void> {
    await unmount(point);
  }

  /** Servers of what this place mounted. */
  servers(): number[] {
    return servers().filter((pid) => !this.before.includes(pid));
  }

  /** Waits for the end of all that served what this place unmounted. */
  async serversGone(): Promise<void> {
    await serversGone(this.before);
  }

  /** Unmounts, waits for the servers' end, and removes all. Goes on after an error, and throws the first. */
  async takeAway(): Promise<void> {
    allowCommands();
    const errors: unknown[] = [];
    const attempt = async (action: () => Promise<void>): Promise<void> => {
      try {
        await action();
      } catch (error) {
        errors.push(error);
      }
    };
    for (const action of this.deferred.splice(0).reverse()) await attempt(action);
    for (const point of this.mounted.splice(0).reverse()) await attempt(() => unmount(point));
    await attempt(() => this.serversGone());
    for (const directory of [...this.homes.splice(0), this.directory]) await attempt(() => remove(directory));
    if (errors.length > 0) throw errors[0];
  }
}

/** Removes a tree, and refuses to cross into a mount. */
export async function remove(directory: string): Promise<void> {
  const inside = mounts().find(({ point }) => point.startsWith(`${directory}/`));
  if (inside !== undefined) throw new Error(`${inside.point} is still mounted: ${directory} stays`);
  await command('rm', ['-rf', '--one-file-system', directory], { limitMs: 600_000 });
}

/** What was written before must not be written back while something is timed. */
export async function settle(): Promise<void> {
  await command('sync', [], { limitMs: 300_000 });
}

export async function cached(cache: string, name: string, make: (directory: string) => Promise<void>): Promise<string> {
  const directory = path.join(cache, name);
  if (fs.existsSync(directory)) return directory;
  const fresh = `${directory}.new`;
  await remove(fresh);
  fs.mkdirSync(fresh, { recursive: true });
  try {
    await make(fresh);
  } catch (error) {
    allowCommands();
    await remove(fresh);
    throw error;
  }
  fs.renameSync(fresh, directory);
  await settle();
  return directory;
}

/** Whether there is room on a directory's file system. */
export function needRoom(directory: string, gib: number): void {
  const { bavail, bsize } = fs.statfsSync(directory);
  const free = (bavail * bsize) / 2 ** 30;
  if (free < gib + 2) throw new Unavailable(`${directory} has ${free.toFixed(1)} GiB free, and ${(gib + 2).toFixed(1)} are needed`);
}

/** Two Debian images on one base, as OCI layouts and archives, and the programs that take such in. Made once, of the Debian root that the demo uses. */
import fs from 'node:fs';
import path from 'node:path';
import { Podman, TOOLS } from '../images/podman.js';
import { mounts } from '../support/mounts.js';
import type { Bench, Place } from './bench.js';
import { Unavailable } from './contract.js';
import { repository } from './options.js';
import { command, start, succeeds } from './processes.js';

const LONG = 900_000;

export interface BuiltImage {
  /** in the layout, and everywhere else */
  name: string;
  /** an oci-archive */
  archive: string;
}

export interface BuiltImages {
  /** an OCI layout with both, layers compressed with gzip */
  layout: string;
  images: BuiltImage[];
  /** files of the first */
  entries: number;
}

/** tar's arguments: what of the root is in which layer, the lowest first. */
const LAYERS: Record<string, string[]> = {
  rest: ['--exclude=./usr/share', '--exclude=./usr/lib', '.'],
  share: ['--no-recursion', '.', './usr', '--recursion', './usr/share'],
  lib: ['--no-recursion', '.', './usr', '--recursion', './usr/lib'],
};

export async function debianImages(bench: Bench): Promise<BuiltImages> {
  for (const name of TOOLS) {
    if (!(await succeeds('sh', ['-c', 'command -v "$0"', name]))) throw new Unavailable(`${name} is not installed: scripts/setup does`);
  }
  const directory = await bench.cached('images-1', make);
  const layout = path.join(directory, 'layout');
  const images = ['debian', 'debian-more'].map((name) => ({ name, archive: path.join(directory, `${name}.tar`) }));
  for (const file of fs.readdirSync(layout, { recursive: true, encoding: 'utf8' })) {
    const whole = path.join(layout, file);
    if (fs.statSync(whole).isFile()) fs.readFileSync(whole); // the disk is not what is measured
  }
  for (const { archive } of images) fs.readFileSync(archive);
  return { layout, images, entries: Number(fs.readFileSync(path.join(directory, 'entries'), 'utf8')) };
}

async function make(fresh: string): Promise<void> {
  const root = (await command(path.join(repository, 'scripts/make-debian-root'), [], { limitMs: LONG })).trim();
  const at = (name: string): string => path.join(fresh, name);
  const layout = at('layout');
  const umoci = (...args: string[]): Promise<string> => command('umoci', args, { limitMs: LONG });
  await umoci('init', '--layout', layout);
  await umoci('new', '--image', `${layout}:debian`);
  for (const [name, members] of Object.entries(LAYERS)) {
    const tar = ['--create', '--format=posix', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--anchored', '-f', at(`${name}.tar`)];
    await command('tar', ['-C', root, ...tar, ...members], { limitMs: LONG });
    await umoci('raw', 'add-layer', '--image', `${layout}:debian`, at(`${name}.tar`));
    fs.rmSync(at(`${name}.tar`));
  }
  await umoci('tag', '--image', `${layout}:debian`, 'debian-more');
  fs.mkdirSync(at('more/opt'), { recursive: true });
  await command('cp', ['-a', path.join(root, 'usr/share/doc'), at('more/opt/doc')], { limitMs: LONG });
  fs.writeFileSync(at('more/opt/new'), 'new\n');
  await command('tar', ['-C', at('more'), '--create', '--format=posix', '-f', at('more.tar'), '.'], { limitMs: LONG });
  await umoci('raw', 'add-layer', '--image', `${layout}:debian-more`, at('more.tar'));
  for (const name of ['more', 'more.tar']) fs.rmSync(at(name), { recursive: true });
  const podman = new Podman(at('podman'));
  for (const name of ['debian', 'debian-more'])
    await podman.skopeo('copy', '-q', `oci:${layout}:${name}`, `oci-archive:${at(`${name}.tar`)}:${name}`);
  fs.rmSync(at('podman'), { recursive: true });
  const listed = await command('sh', ['-c', 'find "$0" -mindepth 1 -printf x | wc -c', root], { limitMs: LONG });
  fs.writeFileSync(at('entries'), listed.trim());
}

/** Seconds that a command takes. */
export async function timed(name: string, args: readonly string[], env?: NodeJS.ProcessEnv): Promise<number> {
  const began = process.hrtime.bigint();
  await start(name, args, { limitMs: LONG, ...(env && { env }) }).output;
  return Number(process.hrtime.bigint() - began) / 1e9;
}

/** What an OCI layout becomes below a directory. */
export async function unpack(layout: string, image: string, to: string): Promise<number> {
  return timed('umoci', ['unpack', '--image', `${layout}:${image}`, to]);
}

/** podman with a storage of the place's own. */
export class PlacedPodman {
  private constructor(private readonly podman: Podman) {}

  static make(place: Place): PlacedPodman {
    const podman = new Podman(place.path('podman'));
    place.defer(() => podman.end());
    return new PlacedPodman(podman);
  }

  async load(archive: string): Promise<number> {
    const began = process.hrtime.bigint();
    await this.podman.run('load', '-q', '-i', archive);
    return Number(process.hrtime.bigint() - began) / 1e9;
  }

  /** Its mount of the graph goes: what is below can be counted then. */
  settle(): Promise<void> {
    return this.podman.end();
  }

  get graph(): string {
    return path.join(this.podman.directory, 'graph');
  }
}

export function plyProgram(place: Place): string {
  return path.join(path.dirname(place.bench.programs.plyd), 'ply');
}

/** MiB of disk that a tree takes, hard links once. */
export async function diskUse(directory: string): Promise<number> {
  if (mounts().some(({ point }) => point.startsWith(`${directory}/`))) throw new Error(`something is mounted below ${directory}`);
  const [kib] = (await command('du', ['-sk', '--one-file-system', directory], { limitMs: LONG })).split('\t');
  return Number(kib) / 1024;
}

/**
 * Debian roots for the rows that run real programs: minbase with a package repository of files, and the same with tools installed. Made once, from a
 * mirror; nothing that is timed uses the network.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type Bench, type Mounted, Place } from './bench.js';
import type { Ran } from './client.js';
import { repository } from './options.js';
import { type CommandOptions, command } from './processes.js';
import { Dice } from './trees.js';

/** What the apt row installs. */
export const INSTALLED = ['git', 'python3', 'gcc'];

/** What the other rows run, and something big to import. */
const TOOLS = [...INSTALLED, 'g++', 'libc6-dev', 'make', 'python3-numpy', 'python3-sympy'];

/** A stack, and the same tree as one directory. */
export interface Root {
  /** topmost first */
  lowers: string[];
  merged: string;
}

const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LC_ALL: 'C',
  DEBIAN_FRONTEND: 'noninteractive',
  GIT_AUTHOR_NAME: 'bench',
  GIT_AUTHOR_EMAIL: 'bench@localhost',
  GIT_COMMITTER_NAME: 'bench',
  GIT_COMMITTER_EMAIL: 'bench@localhost',
};

const LONG = 900_000;

/** A shell in a chroot with mounts and processes of its own: nothing of it outlives it. */
function chroot(point: string, script: string): string[] {
  const prelude = 'mount --rbind /dev "$0/dev"; mount -t proc proc "$0/proc"; exec chroot "$0" /bin/sh -euc "$1"';
  const unshare = ['--mount', '--pid', '--ipc', '--net', '--fork', '--kill-child', '--propagation', 'private'];
  return ['unshare', ...unshare, 'sh', '-euc', prelude, point, script];
}

/** What it printed. */
export function inside(point: string, script: string, options: CommandOptions = {}): Promise<string> {
  const [name, ...args] = chroot(point, script);
  return command(name, args, { limitMs: LONG, env: ENVIRONMENT, ...options });
}

/** How long it took; a millisecond or two of it are the namespaces. */
export function timedInside(place: Place, point: string, script: string, out?: string): Promise<Ran> {
  return place.client.run(chroot(point, script), { limitMs: 290_000, env: ENVIRONMENT, ...(out !== undefined && { out }) });
}

export const APT_INSTALL = 'apt-get install -y -q -o Dpkg::Use-Pty=0 -o APT::Sandbox::User=root --no-install-recommends';

async function copyOf(root: string, to: string): Promise<void> {
  fs.mkdirSync(to, { recursive: true });
  await command('cp', ['-a', `${root}/.`, to], { limitMs: LONG });
}

/** The packages and all that they need beyond the root, by this machine's own apt (Debian 12 too) and mirror. */
async function download(root: string, to: string): Promise<void> {
  const archives = path.join(to, 'archives');
  fs.mkdirSync(path.join(archives, 'partial'), { recursive: true });
  const settings = [
    `Dir::State::status=${root}/var/lib/dpkg/status`,
    `Dir::Cache::archives=${archives}`,
    'Debug::NoLocking=1',
    'APT::Sandbox::User=root',
  ];
  const args = ['-y', '-q', ...settings.flatMap((one) => ['-o', one]), '--no-install-recommends', '--download-only', 'install', ...TOOLS];
  try {
    await command('apt-get', args, { limitMs: LONG });
  } catch {
    await command('apt-get', ['update', '-q'], { limitMs: LONG }); // the lists are older than what the mirror has
    await command('apt-get', args, { limitMs: LONG });
  }
  for (const name of ['partial', 'lock']) fs.rmSync(path.join(archives, name), { recursive: true, force: true });
}

/** base: minbase; repo: /repo and the settings for it; lists: what apt-get update made of it. */
async function makeRepository(bench: Bench, fresh: string): Promise<void> {
  const made = await command(path.join(repository, 'scripts/make-debian-root'), [], { limitMs: LONG });
  const at = (...names: string[]): string => path.join(fresh, ...names);
  await copyOf(made.trim(), at('base'));
  await download(at('base'), fresh);
  fs.mkdirSync(at('repo'));
  fs.renameSync(at('archives'), at('repo/repo'));
  await command('sh', ['-c', 'cd "$1" && dpkg-scanpackages . >Packages', 'sh', at('repo/repo')], { limitMs: LONG });
  fs.mkdirSync(at('repo/etc/apt'), { recursive: true });
  fs.writeFileSync(at('repo/etc/apt/sources.list'), 'deb [trusted=yes] file:/repo ./\n');
  fs.mkdirSync(at('repo/etc/dpkg/dpkg.cfg.d'), { recursive: true });
  fs.writeFileSync(at('repo/etc/dpkg/dpkg.cfg.d/docker-apt-speedup'), 'force-unsafe-io\n'); // as every Debian image has it
  await layer(bench, [at('repo'), at('base')], at('lists'), async (point) => {
    await inside(point, 'rm -f /etc/apt/sources.list.d/*; apt-get update -q -o APT::Sandbox::User=root');
  });
  await flatten(bench, [at('lists'), at('repo'), at('base')], at('merged'));
}

/** A layer as the kernel's overlay writes it. */
async function layer(bench: Bench, lowers: string[], to: string, make: (point: string) => Promise<void>): Promise<void> {
  await withPlace(bench, async (place) => {
    const { point, home, upper } = await place.mount({ lowers, on: path.dirname(to) });
    await make(point);
    await place.unmount(point);
    fs.renameSync(upper, to);
    fs.rmSync(path.join(home, 'w'), { recursive: true });
  });
}

async function flatten(bench: Bench, lowers: string[], to: string): Promise<void> {
  await withPlace(bench, async (place) => {
    const { point } = await place.mount({ lowers, readOnly: true });
    await copyOf(point, to);
  });
}

async function withPlace(bench: Bench, work: (place: Place) => Promise<void>): Promise<void> {
  const place = new Place(bench, 'ov', path.join(bench.directory, 'making'));
  try {
    await work(place);
  } finally {
    await place.takeAway();
  }
}

/** Minbase, with packages at file:/repo ready to be installed. */
export async function aptRoot(bench: Bench): Promise<Root> {
  const directory = await bench.cached('debian-1', (fresh) => makeRepository(bench, fresh));
  return { lowers: ['lists', 'repo', 'base'].map((name) => path.join(directory, name)), merged: path.join(directory, 'merged') };
}

const SOURCES = 60;

/** A program of many files; it prints a number that comes from all of them. */
function writeProgram(directory: string): void {
  const dice = new Dice(7);
  fs.mkdirSync(directory, { recursive: true });
  const names = Array.from({ length: SOURCES }, (_, i) => `part${i}`);
  for (const [index, name] of names.entries()) {
    fs.writeFileSync(path.join(directory, `${name}.h`), `int ${name}(int x);\n`);
    const bodies = Array.from(
      { length: 20 },
      (_, i) => `static int f${i}(int x) { return (x * ${1 + dice.below(1000)} + ${dice.below(1000)}) % 10007; }\n`,
    );
    const calls = bodies.map((_, i) => `f${i}(`).join('');
    const includes = [
      '<stdio.h>',
      '<stdlib.h>',
      '<string.h>',
      '<math.h>',
      '<sys/stat.h>',
      '<unistd.h>',
      `"part${(index + 1) % SOURCES}.h"`,
      `"${name}.h"`,
    ];
    const text = `${includes.map((one) => `#include ${one}\n`).join('')}${bodies.join('')}int ${name}(int x) { return ${calls}x${')'.repeat(bodies.length)}; }\n`;
    fs.writeFileSync(path.join(directory, `${name}.c`), text);
  }
  const main = `#include <stdio.h>\n${names.map((name) => `#include "${name}.h"\n`).join('')}int main(void) { int x = 1;\n${names.map((name) => `  x = ${name}(x);\n`).join('')}  printf("%d\\n", x);\n}\n`;
  fs.writeFileSync(path.join(directory, 'main.c'), main);
  const objects = ['main', ...names].map((name) => `${name}.o`).join(' ');
  fs.writeFileSync(
    path.join(directory, 'Makefile'),
    `CFLAGS = -O1\nprogram: ${objects}\n\t$(CC) -o $@ $^\n${objects}: ${names.map((name) => `${name}.h`).join(' ')}\n`,
  );
}

/** The same with git, python3, gcc, make, numpy, sympy installed, and the sources of a program in /src. */
export async function toolsRoot(bench: Bench): Promise<Root> {
  const base = await aptRoot(bench);
  const directory = await bench.cached('tools-1', async (fresh) => {
    await layer(bench, base.lowers, path.join(fresh, 'tools'), async (point) => {
      await inside(point, `${APT_INSTALL} ${TOOLS.join(' ')}`);
      writeProgram(path.join(point, 'src'));
    });
    await flatten(bench, [path.join(fresh, 'tools'), ...base.lowers], path.join(fresh, 'merged'));
  });
  return { lowers: [path.join(directory, 'tools'), ...base.lowers], merged: path.join(directory, 'merged') };
}

/** Reads all files once, so that the disk is not what is measured. */
export async function warmRoot(root: Root): Promise<Root> {
  for (const directory of [...root.lowers, root.merged]) {
    await command('sh', ['-c', 'find "$1" -type f -print0 | xargs -0 cat >/dev/null', 'sh', directory], { limitMs: LONG });
  }
  return root;
}

export function mountRoot(place: Place, { lowers, merged }: Root): Promise<Mounted> {
  return place.mount({ lowers, bare: { tree: merged, copy: true } });
}

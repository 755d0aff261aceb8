/** How each system shows a stack of directories as one tree. */
import fs from 'node:fs';
import path from 'node:path';
import { abortFuse, mountAt } from '../support/mounts.js';
import { type System, Unavailable } from './contract.js';
import { command, commandLine, servers, sleep, succeeds } from './processes.js';

export interface Stack {
  /** absolute, topmost first */
  lowers: readonly string[];
  /** without them the mount is read-only */
  upper?: string;
  work?: string;
  /** for the kernel's overlay only */
  kernelOptions?: string;
}

export interface Programs {
  plyfs: string;
  plyd: string;
}

const MOUNT_LIMIT_MS = 120_000;

/** The kernel takes a page of options: names relative to where most of the lowers are. */
function kernelArguments(stack: Stack): { cwd: string; options: string } {
  const cwd = path.dirname(stack.lowers[stack.lowers.length - 1]);
  const short = (name: string): string => (path.dirname(name) === cwd ? path.basename(name) : name);
  const parts = [`lowerdir=${stack.lowers.map(short).join(':')}`, ...writable(stack), ...(stack.kernelOptions ?? '').split(',')];
  return { cwd, options: parts.filter((part) => part !== '').join(',') };
}

function writable({ upper, work }: Stack): string[] {
  return upper === undefined ? [] : [`upperdir=${upper}`, `workdir=${work ?? ''}`];
}

/** Systems that are mounted as users do it, by a command with the stack in its options. */
const BY_COMMAND = ['ov', 'fo', 'dev', 'uring'] as const;
export type ByCommand = (typeof BY_COMMAND)[number];

export const isByCommand = (system: System): system is ByCommand => BY_COMMAND.some((one) => one === system);

export function mountCommand(system: ByCommand, stack: Stack, point: string, programs: Programs): { words: string[]; cwd: string } {
  if (system === 'ov') {
    const { cwd, options } = kernelArguments(stack);
    return { words: ['mount', '-t', 'overlay', 'overlay', '-o', options, point], cwd };
  }
  const options = [`lowerdir=${stack.lowers.join(':')}`, ...writable(stack)];
  if (system === 'fo') return { words: ['fuse-overlayfs', '-o', options.join(','), point], cwd: '/' };
  return { words: [programs.plyfs, '-o', [...options, `transport=${system}`].join(','), point], cwd: '/' };
}

export async function mount(
  system: ByCommand,
  stack: Stack,
  point: string,
  programs: Programs,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const { words, cwd } = mountCommand(system, stack, point, programs);
  await command(words[0], words.slice(1), { cwd, limitMs: MOUNT_LIMIT_MS, env: { ...process.env, ...env } });
  checkMounted(system, point);
}

const TYPES = {
  ov: 'overlay',
  fo: 'fuse.fuse-overlayfs',
  dev: 'fuse.plyfs',
  uring: 'fuse.plyfs',
  'fuse-native': 'fuse.plyfs',
  floor: 'fuse.floor',
};

export const isUring = (system: System): boolean => system === 'uring' || system === 'floor';

/** That what is measured is what it is called. */
export function checkMounted(system: Exclude<System, 'bare'>, point: string): void {
  const type = mountAt(point)?.type;
  if (type !== TYPES[system])
    throw new Error(`${point} is ${type === undefined ? 'not mounted' : `of type ${type}`} after mounting ${system}`);
  if (isUring(system) && !servers().some(hasRing)) {
    throw new Unavailable('the server took transport=uring, but none of its processes has an io_uring');
  }
}

function hasRing(pid: number): boolean {
  const directory = `/proc/${pid}/fd`;
  try {
    return fs.readdirSync(directory).some((fd) => linkOf(`${directory}/${fd}`) === 'anon_inode:[io_uring]');
  } catch {
    return false; // it ended while we looked
  }
}

/** Undefined: it was closed meanwhile. */
function linkOf(file: string): string | undefined {
  try {
    return fs.readlinkSync(file);
  } catch {
    return undefined;
  }
}

/** Ends whatever holds on to the mount, and unmounts it. What does not answer is torn away; that is an error, and nothing stays behind. */
export async function unmount(point: string): Promise<void> {
  const end = Date.now() + 20_000;
  while (mountAt(point) !== undefined && Date.now() < end) {
    if (await succeeds('umount', [point], { limitMs: 60_000 })) continue;
    await sleep(100); // busy: RELEASE trails close
  }
  const left = mountAt(point);
  if (left === undefined) return;
  await succeeds('umount', ['-l', '--no-canonicalize', point], { limitMs: 10_000 });
  if (left.type.startsWith('fuse')) await abortFuse(left);
  throw new Error(`${point} (${left.type}) could not be unmounted`);
}

const SERVER_LIMIT_MS = 60_000;

/** The servers of what was unmounted end by themselves (they may have to wait for the disk); which do not, are killed, and named in the error. */
export async function serversGone(except: readonly number[] = []): Promise<void> {
  const left = (): number[] => servers().filter((pid) => !except.includes(pid));
  const end = Date.now() + SERVER_LIMIT_MS;
  while (left().length > 0) {
    await sleep(50);
    if (Date.now() < end) continue;
    const names = left().map((pid) => `${pid} ${commandLine(pid)}`);
    for (const pid of left()) process.kill(pid, 'SIGKILL');
    throw new Error(`still running after the unmount: ${names.join('; ')}`);
  }
}

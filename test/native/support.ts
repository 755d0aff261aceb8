/**
 * What the tests of the addon share: an arena with a bump allocator, a directory to work in, and children with a time limit.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, constants as fsConstants, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { native } from '../../native-bindings/index';

export { native };
export const E = constants.errno;
export const O = fsConstants;
/** Of <fcntl.h>, not in Node's table. */
export const O_PATH = 0o10000000;
export const O_CLOEXEC = 0o2000000;
export const O_TMPFILE = 0o20200000;

const root = join(__dirname, '../../..');
export const ADDON = join(root, 'native-bindings/build/Release/plyfs.node');
export const FAULTS_ADDON = join(root, 'native-bindings/build-faults/Release/plyfs.node');

export const ARENA_MIB = 64;
export const ARENA_SIZE = ARENA_MIB << 20;
export const arenaFd = native.arenaCreate(ARENA_MIB);
export const memory = Buffer.from(native.arenaBuffer());
export const words = new Int32Array(native.arenaBuffer());

let next = 4096;

/** `size` zero bytes, 8-aligned. Nothing is given back: a test file needs little. */
export function room(size: number): number {
  const offset = next;
  next += (size + 7) & ~7;
  if (next > ARENA_SIZE - 8192) throw new Error('the test needs a larger arena');
  return offset;
}

/** A NUL-terminated copy in the arena. */
export function put(text: string | Uint8Array): number {
  const bytes = Buffer.from(text as string);
  const offset = room(bytes.length + 1);
  memory.set(bytes, offset);
  return offset;
}

export const EMPTY = put('');

/** The two words of a 64-bit argument. */
export function wide(value: number | bigint): [low: number, high: number] {
  const bits = BigInt(value);
  return [Number(BigInt.asIntN(32, bits)), Number(BigInt.asIntN(32, bits >> 32n))];
}

export interface Directory {
  path: string;
  fd: number;
}

/** A directory that goes with the test. `parent` chooses the file system. */
export function workDirectory(t: Test, parent: string = tmpdir()): Directory {
  const path = mkdtempSync(join(parent, 'plyfs-native-'));
  const fd = openSync(path, O.O_RDONLY | O.O_DIRECTORY);
  t.teardown(() => {
    closeSync(fd);
    rmSync(path, { recursive: true, force: true });
  });
  return { path, fd };
}

/** Fails unless `value` is a descriptor, and closes it with the test. */
export function opened(t: Test, value: number): number {
  if (value < 0) throw new Error(`expected a descriptor, got errno ${-value}`);
  t.teardown(() => native.close(value));
  return value;
}

export interface ChildResult {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** Runs code in a Node of its own, with `native` being a fresh addon, for 20 seconds at most. What it prints is the result. */
export function inChild(code: string, addon = ADDON, stdio: number[] = []): ChildResult {
  const prelude = `const native = require(${JSON.stringify(addon)}); const print = (v) => console.log(JSON.stringify(v));`;
  const out = spawnSync(process.execPath, ['-e', `${prelude}${code}`], {
    encoding: 'utf8',
    timeout: 20_000,
    killSignal: 'SIGKILL',
    stdio: ['ignore', 'pipe', 'pipe', ...stdio],
  });
  return { status: out.status, signal: out.signal, stdout: out.stdout.trim(), stderr: out.stderr };
}

/** Runs the calling test file again with one more environment variable, as a subtest; undefined in that second run. */
export function againWith(t: Test, variable: string, file: string): Promise<unknown> | undefined {
  if (process.env[variable] === '1') return undefined;
  return t.spawn(process.execPath, [file], { env: { ...process.env, [variable]: '1' } }, `again with ${variable}=1`);
}

/** The functions as JavaScript sees them, for arguments that TypeScript would not let through. */
export const untyped = native as unknown as Record<string, (...args: unknown[]) => unknown>;

/**
 * The npm package fuse-native, as far as it is used here. It is an optional peer dependency: nobody gets it with plyfs, and whoever wants the driver
 * installs it. It is a binding of libfuse 2, which the system has to have.
 */
import { resolve } from 'node:path';
import { MountRefused } from '../mounting';

/** Ends a request: a count or 0, or a negative errno. The buffer is the one that the request came with. */
export type Signal = (result: number, buffer: ArrayBufferLike) => void;

export interface FuseStat {
  mode: number;
  nlink?: number;
  uid?: number;
  gid?: number;
  size?: number;
  blocks?: number;
  blksize?: number;
  rdev?: number;
  /** it has 32 bits for it */
  ino: number;
  /** milliseconds since 1970, not negative */
  atime: number;
  mtime: number;
  ctime: number;
}

/** Each is 32 bits wide there. */
export interface FuseStatfs {
  bsize: number;
  frsize: number;
  blocks: number;
  bfree: number;
  bavail: number;
  files: number;
  ffree: number;
  favail: number;
  namemax: number;
}

/** Operations by path. What a callback gets first is 0 or a negative errno, but for `read`: the count. */
export interface FuseOperations {
  getattr(path: string, done: (result: number, stat?: FuseStat) => void): void;
  readlink(path: string, done: (result: number, target?: string) => void): void;
  readdir(path: string, done: (result: number, names?: readonly string[], stats?: readonly FuseStat[]) => void): void;
  open(path: string, flags: number, done: (result: number, handle?: number) => void): void;
  read(path: string, handle: number, buffer: Buffer, length: number, position: number, done: (result: number) => void): void;
  release(path: string, handle: number, done: (result: number) => void): void;
  statfs(path: string, done: (result: number, statfs?: FuseStatfs) => void): void;
  /** Only that they are there counts: the methods of {@link Fuse} are called. */
  getxattr(): void;
  listxattr(): void;
}

/**
 * An object of fuse-native's class. The methods with an underscore are its own, which a subclass has to replace: its options cannot say use_ino, suid, dev
 * or negative_timeout, and its xattr operations do not say how large the caller's buffer is, which makes EIO of ERANGE, and reads behind the buffer's end.
 */
export interface Fuse {
  mount(done: (error: Error | null) => void): void;
  _fuseOptions(): string;
  _op_getxattr(signal: Signal, path: string, name: string, value: Buffer): void;
  _op_listxattr(signal: Signal, path: string, list: Buffer): void;
}

export type FuseClass = new (mountpoint: string, operations: FuseOperations, options: { timeout: false }) => Fuse;

/** Where npm is to install it to be found. */
const HOME = resolve(__dirname, '..', '..', '..', '..');

/** A plain --no-save does nothing there: npm takes an optional peer that is not installed for settled. */
const INSTALL = 'npm install --no-save --save-optional fuse-native';

/** Throws MountRefused with what is missing, and what to do. */
export function loadFuseNative(): FuseClass {
  let loaded: unknown;
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- it need not be there
    loaded = require('fuse-native');
  } catch (error) {
    throw new MountRefused(`the driver fuse-native cannot be had: ${reason(error as NodeJS.ErrnoException)}`);
  }
  const methods = (loaded as { prototype?: Partial<Fuse> }).prototype;
  for (const name of ['mount', '_fuseOptions', '_op_getxattr', '_op_listxattr'] as const) {
    if (typeof methods?.[name] === 'function') continue;
    throw new MountRefused(
      `the driver fuse-native cannot be had: the installed fuse-native is none that plyfs knows (it has no ${name}): ${INSTALL}@2.2.6`,
    );
  }
  return loaded as FuseClass;
}

function reason({ code, message }: NodeJS.ErrnoException): string {
  const [first = ''] = message.split('\n', 1);
  if (code === 'MODULE_NOT_FOUND' && first.includes("'fuse-native'")) {
    return `the npm package fuse-native is not installed: run "${INSTALL}" in ${HOME}, or have plyd's NODE_PATH name a node_modules directory that has it`;
  }
  if (/libfuse\.so/.test(first)) {
    return `the library libfuse 2 (libfuse.so.2) is missing: apt-get install libfuse2 (${first})`;
  }
  return `fuse-native is installed and cannot be loaded (${first}): install it again, where it can be built (${INSTALL}; it wants libfuse2, and a compiler but on x86-64)`;
}

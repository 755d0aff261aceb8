/**
 * Faults in an engine, from outside: the k-th system call that it makes on its layers fails with an errno of choice.
 *
 * Needs the build with faults (npm run build:native:faults) in native-bindings/build-faults. The engine maps a file, whose format is
 * struct Control of native-bindings/src/faults.c; whoever starts it passes {@link Faults.env} on.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const root = path.resolve(__dirname, '../../..');
export const FAULTS_ADDON = path.join(root, 'native-bindings/build-faults/Release/plyfs.node');

/** Builds the addon with faults unless it is as new as its sources. */
export function buildFaults(): void {
  const sources = path.join(root, 'native-bindings/src');
  const built = fs.statSync(FAULTS_ADDON, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (fs.readdirSync(sources).every((name) => fs.statSync(path.join(sources, name)).mtimeMs < built)) return;
  const headers = path.resolve(process.execPath, '../../include/node/node_api.h');
  const env = { ...process.env, ...(fs.existsSync(headers) ? { npm_config_nodedir: path.resolve(process.execPath, '../..') } : {}) };
  execFileSync('npm', ['run', 'build:native:faults'], { cwd: root, stdio: 'pipe', env });
}

/**
 * The calls that may fail: what the overlay asks of its layers. Not close(2), which has closed even where it fails, nor what only serves
 * FORGET.
 */
export const CALLS = [
  'openat',
  'openBeneath',
  'openDirectory',
  'stat',
  'statAll',
  'mkdirat',
  'mknodat',
  'symlinkat',
  'readlinkat',
  'unlinkat',
  'renameat2',
  'linkat',
  'fchownat',
  'fchmodat',
  'utimensat',
  'truncateat',
  'getxattr',
  'setxattr',
  'listxattr',
  'removexattr',
  'readDirents',
  'pread',
  'pwrite',
  'lseek',
  'statvfs',
  'fileHandle',
  'backingOpenAt',
  'job:COPY',
  'job:FSYNC',
  'job:FALLOCATE',
  'job:COPY_RANGE',
] as const;

/** Of the file, in bytes. */
const enum Control {
  ON = 0,
  FAIL_AT = 4,
  TIMES = 8,
  ERROR = 12,
  SEEN = 16,
  FAILED = 20,
  NAME_COUNT = 24,
  NAMES = 28,
  NAME_SIZE = 48,
  LOG = NAMES + 64 * NAME_SIZE,
  SIZE = LOG + 1024 * NAME_SIZE,
}

export interface Fault {
  /** number of the call, from 0; -1: none fails, they are only counted */
  at: number;
  errno: number;
  /** how many fail from there on; -1: all */
  times?: number;
}

export interface Counted {
  /** names of the calls that were made, in order */
  calls: string[];
  /** how many of them failed by us */
  failed: number;
}

export class Faults {
  private readonly fd: number;

  constructor(
    readonly file: string,
    names: readonly string[] = CALLS,
  ) {
    this.fd = fs.openSync(file, 'wx+', 0o600);
    const bytes = Buffer.alloc(Control.SIZE);
    bytes.writeInt32LE(-1, Control.FAIL_AT);
    bytes.writeInt32LE(names.length, Control.NAME_COUNT);
    names.forEach((name, index) => bytes.write(name, Control.NAMES + index * Control.NAME_SIZE));
    fs.writeSync(this.fd, bytes);
  }

  /** For the process that starts the engine. */
  get env(): NodeJS.ProcessEnv {
    return { ...process.env, PLYFS_FAULTS: '1', PLYFS_FAULT_CONTROL: this.file };
  }

  /** From here on calls are counted, and fail as asked. */
  arm({ at, errno, times = 1 }: Fault): void {
    const words = Buffer.alloc(24);
    [0, at, times, errno, 0, 0].forEach((word, index) => words.writeInt32LE(word, index * 4));
    fs.writeSync(this.fd, words, 0, 24, 0);
    words.writeInt32LE(1, 0);
    fs.writeSync(this.fd, words, 0, 4, 0);
  }

  disarm(): Counted {
    fs.writeSync(this.fd, Buffer.alloc(4), 0, 4, 0);
    const bytes = Buffer.alloc(Control.SIZE);
    fs.readSync(this.fd, bytes, 0, Control.SIZE, 0);
    const calls = Array.from({ length: Math.min(bytes.readInt32LE(Control.SEEN), 1024) }, (_, index) => {
      const from = Control.LOG + index * Control.NAME_SIZE;
      return bytes.toString('latin1', from, bytes.indexOf(0, from));
    });
    return { calls, failed: bytes.readInt32LE(Control.FAILED) };
  }

  close(): void {
    fs.closeSync(this.fd);
  }
}

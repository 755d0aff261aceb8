/**
 * Real system calls, from a process that can be killed: the typed side of the helper whose format and operations syscalls.c describes.
 *
 *   const helper = Syscalls.start(mountpoint, { timeoutMs: 20_000 });
 *   const [made, seen] = await helper.run([op('mkdir', { path: 'd' }), op('stat', { path: 'd' })]);
 *   made.error === 'ok'; seen.fields.type === 'd'
 *   await helper.end();
 */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/** A name, a path, data: a string means its UTF-8 bytes, a Buffer any bytes. */
export type Bytes = string | Buffer;

/** Who does it, for this operation only: `uid` alone also takes the same gid and no groups. */
export interface As {
  uid?: number;
  gid?: number;
  groups?: readonly number[];
  umask?: number;
  /** another process, forked at its first use */
  proc?: string;
  /** with proc: answered at once; `collect` gives the answer */
  defer?: boolean;
}

interface OnPath {
  path: Bytes;
  /** a descriptor of a directory that `path` is relative to */
  at?: string;
}
/** One of path and fd. */
interface OnFile extends Partial<OnPath> {
  fd?: string;
  follow?: boolean;
}
interface OnDescriptor {
  fd: string;
}
interface Renaming extends OnPath {
  to: Bytes;
  toat?: string;
}
interface Range {
  off?: number | string;
  len?: number | string;
}
interface CopyRange extends Range, OnDescriptor {
  tofd: string;
  tooff?: number;
}
interface Lock extends OnDescriptor {
  kind: 'rd' | 'wr' | 'un';
  start?: number;
  len?: number;
  ofd?: boolean;
  wait?: boolean;
}

/** Every operation and its arguments; see syscalls.c for what they answer. `mode` is a number here, written 0o644. */
export interface Operations {
  open: OnPath & OnDescriptor & { flags?: string; mode?: number };
  close: OnDescriptor;
  dup: OnDescriptor & { to: string };
  stat: OnFile;
  mkdir: OnPath & { mode?: number };
  mknod: OnPath & { mode: number; dev?: string };
  symlink: OnPath & { target: Bytes };
  readlink: OnFile;
  link: Renaming & { follow?: boolean };
  linkfd: OnDescriptor & { to: Bytes; toat?: string };
  unlink: OnPath;
  rmdir: OnPath;
  rename: Renaming & { flags?: string };
  chmod: OnFile & { mode: number };
  chown: OnFile & { owner?: number; group?: number };
  utimens: OnFile & { atime?: string; mtime?: string };
  access: OnPath & { mode?: string };
  truncate: OnFile & { size: number | string };
  statfs: OnFile;
  getflags: OnDescriptor;
  setflags: OnDescriptor & { value: number };
  read: OnFile & Range & { flags?: string; full?: boolean; once?: boolean };
  write: OnFile & Range & { flags?: string; data?: Bytes; pattern?: number };
  lseek: OnDescriptor & { off: number | string; whence?: 'SET' | 'CUR' | 'END' | 'DATA' | 'HOLE' };
  segments: OnFile;
  fallocate: OnDescriptor & Range & { mode?: string };
  copyrange: CopyRange;
  sendfile: Omit<CopyRange, 'tooff'>;
  fsync: OnDescriptor;
  fdatasync: OnDescriptor;
  syncfs: OnDescriptor;
  mmap: OnDescriptor & Range & { map: string; prot?: string; private?: boolean };
  mread: Range & { map: string };
  mwrite: { map: string; off?: number; data: Bytes };
  msync: { map: string };
  munmap: { map: string };
  flock: OnDescriptor & { kind: 'sh' | 'ex' | 'un'; wait?: boolean };
  lock: Lock;
  getlock: Omit<Lock, 'wait'>;
  collect: { proc: string };
  list: OnFile & { ino?: boolean; dots?: boolean; size?: number; own?: boolean };
  getdents: OnDescriptor & { size?: number; keep?: string; dots?: boolean };
  seekdir: OnDescriptor & { keep?: string };
  seekcheck: OnFile & { size?: number };
  getxattr: OnFile & { name: string; size?: number };
  setxattr: OnFile & { name: string; value?: Bytes; size?: number; flags?: 'CREATE' | 'REPLACE' };
  listxattr: OnFile & { size?: number };
  removexattr: OnFile & { name: string };
  handle: OnPath & { keep: string };
  openhandle: OnDescriptor & { keep: string; at: string; flags?: string };
  watch: OnDescriptor & OnPath & { mask?: number };
  events: OnDescriptor;
  exec: { path: Bytes; arg?: readonly Bytes[] };
  chdir: OnFile;
  sleep: { ms: number };
  ids: object;
  drop: object;
  remove: OnPath;
  manifest: OnPath & { hash?: boolean; xattrs?: boolean; private?: boolean; ino?: boolean };
}

export type Verb = keyof Operations;
export type Operation = { [V in Verb]: { verb: V } & Operations[V] & As }[Verb];

/** Values are as the helper prints them: bytes that are not printable ASCII stand as \xHH ({@link unescape} undoes it). */
export type Fields = Record<string, string>;
export interface Outcome {
  /** 'ok', or the errno's name, or 'SIGBUS' */
  error: string;
  fields: Fields;
  rows: Fields[];
}

export function op<V extends Verb>(verb: V, args: Operations[V] & As): Operation {
  return { verb, ...args } as unknown as Operation;
}

export function escape(value: Bytes): string {
  return Buffer.from(value as string)
    .toString('latin1')
    .replace(/[^!-[\]-~]/g, (c) => '\\x' + c.charCodeAt(0).toString(16).padStart(2, '0'));
}

export function unescape(value: string): Buffer {
  return Buffer.from(
    value.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))),
    'latin1',
  );
}

function encodeValue(key: string, value: unknown): string {
  if (key === 'mode' && typeof value === 'number') return '0' + value.toString(8);
  if (key === 'umask') return (value as number).toString(8);
  if (key === 'groups') return (value as number[]).join(',');
  if (typeof value === 'boolean') return value ? '1' : '0';
  return escape(typeof value === 'number' ? String(value) : (value as Bytes));
}

/** One request line. A string is a line already (script.ts makes them). */
export function encode(operation: Operation | string): string {
  if (typeof operation === 'string') return operation + '\n';
  const { verb, ...args } = operation;
  let line: string = verb;
  for (const [key, value] of Object.entries(args)) {
    if (key === 'arg') for (const one of value as Bytes[]) line += ` arg=${escape(one)}`;
    else if (value !== undefined) line += ` ${key}=${encodeValue(key, value)}`;
  }
  return line + '\n';
}

/** `key=value key=value…` */
export function parseFields(line: string, from = 0): Fields {
  const fields: Fields = {};
  for (const token of line.slice(from).split(' ')) {
    const equals = token.indexOf('=');
    if (equals > 0) fields[token.slice(0, equals)] = token.slice(equals + 1);
  }
  return fields;
}

const root = path.resolve(__dirname, '../../..');
const binary = path.join(root, 'dist/test/support/syscalls');

/** Compiles the helper when it is missing or older than its sources; the path of the binary. */
export function buildHelper(): string {
  const folder = path.join(root, 'test/support');
  const sources = fs
    .readdirSync(folder)
    .filter((name) => /^syscalls.*\.[ch]$/.test(name))
    .map((name) => path.join(folder, name));
  const built = fs.statSync(binary, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (sources.every((source) => fs.statSync(source).mtimeMs < built)) return binary;
  fs.mkdirSync(path.dirname(binary), { recursive: true });
  const fresh = `${binary}.${process.pid}`; // renamed into place: several test files may build at once
  execFileSync('cc', ['-std=gnu17', '-O2', '-Wall', '-Wextra', '-o', fresh, ...sources.filter((source) => source.endsWith('.c'))], {
    stdio: 'inherit',
  });
  fs.renameSync(fresh, binary);
  return binary;
}

export interface SyscallsOptions {
  /** for one run(), default 30 s */
  timeoutMs?: number;
  /** called when the limit has passed and the helper was killed: the file system may have to be torn away under it */
  onHang?: () => void | Promise<void>;
}

/** The file system did not answer within the limit, or the helper died. `outcomes` is what came before. */
export class HelperError extends Error {
  constructor(
    message: string,
    readonly operation: Operation | string | undefined,
    readonly outcomes: Outcome[],
  ) {
    super(operation ? `${message}, at: ${encode(operation).trimEnd()}` : message);
  }
}

interface Waiting {
  operations: readonly (Operation | string)[];
  outcomes: Outcome[];
  done: (error?: Error) => void;
}

/** A helper process in a directory. Its descriptors live until {@link end}. One run() at a time. */
export class Syscalls {
  private buffered: string[] = [];
  private rows: Fields[] = [];
  private waiting: Waiting | undefined;
  private complaint = '';
  private readonly ended: Promise<number | null>;

  private constructor(
    private readonly child: ChildProcessWithoutNullStreams,
    private readonly options: SyscallsOptions,
  ) {
    child.stdout.setEncoding('latin1').on('data', (text: string) => this.receive(text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.complaint += text));
    child.stdin.on('error', () => undefined); // EPIPE: 'close' says why
    this.ended = new Promise((resolve) => {
      child.on('close', (status, signal) => {
        resolve(status);
        this.waiting?.done(this.failure(`the helper ended (${signal ?? status ?? ''}) ${this.complaint.trim()}`));
      });
    });
  }

  /** The directory is the helper's to change to: a spawn with cwd would block this process on a file system that hangs. */
  static start(directory: string, options: SyscallsOptions = {}): Syscalls {
    return new Syscalls(spawn(buildHelper(), [directory], { stdio: 'pipe' }), options);
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  async run(operations: readonly (Operation | string)[]): Promise<Outcome[]> {
    if (this.waiting) throw new Error('another run() is under way');
    if (operations.length === 0) return [];
    const outcomes: Outcome[] = [];
    const limit = this.options.timeoutMs ?? 30_000;
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        this.waiting = { operations, outcomes, done: (error) => (error ? reject(error) : resolve()) };
        timer = setTimeout(() => {
          const error = this.failure(`no answer within ${limit} ms`);
          this.waiting = undefined; // that the helper then ends is not the reason
          this.child.kill('SIGKILL');
          void Promise.resolve(this.options.onHang?.()).finally(() => reject(error));
        }, limit);
        if (this.child.exitCode !== null || this.child.signalCode !== null) reject(this.failure('the helper is gone'));
        this.child.stdin.write(operations.map(encode).join(''), 'latin1');
      });
    } finally {
      clearTimeout(timer);
      this.waiting = undefined;
    }
    return outcomes;
  }

  /** Lets the helper end (its descriptors are closed), at last by force. */
  async end(): Promise<void> {
    this.child.stdin.end();
    const timer = setTimeout(() => {
      this.child.kill('SIGKILL');
      void this.options.onHang?.();
    }, this.options.timeoutMs ?? 30_000);
    await this.ended;
    clearTimeout(timer);
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }

  private failure(message: string): HelperError {
    const { operations = [], outcomes = [] } = this.waiting ?? {};
    return new HelperError(message, operations[outcomes.length], outcomes);
  }

  private receive(text: string): void {
    const lines = text.split('\n');
    if (lines.length === 1) {
      this.buffered.push(text);
      return;
    }
    lines[0] = this.buffered.join('') + (lines[0] ?? '');
    this.buffered = [lines.pop() ?? ''];
    for (const line of lines) {
      if (line.startsWith('|')) this.rows.push(parseFields(line, 1));
      else this.answer(line);
    }
  }

  private answer(line: string): void {
    const space = line.indexOf(' ');
    const error = space < 0 ? line : line.slice(0, space);
    const waiting = this.waiting;
    waiting?.outcomes.push({ error, fields: space < 0 ? {} : parseFields(line, space + 1), rows: this.rows });
    this.rows = [];
    if (waiting && waiting.outcomes.length === waiting.operations.length) waiting.done();
  }
}

/** A helper for one batch. */
export async function runOperations(
  directory: string,
  operations: readonly (Operation | string)[],
  options: SyscallsOptions = {},
): Promise<Outcome[]> {
  const helper = Syscalls.start(directory, options);
  try {
    return await helper.run(operations);
  } finally {
    await helper.end();
  }
}

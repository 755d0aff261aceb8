/** Real daemons: child processes with a root and a socket of their own, below a temporary directory, and a client for their API. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { ApiError, Container, Event, Image, Info, Layer, Mount } from '../../daemon/api/types.js';
import { leftBehind, removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { type Finished, mounts, run, tearAway } from '../support/mounts.js';

export const PROGRAM = path.resolve(__dirname, '../../bin/plyd');
/** The machine's own /etc/ply/plyd.toml is none of the tests' business; a later --config goes before. */
export const NO_FILE = ['--config', '/dev/null'] as const;
export const CANNOT = process.geteuid!() !== 0 ? 'needs root' : !fs.existsSync('/dev/fuse') ? 'needs /dev/fuse' : undefined;

const READY_MS = 30_000;
const REQUEST_MS = 30_000;

export interface Answer<T = unknown> {
  status: number;
  headers: http.IncomingHttpHeaders;
  text: string;
  body: T;
}

export type Body = object | string | Buffer;

export class Plyd {
  readonly base: string;
  readonly root: string;
  readonly socket: string;
  readonly logFile: string;
  readonly pauses: string;
  /** a program that becomes plyd, and its arguments */
  under: readonly string[] = [];
  child: ChildProcess | undefined;
  private ended: Promise<number | string> = Promise.resolve(0);

  constructor(base?: string) {
    this.base = base ?? temporaryDirectory();
    this.root = path.join(this.base, 'root');
    this.socket = path.join(this.base, 'sock');
    this.logFile = path.join(this.base, 'log');
    this.pauses = path.join(this.base, 'pauses');
  }

  /** One that is ready. */
  static async start(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Plyd> {
    const plyd = new Plyd();
    await plyd.start(args, env);
    return plyd;
  }

  async start(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<void> {
    this.spawn(args, env);
    for (const end = Date.now() + READY_MS; Date.now() < end;) {
      if (this.child?.exitCode !== null || this.child.signalCode !== null) throw new Error(`plyd ended:\n${this.log().slice(-2000)}`);
      try {
        await this.info();
        return;
      } catch {
        await sleep(25);
      }
    }
    throw new Error(`plyd is not ready:\n${this.log().slice(-2000)}`);
  }

  spawn(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): void {
    const log = fs.openSync(this.logFile, 'a');
    const cold = args.includes('--warm-engine') ? [] : ['--no-warm-engine']; // most have other business: practice.test.ts
    const all = [...NO_FILE, '--root', this.root, '--socket', this.socket, '--log-level', 'debug', ...cold, ...args];
    const [command, ...words] = [...this.under, process.execPath, PROGRAM, ...all];
    const child = spawn(command, words, {
      stdio: ['ignore', log, log],
      env: { ...process.env, PLYD_PAUSE_FILE: this.pauses, ...env },
    });
    fs.closeSync(log);
    this.child = child;
    this.ended = new Promise((resolve) => child.once('exit', (status, signal) => resolve(signal ?? status ?? -1)));
  }

  /** How it ended. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string> {
    this.child?.kill(signal);
    const timer = setTimeout(() => this.child?.kill('SIGKILL'), 40_000);
    const how = await this.ended;
    clearTimeout(timer);
    return how;
  }

  /** Node's own, of plyd and its engines. */
  private warnings(): string[] {
    return this.log()
      .split('\n')
      .filter((line) => /^\(node:\d+\) /.test(line));
  }

  log(): string {
    return fs.existsSync(this.logFile) ? fs.readFileSync(this.logFile, 'utf8') : '';
  }

  lines(): { level: number; msg: string; name?: string; [field: string]: unknown }[] {
    return this.log()
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as { level: number; msg: string });
  }

  // ---- requests --------------------------------------------------------------------------------------------------------------------------------

  async request<T = unknown>(method: string, url: string, body?: Body, headers: http.OutgoingHttpHeaders = {}): Promise<Answer<T>> {
    const answer = await this.text(method, url, body, headers);
    const { text, headers: given } = answer;
    const isLines = given['content-type'] !== 'application/json';
    return { ...answer, body: (text === '' || isLines ? undefined : JSON.parse(text)) as T };
  }

  /** An answer that may be several lines of JSON. */
  text(method: string, url: string, body?: Body, headers: http.OutgoingHttpHeaders = {}): Promise<Omit<Answer, 'body'>> {
    const payload = body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const request = http.request(
        {
          socketPath: this.socket,
          method,
          path: url,
          agent: false,
          headers: { ...(payload !== undefined && { 'content-length': Buffer.byteLength(payload) }), ...headers },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            const { statusCode: status = 0, headers } = response;
            resolve({ status, headers, text });
          });
        },
      );
      request.setTimeout(REQUEST_MS, () => request.destroy(new Error(`${method} ${url}: no answer`)));
      request.on('error', reject);
      request.end(payload);
    });
  }

  /** The body of an answer that has to be a good one. */
  async must<T>(method: string, url: string, body?: Body): Promise<T> {
    const answer = await this.request<T>(method, url, body);
    if (answer.status >= 400) throw new Error(`${method} ${url}: ${answer.status} ${answer.text}`);
    return answer.body;
  }

  /** Status and error of one that has to be a bad one. */
  async refused(method: string, url: string, body?: Body): Promise<ApiError & { status: number }> {
    const answer = await this.request<{ error: ApiError }>(method, url, body);
    if (answer.status < 400) throw new Error(`${method} ${url} was not refused: ${answer.text}`);
    return { status: answer.status, ...answer.body.error };
  }

  info(): Promise<Info> {
    return this.must('GET', '/v1/info');
  }

  async containers(size = false): Promise<Container[]> {
    return (await this.must<{ containers: Container[] }>('GET', `/v1/containers${size ? '?size=true' : ''}`)).containers;
  }

  async mounts(): Promise<Mount[]> {
    return (await this.must<{ mounts: Mount[] }>('GET', '/v1/mounts')).mounts;
  }

  create(image: string, name: string, options?: string): Promise<Container> {
    return this.must('POST', '/v1/containers', { image, name, ...(options !== undefined && { options }) });
  }

  container(name: string): Promise<Container> {
    return this.must('GET', `/v1/containers/${name}`);
  }

  begin(name: string): Promise<Container> {
    return this.must('POST', `/v1/containers/${name}/start`);
  }

  end(name: string): Promise<Container> {
    return this.must('POST', `/v1/containers/${name}/stop`);
  }

  remove(name: string, force = false): Promise<unknown> {
    return this.must('DELETE', `/v1/containers/${name}${force ? '?force=true' : ''}`);
  }

  /** Two layers of some files, and the image "img" of them. */
  async image(): Promise<Image> {
    const layers: Layer[] = [];
    for (const [name, files] of Object.entries(LAYERS)) {
      const directory = path.join(this.base, name);
      writeTree(directory, files);
      layers.unshift(await this.must<Layer>('POST', '/v1/layers', { path: directory, name }));
    }
    return this.must('POST', '/v1/images', { name: 'img', layers: layers.map(({ id }) => id) });
  }

  /** Events from now on, until the client ends it. */
  async listen(query = ''): Promise<{ events: Event[]; close: () => void }> {
    const events: Event[] = [];
    return new Promise((resolve, reject) => {
      const request = http.get({ socketPath: this.socket, path: `/v1/events${query}`, agent: false }, (response) => {
        let rest = '';
        response.setEncoding('utf8');
        response.on('data', (text: string) => {
          const lines = (rest + text).split('\n');
          rest = lines.pop() ?? '';
          for (const line of lines) events.push(JSON.parse(line) as Event);
        });
        response.on('error', () => undefined);
        resolve({ events, close: () => request.destroy() });
      });
      request.on('error', reject);
    });
  }

  // ---- what must hold --------------------------------------------------------------------------------------------------------------------------

  /** What is mounted below its root, by the kernel's word. */
  mounted(): string[] {
    const points = mounts().filter(({ point, type }) => type === 'fuse.plyfs' && point.startsWith(`${this.base}/`));
    return points.map(({ point }) => point).sort();
  }

  /** In what catalog, mounts and directories disagree: nothing, once all is settled. */
  async disagreements(): Promise<string[]> {
    const found: string[] = [];
    const containers = await this.containers();
    const listed = await this.mounts();
    const running = containers.filter(({ state }) => state === 'running');
    const compare = (what: string, a: readonly string[], b: readonly string[]): void => {
      const [x, y] = [[...a].sort().join(' '), [...b].sort().join(' ')];
      if (x !== y) found.push(`${what}: ${x || 'nothing'} | ${y || 'nothing'}`);
    };
    compare(
      'mounts of the catalog, of the kernel',
      listed.filter(({ state }) => state === 'mounted').map(({ mountpoint }) => mountpoint),
      this.mounted(),
    );
    compare(
      'running containers, containers with a mount',
      running.map(({ id }) => id),
      listed.flatMap(({ container }) => container ?? []),
    );
    compare(
      'mountpoints of containers',
      running.map(({ mountpoint }) => mountpoint ?? 'none'),
      listed.filter(({ container }) => container !== null).map(({ mountpoint }) => mountpoint),
    );
    compare(
      'containers, directories',
      containers.map(({ id }) => id),
      fs.readdirSync(path.join(this.root, 'containers')),
    );
    for (const { mountpoint, name } of running) {
      const read = await run('cat', [`${mountpoint}/etc/motd`], { timeoutMs: 10_000 });
      if (read.stdout !== 'base\n') found.push(`${name}: ${read.stderr}`);
    }
    return found;
  }

  /** Engines that its root knows of. */
  engines(): number[] {
    const directory = path.join(this.root, 'engines');
    if (!fs.existsSync(directory)) return [];
    const records = fs.readdirSync(directory).filter((name) => name.endsWith('.json'));
    return records.flatMap((name) => {
      try {
        return [(JSON.parse(fs.readFileSync(path.join(directory, name), 'utf8')) as { pid: number }).pid];
      } catch {
        return [];
      }
    });
  }

  /** Ends it whatever its state, and takes away what is left. Returns what was left that should not have been. */
  async cleanUp(): Promise<string[]> {
    const running = this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
    const how = running ? await this.stop() : 0;
    const left = this.mounted().map((point) => `mount ${point}`);
    left.push(...this.warnings().map((line) => `in the log: ${line}`));
    if (how !== 0) left.push(`plyd ended with ${how}`);
    for (const pid of this.engines()) {
      left.push(`engine ${pid}`);
      kill(pid);
    }
    for (const point of mounts()
      .filter(({ point }) => point.startsWith(`${this.base}/`))
      .reverse())
      await tearAway(point.point);
    await sleep(50);
    await removeDirectory(this.base);
    return left;
  }
}

/** A test with a daemon of its own, of which nothing may be left. */
export function testWithPlyd(name: string, body: (t: Test, plyd: Plyd) => Promise<void>, args: readonly string[] = []): void {
  void t.test(name, { skip: CANNOT ?? false }, async (t) => {
    const plyd = new Plyd();
    try {
      await plyd.start(args);
      await body(t, plyd);
    } finally {
      t.same(await plyd.cleanUp(), [], 'nothing is left');
    }
  });
}

export function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended
  }
}

const LAYERS: Record<string, Record<string, string>> = {
  base: { 'etc/motd': 'base\n', 'etc/hosts': 'localhost\n', 'usr/lib/libc': 'the library\n', 'var/old/one': '1\n', 'var/old/two': '2\n' },
  top: { 'etc/hosts': 'localhost of the top\n', 'usr/bin/tool': '#!/bin/sh\necho tool\n', 'opt/a/b/c': 'c\n' },
};

export function writeTree(directory: string, files: Readonly<Record<string, string>>): void {
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(directory, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, content);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export async function until(what: string, condition: () => boolean | Promise<boolean>, ms = 15_000): Promise<void> {
  for (const end = Date.now() + ms; Date.now() < end;) {
    if (await condition()) return;
    await sleep(20);
  }
  throw new Error(`never came: ${what}`);
}

/** Also true of a process that nobody has waited for, as where PID 1 reaps no orphans. */
export function hasEnded(pid: number | string): boolean {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1') === '';
  } catch (error) {
    if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return true;
  }
}

/** A shell command that touches a mount, with a time limit. */
export function sh(script: string, ...args: string[]): Promise<Finished> {
  return run('sh', ['-c', script, 'sh', ...args], { timeoutMs: 20_000 });
}

export { leftBehind };

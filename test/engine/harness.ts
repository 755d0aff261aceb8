/** Engines that serve the stand-in on real mounts, touched from child processes with a time limit only. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { EngineProcess } from '../../daemon/mounts/engine-process.js';
import { parseOptions } from '../../daemon/mounts/options.js';
import { native } from '../../native-bindings/index.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { type Finished, mountAt, must, run, tearAway } from '../support/mounts.js';
import { TRANSPORT } from '../support/transport.js';

const O_PATH_DIRECTORY = 0o10000000 | fs.constants.O_DIRECTORY;
const LIMIT_MS = 15_000;

export class StandInEngine {
  readonly base = temporaryDirectory();
  readonly log = path.join(this.base, 'log');
  readonly process: EngineProcess;
  private readonly points: string[] = [];

  constructor(workers: number, foreground = false) {
    const log = fs.openSync(this.log, 'a');
    const program = path.join(__dirname, 'stand-in-engine.js');
    this.process = new EngineProcess({ workers, log, foreground, label: this.base, program, logLevel: 'debug' });
    fs.closeSync(log);
  }

  /** Mounts the stand-in with so many layers; returns the mountpoint. */
  async mount(layers = 1, more: { options?: string; level?: number } = {}): Promise<string> {
    const point = path.join(this.base, `m${this.points.length}`);
    fs.mkdirSync(point);
    this.points.push(point);
    const device = native.fuseOpen();
    const fds = Array.from({ length: layers }, () => fs.openSync(this.base, O_PATH_DIRECTORY));
    try {
      const data = `fd=${device},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other`;
      const mounted = native.mount('plyfs', Buffer.from(point), 'fuse.plyfs', 0, data);
      if (mounted < 0) throw new Error(`mount: errno ${-mounted}`);
      const options = parseOptions(`lowerdir=/,transport=${TRANSPORT},${more.options ?? ''}`);
      await this.process.mount({ options, mountpoint: point, dev: mountAt(point)!.dev, writable: false, level: more.level ?? 1 }, [
        device,
        ...fds,
      ]);
    } finally {
      for (const fd of [device, ...fds]) native.close(fd);
    }
    return point;
  }

  /** The log's lines. */
  lines(): { level: number; msg: string; [field: string]: unknown }[] {
    const text = fs.readFileSync(this.log, 'utf8').split('\n');
    return text.filter((line) => line !== '').map((line) => JSON.parse(line) as { level: number; msg: string });
  }

  /** Ends it, whatever its state, and removes what it left. */
  async end(): Promise<void> {
    for (const point of this.points) if (mountAt(point) !== undefined) await tearAway(point);
    if ((await within(this.process.ended, 5000)) === undefined) this.process.kill('SIGKILL');
    await this.process.ended;
    this.process.leave();
    await removeDirectory(this.base);
  }
}

/** undefined: not within the time. */
export async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), ms)));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export function read(file: string, timeoutMs = LIMIT_MS): Promise<Finished> {
  return run('cat', [file], { timeoutMs });
}

/** A reader of its own, to be killed or waited for. */
export function reader(file: string): { child: ChildProcess; ended: Promise<Finished> } {
  const child = spawn('cat', [file], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  const ended = new Promise<Finished>((resolve) => child.on('close', (status) => resolve({ status, stdout, stderr })));
  return { child, ended };
}

/** Opens the stand-in's gate (1), or closes it (0). */
export async function gate(point: string, value: 0 | 1): Promise<void> {
  await must('sh', ['-c', `printf ${value} >"$0"`, `${point}/release`], { timeoutMs: LIMIT_MS });
}

export interface State {
  aside: number;
  undelivered: number;
  detached: number;
  sparesAwake: number;
  /** the worker that answered */
  by: number;
  /** the worker that serves the mount alone; 0: all do */
  leader: number;
  jobs: number;
  served: number[];
}

export async function state(point: string): Promise<State> {
  const { stdout, stderr } = await read(`${point}/state`);
  if (stdout === '') throw new Error(`state: ${stderr}`);
  return JSON.parse(stdout) as State;
}

export async function until(what: string, condition: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
  for (const end = Date.now() + ms; Date.now() < end;) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`never came: ${what}`);
}

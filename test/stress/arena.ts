/**
 * What the stress tests have in common: a mount of plyfs that many processes use at once, and what must be true of it afterwards: its log has no
 * complaint, its work directory no debris.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type t from 'tap';
import { type Tree } from '../support/layers.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { type Mounted, type SetupOptions, target } from '../support/targets.js';

export const long = process.env['PLYFS_TEST_LONG'] === '1';

/** Seconds or rounds: many times as much in the long run. */
export const more = (few: number, times = 10): number => (long ? few * times : few);

export interface Arena extends Mounted {
  /** lines of the engine's log that are warnings or worse */
  complaints(): string[];
  /** what is left in the work directory that should not be; to be asked when unmounted */
  debris(): string[];
}

const WARN = 40;
const EXPECTED_IN_WORK = new Set(['work', 'index', 'ply-orphans']);

function complaintsIn(log: string): string[] {
  if (!fs.existsSync(log)) return [`${log} was never written`];
  const lines = fs.readFileSync(log, 'utf8').split('\n');
  return lines.filter((line) => line !== '' && (!line.startsWith('{') || (JSON.parse(line) as { level: number }).level >= WARN));
}

function debrisIn(work: string): string[] {
  return fs.readdirSync(work, { recursive: true, encoding: 'utf8' }).filter((name) => {
    const top = name.split('/')[0];
    // The index keeps its entries: a hard-linked lower that was copied up has one for as long as it has names.
    return !EXPECTED_IN_WORK.has(top) || (name !== top && top !== 'index');
  });
}

type Test = Pick<typeof t, 'teardown'>;

/** Mounts plyfs over the lowers for a test, which gets everything unmounted and removed at its end. */
export async function arena(test: Test, lowers: readonly (Tree | string)[], mountOptions: readonly string[] = []): Promise<Arena> {
  const directory = temporaryDirectory();
  const log = path.join(directory, 'engine.log');
  const options: SetupOptions = { log, mountOptions: ['log_level=info', 'workers=3', ...mountOptions] };
  const mounted = await target('plyfs').setup(lowers, options);
  test.teardown(async () => {
    await mounted.teardown();
    await removeDirectory(directory);
  });
  return Object.assign(mounted, { complaints: () => complaintsIn(log), debris: () => debrisIn(mounted.work) });
}

/** What every stress test asks at its end. Unmounts. */
export async function assertClean(test: Pick<typeof t, 'same'>, mounted: Arena): Promise<void> {
  await mounted.unmount();
  test.same(mounted.complaints(), [], 'the log has no complaint');
  test.same(mounted.debris(), [], 'nothing is left in the work directory');
}

export interface Ended {
  status: number | null;
  signal: NodeJS.Signals | null;
  output: string;
}

/** A process that uses the mount. It is never waited for beyond its limit. */
export class Client {
  private output = '';
  readonly ended: Promise<Ended>;

  private constructor(private readonly child: ChildProcess) {
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    this.ended = new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (status, signal) => resolve({ status, signal, output: this.output }));
    });
  }

  static start(command: string, args: readonly string[], limitMs: number): Client {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NODE_OPTIONS: '', LC_ALL: 'C' } });
    const client = new Client(child);
    const timer = setTimeout(() => child.kill('SIGKILL'), limitMs);
    void client.ended.finally(() => clearTimeout(timer));
    return client;
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }
}

/** A compiled script of this folder, in a process of its own. */
export function script(name: string, args: readonly string[], limitMs: number): Client {
  return Client.start(process.execPath, [path.join(__dirname, `${name}.js`), ...args], limitMs);
}

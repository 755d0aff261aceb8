/**
 * Scenarios of the node table: some threads, one arena, nothing mounted.
 *
 * A scenario runs in a process of its own, for there is one arena per process, and because a lost wake-up must end in a failed test, not in a
 * test runner that hangs: play() kills the process after its limit.
 */
import { spawn } from 'node:child_process';
import path from 'node:path';
import type { Table } from '../../daemon/overlay/table/table';

/** Parameters and results are JSON. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Numbers = Record<string, number>;

export interface Scenario {
  /** size of the arena in MiB */
  mebibytes?: number;
  /** By the main thread, before any other starts: what every thread gets to know. */
  setup(table: Table, args: Numbers): Numbers;
  /** By each thread, all at once. What it throws fails the scenario; what it returns is counted. */
  run?(table: Table, thread: number, shared: Numbers): Numbers;
  /** By the main thread, when the others have ended; `counted` is the sum of what they returned. What it returns is added. */
  check?(table: Table, shared: Numbers, counted: Numbers): Numbers | undefined;
}

const LIMIT_MS = 60_000;

/** Plays scenario `name` of the module `file` (as in "locks") with a number of threads, and gives what its threads counted. */
export async function play(file: string, name: string, threads: number, args: Numbers = {}): Promise<Numbers> {
  const stage = path.join(__dirname, 'stage.js');
  const child = spawn(process.execPath, [stage, file, name, String(threads), JSON.stringify(args)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '' }, // tap's loaders have no business there
  });
  let out = '';
  let complaint = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, LIMIT_MS);
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  clearTimeout(timer);
  if (late) throw new Error(`${file}: ${name} hung for ${LIMIT_MS} ms${complaint}`);
  if (status !== 0) throw new Error(`${file}: ${name} failed (status ${status ?? 'none'}): ${complaint}`);
  return JSON.parse(out) as Numbers;
}

export function assert(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new Error(message());
}

const DRAIN_MS = 5000;

/** Gives back all that a thread has retired, as an idle worker does: when the others have left. */
export function drain(table: Table): void {
  for (const end = Date.now() + DRAIN_MS; table.epochs.waiting > 0 && Date.now() < end;) table.epochs.reclaim();
  assert(table.epochs.waiting === 0, () => `${table.epochs.waiting} records are never given back`);
}

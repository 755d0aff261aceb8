/**
 * Commands with a time limit. Each runs in a session of its own, so that Ctrl-C reaches the bench alone, which then ends them (stopAll). What they leave
 * behind (servers of mounts) is found by a mark in its environment.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';

export const MARK = `PLYFS_BENCH=${process.pid}`;

export interface CommandOptions {
  cwd?: string;
  limitMs?: number;
  env?: NodeJS.ProcessEnv;
}

const running = new Set<ChildProcess>();
let stopping: string | undefined;

/** The bench is to end: every command that runs is killed, and no other begins. */
export class Stopped extends Error {}

export function stopAll(reason: string): void {
  stopping = reason;
  for (const child of running) killGroup(child);
}

/** While things are cleaned up, commands may run again. */
export function allowCommands(): void {
  stopping = undefined;
}

export function checkStopped(): void {
  if (stopping !== undefined) throw new Stopped(stopping);
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // it ended just now
  }
}

export interface Running {
  readonly pid: number;
  /** its standard output; an error if it ends otherwise than with status 0 */
  readonly output: Promise<string>;
  signal(signal: NodeJS.Signals): void;
}

/** Starts a command. The end of its output is not waited for: a server that it leaves behind may hold it. */
export function start(command: string, args: readonly string[], options: CommandOptions = {}): Running {
  checkStopped();
  const [name, value] = MARK.split('=');
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...(options.env ?? process.env), [name]: value },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  running.add(child);
  const limitMs = options.limitMs ?? 60_000;
  let stdout = '';
  let stderr = '';
  let late = false;
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-4000)));
  const timer = setTimeout(() => {
    late = true;
    killGroup(child);
  }, limitMs);
  const output = new Promise<string>((resolve, reject) => {
    const end = (status: number | null, signal: NodeJS.Signals | null): void => {
      clearTimeout(timer);
      running.delete(child);
      const how = late ? `no end within ${limitMs / 1000} s` : signal === null ? `status ${status}` : signal;
      if (status === 0) resolve(stdout);
      else if (stopping !== undefined) reject(new Stopped(stopping));
      else reject(new Error(`${[command, ...args].join(' ').slice(0, 400)}: ${how}\n${stderr.trim() || stdout.slice(-2000).trim()}`));
    };
    child.on('error', (error) => {
      clearTimeout(timer);
      running.delete(child);
      reject(error);
    });
    child.on('exit', (status, signal) => {
      // The output ends with the command, but for what a server that stays holds open.
      const grace = setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, 1000);
      child.on('close', () => {
        clearTimeout(grace);
        end(status, signal);
      });
    });
  });
  output.catch(() => undefined); // whoever waits for it hears of it; nobody may
  return { pid: child.pid ?? -1, output, signal: (signal) => killGroup(child, signal) };
}

export function command(name: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  return start(name, args, options).output;
}

/** Whether a command succeeds. */
export async function succeeds(name: string, args: readonly string[], options: CommandOptions = {}): Promise<boolean> {
  try {
    await command(name, args, options);
    return true;
  } catch (error) {
    if (error instanceof Stopped) throw error;
    return false;
  }
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Processes that came from this bench, itself apart: by the mark that their environment has inherited. */
export function ours(): number[] {
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => isOurs(pid))
    .map(Number);
}

function isOurs(pid: string): boolean {
  try {
    return fs.readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(MARK);
  } catch {
    return false; // it ended, or is a kernel thread
  }
}

export function commandLine(pid: number): string {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim();
  } catch {
    return ''; // it ended
  }
}

/** Our processes that serve something: not the children that we wait for. */
export function servers(): number[] {
  const waited = new Set([...running].map(({ pid }) => pid));
  return ours().filter((pid) => !waited.has(pid) && commandLine(pid) !== '');
}

/** MiB that these processes hold, what they share divided among them. */
export function proportionalSetSize(pids: readonly number[]): number {
  let kib = 0;
  for (const pid of pids) kib += Number(/^Pss:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1] ?? 0);
  return kib / 1024;
}

const TICKS = 100; // USER_HZ, the same on every Linux that Node runs on

/** Seconds of processor time that these processes used so far. */
export function cpuSeconds(pids: readonly number[]): { user: number; system: number } {
  const sum = { user: 0, system: 0 };
  for (const pid of pids) {
    try {
      const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      sum.user += Number(fields[11]) / TICKS;
      sum.system += Number(fields[12]) / TICKS;
    } catch {
      continue; // it ended
    }
  }
  return sum;
}

/** Mounting and unmounting without ever being blocked by a file system that hangs. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';

export interface Finished {
  /** null: killed at the time limit */
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  cwd?: string;
  timeoutMs?: number;
  env?: NodeJS.ProcessEnv;
}

/** Runs a command to its end and to the end of its output: a daemon that keeps our stderr open counts as not ended. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const child = spawn(command, args, { cwd: options.cwd, env: options.env ?? process.env, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      child.stdout.destroy();
      child.stderr.destroy();
      resolve({ status: null, stdout, stderr: `${stderr}\n(no end within the limit)` });
    }, options.timeoutMs ?? 60_000);
    child.on('error', reject);
    child.on('close', (status) => {
      clearTimeout(timer);
      resolve({ status, stdout, stderr });
    });
  });
}

/** As {@link run}; anything but status 0 is an error with what the command said. */
export async function must(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { status, stdout, stderr } = await run(command, args, options);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: status ${status}\n${stdout.slice(-2000)}${stderr.slice(-2000)}`);
  return stdout;
}

export interface Mount {
  /** of the file system, "0:53" */
  dev: string;
  point: string;
  type: string;
}

export function mounts(): Mount[] {
  const lines = fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines
    .filter((line) => line !== '')
    .map((line) => {
      const fields = line.split(' ');
      const point = (fields[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
      return { dev: fields[2] ?? '', point, type: fields[fields.indexOf('-') + 1] ?? '' };
    });
}

export function mountAt(point: string): Mount | undefined {
  return mounts().findLast((mount) => mount.point === point);
}

const CONNECTIONS = '/sys/fs/fuse/connections';

/** Every request of a FUSE mount, waiting or to come, ends with an error: the last resort against a server that does not answer. */
export async function abortFuse(mount: Mount): Promise<void> {
  const control = mounts().some(({ type }) => type === 'fusectl');
  if (!control) await must('mount', ['-t', 'fusectl', 'fusectl', CONNECTIONS]);
  try {
    fs.writeFileSync(`${CONNECTIONS}/${mount.dev.split(':')[1]}/abort`, '1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // gone already
  } finally {
    if (!control) await run('umount', [CONNECTIONS]);
  }
}

/** Tears a mount away whatever its state. Every step has its limit. */
export async function tearAway(point: string): Promise<void> {
  for (let mount = mountAt(point), rounds = 0; mount && rounds < 4; mount = mountAt(point), rounds++) {
    // In this order: the number of a file system that is gone may be another one's by now, on the whole machine.
    if (mount.type.startsWith('fuse')) await abortFuse(mount);
    await run('umount', ['-l', '--no-canonicalize', point], { timeoutMs: 5000 });
  }
}

/** Unmounts properly. What cannot be (busy for more than some seconds, no answer) is torn away, and that is an error. */
export async function unmount(point: string): Promise<void> {
  let last: Finished | undefined;
  for (const end = Date.now() + 5000; Date.now() < end;) {
    if (!mountAt(point)) return;
    last = await run('umount', [point], { timeoutMs: 20_000 });
    if (last.status === 0) return;
    if (last.status === null) break;
    await new Promise((resolve) => setTimeout(resolve, 100)); // busy: RELEASE trails close
  }
  await tearAway(point);
  throw new Error(`${point} could not be unmounted: ${last?.stderr.trim()}`);
}

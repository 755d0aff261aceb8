/** An engine of one's own: started, told to serve one mount, and waited for. The other end of daemon/engine/control.ts. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { native } from '../../native-bindings/index';
import type { Answer, MountRequest, Request } from '../engine/control';

/** As engine/control.ts has them. */
const MESSAGE_BYTES = 192 * 1024;
const MESSAGE_DESCRIPTORS = 250;

const O_CLOEXEC = 0o2000000;

const MAIN = join(__dirname, '..', 'engine', 'main.js');

export interface EngineOptions {
  workers?: number;
  /** of the mounts whose options do not say: auto, dev, uring */
  transport?: string;
  logLevel?: string;
  /** descriptor for its standard error, where the log goes; none: /dev/null */
  log?: number;
  /** it stays a child of ours in our session, and ends when we do */
  foreground: boolean;
  /** shown by ps */
  label: string;
  /** another program than the engine's own, for tests */
  program?: string;
}

/** Why the engine could not do what it was asked; the message is for the user. */
export class EngineError extends Error {}

/**
 * Descriptors that whoever called us let us inherit: the engine must not keep them. Node marks the low ones close-on-exec at its start, and
 * stops at the first gap.
 */
function closeInherited(): void {
  for (const name of fs.readdirSync('/proc/self/fd')) {
    const fd = Number(name);
    if (fd > 2 && !closesOnExec(fd)) native.close(fd);
  }
}

function closesOnExec(fd: number): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? '0';
    return (parseInt(flags, 8) & O_CLOEXEC) !== 0;
  } catch {
    return true; // the one that listed the directory: it is closed
  }
}

export class EngineProcess {
  /** Its end: an exit status, or the signal that killed it. */
  readonly ended: Promise<number | string>;
  private readonly child: ChildProcess;
  private readonly socket: number;
  private readonly watch: { stop(): void };
  private readonly waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>();
  private lastId = 0;
  private closed = false;

  constructor(options: EngineOptions) {
    const pair = new Int32Array(2);
    const failed = native.socketpair(pair);
    if (failed < 0) throw new EngineError(`cannot make the engine's control channel (socketpair: errno ${-failed})`);
    const [ours, theirs] = pair;
    this.socket = ours;
    const args = ['--control=3'];
    if (options.foreground) args.push('--foreground');
    if (options.workers !== undefined) args.push(`--workers=${options.workers}`);
    if (options.transport !== undefined) args.push(`--transport=${options.transport}`);
    if (options.logLevel !== undefined) args.push(`--log-level=${options.logLevel}`);
    const log = options.log ?? 'ignore';
    closeInherited();
    this.child = spawn(process.execPath, [options.program ?? MAIN, ...args, '--', options.label], {
      cwd: '/',
      detached: !options.foreground,
      stdio: ['ignore', log, log, theirs],
    });
    fs.closeSync(theirs);
    this.ended = new Promise((resolve) => {
      this.child.once('exit', (status, signal) => resolve(signal ?? status ?? 1));
      this.child.once('error', (error) => resolve(error.message));
    });
    void this.ended.then((how) =>
      this.fail(`the engine ended (${typeof how === 'number' ? `status ${how}` : how}) before it had answered`),
    );
    this.watch = native.watchReadable(this.socket, () => this.receive());
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** Resolves when the mount is usable. The descriptors are copies in the engine then, and ours are the caller's to close. */
  async mount(request: Omit<MountRequest, 'type' | 'id'>, descriptors: readonly number[]): Promise<void> {
    const id = ++this.lastId;
    const answer = new Promise<Answer>((resolve, reject) => this.waiting.set(id, { resolve, reject }));
    let at = 0;
    for (; descriptors.length - at > MESSAGE_DESCRIPTORS; at += MESSAGE_DESCRIPTORS) {
      this.send({ type: 'descriptors' }, descriptors.slice(at, at + MESSAGE_DESCRIPTORS));
    }
    this.send({ type: 'mount', id, ...request }, descriptors.slice(at));
    const result = await answer;
    if (!result.ok) throw new EngineError(result.error);
  }

  /** Lets the engine run on its own. */
  leave(): void {
    this.close();
    this.child.unref();
  }

  /** Unmounts and ends, as SIGTERM does for whoever sends it. */
  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  private send(request: Request, descriptors: number[]): void {
    const data = Buffer.from(JSON.stringify(request));
    if (data.length > MESSAGE_BYTES) throw new EngineError('the mount options are too long: fewer layers, or shorter paths to them');
    const sent = native.sendMessage(this.socket, data, descriptors);
    if (sent < 0) throw new EngineError(`cannot send to the engine (errno ${-sent})`);
  }

  private receive(): void {
    const message = native.receiveMessage(this.socket, MESSAGE_BYTES);
    if (typeof message === 'number') {
      if (message !== -11) this.fail(`cannot receive from the engine (errno ${-message})`);
      return;
    }
    if (message === undefined) {
      this.close(); // the engine ends, or has: `ended` tells
      return;
    }
    const answer = JSON.parse(message.data.toString()) as Answer;
    if (answer.id === 0 && !answer.ok) this.fail(answer.error);
    this.waiting.get(answer.id)?.resolve(answer);
    this.waiting.delete(answer.id);
  }

  private fail(reason: string): void {
    for (const { reject } of this.waiting.values()) reject(new EngineError(reason));
    this.waiting.clear();
  }

  private close(): void {
    if (this.closed) return;
    this.closed = true;
    this.watch.stop();
    native.close(this.socket);
  }
}

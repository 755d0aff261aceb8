/** An engine that we start. The other end of daemon/engine/control.ts. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { native } from '../../native-bindings/index';
import type { MountRequest } from '../engine/control';
import { EngineChannel, EngineError, EngineGone } from './engine-channel';

export { EngineError } from './engine-channel';

/** Behind standard error. */
const FIRST_OPENED = 3;

export const MAIN = join(__dirname, '..', 'engine', 'main.js');
/** Of engines that are not plyfs's own. */
export const DRIVER_MAINS = { 'fuse-native': join(__dirname, '..', 'engine', 'fuse-native', 'main.js') } as const;

export interface EngineOptions {
  workers?: number;
  /** of the mounts whose options do not say: auto, dev, uring */
  transport?: string;
  logLevel?: string;
  /** descriptor for its standard error, where the log goes, or what is to get its lines; none: /dev/null */
  log?: number | Writable;
  /** it stays a child of ours in our session, and ends when we do */
  foreground: boolean;
  /** where it can be found */
  rendezvous?: string;
  /** it is the daemon's: it waits for mounts */
  supervised?: boolean;
  /** shown by ps */
  label: string;
  /** another program than the engine's own: a driver's, or a test's */
  program?: string;
}

export class EngineProcess {
  /** Its end: an exit status, or the signal that killed it. */
  readonly ended: Promise<number | string>;
  private readonly child: ChildProcess;
  readonly channel: EngineChannel;

  constructor(options: EngineOptions, events: ConstructorParameters<typeof EngineChannel>[1] = {}) {
    const pair = new Int32Array(2);
    const failed = native.socketpair(pair);
    if (failed < 0) throw new EngineError(`cannot make the engine's control channel (socketpair: errno ${-failed})`);
    const [ours, theirs] = pair;
    const args = ['--control=3'];
    if (options.foreground) args.push('--foreground');
    if (options.supervised === true) args.push('--supervised');
    if (options.rendezvous !== undefined) args.push(`--rendezvous=${options.rendezvous}`);
    if (options.workers !== undefined) args.push(`--workers=${options.workers}`);
    if (options.transport !== undefined) args.push(`--transport=${options.transport}`);
    if (options.logLevel !== undefined) args.push(`--log-level=${options.logLevel}`);
    const sink = typeof options.log === 'object' ? options.log : undefined;
    const log = sink === undefined ? ((options.log as number | undefined) ?? 'ignore') : 'pipe';
    // What whoever called us let us inherit: the engine must not keep it. Node marks the low ones at its start, and stops at the first gap.
    native.closeOnExecFrom(FIRST_OPENED);
    this.child = spawn(process.execPath, [options.program ?? MAIN, ...args, '--', options.label], {
      cwd: '/',
      env: { ...process.env, NODE_EXTRA_CA_CERTS: undefined }, // the engine speaks no TLS, and Node would parse all of those at its start
      detached: !options.foreground,
      stdio: ['ignore', sink === undefined ? log : 'ignore', log, theirs],
    });
    if (sink !== undefined) this.child.stderr?.pipe(sink, { end: false });
    fs.closeSync(theirs);
    this.ended = new Promise((resolve) => {
      this.child.once('exit', (status, signal) => resolve(signal ?? status ?? 1));
      this.child.once('error', (error) => resolve(error.message));
    });
    this.channel = new EngineChannel(ours, events);
    void this.ended.then((how) =>
      this.channel.fail(new EngineGone(`the engine ended (${typeof how === 'number' ? `status ${how}` : how}) before it had answered`)),
    );
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** Resolves when the mount is usable. The descriptors are copies in the engine then, and ours are the caller's to close. */
  async mount(request: Omit<MountRequest, 'type' | 'id'>, descriptors: readonly number[]): Promise<void> {
    await this.channel.mount(request, descriptors);
  }

  /** Lets the engine run on its own. */
  leave(): void {
    this.channel.close();
    this.child.unref();
  }

  /** Unmounts and ends, as SIGTERM does for whoever sends it. */
  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}

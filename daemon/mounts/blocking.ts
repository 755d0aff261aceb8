/**
 * System calls that may block for long, or until an engine answers: mounting on and unmounting file systems that are served by an engine which may
 * just have died, reading directories on slow disks. They run in threads of their own, so that the daemon's event loop is always there to notice an
 * engine's death and to close the descriptors that keep its requests waiting.
 */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { native } from '../../native-bindings/index';
import { Errno } from '../errno';
import type { Calls } from './blocking-worker';
import { MountFailure } from './mount';
import { OptionError } from './options';

type Name = keyof Calls;
type Request<K extends Name> = Parameters<Calls[K]>[0];
type Result<K extends Name> = ReturnType<Calls[K]>;

/** From a thread: what it was asked, or why not. */
export type Reply = { ok: true; result: unknown } | { ok: false; kind: string; message: string };

interface Job {
  name: Name;
  request: unknown;
  resolve: (result: never) => void;
  reject: (error: Error) => void;
}

/** A thread costs some MiB. So many there are when there is that much to do; more only when these seem to be stuck; beyond the most, others wait. */
const THREADS = 2;
const MOST_THREADS = 12;
const STUCK_MS = 100;
const IDLE_MS = 3000;

/** Of a thread's part of the arena: see tree-reader.ts. */
const ARENA_MEBIBYTES = 1;

interface Thread {
  worker: Worker;
  /** its part of the arena */
  slot: number;
  job: Job | undefined;
  idle: NodeJS.Timeout | undefined;
}

export class Blocking {
  private readonly threads = new Set<Thread>();
  private readonly queue: Job[] = [];
  private help: NodeJS.Timeout | undefined;

  constructor() {
    const made = native.arenaCreate(MOST_THREADS * ARENA_MEBIBYTES);
    if (made < 0 && made !== -Errno.EEXIST) throw new Error(`cannot have shared memory (errno ${-made})`);
  }

  call<K extends Name>(name: K, request: Request<K>): Promise<Result<K>> {
    return new Promise<Result<K>>((resolve, reject) => {
      this.queue.push({ name, request, resolve, reject });
      this.next();
    });
  }

  private next(): void {
    if (this.queue.length === 0) return;
    let thread = [...this.threads].find(({ job }) => job === undefined);
    if (thread === undefined && this.threads.size < THREADS) thread = this.start();
    if (thread === undefined) this.helpLater();
    else this.give(thread, this.queue.shift()!);
  }

  private give(thread: Thread, job: Job): void {
    clearTimeout(thread.idle);
    thread.job = job;
    thread.worker.ref();
    thread.worker.postMessage({ name: job.name, request: job.request });
  }

  /** When nothing comes to its end for a while, another thread is started. */
  private helpLater(): void {
    this.help ??= setTimeout(() => {
      this.help = undefined;
      const job = this.threads.size < MOST_THREADS ? this.queue.shift() : undefined;
      if (job !== undefined) this.give(this.start(), job);
      this.next();
    }, STUCK_MS);
  }

  private start(): Thread {
    const used = new Set([...this.threads].map(({ slot }) => slot));
    const slot = Array.from({ length: MOST_THREADS }, (_, i) => i).find((i) => !used.has(i))!;
    const worker = new Worker(join(__dirname, 'blocking-worker.js'), {
      workerData: { slot },
      resourceLimits: { maxYoungGenerationSizeMb: 4, codeRangeSizeMb: 16 },
      trackUnmanagedFds: false, // descriptors go from thread to thread
    });
    const thread: Thread = { worker, slot, job: undefined, idle: undefined };
    this.threads.add(thread);
    worker.on('message', (reply: Reply) => this.done(thread, reply));
    worker.on('error', (error) => thread.job?.reject(error));
    worker.on('exit', () => {
      this.threads.delete(thread);
      clearTimeout(thread.idle);
      thread.job?.reject(new Error('a thread for system calls ended'));
      this.next();
    });
    return thread;
  }

  private done(thread: Thread, reply: Reply): void {
    const job = thread.job!;
    clearTimeout(this.help);
    this.help = undefined;
    thread.job = undefined;
    thread.worker.unref();
    thread.idle = setTimeout(() => {
      this.threads.delete(thread);
      void thread.worker.terminate();
    }, IDLE_MS);
    thread.idle.unref();
    if (reply.ok) job.resolve(reply.result as never);
    else job.reject(revive(reply.kind, reply.message));
    this.next();
  }
}

function revive(kind: string, message: string): Error {
  if (kind === 'OptionError') return new OptionError(message);
  if (kind === 'MountFailure') return new MountFailure(message);
  return new Error(message);
}

/** Threads that read layers, from plyd's side: at most so many as there are CPUs, each with one layer at a time. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { CatalogError, StoreError } from '../store';
import type { LayerCalls, Reply } from './layer-thread';
import { TarError } from './tar-header';

const THREAD = join(__dirname, 'layer-thread.js');
const MOST = 4;
const ENDED = 'the thread that reads layers has ended';

export class LayerThread {
  private readonly worker = new Worker(THREAD, { execArgv: [] }); // Node's own options (a debugger's port) are not handed on
  private ended = false;
  private running: Promise<void> = Promise.resolve();
  private waiting: { resolve: (result: never) => void; reject: (error: Error) => void } | undefined;

  constructor(readonly root: string) {
    this.worker.on('message', (reply: Reply) => {
      const { resolve, reject } = this.waiting!;
      this.waiting = undefined;
      if (reply.ok) resolve(reply.result as never);
      else reject(this.failure(reply));
    });
    this.worker.on('error', (error) => this.waiting?.reject(error));
    this.worker.on('exit', () => this.waiting?.reject(new Error(ENDED)));
  }

  /** One after the other. */
  call<K extends keyof LayerCalls>(name: K, ...request: Parameters<LayerCalls[K]>): Promise<Awaited<ReturnType<LayerCalls[K]>>> {
    const result = this.running.then(() => {
      if (this.ended) throw new Error(ENDED);
      return new Promise<Awaited<ReturnType<LayerCalls[K]>>>((resolve, reject) => {
        this.waiting = { resolve: resolve, reject };
        this.worker.postMessage({ name, request: request[0] });
      });
    });
    this.running = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  /** When what it does is done: to have that soon is the caller's business (Counter.CANCELLED). */
  async end(): Promise<void> {
    await this.call('close').catch(() => undefined); // it has ended
    this.ended = true;
    await this.worker.terminate();
  }

  private failure({ kind, message, code }: Extract<Reply, { ok: false }>): Error {
    if (kind === 'tar') return new TarError(message);
    if (code === 'ENOSPC' || code === 'SQLITE_FULL' || code === 'EDQUOT')
      return new StoreError(`no space is left for ${this.root}: free some and try again`);
    if (kind === 'store') return new StoreError(message);
    if (code === 'ENOENT' || code === 'EACCES' || code === 'ELOOP') return new CatalogError('bad-request', `it cannot be read: ${message}`);
    return new Error(message);
  }
}

export class LayerThreads {
  private readonly idle: LayerThread[] = [];
  private readonly queue: ((thread: LayerThread) => void)[] = [];
  private readonly all: LayerThread[] = [];
  private ended = false;
  private readonly most = Math.min(MOST, availableParallelism());

  constructor(private readonly root: string) {}

  /** Those who ask first are served first. */
  async with<T>(work: (thread: LayerThread) => Promise<T>): Promise<T> {
    const thread = await this.take();
    try {
      return await work(thread);
    } finally {
      const next = this.queue.shift();
      if (next !== undefined) next(thread);
      else this.idle.push(thread);
    }
  }

  private take(): LayerThread | Promise<LayerThread> {
    if (this.ended) throw new Error(ENDED);
    const idle = this.idle.pop();
    if (idle !== undefined) return idle;
    if (this.all.length >= this.most) return new Promise((resolve) => this.queue.push(resolve));
    const made = new LayerThread(this.root);
    this.all.push(made);
    return made;
  }

  async end(): Promise<void> {
    this.ended = true;
    await Promise.all(this.all.map((thread) => thread.end()));
  }
}

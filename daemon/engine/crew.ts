/** The engine's worker threads: started, counted, stopped. */
import type { Worker } from 'node:worker_threads';
import { native } from '../../native-bindings/index';
import type { Bundle } from '../bundled';
import type { Level } from '../log';
import { Control, WorkerSlot } from '../overlay/table/layout';
import type { Memory } from '../overlay/table/memory';
import { wakeAll } from './wake';
import { usableCpus } from './privileges';
import { possibleCpus, queuesOf } from './queues';
import { SPARES } from './stuck';
import { isAsStarted, startThread } from './threads';
import type { WorkerStart } from './worker';
import { EngineWord, workerSlot } from './words';

/** One per CPU, but no more than this unless told so: each costs 7 to 8 MiB. */
const MOST_BY_DEFAULT = 8;

export class Crew {
  /** Slots of those that serve always, and of those that sleep unless all others are stuck. */
  readonly workers: readonly number[];
  readonly spares: readonly number[];
  readonly mainEvent: number;
  /** have the spare ones been started? */
  hasSpares = false;
  /** threads that were started */
  started = 0;
  private readonly cpus = usableCpus();
  /** CPUs that there could be: as many io_uring queues has a mount */
  readonly possible = possibleCpus();
  private running = 0;
  private stopping = false;
  private onStopped: (() => void) | undefined;

  constructor(
    private readonly memory: Memory,
    private readonly options: { workers?: number; overlay?: string; bundle?: Bundle | undefined; thread?: Worker; logLevel: Level },
    /** A worker ended, though nobody told it to. */
    private readonly onFailure: (error: Error) => void,
  ) {
    const count = options.workers ?? Math.min(this.cpus.length, MOST_BY_DEFAULT);
    this.workers = Array.from({ length: count }, (_, i) => i + 1);
    this.spares = Array.from({ length: SPARES }, (_, i) => count + 1 + i);
    this.mainEvent = this.makeSlot(EngineWord.MAIN, false);
    for (const worker of this.workers) this.makeSlot(worker, false);
    for (const worker of this.spares) this.makeSlot(worker, true);
    Atomics.store(memory.i32, Control.WORKER_COUNT, 1 + count + SPARES);
  }

  /** One, which is all that a mount needs to be usable; the others when it serves. */
  startFirst(): void {
    this.startWorkers(this.workers.slice(0, 1));
  }

  startRest(): void {
    this.startWorkers(this.workers.slice(1));
  }

  /** Not after an upgrade. */
  get canStartSpares(): boolean {
    return isAsStarted(this.options.bundle);
  }

  /** The spare ones are started when they are needed for the first time: in most engines that never happens. */
  startSpares(): void {
    this.hasSpares = true;
    for (const worker of this.spares) this.startThread(worker, -1, true);
  }

  private startWorkers(workers: readonly number[]): void {
    for (const worker of workers) this.startThread(worker, this.cpus[(worker - 1) % this.cpus.length], false);
  }

  /** Slots of all that serve, or may one day. */
  get all(): readonly number[] {
    return [...this.workers, ...this.spares];
  }

  /** Is there one that serves? */
  get isReady(): boolean {
    return Atomics.load(this.memory.i32, Control.READY) > 0;
  }

  /** Has them end their loops; calls back when they have. A worker that is stuck does not end: the caller has a limit for that. */
  stop(onStopped: () => void): void {
    this.stopping = true;
    this.onStopped = onStopped;
    Atomics.store(this.memory.i32, Control.STOPPING, 1);
    wakeAll(this.memory);
    if (this.running === 0) onStopped();
  }

  private makeSlot(worker: number, spare: boolean): number {
    const event = native.eventfd();
    if (event < 0) throw new Error(`eventfd: errno ${-event}`);
    const slot = workerSlot(worker);
    this.memory.i32[slot + WorkerSlot.EVENTFD] = event;
    this.memory.i32[slot + WorkerSlot.SPARE] = spare ? 1 : 0;
    native.jobPoolEvent(worker, event);
    return event;
  }

  private startThread(worker: number, cpu: number, spare: boolean): void {
    const { overlay, logLevel } = this.options;
    const count = this.workers.length;
    const queues = this.workers.map((_, i) => queuesOf(i, count, this.cpus, this.possible));
    const start: WorkerStart = {
      worker,
      cpu,
      cpus: this.cpus.slice(0, count),
      queues,
      spare,
      logLevel,
      ...(overlay !== undefined && { overlay }),
    };
    const thread = this.started === 0 && this.options.thread !== undefined ? this.options.thread : startThread(this.options.bundle);
    thread.postMessage(start);
    this.started++;
    this.running++;
    let reason = new Error(`worker ${worker} ended`);
    thread.on('error', (error) => (reason = error));
    thread.on('exit', () => {
      this.running--;
      if (!this.stopping) this.onFailure(reason);
      else if (this.running === 0) this.onStopped?.();
    });
  }
}

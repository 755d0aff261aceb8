/** A worker is stuck when it is in one request for long: in a plain system call (a cold disk, NFS, throttled writes). */
import { WorkerSlot } from '../overlay/table/layout';
import { elapsed } from './clock';
import { workerSlot } from './words';

/** Threads that help when workers are stuck: their slots follow the workers'. */
export const SPARES = 2;

const STUCK_MS = 20;

export function isStuck(i32: Int32Array, worker: number, now: number, milliseconds = STUCK_MS): boolean {
  const since = Atomics.load(i32, workerSlot(worker) + WorkerSlot.BUSY_SINCE);
  return since !== 0 && elapsed(now, since) >= milliseconds;
}

/**
 * Who is to help with an io_uring queue whose workers are stuck, 0: nobody can. One of the spare ones; the other when that one is stuck as well, for
 * it may have been helping; then a worker of other queues.
 */
export function helper(i32: Int32Array, queue: number, workers: number, now: number): number {
  for (let i = 0; i < SPARES; i++) {
    const spare = workers + 1 + ((queue + i) % SPARES);
    if (!isStuck(i32, spare, now)) return spare;
  }
  for (let worker = 1; worker <= workers; worker++) if (!isStuck(i32, worker, now)) return worker;
  return 0;
}

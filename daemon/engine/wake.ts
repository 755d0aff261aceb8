/** Waking threads: each has an eventfd in its slot. */
import { native } from '../../native-bindings/index';
import { Control, WorkerSlot } from '../overlay/table/layout';
import type { Memory } from '../overlay/table/memory';
import { EngineWord, workerSlot } from './words';

export function wake(memory: Memory, worker: number): void {
  native.eventfdSignal(memory.i32[workerSlot(worker) + WorkerSlot.EVENTFD]);
}

export function wakeMain(memory: Memory): void {
  wake(memory, EngineWord.MAIN);
}

/** The main thread too. */
export function wakeAll(memory: Memory): void {
  for (let worker = Atomics.load(memory.i32, Control.WORKER_COUNT) - 1; worker >= 0; worker--) wake(memory, worker);
}

/**
 * When the memory of an unhung record may be used again: when every worker has finished the request it was in at that time.
 * A worker enters with the current epoch and leaves with 0; what was retired in epoch e is given back when no worker is in one <= e.
 * One object per thread; a thread's retired records are its own until given back.
 *
 * The counter wraps around (one step per reclaim: after months). So epochs are compared by the sign of their difference, and 0, which means
 * "idle" in a worker's slot, is entered as -1: one too old is always safe.
 */
import type { Allocator } from './allocator';
import { Control, Limits, WorkerSlot } from './layout';
import type { Memory } from './memory';

const RECLAIM_AT = 128;

/** Is epoch a before epoch b? */
function before(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

export class Epochs {
  private readonly slot: number;
  private cells: number[] = [];
  private epochs: number[] = [];
  /** Twice what the last reclaim had to keep: a worker that is stuck must not make the others look through a long list at every leave. */
  private reclaimAt = RECLAIM_AT;

  constructor(
    private readonly memory: Memory,
    private readonly allocator: Allocator,
    worker: number,
  ) {
    this.slot = Control.WORKERS + worker * WorkerSlot.SIZE + WorkerSlot.EPOCH;
  }

  enter(): void {
    const { i32 } = this.memory;
    Atomics.store(i32, this.slot, Atomics.load(i32, Control.EPOCH) || -1);
  }

  leave(): void {
    Atomics.store(this.memory.i32, this.slot, 0);
    if (this.cells.length >= this.reclaimAt) this.reclaim();
  }

  /** To be called after the record was unhung from everything that leads to it. */
  retire(cell: number): void {
    this.cells.push(cell);
    this.epochs.push(Atomics.load(this.memory.i32, Control.EPOCH));
  }

  /** Gives back what can be; called when much has been retired, and by an idle worker. Must not be called between enter and leave. */
  reclaim(): void {
    if (this.cells.length === 0) return;
    const { i32 } = this.memory;
    let oldest = (Atomics.add(i32, Control.EPOCH, 1) + 1) | 0;
    for (let worker = 0; worker < Limits.MAX_WORKERS; worker++) {
      const epoch = Atomics.load(i32, Control.WORKERS + worker * WorkerSlot.SIZE + WorkerSlot.EPOCH);
      if (epoch !== 0 && before(epoch, oldest)) oldest = epoch;
    }
    let kept = 0;
    for (let i = 0; i < this.cells.length; i++) {
      if (before(this.epochs[i], oldest)) this.allocator.give(this.cells[i]);
      else {
        this.cells[kept] = this.cells[i];
        this.epochs[kept++] = this.epochs[i];
      }
    }
    this.cells.length = kept;
    this.epochs.length = kept;
    this.reclaimAt = Math.max(RECLAIM_AT, 2 * kept);
  }

  /** Records that wait, for tests and statistics. */
  get waiting(): number {
    return this.cells.length;
  }
}

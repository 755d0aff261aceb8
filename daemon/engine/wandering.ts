/**
 * Callers that wander. Over io_uring a request is served on the CPU where it was made. When the answer wakes its caller up, the scheduler sees that this CPU
 * is busy (with us, for a microsecond more) and another one idle, and lets the caller run there; the next request is served there, and the caller comes back
 * with its answer. To be woken on an idle CPU each time makes an operation two to three times as slow as to stay.
 *
 * So when a caller comes back again and again from another worker, some answers are given in the class SCHED_IDLE: a CPU where nothing else runs counts
 * as idle then, and the caller stays. Often that is enough for longer, as in a virtual machine the scheduler leaves a CPU alone that has been halted for some
 * time. It is done for some answers only, and only while callers wander (so there are idle CPUs): a thread of that class waits for all others, and where a
 * CPU suddenly has more to do, we would be what waits.
 */
import { EngineWord } from './words';

const enum Score {
  /** for a request whose caller was served by another worker before; one that stayed takes 1 away */
  MOVED = 8,
  ENOUGH = 32,
}

/** Answers at a time. */
const STAY = 64;

export class Wandering {
  private score = 0;
  private left = 0;

  constructor(
    private readonly i32: Int32Array,
    private readonly worker: number,
    /** may anything be done about it? */
    private readonly isAllowed: boolean,
  ) {}

  /** Is whom the next answer wakes up to run on this CPU? */
  get isToStay(): boolean {
    return this.left > 0;
  }

  /** A request of this thread was handled. The caller is 0 where nobody waits (RELEASE). What other workers write meanwhile does no harm. */
  served(caller: number): void {
    if (!this.isAllowed || caller === 0) return;
    const { i32, worker } = this;
    const isSame = i32[EngineWord.LAST_CALLER] === caller;
    const moved = isSame && i32[EngineWord.LAST_WORKER] !== worker;
    i32[EngineWord.LAST_CALLER] = caller;
    i32[EngineWord.LAST_WORKER] = worker;
    if (this.left > 0) this.left = isSame ? this.left - 1 : 0; // two should not stay on one CPU
    if (moved) this.score += Score.MOVED;
    else if (this.score > 0) this.score--;
    if (this.score < (Score.ENOUGH as number)) return;
    this.score = 0;
    this.left = STAY;
  }
}

/**
 * Watches for workers that are stuck in a plain system call (a cold disk, NFS, throttled writes): when all are, the spare ones are woken, and
 * sent to sleep again when one is back. Where a worker has io_uring queues that the others do not serve, one is as bad as all. Looks only while something happens: a worker that begins to work wakes the watch, so an idle engine
 * burns nothing.
 */
import { Control, Limits, WorkerSlot } from '../overlay/table/layout';
import type { Memory } from '../overlay/table/memory';
import { Clock } from './clock';
import { leaderOf, setLeader } from './leading';
import { isStuck } from './stuck';
import { wakeAll } from './wake';
import { EngineWord, workerSlot } from './words';

const enum Milliseconds {
  /** between two looks: while all are busy, and at most */
  SHORT = 10,
  LONG = 50,
}

/** Looks without any request served before the watch goes to sleep. */
const QUIET_LOOKS = 10;

export class Watch {
  private readonly i32: Int32Array;
  private readonly clock = new Clock();
  private timer: NodeJS.Timeout | undefined;
  private interval: number = Milliseconds.SHORT;
  private served = 0;
  /** at the last look, spares too */
  private stuck = 0;
  private quiet = 0;

  constructor(
    private readonly memory: Memory,
    private readonly workers: readonly number[],
    private readonly spares: readonly number[],
    /** has each worker requests that no other one can take? */
    private readonly hasQueues: () => boolean,
    /** told when the spares are woken (true) or sent to sleep */
    private readonly onSpares: (awake: boolean) => void,
  ) {
    this.i32 = memory.i32;
    Atomics.store(this.i32, EngineWord.WATCH_ASLEEP, 1);
  }

  /** To be called whenever the main thread is woken. */
  notice(): void {
    if (this.timer !== undefined || Atomics.load(this.i32, EngineWord.WATCH_ASLEEP) !== 0) return;
    this.quiet = 0;
    this.interval = Milliseconds.SHORT;
    this.arm();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private arm(): void {
    this.timer = setTimeout(() => this.look(), this.interval);
  }

  private look(): void {
    this.timer = undefined;
    const { i32 } = this;
    const now = this.clock.now();
    let served = 0;
    let busy = 0;
    let stuck = 0;
    for (const worker of this.workers) {
      const slot = workerSlot(worker);
      served = (served + i32[slot + WorkerSlot.SERVED]) | 0;
      if (Atomics.load(i32, slot + WorkerSlot.BUSY_SINCE) === 0) continue;
      busy++;
      if (isStuck(i32, worker, now)) stuck++;
    }
    const led = this.lookAtLeaders(now);
    const inAll = stuck + this.spares.filter((spare) => isStuck(i32, spare, now)).length;
    const awake = Atomics.load(i32, Control.SPARES_AWAKE) !== 0;
    const least = this.hasQueues() ? 1 : this.workers.length;
    const wanted = stuck >= least;
    if (wanted !== awake || (wanted && inAll !== this.stuck)) this.wakeSpares(wanted);
    this.stuck = inAll;
    this.interval = busy >= (led ? 1 : least) && !wanted ? Milliseconds.SHORT : Math.min(this.interval * 2, Milliseconds.LONG);
    this.quiet = served === this.served && busy === 0 ? this.quiet + 1 : 0;
    this.served = served;
    if (this.quiet < QUIET_LOOKS || !this.fallAsleep()) this.arm();
  }

  /** Is there one? Where one is stuck, all workers serve again. */
  private lookAtLeaders(now: number): boolean {
    let found = false;
    for (let mount = 0; mount < Limits.MAX_MOUNTS; mount++) {
      const leader = leaderOf(this.i32, mount);
      if (leader === 0) continue;
      found = true;
      if (!isStuck(this.i32, leader, now, Milliseconds.SHORT)) continue;
      Atomics.store(this.i32, EngineWord.LEADER_STUCK, now);
      setLeader(this.memory, this.workers.length, mount, leader, 0);
    }
    return found;
  }

  /** Whoever begins to work after the store wakes us; who did before it shows in its slot. */
  private fallAsleep(): boolean {
    const { i32 } = this;
    Atomics.store(i32, EngineWord.WATCH_ASLEEP, 1);
    if (this.workers.every((worker) => Atomics.load(i32, workerSlot(worker) + WorkerSlot.BUSY_SINCE) === 0)) return true;
    return Atomics.exchange(i32, EngineWord.WATCH_ASLEEP, 0) === 0; // 0: a worker was faster, and its wake-up is on its way
  }

  private wakeSpares(awake: boolean): void {
    const before = Atomics.exchange(this.i32, Control.SPARES_AWAKE, awake ? 1 : 0);
    wakeAll(this.memory);
    if (before !== (awake ? 1 : 0)) this.onSpares(awake);
  }
}

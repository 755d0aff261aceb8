/**
 * A mount whose callers come one at a time is served by one worker, the one of their CPU: its leader. The others leave the device's queue of waiters. Else,
 * while the leader is about to wait again, each request would wake one of them in vain, on a CPU that sleeps: that takes the caller longer than the answer,
 * and a CPU that has just been awake is where the scheduler moves the caller to, away from who serves it.
 *
 * It ends when requests come two at a time, and when the leader is stuck in one (watch.ts): what waits then is seen by whoever joins the queue, and for some
 * seconds no mount gets a leader, for where one was stuck one is likely to be stuck again.
 */
import { native } from '../../native-bindings/index';
import { Control, Limits, MountState, MountWord, WorkerSlot } from '../overlay/table/layout';
import type { Memory } from '../overlay/table/memory';
import { Opcode } from '../protocol/abi';
import { Clock, elapsed } from './clock';
import { setWaiting } from './waiters';
import { EngineMountWord, EngineWord, EngineWorkerWord, mountRecord, workerSlot } from './words';

const enum Score {
  /** wake-ups without anybody else at work, for a leader to be chosen */
  CALM = 64,
  /** for requests that came two at a time; one that did not takes 1 away */
  CROWD = 8,
  TOO_MUCH = 32,
}

/** Wake-ups between two looks at where the caller runs. Each takes some ten microseconds. */
const enum Looks {
  LEAST = 8,
  MOST = 32,
}

const AFTER_STUCK_MS = 5000;

/** Wake-ups at a time. */
const STAY = 64;

export class Leading {
  /** by mount */
  private readonly calm = new Int32Array(Limits.MAX_MOUNTS);
  private readonly crowd = new Int32Array(Limits.MAX_MOUNTS);
  /** the leader of each mount, as of the last wake-up */
  private readonly seen = new Int32Array(Limits.MAX_MOUNTS);
  private stay = 0;
  private readonly clock = new Clock();
  private period: number = Looks.LEAST;
  private left: number = Looks.LEAST;

  constructor(
    private readonly i32: Int32Array,
    private readonly worker: number,
    private readonly workers: number,
    /** those that the workers are pinned to, in turn; fewer than two: there is nobody to choose among */
    private readonly cpus: readonly number[],
    private readonly cpuOfThread: (tid: number) => number = (tid) => native.threadCpu(tid),
  ) {}

  /**
   * Is whom the next answer wakes up to run on this CPU? Asked once for each wake-up. The CPU of the leader before is still awake and idle: the scheduler
   * would move the caller there.
   */
  isToStay(mount: number): boolean {
    const leader = leaderOf(this.i32, mount);
    if (leader !== this.seen[mount]) {
      this.seen[mount] = leader;
      this.stay = leader === this.worker ? STAY : 0;
    }
    if (this.stay === 0) return false;
    this.stay--;
    return true;
  }

  /**
   * To be told once for each wake-up, with the caller served last, and whether requests came two at a time. Who is to lead from now on, 0: nobody;
   * undefined: as it is.
   */
  served(mount: number, caller: number, isCrowd: boolean): number | undefined {
    if (this.cpus.length < 2) return undefined;
    const leader = leaderOf(this.i32, mount);
    if (leader === 0) return this.isCalm(mount, isCrowd) ? this.chosen(mount, this.nearest(caller) ?? this.worker) : undefined;
    if (isCrowd) this.crowd[mount] += Score.CROWD;
    else if (this.crowd[mount] > 0) this.crowd[mount]--;
    if (this.crowd[mount] >= (Score.TOO_MUCH as number)) return this.chosen(mount, 0);
    if (--this.left > 0) return undefined;
    const nearest = this.nearest(caller) ?? leader;
    this.period = nearest === leader ? Math.min(this.period * 2, Looks.MOST) : Looks.LEAST;
    this.left = this.period;
    return nearest === leader ? undefined : this.chosen(mount, nearest);
  }

  private isCalm(mount: number, isCrowd: boolean): boolean {
    if (isCrowd || this.isAnotherBusy()) this.calm[mount] = 0;
    else this.calm[mount]++;
    if (this.calm[mount] < (Score.CALM as number)) return false;
    this.calm[mount] = 0;
    const stuck = this.i32[EngineWord.LEADER_STUCK];
    return stuck === 0 || elapsed(this.clock.now(), stuck) >= AFTER_STUCK_MS;
  }

  /** With what somebody waits for. */
  private isAnotherBusy(): boolean {
    for (let worker = 1; worker <= this.workers; worker++) {
      if (worker === this.worker) continue;
      const slot = workerSlot(worker);
      if (this.i32[slot + WorkerSlot.BUSY_SINCE] !== 0 && isAwaited(this.i32[slot + WorkerSlot.OPCODE])) return true;
    }
    return false;
  }

  /** The worker of the caller's CPU, if there is one that has begun and that nothing keeps. */
  private nearest(caller: number): number | undefined {
    const worker = this.cpus.indexOf(this.cpuOfThread(caller)) + 1;
    if (worker === 0 || worker === this.worker) return worker || undefined;
    const slot = workerSlot(worker);
    return this.i32[slot + EngineWorkerWord.EPOLL] === 0 || this.i32[slot + WorkerSlot.BUSY_SINCE] !== 0 ? undefined : worker;
  }

  private chosen(mount: number, leader: number): number {
    this.crowd[mount] = 0;
    if (leader !== this.worker) this.seen[mount] = leader;
    return leader;
  }
}

/** 0: reading ahead. */
function isAwaited(opcode: number): boolean {
  return ![0, Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.RELEASE, Opcode.RELEASEDIR].includes(opcode);
}

export function leaderOf(i32: Int32Array, mount: number): number {
  return Atomics.load(i32, mountRecord(mount) + EngineMountWord.LEADER);
}

/** Is the worker to wait for the mount's requests? */
export function isServing(i32: Int32Array, worker: number, mount: number): boolean {
  const leader = leaderOf(i32, mount);
  return leader === 0 || leader === worker;
}

/** Of a mount that the caller has not let go of. Nothing, if it has another leader than `before` by now. */
export function setLeader(memory: Memory, workers: number, mount: number, before: number, leader: number): void {
  const { i32 } = memory;
  const record = mountRecord(mount);
  memory.lock(Control.MOUNTS_LOCK);
  try {
    if (i32[record + MountWord.STATE] !== (MountState.ACTIVE as number) || leaderOf(i32, mount) !== before) return;
    Atomics.store(i32, record + EngineMountWord.LEADER, leader);
    for (let worker = 1; worker <= workers; worker++) if (worker !== leader) setWaiting(i32, worker, mount, leader === 0);
    if (leader === 0) return;
    // Anew, and last: one of the others may have been woken for a request, which it does not hear of any more. Whoever joins sees what waits.
    setWaiting(i32, leader, mount, false);
    setWaiting(i32, leader, mount, true);
  } finally {
    memory.unlock(Control.MOUNTS_LOCK);
  }
}

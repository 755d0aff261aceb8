/**
 * Which worker the kernel wakes for a request: always the first in the device's queue of idle ones, wherever the caller runs, and to be woken
 * on another CPU makes an operation several times as slow. So each worker looks now and then where its callers run. One that serves callers of
 * another worker's CPU goes to the end of the queue, until the right one is first.
 */
import { native } from '../../native-bindings/index';

/** Wake-ups between two looks: each look costs some ten microseconds. */
const enum Wakeups {
  LEAST = 32,
  MOST = 2048,
}

export class Affinity {
  private period: number = Wakeups.LEAST;
  private left: number = Wakeups.LEAST;

  constructor(
    /** the CPU that this worker is pinned to, -1: none */
    private readonly cpu: number,
    /** those of all workers */
    private readonly cpus: readonly number[],
  ) {}

  /** To be asked once for each wake-up, with the caller of its last request. True: another worker should have been woken. */
  isMisplaced(pid: number): boolean {
    if (--this.left > 0 || this.cpu < 0 || this.cpus.length < 2) return false;
    const cpu = native.threadCpu(pid);
    const misplaced = cpu !== this.cpu && this.cpus.includes(cpu);
    this.period = misplaced ? Wakeups.LEAST : Math.min(this.period * 2, Wakeups.MOST);
    this.left = this.period;
    return misplaced;
  }
}

/** Milliseconds that mean the same in every thread (performance.now() counts from each thread's start): monotonic, low 31 bits, never 0. */
import { performance } from 'node:perf_hooks';

export class Clock {
  private readonly start = Number(process.hrtime.bigint() / 1000n) / 1000 - performance.now();

  /** performance.now() of the last now() */
  last = 0;

  now(): number {
    const time = ((this.start + (this.last = performance.now())) % 0x80000000) | 0;
    return time === 0 ? 1 : time;
  }

  /** Milliseconds since the last now(). */
  sinceLast(): number {
    return performance.now() - this.last;
  }
}

/** Milliseconds from `since` to `now`, at most 12 days; a little less than 0 where another thread read its clock after `now` was read. */
export function elapsed(now: number, since: number): number {
  return ((now - since) << 1) >> 1;
}

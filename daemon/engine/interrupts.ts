/**
 * Which requests somebody waits for no longer. The kernel sends INTERRUPT to whichever worker reads next, not to the one that has the request;
 * so it goes into a ring that all look at: a worker when it sets a request aside, and when it is woken.
 *
 * A signal that the caller survives must not end its request: system calls on files are not expected to fail with EINTR (Go's runtime sends
 * itself signals all the time). INTERRUPT does not say which signal it was, so it is believed only of a thread that has SIGKILL pending, which
 * the kernel sees to for every deadly signal (complete_signal).
 */
import fs from 'node:fs';
import { Control } from '../overlay/table/layout';
import type { Memory } from '../overlay/table/memory';

const ENTRIES = 64;
const NONE = -1;
const SIGKILL_BIT = 1n << 8n;

/** Bit 63 (sent again) does not count, and a unique has less than 55 bits: the mount goes above. */
function key(mount: number, high: number): number {
  return (mount << 24) | (high & 0xffffff);
}

export class Interrupts {
  private seen = 0;

  constructor(private readonly memory: Memory) {}

  post(mount: number, uniqueLow: number, uniqueHigh: number): void {
    const { i32 } = this.memory;
    const entry = Control.INTERRUPTS + 2 * (Atomics.add(i32, Control.INTERRUPT_NEXT, 1) & (ENTRIES - 1));
    Atomics.store(i32, entry + 1, NONE);
    Atomics.store(i32, entry, uniqueLow);
    Atomics.store(i32, entry + 1, key(mount, uniqueHigh));
  }

  has(mount: number, uniqueLow: number, uniqueHigh: number): boolean {
    const { i32 } = this.memory;
    const wanted = key(mount, uniqueHigh);
    for (let i = 0; i < ENTRIES; i++) {
      const entry = Control.INTERRUPTS + 2 * i;
      if (Atomics.load(i32, entry) === uniqueLow && Atomics.load(i32, entry + 1) === wanted) return true;
    }
    return false;
  }

  /** Has something been posted since the last call? */
  changed(): boolean {
    const now = Atomics.load(this.memory.i32, Control.INTERRUPT_NEXT);
    const changed = now !== this.seen;
    this.seen = now;
    return changed;
  }

  /** Forgets a mount that is gone: the next one with its index counts from the start again. */
  clear(mount: number): void {
    const { i32 } = this.memory;
    for (let i = 0; i < ENTRIES; i++) {
      const entry = Control.INTERRUPTS + 2 * i;
      if (Atomics.load(i32, entry + 1) >>> 24 === mount) Atomics.store(i32, entry + 1, NONE);
    }
  }
}

/** Will this thread die of a signal as soon as it may? */
export function isDying(pid: number): boolean {
  if (pid === 0) return false; // of a pid namespace that we do not see
  try {
    const status = fs.readFileSync(`/proc/${pid}/status`, 'latin1');
    const pending = /^SigPnd:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0';
    return (BigInt(`0x${pending}`) & SIGKILL_BIT) !== 0n;
  } catch {
    return true; // it is gone
  }
}

/**
 * A worker's cache of directory descriptors: (directory record, its generation, which of its layers) → O_PATH descriptor. Direct-mapped.
 * A descriptor that is driven out stays open for the next few, so that what a gate returned is good until the operation's end.
 */
import type { Disk } from '../layers/disk';

const SLOTS = 512;
const LATE = 32;

export class FdCache {
  private readonly records = new Int32Array(SLOTS);
  private readonly generations = new Int32Array(SLOTS);
  private readonly which = new Int32Array(SLOTS);
  private readonly fds = new Int32Array(SLOTS).fill(-1);
  private readonly late = new Int32Array(LATE).fill(-1);
  private nextLate = 0;

  constructor(private readonly disk: Pick<Disk, 'close'>) {}

  private slot(record: number, which: number): number {
    return (Math.imul((record >>> 6) ^ Math.imul(which, 0x61c88647), 0x9e3779b1) >>> 23) & (SLOTS - 1);
  }

  get(record: number, generation: number, which: number): number {
    const slot = this.slot(record, which);
    return this.records[slot] === record && this.generations[slot] === generation && this.which[slot] === which ? this.fds[slot] : -1;
  }

  put(record: number, generation: number, which: number, fd: number): void {
    const slot = this.slot(record, which);
    if (this.fds[slot] >= 0) this.later(this.fds[slot]);
    this.records[slot] = record;
    this.generations[slot] = generation;
    this.which[slot] = which;
    this.fds[slot] = fd;
  }

  /** Closes `fd` when enough others have come after it. */
  later(fd: number): void {
    const at = this.nextLate++ % LATE;
    if (this.late[at] >= 0) this.disk.close(this.late[at]);
    this.late[at] = fd;
  }

  clear(): void {
    for (let i = 0; i < SLOTS; i++) if (this.fds[i] >= 0) this.disk.close(this.fds[i]);
    for (let i = 0; i < LATE; i++) if (this.late[i] >= 0) this.disk.close(this.late[i]);
    this.records.fill(0);
    this.fds.fill(-1);
    this.late.fill(-1);
  }
}

/**
 * What a worker counts. The counters are 64-bit floating-point words in the arena, so they are exact up to 2^53 and never run over; each is written
 * by one worker only, with a plain increment, and read by the main thread whenever somebody asks.
 *
 * A worker has a block for each mount, and one of all mounts. A mount's block begins with the serial of the mount that it counts for: mount records
 * are used again, and a block is not before its worker has seen the new mount. Times are kept by opcode for all mounts, and for each mount by kind of
 * operation: by opcode that would be 13 KiB for each mount and worker, and hundreds of series for each mount in Prometheus.
 */
import type { Kind } from '../protocol/operations';
import { Limits } from './table/layout';
import type { Memory } from './table/memory';

/** Words of a mount's block. */
export const enum Count {
  SERIAL = 0,
  OPENS_PASSTHROUGH = 1,
  OPENS_SERVED = 2,
  /** nodes whose attributes were read from a layer or the upper, as nobody had them */
  NODES_MADE = 3,
  /** files whose data were copied to the upper, and the bytes */
  COPIED_FILES = 4,
  COPIED_BYTES = 5,
  /** directories that were read from the layers and the upper, and merged */
  DIRECTORY_LOADS = 6,
  /** LOOKUPs that were answered from the table alone */
  LOOKUP_HITS = 7,
  /** and up: requests by opcode */
  OPCODES = 16,
  /** and up: times by kind of operation */
  TIMES = 80,
  SIZE = 280,
}

/** Opcodes that are counted; another one (CUSE_INIT) counts as 0. */
export const OPCODES = 64;

/** Of an opcode's or a kind's times: buckets by powers of two of microseconds, then the sum in milliseconds. */
export const enum Times {
  /** bucket i has what took less than 2^i microseconds, and no earlier one has; the last has the rest */
  BUCKETS = 24,
  SUM = 24,
  SIZE = 25,
}

/** One request in so many is timed. Prime, so that clients that repeat some few calls have each of them timed. */
export const TIMED_ONE_IN = 17;

const BLOCK_WORDS = Limits.MAX_MOUNTS * Count.SIZE + OPCODES * Times.SIZE;
const BLOCK_PAGES = Math.ceil((BLOCK_WORDS * 8) / Limits.PAGE_BYTES);

/** Where a mount's block, its times of a kind, or an opcode's times of all mounts begin in Counters.words. */
export const blockOf = (mount: number): number => mount * Count.SIZE;
export const timesIn = (block: number, kind: number): number => block + Count.TIMES + kind * Times.SIZE;
export const timesOf = (opcode: number): number => Limits.MAX_MOUNTS * Count.SIZE + opcode * Times.SIZE;

export class Counters {
  readonly words: Float64Array;
  /** block of the mount whose request is being served */
  at = 0;
  /** something had to be read from a layer or the upper for it */
  missed = false;

  private constructor(
    memory: Memory,
    /** byte offset in the arena */
    readonly offset: number,
  ) {
    this.words = new Float64Array(memory.buffer, offset, BLOCK_WORDS);
  }

  /** Sparse memory: what is not counted takes none. */
  static make(memory: Memory): Counters {
    return new Counters(memory, memory.takePages(BLOCK_PAGES));
  }

  static at(memory: Memory, offset: number): Counters {
    return new Counters(memory, offset);
  }

  /** A node or a directory (which) had to be read. */
  miss(which: Count): void {
    this.words[this.at + which]++;
    this.missed = true;
  }

  /** A mount begins to be served. */
  begin(mount: number, serial: number): void {
    const block = blockOf(mount);
    this.words.fill(0, block, block + Count.SIZE);
    this.words[block + Count.SERIAL] = serial;
  }

  /** A request was answered by a handler that took so long. */
  time(opcode: number, kind: Kind, milliseconds: number): void {
    const { words } = this;
    const us = Math.min(milliseconds * 1000, 0x7fffffff) | 0;
    const bucket = Math.min(32 - Math.clz32(us), Times.BUCKETS - 1);
    const ofAll = timesOf(opcode);
    const ofMount = timesIn(this.at, kind);
    words[ofAll + bucket]++;
    words[ofAll + Times.SUM] += milliseconds;
    words[ofMount + bucket]++;
    words[ofMount + Times.SUM] += milliseconds;
  }
}

/** What the workers have counted (overlay/counters.ts), put together by the main thread when the daemon asks. */
import { blockOf, Count, Counters, OPCODES, Times, timesIn, timesOf } from '../overlay/counters';
import { Limits, WorkerSlot } from '../overlay/table/layout';
import type { Memory } from '../overlay/table/memory';
import { InitRequest } from '../protocol/negotiation';
import { Message } from '../protocol/reader';
import { makeRows } from '../protocol/rows';
import type { CountedKind, CountedMount, CountedTimes } from './control';
import { EngineMountWord, mountRecord, workerSlot } from './words';

/** By Kind. */
const KINDS: readonly CountedKind[] = ['other', 'lookup', 'attributes', 'list', 'open', 'read', 'write', 'change'];

export class Statistics {
  private readonly workers: (Counters | undefined)[] = [];
  private names: string[] | undefined;
  /** what times() does not tell of, in the order of the times of all opcodes */
  private leftOut = new Float64Array(OPCODES * Times.SIZE);

  constructor(private readonly memory: Memory) {}

  mount(mount: number): Omit<CountedMount, 'tag'> {
    const serial = this.memory.i32[mountRecord(mount) + EngineMountWord.SERIAL];
    const block = blockOf(mount);
    const blocks = this.counters().filter(({ words }) => words[block + Count.SERIAL] === serial);
    const sum = (word: number): number => blocks.reduce((total, { words }) => total + words[block + word], 0);
    const operations: Record<string, number> = {};
    for (let opcode = 0; opcode < OPCODES; opcode++) {
      const count = sum(Count.OPCODES + opcode);
      if (count > 0) operations[this.name(opcode)] = (operations[this.name(opcode)] ?? 0) + count;
    }
    return {
      mount,
      operations,
      opensPassthrough: sum(Count.OPENS_PASSTHROUGH),
      opensServed: sum(Count.OPENS_SERVED),
      lookupHits: sum(Count.LOOKUP_HITS),
      nodesRead: sum(Count.NODES_MADE),
      directoriesRead: sum(Count.DIRECTORY_LOADS),
      copiedFiles: sum(Count.COPIED_FILES),
      copiedBytes: sum(Count.COPIED_BYTES),
      times: KINDS.map((kind, i) => ({ kind, ...timesAt(sum, timesIn(0, i)) })).filter(isAny),
    };
  }

  times(): CountedTimes[] {
    const counted = this.totals().map((total, i) => total - this.leftOut[i]);
    const found: CountedTimes[] = [];
    for (let opcode = 0; opcode < OPCODES; opcode++) {
      found.push({ operation: this.name(opcode), ...timesAt((word) => counted[word], opcode * Times.SIZE) });
    }
    return found.filter(isAny);
  }

  /** Nobody is to hear of the times up to now. */
  leaveOut(): void {
    this.leftOut = this.totals();
  }

  private totals(): Float64Array<ArrayBuffer> {
    const all = this.counters();
    return Float64Array.from(this.leftOut, (_, i) => all.reduce((total, { words }) => total + words[timesOf(0) + i], 0));
  }

  private counters(): Counters[] {
    for (let worker = 0; worker < Limits.MAX_WORKERS; worker++) {
      const offset = Atomics.load(this.memory.i32, workerSlot(worker) + WorkerSlot.COUNTERS);
      if (offset !== 0) this.workers[worker] ??= Counters.at(this.memory, offset);
    }
    return this.workers.filter((one) => one !== undefined);
  }

  private name(opcode: number): string {
    this.names ??= makeRows(new Message(this.memory.buffer), new InitRequest()).map(({ name }) => name);
    return this.names[opcode] ?? 'unknown';
  }
}

/** `sum` has the workers' words together. */
function timesAt(sum: (word: number) => number, at: number): { buckets: number[]; sumMs: number } {
  return { buckets: Array.from({ length: Times.BUCKETS }, (_, i) => sum(at + i)), sumMs: sum(at + Times.SUM) };
}

const isAny = ({ buckets }: { buckets: number[] }): boolean => buckets.some((count) => count > 0);

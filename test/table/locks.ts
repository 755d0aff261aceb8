/** Scenarios of the locks in memory.ts. */
import * as bindings from '../../native-bindings/index';
import type { Table } from '../../daemon/overlay/table/table';
import { Random } from '../fuzz/random';
import { assert, type Scenario } from './scenario';

/** Words of the page the locks' scenarios use; each in a cache line of its own. */
const enum Word {
  LOCK = 0,
  PLAIN = 16,
  TWIN = 32,
  INSIDE = 48,
  MOST_INSIDE = 64,
  DONE = 80,
}

const ETIMEDOUT = -110;

function page(table: Table): Record<string, number> {
  return { base: table.memory.takePages(1) / 4 };
}

/** Something that takes about `turns` nanoseconds and that no compiler leaves out. */
function dawdle(table: Table, word: number, turns: number): void {
  for (let i = 0; i < turns; i++) table.i32[word + 1] ^= i;
}

/**
 * A waiter that sleeps with a limit would hide a lost wake-up. This counts the sleeps that ended by the limit although `free` says that the
 * lock was there to be taken.
 */
function countMissedWakeUps(free: (value: number) => boolean, table: Table, word: number): () => number {
  let missed = 0;
  const { native } = bindings;
  const futexWait: bindings.Native['futexWait'] = (offset, expected, timeout) => {
    const result = native.futexWait(offset, expected, timeout);
    if (result === ETIMEDOUT && offset === word * 4 && free(Atomics.load(table.i32, word))) missed++;
    return result;
  };
  (bindings as { native: bindings.Native }).native = Object.create(native, { futexWait: { value: futexWait } }) as bindings.Native;
  return () => missed;
}

function enterAlone(table: Table, base: number): void {
  const inside = Atomics.add(table.i32, base + Word.INSIDE, 1);
  assert(inside === 0, () => `${inside} others hold the lock`);
}

export const scenarios: Record<string, Scenario> = {
  /** args: rounds per thread, longest stay inside */
  mutex: {
    setup: (table, args) => ({ ...page(table), ...args }),
    run(table, thread, { base, rounds, longest }) {
      const { i32, memory } = table;
      const random = new Random(thread);
      let tried = 0;
      for (let i = 0; i < rounds; i++) {
        if (random.chance(10)) {
          if (!memory.tryLock(base + Word.LOCK)) {
            tried++;
            continue;
          }
        } else memory.lock(base + Word.LOCK);
        enterAlone(table, base);
        i32[base + Word.PLAIN] = i32[base + Word.PLAIN] + 1; // not atomic on purpose
        if (longest > 0) dawdle(table, base + Word.TWIN, random.below(longest));
        Atomics.sub(i32, base + Word.INSIDE, 1);
        memory.unlock(base + Word.LOCK);
      }
      return { entered: rounds - tried };
    },
    check(table, { base }) {
      assert(table.i32[base + Word.LOCK] === 0, () => 'the lock is still held');
      return { plain: table.i32[base + Word.PLAIN] };
    },
  },

  /** Two locks, taken in order, many sleepers: no thread may sleep for ever. args: rounds */
  mutexSleepers: {
    setup: (table, args) => ({ ...page(table), ...args }),
    run(table, thread, { base, rounds }) {
      const { memory } = table;
      for (let i = 0; i < rounds; i++) {
        memory.lock(base + Word.LOCK);
        if ((i + thread) % 16 === 0) bindings.native.futexWait((base + Word.DONE) * 4, 0, 1); // everyone else goes to sleep
        memory.unlock(base + Word.LOCK);
      }
      return { entered: rounds };
    },
  },

  /** args: rounds, percent of writers */
  readersAndWriters: {
    setup: (table, args) => ({ ...page(table), ...args }),
    run(table, thread, { base, rounds, writers }) {
      const { i32, memory } = table;
      const lock = base + Word.LOCK;
      const missed = countMissedWakeUps(() => (Atomics.load(i32, lock) & 0x7fffffff) === 0, table, lock);
      const random = new Random(thread, 1);
      let wrote = 0;
      for (let i = 0; i < rounds; i++) {
        if (random.chance(writers)) {
          memory.lockExclusive(lock);
          enterAlone(table, base);
          i32[base + Word.PLAIN] = i32[base + Word.PLAIN] + 1;
          if (random.chance(5)) dawdle(table, base + Word.TWIN + 1, random.below(2000));
          i32[base + Word.TWIN] = i32[base + Word.TWIN] + 1;
          Atomics.sub(i32, base + Word.INSIDE, 1);
          memory.unlockExclusive(lock);
          wrote++;
        } else {
          memory.lockShared(lock);
          const inside = Atomics.add(i32, base + Word.INSIDE, 1) + 1;
          if (inside > i32[base + Word.MOST_INSIDE]) i32[base + Word.MOST_INSIDE] = inside;
          const before = i32[base + Word.PLAIN];
          if (random.chance(5)) dawdle(table, base + Word.DONE + 16 * thread, random.below(2000));
          assert(before === i32[base + Word.TWIN], () => 'a writer was at work while a reader held the lock');
          Atomics.sub(i32, base + Word.INSIDE, 1);
          memory.unlockShared(lock);
        }
      }
      return { wrote, missed: missed() };
    },
    check(table, { base }) {
      assert((table.i32[base + Word.LOCK] & ~0x20000000) === 0, () => 'the lock is still held');
      return { plain: table.i32[base + Word.PLAIN], mostInside: table.i32[base + Word.MOST_INSIDE] };
    },
  },

  /** Thread 0 writes now and then, the others read without a pause: it gets its turn. args: turns. */
  writerAmongReaders: {
    setup: (table, args) => ({ ...page(table), ...args }),
    run: (table, thread, { base, turns }) => turnsOfOne(table, thread, base, turns, true),
  },

  /** Thread 0 reads now and then, the others write without a pause: it gets its turn. args: turns. */
  readerAmongWriters: {
    setup: (table, args) => ({ ...page(table), ...args }),
    run: (table, thread, { base, turns }) => turnsOfOne(table, thread, base, turns, false),
  },
};

/** Thread 0 takes the lock `turns` times and says how long its longest wait was, in ms; the others take it the other way until it has. */
function turnsOfOne(table: Table, thread: number, base: number, turns: number, exclusive: boolean): Record<string, number> {
  const { i32, memory } = table;
  const lock = base + Word.LOCK;
  const held = (alone: boolean, work: number): void => {
    if (alone) memory.lockExclusive(lock);
    else memory.lockShared(lock);
    dawdle(table, base + Word.DONE + 16 * (thread + 1), work);
    if (alone) memory.unlockExclusive(lock);
    else memory.unlockShared(lock);
  };
  if (thread !== 0) {
    let rounds = 0;
    for (; Atomics.load(i32, base + Word.DONE) === 0; rounds++) held(!exclusive, 2000);
    return { others: rounds };
  }
  let longest = 0;
  for (let i = 0; i < turns; i++) {
    const start = performance.now();
    held(exclusive, 100);
    longest = Math.max(longest, performance.now() - start);
    dawdle(table, base + Word.TWIN, 20_000);
  }
  Atomics.store(i32, base + Word.DONE, 1);
  return { longest };
}

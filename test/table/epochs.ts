/** Scenarios of epoch.ts: what a reader has found stays what it is for as long as the reader is inside. */
import { Control } from '../../daemon/overlay/table/layout';
import type { Table } from '../../daemon/overlay/table/table';
import { Random } from '../fuzz/random';
import { assert, drain, type Scenario } from './scenario';

const SLOTS = 64;
const CELL_BYTES = 96;

/** A cell holds a serial that is never used again, and words that follow from it. */
function makeCell(table: Table, serial: number): number {
  const cell = table.allocator.take(CELL_BYTES);
  table.i32[cell] = serial;
  for (let word = 1; word < CELL_BYTES / 4; word++) table.i32[cell + word] = Math.imul(serial, word + 1);
  return cell;
}

function assertWhole(table: Table, cell: number, serial: number): void {
  assert(table.i32[cell] === serial, () => `a cell was used again while a reader was inside: ${serial} became ${table.i32[cell]}`);
  for (let word = 1; word < CELL_BYTES / 4; word++) {
    assert(table.i32[cell + word] === Math.imul(serial, word + 1), () => `word ${word} of a cell changed while a reader was inside`);
  }
}

function swap(table: Table, slots: number, slot: number, serial: number): void {
  const old = Atomics.exchange(table.i32, slots + 16 * slot, makeCell(table, serial));
  if (old !== 0) table.epochs.retire(old);
}

function look(table: Table, slots: number, random: Random, held: number): void {
  const cell = Atomics.load(table.i32, slots + 16 * random.below(SLOTS));
  if (cell === 0) return;
  const serial = table.i32[cell];
  for (let i = 0; i < held; i++) assertWhole(table, cell, serial);
}

export const scenarios: Record<string, Scenario> = {
  /** Everybody reads and replaces. args: rounds; from: the epoch to begin with */
  readersAndReplacers: {
    setup(table, { rounds, from }) {
      const slots = table.memory.takePages(1) / 4;
      if (from !== undefined) table.i32[Control.EPOCH] = from;
      return { rounds, slots, before: table.i32[Control.PAGES_USED] };
    },
    run(table, thread, { rounds, slots }) {
      const random = new Random(thread, 5);
      for (let i = 0; i < rounds; i++) {
        table.epochs.enter();
        if (random.chance(50)) swap(table, slots, random.below(SLOTS), (thread << 24) | i);
        else look(table, slots, random, random.chance(2) ? 200 : 1);
        table.epochs.leave();
      }
      const waiting = table.epochs.waiting;
      drain(table);
      return { waiting };
    },
    check(table, { slots, before }) {
      for (let i = 0; i < SLOTS; i++) {
        const cell = Atomics.exchange(table.i32, slots + 16 * i, 0);
        if (cell !== 0) table.epochs.retire(cell);
      }
      drain(table);
      return { kept: table.i32[Control.PAGES_USED] - before, epoch: table.i32[Control.EPOCH] };
    },
  },

  /** Thread 0 stays inside, with what it found, while the others retire a great deal; that stays cheap, and all of it comes back afterwards. */
  stalledReader: {
    setup: (table, { rounds }) => ({ rounds, slots: table.memory.takePages(1) / 4, before: table.i32[Control.PAGES_USED] }),
    run(table, thread, { rounds, slots }) {
      const { i32 } = table;
      const stage = slots + 16 * SLOTS;
      const random = new Random(thread, 6);
      if (thread !== 0) {
        for (let i = 0; Atomics.load(i32, stage) === 0; i++) swap(table, slots, random.below(SLOTS), (thread << 24) | (i & 0xffff));
        const start = performance.now();
        for (let i = 0; i < rounds; i++) {
          table.epochs.enter();
          swap(table, slots, random.below(SLOTS), (thread << 24) | (1 << 20) | i);
          table.epochs.leave();
        }
        const seconds = (performance.now() - start) / 1000;
        const waiting = table.epochs.waiting;
        Atomics.add(i32, stage + 16, 1);
        while (Atomics.load(i32, stage) !== 2) Atomics.load(i32, stage + 32);
        drain(table);
        return { seconds, waiting };
      }
      for (let found = 0; found < SLOTS;) found = countFilled(table, slots);
      table.epochs.enter();
      const cells = Array.from({ length: SLOTS }, (_, slot) => Atomics.load(i32, slots + 16 * slot));
      const serials = cells.map((cell) => i32[cell]);
      Atomics.store(i32, stage, 1);
      while (Atomics.load(i32, stage + 16) < 2) cells.forEach((cell, at) => assertWhole(table, cell, serials[at]));
      table.epochs.leave();
      Atomics.store(i32, stage, 2);
      return {};
    },
    check(table, { slots, before }) {
      for (let i = 0; i < SLOTS; i++) table.epochs.retire(Atomics.exchange(table.i32, slots + 16 * i, 0));
      drain(table);
      return { kept: table.i32[Control.PAGES_USED] - before };
    },
  },
};

function countFilled(table: Table, slots: number): number {
  let filled = 0;
  for (let slot = 0; slot < SLOTS; slot++) if (Atomics.load(table.i32, slots + 16 * slot) !== 0) filled++;
  return filled;
}

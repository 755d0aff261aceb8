/** Scenarios of the allocator. */
import fs from 'node:fs';
import { Allocator } from '../../daemon/overlay/table/allocator';
import { Control, Inode, Limits } from '../../daemon/overlay/table/layout';
import { TableFull } from '../../daemon/overlay/table/memory';
import type { Table } from '../../daemon/overlay/table/table';
import { Random } from '../fuzz/random';
import { assert, type Scenario } from './scenario';

/** Sizes that meet every class, its edges above all. */
const SIZES = [1, 31, 32, 33, 64, 90, 128, 150, 192, 193, 255, 256, 257, 320, 500, 1000, 2000, 4000, 8192, 16000, 32704, 32705, 65472];

/** Every word of a cell says whose it is, so that a cell that two own shows. */
function mark(table: Table, cell: number, bytes: number, owner: number): void {
  for (let word = 0; word < bytes >>> 2; word++) table.i32[cell + word] = owner ^ word;
}

function assertMarked(table: Table, cell: number, bytes: number, owner: number): void {
  for (let word = 0; word < bytes >>> 2; word++) {
    assert(table.i32[cell + word] === (owner ^ word), () => `word ${word} of cell ${cell} (${bytes} bytes) was overwritten`);
  }
}

function takeZeroed(table: Table, bytes: number): number {
  const cell = table.allocator.take(bytes, bytes === Inode.SIZE * 4);
  for (let word = 0; word < (bytes + 3) >>> 2; word++) {
    assert(table.i32[cell + word] === 0, () => `a fresh cell of ${bytes} bytes is not zero at ${word}`);
  }
  return cell;
}

function used(table: Table): number {
  return Atomics.load(table.i32, Control.PAGES_USED);
}

/** Blocks of memory that the arena really has, in bytes. */
function resident(): number {
  for (const fd of fs.readdirSync('/proc/self/fd')) {
    try {
      if (fs.readlinkSync(`/proc/self/fd/${fd}`).includes('plyfs-arena')) return fs.fstatSync(Number(fd)).blocks * 512;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // the descriptor of the listing itself
    }
  }
  throw new Error('the arena has no descriptor');
}

interface Held {
  cell: number;
  bytes: number;
  owner: number;
}

function giveChecked(table: Table, held: Held): void {
  assertMarked(table, held.cell, held.bytes, held.owner);
  table.allocator.give(held.cell);
}

/** Takes and gives at random, at most `most` held at a time, all given back at the end. */
function churn(table: Table, thread: number, rounds: number, most: number): void {
  const random = new Random(thread, 2);
  const held: Held[] = [];
  for (let i = 0; i < rounds; i++) {
    if (held.length < most && random.chance(55)) {
      // Small ones are the rule, as in life.
      const bytes = random.chance(80) ? SIZES[random.below(12)] : random.pick(SIZES);
      const cell = takeZeroed(table, bytes);
      const owner = (thread << 24) | i;
      mark(table, cell, bytes, owner);
      held.push({ cell, bytes, owner });
    } else if (held.length > 0) {
      const at = random.below(held.length);
      giveChecked(table, held[at]);
      held[at] = held[held.length - 1];
      held.pop();
    }
  }
  for (const one of held) giveChecked(table, one);
}

export const scenarios: Record<string, Scenario> = {
  /** args: rounds per thread */
  churn: {
    setup: (table, args) => ({ ...args, before: used(table) }),
    run: (table, thread, { rounds }) => (churn(table, thread, rounds, 400), {}),
    check(table, { before }) {
      return { kept: used(table) - before, resident: resident() };
    },
  },

  /** What one thread takes another gives: cells go around through a ring of mailboxes. args: rounds */
  handedOn: {
    setup: (table, args) => ({ ...args, before: used(table), boxes: table.memory.takePages(1) / 4 }),
    run(table, thread, { rounds, boxes }) {
      const random = new Random(thread, 3);
      let passed = 0;
      for (let i = 0; i < rounds; i++) {
        const cell = takeZeroed(table, SIZES[random.below(8)]);
        mark(table, cell, 4, cell);
        const other = Atomics.exchange(table.i32, boxes + 16 * random.below(64), cell);
        if (other !== 0) giveChecked(table, { cell: other, bytes: 4, owner: other });
        passed += other !== 0 ? 1 : 0;
      }
      return { passed };
    },
    check(table, { before, boxes }) {
      for (let i = 0; i < 64; i++) {
        const cell = table.i32[boxes + 16 * i];
        if (cell !== 0) table.allocator.give(cell);
      }
      return { kept: used(table) - before };
    },
  },

  /** isInode says yes exactly where an inode record could begin. */
  isInode: {
    mebibytes: 8,
    setup(table) {
      const perPage = Math.floor((Limits.PAGE_WORDS - 16) / Inode.SIZE);
      const taken = new Set(Array.from({ length: perPage + 5 }, () => table.allocator.take(Inode.SIZE * 4, true)));
      for (const bytes of SIZES) table.allocator.take(bytes);
      let said = 0;
      for (let record = -64; record < table.i32.length + 64; record++) {
        const yes = table.allocator.isInode(record);
        if (yes) said++;
        assert(yes || !taken.has(record), () => `${record} is an inode record`);
      }
      return { said, possible: 2 * perPage };
    },
    check: (_table, { said, possible }) => ({ said, possible }),
  },

  /** The arena is used up by all at once, given back, and used up again: as much fits the second time. */
  full: {
    mebibytes: 12,
    setup: (table) => ({ before: used(table) }),
    run(table, thread) {
      let taken = 0;
      for (let round = 0; round < 3; round++) {
        const held: Held[] = [];
        const random = new Random(thread, 4);
        try {
          for (;;) {
            const bytes = random.pick(SIZES);
            const cell = takeZeroed(table, bytes);
            const owner = (thread << 24) | held.length;
            mark(table, cell, bytes, owner);
            held.push({ cell, bytes, owner });
          }
        } catch (error) {
          if (!(error instanceof TableFull)) throw error;
        }
        taken += held.length;
        for (const one of held) giveChecked(table, one);
      }
      return { taken };
    },
    check: (table, { before }) => ({ kept: used(table) - before }),
  },

  /** With one thread what fits is exactly known: all pages, every cell of them. */
  fullExactly: {
    mebibytes: 8,
    setup(table) {
      const pages = table.i32[Control.PAGES] - table.i32[Control.NEXT_PAGE];
      const rounds: number[] = [];
      for (let round = 0; round < 2; round++) {
        const cells: number[] = [];
        try {
          for (;;) cells.push(table.allocator.take(1024));
        } catch (error) {
          if (!(error instanceof TableFull)) throw error;
        }
        rounds.push(cells.length);
        // One given back can be taken again, though the table is full.
        table.allocator.give(cells[7]);
        cells[7] = table.allocator.take(1000);
        for (const cell of cells) table.allocator.give(cell);
      }
      return { first: rounds[0], second: rounds[1], expected: pages * 63, tooLarge: refusesTooLarge(table) };
    },
    check: (_table, shared) => shared,
  },
};

function refusesTooLarge(table: Table): number {
  try {
    table.allocator.take(Allocator.largest + 1);
    return 0;
  } catch (error) {
    return error instanceof RangeError ? 1 : 0;
  }
}

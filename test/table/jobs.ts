/** Scenarios of the job slots, with the real pool of threads. */
import fs from 'node:fs';
import { JobKind, JobSlot, native } from '../../native-bindings/index';
import { Limits } from '../../daemon/overlay/table/layout';
import { TableFull } from '../../daemon/overlay/table/memory';
import type { Table } from '../../daemon/overlay/table/table';
import { assert, type Scenario } from './scenario';

const enum Board {
  LOCK = 0,
  /** slot of the job that everybody waits for; 0: none */ CURRENT = 16,
  /** jobs that have ended */ ENDED = 32,
  /** eventfd of thread i */ EVENTS = 48,
}

const EINVAL = -22;
const PATIENCE_MS = 1500;

/** Descriptors belong to the process; /dev/null cannot be synced, which is the shortest job there is. */
function board(table: Table, threads: number): Record<string, number> {
  const page = table.memory.takePages(1) / 4;
  for (let thread = 0; thread < threads; thread++) {
    const event = native.eventfd();
    table.i32[page + Board.EVENTS + thread] = event;
    native.jobPoolEvent(thread, event);
  }
  assert(native.jobPoolStart(2) === 0, () => 'the pool does not start');
  return { page, file: fs.openSync('/dev/null', 'r'), threads };
}

function submit(table: Table, file: number): number {
  const slot = table.takeJob();
  table.i32[(slot + JobSlot.kind) / 4] = JobKind.FSYNC;
  table.i32[(slot + JobSlot.a) / 4] = file;
  assert(table.submitJob(slot) === 0, () => 'the pool refuses a job');
  return slot;
}

function end(table: Table, slot: number): void {
  const result = table.i32[(slot + JobSlot.result) / 4];
  assert(result === EINVAL, () => `a job ended in ${result}: the slot is not this job's`);
  table.giveJob(slot);
}

/** Waits for this thread's eventfd. False when nothing came. */
function woken(epoll: number, event: number, scratch: number): boolean {
  const n = native.epollWait(epoll, scratch * 4, 1, PATIENCE_MS);
  if (n > 0) native.eventfdDrain(event);
  return n > 0;
}

function ownEpoll(table: Table, page: number, thread: number): { epoll: number; event: number; scratch: number } {
  const epoll = native.epollCreate();
  const event = table.i32[page + Board.EVENTS + thread];
  native.epollAdd(epoll, event, 1, 0);
  return { epoll, event, scratch: page + 1024 + 16 * thread };
}

export const scenarios: Record<string, Scenario> = {
  /** Each thread has jobs of its own, several at once. args: rounds, threads */
  own: {
    setup: (table, { rounds, threads }) => ({ ...board(table, threads), rounds }),
    run(table, thread, { page, file, rounds }) {
      const { epoll, event, scratch } = ownEpoll(table, page, thread);
      let slots: number[] = [];
      let ended = 0;
      for (let i = 0; i < rounds; i++) {
        while (slots.length < 5) slots.push(submit(table, file));
        const left = slots.filter((slot) => !table.jobDone(slot));
        for (const slot of slots) if (!left.includes(slot)) end(table, slot);
        ended += slots.length - left.length;
        assert(left.length < slots.length || woken(epoll, event, scratch), () => 'a job ended and its worker was not woken');
        slots = left;
      }
      for (const slot of slots) {
        while (!table.jobDone(slot)) woken(epoll, event, scratch);
        end(table, slot);
      }
      return { ended: ended + slots.length };
    },
    check: (table) => ({ free: freeSlots(table) }),
  },

  /**
   * All wait for the same job; whoever looks first when it has ended frees its slot, which is soon another job's. Thread 0 only looks, the
   * others sleep until they are woken. args: rounds, threads
   */
  shared: {
    setup: (table, { rounds, threads }) => ({ ...board(table, threads), rounds }),
    run(table, thread, { page, file, rounds }) {
      const { i32, memory } = table;
      const { epoll, event, scratch } = ownEpoll(table, page, thread);
      let slept = 0;
      for (;;) {
        memory.lock(page + Board.LOCK);
        const ended = i32[page + Board.ENDED];
        const current = i32[page + Board.CURRENT];
        let wait = false;
        if (current === 0) {
          if (ended < rounds) i32[page + Board.CURRENT] = submit(table, file);
        } else if (table.jobDone(current)) {
          end(table, current);
          i32[page + Board.CURRENT] = 0;
          Atomics.store(i32, page + Board.ENDED, ended + 1);
        } else wait = thread !== 0;
        memory.unlock(page + Board.LOCK);
        if (current === 0 && ended >= rounds) return { slept };
        if (!wait) continue;
        slept++;
        const came = woken(epoll, event, scratch);
        const now = Atomics.load(i32, page + Board.ENDED);
        assert(came || now === ended, () => `thread ${thread} waited for job ${ended}, ${now} have ended, and it was not woken`);
      }
    },
    check: (table) => ({ free: freeSlots(table) }),
  },
};

/** How many jobs can be taken until the table says that it is full; all given back. */
function freeSlots(table: Table): number {
  const slots = new Set<number>();
  try {
    for (;;) {
      const slot = table.takeJob();
      assert(!slots.has(slot), () => 'a slot was handed out twice');
      slots.add(slot);
      assert(slots.size <= Limits.MAX_JOBS, () => 'more slots than there are');
    }
  } catch (error) {
    if (!(error instanceof TableFull)) throw error;
  }
  for (const slot of slots) table.giveJob(slot);
  return slots.size;
}

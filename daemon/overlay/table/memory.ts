/** The arena as typed arrays, futex locks on its words, and its pages: see layout.ts for what lies where. One object per thread. */
import { native } from '../../../native-bindings/index';
import { Control, Limits, TABLE_MAGIC, TABLE_VERSION } from './layout';

/** Thrown when the table is full: the request ends in ENOMEM, everything stays as it was. */
export class TableFull extends Error {}

const WRITER = 0x40000000;
const WAITERS = 0x20000000;
const READERS = 0x1fffffff;

export class Memory {
  readonly buffer: ArrayBuffer;
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;

  constructor() {
    this.buffer = native.arenaBuffer();
    this.u8 = new Uint8Array(this.buffer);
    this.u32 = new Uint32Array(this.buffer);
    this.i32 = new Int32Array(this.buffer);
  }

  /** Makes the process's arena and its head. Once per process, by the main thread, before any worker starts. */
  static create(mebibytes: number): Memory {
    const fd = native.arenaCreate(mebibytes);
    if (fd < 0) throw new Error(`cannot make the node table of ${mebibytes} MiB (memfd_create, mmap): errno ${-fd}`);
    const memory = new Memory();
    const { i32 } = memory;
    i32[Control.MAGIC] = TABLE_MAGIC;
    i32[Control.VERSION] = TABLE_VERSION;
    i32[Control.PAGES] = Math.floor(memory.buffer.byteLength / Limits.PAGE_BYTES);
    i32[Control.NEXT_PAGE] = Math.ceil((Control.END * 4) / Limits.PAGE_BYTES);
    i32[Control.EPOCH] = 1;
    i32[Control.GENERATION] = 1;
    return memory;
  }

  // ---- mutex: 0 free, 1 held, 2 held and waited for (Drepper, "Futexes are tricky") ------------------------------------------------

  lock(word: number): void {
    if (Atomics.compareExchange(this.i32, word, 0, 1) !== 0) this.lockSlow(word);
  }

  tryLock(word: number): boolean {
    return Atomics.compareExchange(this.i32, word, 0, 1) === 0;
  }

  private lockSlow(word: number): void {
    for (let spin = 0; spin < 100; spin++) if (Atomics.compareExchange(this.i32, word, 0, 1) === 0) return;
    while (Atomics.exchange(this.i32, word, 2) !== 0) native.futexWait(word * 4, 2, -1);
  }

  unlock(word: number): void {
    const was = Atomics.exchange(this.i32, word, 0);
    if (was === 2) native.futexWake(word * 4, 1);
    else if (was !== 1) throw new Error(`lock ${word} was not held`);
  }

  // ---- reader-writer lock: WRITER | WAITERS | number of readers; a waiting writer keeps new readers out ------------------------------

  lockShared(word: number): void {
    const { i32 } = this;
    for (;;) {
      const value = Atomics.load(i32, word);
      if ((value & (WRITER | WAITERS)) === 0) {
        if (Atomics.compareExchange(i32, word, value, value + 1) === value) return;
      } else {
        native.futexWait(word * 4, value, 100);
      }
    }
  }

  unlockShared(word: number): void {
    const was = Atomics.sub(this.i32, word, 1);
    if ((was & READERS) === 0) throw new Error(`shared lock ${word} was not held`);
    if ((was & READERS) === 1 && (was & WAITERS) !== 0) native.futexWake(word * 4, 0x7fffffff);
  }

  lockExclusive(word: number): void {
    const { i32 } = this;
    for (;;) {
      const value = Atomics.load(i32, word);
      if ((value & (WRITER | READERS)) === 0) {
        // WAITERS may stand for others who wait: it stays, and unlockExclusive clears it and wakes them all.
        if (Atomics.compareExchange(i32, word, value, value | WRITER) === value) return;
      } else if ((value & WAITERS) !== 0 || Atomics.compareExchange(i32, word, value, value | WAITERS) === value) {
        native.futexWait(word * 4, value | WAITERS, 100);
      }
    }
  }

  unlockExclusive(word: number): void {
    const was = Atomics.exchange(this.i32, word, 0);
    if ((was & WRITER) === 0) throw new Error(`exclusive lock ${word} was not held`);
    native.futexWake(word * 4, 0x7fffffff);
  }

  // ---- pages -----------------------------------------------------------------------------------------------------------------------

  /** Takes `count` adjacent pages (64 KiB each), zeroed; returns the first's byte offset. More than one: never given back. */
  takePages(count: number): number {
    const { i32 } = this;
    this.lock(Control.PAGE_LOCK);
    try {
      let page: number;
      if (count === 1 && i32[Control.FREE_PAGE] !== 0) {
        page = i32[Control.FREE_PAGE];
        i32[Control.FREE_PAGE] = i32[page * Limits.PAGE_WORDS];
        i32[page * Limits.PAGE_WORDS] = 0;
      } else {
        page = i32[Control.NEXT_PAGE];
        if (page + count > i32[Control.PAGES]) throw new TableFull('the node table is full');
        i32[Control.NEXT_PAGE] = page + count;
      }
      i32[Control.PAGES_USED] += count;
      return page * Limits.PAGE_BYTES;
    } finally {
      this.unlock(Control.PAGE_LOCK);
    }
  }

  /** Gives one page back to the table, and its memory to the system. */
  givePage(offset: number): void {
    const { i32 } = this;
    const result = native.arenaPunch(offset, Limits.PAGE_BYTES);
    if (result < 0) this.u8.fill(0, offset, offset + Limits.PAGE_BYTES);
    this.lock(Control.PAGE_LOCK);
    try {
      const page = offset / Limits.PAGE_BYTES;
      i32[page * Limits.PAGE_WORDS] = i32[Control.FREE_PAGE];
      i32[Control.FREE_PAGE] = page;
      i32[Control.PAGES_USED]--;
    } finally {
      this.unlock(Control.PAGE_LOCK);
    }
  }
}

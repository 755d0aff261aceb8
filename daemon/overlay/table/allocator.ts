/**
 * Cells of fixed sizes in 64 KiB pages. Each page belongs to one size class and keeps its own chain of free cells; a class keeps the chain
 * of its pages that have a free cell. A page whose last cell comes back goes back to the system, but for one kept per class.
 * Leaf lock: the class's.
 */
import { Control, Limits } from './layout';
import type { Memory } from './memory';

/** Words of a page's head; cells begin at byte 64. */
const enum Page {
  NEXT = 0,
  PREVIOUS = 1,
  /** size class + 1; 0: no slab page */ CLASS = 2,
  USED = 3,
  /** chain of freed cells, as record indexes */ FREE = 4,
  /** cells never handed out yet begin here, as record index */ FRESH = 5,
  HEAD = 16,
}

/** Words of a class at Control.CLASSES + 16 * class. */
const enum Class {
  LOCK = 0,
  /** page numbers with a free cell */ PARTIAL = 1,
  /** pages without a used cell (0 or 1) */ EMPTY = 2,
}

const CELL_BYTES = [32, 64, 96, 128, 160, 192, 256, 320, 512, 1024, 2048, 4096, 8192, 16384, 32704, 65472] as const;
/** The class of inode records: see Allocator.isInode. */
const INODE_CLASS = 6;

export class Allocator {
  /** class by size in units of 32 bytes */
  private readonly classOf = new Uint8Array(65536 / 32 + 1);

  constructor(private readonly memory: Memory) {
    let size = 0;
    CELL_BYTES.forEach((bytes, index) => {
      for (; size * 32 <= bytes; size++) this.classOf[size] = index;
    });
  }

  static readonly largest = 65472;

  /** A zeroed cell of at least `bytes`; throws TableFull, or RangeError above Allocator.largest. Inode records are the only cells asked for as such. */
  take(bytes: number, inode = false): number {
    if (bytes > Allocator.largest) throw new RangeError(`no table cell has ${bytes} bytes`);
    let index = this.classOf[(bytes + 31) >>> 5];
    // The class of inode records holds nothing else, so that a nodeid can be checked.
    if (index === INODE_CLASS && !inode) index++;
    const { i32, u32 } = this.memory;
    const words = CELL_BYTES[index] >>> 2;
    const head = Control.CLASSES + 16 * index;
    this.memory.lock(head + Class.LOCK);
    let cell: number;
    try {
      if (i32[head + Class.PARTIAL] === 0) this.addPage(head, index);
      const number = i32[head + Class.PARTIAL];
      const page = number * Limits.PAGE_WORDS;
      cell = i32[page + Page.FREE];
      if (cell !== 0) i32[page + Page.FREE] = i32[cell];
      else {
        cell = i32[page + Page.FRESH];
        i32[page + Page.FRESH] = cell + words;
      }
      if (i32[page + Page.USED]++ === 0) i32[head + Class.EMPTY]--;
      if (i32[page + Page.FREE] === 0 && i32[page + Page.FRESH] + words > page + Limits.PAGE_WORDS) this.unhang(head, page);
    } finally {
      this.memory.unlock(head + Class.LOCK);
    }
    u32.fill(0, cell, cell + words);
    return cell;
  }

  /** Gives a cell back at once. For what readers may still look at, use Epochs.retire. */
  give(cell: number): void {
    const { i32 } = this.memory;
    const number = Math.floor(cell / Limits.PAGE_WORDS);
    const page = number * Limits.PAGE_WORDS;
    const index = i32[page + Page.CLASS] - 1;
    if (index < 0) throw new Error(`cell ${cell} lies in no slab page`);
    const words = CELL_BYTES[index] >>> 2;
    const head = Control.CLASSES + 16 * index;
    let empty = false;
    this.memory.lock(head + Class.LOCK);
    try {
      const wasFull = i32[page + Page.FREE] === 0 && i32[page + Page.FRESH] + words > page + Limits.PAGE_WORDS;
      i32[cell] = i32[page + Page.FREE];
      i32[page + Page.FREE] = cell;
      if (wasFull) this.hang(head, number);
      if (--i32[page + Page.USED] === 0) {
        if (i32[head + Class.EMPTY] > 0) {
          this.unhang(head, page);
          empty = true;
        } else i32[head + Class.EMPTY]++;
      }
    } finally {
      this.memory.unlock(head + Class.LOCK);
    }
    if (empty) {
      Atomics.and(i32, Control.SLABS + (number >>> 5), ~(1 << (number & 31)));
      this.memory.givePage(number * Limits.PAGE_BYTES);
    }
  }

  /** Could `record` be an inode record: does it lie where one begins? */
  isInode(record: number): boolean {
    const { i32 } = this.memory;
    if (record < Control.END || record >= i32.length) return false;
    const page = Math.floor(record / Limits.PAGE_WORDS) * Limits.PAGE_WORDS;
    if (!this.isSlab(page / Limits.PAGE_WORDS)) return false;
    // A page's tail is too short for a last cell.
    const fits = record + (CELL_BYTES[INODE_CLASS] >>> 2) <= page + Limits.PAGE_WORDS;
    return fits && i32[page + Page.CLASS] === INODE_CLASS + 1 && ((record - page - Page.HEAD) & 63) === 0;
  }

  /** Does a cell begin at `record`? */
  isCell(record: number): boolean {
    const { i32 } = this.memory;
    if (record < Control.END || record >= i32.length) return false;
    const page = Math.floor(record / Limits.PAGE_WORDS) * Limits.PAGE_WORDS;
    if (!this.isSlab(page / Limits.PAGE_WORDS)) return false;
    const index = Atomics.load(i32, page + Page.CLASS) - 1;
    if (index < 0 || index >= CELL_BYTES.length) return false;
    const words = CELL_BYTES[index] >>> 2;
    const from = record - page - Page.HEAD;
    return from >= 0 && from % words === 0 && from + words <= Limits.PAGE_WORDS - Page.HEAD;
  }

  /** Calls `each` with every place where an inode record may be, freed ones among them (MOUNT 0). Nobody else may use the table's class meanwhile but to free. */
  eachInode(each: (record: number) => void): void {
    const { i32 } = this.memory;
    const pages = i32[Control.NEXT_PAGE];
    for (let number = 0; number < pages; number++) {
      const page = number * Limits.PAGE_WORDS;
      if (!this.isSlab(number) || Atomics.load(i32, page + Page.CLASS) !== INODE_CLASS + 1) continue;
      const words = CELL_BYTES[INODE_CLASS] >>> 2;
      for (let cell = page + Page.HEAD; cell < i32[page + Page.FRESH]; cell += words) each(cell);
    }
  }

  /** Other pages hold what clients send: nothing in them may be taken for a cell. */
  private isSlab(page: number): boolean {
    return (Atomics.load(this.memory.i32, Control.SLABS + (page >>> 5)) & (1 << (page & 31))) !== 0;
  }

  private addPage(head: number, index: number): void {
    const { i32 } = this.memory;
    const number = this.memory.takePages(1) / Limits.PAGE_BYTES;
    const page = number * Limits.PAGE_WORDS;
    i32[page + Page.FRESH] = page + Page.HEAD;
    i32[page + Page.FREE] = 0;
    i32[page + Page.USED] = 0;
    Atomics.store(i32, page + Page.CLASS, index + 1);
    Atomics.or(i32, Control.SLABS + (number >>> 5), 1 << (number & 31));
    i32[head + Class.EMPTY]++;
    this.hang(head, number);
  }

  private hang(head: number, number: number): void {
    const { i32 } = this.memory;
    const next = i32[head + Class.PARTIAL];
    i32[number * Limits.PAGE_WORDS + Page.NEXT] = next;
    i32[number * Limits.PAGE_WORDS + Page.PREVIOUS] = 0;
    if (next !== 0) i32[next * Limits.PAGE_WORDS + Page.PREVIOUS] = number;
    i32[head + Class.PARTIAL] = number;
  }

  private unhang(head: number, page: number): void {
    const { i32 } = this.memory;
    const next = i32[page + Page.NEXT];
    const previous = i32[page + Page.PREVIOUS];
    if (next !== 0) i32[next * Limits.PAGE_WORDS + Page.PREVIOUS] = previous;
    if (previous !== 0) i32[previous * Limits.PAGE_WORDS + Page.NEXT] = next;
    else i32[head + Class.PARTIAL] = next;
  }
}

/** What one worker thread has of its own while it serves operations: its view of the node table, its buffers, its slow job. */
import { disk } from '../layers/disk';
import { OBJECT_PATH_BYTES } from '../layers/imported';
import { OVERRIDE_BYTES } from '../layers/override';
import { JobSlot } from '../layers/records';
import { Counters } from './counters';
import type { Mount } from './mount';
import type { Table } from './table/table';

/** Byte offsets of a worker's scratch areas in the arena; each is valid until the next use by the same worker. */
export interface Scratch {
  /** three stat records, the third for what changes owners that are kept in xattrs */
  readonly stat: number;
  readonly stat2: number;
  readonly stat3: number;
  /** 64 bytes for times, handles' types, lseek results */
  readonly words: number;
  /** three buffers of 4 KiB + 1 for names and paths that are made up */
  readonly path: number;
  readonly path2: number;
  readonly path3: number;
  /** path of a layer's file that is being looked for (lowers.ts) */
  readonly walk: number;
  /** an imported layer's: path of an object */
  readonly object: number;
  /** an owner that is kept in an xattr */
  readonly override: number;
  /** 64 KiB + 4 KiB for xattr values and lists */
  readonly value: number;
  readonly valueCapacity: number;
  /** 256 KiB for directory records */
  readonly dirents: number;
  readonly direntsCapacity: number;
  /** names of xattrs and fixed names, NUL-terminated, filled by Names (layers/names.ts) */
  readonly names: number;
  readonly namesCapacity: number;
}

/** A worker's views of the images (image.ts) that its mounts share, each with the number of those. */
class Images {
  private readonly views = new Map<number, { mount: Mount; sharers: number }>();

  view(index: number, make: () => Mount): Mount {
    const known = this.views.get(index) ?? { mount: make(), sharers: 0 };
    known.sharers++;
    this.views.set(index, known);
    return known.mount;
  }

  leave(image: Mount): void {
    const known = this.views.get(image.index);
    if (known === undefined || --known.sharers > 0) return;
    this.views.delete(image.index);
    image.detach();
  }
}

const KIB = 1024;

/** Bytes that are free before data that the kernel is to get unasked. */
export const HEADROOM = 64;

export class WorkerContext {
  readonly scratch: Scratch;
  readonly images = new Images();
  readonly counters: Counters;
  /**
   * The slow job that belongs to the operation being dispatched and to nobody else (fsync, fallocate…): 0 at its first dispatch; what it
   * was when the handler returned SET_ASIDE at the next. The handler frees the slot when it has taken the result.
   */
  job = 0;
  /** The nodeid and fh of the open that the answer just given has counted, 0: none. See Operations.undelivered. */
  opened = 0;
  openedHandle = 0;
  /** The nodeid of which the kernel must forget the attributes, 0: none, and whether cached content too; the session tells it after the answer. */
  stale = 0;
  staleContent = false;
  /** Puts `size` bytes at `data`, with HEADROOM before them, into the kernel's page cache as the beginning of a file; false: it has not taken them. */
  store: (device: number, nodeid: number, data: number, size: number) => boolean = () => false;

  /**
   * Has the kernel forget the attributes of a node, before the answer: from then on it asks, and is told when to ask again. That waits for nobody, so
   * locks may be held.
   */
  forgetAttributes: (device: number, nodeid: number) => void = () => undefined;

  /** There is something to be loaded before it is asked for: another worker is to call OverlayMount.readAhead. */
  readAhead: () => void = () => undefined;

  constructor(readonly table: Table) {
    this.counters = Counters.make(table.memory);
    // 8 pages = 512 KiB
    let at = table.memory.takePages(8);
    const part = (bytes: number): number => {
      const from = at;
      at += Math.ceil(bytes / 64) * 64;
      return from;
    };
    this.scratch = {
      stat: part(128),
      stat2: part(128),
      stat3: part(128),
      words: part(64),
      path: part(4 * KIB + 1),
      path2: part(4 * KIB + 1),
      path3: part(4 * KIB + 1),
      walk: part(4 * KIB + 1),
      object: part(OBJECT_PATH_BYTES),
      override: part(OVERRIDE_BYTES),
      value: part(68 * KIB),
      valueCapacity: 68 * KIB,
      names: part(4 * KIB),
      namesCapacity: 4 * KIB,
      dirents: part(256 * KIB),
      direntsCapacity: 256 * KIB,
    };
  }

  /** Index of the worker: its slot in the table. */
  get index(): number {
    return this.table.worker;
  }

  /** The operation that owned a job of its own went away unanswered; such a job's descriptors are its own too. */
  abandonOwn(slot: number): void {
    const { i32 } = this.table;
    this.abandon(
      slot,
      [i32[(slot + JobSlot.a) >> 2], i32[(slot + JobSlot.b) >> 2]].filter((fd) => fd > 0),
    );
  }

  private abandoned: { slot: number; fds: number[] }[] = [];

  /** Nobody waits for a job any more: its slot and descriptors go when it has ended. */
  abandon(slot: number, fds: number[]): void {
    this.abandoned.push({ slot, fds });
    this.sweep();
  }

  /** Frees what abandoned jobs held and have let go of. */
  sweep(): void {
    if (this.abandoned.length === 0) return;
    this.abandoned = this.abandoned.filter(({ slot, fds }) => {
      if (Atomics.load(this.table.i32, (slot + JobSlot.state) >> 2) === 1) return true;
      for (const fd of fds) disk.close(fd);
      this.table.giveJob(slot);
      return false;
    });
  }
}

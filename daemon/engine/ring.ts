/**
 * A worker's ring: FUSE over io_uring for all its mounts. See native-bindings/src/ring.c for how it is spoken to the kernel.
 *
 * For each mount, the worker lends an entry to each of the kernel's queues that are its own (queues.ts). A request comes in an entry of the queue
 * of the CPU that its caller ran on; its answer is a *commit*, which lends the entry again, and brings the next request if one waits in the
 * queue. Commits are told to the kernel, and the next request waited for, by one system call. FORGET and INTERRUPT come over the device, which
 * is polled through the ring too.
 *
 * One entry is enough for a queue: it is served where its callers run, so who is served and who asks take turns. And it is best: a request that
 * waits in the kernel's queue can be taken by any worker, one that the kernel has put into an entry only by the entry's own, which may be stuck in
 * a system call.
 *
 * KICKS. Only a commit, or the arrival of a request that finds a free entry, makes the kernel look at a queue; the lending of an entry does
 * not. So when the only entry's request is set aside, or its worker is stuck, and another entry is lent, those that wait already would wait on. A
 * request of our own making puts that right: its commit takes the next from the queue. It is the answer to a NOTIFY_RETRIEVE, which the kernel
 * takes of regular files that it knows: the one that was asked about last is mostly that of the request in question.
 */
import { native, RING_INBOX, RING_TAGS, RingEntry, RingEvent } from '../../native-bindings/index';
import { Limits } from '../overlay/table/layout';
import { type Memory, TableFull } from '../overlay/table/memory';
import { Notifier } from '../protocol/notify';
import type { Buffers, Channel } from './channel';
import { EngineMountWord, mountRecord } from './words';

/** What Ring.next() has found. */
export const enum Turn {
  NOTHING,
  /** a request: Ring.mount says whose */
  REQUEST,
  /** an entry of Ring.mount came back for good: Ring.result says why */
  RETURNED,
  /** the descriptor of watch() is readable, or that of watchLater() */
  DEVICES,
  QUIET,
  /** all that was lent for Ring.mount up to announce() has reached the kernel; refusals came before */
  LENT,
}

const enum Tag {
  DEVICES = 1,
  QUIET = 2,
  /** and up: a mount's index */
  MOUNTS = 16,
}

/** Commands that may be queued at once, and completions without the kernel having to set some aside. */
const COMMANDS = 64;
const COMPLETIONS = 1024;

/** Pages of the largest request that an entry has room for. Bulk data pass us by (passthrough). */
export const RING_PAGES = 32;

const ENTRY_BYTES = RingEntry.payload + RING_PAGES * 4096;
/** 16 entries: they fill the pages of the arena exactly. */
const CHUNK_ENTRIES = 16;
const CHUNK_PAGES = (CHUNK_ENTRIES * ENTRY_BYTES) / Limits.PAGE_BYTES;

/** How long FORGETs may wait, so that one wake-up takes many. A request that is interrupted is told as late. */
const QUIET_MS = 10;

/** What is where in the buffers' scratch area, of which the beginning is the worker's. */
const enum Scratch {
  EVENT = 2048,
  KICK = 2560,
}

/** High word of the uniques of kicks: the kernel's own count from 0. Bit 31 would mean something. */
const KICK_HIGH = 0x40000000;

/** More than there are CPUs: for a key of mount and queue. */
const QUEUES = 65536;

/** Entries in a queue of a mount: lent, and those of them whose request is set aside. */
interface Queue {
  lent: number;
  aside: number;
}

/** Bytes of the arena that the entries for so many queues take. */
export function ringBytes(queues: number): number {
  return queues * ENTRY_BYTES;
}

export class Ring implements Channel {
  // Of the request that next() has found.
  mount = 0;
  result = 0;
  length = 0;
  token = 0;
  request = 0;
  reply = 0;
  replyCapacity = 0;
  /** The kernel does not say whether an answer was taken. */
  readonly sent = 0;
  private readonly event: number;
  private readonly free: number[] = [];
  private readonly queues = new Map<number, Queue>();
  private readonly lentTo = new Int32Array(Limits.MAX_MOUNTS);
  private readonly devices = new Int32Array(Limits.MAX_MOUNTS).fill(-1);
  private readonly notifier: Notifier;
  private kicks = 0;

  private constructor(
    private readonly memory: Memory,
    private readonly buffers: Buffers,
    /** that its thread is pinned to, -1: none */
    private readonly cpu: number,
  ) {
    this.notifier = new Notifier(memory.buffer);
    this.event = buffers.scratch + Scratch.EVENT;
    if (buffers.requestCapacity < RING_INBOX) throw new Error('the buffer for requests is too small for a ring');
  }

  /** The calling thread's, or a negative errno. */
  static create(memory: Memory, buffers: Buffers, cpu: number): Ring | number {
    const result = native.ringCreate(COMMANDS, COMPLETIONS);
    return result < 0 ? result : new Ring(memory, buffers, cpu);
  }

  close(): void {
    native.ringClose();
  }

  // ---- serving -------------------------------------------------------------------------------------------------------------------------

  /** Tells the kernel of all answers and waits for what comes next. `behind`: whom they wake up is to run on this CPU (Wandering). */
  next(timeoutMs: number, behind: boolean): Turn {
    const { event, buffers } = this;
    const { i32 } = this.memory;
    const found = must(native.ringNext(event, buffers.request, buffers.reply, timeoutMs, behind ? 1 : 0), 'io_uring_enter');
    if (found === 0) return Turn.NOTHING;
    const word = event >> 2;
    const tag = i32[word + (RingEvent.tag >> 2)];
    const result = i32[word + (RingEvent.result >> 2)];
    if (tag < RING_TAGS) return this.tagged(tag);
    this.token = tag;
    this.mount = i32[(tag + RingEntry.mount) >> 2];
    if (result < 0) return this.returned(tag, result);
    this.request = i32[word + (RingEvent.request >> 2)];
    this.length = i32[word + (RingEvent.length >> 2)];
    this.reply = i32[word + (RingEvent.reply >> 2)];
    this.replyCapacity = i32[word + (RingEvent.capacity >> 2)];
    return Turn.REQUEST;
  }

  /** Queues the answer, or an empty one: each request must have one, for its entry to be lent again. */
  send(length: number): void {
    must(native.ringCommit(this.token, this.reply, length), 'io_uring commit');
  }

  flush(): void {
    must(native.ringSubmit(), 'io_uring_enter');
  }

  /** The request's answer will come later: its entry stays with us, and another one takes its place when too few are left. */
  setAside(): void {
    const { i32 } = this.memory;
    const { token } = this;
    const number = i32[(token + RingEntry.queue) >> 2];
    const queue = this.queue(this.mount, number);
    queue.aside++;
    if (queue.aside < queue.lent) return;
    try {
      this.lendOne(this.mount, number, i32[(token + RingEntry.capacity) >> 2]);
      this.kick(this.mount, number);
    } catch (error) {
      if (!(error instanceof TableFull)) throw error; // the queue waits for what is set aside
    }
  }

  /** A request that was set aside is current again. It lies where requests are copied to; its entry has room for the answer. */
  resume(token: number): void {
    const { i32 } = this.memory;
    this.token = token;
    this.mount = i32[(token + RingEntry.mount) >> 2];
    this.request = this.buffers.request;
    this.reply = token + RingEntry.payload - 16;
    this.replyCapacity = i32[(token + RingEntry.capacity) >> 2] + 16;
    this.queue(this.mount, i32[(token + RingEntry.queue) >> 2]).aside--;
  }

  private tagged(tag: number): Turn {
    if (tag === (Tag.DEVICES as number)) return Turn.DEVICES;
    if (tag === (Tag.QUIET as number)) return Turn.QUIET;
    this.mount = tag - Tag.MOUNTS;
    return Turn.LENT;
  }

  // ---- descriptors beside the queues -----------------------------------------------------------------------------------------------------

  /** Turn.DEVICES when `fd` is readable; once. */
  watch(fd: number): void {
    must(native.ringPoll(fd, Tag.DEVICES, 0), 'io_uring poll');
  }

  /** Turn.QUIET when `fd` is readable, but not at once; once. */
  watchLater(fd: number): void {
    must(native.ringPoll(fd, Tag.QUIET, QUIET_MS), 'io_uring poll');
  }

  // ---- entries ---------------------------------------------------------------------------------------------------------------------------

  /** Lends entries for a mount to the queues, at its beginning. Throws TableFull; what the kernel refuses shows later. */
  lend(mount: number, device: number, queues: readonly number[], capacity: number): void {
    this.join(mount, device);
    for (const queue of queues) this.lendOne(mount, queue, capacity);
  }

  /** Helps to serve queues whose own workers are stuck, from now on. */
  help(mount: number, device: number, queues: readonly number[], capacity: number): void {
    this.join(mount, device);
    for (const queue of queues) {
      if (this.queue(mount, queue).lent > 0) continue;
      this.lendOne(mount, queue, capacity);
      this.kick(mount, queue);
    }
  }

  private join(mount: number, device: number): void {
    if (this.devices[mount] === device) return;
    this.devices[mount] = device;
    must(native.ringFile(mount, device), 'io_uring_register');
  }

  /** Has the kernel look at a queue, in which an entry is free. */
  private kick(mount: number, queue: number): void {
    this.flush();
    const { cpu } = this;
    const node = this.memory.i32[mountRecord(mount) + EngineMountWord.REGULAR_NODE];
    // Nobody asks on a CPU that is not there, or that we may not run on.
    if (node === 0 || (queue !== cpu && native.pinThread(queue) < 0)) return;
    const at = this.buffers.scratch + Scratch.KICK;
    const length = this.notifier.retrieveNothing(at, node, (this.kicks++ << 1) & 0xffff, KICK_HIGH);
    // When the kernel has forgotten the file, who waits does so until somebody else asks, or is answered.
    native.send(this.devices[mount], at, length);
    if (queue !== cpu) native.pinThread(cpu);
  }

  /** Asks for Turn.LENT. */
  announce(mount: number): void {
    must(native.ringNop(Tag.MOUNTS + mount), 'io_uring nop');
  }

  /** Has the kernel no entry of the mount, nor we one whose request waits? */
  isQuiet(mount: number): boolean {
    return this.lentTo[mount] === 0;
  }

  /** Lets go of the device of a mount that is quiet. */
  forget(mount: number): void {
    for (const key of [...this.queues.keys()]) if (Math.trunc(key / QUEUES) === mount) this.queues.delete(key);
    if (this.devices[mount] >= 0) must(native.ringFile(mount, -1), 'io_uring_register');
    this.devices[mount] = -1;
  }

  private lendOne(mount: number, queue: number, capacity: number): void {
    const entry = this.takeEntry();
    const { i32 } = this.memory;
    i32[(entry + RingEntry.queue) >> 2] = queue;
    i32[(entry + RingEntry.file) >> 2] = mount;
    i32[(entry + RingEntry.capacity) >> 2] = capacity;
    i32[(entry + RingEntry.mount) >> 2] = mount;
    must(native.ringRegister(entry), 'io_uring register');
    this.queue(mount, queue).lent++;
    this.lentTo[mount]++;
  }

  private returned(entry: number, result: number): Turn {
    this.result = result;
    this.lentTo[this.mount]--;
    this.queue(this.mount, this.memory.i32[(entry + RingEntry.queue) >> 2]).lent--;
    native.arenaPunch(entry, ENTRY_BYTES);
    this.free.push(entry);
    return Turn.RETURNED;
  }

  private takeEntry(): number {
    if (this.free.length === 0) {
      const chunk = this.memory.takePages(CHUNK_PAGES);
      for (let i = CHUNK_ENTRIES - 1; i >= 0; i--) this.free.push(chunk + i * ENTRY_BYTES);
    }
    return this.free.pop()!;
  }

  private queue(mount: number, number: number): Queue {
    const key = mount * QUEUES + number;
    let queue = this.queues.get(key);
    if (queue === undefined) this.queues.set(key, (queue = { lent: 0, aside: 0 }));
    return queue;
  }
}

function must(result: number, call: string): number {
  if (result < 0) throw new Error(`${call}: errno ${-result}`);
  return result;
}

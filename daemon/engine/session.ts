/**
 * One worker's way from a request to its reply, without waiting: receive → decode → dispatch to the overlay → send. The loop around it, which
 * waits, is worker.ts.
 *
 * SET ASIDE. A handler that needs a slow job (a copy, an fsync) starts it and returns SET_ASIDE. The request is then kept here, whole, and
 * dispatched again from its start whenever this worker is woken, until it answers. Nobody else can answer it: a reply must go to the channel
 * of its request.
 */
import { JobSlot, native } from '../../native-bindings/index';
import { Errno } from '../errno';
import type { Log } from '../log';
import { blockOf, Count, OPCODES, TIMED_ONE_IN } from '../overlay/counters';
import { WorkerSlot } from '../overlay/table/layout';
import { TableFull } from '../overlay/table/memory';
import type { WorkerContext } from '../overlay/worker';
import { Opcode } from '../protocol/abi';
import { ASIDE, Decoder } from '../protocol/decode';
import { Encoder } from '../protocol/encode';
import { Notifier, STORE_DATA } from '../protocol/notify';
import { InHeader, InterruptIn } from '../protocol/layout';
import type { Kind } from '../protocol/operations';
import { type Channel, type CloneChannel, GONE, NOTHING } from './channel';
import { Clock } from './clock';
import { Interrupts, isDying } from './interrupts';
import { mountName } from './mount-names';
import type { ServedOperations } from './overlay';
import { EngineMountWord, mountRecord, workerSlot } from './words';

/** A mount as a worker serves it. */
export interface Served {
  readonly mount: number;
  /** for requests, and for what the kernel is told unasked */
  readonly device: CloneChannel;
  readonly operations: ServedOperations;
  readonly extendedSetxattr: boolean;
}

interface SetAside {
  readonly served: Served;
  readonly channel: Channel;
  readonly token: number;
  readonly request: Buffer;
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
  readonly pid: number;
  /** WorkerContext.job as the handler left it */
  job: number;
  /** a signal came for its caller */
  interrupted: boolean;
}

/** A job whose request was given up: its slot is freed when it is done. */
interface Abandoned {
  readonly served: Served;
  readonly job: number;
}

/** Requests of one mount that are served before the others are looked at. */
const BURST = 64;

export class Session {
  private readonly decoder: Decoder;
  private readonly encoder: Encoder;
  private readonly notifier: Notifier;
  private readonly interrupts: Interrupts;
  private readonly clock = new Clock();
  private readonly i32: Int32Array;
  private readonly slot: number;
  private aside: SetAside[] = [];
  private abandoned: Abandoned[] = [];
  /** Did requests come two at a time when serve() was called last? And the thread id of who waited last for an answer of serve(). */
  crowd = false;
  waiter = 0;

  constructor(
    private readonly context: WorkerContext,
    private readonly log: Log,
    /** The kernel asks to interrupt a request that another worker may have: all are to call retry(). */
    private readonly wakeAll: () => void,
  ) {
    const { memory } = context.table;
    this.decoder = new Decoder(memory.buffer);
    this.encoder = new Encoder(memory.buffer);
    this.notifier = new Notifier(memory.buffer);
    this.interrupts = new Interrupts(memory);
    this.i32 = memory.i32;
    this.slot = workerSlot(context.index);
    context.store = (device, nodeid, data, size) => {
      const message = data - STORE_DATA;
      return native.send(device, message, this.notifier.store(message, nodeid, 0, 0, size)) >= 0;
    };
    context.forgetAttributes = (device, nodeid) => {
      const message = context.scratch.words;
      native.send(device, message, this.notifier.invalInode(message, nodeid, -1, -1, 0, 0)); // ENOENT: a new node, of which it knows none
    };
  }

  /**
   * Serves the requests that wait at a mount's device, some at most. `behind`: whom the answers wake up is to run on this CPU (sched(7), SCHED_IDLE).
   * False: the kernel has let go of the mount.
   */
  serve(served: Served, behind: boolean): boolean {
    const { device } = served;
    const { message } = this.decoder;
    let before = 0;
    this.crowd = false;
    let length = device.receive();
    for (let left = BURST; length > NOTHING; left--) {
      const answer = Math.max(this.handle(served, device, length), 0);
      if (message.pid !== 0) {
        if (before !== 0 && (message.pid !== before || isOfContent(message.opcode))) this.crowd = true;
        this.waiter = before = message.pid;
      }
      if (behind) native.lowerThread(1);
      if (left > 1 && this.context.stale === 0) length = device.sendAndReceive(answer);
      else {
        device.send(answer);
        length = NOTHING;
      }
      if (behind) native.lowerThread(0);
      if (device.sent < 0) this.undelivered(served, device);
      this.notify(served, device);
    }
    return length !== GONE;
  }

  /** Serves one request, which another channel has received. */
  serveOne(served: Served, channel: Channel, length: number): void {
    const answer = this.handle(served, channel, length);
    if (answer !== ASIDE) channel.send(answer);
    this.notify(served, channel);
  }

  /** A request for the first time. Returns the bytes to send, 0 when there is no answer; or ASIDE. */
  private handle(served: Served, channel: Channel, length: number): number {
    const { decoder, context } = this;
    decoder.message.extendedSetxattr = served.extendedSetxattr;
    decoder.decode(channel.request, length);
    if (decoder.message.opcode === Opcode.INTERRUPT) {
      this.interrupt(served, channel, length);
      return 0;
    }
    if (isOfRegular(decoder.message.opcode)) this.i32[mountRecord(served.mount) + EngineMountWord.REGULAR_NODE] = decoder.message.node;
    context.job = 0;
    const answer = this.dispatch(served, channel);
    if (answer === ASIDE) this.setAside(served, channel, length);
    return answer;
  }

  /** What was decoded last, to its handler. Returns the bytes to send, or ASIDE. */
  private dispatch(served: Served, channel: Channel): number {
    const { decoder, encoder, context, i32, slot } = this;
    const { reply, replyCapacity } = channel;
    const { epochs } = context.table;
    context.opened = 0; // of the request before, which was delivered
    i32[slot + WorkerSlot.OPCODE] = decoder.message.opcode;
    Atomics.store(i32, slot + WorkerSlot.BUSY_SINCE, this.clock.now());
    context.counters.at = blockOf(served.mount);
    context.counters.missed = false;
    epochs.enter();
    try {
      const answer = decoder.dispatch(served.operations, encoder, reply, replyCapacity);
      if (answer !== ASIDE) this.count(decoder.message.opcode, decoder.row.kind);
      return answer;
    } catch (error) {
      this.abandon(served, context.job);
      this.count(decoder.message.opcode, decoder.row.kind);
      return decoder.fail(encoder, reply, replyCapacity, -this.errnoOf(served, error));
    } finally {
      epochs.leave();
      Atomics.store(i32, slot + WorkerSlot.BUSY_SINCE, 0);
      i32[slot + WorkerSlot.SERVED]++;
    }
  }

  /** It is answered; one in some is timed, without the time for which it was set aside. */
  private count(given: number, kind: Kind): void {
    const { counters } = this.context;
    const opcode = given < OPCODES ? given : 0;
    counters.words[counters.at + Count.OPCODES + opcode]++;
    if (opcode === Opcode.LOOKUP && !counters.missed) counters.words[counters.at + Count.LOOKUP_HITS]++;
    if (this.i32[this.slot + WorkerSlot.SERVED] % TIMED_ONE_IN === 0) counters.time(opcode, kind, this.clock.sinceLast());
  }

  /** What a handler threw, as the caller sees it. What nobody expected is EIO and a line in the log. */
  private errnoOf({ mount }: Served, error: unknown): number {
    if (error instanceof TableFull) return Errno.ENOMEM;
    this.log.error({ ...this.requestOf(mount), err: error, node: this.decoder.message.node }, 'a request failed');
    return Errno.EIO;
  }

  /** The answer sent last was not taken: its caller is gone (ENOENT), or something is wrong with it. */
  private undelivered(served: Served, { sent }: Channel): void {
    const { epochs } = this.context.table;
    epochs.enter();
    try {
      this.encoder.undelivered(served.operations);
    } finally {
      epochs.leave();
    }
    if (sent === -Errno.ENOENT || sent === -Errno.ENODEV) return;
    this.log.error({ ...this.requestOf(served.mount), errno: -sent }, 'the kernel refused an answer');
  }

  /** What was decoded last, for the log. */
  private requestOf(mount: number): object {
    const { row, message } = this.decoder;
    const name = mountName(this.context.table.memory, mount);
    return { mount: name, operation: row.name, unique: unique(message.uniqueLow, message.uniqueHigh) };
  }

  // ---- requests set aside ------------------------------------------------------------------------------------------------------------

  /** Thread id of whoever asked last. */
  get lastCaller(): number {
    return this.decoder.message.pid;
  }

  /** Requests that wait for slow jobs. */
  get waiting(): number {
    return this.aside.length;
  }

  /** Is there a request whose caller got a signal? Whether it will die of it may show later: retry() looks again. */
  get hasInterrupted(): boolean {
    return this.aside.some((one) => one.interrupted);
  }

  /** Has the mount nothing under way here? Then its descriptors may be closed. */
  isQuiet(served: Served): boolean {
    return !this.aside.some((one) => one.served === served) && !this.abandoned.some((one) => one.served === served);
  }

  private setAside(served: Served, channel: Channel, length: number): void {
    const { request, token } = channel;
    const { uniqueLow, uniqueHigh, pid } = this.decoder.message;
    this.aside.push({
      served,
      channel,
      token,
      request: Buffer.from(this.context.table.u8.subarray(request, request + length)),
      uniqueLow,
      uniqueHigh,
      pid,
      job: this.context.job,
      interrupted: this.interrupts.has(served.mount, uniqueLow, uniqueHigh),
    });
    channel.setAside();
  }

  /** Something that a request waits for may have happened: all that were set aside are dispatched again. */
  retry(): void {
    this.freeAbandoned();
    if (this.aside.length === 0) return;
    const look = this.interrupts.changed();
    const list = this.aside;
    this.aside = [];
    for (const one of list) {
      if (look) one.interrupted ||= this.interrupts.has(one.served.mount, one.uniqueLow, one.uniqueHigh);
      this.again(one);
    }
  }

  private again(one: SetAside): void {
    const { decoder, context } = this;
    const { channel } = one;
    channel.resume(one.token);
    context.table.u8.set(one.request, channel.request);
    decoder.message.extendedSetxattr = one.served.extendedSetxattr;
    decoder.decode(channel.request, one.request.length);
    let answer: number;
    if (one.interrupted && isDying(one.pid)) {
      // It has changed nothing yet: that is what setting aside means.
      this.abandon(one.served, one.job);
      answer = decoder.fail(this.encoder, channel.reply, channel.replyCapacity, -Errno.EINTR);
    } else {
      context.job = one.job;
      answer = this.dispatch(one.served, channel);
      if (answer === ASIDE) {
        one.job = context.job;
        this.aside.push(one);
        channel.setAside();
        return;
      }
    }
    channel.send(answer);
    if (channel.sent < 0) this.undelivered(one.served, channel);
    this.notify(one.served, channel);
  }

  /** Tells the kernel what an operation has changed behind its back. After the answer, with no lock held. */
  private notify({ device }: Served, answered: Channel): void {
    const { context, notifier } = this;
    if (context.stale === 0) return;
    answered.flush();
    const offset = context.staleContent ? 0 : -1;
    device.send(notifier.invalInode(device.reply, context.stale, offset, offset, 0, 0));
    context.stale = 0;
  }

  private interrupt(served: Served, channel: Channel, length: number): void {
    const { u32 } = this.context.table;
    const body = channel.request + InHeader.SIZE;
    if (length < InHeader.SIZE + InterruptIn.SIZE) return;
    const at = (body + InterruptIn.unique) >> 2;
    this.interrupts.post(served.mount, u32[at] | 0, u32[at + 1] | 0);
    this.wakeAll();
  }

  /** The slot of a job that nobody will ask for any more. */
  private abandon(served: Served, job: number): void {
    if (job !== 0) this.abandoned.push({ served, job });
    this.freeAbandoned();
  }

  private freeAbandoned(): void {
    if (this.abandoned.length === 0) return;
    const { table } = this.context;
    this.abandoned = this.abandoned.filter(({ job }) => {
      // Taken and never submitted, or done; while it runs, the pool wakes us at its end.
      if (Atomics.load(this.i32, (job + JobSlot.state) >> 2) !== 0 && !table.jobDone(job)) return true;
      this.context.abandonOwn(job);
      return false;
    });
  }
}

/** Of these the kernel sends several at once for one caller. */
function isOfContent(opcode: number): boolean {
  return opcode === Opcode.READ || opcode === Opcode.WRITE;
}

/** Requests that are about regular files only, and that come from time to time: for EngineMountWord.REGULAR_NODE. */
function isOfRegular(opcode: number): boolean {
  return opcode === Opcode.OPEN || opcode === Opcode.READ || opcode === Opcode.WRITE || opcode === Opcode.FSYNC;
}

function unique(low: number, high: number): string {
  return ((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)).toString();
}

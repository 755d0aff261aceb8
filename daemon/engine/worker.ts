/**
 * A worker thread: the blocking loop around the session. There is no event loop here; the thread waits in epoll_wait for its eventfd and for
 * the devices of its mounts, all at once, and ends when the main thread says so. From its first mount over io_uring on it waits in its ring
 * instead, which polls the epoll descriptors.
 */
import { native } from '../../native-bindings/index';
import { Errno } from '../errno';
import { onTrouble } from '../layers/trouble';
import { type Level, type Log, openLineLog } from '../log';
import { blockOf } from '../overlay/counters';
import { Control, Limits, MountState, MountWord, WorkerSlot } from '../overlay/table/layout';
import { Memory, TableFull } from '../overlay/table/memory';
import { Table } from '../overlay/table/table';
import { WorkerContext } from '../overlay/worker';
import { Affinity } from './affinity';
import { Clock } from './clock';
import { type Buffers, CloneChannel, makeBuffers } from './channel';
import { mountName } from './mount-names';
import { isServing, leaderOf, Leading, setLeader } from './leading';
import { loadOverlay, type Overlay } from './overlay';
import { mayLowerItself } from './privileges';
import { join, leave } from './waiters';
import { Ring, Turn } from './ring';
import { type Served, Session } from './session';
import { helper, isStuck } from './stuck';
import { wake, wakeAll, wakeMain } from './wake';
import { Wandering } from './wandering';
import { EngineMountWord, EngineWord, EngineWorkerWord, mountRecord, ReadAhead, Transport, workerSlot } from './words';

/** What the main thread starts a worker with. */
export interface WorkerStart {
  /** its slot: 1 and up */
  worker: number;
  /** the CPU it is pinned to; -1: none */
  cpu: number;
  /** those of all workers */
  cpus: readonly number[];
  /** the io_uring queues that each worker serves, by slot - 1 */
  queues: readonly (readonly number[])[];
  /** it sleeps unless others are stuck */
  spare: boolean;
  /** absolute path of a module in place of the overlay */
  overlay?: string;
  logLevel: Level;
}

const EPOLLIN = 1;
const MAX_EVENTS = 16;
/** Tag of our own eventfd; for a mount's see waiters.ts. */
const WAKE = 0;

/** Requests take microseconds: where programs fill the CPUs, a worker need not wait until their time is over. */
const SLICE_US = 100;

/** How long to wait at most while records wait to be freed, an interrupted request's caller may yet die, or a request is set aside. */
const enum Patience {
  FOREVER = -1,
  /** something else is to be done meanwhile */
  NONE = 0,
  RECLAIM = 100,
  INTERRUPTED = 50,
  /** only against a wake-up that was lost */
  ASIDE = 1000,
}

interface Attached extends Served {
  readonly serial: number;
  readonly fd: number;
  /** its requests come through the ring: what comes over the device is not urgent */
  overRing: boolean;
  ended: boolean;
}

class Worker {
  private readonly i32: Int32Array;
  private readonly u32: Uint32Array;
  private readonly eventfd: number;
  private readonly epoll: number;
  /** for devices of mounts that are served through the ring */
  private quiet = -1;
  private ring: Ring | undefined;
  private readonly buffers: Buffers;
  private readonly events: number;
  private readonly log: Log;
  private readonly session: Session;
  /** By mount index; and the serial of the mount there that was let go of last. */
  private readonly mounts: (Attached | undefined)[] = [];
  private readonly letGoOf = new Int32Array(Limits.MAX_MOUNTS);
  private mountsVersion = -1;
  /** Mounts that have ended and wait for what is under way. */
  private leaving = 0;
  private readonly affinity: Affinity;
  private readonly wandering: Wandering;
  private readonly mayLower: boolean;
  private readonly leading: Leading;
  private readonly clock = new Clock();
  private awake: boolean;
  /** it reads ahead while nothing waits for it */
  private readsAhead = false;
  /** somebody woke us: it may be for queues that are stuck */
  private mayHelp = true;

  constructor(
    private readonly memory: Memory,
    private readonly context: WorkerContext,
    private readonly overlay: Overlay,
    private readonly start: WorkerStart,
  ) {
    this.i32 = memory.i32;
    this.u32 = memory.u32;
    this.awake = !start.spare;
    this.affinity = new Affinity(start.cpu, start.cpus);
    this.mayLower = start.cpu >= 0 && start.cpus.length > 1 && mayLowerItself();
    this.wandering = new Wandering(this.i32, start.worker, this.mayLower);
    this.leading = new Leading(this.i32, start.worker, start.queues.length, start.cpu < 0 ? [] : start.cpus);
    Atomics.store(this.i32, workerSlot(start.worker) + WorkerSlot.COUNTERS, context.counters.offset);
    this.eventfd = this.i32[workerSlot(start.worker) + WorkerSlot.EVENTFD];
    this.buffers = makeBuffers(memory);
    this.events = this.buffers.scratch + 64;
    this.epoll = must(native.epollCreate(), 'epoll_create');
    must(native.epollAdd(this.epoll, this.eventfd, EPOLLIN, WAKE), 'epoll_ctl');
    Atomics.store(this.i32, workerSlot(start.worker) + EngineWorkerWord.EPOLL, this.epoll);
    this.log = openLineLog(start.logLevel, { name: 'plyfs-engine', worker: start.worker });
    onTrouble((what) => this.log.error({}, what));
    context.readAhead = () => this.wakeReader();
    this.session = new Session(context, this.log, () => wakeAll(memory));
  }

  run(): void {
    const { i32 } = this;
    Atomics.add(i32, Control.READY, 1);
    wakeMain(this.memory);
    while (Atomics.load(i32, Control.STOPPING) === 0) {
      if (Atomics.load(i32, Control.MOUNTS_VERSION) !== this.mountsVersion) this.lookAtMounts();
      if (this.start.spare) this.sleepOrWake();
      if (this.mayHelp) this.helpQueues();
      if (this.ring !== undefined) this.turn(this.ring);
      else if (!this.serveDevices(this.epoll, this.patience())) this.timeOut();
    }
    this.ring?.close();
  }

  /** What is ready in one of the epolls; false: nothing within the time. */
  private serveDevices(epoll: number, timeoutMs: number): boolean {
    const count = must(native.epollWait(epoll, this.events, MAX_EVENTS, timeoutMs), 'epoll_wait');
    for (let i = 0; i < count; i++) {
      const tag = this.u32[(this.events >> 2) + 2 * i];
      if (tag === WAKE) this.woken();
      else this.serve(tag - 1);
    }
    return count > 0;
  }

  /** One turn of the loop with a ring: mostly a request. */
  private turn(ring: Ring): void {
    switch (ring.next(this.patience(), this.wandering.isToStay)) {
      case Turn.REQUEST:
        this.serveRing(ring);
        break;
      case Turn.NOTHING:
        this.timeOut();
        break;
      case Turn.DEVICES:
        this.serveDevices(this.epoll, 0);
        ring.watch(this.epoll);
        break;
      case Turn.QUIET:
        this.serveDevices(this.quiet, 0);
        ring.watchLater(this.quiet);
        break;
      case Turn.RETURNED:
        this.returned(ring.mount, ring.result);
        break;
      case Turn.LENT:
        this.hasLent(ring.mount);
        break;
    }
  }

  private patience(): number {
    if (this.readsAhead) return Patience.NONE;
    if (this.session.waiting > 0) return this.session.hasInterrupted ? Patience.INTERRUPTED : Patience.ASIDE;
    return this.context.table.epochs.waiting > 0 ? Patience.RECLAIM : Patience.FOREVER;
  }

  private timeOut(): void {
    if (this.readsAhead) {
      this.readAhead();
      return;
    }
    this.context.table.epochs.reclaim();
    this.session.retry();
    if (this.leaving > 0) this.leaveQuiet();
  }

  private woken(): void {
    native.eventfdDrain(this.eventfd);
    this.mayHelp = true;
    if (this.isReader) this.beginToRead(ReadAhead.WANTED);
    this.session.retry();
    if (this.leaving > 0) this.leaveQuiet();
  }

  // ---- reading ahead -------------------------------------------------------------------------------------------------------------------

  /** The others: who reads ahead is the worker of another CPU than the one that serves, for there the client is waited for. */
  private get isReader(): boolean {
    return !this.start.spare && this.start.queues.length > 1;
  }

  private wakeReader(): void {
    const { worker } = this.start;
    if (!this.isReader) return;
    if (Atomics.compareExchange(this.i32, EngineWord.READ_AHEAD, ReadAhead.NOBODY, ReadAhead.WANTED) !== (ReadAhead.NOBODY as number))
      return;
    wake(this.memory, (worker % this.start.queues.length) + 1);
  }

  private beginToRead(from: ReadAhead): void {
    if (Atomics.compareExchange(this.i32, EngineWord.READ_AHEAD, from, ReadAhead.UNDER_WAY) === (from as number)) this.readsAhead = true;
  }

  /** A step. What is wished for when it has just ended is not forgotten. */
  private readAhead(): void {
    if (this.readAheadInMounts()) return;
    this.readsAhead = false;
    Atomics.store(this.i32, EngineWord.READ_AHEAD, ReadAhead.NOBODY);
    if (this.readAheadInMounts()) this.beginToRead(ReadAhead.NOBODY);
  }

  /** It may be stuck in a layer as a request may be, and is watched as such. */
  private readAheadInMounts(): boolean {
    const { epochs } = this.context.table;
    const busy = workerSlot(this.start.worker) + WorkerSlot.BUSY_SINCE;
    let more = false;
    this.wakeWatch();
    this.i32[workerSlot(this.start.worker) + WorkerSlot.OPCODE] = 0;
    Atomics.store(this.i32, busy, this.clock.now());
    epochs.enter();
    try {
      for (const attached of this.mounts) if (attached?.ended === false && this.readAheadIn(attached)) more = true;
    } finally {
      epochs.leave();
      Atomics.store(this.i32, busy, 0);
    }
    return more;
  }

  /** Nobody has asked for it: nobody is to hear of what goes wrong, least of all that the table is full. */
  private readAheadIn({ mount, operations }: Attached): boolean {
    try {
      this.context.counters.at = blockOf(mount);
      return operations.readAhead?.() === true;
    } catch (error) {
      if (!(error instanceof TableFull)) this.log.error({ err: error, mount: mountName(this.memory, mount) }, 'reading ahead failed');
      return false;
    }
  }

  private serve(mount: number): void {
    const attached = this.mounts[mount];
    if (attached === undefined || attached.ended) {
      leave(this.epoll, this.i32[mountRecord(mount) + MountWord.CHANNELS + this.start.worker]); // somebody let us join meanwhile
      return;
    }
    this.wakeWatch();
    const behind = this.mayLower && this.leading.isToStay(mount);
    if (this.session.serve(attached, behind)) {
      this.choose(attached);
      return;
    }
    const { i32 } = this;
    const state = mountRecord(mount) + MountWord.STATE;
    if (Atomics.compareExchange(i32, state, MountState.ACTIVE, MountState.ENDED) === MountState.ACTIVE) {
      Atomics.add(i32, Control.MOUNTS_VERSION, 1);
      wakeAll(this.memory);
    }
    this.end(attached);
  }

  /** Who is to wait for the mount's requests. */
  private choose(attached: Attached): void {
    const { lastCaller, waiter, crowd } = this.session;
    const before = leaderOf(this.i32, attached.mount);
    const leader = attached.overRing ? undefined : this.leading.served(attached.mount, waiter, crowd);
    if (leader !== undefined) setLeader(this.memory, this.start.queues.length, attached.mount, before, leader);
    else if (before === 0 && this.affinity.isMisplaced(lastCaller)) this.requeue(attached);
  }

  private serveRing(ring: Ring): void {
    const attached = this.mounts[ring.mount];
    if (attached === undefined || attached.ended) {
      ring.send(0); // nobody waits any more: the entry comes back
      return;
    }
    this.wakeWatch();
    this.session.serveOne(attached, ring, ring.length);
    this.wandering.served(this.session.lastCaller);
  }

  private wakeWatch(): void {
    const { i32 } = this;
    if (Atomics.load(i32, EngineWord.WATCH_ASLEEP) !== 0 && Atomics.exchange(i32, EngineWord.WATCH_ASLEEP, 0) !== 0) wakeMain(this.memory);
  }

  // ---- mounts come and go --------------------------------------------------------------------------------------------------------------

  private lookAtMounts(): void {
    const { i32 } = this;
    this.mountsVersion = Atomics.load(i32, Control.MOUNTS_VERSION);
    for (let mount = 0; mount < Limits.MAX_MOUNTS; mount++) {
      const state = Atomics.load(i32, mountRecord(mount) + MountWord.STATE);
      if (state === MountState.ACTIVE) {
        const attached = this.mounts[mount];
        if (attached === undefined) this.attach(mount);
        else this.lookAtTransport(attached);
      }
      if (state === MountState.ENDED) this.endMount(mount);
    }
  }

  private attach(mount: number): void {
    const record = mountRecord(mount);
    const fd = this.i32[record + MountWord.CHANNELS + this.start.worker];
    const attached: Attached = {
      mount,
      fd,
      serial: this.i32[record + EngineMountWord.SERIAL],
      device: new CloneChannel(fd, this.buffers, this.i32),
      operations: new this.overlay.OverlayMount(this.context, mount),
      extendedSetxattr: this.i32[record + EngineMountWord.EXTENDED_SETXATTR] !== 0,
      overRing: false,
      ended: false,
    };
    this.context.counters.begin(mount, attached.serial);
    this.mounts[mount] = attached;
    if (!this.start.spare) this.readsAhead = true; // for a turn: it may be that something is to be opened
    if (!this.start.spare && this.i32[record + EngineMountWord.TRANSPORT] !== (Transport.DEV as number)) this.joinRing(attached);
    this.beginToWait(attached);
  }

  /** Did another worker find that the kernel does not take our entries? Then the device is where requests come. */
  private lookAtTransport(attached: Attached): void {
    if (!attached.overRing || attached.ended) return;
    if (Atomics.load(this.i32, mountRecord(attached.mount) + EngineMountWord.TRANSPORT) !== (Transport.FAILED as number)) return;
    attached.overRing = false;
    this.beginToWait(attached);
  }

  /** From then on who chooses a leader says whether we wait (leading.ts). */
  private beginToWait(attached: Attached): void {
    this.memory.lock(Control.MOUNTS_LOCK); // so that the leader is the same at its end
    try {
      const serves = this.start.spare || attached.overRing || isServing(this.i32, this.start.worker, attached.mount);
      this.poll(attached, this.awake && serves);
    } finally {
      this.memory.unlock(Control.MOUNTS_LOCK);
    }
  }

  /** Has the mount's device watched, or not. */
  private poll(attached: Attached, wanted: boolean): void {
    const by = !wanted ? -1 : attached.overRing ? this.quiet : this.epoll;
    for (const epoll of [this.epoll, this.quiet]) if (epoll >= 0 && epoll !== by) leave(epoll, attached.fd);
    if (by >= 0) join(by, attached.fd, attached.mount);
  }

  /** To the end of those that the kernel wakes for the mount's requests. */
  private requeue(attached: Attached): void {
    this.poll(attached, false);
    this.poll(attached, true);
  }

  private endMount(mount: number): void {
    const attached = this.mounts[mount];
    if (attached !== undefined) this.end(attached);
    else {
      const serial = this.i32[mountRecord(mount) + EngineMountWord.SERIAL];
      if (this.letGoOf[mount] !== serial) this.letGo(mount, serial); // it ended before we had it
    }
  }

  private end(attached: Attached): void {
    if (attached.ended) return;
    attached.ended = true;
    this.poll(attached, false);
    this.leaving++;
    this.leaveQuiet();
  }

  /** Lets go of the ended mounts that have nothing under way here; the others' requests are dispatched on, their answers go nowhere. */
  private leaveQuiet(): void {
    for (const attached of this.mounts) {
      if (attached?.ended !== true || !this.session.isQuiet(attached)) continue;
      if (this.ring?.isQuiet(attached.mount) === false) continue;
      this.ring?.forget(attached.mount);
      this.mounts[attached.mount] = undefined;
      this.leaving--;
      attached.operations.detach();
      this.context.table.epochs.reclaim();
      this.letGo(attached.mount, attached.serial);
    }
  }

  private letGo(mount: number, serial: number): void {
    this.letGoOf[mount] = serial;
    if (Atomics.sub(this.i32, mountRecord(mount) + MountWord.USERS, 1) === 1) wakeMain(this.memory);
  }

  // ---- the ring ------------------------------------------------------------------------------------------------------------------------

  /** Lends the kernel entries for the mount. What goes wrong leaves it to the device. */
  private joinRing(attached: Attached): void {
    const { mount, fd } = attached;
    const { queues, worker } = this.start;
    const ring = this.ring ?? this.makeRing();
    if (typeof ring === 'number') {
      this.refused(mount, ring);
      this.hasLent(mount);
      return;
    }
    attached.overRing = true;
    try {
      ring.lend(mount, fd, queues[worker - 1], this.ringCapacity(mount));
    } catch (error) {
      this.log.error({ err: error, mount: mountName(this.memory, mount) }, 'cannot lend entries to an io_uring queue');
      this.refused(mount, -Errno.ENOMEM);
    }
    ring.announce(mount);
  }

  private makeRing(): Ring | number {
    const ring = Ring.create(this.memory, this.buffers, this.start.cpu);
    if (typeof ring === 'number') return ring;
    this.ring = ring;
    this.quiet = must(native.epollCreate(), 'epoll_create');
    ring.watch(this.epoll);
    ring.watchLater(this.quiet);
    return ring;
  }

  private ringCapacity(mount: number): number {
    return this.i32[mountRecord(mount) + EngineMountWord.RING_CAPACITY];
  }

  /** The main thread waits for all workers. */
  private hasLent(mount: number): void {
    if (Atomics.sub(this.i32, mountRecord(mount) + EngineMountWord.RING_LEFT, 1) === 1) wakeMain(this.memory);
  }

  /** An entry came back: with the end of its mount, or because the kernel does not take it. */
  private returned(mount: number, result: number): void {
    if (result !== -Errno.ENOTCONN && result !== -Errno.ECONNABORTED) {
      this.log.warn({ mount: mountName(this.memory, mount), errno: -result }, 'the kernel gave an io_uring entry back');
      this.refused(mount, result);
    }
    if (this.leaving > 0) this.leaveQuiet();
  }

  private refused(mount: number, result: number): void {
    const { i32 } = this;
    const record = mountRecord(mount);
    Atomics.compareExchange(i32, record + EngineMountWord.RING_ERROR, 0, result);
    if (Atomics.compareExchange(i32, record + EngineMountWord.TRANSPORT, Transport.URING, Transport.FAILED) !== Transport.URING) return;
    Atomics.add(i32, Control.MOUNTS_VERSION, 1);
    wakeAll(this.memory);
  }

  // ---- spares --------------------------------------------------------------------------------------------------------------------------

  private sleepOrWake(): void {
    const awake = Atomics.load(this.i32, Control.SPARES_AWAKE) !== 0;
    if (awake === this.awake) return;
    this.awake = awake;
    for (const attached of this.mounts) {
      if (attached === undefined || attached.ended) continue;
      this.poll(attached, awake);
      if (!awake && !attached.overRing) this.serve(attached.mount); // we may have been woken for a request, and nobody else hears of it
    }
  }

  /**
   * Takes part in serving the io_uring queues of workers that are stuck. What was lent to a queue cannot be taken back, so who helped goes on serving it
   * beside its own worker when that is back.
   */
  private helpQueues(): void {
    this.mayHelp = false;
    if (Atomics.load(this.i32, Control.SPARES_AWAKE) === 0) return;
    const stuck = this.stuckQueues();
    if (stuck.length === 0) return;
    for (const attached of this.mounts) {
      if (attached === undefined || attached.ended) continue;
      const { mount, fd } = attached;
      if (this.i32[mountRecord(mount) + EngineMountWord.TRANSPORT] !== (Transport.URING as number)) continue;
      const ring = this.ring ?? this.makeRing();
      if (typeof ring === 'number') return; // the queues wait for their own workers
      ring.help(mount, fd, stuck, this.ringCapacity(mount));
    }
  }

  /** Those of which every worker is stuck, and that are this thread's to help. */
  private stuckQueues(): number[] {
    const { queues, worker } = this.start;
    const now = this.clock.now();
    const free = new Set(queues.filter((_, index) => !isStuck(this.i32, index + 1, now)).flat());
    const stuck = [...new Set(queues.flat())].filter((queue) => !free.has(queue));
    return stuck.filter((queue) => helper(this.i32, queue, queues.length, now) === worker);
  }
}

function must(result: number, call: string): number {
  if (result < 0) throw new Error(`${call}: errno ${-result}`);
  return result;
}

/** Until the engine ends. */
export function serve(start: WorkerStart): void {
  native.nameThread(start.spare ? `plyfs-spare-${start.worker}` : `plyfs-work-${start.worker}`);
  if (start.cpu >= 0) native.pinThread(start.cpu); // it works on any CPU too
  native.timeSlice(SLICE_US); // nor does it depend on that
  const memory = new Memory();
  const context = new WorkerContext(new Table(memory, start.worker));
  new Worker(memory, context, loadOverlay(start.overlay), start).run();
}

/**
 * A worker thread: the blocking loop around the session. There is no event loop here; the thread waits in epoll_wait for its eventfd and for
 * the channels of its mounts, all at once, and ends when the main thread says so.
 */
import { workerData } from 'node:worker_threads';
import { native } from '../../native-bindings/index';
import { type Level, openLineLog } from '../log';
import { Control, Limits, MountState, MountWord, WorkerSlot } from '../overlay/table/layout';
import { Memory } from '../overlay/table/memory';
import { Table } from '../overlay/table/table';
import { WorkerContext } from '../overlay/worker';
import { Affinity } from './affinity';
import { type Buffers, CloneChannel, makeBuffers } from './channel';
import { loadOverlay, type Overlay } from './overlay';
import { type Served, Session } from './session';
import { wakeAll, wakeMain } from './wake';
import { EngineMountWord, EngineWord, mountRecord, workerSlot } from './words';

/** What the main thread starts a worker with. */
export interface WorkerStart {
  /** its slot: 1 and up */
  worker: number;
  /** the CPU it is pinned to; -1: none */
  cpu: number;
  /** those of all workers */
  cpus: readonly number[];
  /** it sleeps unless all others are stuck */
  spare: boolean;
  /** absolute path of the module that is the overlay */
  overlay: string;
  logLevel: Level;
}

const EPOLLIN = 1;
const EPOLLEXCLUSIVE = 1 << 28;
const MAX_EVENTS = 16;
/** Tag of our own eventfd; a mount's is its index + 1. */
const WAKE = 0;

/** How long to wait at most while records wait to be freed, an interrupted request's caller may yet die, or a request is set aside. */
const enum Patience {
  FOREVER = -1,
  RECLAIM = 100,
  INTERRUPTED = 50,
  /** only against a wake-up that was lost */
  ASIDE = 1000,
}

interface Attached extends Served {
  readonly serial: number;
  readonly fd: number;
  polled: boolean;
  ended: boolean;
}

class Worker {
  private readonly i32: Int32Array;
  private readonly u32: Uint32Array;
  private readonly eventfd: number;
  private readonly epoll: number;
  private readonly buffers: Buffers;
  private readonly events: number;
  private readonly session: Session;
  /** By mount index; and the serial of the mount there that was let go of last. */
  private readonly mounts: (Attached | undefined)[] = [];
  private readonly letGoOf = new Int32Array(Limits.MAX_MOUNTS);
  private mountsVersion = -1;
  /** Mounts that have ended and wait for what is under way. */
  private leaving = 0;
  private readonly affinity: Affinity;
  private awake: boolean;

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
    this.eventfd = this.i32[workerSlot(start.worker) + WorkerSlot.EVENTFD];
    this.buffers = makeBuffers(memory);
    this.events = this.buffers.scratch + 64;
    this.epoll = must(native.epollCreate(), 'epoll_create');
    must(native.epollAdd(this.epoll, this.eventfd, EPOLLIN, WAKE), 'epoll_ctl');
    const log = openLineLog(start.logLevel, { name: 'plyfs-engine', worker: start.worker });
    this.session = new Session(context, log, () => wakeAll(memory));
  }

  run(): void {
    const { i32, u32 } = this;
    Atomics.add(i32, Control.READY, 1);
    wakeMain(this.memory);
    while (Atomics.load(i32, Control.STOPPING) === 0) {
      if (Atomics.load(i32, Control.MOUNTS_VERSION) !== this.mountsVersion) this.lookAtMounts();
      if (this.start.spare) this.sleepOrWake();
      const count = must(native.epollWait(this.epoll, this.events, MAX_EVENTS, this.patience()), 'epoll_wait');
      if (count === 0) this.timeOut();
      for (let i = 0; i < count; i++) {
        const tag = u32[(this.events >> 2) + 2 * i];
        if (tag === WAKE) this.woken();
        else this.serve(tag - 1);
      }
    }
  }

  private patience(): number {
    if (this.session.waiting > 0) return this.session.hasInterrupted ? Patience.INTERRUPTED : Patience.ASIDE;
    return this.context.table.epochs.waiting > 0 ? Patience.RECLAIM : Patience.FOREVER;
  }

  private timeOut(): void {
    this.context.table.epochs.reclaim();
    this.session.retry();
    if (this.leaving > 0) this.leaveQuiet();
  }

  private woken(): void {
    native.eventfdDrain(this.eventfd);
    this.session.retry();
    if (this.leaving > 0) this.leaveQuiet();
  }

  private serve(mount: number): void {
    const attached = this.mounts[mount];
    if (attached === undefined || attached.ended) return; // it went in the same round
    this.wakeWatch();
    if (this.session.serve(attached)) {
      if (this.affinity.isMisplaced(this.session.lastCaller)) this.requeue(attached);
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
      if (state === MountState.ACTIVE && this.mounts[mount] === undefined) this.attach(mount);
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
      channel: new CloneChannel(fd, this.buffers, this.i32),
      operations: new this.overlay.OverlayMount(this.context, mount),
      extendedSetxattr: this.i32[record + EngineMountWord.EXTENDED_SETXATTR] !== 0,
      polled: false,
      ended: false,
    };
    this.mounts[mount] = attached;
    this.poll(attached, this.awake);
  }

  private poll(attached: Attached, wanted: boolean): void {
    if (attached.polled === wanted) return;
    attached.polled = wanted;
    if (wanted) must(native.epollAdd(this.epoll, attached.fd, EPOLLIN | EPOLLEXCLUSIVE, attached.mount + 1), 'epoll_ctl');
    else must(native.epollDelete(this.epoll, attached.fd), 'epoll_ctl');
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

  // ---- spares --------------------------------------------------------------------------------------------------------------------------

  private sleepOrWake(): void {
    const awake = Atomics.load(this.i32, Control.SPARES_AWAKE) !== 0;
    if (awake === this.awake) return;
    this.awake = awake;
    for (const attached of this.mounts) if (attached !== undefined && !attached.ended) this.poll(attached, awake);
  }
}

function must(result: number, call: string): number {
  if (result < 0) throw new Error(`${call}: errno ${-result}`);
  return result;
}

function main(start: WorkerStart): void {
  native.nameThread(start.spare ? `plyfs-spare-${start.worker}` : `plyfs-work-${start.worker}`);
  if (start.cpu >= 0) native.pinThread(start.cpu); // it works on any CPU too
  const memory = new Memory();
  const context = new WorkerContext(new Table(memory, start.worker));
  new Worker(memory, context, loadOverlay(start.overlay), start).run();
}

main(workerData as WorkerStart);

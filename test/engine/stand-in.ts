/**
 * What the engine's tests have it serve in place of the overlay: a directory of files whose reading makes a worker do one particular thing.
 * Nothing is cached. `release` is the way to tell the handlers something: what is written to it becomes the GATE.
 */
import fs from 'node:fs';
import { JobKind, JobSlot, native, StatRecord } from '../../native-bindings/index.js';
import type { MountSpec } from '../../daemon/engine/overlay.js';
import { leaderOf } from '../../daemon/engine/leading.js';
import { wakeAll } from '../../daemon/engine/wake.js';
import { mountRecord, workerSlot } from '../../daemon/engine/words.js';
import { Errno } from '../../daemon/errno.js';
import { Control, Limits, MountState, MountWord, WorkerSlot } from '../../daemon/overlay/table/layout.js';
import { TableFull } from '../../daemon/overlay/table/memory.js';
import type { WorkerContext } from '../../daemon/overlay/worker.js';
import * as op from '../../daemon/protocol/operations.js';
import { SET_ASIDE } from '../../daemon/protocol/operations.js';

/** Words of the table that nobody uses. */
const enum Word {
  /** a futex; what was last written to `release` */ GATE = 100,
  /** requests that were dispatched and set aside, in all */ ASIDE = 101,
  UNDELIVERED = 102,
  DETACHED = 103,
  /** what is to happen to who reads ahead: AheadFails */ AHEAD = 104,
}

const FILES = [
  'hello',
  'throws',
  'full',
  'ahead-throws',
  'ahead-full',
  'aside',
  'blocks',
  'job',
  'held',
  'dies',
  'state',
  'release',
  'huge',
] as const;
type Name = (typeof FILES)[number];

const enum AheadFails {
  NOT,
  THROWS,
  FULL,
}

const FIRST_NODE = 2;
const DIRECTORY = 0o40755;
const REGULAR = 0o100666;

/** Main thread only: what tearDownMount closes. */
const descriptors = new Map<number, MountSpec>();

export function setUpMount({ table }: WorkerContext, spec: MountSpec): number {
  const { i32 } = table;
  let index = 0;
  while (i32[mountRecord(index)] !== (MountState.FREE as number)) index++;
  if (spec.view?.squashUid === 666) throw new Error('the stand-in refuses this mount');
  const record = mountRecord(index);
  i32.fill(0, record, record + MountWord.SIZE);
  i32[record + MountWord.STATE] = MountState.SETTING_UP;
  i32[record + MountWord.DEVICE_FD] = spec.deviceFd;
  i32[record + MountWord.LAYER_COUNT] = spec.layerFds.length;
  i32[record + MountWord.FLAGS] = spec.flags;
  descriptors.set(index, spec);
  return index;
}

export function tearDownMount({ table }: WorkerContext, mount: number): void {
  const spec = descriptors.get(mount)!;
  descriptors.delete(mount);
  for (const fd of [spec.deviceFd, spec.upperFd, spec.workFd, ...spec.layerFds]) if (fd >= 0) native.close(fd);
  table.i32[mountRecord(mount) + MountWord.STATE] = MountState.FREE;
}

export class OverlayMount implements op.Operations {
  private readonly u8: Uint8Array;
  private readonly i32: Int32Array;

  constructor(
    private readonly context: WorkerContext,
    private readonly index: number,
  ) {
    this.u8 = context.table.u8;
    this.i32 = context.table.i32;
  }

  detach(): void {
    Atomics.add(this.i32, Word.DETACHED, 1);
  }

  readAhead(): boolean {
    const fails = Atomics.exchange(this.i32, Word.AHEAD, AheadFails.NOT);
    if (fails === (AheadFails.THROWS as number)) throw new Error('ahead on purpose');
    if (fails === (AheadFails.FULL as number)) throw new TableFull('full on purpose');
    return false;
  }

  undelivered(): void {
    Atomics.add(this.i32, Word.UNDELIVERED, 1);
  }

  lookup(o: op.Lookup, reply: op.Reply): number {
    const name = Buffer.from(this.u8.subarray(o.name, o.name + o.nameLength)).toString();
    const file = (FILES as readonly string[]).indexOf(name);
    if (file < 0) return -Errno.ENOENT;
    reply.entry(FIRST_NODE + file, 1, 0, 0, this.stat(FIRST_NODE + file));
    return 0;
  }

  getattr(o: op.Getattr, reply: op.Reply): number {
    reply.attr(0, this.stat(o.node));
    return 0;
  }

  setattr(o: op.Setattr, reply: op.Reply): number {
    reply.attr(0, this.stat(o.node));
    return 0;
  }

  open(_: op.Open, reply: op.Reply): number {
    reply.open(0, op.Fopen.DIRECT_IO, 0);
    return 0;
  }

  read(o: op.Read, reply: op.Reply): number {
    if (o.offsetLow > 0 && this.name(o) !== 'huge') {
      reply.bytes(0);
      return 0;
    }
    switch (this.name(o)) {
      case 'hello':
        return this.text(reply, `hello from ${this.i32[mountRecord(this.index) + MountWord.LAYER_COUNT]} layers`);
      case 'throws':
        throw new Error('thrown on purpose');
      case 'full':
        throw new TableFull('full on purpose');
      case 'ahead-throws':
        return this.wishAhead(AheadFails.THROWS, reply);
      case 'ahead-full':
        return this.wishAhead(AheadFails.FULL, reply);
      case 'aside':
        return Atomics.load(this.i32, Word.GATE) === 0 ? this.setAside() : this.text(reply, 'released');
      case 'blocks':
        while (Atomics.load(this.i32, Word.GATE) === 0) native.futexWait(Word.GATE * 4, 0, -1);
        return this.text(reply, 'released');
      case 'job':
        return this.runJob(reply);
      case 'held':
        return this.holdJob(reply);
      case 'dies':
        process.exit(7); // of a worker: the thread ends
        break;
      case 'state':
        return this.text(reply, JSON.stringify(this.state()));
      case 'huge':
        reply.bytes(Math.min(o.size, reply.capacity));
        return 0;
      case 'release':
        return this.text(reply, '');
    }
    return -Errno.EINVAL;
  }

  write(o: op.Write, reply: op.Reply): number {
    if (this.name(o) !== 'release') return -Errno.EACCES;
    const gate = this.u8[o.data] - 0x30;
    Atomics.store(this.i32, Word.GATE, gate);
    native.futexWake(Word.GATE * 4, 1000);
    if (gate === 1) this.finishHeldJobs();
    wakeAll(this.context.table.memory);
    reply.written(o.size);
    return 0;
  }

  private setAside(): number {
    Atomics.add(this.i32, Word.ASIDE, 1);
    return SET_ASIDE;
  }

  /** A real job of the native pool. */
  private runJob(reply: op.Reply): number {
    const { context, i32 } = this;
    if (context.job === 0) {
      context.job = context.table.takeJob();
      i32[(context.job + JobSlot.kind) / 4] = JobKind.SYNCFS;
      i32[(context.job + JobSlot.a) / 4] = fs.openSync('/', 'r'); // stays open until the engine ends
      context.table.submitJob(context.job);
      return this.setAside();
    }
    if (!context.table.jobDone(context.job)) return this.setAside();
    const result = i32[(context.job + JobSlot.result) / 4];
    context.table.giveJob(context.job);
    return this.text(reply, `job: ${result}`);
  }

  private wishAhead(fails: AheadFails, reply: op.Reply): number {
    Atomics.store(this.i32, Word.AHEAD, fails);
    this.context.readAhead();
    return this.text(reply, 'wished');
  }

  /** A job that runs until the gate opens; its slot looks as if the pool had it. */
  private holdJob(reply: op.Reply): number {
    const { context, i32 } = this;
    if (context.job === 0) {
      context.job = context.table.takeJob();
      i32[(context.job + JobSlot.kind) / 4] = 99;
      i32[(context.job + JobSlot.state) / 4] = 1;
    }
    if (!context.table.jobDone(context.job)) return this.setAside();
    context.table.giveJob(context.job);
    return this.text(reply, 'held: done');
  }

  private finishHeldJobs(): void {
    for (let i = 0; i < Limits.MAX_JOBS; i++) {
      const slot = Control.JOBS + i * (JobSlot.SIZE / 4);
      if (this.i32[slot + JobSlot.kind / 4] === 99) Atomics.compareExchange(this.i32, slot + JobSlot.state / 4, 1, 2);
    }
  }

  private state(): object {
    const { i32 } = this;
    let jobs = 0;
    for (let i = 0; i < Limits.MAX_JOBS; i++) if (i32[Control.JOBS + (i + 1) * (JobSlot.SIZE / 4) - 1] !== 0) jobs++;
    const served: number[] = [];
    for (let worker = 0; worker < i32[Control.WORKER_COUNT]; worker++) served.push(i32[workerSlot(worker) + WorkerSlot.SERVED]);
    return {
      aside: i32[Word.ASIDE],
      undelivered: i32[Word.UNDELIVERED],
      detached: i32[Word.DETACHED],
      sparesAwake: i32[Control.SPARES_AWAKE],
      by: this.context.index,
      leader: leaderOf(i32, this.index),
      jobs,
      served,
    };
  }

  private name(o: op.Caller): Name | undefined {
    return FILES[o.node - FIRST_NODE];
  }

  private text(reply: op.Reply, text: string): number {
    this.u8.set(Buffer.from(text), reply.data);
    reply.bytes(text.length);
    return 0;
  }

  private stat(node: number): number {
    const { stat } = this.context.scratch;
    this.u8.fill(0, stat, stat + StatRecord.SIZE);
    this.i32[(stat + StatRecord.ino) / 4] = node;
    this.i32[(stat + StatRecord.mode) / 4] = node === 1 ? DIRECTORY : REGULAR;
    this.i32[(stat + StatRecord.nlink) / 4] = 1;
    this.i32[(stat + StatRecord.blksize) / 4] = 4096;
    if (FILES[node - FIRST_NODE] === 'huge') this.i32[(stat + StatRecord.size) / 4] = 1 << 30;
    return stat;
  }

  forget(): void {
    // nothing is counted
  }

  readdir(): number {
    return 0;
  }

  opendir(_: op.Opendir, reply: op.Reply): number {
    reply.open(0, 0, 0);
    return 0;
  }

  flush(): number {
    return 0;
  }

  release(): number {
    return 0;
  }

  releasedir(): number {
    return 0;
  }

  statfs(_: op.Statfs, reply: op.Reply): number {
    const { value } = this.context.scratch;
    this.u8.fill(0, value, value + 80);
    reply.statfs(value);
    return 0;
  }

  private readonly unsupported = (): number => -Errno.ENOSYS;
  readonly statx = this.unsupported;
  readonly readlink = this.unsupported;
  readonly symlink = this.unsupported;
  readonly mknod = this.unsupported;
  readonly mkdir = this.unsupported;
  readonly create = this.unsupported;
  readonly tmpfile = this.unsupported;
  readonly unlink = this.unsupported;
  readonly rmdir = this.unsupported;
  readonly rename = this.unsupported;
  readonly link = this.unsupported;
  readonly fsync = this.unsupported;
  readonly fallocate = this.unsupported;
  readonly lseek = this.unsupported;
  readonly copyFileRange = this.unsupported;
  readonly setxattr = this.unsupported;
  readonly getxattr = this.unsupported;
  readonly listxattr = this.unsupported;
  readonly removexattr = this.unsupported;
  readonly fsyncdir = this.unsupported;
  readonly access = this.unsupported;
  readonly ioctl = this.unsupported;
}

/** A mount's beginning and end, by the main thread: INIT, the record in the table, one channel per worker; and all of that taken apart. */
import fs from 'node:fs';
import { native } from '../../native-bindings/index';
import { MountFlag, type MountOptions, type Transport as Wanted } from '../mounts/options';
import { Errno } from '../errno';
import { MountAttribute } from '../layers/private-mounts';
import { Control, Limits, MountFlags, MountState, MountWord } from '../overlay/table/layout';
import type { WorkerContext } from '../overlay/worker';
import { Opcode } from '../protocol/abi';
import { Decoder } from '../protocol/decode';
import { Encoder } from '../protocol/encode';
import { FOREVER } from '../protocol/operations';
import { type Capabilities, DEFAULT_WISHES, negotiate, type Negotiation } from '../protocol/negotiation';
import { type Buffers, makeBuffers } from './channel';
import type { TransportInfo } from './control';
import { Interrupts } from './interrupts';
import { nameMount } from './mount-names';
import type { ImportedLayers, MountSpec, Overlay, ViewSpec } from './overlay';
import { mayPassThrough, mayUseTrusted } from './privileges';
import { ringBytes, RING_PAGES } from './ring';
import { AS_ASKED, hindrance, insteadOfUring, OVER_URING, ringFailure } from './transport';
import { wakeAll } from './wake';
import { EngineMountWord, mountRecord, Transport } from './words';

/** Why a mount cannot be: the message is for the user. */
export class MountRefused extends Error {}

/** Not here, and nothing was touched: another engine may serve it. */
export class MountDeclined extends MountRefused {}

/** Descriptors of a mount request, in the order of control.ts. */
export interface MountDescriptors {
  device: number;
  layers: number[];
  imported?: ImportedLayers;
  upper: number;
  work: number;
}

export interface MountTerms {
  level: number;
  wanted: Wanted;
  name: string | undefined;
}

/** What the mounting needs to know of the workers. */
export interface Workers {
  readonly workers: readonly number[];
  /** the spare ones too */
  readonly all: readonly number[];
  readonly started: number;
  readonly possible: number;
}

type Agreed = Negotiation & { outcome: 'agreed' };

export class Mounting {
  private readonly transports = new Map<number, TransportInfo>();
  private readonly buffers: Buffers;
  private readonly decoder: Decoder;
  private readonly encoder: Encoder;
  private readonly i32: Int32Array;
  private lastSerial = 0;

  constructor(
    private readonly context: WorkerContext,
    private readonly overlay: Overlay,
    private readonly crew: Workers,
    /** io_uring takes all workers: a queue that nobody serves keeps the whole mount waiting */
    private readonly startAll: () => void,
  ) {
    const { memory } = context.table;
    this.buffers = makeBuffers(memory);
    this.decoder = new Decoder(memory.buffer);
    this.encoder = new Encoder(memory.buffer);
    this.i32 = memory.i32;
  }

  /** Returns the mount's index; the workers attach to it. Throws for the user, and then the descriptors are still the caller's. */
  begin(options: MountOptions, { device, layers, imported, upper, work }: MountDescriptors, { level, wanted, name }: MountTerms): number {
    const asked = this.choose(wanted);
    if (asked.used === 'uring') this.startAll();
    const [agreed, transport] = this.receiveInit(device, options, asked, wanted);
    const spec: MountSpec = {
      upperFd: upper,
      workFd: work,
      layerFds: layers,
      ...(imported && { imported }),
      deviceFd: device,
      flags: flagsOf(options, agreed.capabilities),
      view: viewOf(options),
      xattrPermissions: options.xattrPermissions,
      atime: atimeOf(options),
      level,
      share: options.share,
    };
    const mount = this.overlay.setUpMount(this.context, spec);
    // From here on the descriptors are the mount's.
    try {
      nameMount(this.context.table.memory, mount, name);
      this.answerInit(device, agreed);
      this.settle(mount, device, agreed.capabilities);
      this.openChannels(mount, device);
      if (transport.used === 'uring') this.prepareRings(mount, agreed.capabilities);
    } catch (error) {
      this.takeApart(mount);
      throw new Taken(error);
    }
    this.transports.set(mount, transport);
    this.activate(mount);
    return mount;
  }

  /** Has the mount all that it needs to serve? Not while a worker still has to lend the kernel its entries. */
  isServing(mount: number): boolean {
    return Atomics.load(this.i32, mountRecord(mount) + EngineMountWord.RING_LEFT) === 0;
  }

  /** How a mount is served. */
  transport(mount: number): TransportInfo {
    const record = mountRecord(mount);
    if (this.hasFailedRings(mount)) {
      return insteadOfUring(ringFailure(this.i32[record + EngineMountWord.RING_ERROR]));
    }
    return this.transports.get(mount)!;
  }

  /** Was io_uring agreed on, and a worker could not have it after all? */
  hasFailedRings(mount: number): boolean {
    return Atomics.load(this.i32, mountRecord(mount) + EngineMountWord.TRANSPORT) === (Transport.FAILED as number);
  }

  /** Something kept a worker from the rings: the kernel is told to use the device. Throws when it cannot be. */
  giveUpRings(mount: number): void {
    const result = native.ringRefuse(this.i32[mountRecord(mount) + MountWord.DEVICE_FD]);
    if (result < 0) throw new MountRefused(`cannot be served over io_uring, and cannot tell the kernel so (errno ${-result})`);
  }

  /** Further workers start: they have to let go of the mount too. It is one that was not found ended. */
  addUsers(mount: number, count: number): void {
    Atomics.add(this.i32, mountRecord(mount) + MountWord.USERS, count);
  }

  /** When every worker has let go of an ended mount. */
  end(mount: number): void {
    this.takeApart(mount);
    this.context.table.epochs.reclaim();
  }

  /** The device of a mount, and its clones. */
  devices(mount: number): number[] {
    const record = mountRecord(mount);
    const clones = this.crew.all.map((worker) => this.i32[record + MountWord.CHANNELS + worker]);
    return [this.i32[record + MountWord.DEVICE_FD], ...clones.filter((fd) => fd >= 0)];
  }

  /** Has the kernel, and then every worker, let go of it? */
  hasEnded(mount: number): boolean {
    const record = mountRecord(mount);
    return Atomics.load(this.i32, record + MountWord.STATE) === MountState.ENDED && Atomics.load(this.i32, record + MountWord.USERS) === 0;
  }

  // ---- INIT: always the first request, and none follows before its answer ---------------------------------------------------------------

  private receiveInit(device: number, options: MountOptions, asked: TransportInfo, wanted: Wanted): [Agreed, TransportInfo] {
    const { decoder, buffers } = this;
    for (;;) {
      const length = native.recv(device, buffers.request, buffers.requestCapacity);
      if (length === -Errno.EAGAIN)
        throw new MountRefused('the FUSE device has no INIT waiting: it is not mounted, or served by another process');
      if (length < 0) throw new MountRefused(`cannot read from the FUSE device (errno ${-length}): is it mounted?`);
      decoder.decode(buffers.request, length);
      if (decoder.message.opcode !== Opcode.INIT)
        throw new MountRefused('the FUSE device was already in use: its first request is no INIT');
      const negotiation = negotiate(decoder.init, wishesOf(options, asked));
      if (negotiation.outcome === 'agreed') {
        if (asked.used === 'dev' || negotiation.capabilities.hasIoUring) return [negotiation, asked];
        return [negotiation, refusable(wanted, 'the kernel does not offer it for this mount')];
      }
      this.answerInit(device, negotiation);
      if (negotiation.outcome === 'refused') throw new MountRefused(negotiation.reason);
    }
  }

  private answerInit(device: number, negotiation: Negotiation): void {
    const { decoder, encoder, buffers } = this;
    const length = decoder.answerInit(negotiation, encoder, buffers.reply, buffers.replyCapacity);
    const sent = native.send(device, buffers.reply, length);
    if (sent < 0) throw new MountRefused(`cannot answer the kernel's INIT (errno ${-sent})`);
  }

  // ---- the transport -------------------------------------------------------------------------------------------------------------------

  /** What to ask the kernel for. Throws when io_uring is demanded and cannot be. */
  private choose(wanted: Wanted): TransportInfo {
    if (wanted === 'dev') return AS_ASKED;
    const reason = hindrance() ?? this.lackOfRoom();
    return reason === undefined ? OVER_URING : refusable(wanted, reason);
  }

  /** A machine with room for very many CPUs has as many queues for each mount. */
  private lackOfRoom(): string | undefined {
    const { workers, possible } = this.crew;
    const pages = Math.ceil(ringBytes(possible + workers.length) / Limits.PAGE_BYTES);
    const left = this.i32[Control.PAGES] - Atomics.load(this.i32, Control.NEXT_PAGE);
    if (left - pages > this.i32[Control.PAGES] / 4) return undefined;
    return `the engine has no room for the queues of ${possible} CPUs beside those of its other mounts`;
  }

  private prepareRings(mount: number, capabilities: Capabilities): void {
    const { i32 } = this;
    const record = mountRecord(mount);
    i32[record + EngineMountWord.TRANSPORT] = Transport.URING;
    i32[record + EngineMountWord.RING_LEFT] = this.crew.workers.length;
    i32[record + EngineMountWord.RING_CAPACITY] = capabilities.ringPayload;
  }

  // ---- the record ------------------------------------------------------------------------------------------------------------------------

  /** What is known only now that the kernel has its answer. */
  private settle(mount: number, device: number, capabilities: Capabilities): void {
    const { i32 } = this;
    const record = mountRecord(mount);
    if ((i32[record + MountWord.FLAGS] & MountFlags.PASSTHROUGH) !== 0 && !probePassthrough(device)) {
      i32[record + MountWord.FLAGS] &= ~(MountFlags.PASSTHROUGH | MountFlags.PASSTHROUGH_ALWAYS);
    }
    i32[record + MountWord.MAX_WRITE] = capabilities.maxWrite;
    i32[record + EngineMountWord.EXTENDED_SETXATTR] = capabilities.hasSetxattrExt ? 1 : 0;
  }

  private openChannels(mount: number, device: number): void {
    const channels = mountRecord(mount) + MountWord.CHANNELS;
    this.i32.fill(-1, channels, channels + Limits.MAX_WORKERS);
    for (const worker of this.crew.all) {
      const clone = native.fuseClone(device);
      if (clone < 0) throw new MountRefused(`cannot clone the FUSE device (errno ${-clone})`);
      this.i32[channels + worker] = clone;
    }
  }

  private activate(mount: number): void {
    const { i32 } = this;
    const record = mountRecord(mount);
    i32[record + EngineMountWord.SERIAL] = ++this.lastSerial;
    i32[record + MountWord.USERS] = this.crew.started;
    Atomics.store(i32, record + MountWord.STATE, MountState.ACTIVE);
    Atomics.add(i32, Control.MOUNTS_VERSION, 1);
    wakeAll(this.context.table.memory);
  }

  private takeApart(mount: number): void {
    const channels = mountRecord(mount) + MountWord.CHANNELS;
    for (const worker of this.crew.all) {
      if (this.i32[channels + worker] > 0) native.close(this.i32[channels + worker]);
      this.i32[channels + worker] = -1;
    }
    this.transports.delete(mount);
    new Interrupts(this.context.table.memory).clear(mount);
    this.overlay.tearDownMount(this.context, mount);
  }
}

/** An error after the descriptors were taken over. */
export class Taken extends Error {
  constructor(readonly reason: unknown) {
    super(reason instanceof Error ? reason.message : String(reason));
  }
}

/** io_uring cannot be: that ends the matter when it was demanded. */
function refusable(wanted: Wanted, reason: string): TransportInfo {
  if (wanted === 'uring') throw new MountRefused(`transport=uring cannot be had: ${reason}`);
  return insteadOfUring(reason);
}

function wishesOf(options: MountOptions, transport: TransportInfo): typeof DEFAULT_WISHES {
  return {
    ...DEFAULT_WISHES,
    ioUring: transport.used === 'uring',
    ringPages: RING_PAGES,
    passthrough: options.passthrough !== 'never' && mayPassThrough(),
    maxStackDepth: options.maxStackDepth,
    posixAcl: options.acl && options.xattrs && options.xattrPermissions === 0,
  };
}

export function viewOf({ squashUid, squashGid, uidMap, gidMap, staticNlink, timeout }: MountOptions): ViewSpec {
  return { squashUid: squashUid ?? -1, squashGid: squashGid ?? -1, uids: uidMap, gids: gidMap, staticNlink, seconds: timeout ?? FOREVER };
}

/** As mount(2) takes the flags: relatime unless they say otherwise. */
export function atimeOf({ flags }: Pick<MountOptions, 'flags'>): number {
  const directories = (flags & MountFlag.NODIRATIME) !== 0 ? MountAttribute.NODIRATIME : 0;
  if ((flags & MountFlag.STRICTATIME) !== 0) return MountAttribute.STRICTATIME | directories;
  return ((flags & MountFlag.NOATIME) !== 0 ? MountAttribute.NOATIME : 0) | directories;
}

/** What the kernel's answer to INIT is asked about. */
export type Granted = Pick<
  Capabilities,
  'canPassthrough' | 'canSkipFlush' | 'canSkipOpendir' | 'hasHandleKillprivV2' | 'hasPosixAcl' | 'hasParallelDirectWrites'
>;

export function flagsOf(options: MountOptions, capabilities: Granted): number {
  const bits: readonly [on: boolean, flag: MountFlags][] = [
    [options.volatile, MountFlags.VOLATILE],
    [options.metacopy, MountFlags.METACOPY],
    [options.redirect, MountFlags.REDIRECT],
    [options.index, MountFlags.INDEX],
    [options.userxattr ?? !mayUseTrusted(), MountFlags.USERXATTR],
    [capabilities.canPassthrough, MountFlags.PASSTHROUGH],
    [capabilities.canPassthrough && options.passthrough === 'always', MountFlags.PASSTHROUGH_ALWAYS],
    [!options.xattrs, MountFlags.NOXATTRS],
    [capabilities.canSkipFlush, MountFlags.NOFLUSH],
    [capabilities.canSkipOpendir, MountFlags.NO_OPENDIR],
    [capabilities.hasHandleKillprivV2, MountFlags.KILLPRIV_V2],
    [capabilities.hasPosixAcl, MountFlags.POSIX_ACL],
    [capabilities.hasParallelDirectWrites, MountFlags.PARALLEL_DIRECT_WRITES],
    [(atimeOf(options) & MountAttribute.NOATIME) !== 0, MountFlags.NOATIME],
  ];
  return bits.reduce((flags, [on, flag]) => (on ? flags | flag : flags), 0);
}

/** Does the kernel take a backing from us? Node's own program lies at hand; ELOOP says that it is on a stacked file system, not that we may not. */
function probePassthrough(device: number): boolean {
  let fd: number;
  try {
    fd = fs.openSync(process.execPath, 'r');
  } catch {
    return true; // whoever opens the first file finds out
  }
  const backing = native.backingOpen(device, fd);
  fs.closeSync(fd);
  if (backing > 0) native.backingClose(device, backing);
  return backing > 0 || backing === -Errno.ELOOP;
}

/**
 * The main thread of an engine. It serves no request: it starts the workers, brings mounts up and takes them down, watches, and ends the
 * process. Its event loop is woken by the control channel, by signals, and by the workers through an eventfd.
 */
import type { Worker } from 'node:worker_threads';
import { native } from '../../native-bindings/index';
import type { Bundle } from '../bundled';
import { onTrouble } from '../layers/trouble';
import type { Level, Log } from '../log';
import { shown, type Transport } from '../mounts/options';
import { planOf } from '../mounts/plan';
import { Limits, MountFlags, MountWord } from '../overlay/table/layout';
import type { Memory } from '../overlay/table/memory';
import { Table } from '../overlay/table/table';
import { WorkerContext } from '../overlay/worker';
import { lockAlone } from './alone';
import {
  type CountedMount,
  type DevicesRequest,
  type ListedMount,
  type ListRequest,
  MESSAGE_BYTES,
  type MountRequest,
  type Request,
  type StatsRequest,
  type TransportInfo,
} from './control';
import { closeAll, ControlChannel, type Outcome } from './control-channel';
import { Crew } from './crew';
import { raiseReadahead } from './kernel-readahead';
import { mountName } from './mount-names';
import { mountedAt } from './mounted';
import { Mounting, MountDeclined, MountRefused, Taken } from './mounting';
import { loadOverlay } from './overlay';
import { Statistics } from './statistics';
import { openRendezvous, type Rendezvous } from './rendezvous';
import { makeMemory } from './table-memory';
import { Watch } from './watch';
import { EngineWord, mountRecord } from './words';

export interface EngineOptions {
  /** default: one per CPU, at most 8 */
  workers?: number;
  /** of the mounts whose options do not say */
  transport: Transport;
  logLevel: Level;
  log: Log;
  /** where the workers' modules come from; none: each is loaded by itself */
  bundle?: Bundle | undefined;
  /** for the first worker */
  thread?: Worker;
  /** absolute path of a module in place of the overlay */
  overlay?: string;
  /** descriptor of the control channel */
  control: number;
  /** ends, and unmounts, with the control channel */
  foreground: boolean;
  /** the daemon's: waits for further mounts when it has none */
  supervised?: boolean;
  /** where it takes a new control channel; not supervised: further ones */
  rendezvous?: string;
}

interface EngineMount {
  readonly tag?: string;
  readonly index: number;
  /** byte string */
  readonly mountpoint: string;
  readonly dev: string;
  readonly level: number;
  readonly layers: number;
  readonly writable: boolean;
  readonly practice: boolean;
  /** descriptors that keep others from its upper and work directory (alone.ts) */
  readonly locks: readonly number[];
}

/** The table's first mount record is nobody's. */
const MOST_MOUNTS = Limits.MAX_MOUNTS - 1;
const JOB_THREADS = 4;
/** For which there is room from the beginning: 128 KiB of the kernel's. */
const DESCRIPTORS = 16_384;
const MNT_DETACH = 2;

/** How long unmounted mounts may still be used before the engine ends all the same, and how long workers may take to end. */
const GRACE_MS = 5000;
const STOP_MS = 2000;

export class Engine {
  private readonly log: Log;
  private readonly memory: Memory;
  private readonly crew: Crew;
  private readonly watch: Watch;
  private readonly statistics: Statistics;
  private readonly mounting: Mounting;
  private control: ControlChannel;
  /** further control channels: of those that came to the rendezvous of an engine that is not supervised */
  private readonly guests = new Set<ControlChannel>();
  private readonly rendezvous: Rendezvous | undefined;
  private readonly startedAt = Date.now();
  private readonly mounts = new Map<number, EngineMount>();
  /** who waits for something that workers do */
  private readonly awaited: { condition: () => boolean; resolve: () => void }[] = [];
  private lastTransport: TransportInfo | undefined;
  private level: number | undefined;
  /** mount requests that are not answered yet */
  private pending = 0;
  private hadMount = false;
  private ending = false;
  private exiting = false;
  /** have all workers been started? */
  private hasRest = false;
  private grace: NodeJS.Timeout | undefined;
  private failure: Error | undefined;

  constructor(private readonly options: EngineOptions) {
    this.log = options.log;
    onTrouble((what) => this.log.error({}, what));
    const grown = native.growFileTable(Math.min(native.raiseFileLimit(), DESCRIPTORS));
    if (grown < 0) this.log.debug({ errno: -grown }, 'the table of descriptors grows when it has to');
    native.umask(0);
    this.memory = makeMemory();
    this.statistics = new Statistics(this.memory);
    const pool = native.jobPoolStart(JOB_THREADS);
    if (pool < 0) throw new Error(`cannot start the threads for slow jobs (errno ${-pool})`);
    this.crew = new Crew(this.memory, options, (error) => this.fail(error));
    this.crew.startFirst();
    // While they start.
    const context = new WorkerContext(new Table(this.memory, EngineWord.MAIN));
    this.mounting = new Mounting(context, loadOverlay(options.overlay), this.crew, () => this.startRest());
    const hasQueues = (): boolean => [...this.mounts.keys()].some((mount) => this.mounting.transport(mount).used === 'uring');
    this.watch = new Watch(this.memory, this.crew.workers, this.crew.spares, hasQueues, (awake) => this.wakeSpares(awake));
    native.watchReadable(this.crew.mainEvent, () => this.woken());
    this.control = this.openControl(options.control, () => this.controlEnded());
    if (options.rendezvous !== undefined) this.rendezvous = openRendezvous(options.rendezvous, this.log, (fd) => this.met(fd));
  }

  /** Somebody came to the rendezvous. */
  private met(fd: number): void {
    if (this.options.supervised !== true) {
      const guest = this.openControl(fd, () => {
        this.guests.delete(guest);
        this.exitWhenDone();
      });
      this.guests.add(guest);
      return;
    }
    this.log.info({}, 'a daemon has adopted this engine');
    this.control.close();
    this.control = this.openControl(fd, () => this.controlEnded());
  }

  /** It ends: who asks for something is to know at once, and to ask another engine. */
  private sendAway(): void {
    this.rendezvous?.close();
    for (const guest of this.guests) guest.close();
    this.guests.clear();
  }

  private openControl(fd: number, onEnd: () => void): ControlChannel {
    return new ControlChannel(
      fd,
      (request, descriptors) => {
        if (request.type === 'mount') return this.mount(request, descriptors);
        closeAll(descriptors);
        return this.handle(request);
      },
      onEnd,
      this.log,
    );
  }

  /** Unmounts everything and ends the process when that is done, or after some time; at once when it is asked a second time. */
  stop(reason: string): void {
    if (this.ending) {
      this.exit(0);
      return;
    }
    this.ending = true;
    this.sendAway();
    this.log.info({ mounts: this.mounts.size }, `ending: ${reason}`);
    for (const mount of this.mounts.values()) this.unmount(mount);
    this.grace = setTimeout(() => {
      this.log.warn({ mounts: this.mounts.size }, 'files are still open on unmounted mounts: ending all the same');
      this.exit(0);
    }, GRACE_MS);
    this.exitWhenDone();
  }

  /** Something that nobody expected: the process ends as soon as may be. */
  abort(): void {
    this.exit(1);
  }

  // ---- requests of the control channel -------------------------------------------------------------------------------------------------

  private handle(request: Exclude<Request, { type: 'mount' | 'descriptors' }>): Outcome {
    switch (request.type) {
      case 'list':
        return this.list(request);
      case 'hello':
        return { ok: true, hello: { pid: process.pid, workers: this.crew.workers.length, startedAt: this.startedAt } };
      case 'plan':
        return { ok: true, plan: planOf(request) };
      case 'devices':
        return this.devices(request);
      case 'stats':
        return this.stats(request);
      case 'stop':
        this.stop('asked to stop');
        return { ok: true };
    }
  }

  /** Answered when a worker serves it: those that still start will join. */
  private async mount(request: MountRequest, descriptors: number[]): Promise<Outcome> {
    this.pending++;
    let locks: readonly number[] = [];
    try {
      if (request.writable) locks = await this.lock(request, descriptors.slice(-2));
      const mount = this.begin(request, descriptors, locks);
      locks = [];
      await this.until(() => this.crew.isReady && (this.mounting.isServing(mount) || !this.mounts.has(mount)));
      if (this.failure !== undefined) throw new Taken(this.failure);
      try {
        this.settleTransport(mount, request.options.transport ?? this.options.transport);
      } catch (error) {
        throw new Taken(error);
      }
      const wanted = request.devices === true && this.mounts.has(mount); // it may be unmounted already
      return { ok: true, mount, ...(wanted && { descriptors: this.mounting.devices(mount) }) };
    } catch (error) {
      if (!(error instanceof Taken)) closeAll(descriptors);
      closeAll(locks);
      const reason = error instanceof Taken ? error.reason : error;
      this.log.error(
        { err: reason, ...(request.name !== undefined && { mount: request.name }), mountpoint: shown(request.mountpoint) },
        'cannot serve a mount',
      );
      const message = reason instanceof Error ? reason.message : String(reason);
      return { ok: false, error: message, ...(reason instanceof MountDeclined && { declined: true }) };
    } finally {
      this.pending--;
      setImmediate(() => this.exitWhenDone()); // after the answer
    }
  }

  /** As the kernel's overlayfs has it: what another mount writes to is refused, and with index=off only told. */
  private async lock({ options, name, mountpoint }: MountRequest, directories: readonly number[]): Promise<readonly number[]> {
    const { descriptors, taken } = await lockAlone(directories);
    if (taken === undefined) return descriptors;
    if (options.index)
      throw new MountRefused(
        `${taken} is in use by another mount: two would spoil each other's files; unmount that one (it may be detached, and still in use), or give this one its own`,
      );
    const mount = { ...(name !== undefined && { mount: name }), mountpoint: shown(mountpoint) };
    this.log.warn(mount, `${taken} is in use by another mount: what both write to may be lost`);
    return [];
  }

  private begin(request: MountRequest, descriptors: readonly number[], locks: readonly number[]): number {
    const { options, mountpoint, dev, writable, level, tag, name, imported, practice = false } = request;
    if (this.ending) throw new MountRefused('the engine is ending');
    if (this.level !== undefined && this.level !== level) {
      throw new MountRefused(
        `a mount of level ${level} cannot be served by an engine of level ${this.level}: its layers may lie on this engine's mounts`,
      );
    }
    if (this.mounts.size >= MOST_MOUNTS) throw new MountDeclined(`an engine serves ${MOST_MOUNTS} mounts at most`);
    const [device, ...directories] = descriptors;
    const own = (writable ? 2 : 0) + (imported === undefined ? 0 : 1);
    if (device === undefined || directories.length < own + 1 || (imported !== undefined && imported.length !== directories.length - own))
      throw new MountRefused('the mount request came without its descriptors');
    const layers = directories.slice(0, directories.length - own);
    const [upper = -1, work = -1] = directories.slice(layers.length + (imported === undefined ? 0 : 1));
    const store = imported && { imported: { objectsFd: directories[layers.length], ids: imported } };
    const wanted = options.transport ?? this.options.transport;
    const index = this.mounting.begin(options, { device, layers, upper, work, ...store }, { level, wanted, name });
    if (!practice) raiseReadahead(dev, this.log);
    this.level = level;
    this.hadMount = true;
    this.mounts.set(index, {
      index,
      mountpoint,
      dev,
      level,
      layers: layers.length,
      writable,
      practice,
      locks,
      ...(tag !== undefined && { tag }),
    });
    const { ignored } = options;
    const mount = mountName(this.memory, index);
    this.log[practice ? 'debug' : 'info'](
      { mount, mountpoint: shown(mountpoint), layers: layers.length, writable, depth: level },
      'mounted',
    );
    if (ignored.length > 0) this.log.debug({ mount, ignored }, 'mount options that were ignored');
    return index;
  }

  /** How it is served is known now: it is told once, and again when it is another way. */
  private settleTransport(mount: number, wanted: Transport): void {
    if (!this.mounts.has(mount)) return; // it is unmounted already
    if (this.mounting.hasFailedRings(mount)) this.mounting.giveUpRings(mount);
    const transport = this.mounting.transport(mount);
    if (transport.used === 'dev' && wanted === 'uring') throw new MountRefused(`transport=uring cannot be had: ${transport.why}`);
    if (transport.used === this.lastTransport?.used && transport.why === this.lastTransport.why) return;
    this.lastTransport = transport;
    this.log.info({ mount: mountName(this.memory, mount), transport: transport.used }, `transport: ${transport.used}: ${transport.why}`);
  }

  private list({ after = -1 }: ListRequest): Outcome {
    const mounts: ListedMount[] = [];
    const later = this.listedAfter(after);
    let bytes = 0;
    for (const { index, mountpoint, level, layers, writable, tag } of later) {
      const flags = this.memory.i32[mountRecord(index) + MountWord.FLAGS];
      const passthrough = (flags & MountFlags.PASSTHROUGH) !== 0;
      const transport = this.mounting.transport(index);
      const listed = { mount: index, mountpoint, level, layers, writable, passthrough, transport, ...(tag !== undefined && { tag }) };
      bytes += Buffer.byteLength(JSON.stringify(listed)) + 1;
      if (bytes > MESSAGE_BYTES / 2) return { ok: true, mounts, more: true };
      mounts.push(listed);
    }
    return { ok: true, mounts };
  }

  private listedAfter(index: number): EngineMount[] {
    return [...this.mounts.values()].filter((one) => one.index > index && !one.practice).sort((a, b) => a.index - b.index);
  }

  private stats({ after }: StatsRequest): Outcome {
    const later = this.listedAfter(after ?? -1);
    const times = after === undefined ? { times: this.statistics.times() } : {};
    const counted: CountedMount[] = [];
    let bytes = Buffer.byteLength(JSON.stringify(times));
    for (const { index, tag } of later) {
      const one = { ...this.statistics.mount(index), ...(tag !== undefined && { tag }) };
      bytes += Buffer.byteLength(JSON.stringify(one)) + 1;
      if (bytes > MESSAGE_BYTES / 2 && counted.length > 0) return { ok: true, counted, ...times, more: true };
      counted.push(one);
    }
    return { ok: true, counted, ...times };
  }

  private devices({ mount }: DevicesRequest): Outcome {
    if (!this.mounts.has(mount)) return { ok: false, error: `there is no mount ${mount}` };
    return { ok: true, mount, descriptors: this.mounting.devices(mount) };
  }

  private controlEnded(): void {
    if (this.options.foreground) this.stop('the control channel ended');
    else this.exitWhenDone();
  }

  // ---- what workers tell ---------------------------------------------------------------------------------------------------------------

  private woken(): void {
    native.eventfdDrain(this.crew.mainEvent);
    if (this.crew.isReady && !this.hasRest) setImmediate(() => this.startRest()); // after the answer
    this.watch.notice();
    for (const mount of this.mounts.values()) if (this.mounting.hasEnded(mount.index)) this.ended(mount);
    this.settle();
    this.exitWhenDone();
  }

  private wakeSpares(awake: boolean): void {
    if (awake && !this.crew.hasSpares && !this.crew.canStartSpares) {
      this.log.warn(
        {},
        "workers are stuck in system calls, and no spare ones help: the engine's files are not those it was started from; mount again to get an engine of the new build",
      );
      return;
    }
    this.log.info({}, awake ? 'workers are stuck in system calls: spare ones help' : 'spare workers sleep again');
    if (!awake || this.crew.hasSpares) return;
    this.startMore(this.crew.spares.length, () => this.crew.startSpares());
  }

  /** All workers but the first. */
  private startRest(): void {
    if (this.hasRest) return;
    this.hasRest = true;
    this.startMore(this.crew.workers.length - 1, () => this.crew.startRest());
  }

  /** Workers that start later have to let go of the mounts that are there already, too. */
  private startMore(count: number, start: () => void): void {
    if (this.exiting) return;
    for (const mount of this.mounts.keys()) this.mounting.addUsers(mount, count);
    start();
  }

  /** Until workers have brought it about, or one has failed. */
  private until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.awaited.push({ condition, resolve });
      this.settle();
    });
  }

  private settle(): void {
    for (const one of this.awaited.splice(0)) {
      if (this.failure !== undefined || one.condition()) one.resolve();
      else this.awaited.push(one);
    }
  }

  private ended(mount: EngineMount): void {
    this.mounts.delete(mount.index);
    this.mounting.end(mount.index);
    closeAll(mount.locks);
    this.log[mount.practice ? 'debug' : 'info'](
      { mount: mountName(this.memory, mount.index), mountpoint: shown(mount.mountpoint) },
      'unmounted',
    );
    if (mount.practice && [...this.mounts.values()].every(({ practice }) => practice)) this.statistics.leaveOut();
    this.control.tell({ ok: true, ended: mount.index });
    if (this.mounts.size === 0) this.level = undefined;
  }

  // ---- the end -------------------------------------------------------------------------------------------------------------------------

  /** Takes the mountpoint away, if what is mounted there is still ours. Whoever mounted may have done so in another mount namespace. */
  private unmount({ mountpoint, dev, index, practice }: EngineMount): void {
    if (practice) return; // it is whose it is
    if (mountedAt(mountpoint)?.dev !== dev) {
      this.log.info(
        { mount: mountName(this.memory, index), mountpoint: shown(mountpoint) },
        'not to be seen from here: it stays, and is dead',
      );
      return;
    }
    const result = native.umount(Buffer.from(mountpoint, 'latin1'), MNT_DETACH);
    if (result < 0)
      this.log.error({ mount: mountName(this.memory, index), mountpoint: shown(mountpoint), errno: -result }, 'cannot unmount');
  }

  /** The engine lives for its mounts: it ends with the last of them, unless it is supervised. Before the first one it waits for whoever started it. */
  private exitWhenDone(): void {
    if (this.mounts.size > 0 || this.pending > 0 || (this.guests.size > 0 && !this.ending)) return;
    if (this.ending || !this.control.isOpen || (this.hadMount && this.options.supervised !== true)) this.exit(0);
  }

  /** A worker has died, so requests may be lost: the engine cannot go on. */
  private fail(error: Error): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.log.fatal({ err: error }, 'a worker thread failed: the engine ends');
    this.settle(); // who waits is answered with the failure
    setImmediate(() => this.exit(1));
  }

  private exit(status: number): void {
    if (this.exiting) return;
    this.exiting = true;
    this.sendAway();
    this.watch.stop();
    clearTimeout(this.grace);
    // process.exit() would wait for ever for a worker that blocks in a system call.
    setTimeout(() => {
      this.log.warn({}, 'workers did not end: ending without them');
      native.exitNow(status);
    }, STOP_MS);
    this.crew.stop(() => process.exit(status));
  }
}

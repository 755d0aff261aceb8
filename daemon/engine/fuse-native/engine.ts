/**
 * An engine of the driver fuse-native: one process, one mount, all of it on one thread with its event loop, which fuse-native needs for itself (in a worker
 * thread it aborts the process). It is told what to do as any engine is (engine/control.ts), and serves the same overlay.
 *
 * libfuse mounts by itself, and has the only descriptor of the device that can be had, so nothing of the mount outlives this process.
 */
import fs from 'node:fs';
import { native } from '../../../native-bindings/index';
import { onTrouble } from '../../layers/trouble';
import type { Log } from '../../log';
import { shown } from '../../mounts/options';
import { Control, MountState, MountWord } from '../../overlay/table/layout';
import { Table } from '../../overlay/table/table';
import { WorkerContext } from '../../overlay/worker';
import { closeAll, ControlChannel, type Outcome } from '../control-channel';
import type { ListedMount, MountedAs, MountRequest, Request } from '../control';
import { mountedAt } from '../mounted';
import { flagsOf, type Granted, MountRefused, viewOf } from '../mounting';
import { loadOverlay } from '../overlay';
import { openRendezvous, type Rendezvous } from '../rendezvous';
import { makeMemory } from '../table-memory';
import { EngineWord, mountRecord } from '../words';
import { mountFuse } from './fuse';
import { loadFuseNative } from './module';
import { fuseOptions, pointOf } from './mount-options';
import { View } from './view';

export interface EngineOptions {
  /** descriptor of the control channel */
  control: number;
  /** where a later daemon finds it */
  rendezvous?: string;
  log: Log;
}

interface Mounted {
  readonly index: number;
  readonly view: View;
  /** byte string */
  readonly point: string;
  readonly as: MountedAs;
  readonly listed: ListedMount;
}

const MNT_DETACH = 2;
/** How long an unmounted mount may still be used before the engine ends all the same. */
const GRACE_MS = 5000;

/** What libfuse 2 has asked the kernel for. */
const GRANTED: Granted = {
  canPassthrough: false,
  canSkipFlush: false,
  canSkipOpendir: false,
  hasHandleKillprivV2: false,
  hasPosixAcl: false,
  hasParallelDirectWrites: false,
};

export class FuseNativeEngine {
  private readonly log: Log;
  private readonly context: WorkerContext;
  private readonly overlay = loadOverlay(undefined);
  private readonly rendezvous: Rendezvous | undefined;
  private readonly startedAt = Date.now();
  private control: ControlChannel;
  private mounted: Mounted | undefined;
  /** it was asked for its mount: there is no other one */
  private used = false;
  private ending = false;

  constructor({ control, rendezvous, log }: EngineOptions) {
    this.log = log;
    onTrouble((what) => log.error({}, what));
    native.raiseFileLimit();
    const memory = makeMemory();
    Atomics.store(memory.i32, Control.WORKER_COUNT, 1);
    this.context = new WorkerContext(new Table(memory, EngineWord.MAIN));
    this.control = this.openControl(control);
    if (rendezvous !== undefined) {
      this.rendezvous = openRendezvous(rendezvous, log, (fd) => {
        log.info({}, 'a daemon has adopted this engine');
        this.control.close();
        this.control = this.openControl(fd);
      });
    }
  }

  private openControl(fd: number): ControlChannel {
    const handle = (request: Exclude<Request, { type: 'descriptors' }>, descriptors: number[]): Outcome | Promise<Outcome> => {
      if (request.type === 'mount') return this.mount(request, descriptors);
      closeAll(descriptors);
      return this.handle(request);
    };
    return new ControlChannel(fd, handle, () => this.exitIfIdle(), this.log);
  }

  private handle(request: Exclude<Request, { type: 'mount' | 'descriptors' }>): Outcome {
    switch (request.type) {
      case 'hello':
        return { ok: true, hello: { pid: process.pid, workers: 1, startedAt: this.startedAt } };
      case 'list':
        return { ok: true, mounts: this.mounted === undefined || (request.after ?? -1) >= this.mounted.index ? [] : [this.mounted.listed] };
      case 'devices':
        return { ok: true, descriptors: [] };
      case 'stop':
        setImmediate(() => this.stop('asked to stop')); // after the answer
        return { ok: true };
      default:
        return { ok: false, error: `an engine of the driver fuse-native does not know the request ${request.type}` };
    }
  }

  /** Unmounts and ends the process: when nobody uses the mount any more, or after some time; at once when it is asked a second time. */
  stop(reason: string): void {
    if (this.ending || this.mounted === undefined) this.exit(0);
    this.ending = true;
    this.rendezvous?.close();
    this.log.info({}, `ending: ${reason}`);
    const { point, as } = this.mounted;
    if (mountedAt(point)?.dev === as.dev) native.umount(Buffer.from(point, 'latin1'), MNT_DETACH);
    setTimeout(() => {
      this.log.warn({}, 'files are still open on the unmounted mount: ending all the same');
      this.exit(0);
    }, GRACE_MS);
  }

  // ---- the mount ---------------------------------------------------------------------------------------------------------------------

  private async mount(request: MountRequest, descriptors: number[]): Promise<Outcome> {
    const { mountpoint } = request;
    try {
      if (this.used) throw new MountRefused('an engine of the driver fuse-native serves one mount only');
      this.used = true;
      const { index, as } = await this.make(request, descriptors);
      return { ok: true, mount: index, mounted: as };
    } catch (error) {
      this.log.error({ err: error, mountpoint: shown(mountpoint) }, 'cannot serve a mount');
      closeAll(descriptors);
      return { ok: false, error: (error as Error).message };
    }
  }

  /** `descriptors` are the caller's again if this rejects. */
  private async make(request: MountRequest, descriptors: number[]): Promise<Mounted> {
    const { options, mountpoint, writable, level, tag, source = 'plyfs' } = request;
    const base = loadFuseNative();
    if (writable) throw new MountRefused('the driver fuse-native is for read-only mounts: leave out upperdir and workdir');
    const point = pointOf(mountpoint);
    const text = fuseOptions(options.flags, source);
    const layers = descriptors.slice(0, descriptors.length - (request.imported === undefined ? 0 : 1));
    if (layers.length === 0) throw new MountRefused('the mount request came without its descriptors');
    const index = this.setUp(request, layers, descriptors[layers.length]);
    descriptors.length = 0; // the mount's from here on
    const view = new View(this.context, new this.overlay.OverlayMount(this.context, index), this.log);
    const before = devices();
    try {
      await mountFuse(base, view, point, text);
    } catch (error) {
      this.takeDown(index, view);
      throw explained(error as Error, mountpoint);
    }
    const as = mountedAt(mountpoint);
    if (as === undefined) throw new MountRefused(`${shown(mountpoint)} was unmounted as soon as it was mounted`);
    const transport = { used: 'dev', why: 'the driver fuse-native reads the device by itself' } as const;
    const listed: ListedMount = {
      ...{ mount: index, mountpoint, level, layers: layers.length, writable, passthrough: false, transport, mounted: as },
      ...(tag !== undefined && { tag }),
    };
    this.mounted = { index, view, point: mountpoint, as, listed };
    this.watch(devices().find((fd) => !before.includes(fd)));
    this.log.info(
      { ...(request.name !== undefined && { mount: request.name }), mountpoint: shown(mountpoint), layers: layers.length, depth: level },
      'mounted by fuse-native',
    );
    return this.mounted;
  }

  private setUp({ options, level, imported }: MountRequest, layerFds: number[], objectsFd: number | undefined): number {
    const index = this.overlay.setUpMount(this.context, {
      ...{ upperFd: -1, workFd: -1, deviceFd: -1, layerFds, level, share: options.share },
      ...(imported !== undefined && objectsFd !== undefined && { imported: { objectsFd, ids: imported } }),
      flags: flagsOf(options, GRANTED),
      view: viewOf(options),
      xattrPermissions: options.xattrPermissions,
      atime: 0,
    });
    const { i32 } = this.context.table;
    i32[mountRecord(index) + MountWord.USERS] = 1;
    Atomics.store(i32, mountRecord(index) + MountWord.STATE, MountState.ACTIVE);
    return index;
  }

  private takeDown(index: number, view: View): void {
    view.end();
    this.overlay.tearDownMount(this.context, index);
  }

  /**
   * fuse-native does not tell when the kernel has let go of the mount; an error on the device does. Requests are libfuse's to wait for: no event is asked for,
   * and an epoll tells of errors all the same.
   */
  private watch(device: number | undefined): void {
    if (device === undefined) throw new Error('libfuse has mounted without a device');
    const [held, epoll] = [native.dup(device), native.epollCreate()];
    if (held < 0 || epoll < 0 || native.epollAdd(epoll, held, 0, 0) < 0) throw new Error('cannot watch the FUSE device');
    const watch = native.watchReadable(epoll, () => {
      watch.stop();
      closeAll([epoll, held]);
      this.ended();
    });
  }

  private ended(): void {
    const { mounted } = this;
    if (mounted === undefined) return;
    this.mounted = undefined;
    this.log.info({ mountpoint: shown(mounted.point) }, 'unmounted');
    this.control.tell({ ok: true, ended: mounted.index });
    // The process ends now or soon: what the mount has goes with it. libfuse's threads may still ask for something.
    if (this.ending) this.exit(0);
    this.exitIfIdle();
  }

  /** Nobody is there who could want something of it. */
  private exitIfIdle(): void {
    if (!this.control.isOpen && this.mounted === undefined) this.exit(0);
  }

  private exit(status: number): never {
    this.rendezvous?.close();
    native.exitNow(status); // libfuse's threads may wait for answers
  }
}

/** Descriptors of the FUSE device. */
function devices(): number[] {
  const directory = '/proc/self/fd';
  return fs
    .readdirSync(directory)
    .filter((fd) => linkOf(`${directory}/${fd}`) === '/dev/fuse')
    .map(Number);
}

/** undefined: it was closed meanwhile, as the one that lists the directory. */
function linkOf(file: string): string | undefined {
  try {
    return fs.readlinkSync(file);
  } catch {
    return undefined;
  }
}

/** fuse-native's errors, for people. */
function explained({ message }: Error, mountpoint: string): MountRefused {
  const point = shown(mountpoint);
  if (message === 'Mountpoint in use')
    return new MountRefused(
      `the driver fuse-native does not mount on ${point}: another file system is mounted there; choose a plain directory`,
    );
  if (message === 'fuse failed')
    return new MountRefused(
      `libfuse 2 could not mount on ${point}: plyd's log says why in libfuse's own words (a line that begins with "fuse:")`,
    );
  return new MountRefused(`the driver fuse-native cannot mount on ${point}: ${message}`);
}

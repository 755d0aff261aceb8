/**
 * What plyfs does: everything is opened and mounted here, in the caller's namespaces and with the caller's rights, and whoever serves it gets descriptors:
 * a plyd, an engine that serves other mounts of ours too (share.ts), or an engine of its own.
 */
import fs from 'node:fs';
import { native } from '../../native-bindings/index';
import type { MountRequest } from '../engine/control';
import { closeDirectories, type Directories, openDirectories, openDirectory, realPath } from './directories';
import { refuseOtherDriver } from './drivers';
import { EngineGone } from './engine-channel';
import { EngineProcess } from './engine-process';
import { levelOf, sourceOf } from './level';
import { mountTable, PLYFS } from './mountinfo';
import { type MountOptions, shown } from './options';
import { DEFAULT_SOURCE, needsOwnEngine, withName } from './plan';
import { handOver } from './share';

const TYPE = 'fuse.plyfs';
const MNT_DETACH = 2;
/** Whoever is asked may die of it. */
const ATTEMPTS = 3;

export interface How {
  /** plyfs stays, and the mount ends with it */
  foreground: boolean;
  /** descriptor that the engine logs to; none: /dev/null */
  log?: number;
  /** byte string: the options without the directories */
  further: string;
  /** where plyd listens, and engines are beside it; undefined: nowhere */
  socket?: string;
}

/** The file system could not be mounted; the message is for the user. */
export class MountFailure extends Error {}

export class OwnMount {
  /** of its own; undefined: others may use it too */
  private engine: EngineProcess | undefined;

  private constructor(
    private readonly target: Buffer,
    private readonly dev: string,
  ) {}

  /**
   * `target` and `source` are byte strings. Resolves when the mount is usable; rejects with MountFailure, OptionError or EngineError, and then
   * nothing is mounted and no engine runs for it. `started` is told of the mount as soon as it has to be undone when the caller is interrupted.
   */
  static async make(
    options: MountOptions,
    source: string | undefined,
    target: string,
    how: How,
    started: (mount: OwnMount) => void,
  ): Promise<OwnMount> {
    refuseOtherDriver(options);
    native.raiseFileLimit();
    const targetFd = openDirectory('mountpoint', target);
    const point = realPath(targetFd);
    fs.closeSync(targetFd);
    const directories = openDirectories(options);
    try {
      for (let attempt = 1; ; attempt++) {
        const device = openDevice();
        try {
          return await OwnMount.serve(options, source, point, how, directories, device, started);
        } catch (error) {
          if (!(error instanceof EngineGone) || attempt === ATTEMPTS || isAlone(options, how)) throw error;
        } finally {
          fs.closeSync(device);
        }
      }
    } finally {
      closeDirectories(directories);
    }
  }

  private static async serve(
    options: MountOptions,
    source: string | undefined,
    point: string,
    how: How,
    { layers, upper, work }: Directories,
    device: number,
    started: (mount: OwnMount) => void,
  ): Promise<OwnMount> {
    const writable = upper >= 0;
    const level = levelOf(writable ? [...layers, upper] : layers);
    const name = options.fsname ?? source ?? DEFAULT_SOURCE;
    const target = Buffer.from(point, 'latin1');
    const own = isAlone(options, how) ? new EngineProcess({ ...how, ...engineOptions(options), label: shown(point) }) : undefined;
    let mount: OwnMount | undefined;
    try {
      mountDevice(device, sourceOf(shown(name), level), target, options.flags); // while the engine starts
      const dev = mountTable().findLast((one) => one.point === point && one.type === PLYFS)?.dev;
      if (dev === undefined) throw new MountFailure(`${shown(point)} was unmounted as soon as it was mounted`);
      mount = new OwnMount(target, dev);
      mount.engine = own;
      started(mount);
      const request: Omit<MountRequest, 'type' | 'id'> = { options, mountpoint: point, dev, writable, level };
      const descriptors = [device, ...layers, ...(writable ? [upper, work] : [])];
      if (own === undefined) await mount.share({ ...request, further: withName(how.further, name) }, descriptors, how);
      else await own.mount(request, descriptors);
      return mount;
    } catch (error) {
      mount?.unmount();
      own?.kill('SIGTERM');
      own?.leave();
      throw error;
    }
  }

  /** With others, or, where these cannot be met, with an engine that others will not find. */
  private async share(request: Omit<MountRequest, 'type' | 'id'>, descriptors: readonly number[], { socket }: How): Promise<void> {
    if (socket !== undefined && (await handOver(request, descriptors, socket))) return;
    const alone = new EngineProcess({ foreground: false, label: this.target.toString() });
    this.engine = alone;
    try {
      await alone.mount(request, descriptors);
    } catch (error) {
      alone.kill('SIGTERM');
      throw error;
    } finally {
      alone.leave();
    }
  }

  /** Of an engine of its own: its end. */
  get ended(): Promise<number | string> | undefined {
    return this.engine?.ended;
  }

  /** Takes the mountpoint away, whoever still uses it, and an engine of its own with it. */
  abandon(): void {
    this.unmount();
    this.engine?.kill('SIGTERM');
  }

  /** plyfs ends; it stays. */
  leave(): void {
    this.engine?.leave();
  }

  private unmount(): void {
    const point = this.target.toString('latin1');
    if (mountTable().findLast((one) => one.point === point)?.dev === this.dev) native.umount(this.target, MNT_DETACH);
  }
}

function isAlone(options: MountOptions, { foreground, log }: How): boolean {
  return foreground || log !== undefined || needsOwnEngine(options);
}

function engineOptions({ workers, logLevel }: MountOptions): { workers?: number; logLevel?: string } {
  return { ...(workers !== undefined && { workers }), ...(logLevel !== undefined && { logLevel }) };
}

export function openDevice(): number {
  const device = native.fuseOpen();
  if (device >= 0) return device;
  const reasons: Readonly<Record<number, string>> = {
    2: 'it does not exist: load the kernel module fuse, or give the container the device',
    6: 'the kernel has no FUSE: load the kernel module fuse',
    19: 'the kernel has no FUSE: load the kernel module fuse',
    13: 'permission denied: it has to be readable and writable for you (usually mode 0666)',
    1: 'permission denied: the container does not allow the device (10, 229)',
  };
  throw new MountFailure(`cannot open /dev/fuse: ${reasons[-device] ?? `errno ${-device}`}`);
}

/** mount(2) in the caller's own namespaces. */
export function mountDevice(device: number, source: string, target: Buffer, flags: number): void {
  const owner = `user_id=${process.geteuid!()},group_id=${process.getegid!()}`;
  const result = native.mount(source, target, TYPE, flags, `fd=${device},rootmode=40000,${owner},default_permissions,allow_other`);
  if (result >= 0) return;
  const reasons: Readonly<Record<number, string>> = {
    1: 'not permitted: it takes root, or a user and mount namespace of your own (as in `unshare -rm` and rootless podman)',
    13: 'permission denied by a security policy',
    16: 'busy',
    19: 'the kernel has no FUSE: load the kernel module fuse',
    28: 'too many mounts (see /proc/sys/fs/mount-max)',
  };
  throw new MountFailure(`cannot mount on ${target.toString()}: ${reasons[-result] ?? `errno ${-result}`}`);
}

/**
 * A mount with an engine of its own, from parsed options to "usable": everything is opened and mounted here, in the caller's namespaces and
 * with the caller's rights, and the engine gets descriptors.
 */
import fs from 'node:fs';
import { native } from '../../native-bindings/index';
import { closeDirectories, type Directories, openDirectories, openDirectory, realPath } from './directories';
import { EngineProcess } from './engine-process';
import { levelOf, sourceOf } from './level';
import { type MountOptions, shown } from './options';

const TYPE = 'fuse.plyfs';
const MNT_DETACH = 2;
const DEFAULT_SOURCE = 'plyfs';

export interface How {
  foreground: boolean;
  /** descriptor that the engine logs to; none: /dev/null */
  log?: number;
}

/** The file system could not be mounted; the message is for the user. */
export class MountFailure extends Error {}

export class OwnMount {
  private constructor(
    private readonly target: Buffer,
    readonly engine: EngineProcess,
  ) {}

  /**
   * `target` and `source` are byte strings. Resolves when the mount is usable; rejects with MountFailure, OptionError or EngineError, and then
   * nothing is mounted and no engine runs. `started` is told of the mount as soon as it has to be undone when the caller is interrupted.
   */
  static async make(
    options: MountOptions,
    source: string | undefined,
    target: string,
    how: How,
    started: (mount: OwnMount) => void,
  ): Promise<OwnMount> {
    native.raiseFileLimit();
    const targetFd = openDirectory('mountpoint', target);
    const point = realPath(targetFd);
    fs.closeSync(targetFd);
    const directories = openDirectories(options);
    try {
      const device = openDevice();
      try {
        return await OwnMount.serve(options, source, point, how, directories, device, started);
      } finally {
        fs.closeSync(device);
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
    directories: Directories,
    device: number,
    started: (mount: OwnMount) => void,
  ): Promise<OwnMount> {
    const { layers, upper, work } = directories;
    const writable = upper >= 0;
    const level = levelOf(writable ? [...layers, upper] : layers);
    const engine = new EngineProcess({ ...how, ...engineOptions(options), label: shown(point) });
    const mount = new OwnMount(Buffer.from(point, 'latin1'), engine);
    try {
      // While the engine starts.
      mountDevice(device, sourceOf(shown(options.fsname ?? source ?? DEFAULT_SOURCE), level), mount.target, options.flags);
      started(mount);
      await engine.mount({ options, mountpoint: point, writable, level }, [device, ...layers, ...(writable ? [upper, work] : [])]);
    } catch (error) {
      if (!(error instanceof MountFailure)) mount.unmount();
      engine.kill('SIGTERM');
      engine.leave();
      throw error;
    }
    return mount;
  }

  /** Takes the mountpoint away, whoever still uses it; 0 or a negative errno. */
  unmount(): number {
    return native.umount(this.target, MNT_DETACH);
  }
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

/**
 * The first half of a mount: what the options name is opened, and the device is mounted. Whoever touches the mountpoint from then on waits for the
 * engine that is to get the descriptors.
 */
import fs from 'node:fs';
import { native } from '../../native-bindings/index';
import { closeDirectories, openDirectories, openDirectory, realPath } from './directories';
import { levelOf, sourceOf } from './level';
import { MountFailure, mountDevice, openDevice } from './mount';
import { mountTable, PLYFS } from './mountinfo';
import { type MountOptions, shown } from './options';

export interface Prepared {
  /** byte string: the mountpoint, as it is */
  point: string;
  level: number;
  /** descriptors, the caller's from now on */
  device: number;
  layers: number[];
  upper: number;
  work: number;
  mountId: number;
  /** of the new file system, as in mountinfo */
  dev: string;
  /** the file systems that its directories lie on, as in mountinfo */
  on: string[];
  /** "dev:inode" of the upper and the work directory: nobody else may write there */
  writes: string[];
}

export interface PrepareRequest {
  options: MountOptions;
  /** byte string */
  mountpoint: string;
  /** "dev:inode" of what other mounts write to */
  taken: string[];
}

/** Throws OptionError or MountFailure, and then nothing is mounted or open. */
export function prepareMount({ options, mountpoint, taken }: PrepareRequest): Prepared {
  const targetFd = openDirectory('mountpoint', mountpoint);
  const point = realPath(targetFd);
  fs.closeSync(targetFd);
  const directories = openDirectories(options);
  let device = -1;
  try {
    const { layers, upper, work } = directories;
    const writable = upper >= 0;
    const own = writable ? [upper, work] : [];
    const writes = own.map(identity);
    const used = writes.findIndex((one) => taken.includes(one));
    if (used >= 0) {
      const path = shown((used === 0 ? options.upper : options.work)!);
      throw new MountFailure(`${used === 0 ? 'upperdir' : 'workdir'} ${path} is in use by another mount: two would spoil each other's files`);
    }
    const level = levelOf(writable ? [...layers, upper] : layers);
    device = openDevice();
    mountDevice(device, sourceOf(shown(options.fsname ?? 'plyfs'), level), Buffer.from(point, 'latin1'), options.flags);
    const entry = mountTable().findLast((one) => one.point === point && one.type === PLYFS);
    if (entry === undefined) throw new MountFailure(`${shown(point)} was unmounted as soon as it was mounted`);
    const on = [...new Set([...layers, ...own].map(deviceOf))];
    return { point, level, device, layers, upper, work, mountId: entry.id, dev: entry.dev, on, writes };
  } catch (error) {
    closeDirectories(directories);
    if (device >= 0) native.close(device);
    throw error;
  }
}

function identity(fd: number): string {
  const { dev, ino } = fs.fstatSync(fd, { bigint: true });
  return `${dev}:${ino}`;
}

/** "major:minor" of a descriptor's file system: makedev(3) the other way round. */
function deviceOf(fd: number): string {
  const { dev } = fs.fstatSync(fd);
  const low = dev % 4294967296;
  const major = Math.floor(low / 256) & 0xfff;
  const minor = (low & 0xff) | ((low / 4096) & ~0xff & 0xfffff);
  return `${major}:${minor}`;
}

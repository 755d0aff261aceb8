/**
 * The first half of a mount: what the options name is opened, and the device is mounted. Whoever touches the mountpoint from then on waits for the
 * engine that is to get the descriptors.
 */
import fs from 'node:fs';
import { native } from '../../native-bindings/index';
import { closeDirectories, type Directories, openDirectories, openDirectory, realPath } from './directories';
import { levelOf, sourceOf } from './level';
import { MountFailure, mountDevice, openDevice } from './mount';
import { mountTable, PLYFS } from './mountinfo';
import { type MountOptions, shown } from './options';

/** What a mount stands on. */
interface Footing {
  /** the file systems that its directories lie on, as in mountinfo */
  on: string[];
  /** "dev:inode" of the upper and the work directory: nobody else may write there */
  writes: string[];
}

export interface Prepared extends Footing {
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
}

export interface PrepareRequest {
  options: MountOptions;
  /** byte string */
  mountpoint: string;
}

/** Throws OptionError or MountFailure, and then nothing is mounted or open. */
export function prepareMount({ options, mountpoint }: PrepareRequest): Prepared {
  const point = resolvePoint(mountpoint);
  const directories = openDirectories(options);
  let device = -1;
  try {
    const { layers, upper, work } = directories;
    const writable = upper >= 0;
    const level = levelOf(writable ? [...layers, upper] : layers);
    device = openDevice();
    mountDevice(device, sourceOf(shown(options.fsname ?? 'plyfs'), level), Buffer.from(point, 'latin1'), options.flags);
    const entry = mountTable().findLast((one) => one.point === point && one.type === PLYFS);
    if (entry === undefined) throw new MountFailure(`${shown(point)} was unmounted as soon as it was mounted`);
    return { point, level, device, layers, upper, work, mountId: entry.id, dev: entry.dev, ...describe(directories) };
  } catch (error) {
    closeDirectories(directories);
    if (device >= 0) native.close(device);
    throw error;
  }
}

/** A mountpoint as it is, symlinks followed; byte strings. */
export function resolvePoint(mountpoint: string): string {
  const fd = openDirectory('mountpoint', mountpoint);
  try {
    return realPath(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function describe({ layers, upper, work }: Directories): Footing {
  const own = upper >= 0 ? [upper, work] : [];
  return { on: [...new Set([...layers, ...own].map(deviceOf))], writes: own.map(identity) };
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

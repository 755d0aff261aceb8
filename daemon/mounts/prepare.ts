/**
 * The first half of a mount: what the options name is opened, and the device is mounted. Whoever touches the mountpoint from then on waits for the
 * engine that is to get the descriptors.
 */
import fs from 'node:fs';
import { native } from '../../native-bindings/index';
import { closeDirectories, type Directories, type ImportedFds, openDirectories, openDirectory, realPath } from './directories';
import { otherDriver } from './drivers';
import { levelOf, sourceOf } from './level';
import { MountFailure, mountDevice, openDevice } from './mount';
import { mountTable, PLYFS, topMount } from './mountinfo';
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
  /** descriptors, the caller's from now on. -1: the driver will mount by itself, and then mountId is -1 and dev is '', too */
  device: number;
  layers: number[];
  imported?: ImportedFds;
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
    const { layers, upper, work, imported } = directories;
    const writable = upper >= 0;
    const level = levelOf(writable ? [...layers, upper] : layers);
    const lowers = { layers, ...(imported && { imported }) };
    if (otherDriver(options) !== undefined) {
      return { point, level, device, ...lowers, upper, work, mountId: -1, dev: '', ...describe(directories) };
    }
    device = openDevice();
    mountDevice(device, sourceOf(shown(options.fsname ?? 'plyfs'), level), Buffer.from(point, 'latin1'), options.flags);
    const entry = mountTable().findLast((one) => one.point === point && one.type === PLYFS);
    if (entry === undefined) throw new MountFailure(`${shown(point)} was unmounted as soon as it was mounted`);
    return { point, level, device, ...lowers, upper, work, mountId: entry.id, dev: entry.dev, ...describe(directories) };
  } catch (error) {
    closeDirectories(directories);
    if (device >= 0) native.close(device);
    throw error;
  }
}

export interface InspectRequest {
  /** byte string */
  mountpoint: string;
  dev: string;
  level: number;
  writable: boolean;
  /** the device, the layers, and when writable the upper and the work directory */
  descriptors: number[];
}

/** What another process has mounted, and the paths (byte strings) by which it could be mounted again. */
export interface Inspected {
  prepared: Prepared;
  lower: string[];
  upper?: string;
  work?: string;
}

/** undefined: it is not to be seen from here as the descriptors have it, so it could be neither unmounted nor mounted again. */
export function inspectMount({ mountpoint: point, dev, level, writable, descriptors }: InspectRequest): Inspected | undefined {
  const [device, ...directories] = descriptors;
  if (directories.length < (writable ? 3 : 1)) throw new MountFailure('the mount came without its descriptors');
  const entry = topMount(mountTable(), point);
  if (entry?.dev !== dev || entry.type !== PLYFS || levelOf(directories) !== level) return undefined;
  const paths = directories.map(realPath);
  if (!directories.every((fd, i) => isAt(fd, paths[i]))) return undefined;
  const layers = directories.slice(0, directories.length - (writable ? 2 : 0));
  const [upper = -1, work = -1] = directories.slice(layers.length);
  const prepared = { point, level, device, layers, upper, work, mountId: entry.id, dev, ...describe({ layers, upper, work }) };
  const own = writable ? { upper: paths.at(-2)!, work: paths.at(-1)! } : {};
  return { prepared, lower: paths.slice(0, layers.length), ...own };
}

/** Another root directory, or another mount over it: then the path leads elsewhere, or nowhere. */
function isAt(fd: number, path: string): boolean {
  const found = fs.statSync(Buffer.from(path, 'latin1'), { bigint: true, throwIfNoEntry: false });
  const { dev, ino } = fs.fstatSync(fd, { bigint: true });
  return found?.dev === dev && found.ino === ino;
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

/** A mount to practise on (practice.ts), and what is done in it. In a thread of blocking.ts: it waits for the engine. */
import fs from 'node:fs';
import { native } from '../../native-bindings/index';
import { closeDirectories, type Directories, openDirectories } from './directories';
import { levelOf } from './level';
import { MountFailure, openDevice } from './mount';
import type { MountOptions } from './options';

/** What there is in the layers: directories, and in each the same names. */
export const DIRECTORY_NAMES: readonly string[] = Array.from({ length: 48 }, (_, i) => `directory-${i}/inside`);
export const FILE_NAMES: readonly string[] = Array.from({ length: 10 }, (_, i) => `file-${i}`);
export const LINK_NAME = 'link';

/** Descriptors, the caller's from now on. */
export interface Lesson {
  level: number;
  device: number;
  directories: Directories;
  /** of the mount's root: the mount ends with it */
  root: number;
}

/** Mounts where nobody finds it. Throws MountFailure or OptionError, and then nothing is open. */
export function openLesson({ options }: { options: MountOptions }): Lesson {
  const directories = openDirectories(options);
  let device = -1;
  try {
    const { layers, upper } = directories;
    device = openDevice();
    const root = native.fuseMount(device);
    if (root < 0) throw new MountFailure(`cannot mount to practise (errno ${-root})`);
    return { level: levelOf([...layers, upper]), device, directories, root };
  } catch (error) {
    closeDirectories(directories);
    if (device >= 0) native.close(device);
    throw error;
  }
}

export interface MovesRequest {
  root: number;
  /** where to run */
  cpu: number;
  /** are directories listed before what is in them is looked up? */
  listsFirst: boolean;
}

/** What containers do all day, most of it for the first time in this mount. Closes the mount. Throws what the file system throws. */
export function practise({ root, cpu, listsFirst }: MovesRequest): void {
  native.pinThread(cpu); // the worker of that CPU is the one to answer; where that cannot be had, any
  try {
    const point = `/proc/self/fd/${root}`;
    if (listsFirst) walk(point);
    for (const [i, name] of DIRECTORY_NAMES.entries()) {
      const directory = `${point}/${name}`;
      look(directory);
      if (i % 4 === 0) change(directory);
    }
    if (!listsFirst) walk(point);
  } finally {
    native.pinThread(-1);
    native.close(root);
  }
}

function walk(directory: string): void {
  for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
    const path = `${directory}/${entry.name}`;
    fs.lstatSync(path);
    if (entry.isDirectory()) walk(path);
  }
}

function look(directory: string): void {
  for (const name of FILE_NAMES) {
    const path = `${directory}/${name}`;
    fs.lstatSync(path);
    fs.readFileSync(path);
    fs.lstatSync(`${path}.missing`, { throwIfNoEntry: false });
  }
  fs.readlinkSync(`${directory}/${LINK_NAME}`);
}

function change(directory: string): void {
  const [first, second, third] = FILE_NAMES.map((name) => `${directory}/${name}`);
  fs.appendFileSync(first, 'more\n'); // copied up
  fs.chmodSync(second, 0o600);
  fs.unlinkSync(third); // a whiteout
  const made = `${directory}/made`;
  fs.mkdirSync(made);
  for (const name of FILE_NAMES) {
    const path = `${made}/${name}`;
    fs.writeFileSync(`${path}.new`, name);
    fs.chmodSync(`${path}.new`, 0o640);
    fs.utimesSync(`${path}.new`, 1, 1);
    fs.renameSync(`${path}.new`, path);
  }
  fs.linkSync(`${made}/${FILE_NAMES[0]}`, `${made}/${LINK_NAME}`);
  fs.symlinkSync(LINK_NAME, `${made}/symlink`);
  fs.truncateSync(`${made}/${FILE_NAMES[1]}`, 1);
  fs.rmSync(made, { recursive: true });
}

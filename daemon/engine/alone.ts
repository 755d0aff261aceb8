/**
 * Two mounts that write to one upper or work directory would sweep away and overwrite what the other has there. So each holds a lock of both directories
 * (flock(2)), whatever engine serves it, as long as the kernel has it; plyd, and who mounts a container's upper by hand, too.
 */
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '../../native-bindings/index';
import { Errno } from '../errno';
import { MountRefused } from './mounting';

const { O_RDONLY, O_DIRECTORY } = fs.constants;

/** What was unmounted a moment ago is still locked: its engine lets go of it within some milliseconds. */
const PATIENCE_MS = 2000;

const NAMES = ['upperdir', 'workdir'] as const;

export interface Locked {
  /** they hold the locks */
  descriptors: number[];
  /** what another mount has; undefined: nothing */
  taken: (typeof NAMES)[number] | undefined;
}

/** Locks the upper and the work directory (O_PATH descriptors). Nothing is held where one is taken. A directory that one may not read has no lock. */
export async function lockAlone(directories: readonly number[]): Promise<Locked> {
  const descriptors: number[] = [];
  const release = (): void => descriptors.splice(0).forEach((one) => native.close(one));
  try {
    for (const [i, directory] of directories.entries()) {
      const fd = openToLock(directory);
      if (fd === undefined) continue;
      descriptors.push(fd);
      if (await isLocked(fd)) continue;
      release();
      return { descriptors, taken: NAMES[i] };
    }
  } catch (error) {
    release(); // else the directory could not be mounted any more while the engine lives
    throw error;
  }
  return { descriptors, taken: undefined };
}

/** False: another one has it. True as well where the file system knows no locks. */
async function isLocked(fd: number): Promise<boolean> {
  for (const end = Date.now() + PATIENCE_MS; native.lockDirectory(fd) === -Errno.EAGAIN;) {
    if (Date.now() > end) return false;
    await sleep(10);
  }
  return true;
}

/** On a clone of its mount, where there can be one: the host may unmount what the directory lies on (layers/private-mounts.ts). */
function openToLock(directory: number): number | undefined {
  const clone = native.cloneMount(directory, 0, 0);
  try {
    return fs.openSync(`/proc/self/fd/${clone < 0 ? directory : clone}`, O_RDONLY | O_DIRECTORY);
  } catch (error) {
    const { code, errno = 0 } = error as NodeJS.ErrnoException;
    if (code === 'EACCES') return undefined;
    throw new MountRefused(`cannot open the upper or the work directory to lock it (errno ${-errno})`);
  } finally {
    if (clone >= 0) native.close(clone);
  }
}

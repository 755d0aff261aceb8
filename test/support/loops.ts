/** Small file systems of their own, in files: to fill up, and of every kind that layers may lie on. */
import fs from 'node:fs';
import path from 'node:path';
import { removeDirectory, temporaryDirectory } from './leaks.js';
import { must, unmount } from './mounts.js';

export type Kind = 'ext4' | 'xfs' | 'btrfs' | 'tmpfs';

const MKFS: Record<Exclude<Kind, 'tmpfs'>, readonly string[]> = {
  ext4: ['-q', '-F', '-b', '4096', '-i', '4096', '-m', '0'],
  xfs: ['-q', '-f'],
  btrfs: ['-q', '-f'],
};

/** The least that mkfs.xfs and mkfs.btrfs take. */
const LEAST_MIB: Record<Kind, number> = { ext4: 6, xfs: 300, btrfs: 120, tmpfs: 1 };

export interface Disk {
  readonly directory: string;
  /** the file that it lies in */
  readonly image: string;
  /** Takes it away and mounts it again: as another file system to the kernel, with what has reached the disk. Not a tmpfs. */
  mountAgain(): Promise<void>;
  remove(): Promise<void>;
}

/** An engine that has just lost its mount holds on to what its layers lay on for some milliseconds more, and with it to the loop device. */
async function letGo(image: string): Promise<void> {
  const end = Date.now() + 30_000;
  while ((await must('losetup', ['--associated', image])) !== '') {
    if (Date.now() > end) throw new Error(`${image} is unmounted, and still in use`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A fresh file system of `mib` MiB or as little as its kind takes. */
export async function disk(kind: Kind, mib: number = LEAST_MIB[kind]): Promise<Disk> {
  const base = temporaryDirectory();
  const directory = path.join(base, kind);
  const image = path.join(base, 'image');
  fs.mkdirSync(directory);
  const remove = async (): Promise<void> => {
    await unmount(directory);
    await removeDirectory(base);
  };
  const mountImage = (): Promise<string> => must('mount', ['-t', kind, '-o', 'loop', image, directory]);
  const mountAgain = async (): Promise<void> => {
    await unmount(directory);
    await letGo(image);
    await mountImage();
  };
  const size = Math.max(mib, LEAST_MIB[kind]);
  try {
    if (kind === 'tmpfs') await must('mount', ['-t', 'tmpfs', '-o', `size=${size}m`, 'tmpfs', directory]);
    else {
      fs.writeFileSync(image, '');
      fs.truncateSync(image, size << 20);
      await must(`mkfs.${kind}`, [...MKFS[kind], image]);
      await mountImage();
    }
  } catch (error) {
    await remove();
    throw error;
  }
  return { directory, image, mountAgain, remove };
}

import fs from 'node:fs';
import path from 'node:path';
import { type Bench, type Place, needRoom, settle } from '../bench.js';
import { row, seconds, verify } from '../contract.js';
import { command } from '../processes.js';
import { warmFile, writeBigFile } from '../trees.js';

interface Disk {
  name: 'ext4' | 'xfs';
  mountpoint: string;
}

/** A file system in a file, with the lower on it. It is unmounted with the place, and its loop device goes with it. */
async function makeDisk(bench: Bench, place: Place, name: Disk['name'], mib: number): Promise<Disk> {
  const [image, mountpoint] = [place.path(`${name}.img`), place.path(name)];
  fs.writeFileSync(image, '');
  fs.truncateSync(image, (3 * mib + 1024) * 2 ** 20);
  await (name === 'ext4' ? command('mkfs.ext4', ['-q', '-F', image]) : command('mkfs.xfs', ['-q', '-m', 'reflink=1', image]));
  fs.mkdirSync(mountpoint);
  place.expectMount(mountpoint);
  await command('mount', ['-o', 'loop', image, mountpoint]);
  fs.mkdirSync(path.join(mountpoint, 'lower'));
  writeBigFile(path.join(mountpoint, 'lower', 'data'), mib);
  bench.say(`${name} is made`);
  return { name, mountpoint };
}

/** Where reflink makes copying free, and where it does not. */
export const appendBig = row({
  name: 'append-big',
  title: 'append to a lower file of 1 GiB (ext4, and xfs with reflink)',
  about:
    'open for appending, write a line, close; lower and upper on one file system in a loop file: ext4, which has to copy, and xfs, which shares the blocks.',
  dominates: 'ext4: copying and fsyncing 1 GiB. xfs: starting and ending it, everything but the data.',
  systems: ['bare', 'ov', 'fo', 'dev', 'uring'],
  figures: [
    seconds('ext4', 'append to 1 GiB, ext4', { devOv: 1.2, uringOv: 1.1, foDev: 1, foUring: 1 }),
    seconds('xfs', 'append to 1 GiB, xfs with reflink', { devOv: 1.2, uringOv: 1.1, foDev: 1, foUring: 1 }),
  ],
  async setup(bench, place) {
    const mib = bench.amount(1024, 32);
    needRoom(bench.directory, (6 * mib) / 1024);
    const disks = [await makeDisk(bench, place, 'ext4', mib), await makeDisk(bench, place, 'xfs', mib)];
    const list = place.path('list');
    fs.writeFileSync(list, 'data\n');
    return { disks, list, bytes: mib * 2 ** 20 };
  },
  async prepare(place, { disks }) {
    const points: string[] = [];
    for (const { mountpoint } of disks) {
      const lower = path.join(mountpoint, 'lower');
      await warmFile(path.join(lower, 'data'));
      points.push((await place.mount({ lowers: [lower], bare: { tree: lower, copy: true }, on: mountpoint })).point);
    }
    return points;
  },
  async measure(place, points, { disks, list, bytes }) {
    const values: Record<string, number> = {};
    for (const [index, point] of points.entries()) {
      const answer = await place.client.call<{ seconds: number }>(['append', point, list], { limitMs: 240_000 });
      verify('size after it', fs.statSync(path.join(point, 'data')).size, bytes + 'one more line\n'.length);
      values[disks[index].name] = answer.seconds;
      await settle();
    }
    return values;
  },
});

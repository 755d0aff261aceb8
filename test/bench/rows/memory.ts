import fs from 'node:fs';
import type { Place } from '../bench.js';
import { type Figure, Unavailable, ownLimit, row } from '../contract.js';
import { proportionalSetSize, sleep } from '../processes.js';
import { bigTree } from '../trees.js';
import { imageMounts, verifyWalk } from './tree-mount.js';

const figure = (key: string, title: string, atMost?: number): Figure => ({
  key,
  title,
  unit: 'MiB',
  better: 'less',
  checks: atMost === undefined ? [] : ownLimit({ atMost }),
});

const LEAST_FREE_GIB = 3;

function needMemory(mounted: number): void {
  const free = Number(/^MemAvailable:\s+(\d+)/m.exec(fs.readFileSync('/proc/meminfo', 'latin1'))?.[1] ?? 0) / 2 ** 20;
  if (free < LEAST_FREE_GIB) throw new Unavailable(`less than ${LEAST_FREE_GIB} GiB of memory are free with ${mounted} mounts`);
}

/** Of all servers, when they have come to rest. */
async function serverMemory(place: Place): Promise<number> {
  await sleep(500);
  return proportionalSetSize(place.servers());
}

/** An image costs once. */
export const memory = row({
  name: 'memory',
  title: 'memory per further walked mount of one image, at 1, 20, 100 mounts',
  about:
    'proportional set size of all server processes, after the cold walk of each mount of the same lowers: what the second mount added, the mean of the 3rd to the 20th, and of the 21st to the 100th. Measured once, whatever RUNS says: it takes long and varies little.',
  dominates: 'a process for each mount (fuse-overlayfs, and plyfs without plyd), or the part of the table that is each mount’s own.',
  systems: ['fo', 'dev', 'uring'],
  figures: [
    figure('first', 'the first mount, and the server'),
    figure('at1', 'a further mount, at 1', 1),
    figure('at20', 'a further mount, at 20', 1),
    figure('at100', 'a further mount, at 100', 1),
  ],
  mostRuns: 1,
  limitMs: 3_600_000,
  setup: bigTree,
  prepare: imageMounts,
  async measure(place, mountImage, tree) {
    const few = place.bench.amount(20, 3);
    const many = place.bench.amount(100, few + 2);
    const after = new Map<number, number>();
    for (let mounted = 1; mounted <= many; mounted++) {
      needMemory(mounted - 1);
      place.bench.say(`memory: ${place.system}, mount ${mounted} of ${many}`);
      verifyWalk(await place.client.walk(await mountImage()), tree.counts);
      if ([1, 2, few, many].includes(mounted)) after.set(mounted, await serverMemory(place));
    }
    const at = (count: number): number => after.get(count) ?? NaN;
    return { first: at(1), at1: at(2) - at(1), at20: (at(few) - at(2)) / (few - 2), at100: (at(many) - at(few)) / (many - few) };
  },
});

import fs from 'node:fs';
import path from 'node:path';
import type { Bench } from '../bench.js';
import { type Figure, ownLimit, row, verify } from '../contract.js';

const NUMBERS = [1, 5, 25, 100, 500];
const NAMES = 2000;

function figures(): Figure[] {
  return NUMBERS.map((number) => ({
    key: `n${number}`,
    title: `lookup in ${number} lower${number === 1 ? '' : 's'}`,
    unit: 'µs',
    better: 'less',
    checks: number === 500 ? ownLimit({ atMost: 1.2 }, 'n1') : [],
  }));
}

/** For each number of lowers: a directory that is in all of them, its 2,000 files dealt out among them, and one more file to begin with. */
async function trees(bench: Bench): Promise<{ directory: string; list: string }> {
  const directory = await bench.cached('lowers-1', (fresh) => {
    const names = Array.from({ length: NAMES }, (_, i) => `d/f${i}`);
    fs.writeFileSync(path.join(fresh, 'list'), names.map((name) => `${name}\n`).join(''));
    for (const number of NUMBERS) {
      const lower = (i: number): string => path.join(fresh, String(number), `l${i}`);
      for (let i = 0; i < number; i++) fs.mkdirSync(path.join(lower(i), 'd'), { recursive: true });
      fs.writeFileSync(path.join(lower(number - 1), 'd', 'first'), '');
      for (const [index, name] of names.entries()) fs.writeFileSync(path.join(lower(index % number), name), '');
    }
    return Promise.resolve();
  });
  return { directory, list: path.join(directory, 'list') };
}

/** What a deep image costs. */
export const manyLowers = row({
  name: 'many-lowers',
  title: 'lookup in 1, 5, 25, 100, 500 lowers, after the first',
  about:
    'lstat of 2,000 files of one directory that is in all lowers, the files dealt out among them, after the first lookup in it; microseconds for each. A fresh mount for each number of lowers.',
  dominates:
    'for us the round trip of a LOOKUP, whatever the number: the directory was merged at its first. The kernel and fuse-overlayfs ask every lower for every name.',
  systems: ['ov', 'fo', 'dev', 'uring'],
  figures: figures(),
  setup: trees,
  async prepare(place, { directory }) {
    const points: string[] = [];
    for (const number of NUMBERS) {
      const lowers = Array.from({ length: number }, (_, i) => path.join(directory, String(number), `l${i}`));
      for (const lower of lowers) fs.readdirSync(path.join(lower, 'd'));
      points.push((await place.mount({ lowers })).point);
    }
    return points;
  },
  async measure(place, points, { list }) {
    const values: Record<string, number> = {};
    for (const [index, point] of points.entries()) {
      fs.lstatSync(path.join(point, 'd', 'first'));
      const answer = await place.client.lstat(point, list);
      verify('files', answer.found, NAMES);
      values[`n${NUMBERS[index]}`] = (answer.seconds / NAMES) * 1e6;
    }
    return values;
  },
});

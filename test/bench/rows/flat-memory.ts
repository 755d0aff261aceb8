import fs from 'node:fs';
import path from 'node:path';
import { type Figure, ownLimit, row, verify } from '../contract.js';
import { proportionalSetSize } from '../processes.js';
import { bigTree } from '../trees.js';
import { mountTree } from './tree-mount.js';

const PARTS = 20;

const figure = (key: string, title: string, overFigure?: string): Figure => ({
  key,
  title,
  unit: 'MiB',
  better: 'less',
  checks: overFigure === undefined ? [] : ownLimit({ atMost: 1.1 }, overFigure),
});

/** Records are freed after FORGET; nothing grows with time. */
export const flatMemory = row({
  name: 'flat-memory',
  title: 'memory over 10 million mixed operations',
  about:
    'lstat, create and write, read, rename, unlink, chmod, readdir of some 20,000 names in 100 directories, chosen by a seed, 10 million times in one mount. The servers’ proportional set size after a tenth of them, and the greatest one in the second half.',
  dominates: 'the node table’s records, the V8 heap’s slack, and fragmentation.',
  systems: ['fo', 'dev', 'uring'],
  figures: [figure('early', 'after a tenth'), figure('late', 'greatest in the second half', 'early')],
  onRequest: true,
  mostRuns: 1,
  limitMs: 6 * 3_600_000,
  setup: bigTree,
  async prepare(place, tree) {
    const { point } = await mountTree(place, tree);
    fs.mkdirSync(path.join(point, 'mixed'));
    return path.join(point, 'mixed');
  },
  async measure(place, directory) {
    const rounds = place.bench.amount(10_000_000 / PARTS, 1000);
    const memory: number[] = [];
    for (let part = 0; part < PARTS; part++) {
      place.bench.say(`flat-memory: ${place.system}, ${part * rounds} of ${PARTS * rounds}`);
      const answer = await place.client.call<{ rounds: number }>(['mixed', directory, rounds, part + 1], { limitMs: 3_600_000 });
      verify('operations', answer.rounds, rounds);
      memory.push(proportionalSetSize(place.servers()));
    }
    return { early: memory[PARTS / 10 - 1], late: Math.max(...memory.slice(PARTS / 2)) };
  },
});

import fs from 'node:fs';
import path from 'node:path';
import { type Figure, ownLimit, row } from '../contract.js';
import { Plyd } from '../plyd.js';
import { percentile } from '../statistics.js';
import { bigTree } from '../trees.js';

const figure = (key: string, title: string, atMost: number): Figure => ({
  key,
  title,
  unit: 'ms',
  better: 'less',
  checks: ownLimit({ atMost }),
});

/** The same without exec: what a container engine that speaks our API waits for. */
export const containerStart = row({
  name: 'container-start',
  title: 'container start over the API, p50 / p99',
  about:
    '200 containers of one image of five layers, one after the other: POST …/start over a kept connection, and an lstat in the mount that it names. Creating and removing them is not timed.',
  dominates: 'the catalog’s transaction in plyd, the mount itself, and the message to the engine; an HTTP request is 0.1 ms of it.',
  systems: ['dev', 'uring'],
  figures: [figure('p50', 'container start, p50', 5), figure('p99', 'container start, p99', 20)],
  setup: bigTree,
  async prepare(place, tree) {
    const plyd = await Plyd.start(place);
    await plyd.image('tree', tree.lowers);
    return plyd;
  },
  async measure(place, plyd, tree) {
    const times: number[] = [];
    for (let i = 0; i < place.bench.amount(200, 20); i++) {
      await plyd.create('tree', `c${i}`, `transport=${place.system}`);
      const began = process.hrtime.bigint();
      const point = await plyd.startContainer(`c${i}`);
      fs.lstatSync(path.join(point, tree.tops[0].name));
      times.push(Number(process.hrtime.bigint() - began) / 1e6);
      await plyd.remove(`c${i}`);
    }
    return { p50: percentile(times, 50), p99: percentile(times, 99) };
  },
});

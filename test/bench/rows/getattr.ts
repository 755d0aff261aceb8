import path from 'node:path';
import type { Place } from '../bench.js';
import { type Figure, row, SYSTEMS, times, verify } from '../contract.js';
import { flatFiles } from '../trees.js';

const figure = (key: string, title: string): Figure => ({
  key,
  title,
  unit: 'µs',
  better: 'less',
  checks: times({ foDev: 2, foUring: 7 }),
});

async function roundTrip(place: Place, file: string, clients: number): Promise<number> {
  const rounds = place.bench.amount(50_000, 2000);
  const answer = await place.client.call<{ seconds: number; clients: number }>(['getattr', file, rounds, clients], { limitMs: 120_000 });
  verify('clients', answer.clients, clients);
  return (answer.seconds / rounds) * 1e6;
}

/** The least that a request costs. */
export const getattr = row({
  name: 'getattr',
  title: 'getattr round trip uncached, 1 client and 2',
  about: '50,000 times statx with AT_STATX_FORCE_SYNC of one file, by one process and by two at once; microseconds for each of a process.',
  dominates: 'waking the server and the client, on another CPU or on the same; the engine itself takes less than a microsecond.',
  systems: SYSTEMS,
  figures: [figure('one', 'getattr round trip, 1 client'), figure('two', 'getattr round trip, 2 clients')],
  setup: (bench) => flatFiles(bench, 20, 1000),
  prepare: (place, { lower }) => place.mount({ lowers: [lower], bare: { tree: lower, copy: false } }),
  async measure(place, { point }) {
    const file = path.join(point, 'd1/f1');
    return { one: await roundTrip(place, file, 1), two: await roundTrip(place, file, 2) };
  },
});

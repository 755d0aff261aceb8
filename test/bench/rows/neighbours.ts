import fs from 'node:fs';
import path from 'node:path';
import { type Place, needRoom } from '../bench.js';
import { type Figure, ownLimit, row, verify } from '../contract.js';
import { Plyd } from '../plyd.js';
import type { Running } from '../processes.js';
import { writeBigFile } from '../trees.js';

const figure = (key: string, title: string, limit: boolean): Figure => ({
  key,
  title,
  unit: 'µs',
  better: 'less',
  checks: limit ? ownLimit({ atMost: 2 }, 'idle') : [],
});

/** Two containers: in one a client asks, in the other something slow happens. With plyd one engine serves both. */
async function pair(place: Place, lower: string): Promise<[string, string]> {
  if ((place.system !== 'dev' && place.system !== 'uring') || !Plyd.exists(place)) {
    if (place.system === 'dev' || place.system === 'uring') place.remark('plyfs without plyd: the two containers have an engine each');
    const spec = { lowers: [lower], bare: { tree: lower, copy: true } };
    return [(await place.mount(spec)).point, (await place.mount(spec)).point];
  }
  const plyd = await Plyd.start(place);
  await plyd.image('big', [lower]);
  const points: string[] = [];
  for (const name of ['quiet', 'busy']) {
    await plyd.create('big', name, `transport=${place.system}`);
    points.push(await plyd.startContainer(name));
  }
  return [points[0], points[1]];
}

async function latency(place: Place, file: string, during?: Running, seconds = 3): Promise<number> {
  if (during === undefined) return (await place.client.call<{ p99: number }>(['latency', file, seconds])).p99;
  const asking = place.client.start(['latency', file, 1200], { limitMs: 1_260_000 });
  await during.output.finally(() => asking.signal('SIGTERM'));
  return (JSON.parse(await asking.output) as { p99: number }).p99;
}

/** Nothing slow in the loop. */
export const neighbours = row({
  name: 'neighbours',
  title: 'p99 of GETATTR while another container copies up 10 GiB, or fsyncs in a loop',
  about:
    'uncached GETATTR of one file, one after the other: for 3 s with nothing else happening, while a lower file of 10 GiB is opened for appending in another container, and for 5 s while another container writes 4 KiB and fsyncs in a loop. The copy’s size is verified.',
  dominates:
    'that the engine’s workers never wait for data; then the CPU that the copying takes from them. ov shows what the machine itself does.',
  systems: ['ov', 'fo', 'dev', 'uring'],
  figures: [
    figure('idle', 'p99 of GETATTR, idle', false),
    figure('copying', 'p99 of GETATTR, another copies up', true),
    figure('syncing', 'p99 of GETATTR, another fsyncs', true),
  ],
  limitMs: 1_500_000,
  setup(bench, place) {
    const mib = bench.amount(10_240, 256);
    needRoom(bench.directory, (2 * mib) / 1024);
    const lower = place.path('lower');
    fs.mkdirSync(lower);
    writeBigFile(path.join(lower, 'data'), mib);
    fs.writeFileSync(path.join(lower, 'small'), 'small\n');
    fs.writeFileSync(place.path('list'), 'data\n');
    return Promise.resolve({ lower, list: place.path('list'), bytes: mib * 2 ** 20 });
  },
  prepare: (place, { lower }) => pair(place, lower),
  async measure(place, [quiet, busy], { list, bytes }) {
    const file = path.join(quiet, 'small');
    const idle = await latency(place, file);
    const copying = await latency(place, file, place.client.start(['append', busy, list], { limitMs: 1_200_000 }));
    verify('size of the copy', fs.statSync(path.join(busy, 'data')).size, bytes + 'one more line\n'.length);
    const syncer = place.client.start(['fsync', path.join(busy, 'synced')], { limitMs: 60_000 });
    const syncing = await latency(place, file, undefined, 5);
    syncer.signal('SIGTERM');
    const { count } = JSON.parse(await syncer.output) as { count: number };
    verify('the other one fsynced', count > 0, true);
    return { idle, copying, syncing };
  },
});

import type { MountStats, Stats, Times } from '../../daemon/api/types';
import type { Client } from '../../client/client';
import { setTimeout } from 'node:timers/promises';
import { findMount } from '../find-mount';
import { count, size, shortId, table } from '../format';
import type { Output } from '../output';
import type { Verb } from '../verb';

const CLEAR = '\x1b[H\x1b[2J';
const EVERY_MS = 2000;
/** Operations that are shown. */
const MOST = 12;

export const verb: Verb = {
  usage: ['stats [--watch] [MOUNT]'],
  about:
    'Shows what each mount was asked for since it was made, and how long the engines took; of one mount all that was counted. With --watch again every two seconds; Ctrl-C ends it.',
  words: { min: 0, max: 1, names: 'a mount: its mount point or id' },
  options: { watch: { alias: 'w', type: 'boolean', describe: 'again every two seconds, until Ctrl-C' } },
  examples: [
    ['stats', 'of all mounts'],
    ['stats /mnt', 'of one: its requests by operation, its times by kind of operation'],
    ['stats --watch', 'every two seconds'],
    ['stats --json | jq .mounts[].opens', 'for programs: one object, with --watch one a line'],
  ],
  notes: `HITS are lookups that the node table answered; PASSTHROUGH are opened files that the kernel reads and writes itself.
Times are of one request in 17, without the time for which it waited for a slow job.
/v1/metrics has the same for Prometheus.`,
  async run(args, daemon, output) {
    const wanted = args.words.length === 0 ? undefined : (await findMount(daemon, args.word(0))).id;
    if (!args.flag('watch')) {
      const stats = await collect(daemon, wanted);
      if (output.json) output.value(stats);
      else output.text(shown(stats, wanted !== undefined, output));
      return;
    }
    for (;;) {
      const stats = await collect(daemon, wanted);
      output.line(output.json ? JSON.stringify(stats) : `${output.terminal ? CLEAR : ''}${shown(stats, wanted !== undefined, output)}`);
      await setTimeout(EVERY_MS);
    }
  },
};

/** Of one mount, or of all. */
async function collect(daemon: Client, wanted: string | undefined): Promise<Stats> {
  const stats = await daemon.stats();
  return wanted === undefined ? stats : { ...stats, mounts: stats.mounts.filter(({ id }) => id === wanted), times: [] };
}

function shown(stats: Stats, alone: boolean, output: Output): string {
  if (!alone) return ofAll(stats, output);
  const mount = stats.mounts.at(0);
  return mount === undefined ? 'nothing is counted of it: it is not mounted, or its engine does not answer\n' : ofOne(mount, output);
}

const MOUNT = ['MOUNT', 'REQUESTS', 'LOOKUPS', 'HITS', 'OPENS', 'PASSTHROUGH', 'COPIED UP', 'MOUNTPOINT'];
const TIMES = ['TIMED', 'MEAN', 'HALF WITHIN', '99% WITHIN'];

function ofOne(mount: MountStats, { paint }: Output): string {
  const operations = Object.entries(mount.operations).sort(([, a], [, b]) => b - a);
  const counts = operations.map(([operation, requests]) => [operation, String(requests)]);
  const kinds = oftenFirst(mount.times).map((one) => [one.kind, ...timesRow(one)]);
  return [
    table(MOUNT, [mountRow(mount)], paint),
    ...(kinds.length > 0 ? [table(['KIND', ...TIMES], kinds, paint)] : []),
    table(['OPERATION', 'REQUESTS'], counts, paint),
  ].join('\n');
}

function ofAll({ engines, engineDeaths, mounts, times }: Stats, { paint }: Output): string {
  const silent = engines.filter(({ answers }) => !answers).map(({ pid }) => `engine ${pid} does not answer: its mounts are missing here\n`);
  const deaths = engineDeaths > 0 ? `${count(engineDeaths, 'engine')} died since plyd was started\n` : '';
  const operations = oftenFirst(times).slice(0, MOST);
  const rows = operations.map((one) => [one.operation, ...timesRow(one)]);
  return (
    table(MOUNT, mounts.map(mountRow), paint) +
    (rows.length > 0 ? `\n${table(['OPERATION', ...TIMES], rows, paint)}` : '') +
    silent.join('') +
    deaths
  );
}

function mountRow({ id, mountpoint, operations, opens, lookups, copiedUp }: MountStats): string[] {
  const requests = Object.values(operations).reduce((sum, count) => sum + count, 0);
  const opened = opens.passthrough + opens.served;
  const copied = copiedUp.files === 0 ? '' : `${size(copiedUp.bytes)} (${copiedUp.files})`;
  return [
    shortId(id),
    String(requests),
    String(lookups.all),
    share(lookups.hits, lookups.all),
    String(opened),
    share(opens.passthrough, opened),
    copied,
    mountpoint,
  ];
}

function share(part: number, all: number): string {
  return all === 0 ? '' : `${Math.round((part / all) * 100)}%`;
}

const timed = ({ buckets }: Times): number => buckets.reduce((sum, count) => sum + count, 0);

function oftenFirst<T extends Times>(times: readonly T[]): T[] {
  return [...times].sort((a, b) => timed(b) - timed(a));
}

function timesRow(times: Times): string[] {
  const all = timed(times);
  return [String(all), `${((times.sumMs * 1000) / all).toFixed(1)}µs`, within(times, 0.5), within(times, 0.99)];
}

/** The end of the bucket in which that share of the requests is reached. */
function within(times: Times, part: number): string {
  const wanted = timed(times) * part;
  let sum = 0;
  const at = times.buckets.findIndex((count) => (sum += count) >= wanted);
  const us = 2 ** at;
  return us < 1000 ? `${us}µs` : us < 1e6 ? `${Math.round(us / 1000)}ms` : `${Math.round(us / 1e6)}s`;
}

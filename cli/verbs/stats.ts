import type { MountStats, OperationTimes, Stats } from '../../daemon/api/types';
import { setTimeout } from 'node:timers/promises';
import { count, size, shortId, table } from '../format';
import type { Output } from '../output';
import type { Verb } from '../verb';

const CLEAR = '\x1b[H\x1b[2J';
const EVERY_MS = 2000;
/** Operations that are shown. */
const MOST = 12;

export const verb: Verb = {
  usage: ['stats [--watch]'],
  about:
    'Shows what each mount was asked for since it was made, and how long the engines took. With --watch again every two seconds; Ctrl-C ends it.',
  words: { min: 0, max: 0, names: '' },
  options: { watch: { alias: 'w', type: 'boolean', describe: 'again every two seconds, until Ctrl-C' } },
  examples: [
    ['stats', 'of all mounts'],
    ['stats --watch', 'every two seconds'],
    ['stats --json | jq .mounts[].opens', 'for programs: one object, with --watch one a line'],
  ],
  notes: `HITS are lookups that the node table answered; PASSTHROUGH are opened files that the kernel reads and writes itself.
Times are of one request in 17, without the time for which it waited for a slow job.
/v1/metrics has the same for Prometheus.`,
  async run(args, daemon, output) {
    if (!args.flag('watch')) {
      const stats = await daemon.stats();
      if (output.json) output.value(stats);
      else output.text(shown(stats, output));
      return;
    }
    for (;;) {
      const stats = await daemon.stats();
      output.line(output.json ? JSON.stringify(stats) : `${output.terminal ? CLEAR : ''}${shown(stats, output)}`);
      await setTimeout(EVERY_MS);
    }
  },
};

function shown({ engines, engineDeaths, mounts, times }: Stats, { paint }: Output): string {
  const silent = engines.filter(({ answers }) => !answers).map(({ pid }) => `engine ${pid} does not answer: its mounts are missing here\n`);
  const deaths = engineDeaths > 0 ? `${count(engineDeaths, 'engine')} died since plyd was started\n` : '';
  const head = ['MOUNT', 'REQUESTS', 'LOOKUPS', 'HITS', 'OPENS', 'PASSTHROUGH', 'COPIED UP', 'MOUNTPOINT'];
  const slow = ['OPERATION', 'TIMED', 'MEAN', 'HALF WITHIN', '99% WITHIN'];
  return (
    table(head, mounts.map(mountRow), paint) +
    (times.length > 0 ? `\n${table(slow, mostOften(times).map(timesRow), paint)}` : '') +
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

const timed = ({ buckets }: OperationTimes): number => buckets.reduce((sum, count) => sum + count, 0);

function mostOften(times: readonly OperationTimes[]): OperationTimes[] {
  return [...times].sort((a, b) => timed(b) - timed(a)).slice(0, MOST);
}

function timesRow(times: OperationTimes): string[] {
  const all = timed(times);
  return [times.operation, String(all), `${((times.sumMs * 1000) / all).toFixed(1)}µs`, within(times, 0.5), within(times, 0.99)];
}

/** The end of the bucket in which that share of the requests is reached. */
function within(times: OperationTimes, part: number): string {
  const wanted = timed(times) * part;
  let sum = 0;
  const at = times.buckets.findIndex((count) => (sum += count) >= wanted);
  const us = 2 ** at;
  return us < 1000 ? `${us}µs` : us < 1e6 ? `${Math.round(us / 1000)}ms` : `${Math.round(us / 1e6)}s`;
}

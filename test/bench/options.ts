/** The command line of the benchmark. */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { SYSTEMS, type System } from './contract.js';

export const HELP = `Usage: node dist/test/bench/main.js [OPTIONS]          (make bench RUNS=… ROW=… SCALE=… SYSTEMS=… PLYFS=… PLYD=… ALONE=1 DIR=… OUT=… DOCS=1)

Compares plyfs (dev, uring) with the kernel's overlayfs (ov), fuse-overlayfs (fo) and the bare directory (bare). docs/performance.md explains.

  --runs N          measurements of each (5)
  --row A,B         these rows only; list: name them. Rows that are measured on request only have to be named.
  --scale F         trees and files of F times the issue's size (1)
  --systems A,B     of ${SYSTEMS.join(', ')}
  --plyfs FILE      the plyfs to measure (dist/bin/plyfs)
  --plyd FILE       the plyd to measure (dist/bin/plyd)
  --alone           plyfs without a plyd: each mount with an engine that has just been started
  --dir DIR         where trees are kept and mounts made: ext4, 30 GiB free (/var/tmp/plyfs-bench)
  --out DIR         where results.json and report.html go (dist/bench)
  --docs            write the results into docs/performance.md too
  --from A,B        measure nothing: report on these results.json; a row is as in the last that has it
`;

export interface Options {
  help: boolean;
  runs: number;
  rows: string[] | undefined;
  scale: number;
  systems: readonly System[];
  plyfs: string;
  plyd: string;
  alone: boolean;
  directory: string;
  out: string;
  docs: boolean;
  from: string[] | undefined;
}

export class UsageError extends Error {}

export const repository = path.resolve(__dirname, '../../..');

const VALUES = { type: 'string' } as const;

export function readOptions(args: readonly string[]): Options {
  const { values } = parse(args);
  const list = (text: string | undefined): string[] | undefined => text?.split(',').filter((word) => word !== '');
  const systems = list(values.systems) ?? [...SYSTEMS];
  const unknown = systems.find((system) => !SYSTEMS.some((one) => one === system));
  if (unknown !== undefined) throw new UsageError(`there is no system ${unknown}: there are ${SYSTEMS.join(', ')}`);
  return {
    help: values.help ?? false,
    runs: number('--runs', values.runs ?? '5', Number.isInteger),
    rows: list(values.row),
    scale: number('--scale', values.scale ?? '1', (scale) => scale <= 10),
    systems: SYSTEMS.filter((system) => systems.includes(system)),
    plyfs: path.resolve(values.plyfs ?? path.join(repository, 'dist/bin/plyfs')),
    plyd: path.resolve(values.plyd ?? path.join(repository, 'dist/bin/plyd')),
    alone: values.alone ?? false,
    directory: path.resolve(values.dir ?? '/var/tmp/plyfs-bench'),
    out: path.resolve(values.out ?? path.join(repository, 'dist/bench')),
    docs: values.docs ?? false,
    from: list(values.from),
  };
}

function number(name: string, text: string, good: (value: number) => boolean): number {
  const value = Number(text);
  if (!(value > 0) || !good(value)) throw new UsageError(`${name} cannot be ${text}`);
  return value;
}

function parse(args: readonly string[]): ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>> {
  try {
    return parseArgs({ args: [...args], options: OPTIONS });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

const OPTIONS = {
  help: { type: 'boolean' },
  runs: VALUES,
  row: VALUES,
  scale: VALUES,
  systems: VALUES,
  plyfs: VALUES,
  plyd: VALUES,
  alone: { type: 'boolean' },
  dir: VALUES,
  out: VALUES,
  docs: { type: 'boolean' },
  from: VALUES,
} as const;

/**
 * What a row of the benchmark is. Rows are in rows/, one module each; run.ts runs them, report-*.ts show what came out.
 *
 * A row measures the same work on several systems, in turns: for each round, for each system, prepare, measure, cleanup, each with a place of its own
 * (bench.ts) that unmounts and removes all that was made in it. Only what `measure` returns is a result.
 */
import type { Bench, Place } from './bench.js';

/**
 * bare: no overlay, the merged tree as it lies on disk; ov: kernel overlayfs; fo: fuse-overlayfs; dev and uring: plyfs by its transport; in rows that only
 * read, fuse-native: plyfs's driver, and in those that only look at names and attributes, floor: a server over io_uring that has nothing to do (floor.c).
 */
export const SYSTEMS = ['bare', 'ov', 'fo', 'dev', 'uring', 'fuse-native', 'floor'] as const;
export type System = (typeof SYSTEMS)[number];

export type Unit = 's' | 'ms' | 'µs' | 'MiB/s' | 'kIOPS' | 'MiB' | '×';

/** A median of a figure of the row that the check belongs to; without `figure`, of the figure that has the check. */
export interface Term {
  system: System;
  figure?: string;
}

/** A limit on a median, or on one median over another. */
export interface Check {
  /** the column, or undefined for a limit that compares plyfs with itself or with a number */
  column?: Column;
  value: Term;
  over?: Term;
  atMost?: number;
  atLeast?: number;
}

export const COLUMNS = ['dev / ov', 'uring / ov', 'fo / dev', 'fo / uring'] as const;
export type Column = (typeof COLUMNS)[number];

export interface Figure {
  key: string;
  title: string;
  unit: Unit;
  better: 'less' | 'more';
  checks: readonly Check[];
}

/** By figure. */
export type Values = Readonly<Record<string, number>>;

/** `Shared` is what setup made for all measurements, `Prepared` what prepare made for one. */
export interface Row<Shared = unknown, Prepared = unknown> {
  /** for ROW= */
  readonly name: string;
  /** the words */
  readonly title: string;
  /** what is done and timed, for docs/performance.md */
  readonly about: string;
  /** what takes the time, for docs/performance.md */
  readonly dominates: string;
  readonly systems: readonly System[];
  readonly figures: readonly Figure[];
  /** only when it is named in ROW= */
  readonly onRequest?: boolean;
  /** at most so many rounds, whatever RUNS= says */
  readonly mostRuns?: number;
  /** of one prepare or measure; the default is LIMIT_MS */
  readonly limitMs?: number;
  /** Once: trees (cached) and what else all measurements share. Throws Unavailable where the row cannot run here. */
  setup(bench: Bench, place: Place): Promise<Shared>;
  /** Not timed: directories, the mount, and bringing caches into the state that the row is about. Throws Unavailable for one system. */
  prepare(place: Place, shared: Shared): Promise<Prepared>;
  /** Does the work, verifies what it did, and says how long it took. */
  measure(place: Place, prepared: Prepared, shared: Shared): Promise<Values>;
  /** What unmounting and removing the place does not take away. */
  cleanup?(place: Place, prepared: Prepared): Promise<void>;
}

/** Infers the types that the parts of a row hand to each other. */
export function row<Shared, Prepared>(definition: Row<Shared, Prepared>): Row {
  return definition;
}

export const LIMIT_MS = 300_000;

/** A row, or a row on one system, cannot be measured here; the message is the reason. */
export class Unavailable extends Error {}

/** The result of the work is not what it has to be: its time says nothing. */
export class WrongResult extends Error {}

export function verify(what: string, found: unknown, expected: unknown): void {
  if (found !== expected) throw new WrongResult(`${what}: ${String(found)}, not ${String(expected)}`);
}

/** What the issue demands, as its table has it: times over times, so that less is better in the first two and more in the last two. */
export interface Required {
  devOv?: number;
  uringOv?: number;
  foDev?: number;
  foUring?: number;
}

const over = (column: Column, value: System, base: System): Check => ({ column, value: { system: value }, over: { system: base } });

/** Limits for a figure in which less is better. */
export function times(required: Required): Check[] {
  const { devOv, uringOv, foDev, foUring } = required;
  return [
    { ...over('dev / ov', 'dev', 'ov'), ...(devOv !== undefined && { atMost: devOv }) },
    { ...over('uring / ov', 'uring', 'ov'), ...(uringOv !== undefined && { atMost: uringOv }) },
    { ...over('fo / dev', 'fo', 'dev'), ...(foDev !== undefined && { atLeast: foDev }) },
    { ...over('fo / uring', 'fo', 'uring'), ...(foUring !== undefined && { atLeast: foUring }) },
  ];
}

/**
 * Limits for a throughput: the first two columns are throughput over throughput, the last two how many times as long fuse-overlayfs needs,
 * that is our throughput over its.
 */
export function rates(required: Required): Check[] {
  const { devOv, uringOv, foDev, foUring } = required;
  return [
    { ...over('dev / ov', 'dev', 'ov'), ...(devOv !== undefined && { atLeast: devOv }) },
    { ...over('uring / ov', 'uring', 'ov'), ...(uringOv !== undefined && { atLeast: uringOv }) },
    { ...over('fo / dev', 'dev', 'fo'), ...(foDev !== undefined && { atLeast: foDev }) },
    { ...over('fo / uring', 'uring', 'fo'), ...(foUring !== undefined && { atLeast: foUring }) },
  ];
}

/** The same limit for plyfs over either transport. */
export function ownLimit(limit: Pick<Check, 'atMost' | 'atLeast'>, overFigure?: string): Check[] {
  return (['dev', 'uring'] as const).map((system) => ({
    value: { system },
    ...(overFigure !== undefined && { over: { system, figure: overFigure } }),
    ...limit,
  }));
}

export function seconds(key: string, title: string, required: Required = {}, ...more: Check[]): Figure {
  return { key, title, unit: 's', better: 'less', checks: [...times(required), ...more] };
}

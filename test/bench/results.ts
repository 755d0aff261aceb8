/** What a run found, as it is written to JSON, and what it means for the issue's limits. */
import type { Check, Column, Figure, System, Term, Unit } from './contract.js';
import type { Noise } from './noise.js';
import type { Summary } from './statistics.js';

export type Verdict = 'met' | 'missed' | 'report' | 'not measured';

export interface CheckResult extends Check {
  measured?: number;
  verdict: Verdict;
}

export interface FigureResult {
  key: string;
  title: string;
  unit: Unit;
  better: 'less' | 'more';
  systems: Partial<Record<System, Summary>>;
  checks: CheckResult[];
}

/** Processor seconds during `measure`, medians: of the servers, and of the whole machine. */
export interface Processor {
  serverUser: number;
  serverSystem: number;
  busy: number;
}

export interface Note {
  system?: System;
  /** it should have run, and did not, or its result was wrong */
  failed: boolean;
  text: string;
}

export interface RowResult {
  name: string;
  title: string;
  figures: FigureResult[];
  processor: Partial<Record<System, Processor>>;
  notes: Note[];
  /** how something was measured, where that depends on what is there */
  remarks: string[];
  noise: Noise;
  seconds: number;
}

export interface Report {
  started: string;
  seconds: number;
  /** name: value, to be shown */
  machine: Record<string, string>;
  runs: number;
  scale: number;
  /** why the uring column is empty */
  noUring?: string;
  noFuseNative?: string;
  interrupted: boolean;
  rows: RowResult[];
}

/** What a results.json says; undefined if the text is none. */
export function reportOf(text: string): Report | undefined {
  let report: Partial<Report> | null;
  try {
    report = JSON.parse(text) as Partial<Report> | null;
  } catch {
    return undefined;
  }
  const isOne = Array.isArray(report?.rows) && typeof report.machine === 'object' && typeof report.runs === 'number';
  return isOne ? (report as Report) : undefined;
}

/**
 * One report of several runs: a row is as in the last that has it. What holds for the least of them is said of all; where their machines or builds are not the
 * same, all are named.
 */
export function merged(reports: readonly Report[], order: readonly string[]): Report {
  const rows = new Map(reports.flatMap((report) => report.rows).map((row) => [row.name, row]));
  const { started } = reports[0];
  const about = (key: string): string => [...new Set(reports.map(({ machine }) => machine[key] ?? 'unknown'))].join(' and ');
  const machine = Object.fromEntries(reports.flatMap((report) => Object.keys(report.machine)).map((key) => [key, about(key)]));
  const [noUring, noFuseNative] = (['noUring', 'noFuseNative'] as const).map((key) => reports.find((one) => one[key] !== undefined)?.[key]);
  return {
    started,
    seconds: reports.reduce((sum, { seconds }) => sum + seconds, 0),
    machine,
    runs: Math.min(...reports.map(({ runs }) => runs)),
    scale: Math.min(...reports.map(({ scale }) => scale)),
    ...(noUring !== undefined && { noUring }),
    ...(noFuseNative !== undefined && { noFuseNative }),
    interrupted: reports.some(({ interrupted }) => interrupted),
    rows: order.flatMap((name) => rows.get(name) ?? []),
  };
}

type Medians = (term: Term) => number | undefined;

function verdict(check: Check, measured: number | undefined): Verdict {
  if (check.atMost === undefined && check.atLeast === undefined) return measured === undefined ? 'not measured' : 'report';
  if (measured === undefined || Number.isNaN(measured)) return 'not measured';
  return measured <= (check.atMost ?? Infinity) && measured >= (check.atLeast ?? -Infinity) ? 'met' : 'missed';
}

function evaluate(check: Check, medians: Medians): CheckResult {
  const value = medians(check.value);
  const base = check.over === undefined ? 1 : medians(check.over);
  const measured = value === undefined || base === undefined ? undefined : value / base;
  return { ...check, ...(measured !== undefined && { measured }), verdict: verdict(check, measured) };
}

/** `found` has the summaries by figure and system. */
export function evaluateRow(
  figures: readonly Figure[],
  found: Readonly<Record<string, Partial<Record<System, Summary>> | undefined>>,
): FigureResult[] {
  return figures.map(({ key, title, unit, better, checks }) => {
    const medians: Medians = ({ system, figure = key }) => found[figure]?.[system]?.median;
    return { key, title, unit, better, systems: found[key] ?? {}, checks: checks.map((check) => evaluate(check, medians)) };
  });
}

export function inColumn(figure: FigureResult, column: Column): CheckResult | undefined {
  return figure.checks.find((check) => check.column === column);
}

/** Limits that are in none of the issue's four columns of ratios. */
export function ownChecks(figure: FigureResult): CheckResult[] {
  return figure.checks.filter((check) => check.column === undefined);
}

export interface Tally {
  met: number;
  missed: number;
  unmeasured: number;
}

export function tally(report: Report): Tally {
  const all = report.rows.flatMap(({ figures }) => figures.flatMap(({ checks }) => checks));
  const count = (wanted: Verdict): number => all.filter((check) => isLimit(check) && check.verdict === wanted).length;
  return { met: count('met'), missed: count('missed'), unmeasured: count('not measured') };
}

export function isLimit({ atMost, atLeast }: Check): boolean {
  return atMost !== undefined || atLeast !== undefined;
}

/** About three digits that mean something. */
export function digits(value: number): string {
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  if (size >= 1) return value.toFixed(2);
  return size >= 0.1 || size === 0 ? value.toFixed(3) : value.toPrecision(2);
}

/** "≤ 2.9", with the unit where it is no ratio. */
export function limitText(check: Check, unit: Unit): string {
  const number = check.atMost ?? check.atLeast;
  if (number === undefined) return '';
  return `${check.atMost !== undefined ? '≤' : '≥'} ${number}${check.over === undefined && unit !== '×' ? ` ${unit}` : ''}`;
}

/** "dev ≤ 6 ms", "dev / dev (1 lower) ≤ 1.2" */
export function ownCheckText(check: CheckResult, figure: FigureResult, row: RowResult): string {
  const titleOf = (term: Term): string => row.figures.find(({ key }) => key === term.figure)?.title ?? term.figure ?? '';
  const base =
    check.over === undefined ? '' : ` over ${check.over.system}${check.over.figure === undefined ? '' : ` “${titleOf(check.over)}”`}`;
  const measured = check.measured === undefined ? 'not measured' : digits(check.measured);
  return `${check.value.system}${base} ${limitText(check, figure.unit)}: ${measured}`;
}

/** Runs cases on a target: every case's operations in one helper process, then the tree, a remount, the tree again. */
import { HelperError, type Outcome, Syscalls } from '../support/syscalls.js';
import type { Lower, Mounted, Target } from '../support/targets.js';
import { type Manifest, difference, manifest } from '../support/trees.js';
import type { Prepared } from './model.js';
import { type Fact, Normaliser } from './normalise.js';
import type { Stack } from './stack.js';

/** What a run over all cases saw. */
export interface Run {
  target: string;
  /** by case id */
  facts: Map<string, Fact[]>;
  /** the merged tree at the end, with the mount still up */
  tree: Manifest;
  /** what was another tree after the remount: in memory, and not in the upper */
  lost: string[];
  /** why it ended before its time: the file system did not answer, or was gone; then only some cases have facts */
  stopped?: string;
}

class Stopped extends Error {}

const CASE_LIMIT_MS = 20_000;

interface Settings {
  lowers: readonly Lower[];
  readOnly?: boolean;
  /** of overlays: where the upper is made */
  upperIn?: string;
}

/** Brings the target up, runs, hands the unmounted directories to `afterwards`, takes all down. */
export async function runOn(
  target: Target,
  cases: readonly Prepared[],
  stack: Stack,
  settings: Settings,
  afterwards?: (mounted: Mounted, run: Run) => Promise<void>,
): Promise<Run> {
  const readOnly = settings.readOnly ?? false;
  const lowers = target.name === 'host' ? [stack.host] : settings.lowers;
  const { upperIn } = settings;
  const own = { upper: stack.upper, ...(upperIn !== undefined ? { upperIn } : {}) };
  const mounted = await target.setup(lowers, { readOnly, ...(readOnly || target.name === 'host' ? {} : own) });
  try {
    const run = await runCases(mounted, target.name, cases);
    if (run.stopped === undefined) await afterwards?.(mounted, run);
    return run;
  } finally {
    await mounted.teardown();
  }
}

async function runCases(mounted: Mounted, target: string, cases: readonly Prepared[]): Promise<Run> {
  const run: Run = { target, facts: new Map(), lost: [], tree: new Map() };
  try {
    await observe(mounted, cases, run);
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    run.stopped = error.message;
  }
  return run;
}

async function observe(mounted: Mounted, cases: readonly Prepared[], run: Run): Promise<void> {
  const normalisers = new Map(cases.map((one) => [one.id, new Normaliser(one.one.see ?? [], one.one.staying)]));
  for (const one of cases) run.facts.set(one.id, await runCase(mounted, one, one.steps, normalisers.get(one.id)!));
  const before = await manifest(mounted.mountpoint);
  await mounted.remount();
  run.lost = difference(before, await manifest(mounted.mountpoint), { names: ['before the remount', 'after it'] });
  for (const one of cases.filter(({ again }) => again.length > 0)) {
    const normaliser = normalisers.get(one.id)!;
    normaliser.afterRemount();
    run.facts.get(one.id)!.push(...(await runCase(mounted, one, one.again, normaliser)));
  }
  run.tree = await manifest(mounted.mountpoint);
}

async function runCase(
  mounted: Mounted,
  { id, subject, one }: Prepared,
  steps: readonly string[],
  normaliser: Normaliser,
): Promise<Fact[]> {
  const helper = Syscalls.start(`${mounted.mountpoint}/${id}`, { timeoutMs: CASE_LIMIT_MS, onHang: () => mounted.tearAway() });
  let outcomes: Outcome[];
  try {
    outcomes = await helper.run(steps);
  } catch (error) {
    if (!(error instanceof HelperError)) throw error;
    throw new Stopped(`${subject}: ${one.name} (step ${error.outcomes.length + 1}): ${error.message}`);
  } finally {
    await helper.end();
  }
  return normaliser.facts(steps, outcomes);
}

/**
 * The conformance suite over one depth of lowers. The host file system says what is right; the kernel's overlayfs and plyfs are compared
 * with it, and deviations.ts lists what may differ.
 *
 *   make build && scripts/run-tests dist/test/conformance/lowers-1.test.js
 *   PLYFS_CONFORMANCE_TARGETS=plyfs-one-worker     these only (the host always runs); fuse-overlayfs is reported, never failed
 *   PLYFS_CONFORMANCE_CASES='^rename: .*EXCHANGE'  cases whose "subject: name" matches
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { type Tree, build } from '../support/layers.js';
import { leftBehind, removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { type Mounted, target } from '../support/targets.js';
import { type Manifest, difference, manifest } from '../support/trees.js';
import { type Difference, differences, known, show, unused } from './compare.js';
import type { Prepared } from './model.js';
import { type Run, runOn } from './run.js';
import { type Stack, compose, fits } from './stack.js';

export interface Suite {
  cases: readonly Prepared[];
  /** how many lowers */
  lowers: number;
  readOnly?: boolean;
  /** without it all of them, but for imported layers */
  targets?: readonly string[];
  /** the lowers as imported layers too */
  imported?: boolean;
  /** deviations that did not show fail */
  complete?: boolean;
}

const PLYFS = ['plyfs', 'plyfs-one-worker', 'plyfs-served', 'plyfs-shared'];
/** Its lowers are no directories, and origins in its upper lead to rows: the kernel cannot mount that upper, nor it the kernel's. */
const IMPORTED = 'plyfs-imported';
const asked = process.env['PLYFS_CONFORMANCE_TARGETS']?.split(',').filter((name) => name !== 'host' && name !== '');
const selective = process.env['PLYFS_CONFORMANCE_CASES'] !== undefined;

const title = ({ subject, one }: Prepared): string => `${subject}: ${one.name}`;

class Runner {
  private readonly base = temporaryDirectory();
  private lowers: string[] = [];
  private readonly stack: Stack;
  private readonly cases: readonly Prepared[];
  private host: Run | undefined;
  private kernel: Run | undefined;
  /** what of the kernel's upper is another tree under plyfs */
  private fromKernel: string[] = [];

  constructor(private readonly suite: Suite) {
    this.cases = suite.cases.filter((one) => fits(one, suite.lowers));
    this.stack = compose(this.cases, suite.lowers);
  }

  /** Runs on the two that say what is right. With `reader`, the upper that the kernel wrote is then mounted by it. */
  async prepare(reader: string | undefined): Promise<void> {
    this.lowers = this.stack.lowers.map((_, index) => path.join(this.base, String(index)));
    for (const [index, tree] of this.stack.lowers.entries()) await make(this.lowers[index], tree);
    this.host = await this.run('host');
    this.kernel = await this.run('kernel-overlay', async (mounted, { tree }) => {
      if (reader === undefined || this.suite.readOnly) return;
      await mounted.unmount();
      this.fromKernel = await this.mountOver(reader, mounted).then(
        (seen) => this.compareTrees(tree, seen),
        (error: unknown) => [String(error)],
      );
    });
  }

  unanswered(): string[] {
    return [this.host?.stopped, this.kernel?.stopped].filter((reason) => reason !== undefined);
  }

  run(name: string, afterwards?: (mounted: Mounted, run: Run) => Promise<void>): Promise<Run> {
    const cases = name === 'kernel-overlay' ? this.cases.filter(({ one }) => one.notKernel === undefined) : this.cases;
    return runOn(target(name), cases, this.stack, { lowers: this.lowers, readOnly: this.suite.readOnly ?? false }, afterwards);
  }

  private found(run: Run, one: Prepared): Difference[] {
    return differences(this.host?.facts.get(one.id) ?? [], run.facts.get(one.id) ?? []);
  }

  /** The kernel: what differs is listed. */
  checkKernel(t: Test): void {
    const run = this.kernel!;
    for (const one of this.cases.filter(({ id }) => run.facts.has(id))) {
      const unknown = this.found(run, one).filter((difference) => !known('kernel', title(one), difference));
      report(t, title(one), unknown.map(show));
    }
    report(t, 'every case was answered', run.stopped === undefined ? [] : [run.stopped]);
    report(t, 'the tree is the same after a remount', run.lost);
    if (this.suite.complete && !selective)
      report(
        t,
        'every listed deviation of the kernel shows',
        unused('kernel').map((one) => `${String(one.cases)}: ${one.why}`),
      );
  }

  /** plyfs: the host's outcome, or the kernel's where a deviation allows it, or what plyfs has decided. */
  async checkPlyfs(t: Test, name: string): Promise<void> {
    const run = await this.run(name, name === IMPORTED ? undefined : (mounted, ran) => this.checkExchange(t, mounted, ran));
    for (const one of this.cases.filter(({ id }) => run.facts.has(id))) {
      const kernel = new Map((this.kernel?.facts.get(one.id) ?? []).map((fact) => [`${fact.step} → ${fact.field}`, fact.value]));
      const wrong = this.found(run, one).filter((difference) => {
        const like = kernel.get(difference.fact) === difference.got && known('kernel', title(one), difference)?.plyfsMay;
        if (name === IMPORTED && known('imported', title(one), difference)) return false;
        return !like && !known('plyfs', title(one), difference);
      });
      report(t, title(one), wrong.map(show));
    }
    report(t, 'every case was answered', run.stopped === undefined ? [] : [run.stopped]);
    report(t, 'the tree is the same after a remount', run.lost);
  }

  /** The upper that plyfs wrote is the same tree under the kernel's overlayfs. */
  private async checkExchange(t: Test, mounted: Mounted, run: Run): Promise<void> {
    if (this.suite.readOnly) return;
    await mounted.unmount();
    const seen = await this.mountOver('kernel-overlay', mounted);
    report(t, 'the upper written by plyfs is the same tree under the kernel', this.compareTrees(run.tree, seen));
  }

  checkExchangeFromKernel(t: Test): void {
    report(t, 'the upper written by the kernel is the same tree under plyfs', this.fromKernel);
  }

  private async mountOver(name: string, { upper, work }: Mounted): Promise<Manifest> {
    const other = await target(name).setup(this.lowers, { upper: { upper, work } });
    try {
      return await manifest(other.mountpoint);
    } finally {
      await other.teardown();
    }
  }

  private compareTrees(one: Manifest, other: Manifest): string[] {
    const ids = this.cases.filter((it) => it.one.notKernel !== undefined).map(({ id }) => id);
    const ignorePath = new RegExp(`^(${ids.join('|') || '\\0'})(/|$)`);
    return difference(one, other, { ignorePath, names: ['before', 'now'], limit: 40 });
  }

  /** For a target of which nothing is expected. */
  async show(t: Test, name: string): Promise<void> {
    const run = await this.run(name);
    for (const one of this.cases) {
      const found = this.found(run, one);
      if (found.length > 0) t.comment(`${title(one)}\n${found.map(show).join('\n')}`);
    }
    t.pass(`${name} was compared`);
  }

  remove(): Promise<void> {
    return removeDirectory(this.base);
  }
}

/** An assertion: nothing was found. The findings are all that is worth printing of a failure. */
function report(t: Test, name: string, found: readonly string[]): void {
  if (found.length === 0) t.pass(name);
  else t.fail(name, { found, at: null, stack: '' });
}

async function make(directory: string, tree: Tree): Promise<void> {
  fs.mkdirSync(directory);
  await build(directory, tree);
}

/** The subtests of a test file. */
export function conformance(t: Pick<Test, 'test'>, suite: Suite): void {
  const wanted = asked ?? suite.targets ?? ['kernel-overlay', ...PLYFS, ...(suite.imported ? [IMPORTED] : [])];
  const first = wanted.find((name) => PLYFS.includes(name));
  const runner = new Runner(suite);
  t.test('the host says what is right', async (t) => {
    await runner.prepare(first);
    t.ok(suite.cases.length > 0, `${suite.cases.length} cases`);
    report(t, 'and answered every case', runner.unanswered());
  });
  for (const name of wanted) {
    if (name === 'kernel-overlay')
      t.test(name, (t) => {
        runner.checkKernel(t);
        t.end();
      });
    else if (name === IMPORTED || PLYFS.includes(name)) t.test(name, (t) => runner.checkPlyfs(t, name));
    else t.test(name, (t) => runner.show(t, name));
  }
  if (first !== undefined && suite.readOnly !== true) {
    t.test('an upper of the kernel', (t) => {
      runner.checkExchangeFromKernel(t);
      t.end();
    });
  }
  t.test('nothing is left behind', async (t) => {
    await runner.remove();
    t.same(await leftBehind(), []);
  });
}

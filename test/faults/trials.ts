/**
 * One operation, again and again on copies of the same small tree, each time with another of the engine's system calls failing: the tree is
 * then as after the operation (and the caller got no error), or as before it (and the caller got the very errno). Either way the operation
 * can be done again without a fault, and what is there after a remount is what was there before it.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { normalTime } from '../conformance/normalise.js';
import { type Entry, type Tree, mtimeOf, under } from '../support/layers.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { Faults } from '../support/faults.js';
import { script } from '../support/script.js';
import { type Outcome, Syscalls } from '../support/syscalls.js';
import { type Mounted, target } from '../support/targets.js';
import { type Manifest, difference, toManifest } from '../support/trees.js';

export interface Trial {
  name: string;
  lower: Tree;
  upper?: Tree;
  /** without faults, before the operation; in the notation of support/script.ts */
  before?: string;
  /** the one operation */
  step: string;
  /** what must hold of descriptors that are open, whatever the operation came to: each `ok` */
  after?: string;
  /** it may be done in part, as on any file system: then only the errno counts, and that it can be done again */
  partial?: boolean;
}

/** Every path has the same times in every copy, the directories that are only implied too. */
function fixed(tree: Tree): Tree {
  const all: Tree = { '.': { type: 'd', mtime: '1300000000.5' } };
  for (const [name, entry] of Object.entries(tree)) {
    const parts = name.split('/');
    for (let depth = 1; depth < parts.length; depth++) {
      const parent = parts.slice(0, depth).join('/');
      all[parent] ??= { type: 'd', mtime: mtimeOf(parent) };
    }
    const full: Entry = typeof entry === 'string' ? { type: 'f', data: entry } : entry;
    all[name] = full.type === 'h' ? full : { ...full, mtime: full.mtime ?? mtimeOf(name) };
  }
  return all;
}

/** A trial with as many copies of its tree as are needed. */
interface Part {
  trial: Trial;
  id: string;
  copies: number;
}

/** What a trial does without faults. */
interface Expected {
  before: Manifest;
  after: Manifest;
  /** the calls that the operation takes */
  calls: string[];
  /** why it cannot be tried */
  broken?: string;
}

const merged = (parts: readonly Part[], treeOf: (trial: Trial) => Tree): Tree => {
  const all: Tree = {};
  for (const { trial, id, copies } of parts)
    for (let copy = 0; copy < copies; copy++) Object.assign(all, under(`${id}c${copy}`, fixed(treeOf(trial))));
  return all;
};

/** One mount with all copies of some trials, whose engine takes faults. */
class Bench {
  private helper: Syscalls | undefined;

  private constructor(
    private readonly mounted: Mounted,
    private readonly faults: Faults,
    private readonly base: string,
  ) {}

  static async open(parts: readonly Part[], options: readonly string[]): Promise<Bench> {
    const base = temporaryDirectory();
    const faults = new Faults(path.join(base, 'control'));
    try {
      const mounted = await target('plyfs-one-worker').setup([merged(parts, ({ lower }) => lower)], {
        upper: merged(parts, ({ upper }) => upper ?? {}),
        mountOptions: options,
        env: faults.env,
      });
      return new Bench(mounted, faults, base);
    } catch (error) {
      faults.close();
      await removeDirectory(base);
      throw error;
    }
  }

  /** Takes all down. What is left in the work directory. */
  async close(): Promise<string[]> {
    await this.helper?.end();
    await this.mounted.unmount();
    const left = fs.readdirSync(path.join(this.mounted.work, 'work')).map((name) => `work/work/${name} is left`);
    await this.mounted.teardown();
    this.faults.close();
    await removeDirectory(this.base);
    return left;
  }

  private run(text: string): Promise<Outcome[]> {
    return this.helper!.run(script(text));
  }

  /** A new process in the copy: it has no descriptor. */
  async enter(id: string, copy: number): Promise<void> {
    await this.helper?.end();
    this.helper = Syscalls.start(this.mounted.mountpoint, { timeoutMs: 30_000, onHang: () => this.mounted.tearAway() });
    await this.run(`chdir ${id}c${copy}`);
  }

  async manifest(): Promise<Manifest> {
    const [outcome] = await this.run('manifest .');
    const all = toManifest(outcome.rows);
    for (const fields of all.values()) if (fields.mtime !== undefined) fields.mtime = normalTime(fields.mtime);
    return all;
  }

  async remount(): Promise<void> {
    await this.helper?.end();
    this.helper = undefined;
    await this.mounted.remount();
  }

  /** What comes before the operation; what of it failed. */
  before(trial: Trial): Promise<string[]> {
    return this.all(trial.before, 'before');
  }

  /** What must hold after it; what does not. */
  after(trial: Trial): Promise<string[]> {
    return this.all(trial.after, 'after');
  }

  private async all(text: string | undefined, when: string): Promise<string[]> {
    const outcomes = await this.run(text ?? '');
    return outcomes.flatMap(({ error }, index) => (error === 'ok' ? [] : [`${when}, step ${index + 1}: ${error}`]));
  }

  async step(trial: Trial, at: number, errno: number): Promise<{ error: string; calls: string[]; failed: number }> {
    this.faults.arm({ at, errno });
    const [{ error }] = await this.run(trial.step);
    return { error, ...this.faults.disarm() };
  }
}

/** Copy 0 shows the tree before the operation, copy 1 after it. */
async function expectations(parts: readonly Part[], options: readonly string[]): Promise<Map<string, Expected>> {
  const bench = await Bench.open(
    parts.map((part) => ({ ...part, copies: 2 })),
    options,
  );
  const all = new Map<string, Expected>();
  try {
    for (const { trial, id } of parts) {
      await bench.enter(id, 0);
      await bench.before(trial);
      const before = await bench.manifest();
      await bench.enter(id, 1);
      const unready = await bench.before(trial);
      const { error, calls } = await bench.step(trial, -1, 0);
      const failed = [...unready, ...(await bench.after(trial)), ...(error === 'ok' ? [] : [error])];
      all.set(id, { before, after: await bench.manifest(), calls, ...(failed.length > 0 ? { broken: failed.join() } : {}) });
    }
  } finally {
    await bench.close();
  }
  return all;
}

export interface Tried {
  /** faults */
  count: number;
  /** one line for each thing that is not as it must be */
  found: string[];
}

/** Every call of every operation fails once with every errno. By the trials' names; '' is about all. */
export async function tryAll(
  trials: readonly Trial[],
  errnos: readonly (keyof typeof os.constants.errno)[],
  options: readonly string[] = [],
): Promise<Map<string, Tried>> {
  const parts = trials.map((trial, index): Part => ({ trial, id: `t${index}`, copies: 0 }));
  const expected = await expectations(parts, options);
  for (const part of parts) part.copies = expected.get(part.id)!.calls.length * errnos.length;
  const results = new Map<string, Tried>(trials.map(({ name }) => [name, { count: 0, found: [] }]));
  const again: (() => Promise<void>)[] = [];
  const bench = await Bench.open(parts, options);
  try {
    for (const { trial, id } of parts) {
      const expect = expected.get(id)!;
      const result = results.get(trial.name)!;
      if (expect.broken !== undefined) result.found.push(`without faults: ${expect.broken}`);
      const tries = expect.calls.flatMap((call, at) => errnos.map((errno) => ({ call, at, errno })));
      for (const [copy, { at, errno, call }] of tries.entries()) {
        const what = `call ${at} (${call}) fails with ${errno}`;
        const ended = await one(bench, trial, expect, id, copy, at, errno, result);
        again.push(async () => {
          await bench.enter(id, copy);
          for (const line of differ(ended, await bench.manifest())) result.found.push(`${what}; after a remount ${line}`);
        });
      }
    }
    await bench.remount();
    for (const look of again) await look();
  } finally {
    results.set('', { count: again.length, found: await bench.close() });
  }
  return results;
}

async function one(
  bench: Bench,
  trial: Trial,
  expect: Expected,
  id: string,
  copy: number,
  at: number,
  errno: keyof typeof os.constants.errno,
  result: Tried,
): Promise<Manifest> {
  await bench.enter(id, copy);
  const unready = await bench.before(trial);
  const { error, calls, failed } = await bench.step(trial, at, os.constants.errno[errno]);
  const say = (what: string): void =>
    void result.found.push(`call ${at} (${calls[at]}) fails with ${errno}, the caller gets ${error}: ${what}`);
  unready.forEach(say);
  result.count++;
  const seen = await bench.manifest();
  // times that could not be put back after a copy-up: there is nothing left to undo
  const lenient = calls[at] === 'utimensat' ? withoutTimes : (from: Manifest): Manifest => from;
  if (error === 'ok') differ(lenient(expect.after), lenient(seen)).forEach(say);
  else {
    if (failed === 0 || error !== errno) say('not the errno');
    if (trial.partial !== true) differ(withoutTimes(expect.before), withoutTimes(seen)).forEach(say);
    const again = await bench.step(trial, -1, 0);
    if (again.error !== 'ok') say(`done again: ${again.error}`);
    else differ(expect.after, await bench.manifest()).forEach((line) => say(`done again: ${line}`));
  }
  (await bench.after(trial)).forEach(say);
  return bench.manifest();
}

/** An operation that failed may have touched its directory: what was made there was taken away again. */
function withoutTimes(from: Manifest): Manifest {
  return new Map(
    [...from].map(([name, fields]) => {
      const { mtime: _, ...rest } = fields;
      return [name, fields.type === 'd' ? rest : fields];
    }),
  );
}

function differ(expected: Manifest, seen: Manifest): string[] {
  return difference(expected, seen, { names: ['the tree as it must be', 'the tree'] });
}

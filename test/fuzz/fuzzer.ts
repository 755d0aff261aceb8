/** Makes cases from seeds, plays them in batches, and says what differed. */
import fs from 'node:fs';
import path from 'node:path';
import { type Case, format, parse, parseLine, REMOUNT } from './case';
import { type Difference, compare } from './compare';
import { randomOperations } from './operations';
import { Random } from './random';
import { mergedOf, play, type Results, type RunOptions } from './run';
import { Shrinker } from './shrink';
import { randomLayers, randomNames } from './trees';

export interface FuzzOptions {
  seeds: number;
  seed: number;
  /** operations per case, without the looking */
  ops: number;
  targets: readonly string[];
  plyfsOptions?: readonly string[];
  /** batches at a time */
  jobs: number;
  /** cases in one mount */
  batch: number;
  /** findings to stop after */
  most: number;
  /** directory for what was found */
  out: string;
  cross: boolean;
  keep: boolean;
  shrink: boolean;
  /** the overlay that writes the topmost layer of each case; '': none */
  before: string;
  /** bugs that are known to be open are findings too */
  every: boolean;
  say: (text: string) => void;
}

const OPERATIONS_BEFORE = 40;

/**
 * The case of a seed. With `by`, that overlay has written the topmost layer; then no hard links, for the index that joins them is lost when
 * an upper becomes a lower, and no char 0/0 of its own, for which plyfs writes what only the upper's reader knows.
 */
export function makeCase(seed: number, ops: number, by = ''): Case {
  const random = new Random(seed, 20);
  const names = randomNames(random);
  const elf = random.chance(15);
  const one: Case = { seed, layers: randomLayers(random, names, elf, by === ''), before: [], by, lines: [] };
  const { '.': _, ...merged } = mergedOf(one);
  if (by !== '') {
    const lines = randomOperations(random, names, merged, elf, OPERATIONS_BEFORE);
    one.before = lines.filter((line) => !/^(remount|stat|list)|^link|flags=WHITEOUT/.test(line));
  }
  one.lines = randomOperations(random, names, merged, elf, ops);
  return one;
}

export class Fuzzer {
  private found = 0;
  private played = 0;
  private lines = 0;
  private readonly deviated = new Map<string, number>();

  constructor(private readonly options: FuzzOptions) {}

  private get runOptions(): RunOptions {
    const { targets, plyfsOptions = [], keep, cross, every } = this.options;
    const onComplaint = (line: string): void => {
      this.found++;
      this.options.say(`plyfs logged an error: ${line}\n`);
    };
    return { targets, plyfsOptions, keep, cross, every, onComplaint };
  }

  /** True when nothing differed. */
  async run(): Promise<boolean> {
    const { seeds, seed, batch, jobs, most } = this.options;
    const start = Date.now();
    let next = seed;
    const worker = async (): Promise<void> => {
      while (next < seed + seeds && this.found < most) {
        const from = next;
        next = Math.min(next + batch, seed + seeds);
        await this.batch(Array.from({ length: next - from }, (_, i) => makeCase(from + i, this.options.ops, this.options.before)));
      }
    };
    await Promise.all(Array.from({ length: jobs }, worker));
    this.summary((Date.now() - start) / 1000);
    return this.found === 0;
  }

  private summary(seconds: number): void {
    const { say } = this.options;
    const known = [...this.deviated].sort(([, a], [, b]) => b - a);
    for (const [name, times] of known) say(`known: ${name} (${times} times)\n`);
    const speed = `${(this.played / seconds).toFixed(1)} cases and ${Math.round(this.lines / seconds)} lines per second`;
    say(`${this.played} cases, ${this.found} with a difference, in ${seconds.toFixed(1)} s: ${speed}\n`);
  }

  private async batch(cases: Case[]): Promise<void> {
    const results = await play(cases, this.runOptions);
    const again: Case[] = [];
    for (const [index, one] of cases.entries()) {
      // A target that died took the rest of the batch with it.
      if (diedBefore(results, index)) again.push(one);
      else await this.judge(one, results[index]);
    }
    if (again.length > 0 && this.found < this.options.most) await this.batch(again);
  }

  private async judge(one: Case, results: Results[number]): Promise<void> {
    this.played++;
    this.lines += one.lines.length;
    const { differences, deviated } = compare(one, results, this.options.every);
    for (const name of deviated) this.deviated.set(name, (this.deviated.get(name) ?? 0) + 1);
    for (const difference of differences) {
      if (this.found++ >= this.options.most) return;
      const deadly = results.get(difference.target)?.failure !== undefined;
      await this.report(one, difference, deadly);
    }
  }

  private async report(one: Case, difference: Difference, deadly: boolean): Promise<void> {
    const { say, out, shrink } = this.options;
    say(`\nseed ${one.seed}: ${headline(difference)}\n`);
    const options = {
      ...this.runOptions,
      keep: false,
      targets: ['plain', ...new Set([difference.target, ...this.others(difference)])],
      timeoutMs: 10_000,
      onComplaint: () => undefined, // has been told
    };
    const shrunk = shrink ? await new Shrinker(one, difference, options, deadly).shrink() : undefined;
    if (shrink && shrunk === undefined) say('it does not happen again when the case is played alone\n');
    const small = shrunk ?? { one, difference };
    const text = `# seed ${one.seed}: ${headline(small.difference).replaceAll('\n', '\n# ')}\n${format(small.one)}`;
    const file = path.join(out, `fuzz-${one.seed}-${difference.target}.case`);
    fs.writeFileSync(file, text);
    say(`${text}# replay: npm run fuzz:fs -- --replay ${file}\n`);
  }

  /** To compare what one overlay wrote the other is needed too. */
  private others(difference: Difference): readonly string[] {
    return difference.line.startsWith('the tree as the other') ? this.options.targets.filter((name) => name !== 'plain') : [];
  }

  /** Cases from files, all in one mount. */
  async replay(files: readonly string[], verbose: boolean): Promise<boolean> {
    const all = files.map((file) => ({ file, one: parse(fs.readFileSync(file, 'utf8')) }));
    let same = true;
    for (const by of new Set(all.map(({ one }) => one.by))) {
      const some = all.filter(({ one }) => one.by === by);
      const results = await play(
        some.map(({ one }) => one),
        this.runOptions,
      );
      for (const [index, { file, one }] of some.entries()) {
        if (verbose) this.options.say(transcript(one, results[index]));
        same = this.replayed(file, one, results[index]) && same;
      }
    }
    return same;
  }

  private replayed(file: string, one: Case, results: Results[number]): boolean {
    const { say, every } = this.options;
    const { differences, deviated } = compare(one, results, every);
    for (const name of deviated) say(`${file}: known: ${name}\n`);
    for (const difference of differences) say(`${file}: ${headline(difference)}\n`);
    if (differences.length === 0) say(`${file}: no difference\n`);
    return differences.length === 0;
  }
}

function diedBefore(results: Results, index: number): boolean {
  return [...results[index]].some(([target, played]) => {
    return played.failure !== undefined && results.slice(0, index).some((earlier) => earlier.get(target)?.failure !== undefined);
  });
}

function headline(difference: Difference): string {
  return [
    `${difference.target} differs at line ${difference.at + 1}: ${difference.line}`,
    ...difference.what.map((text) => `  ${text}`),
  ].join('\n');
}

/** Every answer of every target. */
function transcript(one: Case, results: Results[number]): string {
  const out: string[] = [];
  one.lines.forEach((line, at) => {
    out.push(line === REMOUNT ? REMOUNT : `${at + 1} ${line}`);
    for (const [target, { outcomes }] of results) {
      const outcome = outcomes.at(at);
      if (outcome === undefined || parseLine(line).verb === REMOUNT) continue;
      const fields = Object.entries(outcome.fields).map(([key, value]) => ` ${key}=${value}`);
      out.push(
        `    ${target}: ${outcome.error}${fields.join('')}${outcome.rows.map((row) => ` | ${Object.values(row).join(' ')}`).join('')}`,
      );
    }
  });
  for (const [target, { manifest, failure }] of results) {
    out.push(`${target}: ${failure ?? ''}`);
    for (const [file, fields] of manifest ?? [])
      out.push(
        `    ${file} ${Object.entries(fields)
          .map(([key, value]) => `${key}=${value}`)
          .join(' ')}`,
      );
  }
  return out.join('\n') + '\n';
}

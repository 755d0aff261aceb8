/**
 * Makes a failing case small: fewer lines, fewer files, fewer attributes, as long as the same thing goes wrong. Candidates are played many at a
 * time, as cases are.
 */
import type { Entry, Tree } from '../support/layers.js';
import { type Case, parseLine } from './case';
import { type Difference, compare } from './compare';
import { play, type RunOptions } from './run';

/** What a difference says, without what may change when the case gets smaller: errors and yes or no stay, of a value that it is there. */
function essence(text: string): string {
  const [field, values = ''] = text.split(': ');
  const gist = (value: string): string => (/^(now|ok|yes|no|-|E[A-Z0-9]+|missing|same|another|)$/.test(value) ? value : 'value');
  return `${field} ${values.split(' ≠ ').map(gist).join(' ')}`;
}

/** Does the same go wrong: on the same target, with the same kind of line, in one of the same fields? */
function same(wanted: Difference, found: Difference): boolean {
  const gists = wanted.what.map(essence);
  return (
    found.target === wanted.target &&
    parseLine(found.line).verb === parseLine(wanted.line).verb &&
    found.what.some((text) => gists.includes(essence(text)))
  );
}

const MOST_ROUNDS = 80;
const MOST_AT_ONCE = 40;

export class Shrinker {
  private rounds = 0;

  constructor(
    private best: Case,
    private difference: Difference,
    private readonly options: RunOptions,
    /** the target hung or died: only one candidate at a time can be played */
    private readonly deadly: boolean,
  ) {}

  /** The smallest case found; undefined when the case alone does not fail again. */
  async shrink(): Promise<{ one: Case; difference: Difference } | undefined> {
    const { at } = this.difference;
    const [again] = await this.offer([{ ...this.best, lines: this.best.lines.slice(0, at + 1) }]);
    if (!again && !(await this.offer([this.best]))[0]) return undefined;
    for (let before = ''; before !== this.size() && this.rounds < MOST_ROUNDS;) {
      before = this.size();
      await this.fewer('lines');
      await this.fewer('before');
      await this.remove((one) => one.layers.length, withoutLayer);
      await this.remove((one) => entriesOf(one).length, withoutEntry);
      await this.remove((one) => attributesOf(one).length, withoutAttribute);
      await this.remove((one) => argumentsOf(one).length, withoutArgument);
    }
    return { one: this.best, difference: this.difference };
  }

  private size(): string {
    return `${this.best.lines.concat(this.best.before).join('\n').length} ${JSON.stringify(this.best.layers).length}`;
  }

  /** Plays candidates; takes the first that still fails. Which of them failed. */
  private async offer(candidates: readonly Case[]): Promise<boolean[]> {
    const failed: boolean[] = [];
    const atOnce = this.deadly ? 1 : MOST_AT_ONCE;
    for (let from = 0; from < candidates.length && this.rounds < MOST_ROUNDS; from += atOnce) {
      this.rounds++;
      const some = candidates.slice(from, from + atOnce);
      const results = await play(some, this.options);
      some.forEach((one, i) => {
        const found = compare(one, results[i], this.options.every).differences.find((difference) => same(this.difference, difference));
        failed.push(found !== undefined);
        if (found === undefined || failed.filter(Boolean).length > 1) return;
        this.best = one;
        this.difference = found;
      });
      if (this.deadly && failed.includes(true)) break;
    }
    return failed;
  }

  /** Without halves, quarters, … single lines. */
  private async fewer(key: 'lines' | 'before'): Promise<void> {
    for (let chunk = Math.ceil(this.best[key].length / 2); chunk >= 1; chunk = chunk === 1 ? 0 : Math.ceil(chunk / 2)) {
      await this.remove(
        (one) => Math.ceil(one[key].length / chunk),
        (one, at) => ({ ...one, [key]: [...one[key].slice(0, at * chunk), ...one[key].slice((at + 1) * chunk)] }),
      );
    }
  }

  /** Tries to do without each of some parts, and then without all at once of those that are not needed one by one. */
  private async remove(count: (one: Case) => number, without: (one: Case, at: number) => Case | undefined): Promise<void> {
    for (;;) {
      const from = this.best;
      const parts = Array.from({ length: count(from) }, (_, at) => at);
      const candidates = parts.flatMap((at) => {
        const candidate = without(from, at);
        return candidate === undefined ? [] : [{ at, candidate }];
      });
      if (candidates.length === 0) return;
      const failed = await this.offer(candidates.map(({ candidate }) => candidate));
      const unneeded = candidates.filter((_, i) => failed[i]).map(({ at }) => at);
      if (unneeded.length === 0) return;
      if (unneeded.length === 1) continue;
      // From the last on, so that the numbers of the others stay right.
      const all = unneeded.reverse().reduce<Case | undefined>((one, at) => one && without(one, at), from);
      if (all !== undefined) await this.offer([all]);
      if (this.rounds >= MOST_ROUNDS) return;
    }
  }
}

// ---- parts of a case -----------------------------------------------------------------------------------------------------------------

function withoutLayer(one: Case, at: number): Case | undefined {
  return one.layers.length === 1 ? undefined : { ...one, layers: one.layers.filter((_, i) => i !== at) };
}

function entriesOf(one: Case): [layer: number, path: string][] {
  return one.layers.flatMap((layer, at) => Object.keys(layer).flatMap((path): [number, string][] => (path === '.' ? [] : [[at, path]])));
}

function withLayer(one: Case, at: number, layer: Tree): Case {
  return { ...one, layers: one.layers.map((other, i) => (i === at ? layer : other)) };
}

/** Without an entry, what is below it, and what is linked to any of these. */
function withoutEntry(one: Case, at: number): Case | undefined {
  const found = entriesOf(one)[at] as [number, string] | undefined;
  if (found === undefined) return undefined;
  const [number, path] = found;
  const inside = (other: string): boolean => other === path || other.startsWith(`${path}/`);
  const kept = Object.entries(one.layers[number]).filter(([other, entry]) => !inside(other) && !inside((entry as Entry).first ?? '/'));
  return withLayer(one, number, Object.fromEntries(kept));
}

/** Without a time of its own a file's time would depend on the place of its case. */
const SOME_TIME = '1000000000.000000005';

const OPTIONAL = ['uid', 'gid', 'mtime', 'xattrs', 'mode', 'segments', 'size'] as const;

function attributesOf(one: Case): [layer: number, path: string, key: (typeof OPTIONAL)[number]][] {
  return one.layers.flatMap((layer, at) =>
    Object.entries(layer).flatMap(([path, entry]) => {
      const device = (entry as Entry).dev === '0:0'; // a whiteout is one by its mode and number
      return OPTIONAL.flatMap((key): [number, string, (typeof OPTIONAL)[number]][] =>
        (entry as Entry)[key] === undefined || (entry as Entry)[key] === SOME_TIME || device ? [] : [[at, path, key]],
      );
    }),
  );
}

function withoutAttribute(one: Case, at: number): Case | undefined {
  const found = attributesOf(one)[at] as ReturnType<typeof attributesOf>[number] | undefined;
  if (found === undefined) return undefined;
  const [number, path, key] = found;
  const { [key]: _, ...others } = one.layers[number][path] as Entry;
  const rest = key === 'mtime' ? { ...others, mtime: SOME_TIME } : others;
  return withLayer(one, number, { ...one.layers[number], [path]: rest });
}

/** Arguments that a line can be without. */
const DISPENSABLE = /^(uid|gid|groups|umask|mode|flags|off|tooff|follow|owner|group|atime|ino)=/;

function argumentsOf(one: Case): [line: number, word: string, instead: string][] {
  return one.lines.flatMap((line, at) =>
    line.split(' ').flatMap((word, i): [number, string, string][] => {
      if (i === 0 || !DISPENSABLE.test(word)) return [];
      if (word.startsWith('mode=') && line.startsWith('mknod')) return [];
      if (/^(owner|group)=/.test(word) && !(line.includes(' owner=') && line.includes(' group='))) return [];
      if (!word.startsWith('flags=') || !word.includes('|')) return word.includes('O_NONBLOCK') ? [] : [[at, word, '']];
      const flags = word.slice(6).split('|');
      return flags
        .filter((flag) => flag !== 'O_NONBLOCK')
        .map((flag) => [at, word, `flags=${flags.filter((other) => other !== flag).join('|')}`]);
    }),
  );
}

function withoutArgument(one: Case, at: number): Case | undefined {
  const found = argumentsOf(one)[at] as ReturnType<typeof argumentsOf>[number] | undefined;
  if (found === undefined) return undefined;
  const [number, word, instead] = found;
  const words = one.lines[number].split(' ').flatMap((other) => (other === word ? (instead === '' ? [] : [instead]) : [other]));
  return { ...one, lines: one.lines.map((line, i) => (i === number ? words.join(' ') : line)) };
}

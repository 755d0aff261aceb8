/**
 * What must be equal. The plain directory is the measure; of an overlay's answer everything is compared that does not have to differ:
 *
 * - Times: one that an operation or the tree set (before 2020) exactly; of one that a clock set, that a clock set it.
 * - Between two looks at the same name or descriptor: that mtime moved, or did not; that ctime moved if it moved on the plain directory (a
 *   copy-up moves it where nothing else does); that it is still the same inode number if it is still the same file.
 * - Sizes and link counts of directories mean nothing. An entry's inode number is the file's.
 */
import type { Fields, Outcome } from '../support/syscalls.js';
import type { Manifest } from '../support/trees.js';
import { type Case, type Line, parseLine, REMOUNT } from './case';
import { deviations } from './deviations';
import type { Played, Results } from './run';

/** An outcome as it is compared. Keys that end in "?" hold a yes or no, and only a plain yes binds the others. */
export type Canonical = Record<string, string>;

export interface Difference {
  target: string;
  /** index of the line, or the number of lines: the tree at the end */
  at: number;
  line: string;
  /** one line each: "field plain ≠ other" */
  what: string[];
}

/** What a deviation is judged by. */
export interface Context {
  target: string;
  one: Case;
  at: number;
  line: Line;
  keys: string[];
  plain: Canonical;
  other: Canonical;
  /** flags with which descriptor `fd` (by default the line's own) was opened, as in O_RDWR|O_CREAT; '' when it was not */
  openedWith: (fd?: string) => string;
}

// ---- times -----------------------------------------------------------------------------------------------------------------------------

const CLOCK_FROM = 1_577_836_800; // 2020-01-01: nothing sets a later time, and no clock shows an earlier one

export function canonicalTime(time: string): string {
  return Number(time.split('.')[0]) >= CLOCK_FROM ? 'now' : time;
}

// ---- outcomes --------------------------------------------------------------------------------------------------------------------------

/** Follows one case on one target. */
class Follower {
  private readonly seen = new Map<string, Fields>();
  private dev: string | undefined;

  canonical(line: Line, outcome: Outcome): Canonical {
    const { error, fields, rows } = outcome;
    const result: Canonical = { error };
    if (line.verb === REMOUNT) this.dev = undefined;
    if (line.verb === 'stat' && error === 'ok') this.stat(line, fields, result);
    else if (line.verb === 'list') {
      result.entries = rows.map((row) => `${row.name}:${row.type}`).join(' ');
      result.wrongNumbers = rows.flatMap((row) => (row.st !== undefined && row.st !== row.ino ? [row.name] : [])).join(' ');
    } else if (rows.length > 0) result.rows = rows.map((row) => Object.values(row).join(':')).join(' ');
    if (line.verb !== 'stat') Object.assign(result, fields);
    return result;
  }

  private stat(line: Line, fields: Fields, result: Canonical): void {
    const { type, mode, uid, gid, rdev, size, nlink, mtime, dev } = fields;
    Object.assign(result, { type, mode, uid, gid, rdev, mtime: canonicalTime(mtime) });
    if (type === 'f' || type === 'l') result.size = size;
    if (type !== 'd') result.nlink = nlink;
    result.device = dev === (this.dev ??= dev) ? 'same' : 'another';
    const key = `${line.args.fd ?? ''} ${line.args.at ?? ''} ${line.args.path ?? ''} ${line.args.follow ?? ''}`;
    const before = this.seen.get(key);
    this.seen.set(key, fields);
    if (before === undefined) return;
    result.mtimeMoved = before.mtime === mtime ? 'no' : 'yes';
    result['ctimeMoved?'] = before.ctime === fields.ctime ? 'no' : 'yes';
    // A number may be used again for another file: a plain directory's birth time tells.
    result['sameFile?'] = before.ino === fields.ino && before.btime === fields.btime ? 'yes' : 'no';
    result['sameNumber?'] = before.ino === fields.ino ? 'yes' : 'no';
  }
}

/** The keys in which `other` is not what `plain` asks for. */
function differing(plain: Canonical, other: Canonical): string[] {
  const keys = new Set([...Object.keys(plain), ...Object.keys(other)]);
  const found: string[] = [];
  // Two files may have the same time by chance.
  if (plain['sameFile?'] !== 'yes') for (const key of ['mtimeMoved', 'ctimeMoved?']) keys.delete(key);
  for (const key of keys) {
    if (key === 'sameFile?') {
      if (plain[key] === 'yes' && other['sameNumber?'] === 'no') found.push('sameFile?');
    } else if (key === 'sameNumber?') continue;
    else if (key.endsWith('?')) {
      if (plain[key] === 'yes' && other[key] === 'no') found.push(key);
    } else if (plain[key] !== other[key]) found.push(key);
  }
  return found;
}

function describe(keys: readonly string[], plain: Canonical, other: Canonical): string[] {
  const shorten = (value: string | undefined): string =>
    value === undefined ? '-' : value.length > 300 ? `${value.slice(0, 300)}…` : value;
  return keys.map((key) => `${key}: ${shorten(plain[key])} ≠ ${shorten(key === 'sameFile?' ? other['sameNumber?'] : other[key])}`);
}

// ---- trees -----------------------------------------------------------------------------------------------------------------------------

/** How exactly trees are compared: two file systems; two looks at one; two overlays over the same directories, each with its own numbers. */
type Exactness = 'alike' | 'exact' | 'but numbers';

/** A file's row as it is compared. */
function row(fields: Fields | undefined, exactness: Exactness): Canonical {
  if (fields === undefined) return { error: 'missing' };
  if (exactness === 'exact') return fields;
  const { ino: _, mtime, ...rest } = fields;
  if (mtime === undefined) return rest;
  return { ...rest, mtime: exactness === 'alike' ? canonicalTime(mtime) : mtime };
}

/** Paths whose rows differ, each with what differs. */
function treeDifferences(
  plain: Manifest,
  other: Manifest,
  exact: Exactness,
): { path: string; keys: string[]; plain: Canonical; other: Canonical }[] {
  return [...new Set([...plain.keys(), ...other.keys()])].flatMap((path) => {
    const [a, b] = [row(plain.get(path), exact), row(other.get(path), exact)];
    const keys = differing(a, b);
    return keys.length === 0 ? [] : [{ path, keys, plain: a, other: b }];
  });
}

// ---- a case ------------------------------------------------------------------------------------------------------------------------------

export interface Verdict {
  differences: Difference[];
  /** names of the deviations that were met */
  deviated: string[];
}

class Judge {
  readonly verdict: Verdict = { differences: [], deviated: [] };
  private readonly lines: Line[];

  constructor(
    private readonly one: Case,
    private readonly plain: Played,
    /** open bugs count as differences */
    private readonly every: boolean,
  ) {
    this.lines = one.lines.map(parseLine);
  }

  judge(target: string, played: Played): void {
    if (this.tree(target, 'the tree at the start', this.plain.start, played.start, 'alike')) return;
    const ended =
      this.outcomes(target, played) ||
      this.failure(target, played) ||
      this.tree(target, 'the tree', this.plain.manifest, played.manifest, 'alike');
    if (ended) return;
    if (this.tree(target, 'the tree after a remount', played.manifest, played.again, 'exact')) return;
    this.tree(target, 'the tree as the other overlay shows it', played.manifest, played.crossed, 'but numbers');
  }

  /** True when nothing more can be compared. */
  private outcomes(target: string, played: Played): boolean {
    const [plain, other] = [new Follower(), new Follower()];
    const count = Math.min(this.plain.outcomes.length, played.outcomes.length);
    for (let at = 0; at < count; at++) {
      const line = this.lines[at];
      const a = plain.canonical(line, this.plain.outcomes[at]);
      const b = other.canonical(line, played.outcomes[at]);
      const keys = differing(a, b);
      if (keys.length > 0 && this.differ(target, at, line, keys, a, b, this.one.lines[at])) return true;
    }
    return false;
  }

  private failure(target: string, played: Played): boolean {
    const failure = this.plain.failure ?? played.failure;
    if (failure === undefined) return false;
    const at = played.outcomes.length;
    this.verdict.differences.push({ target, at, line: this.one.lines[at] ?? 'the tree', what: [failure] });
    return true;
  }

  private tree(target: string, name: string, plain: Manifest | undefined, other: Manifest | undefined, exact: Exactness): boolean {
    if (plain === undefined || other === undefined) return false;
    for (const found of treeDifferences(plain, other, exact)) {
      const line: Line = { verb: name, args: { path: found.path } };
      if (this.differ(target, this.lines.length, line, found.keys, found.plain, found.other, `${name}: ${found.path}`)) return true;
    }
    return false;
  }

  /** Notes a difference, or the deviation that explains it. True when the trees are no longer the same. */
  private differ(target: string, at: number, line: Line, keys: string[], plain: Canonical, other: Canonical, text: string): boolean {
    const context: Context = {
      target,
      one: this.one,
      at,
      line,
      keys,
      plain,
      other,
      openedWith: (fd = line.args.fd) => this.openedWith(at, fd),
    };
    const known = deviations.find((one) => !(this.every && one.open) && one.targets.test(target) && one.applies(context));
    if (known !== undefined) {
      this.verdict.deviated.push(known.name);
      return known.parts;
    }
    this.verdict.differences.push({ target, at, line: text, what: describe(keys, plain, other) });
    return true;
  }

  private openedWith(at: number, fd: string | undefined): string {
    if (fd === undefined) return '';
    const opening = this.lines.slice(0, at).findLast((line) => line.verb === 'open' && line.args.fd === fd);
    return opening?.args.flags ?? '';
  }
}

/** Compares every target of one case with the plain directory. */
export function compare(one: Case, results: Results[number], every = false): Verdict {
  const plain = results.get('plain');
  if (plain === undefined) throw new Error('the plain directory is what the others are compared with: it must be a target');
  const judge = new Judge(one, plain, every);
  for (const [target, played] of results) if (target !== 'plain') judge.judge(target, played);
  return judge.verdict;
}

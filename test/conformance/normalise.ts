/**
 * Outcomes reduced to what two file systems must agree on: a list of `step → field = value` that can be compared as it is.
 * Inode numbers become #1, #2 in the order they are first seen; times near now become "now".
 */
import type { Fields, Outcome } from '../support/syscalls.js';

/** One observation: what `step` gave for `field`. */
export interface Fact {
  step: string;
  field: string;
  value: string;
}

const STAT_ALWAYS = ['type', 'mode', 'uid', 'gid', 'mtime'];

/** Numbers that mean something only by being equal or not. */
class Numbering {
  private readonly seen = new Map<string, string>();

  of(value: string | undefined): string {
    if (value === undefined) return '-';
    const known = this.seen.get(value) ?? `#${this.seen.size + 1}`;
    this.seen.set(value, known);
    return known;
  }
}

const HOUR = 3600;

export function normalTime(value: string | undefined): string {
  return value !== undefined && Math.abs(parseInt(value, 10) - Date.now() / 1000) < HOUR ? 'now' : (value ?? '-');
}

/** The state of one case on one target; `afterRemount` keeps the inode numbers and forgets the device. */
export class Normaliser {
  private readonly inodes = new Numbering();
  private devices = new Numbering();
  private readonly changes = new Numbering();
  /** names that each descriptor's getdents gave: in which pieces and order is the file system's own affair */
  private readonly read = new Map<string, string[]>();

  constructor(
    private readonly see: readonly string[],
    /** of what getdents gave, only names that are in every listing */
    private readonly staying = false,
  ) {}

  afterRemount(): void {
    this.devices = new Numbering();
  }

  facts(steps: readonly string[], outcomes: readonly Outcome[]): Fact[] {
    const facts = outcomes.flatMap((outcome, index) => {
      const step = steps[index] ?? '?';
      const values = { error: outcome.error, ...this.fields(step, outcome) };
      return Object.entries(values).map(([field, value]) => ({ step: `${index + 1}: ${step}`, field, value }));
    });
    for (const [fd, names] of this.read) {
      const counted = this.staying ? names.filter((name) => this.stays(name, outcomes, steps)) : names;
      facts.push({ step: `all getdents of ${fd}`, field: 'names', value: counted.sort().join(' ') });
    }
    this.read.clear();
    return facts;
  }

  private stays(name: string, outcomes: readonly Outcome[], steps: readonly string[]): boolean {
    const listings = outcomes.filter((_, index) => steps[index]?.startsWith('list '));
    return listings.every(({ rows }) => rows.some((row) => row.name === name));
  }

  private fields(step: string, outcome: Outcome): Fields {
    const verb = step.split(' ', 1)[0];
    switch (verb) {
      case 'stat':
        return outcome.error === 'ok' ? this.stat(outcome.fields) : {};
      case 'list':
        return { names: outcome.rows.map((row) => this.listed(row)).join(' ') };
      case 'getdents':
        return this.gather(step, outcome);
      case 'statfs':
        return pick(outcome.fields, ['namelen', 'blocks', 'frsize']);
      case 'manifest':
        return tree(outcome.rows);
      default:
        return { ...outcome.fields, ...(outcome.rows.length > 0 ? { rows: outcome.rows.map(format).join('; ') } : {}) };
    }
  }

  private stat(fields: Fields): Fields {
    const wanted = [...STAT_ALWAYS, ...this.see];
    if (fields.type !== 'd') wanted.push('nlink', 'size');
    if (fields.type === 'c' || fields.type === 'b') wanted.push('rdev');
    const holes = Number(fields.blocks) * 512 < Number(fields.size) - 4096 ? 'yes' : 'no';
    const { mtime, atime, ino, dev, ctime } = fields;
    const normal = {
      mtime: normalTime(mtime),
      atime: normalTime(atime),
      ino: this.inodes.of(ino),
      dev: this.devices.of(dev),
      ctime: this.changes.of(ctime),
      holes,
    };
    return pick({ ...fields, ...normal }, wanted);
  }

  private listed(row: Fields): string {
    const agrees = row.ino === undefined ? '' : row.ino === row.st ? ' d_ino=st_ino' : ' d_ino≠st_ino';
    return `${row.name}:${row.type}${agrees}`;
  }

  private gather(step: string, outcome: Outcome): Fields {
    const fd = /fd=(\S+)/.exec(step)?.[1] ?? '?';
    this.read.set(fd, [...(this.read.get(fd) ?? []), ...outcome.rows.map((row) => row.name ?? '')]);
    return {};
  }
}

const format = (fields: Fields): string =>
  Object.entries(fields)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ');

/** One field for each field of each file. */
function tree(rows: readonly Fields[]): Fields {
  const fields: Fields = {};
  for (const { path, ...row } of rows) {
    for (const [key, value] of Object.entries(row)) fields[`${key} of ${path}`] = key === 'mtime' ? normalTime(value) : value;
  }
  return fields;
}

function pick(fields: Fields, keys: readonly string[]): Fields {
  return Object.fromEntries(keys.map((key) => [key, fields[key] ?? '-']));
}

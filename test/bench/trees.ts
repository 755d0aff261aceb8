/**
 * The trees that rows work on: the same bytes on every machine (seeded), made once and kept in the cache. A change here wants a new version in the
 * name that is given to `cached`.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Bench } from './bench.js';
import { command } from './processes.js';

/** Numbers from a seed (mulberry32). */
export class Dice {
  constructor(private state: number) {}

  /** an integer below `limit` */
  below(limit: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * limit);
  }

  bytes(length: number): Buffer {
    const words = new Uint32Array(Math.ceil(length / 4));
    for (let i = 0; i < words.length; i++) words[i] = this.below(4294967296);
    return Buffer.from(words.buffer, 0, length);
  }
}

export interface Counts {
  files: number;
  directories: number;
  bytes: number;
}

/** A list of names, as client.c reads them, and what they come to. */
export interface List {
  file: string;
  count: number;
  bytes: number;
}

export interface BigTree {
  directory: string;
  /** topmost first */
  lowers: string[];
  /** the same tree, as one directory */
  merged: string;
  /** of the merged tree, the root not counted */
  counts: Counts;
  /** of each directory at the top, in order */
  tops: (Counts & { name: string })[];
  existing: List;
  missing: List;
  small: List;
}

const LOWERS = 5;
const [TOPS, MIDDLES, LEAVES] = [20, 25, 25];
const SMALL = 4096;

interface Meta {
  counts: Counts;
  tops: (Counts & { name: string })[];
  lists: Record<'existing' | 'missing' | 'small', { count: number; bytes: number }>;
}

/**
 * 51,000 files in 13,020 directories, three deep. Each of the 12,500 directories at the bottom is in one to three of the five lowers, so most directories
 * are merged; one file in twenty has an older version below it, and one in a hundred lies over a name that a whiteout removed.
 */
class BigTreeMaker {
  private readonly dice = new Dice(5);
  private readonly contents = this.dice.bytes(1 << 20);
  private readonly made = new Set<string>();
  private readonly whiteouts: string[] = [];
  private readonly names: { name: string; size: number }[] = [];
  private readonly middles: string[] = [];
  private readonly tops: (Counts & { name: string })[] = [];

  constructor(
    private readonly directory: string,
    private readonly topCount: number,
  ) {}

  async make(): Promise<void> {
    for (let top = 0; top < this.topCount; top++) this.top(`t${String(top).padStart(2, '0')}`);
    const script = path.join(this.directory, 'whiteouts');
    fs.writeFileSync(script, this.whiteouts.map((name) => `mknod '${name}' c 0 0\n`).join(''));
    await command('sh', ['-e', script], { limitMs: 120_000 });
    fs.rmSync(script);
    this.writeMeta();
  }

  private top(name: string): void {
    this.tops.push({ name, files: 0, directories: 0, bytes: 0 });
    for (let middle = 0; middle < MIDDLES; middle++) {
      const below = `${name}/m${String(middle).padStart(2, '0')}`;
      this.middles.push(below);
      this.fill(below, 2);
      for (let leaf = 0; leaf < LEAVES; leaf++) this.fill(`${below}/leaf${String(leaf).padStart(2, '0')}`, 4);
    }
    this.tops[this.tops.length - 1].directories += MIDDLES * (LEAVES + 1);
  }

  private fill(directory: string, files: number): void {
    const first = this.dice.below(LOWERS);
    const lowers = Array.from({ length: 1 + this.dice.below(3) }, (_, i) => (first + 2 * i) % LOWERS);
    for (let i = 0; i < files; i++) {
      const name = `${directory}/f${String(this.dice.below(100000)).padStart(5, '0')}-${i}.txt`;
      this.visible(lowers[i % lowers.length], name);
    }
  }

  private visible(lower: number, name: string): void {
    const size = this.dice.below(50) === 0 ? 20000 + this.dice.below(40000) : 200 + this.dice.below(SMALL - 200);
    const at = this.dice.below(this.contents.length - size);
    const bytes = this.contents.subarray(at, at + size);
    this.write(`l${lower}`, name, bytes);
    this.write('merged', name, bytes);
    this.names.push({ name, size });
    const top = this.tops[this.tops.length - 1];
    top.files++;
    top.bytes += size;
    if (lower < LOWERS - 1 && this.dice.below(20) === 0) this.write(`l${lower + 1}`, name, bytes.subarray(0, size >> 1));
    if (lower > 0 && this.dice.below(100) === 0) this.whiteout(lower - 1, lower, `${name}.deleted`);
  }

  private whiteout(above: number, below: number, name: string): void {
    this.write(`l${below}`, name, this.contents.subarray(0, 100));
    this.parents(`l${above}/${name}`);
    this.whiteouts.push(path.join(this.directory, `l${above}`, name));
  }

  private write(part: string, name: string, bytes: Buffer): void {
    this.parents(`${part}/${name}`);
    fs.writeFileSync(path.join(this.directory, part, name), bytes);
  }

  private parents(name: string): void {
    const parent = path.dirname(name);
    if (this.made.has(parent)) return;
    fs.mkdirSync(path.join(this.directory, parent), { recursive: true });
    this.made.add(parent);
  }

  /** Every name's turn comes evenly, in the order of the tree. */
  private sample(names: readonly { name: string; size: number }[], most: number): { name: string; size: number }[] {
    const count = Math.min(most, names.length);
    return Array.from({ length: count }, (_, i) => names[Math.floor((i * names.length) / count)]);
  }

  private writeMeta(): void {
    const most = Math.round((20_000 * this.topCount) / TOPS);
    const each = Math.round(most / this.middles.length);
    const missing = this.middles.flatMap((name) => Array.from({ length: each }, (_, i) => ({ name: `${name}/missing-${i}`, size: 0 })));
    const small = this.names.filter(({ size }) => size <= SMALL);
    const meta: Meta = {
      counts: {
        files: this.names.length,
        directories: this.topCount * (1 + MIDDLES * (1 + LEAVES)),
        bytes: this.names.reduce((sum, { size }) => sum + size, 0),
      },
      tops: this.tops,
      lists: {
        existing: this.list('existing', this.sample(this.names, most)),
        missing: this.list('missing', missing),
        small: this.list('small', this.sample(small, most)),
      },
    };
    fs.writeFileSync(path.join(this.directory, 'meta.json'), JSON.stringify(meta));
  }

  private list(kind: string, names: readonly { name: string; size: number }[]): { count: number; bytes: number } {
    fs.writeFileSync(path.join(this.directory, `${kind}.list`), names.map(({ name }) => `${name}\n`).join(''));
    return { count: names.length, bytes: names.reduce((sum, { size }) => sum + size, 0) };
  }
}

export async function bigTree(bench: Bench): Promise<BigTree> {
  const tops = bench.amount(TOPS, 1);
  const directory = await bench.cached(`tree-2-${tops}`, (fresh) => new BigTreeMaker(fresh, tops).make());
  const meta = JSON.parse(fs.readFileSync(path.join(directory, 'meta.json'), 'utf8')) as Meta;
  const list = (kind: keyof Meta['lists']): List => ({ file: path.join(directory, `${kind}.list`), ...meta.lists[kind] });
  return {
    directory,
    lowers: Array.from({ length: LOWERS }, (_, i) => path.join(directory, `l${i}`)),
    merged: path.join(directory, 'merged'),
    counts: meta.counts,
    tops: meta.tops,
    existing: list('existing'),
    missing: list('missing'),
    small: list('small'),
  };
}

/** The counts of the first directories at the top that have at least so many files together (or all of them). */
export function firstTops(tree: BigTree, files: number): Counts & { names: string[] } {
  const sum = { files: 0, directories: 0, bytes: 0, names: [] as string[] };
  for (const top of tree.tops) {
    if (sum.files >= files) break;
    sum.files += top.files;
    sum.directories += top.directories + 1;
    sum.bytes += top.bytes;
    sum.names.push(top.name);
  }
  return sum;
}

/**
 * Brings the lowers' own dentries, inodes and pages into the kernel's caches, and the merged copy's: "cold" is about the mount, not about the disk.
 * The first time in a run reads the disk.
 */
export async function warmLowers(tree: BigTree): Promise<void> {
  for (const directory of [...tree.lowers, tree.merged]) {
    await command('sh', ['-c', 'find "$1" -type f -print0 | xargs -0 cat >/dev/null', 'sh', directory], { limitMs: 300_000 });
  }
}

/** A directory of equal files, and a list of their names. */
export async function flatFiles(bench: Bench, count: number, size: number): Promise<{ lower: string; list: List }> {
  const directory = await bench.cached(`flat-1-${count}-${size}`, async (fresh) => {
    const contents = new Dice(count).bytes(size);
    const names = Array.from({ length: count }, (_, i) => `d${i % 20}/f${i}`);
    for (let i = 0; i < 20; i++) fs.mkdirSync(path.join(fresh, 'lower', `d${i}`), { recursive: true });
    for (const name of names) fs.writeFileSync(path.join(fresh, 'lower', name), contents);
    fs.writeFileSync(path.join(fresh, 'list'), names.map((name) => `${name}\n`).join(''));
    return Promise.resolve();
  });
  return { lower: path.join(directory, 'lower'), list: { file: path.join(directory, 'list'), count, bytes: count * size } };
}

/** One file of random bytes, in a directory of its own. Not ELF. */
export async function bigFile(bench: Bench, mib: number): Promise<{ lower: string; name: string; bytes: number; sum: string }> {
  const directory = await bench.cached(`data-1-${mib}`, async (fresh) => {
    fs.mkdirSync(path.join(fresh, 'lower'));
    writeBigFile(path.join(fresh, 'lower', 'data'), mib);
    const { sum } = await bench.client.call<{ sum: string }>(['mmap', path.join(fresh, 'lower', 'data')]);
    fs.writeFileSync(path.join(fresh, 'sum'), sum);
  });
  return {
    lower: path.join(directory, 'lower'),
    name: 'data',
    bytes: mib * 2 ** 20,
    sum: fs.readFileSync(path.join(directory, 'sum'), 'utf8'),
  };
}

/** Into the page cache with it. */
export async function warmFile(file: string): Promise<void> {
  await command('sh', ['-c', 'cat "$1" >/dev/null', 'sh', file], { limitMs: 120_000 });
}

/** Each MiB differs from the others in its first bytes only: bytes are not what is measured. */
export function writeBigFile(file: string, mib: number): void {
  const block = new Dice(1).bytes(1 << 20);
  const fd = fs.openSync(file, 'w');
  try {
    for (let i = 0; i < mib; i++) {
      block.writeUInt32LE(i, 4);
      fs.writeSync(fd, block);
    }
  } finally {
    fs.closeSync(fd);
  }
}

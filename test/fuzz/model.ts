/**
 * A rough model of the tree under test: what would be there if every operation succeeded. It chooses what an operation is about, so that most
 * operations meet something; the rest fail, which is to be compared as well.
 */
import type { Entry, Tree } from '../support/layers.js';
import type { Random } from './random';
import { randomMode } from './trees';

export type Kind = Exclude<Entry['type'], 'h'>;

export interface Open {
  name: string;
  path: string;
  kind: Kind;
}

export interface Mapping {
  name: string;
  writable: boolean;
}

const parentOf = (path: string): string => (path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '.');
const join = (directory: string, name: string): string => (directory === '.' ? name : `${directory}/${name}`);

export class Model {
  private readonly nodes = new Map<string, Kind>([['.', 'd']]);
  readonly open: Open[] = [];
  readonly maps: Mapping[] = [];
  private serial = 0;
  /** what is being watched: the next operation is about it if it can be */
  private expected: string | undefined;

  constructor(
    readonly random: Random,
    readonly names: readonly string[],
    merged: Tree,
    /** lowers hold ELF files */
    readonly elf: boolean,
  ) {
    for (const [path, entry] of Object.entries(merged)) {
      const { type, first = '' } = entry as Entry;
      this.nodes.set(path, type === 'h' ? ((merged[first] as Entry).type as Kind) : type);
    }
  }

  // ---- what is there -------------------------------------------------------------------------------------------------------------------

  kind(path: string): Kind | undefined {
    return this.nodes.get(path.replace(/\/\.?$/, ''));
  }

  made(path: string, kind: Kind): void {
    if (!this.nodes.has(path) && this.nodes.get(parentOf(path)) === 'd' && !/\/\.*$|n{256}/.test(path)) this.nodes.set(path, kind);
  }

  removed(path: string): void {
    const inside = [...this.nodes.keys()].some((known) => known.startsWith(`${path}/`));
    if (!inside) this.nodes.delete(path);
  }

  moved(from: string, to: string): void {
    if (!this.nodes.has(from) || to.startsWith(`${from}/`) || this.nodes.get(parentOf(to)) !== 'd') return;
    const tree = [...this.nodes].filter(([path]) => path === from || path.startsWith(`${from}/`));
    for (const gone of [from, to]) {
      for (const known of [...this.nodes.keys()]) if (known === gone || known.startsWith(`${gone}/`)) this.nodes.delete(known);
    }
    for (const [path, kind] of tree) this.nodes.set(to + path.slice(from.length), kind);
  }

  /** A name that nothing else of the case has: of a descriptor, a mapping. */
  fresh(head: string): string {
    return `${head}${++this.serial}`;
  }

  closeAll(): void {
    this.open.length = 0;
    this.maps.length = 0;
  }

  // ---- choosing a path -----------------------------------------------------------------------------------------------------------------

  /** Paths whose attributes are to be compared before and after the next operation. */
  watched(): string[] {
    const path = this.existing();
    this.expected = path;
    return [...new Set([parentOf(path), path])];
  }

  existing(...kinds: Kind[]): string {
    const { expected } = this;
    this.expected = undefined;
    if (expected !== undefined && (kinds.length === 0 || kinds.includes(this.nodes.get(expected) ?? 'f'))) return expected;
    const found = [...this.nodes].filter(([path, kind]) => path !== '.' && (kinds.length === 0 || kinds.includes(kind)));
    return found.length === 0 ? this.missing() : this.random.pick(found)[0];
  }

  directory(): string {
    return this.random.pick([...this.nodes].filter(([, kind]) => kind === 'd'))[0];
  }

  /** A name that is not there (if there is one) in a directory that is. */
  missing(): string {
    for (let tries = 0; tries < 8; tries++) {
      const path = join(this.directory(), this.random.pick(this.names));
      if (!this.nodes.has(path)) return path;
    }
    return join(this.directory(), `x${this.random.below(9)}`);
  }

  /** Mostly something of the kinds, sometimes anything. */
  target(...kinds: Kind[]): string {
    switch (this.random.weighted({ right: 82, any: 10, missing: 5, wild: 3 })) {
      case 'right':
        return this.existing(...kinds);
      case 'any':
        return this.existing();
      case 'missing':
        return this.missing();
      case 'wild':
        return this.wild();
    }
  }

  /** A place for something new. */
  place(): string {
    const { random } = this;
    return random.chance(78) ? this.missing() : random.chance(80) ? this.existing() : this.wild();
  }

  /** Below a file, below nothing, too long, with a slash behind. */
  private wild(): string {
    const path = this.existing();
    switch (this.random.weighted({ below: 40, slash: 30, dot: 10, dots: 10, long: 10 })) {
      case 'below':
        return `${path}/${this.random.pick(this.names)}`;
      case 'slash':
        return `${path}/`;
      case 'dot':
        return `${path}/.`;
      case 'dots':
        return `${path}/../${this.random.pick(this.names)}`;
      case 'long':
        return 'n'.repeat(256);
    }
  }

  opened(...kinds: Kind[]): Open | undefined {
    const found = this.open.filter((one) => kinds.length === 0 || kinds.includes(one.kind));
    return found.length === 0 ? undefined : this.random.pick(found);
  }

  // ---- arguments -----------------------------------------------------------------------------------------------------------------------

  /** ` path=P`, now and then relative to an open directory. */
  on(path: string, key: 'path' | 'to' = 'path'): string {
    const base = this.random.chance(8) ? this.open.find((one) => one.kind === 'd' && path.startsWith(`${one.path}/`)) : undefined;
    if (base === undefined) return ` ${key}=${path}`;
    return ` ${key === 'to' ? 'toat' : 'at'}=${base.name} ${key}=${path.slice(base.path.length).replace(/^\/+/, '')}`;
  }

  /** ` fd=F` of something open, or ` path=P`. */
  file(...kinds: Kind[]): string {
    const open = this.opened(...kinds);
    return open !== undefined && this.random.chance(35) ? ` fd=${open.name}` : this.on(this.target(...kinds));
  }

  /** ` follow=1` now and then; not for a descriptor. */
  follow(file: string): string {
    return !file.startsWith(' fd') && this.random.chance(20) ? ' follow=1' : '';
  }

  /** Who does it. */
  as(): string {
    if (this.random.chance(72)) return '';
    return this.random.pick([' uid=1000', ' uid=1000 gid=1001', ' uid=1000 gid=1000 groups=4,1001', ' uid=1001', ' uid=0 gid=1000']);
  }

  /** Who makes it, and with which umask. */
  maker(): string {
    const mask = this.random.chance(30) ? ` umask=${this.random.pick(['022', '077', '002', '0'])}` : '';
    return mask + this.as();
  }

  mode(directory: boolean): string {
    return `0${randomMode(this.random, directory).toString(8)}`;
  }

  offset(): number {
    return this.random.pick([0, 0, 1, 10, 100, 4095, 4096, 8192, this.random.below(300_000)]);
  }

  length(): number {
    return this.random.pick([0, 1, 10, 100, 4096, 5000, 65_536]);
  }

  /** ` off=N` in half of the cases. */
  maybeOffset(): string {
    return this.random.chance(50) ? ` off=${this.offset()}` : '';
  }
}

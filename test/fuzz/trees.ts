/** Random lower trees: over one to three layers, with everything that layers hold. Paths in the helper's escapes. */
import type { Attributes, Entry, Tree } from '../support/layers.js';
import { type Bytes, escape, unescape } from '../support/syscalls.js';
import type { Random } from './random';

/** Few names, so that they meet. Each case adds some odd ones. */
const COMMON = ['a', 'b', 'c', 'd', 'e'];
const ODD = ['n'.repeat(255), Buffer.from([0xff, 0x20, 0x0a, 0x5c]), '...', 'é', '-rf', 'A', '#1', 'x=y', '.hidden', 'workdir'];

export function randomNames(random: Random): string[] {
  return [...new Set([...COMMON, escape(random.pick(ODD)), escape(random.pick(ODD))])];
}

const MODES = [0o644, 0o644, 0o755, 0o600, 0o777, 0o666, 0o444, 0o400, 0o000, 0o4755, 0o2755, 0o6777, 0o1777];
const DIRECTORY_MODES = [0o755, 0o755, 0o755, 0o777, 0o777, 0o700, 0o500, 0o555, 0o1777, 0o2777, 0o2755, 0o000];

export function randomMode(random: Random, directory: boolean): number {
  return random.pick(directory ? DIRECTORY_MODES : MODES);
}

export const UIDS = [0, 0, 0, 1000, 1000, 1001];
export const GIDS = [0, 0, 1000, 1000, 4, 1001];

/** Before 2020: what a test set is told from what a clock did (compare.ts). */
export function randomTime(random: Random): string {
  const seconds = random.chance(5) ? -random.below(1_000_000_000) : random.below(1_500_000_000);
  return `${seconds}.${random.below(1_000_000_000).toString().padStart(9, '0')}`;
}

// ---- xattrs ----------------------------------------------------------------------------------------------------------------------------

/** A file capability (struct vfs_cap_data, revision 2). */
function capability(random: Random): Buffer {
  const value = Buffer.alloc(20);
  value.writeUInt32LE(0x02000001, 0);
  value.writeUInt32LE(1 << random.below(30), 4);
  return value;
}

const enum AclTag {
  USER_OBJ = 1,
  USER = 2,
  GROUP_OBJ = 4,
  GROUP = 8,
  MASK = 16,
  OTHER = 32,
}

/** The value of system.posix_acl_access or _default. */
function acl(random: Random): Buffer {
  const permissions = (): number => random.below(8);
  const entries: [AclTag, number, number][] = [[AclTag.USER_OBJ, permissions() | 6, -1]];
  if (random.chance(70)) entries.push([AclTag.USER, permissions(), random.pick([1000, 1001])]);
  entries.push([AclTag.GROUP_OBJ, permissions(), -1]);
  if (random.chance(50)) entries.push([AclTag.GROUP, permissions(), random.pick([4, 1000])]);
  if (entries.length > 2) entries.push([AclTag.MASK, permissions(), -1]);
  entries.push([AclTag.OTHER, permissions(), -1]);
  const value = Buffer.alloc(4 + 8 * entries.length);
  value.writeUInt32LE(2, 0);
  entries.forEach(([tag, bits, id], i) => {
    value.writeUInt16LE(tag, 4 + 8 * i);
    value.writeUInt16LE(bits, 6 + 8 * i);
    value.writeInt32LE(id, 8 + 8 * i);
  });
  return value;
}

const PLAIN_VALUES: Bytes[] = ['', 'v', 'value', Buffer.from([0, 255, 10, 32]), 'x'.repeat(200)];

/** A name and a value that a file of `type` can have. */
export function randomXattr(random: Random, type: Entry['type']): [string, Bytes] {
  const trusted: [string, Bytes] = [random.pick(['trusted.t', 'trusted.u']), random.pick(PLAIN_VALUES)];
  if (type === 'l' || random.chance(20)) return trusted;
  if (type === 'f' && random.chance(15)) return ['security.capability', capability(random)];
  if (type === 'd' && random.chance(15)) return ['system.posix_acl_default', acl(random)];
  if (random.chance(15)) return ['system.posix_acl_access', acl(random)];
  if (type !== 'f' && type !== 'd') return trusted;
  return [random.pick(['user.a', 'user.b', 'user.' + 'l'.repeat(200)]), random.pick(PLAIN_VALUES)];
}

// ---- entries ---------------------------------------------------------------------------------------------------------------------------

function attributes(random: Random, type: Entry['type']): Attributes {
  const found: Attributes = { mtime: randomTime(random) };
  if (type !== 'l') found.mode = randomMode(random, type === 'd');
  if (random.chance(50)) {
    found.uid = random.pick(UIDS);
    found.gid = random.pick(GIDS);
  }
  if (random.chance(15)) {
    const xattrs = Array.from({ length: random.between(1, 3) }, () => randomXattr(random, type));
    found.xattrs = Object.fromEntries(xattrs);
  }
  return found;
}

export const ELF_HEAD = '\x7fELF\x02\x01\x01';

function content(random: Random, elf: boolean): Pick<Entry, 'data' | 'size' | 'segments'> {
  const head = elf && random.chance(50) ? ELF_HEAD : '';
  if (random.chance(10)) return { data: head };
  if (random.chance(15)) {
    const segments = Array.from({ length: random.between(0, 3) }, (): [number, number] => [
      4096 * random.below(60) + (random.chance(30) ? random.below(4096) : 0),
      random.between(1, 9000),
    ]);
    return { data: head, segments, size: random.below(300_000) };
  }
  if (random.chance(10)) return { data: head, segments: [[head.length, random.between(1, 140_000)]] };
  return { data: head + 'lower text '.repeat(random.between(1, 12)).slice(0, random.between(1, 120)) };
}

/** The target of a symlink. Never absolute: what is written through it must stay in the case. In escapes. */
export function randomTarget(random: Random, names: readonly string[]): string {
  const name = random.pick(names);
  switch (random.weighted({ here: 50, below: 25, above: 15, dot: 5, long: 5 })) {
    case 'here':
      return name;
    case 'below':
      return `${name}/${random.pick(names)}`;
    case 'above':
      return `../${name}`;
    case 'dot':
      return '.';
    case 'long':
      return 'l'.repeat(random.pick([256, 3000]));
  }
}

export const DEVICES = ['1:3', '1:7', '240:77', '240:70000'];

function entry(random: Random, type: Exclude<Entry['type'], 'd' | 'h'>, names: readonly string[], elf: boolean): Entry {
  const made: Entry = { type, ...attributes(random, type) };
  if (type === 'f') return { ...made, ...content(random, elf) };
  if (type === 'l') return { ...made, target: unescape(randomTarget(random, names)) };
  if (type === 'c' || type === 'b') return { ...made, dev: random.pick(DEVICES) };
  return made;
}

interface Growing {
  random: Random;
  names: readonly string[];
  elf: boolean;
  hardLinks: boolean;
  layer: Tree;
  /** paths of files that can get another name */
  files: string[];
}

function grow(g: Growing, directory: string, depth: number): void {
  const { random, layer } = g;
  const names = random.shuffle([...g.names]).slice(0, random.between(depth === 0 ? 2 : 0, 4));
  for (const name of names) {
    const path = directory === '' ? name : `${directory}/${name}`;
    const kind = random.weighted({ f: 46, d: depth < 3 ? 30 : 0, l: 8, h: g.hardLinks ? 8 : 0, p: 2, s: 1, c: 2, b: 1, whiteout: 8 });
    if (kind === 'whiteout') layer[path] = { type: 'c', dev: '0:0', mode: 0 };
    else if (kind === 'd') {
      layer[path] = { type: 'd', ...attributes(random, 'd') };
      if (random.chance(12)) opaque(layer, path);
      grow(g, path, depth + 1);
    } else if (kind === 'h' && g.files.length > 0) layer[path] = { type: 'h', first: random.pick(g.files) };
    else {
      const type = kind === 'h' ? 'f' : kind;
      layer[path] = entry(random, type, g.names, g.elf);
      if (type !== 'c' && type !== 'b') g.files.push(path);
    }
  }
}

function opaque(layer: Tree, path: string): void {
  const directory = layer[path] as Entry;
  layer[path] = { ...directory, xattrs: { ...directory.xattrs, 'trusted.overlay.opaque': 'y' } };
}

/** One to three layers, the topmost first. Their root is ".". */
export function randomLayers(random: Random, names: readonly string[], elf: boolean, hardLinks = true): Tree[] {
  const count = random.pick([1, 2, 2, 3]);
  return Array.from({ length: count }, () => {
    const root: Entry = { type: 'd', ...attributes(random, 'd'), mode: random.pick([0o755, 0o777, 0o777, 0o1777, 0o2777]) };
    const layer: Tree = { '.': root };
    grow({ random, names, elf, hardLinks, layer, files: [] }, '', 0);
    return layer;
  });
}

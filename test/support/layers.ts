/**
 * Directory trees as data: what a layer holds, how it is made on disk, how layers merge, how one tree is spread over many layers.
 *
 * Paths are in the helper's escapes (\xff, \x20): plain ASCII for whatever bytes.
 */
import { type Bytes, type Operation, op, runOperations, unescape } from './syscalls.js';

export interface Attributes {
  mode?: number;
  uid?: number;
  gid?: number;
  /** seconds.nanoseconds; without it one that depends on the path only */
  mtime?: string;
  xattrs?: Record<string, Bytes>;
}
export interface Entry extends Attributes {
  /** as `stat` prints it; h: a hard link to `first` */
  type: 'f' | 'd' | 'l' | 'p' | 's' | 'c' | 'b' | 'h';
  data?: Bytes;
  /** of a file with holes: [offset, length] of what is not */
  segments?: [number, number][];
  size?: number;
  target?: Bytes;
  dev?: string;
  first?: string;
}
/** A string is a file's content. Missing parents are plain directories. */
export type Tree = Record<string, Entry | string>;

export const file = (data: Bytes, attributes: Attributes = {}): Entry => ({ type: 'f', data, ...attributes });
export const dir = (attributes: Attributes = {}): Entry => ({ type: 'd', ...attributes });
export const symlink = (target: Bytes, attributes: Attributes = {}): Entry => ({ type: 'l', target, ...attributes });
export const hard = (first: string): Entry => ({ type: 'h', first });
export const fifo = (attributes: Attributes = {}): Entry => ({ type: 'p', ...attributes });
export const socket = (attributes: Attributes = {}): Entry => ({ type: 's', ...attributes });
export const device = (type: 'c' | 'b', dev: string, attributes: Attributes = {}): Entry => ({ type, dev, ...attributes });
export const whiteout = (): Entry => ({ type: 'c', dev: '0:0', mode: 0 });
/** Data (a pattern) at the given ranges, holes elsewhere. */
export const sparse = (size: number, segments: [number, number][], attributes: Attributes = {}): Entry => ({
  type: 'f',
  size,
  segments,
  ...attributes,
});
export const opaque = (
  prefix: 'trusted.overlay' | 'user.overlay' | 'user.fuseoverlayfs' = 'trusted.overlay',
  attributes: Attributes = {},
): Entry => dir({ ...attributes, xattrs: { ...attributes.xattrs, [`${prefix}.opaque`]: 'y' } });

type Full = Map<string, Entry>;

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));
const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** FNV-1a: what varies by path must be the same in every layer, target and run. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}

/** Parents filled in, parents first. */
function complete(tree: Tree): Full {
  const all: Full = new Map();
  const add = (path: string, entry: Entry | undefined): void => {
    if (path === '' || (all.has(path) && !entry)) return;
    add(parentOf(path), undefined);
    all.set(path, entry ?? dir());
  };
  for (const [path, entry] of Object.entries(tree)) add(path, typeof entry === 'string' ? file(entry) : entry);
  const isDirectory = (path: string): boolean => all.get(path)?.type === 'd';
  for (const path of all.keys()) {
    if (path.includes('/') && !isDirectory(parentOf(path))) throw new Error(`${path}: its parent is no directory`);
  }
  return new Map([...all].sort(([a], [b]) => (a.split('/') < b.split('/') ? -1 : 1)));
}

/** The time of every file that does not say its own. */
export function mtimeOf(path: string): string {
  const hash = hashOf(path);
  return `${1_300_000_000 + (hash % 100_000_000)}.${String((hash * 7) % 1_000_000_000).padStart(9, '0')}`;
}

const TYPE_BITS = { p: 0o010000, c: 0o020000, b: 0o060000, s: 0o140000 };

function contentOperations(path: Buffer, entry: Entry): Operation[] {
  const operations = [op('write', { path, flags: 'O_CREAT|O_EXCL', data: entry.data ?? '' })];
  for (const [off, len] of entry.segments ?? []) operations.push(op('write', { path, off, len, pattern: 1 }));
  if (entry.size !== undefined) operations.push(op('truncate', { path, size: entry.size }));
  return operations;
}

function entryOperations(path: Buffer, entry: Entry): Operation[] {
  switch (entry.type) {
    case 'd':
      return [op('mkdir', { path })];
    case 'f':
      return contentOperations(path, entry);
    case 'l':
      return [op('symlink', { path, target: entry.target ?? '' })];
    case 'h':
      return [op('link', { path: unescape(entry.first ?? ''), to: path })];
    default:
      return [op('mknod', { path, mode: TYPE_BITS[entry.type], dev: entry.dev ?? '0:0' })];
  }
}

function attributeOperations(path: Buffer, entry: Entry): Operation[] {
  if (entry.type === 'h') return [];
  const operations: Operation[] = [];
  if (entry.uid !== undefined || entry.gid !== undefined)
    operations.push(op('chown', { path, owner: entry.uid ?? 0, group: entry.gid ?? 0 }));
  if (entry.type !== 'l') operations.push(op('chmod', { path, mode: entry.mode ?? (entry.type === 'd' ? 0o755 : 0o644) }));
  for (const [name, value] of Object.entries(entry.xattrs ?? {})) operations.push(op('setxattr', { path, name, value }));
  return operations;
}

/** Makes the tree in an existing directory. */
export async function build(directory: string, tree: Tree): Promise<void> {
  const entries = [...complete(tree)].map(([path, entry]) => ({ text: path, path: unescape(path), entry }));
  const linksLast = [...entries.filter(({ entry }) => entry.type !== 'h'), ...entries.filter(({ entry }) => entry.type === 'h')];
  // All attributes after all files: a directory's setgid bit and default ACL are not for what the tree itself puts there.
  const operations = linksLast.flatMap(({ path, entry }) => entryOperations(path, entry));
  for (const { path, entry } of entries) operations.push(...attributeOperations(path, entry));
  // What is made later must not touch the time of its directory: times last, the deepest first.
  for (const { text, path, entry } of entries.reverse()) {
    if (entry.type !== 'h')
      operations.push(op('utimens', { path, mtime: entry.mtime ?? mtimeOf(text), atime: entry.mtime ?? mtimeOf(text) }));
  }
  const outcomes = await runOperations(directory, operations);
  const failed = outcomes.findIndex((outcome) => outcome.error !== 'ok');
  if (failed >= 0) throw new Error(`build: ${outcomes[failed]?.error} at ${JSON.stringify(operations[failed])}`);
}

// ---- merging ------------------------------------------------------------------------------------------------------------------------

const OPAQUE_XATTRS = ['trusted.overlay.opaque', 'user.overlay.opaque', 'user.fuseoverlayfs.opaque'];
const PRIVATE_XATTR = /^(trusted\.overlay|user\.overlay|user\.fuseoverlayfs)\./;

const isWhiteout = (entry: Entry | undefined): boolean => entry?.type === 'c' && entry.dev === '0:0';
const isOpaque = (layer: Full, path: string): boolean =>
  layer.has(`${path}/.wh..wh..opq`) || OPAQUE_XATTRS.some((name) => layer.get(path)?.xattrs?.[name] === 'y');
const below = (path: string, name: string): string => (path === '' ? name : `${path}/${name}`);

/** The layers that a merged directory or file at `path` comes from, topmost first; none: it is not there. */
function sources(path: string, among: readonly Full[]): Full[] {
  const found: Full[] = [];
  const marker = below(parentOf(path), `.wh.${nameOf(path)}`);
  for (const layer of among) {
    const entry = layer.get(path);
    if (isWhiteout(entry)) break;
    if (entry) {
      if (entry.type !== 'd' && found.length > 0) break;
      found.push(layer);
      if (entry.type !== 'd' || isOpaque(layer, path)) break;
    }
    if (layer.has(marker)) break;
  }
  return found;
}

/** What a merged file shows: not the xattrs that are the overlay's own. */
function visible(entry: Entry): Entry {
  const xattrs = Object.entries(entry.xattrs ?? {}).filter(([name]) => !PRIVATE_XATTR.test(name));
  return { ...entry, xattrs: Object.fromEntries(xattrs) };
}

/** Joins hard links again: the first visible path of a lower group is the file, the others link to it. */
class HardLinks {
  private readonly firsts = new Map<string, string>();

  constructor(private readonly layers: readonly Full[]) {}

  place(path: string, layer: Full): Entry {
    const entry = layer.get(path)!;
    const origin = entry.type === 'h' ? entry.first! : path;
    const key = `${this.layers.indexOf(layer)}:${origin}`;
    const first = this.firsts.get(key);
    if (first !== undefined) return hard(first);
    this.firsts.set(key, path);
    // The time is the file's, whichever of its names is seen.
    const file = layer.get(origin)!;
    return visible({ ...file, mtime: file.mtime ?? mtimeOf(origin) });
  }
}

/** The tree that layers (the topmost first) show together: every dialect of whiteout and opaque directory is known. */
export function merge(trees: readonly Tree[]): Tree {
  const layers = trees.map(complete);
  const merged: Tree = {};
  const links = new HardLinks(layers);
  const descend = (path: string, among: readonly Full[]): void => {
    const names = new Set<string>();
    for (const layer of among)
      for (const key of layer.keys()) if (parentOf(key) === path && key !== '' && !nameOf(key).startsWith('.wh.')) names.add(nameOf(key));
    for (const name of [...names].sort()) {
      const child = below(path, name);
      const from = sources(child, among);
      const top = from[0];
      if (!top) continue;
      merged[child] = links.place(child, top);
      if (top.get(child)?.type === 'd') descend(child, from);
    }
  };
  descend('', layers);
  return merged;
}

// ---- spreading ----------------------------------------------------------------------------------------------------------------------

/** Adds a path to a layer with the directories above it as the tree has them. */
function put(layer: Tree, tree: Full, path: string, entry: Entry): void {
  for (let parent = parentOf(path); parent !== ''; parent = parentOf(parent)) layer[parent] ??= tree.get(parent)!;
  layer[path] ??= entry;
}

/** Something that the file at `path` in a higher layer hides. */
function putDecoy(layer: Tree, tree: Full, path: string, hash: number): void {
  if (path in layer) return;
  put(layer, tree, path, hash % 5 === 0 ? dir({ mode: 0o700 }) : file('hidden', { mode: 0o600 }));
  if (hash % 5 === 0) layer[`${path}/hidden`] = file('hidden');
}

/**
 * `count` layers (the topmost first) whose merge is `tree`: every file in one layer chosen by its path, directories in several, and,
 * below, files that are hidden by what is above: replaced, or whited out.
 */
export function spread(tree: Tree, count: number): Tree[] {
  const all = complete(tree);
  const layers = Array.from({ length: count }, (): Tree => ({}));
  if (count === 1) return [Object.fromEntries(all)];
  for (const [path, entry] of all) {
    const at = hashOf(entry.type === 'h' ? entry.first! : path) % count;
    put(layers[at], all, path, entry);
  }
  for (const [path, entry] of all) {
    const hash = hashOf(`${path}~`);
    const holding = layers.flatMap((layer, index) => (path in layer ? [index] : []));
    const top = holding[0];
    if (entry.type === 'd' && holding.length > 1 && hash % 2 === 0) {
      layers[top][`${path}/gone~`] = whiteout();
      layers[holding.at(-1)!][`${path}/gone~`] = file('gone');
    } else if (entry.type !== 'd' && top < count - 1 && hash % 3 === 0) {
      putDecoy(layers[top + 1 + (hash % (count - 1 - top))], all, path, hash);
    }
  }
  return layers;
}

/** The tree with every path (and every hard link's) under a directory, itself an entry. */
export function under(directory: string, tree: Tree, attributes: Attributes = {}): Tree {
  const result: Tree = { [directory]: dir(attributes) };
  for (const [path, entry] of Object.entries(tree)) {
    if (path === '.') result[directory] = entry;
    else result[`${directory}/${path}`] = typeof entry !== 'string' && entry.type === 'h' ? hard(`${directory}/${entry.first}`) : entry;
  }
  return result;
}

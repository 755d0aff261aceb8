/**
 * A case: lower trees, and what is done to their merge. As text it can be kept and replayed:
 *
 *   # anything
 *   layer                                       the topmost first
 *   a/b f mode=0644 uid=1000 data=text          an entry: path, type, attributes (as in support/layers.ts; bytes as \xHH)
 *   before kernel                               done to an overlay of these layers first: its upper is then the topmost layer
 *   mkdir path=d
 *   operations
 *   open fd=f1 path=a/b flags=O_RDWR            the helper's lines (support/syscalls.c)
 *   remount                                     descriptors closed, unmounted, mounted again
 */
import type { Entry, Tree } from '../support/layers.js';
import { escape, parseFields, unescape, type Bytes, type Fields } from '../support/syscalls.js';

export interface Case {
  /** of the random case; 0: from a file */
  seed: number;
  /** topmost first; the root itself is "." */
  layers: Tree[];
  /** done to an overlay of the layers first, whose upper is then the topmost layer */
  before: string[];
  /** which overlay: kernel or plyfs; '' when nothing is done before */
  by: string;
  lines: string[];
}

export const REMOUNT = 'remount';

/** Verb and arguments of a line; values in escapes. */
export interface Line {
  verb: string;
  args: Fields;
}

export function parseLine(text: string): Line {
  const space = text.indexOf(' ');
  return space < 0 ? { verb: text, args: {} } : { verb: text.slice(0, space), args: parseFields(text, space + 1) };
}

// ---- text ------------------------------------------------------------------------------------------------------------------------------

function entryText(path: string, entry: Entry): string {
  const words = [path, entry.type];
  const add = (key: string, value: string | undefined): void => {
    if (value !== undefined) words.push(`${key}=${value}`);
  };
  add('mode', entry.mode?.toString(8).padStart(4, '0'));
  add('uid', entry.uid?.toString());
  add('gid', entry.gid?.toString());
  add('mtime', entry.mtime);
  add('data', entry.data === undefined ? undefined : escape(entry.data));
  add('size', entry.size?.toString());
  add('segments', entry.segments?.map(([off, len]) => `${off}+${len}`).join(','));
  add('target', entry.target === undefined ? undefined : escape(entry.target));
  add('dev', entry.dev);
  add('first', entry.first);
  for (const [name, value] of Object.entries(entry.xattrs ?? {})) add(`x.${name}`, escape(value));
  return words.join(' ');
}

export function format(one: Case): string {
  const out: string[] = [];
  for (const layer of one.layers) {
    out.push('layer');
    for (const [path, entry] of Object.entries(layer)) out.push(entryText(path, entry as Entry));
  }
  if (one.by !== '') out.push(`before ${one.by}`, ...one.before);
  out.push('operations', ...one.lines);
  return out.join('\n') + '\n';
}

function parseSegments(text: string): [number, number][] {
  if (text === '') return [];
  return text.split(',').map((one) => one.split('+').map(Number) as [number, number]);
}

function parseEntry(text: string): [string, Entry] {
  const [path, type, ...rest] = text.split(' ');
  const fields = parseFields(rest.join(' '));
  const entry: Entry = { type: type as Entry['type'] };
  const xattrs: Record<string, Bytes> = {};
  for (const [key, value] of Object.entries(fields)) {
    if (key === 'mode') entry.mode = parseInt(value, 8);
    else if (key === 'uid' || key === 'gid' || key === 'size') entry[key] = Number(value);
    else if (key === 'segments') entry.segments = parseSegments(value);
    else if (key === 'data' || key === 'target') entry[key] = unescape(value);
    else if (key === 'mtime' || key === 'dev' || key === 'first') entry[key] = value;
    else if (key.startsWith('x.')) xattrs[key.slice(2)] = unescape(value);
    else throw new Error(`unknown attribute ${key} in: ${text}`);
  }
  if (Object.keys(xattrs).length > 0) entry.xattrs = xattrs;
  return [path, entry];
}

export function parse(text: string): Case {
  const one: Case = { seed: 0, layers: [], before: [], by: '', lines: [] };
  let into: 'nothing' | 'layer' | 'before' | 'operations' = 'nothing';
  for (const line of text.split('\n').map((raw) => raw.trim())) {
    if (line === '' || line === '#' || line.startsWith('# ')) continue;
    if (line === 'layer' && into !== 'operations') {
      into = 'layer';
      one.layers.push({});
    } else if (line === 'operations') into = 'operations';
    else if (/^before (kernel|plyfs)$/.test(line) && into === 'layer') {
      into = 'before';
      one.by = line.slice('before '.length);
    } else if (into === 'before') one.before.push(line);
    else if (into === 'operations') one.lines.push(line);
    else if (into === 'layer') {
      const [path, entry] = parseEntry(line);
      one.layers[one.layers.length - 1][path] = entry;
    } else throw new Error(`before the first "layer": ${line}`);
  }
  return one;
}

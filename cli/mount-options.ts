/**
 * The `-o` of `ply mount` as the API wants it: lowerdir, upperdir and workdir as lists of absolute paths, everything else as it is written. The
 * quoting is plyfs's own (daemon/mounts/options.ts): a backslash takes the next character as it is, an option's value may be in double quotes,
 * commas separate options and colons lowers. plyd judges the values.
 */
import path from 'node:path';
import type { MountRequest } from '../daemon/api/types';
import { UsageError } from './errors';

export function mountRequest(text: string, mountpoint: string): MountRequest {
  const others: string[] = [];
  const paths = new Map<string, string>();
  for (const option of cut(text, ',').filter((one) => one !== '')) {
    const [, name = '', value] = /^([^=]*)=?(.*)$/s.exec(option) ?? [];
    if (name === 'lowerdir' || name === 'upperdir' || name === 'workdir') paths.set(name, value.replace(/^"(.*)"$/s, '$1'));
    else others.push(option);
  }
  const directory = (name: string): string | undefined => {
    const value = paths.get(name);
    if (value === '') throw new UsageError(`${name} has no value: it takes the path of a directory`);
    return value === undefined ? undefined : path.resolve(unescape(value));
  };
  const lower = paths.has('lowerdir') ? cut(paths.get('lowerdir') ?? '', ':') : [];
  if (lower.length === 0) throw new UsageError('lowerdir is missing: name at least one layer, as in -o lowerdir=/layers/top:/layers/base');
  if (lower.includes('')) throw new UsageError('lowerdir has an empty entry: write a colon only between two layers');
  const upper = directory('upperdir');
  const work = directory('workdir');
  return {
    mountpoint: path.resolve(mountpoint),
    lower: lower.map((one) => path.resolve(unescape(one))),
    ...(upper !== undefined && { upper }),
    ...(work !== undefined && { work }),
    ...(others.length > 0 && { options: others.join(',') }),
  };
}

/** At separators that are neither escaped nor in double quotes that begin a value. */
function cut(text: string, separator: ',' | ':'): string[] {
  const found: string[] = [];
  let from = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (separator === ',' && text[at] === '"' && (quoted || text[at - 1] === '=')) quoted = !quoted;
    else if (text[at] === separator && !quoted) {
      found.push(text.slice(from, at));
      from = at + 1;
    }
  }
  found.push(text.slice(from));
  return found;
}

function unescape(value: string): string {
  return value.replace(/\\(.)/gs, '$1');
}

/** Manifests of whole trees (made by the helper, see syscalls-manifest.c) and their difference, readable. */
import { type Fields, type SyscallsOptions, op, runOperations } from './syscalls.js';

/** By path, in the order of the walk. Paths and values in the helper's escapes. */
export type Manifest = Map<string, Fields>;

export interface ManifestOptions extends SyscallsOptions {
  path?: string;
  /** content hashes; default yes */
  hash?: boolean;
  xattrs?: boolean;
  /** the overlay's own xattrs too */
  private?: boolean;
  ino?: boolean;
}

export async function manifest(directory: string, options: ManifestOptions = {}): Promise<Manifest> {
  const { path = '.', hash = true, xattrs = true, private: own = false, ino = false } = options;
  const [outcome] = await runOperations(directory, [op('manifest', { path, hash, xattrs, private: own, ino })], {
    timeoutMs: 300_000,
    ...options,
  });
  if (outcome?.error !== 'ok') throw new Error(`manifest of ${directory}/${path}: ${outcome?.error}`);
  return toManifest(outcome.rows);
}

/** Rows of one path (a file, then the error of reading it) are put together. */
export function toManifest(rows: readonly Fields[]): Manifest {
  const result: Manifest = new Map();
  for (const { path = '', ...fields } of rows) result.set(path, { ...result.get(path), ...fields });
  return result;
}

export interface DiffOptions {
  /** fields that do not count */
  ignore?: readonly string[];
  /** paths that do not count, with what is below them */
  ignorePath?: RegExp;
  names?: [string, string];
  limit?: number;
}

function fieldDifferences(a: Fields, b: Fields, ignore: readonly string[]): string[] {
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => !ignore.includes(key));
  return keys.filter((key) => a[key] !== b[key]).map((key) => `${key} ${a[key] ?? '-'} ≠ ${b[key] ?? '-'}`);
}

/** One line for each path that differs, at most `limit`, then how many more. Empty: equal. */
export function difference(a: Manifest, b: Manifest, options: DiffOptions = {}): string[] {
  const { ignore = [], ignorePath, limit = 20 } = options;
  const [left, right] = options.names ?? ['first', 'second'];
  const lines: string[] = [];
  for (const path of new Set([...a.keys(), ...b.keys()])) {
    if (ignorePath?.test(path)) continue;
    const [one, other] = [a.get(path), b.get(path)];
    if (!one) lines.push(`${path}: only in ${right} (${other?.type ?? '?'})`);
    else if (!other) lines.push(`${path}: only in ${left} (${one.type ?? '?'})`);
    else {
      const fields = fieldDifferences(one, other, ignore);
      if (fields.length > 0) lines.push(`${path}: ${fields.join(', ')}`);
    }
  }
  return lines.length <= limit ? lines : [...lines.slice(0, limit), `… and ${lines.length - limit} more`];
}

/** From what a person wrote (an id, the beginning of one, a name) to the id of a row. */
import type { Connection } from './database';
import { CatalogError } from './errors';
import { editDistance, type Id, isId, nearNames, quoted, shortId } from './names';

/** A table that can be referred to. */
export interface Referable {
  /** for messages */
  what: string;
  table: 'layers' | 'images' | 'containers' | 'mounts';
  /** what lists them, for messages */
  list: string;
  byName(name: string): Id | undefined;
  names(): string[];
}

/** At least so many characters of an id are asked for. */
export const SHORTEST_PREFIX = 4;

/**
 * A whole id comes first, then a name, then a prefix: a container that is called "beef" is found by that name whatever ids there are.
 * Throws 'not-found' with near names, or 'bad-request' for a prefix that several ids have, with those in `near`.
 */
export function resolve(db: Connection, kind: Referable, ref: string): Id {
  const found = isId(ref) ? byPrefix(db, kind, ref) : [kind.byName(ref) ?? byPrefix(db, kind, ref)].flat();
  if (found.length === 1) return found[0];
  if (found.length > 1) {
    const near = found.map((id) => id.slice(0, Math.max(12, ref.length + 4)));
    throw new CatalogError('bad-request', `${quoted(ref)} is the beginning of several ${kind.what}s' ids: write more of it`, { near });
  }
  throw notFound(db, kind, ref);
}

/** As many as are needed to see that there are several, and to show some. */
function byPrefix(db: Connection, kind: Referable, ref: string): Id[] {
  if (ref.length < SHORTEST_PREFIX || !/^[0-9a-f]{1,64}$/.test(ref)) return [];
  return db
    .prepare<[string, string], Id>(`SELECT id FROM ${kind.table} WHERE id >= ? AND id < ? ORDER BY id LIMIT 5`)
    .pluck()
    .all(ref, `${ref}g`);
}

function notFound(db: Connection, kind: Referable, ref: string): CatalogError {
  if (ref === '') return new CatalogError('bad-request', `no ${kind.what} is named: give its name or id`);
  const near = nearNames(ref, kind.names());
  if (near.length < 5 && /^[0-9a-f]{4,64}$/.test(ref)) near.push(...nearIds(db, kind, ref).slice(0, 5 - near.length));
  const short = /^[0-9a-f]{1,3}$/.test(ref) ? ` (of an id at least ${SHORTEST_PREFIX} characters are needed)` : '';
  return new CatalogError('not-found', `there is no ${kind.what} ${quoted(ref)}${short}: ${kind.list} shows those there are`, { near });
}

/** Ids that would have been meant but for a typing mistake or two. */
function nearIds(db: Connection, kind: Referable, ref: string): string[] {
  const allowed = ref.length < 8 ? 1 : 2;
  const ids = db.prepare<[], Id>(`SELECT id FROM ${kind.table} ORDER BY seq`).pluck().all();
  return ids.filter((id) => editDistance(ref, id.slice(0, ref.length), allowed) <= allowed).map(shortId);
}

/** "a, b and 12 more" */
export function listed(names: readonly string[], most = 5): string {
  if (names.length <= most) return names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} and ${names.at(-1)!}`;
  return `${names.slice(0, most).join(', ')} and ${names.length - most} more`;
}

/** Where in the tree an entry of a layer's tar stands, and what its name means. */
import { TarError } from './tar-header';
import type { TarEntry } from './tar-reader';

export interface Place {
  /** ignored: aufs's own bookkeeping, which says nothing about the tree */
  kind: 'entry' | 'whiteout' | 'opaque' | 'ignored';
  /** from the root; of a whiteout with the name that it hides; none: the root itself */
  names: Buffer[];
  /** of a hard link: what it is linked to */
  target?: Buffer[];
}

const LONGEST_NAME = 255; // NAME_MAX, PATH_MAX - 1 of <linux/limits.h>
const LONGEST_PATH = 4095;
const LARGEST_ID = 0xffff_fffe; // (uid_t) -1 means none
const SLASH = 0x2f;
const MARK = '.wh.';
const BOOKKEEPING = '.wh..wh.';

/** Throws TarError for what must not be, or cannot be, in a tree. */
export function placeOf(entry: TarEntry): Place {
  checkAttributes(entry);
  const names = split(entry.path, 'path');
  const last = names.length - 1;
  for (const [i, name] of names.entries()) {
    if (name[0] !== 0x2e || name.length < MARK.length) continue;
    const text = name.toString('latin1');
    if (text.startsWith(BOOKKEEPING)) return { kind: i === last && text === '.wh..wh..opq' ? 'opaque' : 'ignored', names };
    if (!text.startsWith(MARK)) continue;
    if (i < last) throw new TarError('it lies below a whiteout');
    names[i] = name.subarray(MARK.length);
    if (['', '.', '..'].includes(text.slice(MARK.length))) throw new TarError('it is a whiteout of nothing');
    return { kind: 'whiteout', names };
  }
  if (entry.type !== 'hardlink') return { kind: 'entry', names };
  return { kind: 'entry', names, target: split(entry.target, 'target') };
}

/** A leading slash is the layer's root, as it is for docker: nothing leads out of it. "." and empty names are nothing; ".." is refused, also where it would stay inside. */
function split(path: Buffer, what: string): Buffer[] {
  if (path.length > LONGEST_PATH) throw new TarError(`its ${what} has ${path.length} bytes: ${LONGEST_PATH} are the most`);
  const names: Buffer[] = [];
  for (let at = 0; at <= path.length;) {
    const slash = path.indexOf(SLASH, at);
    const end = slash < 0 ? path.length : slash;
    const length = end - at;
    if (length > LONGEST_NAME) throw new TarError(`a name in its ${what} has ${length} bytes: ${LONGEST_NAME} are the most`);
    const isDot = length === 1 && path[at] === 0x2e;
    if (length === 2 && path[at] === 0x2e && path[at + 1] === 0x2e)
      throw new TarError(`its ${what} has ".." in it, which may lead out of the tree`);
    if (length > 0 && !isDot) names.push(path.subarray(at, end));
    at = end + 1;
  }
  return names;
}

function checkAttributes({ type, target, uid, gid, major, minor }: TarEntry): void {
  if (uid > LARGEST_ID || gid > LARGEST_ID) throw new TarError(`its owner is ${uid}:${gid}: ${LARGEST_ID} is the greatest`);
  if (major > 0xfff || minor > 0xfffff) throw new TarError(`its device number is ${major}:${minor}: 4095:1048575 is the greatest`);
  if (type === 'symlink' && (target.length === 0 || target.length > LONGEST_PATH))
    throw new TarError(`its target has ${target.length} bytes: a symlink has 1 to ${LONGEST_PATH}`);
}

/** An overlay's own marks mean something where they are read from a directory. From an archive they would be a stranger's: the tree has none of them. */
export function isOverlayXattr(name: Buffer): boolean {
  return /^(trusted\.overlay|user\.overlay|user\.fuseoverlayfs)\./.test(name.toString('latin1'));
}

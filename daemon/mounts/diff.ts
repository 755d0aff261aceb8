/**
 * How a container differs from its image, by docker's rules: A (added), C (changed), D (deleted). It is read from the upper; of the layers only those
 * names are looked up that the upper has, and only those directories listed that it replaced or moved.
 *
 * A directory is C when its own attributes changed, or something in it did. What was deleted with a directory is told by the directory alone.
 */
import fs from 'node:fs';
import { type Entry, isDirectory, isMark, MARK, OPAQUE_FILE, TreeReader } from './tree-reader';
import { within } from './size';

export interface DiffRequest {
  /** byte strings; the layers topmost first */
  upper: string;
  layers: string[];
}

export type Kind = 'A' | 'C' | 'D';
/** Sorted by path, which is a byte string and begins with a slash. */
export type Diff = { kind: Kind; path: string }[];

/** A directory of a layer: what is below its path, without a leading slash. */
interface Place {
  layer: number;
  path: string;
}

/** What the layers have under a name: directories that merge, topmost first, or one other file, or nothing. */
interface Found {
  places: Place[];
  file: Entry | undefined;
  /** of the topmost directory */
  directory: Entry | undefined;
}

const exists = ({ file, directory }: Found): boolean => file !== undefined || directory !== undefined;

export function findChanges({ upper, layers }: DiffRequest, slot: number): Diff {
  const open = (path: string): number => fs.openSync(Buffer.from(path, 'latin1'), fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  const fds: number[] = [];
  try {
    for (const path of layers) fds.push(open(path));
    const differ = new Differ(new TreeReader(slot), fds);
    return within(open(upper), (fd) => differ.run(fd));
  } finally {
    for (const fd of fds) fs.closeSync(fd);
  }
}

class Differ {
  private readonly changes: Diff = [];

  constructor(
    private readonly reader: TreeReader,
    private readonly layers: readonly number[],
  ) {}

  run(upper: number): Diff {
    const root = this.layers.map((_, layer) => ({ layer, path: '' }));
    this.compare('', upper, root, root);
    return this.changes.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  }

  /**
   * A directory of the container: the upper's (none: undefined) over what it takes from the layers (`content`), against what the image has there
   * (`base`). The two lists are one and the same object where nothing was replaced or moved. Returns whether there is a change.
   */
  private compare(path: string, upper: number | undefined, content: readonly Place[], base: readonly Place[]): boolean {
    const before = this.changes.length;
    const entries = upper === undefined ? [] : this.reader.list(upper);
    const hidden = new Set<string>();
    for (const entry of entries) {
      if (entry.name === OPAQUE_FILE) content = [];
      else if (isMark(entry)) hidden.add(entry.name.slice(MARK.length));
      else if (this.reader.isWhiteout(upper!, entry)) hidden.add(entry.name);
    }
    const names = new Set(hidden);
    for (const name of hidden) if (content === base && exists(this.lookup(base, name))) this.add('D', path, name);
    for (const entry of entries) {
      if (isMark(entry) || names.has(entry.name)) continue;
      names.add(entry.name);
      this.compareEntry(path, upper!, entry, content, base);
    }
    if (content !== base) this.compareRest(path, content, base, names, hidden);
    return this.changes.length > before;
  }

  /** What the upper itself has. */
  private compareEntry(path: string, upper: number, entry: Entry, content: readonly Place[], base: readonly Place[]): void {
    const { name } = entry;
    const old = this.lookup(base, name);
    if (!isDirectory(entry)) {
      this.add(exists(old) ? 'C' : 'A', path, name);
      return;
    }
    const below = this.contentOf(upper, name, content, base, old);
    const fd = this.reader.open(upper, name);
    if (fd === undefined) return; // it has gone meanwhile
    const inside = within(fd, () => this.compare(`${path}/${name}`, fd, below, old.places));
    if (!exists(old)) this.add('A', path, name);
    else if (inside || old.directory === undefined || differs(entry, old.directory)) this.add('C', path, name);
  }

  /** The layers' directories that go on below a directory of the upper. */
  private contentOf(upper: number, name: string, content: readonly Place[], base: readonly Place[], old: Found): readonly Place[] {
    if (this.reader.isOpaque(upper, name)) return [];
    const redirect = this.reader.redirect(upper, name);
    if (redirect === undefined) return content === base ? old.places : this.lookup(content, name).places;
    if (!redirect.startsWith('/')) return this.lookup(content, redirect).places;
    return this.resolve(redirect, 0);
  }

  /** Where the directory was replaced or moved: what it shows of the layers, and what it does not show any more. */
  private compareRest(
    path: string,
    content: readonly Place[],
    base: readonly Place[],
    seen: ReadonlySet<string>,
    hidden: ReadonlySet<string>,
  ): void {
    const shown = this.merged(content);
    for (const name of this.merged(base))
      if ((!shown.has(name) || hidden.has(name)) && (!seen.has(name) || hidden.has(name))) this.add('D', path, name);
    for (const name of shown) {
      if (seen.has(name)) continue;
      const old = this.lookup(base, name);
      const now = this.lookup(content, name);
      if (now.directory !== undefined) this.compare(`${path}/${name}`, undefined, now.places, old.places);
      this.add(exists(old) ? 'C' : 'A', path, name);
    }
  }

  // ---- the layers ----------------------------------------------------------------------------------------------------------------------------

  /** Names that merged directories show. */
  private merged(places: readonly Place[]): Set<string> {
    const names = new Set<string>();
    const hidden = new Set<string>();
    for (const place of places) {
      const fd = this.openPlace(place);
      if (fd === undefined) continue;
      within(fd, () => {
        const hides: string[] = [];
        for (const entry of this.reader.list(fd)) {
          if (isMark(entry)) hides.push(entry.name.slice(MARK.length));
          else if (this.reader.isWhiteout(fd, entry)) hides.push(entry.name);
          else if (!hidden.has(entry.name)) names.add(entry.name);
        }
        for (const name of hides) hidden.add(name);
      });
    }
    return names;
  }

  /** fs/overlayfs/namei.c, ovl_lookup(): every layer's directory of that name merges, until something ends it. */
  private lookup(places: readonly Place[], name: string): Found {
    const found: Found = { places: [], file: undefined, directory: undefined };
    for (const place of places) {
      const fd = this.openPlace(place);
      if (fd === undefined) continue;
      if (within(fd, () => this.lookupIn(fd, place, name, found))) break;
    }
    return found;
  }

  /** Returns whether it ends there. */
  private lookupIn(fd: number, place: Place, name: string, found: Found): boolean {
    const entry = this.reader.stat(fd, name);
    if (entry === undefined) return this.reader.stat(fd, MARK + name) !== undefined;
    if (this.reader.isWhiteout(fd, entry)) return true;
    if (!isDirectory(entry)) {
      if (found.directory === undefined) found.file = entry;
      return true;
    }
    const path = place.path === '' ? name : `${place.path}/${name}`;
    found.directory ??= entry;
    found.places.push({ layer: place.layer, path });
    if (this.reader.isOpaque(fd, name)) return true;
    const child = this.openPlace({ layer: place.layer, path });
    if (child !== undefined && within(child, () => this.reader.stat(child, OPAQUE_FILE)) !== undefined) return true;
    const redirect = this.reader.redirect(fd, name);
    if (redirect === undefined) return false;
    const target = redirect.startsWith('/') ? redirect : place.path === '' ? redirect : `${place.path}/${redirect}`;
    found.places.push(...this.resolve(target, place.layer + 1));
    return true;
  }

  /** A path in the merged layers, from layer `from` on. */
  private resolve(path: string, from: number): Place[] {
    let places: Place[] = this.layers.map((_, layer) => ({ layer, path: '' })).slice(from);
    for (const name of path.split('/')) if (name !== '') places = this.lookup(places, name).places;
    return places;
  }

  /** Component by component: a path may be longer than PATH_MAX, and no symlink is followed. */
  private openPlace({ layer, path }: Place): number | undefined {
    let fd = this.reader.open(this.layers[layer], '.');
    for (const name of path.split('/')) {
      if (name === '' || fd === undefined) continue;
      const parent = fd;
      fd = within(parent, () => this.reader.open(parent, name));
    }
    return fd;
  }

  private add(kind: Kind, path: string, name: string): void {
    this.changes.push({ kind, path: `${path}/${name}` });
  }
}

function differs(a: Entry, b: Entry): boolean {
  return a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid || a.mtime !== b.mtime;
}

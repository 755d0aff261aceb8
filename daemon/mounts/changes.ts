/**
 * How a container's tree differs from its image's, as one walk in the order of the paths. It is read from the upper; of the layers only those names
 * are looked up that the upper has, and only those directories listed that it replaced or moved.
 */
import type { IndexedFiles } from './indexed-files';
import { DirectoryTree, joined, type LayerTree } from './layer-tree';
import { exists, type Found, type FoundFile, type Lowers, type Place } from './lowers';
import { type Entry, isDirectory } from './tree-reader';

/** Where what the container shows comes from. */
export type Source =
  /** the upper, or its index (a lower file that was changed through another of its names): `below` are the directories it lies on */
  | { kind: 'upper'; tree: LayerTree; path: string; entry: Entry; below: readonly Place[] }
  /** the file `lower` was changed and is not in the upper under this name: `file` is what became of it */
  | { kind: 'indexed'; tree: LayerTree; path: string; entry: Entry; lower: FoundFile }
  | { kind: 'lower'; file: FoundFile }
  /** a directory of the layers */
  | { kind: 'directory'; entry: Entry; place: Place };

export type Step =
  /** The image has it, the container does not. `replaced`: its directory is another one than the image's. */
  | { step: 'gone'; path: string; replaced: boolean }
  /** anything but a directory */
  | { step: 'file'; path: string; source: Source; old: Found }
  /** A directory; what is in it comes next, then 'leave'. `replaced`: nothing of what the image has there shows through. */
  | { step: 'enter' | 'leave'; path: string; source: Source; old: Found; replaced: boolean };

export const entryOf = (source: Source): Entry => (source.kind === 'lower' ? source.file.entry : source.entry);

/** A directory of the container. */
interface Directory {
  path: string;
  /** the upper's, if it has one */
  upper: string | undefined;
  /** What it takes from the layers, and what the image has there: one and the same object where nothing was replaced or moved. */
  content: readonly Place[];
  base: readonly Place[];
}

export class Changes {
  constructor(
    private readonly upper: DirectoryTree,
    private readonly lowers: Lowers,
    private readonly indexed: IndexedFiles,
  ) {}

  /** From now on the walk tells of all names of an inode of the layers, or of none. */
  keepLinks(): void {
    const moved: FoundFile[] = [];
    for (const { step, source } of this.walk() as Iterable<Step & { source?: Source }>)
      if (step === 'file' && source?.kind === 'lower' && source.file.entry.nlink > 1) moved.push(source.file);
    this.indexed.join(moved);
  }

  /** The root itself is in none of the steps. */
  *walk(): Generator<Step, void> {
    const root = this.lowers.root();
    yield* this.directory({ path: '', upper: '', content: root, base: root });
  }

  private *directory(directory: Directory): Generator<Step, void> {
    const { path, upper, content, base } = directory;
    const replaced = content !== base;
    const { entries, hidden } = (upper === undefined ? undefined : this.upper.list(upper)) ?? { entries: [], hidden: [] };
    const uppers = new Map(entries.map((entry) => [entry.name, entry]));
    const whiteouts = new Set(hidden.filter((name) => !uppers.has(name)));
    const names = new Set([...uppers.keys(), ...whiteouts]);
    // In a directory that was replaced or moved, all of it is told; else what the upper has, and what it changed by another name.
    const shown = replaced ? this.lowers.merged(content) : this.indexed.namesIn(path);
    for (const name of shown) names.add(name);
    if (replaced) for (const name of this.lowers.merged(base)) names.add(name);
    for (const name of [...names].sort(byBytes)) {
      const entry = uppers.get(name);
      if (entry !== undefined) yield* this.ofUpper(directory, entry);
      else if (!whiteouts.has(name) && shown.has(name)) yield* this.ofLowers(directory, name);
      else if (exists(this.lowers.lookup(base, name))) yield { step: 'gone', path: joined(path, name), replaced };
    }
  }

  private *ofUpper({ path, upper, content, base }: Directory, entry: Entry): Generator<Step, void> {
    const { name } = entry;
    const here = joined(path, name);
    const below = joined(upper!, name);
    const old = this.lowers.lookup(base, name);
    const source: Source = { kind: 'upper', tree: this.upper, path: below, entry, below: content };
    if (!isDirectory(entry)) {
      yield { step: 'file', path: here, source, old };
      return;
    }
    const goesOn = this.contentOf(below, name, content, base, old);
    yield* this.whole({ path: here, upper: below, content: goesOn, base: old.places }, source, old);
  }

  private *whole(directory: Directory, source: Source, old: Found): Generator<Step, void> {
    const { path, content, base } = directory;
    const replaced = content !== base && base.length > 0;
    yield { step: 'enter', path, source, old, replaced };
    yield* this.directory(directory);
    yield { step: 'leave', path, source, old, replaced };
  }

  private *ofLowers({ path, content, base }: Directory, name: string): Generator<Step, void> {
    const here = joined(path, name);
    const now = this.lowers.lookup(content, name);
    const old = content === base ? now : this.lowers.lookup(base, name);
    if (now.directory !== undefined) {
      yield* this.whole(
        { path: here, upper: undefined, content: now.places, base: old.places },
        { kind: 'directory', ...now.directory },
        old,
      );
    } else if (now.file !== undefined) {
      const changed = this.indexed.find(now.file);
      if (changed !== undefined) yield { step: 'file', path: here, source: { kind: 'indexed', ...changed, lower: now.file }, old };
      else if (content !== base || this.indexed.isJoined(now.file))
        yield { step: 'file', path: here, source: { kind: 'lower', file: now.file }, old };
    }
  }

  /** The layers' directories that go on below a directory of the upper. */
  private contentOf(upper: string, name: string, content: readonly Place[], base: readonly Place[], old: Found): readonly Place[] {
    if (this.upper.isOpaque(upper)) return [];
    const redirect = this.upper.redirect(upper);
    if (redirect !== undefined) return this.lowers.follow(redirect, content, 0).places;
    return content === base ? old.places : this.lowers.lookup(content, name).places;
  }
}

const byBytes = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

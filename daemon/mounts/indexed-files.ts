/**
 * Lower files with several names, of which one was changed: by the kernel's index (Documentation/filesystems/overlayfs.rst, "Index") they all are the
 * file in workdir/index that is named by the lower's handle, those too that are still in the layers only.
 */
import fs from 'node:fs';
import { LayerIndex } from '../store';
import { DirectoryTree, type LayerPlace, type LayerTree, split } from './layer-tree';
import type { Lowers, Place } from './lowers';
import { type Entry, isDirectory, type TreeReader } from './tree-reader';

/** The names of one inode of a layer. */
interface Group {
  layer: number;
  paths: string[];
}

interface IndexedFile {
  tree: LayerTree;
  path: string;
  entry: Entry;
}

export class IndexedFiles {
  private readonly files = new Map<string, IndexedFile>();
  private readonly joined = new Set<string>();
  /** by directories of the image: the names in them that lead to such files */
  private readonly names = new Map<string, Set<string>>();
  private tree: DirectoryTree | undefined;

  private constructor(
    private readonly lowers: Lowers,
    private readonly places: readonly LayerPlace[],
  ) {}

  /** `work`: the work directory, a byte string; undefined: there is none. */
  static read(work: string | undefined, lowers: Lowers, places: readonly LayerPlace[], reader: TreeReader): IndexedFiles {
    const indexed = new IndexedFiles(lowers, places);
    if (work === undefined) return indexed;
    const directory = `${work}/index`;
    if (!fs.existsSync(Buffer.from(directory, 'latin1'))) return indexed;
    const tree = (indexed.tree = DirectoryTree.open(directory, reader));
    const entries = new Map(tree.list('')!.entries.flatMap((entry) => (isDirectory(entry) ? [] : [[entry.name, entry]])));
    if (entries.size === 0) return indexed;
    for (const { layer, paths } of indexed.groups()) {
      const handle = lowers.layers[layer].handle(paths[0]);
      const entry = handle === undefined ? undefined : entries.get(handle);
      if (entry === undefined) continue;
      for (const path of paths) {
        indexed.files.set(key({ layer, path }), { tree, path: entry.name, entry });
        indexed.name({ layer, path });
      }
    }
    return indexed;
  }

  /**
   * Other names of these lower files are to be told too, though nothing of them has changed: the files themselves came to lie elsewhere, and a layer
   * that tells of some of an inode's names only would tear it apart.
   */
  join(files: readonly Place[]): void {
    const wanted = new Set(files.map(key));
    if (wanted.size === 0) return;
    for (const { layer, paths } of this.groups()) {
      if (!paths.some((path) => wanted.has(key({ layer, path })))) continue;
      for (const path of paths) {
        this.joined.add(key({ layer, path }));
        this.name({ layer, path });
      }
    }
  }

  isJoined(place: Place): boolean {
    return this.joined.has(key(place));
  }

  private *groups(): Generator<Group> {
    for (const [layer, place] of this.places.entries()) yield* groups(place, layer);
  }

  private name(place: Place): void {
    const { file: seen } = this.lowers.resolve(place.path);
    if (seen === undefined || key(seen) !== key(place)) return; // another layer hides it
    for (let path = place.path; path !== '';) {
      const { directory, name } = split(path);
      const names = this.names.get(directory);
      if (names === undefined) this.names.set(directory, new Set([name]));
      else names.add(name);
      path = directory;
    }
  }

  /** What became of a lower file, if it was changed by another of its names. */
  find(place: Place): IndexedFile | undefined {
    return this.files.get(key(place));
  }

  /** The names in a directory of the image that are, or lead to, such files. */
  namesIn(directory: string): ReadonlySet<string> {
    return this.names.get(directory) ?? NONE;
  }

  close(): void {
    this.tree?.close();
  }
}

const NONE: ReadonlySet<string> = new Set();
const key = ({ layer, path }: Place): string => `${layer}/${path}`;

/** The files of a layer that have several names. */
function groups(place: LayerPlace, layer: number): Group[] {
  const index = LayerIndex.open(Buffer.from(place.index, 'latin1').toString());
  try {
    const paths = new Map<number, string[]>();
    for (const row of index.linked()) {
      const path = index.path(row).toString('latin1');
      const known = paths.get(row.hardlink);
      if (known === undefined) paths.set(row.hardlink, [path]);
      else known.push(path);
    }
    return [...paths.values()].map((all) => ({ layer, paths: all }));
  } finally {
    index.close();
  }
}

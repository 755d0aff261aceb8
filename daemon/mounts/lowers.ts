/** An image's layers as they merge: what a name stands for by the rules of fs/overlayfs/namei.c, ovl_lookup(). Paths are byte strings. */
import { HIDDEN, joined, type LayerTree, split } from './layer-tree';
import { type Entry, isDirectory, isRegular } from './tree-reader';

/** A directory of a layer: its path, without a leading slash. */
export interface Place {
  layer: number;
  path: string;
}

/** A file of a layer, and the directories of the layers below that its own merges with: where the data of a metacopy may be. */
export interface FoundFile extends Place {
  entry: Entry;
  below: readonly Place[];
}

/** What the layers have under a name: directories that merge, topmost first, or one other file, or nothing. */
export interface Found {
  places: Place[];
  file: FoundFile | undefined;
  /** the attributes of the merged directory, and which place has them */
  directory: { entry: Entry; place: Place } | undefined;
}

export const exists = ({ file, directory }: Found): boolean => file !== undefined || directory !== undefined;

export class Lowers {
  /** `layers`: topmost first */
  constructor(readonly layers: readonly LayerTree[]) {}

  root(from = 0): Place[] {
    return this.layers.map((_, layer) => ({ layer, path: '' })).slice(from);
  }

  /** The root. */
  found(): Found {
    const places = this.root();
    const roots = places.map((place) => ({ entry: this.layers[place.layer].root(), place }));
    return { places, file: undefined, directory: roots.find(({ entry }) => entry.implicit !== true) ?? roots.at(-1) };
  }

  /** Names that merged directories show. */
  merged(places: readonly Place[]): Set<string> {
    const names = new Set<string>();
    const hidden = new Set<string>();
    for (const { layer, path } of places) {
      const listing = this.layers[layer].list(path);
      if (listing === undefined) continue;
      for (const { name } of listing.entries) if (!hidden.has(name)) names.add(name);
      for (const name of listing.hidden) hidden.add(name);
    }
    return names;
  }

  /** Every layer's directory of that name merges, until something ends it. */
  lookup(places: readonly Place[], name: string): Found {
    const found: Found = { places: [], file: undefined, directory: undefined };
    for (const [at, place] of places.entries()) {
      const entry = this.layers[place.layer].entry(place.path, name);
      if (entry === undefined) continue;
      if (entry === HIDDEN) break;
      const here = { layer: place.layer, path: joined(place.path, name) };
      if (!isDirectory(entry)) {
        if (found.directory === undefined) found.file = { ...here, entry, below: places.slice(at + 1) };
        break;
      }
      if (found.directory === undefined || found.directory.entry.implicit === true) found.directory = { entry, place: here };
      found.places.push(here);
      if (this.endsAt(here, places.slice(at + 1), found)) break;
    }
    return found;
  }

  /** Does the merged directory end with this one? What a redirect adds to it is added. */
  private endsAt(here: Place, below: readonly Place[], found: Found): boolean {
    const tree = this.layers[here.layer];
    if (tree.isOpaque(here.path)) return true;
    const redirect = tree.redirect(here.path);
    if (redirect === undefined) return false;
    found.places.push(...this.follow(redirect, below, here.layer + 1).places);
    return true;
  }

  /** What a redirect leads to: a name alone is one in the directories that are given, a path one in the merged layers from `from` on. */
  follow(redirect: string, below: readonly Place[], from: number): Found {
    return redirect.startsWith('/') ? this.resolve(redirect, from) : this.lookup(below, redirect);
  }

  /** A path in the merged layers, from layer `from` on. */
  resolve(path: string, from = 0): Found {
    let found: Found = { places: this.root(from), file: undefined, directory: undefined };
    for (const name of path.split('/')) if (name !== '') found = this.lookup(found.places, name);
    return found;
  }

  /** The file that has the data of this one: it itself, unless it is a metacopy. */
  data(file: FoundFile): Place {
    const tree = this.layers[file.layer];
    if (!isRegular(file.entry) || !tree.isMetacopy(file.path)) return file;
    return this.below(tree, file.path, file.below, file.layer + 1);
  }

  /** The data of the metacopy at a tree's path, whose directory goes on below in `below`. */
  below(tree: LayerTree, path: string, below: readonly Place[], from: number): Place {
    const { file } = this.follow(tree.redirect(path) ?? split(path).name, below, from);
    if (file === undefined) throw new Error(`${path} has attributes, but its data are in no layer: a layer has changed`);
    return this.data(file);
  }
}

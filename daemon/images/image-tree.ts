/**
 * Which layer each path of an image comes from, and what each layer adds, hides and wastes: all layers are walked together, a directory at a time.
 *
 * Sizes are of regular files, the names of one inode counted once. A layer wastes what of its own files no path of the image leads to any more. Who hides a
 * file is the lowest layer above that does; of one with several names, whoever hides the last. Paths are taken as they lie: a layer made by an overlay that
 * moved a directory by a redirect shows it where it was.
 */
import type { LayerShare, TreeEntry } from '../api/types';
import { joined, type LayerPlace, type LayerTree, openLayer } from '../mounts/layer-tree';
import { type Entry, isDirectory, isLink, isRegular, type TreeReader } from '../mounts/tree-reader';

/** A layer's entry at a path; layers are numbered from the lowest, 0. */
interface Member {
  layer: number;
  entry: Entry;
  isOpaque: boolean;
  /** the layer that hides it */
  by: number | undefined;
}

interface Inode {
  size: number;
  names: number;
  hidden: number;
  by: number;
}

export type Shares = Omit<LayerShare, 'id' | 'createdBy'>;

/** `places`: topmost first. `show` takes the entries in the order of their paths; the result is in the order of `places`. */
export async function imageTree(
  places: readonly LayerPlace[],
  reader: TreeReader,
  show: (entry: TreeEntry) => void,
  breathe: () => Promise<void>,
): Promise<Shares[]> {
  const trees: LayerTree[] = [];
  try {
    for (const place of places) trees.unshift(openLayer(place, reader));
    return (await new Walk(trees, show, breathe).run()).reverse();
  } finally {
    for (const tree of trees) tree.close();
  }
}

class Walk {
  private readonly shares: Shares[];
  private readonly inodes = new Map<string, Inode>();

  constructor(
    private readonly trees: readonly LayerTree[],
    private readonly show: (entry: TreeEntry) => void,
    private readonly breathe: () => Promise<void>,
  ) {
    const none = { entries: 0, bytes: 0 };
    this.shares = trees.map(() => ({ adds: { ...none }, hides: { ...none }, wastes: { ...none } }));
  }

  async run(): Promise<Shares[]> {
    const root = this.trees.map((tree, layer): Member => ({ layer, entry: tree.root(), isOpaque: tree.isOpaque(''), by: undefined }));
    await this.below('', hide(root, new Set()));
    this.settle();
    return this.shares;
  }

  private async below(path: string, directories: readonly Member[]): Promise<void> {
    const names = new Map<string, { members: Member[]; whiteouts: Set<number> }>();
    const at = (name: string): { members: Member[]; whiteouts: Set<number> } => {
      let found = names.get(name);
      if (found === undefined) names.set(name, (found = { members: [], whiteouts: new Set() }));
      return found;
    };
    for (const { layer, by } of directories) {
      const tree = this.trees[layer];
      const listing = tree.list(path);
      for (const name of listing?.hidden ?? []) at(name).whiteouts.add(layer);
      for (const entry of listing?.entries ?? []) {
        const isOpaque = isDirectory(entry) && tree.isOpaque(joined(path, entry.name));
        at(entry.name).members.push({ layer, entry, isOpaque, by });
      }
    }
    for (const name of [...names.keys()].sort()) {
      const { members, whiteouts } = names.get(name)!;
      if (members.length === 0) continue;
      const here = joined(path, name);
      const all = hide(members, whiteouts);
      for (const member of all) this.count(here, member);
      this.tell(here, all);
      const further = all.filter(({ entry }) => isDirectory(entry));
      if (further.length > 0) await this.below(here, further);
      await this.breathe();
    }
  }

  private count(path: string, { layer, entry, by }: Member): void {
    if (entry.implicit === true) return;
    const share = this.shares[layer];
    share.adds.entries++;
    if (by !== undefined) {
      share.wastes.entries++;
      this.shares[by].hides.entries++;
    }
    if (!isRegular(entry)) return;
    const key = entry.nlink > 1 ? `${layer}:${entry.ino}` : `${layer}/${path}`;
    const inode = this.inodes.get(key) ?? { size: entry.size, names: 0, hidden: 0, by: -1 };
    if (inode.names++ === 0) share.adds.bytes += inode.size;
    if (by !== undefined) {
      inode.hidden++;
      inode.by = Math.max(inode.by, by);
    }
    if (entry.nlink > 1) this.inodes.set(key, inode);
    else this.waste(layer, inode);
  }

  private waste(layer: number, { size, names, hidden, by }: Inode): void {
    if (hidden < names) return;
    this.shares[layer].wastes.bytes += size;
    this.shares[by].hides.bytes += size;
  }

  /** Of the files with several names, when all of these were seen. */
  private settle(): void {
    for (const [key, inode] of this.inodes) this.waste(Number(key.slice(0, key.indexOf(':'))), inode);
  }

  private tell(path: string, all: readonly Member[]): void {
    const index = (layer: number): number => this.trees.length - 1 - layer;
    const visible = all.filter(({ by, entry }) => by === undefined && entry.implicit !== true);
    const shown = visible.at(-1);
    const hidden = all.filter(({ by, entry }) => by !== undefined && entry.implicit !== true);
    if (shown === undefined && hidden.length === 0) return;
    const text = Buffer.from(path, 'latin1').toString();
    const any = shown ?? hidden[hidden.length - 1];
    this.show({
      path: `/${text}`,
      ...(Buffer.from(text).toString('latin1') !== path && { pathBase64: Buffer.from(`/${path}`, 'latin1').toString('base64') }),
      type: typeOf(any.entry),
      size: isRegular(any.entry) ? any.entry.size : 0,
      layer: shown === undefined ? null : index(shown.layer),
      hidden: hidden
        .map(({ layer, by, entry }) => ({ layer: index(layer), by: index(by!), size: isRegular(entry) ? entry.size : 0 }))
        .reverse(),
    });
  }
}

/** Says of each who hides it, from the lowest up. `whiteouts`: the layers that hide the name. They come sorted. */
function hide(members: readonly Member[], whiteouts: ReadonlySet<number>): Member[] {
  const all = [...members].sort((a, b) => a.layer - b.layer);
  for (const one of all) {
    const isDir = isDirectory(one.entry);
    const above = all.filter(({ layer, entry, isOpaque }) => layer > one.layer && !(isDir && isDirectory(entry) && !isOpaque));
    const hiders = [...above.map(({ layer }) => layer), ...[...whiteouts].filter((layer) => layer > one.layer)];
    if (one.by !== undefined) hiders.push(one.by);
    one.by = hiders.length === 0 ? undefined : Math.min(...hiders);
  }
  return all;
}

function typeOf(entry: Entry): TreeEntry['type'] {
  if (isDirectory(entry)) return 'directory';
  if (isRegular(entry)) return 'file';
  return isLink(entry) ? 'link' : 'other';
}

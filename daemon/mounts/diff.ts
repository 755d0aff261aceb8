/**
 * How a container differs from its image, by docker's rules: A (added), C (changed), D (deleted).
 *
 * A directory is C when its own attributes changed, or something in it did. What was deleted with a directory is told by the directory alone.
 */
import { Changes, entryOf, type Source } from './changes';
import { IndexedFiles } from './indexed-files';
import { DirectoryTree, type LayerPlace, openLayer } from './layer-tree';
import { exists, type Found, Lowers } from './lowers';
import { type Entry, TreeReader } from './tree-reader';

/** What a container is made of: byte strings; the layers topmost first. */
export interface ContainerTrees {
  upper: string;
  /** none: of a directory that is a layer */
  work?: string;
  /** as TreeReader has it */
  userxattr?: boolean;
  layers: LayerPlace[];
}

export type Kind = 'A' | 'C' | 'D';
/** Sorted by path, which is a byte string and begins with a slash. */
export type Diff = { kind: Kind; path: string }[];

export function findChanges(trees: ContainerTrees, slot: number): Diff {
  const { changes, close } = openTrees(trees, new TreeReader(slot, trees.userxattr));
  try {
    return differences(changes);
  } finally {
    close();
  }
}

/** What a container is made of, opened. */
export interface OpenTrees {
  changes: Changes;
  lowers: Lowers;
  upper: DirectoryTree;
  /** TreeReader's */
  marks: string;
  close: () => void;
}

export function openTrees({ upper, work, layers }: ContainerTrees, reader: TreeReader): OpenTrees {
  const open: { close: () => void }[] = [];
  const close = (): void => {
    for (const one of open) one.close();
  };
  const opened = <O extends { close: () => void }>(one: O): O => {
    open.push(one);
    return one;
  };
  try {
    const lowers = new Lowers(layers.map((place) => opened(openLayer(place, reader))));
    const indexed = opened(IndexedFiles.read(work, lowers, layers, reader));
    const tree = opened(DirectoryTree.open(upper, reader, work !== undefined));
    return { changes: new Changes(tree, lowers, indexed), lowers, upper: tree, marks: reader.marks, close };
  } catch (error) {
    close();
    throw error;
  }
}

function differences(changes: Changes): Diff {
  const found: Diff = [];
  const before: number[] = []; // how many there were when a directory was entered
  for (const step of changes.walk()) {
    const add = (kind: Kind): void => void found.push({ kind, path: `/${step.path}` });
    if (step.step === 'gone') add('D');
    else if (step.step === 'file') {
      if (!isSame(step.source, step.old)) add(exists(step.old) ? 'C' : 'A');
    } else if (step.step === 'enter') before.push(found.length);
    else {
      const inside = found.length > before.pop()!;
      if (!exists(step.old)) add('A');
      else if (inside || isChanged(step.source, step.old)) add('C');
    }
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

function isChanged(source: Source, { directory }: Found): boolean {
  if (directory === undefined) return true;
  const differs = (a: Entry, b: Entry): boolean =>
    a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid || a.mtime !== b.mtime || a.mtimeNsec !== b.mtimeNsec;
  return differs(entryOf(source), directory.entry);
}

/** A file of the layers that is where it was, though its directory came to be there in another way. */
function isSame(source: Source, { file }: Found): boolean {
  return source.kind === 'lower' && file !== undefined && source.file.layer === file.layer && source.file.path === file.path;
}

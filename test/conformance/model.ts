/** What a conformance case is. The cases themselves are tables in cases/. */
import { type Entry, type Tree, dir, mtimeOf } from '../support/layers.js';
import { script } from '../support/script.js';

/**
 * A behaviour: trees, and operations on their merge. Each case has a directory of its own; paths are relative to it. The entry "." is that directory.
 */
export interface Case {
  /** the behaviour it pins */
  name: string;
  /** what the lowers show together: spread over as many as there are */
  lower?: Tree;
  /** or the lowers themselves, the topmost first; needs at least as many in the stack */
  layers?: Tree[];
  /** what the upper holds before the mount */
  upper?: Tree;
  /** what the host starts from, where merge() cannot know it (redirects) */
  merged?: Tree;
  /** in the notation of support/script.ts */
  steps: string;
  /** after a remount; inode numbers are compared with those of `steps` */
  again?: string;
  /** fields of `stat` that are compared too: ino dev ctime atime nlink (of directories) holes (blocks) */
  see?: readonly string[];
  /** of what getdents gives, only the names count that every `list` of the case has: POSIX leaves open what a reader sees of changes */
  staying?: boolean;
  /** why the kernel's overlay cannot run it */
  notKernel?: string;
}

export interface Group {
  subject: string;
  cases: Case[];
}

export const group = (subject: string, cases: readonly (Case | Case[])[]): Group => ({ subject, cases: cases.flat() });

const entryOf = (entry: Entry | string): Entry => (typeof entry === 'string' ? { type: 'f', data: entry } : entry);

/** Every directory of the tree, the implied ones too. */
function directories(tree: Tree): Tree {
  const found: Tree = {};
  for (const [path, entry] of Object.entries(tree)) {
    const parts = path.split('/');
    for (let depth = 1; depth < parts.length; depth++) found[parts.slice(0, depth).join('/')] ??= dir();
    if (entryOf(entry).type === 'd') found[path] = entry;
  }
  return found;
}

/** Sets the times of everything to what they are: all of it is copied up, as metadata. */
function touchAll(tree: Tree, caseId: string): string {
  const all: Tree = { ...directories(tree), ...tree };
  return Object.entries(all)
    .filter(([path, entry]) => path !== '.' && entryOf(entry).type !== 'h')
    .map(([path, entry]) => `utimens ${path} mtime=${entryOf(entry).mtime ?? mtimeOf(`${caseId}/${path}`)}`)
    .join('\n');
}

/** One behaviour wherever the tree comes from: the lowers, the upper, directories merged from both, or lowers that were copied up. */
export function everywhere(one: Omit<Case, 'layers' | 'upper' | 'merged' | 'lower'> & { tree: Tree }): Case[] {
  const { tree, ...rest } = one;
  return [
    { ...rest, name: `${one.name} [lower]`, lower: tree },
    { ...rest, name: `${one.name} [upper]`, upper: tree, lower: '.' in tree ? { '.': tree['.'] } : {} },
    { ...rest, name: `${one.name} [merged]`, lower: tree, upper: directories(tree) },
    { ...rest, name: `${one.name} [copied up]`, lower: tree, steps: `$TOUCH\n${one.steps}` },
  ];
}

/** A case with its directory's name and its operations in the helper's lines. */
export interface Prepared {
  id: string;
  subject: string;
  one: Case;
  steps: string[];
  again: string[];
}

export function prepare(groups: readonly Group[]): Prepared[] {
  const prepared = groups.flatMap(({ subject, cases }) =>
    cases.map((one, index): Prepared => {
      const id = `${subject}-${index}`;
      const steps = one.steps.replace('$TOUCH', () => touchAll(one.lower ?? {}, id));
      return { id, subject, one, steps: script(steps), again: script(one.again ?? '') };
    }),
  );
  const names = prepared.map(({ subject, one }) => `${subject}: ${one.name}`);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`two cases are named ${twice}`);
  return prepared;
}

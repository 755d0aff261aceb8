/** Compares a layer's tree with its index. */
import type { Layer, LayerVerification } from '../api/types';
import { StoreError } from './errors';
import type { Progress } from './index-build';
import { FileType, INDEX, type IndexRow, LayerIndex } from './index-rows';
import { displayPath, joinPath } from './paths';
import { type Attributes, type Tick, Tree, type TreeEntry } from './tree';
import { TreeDigest } from './tree-digest';
import { ownXattrs } from './xattrs';

/** Of each list; `ok` tells the truth about the rest. */
const MOST = 1000;

/** A directory that is yet to be compared: one that both have. */
interface Pending {
  path: Buffer;
  row: IndexRow;
  attributes: Attributes;
}

/**
 * Quickly: an entry whose type, mode, owner, size, times (ctime too) and inode number are those of the index is taken for unchanged; where ctime or inode
 * number differ and nothing else, content and xattrs are read and decide. Deep: they are read for every entry, so that also what a disk lost or was written
 * behind the file system's back is found.
 *
 * A directory counts as changed for its own mode, owner and xattrs, and for its time if nothing that was added to or removed from it explains that.
 * Everything below an added or removed directory is named as well.
 */
export async function verifyIndex(
  directory: string,
  file: string,
  treeDigest: string,
  deep: boolean,
  progress: Progress,
  tick: Tick,
): Promise<LayerVerification> {
  const index = LayerIndex.open(file);
  try {
    checkIndex(index, file, treeDigest, 'directory');
    const tree = new Tree(directory);
    try {
      return await new Verifier(tree, index, deep, progress, tick).run();
    } finally {
      tree.close();
    }
  } finally {
    index.close();
  }
}

/** Throws StoreError unless the rows are those that the layer was added with. */
export function checkIndex(index: LayerIndex, file: string, treeDigest: string, kind: Layer['kind']): void {
  const digest = new TreeDigest(kind);
  for (const row of index.rows()) digest.add(row);
  if (digest.hex() !== treeDigest)
    throw new StoreError(`${file} is damaged (its rows have another digest than the layer): ${INDEX.remedy}`);
}

class Verifier {
  private readonly changed = new Set<string>();
  private readonly added = new Set<string>();
  private readonly removed = new Set<string>();
  private ok = true;
  private queue: Pending[] = [];
  private readonly inodeOf = new Map<number, string>();
  private readonly groupOf = new Map<string, number>();

  constructor(
    private readonly tree: Tree,
    private readonly index: LayerIndex,
    private readonly deep: boolean,
    private readonly progress: Progress,
    private readonly tick: Tick,
  ) {}

  async run(): Promise<LayerVerification> {
    const path = Buffer.alloc(0);
    const fd = this.tree.openDirectory(path);
    try {
      await this.compare(fd, path, this.index.root(), { name: path, ...this.tree.attributes(fd, path) });
    } finally {
      this.tree.closeDirectory(fd);
    }
    while (this.queue.length > 0) {
      const level = this.queue;
      this.queue = [];
      for (const pending of level) await this.directory(pending);
    }
    const sorted = (names: Set<string>): string[] => [...names].sort();
    return { ok: this.ok, changed: sorted(this.changed), added: sorted(this.added), removed: sorted(this.removed) };
  }

  private async directory({ path, row, attributes }: Pending): Promise<void> {
    const fd = this.tree.openDirectory(path);
    try {
      const rows = this.index.children(row.id);
      const entries = this.tree.entries(fd, path);
      const explained = await this.merge(fd, path, rows, entries);
      if (!explained && (attributes.mtime !== row.mtime || attributes.mtimeNsec !== row.mtimeNsec)) this.note(this.changed, path);
    } finally {
      this.tree.closeDirectory(fd);
    }
  }

  /** Both sorted. True if something was added or removed. */
  private async merge(fd: number, path: Buffer, rows: IndexRow[], entries: TreeEntry[]): Promise<boolean> {
    let explained = false;
    for (let r = 0, e = 0; r < rows.length || e < entries.length;) {
      const order = r === rows.length ? 1 : e === entries.length ? -1 : Buffer.compare(rows[r].name, entries[e].name);
      if (order !== 0) explained = true;
      if (order < 0) this.gone(path, rows[r]);
      else if (order > 0) this.new(path, entries[e]);
      else await this.compare(fd, joinPath(path, entries[e].name), rows[r], entries[e]);
      if (order <= 0) r++;
      if (order >= 0) e++;
      this.progress.entries++;
      await this.tick(0);
    }
    return explained;
  }

  private async compare(fd: number, path: Buffer, row: IndexRow, entry: TreeEntry): Promise<void> {
    const [was, is] = [row.mode & FileType.MASK, entry.mode & FileType.MASK];
    if (was === FileType.DIRECTORY && is === FileType.DIRECTORY) {
      this.queue.push({ path, row, attributes: entry });
    } else if (was !== is) {
      // The name stands for something else: what was below it is gone, what is below it now is new.
      this.note(this.changed, path);
      if (was === FileType.DIRECTORY) for (const child of this.index.children(row.id)) this.gone(path, child);
      if (is === FileType.DIRECTORY) this.newBelow(path);
      return;
    }
    if (!sameAttributes(row, entry) || !this.sameLinks(row, entry) || !(await this.sameContent(fd, path, row, entry)))
      this.note(this.changed, path);
  }

  /** Names of one inode in the index are names of one inode in the tree, and the other way round. */
  private sameLinks(row: IndexRow, entry: TreeEntry): boolean {
    if ((row.mode & FileType.MASK) === FileType.DIRECTORY || (row.hardlink === 0 && entry.nlink < 2)) return true;
    const group = row.hardlink === 0 ? row.id : row.hardlink;
    const inode = `${entry.device}/${entry.ino}`;
    if (!this.inodeOf.has(group)) this.inodeOf.set(group, inode);
    if (!this.groupOf.has(inode)) this.groupOf.set(inode, group);
    return this.inodeOf.get(group) === inode && this.groupOf.get(inode) === group;
  }

  private async sameContent(fd: number, path: Buffer, row: IndexRow, entry: TreeEntry): Promise<boolean> {
    const touched = row.ino !== entry.ino || row.ctime !== entry.ctime || row.ctimeNsec !== entry.ctimeNsec;
    if (!touched && !this.deep) return true;
    if (!equal(ownXattrs(row.xattrs), ownXattrs(this.tree.xattrs(fd, entry.name, path)))) return false;
    const type = entry.mode & FileType.MASK;
    if (type === FileType.LINK) return equal(row.target, this.tree.target(fd, entry.name, path));
    return type !== FileType.REGULAR || equal(row.digest, (await this.tree.digest(fd, entry.name, path, this.tick)).digest);
  }

  private gone(directory: Buffer, row: IndexRow): void {
    const pending = [{ path: joinPath(directory, row.name), row }];
    for (let next = pending.pop(); next !== undefined && !this.full(this.removed); next = pending.pop()) {
      const { path, row } = next;
      this.note(this.removed, path);
      if ((row.mode & FileType.MASK) === FileType.DIRECTORY)
        for (const child of this.index.children(row.id)) pending.push({ path: joinPath(path, child.name), row: child });
    }
  }

  private new(directory: Buffer, entry: TreeEntry): void {
    const path = joinPath(directory, entry.name);
    this.note(this.added, path);
    if ((entry.mode & FileType.MASK) === FileType.DIRECTORY) this.newBelow(path);
  }

  private newBelow(directory: Buffer): void {
    const pending = [directory];
    for (let path = pending.pop(); path !== undefined && !this.full(this.added); path = pending.pop()) {
      const fd = this.tree.openDirectory(path);
      try {
        for (const entry of this.tree.entries(fd, path)) {
          const below = joinPath(path, entry.name);
          this.note(this.added, below);
          if ((entry.mode & FileType.MASK) === FileType.DIRECTORY) pending.push(below);
        }
      } finally {
        this.tree.closeDirectory(fd);
      }
    }
  }

  private note(list: Set<string>, path: Buffer): void {
    this.ok = false;
    if (!this.full(list)) list.add(displayPath(path));
  }

  private full(list: Set<string>): boolean {
    return list.size >= MOST;
  }
}

/** What lstat shows of them but for inode number, ctime and (of directories) times and size. */
function sameAttributes(row: IndexRow, entry: TreeEntry): boolean {
  if (row.mode !== entry.mode || row.uid !== entry.uid || row.gid !== entry.gid) return false;
  const type = entry.mode & FileType.MASK;
  if (type === FileType.DIRECTORY) return true;
  if (type === FileType.REGULAR && row.size !== entry.size) return false;
  if ((type === FileType.CHARACTER || type === FileType.BLOCK) && row.rdev !== entry.rdev) return false;
  return row.mtime === entry.mtime && row.mtimeNsec === entry.mtimeNsec;
}

function equal(a: Buffer | null, b: Buffer | null): boolean {
  return a === null || b === null ? a === b : a.equals(b);
}

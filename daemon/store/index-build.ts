/** Makes a layer's index: reads the tree once, breadth first, and writes a row per path. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import Database from 'better-sqlite3';
import { dirname } from 'node:path';
import { type Connection, explained } from './database';
import { StoreError } from './errors';
import { FileType, INDEX, type IndexFacts, type IndexRow, rowWriter, Whiteout } from './index-rows';
import { migrate } from './migrations';
import { displayPath, joinPath } from './paths';
import { type Attributes, type Tick, Tree, type TreeEntry } from './tree';
import { TreeDigest } from './tree-digest';
import { decodeXattrs } from './xattrs';

export interface Progress {
  /** paths seen so far */
  entries: number;
  /** bytes of content read so far */
  bytes: number;
}

/** A directory that is yet to be read. Paths are put together when needed: those of a deep tree would fill the memory. */
interface Pending {
  id: number;
  parent: Pending | undefined;
  name: Buffer;
  attributes: Attributes;
  /** it is marked to hold whiteouts that are xattrs of empty files */
  xattrWhiteouts: boolean;
}

const EMPTY = Buffer.alloc(0);
const OPAQUE = /^((trusted|user)\.overlay|user\.fuseoverlayfs)\.opaque$/;
const WHITEOUT = /^(trusted|user)\.overlay\.whiteout$/;

/**
 * Indexes `directory` into `file`, which appears whole or not at all. Throws StoreError, also for a tree that is being changed meanwhile (as far as times
 * show it): such an index would describe a tree that never was.
 */
export async function buildIndex(directory: string, file: string, progress: Progress, tick: Tick): Promise<IndexFacts> {
  const part = `${file}.part`;
  rmSync(part, { force: true });
  const tree = new Tree(directory);
  let db: Connection | undefined;
  try {
    db = new Database(part);
    // Nobody else looks at it, and what is not finished is thrown away.
    for (const setting of ['journal_mode = OFF', 'synchronous = OFF', 'locking_mode = EXCLUSIVE']) db.pragma(setting);
    migrate(db, INDEX);
    db.exec('BEGIN');
    const facts = await new Builder(tree, db, progress, tick).run();
    db.exec('COMMIT');
    db.pragma('journal_mode = DELETE'); // a read-only WAL database would still want its -shm file
    db.close();
    sync(part);
    renameSync(part, file);
    sync(dirname(file));
    return facts;
  } catch (error) {
    db?.close();
    rmSync(part, { force: true });
    throw explained(error, part, INDEX);
  } finally {
    tree.close();
  }
}

function sync(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

class Builder {
  private readonly write: (row: IndexRow) => void;
  private readonly digest = new TreeDigest('directory');
  private readonly links = new Map<string, { id: number; digest: Buffer | null }>();
  private readonly groups = new Set<number>();
  private readonly opaque: number[] = [];
  private queue: Pending[] = [];
  private lastId = 0;
  private files = 0;
  private size = 0;

  constructor(
    private readonly tree: Tree,
    private readonly db: Connection,
    private readonly progress: Progress,
    private readonly tick: Tick,
  ) {
    this.write = rowWriter(db);
  }

  async run(): Promise<IndexFacts> {
    this.root();
    while (this.queue.length > 0) {
      const level = this.queue;
      this.queue = [];
      for (const pending of level) await this.directory(pending);
    }
    return this.finish();
  }

  private root(): void {
    const fd = this.tree.openDirectory(EMPTY);
    try {
      const attributes = this.tree.attributes(fd, EMPTY);
      this.add({ name: EMPTY, ...attributes }, undefined, this.tree.xattrs(fd, EMPTY, EMPTY), { target: null, digest: null });
    } finally {
      this.tree.closeDirectory(fd);
    }
  }

  private async directory(pending: Pending): Promise<void> {
    const path = pathOf(pending);
    const fd = this.tree.openDirectory(path);
    try {
      for (const entry of this.tree.entries(fd, path)) await this.entry(fd, pending, path, entry);
      this.checkUnchanged(pending.attributes, this.tree.attributes(fd, path), path);
    } finally {
      this.tree.closeDirectory(fd);
    }
  }

  private async entry(fd: number, parent: Pending, directory: Buffer, entry: TreeEntry): Promise<void> {
    const path = joinPath(directory, entry.name);
    const type = entry.mode & FileType.MASK;
    const xattrs = this.tree.xattrs(fd, entry.name, path);
    const target = type === FileType.LINK ? this.tree.target(fd, entry.name, path) : null;
    let digest = this.links.get(inode(entry))?.digest ?? null;
    if (type === FileType.REGULAR && digest === null) {
      const read = await this.tree.digest(fd, entry.name, path, this.tick);
      this.checkUnchanged(entry, read.after, path);
      digest = read.digest;
      this.size += entry.size;
    }
    this.add(entry, parent, xattrs, { target, digest });
    this.progress.entries++;
    await this.tick(0);
  }

  private add(entry: TreeEntry, parent: Pending | undefined, xattrs: Buffer | null, content: Pick<IndexRow, 'target' | 'digest'>): void {
    const type = entry.mode & FileType.MASK;
    const id = ++this.lastId;
    const row: IndexRow = {
      ...entry,
      ...content,
      id,
      parent: parent?.id ?? 0,
      size: type === FileType.REGULAR || type === FileType.LINK ? entry.size : 0,
      rdev: type === FileType.CHARACTER || type === FileType.BLOCK ? entry.rdev : 0,
      xattrs,
      whiteout: whiteoutOf(entry, xattrs, parent?.xattrWhiteouts === true),
      opaque: false,
      hardlink: 0,
      implicit: false,
    };
    if (type === FileType.REGULAR) this.files++;
    if (type === FileType.DIRECTORY) {
      const mark = opaqueMark(xattrs);
      row.opaque = mark === 'y';
      this.queue.push({ id, parent, name: entry.name, attributes: entry, xattrWhiteouts: mark === 'x' });
    } else if (entry.nlink > 1) {
      row.hardlink = this.link(entry, id, content.digest);
    }
    if (parent !== undefined && entry.name.toString('latin1') === '.wh..wh..opq') this.opaque.push(parent.id);
    this.write(row);
    this.digest.add(row);
  }

  /** The id of the first name of the inode; 0: this is it, and whether there are others is seen in the end. */
  private link(entry: TreeEntry, id: number, digest: Buffer | null): number {
    const first = this.links.get(inode(entry));
    if (first === undefined) {
      this.links.set(inode(entry), { id, digest });
      return 0;
    }
    this.groups.add(first.id);
    return first.id;
  }

  private finish(): IndexFacts {
    const { db } = this;
    const group = db.prepare('UPDATE entries SET hardlink = id WHERE id = ?');
    for (const id of this.groups) group.run(id);
    const opaque = db.prepare('UPDATE entries SET opaque = 1 WHERE id = ?');
    for (const id of this.opaque) opaque.run(id);
    db.exec('CREATE UNIQUE INDEX entries_by_name ON entries (parent, name)');
    db.exec('CREATE INDEX entries_by_hardlink ON entries (hardlink) WHERE hardlink != 0'); // index-reader.ts counts with it
    const facts = { entries: this.lastId - 1, files: this.files, size: this.size, treeDigest: this.digest.hex() };
    db.prepare('INSERT INTO facts (entries, files, size, tree_digest) VALUES (?, ?, ?, ?)').run(
      facts.entries,
      facts.files,
      facts.size,
      facts.treeDigest,
    );
    return facts;
  }

  private checkUnchanged(before: Attributes, after: Attributes, path: Buffer): void {
    const same =
      before.ino === after.ino &&
      before.size === after.size &&
      before.mtime === after.mtime &&
      before.mtimeNsec === after.mtimeNsec &&
      before.ctime === after.ctime &&
      before.ctimeNsec === after.ctimeNsec;
    if (!same)
      throw new StoreError(`${displayPath(path)} in ${this.tree.directory} changed while it was read: stop what changes it and try again`);
  }
}

function inode(entry: Attributes): string {
  return `${entry.device}/${entry.ino}`;
}

function pathOf(pending: Pending): Buffer {
  const names: Buffer[] = [];
  for (let at: Pending | undefined = pending; at?.parent !== undefined; at = at.parent) names.push(at.name, SLASH);
  return Buffer.concat(names.slice(0, -1).reverse());
}

const SLASH = Buffer.from('/');

/** In any dialect: 'y', 'x' (it holds xattr whiteouts), or ''. */
function opaqueMark(xattrs: Buffer | null): string {
  for (const { name, value } of decodeXattrs(xattrs))
    if (OPAQUE.test(name.toString('latin1')) && value.length === 1) return value.toString('latin1');
  return '';
}

function whiteoutOf(entry: TreeEntry, xattrs: Buffer | null, xattrWhiteouts: boolean): Whiteout {
  if (entry.name.toString('latin1', 0, 4) === '.wh.') return Whiteout.MARKER;
  const type = entry.mode & FileType.MASK;
  if (type === FileType.CHARACTER && entry.rdev === 0) return Whiteout.OWN_NAME;
  if (!xattrWhiteouts || type !== FileType.REGULAR || entry.size !== 0) return Whiteout.NONE;
  return decodeXattrs(xattrs).some(({ name }) => WHITEOUT.test(name.toString('latin1'))) ? Whiteout.OWN_NAME : Whiteout.NONE;
}

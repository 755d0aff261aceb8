/**
 * A layer's tree as diff, commit and export see it: a directory on disk (a container's upper is one, too), or an imported layer's index and objects.
 * Marks are told apart from what is shown, as the engine does it. Paths are byte strings without a leading slash; '' is the root.
 */
import fs from 'node:fs';
import { decodeXattrs, FileType, type IndexRow, LayerIndex, Objects, Whiteout, type Xattr } from '../store';
import { type Entry, isMark, MARK, OPAQUE_FILE, originName, type TreeReader } from './tree-reader';

export const HIDDEN = Symbol('a whiteout');

/** What a directory holds: what it shows, and the names below it that it hides. */
export interface Listing {
  entries: Entry[];
  hidden: string[];
}

export interface LayerTree {
  /** Undefined: there is no such directory. */
  list(directory: string): Listing | undefined;
  /** What a name of a directory stands for; undefined: nothing. */
  entry(directory: string, name: string): Entry | typeof HIDDEN | undefined;
  /** Of the root. */
  root(): Entry;
  /** Does the directory hide all that lies below it? */
  isOpaque(path: string): boolean;
  /** Of a directory, or of a metacopy. */
  redirect(path: string): string | undefined;
  isMetacopy(path: string): boolean;
  /** As they are kept: overlays' own ones are among them. */
  xattrs(path: string): Xattr[];
  /** Of a symlink. */
  target(path: string): Buffer;
  /** A descriptor of a regular file's content, the caller's to close. */
  open(path: string): number;
  /** The name by which workdir/index knows a file that was changed through one of its names; undefined: it knows none of this layer. */
  handle(path: string): string | undefined;
  close(): void;
}

/** Where a layer of an image lies. Byte strings. */
export type LayerPlace = { kind: 'directory'; path: string; index: string } | { kind: 'imported'; id: string; index: string; root: string };

export function openLayer(place: LayerPlace, reader: TreeReader): LayerTree {
  return place.kind === 'directory' ? DirectoryTree.open(place.path, reader) : new IndexTree(place.id, place.index, place.root);
}

export const joined = (directory: string, name: string): string => (directory === '' ? name : `${directory}/${name}`);

export function split(path: string): { directory: string; name: string } {
  const slash = path.lastIndexOf('/');
  return { directory: path.slice(0, Math.max(slash, 0)), name: path.slice(slash + 1) };
}

/** Directories stay open until so many others were asked for. */
const OPEN_DIRECTORIES = 16;

export class DirectoryTree implements LayerTree {
  private readonly directories = new Map<string, number>();

  constructor(
    readonly fd: number,
    readonly reader: TreeReader,
    private readonly isUpper: boolean,
  ) {}

  static open(path: string, reader: TreeReader, isUpper = false): DirectoryTree {
    return new DirectoryTree(fs.openSync(Buffer.from(path, 'latin1'), fs.constants.O_RDONLY | fs.constants.O_DIRECTORY), reader, isUpper);
  }

  list(directory: string): Listing | undefined {
    const place = this.directory(directory);
    const fd = place === undefined ? undefined : this.reader.open(place, '.');
    if (fd === undefined) return undefined;
    const found: Listing = { entries: [], hidden: [] };
    try {
      for (const entry of this.reader.list(fd)) {
        if (entry.name === OPAQUE_FILE) continue;
        if (isMark(entry)) found.hidden.push(entry.name.slice(MARK.length));
        else if (this.reader.isWhiteout(fd, entry)) found.hidden.push(entry.name);
        else found.entries.push(entry);
      }
    } finally {
      fs.closeSync(fd);
    }
    return found;
  }

  entry(directory: string, name: string): Entry | typeof HIDDEN | undefined {
    const fd = this.directory(directory);
    if (fd === undefined) return undefined;
    const entry = this.reader.stat(fd, name);
    if (entry === undefined) return this.reader.stat(fd, MARK + name) === undefined ? undefined : HIDDEN;
    return this.reader.isWhiteout(fd, entry) ? HIDDEN : entry;
  }

  root(): Entry {
    return this.reader.stat(this.fd, '')!;
  }

  isOpaque(path: string): boolean {
    const fd = this.directory(path);
    return fd !== undefined && (this.reader.isOpaque(fd, '', this.isUpper) || this.reader.stat(fd, OPAQUE_FILE) !== undefined);
  }

  redirect(path: string): string | undefined {
    return this.at(path, (fd, name) => this.reader.redirect(fd, name));
  }

  isMetacopy(path: string): boolean {
    return this.at(path, (fd, name) => this.reader.isMetacopy(fd, name)) === true;
  }

  xattrs(path: string): Xattr[] {
    return this.at(path, (fd, name) => this.reader.xattrs(fd, name)) ?? [];
  }

  target(path: string): Buffer {
    return this.at(path, (fd, name) => this.reader.target(fd, name)) ?? vanished(path);
  }

  open(path: string): number {
    return this.at(path, (fd, name) => this.reader.openFile(fd, name)) ?? vanished(path);
  }

  handle(path: string): string | undefined {
    return this.at(path, (fd, name) => this.reader.indexName(fd, name, (this.uuid ??= this.reader.uuid(this.fd))));
  }

  private uuid: string | undefined;

  close(): void {
    for (const fd of this.directories.values()) fs.closeSync(fd);
    fs.closeSync(this.fd);
  }

  private at<T>(path: string, look: (fd: number, name: string) => T | undefined): T | undefined {
    if (path === '') return look(this.fd, '');
    const { directory, name } = split(path);
    const fd = this.directory(directory);
    return fd === undefined ? undefined : look(fd, name);
  }

  private directory(path: string): number | undefined {
    if (path === '') return this.fd;
    const known = this.directories.get(path);
    if (known !== undefined) return known;
    const fd = this.reader.openBelow(this.fd, path);
    if (fd === undefined) return undefined;
    if (this.directories.size === OPEN_DIRECTORIES) {
      const [oldest, its] = this.directories.entries().next().value!;
      fs.closeSync(its);
      this.directories.delete(oldest);
    }
    this.directories.set(path, fd);
    return fd;
  }
}

/** The type of an imported layer's file handles. */
const HANDLE_TYPE = 0x70;

/** Directories' rows that are remembered. */
const KNOWN_ROWS = 256;

export class IndexTree implements LayerTree {
  readonly index: LayerIndex;
  private readonly objects: Objects;
  private readonly known = new Map<string, IndexRow | undefined>();

  constructor(
    private readonly id: string,
    index: string,
    /** the store's */
    root: string,
  ) {
    this.index = LayerIndex.open(Buffer.from(index, 'latin1').toString());
    this.objects = new Objects(Buffer.from(root, 'latin1').toString());
  }

  list(directory: string): Listing | undefined {
    const row = this.row(directory);
    if (row === undefined || !isDirectoryRow(row)) return undefined;
    const found: Listing = { entries: [], hidden: [] };
    for (const child of this.index.children(row.id)) {
      if (child.whiteout === Whiteout.OWN_NAME) found.hidden.push(child.name.toString('latin1'));
      else if (child.whiteout === Whiteout.NONE) found.entries.push(entryOf(child));
    }
    return found;
  }

  entry(directory: string, name: string): Entry | typeof HIDDEN | undefined {
    const row = this.row(directory);
    if (row === undefined || !isDirectoryRow(row)) return undefined;
    const child = this.index.child(row.id, Buffer.from(name, 'latin1'));
    if (child === undefined || child.whiteout === Whiteout.MARKER) return undefined;
    return child.whiteout === Whiteout.OWN_NAME ? HIDDEN : entryOf(child);
  }

  root(): Entry {
    return entryOf(this.index.root());
  }

  isOpaque(path: string): boolean {
    return this.row(path)?.opaque === true;
  }

  redirect(): undefined {
    return undefined;
  }

  isMetacopy(): boolean {
    return false;
  }

  xattrs(path: string): Xattr[] {
    return decodeXattrs(this.row(path)?.xattrs ?? null);
  }

  target(path: string): Buffer {
    return this.row(path)?.target ?? vanished(path);
  }

  open(path: string): number {
    return this.objects.open(this.row(path)?.digest ?? vanished(path));
  }

  /** As the engine has it: layers/imported.ts, fileHandle. */
  handle(path: string): string | undefined {
    const row = this.row(path);
    if (row === undefined) return undefined;
    const inode = Buffer.alloc(8);
    inode.writeBigUInt64LE(entryOf(row).ino);
    return originName(HANDLE_TYPE, this.id.slice(0, 32), inode.toString('hex'));
  }

  close(): void {
    this.index.close();
  }

  /** Of a directory or file. */
  row(path: string): IndexRow | undefined {
    if (this.known.has(path)) return this.known.get(path);
    let row: IndexRow | undefined;
    if (path === '') row = this.index.root();
    else {
      const { directory, name } = split(path);
      const parent = this.row(directory);
      row = parent === undefined || !isDirectoryRow(parent) ? undefined : this.index.child(parent.id, Buffer.from(name, 'latin1'));
    }
    if (this.known.size >= KNOWN_ROWS) this.known.clear();
    this.known.set(path, row);
    return row;
  }
}

const isDirectoryRow = ({ mode }: IndexRow): boolean => (mode & FileType.MASK) === FileType.DIRECTORY;

export function entryOf(row: IndexRow): Entry {
  return {
    name: row.name.toString('latin1'),
    mode: row.mode,
    uid: row.uid,
    gid: row.gid,
    mtime: row.mtime,
    mtimeNsec: row.mtimeNsec,
    size: row.size,
    blocks: 0,
    nlink: row.hardlink === 0 ? 1 : 2,
    ino: BigInt(row.hardlink === 0 ? row.id : row.hardlink),
    rdev: row.rdev,
    implicit: row.implicit,
  };
}

function vanished(path: string): never {
  throw new Error(`${Buffer.from(path, 'latin1').toString()} has gone while it was read: try again`);
}

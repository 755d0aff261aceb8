/**
 * An imported layer as a lower: metadata from `layers/<id>/index.db`, contents from `objects/` by their sha256. A handle is FIRST_ROW + the id of a row; an
 * inode number is the id of the row (of a group of hard links: of its first), never the object's, and of the object's attributes nothing shows.
 *
 * The overlay's own marks are columns here: what a layer's xattrs by such a name say is not believed, since whoever made the image wrote them.
 *
 * What cannot be answered (the index damaged or gone, an object missing) is EIO, and told to the log.
 */
import { join } from 'node:path';
import { Column, type IndexReader, type ListedRow, RowFlag, type WholeRow } from '../store/index-reader';
import { Errno } from '../errno';
import { disk, Mode, O_DIRECTORY } from './disk';
import { DirentMark, FIRST_ROW, type Lower, openQuietly } from './lower';
import { startsWith, writeAscii } from './names';
import { BLOCK, completeStat } from './packed-stat';
import { DirentRecord, StatRecord } from './records';
import { tellTrouble } from './trouble';

const ROOT_ROW = 1;
const MOST_NAME = 255;
/** The type of our file handles in an `origin` (FILEID_* of <linux/exportfs.h> has no such), and their length: 64 bits of the inode number. */
const HANDLE_TYPE = 0x70;
const HANDLE_BYTES = 8;

/** Bytes that an imported lower needs to write an object's path to. */
export const OBJECT_PATH_BYTES = 80;

export interface Arena {
  readonly buffer: ArrayBuffer;
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
}

/** What all imported lowers of one image share. */
export interface Place {
  /** descriptor of `objects/` */
  readonly objects: number;
  /** scratch area of OBJECT_PATH_BYTES */
  readonly path: number;
  /** of the overlay's own xattrs: "trusted.overlay." or "user.overlay." */
  readonly prefix: string;
}

/** This thread's connections, by the layers' ids: a layer is in many images. */
const readers = new Map<string, { reader: IndexReader; users: number }>();

function openReader(file: string): IndexReader {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- most engines serve directories only, and SQLite takes milliseconds to load
  const { IndexReader } = require('../store/index-reader') as typeof import('../store/index-reader');
  return IndexReader.open(file);
}

type Row = ListedRow | WholeRow;

export class ImportedLower implements Lower {
  readonly root = FIRST_ROW + ROOT_ROW;
  readonly isListed = true;
  readonly statAll = undefined;
  private reader: IndexReader | undefined;
  /** the row that was asked for last: an operation mostly asks for several things of one */
  private last: WholeRow | undefined;
  /** a page of the directory that is being listed, and how far it is */
  private listed: ListedRow[] = [];
  private listedAt = 0;
  private hasBegun = false;

  constructor(
    /** descriptor of `layers/<id>` */
    private readonly directory: number,
    /** the first half of the layer's id, in hex */
    private readonly id: string,
    private readonly arena: Arena,
    private readonly place: Place,
  ) {}

  /** SQLite takes longer to load than a request should. */
  prepare(): void {
    this.answer(() => this.rowOf(this.root)[Column.ID]);
  }

  detach(): void {
    const known = readers.get(this.id);
    if (this.reader === undefined || known === undefined) return;
    this.reader = undefined;
    if (--known.users > 0) return;
    readers.delete(this.id);
    known.reader.close();
  }

  uuid(out: Uint8Array): void {
    out.set(Buffer.from(this.id, 'hex').subarray(0, out.length));
  }

  // ---- handles -------------------------------------------------------------------------------------------------------------------------

  openDirectory(path: number, length: number): number {
    return this.answer(() => {
      const row = this.walk(path, length);
      if (typeof row === 'number') return row;
      return type(row) === Mode.DIRECTORY ? FIRST_ROW + row[Column.ID] : type(row) === Mode.LINK ? -Errno.ELOOP : -Errno.ENOTDIR;
    });
  }

  openBeneath(path: number): number {
    return this.answer(() => {
      const row = this.walk(path, this.arena.u8.indexOf(0, path) - path);
      if (typeof row === 'number') return row;
      return type(row) === Mode.LINK ? -Errno.ELOOP : FIRST_ROW + row[Column.ID];
    });
  }

  enter(directory: number, name: number): number {
    return this.answer(() => {
      const id = this.index.childId(directory - FIRST_ROW, this.nameAt(name));
      return id === undefined ? -Errno.ENOENT : FIRST_ROW + id;
    });
  }

  isImplicit(directory: number): boolean {
    return this.answer(() => ((this.rowOf(directory)[Column.FLAGS] & RowFlag.IMPLICIT) !== 0 ? 1 : 0)) > 0;
  }

  /** From the root down, a query for each component. */
  private walk(path: number, length: number): WholeRow | number {
    let row = this.rowOf(this.root);
    for (let at = path; at < path + length;) {
      let end = at;
      while (end < path + length && this.arena.u8[end] !== 0x2f) end++;
      if (type(row) !== Mode.DIRECTORY) return type(row) === Mode.LINK ? -Errno.ELOOP : -Errno.ENOTDIR;
      const next = this.index.child(row[Column.ID], this.bytes(at, end - at));
      if (next === undefined) return -Errno.ENOENT;
      row = next;
      at = end + 1;
    }
    return row;
  }

  // ---- what is asked about a file ------------------------------------------------------------------------------------------------------

  stat(handle: number, name: number, out: number): number {
    return this.answer(() => {
      const row = this.find(handle, name);
      if (row === undefined) return -Errno.ENOENT;
      this.writeStat(row, out >> 2);
      return 0;
    });
  }

  readlinkat(handle: number, name: number, out: number, capacity: number): number {
    return this.answer(() => {
      const target = this.find(handle, name)?.[Column.TARGET];
      if (!target) return -Errno.EINVAL;
      const length = Math.min(target.length, capacity);
      this.arena.u8.set(target.subarray(0, length), out);
      return length;
    });
  }

  getxattr(handle: number, name: number, xattr: number, value: number, size: number): number {
    return this.answer(() => {
      if (this.isPrivate(xattr)) return this.mark(handle, name, xattr, value, size);
      const row = this.find(handle, name);
      if (row === undefined) return -Errno.ENOENT;
      const xattrs = row[Column.XATTRS];
      if (xattrs === null) return -Errno.ENODATA;
      for (let at = 0; at < xattrs.length;) {
        const nameEnd = at + 2 + xattrs.readUInt16LE(at);
        const length = xattrs.readUInt32LE(nameEnd);
        if (this.isAt(xattr, xattrs, at + 2, nameEnd)) return this.give(xattrs.subarray(nameEnd + 4, nameEnd + 4 + length), value, size);
        at = nameEnd + 4 + length;
      }
      return -Errno.ENODATA;
    });
  }

  listxattr(handle: number, name: number, out: number, size: number): number {
    return this.answer(() => {
      const row = this.find(handle, name);
      if (row === undefined) return -Errno.ENOENT;
      const xattrs = row[Column.XATTRS];
      if (xattrs === null) return 0;
      const names: Buffer[] = [];
      for (let at = 0; at < xattrs.length;) {
        const nameEnd = at + 2 + xattrs.readUInt16LE(at);
        names.push(xattrs.subarray(at + 2, nameEnd), NUL);
        at = nameEnd + 4 + xattrs.readUInt32LE(nameEnd);
      }
      return this.give(Buffer.concat(names), out, size);
    });
  }

  /** Writes what fits, as getxattr(2) and listxattr(2) do: a size of 0 asks for the length. */
  private give(bytes: Buffer, out: number, size: number): number {
    if (size === 0) return bytes.length;
    if (bytes.length > size) return -Errno.ERANGE;
    this.arena.u8.set(bytes, out);
    return bytes.length;
  }

  /** A mark of the overlay's: there is only one here. */
  private mark(handle: number, name: number, xattr: number, value: number, size: number): number {
    if (!startsWith(this.arena.u8, xattr + this.place.prefix.length, 'opaque\0')) return -Errno.ENODATA;
    const row = this.find(handle, name);
    return row !== undefined && (row[Column.FLAGS] & RowFlag.OPAQUE) !== 0 ? this.give(YES, value, size) : -Errno.ENODATA;
  }

  /** As Names.isPrivate. */
  private isPrivate(xattr: number): boolean {
    const { prefix } = this.place;
    return startsWith(this.arena.u8, xattr, prefix) && !startsWith(this.arena.u8, xattr + prefix.length, 'overlay.');
  }

  /** Has the inode number in it, as the handles of common file systems do. */
  fileHandle(handle: number, name: number, out: number, _capacity: number, typeOut: number): number {
    return this.answer(() => {
      const row = this.find(handle, name);
      if (row === undefined) return -Errno.ENOENT;
      const { u8, u32 } = this.arena;
      const number = inode(row);
      for (let i = 0; i < HANDLE_BYTES; i++) u8[out + i] = i < 4 ? number >>> (8 * i) : 0;
      u32[typeOut >> 2] = HANDLE_TYPE;
      return HANDLE_BYTES;
    });
  }

  // ---- content -------------------------------------------------------------------------------------------------------------------------

  /** Of a regular file: a descriptor of its object. With O_DIRECTORY: begins the listing of a directory, one at a time. */
  openat(handle: number, name: number, flags: number): number {
    if ((flags & O_DIRECTORY) !== 0) return this.beginListing(handle);
    return this.answer(() => this.withObject(handle, name, (path) => openQuietly(this.place.objects, path, flags, 0)));
  }

  backingOpenAt(device: number, handle: number, name: number): number {
    return this.answer(() => this.withObject(handle, name, (path) => disk.backingOpenAt(device, this.place.objects, path)));
  }

  private withObject(handle: number, name: number, use: (path: number) => number): number {
    const row = this.find(handle, name);
    if (row === undefined) return -Errno.ENOENT;
    const digest = row[Column.DIGEST];
    if (digest === null) return -Errno.EINVAL;
    const hex = digest.toString('hex');
    writeAscii(this.arena.u8, this.place.path, `${hex.slice(0, 2)}/${hex.slice(2)}`);
    const result = use(this.place.path);
    if (result !== -Errno.ENOENT && result !== -Errno.EACCES && result !== -Errno.ENOTDIR && result !== -Errno.EIO) return result;
    this.tell(`${this.pathOf(row)} cannot be read, its content, the object sha256:${hex}, is missing or unreadable (errno ${-result})`);
    return -Errno.EIO;
  }

  // ---- listing -------------------------------------------------------------------------------------------------------------------------

  private beginListing(directory: number): number {
    return this.answer(() => {
      this.listed = this.index.children(directory - FIRST_ROW, NO_NAME);
      this.listedAt = 0;
      this.hasBegun = false;
      return directory;
    });
  }

  /** Every record has its whole stat. An opaque directory's listing begins with the mark that tells so in a tar. */
  readDirents(directory: number, _flags: number, out: number, capacity: number): number {
    return this.answer(() => {
      let at = out;
      if (!this.hasBegun) {
        this.hasBegun = true;
        if (directory === this.root && (this.rowOf(directory)[Column.FLAGS] & RowFlag.OPAQUE) !== 0) at = this.writeOpaque(at);
      }
      for (;;) {
        if (this.listedAt === this.listed.length && !this.turnPage(directory)) return at - out;
        const row = this.listed[this.listedAt];
        const { length } = row[Column.NAME];
        if (length === 0 || length > MOST_NAME || row[Column.NAME].includes(0x2f) || row[Column.NAME].includes(0))
          throw new Error(`row ${row[Column.ID]} has no name that a file can have`);
        const bytes = recordBytes(length);
        if (at + bytes > out + capacity) return at > out ? at - out : -Errno.ENOBUFS;
        this.writeDirent(row, at, bytes);
        at += bytes;
        this.listedAt++;
      }
    });
  }

  /** Goes on with the listing behind the rows that were there. False: there are no more. */
  private turnPage(directory: number): boolean {
    const last = this.listed.at(-1);
    if (last === undefined || this.listed.length < PAGE) return false;
    this.listed = this.index.children(directory - FIRST_ROW, last[Column.NAME]);
    this.listedAt = 0;
    return this.listed.length > 0;
  }

  close(): number {
    this.listed = [];
    return 0;
  }

  private writeDirent(row: ListedRow, at: number, bytes: number): void {
    const { u8, u32 } = this.arena;
    const name = row[Column.NAME];
    const flags = row[Column.FLAGS];
    u32[at >> 2] = bytes;
    u32[(at >> 2) + 1] =
      name.length |
      ((row[Column.MODE] >>> 12) << 16) |
      ((1 |
        DirentMark.WHOLE |
        ((flags & RowFlag.OPAQUE) !== 0 ? DirentMark.OPAQUE : 0) |
        ((flags & RowFlag.IMPLICIT) !== 0 ? DirentMark.IMPLICIT : 0)) <<
        24);
    this.writeStat(row, (at + DirentRecord.stat) >> 2);
    const to = at + DirentRecord.name;
    for (let i = 0; i < name.length; i++) u8[to + i] = name[i];
    u8[to + name.length] = 0;
  }

  private writeOpaque(at: number): number {
    const { u8, u32 } = this.arena;
    const bytes = recordBytes(OPAQUE_NAME.length);
    u32.fill(0, at >> 2, (at + bytes) >> 2);
    u32[at >> 2] = bytes;
    u32[(at >> 2) + 1] = OPAQUE_NAME.length | ((Mode.REGULAR >>> 12) << 16);
    writeAscii(u8, at + DirentRecord.name, OPAQUE_NAME);
    return at + bytes;
  }

  // ---- rows ----------------------------------------------------------------------------------------------------------------------------

  private get index(): IndexReader {
    return (this.reader ??= this.share());
  }

  private share(): IndexReader {
    const known = readers.get(this.id);
    if (known !== undefined) {
      known.users++;
      return known.reader;
    }
    const reader = openReader(join('/proc/self/fd', String(this.directory), 'index.db'));
    readers.set(this.id, { reader, users: 1 });
    return reader;
  }

  /** The row of a handle; throws when there is none. */
  private rowOf(handle: number): WholeRow {
    const id = handle - FIRST_ROW;
    if (this.last?.[Column.ID] === id) return this.last;
    const row = this.index.row(id);
    if (row === undefined) throw new Error(`row ${id} is missing`);
    this.last = row;
    return row;
  }

  private find(handle: number, name: number): WholeRow | undefined {
    if (this.arena.u8[name] === 0) return this.rowOf(handle);
    const { last } = this;
    if (last !== undefined && last[Column.PARENT] === handle - FIRST_ROW) {
      const known = last[Column.NAME];
      if (this.isAt(name, known, 0, known.length)) return last;
    }
    const row = this.index.child(handle - FIRST_ROW, this.nameAt(name));
    if (row !== undefined) this.last = row;
    return row;
  }

  /** Are the NUL-terminated bytes at `at` those of `bytes` between `from` and `to`? */
  private isAt(at: number, bytes: Buffer, from: number, to: number): boolean {
    const { u8 } = this.arena;
    for (let i = from; i < to; i++) if (u8[at + i - from] !== bytes[i]) return false;
    return u8[at + to - from] === 0;
  }

  private nameAt(name: number): Buffer {
    let length = 0;
    while (this.arena.u8[name + length] !== 0) length++;
    return this.bytes(name, length);
  }

  private bytes(at: number, length: number): Buffer {
    return Buffer.from(this.arena.buffer, at, length);
  }

  /** `at` is a word index. */
  private writeStat(row: Row, at: number): void {
    const { u32 } = this.arena;
    const mode = row[Column.MODE];
    const size = (mode & Mode.TYPE) === Mode.DIRECTORY ? BLOCK : row[Column.SIZE];
    const mtime = row[Column.MTIME];
    const group = row[Column.HARDLINK];
    u32.fill(0, at, at + StatRecord.SIZE / 4);
    u32[at] = inode(row);
    u32[at + StatRecord.size / 4] = size;
    u32[at + StatRecord.size / 4 + 1] = Math.floor(size / 4294967296);
    u32[at + StatRecord.mtime / 4] = mtime;
    u32[at + StatRecord.mtime / 4 + 1] = Math.floor(mtime / 4294967296);
    u32[at + StatRecord.mtimensec / 4] = row[Column.MTIME_NSEC];
    u32[at + StatRecord.mode / 4] = mode;
    // how many directories there are in a directory takes another query, and is not counted in merged ones either
    u32[at + StatRecord.nlink / 4] = group === 0 ? 1 : this.index.links(group);
    u32[at + StatRecord.uid / 4] = row[Column.UID];
    u32[at + StatRecord.gid / 4] = row[Column.GID];
    u32[at + StatRecord.rdev / 4] = row[Column.RDEV];
    completeStat(u32, at);
  }

  // ---- what goes wrong -----------------------------------------------------------------------------------------------------------------

  private answer(ask: () => number): number {
    try {
      return ask();
    } catch (error) {
      this.tell(`its index cannot be read: ${error instanceof Error ? error.message : String(error)}`);
      return -Errno.EIO;
    }
  }

  private tell(what: string): void {
    tellTrouble(`layer ${this.id.slice(0, 12)}: ${what}`);
  }

  /** For people. */
  private pathOf(row: WholeRow): string {
    let path = '';
    let at: WholeRow | undefined = row;
    for (let depth = 0; at !== undefined && at[Column.PARENT] !== 0 && depth < 4096; depth++) {
      path = `/${at[Column.NAME].toString()}${path}`;
      at = this.index.row(at[Column.PARENT]);
    }
    return path;
  }
}

const NUL = Buffer.of(0);
const NO_NAME = Buffer.alloc(0);
/** As store/index-reader.ts has it, which is loaded late. */
const PAGE = 1024;
const YES = Buffer.from('y');
const OPAQUE_NAME = '.wh..wh..opq';

function type(row: Row): number {
  return row[Column.MODE] & Mode.TYPE;
}

function inode(row: Row): number {
  return row[Column.HARDLINK] === 0 ? row[Column.ID] : row[Column.HARDLINK];
}

function recordBytes(nameLength: number): number {
  return (DirentRecord.name + nameLength + 8) & ~7;
}

/**
 * A directory tree as it lies on disk, read without following a symlink, with names and xattrs as bytes and paths of any length. For the child
 * process that indexes and verifies (index-layer.ts): it makes the process's arena.
 */
import { createHash } from 'node:crypto';
import { constants, readSync } from 'node:fs';
import { getSystemErrorMap } from 'node:util';
import { DirentRecord, native, ReadDirents, StatRecord } from '../../native-bindings/index';
import { Errno } from '../errno';
import { StoreError } from './errors';
import { displayPath } from './paths';
import { encodeXattrs, type Xattr } from './xattrs';

/** What lstat says. */
export interface Attributes {
  /** with the type's bits */
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  /** as in StatRecord */
  rdev: number;
  size: number;
  ino: bigint;
  /** of the file system */
  device: string;
  mtime: bigint;
  mtimeNsec: number;
  ctime: bigint;
  ctimeNsec: number;
}

export interface TreeEntry extends Attributes {
  name: Buffer;
}

/** Where the arguments and results of the system calls lie in the arena. */
const ARENA_MEBIBYTES = 16;
const PATH = 0;
const PATH_BYTES = 8 << 20;
const DIRENTS = PATH + PATH_BYTES;
const DIRENTS_BYTES = 1 << 20;
const NAME = DIRENTS + DIRENTS_BYTES;
const STAT = NAME + 4096;
const LIST = STAT + StatRecord.SIZE;
const XATTR_BYTES = 65536; // XATTR_LIST_MAX, XATTR_SIZE_MAX of <linux/limits.h>
const VALUE = LIST + XATTR_BYTES + 1;
const XATTR_NAME = VALUE + XATTR_BYTES;
const TARGET = XATTR_NAME + 256;
const TARGET_BYTES = 4096;

const CHUNK_BYTES = 1 << 20;
const EMPTY = Buffer.alloc(0);
const DOT = Buffer.from('.');

/** Gives way to the event loop now and then, and counts the bytes that were read. */
export type Tick = (bytes: number) => Promise<void>;

export class Tree {
  private readonly memory: Buffer;
  private readonly chunk = Buffer.alloc(CHUNK_BYTES);
  private readonly root: number;

  constructor(readonly directory: string) {
    const made = native.arenaCreate(ARENA_MEBIBYTES);
    if (made < 0 && made !== -Errno.EEXIST) throw new StoreError(`cannot make working memory (memfd_create: ${reason(made)})`);
    this.memory = Buffer.from(native.arenaBuffer());
    this.root = native.openHost(this.put(PATH, Buffer.from(directory), 4096), constants.O_RDONLY | constants.O_DIRECTORY, 0);
    if (this.root < 0) throw new StoreError(`cannot open the layer's directory ${directory}: ${reason(this.root)}`);
  }

  close(): void {
    native.close(this.root);
  }

  /** A descriptor of the directory at `path` below the root, to be closed with closeDirectory. */
  openDirectory(path: Buffer): number {
    if (path.length >= PATH_BYTES) throw this.failure('open', path, -Errno.ENAMETOOLONG);
    const place = native.openDirectory(this.root, this.put(PATH, path, PATH_BYTES), path.length, 0);
    if (place < 0) throw this.failure('open', path, place);
    const fd = native.openat(place, this.name(DOT), constants.O_RDONLY | constants.O_DIRECTORY, 0);
    native.close(place);
    if (fd < 0) throw this.failure('read', path, fd);
    return fd;
  }

  closeDirectory(fd: number): void {
    native.close(fd);
  }

  /** Of the directory `fd` itself; `path` is for messages. */
  attributes(fd: number, path: Buffer): Attributes {
    const result = native.stat(fd, this.name(EMPTY), STAT);
    if (result < 0) throw this.failure('look at', path, result);
    return this.stat(STAT);
  }

  /** What is in the directory, sorted by the bytes of the names. */
  entries(fd: number, path: Buffer): TreeEntry[] {
    const found: TreeEntry[] = [];
    for (;;) {
      const length = native.readDirents(fd, ReadDirents.WITH_STAT, DIRENTS, DIRENTS_BYTES);
      if (length < 0) throw this.failure('read', path, length);
      if (length === 0) break;
      for (let at = DIRENTS; at < DIRENTS + length; at += this.memory.readUInt32LE(at)) {
        const nameLength = this.memory.readUInt16LE(at + DirentRecord.nameLength);
        const start = at + DirentRecord.name;
        found.push({ name: Buffer.from(this.memory.subarray(start, start + nameLength)), ...this.stat(at + DirentRecord.stat) });
      }
    }
    return found.sort((a, b) => Buffer.compare(a.name, b.name));
  }

  /** Where a symlink points to, as it is written. */
  target(fd: number, name: Buffer, path: Buffer): Buffer {
    const length = native.readlinkat(fd, this.name(name), TARGET, TARGET_BYTES);
    if (length < 0) throw this.failure('read the symlink', path, length);
    return Buffer.from(this.memory.subarray(TARGET, TARGET + length));
  }

  /** Of an entry, or with an empty name of the directory itself; encoded, null when there are none. */
  xattrs(fd: number, name: Buffer, path: Buffer): Buffer | null {
    const length = native.listxattr(fd, this.name(name), LIST, XATTR_BYTES);
    if (length === -Errno.EOPNOTSUPP || length === 0) return null;
    if (length < 0) throw this.failure('list the xattrs of', path, length);
    const list = Buffer.from(this.memory.subarray(LIST, LIST + length));
    const found: Xattr[] = [];
    for (let at = 0; at < list.length;) {
      const end = list.indexOf(0, at);
      const xattr = list.subarray(at, end);
      at = end + 1;
      const size = native.getxattr(fd, NAME, this.put(XATTR_NAME, xattr, 256), VALUE, XATTR_BYTES);
      if (size === -Errno.ENODATA) continue; // removed meanwhile
      if (size < 0) throw this.failure(`read the xattr ${displayPath(xattr)} of`, path, size);
      found.push({ name: xattr, value: Buffer.from(this.memory.subarray(VALUE, VALUE + size)) });
    }
    return encodeXattrs(found);
  }

  /** sha256 of a regular file's content, and its attributes after the last byte was read. */
  async digest(fd: number, name: Buffer, path: Buffer, tick: Tick): Promise<{ digest: Buffer; after: Attributes }> {
    // O_NONBLOCK: should it be a FIFO by now, it is not waited for.
    const file = native.openat(fd, this.name(name), constants.O_RDONLY | constants.O_NONBLOCK, 0);
    if (file < 0) throw this.failure('open', path, file);
    try {
      const hash = createHash('sha256');
      for (;;) {
        const length = this.read(file, path);
        if (length === 0) break;
        hash.update(length === CHUNK_BYTES ? this.chunk : this.chunk.subarray(0, length));
        await tick(length);
      }
      return { digest: hash.digest(), after: this.attributes(file, path) };
    } finally {
      native.close(file);
    }
  }

  private read(file: number, path: Buffer): number {
    try {
      return readSync(file, this.chunk, 0, CHUNK_BYTES, null);
    } catch (error) {
      throw this.failure('read', path, (error as NodeJS.ErrnoException).errno ?? -Errno.EIO);
    }
  }

  private stat(at: number): Attributes {
    const { memory } = this;
    return {
      mode: memory.readUInt32LE(at + StatRecord.mode),
      uid: memory.readUInt32LE(at + StatRecord.uid),
      gid: memory.readUInt32LE(at + StatRecord.gid),
      nlink: memory.readUInt32LE(at + StatRecord.nlink),
      rdev: memory.readUInt32LE(at + StatRecord.rdev),
      size: Number(memory.readBigUInt64LE(at + StatRecord.size)),
      ino: memory.readBigUInt64LE(at + StatRecord.ino),
      device: `${memory.readUInt32LE(at + StatRecord.devMajor)}:${memory.readUInt32LE(at + StatRecord.devMinor)}`,
      mtime: memory.readBigInt64LE(at + StatRecord.mtime),
      mtimeNsec: memory.readUInt32LE(at + StatRecord.mtimensec),
      ctime: memory.readBigInt64LE(at + StatRecord.ctime),
      ctimeNsec: memory.readUInt32LE(at + StatRecord.ctimensec),
    };
  }

  private name(name: Buffer): number {
    return this.put(NAME, name, 4096);
  }

  /** Puts bytes and a NUL into the arena; returns where. */
  private put(at: number, bytes: Buffer, capacity: number): number {
    if (bytes.length >= capacity) throw new StoreError(`${displayPath(bytes.subarray(0, 60))}… is too long: ${bytes.length} bytes`);
    bytes.copy(this.memory, at);
    this.memory[at + bytes.length] = 0;
    return at;
  }

  private failure(verb: string, path: Buffer, errno: number): StoreError {
    const hint =
      errno === -Errno.ENOENT || errno === -Errno.ENOTDIR ? ': the layer is being changed; stop what changes it and try again' : '';
    return new StoreError(`cannot ${verb} ${displayPath(path)} in ${this.directory}: ${reason(errno)}${hint}`);
  }
}

function reason(errno: number): string {
  const [code, text] = getSystemErrorMap().get(errno) ?? ['errno', String(-errno)];
  return `${text} (${code})`;
}

/** Reads directories by descriptor, whatever their depth, with what overlays keep in xattrs. Names and paths are byte strings (options.ts). */
import fs from 'node:fs';
import { DirentRecord, native, ReadDirents, StatRecord } from '../../native-bindings/index';

/** A thread's part of the arena. */
const PART = 1024 * 1024;
const DIRENTS = 0;
const DIRENTS_BYTES = 512 * 1024;
const NAME = DIRENTS_BYTES;
const XATTR = NAME + 8192;
const STAT = XATTR + 512;
const VALUE = STAT + StatRecord.SIZE;
const VALUE_BYTES = 65536;

const enum Mode {
  TYPE = 0o170000,
  DIRECTORY = 0o040000,
  REGULAR = 0o100000,
  CHARACTER = 0o020000,
}

export interface Entry {
  name: string;
  mode: number;
  uid: number;
  gid: number;
  /** "seconds.nanoseconds" */
  mtime: string;
  size: number;
  /** of 512 bytes */
  blocks: number;
  nlink: number;
  /** within its file system */
  ino: bigint;
  rdev: number;
}

export const isDirectory = ({ mode }: Entry): boolean => (mode & Mode.TYPE) === Mode.DIRECTORY;
const isRegular = ({ mode }: Entry): boolean => (mode & Mode.TYPE) === Mode.REGULAR;
const isWhiteoutDevice = ({ mode, rdev }: Entry): boolean => (mode & Mode.TYPE) === Mode.CHARACTER && rdev === 0;

const OPAQUE = ['trusted.overlay.opaque', 'user.overlay.opaque', 'user.fuseoverlayfs.opaque'];
const REDIRECT = ['trusted.overlay.redirect', 'user.overlay.redirect'];
const WHITEOUT = ['trusted.overlay.whiteout', 'user.overlay.whiteout'];

/** The other dialect of marks: files whose names begin so (clients.md section 1). */
export const MARK = '.wh.';
export const OPAQUE_FILE = '.wh..wh..opq';
export const isMark = ({ name }: Entry): boolean => name.startsWith(MARK);

export class TreeReader {
  private readonly buffer: Buffer;
  private readonly base: number;

  constructor(slot: number) {
    this.base = slot * PART;
    this.buffer = Buffer.from(native.arenaBuffer(), this.base, PART);
  }

  /** Room for the arguments of one call: each is overwritten 64 texts later. */
  readonly scratch = {
    text: (text: string): number => this.put(NAME + (this.turn++ % 64) * 64, text),
    /** atime and mtime, as utimensat() takes them */
    times: (...nanoseconds: readonly bigint[]): number => {
      nanoseconds.forEach((time, i) => {
        const within = BigInt.asUintN(64, ((time % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n); // before 1970 too
        this.buffer.writeBigInt64LE((time - within) / 1_000_000_000n, VALUE + i * 16);
        this.buffer.writeBigInt64LE(within, VALUE + i * 16 + 8);
      });
      return this.base + VALUE;
    },
    /** at most 64 KiB, until the next or the next times */
    bytes: (value: Buffer): number => {
      value.copy(this.buffer, VALUE);
      return this.base + VALUE;
    },
  };
  private turn = 0;

  /** A directory to be read; undefined when it is gone, or is none. */
  open(parent: number, name: string): number | undefined {
    const fd = native.openat(parent, this.put(NAME, name), fs.constants.O_DIRECTORY, 0);
    return fd < 0 ? undefined : fd;
  }

  /** What a directory holds. Its descriptor is read from where it stands. */
  list(fd: number): Entry[] {
    const entries: Entry[] = [];
    for (;;) {
      const bytes = native.readDirents(fd, ReadDirents.WITH_STAT, this.base + DIRENTS, DIRENTS_BYTES);
      if (bytes < 0) throw new Error(`cannot read a directory (errno ${-bytes})`);
      if (bytes === 0) return entries;
      for (let at = DIRENTS; at < DIRENTS + bytes; at += this.buffer.readUInt32LE(at)) entries.push(this.dirent(at));
    }
  }

  stat(fd: number, name: string): Entry | undefined {
    return native.stat(fd, this.put(NAME, name), this.base + STAT) < 0 ? undefined : this.entry(name, STAT);
  }

  /** Does a directory hide what lies below it? `entries`, where known, are what it holds. */
  isOpaque(fd: number, name: string): boolean {
    return OPAQUE.some((mark) => this.xattr(fd, name, mark) === 'y');
  }

  redirect(fd: number, name: string): string | undefined {
    for (const mark of REDIRECT) {
      const value = this.xattr(fd, name, mark);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  /** Is it a whiteout, of the name that it has? (Those that begin with .wh. are other names' whiteouts.) */
  isWhiteout(fd: number, entry: Entry): boolean {
    if (isWhiteoutDevice(entry)) return true;
    return isRegular(entry) && entry.size === 0 && WHITEOUT.some((mark) => this.xattr(fd, entry.name, mark) !== undefined);
  }

  private xattr(fd: number, name: string, mark: string): string | undefined {
    const length = native.getxattr(fd, this.put(NAME, name), this.put(XATTR, mark), this.base + VALUE, VALUE_BYTES);
    return length < 0 ? undefined : this.buffer.toString('latin1', VALUE, VALUE + length);
  }

  private dirent(at: number): Entry {
    const from = at + DirentRecord.name;
    const name = this.buffer.toString('latin1', from, from + this.buffer.readUInt16LE(at + DirentRecord.nameLength));
    return this.entry(name, at + DirentRecord.stat);
  }

  private entry(name: string, at: number): Entry {
    const { buffer } = this;
    return {
      name,
      mode: buffer.readUInt32LE(at + StatRecord.mode),
      uid: buffer.readUInt32LE(at + StatRecord.uid),
      gid: buffer.readUInt32LE(at + StatRecord.gid),
      mtime: `${buffer.readBigInt64LE(at + StatRecord.mtime)}.${buffer.readUInt32LE(at + StatRecord.mtimensec)}`,
      size: Number(buffer.readBigUInt64LE(at + StatRecord.size)),
      blocks: Number(buffer.readBigUInt64LE(at + StatRecord.blocks)),
      nlink: buffer.readUInt32LE(at + StatRecord.nlink),
      ino: buffer.readBigUInt64LE(at + StatRecord.ino),
      rdev: buffer.readUInt32LE(at + StatRecord.rdev),
    };
  }

  /** NUL-terminated, in the arena. */
  private put(at: number, text: string): number {
    const length = this.buffer.write(text, at, 'latin1');
    this.buffer[at + length] = 0;
    return this.base + at;
  }
}

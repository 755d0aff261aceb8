/** Reads directories by descriptor, whatever their depth, with what overlays keep in xattrs. Names and paths are byte strings (options.ts). */
import fs from 'node:fs';
import { getSystemErrorMap } from 'node:util';
import { DirentRecord, native, ReadDirents, StatRecord } from '../../native-bindings/index';
import { mayUseTrusted } from '../engine/privileges';
import { Errno } from '../errno';
import type { Xattr } from '../store/xattrs';

/** A thread's part of the arena. */
const PART = 1024 * 1024;
const DIRENTS = 0;
const DIRENTS_BYTES = 512 * 1024;
const NAME = DIRENTS_BYTES;
const XATTR = NAME + 8192;
const STAT = XATTR + 512;
const VALUE = STAT + StatRecord.SIZE;
const VALUE_BYTES = 65536; // XATTR_SIZE_MAX of <linux/limits.h>
const LIST = VALUE + VALUE_BYTES;
const LIST_BYTES = 65536; // XATTR_LIST_MAX
/** Of struct ovl_fb: version, magic, length, flags, handle type, UUID. */
const ORIGIN_HEAD = 21;

const enum Mode {
  TYPE = 0o170000,
  DIRECTORY = 0o040000,
  REGULAR = 0o100000,
  CHARACTER = 0o020000,
  LINK = 0o120000,
}

export interface Entry {
  name: string;
  mode: number;
  uid: number;
  gid: number;
  /** seconds */
  mtime: bigint;
  mtimeNsec: number;
  size: number;
  /** of 512 bytes */
  blocks: number;
  nlink: number;
  /** within its file system */
  ino: bigint;
  rdev: number;
  /** a directory that an imported layer does not have, only something in it: it has the attributes of the next lower's */
  implicit?: boolean;
}

export const isDirectory = ({ mode }: Pick<Entry, 'mode'>): boolean => (mode & Mode.TYPE) === Mode.DIRECTORY;
export const isRegular = ({ mode }: Pick<Entry, 'mode'>): boolean => (mode & Mode.TYPE) === Mode.REGULAR;
export const isLink = ({ mode }: Pick<Entry, 'mode'>): boolean => (mode & Mode.TYPE) === Mode.LINK;
const isWhiteoutDevice = ({ mode, rdev }: Entry): boolean => (mode & Mode.TYPE) === Mode.CHARACTER && rdev === 0;

const OPAQUE = ['trusted.overlay.opaque', 'user.overlay.opaque', 'user.fuseoverlayfs.opaque'];

/** The other dialect of marks: files whose names begin so (clients.md section 1). */
export const MARK = '.wh.';
export const OPAQUE_FILE = '.wh..wh..opq';
export const isMark = ({ name }: Entry): boolean => name.startsWith(MARK);

/** What the kernel keeps as `origin` of a file (struct ovl_fb), in hex, of a handle and the UUID of its file system: the name that workdir/index has for it. */
export function originName(type: number, uuid: string, handle: string): string {
  return Buffer.of(0, 0xfb, ORIGIN_HEAD + handle.length / 2, 0, type).toString('hex') + uuid + handle;
}

export class TreeReader {
  private readonly buffer: Buffer;
  private readonly base: number;
  /**
   * How the names of the xattrs begin that the engine believes (layers/names.ts). What else looks like a mark, somebody in a container may have set: it would
   * let him say of his file that its data are another's, and which capabilities it has.
   */
  readonly marks: 'trusted.overlay.' | 'user.overlay.';

  /** `userxattr`: the mount option; undefined: as the engine does it without. */
  constructor(slot: number, userxattr?: boolean) {
    this.marks = (userxattr ?? !mayUseTrusted()) ? 'user.overlay.' : 'trusted.overlay.';
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
    return present('open a directory', native.openat(parent, this.put(NAME, name), fs.constants.O_DIRECTORY, 0));
  }

  /** An O_PATH descriptor of the directory at a path of any length below another; no symlink is followed. */
  openBelow(root: number, path: string): number | undefined {
    if (path.length >= DIRENTS_BYTES) return undefined;
    this.buffer.write(path, DIRENTS, 'latin1');
    return present('open a directory', native.openDirectory(root, this.base + DIRENTS, path.length, 0));
  }

  /** A file's content, to be read. */
  openFile(parent: number, name: string): number | undefined {
    // Should it be a FIFO by now, it is not waited for.
    return present('open a file', native.openat(parent, this.put(NAME, name), fs.constants.O_RDONLY | fs.constants.O_NONBLOCK, 0));
  }

  /** What a directory holds. Its descriptor is read from where it stands. */
  list(fd: number): Entry[] {
    const entries: Entry[] = [];
    for (;;) {
      const bytes = native.readDirents(fd, ReadDirents.WITH_STAT, this.base + DIRENTS, DIRENTS_BYTES);
      if (bytes < 0) throw failed('read a directory', bytes);
      if (bytes === 0) return entries;
      for (let at = DIRENTS; at < DIRENTS + bytes; at += this.buffer.readUInt32LE(at)) entries.push(this.dirent(at));
    }
  }

  /** With an empty name: of the directory itself, as in all that follows. */
  stat(fd: number, name: string): Entry | undefined {
    const found = present('look at a file', native.stat(fd, this.put(NAME, name), this.base + STAT));
    return found === undefined ? undefined : this.entry(name, STAT);
  }

  /** Where a symlink points to, as it is written. */
  target(fd: number, name: string): Buffer | undefined {
    const length = present('read a symlink', native.readlinkat(fd, this.put(NAME, name), this.base + VALUE, VALUE_BYTES));
    return length === undefined ? undefined : Buffer.from(this.buffer.subarray(VALUE, VALUE + length));
  }

  /** All that the file has, in no order. */
  xattrs(fd: number, name: string): Xattr[] {
    const length = present('list xattrs', native.listxattr(fd, this.put(NAME, name), this.base + LIST, LIST_BYTES)) ?? 0;
    const names = this.buffer
      .toString('latin1', LIST, LIST + length)
      .split('\0')
      .slice(0, -1);
    return names.flatMap((xattr) => {
      const value = this.xattr(fd, name, xattr);
      return value === undefined ? [] : [{ name: Buffer.from(xattr, 'latin1'), value: Buffer.from(value, 'latin1') }];
    });
  }

  /** Does a directory hide what lies below it? In a layer, other programs may say so too. */
  isOpaque(fd: number, name: string, isUpper: boolean): boolean {
    const marks = isUpper ? [`${this.marks}opaque`] : OPAQUE;
    return marks.some((mark) => this.xattr(fd, name, mark) === 'y');
  }

  redirect(fd: number, name: string): string | undefined {
    return this.xattr(fd, name, `${this.marks}redirect`);
  }

  /** Is it a file's attributes without its data, which a layer below has? */
  isMetacopy(fd: number, name: string): boolean {
    return this.xattr(fd, name, `${this.marks}metacopy`) !== undefined;
  }

  /** Is it a whiteout, of the name that it has? (Those that begin with .wh. are other names' whiteouts.) */
  isWhiteout(fd: number, entry: Entry): boolean {
    if (isWhiteoutDevice(entry)) return true;
    return isRegular(entry) && entry.size === 0 && this.xattr(fd, entry.name, `${this.marks}whiteout`) !== undefined;
  }

  xattr(fd: number, name: string, mark: string): string | undefined {
    const { base } = this;
    const length = present('read an xattr', native.getxattr(fd, this.put(NAME, name), this.put(XATTR, mark), base + VALUE, VALUE_BYTES));
    return length === undefined ? undefined : this.buffer.toString('latin1', VALUE, VALUE + length);
  }

  /** UUID of the file system that a directory is on, zeros if it has none; in hex. */
  uuid(fd: number): string {
    const length = native.filesystemUuid(fd, this.base + VALUE);
    return length < 0 ? '00'.repeat(16) : this.buffer.toString('hex', VALUE, VALUE + length);
  }

  /** The name that workdir/index has for a lower file; undefined: its file system has no handles. */
  indexName(fd: number, name: string, uuid: string): string | undefined {
    const length = present(
      'get the handle of a file',
      native.fileHandle(fd, this.put(NAME, name), this.base + VALUE, 128, this.base + STAT),
    );
    if (length === undefined || length === 0) return undefined;
    return originName(this.buffer.readInt32LE(STAT), uuid, this.buffer.toString('hex', VALUE, VALUE + length));
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
      mtime: buffer.readBigInt64LE(at + StatRecord.mtime),
      mtimeNsec: buffer.readUInt32LE(at + StatRecord.mtimensec),
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

/** These say that there is no such thing; any other error says nothing of the kind. */
const ABSENT: readonly number[] = [
  Errno.ENOENT,
  Errno.ENOTDIR,
  Errno.ELOOP,
  Errno.ENAMETOOLONG,
  Errno.ENODATA,
  Errno.EOPNOTSUPP,
  Errno.ESTALE,
];

function present(what: string, result: number): number | undefined {
  if (result >= 0) return result;
  if (ABSENT.includes(-result)) return undefined;
  throw failed(what, result);
}

function failed(what: string, errno: number): Error {
  const [code, text] = getSystemErrorMap().get(errno) ?? ['errno', String(-errno)];
  return new Error(`cannot ${what}: ${text} (${code})`);
}

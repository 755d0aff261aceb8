/**
 * Reads a tar as it comes, in pieces of any size, with memory for one header. Whatever is not an entry's content goes out as it came, byte for byte:
 * with the contents it makes the archive again, the same to the last bit. (That is why this is no library: tar-stream, node-tar and tar-fs keep no header
 * as it was, nor padding, nor what follows the end.)
 *
 * The dialects are those that Go's archive/tar reads, which docker, podman and umoci are made of, and where they differ the reading is theirs: an
 * archive must not mean one thing to them and another to us. So a global PAX header is passed over, and entries other than files have no content.
 */
import type { Xattr } from '../store';
import { type Pax, readPax } from './pax';
import { BLOCK, type Header, isZero, readHeader, TarError } from './tar-header';

export type EntryType = 'file' | 'hardlink' | 'symlink' | 'character' | 'block' | 'directory' | 'fifo';

export interface TarEntry {
  type: EntryType;
  /** as it was written */
  path: Buffer;
  /** of a symlink or hard link, as it was written */
  target: Buffer;
  /** permission bits */
  mode: number;
  uid: number;
  gid: number;
  /** of a file's content */
  size: number;
  mtime: number;
  mtimeNsec: number;
  /** of a device */
  major: number;
  minor: number;
  xattrs: readonly Xattr[];
}

/** Buffers are the reader's: they hold what they hold until the call returns. */
export interface TarSink {
  /** what belongs to no content */
  raw(bytes: Buffer): void;
  entry(entry: TarEntry): void;
  /** of a file that is not empty, in pieces */
  content(bytes: Buffer): void;
  /** after an entry and all of its content */
  end(): void;
}

const enum State {
  HEADER,
  /** of an extended header: its content is needed whole */
  EXTENSION,
  CONTENT,
  PADDING,
  /** one block of zeros has come */
  LAST,
  /** what follows means nothing */
  OVER,
}

/** As in archive/tar. */
const MOST_EXTENSION = 1 << 20;

const TYPES: Readonly<Record<string, EntryType>> = {
  '0': 'file',
  '\0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
  '7': 'file',
};

export class TarReader {
  private state = State.HEADER;
  /** of the header or extension that is being put together */
  private readonly block = Buffer.alloc(BLOCK);
  private filled = 0;
  private extension: { type: string; bytes: Buffer } | undefined;
  /** bytes of content, extension or padding still to come */
  private left = 0;
  private padding = 0;
  private pax: Pax | undefined;
  private longName: Buffer | undefined;
  private longLink: Buffer | undefined;

  constructor(private readonly sink: TarSink) {}

  /** Throws TarError, and what the sink throws. */
  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length;) at = this.step(chunk, at);
  }

  /** There is no more. `whole`: nobody else will see that the archive was cut, so it has to have its end. */
  finish(whole: boolean): void {
    if (this.state === State.OVER) return;
    const { pax, longName, longLink } = this;
    const isBetween = this.state === State.HEADER && this.filled === 0 && [pax, longName, longLink].every((one) => one === undefined);
    if (!isBetween && (this.state !== State.LAST || this.filled > 0))
      throw new TarError('the archive ends in the middle of an entry: it was cut');
    if (whole && this.state !== State.LAST) throw new TarError('the archive ends without its end marker: it was cut');
  }

  get isOver(): boolean {
    return this.state === State.OVER;
  }

  /** Of an entry that has been told: its content will not be pushed. How many bytes these are, with their padding. */
  passOver(): number {
    const skipped = this.state === State.CONTENT ? this.left + this.padding : this.state === State.PADDING ? this.left : 0;
    if (this.state === State.CONTENT) this.sink.end();
    if (skipped > 0) {
      this.left = 0;
      this.state = State.HEADER;
    }
    return skipped;
  }

  private step(chunk: Buffer, at: number): number {
    switch (this.state) {
      case State.HEADER:
      case State.LAST:
        return this.takeBlock(chunk, at);
      case State.EXTENSION:
        return this.takeExtension(chunk, at);
      case State.CONTENT: {
        const end = Math.min(chunk.length, at + this.left);
        this.sink.content(chunk.subarray(at, end));
        this.left -= end - at;
        if (this.left === 0) this.endContent();
        return end;
      }
      case State.PADDING: {
        const end = Math.min(chunk.length, at + this.left);
        this.sink.raw(chunk.subarray(at, end));
        this.left -= end - at;
        if (this.left === 0) this.state = State.HEADER;
        return end;
      }
      case State.OVER:
        this.sink.raw(chunk.subarray(at));
        return chunk.length;
    }
  }

  private takeBlock(chunk: Buffer, at: number): number {
    if (this.filled === 0 && chunk.length - at >= BLOCK) {
      this.header(chunk.subarray(at, at + BLOCK));
      return at + BLOCK;
    }
    const end = Math.min(chunk.length, at + BLOCK - this.filled);
    this.filled += chunk.copy(this.block, this.filled, at, end);
    if (this.filled === BLOCK) {
      this.filled = 0;
      this.header(this.block);
    }
    return end;
  }

  private header(block: Buffer): void {
    this.sink.raw(block);
    if (this.state === State.LAST) {
      if (!isZero(block)) throw new TarError('something follows a single block of zeros: the archive is damaged');
      this.state = State.OVER;
      return;
    }
    const header = readHeader(block);
    if (header === undefined) this.state = State.LAST;
    else if ('xgLK'.includes(header.type)) this.beginExtension(header);
    else this.begin(header);
  }

  private beginExtension({ type, size }: Header): void {
    if (size > MOST_EXTENSION) throw new TarError(`an extended header of ${size} bytes: ${MOST_EXTENSION} are the most`);
    this.extension = { type, bytes: Buffer.alloc(size) };
    this.filled = 0;
    this.padding = padding(size);
    if (size > 0) this.state = State.EXTENSION;
    else this.endExtension();
  }

  private takeExtension(chunk: Buffer, at: number): number {
    const { bytes } = this.extension!;
    const end = Math.min(chunk.length, at + bytes.length - this.filled);
    this.sink.raw(chunk.subarray(at, end));
    this.filled += chunk.copy(bytes, this.filled, at, end);
    if (this.filled === bytes.length) this.endExtension();
    return end;
  }

  private endExtension(): void {
    const { type, bytes } = this.extension!;
    this.extension = undefined;
    this.filled = 0;
    if (type === 'x') this.pax = readPax(bytes);
    else if (type === 'L') this.longName = upToNul(bytes);
    else if (type === 'K') this.longLink = upToNul(bytes);
    this.pad();
  }

  private begin(header: Header): void {
    const entry = this.entryOf(header);
    this.pax = this.longName = this.longLink = undefined;
    this.sink.entry(entry);
    this.padding = padding(entry.size);
    this.left = entry.size;
    if (entry.size > 0) this.state = State.CONTENT;
    else this.endContent();
  }

  private endContent(): void {
    this.sink.end();
    this.pad();
  }

  private pad(): void {
    this.left = this.padding;
    this.state = this.left > 0 ? State.PADDING : State.HEADER;
  }

  private entryOf(header: Header): TarEntry {
    const { pax, longName, longLink } = this;
    const path = longName ?? pax?.path ?? header.name;
    const type = typeOf(header, path);
    const mtime = pax?.mtime ?? { seconds: header.mtime, nanoseconds: 0 };
    return {
      type,
      path,
      target: longLink ?? pax?.linkpath ?? header.link,
      mode: header.mode,
      uid: pax?.uid ?? header.uid,
      gid: pax?.gid ?? header.gid,
      size: type === 'file' ? (pax?.size ?? header.size) : 0,
      mtime: mtime.seconds,
      mtimeNsec: mtime.nanoseconds,
      major: header.major,
      minor: header.minor,
      xattrs: pax === undefined ? [] : [...pax.xattrs.values()],
    };
  }
}

function typeOf({ type }: Header, path: Buffer): EntryType {
  const found = TYPES[type];
  if (type === 'S') throw new TarError('a sparse file, which a layer does not hold: write the archive without --sparse');
  if (found === undefined) throw new TarError(`an entry of the unknown type ${JSON.stringify(type)}`);
  // Before ustar a directory was an empty file whose name ends so.
  return type === '\0' && path.at(-1) === 0x2f ? 'directory' : found;
}

function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

function upToNul(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

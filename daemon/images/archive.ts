/** What an image is read from: a directory, or a tar whose members are read where they lie in it. Names are relative, with slashes. */
import fs from 'node:fs';
import { join, posix } from 'node:path';
import { openRegular, type LayerSource } from './layer-reader';
import { BLOCK, TarError } from './tar-header';
import { type TarEntry, TarReader, type TarSink } from './tar-reader';

export interface Archive {
  /** for people */
  readonly path: string;
  has(name: string): boolean;
  /** all of a small file; throws for one that is larger, or is not there */
  read(name: string, most: number): Buffer;
  /** a file's bytes, for a thread to read; throws if it is not there */
  source(name: string): { source: LayerSource; size: number };
}

/** Nothing outside of it can be named. */
export function checkName(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (name.includes('\0') || parts.length === 0 || parts.includes('..') || name.startsWith('/'))
    throw new TarError(`${JSON.stringify(name.slice(0, 200))} is no name of a file in the archive`);
  return parts.join('/');
}

export class DirectoryArchive implements Archive {
  constructor(readonly path: string) {}

  has(name: string): boolean {
    return fs.lstatSync(join(this.path, checkName(name)), { throwIfNoEntry: false })?.isFile() ?? false;
  }

  read(name: string, most: number): Buffer {
    const { source, size } = this.source(name);
    return readPart(source, size, most, name);
  }

  source(name: string): { source: { file: string; offset: number; length: number }; size: number } {
    const file = join(this.path, checkName(name));
    const size = fs.lstatSync(file, { throwIfNoEntry: false })?.size;
    if (size === undefined) throw new TarError(`there is no ${name} in ${this.path}: the image is not whole`);
    return { source: { file, offset: 0, length: size }, size };
  }
}

type Member = { offset: number; size: number } | { link: string };

/** Members of an image's archive are its layers and some JSON. */
const MOST_MEMBERS = 100_000;
const MOST_LINKS = 10;
/** Headers that are read before others have their turn. */
const AT_ONCE = 256;

export class TarArchive implements Archive {
  private constructor(
    readonly path: string,
    private readonly members: ReadonlyMap<string, Member>,
  ) {}

  /** Reads all headers, and passes over the contents. */
  static async open(path: string): Promise<TarArchive> {
    const fd = openRegular(path);
    try {
      const members = new Members();
      const reader = new TarReader(members);
      const { size } = fs.fstatSync(fd);
      const block = Buffer.alloc(BLOCK);
      for (let at = 0, count = 0; at < size && !reader.isOver; count++) {
        const found = fs.readSync(fd, block, 0, BLOCK, at);
        at += found;
        members.position = at;
        reader.push(block.subarray(0, found));
        at += reader.passOver();
        if (at > size) throw new TarError(`${path} is shorter than it should be: it was cut`);
        if (count % AT_ONCE === 0) await new Promise(setImmediate);
      }
      reader.finish(false);
      return new TarArchive(path, members.found);
    } finally {
      fs.closeSync(fd);
    }
  }

  has(name: string): boolean {
    return this.member(name) !== undefined;
  }

  read(name: string, most: number): Buffer {
    const { source, size } = this.source(name);
    return readPart(source, size, most, name);
  }

  source(name: string): { source: { file: string; offset: number; length: number }; size: number } {
    const member = this.member(name);
    if (member === undefined) throw new TarError(`there is no ${name} in ${this.path}: the image is not whole`);
    return { source: { file: this.path, offset: member.offset, length: member.size }, size: member.size };
  }

  /** docker saves a layer that two images have once, and else as a symlink. */
  private member(name: string): { offset: number; size: number } | undefined {
    let at = checkName(name);
    for (let links = 0; links <= MOST_LINKS; links++) {
      const found = this.members.get(at);
      if (found === undefined || !('link' in found)) return found;
      at = found.link;
    }
    return undefined;
  }
}

class Members implements TarSink {
  readonly found = new Map<string, Member>();
  /** where the content of an entry begins that is told now */
  position = 0;

  raw(): void {
    // of no interest
  }

  entry({ type, path, target, size }: TarEntry): void {
    const name = posix.normalize(path.toString()).replace(/\/$/, '');
    if (this.found.size >= MOST_MEMBERS) throw new TarError(`it has more than ${MOST_MEMBERS} members: that is no image`);
    if (type === 'file') this.found.set(name, { offset: this.position, size });
    else if (type === 'symlink') this.found.set(name, { link: posix.join(posix.dirname(name), target.toString()) });
    else if (type === 'hardlink') this.found.set(name, { link: posix.normalize(target.toString()) });
  }

  content(): void {
    // passed over
  }

  end(): void {
    // nothing to do
  }
}

function readPart(source: { file: string; offset: number; length: number }, size: number, most: number, name: string): Buffer {
  if (size > most) throw new TarError(`${name} has ${size} bytes: ${most} are the most for what it is`);
  const fd = openRegular(source.file);
  try {
    const bytes = Buffer.alloc(size);
    const found = fs.readSync(fd, bytes, 0, size, source.offset);
    if (found < size) throw new TarError(`${name} is shorter than it should be: the archive was cut`);
    return bytes;
  } finally {
    fs.closeSync(fd);
  }
}

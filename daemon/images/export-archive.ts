/** Where an exported image is written to: a directory of files, or a tar of them. The same files in the same order give the same bytes. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { dirname, join } from 'node:path';
import { FileType } from '../store';
import { END, padding, tarHeader } from './tar-writer';

export interface Blob {
  /** sha256, in hex */
  digest: string;
  size: number;
}

export interface Archive {
  file(name: string, content: Buffer): void;
  /** What it is called is known when all of it was read. A name that is there already is written once. */
  stream(chunks: AsyncIterable<Buffer>, name: (digest: string) => string): Promise<Blob>;
  /** All of it is on the disk when this returns. */
  finish(): void;
}

/** What others may read is for whoever exports to decide: an image holds whatever its makers left in it. */
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

export class TarArchive implements Archive {
  private readonly fd: number;
  private readonly names = new Set<string>();
  private at = 0;

  constructor(file: string) {
    this.fd = fs.openSync(file, 'wx', FILE_MODE);
  }

  file(name: string, content: Buffer): void {
    if (this.names.has(name)) return;
    this.directories(name);
    this.names.add(name);
    for (const part of [header(name, content.length), content, padding(content.length)]) this.put(part);
  }

  async stream(chunks: AsyncIterable<Buffer>, name: (digest: string) => string): Promise<Blob> {
    this.directories(name('x'));
    const head = this.at;
    this.put(header('', 0)); // the place of the real one
    const hash = createHash('sha256');
    for await (const chunk of chunks) {
      hash.update(chunk);
      this.put(chunk);
    }
    const blob = { digest: hash.digest('hex'), size: this.at - head - END.length / 2 };
    const called = name(blob.digest);
    if (this.names.has(called)) this.at = head;
    else {
      this.names.add(called);
      this.put(padding(blob.size));
      write(this.fd, header(called, blob.size), head);
    }
    return blob;
  }

  finish(): void {
    this.put(END);
    fs.ftruncateSync(this.fd, this.at);
    fs.fsyncSync(this.fd);
    fs.closeSync(this.fd);
  }

  /** Some readers want them to be there. */
  private directories(name: string): void {
    const directory = dirname(name);
    if (directory === '.' || this.names.has(`${directory}/`)) return;
    this.directories(directory);
    this.names.add(`${directory}/`);
    this.put(header(`${directory}/`, 0));
  }

  private put(bytes: Buffer): void {
    write(this.fd, bytes, this.at);
    this.at += bytes.length;
  }
}

function header(name: string, size: number): Buffer {
  const isDirectory = name.endsWith('/');
  return tarHeader({
    path: Buffer.from(name),
    mode: isDirectory ? FileType.DIRECTORY | 0o755 : FileType.REGULAR | 0o644,
    ...{ uid: 0, gid: 0, mtime: 0n, mtimeNsec: 0, size, rdev: 0, xattrs: [] },
  });
}

function write(fd: number, bytes: Buffer, at: number): void {
  for (let done = 0; done < bytes.length;) done += fs.writeSync(fd, bytes, done, bytes.length - done, at + done);
}

export class DirectoryArchive implements Archive {
  private readonly directories = new Set<string>();

  constructor(private readonly directory: string) {
    fs.mkdirSync(directory, { mode: DIRECTORY_MODE });
    this.directories.add(directory);
  }

  file(name: string, content: Buffer): void {
    const file = this.place(name);
    if (fs.existsSync(file)) return;
    const fd = fs.openSync(file, 'wx', FILE_MODE);
    try {
      write(fd, content, 0);
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  }

  async stream(chunks: AsyncIterable<Buffer>, name: (digest: string) => string): Promise<Blob> {
    const part = this.place(name('part'));
    const fd = fs.openSync(part, 'wx', FILE_MODE);
    const hash = createHash('sha256');
    let size = 0;
    try {
      for await (const chunk of chunks) {
        hash.update(chunk);
        write(fd, chunk, size);
        size += chunk.length;
      }
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    const digest = hash.digest('hex');
    fs.renameSync(part, this.place(name(digest)));
    return { digest, size };
  }

  finish(): void {
    for (const directory of this.directories) syncDirectory(directory);
  }

  private place(name: string): string {
    const file = join(this.directory, name);
    fs.mkdirSync(dirname(file), { recursive: true, mode: DIRECTORY_MODE });
    for (let at = dirname(file); at !== this.directory; at = dirname(at)) this.directories.add(at);
    return file;
  }
}

export function syncDirectory(directory: string): void {
  const fd = fs.openSync(directory, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * The object store's files: `objects/ab/<62 hex>` holds the content whose sha256 that is, mode 0400, once, whatever layers refer to it.
 *
 * A file appears whole: an {@link ObjectWriter} writes it below tmp/, and it is renamed when its bytes are on the disk. It is never written again. No
 * symlink is followed to one, or made.
 */
import { createHash, type Hash } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import { native } from '../../native-bindings/index';
import { StoreError } from './errors';

const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_DIRECTORY } = fs.constants;
const NEW = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
const READ_ONLY = 0o400;

export class Objects {
  readonly directory: string;

  /** @param root the store's */
  constructor(readonly root: string) {
    this.directory = join(root, 'objects');
  }

  path(digest: Buffer): string {
    return this.named(digest.toString('hex'));
  }

  private named(hex: string): string {
    return `${this.directory}/${hex.slice(0, 2)}/${hex.slice(2)}`;
  }

  has(digest: Buffer): boolean {
    return fs.lstatSync(this.path(digest), { throwIfNoEntry: false }) !== undefined;
  }

  /** A descriptor to read from. */
  open(digest: Buffer): number {
    return fs.openSync(this.path(digest), O_RDONLY | O_NOFOLLOW);
  }

  /** False: there was none. */
  remove(digest: Buffer): boolean {
    try {
      fs.unlinkSync(this.path(digest));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return false;
    }
  }

  /** Makes the directories that are missing. */
  prepare(): void {
    if (fs.existsSync(join(this.directory, 'ff'))) return;
    for (let i = 0; i < 256; i++) fs.mkdirSync(join(this.directory, i.toString(16).padStart(2, '0')), { recursive: true, mode: 0o700 });
  }

  /** The names of what lies in one of the 256 directories: 62 hex digits each, or something that is none of ours. */
  list(first: number): string[] {
    return fs.readdirSync(join(this.directory, first.toString(16).padStart(2, '0')));
  }

  /** For one layer. `scratch` is an empty directory below the store's tmp/ that is the writer's alone. */
  writer(scratch: string): ObjectWriter {
    return new ObjectWriter(this, scratch);
  }
}

/**
 * Takes the contents of one layer: those that the store has not wait under temporary names until sync() and place(). Between the two whoever writes takes
 * its leases: what it found in the store may have gone by then, and place() says what is missing.
 */
export class ObjectWriter {
  private large: { fd: number; hash: Hash } | undefined;

  constructor(
    private readonly objects: Objects,
    private readonly scratch: string,
  ) {}

  /** A content that is in memory; its digest. */
  add(content: Buffer): Buffer {
    const digest = createHash('sha256').update(content).digest();
    if (this.objects.has(digest)) return digest;
    const fd = this.create(this.waiting(digest));
    if (fd !== undefined) {
      try {
        writeAll(fd, content);
      } finally {
        fs.closeSync(fd);
      }
    }
    return digest;
  }

  /** A content that comes in pieces: begin, append…, finish. */
  begin(): void {
    const fd = this.create(this.part)!;
    this.large = { fd, hash: createHash('sha256') };
  }

  append(bytes: Buffer): void {
    const { fd, hash } = this.large!;
    hash.update(bytes);
    writeAll(fd, bytes);
  }

  finish(): Buffer {
    const { fd, hash } = this.large!;
    this.large = undefined;
    fs.closeSync(fd);
    const digest = hash.digest();
    if (this.objects.has(digest)) fs.unlinkSync(this.part);
    else fs.renameSync(this.part, this.waiting(digest));
    return digest;
  }

  /** All that was written, and whatever else is in this file system, is on the disk. */
  sync(): void {
    const fd = fs.openSync(this.scratch, O_RDONLY | O_DIRECTORY);
    try {
      const result = native.syncfs(fd);
      if (result < 0) throw new StoreError(`cannot write ${this.objects.root} to the disk: syncfs failed with errno ${-result}`);
    } finally {
      fs.closeSync(fd);
    }
  }

  /** Puts them into their places. Returns how many are neither here nor there. */
  place(digests: Iterable<Buffer>): number {
    let missing = 0;
    const touched = new Set<string>();
    for (const digest of digests) {
      const hex = digest.toString('hex');
      if (this.rename(hex)) touched.add(hex.slice(0, 2));
      else if (!this.objects.has(digest)) missing++;
    }
    for (const name of touched) syncDirectory(join(this.objects.directory, name));
    return missing;
  }

  private rename(hex: string): boolean {
    try {
      fs.renameSync(`${this.scratch}/${hex}`, `${this.objects.directory}/${hex.slice(0, 2)}/${hex.slice(2)}`);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return false;
    }
  }

  private waiting(digest: Buffer): string {
    return `${this.scratch}/${digest.toString('hex')}`;
  }

  private get part(): string {
    return `${this.scratch}/part`;
  }

  /** Undefined: it is there already. */
  private create(file: string): number | undefined {
    try {
      return fs.openSync(file, NEW, READ_ONLY);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST' && file !== this.part) return undefined;
      throw error;
    }
  }
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) at += fs.writeSync(fd, bytes, at, bytes.length - at);
}

/** The names in it are on the disk. */
export function syncDirectory(path: string): void {
  const fd = fs.openSync(path, O_RDONLY | O_DIRECTORY);
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

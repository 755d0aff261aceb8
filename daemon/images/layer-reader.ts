/**
 * Reads one layer: from its blob to contents (objects in waiting), index and framing below a scratch directory. In a thread of its own
 * (layer-thread.ts): all of it is hashing, decompressing and SQLite, and none of it waits for anybody.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import { FramingWriter } from '../store/framing';
import type { IndexFacts } from '../store/index-rows';
import { Objects, type ObjectWriter } from '../store/objects';
import { displayPath } from '../store/paths';
import { compressionOf, decompressed } from './decompress';
import { type Place, placeOf } from './entry-path';
import { LayerTree } from './layer-tree';
import { TarError } from './tar-header';
import { type TarEntry, TarReader, type TarSink } from './tar-reader';

/** Where a layer's bytes come from. */
export type LayerSource =
  | { file: string; offset: number; length: number }
  /** a pipe, to its end; it stays open */
  | { fd: number };

export interface LayerTask {
  /** the store's */
  root: string;
  /** an empty directory of the store's tmp/ */
  scratch: string;
  source: LayerSource;
  /** as the manifest and the config have them: a layer that is another is refused */
  expected: { diffId?: string; blob?: { digest: string; size: number } };
  /** of several layers together; see {@link Counter} */
  counters: BigInt64Array<SharedArrayBuffer>;
  /** are contents refused that are suspiciously well compressed? */
  suspicious: boolean;
}

/** What the threads and plyd count together. */
export const enum Counter {
  /** uncompressed bytes that may still come */
  BUDGET,
  /** bytes read of blobs */
  BYTES,
  FILES,
  /** not 0: the work is given up. A thread is not ended in the middle of it: SQLite's addon does not outlive that. */
  CANCELLED,
  COUNT,
}

export interface ReadLayer {
  diffId: string;
  tarSize: number;
  blobDigest: string;
  blobSize: number;
  needsLowers: boolean;
}

/** What scratch holds in the end. */
export const LAYER = 'layer';
const WAITING = 'objects';
const STAGE = 'stage';

const PIECE = 1 << 18;
/** A content up to this size is put together in memory, and not written if it is there already. */
const SMALL = 1 << 20;
/** Real layers stay below 20. What gzip can do at most is 1032. */
const SUSPICIOUS_RATIO = 200;
const SUSPICIOUS_FROM = 1 << 30;
const EMPTY = Buffer.alloc(0);

export class LayerReader implements TarSink {
  private readonly tree: LayerTree;
  private readonly framing: FramingWriter;
  private readonly writer: ObjectWriter;
  private readonly small = Buffer.allocUnsafe(SMALL);
  private filled = 0;
  private current: { entry: TarEntry; place: Place; digest: Buffer | null } | undefined;
  private blobSize = 0;
  private tarSize = 0;

  constructor(private readonly task: LayerTask) {
    const { root, scratch } = task;
    const [layer, waiting, stage] = [LAYER, WAITING, STAGE].map((name) => join(scratch, name));
    for (const directory of [layer, waiting, stage]) fs.mkdirSync(directory, { mode: 0o700 });
    this.tree = new LayerTree(layer, stage);
    this.framing = new FramingWriter(join(layer, 'framing'));
    this.writer = new Objects(root).writer(waiting);
  }

  /** Throws TarError for what is no layer, or another than the expected. */
  async read(): Promise<ReadLayer> {
    const { expected } = this.task;
    const [blob, tar] = [createHash('sha256'), createHash('sha256')];
    const reader = new TarReader(this);
    try {
      for await (const chunk of this.uncompressed((bytes) => void blob.update(bytes))) {
        this.count(chunk.length);
        tar.update(chunk);
        reader.push(chunk);
      }
      reader.finish(expected.diffId === undefined);
    } catch (error) {
      if (!(error instanceof TarError) || this.current === undefined) throw error;
      throw new TarError(`${displayPath(this.current.entry.path)}: ${error.message}`);
    }
    this.framing.finish();
    const [blobDigest, diffId] = [blob.digest('hex'), tar.digest('hex')];
    const { blobSize, tarSize } = this;
    if (expected.blob !== undefined && (expected.blob.digest !== blobDigest || expected.blob.size !== blobSize))
      throw new TarError(
        `its digest is sha256:${blobDigest} (${blobSize} bytes), and sha256:${expected.blob.digest} (${expected.blob.size}) was promised`,
      );
    if (expected.diffId !== undefined && expected.diffId !== diffId)
      throw new TarError(`its diffID is sha256:${diffId}, and sha256:${expected.diffId} was promised`);
    return { diffId, tarSize, blobDigest, blobSize, needsLowers: this.tree.needsLowers };
  }

  /** @param lowers the index files of the layers below, topmost first */
  finish(lowers: readonly string[]): IndexFacts {
    this.checkCancelled();
    return this.tree.finish(lowers);
  }

  /** Some of the contents that the layer refers to, in the order of their digests, after one. */
  contents(after: Buffer, most: number): { digest: Buffer; size: number }[] {
    return this.tree.contents(after, most);
  }

  sync(): void {
    this.writer.sync();
  }

  /** After leases were taken on all contents. Returns how many are missing: they were in the store when the layer was read, and have gone since. */
  place(): number {
    return this.writer.place(this.digests());
  }

  private *digests(): Generator<Buffer> {
    for (let after: Buffer = EMPTY; ;) {
      const some = this.tree.contents(after, 1000);
      this.checkCancelled();
      for (const { digest } of some) yield digest;
      if (some.length === 0) return;
      after = some[some.length - 1].digest;
    }
  }

  close(): void {
    this.tree.close();
  }

  // ---- bytes in --------------------------------------------------------------------------------------------------------------------------------

  private async *uncompressed(hash: (bytes: Buffer) => void): AsyncGenerator<Buffer> {
    const pieces = this.pieces(hash);
    const first = pieces.next();
    if (first.done === true) throw new TarError('it is empty');
    yield* decompressed(joined(first.value, pieces), compressionOf(first.value));
  }

  private *pieces(hash: (bytes: Buffer) => void): Generator<Buffer> {
    const { source, counters } = this.task;
    const fd = 'fd' in source ? source.fd : openRegular(source.file);
    let position = 'fd' in source ? null : source.offset;
    let left = 'fd' in source ? Infinity : source.length;
    try {
      while (left > 0) {
        const piece = Buffer.allocUnsafeSlow(PIECE);
        const found = fs.readSync(fd, piece, 0, Math.min(PIECE, left), position);
        if (found === 0) break;
        if (position !== null) position += found;
        left -= found;
        const bytes = piece.subarray(0, found);
        hash(bytes);
        this.blobSize += found;
        Atomics.add(counters, Counter.BYTES, BigInt(found));
        yield bytes;
      }
    } finally {
      if (!('fd' in source)) fs.closeSync(fd);
    }
    if (left > 0 && left !== Infinity) throw new TarError('its file is shorter than it should be');
  }

  private checkCancelled(): void {
    if (Atomics.load(this.task.counters, Counter.CANCELLED) !== 0n) throw new Error('it was given up');
  }

  /** Throws for a bomb. */
  private count(bytes: number): void {
    this.checkCancelled();
    this.tarSize += bytes;
    const left = Atomics.sub(this.task.counters, Counter.BUDGET, BigInt(bytes));
    if (left < BigInt(bytes)) throw new TarError('it has more uncompressed bytes than are allowed (--max-size): a bomb, or give more');
    if (this.task.suspicious && this.tarSize > SUSPICIOUS_FROM && this.tarSize > SUSPICIOUS_RATIO * this.blobSize)
      throw new TarError(
        `it has more than ${SUSPICIOUS_RATIO} times the bytes of its blob: a bomb; if it is none, say with --max-size how many bytes the image may have`,
      );
  }

  // ---- TarSink ---------------------------------------------------------------------------------------------------------------------------------

  raw(bytes: Buffer): void {
    this.framing.raw(bytes);
  }

  entry(entry: TarEntry): void {
    this.current = undefined; // a wrong path says so itself
    const place = named(entry, () => placeOf(entry));
    this.current = { entry, place, digest: null };
    this.filled = 0;
    if (entry.type !== 'file') return;
    Atomics.add(this.task.counters, Counter.FILES, 1n);
    if (entry.size > SMALL) this.writer.begin();
  }

  content(bytes: Buffer): void {
    const current = this.current!;
    const { size } = current.entry;
    if (size > SMALL) this.writer.append(bytes);
    else if (bytes.length === size) current.digest = this.writer.add(bytes);
    else {
      this.filled += bytes.copy(this.small, this.filled);
      if (this.filled === size) current.digest = this.writer.add(this.small.subarray(0, size));
    }
  }

  end(): void {
    const current = this.current!;
    const { entry, place } = current;
    if (entry.type === 'file') {
      if (entry.size > SMALL) current.digest = this.writer.finish();
      else if (entry.size === 0 && place.kind === 'entry') current.digest = this.writer.add(EMPTY);
      if (current.digest !== null) this.tree.content(current.digest, entry.size);
      if (entry.size > 0) this.framing.content(current.digest!, entry.size);
    }
    this.tree.add(place, entry, current.digest);
    this.current = undefined;
  }
}

/** An error about the entry says which it is. */
function named<T>(entry: TarEntry, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof TarError)) throw error;
    throw new TarError(`${displayPath(entry.path.subarray(0, 300))}: ${error.message}`);
  }
}

function* joined(first: Buffer, rest: Iterable<Buffer>): Generator<Buffer> {
  yield first;
  yield* rest;
}

/** Not through a symlink, and nothing that would wait for somebody. */
export function openRegular(file: string): number {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
  const fd = fs.openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (fs.fstatSync(fd).isFile()) return fd;
  fs.closeSync(fd);
  throw new TarError(`${file} is no regular file`);
}

/**
 * `layers/<id>/framing`: how the layer's tar is put together of its own bytes (headers, padding, what follows the end) and of contents, which are objects. So
 * the tar that was imported comes out again, the same to the last bit.
 *
 * A stream of records: u8 0, u32 length and bytes of the tar itself; or u8 1, u64 size and the sha256 of a content. All little-endian. The stream is cut
 * into pieces, in the file each as u32 length of its compressed form, and that (raw deflate): headers repeat one another. Length 0 and the sha256 of all
 * of the file before it are the end.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { StoreError } from './errors';

const PIECE = 1 << 18;
const RAW = 0;
const CONTENT = 1;
const CONTENT_BYTES = 1 + 8 + 32;
const LEVEL = 1;

export type FramingPart = { raw: Buffer } | { digest: Buffer; size: number };

export class FramingWriter {
  private readonly fd: number;
  private readonly hash = createHash('sha256');
  private readonly piece = Buffer.alloc(PIECE);
  private used = 0;
  /** where the length of the raw record that is being written stands; -1: none is */
  private open = -1;

  constructor(file: string) {
    this.fd = fs.openSync(file, 'wx', 0o600);
  }

  raw(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      if (this.open < 0) this.begin();
      const end = Math.min(bytes.length, at + PIECE - this.used);
      this.used += bytes.copy(this.piece, this.used, at, end);
      at = end;
      if (this.used === PIECE) this.flush();
    }
  }

  content(digest: Buffer, size: number): void {
    this.close();
    if (this.used + CONTENT_BYTES > PIECE) this.flush();
    this.piece[this.used] = CONTENT;
    this.piece.writeBigUInt64LE(BigInt(size), this.used + 1);
    digest.copy(this.piece, this.used + 9);
    this.used += CONTENT_BYTES;
  }

  finish(): void {
    this.flush();
    this.write(Buffer.alloc(4));
    this.write(this.hash.digest(), false);
    fs.closeSync(this.fd);
  }

  private begin(): void {
    if (this.used + 6 > PIECE) this.flush();
    this.piece[this.used] = RAW;
    this.open = this.used + 1;
    this.used += 5;
  }

  private close(): void {
    if (this.open >= 0) this.piece.writeUInt32LE(this.used - this.open - 4, this.open);
    this.open = -1;
  }

  private flush(): void {
    this.close();
    if (this.used === 0) return;
    const packed = deflateRawSync(this.piece.subarray(0, this.used), { level: LEVEL });
    const head = Buffer.alloc(4);
    head.writeUInt32LE(packed.length);
    this.write(head);
    this.write(packed);
    this.used = 0;
  }

  private write(bytes: Buffer, counts = true): void {
    if (counts) this.hash.update(bytes);
    for (let at = 0; at < bytes.length;) at += fs.writeSync(this.fd, bytes, at);
  }
}

/** What the file says, from the beginning. Buffers are the reader's own. Throws StoreError for a file that is not what was written. */
export function* readFraming(file: string): Generator<FramingPart> {
  const fd = fs.openSync(file, 'r');
  const hash = createHash('sha256');
  try {
    for (;;) {
      const head = read(fd, 4, file);
      hash.update(head);
      const length = head.readUInt32LE();
      if (length === 0) break;
      const packed = read(fd, length, file);
      hash.update(packed);
      yield* records(inflated(packed, file), file);
    }
    if (!hash.digest().equals(read(fd, 32, file))) throw damaged(file);
  } finally {
    fs.closeSync(fd);
  }
}

function* records(piece: Buffer, file: string): Generator<FramingPart> {
  for (let at = 0; at < piece.length;) {
    const isRaw = piece[at] === RAW;
    const end = at + (isRaw && at + 5 <= piece.length ? 5 + piece.readUInt32LE(at + 1) : CONTENT_BYTES);
    if (end > piece.length || piece[at] > CONTENT) throw damaged(file);
    if (isRaw) yield { raw: piece.subarray(at + 5, end) };
    else yield { digest: piece.subarray(at + 9, end), size: Number(piece.readBigUInt64LE(at + 1)) };
    at = end;
  }
}

function inflated(packed: Buffer, file: string): Buffer {
  try {
    return inflateRawSync(packed, { maxOutputLength: PIECE });
  } catch {
    throw damaged(file);
  }
}

function read(fd: number, length: number, file: string): Buffer {
  if (length > 2 * PIECE) throw damaged(file);
  const bytes = Buffer.alloc(length);
  const found = fs.readSync(fd, bytes);
  if (found < length) throw damaged(file);
  return bytes;
}

function damaged(file: string): StoreError {
  return new StoreError(`${file} is damaged: remove the images that are made of its layer, and import them again`);
}

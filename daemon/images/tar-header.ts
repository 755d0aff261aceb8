/** A header block of a tar: ustar, GNU, star or older. Fields at the offsets of <tar.h>. */

export const BLOCK = 512;

/** An archive that is not what the format says, or that holds what no layer may: the message says what, not where. */
export class TarError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'TarError';
  }
}

/** Beyond it a number cannot be told exactly; no file system has a larger file. */
const LARGEST = Number.MAX_SAFE_INTEGER;

export interface Header {
  /** the typeflag as a character; '\0' stays */
  type: string;
  name: Buffer;
  link: Buffer;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  major: number;
  minor: number;
}

/** Undefined: a block of zeros. Throws TarError. */
export function readHeader(block: Buffer): Header | undefined {
  if (!hasChecksum(block)) {
    if (isZero(block)) return undefined;
    throw new TarError('a header with a wrong checksum: this is no tar, or it is damaged');
  }
  const type = String.fromCharCode(block[156]);
  const isDevice = type === '3' || type === '4';
  return {
    type,
    name: fullName(block),
    link: text(block, 157, 100),
    mode: number(block, 100, 8, 'mode') & 0o7777,
    uid: number(block, 108, 8, 'uid'),
    gid: number(block, 116, 8, 'gid'),
    size: number(block, 124, 12, 'size'),
    mtime: number(block, 136, 12, 'mtime'),
    major: isDevice ? number(block, 329, 8, 'device number') : 0,
    minor: isDevice ? number(block, 337, 8, 'device number') : 0,
  };
}

export function isZero(block: Buffer): boolean {
  return block.equals(ZEROS);
}

const ZEROS = Buffer.alloc(BLOCK);

/** The sum of all bytes, the checksum's own counted as spaces; some old programs summed signed ones. */
function hasChecksum(block: Buffer): boolean {
  let unsigned = 8 * 0x20;
  let high = 0;
  for (let i = 0; i < BLOCK; i++) {
    if (i === 148) i = 156;
    const byte = block[i];
    unsigned += byte;
    if (byte >= 0x80) high++;
  }
  const stored = octal(block, 148, 8);
  return stored === unsigned || (high > 0 && stored === unsigned - 256 * high);
}

const USTAR = Buffer.from('ustar\0');
const STAR = Buffer.from('tar\0');

function fullName(block: Buffer): Buffer {
  const name = text(block, 0, 100);
  if (block.compare(USTAR, 0, 6, 257, 263) !== 0 || block[345] === 0) return name;
  const isStar = block.compare(STAR, 0, 4, 508, 512) === 0;
  return Buffer.concat([text(block, 345, isStar ? 131 : 155), SLASH, name]);
}

const SLASH = Buffer.from('/');

/** A copy of the bytes up to the first NUL. */
function text(block: Buffer, at: number, length: number): Buffer {
  let end = at;
  while (end < at + length && block[end] !== 0) end++;
  return Buffer.from(block.subarray(at, end));
}

/** Octal digits, or GNU's big-endian binary with the first bit set. */
function number(block: Buffer, at: number, length: number, what: string): number {
  const value = (block[at] & 0x80) === 0 ? octal(block, at, length) : binary(block, at, length);
  if (value === undefined || Math.abs(value) > LARGEST) throw new TarError(`a header whose ${what} is no number that can be used`);
  if (value < 0 && what !== 'mtime') throw new TarError(`a header with a negative ${what}`);
  return value;
}

/** Undefined: something else than digits between spaces and NULs. */
function octal(block: Buffer, at: number, length: number): number | undefined {
  const end = at + length;
  let i = at;
  while (i < end && (block[i] === 0x20 || block[i] === 0)) i++;
  let value = 0;
  for (; i < end && block[i] >= 0x30 && block[i] <= 0x37; i++) value = value * 8 + block[i] - 0x30;
  for (; i < end && block[i] !== 0; i++) if (block[i] !== 0x20) return undefined;
  return value;
}

/** Two's complement; the first bit only marks it, the second is the sign. */
function binary(block: Buffer, at: number, length: number): number {
  const isNegative = (block[at] & 0x40) !== 0;
  const invert = isNegative ? 0xff : 0;
  let value = (block[at] ^ invert) & 0x7f;
  for (let i = at + 1; i < at + length; i++) value = value * 256 + (block[i] ^ invert);
  return isNegative ? -value - 1 : value;
}

/** The records of a PAX extended header (typeflag x): "LENGTH KEY=VALUE\n", one after the other, the length that of the whole record. */
import type { Xattr } from '../store';
import { TarError } from './tar-header';

/** What a layer takes from them; the rest (names of owners, atime, comments) says nothing that a container sees. */
export interface Pax {
  path?: Buffer;
  linkpath?: Buffer;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: { seconds: number; nanoseconds: number };
  xattrs: Map<string, Xattr>;
}

const SPACE = 0x20;
const EQUALS = 0x3d;
const NEWLINE = 0x0a;
const XATTR = /^SCHILY\.xattr\.(.+)$/s;
/** bsdtar's form: name percent-encoded, value base64. SCHILY's of the same name wins. */
const LIBARCHIVE_XATTR = /^LIBARCHIVE\.xattr\.(.+)$/s;

/** Throws TarError. */
export function readPax(bytes: Buffer): Pax {
  const pax: Pax = { xattrs: new Map() };
  for (let at = 0; at < bytes.length;) {
    const end = recordEnd(bytes, at);
    const equals = bytes.indexOf(EQUALS, at);
    const start = bytes.indexOf(SPACE, at) + 1;
    if (equals < 0 || equals >= end || equals === start) throw broken('has no key');
    take(pax, bytes.toString('latin1', start, equals), bytes.subarray(equals + 1, end - 1));
    at = end;
  }
  return pax;
}

function broken(how: string): TarError {
  return new TarError(`a PAX header with a record that ${how}`);
}

function recordEnd(bytes: Buffer, at: number): number {
  const space = bytes.indexOf(SPACE, at);
  const length = space < 0 || space - at > 10 ? '' : bytes.toString('latin1', at, space);
  if (!/^\d+$/.test(length)) throw broken('has no length');
  const end = at + Number(length);
  if (end <= space + 1 || end > bytes.length || bytes[end - 1] !== NEWLINE) throw broken('has another length than it says');
  return end;
}

/** An empty value takes back what an earlier record or the header itself said: as if there were none. */
function take(pax: Pax, key: string, value: Buffer): void {
  if (key.startsWith('GNU.sparse.')) throw new TarError('a sparse file, which a layer does not hold: write the archive without --sparse');
  switch (key) {
    case 'path':
    case 'linkpath':
      if (value.includes(0)) throw broken(`has a NUL in its ${key}`);
      if (value.length > 0) pax[key] = Buffer.from(value);
      return;
    case 'size':
    case 'uid':
    case 'gid':
      if (value.length > 0) pax[key] = whole(key, value);
      return;
    case 'mtime':
      if (value.length > 0) pax.mtime = time(value);
      return;
    default:
      takeXattr(pax, key, value);
  }
}

function whole(key: string, value: Buffer): number {
  const text = value.toString('latin1');
  const number = Number(text);
  if (!/^\d+$/.test(text) || number > Number.MAX_SAFE_INTEGER) throw broken(`has a ${key} that is no number that can be used`);
  return number;
}

/** Decimal seconds. More than nine digits of a fraction are cut off. */
function time(value: Buffer): { seconds: number; nanoseconds: number } {
  const match = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(value.toString('latin1'));
  if (match === null) throw broken('has an mtime that is no time');
  const [, sign, whole, fraction = ''] = match;
  const [seconds, nanoseconds] = [Number(whole), Number(fraction.slice(0, 9).padEnd(9, '0'))];
  if (sign === '') return { seconds, nanoseconds };
  return nanoseconds === 0 ? { seconds: 0 - seconds, nanoseconds } : { seconds: -seconds - 1, nanoseconds: 1e9 - nanoseconds };
}

const MOST_NAME = 255; // XATTR_NAME_MAX, XATTR_SIZE_MAX of <linux/limits.h>
const MOST_VALUE = 65536;

function takeXattr(pax: Pax, key: string, value: Buffer): void {
  const own = XATTR.exec(key)?.[1];
  const libarchive = own === undefined ? LIBARCHIVE_XATTR.exec(key)?.[1] : undefined;
  if (own === undefined && libarchive === undefined) return;
  const name = own === undefined ? percentDecoded(libarchive!) : Buffer.from(own, 'latin1');
  const known = name.toString('latin1');
  if (own === undefined && pax.xattrs.has(known)) return;
  const bytes = own === undefined ? Buffer.from(value.toString('latin1'), 'base64') : Buffer.from(value);
  if (name.length > MOST_NAME || name.includes(0) || bytes.length > MOST_VALUE)
    throw new TarError(`an extended attribute that no file system holds: ${name.length} bytes of name, ${bytes.length} of value`);
  pax.xattrs.set(known, { name, value: bytes });
}

function percentDecoded(text: string): Buffer {
  return Buffer.from(
    text.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))),
    'latin1',
  );
}

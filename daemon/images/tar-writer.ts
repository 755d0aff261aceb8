/**
 * A tar's headers, as they are written: ustar (POSIX.1-1988), with a pax extended header before it where ustar cannot say it. The same entry gives
 * the same bytes.
 */
import { FileType, type Xattr } from '../store';

export interface TarEntry {
  /** as it stands in the tar; a directory's ends with a slash */
  path: Buffer;
  /** with the type's bits */
  mode: number;
  uid: number;
  gid: number;
  mtime: bigint;
  mtimeNsec: number;
  /** of what follows the header */
  size: number;
  /** of a device, as new_encode_dev has it */
  rdev: number;
  /** a symlink's target */
  target?: Buffer;
  /** the path of an entry that came before, of which this is another name */
  linkTo?: Buffer;
  xattrs: readonly Xattr[];
}

const BLOCK = 512;
/** What ends a tar. */
export const END = Buffer.alloc(2 * BLOCK);

const PATH_BYTES = 100;
const PREFIX_BYTES = 155;
/** The greatest numbers of 7 and of 11 octal digits. */
const MOST_ID = 0o7777777;
const MOST_SIZE = 0o77777777777;

const FLAGS: ReadonlyMap<number, string> = new Map([
  [FileType.REGULAR, '0'],
  [FileType.LINK, '2'],
  [FileType.CHARACTER, '3'],
  [FileType.BLOCK, '4'],
  [FileType.DIRECTORY, '5'],
  [FileType.FIFO, '6'],
]);

/** Sockets have no place in a tar. */
export const fits = (mode: number): boolean => FLAGS.has(mode & FileType.MASK);

/** Zeros between a file's end and the next header. */
export const padding = (size: number): Buffer => END.subarray(0, (BLOCK - (size % BLOCK)) % BLOCK);

/** The header, with a pax header before it if one is needed. */
export function tarHeader(entry: TarEntry): Buffer {
  const { path, size, uid, gid, mtime, mtimeNsec, rdev } = entry;
  const link = entry.linkTo ?? entry.target ?? EMPTY;
  const place = splitPath(path);
  const records: [key: Buffer, value: Buffer][] = [];
  const add = (key: string, value: Buffer | string): void => void records.push([Buffer.from(key), Buffer.from(value)]);
  if (gid > MOST_ID) add('gid', String(gid));
  if (link.length > PATH_BYTES) add('linkpath', link);
  if (mtimeNsec !== 0 || mtime < 0n || mtime > MOST_SIZE) add('mtime', decimal(mtime, mtimeNsec));
  if (place === undefined) add('path', path);
  if (size > MOST_SIZE) add('size', String(size));
  if (uid > MOST_ID) add('uid', String(uid));
  if (entry.linkTo === undefined) for (const xattr of entry.xattrs) records.push(xattrRecord(xattr));
  const head = header({
    name: place?.name ?? path.subarray(0, PATH_BYTES),
    prefix: place?.prefix ?? EMPTY,
    mode: entry.mode & 0o7777,
    uid: uid > MOST_ID ? 0 : uid,
    gid: gid > MOST_ID ? 0 : gid,
    size: size > MOST_SIZE ? 0 : size,
    mtime: mtime < 0n || mtime > MOST_SIZE ? 0 : Number(mtime),
    flag: entry.linkTo === undefined ? FLAGS.get(entry.mode & FileType.MASK)! : '1',
    link: link.subarray(0, PATH_BYTES),
    major: (rdev >>> 8) & 0xfff,
    minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00),
  });
  return records.length === 0 ? head : Buffer.concat([paxHeader(path, records), head]);
}

const EMPTY = Buffer.alloc(0);

interface Fields {
  name: Buffer;
  prefix: Buffer;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  flag: string;
  link: Buffer;
  major: number;
  minor: number;
}

function header(fields: Fields): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, digits: number): void =>
    void block.write(value.toString(8).padStart(digits, '0'), at, 'latin1');
  fields.name.copy(block, 0);
  octal(fields.mode, 100, 7);
  octal(fields.uid, 108, 7);
  octal(fields.gid, 116, 7);
  octal(fields.size, 124, 11);
  octal(fields.mtime, 136, 11);
  block.fill(' ', 148, 156);
  block.write(fields.flag, 156, 'latin1');
  fields.link.copy(block, 157);
  block.write('ustar\x0000', 257, 'latin1');
  octal(fields.major, 329, 7);
  octal(fields.minor, 337, 7);
  fields.prefix.copy(block, 345);
  let sum = 0;
  for (const byte of block) sum += byte;
  octal(sum, 148, 6);
  block[154] = 0;
  return block;
}

function paxHeader(path: Buffer, records: readonly [Buffer, Buffer][]): Buffer {
  const body = Buffer.concat(records.map(([key, value]) => paxRecord(key, value)));
  const base = path.subarray(path.lastIndexOf(0x2f, path.length - 2) + 1);
  const name = Buffer.concat([Buffer.from('PaxHeaders.0/'), base]).subarray(0, PATH_BYTES);
  const none = { prefix: EMPTY, link: EMPTY, uid: 0, gid: 0, mtime: 0, major: 0, minor: 0 };
  return Buffer.concat([header({ ...none, name, mode: 0o644, size: body.length, flag: 'x' }), body, padding(body.length)]);
}

/** "LENGTH KEY=VALUE\n", where the length counts itself. */
function paxRecord(key: Buffer, value: Buffer): Buffer {
  const rest = key.length + value.length + 3;
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} `), key, Buffer.from('='), value, Buffer.from('\n')]);
}

/** Most readers know SCHILY's form; a name with "=" in it fits only into libarchive's. */
function xattrRecord({ name, value }: Xattr): [Buffer, Buffer] {
  if (!name.includes('=')) return [Buffer.concat([Buffer.from('SCHILY.xattr.'), name]), value];
  const escaped = [...name].map((byte) => (/[\w.-]/.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : hex(byte))).join('');
  return [Buffer.from(`LIBARCHIVE.xattr.${escaped}`), Buffer.from(value.toString('base64').replace(/=+$/, ''))];
}

const hex = (byte: number): string => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;

/** Where ustar has room for the path; undefined: nowhere. */
function splitPath(path: Buffer): { name: Buffer; prefix: Buffer } | undefined {
  if (path.length <= PATH_BYTES) return { name: path, prefix: EMPTY };
  // The slash between them is not written. The name must not be empty: a directory's last slash is no place to split.
  for (
    let slash = path.indexOf(0x2f, path.length - PATH_BYTES - 1);
    slash > 0 && slash < path.length - 1;
    slash = path.indexOf(0x2f, slash + 1)
  )
    if (slash <= PREFIX_BYTES) return { name: path.subarray(slash + 1), prefix: path.subarray(0, slash) };
  return undefined;
}

/** Seconds since 1970 as pax has them: -0.5 is half a second before. */
function decimal(seconds: bigint, nanoseconds: number): string {
  const whole = seconds * 1_000_000_000n + BigInt(nanoseconds);
  const size = whole < 0n ? -whole : whole;
  const fraction = (size % 1_000_000_000n).toString().padStart(9, '0').replace(/0+$/, '');
  return `${whole < 0n ? '-' : ''}${size / 1_000_000_000n}${fraction === '' ? '' : `.${fraction}`}`;
}

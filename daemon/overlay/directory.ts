/**
 * Loading a directory: every name of its upper and its lowers becomes a dentry, merged by the kernel's rules, once. After that the table
 * is the truth about its names. In the upper of a writable mount, whiteouts in other programs' dialect (`.wh.NAME`, `.wh..wh..opq`) are
 * rewritten in the kernel's on the way.
 */
import { Errno } from '../errno';
import { DirentType, Mode, O, O_DIRECTORY } from '../layers/disk';
import { DirentMark, type Files, FIRST_ROW, type Lower } from '../layers/lower';
import { startsWith, writeAscii } from '../layers/names';
import { DirentRecord, ReadDirents, StatRecord } from '../layers/records';
import { Count } from './counters';
import { asked } from './failure';
import { opaqueMark, text } from './lowers';
import type { Mount } from './mount';
import { dropStats, readStats } from './stats';
import { Dentry, DentryFlags, Inode, InodeFlags, LoadState } from './table/layout';

/** Loads `directory` unless it is. `ahead`: another worker is going to list it with attributes. The caller holds no lock of it. 0 or negative errno. */
export function ensureLoaded(m: Mount, directory: number, ahead = false): number {
  if (Atomics.load(m.i32, directory + Inode.LOAD) === LoadState.LOADED) return 0;
  m.lock(directory);
  try {
    return load(m, directory, ahead);
  } finally {
    m.unlock(directory);
  }
}

/** The same for a caller that holds the directory's lock. */
export function load(m: Mount, directory: number, ahead = false): number {
  const { i32 } = m;
  if (i32[directory + Inode.LOAD] === LoadState.LOADED) return 0;
  m.context.counters.miss(Count.DIRECTORY_LOADS);
  const several = new Map<number, number[]>();
  const foreign: number[] = [];
  let result = 0;
  try {
    const flags = m.nodeFlags(directory);
    if ((flags & InodeFlags.GONE) === 0) {
      if ((flags & InodeFlags.UPPER) !== 0) result = loadUpper(m, directory, foreign);
      for (let position = 0; result >= 0 && position < m.lowerCount(directory); position++) {
        result = loadLower(m, directory, position, several);
        if (result === OPAQUE) break;
      }
      if (result >= 0) {
        finish(m, directory, several);
        keepNumbers(m, directory, foreign);
        if (ahead) readStats(m, directory);
      }
    }
  } catch (error) {
    unload(m, directory);
    throw error;
  }
  if (result < 0) {
    unload(m, directory);
    return result;
  }
  Atomics.store(i32, directory + Inode.LOAD, LoadState.LOADED);
  return 0;
}

/** Forgets the dentries of a directory none of whose children has an inode record. The caller holds its lock, or it is dead. */
export function unload(m: Mount, directory: number): void {
  Atomics.store(m.i32, directory + Inode.LOAD, LoadState.NOT);
  dropStats(m, directory);
  for (let dentry = m.i32[directory + Inode.FIRST]; dentry !== 0;) {
    const next = m.i32[dentry + Dentry.NEXT];
    if (m.i32[dentry + Dentry.LOWERS] === -1) m.i32[dentry + Dentry.LOWERS] = 0;
    m.table.removeDentry(dentry);
    dentry = next;
  }
}

const SEEK_SET = 0;
/** setxattr(2): EEXIST if it is there */
const XATTR_CREATE = 1;

/** A lower said that nothing below it counts. */
const OPAQUE = 1;

/**
 * Calls `each` with the offset of every directory record of the lower directory at `place`: a row, or a descriptor, which may have been read before unless it
 * is `fresh`.
 */
function readLower(m: Mount, lower: Lower, place: number, fresh: boolean, flags: number, each: (record: number) => number): number {
  if (place >= FIRST_ROW) return readAnew(m, lower, place, flags, each);
  const rewound = fresh ? 0 : m.disk.lseek(place, 0, 0, SEEK_SET, m.scratch.value);
  const bytes = rewound < 0 ? rewound : readSome(m, lower, place, flags);
  // O_PATH
  return bytes === -Errno.EBADF ? readAnew(m, lower, place, flags, each) : readOn(m, lower, place, flags, each, bytes);
}

/** The same for a directory that cannot be read through `place` itself. */
function readAnew(
  m: Mount,
  files: Pick<Files, 'openat' | 'readDirents' | 'close'>,
  place: number,
  flags: number,
  each: (record: number) => number,
): number {
  const fd = files.openat(place, m.names.dot, O.RDONLY | O_DIRECTORY, 0);
  if (fd < 0) return fd;
  try {
    return readOn(m, files, fd, flags, each, readSome(m, files, fd, flags));
  } finally {
    files.close(fd);
  }
}

function readSome(m: Mount, files: Pick<Files, 'readDirents'>, fd: number, flags: number): number {
  return files.readDirents(fd, flags, m.scratch.dirents, m.scratch.direntsCapacity);
}

/** `first`: what the first readSome has said. */
function readOn(
  m: Mount,
  files: Pick<Files, 'readDirents'>,
  fd: number,
  flags: number,
  each: (record: number) => number,
  first: number,
): number {
  const { dirents } = m.scratch;
  let bytes = first;
  for (; bytes > 0; bytes = readSome(m, files, fd, flags)) {
    for (let at = dirents; at < dirents + bytes; at += m.u32[at >> 2]) {
      const result = each(at);
      if (result < 0) return result;
    }
  }
  return bytes;
}

function recordType(m: Mount, record: number): number {
  const type = m.u8[record + DirentRecord.type];
  if (type !== DirentType.UNKNOWN || m.u8[record + DirentRecord.hasStat] === 0) return type;
  return m.u32[(record + DirentRecord.stat + StatRecord.mode) >> 2] >>> 12;
}

function isDeviceZero(m: Mount, record: number, type: number): boolean {
  return (
    type === DirentType.CHARACTER &&
    m.u8[record + DirentRecord.hasStat] !== 0 &&
    m.u32[(record + DirentRecord.stat + StatRecord.rdev) >> 2] === 0
  );
}

function nameLength(m: Mount, record: number): number {
  return m.u8[record + DirentRecord.nameLength] | (m.u8[record + DirentRecord.nameLength + 1] << 8);
}

/** `foreign` collects the dentries of files that the kernel copied up. */
function loadUpper(m: Mount, directory: number, foreign: number[]): number {
  const { i32, table } = m;
  const place = m.upperDirectory(directory);
  if (place < 0) return place;
  const owned = (m.nodeFlags(directory) & (InodeFlags.MERGED | InodeFlags.IMPURE)) !== 0;
  const dialect: string[] = [];
  // an upper's descriptors are O_PATH
  const upper = { openat: m.openUpper, readDirents: m.disk.readDirents, close: m.disk.close };
  const result = readAnew(m, upper, place, ReadDirents.STAT_SUSPECTS, (record) => {
    const name = record + DirentRecord.name;
    const length = nameLength(m, record);
    const type = recordType(m, record);
    if (startsWith(m.u8, name, '.wh.')) {
      dialect.push(text(m, name, length));
      return 0;
    }
    if (table.find(directory, name, length) !== 0) return 0;
    if (isDeviceZero(m, record, type)) {
      table.addDentry(directory, name, length, DentryFlags.WHITEOUT | DentryFlags.UPPER, 0);
      return 0;
    }
    const dentry = table.addDentry(directory, name, length, type | DentryFlags.UPPER, 0);
    putNumber(m, dentry, record, -1);
    return 0;
  });
  if (result < 0) return result;
  if (dialect.length > 0) {
    const converted = adopt(m, directory, place, dialect);
    if (converted < 0) return converted;
  }
  if (!owned) return 0;
  for (let dentry = i32[directory + Inode.FIRST]; dentry !== 0; dentry = i32[dentry + Dentry.NEXT]) ownMarks(m, place, dentry, foreign);
  return 0;
}

/** What was copied up or moved here carries the inode number it had; a container's own char 0/0 is kept as a marked file. */
function ownMarks(m: Mount, place: number, dentry: number, foreign: number[]): void {
  const { i32, u32, table, names } = m;
  const flags = i32[dentry + Dentry.FLAGS];
  if ((flags & DentryFlags.WHITEOUT) !== 0) return;
  const { value } = m.scratch;
  if (asked(m.disk.getxattr(place, table.name(dentry), names.ino, value, 8)) === 8) {
    i32[dentry + Dentry.INO_LOW] = u32[value >> 2];
    i32[dentry + Dentry.INO_HIGH] = u32[(value >> 2) + 1];
  } else if ((flags & DentryFlags.TYPE_MASK) === DirentType.DIRECTORY) {
    // not ours: merges with a lower directory unless it is opaque; finish() takes the lower's number then
    if (opaqueMark(m, m.disk, place, table.name(dentry), [names.opaque]) === 'y') table.setDentryFlags(dentry, flags | DentryFlags.STOP);
    else table.setDentryFlags(dentry, flags | DentryFlags.UNNUMBERED);
  } else if (asked(m.disk.getxattr(place, table.name(dentry), names.origin, value, 255)) > 0) {
    table.setDentryFlags(dentry, flags | DentryFlags.UNNUMBERED);
    foreign.push(dentry);
  }
  if (
    (flags & DentryFlags.TYPE_MASK) === DirentType.REGULAR &&
    asked(m.disk.getxattr(place, table.name(dentry), names.fake, value, 8)) >= 0
  ) {
    table.setDentryFlags(dentry, (i32[dentry + Dentry.FLAGS] & ~DentryFlags.TYPE_MASK) | DirentType.CHARACTER);
  }
}

/** Rewrites `.wh.` files of an upper in the kernel's format. */
function adopt(m: Mount, directory: number, place: number, foreign: readonly string[]): number {
  const { path, path2, value } = m.scratch;
  for (const file of foreign) {
    writeAscii(m.u8, path, file);
    let result = 0;
    if (file === '.wh..wh..opq') {
      m.u8[value] = 0x79;
      result = m.disk.setxattr(place, m.names.empty, m.names.opaque, value, 1, 0);
      if (result >= 0) m.setFlags(directory, InodeFlags.OPAQUE);
    } else if (!file.startsWith('.wh..wh.') && file.length > 4) {
      writeAscii(m.u8, path2, file.slice(4));
      if (m.table.find(directory, path2, file.length - 4) === 0) {
        result = m.disk.mknodat(place, path2, Mode.CHARACTER, 0);
        if (result >= 0) m.table.addDentry(directory, path2, file.length - 4, DentryFlags.WHITEOUT | DentryFlags.UPPER, 0);
      }
    }
    if (result >= 0) result = m.disk.unlinkat(place, path, 0);
    if (result < 0) return result;
  }
  return 0;
}

function loadLower(m: Mount, directory: number, position: number, several: Map<number, number[]>): number {
  const { i32, table } = m;
  const upperOpaque = (m.nodeFlags(directory) & (InodeFlags.UPPER | InodeFlags.OPAQUE)) === (InodeFlags.UPPER | InodeFlags.OPAQUE);
  if (upperOpaque) return OPAQUE;
  const place = m.lowerDirectory(directory, position);
  if (place < 0) return place;
  const fresh = m.isFresh;
  const layer = m.lowerLayer(directory, position);
  const lower = m.lowers[layer];
  const xattrWhiteouts =
    !lower.isListed && !m.isUnmarked(directory, position) && opaqueMark(m, lower, place, m.names.empty, [m.names.opaque]) === 'x';
  // A name may be given and whited out by `.wh.` in one layer (the file wins): whiteouts of this dialect count when the layer is read.
  const hides: string[] = [];
  let opaque = false;
  const before = table.lastSerial(directory);
  const flags = xattrWhiteouts ? ReadDirents.WITH_STAT : ReadDirents.STAT_SUSPECTS;
  const result = readLower(m, lower, place, fresh, flags, (record) => {
    const name = record + DirentRecord.name;
    const length = nameLength(m, record);
    const type = recordType(m, record);
    if (startsWith(m.u8, name, '.wh.')) {
      if (length === 12 && startsWith(m.u8, name, '.wh..wh..opq')) opaque = true;
      else if (length > 4 && !startsWith(m.u8, name, '.wh..wh.')) hides.push(text(m, name + 4, length - 4));
      return 0;
    }
    const whiteout = isDeviceZero(m, record, type) || (xattrWhiteouts && isXattrWhiteout(m, place, record, type));
    const dentry = table.find(directory, name, length);
    if (dentry === 0) {
      if (whiteout) table.addDentry(directory, name, length, DentryFlags.HIDDEN | DentryFlags.STOP, 0);
      else {
        const made = table.addDentry(directory, name, length, type | DentryFlags.LOWER | keeps(m, record), 0);
        i32[made + Dentry.LOWER] = position + 1;
        if ((i32[made + Dentry.FLAGS] & DentryFlags.STAT) !== 0) table.keepStat(made, record + DirentRecord.stat);
        putNumber(m, made, record, layer);
        if (type !== DirentType.DIRECTORY || isOpaque(m, record)) table.setDentryFlags(made, i32[made + Dentry.FLAGS] | DentryFlags.STOP);
      }
      return 0;
    }
    below(m, dentry, position, layer, type, whiteout, record, several);
    if (isOpaque(m, record)) stop(m, dentry);
    return 0;
  });
  if (result < 0) return result;
  for (const name of hides) {
    writeAscii(m.u8, m.scratch.path, name);
    const dentry = table.find(directory, m.scratch.path, name.length);
    if (dentry === 0) table.addDentry(directory, m.scratch.path, name.length, DentryFlags.HIDDEN | DentryFlags.STOP, 0);
    else if (i32[dentry + Dentry.COOKIE] <= before || i32[dentry + Dentry.LOWER] !== position + 1) stop(m, dentry);
  }
  return opaque ? OPAQUE : 0;
}

/** The number of what a directory record of `layer` (-1: the upper) names. */
function putNumber(m: Mount, dentry: number, record: number, layer: number): void {
  const ino = (record + DirentRecord.stat + StatRecord.ino) >> 2;
  m.putNumber(dentry + Dentry.INO_LOW, m.u32[ino], m.u32[ino + 1], layer);
}

/** What a new dentry is to have of a record of a listed lower. */
function keeps(m: Mount, record: number): number {
  const marks = m.u8[record + DirentRecord.hasStat];
  if ((marks & DirentMark.WHOLE) === 0) return 0;
  return (marks & DirentMark.IMPLICIT) === 0 ? DentryFlags.STAT : DentryFlags.STAT | DentryFlags.IMPLICIT;
}

function isOpaque(m: Mount, record: number): boolean {
  return (m.u8[record + DirentRecord.hasStat] & DirentMark.OPAQUE) !== 0;
}

/** A lower has a name that a higher layer already has, or hides. */
function below(
  m: Mount,
  dentry: number,
  position: number,
  layer: number,
  type: number,
  whiteout: boolean,
  record: number,
  several: Map<number, number[]>,
): void {
  const { i32, u32, table } = m;
  const flags = i32[dentry + Dentry.FLAGS];
  const stopped = (flags & DentryFlags.STOP) !== 0;
  if (whiteout) {
    stop(m, dentry);
    return;
  }
  if ((flags & (DentryFlags.HIDDEN | DentryFlags.LOWER)) === 0) {
    // first positive lower under something of the upper, unless a lower's whiteout came between
    if (stopped && (flags & DentryFlags.UPPER) !== 0 && i32[dentry + Dentry.LOWERS] === -1) return;
    table.setDentryFlags(dentry, flags | DentryFlags.LOWER | (type === DirentType.DIRECTORY ? 0 : DentryFlags.STOP));
    if (stopped || type !== (flags & DentryFlags.TYPE_MASK) || (flags & DentryFlags.WHITEOUT) !== 0) {
      table.setDentryFlags(dentry, i32[dentry + Dentry.FLAGS] | DentryFlags.STOP);
      return;
    }
    i32[dentry + Dentry.LOWER] = position + 1;
    if (
      (flags & DentryFlags.UNNUMBERED) !== 0 &&
      (type === DirentType.DIRECTORY || isOrigin(m, dentry, u32[(record + DirentRecord.stat) >> 2]))
    ) {
      putNumber(m, dentry, record, layer);
      table.setDentryFlags(dentry, i32[dentry + Dentry.FLAGS] & ~DentryFlags.UNNUMBERED);
    }
    return;
  }
  if (stopped) return;
  if (type !== DirentType.DIRECTORY || (flags & DentryFlags.TYPE_MASK) !== DirentType.DIRECTORY) {
    stop(m, dentry);
    return;
  }
  const list = several.get(dentry);
  if (list === undefined) several.set(dentry, [i32[dentry + Dentry.LOWER] - 1, position]);
  else list.push(position);
}

/** Was an upper that the kernel wrote copied up from the lower with this inode number? Its origin's file handle then holds the number. */
function isOrigin(m: Mount, dentry: number, ino: number): boolean {
  const { scratch, i32, u32 } = m;
  const place = m.upperDirectory(i32[dentry + Dentry.PARENT]);
  if (place < 0) return false;
  // three bytes further on, the handle behind the 21 bytes of the head is aligned
  const at = scratch.value + 3;
  const length = asked(m.disk.getxattr(place, m.table.name(dentry), m.names.origin, at, 255));
  for (let word = at + 21; word + 4 <= at + length; word += 4) if (u32[word >> 2] === ino) return true;
  return false;
}

/** Deeper layers do not count for this name any more. */
function stop(m: Mount, dentry: number): void {
  const flags = m.i32[dentry + Dentry.FLAGS];
  m.table.setDentryFlags(dentry, flags | DentryFlags.STOP);
  // an upper's name that meets a lower's whiteout has no positive lower: remembered until finish()
  if ((flags & DentryFlags.UPPER) !== 0 && (flags & DentryFlags.LOWER) === 0) m.i32[dentry + Dentry.LOWERS] = -1;
}

function isXattrWhiteout(m: Mount, place: number, record: number, type: number): boolean {
  if (type !== DirentType.REGULAR || m.u32[(record + DirentRecord.stat + StatRecord.size) >> 2] !== 0) return false;
  return asked(m.disk.getxattr(place, record + DirentRecord.name, m.names.whiteout, m.scratch.value, 16)) >= 0;
}

function finish(m: Mount, directory: number, several: Map<number, number[]>): void {
  const { i32, table } = m;
  for (let dentry = i32[directory + Inode.FIRST]; dentry !== 0;) {
    const next = i32[dentry + Dentry.NEXT];
    const flags = i32[dentry + Dentry.FLAGS];
    if (i32[dentry + Dentry.LOWERS] === -1) i32[dentry + Dentry.LOWERS] = 0;
    if ((flags & DentryFlags.HIDDEN) !== 0) table.removeDentry(dentry);
    else {
      // an upper that is not ours and found no lower shows its own number
      const loading = DentryFlags.STOP | DentryFlags.UNNUMBERED;
      if ((flags & loading) !== 0) table.setDentryFlags(dentry, flags & ~loading);
    }
    dentry = next;
  }
  for (const [dentry, positions] of several) i32[dentry + Dentry.LOWERS] = table.listBlob(positions);
}

/** Files that the kernel copied up get the number they show written down, so that all names of one, here and elsewhere, show the same. */
function keepNumbers(m: Mount, directory: number, foreign: readonly number[]): void {
  if (foreign.length === 0) return;
  const { i32, u32, table, names } = m;
  const place = m.upperDirectory(directory);
  const { value } = m.scratch;
  const written = (dentry: number): boolean => {
    if (m.disk.getxattr(place, table.name(dentry), names.ino, value, 8) !== 8) return false;
    i32[dentry + Dentry.INO_LOW] = u32[value >> 2];
    i32[dentry + Dentry.INO_HIGH] = u32[(value >> 2) + 1];
    return true;
  };
  for (const dentry of foreign) {
    if (written(dentry)) continue;
    i32[value >> 2] = i32[dentry + Dentry.INO_LOW];
    i32[(value >> 2) + 1] = i32[dentry + Dentry.INO_HIGH];
    // Another worker may be loading the directory of its other name: one number for both. Where none can be written (a full disk) it is good until
    // the next mount.
    const result = m.disk.setxattr(place, table.name(dentry), names.ino, value, 8, XATTR_CREATE);
    if (result === -Errno.EEXIST) written(dentry);
  }
}

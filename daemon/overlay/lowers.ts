/**
 * Where a directory goes on below: its list of lowers [layer, path]*, topmost first, by the kernel's rules (fs/overlayfs/namei.c): every
 * layer's directory of that name merges, until one is opaque, is hidden by a whiteout or another file, or says by a redirect that the
 * layers below have it under another path. The same walk finds the data of a metacopy. Paths are bytes, here as latin1 strings.
 */
import { Errno } from '../errno';
import { Mode } from '../layers/disk';
import { type Files, FIRST_ROW } from '../layers/lower';
import { writeAscii } from '../layers/names';
import { StatRecord } from '../layers/records';
import { asked, LayerError } from './failure';
import { Blob, Dentry, DentryFlags, LowerHandle } from './table/layout';
import { lowOf } from './inode-numbers';
import type { Mount } from './mount';

/** A lower directory: layer index and path below the layer's root, without a leading slash. */
export interface LowerPlace {
  layer: number;
  path: string;
}

export function text(m: Mount, from: number, length: number): string {
  return Buffer.from(m.table.memory.buffer, from, length).toString('latin1');
}

export function blobText(m: Mount, blob: number): string {
  return blob === 0 ? '' : text(m, m.table.blobBytes(blob), m.i32[blob + Blob.LENGTH]);
}

export function textBlob(m: Mount, value: string): number {
  if (value.length >= m.scratch.valueCapacity) throw new RangeError('path too long for the node table');
  writeAscii(m.u8, m.scratch.value, value);
  return m.table.bytesBlob(m.scratch.value, value.length);
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}/${name}`;
}

/** Is the directory at (fd, name) opaque, in any dialect? 'y', 'x' (holds xattr whiteouts), or ''. */
export function opaqueMark(m: Mount, files: Files, fd: number, name: number, dialects: readonly number[]): string {
  for (const mark of dialects) {
    const length = asked(files.getxattr(fd, name, mark, m.scratch.value, 16));
    if (length === 1) return text(m, m.scratch.value, 1);
  }
  return '';
}

export const enum Marks {
  NONE = 0,
  SOME = 1,
}

/**
 * May (fd, name) have a mark of an overlay? One question instead of one for each mark: hardly any directory of a layer has an xattr at all. Marks, or a
 * negative errno.
 */
export function marks(m: Mount, files: Files, fd: number, name: number): number {
  const { value, valueCapacity } = m.scratch;
  const length = files.listxattr(fd, name, value, valueCapacity);
  if (length === -Errno.ERANGE) return Marks.SOME;
  if (length < 0) return length;
  for (let at = value; at < value + length; at = m.u8.indexOf(0, at) + 1) if (m.names.isOverlays(at)) return Marks.SOME;
  return Marks.NONE;
}

/** The redirect of (fd, name), or undefined. */
export function redirectMark(m: Mount, files: Files, fd: number, name: number): string | undefined {
  const length = asked(files.getxattr(fd, name, m.names.redirect, m.scratch.value, m.scratch.valueCapacity));
  return length > 0 ? text(m, m.scratch.value, length) : undefined;
}

/** The lowers of the directory that `dentry` of `parent` names, as [layer, path blob, handle]* with a reference on each blob; 0 elements: none. */
export function childLowers(m: Mount, parent: number, dentry: number): number[] {
  const { i32, table, names } = m;
  const several = i32[dentry + Dentry.LOWERS];
  const count = several !== 0 ? i32[several + Blob.LENGTH] : i32[dentry + Dentry.LOWER] !== 0 ? 1 : 0;
  const unmarked = (i32[dentry + Dentry.FLAGS] & DentryFlags.UNMARKED) !== 0;
  const list: number[] = [];
  let parentPath = -1;
  let path = 0;
  for (let i = 0; i < count; i++) {
    const position = several !== 0 ? i32[several + Blob.DATA + i] : i32[dentry + Dentry.LOWER] - 1;
    const layer = m.lowerLayer(parent, position);
    const at = m.lowerPath(parent, position);
    if (at === parentPath) table.holdBlob(path);
    else {
      parentPath = at;
      path = table.pathBlob(at, table.name(dentry), table.nameLength(dentry));
    }
    const lower = m.lowers[layer];
    if (lower.isListed) {
      // loading has seen all there is to know of it
      list.push(layer, path, i === 0 ? listedHandle(m, parent, position, dentry) : enter(m, parent, position, dentry));
      continue;
    }
    list.push(layer, path, LowerHandle.NONE);
    if (layer === m.layerFds.length - 1) break;
    const fd = unmarked ? 0 : m.lowerDirectory(parent, position);
    if (fd < 0) throw new LayerError(-fd);
    const found = unmarked ? Marks.NONE : asked(marks(m, lower, fd, table.name(dentry)));
    if (found === (Marks.NONE as number)) list[list.length - 1] = LowerHandle.UNMARKED;
    if (found !== (Marks.SOME as number)) continue;
    if (opaqueMark(m, lower, fd, table.name(dentry), names.opaqueDialects) === 'y') break;
    const redirect = redirectMark(m, lower, fd, table.name(dentry));
    if (redirect !== undefined) {
      const rest = redirect.startsWith('/') ? walk(m, redirect.slice(1), layer + 1) : into(m, lowersBelow(m, parent, position), redirect);
      for (const place of rest.directories) list.push(place.layer, textBlob(m, place.path), LowerHandle.NONE);
      break;
    }
  }
  return list;
}

/** The handle of an entry whose topmost lower is listed: its row's id is in the number it shows, unless it has an upper that shows another. */
function listedHandle(m: Mount, parent: number, position: number, dentry: number): number {
  const { i32 } = m;
  if ((i32[dentry + Dentry.FLAGS] & DentryFlags.UPPER) !== 0) return enter(m, parent, position, dentry);
  return FIRST_ROW + lowOf(i32[dentry + Dentry.INO_LOW], i32[dentry + Dentry.INO_HIGH]);
}

function enter(m: Mount, parent: number, position: number, dentry: number): number {
  const directory = m.lowerDirectory(parent, position);
  if (directory < 0) throw new LayerError(-directory);
  const handle = m.lowerAt(parent, position).enter(directory, m.table.name(dentry));
  if (handle < 0) throw new LayerError(-handle);
  return handle;
}

/** A directory's lowers below `position`. */
function lowersBelow(m: Mount, directory: number, position: number): LowerPlace[] {
  const places: LowerPlace[] = [];
  for (let at = position + 1; at < m.lowerCount(directory); at++) {
    places.push({ layer: m.lowerLayer(directory, at), path: blobText(m, m.lowerPath(directory, at)) });
  }
  return places;
}

/** A file in the merged lowers, and what is left of the lowers of its directory below it. */
interface FilePlace extends LowerPlace {
  below: readonly LowerPlace[];
}

interface Step {
  /** the directories that merge there, topmost first */
  directories: LowerPlace[];
  /** the file, where the topmost is one */
  file?: FilePlace;
}

/** What a path in the merged lowers, from layer `from` on, leads to. */
export function walk(m: Mount, path: string, from: number): Step {
  let directories: LowerPlace[] = [];
  for (let layer = from; layer < m.layerFds.length; layer++) directories.push({ layer, path: '' });
  const parts = path.split('/').filter((part) => part !== '');
  for (let i = 0; i < parts.length; i++) {
    const step = into(m, directories, parts[i]);
    if (step.file !== undefined) return i === parts.length - 1 ? step : { directories: [] };
    directories = step.directories;
    if (directories.length === 0) break;
  }
  return { directories };
}

/** One component: `name` in the merged directory made of `places`. */
function into(m: Mount, places: readonly LowerPlace[], name: string): Step {
  const directories: LowerPlace[] = [];
  for (const [index, place] of places.entries()) {
    const lower = m.lowers[place.layer];
    const path = join(place.path, name);
    const fd = openPlace(m, place.layer, path);
    if (fd === -Errno.ENOENT || fd === -Errno.ENOTDIR) {
      if (isHidden(m, place.layer, join(place.path, `.wh.${name}`))) break;
      continue;
    }
    if (fd === -Errno.ELOOP) break; // a symlink, which is a file here
    if (fd < 0) throw new LayerError(-fd);
    m.closeLater(fd);
    const known = lower.stat(fd, m.names.empty, m.scratch.stat2);
    if (known < 0) throw new LayerError(-known);
    const type = m.u32[(m.scratch.stat2 + StatRecord.mode) >> 2] & Mode.TYPE;
    if (type !== Mode.DIRECTORY) {
      if (type === Mode.CHARACTER && m.u32[(m.scratch.stat2 + StatRecord.rdev) >> 2] === 0) break;
      return directories.length === 0
        ? { directories, file: { layer: place.layer, path, below: places.slice(index + 1) } }
        : { directories };
    }
    directories.push({ layer: place.layer, path });
    if (opaqueMark(m, lower, fd, m.names.empty, m.names.opaqueDialects) === 'y' || isHidden(m, place.layer, `${path}/.wh..wh..opq`)) break;
    const redirect = redirectMark(m, lower, fd, m.names.empty);
    if (redirect !== undefined) {
      // a name alone is one in the parent's lowers that are left
      const rest = redirect.startsWith('/') ? walk(m, redirect.slice(1), place.layer + 1) : into(m, places.slice(index + 1), redirect);
      directories.push(...rest.directories);
      break;
    }
  }
  return { directories };
}

function openPlace(m: Mount, layer: number, path: string): number {
  if (path.length > 4095) return -Errno.ENAMETOOLONG;
  writeAscii(m.u8, m.scratch.walk, path);
  return m.lowers[layer].openBeneath(m.scratch.walk);
}

function isHidden(m: Mount, layer: number, path: string): boolean {
  const fd = openPlace(m, layer, path);
  // a name that is one with `.wh.` before it may be too long to be there
  if (fd === -Errno.ENOENT || fd === -Errno.ENOTDIR || fd === -Errno.ENAMETOOLONG || fd === -Errno.ELOOP) return false;
  if (fd < 0) throw new LayerError(-fd);
  m.closeLater(fd);
  return true;
}

/**
 * The file that holds the data of what `path` (in the merged lowers) names, seen from layer `from`: through metacopies, whose data are
 * below them, under the path or the name of their redirect or else under their own name.
 */
export function findData(m: Mount, path: string, from: number): LowerPlace | undefined {
  let { file } = walk(m, path, from);
  while (file !== undefined) {
    const lower = m.lowers[file.layer];
    const fd = openPlace(m, file.layer, file.path);
    if (fd === -Errno.ELOOP) return undefined;
    if (fd < 0) throw new LayerError(-fd);
    m.closeLater(fd);
    if (asked(lower.getxattr(fd, m.names.empty, m.names.metacopy, m.scratch.value, 64)) < 0) break;
    const redirect = redirectMark(m, lower, fd, m.names.empty);
    if (redirect?.startsWith('/') === true) ({ file } = walk(m, redirect.slice(1), file.layer + 1));
    else ({ file } = into(m, file.below, redirect ?? file.path.slice(file.path.lastIndexOf('/') + 1)));
  }
  return file;
}

/** One directory like an image's root: owner, mode, times to the nanosecond, xattrs. */
import fs from 'node:fs';
import { native } from '../../native-bindings/index';
import { Errno } from '../errno';
import { decodeXattrs, type IndexRow, LayerIndex } from '../store';
import { shown } from './options';
import { within } from './size';
import { TreeReader } from './tree-reader';

/** Overlays' own marks stay where they are. */
const MARKS = 'trusted.overlay.';

/** A layer; `path` is a byte string: of a directory itself, of an imported one `layers/<id>`. */
export interface Source {
  kind: 'directory' | 'imported';
  path: string;
}

/** A layer, and why. */
export interface Unreadable {
  path: string;
  why: string;
}

const open = (path: string): number => fs.openSync(Buffer.from(path, 'latin1'), fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);

/** `from`: the layers, topmost first; `to` is a byte string. Throws when `to` cannot be changed. */
export function imitate(from: readonly Source[], to: string, slot: number): Unreadable | undefined {
  const arena = new TreeReader(slot).scratch;
  for (const [i, { kind, path }] of from.entries()) {
    let source: number | IndexRow;
    try {
      source = kind === 'directory' ? open(path) : rootOf(path);
    } catch (error) {
      return { path, why: (error as NodeJS.ErrnoException).code ?? (error as Error).message };
    }
    if (typeof source === 'number') {
      likeDirectory(source, to, arena);
      return undefined;
    }
    // the layer's tar did not have its root: then the next one's counts
    if (source.implicit && i < from.length - 1) continue;
    likeRow(source, to, arena);
    return undefined;
  }
  return undefined;
}

function rootOf(layer: string): IndexRow {
  const index = LayerIndex.open(`${shown(layer)}/index.db`);
  try {
    return index.root();
  } finally {
    index.close();
  }
}

type Arena = TreeReader['scratch'];

function likeDirectory(source: number, to: string, arena: Arena): void {
  within(source, () => {
    within(open(to), (target) => {
      const { mode, uid, gid, atimeNs, mtimeNs } = fs.fstatSync(source, { bigint: true });
      own(target, Number(uid), Number(gid));
      fs.fchmodSync(target, Number(mode) & 0o7777);
      const copied = native.copyXattrs(source, arena.text(''), target, arena.text(''), arena.text(MARKS));
      if (copied < 0 && copied !== -Errno.EOPNOTSUPP) throw new Error(`cannot copy attributes to ${shown(to)} (errno ${-copied})`);
      setTimes(target, atimeNs, mtimeNs, to, arena);
    });
  });
}

function likeRow({ mode, uid, gid, mtime, mtimeNsec, xattrs }: IndexRow, to: string, arena: Arena): void {
  within(open(to), (target) => {
    own(target, uid, gid);
    fs.fchmodSync(target, mode & 0o7777);
    for (const { name, value } of decodeXattrs(xattrs)) {
      const text = name.toString('latin1');
      if (text.startsWith(MARKS)) continue;
      const set = native.setxattr(target, arena.text(''), arena.text(text), arena.bytes(value), value.length, 0);
      if (set < 0 && set !== -Errno.EOPNOTSUPP) throw new Error(`cannot set ${text} of ${shown(to)} (errno ${-set})`);
    }
    const time = mtime * 1_000_000_000n + BigInt(mtimeNsec);
    setTimes(target, time, time, to, arena);
  });
}

/** In a user namespace that does not know them it stays ours: there is nobody else. */
function own(target: number, uid: number, gid: number): void {
  try {
    fs.fchownSync(target, uid, gid);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
  }
}

/** Node's utimes are doubles: too coarse. */
function setTimes(target: number, atimeNs: bigint, mtimeNs: bigint, to: string, arena: Arena): void {
  const timed = native.utimensat(target, arena.text(''), arena.times(atimeNs, mtimeNs));
  if (timed < 0) throw new Error(`cannot set the times of ${shown(to)} (errno ${-timed})`);
}

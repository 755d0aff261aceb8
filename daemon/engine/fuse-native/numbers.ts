/** Numbers that fuse-native has less room for than the overlay. */
import { StatRecord } from '../../../native-bindings/index';
import type { FuseStat, FuseStatfs } from './module';

const WORD = 4294967296;

/**
 * Inode numbers of 32 bits: the overlay's have 64, and cutting them would make one number of two files, which tar and cp then take for one file. Each gets
 * the next free one when it is first shown, and keeps it as long as the mount is there.
 */
export class InodeNumbers {
  private readonly byHigh = new Map<number, Map<number, number>>();
  private last = 0;

  of(low: number, high: number): number {
    let byLow = this.byHigh.get(high);
    if (byLow === undefined) {
      byLow = new Map();
      this.byHigh.set(high, byLow);
    }
    let number = byLow.get(low);
    if (number === undefined) {
      number = ++this.last;
      byLow.set(low, number);
    }
    return number;
  }
}

/** Of a stat record at `at`. Times before 1970 are 1970's first moment: what is negative there would come out as the far future. */
export function statAt(u32: Uint32Array, at: number, inodes: InodeNumbers): FuseStat {
  const word = (offset: number): number => u32[(at + offset) >> 2];
  const wide = (offset: number): number => word(offset + 4) * WORD + word(offset);
  const time = (seconds: number, nanoseconds: number): number =>
    (word(seconds + 4) | 0) < 0 ? 0 : wide(seconds) * 1000 + Math.floor(word(nanoseconds) / 1e6);
  return {
    mode: word(StatRecord.mode),
    nlink: word(StatRecord.nlink),
    uid: word(StatRecord.uid),
    gid: word(StatRecord.gid),
    size: wide(StatRecord.size),
    blocks: wide(StatRecord.blocks),
    blksize: word(StatRecord.blksize),
    rdev: word(StatRecord.rdev), // new_encode_dev(3), which is makedev(3) below 2^32
    ino: inodes.of(word(StatRecord.ino), word(StatRecord.ino + 4)),
    atime: time(StatRecord.atime, StatRecord.atimensec),
    mtime: time(StatRecord.mtime, StatRecord.mtimensec),
    ctime: time(StatRecord.ctime, StatRecord.ctimensec),
  };
}

/** Of a struct fuse_kstatfs at `at`. Where there are more blocks than 32 bits count, they are told in larger ones. */
export function statfsAt(u32: Uint32Array, at: number): FuseStatfs {
  const word = (offset: number): number => u32[(at + offset) >> 2];
  const wide = (offset: number): number => word(offset + 4) * WORD + word(offset);
  const [blocks, bfree, bavail] = [wide(0), wide(8), wide(16)];
  const times = 2 ** Math.max(0, Math.ceil(Math.log2(Math.max(blocks, 1) / (WORD - 1))));
  const scaled = (count: number): number => Math.floor(count / times);
  const most = (count: number): number => Math.min(count, WORD - 1);
  return {
    bsize: word(40) * times,
    frsize: (word(48) || word(40)) * times,
    blocks: scaled(blocks),
    bfree: scaled(bfree),
    bavail: scaled(bavail),
    files: most(wide(24)),
    ffree: most(wide(32)),
    favail: most(wide(32)),
    namemax: word(44),
  };
}

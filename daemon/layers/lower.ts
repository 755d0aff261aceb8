/**
 * What a lower is to the overlay: a tree that is only read, asked in the words of the system calls. A file is (handle, name): the handle of a
 * directory and a NUL-terminated name in the arena, or a file's own handle and the empty name.
 *
 * There are two kinds. A directory (here) is read in place: its handles are descriptors. An imported layer (imported.ts) is rows of an index
 * and contents of the object store: its handles are rows, good for ever, and cost nothing to keep.
 */
import { Errno } from '../errno';
import { disk, type Disk, O, O_DIRECTORY, O_NOATIME } from './disk';

/** Handles from here on are rows of an imported layer's index, and no descriptors. */
export const FIRST_ROW = 1 << 30;

/** What may be asked about the file at (handle, name), wherever it is: as {@link Disk} has it, which answers for uppers and directories. */
export type Files = Pick<
  Disk,
  'stat' | 'openat' | 'readlinkat' | 'getxattr' | 'listxattr' | 'readDirents' | 'close' | 'fileHandle' | 'backingOpenAt'
>;

/** Bits of DirentRecord.hasStat, beyond the one that native-bindings sets. */
export const enum DirentMark {
  /** the stat record is whole, and may be kept */
  WHOLE = 2,
  /** a directory: nothing below it counts */
  OPAQUE = 4,
  /** a directory that the layer does not have itself: its attributes are those of the next lower's */
  IMPLICIT = 8,
}

export interface Lower extends Files {
  /** of the layer's root directory */
  readonly root: number;
  /** Its listings tell all there is to be known of an entry (DirentMark), and no directory in it is redirected: nothing else need be asked. */
  readonly isListed: boolean;
  /** The attributes of many entries in one call; undefined: they are asked for one by one. */
  readonly statAll: Disk['statAll'] | undefined;
  /** Handle of the directory at a path of `length` bytes below the root, for reading it (1) or not; symlinks are refused. Negative errno. */
  openDirectory(path: number, length: number, forReading: number): number;
  /** Handle of the file at a path (NUL-terminated) below the root; a symlink on the way or at the end: -ELOOP. */
  openBeneath(path: number): number;
  /** Of a listed lower: the handle of a directory's entry. Negative errno. */
  enter(directory: number, name: number): number;
  /** Has the directory no attributes of its own (DirentMark.IMPLICIT)? */
  isImplicit(directory: number): boolean;
  /** 16 bytes that tell whose file handles these are, for the kernel's `origin` */
  uuid(out: Uint8Array, scratch: number): void;
  /** Does in idle time what the first question would have to wait for. */
  prepare(): void;
  /** The worker lets go of it. */
  detach(): void;
}

/**
 * Opens a lower's file for reading: that is no access, so atime stays. On a private clone of its mount (private-mounts.ts) it stays anyway; elsewhere it
 * does for the owner, and for who has CAP_FOWNER over him.
 */
export function openQuietly(fd: number, name: number, flags: number, mode: number): number {
  const opened = disk.openat(fd, name, flags | O_NOATIME, mode);
  return opened === -Errno.EPERM ? disk.openat(fd, name, flags, mode) : opened;
}

/** Plain calls: what a directory answers is what the system says. */
export class DirectoryLower implements Lower {
  readonly isListed = false;
  readonly stat = disk.stat;
  readonly statAll: Lower['statAll'] = disk.statAll;
  readonly openat = openQuietly;
  readonly readlinkat = disk.readlinkat;
  readonly getxattr = disk.getxattr;
  readonly listxattr = disk.listxattr;
  readonly readDirents = disk.readDirents;
  readonly close = disk.close;
  readonly fileHandle = disk.fileHandle;
  readonly backingOpenAt = disk.backingOpenAt;

  constructor(
    readonly root: number,
    private readonly u8: Uint8Array,
  ) {}

  openDirectory(path: number, length: number, forReading: number): number {
    return disk.openDirectory(this.root, path, length, forReading);
  }

  openBeneath(path: number): number {
    return disk.openBeneath(this.root, path, O.PATH, 0);
  }

  enter(): number {
    return 0;
  }

  isImplicit(): boolean {
    return false;
  }

  /** Of the file system that the root is on; zeros where it has none. */
  uuid(out: Uint8Array, scratch: number): void {
    this.u8[scratch] = 0x2e;
    this.u8[scratch + 1] = 0;
    const fd = openQuietly(this.root, scratch, O.RDONLY | O_DIRECTORY, 0);
    const found = fd >= 0 && disk.filesystemUuid(fd, scratch) >= 0;
    if (fd >= 0) disk.close(fd);
    if (found) out.set(this.u8.subarray(scratch, scratch + 16));
  }

  prepare(): void {
    // nothing is to be opened
  }

  detach(): void {
    // the descriptor is the mount's
  }
}

/**
 * Owners and modes kept in an xattr, for those who may not give files away: `uid:gid:mode`, decimal and octal, of which containers/storage has a further
 * form, `uid:gid:mode:type`, with `file`, `dir`, `symlink`, `pipe`, `socket`, `block-MAJOR-MINOR` or `char-MAJOR-MINOR`. fuse-overlayfs reads and writes
 * the first (xattr_permissions) and, from 1.14 on, reads the second; a special file is a regular file on disk then.
 *
 * Which of three names the xattr has is a matter of the layer: whether its root directory has one of that name says so. The ids are those of the layer.
 */
import { Errno } from '../errno';
import { DirentType, disk, type Disk, Mode } from './disk';
import { DirectoryLower } from './lower';
import { Override } from './override-names';
import { DirentRecord, StatRecord } from './records';

/** What of an upper's files may be kept in xattrs. Mode bits only: what kind of file it is, is never changed. */
export type UpperFiles = Pick<Disk, 'stat' | 'fchownat' | 'fchmodat'>;

/** Where values are put, and which xattr is meant. */
export interface OverridePlace {
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  /** the xattr's name, NUL-terminated */
  readonly xattr: number;
  /** scratch area of OVERRIDE_BYTES */
  readonly value: number;
}

export const OVERRIDE_BYTES = 64;

/** Which xattr does a layer's root say that it has? In the order in which fuse-overlayfs looks. `names` are NUL-terminated, by Override. */
export function overrideOf(root: number, empty: number, names: readonly number[], value: number): Override {
  for (const kind of [Override.PRIVILEGED, Override.USER, Override.CONTAINERS])
    if (disk.getxattr(root, empty, names[kind], value, 0) > 0) return kind;
  return Override.NONE;
}

/** fuse-overlayfs 1.10 writes -1 where a chown(2) leaves an owner as it is, and other ids above 2^31 as negative numbers. */
const FORM = /^(-?\d{1,10}):(-?\d{1,10}):([0-7]{1,11})(?::(\w+)(?:-(\d{1,10})-(\d{1,10}))?)?$/;

const TYPES: Readonly<Record<string, Mode>> = { pipe: Mode.FIFO, socket: Mode.SOCKET, block: Mode.BLOCK, char: Mode.CHARACTER };

/**
 * Puts what the xattr of (fd, name) says into the stat record at `stat`, which is the file's. 0; a negative errno; -EINVAL where it does not make sense, as
 * with fuse-overlayfs.
 */
function readOverride({ u8, u32, xattr, value }: OverridePlace, fd: number, name: number, stat: number): number {
  const length = disk.getxattr(fd, name, xattr, value, OVERRIDE_BYTES);
  // user.* xattrs are read by whoever may read the file: of one that cannot be read its own attributes show
  if (length === -Errno.ENODATA || length === -Errno.EOPNOTSUPP || length === -Errno.EPERM || length === -Errno.EACCES) return 0;
  if (length < 0) return length === -Errno.ERANGE ? -Errno.EINVAL : length;
  const text = Buffer.from(u8.buffer, u8.byteOffset + value, length)
    .toString('latin1')
    .replace(/\0+$/, '');
  const found = FORM.exec(text);
  if (found === null) return -Errno.EINVAL;
  const [, uid, gid, mode, type = '', major = '0', minor = '0'] = found;
  if (!isId(Number(uid)) || !isId(Number(gid))) return -Errno.EINVAL;
  const at = stat >> 2;
  const was = u32[at + StatRecord.mode / 4];
  if (Number(uid) !== -1) u32[at + StatRecord.uid / 4] = Number(uid);
  if (Number(gid) !== -1) u32[at + StatRecord.gid / 4] = Number(gid);
  if ((was & Mode.TYPE) === Mode.LINK) return 0;
  let kind = was & Mode.TYPE;
  if (kind === Mode.REGULAR && Object.hasOwn(TYPES, type)) {
    kind = TYPES[type];
    u32[at + StatRecord.rdev / 4] = (Number(minor) & 0xff) | (Number(major) << 8) | ((Number(minor) & ~0xff) << 12);
  }
  u32[at + StatRecord.mode / 4] = kind | (parseInt(mode, 8) & Mode.PERMISSIONS);
  return 0;
}

/** Of 32 bits, whether or not they are taken for a signed number. */
const isId = (id: number): boolean => id >= -0x80000000 && id < 0xffffffff;

/** A directory of which owners and modes are in xattrs. */
export class OverriddenLower extends DirectoryLower {
  constructor(
    root: number,
    private readonly place: OverridePlace,
  ) {
    super(root, place.u8);
  }

  override readonly statAll = undefined;

  override readonly stat = (fd: number, name: number, out: number): number => {
    const result = disk.stat(fd, name, out);
    return result < 0 ? result : readOverride(this.place, fd, name, out);
  };

  /** The types of special files are in the xattrs too. */
  override readonly readDirents = (fd: number, flags: number, out: number, capacity: number): number => {
    const bytes = disk.readDirents(fd, flags, out, capacity);
    const { u8, u32, value } = this.place;
    for (let at = out; at < out + bytes; at += u32[at >> 2]) {
      if (u8[at + DirentRecord.type] !== DirentType.REGULAR) continue;
      const length = disk.getxattr(fd, at + DirentRecord.name, this.place.xattr, value, OVERRIDE_BYTES);
      if (length > 0) u8[at + DirentRecord.type] = typeSaid(u8, value, length);
    }
    return bytes;
  };
}

function typeSaid(u8: Uint8Array, value: number, length: number): number {
  const type = FORM.exec(Buffer.from(u8.buffer, u8.byteOffset + value, length).toString('latin1'))?.[4] ?? '';
  return Object.hasOwn(TYPES, type) ? TYPES[type] >>> 12 : DirentType.REGULAR;
}

/** An upper of which owners and modes are in xattrs. */
export class OverriddenUpper implements UpperFiles {
  constructor(
    private readonly place: OverridePlace,
    /** scratch area for a stat record */
    private readonly record: number,
  ) {}

  stat(fd: number, name: number, out: number): number {
    const result = disk.stat(fd, name, out);
    return result < 0 ? result : readOverride(this.place, fd, name, out);
  }

  /** chown(2) takes the setuid and setgid bits of a regular file with it. */
  fchownat(fd: number, name: number, uid: number, gid: number): number {
    return this.change(fd, name, (stat) => {
      const { u32 } = this.place;
      const mode = u32[stat + StatRecord.mode / 4];
      if (uid !== -1) u32[stat + StatRecord.uid / 4] = uid;
      if (gid !== -1) u32[stat + StatRecord.gid / 4] = gid;
      if ((mode & Mode.TYPE) !== Mode.REGULAR) return;
      u32[stat + StatRecord.mode / 4] = mode & ~(Mode.SETUID | ((mode & Mode.GROUP_EXECUTE) !== 0 ? Mode.SETGID : 0));
    });
  }

  fchmodat(fd: number, name: number, mode: number): number {
    return this.change(fd, name, (stat) => {
      const at = stat + StatRecord.mode / 4;
      this.place.u32[at] = (this.place.u32[at] & Mode.TYPE) | (mode & Mode.PERMISSIONS);
    });
  }

  /** Changes the stat record (a word index) and writes it down. */
  private change(fd: number, name: number, change: (stat: number) => void): number {
    const { record } = this;
    const { u32 } = this.place;
    const result = this.stat(fd, name, record);
    if (result < 0) return result;
    change(record >> 2);
    const at = record >> 2;
    return this.write(fd, name, u32[at + StatRecord.uid / 4], u32[at + StatRecord.gid / 4], u32[at + StatRecord.mode / 4]);
  }

  /**
   * Writes down whose a file is, and its mode. Where a file of that kind takes no such xattr (user.* are for regular files and directories), it is owned by
   * whom it can be: 0. Negative errno.
   */
  write(fd: number, name: number, uid: number, gid: number, mode: number): number {
    const { u8, xattr, value } = this.place;
    const text = `${uid}:${gid}:${(mode & Mode.PERMISSIONS).toString(8)}`;
    for (let i = 0; i < text.length; i++) u8[value + i] = text.charCodeAt(i);
    const result = disk.setxattr(fd, name, xattr, value, text.length, 0);
    const type = mode & Mode.TYPE;
    if (result >= 0 || (result !== -Errno.EPERM && result !== -Errno.EOPNOTSUPP) || type === Mode.REGULAR || type === Mode.DIRECTORY)
      return result;
    return this.writeOwn(fd, name, uid, gid, mode);
  }

  private writeOwn(fd: number, name: number, uid: number, gid: number, mode: number): number {
    const given = disk.fchownat(fd, name, uid, gid);
    if (given < 0 && given !== -Errno.EPERM && given !== -Errno.EINVAL) return given;
    return (mode & Mode.TYPE) === Mode.LINK ? 0 : disk.fchmodat(fd, name, mode & Mode.PERMISSIONS);
  }
}

/** The mode that a file gets on disk where its own is in an xattr: all may read it, as in fuse-overlayfs, and no bit gives rights. */
export function modeOnDisk(mode: number): number {
  return (mode & (Mode.TYPE | 0o777)) | 0o755;
}

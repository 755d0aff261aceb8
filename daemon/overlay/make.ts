/**
 * CREATE, TMPFILE, MKNOD, MKDIR, SYMLINK, LINK: new names. They go into the upper; over a whiteout they are built in the work directory and
 * renamed onto it, so that no crash shows what the whiteout hid. The caller's ids own what is made: made by us, given away, then the bits
 * that giving away clears; what fails half way is undone.
 */
import { Errno } from '../errno';
import { disk, Mode, O, O_TMPFILE, AT_REMOVEDIR, RenameFlag } from '../layers/disk';
import { startsWith } from '../layers/names';
import { modeOnDisk, OverriddenUpper } from '../layers/override';
import { StatRecord } from '../layers/records';
import {
  Make as MakeOperation,
  type Create,
  type Link,
  type Make,
  type Mkdir,
  type Mknod,
  type Rename,
  type Reply,
  type Symlink,
} from '../protocol/operations';
import { copyUpDirectory, copyUpMetadata, giveTo, markImpure } from './copy-up';
import { load } from './directory';
import { asked } from './failure';
import { grant, grantServed, Handle, openFlags } from './file';
import { answerNew } from './lookup';
import type { Mount } from './mount';
import { attrSeconds, directoryOf, recorded } from './node';
import { Dentry, DentryFlags, Inode, InodeFlags, Known } from './table/layout';

/** Makes the object as `name` in the directory `fd` with mode bits `mode`. 0 or negative errno. */
type Maker = (fd: number, name: number, mode: number) => number;

export function mkdir(m: Mount, op: Mkdir, reply: Reply): number {
  return answerMade(
    m,
    make(m, op, Mode.DIRECTORY | (op.mode & 0o1777), (fd, name, mode) => disk.mkdirat(fd, name, mode & 0o1777)),
    reply,
  );
}

export function mknod(m: Mount, op: Mknod, reply: Reply): number {
  if ((op.mode & Mode.TYPE) === Mode.CHARACTER && op.rdev === 0) return answerMade(m, makeFakeWhiteout(m, op), reply);
  return answerMade(
    m,
    make(m, op, op.mode, (fd, name, mode) => disk.mknodat(fd, name, mode, op.rdev)),
    reply,
  );
}

export function symlink(m: Mount, op: Symlink, reply: Reply): number {
  return answerMade(
    m,
    make(m, op, Mode.LINK | 0o777, (fd, name) => disk.symlinkat(op.target, fd, name)),
    reply,
  );
}

/** The kernel would read a char 0/0 in the upper as a whiteout: kept as an empty file with a mark of ours. */
function makeFakeWhiteout(m: Mount, op: Mknod): number {
  return make(m, op, (op.mode & Mode.PERMISSIONS) | Mode.CHARACTER, fakeWhiteoutMaker(m));
}

/** What RENAME_WHITEOUT is to leave in `directory`, a container's own char 0/0, as `name` in the work directory; its attributes are in scratch.stat. */
export function buildFakeWhiteout(m: Mount, op: Rename, directory: number, name: number): number {
  const make = new MakeOperation();
  make.uid = op.uid;
  make.gid = op.gid;
  const fd = m.upperDirectory(directory);
  if (fd < 0) return fd;
  const nest = m.freshName(m.scratch.path2);
  return inNest(m, directory, fd, hasDefaultAcl(m, directory, fd), nest, (inside) => {
    const made = makeHere(m, directory, make, Mode.CHARACTER, fakeWhiteoutMaker(m), inside, nest);
    if (made < 0) return made;
    const moved = disk.renameat2(inside, nest, m.workFd, name, RenameFlag.NOREPLACE);
    if (moved < 0) disk.unlinkat(inside, nest, 0);
    return moved;
  });
}

function fakeWhiteoutMaker(m: Mount): Maker {
  return (fd, name, mode) => {
    const file = disk.openat(fd, name, O.CREAT | O.EXCL | O.WRONLY, mode & Mode.PERMISSIONS);
    if (file < 0) return file;
    const result = disk.setxattr(file, m.names.empty, m.names.fake, m.scratch.words, 0, 0);
    disk.close(file);
    if (result < 0) disk.unlinkat(fd, name, 0);
    return result;
  };
}

function answerMade(m: Mount, node: number, reply: Reply): number {
  if (node < 0) return node;
  answerNew(m, node, true, reply);
  return 0;
}

export function create(m: Mount, op: Create, reply: Reply): number {
  const node = make(m, op, Mode.REGULAR | (op.mode & Mode.PERMISSIONS), (fd, name, mode) => {
    const file = disk.openat(fd, name, O.CREAT | O.EXCL | O.WRONLY, mode & Mode.PERMISSIONS);
    if (file >= 0) disk.close(file);
    return Math.min(file, 0);
  });
  return node < 0 ? node : answerCreated(m, node, op, reply);
}

function answerCreated(m: Mount, node: number, op: Create, reply: Reply): number {
  const { stat } = m.scratch;
  const access = op.flags & O.ACCMODE;
  // the file is there: an open that cannot be passthrough is served
  let fh = grant(m, node, access !== O.RDONLY, access === O.RDWR);
  if (fh < 0) fh = grantServed(m, node, access !== O.RDONLY);
  recorded(m, node, stat);
  const { context, i32 } = m;
  context.opened = m.nodeid(node);
  context.openedHandle = fh;
  const backing = (fh & Handle.PASSTHROUGH) !== 0 ? i32[node + Inode.BACKING] : 0;
  reply.created(m.nodeid(node), m.generation(node), m.seconds, attrSeconds(m, node), stat, fh, openFlags(m, fh), backing);
  return 0;
}

/** `.wh.` names mean whiteouts to other programs that read a layer (docs/compatibility.md). */
export function isReserved(m: Mount, name: number): boolean {
  return startsWith(m.u8, name, '.wh.');
}

/** Makes `op.name` of type and mode `mode`; returns its node with a lookup counted, or a negative errno. */
function make(m: Mount, op: Make, mode: number, maker: Maker): number {
  if (!m.writable) return -Errno.EROFS;
  const directory = directoryOf(m, op.node);
  if (directory < 0) return directory;
  if (isReserved(m, op.name)) return -Errno.EINVAL;
  const upper = copyUpDirectory(m, directory);
  if (upper < 0) return upper;
  m.lock(directory);
  try {
    return makeLocked(m, op, directory, mode, maker);
  } finally {
    m.unlock(directory);
  }
}

function makeLocked(m: Mount, op: Make, directory: number, mode: number, maker: Maker): number {
  const { table, i32 } = m;
  const loaded = load(m, directory);
  if (loaded < 0) return loaded;
  if ((m.nodeFlags(directory) & InodeFlags.GONE) !== 0) return -Errno.ENOENT;
  const old = table.find(directory, op.name, op.nameLength);
  if (m.dentryType(old) >= 0) return -Errno.EEXIST;
  const fd = m.upperDirectory(directory);
  if (fd < 0) return fd;
  const acl = hasDefaultAcl(m, directory, fd);
  const bits = acl ? mode : mode & ~op.umask;
  // the record comes first: when the table is full nothing has happened yet
  const node = table.newInode(m.index);
  i32[node + Inode.LOOKUPS] = 1;
  let dentry = 0;
  try {
    const made =
      old === 0
        ? makeHere(m, directory, op, bits, maker, fd, op.name)
        : makeOver(m, directory, op, bits, maker, fd, acl, (i32[old + Dentry.FLAGS] & DentryFlags.LOWER) !== 0);
    if (made < 0) return discard(m, node, made);
    m.u32.copyWithin(node + Inode.ATTR, m.scratch.stat >> 2, (m.scratch.stat + StatRecord.SIZE) >> 2);
    m.putNumber(node + Inode.INO_LOW, i32[node + Inode.INO_LOW], i32[node + Inode.INO_HIGH], -1);
    m.setFlags(node, upperFlags(mode, m.u32[node + Inode.MODE], old !== 0));
    dentry = named(m, directory, old, op.name, op.nameLength, (mode & Mode.TYPE) >>> 12, node);
  } catch (error) {
    discard(m, node, 0);
    throw error;
  }
  table.bind(dentry, node);
  return node;
}

function discard(m: Mount, node: number, result: number): number {
  m.i32[node + Inode.LOOKUPS] = -1;
  m.table.freeInode(node);
  return result;
}

function upperFlags(mode: number, made: number, over: boolean): number {
  let flags = InodeFlags.UPPER;
  if ((mode & Mode.TYPE) === Mode.CHARACTER && (made & Mode.TYPE) === Mode.REGULAR) flags |= InodeFlags.FAKE_WHITEOUT;
  if ((mode & Mode.TYPE) === Mode.DIRECTORY && over) flags |= InodeFlags.OPAQUE;
  return flags;
}

/** The dentry of a name that is now in the upper: a new one, or the whiteout's. The directory is locked. */
export function named(m: Mount, directory: number, old: number, name: number, length: number, type: number, node: number): number {
  const { table, i32 } = m;
  let dentry = old;
  if (old === 0) dentry = table.addDentry(directory, name, length, type | DentryFlags.UPPER, 0);
  else table.setDentryFlags(old, (i32[old + Dentry.FLAGS] & DentryFlags.LOWER) | DentryFlags.UPPER | type);
  i32[dentry + Dentry.INO_LOW] = i32[node + Inode.INO_LOW];
  i32[dentry + Dentry.INO_HIGH] = i32[node + Inode.INO_HIGH];
  return dentry;
}

/** Has a directory a default ACL? Then the umask does not count (acl(5)). Remembered: only we change it. */
function hasDefaultAcl(m: Mount, directory: number, fd: number): boolean {
  const { i32 } = m;
  if (m.overridesUpper) return false;
  if (i32[directory + Inode.DEFAULT_ACL] === Known.UNKNOWN) {
    const has = asked(disk.getxattr(fd, m.names.empty, m.names.defaultAcl, m.scratch.value, 0)) > 0;
    i32[directory + Inode.DEFAULT_ACL] = has ? Known.YES : Known.NO;
  }
  return i32[directory + Inode.DEFAULT_ACL] === Known.YES;
}

/** Makes the object as `name` in `fd` (whose group and default ACL it inherits), owned by the caller; its attributes are in scratch.stat. */
function makeHere(m: Mount, directory: number, op: Make, mode: number, maker: Maker, fd: number, name: number): number {
  let result = maker(fd, name, m.overridesUpper ? modeOnDisk(mode) : mode);
  if (result < 0) return result;
  result = giveAway(m, directory, op, mode, fd, name);
  if (result >= 0 && (mode & Mode.TYPE) === Mode.CHARACTER && m.u32[(m.scratch.stat + StatRecord.mode) >> 2] >>> 12 === 8)
    result = markImpure(m, directory);
  if (result < 0) disk.unlinkat(fd, name, (mode & Mode.TYPE) === Mode.DIRECTORY ? AT_REMOVEDIR : 0);
  return result;
}

/** Owner, group (the directory's, if that is setgid), and the bits that the change of owner took. The attributes are in scratch.stat then. */
function giveAway(m: Mount, directory: number, op: Make, mode: number, fd: number, name: number): number {
  const { u32, scratch } = m;
  const setgid = (u32[directory + Inode.MODE] & Mode.SETGID) !== 0;
  const inherited = setgid ? u32[directory + Inode.GID] : 0;
  const uid = m.view === undefined ? op.uid : m.view.makerUid(op.uid);
  const gid = setgid ? inherited : m.view === undefined ? op.gid : m.view.makerGid(op.gid);
  const type = mode & Mode.TYPE;
  if (m.upper instanceof OverriddenUpper) {
    const bits = type === Mode.DIRECTORY && setgid ? mode | Mode.SETGID : mode;
    const written = m.upper.write(fd, name, uid, gid, bits);
    return written < 0 ? written : m.upper.stat(fd, name, scratch.stat);
  }
  if (uid !== 0 || gid !== inherited) {
    const result = giveTo(m, fd, name, uid, gid);
    if (result < 0) return result;
  }
  let result = disk.stat(fd, name, scratch.stat);
  if (result < 0 || type === Mode.LINK) return result;
  const now = u32[(scratch.stat + StatRecord.mode) >> 2];
  const wanted = (now & 0o777) | (mode & 0o7000) | (type === Mode.DIRECTORY ? now & Mode.SETGID : 0);
  if ((now & Mode.PERMISSIONS) !== wanted) {
    result = disk.fchmodat(fd, name, wanted);
    if (result >= 0) result = disk.stat(fd, name, scratch.stat);
  }
  return result;
}

/** Makes the object in the work directory and moves it onto the whiteout. A directory says it is opaque where a lower has the name. */
function makeOver(m: Mount, directory: number, op: Make, mode: number, maker: Maker, fd: number, acl: boolean, lower: boolean): number {
  const { scratch } = m;
  const isDirectory = (mode & Mode.TYPE) === Mode.DIRECTORY;
  const nest = m.freshName(scratch.path);
  return inNest(m, directory, fd, acl, nest, (inside) => {
    let result = makeHere(m, directory, op, mode, maker, inside, op.name);
    if (result < 0) return result;
    if (isDirectory && lower) {
      m.u8[scratch.words] = 0x79;
      result = disk.setxattr(inside, op.name, m.names.opaque, scratch.words, 1, 0);
    }
    if (result >= 0) result = disk.renameat2(inside, op.name, fd, op.name, isDirectory ? RenameFlag.EXCHANGE : 0);
    if (result < 0) disk.unlinkat(inside, op.name, isDirectory ? AT_REMOVEDIR : 0);
    else if (isDirectory) disk.unlinkat(inside, op.name, 0); // the whiteout
    return result;
  });
}

/** Runs `work` in a directory of its own in the work directory: it gives what is made there the group and the default ACL that it would inherit in place. */
function inNest(m: Mount, directory: number, fd: number, acl: boolean, nest: number, work: (inside: number) => number): number {
  const result = disk.mkdirat(m.workFd, nest, 0o700);
  if (result < 0) return result;
  const inside = disk.openDirectory(m.workFd, nest, length(m, nest), 0);
  try {
    const like = inside < 0 ? inside : likeParent(m, directory, fd, inside, acl);
    return like < 0 ? like : work(inside);
  } finally {
    if (inside >= 0) disk.close(inside);
    disk.unlinkat(m.workFd, nest, AT_REMOVEDIR);
  }
}

function length(m: Mount, name: number): number {
  let end = name;
  while (m.u8[end] !== 0) end++;
  return end - name;
}

function likeParent(m: Mount, directory: number, fd: number, inside: number, acl: boolean): number {
  const { u32, scratch, names } = m;
  if ((u32[directory + Inode.MODE] & Mode.SETGID) !== 0 && !m.overridesUpper) {
    let result = disk.fchownat(inside, names.empty, -1, u32[directory + Inode.GID]);
    if (result >= 0) result = disk.fchmodat(inside, names.empty, 0o2700);
    if (result < 0) return result;
  }
  if (!acl) return 0;
  const size = disk.getxattr(fd, names.empty, names.defaultAcl, scratch.value, 65536);
  return size < 0 ? size : disk.setxattr(inside, names.empty, names.defaultAcl, scratch.value, size, 0);
}

// ---- files without a name, and further names -----------------------------------------------------------------------------------------------

/** A file without a name is born among the orphans; LINK gives it one. */
export function tmpfile(m: Mount, op: Create, reply: Reply): number {
  if (!m.writable) return -Errno.EROFS;
  const directory = directoryOf(m, op.node);
  if (directory < 0) return directory;
  const upper = copyUpDirectory(m, directory);
  if (upper < 0) return upper;
  const fd = m.upperDirectory(directory);
  if (fd < 0) return fd;
  const { table, i32, scratch, names } = m;
  const mode = Mode.REGULAR | (op.mode & Mode.PERMISSIONS & (hasDefaultAcl(m, directory, fd) ? -1 : ~op.umask));
  const node = table.newInode(m.index);
  i32[node + Inode.LOOKUPS] = 1;
  const file = disk.openat(fd, names.dot, O_TMPFILE | O.RDWR, (m.overridesUpper ? modeOnDisk(mode) : mode) & Mode.PERMISSIONS);
  if (file < 0) return discard(m, node, file);
  let result = giveAway(m, directory, op, mode, file, names.empty);
  if (result >= 0) result = disk.linkat(file, names.empty, m.orphansFd, m.orphanName(node));
  disk.close(file);
  if (result < 0) return discard(m, node, result);
  m.u32.copyWithin(node + Inode.ATTR, scratch.stat >> 2, (scratch.stat + StatRecord.SIZE) >> 2);
  m.putNumber(node + Inode.INO_LOW, i32[node + Inode.INO_LOW], i32[node + Inode.INO_HIGH], -1);
  m.setFlags(node, InodeFlags.UPPER | InodeFlags.ORPHAN | InodeFlags.GONE);
  return answerCreated(m, node, op, reply);
}

export function link(m: Mount, op: Link, reply: Reply): number {
  if (!m.writable) return -Errno.EROFS;
  const directory = directoryOf(m, op.node);
  if (directory < 0) return directory;
  const target = m.node(op.target);
  if (target === 0) return -Errno.ESTALE;
  if (m.isDirectory(target)) return -Errno.EPERM;
  if (isReserved(m, op.name)) return -Errno.EINVAL;
  let result = copyUpMetadata(m, target);
  if (result !== 0) return result;
  result = copyUpDirectory(m, directory);
  if (result < 0) return result;
  m.lock(directory);
  try {
    m.lock(target);
    try {
      result = linkLocked(m, op, directory, target);
    } finally {
      m.unlock(target);
    }
  } finally {
    m.unlock(directory);
  }
  if (result >= 0) answerNew(m, target, false, reply);
  return Math.min(result, 0);
}

function linkLocked(m: Mount, op: Link, directory: number, target: number): number {
  const { table, i32, scratch } = m;
  let result = load(m, directory);
  if (result < 0) return result;
  const flags = m.nodeFlags(target);
  if ((m.nodeFlags(directory) & InodeFlags.GONE) !== 0 || (flags & (InodeFlags.GONE | InodeFlags.ORPHAN)) === InodeFlags.GONE)
    return -Errno.ENOENT;
  const old = table.find(directory, op.name, op.nameLength);
  if (m.dentryType(old) >= 0) return -Errno.EEXIST;
  const to = m.upperDirectory(directory);
  if (to < 0) return to;
  if ((flags & (InodeFlags.OWN_INO | InodeFlags.METACOPY | InodeFlags.FAKE_WHITEOUT)) !== 0) {
    result = markImpure(m, directory);
    if (result < 0) return result;
  }
  result = m.place(target);
  if (result < 0) return result;
  const [fd, name] = [m.placeFd, m.stablePlaceName()];
  const orphan = (flags & InodeFlags.ORPHAN) !== 0;
  // what is reached by a link of ours among the orphans gives that one away
  if (orphan) result = disk.renameat2(fd, name, to, op.name, old === 0 ? RenameFlag.NOREPLACE : 0);
  else if (old === 0) result = disk.linkat(fd, name, to, op.name);
  else {
    const work = m.freshName(scratch.path2);
    result = disk.linkat(fd, name, m.workFd, work);
    if (result >= 0) {
      result = disk.renameat2(m.workFd, work, to, op.name, 0);
      if (result < 0) disk.unlinkat(m.workFd, work, 0);
    }
  }
  if (result < 0) return result;
  const type = ((flags & InodeFlags.FAKE_WHITEOUT) !== 0 ? Mode.CHARACTER : i32[target + Inode.MODE] & Mode.TYPE) >>> 12;
  const dentry = named(m, directory, old, op.name, op.nameLength, type, target);
  table.bind(dentry, target);
  m.setFlags(target, InodeFlags.LINKED);
  if (orphan) {
    i32[target + Inode.NLINK_DELTA] = 0;
    m.clearFlags(target, InodeFlags.ORPHAN | InodeFlags.GONE);
  }
  table.addIdent(target);
  table.addLookup(target);
  return 0;
}

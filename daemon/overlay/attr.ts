/** GETATTR, STATX, SETATTR. */
import { Errno } from '../errno';
import { disk, Mode } from '../layers/disk';
import { StatRecord } from '../layers/records';
import { type Caller, Fattr, type Getattr, type Reply, type Setattr, type Statx } from '../protocol/operations';
import { isInGroup } from './caller';
import { copyUpData, copyUpMetadata, CUT, dropCapability, giveTo, refresh } from './copy-up';
import type { Mount } from './mount';
import { attributes, attributesSaid, attrSeconds, recorded } from './node';
import { Inode, InodeFlags } from './table/layout';

export function getattr(m: Mount, op: Getattr, reply: Reply): number {
  const node = m.nodeToLookAt(op.node);
  if (node === 0) return -Errno.ESTALE;
  const result = attributes(m, node, m.scratch.stat);
  if (result >= 0) reply.attr(attrSeconds(m, node), m.scratch.stat);
  return result;
}

export function statx(m: Mount, op: Statx, reply: Reply): number {
  const node = m.nodeToLookAt(op.node);
  if (node === 0) return -Errno.ESTALE;
  const result = attributes(m, node, m.scratch.stat);
  if (result >= 0) reply.statx(attrSeconds(m, node), m.scratch.stat);
  return result;
}

const METADATA = Fattr.MODE | Fattr.UID | Fattr.GID | Fattr.ATIME | Fattr.MTIME;

export function setattr(m: Mount, op: Setattr, reply: Reply): number {
  if (!m.writable) return -Errno.EROFS;
  const node = m.node(op.node);
  if (node === 0) return -Errno.ESTALE;
  if (!canBeKept(m, op)) return -Errno.EINVAL;
  let result = 0;
  // everything that can take time comes before the first change
  if ((op.valid & Fattr.SIZE) !== 0) {
    if (!m.isRegular(node)) return m.isDirectory(node) ? -Errno.EISDIR : -Errno.EINVAL;
    const size = (op.sizeLow >>> 0) + op.sizeHigh * 4294967296;
    result = copyUpData(m, node, size, (fd, name) => cutTo(m, op, fd, name));
  } else {
    if (isNowhere(m, node)) return setGone(m, op, node, reply);
    result = copyUpMetadata(m, node);
  }
  if (result !== 0 && result !== CUT) return result;
  const cut = result === CUT;
  result = m.place(node);
  if (result >= 0) result = change(m, op, node, m.placeFd, m.stablePlaceName(), cut);
  // done: an error now would say that it was not
  return result < 0 ? result : answerChanged(m, op, node, reply);
}

/** Are the ids of a new owner among those that the mount maps? In a user namespace it would be EINVAL too (chown(2)). */
function canBeKept(m: Mount, { valid, newUid, newGid }: Setattr): boolean {
  if (m.view === undefined || m.view.squashes) return true; // what cannot be kept is then left out
  return ((valid & Fattr.UID) === 0 || m.keptUid(newUid) >= 0) && ((valid & Fattr.GID) === 0 || m.keptGid(newGid) >= 0);
}

/** All that a SETATTR asks of the file at (fd, name), which was not copied up for just that if `cut`. 0 or negative errno. */
function change(m: Mount, op: Setattr, node: number, fd: number, name: number, cut: boolean): number {
  const { valid } = op;
  if ((valid & Fattr.SIZE) !== 0) {
    const result = cut ? 0 : cutTo(m, op, fd, name);
    if (result < 0) return result;
  } else if (valid === 0 || (valid & Fattr.KILL_SUIDGID) !== 0) {
    // an unprivileged write or change of owner takes the bits (fuse-kernel-facts.md section 2)
    const aboutCapability = valid === 0 && op.uid === 0 && (m.nodeFlags(node) & InodeFlags.LOST_CAPABILITY) !== 0;
    const result = aboutCapability ? 0 : stripSetid(m, fd, name, op);
    if (result < 0) return result;
  }
  m.clearFlags(node, InodeFlags.LOST_CAPABILITY);
  if ((valid & METADATA) === 0) return 0;
  const result = setMetadata(m, op, fd, name);
  if (result >= 0 && (valid & (Fattr.UID | Fattr.GID)) !== 0) dropCapability(m, node, fd, name);
  return result;
}

/** Truncates the file at (fd, name) to the size asked for; with KILL_SUIDGID it loses the bits too, or neither happens. 0 or negative errno. */
function cutTo(m: Mount, op: Setattr, fd: number, name: number): number {
  const strips = (op.valid & Fattr.KILL_SUIDGID) !== 0;
  const stripped = strips ? stripSetid(m, fd, name, op) : 0;
  if (stripped < 0) return stripped;
  const result = disk.truncateat(fd, name, op.sizeLow | 0, op.sizeHigh | 0);
  if (result < 0 && stripped > 0) m.upper.fchmodat(fd, name, stripped);
  return result;
}

/** The answer to a change that was made. Where the layer does not say how things stand now, what was asked for is what is remembered. */
function answerChanged(m: Mount, op: Setattr, node: number, reply: Reply): number {
  const { stat, stat2 } = m.scratch;
  if (refresh(m, node) >= 0 && attributesSaid(m, node, stat2, stat) >= 0) {
    reply.attr(attrSeconds(m, node), stat);
    return 0;
  }
  m.lock(node);
  setRecord(m, op, node);
  m.unlock(node);
  recorded(m, node, stat);
  reply.attr(0, stat);
  return 0;
}

/** Has a node nothing on disk any more: a removed directory, a file that nobody had open when it was unlinked? */
function isNowhere(m: Mount, node: number): boolean {
  return (m.nodeFlags(node) & (InodeFlags.GONE | InodeFlags.ORPHAN)) === InodeFlags.GONE && (m.isDirectory(node) || m.hasUpper(node));
}

/** Its attributes are the record's from now on. */
function setGone(m: Mount, op: Setattr, node: number, reply: Reply): number {
  m.lock(node);
  setRecord(m, op, node);
  m.unlock(node);
  const result = attributes(m, node, m.scratch.stat);
  if (result >= 0) reply.attr(attrSeconds(m, node), m.scratch.stat);
  return result;
}

/** Makes the change in the record alone. The node is locked. */
function setRecord(m: Mount, op: Setattr, node: number): void {
  const { i32 } = m;
  const { valid } = op;
  if ((valid & Fattr.SIZE) !== 0) {
    i32[node + Inode.SIZE_LOW] = op.sizeLow;
    i32[node + Inode.SIZE_HIGH] = op.sizeHigh;
  }
  if ((valid & Fattr.MODE) !== 0) i32[node + Inode.MODE] = (i32[node + Inode.MODE] & Mode.TYPE) | (op.mode & Mode.PERMISSIONS);
  if ((valid & Fattr.UID) !== 0 && m.keptUid(op.newUid) >= 0) i32[node + Inode.UID] = m.keptUid(op.newUid);
  if ((valid & Fattr.GID) !== 0 && m.keptGid(op.newGid) >= 0) i32[node + Inode.GID] = m.keptGid(op.newGid);
  const now = Date.now();
  const at = node + Inode.ATTR;
  const setTime = (seconds: number, nanoseconds: number, low: number, high: number, nsec: number): void => {
    i32[at + seconds / 4] = low;
    i32[at + seconds / 4 + 1] = high;
    i32[at + nanoseconds / 4] = nsec;
  };
  const setNow = (seconds: number, nanoseconds: number): void => {
    setTime(seconds, nanoseconds, Math.floor(now / 1000) | 0, Math.floor(now / 1000 / 4294967296), (now % 1000) * 1e6);
  };
  if ((valid & Fattr.ATIME_NOW) !== 0) setNow(StatRecord.atime, StatRecord.atimensec);
  else if ((valid & Fattr.ATIME) !== 0) setTime(StatRecord.atime, StatRecord.atimensec, op.atimeLow, op.atimeHigh, op.atimeNsec);
  if ((valid & Fattr.MTIME_NOW) !== 0) setNow(StatRecord.mtime, StatRecord.mtimensec);
  else if ((valid & Fattr.MTIME) !== 0) setTime(StatRecord.mtime, StatRecord.mtimensec, op.mtimeLow, op.mtimeHigh, op.mtimeNsec);
  setNow(StatRecord.ctime, StatRecord.ctimensec);
}

/** Owner first: changing it takes setuid away; then mode, then times. */
function setMetadata(m: Mount, op: Setattr, fd: number, name: number): number {
  const { valid } = op;
  let result = 0;
  if ((valid & (Fattr.UID | Fattr.GID)) !== 0) {
    result = giveTo(
      m,
      fd,
      name,
      (valid & Fattr.UID) !== 0 ? m.keptUid(op.newUid) : -1,
      (valid & Fattr.GID) !== 0 ? m.keptGid(op.newGid) : -1,
    );
    if (result < 0) return result;
  }
  if ((valid & Fattr.MODE) !== 0) {
    result = m.upper.fchmodat(fd, name, op.mode & Mode.PERMISSIONS);
    if (result < 0) return result;
  }
  if ((valid & (Fattr.ATIME | Fattr.MTIME)) !== 0) result = disk.utimensat(fd, name, times(m, op));
  return result;
}

const UTIME_NOW = 0x3fffffff;
const UTIME_OMIT = 0x3ffffffe;

function times(m: Mount, op: Setattr): number {
  const { words } = m.scratch;
  const { i32 } = m;
  const at = words >> 2;
  const { valid } = op;
  i32[at] = op.atimeLow;
  i32[at + 1] = op.atimeHigh;
  i32[at + 2] = (valid & Fattr.ATIME) === 0 ? UTIME_OMIT : (valid & Fattr.ATIME_NOW) !== 0 ? UTIME_NOW : op.atimeNsec;
  i32[at + 3] = 0;
  i32[at + 4] = op.mtimeLow;
  i32[at + 5] = op.mtimeHigh;
  i32[at + 6] = (valid & Fattr.MTIME) === 0 ? UTIME_OMIT : (valid & Fattr.MTIME_NOW) !== 0 ? UTIME_NOW : op.mtimeNsec;
  i32[at + 7] = 0;
  return words;
}

/**
 * What a change of owner, or a write by one without CAP_FSETID, does to a file: setuid goes; setgid goes if it is group-executable, or the
 * caller is not root and not in the group (setattr_should_drop_suidgid). The mode it had if it has changed, 0 if not, or a negative errno.
 */
export function stripSetid(m: Mount, fd: number, name: number, by: Caller): number {
  const { u32, scratch } = m;
  const result = m.upper.stat(fd, name, scratch.stat2);
  if (result < 0) return result;
  const mode = u32[(scratch.stat2 + StatRecord.mode) >> 2];
  if ((mode & Mode.TYPE) !== Mode.REGULAR) return 0;
  let kept = mode & Mode.PERMISSIONS & ~Mode.SETUID;
  if ((kept & Mode.SETGID) !== 0 && (kept & Mode.GROUP_EXECUTE) === 0 && by.uid !== 0) {
    if (!isInGroup(by, m.shownGid(u32[(scratch.stat2 + StatRecord.gid) >> 2]))) kept &= ~Mode.SETGID;
  } else if ((kept & Mode.GROUP_EXECUTE) !== 0) kept &= ~Mode.SETGID;
  if (kept === (mode & Mode.PERMISSIONS)) return 0;
  const changed = m.upper.fchmodat(fd, name, kept);
  return changed < 0 ? changed : mode & Mode.PERMISSIONS;
}

/**
 * xattrs. The overlay's own names are hidden; what a nested overlay calls by them is kept under an escaped name, as the kernel does
 * (`trusted.overlay.X` ↔ `trusted.overlay.overlay.X`).
 */
import { Errno } from '../errno';
import { disk, Mode } from '../layers/disk';
import { startsWith } from '../layers/names';
import { StatRecord } from '../layers/records';
import type { Getxattr, Listxattr, Removexattr, Reply, Setxattr } from '../protocol/operations';
import { isAcl, keepAcl, showAcl } from './acl';
import { copyUpMetadata, dropCapability, refresh } from './copy-up';
import type { Mount } from './mount';
import { Inode, InodeFlags, Known, MountFlags } from './table/layout';

const ACCESS_ACL = 'system.posix_acl_access';

/** May a mount's users not know of the xattr `name`, whatever they do? -EPERM to change it, -ENODATA to see it, -EOPNOTSUPP for what there is none of. 0: they may. */
function withheld(m: Mount, name: number, change: boolean): number {
  if (!m.hasOverrides) return 0;
  if (m.names.isOverride(name)) return change ? -Errno.EPERM : -Errno.ENODATA;
  // the disk's ACLs would speak of owners and bits that are not those that are shown
  return m.overridesUpper && isAcl(m, name) ? -Errno.EOPNOTSUPP : 0;
}

/** The name under which `name` is kept; 0: it cannot be. */
function keptName(m: Mount, name: number, length: number): number {
  if (!startsWith(m.u8, name, m.names.prefix)) return name;
  return m.names.escape(name, length, m.scratch.path2) ? m.scratch.path2 : 0;
}

/** The node if its xattrs can be read. A file whose upper is gone for good has none left. */
function readable(m: Mount, node: number): number {
  if (node === 0) return -Errno.ESTALE;
  if (m.has(MountFlags.NOXATTRS)) return -Errno.EOPNOTSUPP;
  const gone = InodeFlags.GONE | InodeFlags.UPPER | InodeFlags.ORPHAN;
  return (m.nodeFlags(node) & gone) === (InodeFlags.GONE | InodeFlags.UPPER) ? -Errno.ENODATA : node;
}

export function getxattr(m: Mount, op: Getxattr, reply: Reply): number {
  const node = readable(m, m.nodeToLookAt(op.node));
  if (node < 0) return node;
  const hidden = withheld(m, op.name, false);
  if (hidden < 0) return hidden;
  const name = keptName(m, op.name, op.nameLength);
  if (name === 0) return -Errno.ENODATA;
  const holder = m.holderOf(node);
  const place = holder.place(node);
  if (place < 0) return place;
  const length = holder.placeFiles.getxattr(holder.placeFd, holder.placeName, name, reply.data, Math.min(op.size, reply.capacity));
  // what lies where there are no ACLs has none: any other error would be that of whoever opens it (fuse_get_inode_acl)
  if (length === -Errno.EOPNOTSUPP && m.has(MountFlags.POSIX_ACL) && isAcl(m, op.name)) return -Errno.ENODATA;
  if (length < 0) return length;
  if (op.size > 0 && m.view?.maps === true && isAcl(m, op.name)) showAcl(m, reply.data, length);
  if (op.size === 0) reply.xattrSize(length);
  else reply.bytes(length);
  return 0;
}

export function listxattr(m: Mount, op: Listxattr, reply: Reply): number {
  const node = readable(m, m.nodeToLookAt(op.node));
  if (node === -Errno.ENODATA) {
    if (op.size === 0) reply.xattrSize(0);
    else reply.bytes(0);
    return 0;
  }
  if (node < 0) return node;
  const holder = m.holderOf(node);
  const place = holder.place(node);
  if (place < 0) return place;
  const { value } = m.scratch;
  const length = holder.placeFiles.listxattr(holder.placeFd, holder.placeName, value, 65536);
  if (length < 0) return length;
  const shown = filter(m, value, length, op.uid !== 0);
  if (op.size === 0) {
    reply.xattrSize(shown);
    return 0;
  }
  if (shown > op.size || shown > reply.capacity) return -Errno.ERANGE;
  m.u8.copyWithin(reply.data, value, value + shown);
  reply.bytes(shown);
  return 0;
}

/** Leaves the names that are shown, as they are shown, in place; returns their length. trusted.* are for the privileged only (xattr(7)). */
function filter(m: Mount, list: number, length: number, hideTrusted: boolean): number {
  const { u8, names } = m;
  let to = list;
  for (let at = list; at < list + length;) {
    let end = at;
    while (u8[end] !== 0) end++;
    end++;
    if ((hideTrusted && startsWith(u8, at, 'trusted.')) || withheld(m, at, false) < 0) {
      at = end;
      continue;
    }
    if (names.isEscaped(at)) {
      const head = names.prefix.length;
      u8.copyWithin(to, at, at + head);
      u8.copyWithin(to + head, at + head + 8, end);
      to += end - at - 8;
    } else if (!names.isPrivate(at)) {
      u8.copyWithin(to, at, end);
      to += end - at;
    }
    at = end;
  }
  return to - list;
}

/** The node, copied up, with its place found. SET_ASIDE and errors go to the caller. */
function changeable(m: Mount, nodeid: number): number {
  if (!m.writable) return -Errno.EROFS;
  const node = readable(m, m.node(nodeid));
  if (node < 0) return node === -Errno.ENODATA ? -Errno.ESTALE : node;
  const result = copyUpMetadata(m, node);
  return result !== 0 ? result : m.place(node);
}

export function setxattr(m: Mount, op: Setxattr): number {
  const hidden = m.writable ? withheld(m, op.name, true) : 0;
  if (hidden < 0) return hidden;
  // On a root it says that the layer's owners and modes are in xattrs, and an upper becomes a layer: that is not for a container to say.
  if (m.writable && m.node(op.node) === m.root && m.names.isOverride(op.name)) return -Errno.EPERM;
  const name = keptName(m, op.name, op.nameLength);
  if (name === 0) return -Errno.ERANGE;
  const ready = changeable(m, op.node);
  if (ready !== 0) return ready;
  const [fd, place] = [m.placeFd, m.stablePlaceName()];
  const kept = keptName(m, op.name, op.nameLength); // copying up has used the scratch area
  // in the request itself: it is not dispatched again from here on
  const mapped = m.view?.maps === true && isAcl(m, op.name) ? keepAcl(m, op.value, op.valueLength) : 0;
  if (mapped < 0) return mapped;
  const result = disk.setxattr(fd, place, kept, op.value, op.valueLength, op.flags);
  if (result < 0) return result;
  const stripped = op.aclKillSgid && startsWith(m.u8, op.name, ACCESS_ACL) ? dropSetgid(m, fd, place) : 0;
  return stripped < 0 ? stripped : changed(m, op.node, op.name);
}

export function removexattr(m: Mount, op: Removexattr): number {
  const hidden = m.writable ? withheld(m, op.name, false) : 0;
  if (hidden < 0) return hidden;
  if (keptName(m, op.name, op.nameLength) === 0) return -Errno.ENODATA;
  if (m.writable && readable(m, m.node(op.node)) === -Errno.ENODATA) return -Errno.ENODATA;
  const ready = changeable(m, op.node);
  if (ready !== 0) return ready;
  const [fd, place] = [m.placeFd, m.stablePlaceName()];
  const result = disk.removexattr(fd, place, keptName(m, op.name, op.nameLength));
  if (result >= 0 && startsWith(m.u8, op.name, 'security.capability')) {
    const node = m.node(op.node);
    m.setFlags(node, InodeFlags.LOST_CAPABILITY);
    dropCapability(m, node, fd, place);
  }
  return result < 0 ? result : changed(m, op.node, op.name);
}

/** An ACL changes the mode, and a directory's default ACL what is made in it. */
function changed(m: Mount, nodeid: number, name: number): number {
  if (!startsWith(m.u8, name, 'system.')) return 0;
  const node = m.node(nodeid);
  if (m.isDirectory(node)) m.i32[node + Inode.DEFAULT_ACL] = Known.UNKNOWN;
  refresh(m, node); // it is changed, whether the layer says how it is now or not
  return 0;
}

/** FUSE_SETXATTR_ACL_KILL_SGID: the caller is not in the file's group. */
function dropSetgid(m: Mount, fd: number, name: number): number {
  const { u32, scratch } = m;
  const result = m.upper.stat(fd, name, scratch.stat2);
  if (result < 0) return result;
  const mode = u32[(scratch.stat2 + StatRecord.mode) >> 2];
  return (mode & Mode.SETGID) === 0 ? 0 : m.upper.fchmodat(fd, name, mode & Mode.PERMISSIONS & ~Mode.SETGID);
}

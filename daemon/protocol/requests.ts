/**
 * How each request is read: one function per kind, which fills the typed operation from a message whose fixed structure (the row's `size`,
 * see rows.ts) has been taken already. 0, or a negative errno that answers the request. Here are those about nodes and names; those about
 * something open are in handle-requests.ts.
 */
import { Errno } from '../errno';
import { GetattrFlag, OpenFlag, SetxattrFlag } from './abi';
import {
  AccessIn,
  BatchForgetIn,
  CreateIn,
  ForgetIn,
  ForgetOne,
  GetattrIn,
  GetxattrIn,
  InitIn,
  LinkIn,
  MkdirIn,
  MknodIn,
  Rename2In,
  RenameIn,
  SetattrIn,
  SetxattrIn,
  StatxIn,
} from './layout';
import type { InitRequest } from './negotiation';
import * as op from './operations';
import { Longest, type Message } from './reader';
import { caller, count, size } from './request-fields';

const enum FileType {
  MASK = 0o170000,
  DIRECTORY = 0o040000,
  REGULAR = 0o100000,
  SYMLINK = 0o120000,
}

/** BATCH_FORGET: its parts stay in the message, to be read one by one. */
export class BatchForget {
  first = 0;
  count = 0;
  private readonly each = new op.Forget();

  constructor(private readonly message: Message) {}

  forEach(operations: op.Operations): void {
    const message = this.message;
    const each = this.each;
    each.uid = message.uid;
    each.gid = message.gid;
    each.pid = message.pid;
    message.position = this.first;
    for (let i = 0; i < this.count; i++) {
      message.take(ForgetOne.SIZE);
      each.node = message.nodeid(ForgetOne.nodeid);
      each.count = count(message, ForgetOne.nlookup);
      operations.forget(each);
    }
  }
}

/** The name and the extensions of what makes something. */
function made(m: Message, o: op.Make): number {
  const failure = m.name();
  if (failure !== 0) return failure;
  o.name = m.textOffset;
  o.nameLength = m.textLength;
  return group(m, o);
}

function group(m: Message, o: op.Make): number {
  const gid = m.supplementaryGroup();
  if (gid < -1) return gid;
  o.supplementaryGroup = gid;
  return 0;
}

/** Requests that say no more than their header. */
export function bare(m: Message, o: op.Caller): number {
  caller(m, o);
  return 0;
}

export function nothing(): number {
  return 0;
}

export function unsupported(): number {
  return -Errno.ENOSYS;
}

export function lookup(m: Message, o: op.Lookup): number {
  caller(m, o);
  const failure = m.name();
  o.name = m.textOffset;
  o.nameLength = m.textLength;
  return failure;
}

/** UNLINK, RMDIR */
export function unlink(m: Message, o: op.Unlink): number {
  caller(m, o);
  const failure = m.name();
  o.name = m.textOffset;
  o.nameLength = m.textLength;
  return failure;
}

export function forget(m: Message, o: op.Forget): number {
  caller(m, o);
  o.count = count(m, ForgetIn.nlookup);
  return 0;
}

export function batchForget(m: Message, o: BatchForget): number {
  o.first = m.position;
  o.count = m.u32(BatchForgetIn.count);
  return o.count * ForgetOne.SIZE > m.rest ? -Errno.EPROTO : 0;
}

export function getattr(m: Message, o: op.Getattr): number {
  caller(m, o);
  o.hasHandle = (m.u32(GetattrIn.getattr_flags) & GetattrFlag.FH) !== 0;
  o.fh = o.hasHandle ? m.handle(GetattrIn.fh) : 0;
  return 0;
}

export function statx(m: Message, o: op.Statx): number {
  caller(m, o);
  o.hasHandle = (m.u32(StatxIn.getattr_flags) & GetattrFlag.FH) !== 0;
  o.fh = o.hasHandle ? m.handle(StatxIn.fh) : 0;
  o.mask = m.u32(StatxIn.sx_mask);
  return 0;
}

export function setattr(m: Message, o: op.Setattr): number {
  caller(m, o);
  o.valid = m.u32(SetattrIn.valid);
  o.fh = (o.valid & op.Fattr.FH) !== 0 ? m.handle(SetattrIn.fh) : 0;
  o.sizeLow = m.s32(SetattrIn.size);
  o.sizeHigh = m.s32(SetattrIn.size + 4);
  o.atimeLow = m.s32(SetattrIn.atime);
  o.atimeHigh = m.s32(SetattrIn.atime + 4);
  o.atimeNsec = m.u32(SetattrIn.atimensec);
  o.mtimeLow = m.s32(SetattrIn.mtime);
  o.mtimeHigh = m.s32(SetattrIn.mtime + 4);
  o.mtimeNsec = m.u32(SetattrIn.mtimensec);
  o.mode = m.u32(SetattrIn.mode);
  o.newUid = m.u32(SetattrIn.uid);
  o.newGid = m.u32(SetattrIn.gid);
  return 0;
}

export function readlink(m: Message, o: op.Readlink): number {
  caller(m, o);
  m.limit = Longest.TARGET;
  return 0;
}

export function symlink(m: Message, o: op.Symlink): number {
  caller(m, o);
  o.mode = FileType.SYMLINK | 0o777;
  o.umask = 0;
  const failure = made(m, o);
  if (failure !== 0) return failure;
  const tooLong = m.text(Longest.TARGET);
  o.target = m.textOffset;
  o.targetLength = m.textLength;
  return tooLong;
}

export function mknod(m: Message, o: op.Mknod): number {
  caller(m, o);
  const mode = m.u32(MknodIn.mode);
  o.mode = (mode & FileType.MASK) === 0 ? mode | FileType.REGULAR : mode;
  o.rdev = m.u32(MknodIn.rdev);
  o.umask = m.u32(MknodIn.umask);
  return made(m, o);
}

/** The kernel leaves the type out of MKDIR's mode. */
export function mkdir(m: Message, o: op.Mkdir): number {
  caller(m, o);
  o.mode = (m.u32(MkdirIn.mode) & ~FileType.MASK) | FileType.DIRECTORY;
  o.umask = m.u32(MkdirIn.umask);
  return made(m, o);
}

function createFields(m: Message, o: op.Create): void {
  caller(m, o);
  o.mode = (m.u32(CreateIn.mode) & ~FileType.MASK) | FileType.REGULAR;
  o.umask = m.u32(CreateIn.umask);
  o.flags = m.u32(CreateIn.flags);
  o.killSuidgid = (m.u32(CreateIn.open_flags) & OpenFlag.KILL_SUIDGID) !== 0;
}

export function create(m: Message, o: op.Create): number {
  createFields(m, o);
  return made(m, o);
}

/** TMPFILE comes with a name that has no meaning, and is "/" on some kernels (fs/namei.c, vfs_tmpfile). */
export function tmpfile(m: Message, o: op.Create): number {
  createFields(m, o);
  const failure = m.text(Longest.NAME);
  return failure !== 0 ? failure : group(m, o);
}

function renameNames(m: Message, o: op.Rename): number {
  let failure = m.name();
  if (failure !== 0) return failure;
  o.name = m.textOffset;
  o.nameLength = m.textLength;
  failure = m.name();
  o.newName = m.textOffset;
  o.newNameLength = m.textLength;
  return failure;
}

export function rename(m: Message, o: op.Rename): number {
  caller(m, o);
  o.newParent = m.nodeid(RenameIn.newdir);
  o.flags = 0;
  return renameNames(m, o);
}

export function rename2(m: Message, o: op.Rename): number {
  caller(m, o);
  o.newParent = m.nodeid(Rename2In.newdir);
  o.flags = m.u32(Rename2In.flags);
  return renameNames(m, o);
}

export function link(m: Message, o: op.Link): number {
  caller(m, o);
  o.target = m.nodeid(LinkIn.oldnodeid);
  const failure = m.name();
  o.name = m.textOffset;
  o.nameLength = m.textLength;
  return failure;
}

/** The row takes the 8 bytes that every kernel sends; SETXATTR_EXT adds 8. */
export function setxattr(m: Message, o: op.Setxattr): number {
  caller(m, o);
  o.valueLength = m.u32(SetxattrIn.size);
  o.flags = m.u32(SetxattrIn.flags);
  o.aclKillSgid = false;
  if (m.extendedSetxattr) {
    if (!m.take(8)) return -Errno.EPROTO;
    o.aclKillSgid = (m.u32(SetxattrIn.setxattr_flags - 8) & SetxattrFlag.ACL_KILL_SGID) !== 0;
  }
  const failure = m.xattrName();
  if (failure !== 0) return failure;
  o.name = m.textOffset;
  o.nameLength = m.textLength;
  o.value = m.position;
  if (o.valueLength > Longest.XATTR_VALUE) return -Errno.E2BIG;
  return o.valueLength > m.rest ? -Errno.EPROTO : 0;
}

/** Asked for the length (size 0), the answer is a struct fuse_getxattr_out; else the bytes. */
export function getxattr(m: Message, o: op.Getxattr): number {
  caller(m, o);
  o.size = m.limit = size(m, GetxattrIn.size, Longest.XATTR_VALUE);
  if (o.size === 0) m.answer = 8;
  const failure = m.xattrName();
  o.name = m.textOffset;
  o.nameLength = m.textLength;
  return failure;
}

export function listxattr(m: Message, o: op.Listxattr): number {
  caller(m, o);
  o.size = m.limit = size(m, GetxattrIn.size, Longest.XATTR_VALUE);
  if (o.size === 0) m.answer = 8;
  return 0;
}

export function removexattr(m: Message, o: op.Removexattr): number {
  caller(m, o);
  const failure = m.xattrName();
  o.name = m.textOffset;
  o.nameLength = m.textLength;
  return failure;
}

export function access(m: Message, o: op.Access): number {
  caller(m, o);
  o.mask = m.u32(AccessIn.mask);
  return 0;
}

/** 7.5 and older send 8 bytes, up to 7.35 it is 16, since then 64. What is absent is 0. */
export function init(m: Message, o: InitRequest): number {
  o.major = m.u32(InitIn.major);
  o.minor = m.u32(InitIn.minor);
  o.maxReadahead = 0;
  o.flags = 0;
  o.flags2 = 0;
  if (!m.take(8)) return 0;
  o.maxReadahead = m.u32(InitIn.max_readahead - 8);
  o.flags = m.u32(InitIn.flags - 8);
  if (m.take(4)) o.flags2 = m.u32(InitIn.flags2 - 16);
  return 0;
}

/**
 * One row per request: its name and opcode, the fixed structure it begins with, how it is read, who handles it, and what its answer's payload
 * must be. The kernel drops a reply of any other size and fails the caller with EIO, so the encoder checks it first.
 */
import { Opcode } from './abi';
import {
  AccessIn,
  AttrOut,
  BatchForgetIn,
  CopyFileRangeIn,
  CreateIn,
  EntryOut,
  FallocateIn,
  FlushIn,
  ForgetIn,
  FsyncIn,
  GetattrIn,
  GetxattrIn,
  InitOut,
  InterruptIn,
  IoctlIn,
  LinkIn,
  LseekIn,
  LseekOut,
  MkdirIn,
  MknodIn,
  OpenIn,
  OpenOut,
  ReadIn,
  ReleaseIn,
  Rename2In,
  RenameIn,
  SetattrIn,
  StatfsOut,
  StatxIn,
  StatxOut,
  WriteIn,
  WriteOut,
} from './layout';
import type { InitRequest } from './negotiation';
import * as op from './operations';
import { Answer, type Message } from './reader';
import * as handle from './handle-requests';
import * as read from './requests';

export interface Row<Operation = unknown> {
  readonly name: string;
  readonly opcode: number;
  /** for statistics */
  readonly kind: op.Kind;
  /** bytes of the fixed structure before names and data: what io_uring delivers apart from them, as op_in */
  readonly size: number;
  /** payload bytes of the answer, or an Answer */
  readonly answer: number;
  readonly operation: Operation;
  /** 0, or the negative errno that answers a request which cannot be read */
  readonly decode: (message: Message, operation: Operation) => number;
  /** as the methods of Operations */
  readonly handle: (operations: op.Operations, operation: Operation, reply: op.Reply) => number;
}

const EMPTY = 0;
const done = (): number => 0;

function row<Operation>(
  name: string,
  opcode: number,
  size: number,
  answer: number,
  operation: Operation,
  decode: Row<Operation>['decode'],
  handle: Row<Operation>['handle'],
): KindlessRow<Operation> {
  return { name, opcode, size, answer, operation, decode, handle };
}

type KindlessRow<Operation = unknown> = Omit<Row<Operation>, 'kind'>;

function ofKind<R>(kind: op.Kind, rows: R[]): (R & { kind: op.Kind })[] {
  return rows.map((one) => ({ ...one, kind }));
}

const unsupported = (name: string, opcode: number): KindlessRow<null> => row(name, opcode, 0, EMPTY, null, read.unsupported, done);

/** The rows by opcode, each with the one operation object that it fills; a request whose opcode has none gets the row 0, which answers ENOSYS. */
export function makeRows(message: Message, init: InitRequest): Row[] {
  const list = [
    ...ofKind(op.Kind.LOOKUP, [row('LOOKUP', Opcode.LOOKUP, 0, EntryOut.SIZE, new op.Lookup(), read.lookup, (o, x, r) => o.lookup(x, r))]),
    ...ofKind(op.Kind.ATTRIBUTES, [
      row('GETATTR', Opcode.GETATTR, GetattrIn.SIZE, AttrOut.SIZE, new op.Getattr(), read.getattr, (o, x, r) => o.getattr(x, r)),
      row('READLINK', Opcode.READLINK, 0, Answer.BYTES, new op.Readlink(), read.readlink, (o, x, r) => o.readlink(x, r)),
      row('STATFS', Opcode.STATFS, 0, StatfsOut.SIZE, new op.Statfs(), read.bare, (o, x, r) => o.statfs(x, r)),
      row('GETXATTR', Opcode.GETXATTR, GetxattrIn.SIZE, Answer.BYTES, new op.Getxattr(), read.getxattr, (o, x, r) => o.getxattr(x, r)),
      row('LISTXATTR', Opcode.LISTXATTR, GetxattrIn.SIZE, Answer.BYTES, new op.Listxattr(), read.listxattr, (o, x, r) => o.listxattr(x, r)),
      row('ACCESS', Opcode.ACCESS, AccessIn.SIZE, EMPTY, new op.Access(), read.access, (o, x) => o.access(x)),
      row('STATX', Opcode.STATX, StatxIn.SIZE, StatxOut.SIZE, new op.Statx(), read.statx, (o, x, r) => o.statx(x, r)),
    ]),
    ...ofKind(op.Kind.LIST, [
      row('OPENDIR', Opcode.OPENDIR, OpenIn.SIZE, OpenOut.SIZE, new op.Opendir(), handle.opendir, (o, x, r) => o.opendir(x, r)),
      row('READDIR', Opcode.READDIR, ReadIn.SIZE, Answer.BYTES, new op.Readdir(), handle.readdir, (o, x, r) => o.readdir(x, r)),
      row('RELEASEDIR', Opcode.RELEASEDIR, ReleaseIn.SIZE, EMPTY, new op.Release(), handle.release, (o, x) => o.releasedir(x)),
      row('READDIRPLUS', Opcode.READDIRPLUS, ReadIn.SIZE, Answer.BYTES, new op.Readdir(), handle.readdirplus, (o, x, r) => o.readdir(x, r)),
    ]),
    ...ofKind(op.Kind.OPEN, [
      row('OPEN', Opcode.OPEN, OpenIn.SIZE, OpenOut.SIZE, new op.Open(), handle.open, (o, x, r) => o.open(x, r)),
      row('RELEASE', Opcode.RELEASE, ReleaseIn.SIZE, EMPTY, new op.Release(), handle.release, (o, x) => o.release(x)),
      row('FLUSH', Opcode.FLUSH, FlushIn.SIZE, EMPTY, new op.Flush(), handle.flush, (o, x) => o.flush(x)),
    ]),
    ...ofKind(op.Kind.READ, [
      row('READ', Opcode.READ, ReadIn.SIZE, Answer.BYTES, new op.Read(), handle.read, (o, x, r) => o.read(x, r)),
      row('LSEEK', Opcode.LSEEK, LseekIn.SIZE, LseekOut.SIZE, new op.Lseek(), handle.lseek, (o, x, r) => o.lseek(x, r)),
    ]),
    ...ofKind(op.Kind.WRITE, [
      row('WRITE', Opcode.WRITE, WriteIn.SIZE, WriteOut.SIZE, new op.Write(), handle.write, (o, x, r) => o.write(x, r)),
      row('FSYNC', Opcode.FSYNC, FsyncIn.SIZE, EMPTY, new op.Fsync(), handle.fsync, (o, x) => o.fsync(x)),
      row('FSYNCDIR', Opcode.FSYNCDIR, FsyncIn.SIZE, EMPTY, new op.Fsync(), handle.fsync, (o, x) => o.fsyncdir(x)),
      row('FALLOCATE', Opcode.FALLOCATE, FallocateIn.SIZE, EMPTY, new op.Fallocate(), handle.fallocate, (o, x) => o.fallocate(x)),
      row('COPY_FILE_RANGE', Opcode.COPY_FILE_RANGE, CopyFileRangeIn.SIZE, 8, new op.CopyFileRange(), handle.copyFileRange, (o, x, r) =>
        o.copyFileRange(x, r),
      ),
      unsupported('SYNCFS', Opcode.SYNCFS),
      row(
        'COPY_FILE_RANGE_64',
        Opcode.COPY_FILE_RANGE_64,
        CopyFileRangeIn.SIZE,
        8,
        new op.CopyFileRange(),
        handle.copyFileRange64,
        (o, x, r) => o.copyFileRange(x, r),
      ),
    ]),
    ...ofKind(op.Kind.CHANGE, [
      row('SETATTR', Opcode.SETATTR, SetattrIn.SIZE, AttrOut.SIZE, new op.Setattr(), read.setattr, (o, x, r) => o.setattr(x, r)),
      row('SYMLINK', Opcode.SYMLINK, 0, EntryOut.SIZE, new op.Symlink(), read.symlink, (o, x, r) => o.symlink(x, r)),
      row('MKNOD', Opcode.MKNOD, MknodIn.SIZE, EntryOut.SIZE, new op.Mknod(), read.mknod, (o, x, r) => o.mknod(x, r)),
      row('MKDIR', Opcode.MKDIR, MkdirIn.SIZE, EntryOut.SIZE, new op.Mkdir(), read.mkdir, (o, x, r) => o.mkdir(x, r)),
      row('UNLINK', Opcode.UNLINK, 0, EMPTY, new op.Unlink(), read.unlink, (o, x) => o.unlink(x)),
      row('RMDIR', Opcode.RMDIR, 0, EMPTY, new op.Rmdir(), read.unlink, (o, x) => o.rmdir(x)),
      row('RENAME', Opcode.RENAME, RenameIn.SIZE, EMPTY, new op.Rename(), read.rename, (o, x) => o.rename(x)),
      row('LINK', Opcode.LINK, LinkIn.SIZE, EntryOut.SIZE, new op.Link(), read.link, (o, x, r) => o.link(x, r)),
      row('SETXATTR', Opcode.SETXATTR, 8, EMPTY, new op.Setxattr(), read.setxattr, (o, x) => o.setxattr(x)),
      row('REMOVEXATTR', Opcode.REMOVEXATTR, 0, EMPTY, new op.Removexattr(), read.removexattr, (o, x) => o.removexattr(x)),
      row('CREATE', Opcode.CREATE, CreateIn.SIZE, EntryOut.SIZE + OpenOut.SIZE, new op.Create(), read.create, (o, x, r) => o.create(x, r)),
      row('RENAME2', Opcode.RENAME2, Rename2In.SIZE, EMPTY, new op.Rename(), read.rename2, (o, x) => o.rename(x)),
      row('TMPFILE', Opcode.TMPFILE, CreateIn.SIZE, EntryOut.SIZE + OpenOut.SIZE, new op.Create(), read.tmpfile, (o, x, r) =>
        o.tmpfile(x, r),
      ),
    ]),
    ...ofKind(op.Kind.OTHER, [
      row('FORGET', Opcode.FORGET, ForgetIn.SIZE, Answer.NONE, new op.Forget(), read.forget, (o, x) => {
        o.forget(x);
        return 0;
      }),
      // The engine answers it (negotiation.ts) before anything else comes. Another one is none of our protocol.
      row('INIT', Opcode.INIT, 8, InitOut.SIZE, init, read.init, read.unsupported),
      // Locks stay in the kernel: POSIX_LOCKS and FLOCK_LOCKS are not negotiated.
      unsupported('GETLK', Opcode.GETLK),
      unsupported('SETLK', Opcode.SETLK),
      unsupported('SETLKW', Opcode.SETLKW),
      // May be ignored: what is slow here is not worth giving up half-way. An answer to it would only have it sent again.
      row('INTERRUPT', Opcode.INTERRUPT, InterruptIn.SIZE, Answer.NONE, null, read.nothing, done),
      unsupported('BMAP', Opcode.BMAP),
      row('DESTROY', Opcode.DESTROY, 0, EMPTY, null, read.nothing, done),
      row('IOCTL', Opcode.IOCTL, IoctlIn.SIZE, Answer.IOCTL, new op.Ioctl(), handle.ioctl, (o, x, r) => o.ioctl(x, r)),
      unsupported('POLL', Opcode.POLL),
      // Only after a NOTIFY_RETRIEVE, which we do not send.
      row('NOTIFY_REPLY', Opcode.NOTIFY_REPLY, 0, Answer.NONE, null, read.nothing, done),
      row('BATCH_FORGET', Opcode.BATCH_FORGET, BatchForgetIn.SIZE, Answer.NONE, new read.BatchForget(message), read.batchForget, (o, x) => {
        x.forEach(o);
        return 0;
      }),
      unsupported('SETUPMAPPING', Opcode.SETUPMAPPING),
      unsupported('REMOVEMAPPING', Opcode.REMOVEMAPPING),
    ]),
  ];
  const byOpcode = new Array<Row>(Opcode.END).fill({ ...unsupported('unknown', 0), kind: op.Kind.OTHER } as Row);
  for (const one of list) byOpcode[one.opcode] = one as Row;
  return byOpcode;
}

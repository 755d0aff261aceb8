/** How the requests about something open are read; see requests.ts. */
import { Errno } from '../errno';
import { FsyncFlag, OpenFlag, WriteFlag } from './abi';
import { CopyFileRangeIn, FallocateIn, FlushIn, FsyncIn, IoctlIn, LseekIn, OpenIn, ReadIn, ReleaseIn, WriteIn } from './layout';
import type * as op from './operations';
import type { Message } from './reader';
import { MAX_INT, caller, size } from './request-fields';

export function open(m: Message, o: op.Open): number {
  caller(m, o);
  o.flags = m.u32(OpenIn.flags);
  o.killSuidgid = (m.u32(OpenIn.open_flags) & OpenFlag.KILL_SUIDGID) !== 0;
  return 0;
}

export function opendir(m: Message, o: op.Opendir): number {
  caller(m, o);
  o.flags = m.u32(OpenIn.flags);
  return 0;
}

export function read(m: Message, o: op.Read): number {
  caller(m, o);
  o.fh = m.handle(ReadIn.fh);
  o.offsetLow = m.s32(ReadIn.offset);
  o.offsetHigh = m.s32(ReadIn.offset + 4);
  o.size = m.limit = size(m, ReadIn.size, MAX_INT);
  return 0;
}

export function readdir(m: Message, o: op.Readdir): number {
  caller(m, o);
  o.fh = m.handle(ReadIn.fh);
  o.offsetLow = m.s32(ReadIn.offset);
  o.offsetHigh = m.s32(ReadIn.offset + 4);
  o.size = m.limit = size(m, ReadIn.size, MAX_INT);
  o.plus = false;
  return 0;
}

export function readdirplus(m: Message, o: op.Readdir): number {
  readdir(m, o);
  o.plus = true;
  return 0;
}

export function write(m: Message, o: op.Write): number {
  caller(m, o);
  o.fh = m.handle(WriteIn.fh);
  o.offsetLow = m.s32(WriteIn.offset);
  o.offsetHigh = m.s32(WriteIn.offset + 4);
  o.size = m.u32(WriteIn.size);
  o.data = m.position;
  o.flags = m.u32(WriteIn.flags);
  o.killSuidgid = (m.u32(WriteIn.write_flags) & WriteFlag.KILL_SUIDGID) !== 0;
  return o.size > m.rest ? -Errno.EPROTO : 0;
}

export function flush(m: Message, o: op.Flush): number {
  caller(m, o);
  o.fh = m.handle(FlushIn.fh);
  return 0;
}

/** RELEASE, RELEASEDIR */
export function release(m: Message, o: op.Release): number {
  caller(m, o);
  o.fh = m.handle(ReleaseIn.fh);
  o.flags = m.u32(ReleaseIn.flags);
  return 0;
}

/** FSYNC, FSYNCDIR */
export function fsync(m: Message, o: op.Fsync): number {
  caller(m, o);
  o.fh = m.handle(FsyncIn.fh);
  o.datasync = (m.u32(FsyncIn.fsync_flags) & FsyncFlag.FDATASYNC) !== 0;
  return 0;
}

export function fallocate(m: Message, o: op.Fallocate): number {
  caller(m, o);
  o.fh = m.handle(FallocateIn.fh);
  o.offsetLow = m.s32(FallocateIn.offset);
  o.offsetHigh = m.s32(FallocateIn.offset + 4);
  o.lengthLow = m.s32(FallocateIn.length);
  o.lengthHigh = m.s32(FallocateIn.length + 4);
  o.mode = m.u32(FallocateIn.mode);
  return 0;
}

export function lseek(m: Message, o: op.Lseek): number {
  caller(m, o);
  o.fh = m.handle(LseekIn.fh);
  o.offsetLow = m.s32(LseekIn.offset);
  o.offsetHigh = m.s32(LseekIn.offset + 4);
  o.whence = m.u32(LseekIn.whence);
  return 0;
}

export function copyFileRange(m: Message, o: op.CopyFileRange): number {
  caller(m, o);
  o.fh = m.handle(CopyFileRangeIn.fh_in);
  o.offsetLow = m.s32(CopyFileRangeIn.off_in);
  o.offsetHigh = m.s32(CopyFileRangeIn.off_in + 4);
  o.targetNode = m.nodeid(CopyFileRangeIn.nodeid_out);
  o.targetFh = m.handle(CopyFileRangeIn.fh_out);
  o.targetOffsetLow = m.s32(CopyFileRangeIn.off_out);
  o.targetOffsetHigh = m.s32(CopyFileRangeIn.off_out + 4);
  o.lengthLow = m.s32(CopyFileRangeIn.len);
  o.lengthHigh = m.s32(CopyFileRangeIn.len + 4);
  o.flags = m.u32(CopyFileRangeIn.flags);
  o.wide = false;
  return 0;
}

export function copyFileRange64(m: Message, o: op.CopyFileRange): number {
  copyFileRange(m, o);
  o.wide = true;
  return 0;
}

export function ioctl(m: Message, o: op.Ioctl): number {
  caller(m, o);
  o.fh = m.handle(IoctlIn.fh);
  o.flags = m.u32(IoctlIn.flags);
  o.command = m.u32(IoctlIn.cmd);
  o.inSize = m.u32(IoctlIn.in_size);
  o.outSize = m.limit = size(m, IoctlIn.out_size, MAX_INT);
  o.data = m.position;
  return o.inSize > m.rest ? -Errno.EPROTO : 0;
}

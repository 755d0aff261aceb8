/**
 * OPEN, READ, WRITE, RELEASE and what else is done with an open file. Most I/O never comes here: an open answered with a backing id
 * (passthrough) goes from the kernel to the layer's file. What comes here is served from one descriptor per node.
 *
 * A handle needs no table: what is open stands in the node's record, and fh says of which kind this open is.
 */
import { Errno } from '../errno';
import { disk, Mode, O } from '../layers/disk';
import { JobKind } from '../layers/records';
import type { CopyFileRange, Fallocate, Fsync, Lseek, Open, Read, Release, Reply, Write } from '../protocol/operations';
import { stripSetid } from './attr';
import { ALL, copyUpData, CUT, dataSource, findLowerData, openLowerData } from './copy-up';
import { ownJob } from './job';
import { Count } from './counters';
import type { Mount } from './mount';
import { HEADROOM } from './worker';
import { closeData } from './node';
import { DataSource, Inode, InodeFlags, Known, MountFlags } from './table/layout';

/** Bits of fh. */
export const enum Handle {
  PASSTHROUGH = 1,
  WRITABLE = 2,
}

/** FOPEN_* of <linux/fuse.h> */
const enum Fopen {
  KEEP_CACHE = 1 << 1,
  NOFLUSH = 1 << 5,
  PASSTHROUGH = 1 << 7,
}

export function open(m: Mount, op: Open, reply: Reply): number {
  const node = m.node(op.node);
  if (node === 0) return -Errno.ESTALE;
  if (!m.isRegular(node)) return m.isDirectory(node) ? -Errno.EISDIR : -Errno.ENXIO;
  const truncates = (op.flags & O.TRUNC) !== 0;
  const writes = (op.flags & O.ACCMODE) !== O.RDONLY;
  if (writes || truncates) {
    if (!m.writable) return -Errno.EROFS;
    const result = truncates ? copyUpData(m, node, 0, (fd, name) => empty(m, op, fd, name)) : copyUpData(m, node, ALL);
    if (result !== 0 && result !== CUT) return result;
    if (truncates && result !== CUT) {
      const place = m.place(node);
      const emptied = place < 0 ? place : empty(m, op, m.placeFd, m.stablePlaceName());
      if (emptied < 0) return emptied;
    }
  }
  const opened = grant(m, node, writes, (op.flags & O.ACCMODE) === O.RDWR, truncates);
  if (opened < 0) return opened;
  m.context.opened = op.node;
  m.context.openedHandle = opened;
  reply.open(opened, openFlags(m, opened), (opened & Handle.PASSTHROUGH) !== 0 ? m.i32[node + Inode.BACKING] : 0);
  return 0;
}

/** O_TRUNC of the file at (fd, name), and what that does to its mode: both or neither. */
function empty(m: Mount, op: Open, fd: number, name: number): number {
  const stripped = op.killSuidgid ? stripSetid(m, fd, name, op) : 0;
  if (stripped < 0) return stripped;
  const result = disk.truncateat(fd, name, 0, 0);
  if (result < 0 && stripped > 0) m.upper.fchmodat(fd, name, stripped);
  return result;
}

export function openFlags(m: Mount, fh: number): number {
  const base = m.has(MountFlags.NOFLUSH) ? Fopen.NOFLUSH : 0;
  return (fh & Handle.PASSTHROUGH) !== 0 ? base | Fopen.PASSTHROUGH : base | Fopen.KEEP_CACHE;
}

/** Counts an open of a regular file and says by its fh how it is served. Negative errno. */
export function grant(m: Mount, node: number, writable: boolean, readWrite: boolean, truncated = false): number {
  const { i32 } = m;
  m.lock(node);
  try {
    const flags = m.nodeFlags(node);
    if ((flags & (InodeFlags.GONE | InodeFlags.UPPER | InodeFlags.ORPHAN)) === (InodeFlags.GONE | InodeFlags.UPPER)) return -Errno.ESTALE;
    // its names lead to another node now: who comes by one of them looks again
    if ((flags & InodeFlags.SWAPPED) !== 0) return -Errno.ESTALE;
    const write = writable ? Handle.WRITABLE : 0;
    const passthrough = takesPassthrough(m, node);
    // what is truncated already is served, without a backing, rather than refused
    if (passthrough < 0 && !(truncated && passthrough !== -Errno.ESTALE)) return passthrough;
    if (passthrough <= 0) {
      if (!writable && i32[node + Inode.ELF] === Known.UNKNOWN && dataSource(m, node) === DataSource.LOWER) lookInside(m, node);
      i32[node + Inode.OPEN_CACHED]++;
      countOpen(m, Count.OPENS_SERVED);
      return write;
    }
    i32[node + Inode.OPEN_PASSTHROUGH]++;
    countOpen(m, Count.OPENS_PASSTHROUGH);
    if (readWrite && (flags & InodeFlags.UNSEEN_STORES) === 0) {
      m.setFlags(node, InodeFlags.UNSEEN_STORES);
      m.context.forgetAttributes(m.device, m.nodeid(node));
    }
    return write | Handle.PASSTHROUGH;
  } finally {
    m.unlock(node);
  }
}

function countOpen({ context: { counters } }: Mount, which: Count): void {
  counters.words[counters.at + which]++;
}

/** Counts a served open of a node that nobody else has open yet; its fh. */
export function grantServed(m: Mount, node: number, writable: boolean): number {
  m.lock(node);
  m.i32[node + Inode.OPEN_CACHED]++;
  countOpen(m, Count.OPENS_SERVED);
  m.unlock(node);
  return writable ? Handle.WRITABLE : 0;
}

/** 1: the open is passthrough and the node's backing is registered; 0: it is served; design.md section 4 says when. The node is locked. */
function takesPassthrough(m: Mount, node: number): number {
  const { i32 } = m;
  if (!m.has(MountFlags.PASSTHROUGH) || i32[node + Inode.OPEN_CACHED] > 0) return 0;
  const source = dataSource(m, node);
  // the kernel cannot take away bits that are kept in an xattr
  if (m.overridesUpper && (i32[node + Inode.MODE] & (Mode.SETUID | Mode.SETGID)) !== 0) return 0;
  if (source === DataSource.LOWER && mustNotSwap(m, node)) return 0;
  if (i32[node + Inode.BACKING] !== 0) {
    if (i32[node + Inode.BACKING_SOURCE] === source) return 1;
    if (i32[node + Inode.OPEN_PASSTHROUGH] > 0) return -Errno.ESTALE;
    disk.backingClose(m.device, i32[node + Inode.BACKING]);
    i32[node + Inode.BACKING] = 0;
  }
  if ((m.nodeFlags(node) & InodeFlags.NO_BACKING) !== 0) return 0;
  if (source === DataSource.LOWER && m.writable && !m.has(MountFlags.PASSTHROUGH_ALWAYS) && !isElf(m, node)) return 0;
  const place = source === DataSource.LOWER ? findLowerData(m, node) : m.place(node);
  if (place < 0) return place;
  const backing = m.placeFiles.backingOpenAt(m.device, m.placeFd, m.placeName);
  if (backing === -Errno.EMFILE || backing === -Errno.ENFILE || backing === -Errno.ENOMEM) return backing;
  if (backing <= 0) {
    m.setFlags(node, InodeFlags.NO_BACKING);
    return 0;
  }
  i32[node + Inode.BACKING_SOURCE] = source;
  i32[node + Inode.BACKING] = backing;
  return 1;
}

/**
 * A lower with several names is served where it may be written, ELF or not: the ESTALE swap would lead only the name that is written through
 * to the new node, and the kernel goes on with the old one under the others that it has cached.
 */
function mustNotSwap(m: Mount, node: number): boolean {
  const { i32 } = m;
  if (!m.writable || i32[node + Inode.OPEN_PASSTHROUGH] > 0 || m.has(MountFlags.PASSTHROUGH_ALWAYS)) return false;
  return i32[node + Inode.NLINK] > 1 || (m.nodeFlags(node) & InodeFlags.LINKED) !== 0;
}

/** Programs and libraries are never rewritten in place in practice. Asked once per node. */
function isElf(m: Mount, node: number): boolean {
  if (m.i32[node + Inode.ELF] === Known.UNKNOWN) lookInside(m, node);
  return m.i32[node + Inode.ELF] === Known.YES;
}

/**
 * Lower files of at most so many bytes are handed over whole at their first open, unless they are passed through: that is a copy, while a READ is a
 * round trip.
 */
const HANDED_OVER = 32 * 1024;

/**
 * What kind of file is it? The descriptor is kept to read from, unless the kernel gets all of it right away.
 *
 * STORE waits for pages that a READ has locked, and a READ may want the node's lock. So: at the node's first open only, which nobody can read through
 * yet. And whoever makes the upper the source of the data takes the lock too: what is stored here is there before anything newer.
 */
function lookInside(m: Mount, node: number): void {
  const { i32, u8, u32, scratch, context } = m;
  const fd = openLowerData(m, node);
  if (fd < 0) return;
  const size = i32[node + Inode.SIZE_HIGH] === 0 ? u32[node + Inode.SIZE_LOW] : HANDED_OVER + 1;
  const whole = size <= HANDED_OVER && i32[node + Inode.OPEN_CACHED] === 0 && i32[node + Inode.OPEN_PASSTHROUGH] === 0;
  const at = scratch.dirents + HEADROOM;
  const read = disk.pread(fd, at, whole ? size : 4, 0, 0);
  const elf = read >= 4 && u8[at] === 0x7f && u8[at + 1] === 0x45 && u8[at + 2] === 0x4c && u8[at + 3] === 0x46;
  if (read >= 0) i32[node + Inode.ELF] = elf ? Known.YES : Known.NO;
  const passes = elf && m.has(MountFlags.PASSTHROUGH) && !mustNotSwap(m, node);
  const handed = whole && read === size && size > 0 && !passes && context.store(m.device, m.nodeid(node), at, size);
  if (!handed && !passes && i32[node + Inode.FD] === 0) keepFd(m, node, fd, DataSource.LOWER);
  else disk.close(fd);
}

function keepFd(m: Mount, node: number, fd: number, source: DataSource): void {
  m.i32[node + Inode.FD_SOURCE] = source;
  Atomics.store(m.i32, node + Inode.FD, fd + 1);
}

/** The descriptor that an open node's bytes are served from; it stays open as long as the node is. Negative errno. */
function dataFd(m: Mount, node: number): number {
  const { i32 } = m;
  const known = Atomics.load(i32, node + Inode.FD);
  if (known !== 0) return known - 1;
  m.lock(node);
  try {
    if (i32[node + Inode.FD] !== 0) return i32[node + Inode.FD] - 1;
    const source = dataSource(m, node);
    let fd: number;
    if (source === DataSource.LOWER) fd = openLowerData(m, node);
    else {
      fd = m.place(node);
      if (fd >= 0) fd = m.openUpper(m.placeFd, m.placeName, O.RDWR, 0);
      // a running program cannot be opened for writing, nor is it written then
      if (fd === -Errno.ETXTBSY) fd = m.openUpper(m.placeFd, m.placeName, O.RDONLY, 0);
    }
    if (fd >= 0) keepFd(m, node, fd, source);
    return fd;
  } finally {
    m.unlock(node);
  }
}

export function read(m: Mount, op: Read, reply: Reply): number {
  const node = m.node(op.node);
  if (node === 0) return -Errno.ESTALE;
  const fd = dataFd(m, node);
  if (fd < 0) return fd;
  const count = disk.pread(fd, reply.data, Math.min(op.size, reply.capacity), op.offsetLow | 0, op.offsetHigh | 0);
  if (count < 0) return count;
  reply.bytes(count);
  return 0;
}

export function write(m: Mount, op: Write, reply: Reply): number {
  const node = m.node(op.node);
  if (node === 0) return -Errno.ESTALE;
  if ((op.fh & Handle.WRITABLE) === 0 || dataSource(m, node) !== DataSource.UPPER) return -Errno.EBADF;
  const fd = dataFd(m, node);
  if (fd < 0) return fd;
  const count = disk.pwrite(fd, op.data, op.size, op.offsetLow | 0, op.offsetHigh | 0);
  if (count < 0) return count;
  if (op.killSuidgid) {
    const stripped = stripSetid(m, fd, m.names.empty, op);
    if (stripped < 0) return stripped;
  }
  reply.written(count);
  return 0;
}

export function release(m: Mount, op: Release): number {
  const node = m.node(op.node);
  if (node !== 0) dropOpen(m, node, op.fh);
  return 0;
}

/** Uncounts an open. */
export function dropOpen(m: Mount, node: number, fh: number): void {
  const { i32 } = m;
  m.lock(node);
  try {
    const word = node + ((fh & Handle.PASSTHROUGH) !== 0 ? Inode.OPEN_PASSTHROUGH : Inode.OPEN_CACHED);
    if (i32[word] > 0) i32[word]--;
    if (i32[node + Inode.OPEN_PASSTHROUGH] === 0 && i32[node + Inode.OPEN_CACHED] === 0) closeData(m, node);
  } finally {
    m.unlock(node);
  }
}

export function fsync(m: Mount, op: Fsync): number {
  const node = m.node(op.node);
  if (node === 0) return -Errno.ESTALE;
  // a lower is not changed, and a volatile mount promises nothing
  if (m.has(MountFlags.VOLATILE) || !m.hasUpper(node) || isRemovedDirectory(m, node)) return 0;
  return ownJob(m, () => {
    const place = m.place(node);
    if (place < 0) return place;
    const fd = m.isDirectory(node)
      ? disk.openat(m.placeFd, m.names.dot, O.RDONLY, 0)
      : disk.openat(m.placeFd, m.placeName, O.RDONLY | O.NONBLOCK, 0);
    return fd < 0 ? fd : { ...noRange, kind: JobKind.FSYNC, flags: op.datasync ? 1 : 0, a: fd, b: -1 };
  });
}

function isRemovedDirectory(m: Mount, node: number): boolean {
  return m.isDirectory(node) && (m.nodeFlags(node) & InodeFlags.GONE) !== 0;
}

const noRange = { offsetLow: 0, offsetHigh: 0, lengthLow: 0, lengthHigh: 0, offset2Low: 0, offset2High: 0 };

/** A descriptor of its own for an open node's data. */
function openData(m: Mount, node: number, write: boolean): number {
  if (dataSource(m, node) === DataSource.LOWER) {
    if (write) return -Errno.EBADF;
    m.lock(node);
    try {
      return openLowerData(m, node);
    } finally {
      m.unlock(node);
    }
  }
  const place = m.place(node);
  return place < 0 ? place : m.openUpper(m.placeFd, m.placeName, write ? O.RDWR : O.RDONLY, 0);
}

export function fallocate(m: Mount, op: Fallocate): number {
  const node = m.node(op.node);
  if (node === 0) return -Errno.ESTALE;
  return ownJob(m, () => {
    const fd = openData(m, node, true);
    if (fd < 0) return fd;
    const { offsetLow, offsetHigh, lengthLow, lengthHigh } = op;
    return { ...noRange, kind: JobKind.FALLOCATE, flags: op.mode, a: fd, b: -1, offsetLow, offsetHigh, lengthLow, lengthHigh };
  });
}

export function lseek(m: Mount, op: Lseek, reply: Reply): number {
  const node = m.node(op.node);
  if (node === 0) return -Errno.ESTALE;
  const fd = dataFd(m, node);
  if (fd < 0) return fd;
  const { words } = m.scratch;
  const result = disk.lseek(fd, op.offsetLow | 0, op.offsetHigh | 0, op.whence, words);
  if (result >= 0) reply.seek(m.u32[words >> 2], m.u32[(words >> 2) + 1]);
  return result;
}

export function copyFileRange(m: Mount, op: CopyFileRange, reply: Reply): number {
  const source = m.node(op.node);
  const target = m.node(op.targetNode);
  if (source === 0 || target === 0) return -Errno.ESTALE;
  const result = ownJob(m, () => {
    const a = openData(m, source, false);
    if (a < 0) return a;
    const b = openData(m, target, true);
    if (b < 0) {
      disk.close(a);
      return b;
    }
    const { offsetLow, offsetHigh, lengthLow, lengthHigh } = op;
    return {
      kind: JobKind.COPY_RANGE,
      flags: op.flags,
      a,
      b,
      offsetLow,
      offsetHigh,
      lengthLow,
      lengthHigh,
      offset2Low: op.targetOffsetLow,
      offset2High: op.targetOffsetHigh,
    };
  });
  if (result === 0) {
    if (op.wide) reply.seek(m.jobCount, 0);
    else reply.written(m.jobCount);
  }
  return result;
}

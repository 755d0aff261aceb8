/** A mount's operations by path, on the overlay's operations by node: one thread, one operation at a time. A negative number is an errno. */
import { Errno } from '../../errno';
import type { Log } from '../../log';
import { TableFull } from '../../overlay/table/memory';
import type { WorkerContext } from '../../overlay/worker';
import * as op from '../../protocol/operations';
import { type Buffers, makeBuffers } from '../channel';
import type { ServedOperations } from '../overlay';
import { Answer } from './answer';
import type { FuseStat, FuseStatfs } from './module';
import { decodeName, isAmbiguous } from './names';
import { Nodes } from './nodes';
import { InodeNumbers, statAt, statfsAt } from './numbers';

/** Paths that are remembered: some 200 bytes each. */
const MOST_PATHS = 100_000;
const PATH_MAX = 4096;
const MOST_HANDLES = 0x7fffffff;
/** "Invalid or incomplete multibyte character" */
const EILSEQ = 84;

interface Handle {
  node: number;
  fh: number;
}

export class View {
  private readonly buffers: Buffers;
  private readonly answer: Answer;
  private readonly nodes: Nodes;
  private readonly inodes = new InodeNumbers();
  private readonly handles = new Map<number, Handle>();
  private readonly openNodes = new Map<number, number>();
  private lastHandle = 0;
  private readonly asked = {
    lookup: new op.Lookup(),
    forget: new op.Forget(),
    getattr: new op.Getattr(),
    readlink: new op.Readlink(),
    readdir: new op.Readdir(),
    open: new op.Open(),
    read: new op.Read(),
    release: new op.Release(),
    getxattr: new op.Getxattr(),
    listxattr: new op.Listxattr(),
    statfs: new op.Statfs(),
  };
  private readonly u8: Uint8Array;
  private readonly u32: Uint32Array;

  constructor(
    private readonly context: WorkerContext,
    private readonly operations: ServedOperations,
    private readonly log: Log,
    mostPaths = MOST_PATHS,
  ) {
    const { table } = context;
    this.u8 = table.u8;
    this.u32 = table.u32;
    this.buffers = makeBuffers(table.memory);
    this.answer = new Answer(this.buffers.reply);
    this.nodes = new Nodes(
      (directory, name) => this.lookup(directory, name),
      (node) => this.forget(node),
      mostPaths,
    );
  }

  getattr(path: string): FuseStat | number {
    const node = this.find(path);
    if (node < 0) return node;
    this.asked.getattr.node = node;
    const result = this.serve(() => this.operations.getattr(this.asked.getattr, this.answer.expect()));
    return result < 0 ? result : statAt(this.u32, this.answer.attributes, this.inodes);
  }

  /** EILSEQ: the target is no UTF-8, and another one must not be told. */
  readlink(path: string): string | number {
    const node = this.find(path);
    if (node < 0) return node;
    this.asked.readlink.node = node;
    const result = this.serve(() => this.operations.readlink(this.asked.readlink, this.answer.expect(PATH_MAX)));
    if (result < 0) return result;
    return decodeName(this.bytes(this.answer.data, this.answer.length)) ?? -EILSEQ;
  }

  /** Names that cannot be told apart from others are left out. */
  readdir(path: string): { names: string[]; stats: FuseStat[] } | number {
    const node = this.find(path);
    if (node < 0) return node;
    const names: string[] = [];
    const stats: FuseStat[] = [];
    this.answer.expect().onEntry = ({ inoLow, inoHigh, type, name: at, nameLength }) => {
      const name = decodeName(this.bytes(at, nameLength));
      if (name === undefined) return;
      names.push(name);
      stats.push({ mode: type << 12, ino: this.inodes.of(inoLow >>> 0, inoHigh >>> 0), atime: 0, mtime: 0, ctime: 0 });
    };
    this.asked.readdir.node = node;
    const result = this.serve(() => this.operations.readdir(this.asked.readdir, this.answer));
    return result < 0 ? result : { names, stats };
  }

  /** A handle, > 0. */
  open(path: string, flags: number): number {
    const node = this.find(path);
    if (node < 0) return node;
    const { open } = this.asked;
    open.node = node;
    open.flags = flags;
    const result = this.serve(() => this.operations.open(open, this.answer.expect()));
    if (result < 0) return result;
    do this.lastHandle = (this.lastHandle % MOST_HANDLES) + 1;
    while (this.handles.has(this.lastHandle));
    this.handles.set(this.lastHandle, { node, fh: this.answer.fh });
    this.openNodes.set(node, (this.openNodes.get(node) ?? 0) + 1);
    return this.lastHandle;
  }

  /** Into all of `into`, or less at the end of the file; how much. */
  read(handle: number, into: Uint8Array, position: number): number {
    const { node, fh } = this.handles.get(handle) ?? { node: 0, fh: 0 };
    const { read } = this.asked;
    let done = 0;
    while (done < into.length) {
      const at = position + done;
      Object.assign(read, { node, fh, offsetLow: at | 0, offsetHigh: Math.floor(at / 4294967296) });
      read.size = Math.min(into.length - done, this.buffers.replyCapacity);
      const result = this.serve(() => this.operations.read(read, this.answer.expect(read.size)));
      if (result < 0) return done > 0 ? done : result;
      const { data, length } = this.answer;
      if (length === 0) break;
      into.set(this.u8.subarray(data, data + length), done);
      done += length;
    }
    return done;
  }

  release(handle: number): number {
    const opened = this.handles.get(handle);
    if (opened === undefined) return -Errno.EBADF;
    this.handles.delete(handle);
    const { node, fh } = opened;
    const others = (this.openNodes.get(node) ?? 1) - 1;
    if (others === 0) this.openNodes.delete(node);
    else this.openNodes.set(node, others);
    Object.assign(this.asked.release, { node, fh });
    return this.serve(() => this.operations.release(this.asked.release));
  }

  statfs(): FuseStatfs | number {
    this.asked.statfs.node = 1;
    const result = this.serve(() => this.operations.statfs(this.asked.statfs, this.answer.expect()));
    return result < 0 ? result : statfsAt(this.u32, this.answer.statistics);
  }

  /** getxattr(2), `value` empty too. */
  getxattr(path: string, name: string, value: Uint8Array): number {
    if (isAmbiguous(name)) return -Errno.ENODATA;
    const node = this.find(path);
    if (node < 0) return node;
    const bytes = Buffer.from(name);
    if (bytes.length > 255) return -Errno.ERANGE;
    const { getxattr } = this.asked;
    Object.assign(getxattr, { node, size: value.length, ...this.putName(bytes) });
    return this.fill(value, () => this.operations.getxattr(getxattr, this.answer.expect(value.length)));
  }

  /** listxattr(2). Whose list it is cannot be known: names of trusted.* are shown to all. Their values are not: the kernel sees to that. */
  listxattr(path: string, list: Uint8Array): number {
    const node = this.find(path);
    if (node < 0) return node;
    const { listxattr } = this.asked;
    Object.assign(listxattr, { node, size: list.length });
    return this.fill(list, () => this.operations.listxattr(listxattr, this.answer.expect(list.length)));
  }

  /** The mount is over. */
  end(): void {
    this.operations.detach();
  }

  private fill(into: Uint8Array, serve: () => number): number {
    const result = this.serve(serve);
    if (result < 0) return result;
    const { data, length } = this.answer;
    if (into.length > 0) into.set(this.u8.subarray(data, data + length));
    return length;
  }

  // ---- nodes -------------------------------------------------------------------------------------------------------------------------

  private find(path: string): number {
    this.nodes.tidy((node) => this.openNodes.has(node));
    return this.nodes.find(path);
  }

  private lookup(directory: number, name: Buffer): number {
    const { lookup } = this.asked;
    Object.assign(lookup, { node: directory, ...this.putName(name) });
    const result = this.serve(() => this.operations.lookup(lookup, this.answer.expect()));
    return result < 0 ? result : this.answer.node || -Errno.ENOENT;
  }

  private forget(node: number): void {
    Object.assign(this.asked.forget, { node, count: 1 });
    this.serve(() => {
      this.operations.forget(this.asked.forget);
      return 0;
    });
  }

  private putName(name: Buffer): { name: number; nameLength: number } {
    const { request } = this.buffers;
    this.u8.set(name, request);
    this.u8[request + name.length] = 0;
    return { name: request, nameLength: name.length };
  }

  private bytes(at: number, length: number): Buffer {
    return Buffer.from(this.u8.subarray(at, at + length));
  }

  /** One operation. What nobody expected is EIO and a line in the log. */
  private serve(dispatch: () => number): number {
    const { context } = this;
    const { epochs } = context.table;
    context.job = 0;
    context.opened = 0;
    epochs.enter();
    try {
      const result = dispatch();
      if (result !== op.SET_ASIDE) return result;
      throw new Error('an operation on a read-only mount waits for a slow job');
    } catch (error) {
      if (error instanceof TableFull) return -Errno.ENOMEM;
      this.log.error({ err: error }, 'a request failed');
      return -Errno.EIO;
    } finally {
      epochs.leave();
    }
  }
}

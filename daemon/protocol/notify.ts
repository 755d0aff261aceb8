/**
 * Notifications: what we tell the kernel unasked. Each method writes a whole message at `at` (a multiple of 8) and returns its length, to be
 * sent as a reply is. unique is 0, the code stands where a reply has its error.
 *
 * INVAL_INODE, INVAL_ENTRY and DELETE wait for locks of pages and directories that a request being served may hold: they are sent with no
 * lock held, by a thread that serves nothing. -ENOENT to any of them means that the kernel knows no such node or name: that is well.
 */
import { NotifyCode } from './abi';
import { NotifyDeleteOut, NotifyInvalEntryOut, NotifyInvalInodeOut, NotifyRetrieveOut, NotifyStoreOut, OutHeader } from './layout';

/** Where the data of a STORE goes, counted from its message. */
export const STORE_DATA = OutHeader.SIZE + NotifyStoreOut.SIZE;

/** The longest message without data. */
export const MAX_NOTIFICATION = OutHeader.SIZE + NotifyDeleteOut.SIZE + 256;

export class Notifier {
  private readonly words: Uint32Array;
  private readonly bytes: Uint8Array;

  constructor(memory: ArrayBuffer) {
    this.words = new Uint32Array(memory);
    this.bytes = new Uint8Array(memory);
  }

  /** Drops the cached attributes of a node, and its pages from `offset` on: `length` of them, all when it is 0 or less; none when the offset is negative. */
  invalInode(at: number, node: number, offsetLow: number, offsetHigh: number, lengthLow: number, lengthHigh: number): number {
    const out = this.begin(at, NotifyCode.INVAL_INODE, NotifyInvalInodeOut.SIZE);
    this.pair(out + NotifyInvalInodeOut.ino, node, 0);
    this.pair(out + NotifyInvalInodeOut.off, offsetLow, offsetHigh);
    this.pair(out + NotifyInvalInodeOut.len, lengthLow, lengthHigh);
    return OutHeader.SIZE + NotifyInvalInodeOut.SIZE;
  }

  /** Drops the name from the cache of directory `parent`. flags: InvalEntryFlag. */
  invalEntry(at: number, parent: number, name: number, nameLength: number, flags: number): number {
    const length = NotifyInvalEntryOut.SIZE + nameLength + 1;
    const out = this.begin(at, NotifyCode.INVAL_ENTRY, length);
    this.pair(out + NotifyInvalEntryOut.parent, parent, 0);
    this.pair(out + NotifyInvalEntryOut.namelen, nameLength, flags);
    this.name(out + NotifyInvalEntryOut.SIZE, name, nameLength);
    return OutHeader.SIZE + length;
  }

  /** The name, which was that of node `child`, is gone: as invalEntry, and inotify is told. */
  delete(at: number, parent: number, child: number, name: number, nameLength: number): number {
    const length = NotifyDeleteOut.SIZE + nameLength + 1;
    const out = this.begin(at, NotifyCode.DELETE, length);
    this.pair(out + NotifyDeleteOut.parent, parent, 0);
    this.pair(out + NotifyDeleteOut.child, child, 0);
    this.pair(out + NotifyDeleteOut.namelen, nameLength, 0);
    this.name(out + NotifyDeleteOut.SIZE, name, nameLength);
    return OutHeader.SIZE + length;
  }

  /** Puts `size` bytes, which lie at `at` + STORE_DATA, into the page cache of a node at a file offset. */
  store(at: number, node: number, offsetLow: number, offsetHigh: number, size: number): number {
    const out = this.begin(at, NotifyCode.STORE, NotifyStoreOut.SIZE + size);
    this.pair(out + NotifyStoreOut.nodeid, node, 0);
    this.pair(out + NotifyStoreOut.offset, offsetLow, offsetHigh);
    this.pair(out + NotifyStoreOut.size, size, 0);
    return STORE_DATA + size;
  }

  /**
   * Asks for what is cached of a node: nothing of it, here. The kernel sends it as a request (NOTIFY_REPLY) like any other, to the io_uring queue of
   * the CPU that this is written on, and with the given unique: an even number that none of its own has.
   */
  retrieveNothing(at: number, node: number, uniqueLow: number, uniqueHigh: number): number {
    const out = this.begin(at, NotifyCode.RETRIEVE, NotifyRetrieveOut.SIZE);
    this.pair(out + NotifyRetrieveOut.notify_unique, uniqueLow, uniqueHigh);
    this.pair(out + NotifyRetrieveOut.nodeid, node, 0);
    this.pair(out + NotifyRetrieveOut.offset, 0, 0);
    this.pair(out + NotifyRetrieveOut.size, 0, 0);
    return OutHeader.SIZE + NotifyRetrieveOut.SIZE;
  }

  /** Has every request that was read and not answered sent once more, with bit 63 of unique set. Needs canResend. */
  resend(at: number): number {
    this.begin(at, NotifyCode.RESEND, 0);
    return OutHeader.SIZE;
  }

  private begin(at: number, code: NotifyCode, payload: number): number {
    this.pair(at + OutHeader.len, OutHeader.SIZE + payload, code);
    this.pair(at + OutHeader.unique, 0, 0);
    return at + OutHeader.SIZE;
  }

  private pair(at: number, low: number, high: number): void {
    this.words[at >> 2] = low;
    this.words[(at >> 2) + 1] = high;
  }

  private name(to: number, from: number, length: number): void {
    const bytes = this.bytes;
    for (let i = 0; i < length; i++) bytes[to + i] = bytes[from + i];
    bytes[to + length] = 0;
  }
}

/**
 * Answers, written in place where they are sent from: a struct fuse_out_header, then the payload. One Encoder per worker; nothing is
 * allocated per answer. For the meaning of the methods of Reply, see operations.ts.
 */
import { Errno } from '../errno';
import { putAttr, putEntry, putSeconds, putStatx } from './attributes';
import { forEachPlusNode, putDirent, recordSize } from './dirents';
import {
  AttrOut,
  Dirent,
  Direntplus,
  EntryOut,
  GetxattrOut,
  InitOut,
  IoctlOut,
  LseekOut,
  OpenOut,
  OutHeader,
  StatfsOut,
  StatxOut,
  WriteOut,
} from './layout';
import type { InitReply } from './negotiation';
import type { Operations, Reply } from './operations';
import { Answer } from './reader';

/** The least room for an answer: every one of a fixed size fits. */
export const MIN_REPLY = 512;

/** The kernel takes errors down to -511, and fails the write of any other (fs/fuse/dev.c, fuse_dev_do_write). */
const MAX_ERRNO = 511;

export class Encoder implements Reply {
  data = 0;
  capacity = 0;
  private readonly words: Uint32Array;
  private readonly bytesOf: Uint8Array;
  /** Byte offsets of the header and of what follows it. */
  private start = 0;
  private body = 0;
  /** The payload's size up to now, and what it must be: an Answer or the size. */
  private payload = 0;
  private answer = 0;
  /** What was written cannot be an answer to what was asked. */
  private wrong = false;
  /** The nodes that the answer counts a reference of: one, or those of READDIRPLUS records. */
  private counted = 0;
  private countedRecords = false;

  constructor(memory: ArrayBuffer) {
    this.words = new Uint32Array(memory);
    this.bytesOf = new Uint8Array(memory);
  }

  /**
   * Starts an answer at `offset`, a multiple of 8, of at most `capacity` bytes with its header. `answer` and `limit` are what the decoder found
   * (Message.answer and limit).
   */
  begin(offset: number, capacity: number, answer: number, limit: number): void {
    if ((offset & 7) !== 0 || capacity < MIN_REPLY) throw new RangeError(`no place for a FUSE reply: ${capacity} bytes at ${offset}`);
    this.start = offset;
    this.body = offset + OutHeader.SIZE;
    this.payload = 0;
    this.answer = answer;
    this.wrong = false;
    this.counted = 0;
    this.countedRecords = false;
    const lead = answer === Answer.IOCTL ? IoctlOut.SIZE : 0;
    const room = capacity - OutHeader.SIZE - lead;
    this.data = this.body + lead;
    this.capacity = limit < room ? limit : room;
  }

  /** Completes the answer: its payload if `result` is 0, else the error. Returns how many bytes to send from where it began. */
  finish(uniqueLow: number, uniqueHigh: number, result: number): number {
    const answer = this.answer;
    let error = result;
    if (result === 0) {
      if (answer === Answer.IOCTL) this.ioctlOut();
      else if (answer >= 0 && this.payload !== answer) this.wrong = true;
      if (this.wrong) error = -Errno.EIO;
    } else if (!(result < 0 && result >= -MAX_ERRNO)) error = -Errno.EIO;
    if (error !== 0) this.forgetCounts();
    const length = error === 0 ? OutHeader.SIZE + this.payload : OutHeader.SIZE;
    const words = this.words;
    const word = this.start >> 2;
    words[word + (OutHeader.len >> 2)] = length;
    words[word + (OutHeader.error >> 2)] = error;
    words[word + (OutHeader.unique >> 2)] = uniqueLow;
    words[word + (OutHeader.unique >> 2) + 1] = uniqueHigh;
    return length;
  }

  /** The answer that was finished last could not be delivered (send said ENOENT): the references it counted are taken back. */
  undelivered(operations: Operations): void {
    operations.undelivered(this.counted);
    if (this.countedRecords) forEachPlusNode(this.words, this.bytesOf, this.body, this.body + this.payload, operations);
    this.forgetCounts();
  }

  bytes(length: number): void {
    if (length >= 0 && length <= this.capacity && this.answer < 0) this.payload = length;
    else this.wrong = true;
  }

  entry(node: number, generation: number, entrySeconds: number, attrSeconds: number, attr: number): void {
    this.payload = EntryOut.SIZE;
    this.counted = node;
    putEntry(this.words, this.body, node, generation, entrySeconds, attrSeconds, attr);
  }

  negativeEntry(entrySeconds: number): void {
    this.payload = EntryOut.SIZE;
    this.counted = 0;
    putEntry(this.words, this.body, 0, 0, entrySeconds, 0, 0);
  }

  attr(attrSeconds: number, attr: number): void {
    this.payload = AttrOut.SIZE;
    const word = this.body >> 2;
    putSeconds(this.words, word + (AttrOut.attr_valid >> 2), attrSeconds);
    this.words[word + (AttrOut.attr_valid_nsec >> 2)] = 0;
    this.words[word + (AttrOut.attr_valid_nsec >> 2) + 1] = 0;
    putAttr(this.words, this.body + AttrOut.attr, attr);
  }

  statx(attrSeconds: number, attr: number): void {
    this.payload = StatxOut.SIZE;
    putStatx(this.words, this.body, attrSeconds, attr);
  }

  open(fh: number, openFlags: number, backingId: number): void {
    this.payload = OpenOut.SIZE;
    this.openOut(this.body, fh, openFlags, backingId);
  }

  created(
    node: number,
    generation: number,
    entrySeconds: number,
    attrSeconds: number,
    attr: number,
    fh: number,
    openFlags: number,
    backingId: number,
  ): void {
    this.entry(node, generation, entrySeconds, attrSeconds, attr);
    this.openOut(this.body + EntryOut.SIZE, fh, openFlags, backingId);
    this.payload = EntryOut.SIZE + OpenOut.SIZE;
  }

  written(count: number): void {
    this.pair(count, 0);
    this.payload = WriteOut.SIZE;
  }

  seek(low: number, high: number): void {
    this.pair(low, high);
    this.payload = LseekOut.SIZE;
  }

  xattrSize(length: number): void {
    if (this.answer === GetxattrOut.SIZE) this.pair(length, 0);
    else this.wrong = true;
    this.payload = GetxattrOut.SIZE;
  }

  statfs(from: number): void {
    const target = this.body >> 2;
    const source = from >> 2;
    for (let i = 0; i < StatfsOut.SIZE >> 2; i++) this.words[target + i] = this.words[source + i];
    this.payload = StatfsOut.SIZE;
  }

  dirent(inoLow: number, inoHigh: number, cookieLow: number, cookieHigh: number, type: number, name: number, nameLength: number): boolean {
    const size = recordSize(Dirent.name, nameLength);
    if (this.payload + size > this.capacity) return false;
    const at = this.body + this.payload;
    putDirent(this.words, this.bytesOf, at, size, inoLow, inoHigh, cookieLow, cookieHigh, type, name, nameLength);
    this.payload += size;
    return true;
  }

  direntPlus(
    node: number,
    generation: number,
    entrySeconds: number,
    attrSeconds: number,
    attr: number,
    inoLow: number,
    inoHigh: number,
    cookieLow: number,
    cookieHigh: number,
    type: number,
    name: number,
    nameLength: number,
  ): boolean {
    const size = recordSize(Direntplus.dirent + Dirent.name, nameLength);
    if (this.payload + size > this.capacity) return false;
    const at = this.body + this.payload;
    putEntry(this.words, at, node, generation, entrySeconds, attrSeconds, attr);
    const dirent = at + Direntplus.dirent;
    putDirent(this.words, this.bytesOf, dirent, at + size - dirent, inoLow, inoHigh, cookieLow, cookieHigh, type, name, nameLength);
    this.payload += size;
    this.countedRecords = true;
    return true;
  }

  /** struct fuse_init_out */
  init(reply: InitReply): void {
    const words = this.words;
    const word = this.body >> 2;
    for (let i = 0; i < InitOut.SIZE >> 2; i++) words[word + i] = 0;
    words[word + (InitOut.major >> 2)] = reply.major;
    words[word + (InitOut.minor >> 2)] = reply.minor;
    words[word + (InitOut.max_readahead >> 2)] = reply.maxReadahead;
    words[word + (InitOut.flags >> 2)] = reply.flags;
    words[word + (InitOut.max_background >> 2)] = reply.maxBackground | (reply.congestionThreshold << 16);
    words[word + (InitOut.max_write >> 2)] = reply.maxWrite;
    words[word + (InitOut.time_gran >> 2)] = reply.timeGranularity;
    words[word + (InitOut.max_pages >> 2)] = reply.maxPages;
    words[word + (InitOut.flags2 >> 2)] = reply.flags2;
    words[word + (InitOut.max_stack_depth >> 2)] = reply.maxStackDepth;
    this.payload = InitOut.SIZE;
  }

  private openOut(at: number, fh: number, openFlags: number, backingId: number): void {
    const words = this.words;
    const word = at >> 2;
    words[word + (OpenOut.fh >> 2)] = fh;
    words[word + (OpenOut.fh >> 2) + 1] = fh < 4294967296 ? 0 : fh / 4294967296;
    words[word + (OpenOut.open_flags >> 2)] = openFlags;
    words[word + (OpenOut.backing_id >> 2)] = backingId;
  }

  /** struct fuse_ioctl_out: the call succeeded with 0, what follows is its output. */
  private ioctlOut(): void {
    const word = this.body >> 2;
    for (let i = 0; i < IoctlOut.SIZE >> 2; i++) this.words[word + i] = 0;
    this.payload += IoctlOut.SIZE;
  }

  private pair(low: number, high: number): void {
    const word = this.body >> 2;
    this.words[word] = low;
    this.words[word + 1] = high;
  }

  private forgetCounts(): void {
    this.counted = 0;
    this.countedRecords = false;
  }
}

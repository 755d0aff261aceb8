/**
 * One request in the arena, and a cursor over it. Whatever is asked for that the message does not hold is said to be absent: nothing here
 * reads past the message's end, throws, or allocates.
 */
import { Errno } from '../errno';
import { ExtType } from './abi';
import { ExtHeader, InHeader, SuppGroups } from './layout';

/** Longest names and values that the VFS hands on (<linux/limits.h>); NAME_MAX is ours, the kernel's FUSE would send up to 1,024. */
export const enum Longest {
  /** of files and of xattrs */ NAME = 255,
  /** PATH_MAX without the NUL, which is also what a READLINK reply may hold */ TARGET = 4095,
  /** also of a list of names */ XATTR_VALUE = 65536,
}

/** What is answered, where it is no fixed number of bytes. */
export const enum Answer {
  /** a list of bytes, Message.limit at most */ BYTES = -1,
  /** struct fuse_ioctl_out, then bytes */ IOCTL = -2,
  /** there is no answer at all */ NONE = -3,
}

const enum Char {
  DOT = 0x2e,
  SLASH = 0x2f,
}

const WORD = 4294967296;
/** 2^53 as a high word */
const SAFE_HIGH = 0x200000;

export class Message {
  /** The whole arena. */
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly signed: Int32Array;

  /** The header's fields; unique is two signed words, bit 63 says that the request was sent before (NOTIFY_RESEND). */
  opcode = 0;
  uniqueLow = 0;
  uniqueHigh = 0;
  /** 0 when the wire's is 2^32 or more: never one of ours */
  node = 0;
  uid = 0;
  gid = 0;
  pid = 0;

  /** Was SETXATTR_EXT negotiated for the mount that the message is from? Then SETXATTR has 16 bytes before its name, else 8. */
  extendedSetxattr = true;

  /** Where the next thing is, and where the body ends and the extensions begin. */
  position = 0;
  end = 0;
  /** Where the extensions end. */
  private total = 0;
  /** What the answer's payload is to be: an {@link Answer}, or its exact size; and its greatest size where that is asked for. */
  answer = 0;
  limit = 0;
  /** Where the structure begins that was taken last. */
  private at = 0;
  /** What name(), text() and xattrName() found. */
  textOffset = 0;
  textLength = 0;

  constructor(memory: ArrayBuffer) {
    this.bytes = new Uint8Array(memory);
    this.words = new Uint32Array(memory);
    this.signed = new Int32Array(memory);
  }

  /**
   * Makes the `length` bytes at `offset` the current message and reads its header: 0; -EPROTO when it does not agree with them. The opcode
   * and unique are then still those of the header, or 0 when there is not even room for one.
   */
  open(offset: number, length: number): number {
    this.opcode = 0;
    this.uniqueLow = 0;
    this.uniqueHigh = 0;
    this.position = this.end = this.total = 0;
    if (length < InHeader.SIZE || offset < 0 || (offset & 7) !== 0 || offset + length > this.bytes.length) return -Errno.EPROTO;
    const words = this.words;
    const header = offset >> 2;
    this.opcode = words[header + (InHeader.opcode >> 2)];
    this.uniqueLow = this.signed[header + (InHeader.unique >> 2)];
    this.uniqueHigh = this.signed[header + (InHeader.unique >> 2) + 1];
    const extensions = (words[header + (InHeader.total_extlen >> 2)] & 0xffff) * 8;
    if (words[header] !== length || extensions > length - InHeader.SIZE) return -Errno.EPROTO;
    this.at = offset;
    this.node = this.nodeid(InHeader.nodeid);
    this.uid = words[header + (InHeader.uid >> 2)];
    this.gid = words[header + (InHeader.gid >> 2)];
    this.pid = words[header + (InHeader.pid >> 2)];
    this.position = offset + InHeader.SIZE;
    this.total = offset + length;
    this.end = this.total - extensions;
    return 0;
  }

  /** How many bytes of the body are still to be taken. */
  get rest(): number {
    return this.end - this.position;
  }

  /** Takes the next structure, whose fields the methods below then read. false: absent. Structures come before names, so they are aligned. */
  take(size: number): boolean {
    if (size > this.end - this.position) return false;
    this.at = this.position;
    this.position += size;
    return true;
  }

  u32(field: number): number {
    return this.words[(this.at + field) >> 2];
  }

  /** One word of a 64-bit field, or an s32. */
  s32(field: number): number {
    return this.signed[(this.at + field) >> 2];
  }

  /** A nodeid: ours have 32 bits, so that any other is 0. */
  nodeid(field: number): number {
    const word = (this.at + field) >> 2;
    return this.words[word + 1] === 0 ? this.words[word] : 0;
  }

  /** A file handle as a number; -1 when it is none that we gave out. */
  handle(field: number): number {
    const word = (this.at + field) >> 2;
    const high = this.words[word + 1];
    if (high === 0) return this.words[word];
    return high < SAFE_HIGH ? high * WORD + this.words[word] : -1;
  }

  /** Takes NUL-terminated bytes, 1 to `longest`: 0, -EPROTO (no NUL, or empty), or -ENAMETOOLONG. */
  text(longest: number): number {
    const start = this.position;
    const length = this.lengthOfText(start);
    if (length <= 0) return -Errno.EPROTO;
    if (length > longest) return -Errno.ENAMETOOLONG;
    this.textOffset = start;
    this.textLength = length;
    this.position = start + length + 1;
    return 0;
  }

  /**
   * Takes a name in a directory: as text(), and -EPROTO when there is a '/' in it, -ENOENT when it is "." or "..". These two come only in a
   * LOOKUP of a file handle's node that the kernel has forgotten, or of its parent (fs/fuse/inode.c, fuse_get_dentry, fuse_get_parent): there
   * ENOENT is made ESTALE, as it should be.
   */
  name(): number {
    const failure = this.text(Longest.NAME);
    if (failure !== 0) return failure;
    const bytes = this.bytes;
    const start = this.textOffset;
    const end = start + this.textLength;
    for (let i = start; i < end; i++) if (bytes[i] === Char.SLASH) return -Errno.EPROTO;
    if (bytes[start] !== Char.DOT) return 0;
    return end === start + 1 || (end === start + 2 && bytes[start + 1] === Char.DOT) ? -Errno.ENOENT : 0;
  }

  /** Takes the name of an xattr: as text(), too long being -ERANGE as in setxattr(2). */
  xattrName(): number {
    const failure = this.text(Longest.NAME);
    return failure === -Errno.ENAMETOOLONG ? -Errno.ERANGE : failure;
  }

  /**
   * FUSE_EXT_GROUPS among the extensions: the group of the caller that is the parent's; -1 when there is none; -EPROTO when the extensions
   * do not add up. They follow a name without padding, so nothing in them is aligned.
   */
  supplementaryGroup(): number {
    let group = -1;
    let at = this.end;
    while (at < this.total) {
      if (this.total - at < ExtHeader.SIZE) return -Errno.EPROTO;
      const size = this.unaligned(at + ExtHeader.size);
      if (size < ExtHeader.SIZE || size > this.total - at) return -Errno.EPROTO;
      if (this.unaligned(at + ExtHeader.type) === ExtType.EXT_GROUPS) {
        const groups = at + ExtHeader.SIZE;
        if (size < ExtHeader.SIZE + SuppGroups.SIZE) return -Errno.EPROTO;
        const count = this.unaligned(groups + SuppGroups.nr_groups);
        if (count * 4 > size - ExtHeader.SIZE - SuppGroups.SIZE) return -Errno.EPROTO;
        if (count > 0) group = this.unaligned(groups + SuppGroups.groups);
      }
      at += (size + 7) & ~7;
    }
    return group;
  }

  private unaligned(at: number): number {
    const bytes = this.bytes;
    return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
  }

  /** Bytes before the NUL; -1 without one in the body. */
  private lengthOfText(start: number): number {
    const bytes = this.bytes;
    const end = this.end;
    for (let i = start; i < end; i++) if (bytes[i] === 0) return i - start;
    return -1;
  }
}

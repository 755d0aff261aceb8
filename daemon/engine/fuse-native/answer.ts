/** What the overlay answers to one operation, kept to be handed on: the Reply of whoever is not the kernel. */
import type { Reply } from '../../protocol/operations';

export interface Entry {
  inoLow: number;
  inoHigh: number;
  /** DT_* */
  type: number;
  /** its bytes in the arena; valid within `onEntry` only */
  name: number;
  nameLength: number;
}

export class Answer implements Reply {
  capacity = 0;
  /** of an entry; 0: there is no such name */
  node = 0;
  /** offset of a stat record, valid until the next operation */
  attributes = 0;
  /** of bytes at `data`, or of an xattr */
  length = 0;
  fh = 0;
  /** offset of a struct fuse_kstatfs */
  statistics = 0;
  /** gets each entry of a directory */
  onEntry: (entry: Entry) => void = () => undefined;

  constructor(readonly data: number) {}

  /** For the next operation, which may be answered with so many bytes. */
  expect(capacity = 0): this {
    this.capacity = capacity;
    this.node = 0;
    this.attributes = 0;
    this.length = 0;
    this.fh = 0;
    return this;
  }

  bytes(length: number): void {
    this.length = length;
  }

  entry(node: number, _generation: number, _entrySeconds: number, _attrSeconds: number, attr: number): void {
    this.node = node;
    this.attributes = attr;
  }

  negativeEntry(): void {
    this.node = 0;
  }

  attr(_attrSeconds: number, attr: number): void {
    this.attributes = attr;
  }

  statx(attrSeconds: number, attr: number): void {
    this.attr(attrSeconds, attr);
  }

  open(fh: number): void {
    this.fh = fh;
  }

  xattrSize(length: number): void {
    this.length = length;
  }

  statfs(from: number): void {
    this.statistics = from;
  }

  dirent(
    inoLow: number,
    inoHigh: number,
    _cookieLow: number,
    _cookieHigh: number,
    type: number,
    name: number,
    nameLength: number,
  ): boolean {
    this.onEntry({ inoLow, inoHigh, type, name, nameLength });
    return true;
  }

  // What a mount that is only read, and asked for none of these, does not answer with.
  created(): never {
    throw new Error('nothing is made on a read-only mount');
  }

  written(): never {
    throw new Error('nothing is written on a read-only mount');
  }

  seek(): never {
    throw new Error('no seek was asked for');
  }

  direntPlus(): never {
    throw new Error('no READDIRPLUS was asked for');
  }
}

import { createHash, type Hash } from 'node:crypto';
import type { IndexRow } from './index-rows';
import { ownXattrs } from './xattrs';

/**
 * sha256 over "plyfs tree 1\n" (of an imported layer "plyfs tree 2\n") and then, for every row in the order of the ids, little-endian:
 *
 *     u64 parent's id, u16 length and name, u32 mode with type, u32 uid, u32 gid, s64 and u32 mtime, u64 size, u32 rdev,
 *     u32 length and link target, u32 length and xattrs (encodeXattrs; without an overlay's origin, impure, nlink and uuid),
 *     u8 length and content digest, u64 the id of the first name of the same inode (0: this is the first)
 *     and, of an imported layer, where it follows from nothing else, u8 whiteout + 4 if opaque + 8 if implicit
 *
 * So it covers everything that a reader of the layer can see, with directories' and the root's own attributes, and nothing of where the tree lies:
 * no inode number, no ctime, no atime, no link that leads out of the tree, no size of a directory. `cp -a` of a tree has the same digest. Only xattrs that
 * the caller may list count: trusted.* are root's.
 */
export class TreeDigest {
  private readonly hash: Hash;
  private readonly head = Buffer.alloc(10);
  private readonly body = Buffer.alloc(40);

  constructor(private readonly kind: 'directory' | 'imported') {
    this.hash = createHash('sha256').update(kind === 'directory' ? 'plyfs tree 1\n' : 'plyfs tree 2\n');
  }

  add(row: IndexRow): void {
    const { hash, head, body } = this;
    head.writeBigUInt64LE(BigInt(row.parent));
    head.writeUInt16LE(row.name.length, 8);
    hash.update(head).update(row.name);
    body.writeUInt32LE(row.mode);
    body.writeUInt32LE(row.uid, 4);
    body.writeUInt32LE(row.gid, 8);
    body.writeBigInt64LE(row.mtime, 12);
    body.writeUInt32LE(row.mtimeNsec, 20);
    body.writeBigUInt64LE(BigInt(row.size), 24);
    body.writeUInt32LE(row.rdev, 32);
    hash.update(body.subarray(0, 36));
    this.blob(row.target);
    this.blob(ownXattrs(row.xattrs));
    hash.update(Buffer.of(row.digest?.length ?? 0)).update(row.digest ?? '');
    body.writeBigUInt64LE(BigInt(row.hardlink === row.id ? 0 : row.hardlink));
    body.writeUInt8(row.whiteout + (row.opaque ? 4 : 0) + (row.implicit ? 8 : 0), 8);
    hash.update(body.subarray(0, this.kind === 'directory' ? 8 : 9));
  }

  private blob(bytes: Buffer | null): void {
    this.body.writeUInt32LE(bytes?.length ?? 0, 36);
    this.hash.update(this.body.subarray(36, 40)).update(bytes ?? '');
  }

  /** At the end, once. */
  hex(): string {
    return this.hash.digest('hex');
  }
}

/**
 * The object store's files: `objects/ab/<62 hex>` holds the content whose sha256 that is, mode 0400, once, whatever layers refer to it.
 *
 * A file appears whole: it is written below tmp/ and renamed when its bytes are on the disk. It is never written again.
 */
import fs from 'node:fs';
import { join } from 'node:path';

export class Objects {
  private readonly directory: string;

  /** @param root the store's */
  constructor(readonly root: string) {
    this.directory = join(root, 'objects');
  }

  path(digest: Buffer): string {
    const hex = digest.toString('hex');
    return `${this.directory}/${hex.slice(0, 2)}/${hex.slice(2)}`;
  }

  has(digest: Buffer): boolean {
    return fs.statSync(this.path(digest), { throwIfNoEntry: false }) !== undefined;
  }

  /** A descriptor to read from. */
  open(digest: Buffer): number {
    return fs.openSync(this.path(digest), fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  }
}

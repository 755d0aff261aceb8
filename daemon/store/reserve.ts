/**
 * Space that is kept for removing: SQLite writes to its log to delete a row too, so without it nothing could be removed from a store whose disk is full to
 * the last block. The file is given up piece by piece when that happens, and made whole again when there is room.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';

/** As much as the log takes until it is written into the database (1000 pages). */
const BYTES = 4 << 20;
/** Enough to remove some hundred rows. */
const PIECE = 1 << 20;
/** What has to be left for others when it is filled. */
const LEAVE = 1 << 20;

export class Reserve {
  private whole = false;

  constructor(
    private readonly root: string,
    private readonly file: string,
  ) {}

  /**
   * Does `work`, and again as long as it fails for want of space and there is a piece to give up. It changes nothing when it fails. `restartLog` lets what it
   * has taken already be written over.
   */
  use<T>(isFull: (error: unknown) => boolean, work: () => T, restartLog: () => void): T {
    this.fill();
    for (let attempt = 1; ; attempt++) {
      try {
        return work();
      } catch (error) {
        if (!isFull(error) || (attempt > 1 && !this.spend())) throw error;
        restartLog();
      }
    }
  }

  /** Where there is room; cheap when called often. */
  private fill(): void {
    if (this.whole) return;
    const missing = BYTES - this.size();
    const { bavail, bsize } = fs.statfsSync(this.root);
    if (missing > 0 && bavail * bsize < missing + LEAVE) return;
    try {
      if (missing > 0) fs.appendFileSync(this.file, randomBytes(missing), { mode: 0o600 }); // zeros may take no space
      this.whole = true;
    } catch {
      // somebody else took the room; whatever else is wrong with the place, SQLite meets too, and its errors are told
    }
  }

  /** Gives up a piece. False: there is none left. */
  private spend(): boolean {
    this.whole = false;
    const size = this.size();
    if (size === 0) return false;
    fs.truncateSync(this.file, Math.max(0, size - PIECE));
    return true;
  }

  private size(): number {
    return fs.statSync(this.file, { throwIfNoEntry: false })?.size ?? 0;
  }
}

/** The store's tmp/: what is being written lies there, each work's in a directory of its own, until it is renamed into place. Nothing in it outlives its plyd. */
import fs from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Of this process: what else lies in tmp/ is a leftover. */
const inUse = new Set<string>();
let last = 0;

export class Scratch {
  private constructor(readonly path: string) {}

  static async make(root: string): Promise<Scratch> {
    const path = join(root, 'tmp', `${process.pid}-${++last}`);
    inUse.add(path);
    await mkdir(path, { recursive: true, mode: 0o700 });
    return new Scratch(path);
  }

  /** With all that is in it. */
  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true, maxRetries: 3 });
    inUse.delete(this.path);
  }
}

/** What an earlier plyd left in tmp/, whole paths. */
export function scratchLeft(root: string): string[] {
  const directory = join(root, 'tmp');
  if (!fs.existsSync(directory)) return [];
  return fs
    .readdirSync(directory)
    .map((name) => join(directory, name))
    .filter((path) => !inUse.has(path));
}

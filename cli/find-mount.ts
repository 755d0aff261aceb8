/** A mount by its mount point or id: the API knows ids only. */
import fs from 'node:fs';
import path from 'node:path';
import type { Mount } from '../daemon/api/types';
import type { Client } from '../client/client';
import { PlyError } from '../client/errors';
import { nearest } from './errors';

const SHORTEST_ID = 4;

/** Relative paths begin here, wherever we go. */
const HERE = process.cwd();

export async function findMount(daemon: Client, word: string): Promise<Mount> {
  const mounts = await daemon.mounts.list();
  const found = byPoint(mounts, word) ?? byId(mounts, word);
  if (found !== undefined) return found;
  const points = mounts.map(({ mountpoint }) => mountpoint);
  throw new PlyError({
    code: 'not-found',
    message: `there is no mount ${word} of plyd: \`ply mounts\` lists them`,
    near: nearest(path.resolve(HERE, word), points),
  });
}

function byPoint(mounts: readonly Mount[], word: string): Mount | undefined {
  const at = (point: string | undefined): Mount | undefined => mounts.findLast(({ mountpoint }) => mountpoint === point);
  return at(path.resolve(HERE, word)) ?? at(resolved(word));
}

/** Links in the path are followed, but the mount point itself is not looked at: a file system that hangs must not hang us. */
function resolved(word: string): string | undefined {
  const whole = path.resolve(HERE, word);
  try {
    return path.join(fs.realpathSync(path.dirname(whole)), path.basename(whole));
  } catch {
    return undefined;
  }
}

function byId(mounts: readonly Mount[], word: string): Mount | undefined {
  if (word.length < SHORTEST_ID) return undefined;
  const found = mounts.filter(({ id }) => id.startsWith(word));
  if (found.length < 2) return found[0];
  throw new PlyError({
    code: 'bad-request',
    message: `${word} is the beginning of ${found.length} mounts' ids: give more of it (${found.map(({ id }) => id.slice(0, 12)).join(', ')})`,
  });
}

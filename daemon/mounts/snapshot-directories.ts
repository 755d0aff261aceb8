/** The directories of containerd's snapshots (snapshotter/kept-snapshots.ts), for those who look at the store as a whole. */
import fs from 'node:fs';
import { join } from 'node:path';
import type { DiskUsage, UsageRow } from '../api/types';
import type { Catalog, SnapshotRow } from '../store';
import type { Blocking } from './blocking';
import { HALF_MADE, HALF_REMOVED, removeTree } from './containers';
import { bytes } from './keeper';
import { isWithin, mountTable } from './mountinfo';

/** Directories that are being made or removed by this process: whole paths. */
export const underWay = new Set<string>();

/** What is left of snapshots that were never finished, or not wholly removed: whole paths. Any other directory without a row is somebody's data. */
export function snapshotsLeft(catalog: Catalog): string[] {
  const directory = join(catalog.root, 'snapshots');
  if (!fs.existsSync(directory)) return [];
  const known = new Set(catalog.snapshots.numbers().map(String));
  return fs
    .readdirSync(directory)
    .filter((name) => [HALF_MADE, HALF_REMOVED].some((half) => name.endsWith(half) && !known.has(name.slice(0, -half.length))))
    .map((name) => join(directory, name))
    .filter((path) => !underWay.has(path));
}

/** Removes them, but for what holds a mount; returns which. */
export async function sweepSnapshots(catalog: Catalog): Promise<string[]> {
  const swept: string[] = [];
  for (const path of snapshotsLeft(catalog)) {
    if (mountTable().some(({ point }) => isWithin(point, bytes(path)))) continue;
    await removeTree(path);
    swept.push(path);
  }
  return swept;
}

/** What they take on disk, `fs` of each; what is committed was measured then. */
export async function snapshotUsage(
  catalog: Catalog,
  blocking: Blocking,
): Promise<{ row: UsageRow; list: Required<DiskUsage>['snapshotList'] }> {
  const rows = catalog.snapshots.all();
  const used = new Set(
    rows.filter(({ kind }) => kind !== 'committed').flatMap(({ number }) => [number, ...catalog.snapshots.chain(number)]),
  );
  const sizes = await Promise.all(rows.map((row) => sizeOf(catalog, blocking, row)));
  const sum = (which: (row: SnapshotRow) => boolean): number => rows.reduce((total, row, i) => (which(row) ? total + sizes[i] : total), 0);
  return {
    row: { total: rows.length, active: used.size, size: sum(() => true), reclaimable: sum(({ number }) => !used.has(number)) },
    list: rows.map(({ key, kind, parent }, i) => ({ key, kind, parent: parent === '' ? null : parent, size: sizes[i] })),
  };
}

async function sizeOf(catalog: Catalog, blocking: Blocking, { number, usage }: SnapshotRow): Promise<number> {
  if (usage !== undefined) return usage.bytes;
  const root = join(catalog.snapshotDirectory(number), 'fs');
  try {
    return (await blocking.call('inodes', { root: bytes(root) })).bytes;
  } catch (error) {
    if (fs.existsSync(root)) throw error;
    return 0; // it was removed meanwhile
  }
}

/**
 * Removing what nothing refers to: images without a name, layers without an image, objects without a layer, and what a plyd left that was killed. Beside
 * imports that run: what they rely on is leased, and what they are about to write has no file yet.
 *
 * Rows go first, files in the same turn of the event loop: a lease that is taken in the next one finds neither.
 */
import fs from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pruned } from '../api/types';
import { pauseAt } from '../mounts/pause';
import { sweepSnapshots } from '../mounts/snapshot-directories';
import { type Catalog, CatalogError, removeLayer, sweepLayers } from '../store';
import { sweepExports } from './export';
import { scratchLeft } from './scratch';

/** Rows that are looked at in one turn. */
const AT_ONCE = 2000;
/** Files that are removed in one turn. */
const FILES_AT_ONCE = 250;

/** `all`: images that no container is made of go though they have names. */
export async function prune(catalog: Catalog, all: boolean): Promise<Pruned> {
  const images = catalog.images.unused(all).filter((id) => removed(() => catalog.images.remove(id)));
  await pauseAt('prune:images');
  const layers: string[] = [];
  let bytes = 0;
  for (const id of catalog.layers.unused()) {
    const size = sizeOf(catalog.layerDirectory(id));
    if (!removed(() => removeLayer(catalog, id))) continue;
    layers.push(id);
    bytes += size;
    await pauseAt('prune:layer');
  }
  const objects = await removeUnusedObjects(catalog);
  const strays = await removeStrays(catalog);
  const leftovers = await removeLeftovers(catalog);
  return {
    images,
    layers,
    objects: objects.count + strays.count,
    leftovers: leftovers.count,
    bytes: bytes + objects.bytes + strays.bytes + leftovers.bytes,
  };
}

/** Somebody may have come to use it meanwhile, or to remove it. */
function removed(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (error instanceof CatalogError && (error.code === 'in-use' || error.code === 'not-found')) return false;
    throw error;
  }
}

interface Removed {
  count: number;
  bytes: number;
}

/** Those that neither a layer nor a lease refers to. */
export async function removeUnusedObjects(catalog: Catalog): Promise<Removed> {
  const { objects, objectRows } = catalog;
  const total = { count: 0, bytes: 0 };
  for (let first = 1, last = objectRows.last(); first <= last; first += AT_ONCE) {
    const found = objectRows.unused(first, first + AT_ONCE - 1);
    for (let at = 0; at < found.length; at += FILES_AT_ONCE) {
      const gone = objectRows.removeUnused(found.slice(at, at + FILES_AT_ONCE));
      await pauseAt('prune:rows');
      for (const { digest, size } of gone) {
        objects.remove(digest);
        total.count++;
        total.bytes += size;
      }
      await pauseAt('prune:objects');
      await turn();
    }
    await turn();
  }
  return total;
}

/** Objects' files without a row: a plyd was killed, or the catalog is an old one from a backup. */
export async function removeStrays({ objects, objectRows }: Catalog): Promise<Removed> {
  const total = { count: 0, bytes: 0 };
  if (!fs.existsSync(objects.directory)) return total;
  for (let first = 0; first < 256; first++) {
    for (const name of objects.list(first)) {
      const digest = Buffer.from(first.toString(16).padStart(2, '0') + name, 'hex');
      if (!/^[0-9a-f]{62}$/.test(name) || objectRows.has(digest)) continue;
      total.bytes += fs.lstatSync(objects.path(digest)).size;
      total.count++;
      objects.remove(digest);
    }
    await turn();
  }
  return total;
}

/** What is left in tmp/, layers/ and snapshots/, and of exports. */
export async function removeLeftovers(catalog: Catalog): Promise<Removed> {
  const total = { count: 0, bytes: 0 };
  for (const path of scratchLeft(catalog.root)) {
    total.bytes += sizeOf(path);
    total.count++;
    await rm(path, { recursive: true, force: true });
  }
  const swept = [sweepLayers(catalog), await sweepExports(catalog.root), await sweepSnapshots(catalog)];
  for (const { length } of swept) total.count += length;
  return total;
}

/** At plyd's start, before the first request: nobody imports. */
export async function forgetImports(catalog: Catalog): Promise<string[]> {
  catalog.leases.forgetAll();
  const left = scratchLeft(catalog.root);
  for (const path of left) await rm(path, { recursive: true, force: true });
  return left;
}

/** Of all regular files below. */
function sizeOf(directory: string): number {
  let bytes = 0;
  for (const entry of fs.readdirSync(directory, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += fs.lstatSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}

function turn(): Promise<void> {
  return new Promise(setImmediate);
}

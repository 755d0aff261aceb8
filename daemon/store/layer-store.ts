/** Layers as a whole: the row in the catalog and `layers/<id>/` on disk, kept in step. The tree itself is never touched. */
import { mkdirSync, readdirSync, realpathSync, rmSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import type { Layer, LayerVerification } from '../api/types';
import type { Catalog } from './catalog';
import { CatalogError, StoreError } from './errors';
import { LayerIndex } from './index-rows';
import { indexTree, type LongWork, verifyTree } from './layer-index';
import { newId, shortId } from './names';

/**
 * Indexes the directory and adds it as a layer: row and index, or neither. The path is made absolute and free of symlinks. Whoever uses the layer relies
 * on the tree staying as it is.
 */
export async function addLayer(catalog: Catalog, request: { path: string; name?: string | null }, work: LongWork = {}): Promise<Layer> {
  const path = realDirectory(request.path);
  const name = request.name ?? null;
  catalog.layers.checkFree(name, path);
  const id = newId();
  const directory = catalog.layerDirectory(id);
  underWay.add(id);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const { entries, files, size, treeDigest } = await indexTree(path, indexFile(catalog, id), work);
    return catalog.layers.add({ id, name, path, entries, files, size, treeDigest });
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    if (error instanceof Error && (error as NodeJS.ErrnoException).code === 'ENOSPC')
      throw new StoreError(`no space is left for ${directory}: free some and try again`, { cause: error });
    throw error;
  } finally {
    underWay.delete(id);
  }
}

/** Layers that are being made: their directories have no row yet. */
export const underWay = new Set<string>();

/** Is the tree what it was when the layer was added? */
export function verifyLayer(catalog: Catalog, ref: string, options: LongWork & { deep?: boolean } = {}): Promise<LayerVerification> {
  const layer = catalog.layers.get(ref);
  if (layer.path === null)
    throw new CatalogError('bad-request', `the layer ${shortId(layer.id)} is no directory: \`ply fsck\` verifies what was imported`);
  return verifyTree(layer.path, indexFile(catalog, layer.id), layer.treeDigest, options.deep === true, options);
}

/** The row first: what a crash leaves of the index is swept by the next plyd. 'in-use' names the images that are made of it. */
export function removeLayer(catalog: Catalog, ref: string): Layer {
  const layer = catalog.layers.remove(ref);
  rmSync(catalog.layerDirectory(layer.id), { recursive: true, force: true });
  return layer;
}

export function openIndex(catalog: Catalog, layer: Layer): LayerIndex {
  return LayerIndex.open(indexFile(catalog, layer.id));
}

/** Removes what an earlier plyd left in layers/ without a row. Returns the names. */
export function sweepLayers(catalog: Catalog): string[] {
  const left = strayLayers(catalog);
  for (const name of left) rmSync(catalog.layerDirectory(name), { recursive: true, force: true });
  return left;
}

/** What lies in layers/ without a row. */
export function strayLayers(catalog: Catalog): string[] {
  const known = new Set(catalog.layers.all().map(({ id }) => id));
  const directory = join(catalog.root, 'layers');
  let found: string[];
  try {
    found = readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new StoreError(`cannot read ${directory} (${(error as Error).message}): check its owner and permissions`, { cause: error });
  }
  return found.filter((name) => /^[0-9a-f]{64}$/.test(name) && !known.has(name) && !underWay.has(name));
}

function indexFile(catalog: Catalog, id: string): string {
  return join(catalog.layerDirectory(id), 'index.db');
}

function realDirectory(path: string): string {
  if (!isAbsolute(path))
    throw new CatalogError('bad-request', `${path === '' ? 'the path' : path} is not absolute: give the layer's whole path, from /`);
  if (path.includes('\0')) throw new CatalogError('bad-request', 'the path holds a NUL character');
  try {
    const real = realpathSync(path);
    if (!statSync(real).isDirectory()) throw new CatalogError('bad-request', `${path} is not a directory: a layer is made of one`);
    return real;
  } catch (error) {
    if (error instanceof CatalogError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CatalogError(
      'bad-request',
      code === 'ENOENT' ? `there is no ${path}: give the path of a directory` : `cannot use ${path} as a layer: ${message}`,
    );
  }
}

/** What plyd does with images, beyond the catalog's rows: the long work in child processes (work.ts). */
import { join } from 'node:path';
import type { HistoryEntry, Image, ImageTree, TreeEntry } from '../api/types';
import { layerPlace } from '../mounts/containers';
import type { Catalog, Id } from '../store';
import { runChild } from '../store/child';
import { historyOf, type ImageConfig, parseConfig, plainConfig } from './config';
import type { ExportedLayer } from './export-layer';
import type { Shares } from './image-tree';
import type { Task } from './work';

export const CHILD = join(__dirname, 'work.js');

/** Of one that has none: what is known. */
export function configOf(catalog: Catalog, image: Image): { bytes: Buffer | undefined; config: ImageConfig } {
  const known = catalog.images.config(image.id);
  if (known !== undefined) return { bytes: known, config: parseConfig(known) };
  return {
    bytes: undefined,
    config: plainConfig(
      image,
      image.layers.map((id) => catalog.layers.get(id)),
    ),
  };
}

export function history(catalog: Catalog, ref: string): HistoryEntry[] {
  const image = catalog.images.get(ref);
  const layers = image.layers.map((id) => catalog.layers.get(id));
  return historyOf(image, layers, configOf(catalog, image).config);
}

/** `show` gets the entries in pieces. */
export async function tree(catalog: Catalog, ref: string, show: (entries: TreeEntry[]) => void, signal: AbortSignal): Promise<ImageTree> {
  const image = catalog.images.get(ref);
  const task: Task = { kind: 'tree', layers: image.layers.map((id) => layerPlace(catalog, id)) };
  const told = history(catalog, image.id).filter(({ layer }) => layer !== null);
  const shares = await whileLeased(catalog, `the tree of the image ${image.name ?? image.id}`, image.layers, () =>
    runChild<TreeEntry[], Shares[]>(CHILD, task, { about: image.id, onProgress: show, signal }),
  );
  return { image: image.id, layers: shares.map((share, at) => ({ id: image.layers[at], createdBy: told[at]?.createdBy ?? '', ...share })) };
}

/** Layers of an image as a child process gets them, the lowest first. */
export function exportedLayers(catalog: Catalog, layers: readonly Id[]): ExportedLayer[] {
  const places = layers.map((id) => layerPlace(catalog, id));
  return layers
    .map((id, at): ExportedLayer => {
      const place = places[at];
      if (place.kind === 'imported') return { kind: 'imported', id, directory: catalog.layerDirectory(id), root: catalog.root };
      return {
        kind: 'directory',
        id,
        index: join(catalog.layerDirectory(id), 'index.db'),
        trees: { upper: place.path, layers: places.slice(at + 1) },
      };
    })
    .reverse();
}

/** Nobody removes these layers meanwhile. */
export async function whileLeased<T>(
  catalog: Catalog,
  owner: string,
  layers: readonly Id[],
  work: (lease: number) => Promise<T>,
): Promise<T> {
  const lease = catalog.leases.take(owner);
  try {
    for (const id of layers) catalog.leases.holdLayer(lease, id);
    return await work(lease);
  } finally {
    catalog.leases.release(lease);
  }
}

/** What the tests of the store share. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import type { Test } from 'tap';
import { Catalog, CatalogError, StoreError } from '../../daemon/store/index.js';

/** A directory that goes with the test. */
export function temporary(t: Test): string {
  const directory = mkdtempSync('/tmp/plyfs-store-');
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export function openCatalog(t: Test, root = temporary(t)): Catalog {
  const catalog = Catalog.open(root);
  t.teardown(() => catalog.close());
  return catalog;
}

export const hex = (bytes = 32): string => randomBytes(bytes).toString('hex');

/** A layer's row; no tree stands behind it. */
export function addRow(catalog: Catalog, name: string | null, more: { id?: string; path?: string; size?: number } = {}): string {
  const { id = hex(), path = `/layers/${name ?? id}`, size = 100 } = more;
  return catalog.layers.add({ id, name, path, entries: 3, files: 2, size, treeDigest: hex() }).id;
}

/** A container of the image, with directories of its own. */
export function addContainer(catalog: Catalog, image: string, name?: string, id = hex()): string {
  const directory = catalog.containerDirectory(id);
  return catalog.containers.create({ id, image, name, upper: `${directory}/upper`, work: `${directory}/work` }).id;
}

/** What `ask` was refused with; fails if it was not. */
export function refusal(ask: () => unknown): CatalogError {
  try {
    ask();
  } catch (error) {
    if (error instanceof CatalogError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

/** The message of the StoreError that `ask` ends in. */
export async function failure(ask: () => unknown): Promise<string> {
  try {
    await ask();
  } catch (error) {
    if (error instanceof StoreError) return error.message;
    throw error;
  }
  throw new Error('it did not fail');
}

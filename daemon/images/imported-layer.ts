/**
 * A layer from its tar into the store: contents, index and framing are put in place, and then the row in the catalog says that it is there. Import
 * and commit come here.
 *
 *     read (tmp/) → index (tmp/) → leases → syncfs → objects renamed → layers/<id> renamed → row, whose references take over from the leases
 *
 * Whatever step it ends at, there is the layer or there is not; what lies about then is found by prune, and what is in tmp/ by the next plyd.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import type { Layer } from '../api/types';
import { pauseAt } from '../mounts/pause';
import { type Catalog, type LeaseId, StoreError } from '../store';
import { underWay } from '../store/layer-store';
import { syncDirectory } from '../store/objects';
import { LAYER, type LayerSource, type LayerTask, type ReadLayer } from './layer-reader';
import type { LayerThread, LayerThreads } from './layer-threads';
import { Scratch } from './scratch';

export interface LayerRequest {
  source: LayerSource;
  expected: LayerTask['expected'];
  /** for people: what it is imported or committed from */
  from: string;
  blob: Layer['blob'];
  /** ids of the layers below it, topmost first: asked for when the tar links to a file of theirs, so they must be there by then */
  lowers: () => Promise<readonly string[]>;
  counters: LayerTask['counters'];
  suspicious: boolean;
  /** holds the layer in the end */
  lease: LeaseId;
}

/** Contents that a lease is taken on at once: some milliseconds of plyd's time. */
const AT_ONCE = 1000;
/** How often a layer is read again because a prune took what it relied on. The second time its leases hold. */
const ATTEMPTS = 3;

/** `isNew`: it was not there before, and this put it there. */
export async function addImportedLayer(
  catalog: Catalog,
  threads: LayerThreads,
  request: LayerRequest,
): Promise<{ id: string; isNew: boolean }> {
  const contents = catalog.leases.take(`reading ${request.from}`);
  try {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const done = await threads.with((thread) => attemptLayer(catalog, thread, request, contents));
      if (done !== undefined) return done;
      if ('fd' in request.source) break;
    }
    throw new StoreError(`objects that the layer relies on went while it was read (${request.from}): try again`);
  } finally {
    catalog.leases.release(contents);
  }
}

/** Undefined: something that it relied on has gone. */
async function attemptLayer(
  catalog: Catalog,
  thread: LayerThread,
  request: LayerRequest,
  contents: LeaseId,
): Promise<{ id: string; isNew: boolean } | undefined> {
  const { root } = catalog;
  const scratch = await Scratch.make(root);
  try {
    const { source, expected, counters, suspicious, lease } = request;
    const read = await thread.call('read', { root, scratch: scratch.path, source, expected, counters, suspicious });
    await pauseAt('import:read');
    if (catalog.leases.holdLayer(lease, read.diffId)) return { id: read.diffId, isNew: false };
    const lowers = read.needsLowers ? await request.lowers() : [];
    const facts = await thread.call(
      'finish',
      lowers.map((id) => join(catalog.layerDirectory(id), 'index.db')),
    );
    await leaseContents(catalog, thread, contents);
    await pauseAt('import:leased');
    await thread.call('sync');
    if ((await thread.call('place')) > 0) return undefined;
    await pauseAt('import:objects');
    await thread.call('close');
    return await put(catalog, scratch, request, contents, { ...read, ...facts });
  } finally {
    await thread.call('close').catch(() => undefined); // it has ended
    await scratch.remove();
  }
}

async function leaseContents(catalog: Catalog, thread: LayerThread, lease: LeaseId): Promise<void> {
  for (let after: Uint8Array = new Uint8Array(); ;) {
    const some = await thread.call('contents', { after, most: AT_ONCE });
    if (some.length === 0) return;
    catalog.leases.holdObjects(
      lease,
      some.map(({ digest, size }) => ({ digest: Buffer.from(digest), size })),
    );
    after = some[some.length - 1].digest;
  }
}

async function put(
  catalog: Catalog,
  scratch: Scratch,
  { from, blob, lease }: LayerRequest,
  contents: LeaseId,
  read: ReadLayer & Pick<Layer, 'entries' | 'files' | 'size' | 'treeDigest'>,
): Promise<{ id: string; isNew: boolean }> {
  const { diffId: id, entries, files, size, treeDigest, tarSize } = read;
  const directory = catalog.layerDirectory(id);
  if (!catalog.layers.has(id) && !underWay.has(id)) {
    underWay.add(id);
    try {
      fs.rmSync(directory, { recursive: true, force: true }); // what a plyd left that was killed here
      fs.renameSync(join(scratch.path, LAYER), directory);
      syncDirectory(join(catalog.root, 'layers'));
      await pauseAt('import:placed');
      return add();
    } finally {
      underWay.delete(id);
    }
  }
  return add();

  /** Whoever else reads the same layer at this time has put the same into the same place. */
  function add(): { id: string; isNew: boolean } {
    return catalog.transaction(() => {
      const isNew = catalog.layers.addImported({ id, source: from, entries, files, size, treeDigest, tarSize, blob }, contents);
      catalog.leases.holdLayer(lease, id);
      return { id, isNew };
    });
  }
}

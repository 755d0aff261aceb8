/**
 * Images from files: what an archive holds is planned, its layers are read, several at once, and the images appear in the catalog, with their names, when all of
 * it was verified. Whatever goes wrong before leaves the store as it was.
 */
import fs from 'node:fs';
import { basename, isAbsolute, join } from 'node:path';
import type { Image, ImportEvent, ImportResult } from '../api/types';
import { pauseAt } from '../mounts/pause';
import { type Catalog, CatalogError, checkImageName, type LeaseId, removeLayer, shortId, StoreError } from '../store';
import { type Archive, DirectoryArchive, TarArchive } from './archive';
import { compressionOf, decompressed } from './decompress';
import { addImportedLayer } from './imported-layer';
import { Counter, type LayerSource, openRegular } from './layer-reader';
import { LayerThreads } from './layer-threads';
import { architecture, planOf, type PlannedImage, type PlannedLayer, sha256 } from './manifests';
import { removeUnusedObjects } from './prune';
import { Scratch } from './scratch';
import { TarError } from './tar-header';
import { TarReader } from './tar-reader';

export interface ImportOptions {
  /** instead of the names that the archive gives */
  tags?: readonly string[] | undefined;
  /** uncompressed bytes of all layers together */
  maxSize?: number | undefined;
  signal?: AbortSignal | undefined;
  progress?: ((event: ImportEvent) => void) | undefined;
}

const PROGRESS_MS = 200;
const PIECE = 1 << 18;
/** No file of ours is larger. */
const UNLIMITED = 2n ** 62n;

/** Throws CatalogError for what cannot be imported, StoreError for a store that cannot take it. */
export async function importImage(catalog: Catalog, path: string, options: ImportOptions = {}): Promise<ImportResult> {
  for (const tag of options.tags ?? []) checkImageName(tag);
  if (!isAbsolute(path) || path.includes('\0'))
    throw new CatalogError('bad-request', `${JSON.stringify(path)} is not absolute: give the whole path of a file or directory, from /`);
  options.signal?.throwIfAborted();
  const run = new Import(catalog, path, options);
  try {
    return await run.run();
  } catch (error) {
    options.signal?.throwIfAborted();
    throw explained(error, path, catalog.root);
  }
}

function explained(error: unknown, path: string, root: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof TarError) return new CatalogError('bad-request', `cannot import ${path}: ${message}. Nothing was imported`);
  if (error instanceof CatalogError || error instanceof StoreError) return error;
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new StoreError(`no space is left for ${root}: free some and try again`, { cause: error });
  if (code === 'ENOENT') return new CatalogError('bad-request', `there is no ${path}: give the path of an image's file or directory`);
  if (['EACCES', 'EPERM', 'ELOOP', 'ENOTDIR', 'ENXIO', 'EISDIR'].includes(code ?? ''))
    return new CatalogError('bad-request', `cannot read ${path}: ${message}`);
  return error;
}

/** A layer that is read at most once, whatever images have it. */
interface Layer extends PlannedLayer {
  source: LayerSource;
  size: number;
  /** diffIDs, topmost first */
  below: string[];
}

type Done = { id: string; isNew: boolean };

class Import {
  private readonly threads: LayerThreads;
  private readonly counters = new BigInt64Array(new SharedArrayBuffer(8 * Counter.COUNT));
  private scratch: Scratch | undefined;
  private readonly added: string[] = [];

  constructor(
    private readonly catalog: Catalog,
    private readonly path: string,
    private readonly options: ImportOptions,
  ) {
    this.threads = new LayerThreads(catalog.root);
    this.counters[Counter.BUDGET] = options.maxSize === undefined ? UNLIMITED : BigInt(options.maxSize);
  }

  async run(): Promise<ImportResult> {
    const { catalog, options } = this;
    const lease = catalog.leases.take(`the import of ${this.path}`);
    const abort = (): void => void this.giveUp();
    options.signal?.addEventListener('abort', abort, { once: true });
    try {
      catalog.objects.prepare();
      fs.mkdirSync(join(catalog.root, 'layers'), { recursive: true, mode: 0o700 });
      return await this.import(lease);
    } catch (error) {
      await this.undo(lease).catch(() => undefined); // if there is no room even for that, prune finds what is left
      throw error;
    } finally {
      options.signal?.removeEventListener('abort', abort);
      await this.threads.end();
      catalog.leases.release(lease);
      await this.scratch?.remove();
    }
  }

  private async import(lease: LeaseId): Promise<ImportResult> {
    const archive = await this.open();
    const planned = archive === undefined ? undefined : planOf(archive);
    if (planned === undefined) return this.importRoot(lease);
    this.checkTags(planned);
    const layers = layersOf(archive!, planned);
    const done = await this.readLayers(lease, layers);
    return this.commit(planned, done);
  }

  // ---- what the file is --------------------------------------------------------------------------------------------------------------------------

  /** Undefined: a tar of a root directory. */
  private async open(): Promise<Archive | undefined> {
    if (fs.statSync(this.path).isDirectory()) {
      const archive = new DirectoryArchive(this.path);
      if (!archive.has('oci-layout') && !archive.has('manifest.json'))
        throw new TarError(
          'it is a directory without an image in it (no oci-layout, no manifest.json): `ply layer add` takes one as a layer',
        );
      return archive;
    }
    const fd = openRegular(this.path);
    try {
      const head = Buffer.alloc(PIECE);
      const found = fs.readSync(fd, head, 0, PIECE, 0);
      const compression = compressionOf(head.subarray(0, found));
      const first = await firstName(decompressed(pieces(fd), compression));
      if (first === undefined || !LIKE_AN_ARCHIVE.test(first)) return undefined;
      return await TarArchive.open(compression === 'none' ? this.path : await this.unpacked(decompressed(pieces(fd), compression)));
    } finally {
      fs.closeSync(fd);
    }
  }

  /** An archive that is compressed as a whole: its members cannot be read where they lie. */
  private async unpacked(source: AsyncIterable<Buffer>): Promise<string> {
    this.scratch = await Scratch.make(this.catalog.root);
    const file = join(this.scratch.path, 'archive.tar');
    const fd = fs.openSync(file, 'wx', 0o600);
    try {
      for await (const piece of source) {
        this.options.signal?.throwIfAborted();
        this.counters[Counter.BUDGET] -= BigInt(piece.length);
        if (this.counters[Counter.BUDGET] < 0n)
          throw new TarError('it has more uncompressed bytes than are allowed (--max-size): a bomb, or give more');
        for (let at = 0; at < piece.length;) at += fs.writeSync(fd, piece, at);
        await new Promise(setImmediate);
      }
    } finally {
      fs.closeSync(fd);
    }
    return file;
  }

  private checkTags(planned: readonly PlannedImage[]): void {
    const { tags = [] } = this.options;
    if (tags.length > 0 && planned.length > 1) {
      const names = planned.map(({ tags: [name], id }) => name ?? shortId(id)).slice(0, 10);
      throw new CatalogError(
        'bad-request',
        `${this.path} holds ${planned.length} images (${names.join(', ')}): they cannot all get the name ${tags[0]}`,
      );
    }
    if (tags.length === 0) for (const image of planned) for (const tag of image.tags) checkImageName(tag);
  }

  // ---- layers ------------------------------------------------------------------------------------------------------------------------------------

  private async readLayers(lease: LeaseId, layers: readonly Layer[]): Promise<Map<string, Done>> {
    const { catalog } = this;
    const done = new Map<string, Promise<Done>>();
    const isThere = layers.filter(({ diffId }) => catalog.leases.holdLayer(lease, diffId));
    const reused = new Set(isThere.map(({ diffId }) => diffId));
    const bytes = layers.reduce((sum, { diffId, size }) => sum + (reused.has(diffId) ? 0 : size), 0);
    this.tell({ type: 'plan', layers: layers.length, reused: reused.size, bytes });
    for (const { diffId } of isThere) this.tell({ type: 'layer', id: diffId, reused: true });
    for (const layer of layers) {
      const { diffId } = layer;
      const work = reused.has(diffId) ? Promise.resolve({ id: diffId, isNew: false }) : this.readLayer(lease, layer, done);
      work.catch(() => undefined); // told below
      done.set(diffId, work);
    }
    await this.allOf([...done.values()]);
    const results = await Promise.all([...done].map(async ([id, work]) => [id, await work] as const));
    return new Map(results);
  }

  private async readLayer(lease: LeaseId, layer: Layer, done: ReadonlyMap<string, Promise<Done>>): Promise<Done> {
    const { diffId, blob, mediaType, source, below } = layer;
    try {
      const result = await addImportedLayer(this.catalog, this.threads, {
        ...{ source, lease, counters: this.counters, suspicious: this.options.maxSize === undefined, from: this.path },
        expected: { diffId, ...(blob !== undefined && { blob }) },
        blob: blob === undefined ? null : { ...blob, mediaType },
        lowers: async () => {
          for (const id of below) await done.get(id);
          return below;
        },
      });
      this.finished(result);
      return result;
    } catch (error) {
      if (error instanceof TarError) throw new TarError(`the layer sha256:${shortId(diffId)}…: ${error.message}`);
      throw error;
    }
  }

  private finished({ id, isNew }: Done): void {
    if (isNew) this.added.push(id);
    this.tell({ type: 'layer', id, reused: !isNew });
  }

  /** Tells how far they are; the first that fails ends the others. Resolves or rejects when none runs any more. */
  private async allOf(work: readonly Promise<Done>[]): Promise<void> {
    const timer = setInterval(() => this.tellProgress(), PROGRESS_MS);
    try {
      await Promise.all(work);
    } catch (error) {
      await this.giveUp();
      await Promise.allSettled(work);
      throw error;
    } finally {
      clearInterval(timer);
    }
    this.tellProgress();
  }

  private tellProgress(): void {
    const [bytes, files] = [Counter.BYTES, Counter.FILES].map((which) => Number(Atomics.load(this.counters, which)));
    this.tell({ type: 'progress', bytes, files });
  }

  private tell(event: ImportEvent): void {
    this.options.progress?.(event);
  }

  // ---- the end -----------------------------------------------------------------------------------------------------------------------------------

  /** A tar of a root directory has no config: it gets one, which depends on nothing but the tar and its time. */
  private async importRoot(lease: LeaseId): Promise<ImportResult> {
    const { catalog, counters, path, options } = this;
    const { size, mtime } = fs.statSync(path);
    this.tell({ type: 'plan', layers: 1, reused: 0, bytes: size });
    const work = addImportedLayer(catalog, this.threads, {
      ...{ lease, counters, suspicious: options.maxSize === undefined, expected: {}, blob: null, from: path },
      source: { file: path, offset: 0, length: size },
      lowers: () => Promise.resolve([]),
    });
    await this.allOf([work]);
    const layer = await work;
    this.finished(layer);
    const created = mtime.toISOString();
    const config = Buffer.from(
      JSON.stringify({
        created,
        architecture: architecture(),
        os: 'linux',
        config: {},
        rootfs: { type: 'layers', diff_ids: [`sha256:${layer.id}`] },
        history: [{ created, created_by: `ply import ${basename(path)}` }],
      }),
    );
    const planned = { id: sha256(config), config, layers: [{ name: path, diffId: layer.id, mediaType: '' }], tags: [] };
    return this.commit([planned], new Map([[layer.id, layer]]));
  }

  private async commit(planned: readonly PlannedImage[], done: ReadonlyMap<string, Done>): Promise<ImportResult> {
    await pauseAt('import:layers');
    this.options.signal?.throwIfAborted();
    const { images } = this.catalog;
    const added = this.catalog.transaction(() =>
      planned.map(({ id, config, layers, tags }): Image => {
        const topFirst = layers.map(({ diffId }) => diffId).reverse();
        return images.addImported({ id, config, layers: topFirst, tags: this.options.tags?.length ? this.options.tags : tags }).image;
      }),
    );
    await pauseAt('import:image');
    const layers = planned[0].layers.map(({ diffId }) => ({ id: diffId, reused: !done.get(diffId)!.isNew }));
    return { image: added[0], images: added, layers };
  }

  private giveUp(): Promise<void> {
    Atomics.store(this.counters, Counter.CANCELLED, 1n);
    return this.threads.end();
  }

  /** What this import put into the store, and nobody else uses, goes. */
  private async undo(lease: LeaseId): Promise<void> {
    const { catalog } = this;
    await this.giveUp();
    catalog.leases.release(lease);
    const unused = new Set(catalog.layers.unused());
    for (const id of this.added.reverse()) if (unused.has(id)) removeLayer(catalog, id);
    await removeUnusedObjects(catalog);
  }
}

/** What a tar of an image begins with; a root directory's hardly does, and if it has no manifest it is taken for one all the same. */
const LIKE_AN_ARCHIVE = /^(\.\/)*(blobs(\/|$)|oci-layout$|index\.json$|manifest\.json$|repositories$|[0-9a-f]{64}(\.tar|\.json|\/|$))/;

/** Of the tar's first entry; undefined: it has none. */
async function firstName(source: AsyncIterable<Buffer>): Promise<string | undefined> {
  let name: string | undefined;
  const nothing = (): void => undefined;
  const reader = new TarReader({ raw: nothing, entry: ({ path }) => void (name ??= path.toString()), content: nothing, end: nothing });
  for await (const piece of source) {
    reader.push(piece);
    if (name !== undefined || reader.isOver) return name;
  }
  return name;
}

async function* pieces(fd: number): AsyncGenerator<Buffer> {
  for (let at = 0; ;) {
    const piece = Buffer.allocUnsafeSlow(PIECE);
    const found = fs.readSync(fd, piece, 0, PIECE, at);
    if (found === 0) return;
    at += found;
    yield piece.subarray(0, found);
    await new Promise(setImmediate);
  }
}

/** Each once, those of an image from below. */
function layersOf(archive: Archive, planned: readonly PlannedImage[]): Layer[] {
  const layers = new Map<string, Layer>();
  for (const image of planned) {
    for (const [i, layer] of image.layers.entries()) {
      if (layers.has(layer.diffId)) continue;
      const below = image.layers.slice(0, i).map(({ diffId }) => diffId);
      layers.set(layer.diffId, { ...layer, ...archive.source(layer.name), below: below.reverse() });
    }
  }
  return [...layers.values()];
}

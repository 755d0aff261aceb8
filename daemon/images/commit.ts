/**
 * `ply commit`: an image of a container, with one layer more than the container's image has.
 *
 * The layer is made as an imported one is: a tar of the upper (layer-tar.ts, in a child process) goes through the reader of layers. So the store cannot
 * tell the two apart. A container that runs is not paused: each file is read whole as it is at some moment, as with `docker commit --pause=false`.
 */
import fs from 'node:fs';
import { native } from '../../native-bindings/index';
import type { CommitProgress, CommitRequest, CommitResult, Container, Layer } from '../api/types';
import type { Containers } from '../mounts/containers';
import type { Events } from '../mounts/events';
import { pauseAt } from '../mounts/pause';
import type { ContainerTrees } from '../mounts/diff';
import { type Catalog, checkImageName, type Id, type LeaseId, StoreError } from '../store';
import { runChild } from '../store/child';
import { committedConfig, diffIds, serialised } from './config';
import type { Working } from './export';
import { CHILD, configOf, exportedLayers, whileLeased } from './images';
import { addImportedLayer, type LayerRequest } from './imported-layer';
import { Counter } from './layer-reader';
import { LayerThreads } from './layer-threads';
import type { Task } from './work';

export interface Committing {
  catalog: Catalog;
  containers: Containers;
  events: Events;
}

export function commitContainer(
  { catalog, containers, events }: Committing,
  ref: string,
  request: CommitRequest,
  working: Working<CommitProgress>,
): Promise<CommitResult> {
  return containers.hold(ref, async (container) => {
    const { tag } = request;
    if (tag !== undefined) checkImageName(tag);
    const image = catalog.images.get(container.image);
    const { config } = configOf(catalog, image);
    committedConfig(config, wordsOf(container, request), [], new Date()); // what is wrong with the changes is said before anything is done
    return whileLeased(catalog, `the commit of the container ${container.name}`, image.layers, async (lease) => {
      const below = await lowerIds(catalog, image.id, working.signal);
      const { layer, reused } = await addLayer(catalog, container, containers.trees(container), lease, working);
      await pauseAt('commit:layer');
      const { bytes, id } = serialised(committedConfig(config, wordsOf(container, request), [...below, layer.id], new Date()));
      const made = catalog.images.addImported({
        id,
        config: bytes,
        layers: [layer.id, ...image.layers],
        tags: tag === undefined ? [] : [tag],
      });
      await pauseAt('commit:image');
      events.emit({ type: 'image.create', id, ...(tag !== undefined && { name: tag }) });
      return { image: made.image, layer, reused };
    });
  });
}

function wordsOf({ name }: Container, { author, message, changes = [] }: CommitRequest): Parameters<typeof committedConfig>[1] {
  return { container: name, author, message, changes };
}

/** DiffIDs of an image's layers, the lowest first. Those of directories are not known yet where the image has no config: their tars are made for it. */
async function lowerIds(catalog: Catalog, image: Id, signal: AbortSignal): Promise<Id[]> {
  const { bytes, config } = configOf(catalog, catalog.images.get(image));
  if (bytes !== undefined) return diffIds(config);
  const task: Task = { kind: 'digests', layers: exportedLayers(catalog, catalog.images.get(image).layers) };
  return runChild<unknown, Id[]>(CHILD, task, { about: image, signal });
}

async function addLayer(
  catalog: Catalog,
  { name, id, image }: Container,
  trees: ContainerTrees,
  lease: LeaseId,
  { report, signal }: Working<CommitProgress>,
): Promise<{ layer: Layer; reused: boolean }> {
  catalog.objects.prepare();
  const ends = new Int32Array(2);
  const made = native.socketpair(ends);
  if (made < 0) throw new StoreError(`cannot make a pipe for the layer (errno ${-made})`);
  const [from, to] = ends;
  const task: Task = { kind: 'tar', trees };
  let writing: Promise<unknown>;
  try {
    writing = runChild<CommitProgress, unknown>(CHILD, task, { about: id, output: to, onProgress: report, signal });
  } catch (error) {
    fs.closeSync(from);
    throw error;
  } finally {
    fs.closeSync(to);
  }
  const request: LayerRequest = {
    source: { fd: from },
    expected: {},
    from: `the container ${name}`,
    blob: null,
    lowers: () => Promise.resolve(catalog.images.get(image).layers),
    counters: unlimited(),
    suspicious: false,
    lease,
  };
  const threads = new LayerThreads(catalog.root);
  // Closed as soon as nobody reads any more: the child waits for that, or fails by it.
  const adding = addImportedLayer(catalog, threads, request).finally(() => fs.closeSync(from));
  const [added, written] = await Promise.allSettled([adding, writing]);
  await threads.end();
  // Who breaks off first has the reason; the other only sees that its peer has gone.
  if (written.status === 'rejected' && (written.reason instanceof StoreError || signal.aborted || added.status === 'fulfilled'))
    throw written.reason as Error;
  if (added.status === 'rejected') throw added.reason as Error;
  return { layer: catalog.layers.get(added.value.id), reused: !added.value.isNew };
}

/** The container is on this machine already: whatever it has is welcome. */
function unlimited(): LayerRequest['counters'] {
  const counters = new BigInt64Array(new SharedArrayBuffer(Counter.COUNT * BigInt64Array.BYTES_PER_ELEMENT));
  counters[Counter.BUDGET] = BigInt(Number.MAX_SAFE_INTEGER);
  return counters;
}

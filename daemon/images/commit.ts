/**
 * `ply commit`: an image of a container, with one layer more than the container's image has.
 *
 * The layer is made as an imported one is: a tar of the upper (layer-tar.ts, in a child process) goes through the reader of layers. So the store cannot
 * tell the two apart. A container that runs is not paused: each file is read whole as it is at some moment, as with `docker commit --pause=false`.
 */
import type { CommitProgress, CommitRequest, CommitResult, Container } from '../api/types';
import type { Containers } from '../mounts/containers';
import type { Events } from '../mounts/events';
import { pauseAt } from '../mounts/pause';
import { type Catalog, checkImageName, type Id } from '../store';
import { runChild } from '../store/child';
import { committedConfig, diffIds, serialised } from './config';
import type { Working } from './export';
import { CHILD, configOf, exportedLayers, whileLeased } from './images';
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
      const { layer, reused } = await addLayer(catalog, containers, container, lease, working);
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

function addLayer(..._: unknown[]): Promise<{ layer: import('../api/types').Layer; reused: boolean }> {
  throw new Error('not yet');
}

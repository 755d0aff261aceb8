/** What the API can do: types.ts has the list for people. */
import { z } from 'zod';
import { commitContainer } from '../images/commit';
import { exportImage } from '../images/export';
import { history, tree } from '../images/images';
import { describeImage } from '../images/inspect';
import type { Containers } from '../mounts/containers';
import type { Events } from '../mounts/events';
import { bytes, type Keeper } from '../mounts/keeper';
import { snapshotUsage } from '../mounts/snapshot-directories';
import { importImage } from '../images/import';
import { prune } from '../images/prune';
import { fsck, usage } from '../images/store-work';
import { addLayer, type Catalog, removeLayer, shortId, verifyLayer } from '../store';
import { openApi } from './openapi';
import { HttpError } from './errors';
import type { Metrics } from './metrics';
import { type Route, route, stream, text, work } from './route';
import * as S from './schemas';
import type { Info, Stats } from './types';

export interface Daemon {
  catalog: Catalog;
  keeper: Keeper;
  containers: Containers;
  events: Events;
  info: () => Info;
  stats: () => Promise<Stats>;
  /** why plyd cannot do its work; nothing: it can */
  hindrances: () => Promise<string[]>;
  metrics: Metrics;
}

export function routes(daemon: Daemon): Route[] {
  const all: Route[] = [
    route({
      method: 'GET',
      path: '/v1/info',
      summary: 'The daemon, its engines and what it holds',
      answer: S.Info,
      fails: [],
      handle: () => daemon.info(),
    }),
    route({
      method: 'GET',
      path: '/v1/openapi.json',
      summary: 'This document',
      answer: S.OpenApi,
      fails: [],
      handle: () => openApi(all, daemon.info().version),
    }),
    stream({
      method: 'GET',
      path: '/v1/events',
      summary: 'What happens, a line of JSON for each; with `since`, what happened after that one comes first',
      query: z.strictObject({ since: S.number }),
      answer: S.Event,
      fails: [],
      handle: ({ query }) => {
        const since = query.since === undefined ? undefined : Number(query.since);
        return (listener) => daemon.events.listen(since, listener);
      },
    }),
    ...watchRoutes(daemon),
    ...mountRoutes(daemon),
    ...layerRoutes(daemon),
    ...imageRoutes(daemon),
    ...containerRoutes(daemon),
    ...storeRoutes(daemon),
  ];
  return all;
}

function watchRoutes({ catalog, info, stats, hindrances, metrics }: Daemon): Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/healthz',
      summary: 'Does plyd answer?',
      answer: S.Health,
      fails: [],
      handle: () => ({ alive: true as const }),
    }),
    route({
      method: 'GET',
      path: '/v1/readyz',
      summary: 'Can plyd do its work: is the store usable, do all engines answer? If not, 503 says why',
      answer: S.Readiness,
      fails: [503],
      handle: async () => {
        const reasons = await hindrances();
        if (reasons.length > 0) throw new HttpError('unavailable', reasons.join('; '));
        return { ready: true as const };
      },
    }),
    route({
      method: 'GET',
      path: '/v1/stats',
      summary: 'What engines have counted, of each mount, and how long operations take',
      answer: S.Stats,
      fails: [],
      handle: stats,
    }),
    text({
      method: 'GET',
      path: '/v1/metrics',
      summary: "The same for Prometheus, and requests to this API, in Prometheus' text format",
      answer: S.Metrics,
      fails: [],
      handle: async () => metrics.text(info(), await stats(), catalog.sizes()),
    }),
  ];
}

function mountRoutes({ keeper, events }: Daemon): Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/mounts',
      summary: 'All mounts, those of containers too',
      answer: S.MountList,
      fails: [],
      handle: () => ({ mounts: keeper.all() }),
    }),
    route({
      method: 'POST',
      path: '/v1/mounts',
      summary: 'Mounts directories on one another',
      body: S.MountRequest,
      answer: S.Mount,
      status: 201,
      fails: [409, 413, 422],
      handle: async ({ body }) => {
        const mount = await keeper.add(body);
        events.emit({ type: 'mount', id: mount.id, name: mount.mountpoint });
        return mount;
      },
    }),
    route({
      method: 'DELETE',
      path: '/v1/mounts/{id}',
      summary: 'Unmounts; `lazy` detaches what is in use',
      query: z.strictObject({ lazy: S.yesOrNo }),
      fails: [404, 409, 422],
      handle: async ({ ref, query }) => {
        const { id, mountpoint } = await keeper.remove(ref, query.lazy === 'true');
        events.emit({ type: 'umount', id, name: mountpoint });
        return undefined;
      },
    }),
  ];
}

function layerRoutes({ catalog, keeper, events }: Daemon): Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/layers',
      summary: 'All layers',
      answer: S.LayerList,
      fails: [],
      handle: () => ({ layers: catalog.layers.all() }),
    }),
    route({
      method: 'POST',
      path: '/v1/layers',
      summary: 'Adds a directory as a layer: it is indexed, which takes time, and must not change from then on',
      body: S.LayerRequest,
      answer: S.Layer,
      status: 201,
      fails: [409, 413],
      handle: async ({ body, signal }) => {
        await keeper.supervisor.blocking.call('isDead', { path: bytes(body.path) }); // if a file system hangs, it is not us who waits
        const layer = await addLayer(catalog, body, { signal });
        events.emit({ type: 'layer.add', id: layer.id, name: layer.name ?? body.path });
        return layer;
      },
    }),
    route({
      method: 'GET',
      path: '/v1/layers/{ref}',
      summary: 'One layer',
      answer: S.Layer,
      fails: [404],
      handle: ({ ref }) => catalog.layers.get(ref),
    }),
    route({
      method: 'DELETE',
      path: '/v1/layers/{ref}',
      summary: 'Forgets a layer that no image is made of; its directory stays',
      fails: [404, 409],
      handle: ({ ref }) => {
        const layer = removeLayer(catalog, ref);
        events.emit({ type: 'layer.rm', id: layer.id, name: layer.name ?? layer.path ?? shortId(layer.id) });
        return undefined;
      },
    }),
    route({
      method: 'POST',
      path: '/v1/layers/{ref}/verify',
      summary: 'Compares a layer with what it was when it was added',
      answer: S.LayerVerification,
      fails: [404, 413],
      handle: ({ ref, signal }) => verifyLayer(catalog, ref, { signal }),
    }),
  ];
}

function imageRoutes({ catalog, events }: Daemon): Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/images',
      summary: 'All images',
      answer: S.ImageList,
      fails: [],
      handle: () => ({ images: catalog.images.all() }),
    }),
    route({
      method: 'POST',
      path: '/v1/images',
      summary: 'Makes an image of layers, the topmost first',
      body: S.ImageRequest,
      answer: S.Image,
      status: 201,
      fails: [404, 409, 413],
      handle: ({ body }) => {
        const image = catalog.images.create(body);
        events.emit({ type: 'image.create', id: image.id, name: body.name });
        return image;
      },
    }),
    route({
      method: 'GET',
      path: '/v1/images/{ref}',
      summary: 'One image: its config, and where each of its layers came from',
      answer: S.ImageDetail,
      fails: [404],
      handle: ({ ref }) => describeImage(catalog, ref),
    }),
    route({
      method: 'POST',
      path: '/v1/images/{ref}/tag',
      summary: 'Gives an image a further name; one that another image has moves',
      body: S.TagRequest,
      answer: S.Image,
      fails: [404, 413],
      handle: ({ ref, body }) => {
        const image = catalog.images.tag(ref, body.name);
        events.emit({ type: 'image.tag', id: image.id, name: body.name });
        return image;
      },
    }),
    route({
      method: 'DELETE',
      path: '/v1/images/{ref}',
      summary: 'Forgets an image that no container is made of, its layers stay; of one with several names only that by which it is called',
      answer: S.ImageRemoval,
      fails: [404, 409],
      handle: ({ ref }) => {
        const removal = catalog.images.remove(ref);
        const { id, removed, untagged } = removal;
        for (const name of untagged) events.emit({ type: 'image.untag', id, name });
        if (removed) events.emit({ type: 'image.rm', id, ...(untagged.length > 0 && { name: untagged[0] }) });
        return removal;
      },
    }),
    route({
      method: 'GET',
      path: '/v1/images/{ref}/history',
      summary: 'The steps that made an image, the newest first; those that made no layer too',
      answer: S.HistoryList,
      fails: [404],
      handle: ({ ref }) => ({ history: history(catalog, ref) }),
    }),
    work({
      method: 'GET',
      path: '/v1/images/{ref}/tree',
      summary: 'Which layer each path comes from (lines of entries), and in the end what each layer adds, hides and wastes',
      progress: S.TreeEntries,
      result: S.ImageTree,
      line: S.TreeLine,
      fails: [404],
      handle: ({ ref, signal }, report) => tree(catalog, ref, report, signal),
    }),
    work({
      method: 'POST',
      path: '/v1/images/{ref}/export',
      summary: 'Writes an image to a file or directory of this machine, which appears whole or not at all',
      body: S.ExportRequest,
      progress: S.ExportProgress,
      result: S.ExportResult,
      line: S.ExportLine,
      fails: [404, 413],
      handle: ({ ref, body, signal }, report) => exportImage(catalog, ref, body, { report, signal }),
    }),
  ];
}

const repairing = z.strictObject({ repair: S.yesOrNo });

function storeRoutes({ catalog, keeper, containers, events }: Daemon): Route[] {
  return [
    work({
      method: 'POST',
      path: '/v1/images/import',
      summary: 'Imports the image that a file or directory holds: OCI layout, docker-archive, or tar of a root directory',
      body: S.ImportRequest,
      progress: S.ImportEvent,
      result: S.ImportResult,
      line: S.ImportLine,
      fails: [413],
      handle: async ({ body, signal }, report) => {
        const { path, tags, maxSize } = body;
        const result = await importImage(catalog, path, { tags, maxSize, signal, progress: report });
        for (const { id, name } of result.images) events.emit({ type: 'image.import', id, ...(name !== null && { name }) });
        return result;
      },
    }),
    route({
      method: 'POST',
      path: '/v1/prune',
      summary: 'Removes what nothing refers to: images without a name (with `all`: without a container), layers, objects, leftovers',
      query: z.strictObject({ all: S.yesOrNo }),
      answer: S.Pruned,
      fails: [413],
      handle: async ({ query }) => {
        const pruned = await prune(catalog, query.all === 'true');
        events.emit({ type: 'prune', id: '', detail: `${pruned.bytes} bytes` });
        return pruned;
      },
    }),
    work({
      method: 'POST',
      path: '/v1/fsck',
      summary:
        'Verifies catalog, indexes, objects and the directories of containers and snapshots; `repair` removes what is damaged or left over',
      query: repairing,
      progress: S.FsckEvent,
      result: S.FsckResult,
      line: S.FsckLine,
      fails: [413],
      handle: ({ query, signal }, report) => fsck(catalog, { repair: query.repair === 'true', signal, progress: report }),
    }),
    route({
      method: 'GET',
      path: '/v1/df',
      summary: 'What the store holds, and what would be freed; `verbose` lists images, layers, containers and snapshots',
      query: z.strictObject({ verbose: S.yesOrNo }),
      answer: S.DiskUsage,
      fails: [],
      handle: async ({ query }) => {
        const isVerbose = query.verbose === 'true';
        const [store, written, snapshots] = await Promise.all([
          usage(catalog, isVerbose),
          containers.usage(),
          snapshotUsage(catalog, keeper.supervisor.blocking),
        ]);
        return {
          ...{ ...store, containers: written.row, snapshots: snapshots.row },
          ...(isVerbose && { containerList: written.list, snapshotList: snapshots.list }),
        };
      },
    }),
  ];
}

function containerRoutes({ catalog, containers, events }: Daemon): Route[] {
  const size = z.strictObject({ size: S.yesOrNo });
  return [
    route({
      method: 'GET',
      path: '/v1/containers',
      summary: 'All containers; with `size`, what each wrote',
      query: size,
      answer: S.ContainerList,
      fails: [],
      handle: async ({ query }) => {
        const all = catalog.containers.all();
        return { containers: query.size === 'true' ? await Promise.all(all.map((one) => containers.withSize(one))) : all };
      },
    }),
    route({
      method: 'POST',
      path: '/v1/containers',
      summary: 'Makes a container of an image',
      body: S.ContainerRequest,
      answer: S.Container,
      status: 201,
      fails: [404, 409, 413],
      handle: ({ body }) => containers.create(body),
    }),
    route({
      method: 'GET',
      path: '/v1/containers/{ref}',
      summary: 'One container; with `size`, what it wrote',
      query: size,
      answer: S.ContainerDetail,
      fails: [404],
      handle: async ({ ref, query }) => {
        const container = containers.detail(catalog.containers.get(ref));
        return query.size === 'true' ? { ...container, ...(await containers.withSize(container)) } : container;
      },
    }),
    route({
      method: 'DELETE',
      path: '/v1/containers/{ref}',
      summary: 'Removes a container and what it wrote; `force` stops it first, whoever uses it',
      query: z.strictObject({ force: S.yesOrNo }),
      fails: [404, 409],
      handle: async ({ ref, query }) => {
        await containers.remove(ref, query.force === 'true');
        return undefined;
      },
    }),
    route({
      method: 'POST',
      path: '/v1/containers/{ref}/start',
      summary: "Mounts a container's file system: `mountpoint` says where. One that is running stays as it is",
      answer: S.Container,
      fails: [404, 409, 413, 422],
      handle: ({ ref }) => containers.start(ref),
    }),
    route({
      method: 'POST',
      path: '/v1/containers/{ref}/stop',
      summary: "Unmounts a container's file system; `lazy` detaches one that is in use. One that is not running stays as it is",
      query: z.strictObject({ lazy: S.yesOrNo }),
      answer: S.Container,
      fails: [404, 409, 413, 422],
      handle: ({ ref, query }) => containers.stop(ref, query.lazy === 'true'),
    }),
    route({
      method: 'GET',
      path: '/v1/containers/{ref}/diff',
      summary: 'How a container differs from its image',
      answer: S.ChangeList,
      fails: [404],
      handle: async ({ ref }) => ({ changes: await containers.changes(ref) }),
    }),
    work({
      method: 'POST',
      path: '/v1/containers/{ref}/commit',
      summary: 'Makes an image of a container: its own layers, and one more of what it wrote. It may be running',
      body: S.CommitRequest,
      progress: S.CommitProgress,
      result: S.CommitResult,
      line: S.CommitLine,
      fails: [404, 409, 413],
      handle: ({ ref, body, signal }, report) => commitContainer({ catalog, containers, events }, ref, body, { report, signal }),
    }),
  ];
}

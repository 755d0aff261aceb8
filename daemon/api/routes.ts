/** What the API can do: types.ts has the list for people. */
import { z } from 'zod';
import type { Containers } from '../mounts/containers';
import type { Events } from '../mounts/events';
import { bytes, type Keeper } from '../mounts/keeper';
import { importImage } from '../images/import';
import { prune } from '../images/prune';
import { fsck, usage } from '../images/store-work';
import { addLayer, type Catalog, removeLayer, shortId, verifyLayer } from '../store';
import { openApi } from './openapi';
import { type Route, route, stream, work } from './route';
import * as S from './schemas';
import type { Info } from './types';

export interface Daemon {
  catalog: Catalog;
  keeper: Keeper;
  containers: Containers;
  events: Events;
  info: () => Info;
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
    ...mountRoutes(daemon),
    ...layerRoutes(daemon),
    ...imageRoutes(daemon),
    ...containerRoutes(daemon),
    ...storeRoutes(daemon),
  ];
  return all;
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
      summary: 'One image',
      answer: S.Image,
      fails: [404],
      handle: ({ ref }) => catalog.images.get(ref),
    }),
    route({
      method: 'DELETE',
      path: '/v1/images/{ref}',
      summary: 'Forgets an image that no container is made of; its layers stay',
      fails: [404, 409],
      handle: ({ ref }) => {
        const { id, name } = catalog.images.get(ref);
        catalog.images.remove(ref);
        events.emit({ type: 'image.rm', id, ...(name !== null && { name }) });
        return undefined;
      },
    }),
  ];
}

const repairing = z.strictObject({ repair: S.yesOrNo });

function storeRoutes({ catalog, containers, events }: Daemon): Route[] {
  return [
    work({
      method: 'POST',
      path: '/v1/images/import',
      summary: 'Imports the image that a file or directory holds: OCI layout, docker-archive, or tar of a root directory',
      body: S.ImportRequest,
      answer: S.ImportLine,
      fails: [413],
      handle: async ({ body, signal }, tell) => {
        const { path, tags, maxSize } = body;
        const result = await importImage(catalog, path, { tags, maxSize, signal, progress: tell });
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
      summary: 'Verifies catalog, indexes, objects and the directories of containers; `repair` removes what is damaged or left over',
      query: repairing,
      answer: S.FsckLine,
      fails: [413],
      handle: ({ query, signal }, tell) => fsck(catalog, { repair: query.repair === 'true', signal, progress: tell }),
    }),
    route({
      method: 'GET',
      path: '/v1/df',
      summary: 'What the store holds, and what would be freed; `verbose` lists images, layers and containers',
      query: z.strictObject({ verbose: S.yesOrNo }),
      answer: S.DiskUsage,
      fails: [],
      handle: async ({ query }) => {
        const isVerbose = query.verbose === 'true';
        const [store, written] = await Promise.all([usage(catalog, isVerbose), containers.usage()]);
        return { ...store, containers: written.row, ...(isVerbose && { containerList: written.list }) };
      },
    }),
  ];
}

function containerRoutes({ catalog, containers }: Daemon): Route[] {
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
      answer: S.Container,
      fails: [404],
      handle: ({ ref, query }) => {
        const container = catalog.containers.get(ref);
        return query.size === 'true' ? containers.withSize(container) : container;
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
  ];
}

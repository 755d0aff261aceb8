/** All of one object, as `inspect` shows it. */
import type { ContainerDetail, ImageDetail, Layer, Mount, StackedLayer } from '../daemon/api/types';
import { fields, type Paint, shortId, size } from './format';
import { moment, mountState, status, written } from './shown';

const textOf = (cell: ReturnType<typeof status>): string => (typeof cell === 'string' ? cell : cell.text);

export function describeContainer(container: ContainerDetail, paint: Paint): string {
  return fields(
    [
      ['Container', container.name],
      ['Id', container.id],
      ['Image', container.imageName === container.image ? container.image : `${container.imageName} (${container.image})`],
      ['Status', textOf(status(container))],
      ['Created', moment(container.createdAt)],
      ['Started', moment(container.startedAt)],
      ['Mountpoint', container.mountpoint],
      ['Lower', container.graphDriver.data.lowerDir],
      ['Upper', container.upper],
      ['Work', container.work],
      ['Options', container.options],
      ['Written', container.size && written(container.size)],
    ],
    paint,
  );
}

export function describeImage(image: ImageDetail, paint: Paint): string {
  const { config = null, architecture, os } = image.config ?? {};
  const settings = Object.entries((config ?? {}) as Record<string, unknown>).filter(([, value]) => value !== null && value !== '');
  return fields(
    [
      ['Image', image.names.length > 0 ? image.names : '<none>'],
      ['Id', image.id],
      ['Digest', image.digest],
      ['Created', moment(image.createdAt)],
      ['Platform', [os, architecture].filter((word) => typeof word === 'string').join('/')],
      ['Size', `${size(image.size)}, of which ${size(image.uniqueSize)} in layers that no other image has`],
      ['Containers', String(image.containers)],
      ['Layers', [...image.stack].reverse().map(describeStacked)],
      ['Chain ids', image.stack.flatMap(({ chainId }) => chainId ?? []).reverse()],
      ['Config', settings.map(([name, value]) => `${name}=${JSON.stringify(value)}`)],
    ],
    paint,
  );
}

function describeStacked({ layer, diffId, source, size: bytes, blob }: StackedLayer): string {
  const read = blob === null ? '' : ` (${blob.mediaType}, ${size(blob.size)}, sha256:${shortId(blob.digest)})`;
  return `${diffId ?? layer}  ${size(bytes)}  from ${source}${read}`;
}

export function describeLayer(layer: Layer, paint: Paint): string {
  return fields(
    [
      ['Layer', layer.name ?? layer.id],
      ['Id', layer.id],
      ['Path', layer.path],
      ['Source', layer.source],
      ['Created', moment(layer.createdAt)],
      ['Entries', String(layer.entries)],
      ['Files', String(layer.files)],
      ['Size', size(layer.size)],
      ['Tree digest', layer.treeDigest],
    ],
    paint,
  );
}

export function describeMount(mount: Mount, paint: Paint): string {
  return fields(
    [
      ['Mount', mount.id],
      ['Mountpoint', mount.mountpoint],
      ['State', textOf(mountState(mount))],
      ['Lower', mount.lower],
      ['Upper', mount.upper],
      ['Work', mount.work],
      ['Options', mount.options],
      ['Container', mount.container],
      ['Snapshot', mount.snapshot],
      ['Created', moment(mount.createdAt)],
    ],
    paint,
  );
}

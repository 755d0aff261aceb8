/** All of one object, as `inspect` shows it. */
import type { Container, Image, Layer, Mount } from '../daemon/api/types';
import { fields, type Paint, size } from './format';
import { moment, mountState, status, written } from './shown';

const textOf = (cell: ReturnType<typeof status>): string => (typeof cell === 'string' ? cell : cell.text);

export function describeContainer(container: Container, paint: Paint): string {
  return fields(
    [
      ['Container', container.name],
      ['Id', container.id],
      ['Image', container.imageName === container.image ? container.image : `${container.imageName} (${container.image})`],
      ['Status', textOf(status(container))],
      ['Created', moment(container.createdAt)],
      ['Started', moment(container.startedAt)],
      ['Mountpoint', container.mountpoint],
      ['Upper', container.upper],
      ['Work', container.work],
      ['Options', container.options],
      ['Written', container.size && written(container.size)],
    ],
    paint,
  );
}

export function describeImage(image: Image, paint: Paint): string {
  return fields(
    [
      ['Image', image.name ?? image.id],
      ['Id', image.id],
      ['Created', moment(image.createdAt)],
      ['Layers', image.layers],
      ['Size', size(image.size)],
      ['Containers', String(image.containers)],
    ],
    paint,
  );
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
      ['Created', moment(mount.createdAt)],
    ],
    paint,
  );
}

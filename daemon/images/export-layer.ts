/** The tar of a layer that there is: of an imported one byte for byte as it was, of a directory as it comes out of layer-tar.ts. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import { type ContainerTrees, openTrees } from '../mounts/diff';
import { TreeReader } from '../mounts/tree-reader';
import { type Id, LayerIndex, Objects, StoreError } from '../store';
import { readFraming } from '../store/framing';
import { layerTar } from './layer-tar';

export type ExportedLayer =
  | { kind: 'imported'; id: Id; directory: string; root: string }
  /** `trees`: it as the upper, over the layers below it */
  | { kind: 'directory'; id: Id; index: string; trees: ContainerTrees };

export function layerChunks(layer: ExportedLayer): Generator<Buffer, void> {
  return layer.kind === 'imported' ? framedTar(layer.directory, layer.root) : directoryTar(layer);
}

const CHUNK_BYTES = 256 * 1024;

function* framedTar(directory: string, root: string): Generator<Buffer, void> {
  const objects = new Objects(root);
  for (const part of readFraming(join(directory, 'framing'))) {
    if ('raw' in part) yield part.raw;
    else yield* content(objects, part.digest, part.size);
  }
}

function* content(objects: Objects, digest: Buffer, size: number): Generator<Buffer, void> {
  const fd = openObject(objects, digest);
  try {
    for (let at = 0; at < size;) {
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size - at));
      const found = fs.readSync(fd, chunk, 0, chunk.length, at);
      if (found === 0) throw damaged(objects, digest, 'is shorter than it should be');
      at += found;
      yield chunk.subarray(0, found);
    }
  } finally {
    fs.closeSync(fd);
  }
}

function openObject(objects: Objects, digest: Buffer): number {
  try {
    return objects.open(digest);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw damaged(objects, digest, 'is missing');
  }
}

function damaged(objects: Objects, digest: Buffer, how: string): StoreError {
  return new StoreError(`${objects.path(digest)} ${how}: import the image again`);
}

/** Contents are held against the index: a tar of a directory that has changed would be another layer. */
function* directoryTar({ id, index, trees }: Extract<ExportedLayer, { kind: 'directory' }>): Generator<Buffer, void> {
  const rows = LayerIndex.open(index);
  try {
    const opened = openTrees(trees, new TreeReader(0));
    try {
      const watch = (path: string): { update: (chunk: Buffer) => void; end: () => void } => {
        const hash = createHash('sha256');
        const expected = rows.find(Buffer.from(path, 'latin1'))?.digest;
        return {
          update: (chunk) => void hash.update(chunk),
          end: () => {
            if (expected !== undefined && expected !== null && !expected.equals(hash.digest())) throw hasChanged(id, path);
          },
        };
      };
      yield* layerTar(opened, { watch });
    } finally {
      opened.close();
    }
  } finally {
    rows.close();
  }
}

function hasChanged(id: Id, path: string): StoreError {
  const shown = Buffer.from(path, 'latin1').toString();
  return new StoreError(
    `${shown} is not what it was when the layer ${id.slice(0, 12)} was added: \`ply layer verify\` says what has changed`,
  );
}

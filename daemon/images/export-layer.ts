/** The tar of a layer that there is: of an imported one byte for byte as it was, of a directory as it comes out of layer-tar.ts. */
import { createHash } from 'node:crypto';
import { type ContainerTrees, openTrees } from '../mounts/diff';
import { TreeReader } from '../mounts/tree-reader';
import { type Id, LayerIndex, StoreError } from '../store';
import { framedTar } from './framing';
import { layerTar } from './layer-tar';

export type ExportedLayer =
  | { kind: 'imported'; id: Id; directory: string; root: string }
  /** `trees`: it as the upper, over the layers below it */
  | { kind: 'directory'; id: Id; index: string; trees: ContainerTrees };

export function layerChunks(layer: ExportedLayer): Generator<Buffer, void> {
  return layer.kind === 'imported' ? framedTar(layer.directory, layer.root) : directoryTar(layer);
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
  return new StoreError(`${shown} is not what it was when the layer ${id.slice(0, 12)} was added: \`ply layer verify\` says what has changed`);
}

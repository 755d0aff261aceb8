/** All of an image: its config, and its layers with the digests by which the OCI image specification knows them. */
import { createHash } from 'node:crypto';
import type { ImageDetail, Layer, StackedLayer } from '../api/types';
import type { Catalog } from '../store';

export function describeImage(catalog: Catalog, ref: string): ImageDetail {
  const image = catalog.images.get(ref);
  const config = catalog.images.config(image.id);
  const layers = image.layers.map((id) => catalog.layers.get(id)).reverse();
  const chains = chainIds(layers.map(diffId));
  return {
    ...image,
    digest: config === undefined ? null : `sha256:${image.id}`,
    config: config === undefined ? null : (JSON.parse(config.toString('utf8')) as Record<string, unknown>),
    rootFS: { type: 'layers', layers: layers.map((layer) => diffId(layer) ?? `tree:${layer.treeDigest}`) },
    stack: layers.map((layer, at) => stacked(layer, chains[at])),
  };
}

function stacked(layer: Layer, chainId: string | null): StackedLayer {
  const { id, kind, path, source, size, blob } = layer;
  return { layer: id, kind, diffId: diffId(layer), chainId, source: path ?? source ?? '', size, blob };
}

function diffId({ id, kind }: Layer): string | null {
  return kind === 'imported' ? `sha256:${id}` : null;
}

/**
 * ChainID(L0) = DiffID(L0); ChainID(L0|…|Ln) = sha256(ChainID(L0|…|Ln-1) + " " + DiffID(Ln)); from the bottom. A directory has no diffID: from there on
 * there is none.
 */
export function chainIds(diffIds: readonly (string | null)[]): (string | null)[] {
  const chains: (string | null)[] = [];
  for (const [at, diffId] of diffIds.entries()) {
    const below = at === 0 ? undefined : chains[at - 1];
    if (diffId === null || below === null) chains.push(null);
    else if (below === undefined) chains.push(diffId);
    else chains.push(`sha256:${createHash('sha256').update(`${below} ${diffId}`).digest('hex')}`);
  }
  return chains;
}

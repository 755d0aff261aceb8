/** Images' configs (OCI image specification, config.md): made for what is committed, and read for what people want to know. */
import { createHash } from 'node:crypto';
import type { HistoryEntry, Image, Layer } from '../api/types';
import { type Id, StoreError } from '../store';
import { changed, type RunConfig } from './instructions';

interface HistoryRow {
  created?: string;
  created_by?: string;
  author?: string;
  comment?: string;
  empty_layer?: boolean;
}

/** Fields that are not named here stay as they are. */
export interface ImageConfig {
  created?: string;
  author?: string;
  architecture?: string;
  os?: string;
  config?: RunConfig | null;
  rootfs?: { type: string; diff_ids: string[] };
  history?: HistoryRow[] | null;
  [other: string]: unknown;
}

/** Node's names for processors, as Go has them. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };

export function parseConfig(bytes: Buffer): ImageConfig {
  const config: unknown = JSON.parse(bytes.toString());
  if (typeof config !== 'object' || config === null || Array.isArray(config)) throw new StoreError("an image's config is no JSON object");
  return config as ImageConfig;
}

/** Of an image of directories, which has none: as far as it is known. */
export function plainConfig(image: Pick<Image, 'createdAt'>, layers: readonly Pick<Layer, 'createdAt' | 'name' | 'path'>[]): ImageConfig {
  return {
    created: image.createdAt,
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    os: 'linux',
    config: {},
    history: layers.map((layer) => ({ created: layer.createdAt, created_by: addedBy(layer) })).reverse(),
  };
}

const addedBy = ({ name, path }: Pick<Layer, 'name' | 'path'>): string => `ply layer add ${path ?? name ?? ''}`.trimEnd();

export interface CommitWords {
  container: string;
  author?: string | undefined;
  message?: string | undefined;
  changes: readonly string[];
}

/** The config of an image with one more layer. `diffIds`: of all of its layers, the lowest first. */
export function committedConfig(
  base: ImageConfig,
  { container, author, message, changes }: CommitWords,
  diffIds: readonly Id[],
  now: Date,
): ImageConfig {
  const created = now.toISOString();
  const row: HistoryRow = {
    created,
    created_by: `ply commit ${container}`,
    ...(author !== undefined && { author }),
    ...(message !== undefined && { comment: message }),
  };
  return {
    ...base,
    created,
    ...(author !== undefined && { author }),
    config: changed(base.config ?? {}, changes),
    rootfs: { type: 'layers', diff_ids: diffIds.map((id) => `sha256:${id}`) },
    history: [...(base.history ?? []), row],
  };
}

export function serialised(config: ImageConfig): { bytes: Buffer; id: Id } {
  const bytes = Buffer.from(JSON.stringify(config));
  return { bytes, id: createHash('sha256').update(bytes).digest('hex') };
}

/** Without "sha256:", the lowest first. */
export function diffIds(config: ImageConfig): Id[] {
  return (config.rootfs?.diff_ids ?? []).map((digest) => digest.replace(/^sha256:/, ''));
}

/** docker's: the newest first; a layer that the history does not tell of comes without words. */
export function historyOf(image: Image, layers: readonly Layer[], config: ImageConfig): HistoryEntry[] {
  const rest = [...layers].reverse();
  const entry = (row: HistoryRow, layer: Layer | undefined): HistoryEntry => ({
    id: null,
    created: time(row.created),
    createdBy: row.created_by ?? '',
    size: layer?.size ?? 0,
    comment: row.comment ?? '',
    author: row.author ?? '',
    layer: layer?.id ?? null,
  });
  const told = (config.history ?? []).map((row) => entry(row, row.empty_layer === true ? undefined : rest.shift()));
  const all = [...told, ...rest.map((layer) => entry({ created: layer.createdAt }, layer))].reverse();
  return all.map((one, i) => (i === 0 ? { ...one, id: image.id } : one));
}

/** As the API has it; null: the image does not say. */
function time(text: string | undefined): string | null {
  const parsed = text === undefined ? NaN : Date.parse(text);
  return Number.isNaN(parsed) || parsed <= 0 ? null : new Date(parsed).toISOString();
}

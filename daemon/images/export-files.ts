/** What an exported image is made of: an OCI image layout, or what `docker save` makes. Written in a child process (work.ts). */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { dirname } from 'node:path';
import { pauseAt } from '../mounts/pause';
import { type Id, StoreError } from '../store';
import { splitImageName } from '../store/schema';
import { type Archive, type Blob, DirectoryArchive, syncDirectory, TarArchive } from './export-archive';
import { compressed, type Compression, MEDIA_TYPES } from './compress';
import { diffIds, type ImageConfig, parseConfig, serialised } from './config';
import type { ExportFormat } from '../api/types';
import { type ExportedLayer, layerChunks } from './export-layer';

export interface ExportTask {
  kind: 'export';
  format: ExportFormat;
  compress: Compression;
  /** where it goes, and under which name it is written before: in the same directory */
  target: string;
  part: string;
  /** of the image, the first the one that people know it by */
  names: string[];
  /** as it was read; of an image that has none, what is to be made one of */
  config: Buffer | ImageConfig;
  /** the lowest first */
  layers: ExportedLayer[];
}

export interface ExportProgress {
  /** of the layers' tars, so far; and of how many, as far as that is known */
  bytes: number;
  totalBytes: number;
  layers: number;
  totalLayers: number;
}

export interface Exported {
  /** of the manifest (OCI) or of the config (docker) */
  digest: string;
  size: number;
  layers: { diffId: Id; blob: Blob }[];
}

const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json';

export async function exportFiles(task: ExportTask, progress: ExportProgress, breathe: () => Promise<void>): Promise<Exported> {
  const isDirectory = task.format === 'oci-dir';
  checkTarget(task.target, isDirectory);
  const archive: Archive = isDirectory ? new DirectoryArchive(task.part) : new TarArchive(task.part);
  const layers = await writeLayers(archive, task, progress, breathe);
  await pauseAt('export:layers');
  const exported = task.format === 'docker-archive' ? dockerFiles(archive, task, layers) : ociFiles(archive, task, layers);
  archive.finish();
  await pauseAt('export:written');
  fs.renameSync(task.part, task.target);
  await pauseAt('export:renamed');
  syncDirectory(dirname(task.target));
  return { ...exported, size: isDirectory ? layers.reduce((sum, { blob }) => sum + blob.size, 0) : fs.statSync(task.target).size, layers };
}

function checkTarget(target: string, isDirectory: boolean): void {
  const found = fs.statSync(target, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!isDirectory && !found.isFile()) throw new StoreError(`${target} is there and no plain file: give another name`);
  if (isDirectory && !(found.isDirectory() && fs.readdirSync(target).length === 0))
    throw new StoreError(`${target} is there and no empty directory: give another name, or remove it`);
}

/** An image may have a layer twice: it is written once. */
async function writeLayers(
  archive: Archive,
  { layers, compress, format, config }: ExportTask,
  progress: ExportProgress,
  breathe: () => Promise<void>,
): Promise<Exported['layers']> {
  const expected = Buffer.isBuffer(config) ? diffIds(parseConfig(config)) : [];
  const written = new Map<string, Exported['layers'][number]>();
  const all: Exported['layers'] = [];
  for (const [at, layer] of layers.entries()) {
    let one = written.get(layer.id);
    if (one === undefined) {
      const hash = createHash('sha256');
      const counted = async function* (): AsyncGenerator<Buffer> {
        for (const chunk of layerChunks(layer)) {
          hash.update(chunk);
          progress.bytes += chunk.length;
          yield chunk;
          await breathe();
        }
      };
      let diffId = '';
      const chunks = async function* (): AsyncGenerator<Buffer> {
        yield* counted();
        diffId = hash.digest('hex');
        checkDiffId(layer, diffId, expected.at(at) ?? (layer.kind === 'imported' ? layer.id : undefined));
      };
      const name = format === 'docker-archive' ? () => `${diffId}.tar` : (digest: string) => `blobs/sha256/${digest}`;
      const blob = await archive.stream(compressed(chunks(), compress), name);
      one = { diffId, blob };
      written.set(layer.id, one);
    }
    all.push(one);
    progress.layers++;
  }
  return all;
}

function checkDiffId(layer: ExportedLayer, found: Id, expected: Id | undefined): void {
  if (expected === undefined || found === expected) return;
  const what = layer.kind === 'imported' ? 'its files in the store are damaged: import it again' : 'its directory has changed';
  throw new StoreError(`the layer ${layer.id.slice(0, 12)} is not what the image was made of (${found} instead of ${expected}): ${what}`);
}

/** The config's bytes, and its sha256. */
function configOf({ config }: ExportTask, layers: Exported['layers']): { bytes: Buffer; id: Id } {
  if (Buffer.isBuffer(config)) return { bytes: config, id: createHash('sha256').update(config).digest('hex') };
  return serialised({ ...config, rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => `sha256:${diffId}`) } });
}

function ociFiles(archive: Archive, task: ExportTask, layers: Exported['layers']): { digest: string } {
  const put = (value: Buffer | object): { digest: string; size: number } => {
    const bytes = Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value));
    const digest = createHash('sha256').update(bytes).digest('hex');
    archive.file(`blobs/sha256/${digest}`, bytes);
    return { digest: `sha256:${digest}`, size: bytes.length };
  };
  const manifest = put({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, ...put(configOf(task, layers).bytes) },
    layers: layers.map(({ blob }) => ({ mediaType: MEDIA_TYPES[task.compress], digest: `sha256:${blob.digest}`, size: blob.size })),
  });
  const entry = { mediaType: MANIFEST_TYPE, ...manifest };
  const named = task.names.map((name) => ({ ...entry, annotations: annotations(name) }));
  archive.file(
    'index.json',
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests: named.length > 0 ? named : [entry] })),
  );
  archive.file('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  return { digest: manifest.digest };
}

/** containerd, docker and podman go by the first, umoci and skopeo by the second. */
function annotations(name: string): Record<string, string> {
  const { repository, tag } = splitImageName(name);
  return { 'io.containerd.image.name': `${repository}:${tag}`, 'org.opencontainers.image.ref.name': tag };
}

function dockerFiles(archive: Archive, task: ExportTask, layers: Exported['layers']): { digest: string } {
  const { bytes, id } = configOf(task, layers);
  archive.file(`${id}.json`, bytes);
  const names = task.names.map(splitImageName);
  const manifest = {
    Config: `${id}.json`,
    RepoTags: names.map(({ repository, tag }) => `${repository}:${tag}`),
    Layers: layers.map(({ diffId }) => `${diffId}.tar`),
  };
  archive.file('manifest.json', Buffer.from(JSON.stringify([manifest])));
  const top = layers.at(-1)?.diffId ?? '';
  const repositories: Record<string, Record<string, string>> = {};
  for (const { repository, tag } of names) (repositories[repository] ??= {})[tag] = top;
  archive.file('repositories', Buffer.from(JSON.stringify(repositories)));
  return { digest: `sha256:${id}` };
}

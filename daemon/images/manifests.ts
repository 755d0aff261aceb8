/**
 * What an archive says that it holds: images, each with its config and its layers. OCI layouts (index.json, oci-layout), docker-archives (manifest.json), and
 * what docker writes since 25, which is both.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Archive } from './archive';
import { TarError } from './tar-header';

/** A layer as a manifest names it. */
export interface PlannedLayer {
  /** in the archive */
  name: string;
  diffId: string;
  /** as the manifest has them; docker-archives name no digests of blobs */
  blob?: { digest: string; size: number };
  mediaType: string;
}

export interface PlannedImage {
  /** sha256 of the config */
  id: string;
  config: Buffer;
  /** the lowest first */
  layers: PlannedLayer[];
  /** names that the archive gives it */
  tags: string[];
}

const MOST_JSON = 4 << 20;
/** What a mount takes. */
const MOST_LAYERS = 500;
const MOST_IMAGES = 1000;
/** An index may name an index. */
const MOST_DEPTH = 3;

const MANIFESTS = ['application/vnd.oci.image.manifest.v1+json', 'application/vnd.docker.distribution.manifest.v2+json'];
const INDEXES = ['application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json'];
const CONFIGS = ['application/vnd.oci.image.config.v1+json', 'application/vnd.docker.container.image.v1+json'];
const LAYER =
  /^application\/vnd\.(oci\.image\.layer(\.nondistributable)?\.v1\.tar(\+gzip|\+zstd)?|docker\.image\.rootfs\.(diff|foreign\.diff)\.tar(\.gzip|\.zstd)?)$/;
const PLAIN = 'application/vnd.oci.image.layer.v1.tar';

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'a sha256 digest is needed, "sha256:" and 64 hexadecimal digits');
const annotations = z.record(z.string(), z.string()).nullish();
const Descriptor = z.object({
  mediaType: z.string().optional(),
  digest,
  size: z.int().min(0),
  annotations,
  platform: z.object({ architecture: z.string(), os: z.string(), variant: z.string().optional() }).nullish(),
});
type Descriptor = z.infer<typeof Descriptor>;
const Layout = z.object({ imageLayoutVersion: z.string().regex(/^1\./, 'a layout of version 1 is needed') });
const Index = z.object({ mediaType: z.string().optional(), manifests: z.array(Descriptor).max(MOST_IMAGES) });
const Manifest = z.object({
  mediaType: z.string().optional(),
  config: Descriptor,
  layers: z.array(Descriptor).max(MOST_LAYERS, `an image has at most ${MOST_LAYERS} layers`),
});
const Config = z.object({
  architecture: z.string().optional(),
  os: z.string().optional(),
  rootfs: z.object({ type: z.literal('layers'), diff_ids: z.array(digest).max(MOST_LAYERS).nullable() }),
});
const DockerManifest = z
  .array(z.object({ Config: z.string(), RepoTags: z.array(z.string()).nullish(), Layers: z.array(z.string()).max(MOST_LAYERS).nullable() }))
  .max(MOST_IMAGES);

/** The machine's, in OCI's words. */
export function architecture(): string {
  return ({ x64: 'amd64', ia32: '386', ppc64: 'ppc64le' } as Readonly<Record<string, string>>)[process.arch] ?? process.arch;
}

/** Undefined: it holds no image's manifest. Throws TarError for one that is not what it should be. */
export function planOf(archive: Archive): PlannedImage[] | undefined {
  if (archive.has('oci-layout') || archive.has('index.json')) return fromLayout(archive);
  if (archive.has('manifest.json')) return fromDocker(archive);
  return undefined;
}

// ---- OCI -----------------------------------------------------------------------------------------------------------------------------------------

function fromLayout(archive: Archive): PlannedImage[] {
  parse(Layout, 'oci-layout', archive.read('oci-layout', MOST_JSON));
  const { manifests } = parse(Index, 'index.json', archive.read('index.json', MOST_JSON));
  const images = new Map<string, PlannedImage>();
  for (const [name, descriptors] of byName(manifests)) {
    const image = fromManifest(archive, choose(leaves(archive, descriptors, 0), name));
    const known = images.get(image.id) ?? image;
    if (name !== '') known.tags.push(name);
    images.set(image.id, known);
  }
  addRepoTags(archive, images);
  if (images.size === 0) throw new TarError(`${archive.path} is an OCI layout without an image in it`);
  return [...images.values()];
}

/** Those of one name are one image for several platforms. */
function byName(manifests: readonly Descriptor[]): Map<string, Descriptor[]> {
  const groups = new Map<string, Descriptor[]>();
  for (const descriptor of manifests) {
    const name = nameOf(descriptor.annotations ?? {});
    groups.set(name, [...(groups.get(name) ?? []), descriptor]);
  }
  return groups;
}

/** containerd's annotation is the whole name. OCI's may be a whole one, or only the tag: skopeo and umoci write that. */
function nameOf(annotations: Readonly<Record<string, string>>): string {
  return annotations['io.containerd.image.name'] ?? annotations['org.opencontainers.image.ref.name'] ?? '';
}

/** The manifests that descriptors lead to, through indexes, without what is no image (signatures, attestations). */
function leaves(archive: Archive, descriptors: readonly Descriptor[], depth: number): Descriptor[] {
  if (depth > MOST_DEPTH) throw new TarError('its indexes name one another, too deep');
  const found = descriptors.flatMap((descriptor) => {
    if (descriptor.annotations?.['vnd.docker.reference.type'] !== undefined || descriptor.platform?.os === 'unknown') return [];
    const type = descriptor.mediaType ?? 'of no media type';
    if (MANIFESTS.includes(type)) return [descriptor];
    if (!INDEXES.includes(type)) throw new TarError(`a manifest ${type}, which is none of an image: ${MANIFESTS.join(' or ')} is needed`);
    return leaves(archive, parse(Index, descriptor.digest, blob(archive, descriptor)).manifests, depth + 1);
  });
  if (found.length > MOST_IMAGES) throw new TarError(`its indexes name more than ${MOST_IMAGES} manifests`);
  return found;
}

/** The one for this machine; the only one is taken for it if it does not say something else. */
function choose(candidates: readonly Descriptor[], name: string): Descriptor {
  const what = name === '' ? 'the image' : `the image ${JSON.stringify(name)}`;
  const wanted = candidates.find(({ platform }) => platform?.os === 'linux' && platform.architecture === architecture());
  const [first] = candidates;
  if (wanted !== undefined) return wanted;
  if (candidates.length === 1 && !first.platform) return first;
  const there = candidates.map(({ platform }) =>
    platform ? [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/') : 'of no platform',
  );
  if (there.length === 0) throw new TarError(`${what} has no manifest`);
  throw new TarError(`${what} is not for linux/${architecture()}: there is ${[...new Set(there)].join(', ')}`);
}

function fromManifest(archive: Archive, descriptor: Descriptor): PlannedImage {
  const { config, layers } = parse(Manifest, descriptor.digest, blob(archive, descriptor));
  if (config.mediaType !== undefined && !CONFIGS.includes(config.mediaType))
    throw new TarError(`a config of the media type ${config.mediaType}: it is no image of a container`);
  const bytes = blob(archive, config);
  const diffIds = diffIdsOf(bytes, config.digest);
  if (diffIds.length !== layers.length)
    throw new TarError(`its manifest has ${layers.length} layers and its config ${diffIds.length}: they do not belong together`);
  const planned = layers.map(({ mediaType = '', digest, size }, i) => {
    if (!LAYER.test(mediaType)) throw new TarError(`a layer of the unknown media type ${JSON.stringify(mediaType)}`);
    return { name: pathOf(digest), diffId: diffIds[i], blob: { digest: hex(digest), size }, mediaType };
  });
  return { id: hex(config.digest), config: bytes, layers: planned, tags: [] };
}

/** Of a small blob: its digest and size are verified. */
function blob(archive: Archive, { digest, size }: Descriptor): Buffer {
  const bytes = archive.read(pathOf(digest), MOST_JSON);
  if (bytes.length !== size || sha256(bytes) !== hex(digest))
    throw new TarError(`the blob ${digest} is not what its digest says: it is damaged`);
  return bytes;
}

function pathOf(digest: string): string {
  return `blobs/sha256/${hex(digest)}`;
}

// ---- docker --------------------------------------------------------------------------------------------------------------------------------------

function fromDocker(archive: Archive): PlannedImage[] {
  const manifests = parse(DockerManifest, 'manifest.json', archive.read('manifest.json', MOST_JSON));
  if (manifests.length === 0) throw new TarError(`${archive.path} is a docker-archive without an image in it`);
  const images = new Map<string, PlannedImage>();
  for (const { Config: name, RepoTags, Layers } of manifests) {
    const config = archive.read(name, MOST_JSON);
    const id = sha256(config);
    const promised = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(name)?.[1];
    if (promised !== undefined && promised !== id) throw new TarError(`the config ${name} is not what its digest says: it is damaged`);
    const diffIds = diffIdsOf(config, name);
    const layers = Layers ?? [];
    if (diffIds.length !== layers.length)
      throw new TarError(`manifest.json has ${layers.length} layers for ${name}, which has ${diffIds.length}: they do not belong together`);
    const planned = layers.map((layer, i) => ({ name: layer, diffId: diffIds[i], mediaType: PLAIN }));
    const image: PlannedImage = images.get(id) ?? { id, config, layers: planned, tags: [] };
    image.tags.push(...(RepoTags ?? []));
    images.set(id, image);
  }
  return [...images.values()];
}

/** docker ≥ 25 writes a layout, and names in manifest.json too. */
function addRepoTags(archive: Archive, images: ReadonlyMap<string, PlannedImage>): void {
  if (!archive.has('manifest.json')) return;
  for (const { Config: name, RepoTags } of parse(DockerManifest, 'manifest.json', archive.read('manifest.json', MOST_JSON))) {
    const id = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(name)?.[1];
    const image = images.get(id ?? '');
    // What index.json has is OCI's reference, often the tag alone: here are whole names.
    if (image !== undefined && RepoTags && RepoTags.length > 0) image.tags = [...RepoTags];
  }
}

// ---- both ----------------------------------------------------------------------------------------------------------------------------------------

function diffIdsOf(config: Buffer, name: string): string[] {
  const { os, rootfs } = parse(Config, name, config);
  if (os !== undefined && os !== '' && os !== 'linux') throw new TarError(`the image is for ${os}: linux is needed`);
  const found = (rootfs.diff_ids ?? []).map(hex);
  if (found.length === 0) throw new TarError('the image has no layer');
  return found;
}

function parse<T extends z.ZodType>(schema: T, name: string, bytes: Buffer): z.infer<T> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new TarError(`${name} is no JSON: ${(error as Error).message.slice(0, 200)}`);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [{ path, message }] = result.error.issues;
  throw new TarError(`${name} is not what it should be: ${path.join('.')}: ${message}`.slice(0, 500));
}

function hex(digest: string): string {
  return digest.slice('sha256:'.length);
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

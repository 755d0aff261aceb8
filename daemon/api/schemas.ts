/** The types of types.ts as schemas: what comes in is checked by them, and the OpenAPI document is made of them. */
import { z } from 'zod';
import type * as Types from './types';

/** Schemas that have a name in the OpenAPI document. */
export const named = z.registry<{ id: string }>();

function name<T extends z.ZodType>(id: string, schema: T): T {
  named.add(schema, { id });
  return schema;
}

const count = z.int().min(0);
const time = z.iso.datetime();
const id = z.string().regex(/^[0-9a-f]{64}$/);
const text = z.string();
/** Absolute. A path that is longer than PATH_MAX cannot be named to the kernel. */
const path = z
  .string()
  .min(1)
  .max(4095)
  .regex(/^[^\0]*$/, 'a path holds no NUL character');
const options = z
  .string()
  .max(65536)
  .regex(/^[^\0]*$/, 'options hold no NUL character');
/** The store has the rules. */
const given = z.string().max(1024);

export const Failure = name(
  'Error',
  z.strictObject({
    error: z.strictObject({
      code: z.enum([
        'bad-request',
        'forbidden',
        'not-found',
        'conflict',
        'in-use',
        'too-large',
        'busy',
        'unsupported',
        'unavailable',
        'internal',
      ]),
      message: text,
      near: z.array(text).exactOptional(),
      by: z.array(text).exactOptional(),
      processes: z.array(z.strictObject({ pid: z.int(), command: text })).exactOptional(),
    }),
  }),
);

export const Info = name(
  'Info',
  z.strictObject({
    version: text,
    pid: z.int(),
    root: text,
    socket: text,
    kernel: text,
    startedAt: time,
    transport: z.strictObject({ used: z.enum(['dev', 'uring']), why: text }),
    passthrough: z.boolean(),
    engines: z.array(
      z.strictObject({
        pid: z.int(),
        level: z.int(),
        workers: count,
        mounts: count,
        startedAt: time,
        restarts: count,
        warm: z.boolean(),
      }),
    ),
    counts: z.strictObject({ layers: count, images: count, containers: count, running: count, mounts: count }),
  }),
);

const driver = z.enum(['plyfs', 'fuse-native']);

export const Health = name('Health', z.strictObject({ alive: z.literal(true) }));
export const Readiness = name('Readiness', z.strictObject({ ready: z.literal(true) }));
export const Metrics = name('Metrics', z.string());

const times = { buckets: z.array(count), sumMs: z.number() };
const kind = z.enum(['lookup', 'attributes', 'list', 'open', 'read', 'write', 'change', 'other']);

export const Stats = name(
  'Stats',
  z.strictObject({
    time,
    engines: z.array(
      z.strictObject({ pid: z.int(), level: z.int(), workers: count, mounts: count, restarts: count, answers: z.boolean() }),
    ),
    engineDeaths: count,
    mounts: z.array(
      z.strictObject({
        id,
        mountpoint: text,
        container: id.nullable(),
        operations: z.record(text, count),
        opens: z.strictObject({ passthrough: count, served: count }),
        lookups: z.strictObject({ all: count, hits: count }),
        nodesRead: count,
        directoriesRead: count,
        copiedUp: z.strictObject({ files: count, bytes: count }),
        times: z.array(z.strictObject({ kind, ...times })),
      }),
    ),
    times: z.array(z.strictObject({ operation: text, ...times })),
  }),
);

export const MountRequest = name(
  'MountRequest',
  z.strictObject({
    mountpoint: path,
    lower: z.array(path).min(1).max(500),
    upper: path.exactOptional(),
    work: path.exactOptional(),
    options: options.exactOptional(),
    driver: driver.exactOptional(),
  }),
);

export const Mount = name(
  'Mount',
  z.strictObject({
    id,
    mountpoint: text,
    lower: z.array(text),
    upper: text.nullable(),
    work: text.nullable(),
    options: text,
    driver,
    container: text.nullable(),
    snapshot: text.nullable(),
    createdAt: time,
    state: z.enum(['mounted', 'failed']),
  }),
);

export const LayerRequest = name('LayerRequest', z.strictObject({ path, name: given.exactOptional() }));

export const Layer = name(
  'Layer',
  z.strictObject({
    id,
    name: text.nullable(),
    kind: z.enum(['directory', 'imported']),
    path: text.nullable(),
    source: text.nullable(),
    createdAt: time,
    entries: count,
    files: count,
    size: count,
    treeDigest: text,
    tarSize: count.nullable(),
    blob: z.strictObject({ digest: text, mediaType: text, size: count }).nullable(),
  }),
);

export const LayerVerification = name(
  'LayerVerification',
  z.strictObject({ ok: z.boolean(), changed: z.array(text), added: z.array(text), removed: z.array(text) }),
);

export const ImageRequest = name('ImageRequest', z.strictObject({ name: given, layers: z.array(given).min(1).max(500) }));

export const Image = name(
  'Image',
  z.strictObject({
    id,
    name: text.nullable(),
    names: z.array(text),
    layers: z.array(id),
    createdAt: time,
    size: count,
    uniqueSize: count,
    containers: count,
  }),
);

export const ImageDetail = name(
  'ImageDetail',
  Image.extend({
    digest: text.nullable(),
    config: z.record(z.string(), z.unknown()).nullable(),
    rootFS: z.strictObject({ type: z.literal('layers'), layers: z.array(text) }),
    stack: z.array(
      z.strictObject({
        layer: id,
        kind: Layer.shape.kind,
        diffId: text.nullable(),
        chainId: text.nullable(),
        source: text,
        size: count,
        blob: Layer.shape.blob,
      }),
    ),
  }),
);

export const TagRequest = name('TagRequest', z.strictObject({ name: given }));

export const ImageRemoval = name('ImageRemoval', z.strictObject({ id, untagged: z.array(text), removed: z.boolean() }));

/** A line of an answer that takes long. */
export function line(id: string, progress: z.ZodType, result: z.ZodType): z.ZodType {
  return name(id, z.union([z.strictObject({ progress }), z.strictObject({ result }), Failure]));
}

export const ImportRequest = name(
  'ImportRequest',
  z.strictObject({ path, tags: z.array(given).max(100).exactOptional(), maxSize: z.int().min(1).exactOptional() }),
);

const ImportEvents = [
  z.strictObject({ type: z.literal('plan'), layers: count, reused: count, bytes: count }),
  z.strictObject({ type: z.literal('progress'), bytes: count, files: count }),
  z.strictObject({ type: z.literal('layer'), id, reused: z.boolean() }),
] as const;

export const ImportEvent = name('ImportEvent', z.discriminatedUnion('type', ImportEvents));

export const ImportResult = name(
  'ImportResult',
  z.strictObject({ image: Image, images: z.array(Image), layers: z.array(z.strictObject({ id, reused: z.boolean() })) }),
);

export const ImportLine = line('ImportLine', ImportEvent, ImportResult);

export const Pruned = name(
  'Pruned',
  z.strictObject({ images: z.array(id), layers: z.array(id), objects: count, leftovers: count, bytes: count }),
);

const FsckProblem = z.strictObject({
  kind: z.enum(['catalog', 'layer', 'object', 'container', 'snapshot', 'leftover']),
  name: text,
  message: text,
  repaired: z.boolean(),
});
const FsckEvents = [
  z.strictObject({ type: z.literal('progress'), bytes: count, total: count }),
  z.strictObject({ type: z.literal('problem'), problem: FsckProblem }),
] as const;

export const FsckEvent = name('FsckEvent', z.discriminatedUnion('type', FsckEvents));

export const FsckResult = name(
  'FsckResult',
  z.strictObject({
    ok: z.boolean(),
    problems: z.array(FsckProblem),
    checked: z.strictObject({ layers: count, objects: count, containers: count, snapshots: count, bytes: count }),
  }),
);

export const FsckLine = line('FsckLine', FsckEvent, FsckResult);

const UsageRow = z.strictObject({ total: count, active: count, size: count, reclaimable: count });
const shares = { size: count, shared: count, unique: count };

export const DiskUsage = name(
  'DiskUsage',
  z.strictObject({
    images: UsageRow,
    containers: UsageRow,
    layers: UsageRow,
    objects: UsageRow,
    snapshots: UsageRow,
    imageList: z.array(z.strictObject({ id, name: text.nullable(), containers: count, ...shares })).exactOptional(),
    layerList: z.array(z.strictObject({ id, kind: z.enum(['directory', 'imported']), images: count, ...shares })).exactOptional(),
    containerList: z.array(z.strictObject({ id, name: text, state: text, size: count })).exactOptional(),
    snapshotList: z
      .array(z.strictObject({ key: text, kind: z.enum(['active', 'view', 'committed']), parent: text.nullable(), size: count }))
      .exactOptional(),
  }),
);

export const ContainerRequest = name(
  'ContainerRequest',
  z.strictObject({ image: given, name: given.exactOptional(), options: options.exactOptional() }),
);

export const Container = name(
  'Container',
  z.strictObject({
    id,
    name: text,
    image: id,
    imageName: text,
    createdAt: time,
    startedAt: time.nullable(),
    state: z.enum(['created', 'running', 'stopped', 'failed']),
    error: text.nullable(),
    mountpoint: text.nullable(),
    upper: text,
    work: text,
    options: text,
    size: z.strictObject({ bytes: count, files: count, whiteouts: count }).exactOptional(),
  }),
);

export const ContainerDetail = name(
  'ContainerDetail',
  Container.extend({
    graphDriver: z.strictObject({
      name: z.literal('plyfs'),
      data: z.strictObject({ lowerDir: z.array(text), upperDir: text, workDir: text, mergedDir: text }),
    }),
  }),
);

export const Change = name('Change', z.strictObject({ kind: z.enum(['A', 'C', 'D']), path: text, pathBase64: text.exactOptional() }));

export const CommitRequest = name(
  'CommitRequest',
  z.strictObject({
    tag: given.exactOptional(),
    author: given.exactOptional(),
    message: z.string().max(65536).exactOptional(),
    changes: z.array(z.string().max(65536)).max(1000).exactOptional(),
  }),
);

export const CommitProgress = name('CommitProgress', z.strictObject({ bytes: count }));
export const CommitResult = name('CommitResult', z.strictObject({ image: Image, layer: Layer, reused: z.boolean() }));

const format = z.enum(['oci-archive', 'oci-dir', 'docker-archive']);
const compress = z.enum(['gzip', 'zstd', 'none']);
export const ExportRequest = name(
  'ExportRequest',
  z.strictObject({ path, format: format.exactOptional(), compress: compress.exactOptional() }),
);

export const ExportProgress = name(
  'ExportProgress',
  z.strictObject({ bytes: count, totalBytes: count, layers: count, totalLayers: count }),
);

export const ExportResult = name(
  'ExportResult',
  z.strictObject({
    ...{ image: id, path: text, format, compress, digest: text, size: count },
    layers: z.array(z.strictObject({ diffId: id, digest: id, size: count })),
  }),
);

export const HistoryEntry = name(
  'HistoryEntry',
  z.strictObject({
    id: id.nullable(),
    created: time.nullable(),
    createdBy: text,
    size: count,
    comment: text,
    author: text,
    layer: id.nullable(),
  }),
);
export const HistoryList = name('HistoryList', z.strictObject({ history: z.array(HistoryEntry) }));

export const TreeEntry = name(
  'TreeEntry',
  z.strictObject({
    path: text,
    pathBase64: text.exactOptional(),
    type: z.enum(['file', 'directory', 'link', 'other']),
    size: count,
    layer: count.nullable(),
    hidden: z.array(z.strictObject({ layer: count, by: count, size: count })),
  }),
);
export const TreeEntries = name('TreeEntries', z.array(TreeEntry));

const share = z.strictObject({ entries: count, bytes: count });
export const ImageTree = name(
  'ImageTree',
  z.strictObject({ image: id, layers: z.array(z.strictObject({ id, createdBy: text, adds: share, hides: share, wastes: share })) }),
);

export const CommitLine = line('CommitLine', CommitProgress, CommitResult);
export const ExportLine = line('ExportLine', ExportProgress, ExportResult);
export const TreeLine = line('TreeLine', TreeEntries, ImageTree);

export const Event = name(
  'Event',
  z.strictObject({
    seq: count,
    time,
    type: z.enum([
      'layer.add',
      'layer.rm',
      'image.create',
      'image.tag',
      'image.untag',
      'image.import',
      'prune',
      'image.rm',
      'container.create',
      'container.start',
      'container.stop',
      'container.rm',
      'container.fail',
      'mount',
      'umount',
      'engine.start',
      'engine.exit',
      'recover',
    ]),
    id: text,
    name: text.exactOptional(),
    detail: text.exactOptional(),
  }),
);

export const MountList = name('MountList', z.strictObject({ mounts: z.array(Mount) }));
export const LayerList = name('LayerList', z.strictObject({ layers: z.array(Layer) }));
export const ImageList = name('ImageList', z.strictObject({ images: z.array(Image) }));
export const ContainerList = name('ContainerList', z.strictObject({ containers: z.array(Container) }));
export const ChangeList = name('ChangeList', z.strictObject({ changes: z.array(Change) }));
export const OpenApi = z.record(z.string(), z.unknown());

/** ?name=true|false, absent: false */
export const yesOrNo = z.enum(['true', 'false']).optional();
export const number = z
  .string()
  .regex(/^[0-9]{1,16}$/, 'a number is needed')
  .optional();

// The schemas and types.ts say the same: a difference does not compile.
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;
type Of<T extends z.ZodType> = z.infer<T>;
export const same: [
  Same<Of<typeof Failure>, { error: Types.ApiError }>,
  Same<Of<typeof Info>, Types.Info>,
  Same<Of<typeof MountRequest>, Types.MountRequest>,
  Same<Of<typeof Mount>, Types.Mount>,
  Same<Of<typeof Layer>, Types.Layer>,
  Same<Of<typeof LayerVerification>, Types.LayerVerification>,
  Same<Of<typeof LayerRequest>, Types.LayerRequest>,
  Same<Of<typeof ImageRequest>, Types.ImageRequest>,
  Same<Of<typeof Image>, Types.Image>,
  Same<Of<typeof ImageDetail>, Types.ImageDetail>,
  Same<Of<typeof TagRequest>, Types.TagRequest>,
  Same<Of<typeof ImageRemoval>, Types.ImageRemoval>,
  Same<Of<typeof ContainerRequest>, Types.ContainerRequest>,
  Same<Of<typeof Container>, Types.Container>,
  Same<Of<typeof ContainerDetail>, Types.ContainerDetail>,
  Same<Of<typeof Change>, Types.Change>,
  Same<Of<typeof Event>, Types.Event>,
  Same<Of<typeof CommitRequest>, Types.CommitRequest>,
  Same<Of<typeof CommitProgress>, Types.CommitProgress>,
  Same<Of<typeof CommitResult>, Types.CommitResult>,
  Same<Of<typeof ExportRequest>, Types.ExportRequest>,
  Same<Of<typeof ExportProgress>, Types.ExportProgress>,
  Same<Of<typeof ExportResult>, Types.ExportResult>,
  Same<Of<typeof HistoryEntry>, Types.HistoryEntry>,
  Same<Of<typeof TreeEntry>, Types.TreeEntry>,
  Same<Of<typeof ImageTree>, Types.ImageTree>,
  Same<Of<typeof ImportRequest>, Types.ImportRequest>,
  Same<Of<typeof ImportEvent>, Types.ImportEvent>,
  Same<Of<typeof ImportResult>, Types.ImportResult>,
  Same<Of<typeof Pruned>, Types.Pruned>,
  Same<Of<typeof FsckEvent>, Types.FsckEvent>,
  Same<Of<typeof FsckResult>, Types.FsckResult>,
  Same<Of<typeof DiskUsage>, Types.DiskUsage>,
] = [
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
  true,
];

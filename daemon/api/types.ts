/**
 * The API of plyd, v1: what goes over the socket as JSON. The types here are all that a client shares with the daemon; the OpenAPI document
 * (GET /v1/openapi.json) says the same, and a test holds the two together.
 *
 * HTTP/1.1 over a Unix socket (default /run/ply/ply.sock). Bodies are JSON objects of at most 1 MiB. Times are RFC 3339 in UTC, sizes bytes.
 * An error has a status >= 400 and the body {"error": {code, message, …}}: `code` is for programs, `message` for people: what happened, to
 * what, and what to do.
 *
 *   GET    /v1/info                     → Info
 *   GET    /v1/openapi.json
 *   GET    /v1/healthz                  → {alive: true}                  GET /v1/readyz → {ready: true}, or 503
 *   GET    /v1/stats                    → Stats
 *   GET    /v1/metrics                  → Prometheus' text format
 *   GET    /v1/events[?since=N]         → Event per line (application/x-ndjson), until the client hangs up
 *   GET    /v1/mounts                   → {mounts: Mount[]}
 *   POST   /v1/mounts  MountRequest     → 201 Mount                      DELETE /v1/mounts/{id}[?lazy=true]
 *   GET    /v1/layers                   → {layers: Layer[]}
 *   POST   /v1/layers  {path, name?}    → 201 Layer (long: indexing)     GET/DELETE /v1/layers/{ref}
 *   POST   /v1/layers/{ref}/verify      → LayerVerification
 *   GET    /v1/images                   → {images: Image[]}
 *   POST   /v1/images  {name, layers}   → 201 Image                      GET /v1/images/{ref} → ImageDetail
 *   POST   /v1/images/{ref}/tag {name}  → Image                          DELETE /v1/images/{ref} → ImageRemoval
 *   GET    /v1/images/{ref}/history     → {history: HistoryEntry[]}
 *   GET    /v1/images/{ref}/tree        → Line<TreeEntry[], ImageTree>
 *   POST   /v1/images/{ref}/export   ExportRequest → Line<ExportProgress, ExportResult>
 *   POST   /v1/images/import  ImportRequest → Line<ImportEvent, ImportResult>
 *   POST   /v1/prune[?all=true]         → Pruned
 *   POST   /v1/fsck[?repair=true]       → Line<FsckEvent, FsckResult>
 *   GET    /v1/df[?verbose=true]        → DiskUsage
 *   GET    /v1/containers[?size=true]   → {containers: Container[]}
 *   POST   /v1/containers {image, name?, options?} → 201 Container       GET /v1/containers/{ref}[?size=true] → ContainerDetail   DELETE /v1/containers/{ref}[?force=true]
 *   POST   /v1/containers/{ref}/start   → Container (mountpoint is set)  POST /v1/containers/{ref}/stop[?lazy=true] → Container
 *   GET    /v1/containers/{ref}/diff    → {changes: Change[]}
 *   POST   /v1/containers/{ref}/commit  CommitRequest → Line<CommitProgress, CommitResult>
 *
 * What takes long is answered by lines of JSON (application/x-ndjson): Line<P, R> is {"progress": P} any number of times, then {"result": R}, or
 * {"error": …} as above. An error that is known before the first line has its status. Hanging up ends the work, and nothing of it is left.
 *
 * A {ref} is an id, an unambiguous beginning of one (at least 4 characters), or a name.
 */

export type ErrorCode =
  | 'bad-request' // 400: the body or a parameter is not what the schema says
  | 'forbidden' // 403: the peer may not
  | 'not-found' // 404: `near` holds names like the one that was asked for
  | 'conflict' // 409: the name is taken, or the state does not allow it
  | 'in-use' // 409: `by` names the users
  | 'too-large' // 413
  | 'busy' // 409: a mount is in use by processes: `processes`
  | 'unsupported' // 422: asked for what this kernel or file system cannot do
  | 'unavailable' // 503: plyd runs and cannot do its work now
  | 'internal'; // 500

export interface ApiError {
  code: ErrorCode;
  message: string;
  near?: string[];
  by?: string[];
  processes?: { pid: number; command: string }[];
}

/** Of an answer that takes long. The last line has the result or the error. */
export type Line<P, R> = { progress: P } | { result: R } | { error: ApiError };

export interface Info {
  version: string;
  pid: number;
  root: string;
  socket: string;
  kernel: string;
  startedAt: string;
  transport: { used: 'dev' | 'uring'; why: string };
  passthrough: boolean;
  /** warm: it has practised since it was started (the setting warm-engine) */
  engines: { pid: number; level: number; workers: number; mounts: number; startedAt: string; restarts: number; warm: boolean }[];
  counts: { layers: number; images: number; containers: number; running: number; mounts: number };
}

/** What was counted. Of a mount: since it was made, and afresh when it had to be made again. */
export interface Stats {
  time: string;
  engines: { pid: number; level: number; workers: number; mounts: number; restarts: number; answers: boolean }[];
  /** engines that ended without having been told to, since plyd was started */
  engineDeaths: number;
  /** of engines that answer */
  mounts: MountStats[];
  /** by operation, of all mounts */
  times: OperationTimes[];
}

export interface MountStats {
  id: string;
  mountpoint: string;
  container: string | null;
  /** requests answered, by the name of the FUSE operation */
  operations: Record<string, number>;
  /** passthrough: the kernel reads and writes the file itself; served: the engine does */
  opens: { passthrough: number; served: number };
  /** hits: answered from the node table alone */
  lookups: { all: number; hits: number };
  /** nodes whose attributes were read from a layer or the upper directory, and directories that were read and merged */
  nodesRead: number;
  directoriesRead: number;
  /** files whose data were copied to the upper directory */
  copiedUp: { files: number; bytes: number };
  /** none of a kind that was never timed */
  times: KindTimes[];
}

/** LOOKUP; asking about a file; listing; opening and closing; reading; writing data and having them on disk; changing names and attributes; FORGET and what is rare. */
export type Kind = 'lookup' | 'attributes' | 'list' | 'open' | 'read' | 'write' | 'change' | 'other';

export type KindTimes = { kind: Kind } & Times;

export type OperationTimes = { operation: string } & Times;

/** One request in 17 is timed, without the time for which it waited for a slow job. */
export interface Times {
  /** [i]: requests that took less than 2^i microseconds, and are in no bucket before; the last one has the rest */
  buckets: number[];
  sumMs: number;
}

export interface MountRequest {
  mountpoint: string;
  /** topmost first */
  lower: string[];
  upper?: string;
  work?: string;
  /** further mount options, as of `plyfs -o` */
  options?: string;
  /** who takes the requests from the kernel; fuse-native is for read-only mounts (docs/compatibility.md) */
  driver?: Driver;
}

export type Driver = 'plyfs' | 'fuse-native';

export interface Mount {
  id: string;
  mountpoint: string;
  lower: string[];
  upper: string | null;
  work: string | null;
  options: string;
  driver: Driver;
  /** the container it belongs to */
  container: string | null;
  /** the key of containerd's snapshot that it belongs to */
  snapshot: string | null;
  createdAt: string;
  state: 'mounted' | 'failed';
}

export interface Layer {
  /** of an imported one its diffID: the sha256 of the uncompressed tar */
  id: string;
  name: string | null;
  /** imported, committed: its files are objects of the store */
  kind: 'directory' | 'imported';
  /** of a directory */
  path: string | null;
  /** what it was imported or committed from; null: a directory */
  source: string | null;
  createdAt: string;
  /** of the index: every path */
  entries: number;
  files: number;
  /** sum of the sizes of regular files, each inode once */
  size: number;
  /** sha256 over the index's rows, canonical: the same tree gives the same */
  treeDigest: string;
  /** bytes of the uncompressed tar; null: a directory */
  tarSize: number | null;
  /** as it was read; null for others than imported ones */
  blob: { digest: string; mediaType: string; size: number } | null;
}

export interface LayerRequest {
  /** of a directory, absolute */
  path: string;
  name?: string;
}

export interface LayerVerification {
  ok: boolean;
  /** relative to the layer; at most 1,000 of each */
  changed: string[];
  added: string[];
  removed: string[];
}

export interface ImageRequest {
  name: string;
  /** topmost first */
  layers: string[];
}

export interface Image {
  /** of an imported one the sha256 of its config */
  id: string;
  /** the oldest of its names; null: it has none any more */
  name: string | null;
  names: string[];
  /** topmost first */
  layers: string[];
  createdAt: string;
  /** each layer counted once */
  size: number;
  /** of the layers that no other image has */
  uniqueSize: number;
  containers: number;
}

/** One of an image's layers, from the bottom. */
export interface StackedLayer {
  layer: string;
  kind: Layer['kind'];
  /** "sha256:…" of the uncompressed tar; null: a directory */
  diffId: string | null;
  /** "sha256:…" of this layer and all below it, as the OCI image specification has it; null: there is a directory among them */
  chainId: string | null;
  /** what it was imported or committed from; of a directory its path */
  source: string;
  size: number;
  /** as it was read */
  blob: Layer['blob'];
}

export interface ImageDetail extends Image {
  /** "sha256:…" of the config; null: it has none, as its layers are directories */
  digest: string | null;
  /** the OCI image config, as it was read */
  config: Record<string, unknown> | null;
  /** docker's: the diffIDs from the bottom ("sha256:…"); of directories their tree digests ("tree:…") */
  rootFS: { type: 'layers'; layers: string[] };
  /** bottom first */
  stack: StackedLayer[];
}

export interface TagRequest {
  /** NAME or NAME:TAG; one that another image has moves */
  name: string;
}

export interface ImageRemoval {
  id: string;
  /** names that are free now */
  untagged: string[];
  /** false: it has other names */
  removed: boolean;
}

export interface ContainerRequest {
  image: string;
  name?: string;
  /** further mount options, as of `plyfs -o` */
  options?: string;
}

export interface Container {
  id: string;
  name: string;
  image: string;
  /** the id of an image without a name */
  imageName: string;
  createdAt: string;
  startedAt: string | null;
  state: 'created' | 'running' | 'stopped' | 'failed';
  /** why it failed */
  error: string | null;
  mountpoint: string | null;
  upper: string;
  work: string;
  options: string;
  /** with size=true: what the container wrote */
  size?: { bytes: number; files: number; whiteouts: number };
}

export interface ContainerDetail extends Container {
  /** docker's: what its file system is made of. `lowerDir` is topmost first: layers' directories, in the store or outside; `mergedDir` is where it is mounted */
  graphDriver: { name: 'plyfs'; data: { lowerDir: string[]; upperDir: string; workDir: string; mergedDir: string } };
}

/** docker's letters: added, changed, deleted. A changed directory is named for what is in it too. */
export interface Change {
  kind: 'A' | 'C' | 'D';
  path: string;
  /** path bytes in base64 when they are not UTF-8 */
  pathBase64?: string;
}

export interface CommitRequest {
  /** a name for the image, which moves to it; none: it goes by its id */
  tag?: string;
  author?: string;
  message?: string;
  /** instructions as in a Dockerfile: CMD ENTRYPOINT ENV EXPOSE LABEL ONBUILD USER VOLUME WORKDIR */
  changes?: string[];
}

export interface CommitProgress {
  /** of the layer's tar, so far */
  bytes: number;
}

export interface CommitResult {
  image: Image;
  /** the new layer */
  layer: Layer;
  /** another image had this layer already */
  reused: boolean;
}

export type ExportFormat = 'oci-archive' | 'oci-dir' | 'docker-archive';

export interface ExportRequest {
  /** of plyd's machine, absolute; a file that is there is replaced */
  path: string;
  /** oci-archive */
  format?: ExportFormat;
  /** of the layers: gzip, in a docker-archive none */
  compress?: 'gzip' | 'zstd' | 'none';
}

export interface ExportProgress {
  /** of the layers' tars, uncompressed; the total without those of directories */
  bytes: number;
  totalBytes: number;
  layers: number;
  totalLayers: number;
}

export interface ExportResult {
  image: string;
  path: string;
  format: ExportFormat;
  compress: 'gzip' | 'zstd' | 'none';
  /** of the manifest; in a docker-archive of the config */
  digest: string;
  /** of the file, or of the layers in the directory */
  size: number;
  /** the lowest first: sha256 of the tar, and of the file with its size */
  layers: { diffId: string; digest: string; size: number }[];
}

/** docker's, the newest first. */
export interface HistoryEntry {
  /** the image's, of the first */
  id: string | null;
  created: string | null;
  createdBy: string;
  /** of the layer's files; 0 where there is none */
  size: number;
  comment: string;
  author: string;
  /** null: that step made none */
  layer: string | null;
}

/** A path of an image, or one that some layers have and the image does not show. */
export interface TreeEntry {
  path: string;
  /** path bytes in base64 when they are not UTF-8 */
  pathBase64?: string;
  type: 'file' | 'directory' | 'link' | 'other';
  /** of a regular file, else 0 */
  size: number;
  /** where in the image's `layers` it comes from; null: no layer shows it any more */
  layer: number | null;
  /** what other layers have there, and which layer hides it; the topmost first */
  hidden: { layer: number; by: number; size: number }[];
}

/** What a layer does to an image. Sizes are of regular files, the names of one inode counted once. */
export interface LayerShare {
  id: string;
  createdBy: string;
  adds: { entries: number; bytes: number };
  /** of the layers below */
  hides: { entries: number; bytes: number };
  /** of its own, hidden by layers above */
  wastes: { entries: number; bytes: number };
}

export interface ImageTree {
  image: string;
  /** topmost first */
  layers: LayerShare[];
}

export interface Event {
  seq: number;
  time: string;
  type:
    | 'layer.add'
    | 'layer.rm'
    | 'image.create'
    | 'image.tag'
    | 'image.untag'
    | 'image.import'
    | 'prune'
    | 'image.rm'
    | 'container.create'
    | 'container.start'
    | 'container.stop'
    | 'container.rm'
    | 'container.fail'
    | 'mount'
    | 'umount'
    | 'engine.start'
    | 'engine.exit'
    | 'recover';
  id: string;
  name?: string;
  detail?: string;
}

/** POST /v1/images/import: `path` is absolute, a file or directory of the machine that plyd runs on. */
export interface ImportRequest {
  path: string;
  /** names for the image instead of those in the archive */
  tags?: string[];
  /** uncompressed bytes that the layers may have together; without it only what looks like a bomb is refused */
  maxSize?: number;
}

export interface ImportResult {
  /** the first of them */
  image: Image;
  /** an archive may hold several */
  images: Image[];
  /** of `image`, the lowest first */
  layers: { id: string; reused: boolean }[];
}

/** A line each, while it runs. The last one is `result` or `error`. */
export type ImportEvent =
  /** what there is to do: bytes of blobs to be read */
  | { type: 'plan'; layers: number; reused: number; bytes: number }
  | { type: 'progress'; bytes: number; files: number }
  | { type: 'layer'; id: string; reused: boolean };

/** POST /v1/prune[?all=true] */
export interface Pruned {
  /** ids */
  images: string[];
  layers: string[];
  objects: number;
  /** what an import left that was killed, or a snapshot that was not finished */
  leftovers: number;
  /** freed: contents, indexes, framings, what imports left */
  bytes: number;
}

export interface FsckProblem {
  kind: 'catalog' | 'layer' | 'object' | 'container' | 'snapshot' | 'leftover';
  /** id, digest, name or path */
  name: string;
  message: string;
  repaired: boolean;
}

/** POST /v1/fsck[?repair=true]: a line each, while it runs. */
export type FsckEvent = { type: 'progress'; bytes: number; total: number } | { type: 'problem'; problem: FsckProblem };

export interface FsckResult {
  ok: boolean;
  problems: FsckProblem[];
  checked: { layers: number; objects: number; containers: number; snapshots: number; bytes: number };
}

export interface UsageRow {
  total: number;
  /** images: a container is made of it; containers: it runs; layers: an image has it; objects: a layer has it; snapshots: active, a view, or below one of these */
  active: number;
  /** bytes of files */
  size: number;
  /** what would be freed if all went that is not active */
  reclaimable: number;
}

/** GET /v1/df[?verbose=true]. An image's size is what its layers take, each object once; what images share counts for each of them, and once in all. */
export interface DiskUsage {
  images: UsageRow;
  containers: UsageRow;
  layers: UsageRow;
  objects: UsageRow;
  /** containerd's */
  snapshots: UsageRow;
  /** `unique` goes with it, `shared` others have too */
  imageList?: { id: string; name: string | null; containers: number; size: number; shared: number; unique: number }[];
  layerList?: { id: string; kind: 'directory' | 'imported'; images: number; size: number; shared: number; unique: number }[];
  containerList?: { id: string; name: string; state: string; size: number }[];
  snapshotList?: { key: string; kind: 'active' | 'view' | 'committed'; parent: string | null; size: number }[];
}

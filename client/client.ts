/**
 * plyd's API for programs: a method for every route, with the API's own types. All reject with PlyError. Where something is referred to, its name
 * will do, its id, or the beginning of its id.
 */
import type * as Api from '../daemon/api/types';
import { type CallOptions, Connection, query, route, usualSocket } from './connection';
import type { Work } from './work';

export interface ClientOptions {
  /** plyd's socket. None: PLY_SOCKET, else a user's own plyd if there is one, else the machine's (/run/ply/ply.sock) */
  socket?: string | undefined;
}

/** Of what may be in use. */
export interface EndOptions extends CallOptions {
  /** take the mount away now, and end it when nobody uses it any more */
  lazy?: boolean | undefined;
}

export class Client {
  readonly socket: string;
  readonly mounts: Mounts;
  readonly layers: Layers;
  readonly images: Images;
  readonly containers: Containers;
  private readonly connection: Connection;

  constructor(options: ClientOptions = {}) {
    this.socket = options.socket ?? (process.env['PLY_SOCKET'] || usualSocket());
    this.connection = new Connection(this.socket);
    this.mounts = new Mounts(this.connection);
    this.layers = new Layers(this.connection);
    this.images = new Images(this.connection);
    this.containers = new Containers(this.connection);
  }

  /** What the daemon is and holds. */
  info(options?: CallOptions): Promise<Api.Info> {
    return this.connection.get('/info', options);
  }

  /** What engines have counted. */
  stats(options?: CallOptions): Promise<Api.Stats> {
    return this.connection.get('/stats', options);
  }

  /** The same for Prometheus, and more, in Prometheus' text format. */
  metrics(options?: CallOptions): Promise<string> {
    return this.connection.getText('/metrics', options);
  }

  /** Does plyd answer? */
  healthz(options?: CallOptions): Promise<{ alive: true }> {
    return this.connection.get('/healthz', options);
  }

  /** Can plyd do its work? Rejects with code `unavailable` when it cannot; the message says why. */
  readyz(options?: CallOptions): Promise<{ ready: true }> {
    return this.connection.get('/readyz', options);
  }

  /** The OpenAPI 3.1 document. */
  openApi(options?: CallOptions): Promise<Record<string, unknown>> {
    return this.connection.get('/openapi.json', options);
  }

  /** What the store holds, and what would be freed; with `verbose` of each image, layer, container and snapshot. */
  df({ verbose, ...options }: CallOptions & { verbose?: boolean | undefined } = {}): Promise<Api.DiskUsage> {
    return this.connection.getSlowly(query('/df', { verbose }), options);
  }

  /** Removes what nothing refers to; with `all` images too that have a name and no container. */
  prune({ all, ...options }: CallOptions & { all?: boolean | undefined } = {}): Promise<Api.Pruned> {
    return this.connection.post(query('/prune', { all }), {}, options);
  }

  /** Verifies the store: catalog, indexes, objects by their hashes, directories of containers and snapshots. */
  fsck({ repair, ...options }: CallOptions & { repair?: boolean | undefined } = {}): Work<Api.FsckEvent, Api.FsckResult> {
    return this.connection.work('POST', query('/fsck', { repair }), {}, options);
  }

  /**
   * What happens, as it happens; with `since`, what has happened after that event first (0: all that plyd remembers). It ends when plyd ends it: it was
   * stopped, or this program was too slow. Leaving the loop hangs up.
   */
  events({ since, signal }: CallOptions & { since?: number | undefined } = {}): AsyncGenerator<Api.Event, void, undefined> {
    return this.connection.lines<Api.Event>({
      method: 'GET',
      path: query('/events', { since: since === undefined ? undefined : String(since) }),
      signal,
    });
  }
}

/** Stacks of directories that belong to no container, and all mounts. */
class Mounts {
  constructor(private readonly connection: Connection) {}

  async list(options?: CallOptions): Promise<Api.Mount[]> {
    return (await this.connection.get<{ mounts: Api.Mount[] }>('/mounts', options)).mounts;
  }

  /** Usable when it resolves. */
  add(request: Api.MountRequest, options?: CallOptions): Promise<Api.Mount> {
    return this.connection.post('/mounts', request, options);
  }

  remove(id: string, { lazy, ...options }: EndOptions = {}): Promise<void> {
    return this.connection.delete(query(route`/mounts/${id}`, { lazy }), options);
  }
}

class Layers {
  constructor(private readonly connection: Connection) {}

  async list(options?: CallOptions): Promise<Api.Layer[]> {
    return (await this.connection.get<{ layers: Api.Layer[] }>('/layers', options)).layers;
  }

  get(ref: string, options?: CallOptions): Promise<Api.Layer> {
    return this.connection.get(route`/layers/${ref}`, options);
  }

  /** Takes a directory as a layer: it is read and indexed. */
  add(request: Api.LayerRequest, options?: CallOptions): Promise<Api.Layer> {
    return this.connection.post('/layers', request, options);
  }

  /** Is it what was added? */
  verify(ref: string, options?: CallOptions): Promise<Api.LayerVerification> {
    return this.connection.post(route`/layers/${ref}/verify`, {}, options);
  }

  remove(ref: string, options?: CallOptions): Promise<void> {
    return this.connection.delete(route`/layers/${ref}`, options);
  }
}

class Images {
  constructor(private readonly connection: Connection) {}

  async list(options?: CallOptions): Promise<Api.Image[]> {
    return (await this.connection.get<{ images: Api.Image[] }>('/images', options)).images;
  }

  /** All of one: its config, and its layers with their chain ids and where each came from. */
  get(ref: string, options?: CallOptions): Promise<Api.ImageDetail> {
    return this.connection.get(route`/images/${ref}`, options);
  }

  /** Makes one of layers that there are, the topmost first. */
  create(request: Api.ImageRequest, options?: CallOptions): Promise<Api.Image> {
    return this.connection.post('/images', request, options);
  }

  /** Gives it a further name; one that another image has moves. */
  tag(ref: string, name: string, options?: CallOptions): Promise<Api.Image> {
    return this.connection.post(route`/images/${ref}/tag`, { name }, options);
  }

  /** Takes in what a file or directory of plyd's machine holds: OCI layout, docker-archive, or the tar of a root directory. */
  import(request: Api.ImportRequest, options?: CallOptions): Work<Api.ImportEvent, Api.ImportResult> {
    return this.connection.work('POST', '/images/import', request, options);
  }

  /** How it was made, the newest step first. */
  async history(ref: string, options?: CallOptions): Promise<Api.HistoryEntry[]> {
    return (await this.connection.get<{ history: Api.HistoryEntry[] }>(route`/images/${ref}/history`, options)).history;
  }

  /** Which layer each path comes from, some at a time; in the end what each layer adds, hides and wastes. */
  tree(ref: string, options?: CallOptions): Work<Api.TreeEntry[], Api.ImageTree> {
    return this.connection.work('GET', route`/images/${ref}/tree`, undefined, options);
  }

  /** Writes it to a file or directory of plyd's machine. */
  export(ref: string, request: Api.ExportRequest, options?: CallOptions): Work<Api.ExportProgress, Api.ExportResult> {
    return this.connection.work('POST', route`/images/${ref}/export`, request, options);
  }

  /** Of an image with several names only the one by which it is called goes. */
  remove(ref: string, options?: CallOptions): Promise<Api.ImageRemoval> {
    return this.connection.delete(route`/images/${ref}`, options);
  }
}

class Containers {
  constructor(private readonly connection: Connection) {}

  async list({ size, ...options }: CallOptions & { size?: boolean | undefined } = {}): Promise<Api.Container[]> {
    const path = query('/containers', { size });
    type Answer = { containers: Api.Container[] };
    const answer = size === true ? this.connection.getSlowly<Answer>(path, options) : this.connection.get<Answer>(path, options);
    return (await answer).containers;
  }

  get(ref: string, { size, ...options }: CallOptions & { size?: boolean | undefined } = {}): Promise<Api.ContainerDetail> {
    const path = query(route`/containers/${ref}`, { size });
    return size === true ? this.connection.getSlowly(path, options) : this.connection.get(path, options);
  }

  create(request: Api.ContainerRequest, options?: CallOptions): Promise<Api.Container> {
    return this.connection.post('/containers', request, options);
  }

  /** Mounts it: `mountpoint` says where. */
  start(ref: string, options?: CallOptions): Promise<Api.Container> {
    return this.connection.post(route`/containers/${ref}/start`, {}, options);
  }

  /** Unmounts it. What it wrote stays. */
  stop(ref: string, { lazy, ...options }: EndOptions = {}): Promise<Api.Container> {
    return this.connection.post(query(route`/containers/${ref}/stop`, { lazy }), {}, options);
  }

  /** With what it wrote; `force` stops it first, whoever uses it. */
  remove(ref: string, { force, ...options }: CallOptions & { force?: boolean | undefined } = {}): Promise<void> {
    return this.connection.delete(query(route`/containers/${ref}`, { force }), options);
  }

  /** Makes an image of it: one more layer with what it changed. */
  commit(ref: string, request: Api.CommitRequest = {}, options?: CallOptions): Work<Api.CommitProgress, Api.CommitResult> {
    return this.connection.work('POST', route`/containers/${ref}/commit`, request, options);
  }

  /** How it differs from its image. */
  async diff(ref: string, options?: CallOptions): Promise<Api.Change[]> {
    return (await this.connection.getSlowly<{ changes: Api.Change[] }>(route`/containers/${ref}/diff`, options)).changes;
  }
}

export type { Containers, Images, Layers, Mounts };

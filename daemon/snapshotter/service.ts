/** The gRPC service: it converts, and knows no rule. */
import { type sendUnaryData, Server, type ServerUnaryCall, type ServerWritableStream, status, type StatusObject } from '@grpc/grpc-js';
import { loadPackageDefinition, type ServiceClientConstructor, ServerCredentials } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import type { Socket } from 'node:net';
import type { Log } from '../log';
import { MountBusy } from '../mounts/supervisor';
import { Ending } from '../mounts/supervisor';
import { CatalogError, type SnapshotInfo } from '../store';
import { DESCRIPTOR, LOADING, SERVICE, type WireInfo, type WireTime } from './messages';
import type { Snapshotter } from './snapshotter';

/** What any of the requests may hold; the rest is as if it were empty. */
interface Request {
  key: string;
  name: string;
  parent: string;
  labels: Record<string, string>;
  filters: string[];
  info: WireInfo | null;
  updateMask: { paths: string[] } | null;
}

/** Of a message of List. */
const INFOS_AT_ONCE = 100;

export class SnapshotService {
  private readonly server = new Server();
  private readonly connections: ReturnType<Server['createConnectionInjector']>;

  constructor(
    private readonly snapshotter: Snapshotter,
    private readonly log: Log,
  ) {
    const { list, ...unary } = this.handlers();
    this.server.addService(definition().service, { ...mapped(unary, (handle) => this.unary(handle)), list: this.list(list) });
    this.connections = this.server.createConnectionInjector(ServerCredentials.createInsecure());
  }

  /** A client that may talk to us. */
  connect(socket: Socket): void {
    this.connections.injectConnection(socket);
  }

  /** Resolves when the calls that run are answered, or at the limit. */
  async close(limitMs: number): Promise<void> {
    const ended = new Promise<void>((resolve) => this.server.tryShutdown(() => resolve()));
    this.connections.drain(limitMs);
    const timer = setTimeout(() => this.server.forceShutdown(), limitMs);
    await ended;
    clearTimeout(timer);
    this.connections.destroy();
  }

  private handlers() {
    const { snapshotter } = this;
    return {
      prepare: async ({ key, parent, labels }: Request) => ({ mounts: await snapshotter.prepare(key, parent, labels) }),
      view: async ({ key, parent, labels }: Request) => ({ mounts: await snapshotter.view(key, parent, labels) }),
      mounts: async ({ key }: Request) => ({ mounts: await snapshotter.mounts(key) }),
      commit: async ({ name, key, parent, labels }: Request) => {
        await snapshotter.commit(name, key, parent, labels);
        return {};
      },
      remove: async ({ key }: Request) => {
        await snapshotter.remove(key);
        return {};
      },
      stat: ({ key }: Request) => ({ info: wireInfo(snapshotter.stat(key)) }),
      update: ({ info, updateMask }: Request) => {
        if (info === null) throw new CatalogError('bad-request', 'the info of the snapshot is missing');
        return { info: wireInfo(snapshotter.update(info.name, info.labels, updateMask?.paths ?? [])) };
      },
      usage: async ({ key }: Request) => {
        const { bytes: size, inodes } = await snapshotter.usage(key);
        return { size, inodes };
      },
      cleanup: async () => {
        await snapshotter.cleanup();
        return {};
      },
      list: ({ filters }: Request) => snapshotter.list(filters).map(wireInfo),
    };
  }

  private unary(handle: (request: Request) => object | Promise<object>) {
    return (call: ServerUnaryCall<Request, object>, answer: sendUnaryData<object>): void => {
      Promise.resolve()
        .then(() => handle(call.request))
        .then(
          (response) => answer(null, response),
          (error: unknown) => answer(this.told(error, call.getPath())),
        );
    };
  }

  private list(handle: (request: Request) => WireInfo[]) {
    return (call: ServerWritableStream<Request, { info: WireInfo[] }>): void => {
      try {
        const infos = handle(call.request);
        for (let at = 0; at < infos.length; at += INFOS_AT_ONCE) call.write({ info: infos.slice(at, at + INFOS_AT_ONCE) });
        call.end();
      } catch (error) {
        call.emit('error', this.told(error, call.getPath()));
      }
    };
  }

  private told(error: unknown, method: string): Pick<StatusObject, 'code' | 'details'> {
    const code = codeOf(error);
    if (code === status.INTERNAL) this.log.error({ err: error, method }, 'a request of containerd failed');
    return { code, details: (error as Error).message };
  }
}

/** The client's and the server's side of it. */
export function definition(): ServiceClientConstructor {
  let found: unknown = loadPackageDefinition(fromJSON(DESCRIPTOR, LOADING));
  for (const name of SERVICE.split('.')) found = (found as Record<string, unknown>)[name];
  return found as ServiceClientConstructor;
}

const CODES = {
  'not-found': status.NOT_FOUND,
  conflict: status.ALREADY_EXISTS,
  'in-use': status.FAILED_PRECONDITION,
  'bad-request': status.INVALID_ARGUMENT,
} as const;

function codeOf(error: unknown): status {
  if (error instanceof CatalogError) return CODES[error.code];
  if (error instanceof MountBusy) return status.FAILED_PRECONDITION;
  if (error instanceof Ending) return status.UNAVAILABLE;
  return status.INTERNAL;
}

function wireInfo({ key: name, parent, kind, createdAt, updatedAt, labels }: SnapshotInfo): WireInfo {
  const times = { createdAt: wireTime(createdAt), updatedAt: wireTime(updatedAt) };
  return { name, parent, kind: kind.toUpperCase() as WireInfo['kind'], ...times, labels };
}

function wireTime(text: string): WireTime {
  const ms = Date.parse(text);
  return { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 };
}

function mapped<K extends string, A, B>(from: Record<K, A>, change: (one: A) => B): Record<K, B> {
  return Object.fromEntries(Object.entries<A>(from).map(([key, one]) => [key, change(one)])) as Record<K, B>;
}

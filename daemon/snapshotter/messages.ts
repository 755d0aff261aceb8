/**
 * The wire of containerd.services.snapshots.v1 (its api/services/snapshots/v1/snapshots.proto and api/types/mount.proto): the fields by number, in the form
 * that @grpc/proto-loader reads, and what they are here.
 */

const string = (id: number): object => ({ type: 'string', id });
const many = (type: string, id: number): object => ({ rule: 'repeated', type, id });
const labels = (id: number): object => ({ keyType: 'string', type: 'string', id });
const message = (fields: Record<string, object>): object => ({ fields });
const ofKey = message({ snapshotter: string(1), key: string(2) });
const newSnapshot = message({ snapshotter: string(1), key: string(2), parent: string(3), labels: labels(4) });
const mounts = message({ mounts: many('containerd.types.Mount', 1) });
const EMPTY = 'google.protobuf.Empty';

const call = (request: string, response: string, responseStream = false): object => ({
  requestType: request,
  responseType: response,
  ...(responseStream && { responseStream }),
});

export const SERVICE = 'containerd.services.snapshots.v1.Snapshots';

const SNAPSHOTS = {
  PrepareSnapshotRequest: newSnapshot,
  PrepareSnapshotResponse: mounts,
  ViewSnapshotRequest: newSnapshot,
  ViewSnapshotResponse: mounts,
  MountsRequest: ofKey,
  MountsResponse: mounts,
  RemoveSnapshotRequest: ofKey,
  CommitSnapshotRequest: message({ snapshotter: string(1), name: string(2), key: string(3), labels: labels(4), parent: string(5) }),
  StatSnapshotRequest: ofKey,
  Kind: { values: { UNKNOWN: 0, VIEW: 1, ACTIVE: 2, COMMITTED: 3 } },
  Info: message({
    name: string(1),
    parent: string(2),
    kind: { type: 'Kind', id: 3 },
    createdAt: { type: 'google.protobuf.Timestamp', id: 4 },
    updatedAt: { type: 'google.protobuf.Timestamp', id: 5 },
    labels: labels(6),
  }),
  StatSnapshotResponse: message({ info: { type: 'Info', id: 1 } }),
  UpdateSnapshotRequest: message({
    snapshotter: string(1),
    info: { type: 'Info', id: 2 },
    updateMask: { type: 'google.protobuf.FieldMask', id: 3 },
  }),
  UpdateSnapshotResponse: message({ info: { type: 'Info', id: 1 } }),
  ListSnapshotsRequest: message({ snapshotter: string(1), filters: many('string', 2) }),
  ListSnapshotsResponse: message({ info: many('Info', 1) }),
  UsageRequest: ofKey,
  UsageResponse: message({ size: { type: 'int64', id: 1 }, inodes: { type: 'int64', id: 2 } }),
  CleanupRequest: message({ snapshotter: string(1) }),
  Snapshots: {
    methods: {
      Prepare: call('PrepareSnapshotRequest', 'PrepareSnapshotResponse'),
      View: call('ViewSnapshotRequest', 'ViewSnapshotResponse'),
      Mounts: call('MountsRequest', 'MountsResponse'),
      Commit: call('CommitSnapshotRequest', EMPTY),
      Remove: call('RemoveSnapshotRequest', EMPTY),
      Stat: call('StatSnapshotRequest', 'StatSnapshotResponse'),
      Update: call('UpdateSnapshotRequest', 'UpdateSnapshotResponse'),
      List: call('ListSnapshotsRequest', 'ListSnapshotsResponse', true),
      Usage: call('UsageRequest', 'UsageResponse'),
      Cleanup: call('CleanupRequest', EMPTY),
    },
  },
};

const nested = (path: readonly string[], inner: object): object =>
  path.reduceRight<object>((rest, name) => ({ nested: { [name]: rest } }), { nested: inner });

const TYPES = {
  Mount: message({ type: string(1), source: string(2), target: string(3), options: many('string', 4) }),
};

const GOOGLE = {
  Empty: message({}),
  FieldMask: message({ paths: many('string', 1) }),
  Timestamp: message({ seconds: { type: 'int64', id: 1 }, nanos: { type: 'int32', id: 2 } }),
};

/** For proto-loader's fromJSON(). */
export const DESCRIPTOR: object = {
  nested: {
    containerd: {
      nested: {
        types: { nested: TYPES },
        services: nested(['snapshots', 'v1'], SNAPSHOTS),
      },
    },
    google: nested(['protobuf'], GOOGLE),
  },
};

/** Lists and maps are always there, strings are '' where they are absent. */
export const LOADING = { longs: Number, enums: String, defaults: true, arrays: true, objects: true } as const;

export interface WireTime {
  seconds: number;
  nanos: number;
}

export interface WireInfo {
  name: string;
  parent: string;
  kind: 'UNKNOWN' | 'VIEW' | 'ACTIVE' | 'COMMITTED';
  createdAt: WireTime;
  updatedAt: WireTime;
  labels: Record<string, string>;
}

/**
 * What a snapshotter does for containerd: the contract of containerd's `snapshots.Snapshotter` (pkg/snapshots), without its wire.
 *
 * A snapshot is a file system tree with a key. *active*: it can be written. *committed*: it never changes again and can be a parent. *view*: as active, for
 * reading only. Keys are opaque, of one namespace (containerd puts its own namespaces into them). A committed snapshot's own changes lie over its parent's.
 *
 * Every method throws CatalogError when it is refused, and then nothing has changed: not-found, conflict (exists already), bad-request (invalid argument),
 * in-use (failed precondition); or MountBusy (failed precondition), StoreError, and the errors of mounting.
 */
import type { SnapshotInfo, SnapshotUsage } from '../store';

/** What the client is to mount to see the tree, as mount(8)'s words. */
export interface SnapshotMount {
  type: string;
  source: string;
  options: string[];
}

export type Labels = Readonly<Record<string, string>>;

export interface Snapshotter {
  /**
   * An active snapshot over `parent` ('' : over nothing). Its root has the parent's root's owner and mode. conflict: the key is there, or the layer that the label
   * containerd.io/snapshot.ref names is (committed, with the same parent): then nothing need be fetched. bad-request: the parent is not committed.
   */
  prepare(key: string, parent: string, labels: Labels): Promise<SnapshotMount[]>;

  /** As prepare(), for reading: whoever writes gets EROFS. It cannot be committed. */
  view(key: string, parent: string, labels: Labels): Promise<SnapshotMount[]>;

  /** The mounts of an active snapshot or a view, as often as asked. in-use: it is committed. */
  mounts(key: string): Promise<SnapshotMount[]>;

  /**
   * The active snapshot `key` becomes the committed `name`, with these labels instead of its own, created now. Its usage is measured once for all. in-use:
   * it is not active, or somebody still has it mounted and might write. bad-request: `parent` is not '' and another than it was prepared over (containerd asks
   * for that only of snapshotters that say that they have the capability "rebase").
   */
  commit(name: string, key: string, parent: string, labels: Labels): Promise<void>;

  /** in-use: others have it as their parent. Whoever still has it mounted goes on without its files. */
  remove(key: string): Promise<void>;

  stat(key: string): SnapshotInfo;

  /**
   * Sets labels: all of them, or with `paths` ("labels", "labels.NAME") those named; one without a value goes. bad-request: another path, and nothing else can be
   * changed.
   */
  update(key: string, labels: Labels, paths: readonly string[]): SnapshotInfo;

  /** Those that one of the filters describes (filters.ts); all, if there are none. bad-request: a filter cannot be read. */
  list(filters: readonly string[]): SnapshotInfo[];

  /** On disk, without the parents. Of an active one it is measured now. */
  usage(key: string): Promise<SnapshotUsage>;

  /** Deletes what removals that failed have left. */
  cleanup(): Promise<void>;
}

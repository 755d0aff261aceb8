/** What the engine needs of the overlay, so that a test can have its worker loop serve something simpler over a real mount. */
import type { Operations } from '../protocol/operations';
import type { ImportedLayers, MountSpec } from '../overlay/setup';
import type { ViewSpec } from '../overlay/view';
import type { WorkerContext } from '../overlay/worker';

export type { ImportedLayers, MountSpec, ViewSpec };

/** One worker's view of a mount. */
export interface ServedOperations extends Operations {
  /** The worker lets go of the mount. */
  detach(): void;
  /** By a worker that has nothing else to do, when WorkerContext.readAhead was called: some work. False: there is none. */
  readAhead?(): boolean;
}

export interface Overlay {
  /** By the main thread: a mount record in state SETTING_UP; returns its index. Throws an Error whose message is for the user. */
  setUpMount(context: WorkerContext, spec: MountSpec): number;
  /** By the main thread, when every worker has let go: frees the record and what hangs from it, closes the descriptors. */
  tearDownMount(context: WorkerContext, mount: number): void;
  OverlayMount: new (context: WorkerContext, mount: number) => ServedOperations;
}

/** The overlay, or what is in its place: `module` is an absolute path. */
export function loadOverlay(module: string | undefined): Overlay {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- which one it is, is known at the start of the thread
  return (module === undefined ? require('../overlay/index') : require(module)) as Overlay;
}

/** How a worker's thread is started: before it is known what it will serve, since its own start takes longer than that. */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Bundle } from '../bundled';

/** Their heap holds no node and no file data: it stays small. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64, codeRangeSizeMb: 16 };

/** It waits for a WorkerStart (worker.ts), and has loaded all modules then; from the bundle, if there is one. */
export function startThread(bundle: Bundle | undefined): Worker {
  return new Worker(join(__dirname, 'thread.js'), { workerData: { bundle }, resourceLimits: RESOURCE_LIMITS, trackUnmanagedFds: false });
}

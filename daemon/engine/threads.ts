/** How a worker's thread is started: before it is known what it will serve, since its own start takes longer than that. */
import fs from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type Bundle, isThere } from '../bundled';

const THREAD = join(__dirname, 'thread.js');
const AS_STARTED = identity();

/** Their heap holds no node and no file data: it stays small. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64, codeRangeSizeMb: 16 };

/** It waits for a WorkerStart (worker.ts), and has loaded all modules then; from the bundle, if there is one. */
export function startThread(bundle: Bundle | undefined): Worker {
  return new Worker(THREAD, { workerData: { bundle }, resourceLimits: RESOURCE_LIMITS, trackUnmanagedFds: false });
}

/**
 * Are the files that this process was started from still there? After an upgrade they are another build's, and a thread started then would bring its ideas
 * of the table to ours.
 */
export function isAsStarted(bundle: Bundle | undefined): boolean {
  return identity() === AS_STARTED && (bundle === undefined || isThere(bundle));
}

/** What an upgrade changes, whether it replaces the file or writes into it. */
function identity(): string | undefined {
  const found = fs.statSync(THREAD, { throwIfNoEntry: false });
  return found && `${found.dev}:${found.ino}:${found.mtimeMs}`;
}

/** A worker's thread (threads.ts): loads worker.ts, and serves as soon as it is told what. */
import { parentPort, workerData } from 'node:worker_threads';
import { type Bundle, load } from '../bundled';
import type { WorkerStart } from './worker';

const { serve } = load((workerData as { bundle?: Bundle }).bundle, 'daemon/engine/worker') as typeof import('./worker');
parentPort!.once('message', (start: WorkerStart) => serve(start));

/** The thread that looks at the whole of the store, once: fsck.ts, usage.ts. Its other end is store-work.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import { checkStore } from './fsck';
import { storeUsage } from './usage';

export type StoreTask = { kind: 'fsck'; root: string; cancelled: Int32Array } | { kind: 'usage'; root: string; verbose: boolean };

const task = workerData as StoreTask;
const tell = (message: object): void => parentPort!.postMessage(message);

if (task.kind === 'fsck') tell({ result: checkStore(task.root, task.cancelled, (event) => tell({ event })) });
else tell({ result: storeUsage(task.root, task.verbose) });

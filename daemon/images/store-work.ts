/** fsck and df, from plyd's side. */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { FsckEvent, FsckProblem, FsckResult } from '../api/types';
import { snapshotsLeft } from '../mounts/snapshot-directories';
import { type Catalog, strayLayers } from '../store';
import type { Checked } from './fsck';
import { removeLeftovers, removeStrays } from './prune';
import { scratchLeft } from './scratch';
import type { StoreTask } from './store-thread';
import type { StoreUsage } from './usage';

const THREAD = join(__dirname, 'store-thread.js');

function run<T>(task: StoreTask, take: (event: FsckEvent) => void, signal?: AbortSignal): Promise<T> {
  signal?.throwIfAborted();
  const worker = new Worker(THREAD, { workerData: task, execArgv: [] });
  const abort = (): void => {
    if (task.kind === 'fsck') Atomics.store(task.cancelled, 0, 1); // not worker.terminate(): SQLite's addon does not outlive it
  };
  signal?.addEventListener('abort', abort, { once: true });
  return new Promise<T>((resolve, reject) => {
    worker.on('message', (message: { event: FsckEvent } | { result: T }) => {
      if ('event' in message) take(message.event);
      else resolve(message.result);
    });
    worker.on('error', (error) => reject(signal?.aborted === true ? (signal.reason as Error) : error));
    worker.on('exit', () =>
      reject(signal?.aborted === true ? (signal.reason as Error) : new Error('the thread that looks at the store has ended')),
    );
  }).finally(() => signal?.removeEventListener('abort', abort));
}

export function usage(catalog: Catalog, verbose: boolean): Promise<StoreUsage> {
  return run({ kind: 'usage', root: catalog.root, verbose }, () => undefined);
}

/**
 * `repair` removes what is damaged and what nothing refers to: an object that is gone is written again by the next import of a layer that has it, once the
 * images that need it were removed.
 */
export async function fsck(
  catalog: Catalog,
  { repair = false, progress, signal }: { repair?: boolean; progress?: (event: FsckEvent) => void; signal?: AbortSignal } = {},
): Promise<FsckResult> {
  const problems: FsckProblem[] = [];
  const take = (event: FsckEvent): void => {
    if (event.type === 'problem') problems.push(event.problem);
    else progress?.(event);
  };
  const checked = await run<Checked>(
    { kind: 'fsck', root: catalog.root, cancelled: new Int32Array(new SharedArrayBuffer(4)) },
    take,
    signal,
  );
  const left = [...scratchLeft(catalog.root), ...strayLayers(catalog).map((id) => catalog.layerDirectory(id)), ...snapshotsLeft(catalog)];
  for (const path of left) problems.push({ kind: 'leftover', name: path, message: 'nothing refers to it', repaired: false });
  if (repair) await mend(catalog, problems);
  for (const problem of problems) progress?.({ type: 'problem', problem });
  return { ok: problems.every(({ repaired }) => repaired), problems, checked };
}

async function mend(catalog: Catalog, problems: readonly FsckProblem[]): Promise<void> {
  for (const problem of problems) {
    const { kind, name } = problem;
    if (kind === 'object') {
      catalog.objects.remove(Buffer.from(name, 'hex'));
      const users = catalog.objectRows.users(Buffer.from(name, 'hex'));
      problem.message += `; it is removed: to get it back, remove what is made of ${users.join(', ')}, prune, and import it again`;
    }
  }
  if (!problems.some(({ kind }) => kind === 'leftover')) return;
  await removeStrays(catalog);
  await removeLeftovers(catalog);
  for (const problem of problems) if (problem.kind === 'leftover' && problem.message !== 'it is none of ours') problem.repaired = true;
}

/**
 * The child process that reads a layer's tree, to index or to verify it: plyd's event loop goes on, a crash is this process's own, and its memory
 * goes with it. Its other end is layer-index.ts: a Task comes in, Reports go out, then it ends. It ends too when plyd does.
 */
import { setPriority } from 'node:os';
import type { LayerVerification } from '../api/types';
import { StoreError } from './errors';
import { buildIndex, type Progress } from './index-build';
import type { IndexFacts } from './index-rows';
import { verifyIndex } from './index-verify';

export type Task =
  | { kind: 'index'; directory: string; file: string }
  | { kind: 'verify'; directory: string; file: string; treeDigest: string; deep: boolean };

export type Report =
  | { kind: 'progress'; progress: Progress }
  | { kind: 'indexed'; facts: IndexFacts }
  | { kind: 'verified'; verification: LayerVerification }
  /** `expected`: the message is for people */
  | { kind: 'error'; expected: boolean; message: string };

const SLICE_MS = 50;
const REPORT_MS = 250;
const NICE = 10;

async function perform(task: Task): Promise<Report> {
  const progress: Progress = { entries: 0, bytes: 0 };
  let slice = Date.now();
  let reported = slice;
  const tick = async (bytes: number): Promise<void> => {
    progress.bytes += bytes;
    const now = Date.now();
    if (now - slice < SLICE_MS) return;
    if (now - reported >= REPORT_MS) {
      reported = now;
      process.send?.({ kind: 'progress', progress } satisfies Report);
    }
    await new Promise(setImmediate); // here a disconnect is noticed
    slice = Date.now();
  };
  try {
    if (task.kind === 'index') return { kind: 'indexed', facts: await buildIndex(task.directory, task.file, progress, tick) };
    return { kind: 'verified', verification: await verifyIndex(task.directory, task.file, task.treeDigest, task.deep, progress, tick) };
  } catch (error) {
    if (error instanceof StoreError) return { kind: 'error', expected: true, message: error.message };
    return { kind: 'error', expected: false, message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

try {
  setPriority(NICE); // what runs in the containers comes first
} catch {
  // then as it is
}
process.once('message', (task: Task) => {
  void perform(task).then((report) => process.send?.(report, () => process.disconnect()));
});
// plyd is gone: what was begun is worth nothing, and the next plyd sweeps it.
process.once('disconnect', () => process.exit());
// A terminal's Ctrl-C goes to plyd's whole group: plyd decides.
process.on('SIGINT', () => undefined);

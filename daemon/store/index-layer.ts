/** The child process that reads a layer's tree, to index or to verify it: its other end is layer-index.ts. */
import { serveTask } from './child-side';
import { buildIndex, type Progress } from './index-build';
import { verifyIndex } from './index-verify';

export type Task =
  | { kind: 'index'; directory: string; file: string }
  | { kind: 'verify'; directory: string; file: string; treeDigest: string; deep: boolean };

const progress: Progress = { entries: 0, bytes: 0 };

serveTask<Progress>({ progress }, (task: Task, breathe) => {
  const tick = (bytes: number): Promise<void> => {
    progress.bytes += bytes;
    return breathe();
  };
  if (task.kind === 'index') return buildIndex(task.directory, task.file, progress, tick);
  return verifyIndex(task.directory, task.file, task.treeDigest, task.deep, progress, tick);
});

/** Indexing and verifying a layer, from plyd's side: in a child process (index-layer.ts). */
import { join } from 'node:path';
import type { LayerVerification } from '../api/types';
import { runChild } from './child';
import type { Progress } from './index-build';
import type { Task } from './index-layer';
import type { IndexFacts } from './index-rows';

export interface LongWork {
  /** called a few times a second */
  onProgress?: (progress: Progress) => void;
  /** ends the work at once; the promise is rejected with the signal's reason */
  signal?: AbortSignal;
}

const CHILD = join(__dirname, 'index-layer.js');

/** Makes `file`, which appears whole or not at all; a child that was killed leaves `<file>.part` behind. */
export function indexTree(directory: string, file: string, work: LongWork = {}): Promise<IndexFacts> {
  return run({ kind: 'index', directory, file }, work);
}

/** Compares the tree with the index, whose rows must have the digest that is given; see index-verify.ts for what is compared. */
export function verifyTree(
  directory: string,
  file: string,
  treeDigest: string,
  deep: boolean,
  work: LongWork = {},
): Promise<LayerVerification> {
  return run({ kind: 'verify', directory, file, treeDigest, deep }, work);
}

async function run<R>(task: Task, work: LongWork): Promise<R> {
  return runChild<Progress, R>(CHILD, task, { about: task.directory, ...work });
}

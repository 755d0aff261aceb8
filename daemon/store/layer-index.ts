/** Indexing and verifying a layer, from plyd's side: in a child process (index-layer.ts). */
import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { LayerVerification } from '../api/types';
import { StoreError } from './errors';
import type { Progress } from './index-build';
import type { Report, Task } from './index-layer';
import type { IndexFacts } from './index-rows';

export interface LongWork {
  /** called a few times a second */
  onProgress?: (progress: Progress) => void;
  /** ends the work at once; the promise is rejected with the signal's reason */
  signal?: AbortSignal;
}

const CHILD = join(__dirname, 'index-layer.js');

/** Makes `file`, which appears whole or not at all; a child that was killed leaves `<file>.part` behind. */
export async function indexTree(directory: string, file: string, work: LongWork = {}): Promise<IndexFacts> {
  const report = await run({ kind: 'index', directory, file }, work);
  return (report as Extract<Report, { kind: 'indexed' }>).facts;
}

/** Compares the tree with the index, whose rows must have the digest that is given; see index-verify.ts for what is compared. */
export async function verifyTree(
  directory: string,
  file: string,
  treeDigest: string,
  deep: boolean,
  work: LongWork = {},
): Promise<LayerVerification> {
  const report = await run({ kind: 'verify', directory, file, treeDigest, deep }, work);
  return (report as Extract<Report, { kind: 'verified' }>).verification;
}

/** The last report, when the child has ended. */
function run(task: Task, { onProgress, signal }: LongWork): Promise<Report> {
  signal?.throwIfAborted();
  // What is told to ps: whose process it is. Node's own options (a debugger's port) are not handed on.
  const child = fork(CHILD, [task.kind, task.directory], {
    execArgv: [],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    cwd: '/',
  });
  return new Promise((resolve, reject) => {
    let last: Report | undefined;
    let problem: Error | undefined;
    const abort = (): void => void child.kill('SIGKILL');
    signal?.addEventListener('abort', abort, { once: true });
    child.on('message', (report: Report) => {
      if (report.kind === 'progress') onProgress?.(report.progress);
      else last = report;
    });
    child.on('error', (error) => {
      problem = error;
      if (child.pid === undefined) end(`could not be started (${error.message})`);
    });
    child.on('close', (code, killed) => end(killed === null ? `ended with status ${String(code)}` : `was killed by ${killed}`));
    const end = (how: string): void => {
      signal?.removeEventListener('abort', abort);
      if (last?.kind === 'error') reject(last.expected ? new StoreError(last.message) : new Error(last.message));
      else if (last !== undefined) resolve(last);
      else if (signal?.aborted === true) reject(signal.reason as Error);
      else
        reject(
          new StoreError(
            `the process that reads ${task.directory} ${how}: try again, and look into the log and at the memory that is left`,
            { cause: problem },
          ),
        );
    };
    child.send(task, () => undefined); // a child that is gone already is told by 'close'
  });
}

/** Long work in a process of its own, from plyd's side: plyd's event loop goes on, a crash is that process's own. Its side is child-side.ts. */
import { fork } from 'node:child_process';
import { StoreError } from './errors';

/** What a child says; the last one that is no progress is its answer. */
export type Report<P, R> =
  | { kind: 'progress'; progress: P }
  | { kind: 'done'; result: R }
  /** `expected`: the message is for people */
  | { kind: 'error'; expected: boolean; message: string };

export interface ChildWork<P> {
  /** for ps and for messages: what it reads or writes */
  about: string;
  /** called a few times a second */
  onProgress?: ((progress: P) => void) | undefined;
  /** ends the work at once, as `cancel` has it; the promise is rejected with the signal's reason */
  signal?: AbortSignal | undefined;
  /** 'kill' (the default); 'ask': it is told to end, and cleans up before */
  cancel?: 'kill' | 'ask';
  /** a descriptor that is to be the child's standard output */
  output?: number;
}

/** The message that ends a child's work. */
export const CANCEL = { kind: 'cancel' };

/** Runs `module` (a path) with one task. Its answer, when it has ended. */
export function runChild<P, R>(module: string, task: { kind: string }, work: ChildWork<P>): Promise<R> {
  const { about, onProgress, signal, cancel = 'kill', output } = work;
  signal?.throwIfAborted();
  // Node's own options (a debugger's port) are not handed on.
  const child = fork(module, [task.kind, about], {
    execArgv: [],
    serialization: 'advanced',
    stdio: ['ignore', output ?? 'ignore', 'inherit', 'ipc'],
    cwd: '/',
  });
  return new Promise<R>((resolve, reject) => {
    let last: Exclude<Report<P, R>, { kind: 'progress' }> | undefined;
    let problem: Error | undefined;
    const abort = (): void => {
      if (cancel === 'kill') child.kill('SIGKILL');
      else child.send(CANCEL, () => undefined);
    };
    signal?.addEventListener('abort', abort, { once: true });
    child.on('message', (report: Report<P, R>) => {
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
      else if (last !== undefined) resolve(last.result);
      else if (signal?.aborted === true) reject(signal.reason as Error);
      else
        reject(
          new StoreError(`the process that works on ${about} ${how}: try again, and look into the log and at the memory that is left`, {
            cause: problem,
          }),
        );
    };
    child.send(task, () => undefined); // a child that is gone already is told by 'close'
  });
}

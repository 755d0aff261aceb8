/** The side of a child process of child.ts: one task comes in, reports go out, then it ends. It ends too when plyd does. */
import { setPriority } from 'node:os';
import type { Report } from './child';
import { StoreError } from './errors';

const SLICE_MS = 50;
const REPORT_MS = 250;
const NICE = 10;

/** To be called now and then: tells of the progress, and gives way to the event loop, where the end of plyd is noticed. */
export type Breathe = () => Promise<void>;

export interface ChildSide<P> {
  /** shown to plyd a few times a second, as it is then */
  progress: P;
  /** what is to be done before the process ends because plyd has ended, or cancels */
  cleanUp?: () => void;
}

export function serveTask<P>(side: ChildSide<P>, perform: (task: never, breathe: Breathe) => Promise<unknown>): void {
  try {
    setPriority(NICE); // what runs in the containers comes first
  } catch {
    // then as it is
  }
  const send = (report: Report<P, unknown>, then: () => void = () => undefined): void => void process.send?.(report, then);
  let slice = Date.now();
  let reported = slice;
  const breathe = async (): Promise<void> => {
    const now = Date.now();
    if (now - slice < SLICE_MS) return;
    if (now - reported >= REPORT_MS) {
      reported = now;
      send({ kind: 'progress', progress: side.progress });
    }
    await new Promise(setImmediate);
    slice = Date.now();
  };
  let isDone = false;
  const stop = (): void => {
    if (!isDone) side.cleanUp?.();
    process.exit();
  };
  const end = (report: Report<P, unknown>): void => {
    isDone = true;
    send(report, () => process.disconnect());
  };
  process.once('message', (task) => {
    process.once('message', stop); // there is but one other message
    perform(task as never, breathe).then(
      (result) => end({ kind: 'done', result }),
      (error: unknown) => end(failure(error)),
    );
  });
  // plyd is gone: what was begun is worth nothing, and the next plyd sweeps what this one cannot.
  process.once('disconnect', stop);
  // A terminal's Ctrl-C goes to plyd's whole group: plyd decides.
  process.on('SIGINT', () => undefined);
}

function failure(error: unknown): Report<never, never> {
  if (error instanceof StoreError) return { kind: 'error', expected: true, message: error.message };
  return { kind: 'error', expected: false, message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}

/** What plyd takes long for. */
import type { Line } from '../daemon/api/types';
import { PlyError } from './errors';

/**
 * Work that has begun. Loop over it for its progress; `result()` waits for its end. Leaving the loop hangs up, and plyd stops and undoes it.
 *
 *     const work = ply.images.import({ path: '/srv/debian.tar' });
 *     for await (const { bytes } of work) console.log(bytes);
 *     const { image } = await work.result();
 */
export class Work<P, R> implements AsyncIterable<P> {
  private readonly steps: AsyncGenerator<P, R, undefined>;
  private outcome: Promise<R> | undefined;

  constructor(lines: AsyncIterable<Line<P, R>>, socket: string) {
    this.steps = progress(lines, socket);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<P, void, undefined> {
    try {
      for (;;) {
        const step = await this.steps.next();
        if (step.done === true) {
          this.outcome = Promise.resolve(step.value);
          return;
        }
        yield step.value;
      }
    } finally {
      if (this.outcome === undefined) await this.steps.return(undefined as never); // left, or failed: the connection goes
    }
  }

  /** Rejects with PlyError when it could not be done; and then it is undone. */
  result(): Promise<R> {
    this.outcome ??= this.rest();
    return this.outcome;
  }

  private async rest(): Promise<R> {
    for (;;) {
      const step = await this.steps.next();
      if (step.done !== true) continue;
      const result = step.value as R | undefined;
      if (result === undefined)
        throw new PlyError({ code: 'no-answer', message: 'the work was left before its end, so plyd has undone it' });
      return result;
    }
  }
}

async function* progress<P, R>(lines: AsyncIterable<Line<P, R>>, socket: string): AsyncGenerator<P, R, undefined> {
  for await (const line of lines) {
    if ('progress' in line) yield line.progress;
    else if ('result' in line) return line.result;
    else throw new PlyError(line.error);
  }
  throw new PlyError({ code: 'no-answer', message: `plyd at ${socket} broke off before it was done: look at its log, and try again` });
}

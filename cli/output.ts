/**
 * Where results and errors go. Writes are synchronous, to the descriptors themselves: setting up process.stdout costs more than most commands.
 */
import fs from 'node:fs';
import { isatty } from 'node:tty';
import { explained, type Failure, PlyError, UsageError } from './errors';
import { painter, type Paint } from './format';

/** Whoever read our output has gone: no error, there is only nothing left to do. */
export class ReaderGone extends Error {}

const RETRY_MS = 10;

function write(descriptor: number, data: string | Buffer): void {
  let rest = typeof data === 'string' ? Buffer.from(data) : data;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(fs.writeSync(descriptor, rest));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EPIPE') throw new ReaderGone();
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS); // a pipe that someone made non-blocking, and it is full
    }
  }
}

function colours(descriptor: number): boolean {
  return isatty(descriptor) && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb';
}

export class Output {
  readonly terminal = isatty(1);
  readonly paint: Paint = painter(colours(1));
  status = 0;

  constructor(readonly json: boolean) {}

  text(text: string): void {
    write(1, text);
  }

  line(text: string): void {
    write(1, `${text}\n`);
  }

  bytes(bytes: Buffer): void {
    write(1, bytes);
  }

  /** One JSON value: the API's objects as they came. */
  value(value: unknown): void {
    write(1, `${JSON.stringify(value, null, 2)}\n`);
  }

  /** Says what went wrong and remembers the exit status. */
  fail(error: unknown): void {
    if (error instanceof ReaderGone) throw error;
    this.status ||= error instanceof UsageError ? 2 : 1;
    const failure: Failure = error instanceof PlyError ? error.failure : { code: 'failed', message: unexpected(error) };
    try {
      write(2, this.json ? `${JSON.stringify({ error: failure })}\n` : `ply: ${explained(failure)}\n`);
    } catch (failed) {
      if (!(failed instanceof ReaderGone)) throw failed;
    }
  }

  /**
   * Does the work for each of the words, and goes on with the next when it fails for one. Shows each result when it is there; as JSON, in the
   * end: the result of one word as it is, of several as an array.
   */
  async each<T>(words: readonly string[], work: (word: string) => Promise<T>, show: (result: T, word: string) => void): Promise<void> {
    const results: T[] = [];
    for (const word of words) {
      try {
        const result = await work(word);
        if (this.json) results.push(result);
        else show(result, word);
      } catch (error) {
        this.fail(error);
      }
    }
    if (!this.json) return;
    if (words.length > 1) this.value(results);
    else if (results.length > 0) this.value(results[0]);
  }

  /** One line on a terminal, written over by the next; nowhere else. "" takes it away. */
  passing(text: string): void {
    if (!this.json && isatty(2)) write(2, `\r${text}\x1b[K`);
  }

  /** Runs what may take long, with the seconds counted on a terminal. */
  async patiently<T>(what: string, work: Promise<T>): Promise<T> {
    if (this.json || !isatty(2)) return work;
    const begun = Date.now();
    const timer = setInterval(() => write(2, `\r${what} … ${Math.round((Date.now() - begun) / 1000)} s`), 1000);
    try {
      return await work;
    } finally {
      clearInterval(timer);
      if (Date.now() - begun >= 1000) write(2, '\r\x1b[K');
    }
  }
}

function unexpected(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return process.env['PLY_DEBUG'] ? (error.stack ?? error.message) : error.message;
}

/** One row per route: what it takes, what it gives, and who does it. The server and the OpenAPI document are made of the rows. */
import type { z } from 'zod';
import type { Event } from './types';

export type Method = 'GET' | 'POST' | 'DELETE';

export interface Call<Q, B> {
  /** what stands for {ref} or {id} in the path */
  ref: string;
  query: Q;
  body: B;
  /** the client has hung up */
  signal: AbortSignal;
}

interface Common {
  method: Method;
  /** with {ref} or {id} in it */
  path: string;
  summary: string;
  /** the error statuses that it may answer besides 400, 403 and 500 */
  fails: readonly (404 | 409 | 413 | 422 | 503)[];
}

type Infer<T extends z.ZodType | undefined> = T extends z.ZodType ? z.infer<T> : undefined;

/** How an answer that is no single object comes: events until the client hangs up, progress and then the result, or text (METRICS_TYPE). */
export type Lines = 'events' | 'work' | 'text';

export interface Route extends Common {
  query: z.ZodObject | undefined;
  body: z.ZodType | undefined;
  /** none: 204 */
  answer: z.ZodType | undefined;
  status: 200 | 201 | 204;
  /** the answer is lines of JSON */
  lines: Lines | undefined;
  handle: (call: Call<never, never>, report: (progress: never) => void) => unknown;
}

interface Row<Q extends z.ZodObject | undefined, B extends z.ZodType | undefined, A extends z.ZodType | undefined> extends Common {
  query?: Q;
  body?: B;
  answer?: A;
  status?: 200 | 201;
  handle: (call: Call<Infer<Q>, Infer<B>>) => Infer<A> | Promise<Infer<A>>;
}

export function route<
  Q extends z.ZodObject | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
  A extends z.ZodType | undefined = undefined,
>(row: Row<Q, B, A>): Route {
  return {
    ...row,
    query: row.query,
    body: row.body,
    answer: row.answer,
    status: row.answer === undefined ? 204 : (row.status ?? 200),
    lines: undefined,
    handle: row.handle,
  };
}

/** Answers with text for Prometheus. */
export function text(row: Common & { answer: z.ZodType; handle: () => Promise<string> }): Route {
  return { ...row, query: undefined, body: undefined, status: 200, lines: 'text', handle: row.handle };
}

/** Starts listening, and returns what ends it. */
export type Listen = (listener: (event: Event) => void) => () => void;

export function stream<Q extends z.ZodObject>(
  row: Common & { query: Q; answer: z.ZodType; handle: (call: Call<z.infer<Q>, undefined>) => Listen },
): Route {
  return { ...row, body: undefined, status: 200, lines: 'events', handle: row.handle };
}

/** What takes long: `handle` reports its progress, and returns what the last line tells. `line`: of any of the lines. */
export function work<
  P extends z.ZodType,
  R extends z.ZodType,
  Q extends z.ZodObject | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
>(
  row: Common & {
    query?: Q;
    body?: B;
    progress: P;
    result: R;
    line: z.ZodType;
    handle: (call: Call<Infer<Q>, Infer<B>>, report: (progress: z.infer<P>) => void) => Promise<z.infer<R>>;
  },
): Route {
  const { query, body, line, method, path, summary, fails } = row;
  const handle = row.handle as unknown as Route['handle'];
  return { method, path, summary, fails, query, body, answer: line, status: 200, lines: 'work', handle };
}

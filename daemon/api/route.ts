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
  fails: readonly (404 | 409 | 413 | 422)[];
}

type Infer<T extends z.ZodType | undefined> = T extends z.ZodType ? z.infer<T> : undefined;

export interface Route extends Common {
  query: z.ZodObject | undefined;
  body: z.ZodType | undefined;
  /** none: 204 */
  answer: z.ZodType | undefined;
  status: 200 | 201 | 204;
  /** the answer is a line of JSON for each event: until the client hangs up, or, of long work, until it is done */
  isStream: boolean;
  isWork: boolean;
  handle: (call: Call<never, never>, tell: (event: object) => void) => unknown;
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
    isStream: false,
    isWork: false,
    handle: row.handle,
  };
}

/** Starts listening, and returns what ends it. */
export type Listen = (listener: (event: Event) => void) => () => void;

export function stream<Q extends z.ZodObject>(
  row: Common & { query: Q; answer: z.ZodType; handle: (call: Call<z.infer<Q>, undefined>) => Listen },
): Route {
  return { ...row, body: undefined, status: 200, isStream: true, isWork: false, handle: row.handle };
}

/**
 * Long work: `tell` sends a line at once, the last line is {type: 'result', result} or {type: 'error', error}. What fails before anything was told is answered as
 * any other request. The client ends the work by hanging up.
 */
export function work<Q extends z.ZodObject | undefined = undefined, B extends z.ZodType | undefined = undefined>(
  row: Common & {
    query?: Q;
    body?: B;
    answer: z.ZodType;
    handle: (call: Call<Infer<Q>, Infer<B>>, tell: (event: object) => void) => Promise<object>;
  },
): Route {
  return { ...row, query: row.query, body: row.body, status: 200, isStream: true, isWork: true, handle: row.handle };
}

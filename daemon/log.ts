/**
 * The log: one JSON object per line, as pino writes it, to a descriptor (2 unless told otherwise: the process is started with its log there).
 *
 * plyd logs through pino, which is loaded with the first line that is written. An engine's start is not to wait for that, and its workers have no
 * event loop: engines write the same lines themselves, each with one write(2).
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import fs from 'node:fs';
import { hostname } from 'node:os';
import type { Writable } from 'node:stream';
import type { Logger } from 'pino';

export const LEVELS = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60, silent: Infinity } as const;
export type Level = keyof typeof LEVELS;
export type Fields = Readonly<Record<string, unknown>>;

type Method = (fields: Fields, message: string) => void;

/** `err` in the fields is an Error: its stack is written. */
export interface Log {
  /** Would a line of this level be written? */
  enabled(level: Level): boolean;
  trace: Method;
  debug: Method;
  info: Method;
  warn: Method;
  error: Method;
  fatal: Method;
}

type Write = (level: Exclude<Level, 'silent'>, fields: Fields, message: string) => void;

function makeLog(threshold: Level, write: Write): Log {
  const enabled = (level: Level): boolean => LEVELS[level] >= LEVELS[threshold] && level !== 'silent';
  const method =
    (level: Exclude<Level, 'silent'>): Method =>
    (fields, message) => {
      if (enabled(level)) write(level, fields, message);
    };
  return {
    enabled,
    trace: method('trace'),
    debug: method('debug'),
    info: method('info'),
    warn: method('warn'),
    error: method('error'),
    fatal: method('fatal'),
  };
}

const serving = new AsyncLocalStorage<{ request: string | undefined }>();

/** While `work` goes on, what it does and what it waits for has `request` in its lines; what it has started and outlives it has not. */
export async function duringRequest<T>(request: string, work: () => Promise<T>): Promise<T> {
  const context: { request: string | undefined } = { request };
  try {
    return await serving.run(context, work);
  } finally {
    context.request = undefined;
  }
}

function mixin(): object {
  const request = serving.getStore()?.request;
  return request === undefined ? {} : { request };
}

/** For a thread with an event loop. `base` goes into every line. */
export function openLog(level: Level, base: Fields, fd = 2): Log {
  let logger: Logger | undefined;
  return makeLog(level, (at, fields, message) => {
    logger ??= openPino(level, base, fd);
    logger[at](fields, message);
  });
}

function openPino(level: Level, base: Fields, fd: number): Logger {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- at the first line, see above
  const { pino } = require('pino') as typeof import('pino');
  const destination = pino.destination({ fd, sync: true });
  destination.on('error', () => undefined); // whoever read the log is gone, and that is no reason to end
  return pino({ level, base: { pid: process.pid, hostname: hostname(), ...base }, mixin }, destination);
}

/** For people at a terminal. Lines of other processes' logs may be written to `stream` as they are. */
export function openPrettyLog(level: Level, colorize: boolean, fd = 2): { log: Log; stream: Writable } {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- not everyone wants it
  const { pino } = require('pino') as typeof import('pino');
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const pretty = require('pino-pretty') as typeof import('pino-pretty');
  const stream = pretty({ destination: fd, sync: true, colorize, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l' });
  stream.on('error', () => undefined);
  const logger = pino({ level, base: { pid: process.pid, hostname: hostname() }, mixin }, stream);
  return { log: makeLog(level, (at, fields, message) => logger[at](fields, message)), stream };
}

/** For a thread without one. A line that cannot be written (a full pipe, a closed terminal) is lost. */
export function openLineLog(level: Level, base: Fields, fd = 2): Log {
  const head = { pid: process.pid, hostname: hostname(), ...base };
  return makeLog(level, (at, fields, message) => {
    const line = { level: LEVELS[at], time: Date.now(), ...head, ...fields, ...described(fields['err']), msg: message };
    try {
      fs.writeSync(fd, `${JSON.stringify(line)}\n`);
    } catch {
      // nowhere to say it
    }
  });
}

function described(error: unknown): Fields {
  return error instanceof Error ? { err: { type: error.constructor.name, message: error.message, stack: error.stack } } : {};
}

/**
 * Requests over plyd's Unix socket. Every failure is a PlyError that says what to do: those of the API as they came, those of the socket in words of
 * our own.
 */
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import type { ApiError, Line } from '../daemon/api/types';
import { PlyError } from './errors';
import { Work } from './work';

const SYSTEM_SOCKET = '/run/ply/ply.sock';

/** Where plyd listens unless told otherwise: a user's own plyd if there is one, else the machine's. */
export function usualSocket(): string {
  const directory = process.env['XDG_RUNTIME_DIR'];
  if (isRoot() || !directory) return SYSTEM_SOCKET;
  const own = path.join(directory, 'ply', 'ply.sock');
  return fs.existsSync(own) ? own : SYSTEM_SOCKET;
}

/** Root of the machine, not of a user namespace of somebody's. */
function isRoot(): boolean {
  return process.geteuid?.() === 0 && /^\s*0\s+0\s/.test(fs.readFileSync('/proc/self/uid_map', 'latin1'));
}

/** For what the daemon answers from its catalog. What mounts, indexes or walks a tree takes as long as it takes. */
const QUICK_MS = 30_000;

export interface CallOptions {
  /** hangs up. That does not stop what was begun, but for indexing and verifying layers, importing, committing and exporting. */
  signal?: AbortSignal | undefined;
}

interface Request extends CallOptions {
  method: 'GET' | 'POST' | 'DELETE';
  path: string;
  body?: object;
  limitMs?: number;
}

/** A path of the API: values are escaped, and absent query parameters left out. */
export function route(strings: TemplateStringsArray, ...values: string[]): string {
  return String.raw({ raw: strings }, ...values.map((value) => encodeURIComponent(value)));
}

export function query(path: string, parameters: Readonly<Record<string, string | boolean | undefined>>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== false);
  return given.length === 0 ? path : `${path}?${given.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join('&')}`;
}

/** One request, one connection: a program may go on for long between two, and plyd may be started again. */
export class Connection {
  constructor(readonly socket: string) {}

  /** From the catalog: an answer comes soon or never. */
  get<T>(path: string, options: CallOptions = {}): Promise<T> {
    return this.call<T>({ method: 'GET', path, limitMs: QUICK_MS, ...options });
  }

  /** As {@link get}, of what is not JSON. */
  async getText(path: string, options: CallOptions = {}): Promise<string> {
    return (await this.receive({ method: 'GET', path, limitMs: QUICK_MS, ...options })).text;
  }

  /** As {@link get}, without a limit. */
  getSlowly<T>(path: string, options: CallOptions = {}): Promise<T> {
    return this.call<T>({ method: 'GET', path, ...options });
  }

  post<T>(path: string, body: object = {}, options: CallOptions = {}): Promise<T> {
    return this.call<T>({ method: 'POST', path, body, ...options });
  }

  delete<T = void>(path: string, options: CallOptions = {}): Promise<T> {
    return this.call<T>({ method: 'DELETE', path, ...options });
  }

  /** The objects of an answer of lines, as they come. Leaving the loop hangs up. */
  async *lines<T>(request: Request): AsyncGenerator<T, void, undefined> {
    const response = await this.send(request);
    if ((response.statusCode ?? 0) >= 400) throw failure(response, await text(response));
    response.setEncoding('utf8');
    let rest = '';
    try {
      for await (const chunk of response as AsyncIterable<string>) {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) if (line !== '') yield parsed(response, line) as T;
      }
    } catch (error) {
      request.signal?.throwIfAborted();
      if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error; // plyd ended: as if it had ended the answer
    } finally {
      response.destroy();
    }
  }

  /** What takes long and tells its progress. It begins when its first line or its result is asked for. */
  work<P, R>(method: 'GET' | 'POST', path: string, body: object | undefined, options: CallOptions = {}): Work<P, R> {
    return new Work<P, R>(this.lines<Line<P, R>>({ method, path, ...(body !== undefined && { body }), ...options }), this.socket);
  }

  private async call<T>(request: Request): Promise<T> {
    const { response, text } = await this.receive(request);
    return (text === '' ? undefined : parsed(response, text)) as T;
  }

  private async receive(request: Request): Promise<{ response: http.IncomingMessage; text: string }> {
    const response = await this.send(request);
    let received: string;
    try {
      received = await text(response);
    } catch (error) {
      request.signal?.throwIfAborted();
      throw error instanceof PlyError ? error : brokenOff(this.socket);
    }
    if ((response.statusCode ?? 0) >= 400) throw failure(response, received);
    return { response, text: received };
  }

  private send({ method, path, body, limitMs, signal }: Request): Promise<http.IncomingMessage> {
    const payload = body && JSON.stringify(body);
    const headers = payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) };
    return new Promise((resolve, reject) => {
      const options = { socketPath: this.socket, method, path: `/v1${path}`, headers, agent: false, ...(signal && { signal }) };
      const request = http.request(options, resolve);
      if (limitMs !== undefined) {
        request.setTimeout(limitMs, () => request.destroy(noAnswer(this.socket, limitMs)));
      }
      request.on('error', (error) => {
        if (signal?.aborted === true) reject(signal.reason as Error);
        else reject(error instanceof PlyError ? error : unreachable(this.socket, error));
      });
      request.end(payload);
    });
  }
}

function parsed(response: http.IncomingMessage, received: string): unknown {
  try {
    return JSON.parse(received) as unknown;
  } catch {
    throw unintelligible(response, received);
  }
}

/** Rejects when the connection breaks before the end. */
function text(response: http.IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    response.on('error', reject);
  });
}

function failure(response: http.IncomingMessage, body: string): PlyError {
  let error: ApiError | undefined;
  try {
    error = (JSON.parse(body) as { error?: ApiError }).error;
  } catch {
    // not JSON: not our daemon, or not well
  }
  return typeof error?.message === 'string' ? new PlyError(error) : unintelligible(response, body);
}

function unintelligible(response: http.IncomingMessage, body: string): PlyError {
  const beginning = JSON.stringify(body.slice(0, 80));
  return new PlyError({
    code: 'bad-answer',
    message: `what answered is no plyd of this version: status ${response.statusCode}, ${beginning}. Is --socket the socket of plyd?`,
  });
}

function unreachable(socket: string, error: NodeJS.ErrnoException): PlyError {
  const advice = 'start it (plyd), or say where it is with --socket or PLY_SOCKET';
  switch (error.code) {
    case 'ENOENT':
      return new PlyError({ code: 'no-daemon', message: `plyd does not run: there is no socket ${socket}: ${advice}` });
    case 'ECONNREFUSED':
      if (!isSocket(socket)) return noSocket(socket);
      return new PlyError({ code: 'no-daemon', message: `plyd does not run: nobody listens on ${socket}: ${advice}` });
    case 'ENOTDIR':
      return noSocket(socket);
    case 'EACCES':
    case 'EPERM':
      return new PlyError({ code: 'no-permission', message: `no permission for ${socket}: ${whoMay(socket)}` });
    case 'ECONNRESET':
    case 'EPIPE':
      return brokenOff(socket);
    default:
      return new PlyError({ code: 'no-daemon', message: `cannot talk to plyd at ${socket}: ${error.message}` });
  }
}

function isSocket(file: string): boolean {
  try {
    return fs.statSync(file).isSocket();
  } catch {
    return true; // gone by now, or not ours to look at
  }
}

function noSocket(file: string): PlyError {
  return new PlyError({ code: 'no-daemon', message: `${file} is no socket: say where plyd's is with --socket or PLY_SOCKET` });
}

function brokenOff(socket: string): PlyError {
  return new PlyError({ code: 'no-answer', message: `plyd at ${socket} broke off before it had answered: look at its log, and try again` });
}

function noAnswer(socket: string, limitMs: number): PlyError {
  return new PlyError({ code: 'no-answer', message: `plyd at ${socket} has not answered for ${limitMs / 1000} s: look at its log` });
}

function whoMay(socket: string): string {
  try {
    const { uid, gid } = fs.statSync(socket);
    return `it is open to uid ${uid} and gid ${gid}: use sudo, or join that group`;
  } catch {
    return 'use sudo';
  }
}

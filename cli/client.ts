/**
 * The daemon's API (daemon/api/types.ts) over its Unix socket. Every failure is a PlyError that says what to do: those of the API as they came,
 * those of the socket in words of our own.
 */
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import type { ApiError } from '../daemon/api/types';
import { PlyError } from './errors';

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

type Method = 'GET' | 'POST' | 'DELETE';

/** A path of the API: values are escaped, and absent query parameters left out. */
export function route(strings: TemplateStringsArray, ...values: string[]): string {
  return String.raw({ raw: strings }, ...values.map((value) => encodeURIComponent(value)));
}

export function query(path: string, parameters: Readonly<Record<string, string | boolean | undefined>>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== false);
  return given.length === 0 ? path : `${path}?${given.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join('&')}`;
}

export class Client {
  constructor(readonly socket: string) {}

  /** From the catalog: an answer comes soon or never. */
  get<T>(path: string): Promise<T> {
    return this.call<T>('GET', path, undefined, QUICK_MS);
  }

  /** As {@link get}, without a limit. */
  getSlowly<T>(path: string): Promise<T> {
    return this.call<T>('GET', path);
  }

  post<T>(path: string, body: object = {}): Promise<T> {
    return this.call<T>('POST', path, body);
  }

  delete(path: string): Promise<unknown> {
    return this.call<unknown>('DELETE', path);
  }

  /** Hands over the lines of an answer that does not end, as they come. Returns when the daemon ends it. */
  async lines(path: string, take: (line: string) => void): Promise<void> {
    const response = await this.send('GET', path);
    if ((response.statusCode ?? 0) >= 400) throw failure(response, await text(response));
    await eachLine(response, take);
  }

  /** Long work: events as they come, and the result. */
  async work<R>(path: string, body: object, take: (event: unknown) => void): Promise<R> {
    const response = await this.send('POST', path, body);
    if ((response.statusCode ?? 0) >= 400) throw failure(response, await text(response));
    let result: { result: R } | undefined;
    await eachLine(response, (line) => {
      const value = JSON.parse(line) as { type: string; error: ApiError; result: R };
      if (value.type === 'error') throw new PlyError(value.error);
      if (value.type === 'result') result = value;
      else take(value);
    });
    if (result === undefined) throw brokenOff(this.socket);
    return result.result;
  }

  private async call<T>(method: Method, path: string, body?: object, limitMs?: number): Promise<T> {
    const response = await this.send(method, path, body, limitMs);
    let received: string;
    try {
      received = await text(response);
    } catch (error) {
      throw error instanceof PlyError ? error : brokenOff(this.socket);
    }
    if ((response.statusCode ?? 0) >= 400) throw failure(response, received);
    if (received === '') return undefined as T;
    try {
      return JSON.parse(received) as T;
    } catch {
      throw unintelligible(response, received);
    }
  }

  private send(method: Method, path: string, body?: object, limitMs?: number): Promise<http.IncomingMessage> {
    const payload = body && JSON.stringify(body);
    const headers = payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) };
    return new Promise((resolve, reject) => {
      const request = http.request({ socketPath: this.socket, method, path: `/v1${path}`, headers, agent: false }, resolve);
      if (limitMs !== undefined) {
        request.setTimeout(limitMs, () => request.destroy(noAnswer(this.socket, limitMs)));
      }
      request.on('error', (error) => reject(error instanceof PlyError ? error : unreachable(this.socket, error)));
      request.end(payload);
    });
  }
}

/** Returns at the end of the answer. */
async function eachLine(response: http.IncomingMessage, take: (line: string) => void): Promise<void> {
  response.setEncoding('utf8');
  let rest = '';
  try {
    for await (const chunk of response as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line !== '') take(line);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error; // plyd ended: as if it had ended the answer
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

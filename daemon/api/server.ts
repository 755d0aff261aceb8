/**
 * HTTP over the Unix socket. What a client does wrong, or slowly, or not at all costs it its connection, and nobody else anything: bodies, headers,
 * connections and the time for each have limits.
 */
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import type { Socket } from 'node:net';
import type { z } from 'zod';
import { duringRequest, type Log } from '../log';
import { HttpError, isUnexpected, told } from './errors';
import { type Metrics, METRICS_TYPE } from './metrics';
import type { Call, Listen, Route } from './route';
import type { Event } from './types';

const BODY_BYTES = 1024 * 1024;
const HEADERS_MS = 10_000;
const REQUEST_MS = 30_000;
const IDLE_MS = 10_000;
/** How long a client may leave an answer unread. */
const ANSWER_MS = 30_000;
/** Events that a listener has not read yet: beyond that it is cut off. */
const BACKLOG_BYTES = 1024 * 1024;
const CONNECTIONS = 4096;
/** How long a client may go on with a request that is refused already. */
const CUT_OFF_MS = 1000;

export interface ServerOptions {
  routes: readonly Route[];
  log: Log;
  /** why a peer is not served; undefined: it is */
  refuse: (socket: Socket) => string | undefined;
  metrics: Metrics;
}

interface Match {
  route: Route;
  ref: string;
}

export class ApiServer {
  readonly http: http.Server;
  private readonly refusals = new WeakMap<Socket, string>();
  private readonly running = new Set<Promise<void>>();
  private readonly streams = new Set<http.ServerResponse>();
  private readonly aborts = new Set<AbortController>();
  private closing = false;

  constructor(private readonly options: ServerOptions) {
    this.http = http.createServer({
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: IDLE_MS,
      connectionsCheckingInterval: 2000,
    });
    this.http.maxConnections = CONNECTIONS;
    this.http.on('connection', (socket: Socket) => this.connected(socket));
    this.http.on('request', (request, response) => this.track(request, response));
    this.http.on('checkContinue', (request, response) => {
      if (Number(request.headers['content-length'] ?? 0) <= BODY_BYTES) response.writeContinue();
      this.track(request, response);
    });
    this.http.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => refuseBrokenRequest(error, socket));
  }

  /** Takes no further request; resolves when those that run are answered, or at the limit. */
  async close(limitMs: number): Promise<void> {
    this.closing = true;
    this.http.close();
    for (const response of this.streams) response.end();
    for (const controller of this.aborts) controller.abort(new HttpError('conflict', 'plyd is ending'));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, limitMs)));
    await Promise.race([Promise.allSettled([...this.running]), late]);
    clearTimeout(timer);
    this.http.closeAllConnections();
  }

  private connected(socket: Socket): void {
    const refusal = this.options.refuse(socket);
    if (refusal !== undefined) this.refusals.set(socket, refusal);
    socket.on('error', () => undefined); // it hung up
  }

  private track(request: http.IncomingMessage, response: http.ServerResponse): void {
    const id = randomBytes(6).toString('hex');
    response.setHeader('x-request-id', id);
    const done = duringRequest(id, () => this.serve(request, response)).finally(() => this.running.delete(done));
    this.running.add(done);
  }

  private async serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { method = '', url = '' } = request;
    const began = performance.now();
    let answering = 'none';
    const abort = new AbortController();
    this.aborts.add(abort);
    response.on('close', () => {
      if (!response.writableFinished) abort.abort(new Error('the client has hung up'));
    });
    try {
      const refusal = this.refusals.get(request.socket);
      if (refusal !== undefined) throw new HttpError('forbidden', refusal, 403, { connection: 'close' });
      const { route, ref } = this.find(method, url);
      answering = route.path;
      const call = await this.read(route, ref, request, abort.signal);
      const lines = new Lines(response);
      const result = await route.handle(call as Call<never, never>, (progress) => lines.put({ progress }));
      if (route.lines === 'events') this.stream(response, result as Listen);
      else if (route.lines === 'work') lines.end({ result });
      else if (route.lines === 'text') sendText(response, result as string);
      else send(response, route.status, result);
    } catch (error) {
      this.fail(request, response, error, abort.signal);
    } finally {
      this.aborts.delete(abort);
    }
    const ms = Math.round((performance.now() - began) * 10) / 10;
    this.options.metrics.answered(METHODS.has(method) ? method : 'other', answering, response.statusCode, ms);
    this.options.log.debug({ method, url, status: response.statusCode, ms }, 'request');
  }

  private fail(request: http.IncomingMessage, response: http.ServerResponse, error: unknown, signal: AbortSignal): void {
    const { method, url } = request;
    if (signal.aborted && !this.closing) return; // nobody is there to be told
    if (isUnexpected(error)) this.options.log.error({ err: error, method, url }, 'a request failed');
    const { status, error: body, headers } = told(error);
    if (response.headersSent) {
      if (response.getHeader('content-type') === LINES) response.end(`${JSON.stringify({ error: body })}\n`);
      else response.destroy();
      return;
    }
    send(response, status, { error: body }, headers, request.complete ? undefined : request);
  }

  // ---- the request -----------------------------------------------------------------------------------------------------------------------------

  private find(method: string, url: string): Match {
    const words = segments(url.split('?', 1)[0]);
    const matches = this.options.routes
      .map((route) => ({ route, ref: matchPath(route.path, words) }))
      .filter((match): match is Match => match.ref !== undefined);
    if (matches.length === 0)
      throw new HttpError('not-found', `there is nothing at ${url.split('?', 1)[0]}: GET /v1/openapi.json says what there is`);
    const found = matches.find(({ route }) => route.method === method);
    if (found !== undefined) return found;
    const allowed = matches.map(({ route }) => route.method);
    throw new HttpError('bad-request', `${method} does not go there: ${allowed.join(', ')} does`, 405, { allow: allowed.join(', ') });
  }

  private async read(route: Route, ref: string, request: http.IncomingMessage, signal: AbortSignal): Promise<Call<unknown, unknown>> {
    const query = readQuery(route, request.url ?? '');
    const body = route.method === 'POST' ? readBody(route, await receive(request)) : undefined;
    return { ref, query, body, signal };
  }

  // ---- the event stream ------------------------------------------------------------------------------------------------------------------------

  private stream(response: http.ServerResponse, listen: Listen): void {
    beginLines(response);
    if (this.closing) {
      response.end();
      return;
    }
    this.streams.add(response);
    const end = listen((event: Event) => {
      response.write(`${JSON.stringify(event)}\n`);
      if (response.writableLength > BACKLOG_BYTES) response.destroy();
    });
    response.on('close', () => {
      end();
      this.streams.delete(response);
    });
  }
}

/** What a client makes up is no label. */
const METHODS = new Set(['GET', 'POST', 'DELETE']);

const LINES = 'application/x-ndjson';

function beginLines(response: http.ServerResponse): void {
  response.setHeader('content-type', LINES);
  response.setHeader('cache-control', 'no-store');
  response.writeHead(200);
  response.flushHeaders();
}

/** Lines that a client has not read yet: one that reads nothing does not fill the memory. */
const MOST_UNREAD_BYTES = 256 * 1024 * 1024;

/** The answer of what takes long. It begins with the first line, so that an error that comes before has its status. */
class Lines {
  constructor(private readonly response: http.ServerResponse) {}

  put(line: object): void {
    const { response } = this;
    if (response.destroyed) return;
    if (!response.headersSent) beginLines(response);
    response.write(`${JSON.stringify(line)}\n`);
    if (response.writableLength > MOST_UNREAD_BYTES) response.destroy();
  }

  end(line: object): void {
    this.put(line);
    this.response.end();
  }
}

// ---- what comes in -------------------------------------------------------------------------------------------------------------------------------

function segments(path: string): string[] {
  try {
    return path.split('/').map(decodeURIComponent);
  } catch {
    throw new HttpError('bad-request', `${path} is not properly escaped: write % as %25`);
  }
}

/** What stands for the parameter ('' where there is none); undefined: it is another path. */
function matchPath(template: string, words: readonly string[]): string | undefined {
  const parts = template.split('/');
  if (parts.length !== words.length) return undefined;
  let ref = '';
  for (const [i, part] of parts.entries()) {
    if (part.startsWith('{')) {
      if (words[i] === '') return undefined;
      ref = words[i];
    } else if (part !== words[i]) return undefined;
  }
  return ref;
}

function readQuery({ query }: Route, url: string): unknown {
  const at = url.indexOf('?');
  const given = new URLSearchParams(at < 0 ? '' : url.slice(at + 1));
  const names = [...given.keys()];
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new HttpError('bad-request', `the parameter ${twice} comes twice`);
  if (query !== undefined) return checked(query, Object.fromEntries(given), 'the parameter');
  if (names.length > 0) throw new HttpError('bad-request', `there is no parameter ${names[0]} here`);
  return undefined;
}

async function receive(request: http.IncomingMessage): Promise<string> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > BODY_BYTES) throw tooLarge();
  const chunks: Buffer[] = [];
  let length = 0;
  // Not an async iterator: it would destroy the socket before the answer.
  await new Promise<void>((resolve, reject) => {
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > BODY_BYTES) reject(tooLarge());
      else chunks.push(chunk);
    });
    request.on('end', resolve);
    request.on('error', reject);
    request.on('close', () => reject(new Error('the client has hung up')));
  });
  return decode(Buffer.concat(chunks));
}

function tooLarge(): HttpError {
  return new HttpError('too-large', `the body has more than ${BODY_BYTES} bytes`, 413, { connection: 'close' });
}

function decode(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new HttpError('bad-request', 'the body is not UTF-8');
  }
}

function readBody({ body }: Route, text: string): unknown {
  if (body === undefined && text.trim() === '') return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new HttpError(
      'bad-request',
      text.trim() === '' ? 'a body is missing: a JSON object' : `the body is not JSON: ${(error as Error).message}`,
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new HttpError('bad-request', 'the body is not a JSON object');
  if (body !== undefined) return checked(body, value, "the body's");
  if (Object.keys(value).length > 0) throw new HttpError('bad-request', 'no body is taken here');
  return undefined;
}

function checked(schema: z.ZodType, value: unknown, what: string): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues.slice(0, 5).map((issue) => {
    if (issue.code === 'unrecognized_keys') return `${what} ${issue.keys.join(', ')} is not known`;
    return `${what} ${issue.path.join('.')}: ${issue.message}`;
  });
  throw new HttpError('bad-request', issues.join('; '));
}

// ---- what goes out -------------------------------------------------------------------------------------------------------------------------------

function send(
  response: http.ServerResponse,
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
  /** of which the rest is not wanted */
  unfinished?: http.IncomingMessage,
): void {
  if (response.destroyed) return;
  response.setTimeout(ANSWER_MS, () => response.destroy());
  if (status === 204) {
    response.writeHead(204, headers).end();
    return;
  }
  const body = Buffer.from(`${JSON.stringify(value)}\n`);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': body.length,
    'cache-control': 'no-store',
    ...headers,
  });
  if (unfinished === undefined) response.end(body);
  else cutOff(unfinished, response, body);
}

function sendText(response: http.ServerResponse, text: string): void {
  if (response.destroyed) return;
  response.setTimeout(ANSWER_MS, () => response.destroy());
  const body = Buffer.from(text);
  response.writeHead(200, { 'content-type': METRICS_TYPE, 'content-length': body.length, 'cache-control': 'no-store' }).end(body);
}

/** Answered before all of the request has come: the rest is let pass for a moment, so that the client gets to read the answer. */
function cutOff(request: http.IncomingMessage, response: http.ServerResponse, body: Buffer): void {
  response.write(body);
  const end = (): void => void response.end();
  const timer = setTimeout(end, CUT_OFF_MS);
  request.on('end', end);
  response.on('close', () => clearTimeout(timer));
  request.resume();
}

function refuseBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const [status, reason] =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? ['408 Request Timeout', 'the request did not come to its end in time']
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? ['431 Request Header Fields Too Large', 'the headers are too long']
        : ['400 Bad Request', `that is no HTTP: ${error.message}`];
  const body = `${JSON.stringify({ error: { code: 'bad-request', message: reason } })}\n`;
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}

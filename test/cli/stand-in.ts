/** A stand-in for plyd: an HTTP server over a Unix socket that answers from a table, and ply run against it. */
import http from 'node:http';
import path from 'node:path';
import { leftBehind, removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { type Finished, run } from '../support/mounts.js';

export const plyScript = path.resolve(__dirname, '../../cli/ply.js');

const LIMIT_MS = 20_000;

/** "GET /containers" → what is answered; a function answers for itself. */
export type Answer = { status?: number; body?: unknown } | ((request: http.IncomingMessage, response: http.ServerResponse) => void);

export class StandIn {
  readonly socket: string;
  /** "POST /images {…}", in order */
  readonly seen: string[] = [];
  private readonly answers = new Map<string, Answer>();
  private readonly server = http.createServer((request, response) => this.serve(request, response));

  private constructor(readonly directory: string) {
    this.socket = path.join(directory, 'ply.sock');
  }

  static async listen(): Promise<StandIn> {
    const made = new StandIn(temporaryDirectory());
    await new Promise<void>((resolve) => made.server.listen(made.socket, resolve));
    return made;
  }

  on(request: string, answer: Answer): this {
    this.answers.set(request, answer);
    return this;
  }

  ply(...args: string[]): Promise<Finished> {
    return ply(args, { PLY_SOCKET: this.socket });
  }

  async end(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    await removeDirectory(this.directory);
  }

  private serve(request: http.IncomingMessage, response: http.ServerResponse): void {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => {
      const line = `${request.method} ${request.url?.replace(/^\/v1/, '')}`;
      this.seen.push(body === '' ? line : `${line} ${body}`);
      const answer = this.answers.get(line) ?? notFound(line);
      if (typeof answer === 'function') answer(request, response);
      else {
        response.writeHead(answer.status ?? 200, { 'content-type': 'application/json' });
        response.end(answer.body === undefined ? '' : JSON.stringify(answer.body));
      }
    });
  }
}

/** To be asked for as the last thing of a test file. */
export async function nothingLeft(): Promise<void> {
  const left = await leftBehind();
  if (left.length > 0) throw new Error(left.join('\n'));
}

function notFound(line: string): Answer {
  return { status: 404, body: { error: { code: 'not-found', message: `there is no ${line.replace(/^.*\//, '')}` } } };
}

export function failure(status: number, error: object): Answer {
  return { status, body: { error } };
}

/** Colours only where a test wants them. */
function environment(more: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { NO_COLOR: _, PLY_SOCKET: __, PLY_DEBUG: ___, ...rest } = process.env;
  return { ...rest, TERM: 'xterm', ...more };
}

export function ply(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  options: { cwd?: string; timeoutMs?: number } = {},
): Promise<Finished> {
  return run(process.execPath, [plyScript, ...args], { timeoutMs: LIMIT_MS, ...options, env: environment(env) });
}

/** In a shell, with `ply` as a word of it. */
export function shell(script: string, env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  const program = `ply() { '${process.execPath}' '${plyScript}' "$@"; }\n${script}`;
  return run('bash', ['-c', program], { timeoutMs: LIMIT_MS, env: environment(env) });
}

/** On a terminal of its own: what it shows, standard error too. */
export async function onTerminal(command: string, env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  const words = `'${process.execPath}' '${plyScript}' ${command}`;
  const finished = await run('script', ['-qec', words, '/dev/null'], { timeoutMs: LIMIT_MS, env: environment(env) });
  return { ...finished, stdout: finished.stdout.replaceAll('\r\n', '\n') };
}

// --- objects of the API, as they could be ------------------------------------------------------------------------------------------------

const id = (letter: string): string => letter.repeat(64);

/** A time so long ago; half a second more, so that the test may be slow. */
export function since(seconds: number): string {
  return new Date(Date.now() - seconds * 1000 - 500).toISOString();
}

export function containers(): Record<string, unknown>[] {
  const common = { image: id('1'), imageName: 'web', error: null, options: '', upper: '/r/u', work: '/r/w' };
  return [
    { ...common, id: id('a'), name: 'web1', createdAt: since(7200), startedAt: since(180), state: 'running', mountpoint: '/r/a/merged' },
    { ...common, id: id('b'), name: 'web2', createdAt: since(3600 * 72), startedAt: null, state: 'created', mountpoint: null },
    { ...common, id: id('c'), name: 'old', createdAt: since(90), startedAt: since(60), state: 'stopped', mountpoint: null },
    {
      ...common,
      id: id('d'),
      name: 'bad',
      createdAt: since(60 * 40),
      startedAt: null,
      state: 'failed',
      error: 'no\nupper',
      mountpoint: null,
    },
  ];
}

export function sized(): Record<string, unknown>[] {
  const sizes = [
    { bytes: 12_345_678, files: 45, whiteouts: 1 },
    { bytes: 0, files: 0, whiteouts: 0 },
    { bytes: 999, files: 1, whiteouts: 0 },
    { bytes: 4096, files: 2, whiteouts: 0 },
  ];
  return containers().map((container, at) => ({ ...container, size: sizes[at] }));
}

export function images(): Record<string, unknown>[] {
  const common = { layers: [id('e'), id('f')], createdAt: since(60 * 10), size: 123_456_789, uniqueSize: 456_789 };
  return [
    { ...common, id: id('1'), name: 'web', names: ['web', 'web:1.2'], containers: 4 },
    { ...common, id: id('2'), name: null, names: [], containers: 0 },
  ];
}

/** The first of them in full. */
export function imageDetail(): Record<string, unknown> {
  const blob = { digest: id('9'), mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', size: 40_000_000 };
  const imported = { kind: 'imported', source: '/srv/web.tar' };
  return {
    ...images()[0],
    digest: `sha256:${id('1')}`,
    config: { architecture: 'amd64', os: 'linux', config: { Cmd: ['/bin/sh'], User: '' } },
    rootFS: { type: 'layers', layers: [`sha256:${id('f')}`, `sha256:${id('e')}`] },
    stack: [
      { ...imported, layer: id('f'), diffId: `sha256:${id('f')}`, chainId: `sha256:${id('f')}`, size: 123_000_000, blob },
      { ...imported, layer: id('e'), diffId: `sha256:${id('e')}`, chainId: `sha256:${id('3')}`, size: 456_789, blob: null },
    ],
  };
}

/** One container in full. */
export function containerDetail(): Record<string, unknown> {
  const container = sized()[0];
  const data = { lowerDir: ['/srv/app', '/srv/base'], upperDir: '/r/u', workDir: '/r/w', mergedDir: '/r/a/merged' };
  return { ...container, graphDriver: { name: 'plyfs', data } };
}

export function layers(): Record<string, unknown>[] {
  const digest = { kind: 'directory', source: null, tarSize: null, blob: null, treeDigest: 'sha256:00' };
  return [
    { id: id('e'), name: 'app', path: '/srv/app', createdAt: since(86_400 * 3), entries: 12, files: 7, size: 1000, ...digest },
    { id: id('f'), name: null, path: '/srv/base', createdAt: since(86_400 * 20), entries: 34_567, files: 30_000, size: 1.5e9, ...digest },
  ];
}

export function mounts(): Record<string, unknown>[] {
  const common = { options: 'nodev', createdAt: since(180), state: 'mounted' };
  return [
    {
      ...common,
      id: id('7'),
      mountpoint: '/r/a/merged',
      lower: ['/srv/app', '/srv/base'],
      upper: '/r/u',
      work: '/r/w',
      container: id('a'),
      snapshot: null,
    },
    {
      ...common,
      id: id('8'),
      mountpoint: '/mnt/data',
      lower: ['/srv/base'],
      upper: null,
      work: null,
      container: null,
      snapshot: 'default/7/web',
      state: 'failed',
    },
  ];
}

export function stats(): Record<string, unknown> {
  const buckets = [10, 80, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  return {
    time: since(0),
    engines: [
      { pid: 4243, level: 1, workers: 2, mounts: 1, restarts: 1, answers: true },
      { pid: 4244, level: 2, workers: 2, mounts: 1, restarts: 0, answers: false },
    ],
    engineDeaths: 1,
    mounts: [
      {
        id: id('7'),
        mountpoint: '/r/a/merged',
        container: id('a'),
        operations: { LOOKUP: 1500, OPEN: 40, CREATE: 10 },
        opens: { passthrough: 30, served: 20 },
        lookups: { all: 1500, hits: 1200 },
        nodesRead: 290,
        directoriesRead: 10,
        copiedUp: { files: 3, bytes: 4_500_000 },
        times: [
          { kind: 'open', buckets: [0, 0, 0, 0, 3], sumMs: 0.03 },
          { kind: 'lookup', buckets, sumMs: 0.45 },
        ],
      },
    ],
    times: [{ operation: 'LOOKUP', buckets, sumMs: 0.45 }],
  };
}

export function info(): Record<string, unknown> {
  return {
    version: '0.1.0',
    pid: 4242,
    root: '/var/lib/ply',
    socket: '/run/ply/ply.sock',
    kernel: '6.12.0',
    startedAt: since(3600),
    transport: { used: 'dev', why: 'io_uring is not enabled' },
    passthrough: true,
    engines: [{ pid: 4243, level: 1, workers: 2, mounts: 1, startedAt: since(3600), restarts: 1 }],
    counts: { layers: 2, images: 1, containers: 4, running: 1, mounts: 2 },
  };
}

/** Answers that come as lines. */
import type { ApiError } from '../../daemon/api/types.js';
import http from 'node:http';
import path from 'node:path';
import type { Plyd } from '../plyd/daemon.js';
import { must } from '../support/mounts.js';

export interface Lines<R, P> {
  status: number;
  progress: P[];
  result: R;
  error: ApiError | undefined;
}

export function lines<R, P = unknown>(plyd: Plyd, method: string, url: string, body?: object): Promise<Lines<R, P>> {
  const payload = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const headers = payload === undefined ? {} : { 'content-length': Buffer.byteLength(payload) };
    const request = http.request({ socketPath: plyd.socket, method, path: url, agent: false, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('error', reject);
      response.on('end', () => {
        const all = text
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => JSON.parse(line) as { progress?: P; result?: R; error?: ApiError });
        const { result, error } = all.at(-1) ?? {};
        resolve({
          status: response.statusCode ?? 0,
          progress: all.flatMap(({ progress }) => (progress === undefined ? [] : [progress])),
          result: result as R,
          error,
        });
      });
    });
    request.on('error', reject);
    request.end(payload);
  });
}

export async function done<R>(plyd: Plyd, method: string, url: string, body?: object): Promise<R> {
  const { result, error } = await lines<R>(plyd, method, url, body);
  if (result === undefined) throw new Error(`${method} ${url}: ${JSON.stringify(error)}`);
  return result;
}

const MANIFEST = path.resolve(__dirname, '../../../scripts/tree-manifest.py');

/** Lines that say all of a tree; a child process reads it, for it may be a mount. */
export async function manifest(directory: string): Promise<string[]> {
  return (await must('python3', [MANIFEST, '--nlink', directory], { timeoutMs: 30_000 })).split('\n').slice(0, -1);
}

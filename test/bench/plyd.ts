/** A plyd of the benchmark's own, in a directory and on a socket of its own, spoken to over its API (docs/api.md). */
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import type { Place } from './bench.js';
import { Unavailable } from './contract.js';
import { type Running, sleep, start } from './processes.js';

const START_LIMIT_MS = 30_000;
/** An engine is started as soon as plyd is ready. */
const NEWS_MS = 500;
/** V8 goes on compiling for a moment. */
const SETTLE_MS = 300;

export class Plyd {
  private readonly agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

  private constructor(
    private readonly daemon: Running,
    readonly socket: string,
  ) {}

  static exists(place: Place): boolean {
    return fs.existsSync(place.bench.programs.plyd);
  }

  /** Ends with the place. */
  static async start(place: Place): Promise<Plyd> {
    const { plyd } = place.bench.programs;
    if (!Plyd.exists(place)) throw new Unavailable(`${plyd} does not exist`);
    const [root, socket] = [place.path('plyd'), place.path('ply.sock')];
    const transport = place.system === 'dev' ? ['--transport', 'dev'] : [];
    const args = ['--config', '/dev/null', '--root', root, '--socket', socket, '--log-level', 'error', ...transport];
    const daemon = start(plyd, args, { limitMs: 4 * 3600_000 });
    const made = new Plyd(daemon, socket);
    place.defer(() => made.stop());
    await made.answers();
    await made.isWarm();
    return made;
  }

  /** Its engine has practised: on a machine where it runs it mostly has, long ago. One that is not of this build may not know of that. */
  private async isWarm(): Promise<void> {
    const began = Date.now();
    for (;;) {
      const { engines } = (await this.request('GET', '/v1/info')) as { engines: { warm?: boolean }[] };
      if (engines.some(({ warm }) => warm === true)) break;
      const waited = Date.now() - began;
      if (engines.every(({ warm }) => warm === undefined) && waited > NEWS_MS) return;
      if (waited > START_LIMIT_MS) throw new Error(`no engine of plyd is warm after ${START_LIMIT_MS / 1000} s`);
      await sleep(50);
    }
    await sleep(SETTLE_MS);
  }

  private async answers(): Promise<void> {
    let ended: Error | undefined;
    this.daemon.output.then(
      () => (ended = new Error('plyd ended')),
      (error: unknown) => (ended = error as Error),
    );
    const end = Date.now() + START_LIMIT_MS;
    while (Date.now() < end) {
      await sleep(20);
      if (ended !== undefined) throw ended;
      if (!fs.existsSync(this.socket)) continue;
      await this.request('GET', '/v1/info');
      return;
    }
    throw new Error(`plyd does not listen on ${path.basename(this.socket)} after ${START_LIMIT_MS / 1000} s`);
  }

  private async stop(): Promise<void> {
    this.agent.destroy();
    this.daemon.signal('SIGTERM');
    const late = setTimeout(() => this.daemon.signal('SIGKILL'), 60_000);
    await this.daemon.output.catch(() => undefined); // its mounts and engines are looked for by the place
    clearTimeout(late);
  }

  request(method: string, url: string, body?: unknown): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      const sent = http.request({ method, path: url, socketPath: this.socket, agent: this.agent, timeout: 120_000 }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('end', () => {
          if ((response.statusCode ?? 500) >= 300) reject(new Error(`${method} ${url}: ${response.statusCode} ${text}`));
          else resolve((text === '' ? {} : JSON.parse(text)) as Record<string, unknown>);
        });
      });
      sent.on('error', reject);
      sent.on('timeout', () => sent.destroy(new Error(`${method} ${url}: no answer within 120 s`)));
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  /** An image of these directories, the topmost first. */
  async image(name: string, directories: readonly string[]): Promise<void> {
    const layers = directories.map((_, index) => `${name}-${index}`);
    for (const [index, directory] of directories.entries())
      await this.request('POST', '/v1/layers', { path: directory, name: layers[index] });
    await this.request('POST', '/v1/images', { name, layers });
  }

  create(image: string, name: string, options: string): Promise<Record<string, unknown>> {
    return this.request('POST', '/v1/containers', { image, name, options });
  }

  /** Where it is mounted. */
  async startContainer(name: string): Promise<string> {
    const answer = await this.request('POST', `/v1/containers/${name}/start`);
    const { mountpoint } = answer;
    if (typeof mountpoint !== 'string') throw new Error(`the answer to start has no mountpoint: ${JSON.stringify(answer)}`);
    return mountpoint;
  }

  async remove(name: string): Promise<void> {
    await this.request('DELETE', `/v1/containers/${name}?force=true`);
  }
}

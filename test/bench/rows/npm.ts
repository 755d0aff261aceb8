import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Bench, Place } from '../bench.js';
import type { Ran } from '../client.js';
import { row, seconds, verify } from '../contract.js';
import { repository } from '../options.js';
import { command } from '../processes.js';

const FLAGS = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--no-progress', '--no-update-notifier', '--loglevel=error'];

/** This repository's own packages, and a cache that has them all. */
async function primed(bench: Bench): Promise<{ lower: string; files: number }> {
  const lock = fs.readFileSync(path.join(repository, 'package-lock.json'));
  const name = `npm-1-${createHash('sha256').update(lock).digest('hex').slice(0, 12)}`;
  const directory = await bench.cached(name, async (fresh) => {
    const app = path.join(fresh, 'lower', 'app');
    fs.mkdirSync(app, { recursive: true });
    for (const file of ['package.json', 'package-lock.json']) fs.copyFileSync(path.join(repository, file), path.join(app, file));
    await command('npm', [...FLAGS, '--cache', path.join(fresh, 'lower', 'cache')], { cwd: app, limitMs: 900_000 });
    const { files } = await bench.client.walk(path.join(app, 'node_modules'));
    fs.rmSync(path.join(app, 'node_modules'), { recursive: true });
    fs.rmSync(path.join(fresh, 'lower', 'cache', '_logs'), { recursive: true, force: true });
    fs.writeFileSync(path.join(fresh, 'files'), String(files));
  });
  const lower = path.join(directory, 'lower');
  await command('sh', ['-c', 'find "$1" -type f -print0 | xargs -0 cat >/dev/null', 'sh', lower], { limitMs: 120_000 });
  return { lower, files: Number(fs.readFileSync(path.join(directory, 'files'), 'utf8')) };
}

/** Nothing but the cache is asked. */
function install(place: Place, point: string): Promise<Ran> {
  const words = ['npm', ...FLAGS, '--offline', '--cache', path.join(point, 'cache')];
  return place.client.run(words, { cwd: path.join(point, 'app'), limitMs: 290_000 });
}

/** What a Node.js image is built with. */
export const npm = row({
  name: 'npm',
  title: 'npm ci from a primed cache',
  about:
    'npm ci --offline --ignore-scripts of this repository’s own dependencies; project and cache are in the lower, node_modules goes to the upper. The number of installed files is verified.',
  dominates:
    'npm: JavaScript, unpacking, hashing. Of the file system: many files created from a pool of threads at once, and cache files read.',
  systems: ['bare', 'ov', 'fo', 'dev', 'uring'],
  figures: [seconds('npm', 'npm ci', { foDev: 1.3, foUring: 1.5 })],
  setup: primed,
  prepare: (place, { lower }) => place.mount({ lowers: [lower], bare: { tree: lower, copy: true } }),
  async measure(place, { point }, { files }) {
    const ran = await install(place, point);
    verify('files in node_modules', (await place.client.walk(path.join(point, 'app/node_modules'))).files, files);
    return { npm: ran.seconds };
  },
});

/** plyfs's driver fuse-native, which a plyd of the bench's own mounts with, where the npm package is installed. */
import { spawnSync } from 'node:child_process';
import type { Place } from './bench.js';
import { Plyd } from './plyd.js';
import { repository } from './options.js';

/** Why its column cannot be measured, or undefined if it can. */
export function whyNoFuseNative(): string | undefined {
  const { status, stderr } = spawnSync(process.execPath, ['-e', "require('fuse-native')"], {
    cwd: repository,
    encoding: 'utf8',
    timeout: 30_000,
  });
  if (status === 0) return undefined;
  if (/Cannot find module 'fuse-native'/.test(stderr))
    return 'the npm package is not installed: npm install --no-save --save-optional fuse-native';
  const reason = stderr.split('\n').find((line) => line.includes('Error')) ?? stderr;
  return `the npm package cannot be loaded: ${reason.trim()}`;
}

/** A read-only mount; its plyd ends with the place. */
export async function mountFuseNative(place: Place, lowers: readonly string[], point: string): Promise<void> {
  const plyd = await Plyd.start(place);
  await plyd.request('POST', '/v1/mounts', { mountpoint: point, lower: lowers, driver: 'fuse-native' });
}

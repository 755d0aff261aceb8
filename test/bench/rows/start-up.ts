import fs from 'node:fs';
import path from 'node:path';
import type { Mounted, Place } from '../bench.js';
import { type Figure, Unavailable, ownLimit, row } from '../contract.js';
import { Plyd } from '../plyd.js';
import { median } from '../statistics.js';
import { checkMounted, isByCommand, mountCommand } from '../systems.js';
import { type BigTree, bigTree } from '../trees.js';

const figure = (key: string, title: string, atMost: number): Figure => ({
  key,
  title,
  unit: 'ms',
  better: 'less',
  checks: ownLimit({ atMost }),
});

/** Milliseconds from exec to the end of the helper and an answer from the mount. */
async function startUp(place: Place, tree: BigTree, made: Mounted, env: NodeJS.ProcessEnv): Promise<number> {
  const { system } = place;
  if (!isByCommand(system)) throw new Error(`${system} is mounted by no command`);
  const stack = { lowers: tree.lowers, upper: made.upper, work: path.join(made.home, 'w') };
  const { words, cwd } = mountCommand(system, stack, made.point, place.bench.programs);
  place.expectMount(made.point);
  const answer = await place.client.call<{ seconds: number }>(['usable', made.point, tree.tops[0].name, ...words], {
    cwd,
    env,
    limitMs: 60_000,
  });
  checkMounted(system, made.point);
  return answer.seconds * 1000;
}

/** `after`: when a mount is gone, before the next one. */
async function typical(place: Place, tree: BigTree, env: NodeJS.ProcessEnv, after?: () => Promise<void>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < place.bench.amount(20, 3); i++) {
    const made = place.home();
    times.push(await startUp(place, tree, made, env));
    await place.unmount(made.point);
    await after?.();
  }
  return median(times);
}

/** Does this plyfs hand its mount to the plyd that it is told of? Throws Unavailable. */
async function needsPlyd(place: Place, tree: BigTree, plyd: Plyd, env: NodeJS.ProcessEnv): Promise<void> {
  const made = place.home();
  await startUp(place, tree, made, env);
  const mounts = JSON.stringify(await plyd.request('GET', '/v1/mounts'));
  await place.unmount(made.point);
  if (!mounts.includes(made.point)) throw new Unavailable('this plyfs does not hand its mounts to a plyd that runs (PLY_SOCKET)');
}

async function withPlyd(place: Place, tree: BigTree): Promise<number | undefined> {
  try {
    const plyd = await Plyd.start(place);
    const env = { ...process.env, PLY_SOCKET: plyd.socket };
    await needsPlyd(place, tree, plyd, env);
    return await typical(place, tree, env);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    place.remark(`with plyd running: not available: ${error.message}`);
    return undefined;
  }
}

/** What a container waits for. */
export const startUpRow = row({
  name: 'start-up',
  title: '`plyfs` exec to usable, with plyd running; without',
  about:
    'from fork and exec of the mount helper to its end and an lstat in the mount that it made, median of 20, with an upper. For ov the helper is mount(8).',
  dominates:
    'without plyd the engine’s start: Node.js’s, and then that of a worker thread (with io_uring, of all of them). With plyd mount(2) and two messages.',
  systems: ['ov', 'fo', 'dev', 'uring'],
  figures: [figure('alone', 'exec to usable, without plyd', 100), figure('plyd', 'exec to usable, with plyd running', 6)],
  setup: bigTree,
  prepare: () => Promise.resolve(),
  async measure(place, _, tree) {
    const without = { ...process.env, PLY_SOCKET: place.path('no-plyd.sock') };
    const alone = await typical(place, tree, without, () => place.serversGone()); // an engine that has not yet ended would serve the next mount
    if (place.system === 'ov' || place.system === 'fo') return { alone };
    const plyd = await withPlyd(place, tree);
    return { alone, ...(plyd !== undefined && { plyd }) };
  },
  cleanup: (place) => {
    fs.rmSync(place.path('no-plyd.sock'), { force: true });
    return Promise.resolve();
  },
});

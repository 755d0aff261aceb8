/** Many containers of one image: what each costs, and that it is given back. */
import fs from 'node:fs';
import t from 'tap';
import { leftBehind, type Plyd, sh, sleep, testWithPlyd, until } from './daemon.js';

const COUNT = 50;
const KIB_PER_CONTAINER = 1024;
/** Threads that have nothing to do have ended by then. */
const SETTLED_MS = 4000;

/**
 * What a process has for itself, and its part of what it shares with the others of ours, in KiB. Without what is mapped of files: that is Node's own program, of which
 * the part depends on how many other Nodes run on the machine.
 */
function pss(pid: number): number {
  const text = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const part = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]);
  return part('Pss_Anon') + part('Pss_Shmem');
}

async function memory(plyd: Plyd): Promise<number> {
  const { engines, pid } = await plyd.info();
  return [pid, ...engines.map((engine) => engine.pid)].map(pss).reduce((a, b) => a + b, 0);
}

function descriptors(pid: number): number {
  return fs.readdirSync(`/proc/${pid}/fd`).length;
}

testWithPlyd(`${COUNT} containers of one image cost less than 1 MiB of memory each, and rm gives everything back`, async (t, plyd) => {
  await plyd.image();
  const names = Array.from({ length: COUNT }, (_, i) => `c${i}`);
  // Everything is loaded and warm with the first one.
  await plyd.create('img', 'first');
  const { mountpoint } = await plyd.begin('first');
  await sh('find "$1" -type f -exec cat {} + >/dev/null && echo x >"$1/x"', mountpoint!);
  await sleep(SETTLED_MS);
  const before = await memory(plyd);
  const { pid } = await plyd.info();
  const fdsBefore = descriptors(pid);

  await Promise.all(names.map((name) => plyd.create('img', name).then(() => plyd.begin(name))));
  t.equal(plyd.mounted().length, COUNT + 1);
  const { engines } = await plyd.info();
  t.equal(engines.length, 1, 'one engine serves them all');
  const used = await sh(
    'for point in "$1"/*/merged; do find "$point" -type f -exec cat {} + >/dev/null && echo mine >"$point/x" || exit 1; done',
    `${plyd.root}/containers`,
  );
  t.equal(used.status, 0, used.stderr);
  await sleep(SETTLED_MS);
  const after = await memory(plyd);
  const each = Math.round((after - before) / COUNT);
  t.comment(
    `${each} KiB of memory per container (plyd and engine: ${before} KiB before, ${after} after), ${(descriptors(pid) - fdsBefore) / COUNT} descriptors in plyd`,
  );
  t.ok(before > 10_000 && after > 10_000, 'it was measured');
  t.ok(each < KIB_PER_CONTAINER, `${each} KiB each`);
  t.same(await plyd.disagreements(), []);
  const sizes = (await plyd.containers(true)).map(({ size }) => size?.files);
  t.same(new Set(sizes), new Set([1]));

  await Promise.all([...names, 'first'].map((name) => plyd.remove(name, true)));
  t.same(plyd.mounted(), []);
  t.same(await plyd.containers(), []);
  t.same(fs.readdirSync(`${plyd.root}/containers`), []);
  await until('the engine ends when it is not needed', async () => (await plyd.info()).engines.length === 0);
  t.same(fs.readdirSync(`${plyd.root}/engines`), []);
  await until('no descriptor is left', () => descriptors(pid) <= fdsBefore);
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

/** kill -9 of plyd and of engines at every step: afterwards catalog, mounts and directories agree, and all can still be used. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import t, { type Test } from 'tap';
import { hasEnded, kill, leftBehind, Plyd, sh, sleep, testWithPlyd, until } from './daemon.js';
import { must as command } from '../support/mounts.js';

/** Where plyd may be caught, by what it is doing; daemon/mounts/pause.ts. `victim` is the container that it is done to. */
const STEPS: Record<
  string,
  { before: (plyd: Plyd) => Promise<unknown>; request: [method: string, url: string, body?: object]; points: string[] }
> = {
  create: {
    before: () => Promise.resolve(),
    request: ['POST', '/v1/containers', { image: 'img', name: 'victim' }],
    points: ['create:directories', 'create:row', 'create:renamed'],
  },
  start: {
    before: (plyd) => plyd.create('img', 'victim'),
    request: ['POST', '/v1/containers/victim/start'],
    points: ['mount:row', 'mount:mounted', 'start:row'],
  },
  stop: {
    before: (plyd) => plyd.create('img', 'victim').then(() => plyd.begin('victim')),
    request: ['POST', '/v1/containers/victim/stop'],
    points: ['unmount:row', 'unmount:unmounted', 'stop:row'],
  },
  rm: {
    before: (plyd) => plyd.create('img', 'victim').then(() => plyd.begin('victim')),
    request: ['DELETE', '/v1/containers/victim?force=true'],
    points: ['unmount:unmounted', 'rm:stopped', 'rm:renamed', 'rm:row', 'rm:directories'],
  },
};

/** Every container can be started, stopped and removed, and a new one too. */
async function useAll(t: Test, plyd: Plyd): Promise<void> {
  const names = (await plyd.containers()).map(({ name }) => name);
  if (!names.includes('victim')) names.push((await plyd.create('img', 'victim')).name);
  for (const name of names) {
    const { mountpoint } = await plyd.begin(name);
    t.equal((await sh('cat "$1/etc/motd"', mountpoint!)).stdout, 'base\n', `${name} can be used`);
    await plyd.end(name);
    await plyd.remove(name);
  }
  t.same(await plyd.disagreements(), []);
}

function paused(plyd: Plyd): string {
  return fs.existsSync(plyd.pauses) ? fs.readFileSync(plyd.pauses, 'utf8') : '';
}

for (const [doing, { before, request, points }] of Object.entries(STEPS)) {
  for (const point of points) {
    testWithPlyd(`plyd is killed during ${doing}, at ${point}`, async (t, plyd) => {
      await plyd.image();
      await plyd.create('img', 'bystander');
      const { mountpoint } = await plyd.begin('bystander');
      await before(plyd);
      await plyd.stop('SIGKILL');
      await plyd.start([], { PLYD_PAUSE_AT: point });
      const answer = plyd.request(...request).catch(() => undefined);
      await until(point, () => paused(plyd).includes(point));
      await plyd.stop('SIGKILL');
      await answer;
      t.equal((await sh('cat "$1/etc/motd"', mountpoint!)).stdout, 'base\n', 'without a plyd the others go on');
      await plyd.start();
      t.same(await plyd.disagreements(), []);
      t.equal((await plyd.container('bystander')).state, 'running');
      t.match(
        plyd.lines().filter(({ msg }) => msg.startsWith('recovered')),
        [{}],
        'the log says so',
      );
      await useAll(t, plyd);
    });

    testWithPlyd(`an engine is killed during ${doing}, at ${point}`, async (t, plyd) => {
      await plyd.image();
      await plyd.create('img', 'bystander');
      await plyd.begin('bystander');
      await before(plyd);
      await plyd.stop('SIGKILL');
      await plyd.start([], { PLYD_PAUSE_AT: point });
      const { engines } = await plyd.info();
      t.equal(engines.length, 1);
      const answer = plyd.request(...request);
      await until(point, () => paused(plyd).includes(point));
      kill(engines[0].pid);
      await until('its end', async () => !(await plyd.info()).engines.some(({ pid }) => pid === engines[0].pid));
      fs.rmSync(plyd.pauses);
      t.ok((await answer).status < 400, 'it is done all the same');
      await until('a new engine', async () => (await plyd.info()).engines.some(({ pid }) => pid !== engines[0].pid));
      await until('agreement', async () => (await plyd.disagreements()).length === 0);
      t.equal((await plyd.container('bystander')).state, 'running');
      await useAll(t, plyd);
    });
  }
}

testWithPlyd('an engine that dies is started again, and its containers are mounted again', async (t, plyd) => {
  await plyd.image();
  const { events } = await plyd.listen();
  for (const name of ['a', 'b', 'c']) {
    await plyd.create('img', name);
    await plyd.begin(name);
  }
  const point = (await plyd.container('a')).mountpoint!;
  await sh('echo kept >"$1/kept"', point);
  const [before] = (await plyd.info()).engines;
  kill(before.pid);
  await until('all are back', () => events.filter(({ type }) => type === 'recover').length === 3);
  t.same(await plyd.disagreements(), []);
  t.equal((await sh('cat "$1/kept"', point)).stdout, 'kept\n');
  const [after] = (await plyd.info()).engines;
  t.match(after, { mounts: 3, restarts: 1, level: 1 });
  t.not(after.pid, before.pid);
  t.match(
    events.find(({ type }) => type === 'engine.exit'),
    { id: String(before.pid), detail: 'SIGKILL' },
  );
});

testWithPlyd('mounts on mounts come back when the engine below dies', async (t, plyd) => {
  await plyd.image();
  const at = (name: string): string => `${plyd.base}/${name}`;
  for (const name of ['m1', 'm2']) fs.mkdirSync(at(name));
  await plyd.must('POST', '/v1/mounts', { mountpoint: at('m1'), lower: [at('top'), at('base')] });
  await plyd.must('POST', '/v1/mounts', { mountpoint: at('m2'), lower: [at('m1')] });
  const below = (await plyd.info()).engines.find(({ level }) => level === 1)!;
  const { events } = await plyd.listen();
  kill(below.pid);
  await until('both are back', () => events.filter(({ type }) => type === 'recover').length === 2);
  t.same(await plyd.disagreements(), []);
  t.equal((await sh('cat "$1/etc/motd"', at('m2'))).stdout, 'base\n');
});

testWithPlyd('plyd and its engines are killed: the next plyd mounts again what was mounted', async (t, plyd) => {
  await plyd.image();
  fs.mkdirSync(`${plyd.base}/m`);
  await plyd.must('POST', '/v1/mounts', { mountpoint: `${plyd.base}/m`, lower: [`${plyd.base}/base`] });
  for (const name of ['a', 'b', 'idle']) await plyd.create('img', name);
  for (const name of ['a', 'b']) await plyd.begin(name);
  const engines = plyd.engines();
  t.equal(engines.length, 1);
  await plyd.stop('SIGKILL');
  for (const pid of engines) kill(pid);
  t.equal((await sh('cat "$1/etc/motd"', `${plyd.base}/m`)).status, 1, 'dead mounts are left');
  await plyd.start();
  t.same(await plyd.disagreements(), []);
  t.equal((await sh('cat "$1/etc/motd"', `${plyd.base}/m`)).stdout, 'base\n');
  t.same(
    (await plyd.containers()).map(({ state }) => state),
    ['running', 'running', 'created'],
  );
  const { events } = await plyd.listen('?since=0');
  await until('the events', () => events.filter(({ type, detail }) => type === 'recover' && detail === 'mounted again').length === 3);
});

/** What is below containers/, and what of it is in an upper. */
function uppers(plyd: Plyd): Record<string, string[]> {
  const directory = `${plyd.root}/containers`;
  return Object.fromEntries(fs.readdirSync(directory).map((name) => [name, fs.readdirSync(`${directory}/${name}/upper`).sort()]));
}

testWithPlyd('a lost catalog, or an old one from a backup, costs no upper, and the log names them', async (t, plyd) => {
  await plyd.image();
  await plyd.stop();
  fs.copyFileSync(`${plyd.root}/ply.db`, `${plyd.base}/backup`);
  await plyd.start();
  for (const name of ['a', 'b']) {
    const { mountpoint } = await plyd.create('img', name).then(() => plyd.begin(name));
    await sh('echo precious >"$1/precious"', mountpoint!);
  }
  const [a, b] = (await plyd.containers()).map(({ id }) => id);
  let expected: Record<string, string[]> = { [a]: ['precious'], [b]: ['precious'] };
  const lose = async (how: () => void, message: RegExp): Promise<void> => {
    for (const ending of ['', '-wal', '-shm']) fs.rmSync(`${plyd.root}/ply.db${ending}`, { force: true });
    how();
    const before = plyd.lines().length;
    await plyd.start();
    t.same(uppers(plyd), expected);
    const directories = Object.keys(expected).map((name) => `${plyd.root}/containers/${name}`);
    const told = plyd
      .lines()
      .slice(before)
      .find(({ msg }) => message.test(msg));
    t.same([...((told?.['directories'] as string[] | undefined) ?? [])].sort(), directories.sort());
    t.same(plyd.mounted(), [], 'what the catalog does not know is not mounted');
  };
  await plyd.stop('SIGKILL'); // with the two mounted
  await lose(() => undefined, /the catalog is new/);
  // Even what says that it is to go stays when there is no catalog to tell.
  await plyd.stop();
  fs.renameSync(`${plyd.root}/containers/${b}`, `${plyd.root}/containers/${b}.removing`);
  expected = { [a]: ['precious'], [`${b}.removing`]: ['precious'] };
  await lose(() => undefined, /the catalog is new/);
  await plyd.stop();
  fs.renameSync(`${plyd.root}/containers/${b}.removing`, `${plyd.root}/containers/${b}`);
  expected = { [a]: ['precious'], [b]: ['precious'] };
  await lose(() => fs.copyFileSync(`${plyd.base}/backup`, `${plyd.root}/ply.db`), /no container of the catalog/);
  await plyd.create('img', 'c');
  await plyd.begin('c');
  t.match(await plyd.containers(), [{ name: 'c', state: 'running' }], 'and plyd can be used');
});

testWithPlyd('what is detached and still in use is not mounted a second time by the next plyd', async (t, plyd) => {
  await plyd.image();
  await plyd.create('img', 'c');
  const { mountpoint } = await plyd.begin('c');
  const sleeper = spawn('sleep', ['60'], { cwd: mountpoint!, stdio: 'ignore' });
  try {
    await plyd.must('POST', '/v1/containers/c/stop?lazy=true');
    await plyd.stop('SIGKILL');
    await plyd.start();
    t.same(await plyd.disagreements(), []);
    t.match(await plyd.refused('POST', '/v1/containers/c/start'), { code: 'busy', processes: [{ pid: sleeper.pid! }] });
  } finally {
    sleeper.kill('SIGKILL');
  }
  await until('it is free', async () => (await plyd.request('POST', '/v1/containers/c/start')).status === 200);
  t.same(await plyd.disagreements(), []);
});

testWithPlyd('what was mounted is mounted again, whoever took it away while no plyd ran', async (t, plyd) => {
  await plyd.image();
  await plyd.create('img', 'c');
  const { mountpoint } = await plyd.begin('c');
  await plyd.stop('SIGKILL');
  await command('umount', [mountpoint!]);
  await until('the engine ends, having nothing to serve', () => plyd.engines().every(hasEnded));
  await plyd.start();
  t.match(await plyd.containers(), [{ state: 'running' }]);
  t.same(await plyd.disagreements(), []);
});

testWithPlyd('a container whose layer has gone fails, says why, and can be started when it is back', async (t, plyd) => {
  await plyd.image();
  await plyd.create('img', 'c');
  await plyd.begin('c');
  const { events } = await plyd.listen();
  fs.renameSync(`${plyd.base}/top`, `${plyd.base}/away`);
  kill(plyd.engines()[0]);
  await until('it fails', () => events.some(({ type }) => type === 'container.fail'));
  t.match(await plyd.container('c'), { state: 'failed', error: /top.*does not exist/s, mountpoint: null });
  t.same(await plyd.disagreements(), []);
  fs.renameSync(`${plyd.base}/away`, `${plyd.base}/top`);
  t.match(await plyd.begin('c'), { state: 'running', error: null });
  t.same(await plyd.disagreements(), []);
});

testWithPlyd('kills at random times, again and again, leave agreement', async (t, plyd) => {
  await plyd.image();
  let seed = 20261120;
  const random = (below: number): number => (seed = (seed * 48271) % 2147483647) % below;
  for (let round = 0; round < (process.env['PLYFS_TEST_LONG'] === '1' ? 60 : 8); round++) {
    const name = `r${round % 3}`;
    const work = (async () => {
      for (const [method, url, body] of [
        ['POST', '/v1/containers', { image: 'img', name }],
        ['POST', `/v1/containers/${name}/start`],
        ['POST', `/v1/containers/${name}/stop`],
        ['POST', `/v1/containers/${name}/start`],
        ['DELETE', `/v1/containers/${name}?force=true`],
      ] as [string, string, object?][]) {
        await plyd.request(method, url, body).catch(() => undefined);
      }
    })();
    await sleep(random(400));
    const victim = round % 2 === 0 ? plyd.child!.pid! : plyd.engines()[0];
    if (victim !== undefined) kill(victim);
    await work;
    if (round % 2 === 0) await plyd.start();
    let last: string[] = [];
    await until(`agreement in round ${round}`, async () => (last = await plyd.disagreements()).length === 0).catch(() => undefined);
    t.same(last, [], `round ${round}`);
  }
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

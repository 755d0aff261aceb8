/** The engine that is there before the first mount, and practises (daemon/mounts/practice.ts). */
import fs from 'node:fs';
import type { Test } from 'tap';
import type { Info, Stats } from '../../daemon/api/types.js';
import { kill, type Plyd, sh, sleep, testWithPlyd } from './daemon.js';

const WARM = ['--warm-engine'];
/** Longer than an engine stays that has nothing to do. */
const IDLE_MS = 6000;
const PRACTICE_MS = 60_000;

const said = (plyd: Plyd, text: string): { [field: string]: unknown }[] => plyd.lines().filter(({ msg }) => msg.startsWith(text));

/** The engine, when there is one for which `condition` holds. */
async function engineThat(plyd: Plyd, condition: (engine: Info['engines'][number]) => boolean): Promise<Info['engines'][number]> {
  for (const end = Date.now() + PRACTICE_MS; Date.now() < end;) {
    const engine = (await plyd.info()).engines.find(condition);
    if (engine !== undefined) return engine;
    await sleep(20);
  }
  throw new Error(`there is no such engine:\n${plyd.log().slice(-2000)}`);
}

const warm = (plyd: Plyd): Promise<Info['engines'][number]> => engineThat(plyd, (engine) => engine.warm);

async function isServed(t: Test, plyd: Plyd, name: string): Promise<void> {
  const { mountpoint } = await plyd.begin(name);
  t.equal(fs.readFileSync(`${mountpoint}/etc/motd`, 'utf8'), 'base\n', `${name} is served`);
}

testWithPlyd(
  'an engine practises before the first mount, and serves it',
  async (t, plyd) => {
    const { pid, mounts } = await warm(plyd);
    t.equal(mounts, 0);
    const [told, ...more] = said(plyd, 'an engine has practised');
    t.same([told['engine'], more], [pid, []]);
    t.ok((told['mounts'] as number) > 0);
    const stats = await plyd.must<Stats>('GET', '/v1/stats');
    t.same([stats.mounts, stats.times], [[], []], 'what it did is none of the users’ business');
    t.same(await plyd.mounts(), []);
    t.same(fs.readdirSync(`${plyd.root}/practice`).sort(), ['directories', 'layers', 'objects', 'version'], 'what it wrote is gone');
    await sleep(IDLE_MS);
    t.match((await plyd.info()).engines, [{ pid }], 'it waits');
    await plyd.image();
    await plyd.create('img', 'c');
    await isServed(t, plyd, 'c');
    t.match((await plyd.info()).engines, [{ pid, mounts: 1 }]);
    await plyd.end('c');
    await sleep(IDLE_MS);
    t.match((await plyd.info()).engines, [{ pid, mounts: 0 }], 'it waits for the next');
    t.same(await plyd.disagreements(), []);
  },
  WARM,
);

testWithPlyd(
  'whoever wants a mount does not wait for practice',
  async (t, plyd) => {
    await plyd.image();
    await plyd.create('img', 'c');
    await plyd.stop();
    await plyd.start(WARM);
    await isServed(t, plyd, 'c');
    for (const end = Date.now() + PRACTICE_MS; said(plyd, 'an engine has practised').length < 2 && Date.now() < end;) await sleep(20);
    const [, second] = said(plyd, 'an engine has practised');
    t.ok((second['mounts'] as number) < 12, `it left off after ${String(second['mounts'])} mounts`);
    t.match((await plyd.info()).engines, [{ warm: false, mounts: 1 }]);
    t.same(await plyd.disagreements(), []);
  },
  WARM,
);

for (const [what, args, end] of [
  ['SIGTERM', [], 'SIGTERM'],
  ['SIGTERM with --keep-mounts', ['--keep-mounts'], 'SIGTERM'],
  ['SIGKILL', [], 'SIGKILL'],
] as const) {
  testWithPlyd(`${what} while an engine practises leaves nothing`, async (t, plyd) => {
    await plyd.stop();
    await plyd.start([...WARM, ...args]);
    const { pid } = await engineThat(plyd, () => true);
    await sleep(300);
    const before = Date.now();
    t.equal(await plyd.stop(end), end === 'SIGKILL' ? 'SIGKILL' : 0);
    t.ok(Date.now() - before < 5000, 'at once');
    for (const limit = Date.now() + 10_000; fs.existsSync(`/proc/${pid}`) && Date.now() < limit;) await sleep(20);
    t.notOk(fs.existsSync(`/proc/${pid}`), 'its engine has ended');
    t.notOk(
      plyd.lines().some(({ level }) => level >= 50),
      'no error in the log',
    );
    await plyd.start(WARM);
    await warm(plyd);
    t.notOk(fs.existsSync(`${plyd.root}/practice/writable`), 'what was written is gone');
    t.same(await plyd.disagreements(), []);
  });
}

testWithPlyd(
  'what cannot be practised on is made anew, and no mount suffers',
  async (t, plyd) => {
    await warm(plyd);
    await plyd.stop();
    fs.rmSync(`${plyd.root}/practice/layers`, { recursive: true });
    await plyd.start(WARM);
    for (const end = Date.now() + PRACTICE_MS; said(plyd, 'an engine could not practise').length === 0 && Date.now() < end;)
      await sleep(20);
    t.match(said(plyd, 'an engine could not practise'), [{ level: 40, err: { message: /layer/ } }], 'it is told');
    await plyd.image();
    await plyd.create('img', 'c');
    await isServed(t, plyd, 'c');
    await plyd.stop();
    await plyd.start(WARM);
    await warm(plyd);
    t.equal(fs.readdirSync(`${plyd.root}/practice/layers`).length, 2);
  },
  WARM,
);

testWithPlyd('on a full disk there is no practice, and nothing is left of it', async (t, plyd) => {
  await plyd.image();
  await plyd.create('img', 'c');
  await plyd.stop();
  const kept = `${plyd.base}/kept`;
  fs.renameSync(plyd.root, kept);
  fs.mkdirSync(plyd.root);
  t.equal((await sh(`mount -t tmpfs -o size=16m,nr_inodes=250 tmpfs ${plyd.root} && cp -a ${kept}/. ${plyd.root}`)).status, 0);
  try {
    await plyd.start(WARM);
    for (const end = Date.now() + PRACTICE_MS; said(plyd, 'an engine could not practise').length === 0 && Date.now() < end;)
      await sleep(20);
    t.match(said(plyd, 'an engine could not practise'), [{ err: { message: /ENOSPC|full/ } }]);
    await sleep(200);
    t.same(
      fs.readdirSync(plyd.root).filter((name) => name.startsWith('practice')),
      [],
    );
    await isServed(t, plyd, 'c');
    t.equal(await plyd.stop(), 0);
  } finally {
    await plyd.stop();
    await sh(`umount ${plyd.root}`);
  }
});

testWithPlyd(
  'an engine that dies without a mount is not started again before there is one',
  async (t, plyd) => {
    const { pid } = await warm(plyd);
    kill(pid);
    await sleep(1000);
    t.match((await plyd.info()).engines, []);
    await plyd.image();
    await plyd.create('img', 'c');
    await isServed(t, plyd, 'c');
    t.match((await plyd.info()).engines, [{ warm: false, mounts: 1 }]);
    t.not((await plyd.info()).engines[0].pid, pid);
  },
  WARM,
);

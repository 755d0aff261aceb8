/** Layers on mounts that are not the usual ones, and what an engine keeps of mounts that fail: nothing. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { must, run } from '../support/mounts.js';
import { leftBehind, type Plyd, sh, testWithPlyd, until } from './daemon.js';

const LIMIT_MS = 20_000;

/** Mounts of layers below plyd's base, which are gone afterwards. */
async function withLayers(plyd: Plyd, script: string, body: () => Promise<void>): Promise<void> {
  const at = path.join(plyd.base, 'layers');
  fs.mkdirSync(at);
  await must('mount', ['-t', 'tmpfs', 'layers', at]);
  try {
    await must('sh', ['-euc', script], { cwd: at, timeoutMs: LIMIT_MS });
    await body();
  } finally {
    await run('umount', ['-R', '-l', at], { timeoutMs: LIMIT_MS });
  }
}

const at = (plyd: Plyd, ...names: string[]): string => path.join(plyd.base, 'layers', ...names);

testWithPlyd('layers on mounts that are read-only, noexec, mountpoints, or have others in them', async (t, plyd) => {
  const script = `
    mkdir plain readonly noexec point u w m
    for one in readonly noexec point; do mount -t tmpfs $one $one; done
    for one in plain readonly noexec point; do
      mkdir $one/d $one/inner; echo $one >$one/$one; echo $one >$one/d/$one; cp /bin/true $one/program-$one; echo lower >$one/inner/f
      mount -t tmpfs inner $one/inner; echo hidden >$one/inner/f
    done
    mount -o remount,ro readonly; mount -o remount,noexec noexec`;
  await withLayers(plyd, script, async () => {
    const names = ['plain', 'readonly', 'noexec', 'point'];
    const mountpoint = at(plyd, 'm');
    const options = { upper: at(plyd, 'u'), work: at(plyd, 'w') };
    const { id } = await plyd.must<{ id: string }>('POST', '/v1/mounts', {
      mountpoint,
      lower: names.map((one) => at(plyd, one)),
      ...options,
    });
    await must('umount', [at(plyd, 'point', 'inner')]);
    const look = 'cd "$1"; ls d; cat d/*; for i in program-*; do ./$i; done; cat inner/f';
    const sorted = [...names]
      .sort()
      .map((one) => `${one}\n`)
      .join('');
    t.same(await sh(look, mountpoint), { status: 0, stdout: `${sorted}${sorted}lower\n`, stderr: '' });
    t.match(await sh('cd "$1"; echo more >>d/readonly; mv noexec moved; rm -r d inner; cat moved', mountpoint), {
      status: 0,
      stdout: 'noexec\n',
    });
    t.equal(fs.readFileSync(at(plyd, 'plain', 'inner', 'f'), 'utf8'), 'hidden\n');
    // the host takes a layer's mount away, and deletes another
    await must('umount', ['-l', at(plyd, 'noexec')]);
    fs.rmSync(at(plyd, 'plain', 'd'), { recursive: true });
    t.match(await sh('cd "$1"; cat moved plain readonly; ls', mountpoint), { status: 0 });
    await plyd.must('DELETE', `/v1/mounts/${id}`);
  });
});

const TIMES = 50;
/** Free descriptors with which an engine gets all that comes with a mount; and with which it has enough to serve it, however many CPUs there are. */
const SCARCE = { from: 8, to: 300 };

testWithPlyd('mounts that end, and those that fail, for want of descriptors too, leave none in their engine', async (t, plyd) => {
  await withLayers(plyd, 'mkdir a b u w bad other m n; echo a >a/f; : >bad/work; mount -t tmpfs o other; mkdir other/l', async () => {
    const lower = ['a', 'b', 'other/l'].map((one) => at(plyd, one));
    await plyd.must('POST', '/v1/mounts', { mountpoint: at(plyd, 'n'), lower });
    const [engine] = plyd.engines();
    const files = (): number[] => fs.readdirSync(`/proc/${engine}/fd`).map(Number);
    const mount = async (work: string): Promise<string> => {
      const request = { mountpoint: at(plyd, 'm'), lower, upper: at(plyd, 'u'), work: at(plyd, work) };
      const { status, body, text } = await plyd.request<{ id: string }>('POST', '/v1/mounts', request);
      if (status !== 201) return text;
      await plyd.must('DELETE', `/v1/mounts/${body.id}`);
      return 'mounted';
    };
    const both = async (): Promise<boolean> =>
      (await mount('w')) === 'mounted' && (await mount('bad')).includes('cannot open the directory \\"work\\"');
    t.ok(await both(), 'all is loaded');
    const before = files().length;
    for (let i = 0; i < TIMES; i++) if (!(await both())) throw new Error(plyd.log().slice(-2000));
    t.same(plyd.engines(), [engine], 'it is one engine');
    await until('the last one to have ended', () => files().length <= before).catch(() => undefined);
    t.equal(files().length, before);

    const outcomes = new Set<string>();
    for (let free = SCARCE.from; free < SCARCE.to && !outcomes.has('mounted'); free++) {
      const used = new Set(files());
      let limit = 0;
      for (let found = 0; found < free; limit++) if (!used.has(limit)) found++;
      await must('prlimit', ['--pid', String(engine), `--nofile=${limit}:`]);
      outcomes.add(/mounted|errno 24/.exec(await mount('w'))?.[0] ?? 'another error');
      await must('prlimit', ['--pid', String(engine), '--nofile=4096:']);
    }
    t.same([...outcomes], ['errno 24', 'mounted']);
    t.ok(await both(), 'it goes on');
    t.same(plyd.engines(), [engine], 'and is the same');
    await until('the last one to have ended', () => files().length <= before).catch(() => undefined);
    t.equal(files().length, before);
    t.same(await sh('cat "$1"/f', at(plyd, 'n')), { status: 0, stdout: 'a\n', stderr: '' });
    const [{ id }] = await plyd.mounts();
    await plyd.must('DELETE', `/v1/mounts/${id}`);
  });
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

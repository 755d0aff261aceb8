/** What ply's commands for the store as a whole (df, fsck, prune) see of containerd's snapshots. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { DiskUsage, FsckProblem, FsckResult, Line, Pruned } from '../../daemon/api/types.js';
import { leftBehind, type Plyd, until } from '../plyd/daemon.js';
import { must } from '../support/mounts.js';
import { argumentsFor, refusal, type Snapshots, testSnapshots } from './client.js';

const directoryOf = (plyd: Plyd, ...names: string[]): string => path.join(plyd.root, 'snapshots', ...names);

/** du(1) of a snapshot's own tree; its number says which. */
async function onDisk(plyd: Plyd, number: number): Promise<number> {
  return Number((await must('du', ['-s', '--block-size=1', directoryOf(plyd, String(number), 'fs')])).split('\t')[0]);
}

async function fsck(plyd: Plyd, repair = false): Promise<FsckResult> {
  const { text } = await plyd.text('POST', `/v1/fsck${repair ? '?repair=true' : ''}`);
  const last = JSON.parse(text.trim().split('\n').at(-1)!) as Line<unknown, FsckResult>;
  if (!('result' in last)) throw new Error(text);
  return last.result;
}

/** 1 base, 2 top, 3 unused (all committed), 4 an active one over top, 5 a view of base. */
async function five(snapshots: Snapshots): Promise<void> {
  await snapshots.layer('base', '', 'mkdir d; head -c 100000 /dev/zero >d/file; ln d/file d/link');
  await snapshots.layer('top', 'base', 'echo more >d/file; ln -s x y');
  await snapshots.layer('unused', 'base', 'head -c 50000 /dev/zero >z');
  await snapshots.prepare('a', 'top');
  await snapshots.inside('a', 'head -c 30000 /dev/zero >w; rm d/link');
  await snapshots.view('v', 'base');
}

testSnapshots('df counts snapshots, and says what no container needs', async (t, snapshots, plyd) => {
  t.same((await plyd.must<DiskUsage>('GET', '/v1/df')).snapshots, { total: 0, active: 0, size: 0, reclaimable: 0 });
  await five(snapshots);
  const sizes = await Promise.all([1, 2, 3, 4, 5].map((number) => onDisk(plyd, number)));
  const { snapshots: row, snapshotList } = await plyd.must<DiskUsage>('GET', '/v1/df?verbose=true');
  t.same(row, { total: 5, active: 4, size: sizes.reduce((sum, one) => sum + one, 0), reclaimable: sizes[2] });
  t.ok(sizes[2] >= 50_000);
  t.same(snapshotList, [
    { key: 'base', kind: 'committed', parent: null, size: sizes[0] },
    { key: 'top', kind: 'committed', parent: 'base', size: sizes[1] },
    { key: 'unused', kind: 'committed', parent: 'base', size: sizes[2] },
    { key: 'a', kind: 'active', parent: 'top', size: sizes[3] },
    { key: 'v', kind: 'view', parent: 'base', size: sizes[4] },
  ]);
  const { text } = await plyd.text('GET', '/v1/metrics');
  t.match(text, /^plyd_snapshots\{kind="active"\} 1\nplyd_snapshots\{kind="view"\} 1\nplyd_snapshots\{kind="committed"\} 3$/m);
  t.match(text, new RegExp(`^plyd_committed_snapshot_bytes ${sizes[0] + sizes[1] + sizes[2]}$`, 'm'));
  t.match(text, /^plyd_uppers 1$/m);
  await snapshots.remove('a');
  t.match((await plyd.must<DiskUsage>('GET', '/v1/df')).snapshots, { total: 4, active: 2, reclaimable: sizes[1] + sizes[2] });
});

testSnapshots('a mount says which snapshot it is of', async (t, snapshots, plyd) => {
  await five(snapshots);
  t.same(
    (await plyd.mounts()).map(({ container, snapshot }) => [container, snapshot]),
    [
      [null, 'a'],
      [null, 'v'],
    ],
  );
});

testSnapshots('fsck verifies snapshots: directories, and that what is committed was not changed', async (t, snapshots, plyd) => {
  await five(snapshots);
  t.match(await fsck(plyd), { ok: true, problems: [], checked: { snapshots: 5 } });
  const expectOne = async (message: RegExp, name: string): Promise<void> => {
    t.match(await fsck(plyd, true), { ok: false, problems: [{ kind: 'snapshot', name, message, repaired: false }] });
  };

  fs.writeFileSync(directoryOf(plyd, '1', 'fs', 'extra'), '');
  await expectOne(/\/1\/fs: it has 4 files and directories, and had 3 when it was committed/, 'base');
  fs.rmSync(directoryOf(plyd, '1', 'fs', 'extra'));

  fs.renameSync(directoryOf(plyd, '3', 'fs'), directoryOf(plyd, '3', 'away'));
  await expectOne(/\/3\/fs: ENOENT/, 'unused');
  fs.writeFileSync(directoryOf(plyd, '3', 'fs'), '');
  await expectOne(/\/3\/fs: it is no directory/, 'unused');
  fs.rmSync(directoryOf(plyd, '3', 'fs'));
  fs.renameSync(directoryOf(plyd, '3', 'away'), directoryOf(plyd, '3', 'fs'));

  fs.renameSync(directoryOf(plyd, '4', 'work'), directoryOf(plyd, '4', 'away'));
  await expectOne(/\/4\/work: ENOENT/, 'a');
  fs.renameSync(directoryOf(plyd, '4', 'away'), directoryOf(plyd, '4', 'work'));
  t.match(await fsck(plyd), { ok: true, problems: [] });

  for (const name of ['77', '03']) {
    fs.mkdirSync(directoryOf(plyd, name, 'fs'), { recursive: true });
    await expectOne(/no snapshot of the catalog has this directory: it stays/, directoryOf(plyd, name));
    t.ok(fs.existsSync(directoryOf(plyd, name, 'fs')), 'somebody may have written there: it stays');
    fs.rmSync(directoryOf(plyd, name), { recursive: true });
  }
});

testSnapshots('halves of snapshots: fsck finds them, fsck --repair and prune remove them', async (t, snapshots, plyd) => {
  await five(snapshots);
  const make = (): string[] =>
    ['78.new', '79.removing'].map((name) => {
      fs.mkdirSync(directoryOf(plyd, name, 'fs', 'd'), { recursive: true });
      return directoryOf(plyd, name);
    });
  const halves = make();
  const leftovers = (repaired: boolean): Partial<FsckProblem>[] => halves.map((name) => ({ kind: 'leftover', name, repaired }));
  t.match(await fsck(plyd), { ok: false, problems: leftovers(false) });
  t.match(await fsck(plyd, true), { ok: true, problems: leftovers(true) });
  t.same(fs.readdirSync(directoryOf(plyd)).sort(), ['1', '2', '3', '4', '5']);
  make();
  t.match(await plyd.must<Pruned>('POST', '/v1/prune'), { leftovers: 2 });
  t.same(fs.readdirSync(directoryOf(plyd)).sort(), ['1', '2', '3', '4', '5']);
  t.match(await fsck(plyd), { ok: true, problems: [] });
});

/** Does something while plyd stands still at a point of what was asked of it. */
async function at<T>(plyd: Plyd, point: string, request: () => Promise<T>, meanwhile: () => Promise<void>): Promise<T> {
  await plyd.stop('SIGKILL');
  await plyd.start(argumentsFor(plyd), { PLYD_PAUSE_AT: point });
  const answer = request();
  await until(point, () => fs.existsSync(plyd.pauses), 30_000);
  try {
    await meanwhile();
  } finally {
    fs.rmSync(plyd.pauses);
  }
  return await answer;
}

for (const point of ['snapshot:directories', 'snapshot:row'])
  testSnapshots(`prune and fsck --repair leave alone what is being prepared, at ${point}`, async (t, snapshots, plyd) => {
    await snapshots.layer('base', '', 'echo base >motd');
    await at(
      plyd,
      point,
      () => snapshots.prepare('a', 'base'),
      async () => {
        t.match(await fsck(plyd, true), { ok: true, problems: [] });
        t.match(await plyd.must<Pruned>('POST', '/v1/prune'), { leftovers: 0 });
      },
    );
    t.equal(await snapshots.inside('a', 'cat motd; touch f'), 'base\n');
    t.match(await fsck(plyd), { ok: true, problems: [] });
  });

for (const point of ['snapshot-remove:renamed', 'snapshot-remove:row'])
  testSnapshots(`prune and fsck --repair leave alone what is being removed, at ${point}`, async (t, snapshots, plyd) => {
    await snapshots.layer('base', '', 'echo base >motd');
    await snapshots.prepare('a', 'base');
    await at(
      plyd,
      point,
      () => snapshots.remove('a'),
      async () => {
        t.match(await fsck(plyd, true), { ok: true, problems: [] });
        t.match(await plyd.must<Pruned>('POST', '/v1/prune'), { leftovers: 0 });
      },
    );
    t.same(await snapshots.keys(), ['base']);
    t.same(fs.readdirSync(directoryOf(plyd)), ['1']);
  });

testSnapshots('a parent whose removal began before its child was made stays where it is all the time', async (t, snapshots, plyd) => {
  await snapshots.layer('base', '', 'echo base >motd');
  const removal = await at(
    plyd,
    'snapshot-remove:unmounted,snapshot-remove:renamed',
    () => refusal(snapshots.remove('base')),
    async () => {
      await snapshots.prepare('a', 'base');
    },
  );
  t.equal(removal, 'FAILED_PRECONDITION');
  t.notOk(fs.existsSync(plyd.pauses), 'its directory had no other name meanwhile: a child may be about to be mounted');
  t.equal(await snapshots.inside('a', 'cat motd'), 'base\n');
});

testSnapshots(
  "what stands in the place of a snapshot's directory is told, and symbolic links are not followed",
  async (t, snapshots, plyd) => {
    await five(snapshots);
    const elsewhere = path.join(plyd.base, 'elsewhere');
    fs.mkdirSync(elsewhere);
    fs.writeFileSync(path.join(elsewhere, 'precious'), '');
    const own = directoryOf(plyd, '3');
    const away = path.join(plyd.base, 'away');
    fs.renameSync(own, away);
    for (const target of [away, '/', elsewhere]) {
      fs.symlinkSync(target, own);
      t.match(
        (await fsck(plyd, true)).problems,
        [{ kind: 'snapshot', name: 'unused', message: /\/3: it is no directory/, repaired: false }],
        target,
      );
      fs.rmSync(own);
    }
    fs.writeFileSync(own, '');
    t.match((await fsck(plyd, true)).problems, [{ kind: 'snapshot', name: 'unused', message: /\/3: it is no directory/ }]);
    fs.rmSync(own);

    fs.symlinkSync('nowhere', directoryOf(plyd, '80'));
    t.match((await fsck(plyd, true)).problems.at(-1), { name: directoryOf(plyd, '80'), message: /no snapshot of the catalog/ });
    fs.rmSync(directoryOf(plyd, '80'));

    fs.symlinkSync(elsewhere, own);
    for (const name of ['78.new', '79.removing']) fs.symlinkSync(elsewhere, directoryOf(plyd, name));
    t.match(await plyd.must<Pruned>('POST', '/v1/prune'), { leftovers: 2 });
    await snapshots.remove('unused');
    t.same(fs.readdirSync(directoryOf(plyd)).sort(), ['1', '2', '4', '5']);
    t.same(fs.readdirSync(elsewhere), ['precious']);
  },
);

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

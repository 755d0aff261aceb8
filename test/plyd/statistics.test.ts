/** What is counted is what was done; and plyd says whether it is alive and able. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { Layer, Stats } from '../../daemon/api/types.js';
import { TRANSPORT } from '../support/transport.js';
import { leftBehind, sh, testWithPlyd, until } from './daemon.js';

type Series = Map<string, number>;

function series(text: string): Series {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
}

/** Of the regular files below. */
function fileBytes(directory: string): number {
  const files = fs.readdirSync(directory, { withFileTypes: true, recursive: true }).filter((one) => one.isFile());
  return files.reduce((sum, one) => sum + fs.statSync(path.join(one.parentPath, one.name)).size, 0);
}

testWithPlyd(
  'a mount counts lookups, opens and what it copies up; Prometheus gets the same numbers',
  async (t, plyd) => {
    t.equal((await plyd.info()).transport.used, TRANSPORT);
    await plyd.image();
    await plyd.create('img', 'one');
    const { mountpoint, id } = await plyd.begin('one');
    const bytes = 300_000;
    await sh('head -c "$1" /dev/zero >"$2/file"', String(bytes), mountpoint!);
    const before = await plyd.must<Stats>('GET', '/v1/stats');
    const [first] = before.mounts;
    t.match(first, { container: id, mountpoint });
    t.equal(first.copiedUp.files, 0, 'nothing of a layer was changed yet');
    const done = await sh(
      'cd "$1" && cat etc/motd etc/hosts >/dev/null && echo more >>etc/motd && for i in $(seq 40); do stat none$i >/dev/null 2>&1; done; :',
      mountpoint!,
    );
    t.equal(done.status, 0, done.stderr);
    const { mounts, times, engines, engineDeaths } = await plyd.must<Stats>('GET', '/v1/stats');
    const [now] = mounts;
    t.equal(now.copiedUp.files, 1);
    t.equal(now.copiedUp.bytes, 'base\n'.length);
    t.ok(now.lookups.all - first.lookups.all >= 42, 'each name that was not known was asked for');
    t.ok(now.lookups.hits - first.lookups.hits >= 40, 'names that are nowhere are answered from the table');
    t.ok(now.lookups.hits < now.lookups.all, 'not all of them');
    t.equal(
      now.opens.passthrough + now.opens.served,
      (now.operations['OPEN'] ?? 0) + (now.operations['CREATE'] ?? 0),
      'every open is one or the other',
    );
    t.ok(now.operations['OPEN'] - (first.operations['OPEN'] ?? 0) >= 3);
    t.ok(now.directoriesRead >= 2);
    t.ok(now.nodesRead >= 3);
    t.match(engines, [{ answers: true, restarts: 0 }]);
    t.equal(engineDeaths, 0);
    const timed = times.find(({ operation }) => operation === 'LOOKUP');
    t.ok(timed !== undefined && timed.buckets.some((count) => count > 0) && timed.sumMs > 0, 'some were timed');

    const { text, headers } = await plyd.text('GET', '/v1/metrics');
    t.match(headers['content-type'], /^text\/plain; version=/);
    const found = series(text);
    const labels = `mount="${now.id.slice(0, 12)}",container="${id.slice(0, 12)}"`;
    t.equal(found.get(`plyfs_copied_up_bytes_total{${labels}}`), now.copiedUp.bytes);
    t.ok((found.get(`plyfs_operations_total{${labels},operation="LOOKUP"}`) ?? 0) >= now.lookups.all);
    t.equal(found.get(`plyfs_opens_total{${labels},how="passthrough"}`), now.opens.passthrough);
    t.equal(found.get('plyd_running_containers'), 1);
    t.equal(found.get('plyd_uppers'), 1);
    t.equal(found.get('plyd_objects'), 0, 'the layers are directories');
    const { layers } = await plyd.must<{ layers: Layer[] }>('GET', '/v1/layers');
    t.equal(
      found.get('plyd_layer_file_bytes{kind="directory"}'),
      layers.reduce((sum, { path }) => sum + fileBytes(path!), 0),
    );
    t.equal(found.get('plyd_api_requests_total{method="GET",route="/v1/stats",status="200"}'), 2);
    const buckets = [...found]
      .filter(([name]) => name.startsWith('plyfs_operation_seconds_bucket') && name.includes('"LOOKUP"'))
      .map(([, value]) => value);
    t.equal(buckets.length, 24);
    t.same(
      buckets,
      [...buckets].sort((a, b) => a - b),
      'buckets are cumulative',
    );
    t.equal(buckets.at(-1), found.get('plyfs_operation_seconds_count{operation="LOOKUP"}'));
  },
  ['--transport', TRANSPORT],
);

const OF_KIND: Readonly<Record<string, readonly string[]>> = {
  lookup: ['LOOKUP'],
  list: ['OPENDIR', 'READDIR', 'READDIRPLUS', 'RELEASEDIR'],
  open: ['OPEN', 'FLUSH', 'RELEASE'],
  read: ['READ', 'LSEEK'],
  write: ['WRITE', 'FSYNC', 'FSYNCDIR', 'FALLOCATE', 'COPY_FILE_RANGE', 'COPY_FILE_RANGE_64'],
};
/** So many requests of a kind that one of them is timed. */
const ENOUGH = 60;

testWithPlyd('an engine that serves several mounts keeps the times of each', async (t, plyd) => {
  await plyd.image();
  for (const name of ['one', 'two', 'three']) await plyd.create('img', name);
  const [one, two, three] = [await plyd.begin('one'), await plyd.begin('two'), await plyd.begin('three')];
  const look = 'cd "$1" && for i in $(seq 400); do stat none$i >/dev/null 2>&1; done; :';
  t.equal((await sh(look, one.mountpoint!)).status, 0);
  const list = 'cd "$1" && for i in $(seq 80); do mkdir d$i && echo d$i/* || exit; done >/dev/null';
  t.equal((await sh(list, three.mountpoint!)).status, 0);
  const sync = 'cd "$1" && for i in $(seq 80); do sync etc/motd || exit; done';
  t.equal((await sh(sync, two.mountpoint!)).status, 0);
  const change = 'cd "$1" && for i in $(seq 40); do mkdir d$i && chmod 700 d$i && touch -d @1 d$i && rmdir d$i || exit; done';
  t.equal((await sh(change, two.mountpoint!)).status, 0);
  const timed = ({ buckets }: { buckets: number[] }): number => buckets.reduce((sum, count) => sum + count, 0);
  const sum = (list: readonly { buckets: number[] }[]): number => list.reduce((all, one) => all + timed(one), 0);
  let stats = await plyd.must<Stats>('GET', '/v1/stats');
  await until('the times of all mounts together to be those by operation', async () => {
    stats = await plyd.must<Stats>('GET', '/v1/stats'); // what the kernel sends on its own may still come
    return sum(stats.times) === sum(stats.mounts.flatMap(({ times }) => times));
  });
  const { mounts, engines } = stats;
  t.equal(engines.length, 1, 'one engine has them all');
  const of = (container: string, kind: string): number => {
    const found = mounts.find((one) => one.container === container)!.times.find((one) => one.kind === kind);
    return found === undefined ? 0 : timed(found);
  };
  t.ok(of(one.id, 'lookup') >= 5, 'the names that were asked for');
  t.ok(of(two.id, 'change') >= 1, 'what was changed');
  t.equal(of(one.id, 'change'), 0, 'which the other mount knows nothing of');

  const often = new Set<string>();
  for (const { container, operations } of mounts)
    for (const [kind, names] of Object.entries(OF_KIND)) {
      const served = names.reduce((all, name) => all + (operations[name] ?? 0), 0);
      const times = of(container!, kind);
      t.ok(times <= served && (times > 0 || served < ENOUGH), `${kind}: ${times} of ${served}`);
      if (served >= ENOUGH) often.add(`${kind} of ${[one, two, three].findIndex(({ id }) => id === container) + 1}`);
    }
  t.ok(
    ['lookup of 1', 'open of 2', 'write of 2', 'list of 3'].every((what) => often.has(what)),
    [...often].join(),
  );

  const found = series((await plyd.text('GET', '/v1/metrics')).text);
  const labels = `mount="${mounts.find(({ container }) => container === two.id)!.id.slice(0, 12)}",container="${two.id.slice(0, 12)}",kind="change"`;
  t.equal(found.get(`plyfs_mount_operation_seconds_count{${labels}}`), of(two.id, 'change'));
  const buckets = [...found].filter(([name]) => name.startsWith('plyfs_mount_operation_seconds_bucket') && name.includes(labels));
  t.equal(buckets.length, 13);
  t.equal(buckets.at(-1)![1], of(two.id, 'change'));
});

testWithPlyd("engines' lines have the id of the mount as plyd's have", async (t, plyd) => {
  await plyd.image();
  await plyd.create('img', 'one');
  await plyd.begin('one');
  const [{ id }] = await plyd.mounts();
  const ofEngine = (msg: string): object[] => plyd.lines().filter((line) => line.name === 'plyfs-engine' && line.msg === msg);
  t.match(ofEngine('mounted'), [{ mount: id }]);
  await plyd.end('one');
  await until('the engine to say so', () => ofEngine('unmounted').length > 0);
  t.match(ofEngine('unmounted'), [{ mount: id }]);
  await plyd.begin('one');
  const [again] = await plyd.mounts();
  t.not(again.id, id);
  t.match(ofEngine('mounted'), [{ mount: id }, { mount: again.id }]);
});

testWithPlyd('a mount in the place of one that is gone begins at 0', async (t, plyd) => {
  await plyd.image();
  await plyd.create('img', 'one');
  const { mountpoint } = await plyd.begin('one');
  await sh('cd "$1" && for i in $(seq 200); do stat none$i >/dev/null 2>&1; done', mountpoint!);
  const [{ lookups }] = (await plyd.must<Stats>('GET', '/v1/stats')).mounts;
  t.ok(lookups.all >= 200);
  await plyd.end('one');
  await plyd.begin('one');
  const [again] = (await plyd.must<Stats>('GET', '/v1/stats')).mounts;
  t.ok(again.lookups.all < 200, String(again.lookups.all));
});

testWithPlyd('the death of an engine is counted, and plyd is ready again when its mounts are', async (t, plyd) => {
  t.same(await plyd.must('GET', '/v1/healthz'), { alive: true });
  t.same(await plyd.must('GET', '/v1/readyz'), { ready: true });
  await plyd.image();
  await plyd.create('img', 'one');
  await plyd.begin('one');
  process.kill(plyd.engines()[0], 'SIGKILL');
  await until('a new engine', async () => (await plyd.must<Stats>('GET', '/v1/stats')).engineDeaths === 1, 30_000);
  await until('ready', async () => (await plyd.request('GET', '/v1/readyz')).status === 200, 60_000);
  const { engines } = await plyd.must<Stats>('GET', '/v1/stats');
  t.match(engines, [{ restarts: 1, answers: true }]);
});

testWithPlyd('plyd is not ready while an engine does not answer, or a part of the store is gone, and says so', async (t, plyd) => {
  fs.renameSync(`${plyd.root}/layers`, `${plyd.root}/layers.away`);
  t.match(await plyd.refused('GET', '/v1/readyz'), { status: 503, code: 'unavailable', message: /layers cannot be used: ENOENT/ });
  fs.renameSync(`${plyd.root}/layers.away`, `${plyd.root}/layers`);
  await plyd.image();
  await plyd.create('img', 'one');
  await plyd.begin('one');
  const [engine] = plyd.engines();
  process.kill(engine, 'SIGSTOP');
  try {
    t.match(await plyd.refused('GET', '/v1/readyz'), { status: 503, message: new RegExp(`engine ${engine} does not answer`) });
    t.same(await plyd.must('GET', '/v1/healthz'), { alive: true });
    t.match(await plyd.must('GET', '/v1/stats'), { engines: [{ pid: engine, answers: false }], mounts: [] });
  } finally {
    process.kill(engine, 'SIGCONT');
  }
  await until('ready again', async () => (await plyd.request('GET', '/v1/readyz')).status === 200, 30_000);
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

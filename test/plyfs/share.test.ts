/** Who serves what plyfs mounts: plyd, or an engine that the mounts of one user share. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { Mount } from '../../daemon/api/types.js';
import { CANNOT, kill, leftBehind, Plyd, sh, testWithPlyd, until } from '../plyd/daemon.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { type Finished, mountAt, mounts, must, run, tearAway } from '../support/mounts.js';
import { plyfsBinary } from '../support/targets.js';

const COMPILED = path.resolve(__dirname, '../..');
const LIMIT_MS = 20_000;

/** Two layers, uppers, mountpoints, and a runtime directory. */
class Place {
  readonly base = temporaryDirectory();
  readonly socket = path.join(this.base, 'run', 'ply.sock');

  constructor() {
    for (const name of ['a', 'b']) fs.mkdirSync(this.at(name));
    fs.writeFileSync(this.at('a/top'), 'of a\n');
    fs.writeFileSync(this.at('b/low'), 'of b\n');
  }

  at(name: string): string {
    return path.join(this.base, name);
  }

  /** Mounts at the mountpoint of that name; `with` is what plyfs is to be run by. */
  async plyfs(name: string, more = '', socket = this.socket, by: string[] = []): Promise<Finished> {
    for (const one of [name, `${name}.u`, `${name}.w`]) fs.mkdirSync(this.at(one), { recursive: true });
    const options = `lowerdir=a:b,upperdir=${name}.u,workdir=${name}.w${more}`;
    const [command, ...args] = [...by, plyfsBinary, '-o', options, name];
    return run(command, args, { cwd: this.base, timeoutMs: LIMIT_MS, env: { ...process.env, PLY_SOCKET: socket } });
  }

  cat(name: string): Promise<Finished> {
    return run('cat', [this.at(name)], { timeoutMs: LIMIT_MS });
  }

  /** Engines that can be found, and those that cannot. */
  engines(): { shared: number[]; own: number[] } {
    const found = { shared: [] as number[], own: [] as number[] };
    for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      const command = readOrEmpty(`/proc/${pid}/cmdline`);
      if (!command.includes('daemon/engine/main.js') || !command.includes(this.base)) continue;
      (command.includes(`--rendezvous=${this.base}`) ? found.shared : found.own).push(Number(pid));
    }
    return found;
  }

  async end(): Promise<void> {
    for (const { point } of mounts().filter((one) => one.point.startsWith(`${this.base}/`))) await tearAway(point);
    await until('the end of the engines', () => Object.values(this.engines()).flat().length === 0).catch(() => undefined);
    for (const pid of Object.values(this.engines()).flat()) kill(pid);
    await removeDirectory(this.base);
  }
}

function readOrEmpty(file: string): string {
  try {
    return fs.readFileSync(file, 'latin1');
  } catch {
    return ''; // it ended
  }
}

function testInPlace(name: string, body: (t: Test, place: Place) => Promise<void>): void {
  void t.test(name, { skip: CANNOT ?? false }, async (t) => {
    const place = new Place();
    try {
      await body(t, place);
    } finally {
      await place.end();
    }
  });
}

testInPlace('mounts share an engine, which outlives every plyfs and ends with the last of them', async (t, place) => {
  for (const name of ['m1', 'm2', 'm3']) t.match(await place.plyfs(name), { status: 0, stdout: '', stderr: '' });
  const { shared, own } = place.engines();
  t.equal(shared.length, 1);
  t.same(own, []);
  for (const name of ['m1', 'm2', 'm3']) {
    t.match(await place.cat(`${name}/top`), { stdout: 'of a\n' });
    t.equal((await sh('echo "$2" >"$1/own"', place.at(name), name)).status, 0);
  }
  t.equal(fs.readFileSync(place.at('m2.u/own'), 'utf8'), 'm2\n', 'each writes to its own upper');
  for (const name of ['m1', 'm2']) await must('umount', [place.at(name)]);
  t.match(await place.cat('m3/own'), { stdout: 'm3\n' });
  t.same(place.engines().shared, shared);
  await must('umount', [place.at('m3')]);
  await until('its end', () => place.engines().shared.length === 0);
  t.same(
    fs.readdirSync(place.at('run/engines')).filter((name) => name.endsWith('.sock')),
    [],
    'its socket goes with it',
  );
});

testInPlace('several plyfs at once start one engine', async (t, place) => {
  const names = ['m1', 'm2', 'm3', 'm4', 'm5'];
  t.same(
    (await Promise.all(names.map((name) => place.plyfs(name)))).map(({ status }) => status),
    names.map(() => 0),
  );
  t.equal(place.engines().shared.length, 1);
  t.same(place.engines().own, []);
  for (const name of names) t.match(await place.cat(`${name}/low`), { stdout: 'of b\n' });
});

testInPlace('the upper and work directory of another mount are refused, whichever engine has it', async (t, place) => {
  for (const first of ['', ',workers=1']) {
    t.match(await place.plyfs('m1', first), { status: 0, stderr: '' });
    for (const second of ['', ',workers=1'])
      t.match(await place.plyfs('m1', second), { status: 1, stderr: /^plyfs: upperdir is in use by another mount: / });
    t.match(await place.cat('m1/top'), { stdout: 'of a\n' }, 'and the first one is as it was');
    await must('umount', [place.at('m1')]);
    t.match(await place.plyfs('m1', first), { status: 0, stderr: '' }, 'at once when it is unmounted');
    await must('umount', [place.at('m1')]);
  }
});

testInPlace('with index=off that is let through, as overlayfs has it', async (t, place) => {
  t.match(await place.plyfs('m1', ',index=off'), { status: 0, stderr: '' });
  t.match(await place.plyfs('m1', ',index=off'), { status: 0, stderr: '' });
  for (let i = 0; i < 2; i++) await must('umount', [place.at('m1')]);
});

testInPlace('an engine that was killed is no hindrance to the next mount', async (t, place) => {
  await place.plyfs('m1');
  const [first] = place.engines().shared;
  kill(first);
  await until('its end', () => place.engines().shared.length === 0);
  t.match(await place.cat('m1/top'), { status: 1, stderr: /not connected|connection abort|Operation canceled/ }); // the last over io_uring
  t.match(await place.plyfs('m2'), { status: 0, stderr: '' });
  t.match(await place.cat('m2/top'), { stdout: 'of a\n' });
  t.not(place.engines().shared[0], first);
});

testInPlace('an engine that does not answer is passed over', async (t, place) => {
  await place.plyfs('m1');
  const [first] = place.engines().shared;
  process.kill(first, 'SIGSTOP');
  try {
    t.match(await place.plyfs('m2'), { status: 0, stderr: '' });
    t.match(await place.cat('m2/top'), { stdout: 'of a\n' });
    t.equal(place.engines().shared.length, 2);
  } finally {
    process.kill(first, 'SIGCONT');
  }
  t.match(await place.cat('m1/top'), { stdout: 'of a\n' }, 'it goes on with what it has');
});

testInPlace('SIGTERM to a shared engine unmounts what it serves, and nothing that is there by then', async (t, place) => {
  for (const name of ['m1', 'm2']) await place.plyfs(name);
  await must('umount', ['-l', place.at('m2')]);
  await must('mount', ['-t', 'tmpfs', 'mine', place.at('m2')]);
  process.kill(place.engines().shared[0], 'SIGTERM');
  await until('its end', () => place.engines().shared.length === 0);
  t.equal(mountAt(place.at('m1')), undefined);
  t.match(mountAt(place.at('m2')), { type: 'tmpfs' });
});

testInPlace('a mount that failed leaves the engine to the others', async (t, place) => {
  await place.plyfs('m1');
  fs.mkdirSync(place.at('bad.w'));
  fs.writeFileSync(place.at('bad.w/work'), '');
  t.match(await place.plyfs('bad'), { status: 1, stderr: /^plyfs: cannot open the directory "work" in workdir/ });
  t.equal(mountAt(place.at('bad')), undefined);
  t.match(await place.cat('m1/top'), { stdout: 'of a\n' });
  t.equal(place.engines().shared.length, 1);
});

testInPlace(
  'what is for one engine only has its own: -f, --log, workers, log_level; and where there is no place for sockets',
  async (t, place) => {
    await place.plyfs('shared');
    for (const [i, more] of [',workers=1', ',log_level=debug'].entries()) t.match(await place.plyfs(`own${i}`, more), { status: 0 });
    t.equal(place.engines().own.length, 2);
    t.equal(place.engines().shared.length, 1);
    fs.mkdirSync(place.at('open/engines'), { recursive: true });
    fs.chmodSync(place.at('open/engines'), 0o777);
    t.match(await place.plyfs('open-to-all', '', place.at('open/ply.sock')), { status: 0 }, 'a directory that others may write to');
    t.equal(place.engines().own.length, 3);
    t.same(fs.readdirSync(place.at('open/engines')), []);
  },
);

/** As the visitor is ahead of the engine, or the engine of one of its messages: each is a connection that the engine closed. */
const SENT_AWAY = /^sent away$|answered no more|^the engine has ended$/;

/** Goes to a rendezvous without the look at who answers, and says hello. */
const VISITOR = `
const [directory, at, blind] = process.argv.slice(1);
if (blind === 'blind') require(directory + '/daemon/runtime.js').isOurOwn = () => true;
const { meet } = require(directory + '/daemon/mounts/meet.js');
const { EngineChannel } = require(directory + '/daemon/mounts/engine-channel.js');
const say = (what) => { console.log(what); process.exit(); };
setTimeout(say, 10000, 'no end');
meet(at, 2000).then((fd) => {
  const channel = new EngineChannel(fd, { onEnd: () => say('sent away') });
  channel.ask({ type: 'hello' }).then(() => say('welcome'), (error) => say(error.message));
}, (error) => say(error.message));`;

testInPlace('an engine and whoever comes to it look at each other: uid and user namespace', async (t, place) => {
  await place.plyfs('m1');
  const directory = place.at('run/engines');
  const socket = path.join(
    directory,
    fs.readdirSync(directory).find((name) => name.endsWith('.sock'))!,
  );
  const visit = (by: string[], how: string): string => {
    const [command, ...args] = [...by, process.execPath, '-e', VISITOR, COMPILED, socket, how];
    const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 20_000 });
    return stdout.trim() || stderr;
  };
  t.equal(visit(['env'], 'blind'), 'welcome');
  t.match(visit(['unshare', '-U', '-r'], 'looking'), /another user or user namespace/);
  t.match(visit(['unshare', '-U', '-r'], 'blind'), SENT_AWAY);
  const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
  t.match(visit(nobody, 'blind'), /EACCES/, 'the directory is for nobody else');
  fs.chmodSync(directory, 0o755);
  fs.chmodSync(socket, 0o666);
  t.match(visit(nobody, 'looking'), /another user or user namespace/);
  t.match(visit(nobody, 'blind'), SENT_AWAY);
  t.match(await place.cat('m1/top'), { stdout: 'of a\n' });
});

// ---- plyd ----------------------------------------------------------------------------------------------------------------------------------------

function testWithBoth(name: string, body: (t: Test, place: Place, plyd: Plyd) => Promise<void>): void {
  testWithPlyd(name, async (t, plyd) => {
    const place = new Place();
    try {
      await body(t, place, plyd);
    } finally {
      await place.end();
    }
  });
}

testWithBoth('plyd serves what plyfs mounts, lists it, and knows when it is unmounted', async (t, place, plyd) => {
  t.match(await place.plyfs('m', ',volatile,frob', plyd.socket), { status: 0, stdout: '', stderr: '' });
  t.same(place.engines(), { shared: [], own: [] });
  t.match((await plyd.info()).engines, [{ mounts: 1 }]);
  const [mount] = await plyd.mounts();
  t.match(mount, {
    mountpoint: place.at('m'),
    lower: [place.at('a'), place.at('b')],
    upper: place.at('m.u'),
    work: place.at('m.w'),
    options: 'volatile,frob,fsname=plyfs',
    container: null,
    state: 'mounted',
  } satisfies Partial<Mount>);
  t.equal((await sh('cat "$1/top" && echo x >"$1/x"', place.at('m'))).stdout, 'of a\n');
  t.equal(fs.readFileSync(place.at('m.u/x'), 'utf8'), 'x\n');

  t.match(await place.plyfs('m', '', plyd.socket), { status: 1, stderr: /^plyfs: the upper or work directory is in use by the mount at / });
  t.match(await place.cat('m/top'), { stdout: 'of a\n' }, 'and the first one is as it was');

  await must('umount', [place.at('m')]);
  await until('plyd notices', async () => (await plyd.mounts()).length === 0);
  t.match(await place.plyfs('m', ',ro', plyd.socket), { status: 0, stderr: '' });
  t.match(await plyd.mounts(), [{ lower: [place.at('m.u'), place.at('a'), place.at('b')], upper: null }]);
  await plyd.must('DELETE', `/v1/mounts/${(await plyd.mounts())[0].id}`);
  t.equal(mountAt(place.at('m')), undefined, 'plyd can unmount it');
  t.match(await place.plyfs('m', '', plyd.socket), { status: 0, stderr: '' });
  t.equal(await plyd.stop(), 0);
  t.equal(mountAt(place.at('m')), undefined, 'and does at its end');
});

testWithBoth('what plyfs mounted comes back after the death of its engine, and after that of plyd', async (t, place, plyd) => {
  await place.plyfs('m', '', plyd.socket, []);
  const { events } = await plyd.listen();
  kill((await plyd.info()).engines[0].pid);
  await until('it is back', () => events.some(({ type }) => type === 'recover'));
  t.match(await place.cat('m/top'), { stdout: 'of a\n' });
  await plyd.stop('SIGKILL');
  t.match(await place.cat('m/top'), { stdout: 'of a\n' }, 'without a plyd it goes on');
  await plyd.start();
  t.match(await plyd.mounts(), [{ mountpoint: place.at('m'), state: 'mounted' }]);
  const [engine] = plyd.engines();
  await plyd.stop('SIGKILL');
  kill(engine);
  await plyd.start();
  t.match(await place.cat('m/top'), { stdout: 'of a\n' });
  t.match(await plyd.mounts(), [{ mountpoint: place.at('m'), state: 'mounted' }]);
});

testWithBoth('what plyd could not mount again is served by an engine beside it', async (t, place, plyd) => {
  const script = '"$0" "$@" && cat m/top && umount m';
  fs.mkdirSync(place.at('m'));
  const elsewhere = await place.plyfs('m', '', plyd.socket, ['unshare', '-m', 'sh', '-c', script]);
  t.match(elsewhere, { status: 0, stdout: 'of a\n', stderr: '' }, 'another mount namespace');
  t.same(await plyd.mounts(), []);
  t.same((await plyd.info()).engines, []);
  const odd = Buffer.from(`${place.base}/\xff`, 'latin1');
  fs.mkdirSync(odd);
  const bytes = String.raw`d=$(printf '\377'); "$0" -o "lowerdir=a" "$d" && cat "$d/top" && umount "$d"`;
  const named = await run('sh', ['-c', bytes, plyfsBinary], { cwd: place.base, env: { ...process.env, PLY_SOCKET: plyd.socket } });
  t.match(named, { status: 0, stdout: 'of a\n', stderr: '' }, 'a name that is no text');
  t.ok(plyd.lines().some(({ msg, why }) => /left to another engine/.test(msg) && /UTF-8/.test(String(why))));
  await until('the engines end', () => fs.readdirSync(path.join(plyd.base, 'engines')).every((name) => !name.endsWith('.sock')));
});

for (const point of ['take:row', 'take:served']) {
  testWithBoth(`plyd is killed while it takes a mount, at ${point}: plyfs goes elsewhere`, async (t, place, plyd) => {
    await plyd.stop();
    await plyd.start([], { PLYD_PAUSE_AT: point });
    const mounting = place.plyfs('m', '', plyd.socket);
    await until(point, () => readOrEmpty(plyd.pauses).includes(point));
    await plyd.stop('SIGKILL');
    t.match(await mounting, { status: 0, stdout: '', stderr: '' });
    t.match(await place.cat('m/top'), { stdout: 'of a\n' });
    await plyd.start();
    t.same(await plyd.mounts(), []);
    t.match(await place.cat('m/top'), { stdout: 'of a\n' }, 'the next plyd leaves it alone');
    await must('umount', [place.at('m')]);
    await until('the engine beside plyd ends', () =>
      fs.readdirSync(path.join(plyd.base, 'engines')).every((name) => !name.endsWith('.sock')),
    );
  });
}

testWithBoth('an engine is killed while plyd takes a mount: the mount comes back', async (t, place, plyd) => {
  await plyd.stop();
  await plyd.start([], { PLYD_PAUSE_AT: 'take:served' });
  const { events } = await plyd.listen();
  const mounting = place.plyfs('m', '', plyd.socket);
  await until('the pause', () => readOrEmpty(plyd.pauses).includes('take:served'));
  kill((await plyd.info()).engines[0].pid);
  await until('its end', () => events.some(({ type }) => type === 'engine.exit'));
  fs.rmSync(plyd.pauses);
  t.match(await mounting, { status: 0, stderr: '' });
  await until('it is back', () => events.some(({ type }) => type === 'recover'));
  t.match(await place.cat('m/top'), { stdout: 'of a\n' });
  t.match(await plyd.mounts(), [{ mountpoint: place.at('m'), state: 'mounted' }]);
});

const LONG = CANNOT ?? (process.env['PLYFS_TEST_LONG'] === '1' ? false : 'takes a minute: PLYFS_TEST_LONG=1');
void t.test('more mounts than an engine can serve: another one serves the rest', { skip: LONG }, async (t) => {
  const place = new Place();
  try {
    for (let i = 0; i < 256; i++) {
      const mounted = await place.plyfs(`m${i}`, ',ro');
      if (mounted.status !== 0) t.fail(`mount ${i}: ${mounted.stderr}`);
    }
    t.equal(place.engines().shared.length, 2);
    t.same(place.engines().own, []);
    for (const name of ['m0', 'm254', 'm255']) t.match(await place.cat(`${name}/top`), { stdout: 'of a\n' });
    await run(
      'umount',
      mounts().flatMap(({ point }) => (point.startsWith(`${place.base}/`) ? point : [])),
    );
    await until('the end of both', () => place.engines().shared.length === 0);
  } finally {
    await place.end();
  }
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

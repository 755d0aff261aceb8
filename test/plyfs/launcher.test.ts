/**
 * plyfs's launcher (native-bindings/launcher): with an engine that serves already it mounts without Node, and leaves everything else to the script.
 * Here `node` in PATH is a program that says that it was started.
 */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { kill, leftBehind, until } from '../plyd/daemon.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { type Finished, mountAt, mounts, must, run, tearAway } from '../support/mounts.js';
import { plyfsBinary } from '../support/targets.js';

const LIMIT_MS = 20_000;
const STARTED_NODE = 99;

class Place {
  readonly base = temporaryDirectory();

  constructor() {
    for (const name of ['a', 'b', 'run', 'bin', 'first', 'm']) fs.mkdirSync(this.at(name));
    fs.writeFileSync(this.at('a/top'), 'of a\n');
    fs.writeFileSync(this.at('b/low'), 'of b\n');
    fs.writeFileSync(this.at('bin/node'), `#!/bin/sh\necho "node: $*" >&2\nexit ${STARTED_NODE}\n`, { mode: 0o755 });
  }

  at(name: string): string {
    return path.join(this.base, name);
  }

  /** With the real Node: it starts the engine that the rest finds. */
  async engine(): Promise<void> {
    await must(plyfsBinary, ['-o', 'lowerdir=b', 'first'], { cwd: this.base, timeoutMs: LIMIT_MS, env: this.environment({}) });
  }

  private environment(more: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
    return { ...process.env, PLY_SOCKET: this.at('run/ply.sock'), ...more };
  }

  plyfs(...args: string[]): Promise<Finished> {
    const env = this.environment({ PATH: `${this.at('bin')}:${process.env['PATH']}` });
    return run(plyfsBinary, args, { cwd: this.base, timeoutMs: LIMIT_MS, env });
  }

  async upper(name: string): Promise<string> {
    for (const one of ['u', 'w']) await fs.promises.mkdir(this.at(`${name}.${one}`));
    return `upperdir=${name}.u,workdir=${name}.w`;
  }

  engines(): number[] {
    const pids = fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    return pids.filter((pid) => readOrEmpty(`/proc/${pid}/cmdline`).includes(`--rendezvous=${this.base}`)).map(Number);
  }

  async end(): Promise<void> {
    for (const { point } of mounts().filter((one) => one.point.startsWith(`${this.base}/`))) await tearAway(point);
    await until('the end of the engine', () => this.engines().length === 0).catch(() => this.engines().forEach((pid) => kill(pid)));
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
  void t.test(name, async (t) => {
    const place = new Place();
    try {
      await body(t, place);
    } finally {
      await place.end();
    }
  });
}

testInPlace('mounts without Node, in all forms of the command line', async (t, place) => {
  await place.engine();
  const upper = await place.upper('one');
  t.match(await place.plyfs('-o', `lowerdir=a:b,${upper}`, 'm'), { status: 0, stdout: '', stderr: '' });
  t.match(mountAt(place.at('m')), { type: 'fuse.plyfs' });
  await must('sh', ['-c', 'test "$(cat m/top m/low)" = "of a\nof b" && echo own >m/own'], { cwd: place.base, timeoutMs: LIMIT_MS });
  t.equal(fs.readFileSync(place.at('one.u/own'), 'utf8'), 'own\n');
  t.equal(place.engines().length, 1);
  await must('umount', [place.at('m')]);

  t.match(await place.plyfs('source', 'm', '-o', 'nosuid,nodev', '-olowerdir=a:b'), { status: 0, stderr: '' });
  t.match(fs.readFileSync('/proc/self/mountinfo', 'utf8'), new RegExp(`${place.at('m')} ro,nosuid,nodev.* fuse\\.plyfs source `));
  await must('umount', [place.at('m')]);

  t.match(await place.plyfs('-n', '-t', 'fuse.plyfs', '-o', `fsname=mine,ro,lowerdir=b,${upper}`, place.at('m')), {
    status: 0,
    stderr: '',
  });
  t.match(await run('cat', [place.at('m/own')], { timeoutMs: LIMIT_MS }), { stdout: 'own\n' }, 'with ro the upper is a layer');
  t.match(await run('touch', [place.at('m/new')], { timeoutMs: LIMIT_MS }), { status: 1 });
  await must('umount', [place.at('m')]);
});

testInPlace('the first one starts the engine, and nothing else of Node', async (t, place) => {
  const note = `echo "$1" >>${place.at('started')}\nexec ${process.execPath} "$@"\n`;
  fs.writeFileSync(place.at('bin/node'), `#!/bin/sh\n${note}`);
  const names = ['m1', 'm2', 'm3', 'm4'];
  for (const name of names) fs.mkdirSync(place.at(name));
  t.match(await place.plyfs('-o', 'lowerdir=a:b', 'm'), { status: 0, stdout: '', stderr: '' });
  t.match(fs.readFileSync(place.at('started'), 'utf8'), /^[^\n]*\/daemon\/engine\/main\.js\n$/);
  const [engine] = place.engines();
  for (const fd of [0, 1, 2]) t.equal(fs.readlinkSync(`/proc/${engine}/fd/${fd}`), '/dev/null');
  t.equal(fs.readlinkSync(`/proc/${engine}/cwd`), '/');
  t.equal(fs.readFileSync(`/proc/${engine}/stat`, 'latin1').split(') ')[1].split(' ')[3], `${engine}`, 'in a session of its own');
  await must('umount', [place.at('m')]);
  await until('its end', () => place.engines().length === 0);

  const several = await Promise.all(names.map((name) => place.plyfs('-o', 'lowerdir=a:b', name)));
  t.same(
    several.map(({ status }) => status),
    names.map(() => 0),
    'several at once',
  );
  t.equal(place.engines().length, 1);
});

testInPlace('names of any bytes', async (t, place) => {
  await place.engine();
  const odd = Buffer.from([0x78, 0xff, 0x0a, 0x3a, 0x22, 0x2c, 0x5c, 0xc3, 0xa9]);
  const target = Buffer.concat([Buffer.from(`${place.base}/`), odd, Buffer.from('m')]);
  fs.mkdirSync(Buffer.concat([Buffer.from(`${place.base}/`), odd]));
  fs.writeFileSync(Buffer.concat([Buffer.from(`${place.base}/`), odd, Buffer.from('/in')]), 'odd\n');
  fs.mkdirSync(target);
  // Node cannot hand such words on: printf makes them
  const octal = (bytes: Buffer): string => [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
  const escaped = Buffer.from(odd.toString('latin1').replace(/[\\:,"]/g, '\\$&'), 'latin1');
  const script = `"$1" -o "$(printf 'lowerdir=${octal(escaped)}')" "$(printf '${octal(odd)}m')" && cat "$(printf '${octal(odd)}m/in')"; s=$?; umount "$(printf '${octal(odd)}m')"; exit $s`;
  const env = { ...process.env, PLY_SOCKET: place.at('run/ply.sock'), PATH: `${place.at('bin')}:${process.env['PATH']}` };
  t.match(await run('sh', ['-c', script, 'sh', plyfsBinary], { cwd: place.base, timeoutMs: LIMIT_MS, env }), {
    status: 0,
    stdout: 'odd\n',
    stderr: '',
  });
});

testInPlace('what it does not do itself it leaves to the script, with nothing mounted', async (t, place) => {
  await place.engine();
  const upper = await place.upper('one');
  fs.mkdirSync(place.at('one.u/inner'));
  const left: Readonly<Record<string, string[]>> = {
    'no options': ['m'],
    help: ['--help'],
    foreground: ['-f', '-o', 'lowerdir=a', 'm'],
    'an engine of its own': ['-o', 'lowerdir=a,workers=1', 'm'],
    'an option that is wrong': ['-o', 'lowerdir=a,index=maybe', 'm'],
    'no such layer': ['-o', 'lowerdir=a:nothing', 'm'],
    'no such mountpoint': ['-o', 'lowerdir=a', 'nothing'],
    'a layer in the upper': ['-o', `lowerdir=one.u/inner,${upper}`, 'm'],
    'a work directory elsewhere': ['-o', 'lowerdir=a,upperdir=one.u,workdir=/dev/shm', 'm'],
    'a layer on a plyfs mount': ['-o', 'lowerdir=first', 'm'],
    'a third word': ['-o', 'lowerdir=a', 'm', 'm', 'm'],
  };
  for (const [what, args] of Object.entries(left)) {
    const { status, stderr } = await place.plyfs(...args);
    t.equal(status, STARTED_NODE, what);
    t.match(stderr, `cli/plyfs.js ${args.join(' ')}`, 'with the same command line');
    t.equal(mountAt(place.at('m')), undefined);
  }
});

testInPlace('nobody there, or somebody who hangs or dies', async (t, place) => {
  t.match(await place.plyfs('-o', 'lowerdir=a', 'm'), { status: STARTED_NODE });
  await place.engine();
  const [pid] = place.engines();
  process.kill(pid, 'SIGSTOP');
  t.match(await place.plyfs('-o', 'lowerdir=a', 'm'), { status: STARTED_NODE }, 'it waits no longer than for two seconds');
  process.kill(pid, 'SIGCONT');
  kill(pid);
  await until('its end', () => place.engines().length === 0);
  t.match(await place.plyfs('-o', 'lowerdir=a', 'm'), { status: STARTED_NODE }, 'its socket is still there');
  t.equal(mountAt(place.at('m')), undefined);
});

t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

/** Mounts through the driver fuse-native, the package from npm and the kernel's overlayfs as what they are compared with. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { Mount } from '../../daemon/api/types.js';
import { kill, leftBehind, type Plyd, sh, until as untilLimit } from '../plyd/daemon.js';
import { must, mountAt, run, unmount } from '../support/mounts.js';
import { testWithFuseNative, uninstall, withoutLibfuse } from './installed.js';
import { makeLayers, python, walk } from './tree.js';

const DRIVER = 'fuse-native';
const PATIENCE_MS = 60_000;
const PLY = path.resolve(__dirname, '../../bin/ply');

function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  return untilLimit(what, condition, PATIENCE_MS);
}

function ply(plyd: Plyd, ...args: string[]): Promise<string> {
  return must(PLY, ['--socket', plyd.socket, ...args]);
}

function directories(plyd: Plyd, ...names: string[]): string[] {
  return names.map((name) => {
    const made = path.join(plyd.base, name);
    fs.mkdirSync(made);
    return made;
  });
}

/** Two small layers, mounted at the first of the points. */
async function mountSmall(plyd: Plyd): Promise<{ point: string; mount: Mount }> {
  const [point, a, b] = directories(plyd, 'm', 'a', 'b');
  fs.writeFileSync(path.join(a, 'over'), 'a\n');
  fs.writeFileSync(path.join(b, 'over'), 'b\n');
  fs.writeFileSync(path.join(b, 'under'), 'under\n');
  const mount = await plyd.must<Mount>('POST', '/v1/mounts', { mountpoint: point, lower: [a, b], driver: DRIVER });
  return { point, mount };
}

async function shows(t: Test, point: string, what: string): Promise<void> {
  t.equal((await sh('cd "$1" && cat over under', point)).stdout, 'a\nunder\n', what);
}

testWithFuseNative('it shows what the kernel overlayfs shows', async (t, plyd) => {
  const [first, second] = await makeLayers(plyd.base);
  const [point, kernel] = directories(plyd, 'm', 'kernel');
  await ply(plyd, 'mount', '--driver', DRIVER, '-o', `lowerdir=${first}:${second}`, point);
  await must('mount', ['-t', 'overlay', 'overlay', '-o', `ro,lowerdir=${first}:${second}`, kernel]);
  try {
    const [ours, its] = [await walk(point), await walk(kernel)];
    t.equal(Object.keys(its.seen).length, 28, 'what whiteouts and an opaque directory leave');
    t.equal(its.seen['./usr/share/empty'].mtime < 0, true);
    its.seen['./usr/share/empty'].mtime = 0; // docs/compatibility.md
    t.same(ours.seen, its.seen, 'names, attributes to the millisecond, contents, targets, xattrs');
    t.same(ours.joined, its.joined, 'hard links have one inode number, and nothing else has');
    t.match((await sh('"$1/usr/bin/busybox" echo runs', point)).stdout, /runs/, 'a program on it runs');
    const sizes = (of: string): Promise<string> => must('stat', ['-f', '-c', '%b %S %l', of]);
    t.equal(await sizes(point), await sizes(first), 'statfs is that of the topmost layer');
  } finally {
    await unmount(kernel);
  }
  await ply(plyd, 'umount', point);
  t.equal(mountAt(point), undefined);
});

testWithFuseNative('names that are not UTF-8 are left out, and never lead to another file', async (t, plyd) => {
  const [point, layer] = directories(plyd, 'm', 'layer');
  const made = await python(
    `import os, sys
d = os.fsencode(sys.argv[1])
for n in (b'\\xff', b'\\xefx', b'caf\\xe9', '\\ufffd'.encode(), 'caf\\ufffd'.encode(), b'plain', b'\\xed\\xa0\\x80'): open(d + b'/' + n, 'wb').write(n)
os.mkdir(d + b'/dir\\xff'); open(d + b'/dir\\xff/inside', 'w').close()
os.symlink(b'caf\\xe9', d + b'/link'); os.setxattr(d + b'/plain', b'user.\\xe9', b'v')`,
    layer,
  );
  t.equal(made, '');
  await ply(plyd, 'mount', '--driver', DRIVER, '-o', `lowerdir=${layer}`, point);
  t.equal(await python('import os, sys; print(sorted(os.listdir(os.fsencode(sys.argv[1]))))', point), "[b'link', b'plain']");
  const opened = await python(
    `import os, sys
d = os.fsencode(sys.argv[1])
for n in (b'/\\xff', b'/caf\\xe9', '/caf\\ufffd'.encode(), b'/dir\\xff/inside', b'/\\xed\\xa0\\x80'):
    try: print(open(d + n, 'rb').read())
    except OSError as e: print(e.strerror)`,
    point,
  );
  t.equal(opened, Array(5).fill('No such file or directory').join('\n'));
  t.match(
    (await run('readlink', ['-v', path.join(point, 'link')])).stderr,
    /Invalid or incomplete multibyte/,
    'a target that cannot be told is an error',
  );
  await ply(plyd, 'umount', point);
});

testWithFuseNative('buffers that are too small for xattrs are ERANGE', async (t, plyd) => {
  const { point } = await mountSmall(plyd);
  await must('setfattr', ['-n', 'user.k', '-v', 'a longer value', path.join(plyd.base, 'a', 'over')]);
  const script = `
import ctypes, os, sys
libc, path, room = ctypes.CDLL(None, use_errno=True), os.fsencode(sys.argv[1]), ctypes.create_string_buffer(64)
for size in (0, 4, 64):
    print(libc.getxattr(path, b'user.k', room, size), libc.listxattr(path, room, size))
    if size == 4: print(os.strerror(ctypes.get_errno()))
print(libc.getxattr(path, b'user.none', room, 64), os.strerror(ctypes.get_errno()))`;
  t.equal(await python(script, path.join(point, 'over')), '14 7\n-1 -1\nNumerical result out of range\n14 7\n-1 No data available');
});

testWithFuseNative('it is listed with its driver, and nothing can be written', async (t, plyd) => {
  const { point, mount } = await mountSmall(plyd);
  await shows(t, point, 'usable when the request is answered');
  t.match(mount, { driver: DRIVER, state: 'mounted', upper: null });
  t.match(JSON.parse(await ply(plyd, 'mounts', '--json')), [{ driver: DRIVER, mountpoint: point }]);
  t.match((await plyd.info()).engines, [{ level: 1, workers: 1, mounts: 1 }]);
  for (const script of ['echo x >"$1/over"', 'mkdir "$1/d"', 'rm "$1/under"', 'chmod 600 "$1/over"', 'mv "$1/over" "$1/o"'])
    t.match((await sh(script, point)).stderr, /Read-only file system/, script);
  const [other] = directories(plyd, 'own');
  const own = await plyd.must<Mount>('POST', '/v1/mounts', { mountpoint: other, lower: [path.join(plyd.base, 'b')] });
  t.equal(own.driver, 'plyfs', 'another mount has plyfs');
  t.equal((await plyd.info()).engines.length, 2, 'and another engine');
});

testWithFuseNative('mount options that it can honour are honoured', async (t, plyd) => {
  const { point } = await mountSmall(plyd);
  const [m] = directories(plyd, 'm 2, with "odd" name');
  const lower = path.join(plyd.base, 'b');
  await ply(plyd, 'mount', '-o', `driver=${DRIVER},lowerdir=${lower},squash_to_uid=7,nosuid,noexec,fsname=a\\,b`, m);
  t.equal((await sh('stat -c %u "$1/under"', m)).stdout, '7\n');
  const line = fs
    .readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((one) => one.includes('with'));
  t.match(line, /ro,nosuid,noexec.* - fuse\.plyfs a,b /);
  const others = fs
    .readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((one) => one.includes(` ${point} `));
  t.notMatch(others, /nosuid|nodev/, 'as for all of root');
  await ply(plyd, 'umount', m);
});

testWithFuseNative('it ends with ply umount, with umount(8), and not while it is in use', async (t, plyd) => {
  const { point, mount } = await mountSmall(plyd);
  const sleeper = spawn('sleep', ['300'], { cwd: point, stdio: 'ignore' });
  t.teardown(() => sleeper.kill('SIGKILL'));
  await until('it sleeps there', () => fs.readlinkSync(`/proc/${sleeper.pid}/cwd`) === point);
  t.match(await plyd.refused('DELETE', `/v1/mounts/${mount.id}`), { code: 'busy', processes: [{ pid: sleeper.pid! }] });
  await shows(t, point, 'still');
  sleeper.kill('SIGKILL');
  await ply(plyd, 'umount', point);
  t.equal(mountAt(point), undefined);
  t.same(await plyd.mounts(), []);
  await until('its engine ends', () => plyd.engines().length === 0);

  const again = { mountpoint: point, lower: mount.lower, driver: DRIVER };
  await plyd.must('POST', '/v1/mounts', again);
  await shows(t, point, 'mounted again');
  await must('umount', [point]);
  await until('plyd knows', async () => (await plyd.mounts()).length === 0);
  await until('its engine ends', () => plyd.engines().length === 0);
  t.same(
    plyd.lines().filter(({ level }) => level >= 50),
    [],
    'no error',
  );
});

testWithFuseNative('an engine that is killed is started again, and mounts what it had', async (t, plyd) => {
  const { point } = await mountSmall(plyd);
  const { events, close } = await plyd.listen();
  t.teardown(close);
  const [engine] = plyd.engines();
  kill(engine);
  await until('it has recovered', () => events.some(({ type }) => type === 'recover'));
  await shows(t, point, 'as before');
  t.not(plyd.engines()[0], engine);
  t.same(await plyd.disagreements(), []);
});

testWithFuseNative('it outlives a plyd that is killed, and the next one adopts it', async (t, plyd, { modules }) => {
  const { point } = await mountSmall(plyd);
  const engines = plyd.engines();
  await plyd.stop('SIGKILL');
  await shows(t, point, 'without a plyd');
  await plyd.start([], { NODE_PATH: modules });
  t.same(plyd.engines(), engines);
  t.match(await plyd.mounts(), [{ mountpoint: point, driver: DRIVER, state: 'mounted' }]);
  await plyd.stop('SIGKILL');
  kill(engines[0]);
  await plyd.start([], { NODE_PATH: modules });
  await shows(t, point, 'mounted again after the death of both');
  t.same(await plyd.disagreements(), []);
  t.equal(await plyd.stop(), 0);
  t.equal(mountAt(point), undefined, "plyd's end is its end");
  t.same(plyd.engines(), []);
});

testWithFuseNative('mounts may lie on it, and it on others', async (t, plyd) => {
  const { point } = await mountSmall(plyd);
  const [above, top] = directories(plyd, 'above', 'top');
  await plyd.must('POST', '/v1/mounts', { mountpoint: above, lower: [point] });
  await plyd.must('POST', '/v1/mounts', { mountpoint: top, lower: [above], driver: DRIVER });
  await shows(t, top, 'through three');
  t.same((await plyd.info()).engines.map(({ level }) => level).sort(), [1, 2, 3]);
});

testWithFuseNative('where it cannot be mounted is told, and nothing stays', async (t, plyd) => {
  const { mount } = await mountSmall(plyd);
  const request = { lower: mount.lower, driver: DRIVER };
  const [tmpfs] = directories(plyd, 'tmpfs');
  await must('mount', ['-t', 'tmpfs', 'tmpfs', tmpfs]);
  try {
    t.match(await plyd.refused('POST', '/v1/mounts', { ...request, mountpoint: tmpfs }), {
      status: 422,
      message: /another file system is mounted there/,
    });
  } finally {
    await unmount(tmpfs);
  }
  const deep = path.join(plyd.base, ...(Array(5).fill('d'.repeat(250)) as string[]));
  fs.mkdirSync(deep, { recursive: true });
  t.match(await plyd.refused('POST', '/v1/mounts', { ...request, mountpoint: deep }), { status: 422, message: /longer than 1023 bytes/ });
  const long = { ...request, mountpoint: tmpfs, options: `fsname=${'n'.repeat(1000)}` };
  t.match(await plyd.refused('POST', '/v1/mounts', long), { status: 422, message: /fsname/ });
  await until('their engines end', () => plyd.engines().length === 1);
  t.same(await plyd.disagreements(), []);
});

testWithFuseNative('without libfuse 2 it says so', async (t, plyd, installed) => {
  await plyd.stop();
  await plyd.start([], { NODE_PATH: withoutLibfuse(installed, plyd.base) });
  const [point, layer] = directories(plyd, 'm', 'layer');
  const refused = await plyd.refused('POST', '/v1/mounts', { mountpoint: point, lower: [layer], driver: DRIVER });
  t.match(refused, { status: 422, code: 'unsupported', message: /libfuse 2 .* is missing: apt-get install libfuse2/ });
  t.same(await plyd.mounts(), []);
});

void t.test('nothing is left behind', async (t) => {
  await uninstall();
  t.same(await leftBehind(), []);
});

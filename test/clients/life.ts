/** What people do with podman and buildah, each step with what must come of it. The same for root and for an ordinary user. */
import fs from 'node:fs';
import t, { type Test } from 'tap';
import { leftBehind } from '../plyd/daemon.js';
import { smallContext } from './context.js';
import { Place, type Who, whyNot } from './place.js';

/** No names of hexadecimal digits: podman takes such for the beginning of an id. */
const STAY = 'trap "exit 0" TERM; while :; do sleep 1 & wait; done';
const MANY = 20;
const lines = (text: string): string[] => text.trim().split('\n').sort();

/** The whole test file. */
export function testLife(name: string, who: Who): void {
  void t.test(name, { skip: whyNot(who) ?? false }, async (t) => {
    const place = await Place.make(who);
    try {
      await t.test('build and run', (t) => builds(t, place));
      await t.test('diff, stop, start, commit, export, rm', (t) => changes(t, place));
      await t.test('import, save, load', (t) => movesImages(t, place));
      await t.test('--read-only, and directories mounted with :O', (t) => readOnlyAndOverlays(t, place));
      await t.test('twenty containers at once', (t) => manyAtOnce(t, place));
      await t.test('buildah', (t) => buildah(t, place));
    } finally {
      await place.end(t);
    }
  });
  void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));
}

/** Builds "img", which the rest needs. */
async function builds(t: Test, place: Place): Promise<void> {
  const context = smallContext(place);
  await place.build(context, 'img');
  t.equal(await place.podman('run', '--rm', 'img'), 'one\n', 'a multi-layer build, and a run of it');
  const root = await place.podman('run', '--rm', 'img', 'sh', '-c', 'head -n 1 /proc/self/mounts');
  t.match(root, /^plyfs \/ fuse\.plyfs rw/, 'on plyfs');
  t.match(await place.podman('info', '--format', '{{json .Store.GraphOptions}}'), /"Version":"plyfs 0\.\d+\.\d+/, 'which podman knows');
}

async function changes(t: Test, place: Place): Promise<void> {
  await place.podman('run', '-d', '--name', 'worker', 'img', 'sh', '-c', `echo new >/srv-new; rm /opt/two; echo more >>/opt/one; ${STAY}`);
  await place.podman('exec', 'worker', 'sh', '-c', 'until [ "$(cat /opt/one | wc -l)" = 2 ]; do sleep 0.1; done');
  t.same(
    lines(await place.podman('diff', 'worker')).filter((line) => !/ \/(etc|run|proc|dev|sys)/.test(line)),
    ['A /srv-new', 'C /opt', 'C /opt/one', 'D /opt/two'],
  );
  await place.podman('stop', '-t', '0', 'worker');
  await place.podman('start', 'worker');
  t.match(await place.podman('exec', 'worker', 'cat', '/srv-new'), /new/, 'what was written is there after stop and start');
  await place.podman('commit', '-q', 'worker', 'changed');
  t.equal(await place.podman('run', '--rm', 'changed', 'sh', '-c', 'cat /srv-new; ls /opt/two 2>&1; ls /opt'), await seen(place));
  await place.podman('export', '-o', place.at('home/c.tar'), 'worker');
  await place.podman('rm', '-f', '-t', '0', 'worker');
  t.equal(await place.podman('ps', '-aq'), '');
}

async function seen(place: Place): Promise<string> {
  return place.podman('exec', 'worker', 'sh', '-c', 'cat /srv-new; ls /opt/two 2>&1; ls /opt');
}

async function movesImages(t: Test, place: Place): Promise<void> {
  await place.podman('import', '-q', place.at('home/c.tar'), 'imported');
  t.match(await place.podman('run', '--rm', 'imported', 'cat', '/srv-new'), /new/, 'import');
  await place.podman('save', '-q', '-o', place.at('home/changed.tar'), 'changed');
  const id = await place.podman('image', 'inspect', '--format', '{{.Id}} {{json .RootFS.Layers}}', 'changed');
  await place.podman('rmi', '-f', 'changed');
  await place.podman('load', '-q', '-i', place.at('home/changed.tar'));
  t.equal(await place.podman('image', 'inspect', '--format', '{{.Id}} {{json .RootFS.Layers}}', 'changed'), id, 'save and load');
  t.match(await place.podman('run', '--rm', 'changed', 'cat', '/srv-new'), /new/);
}

async function readOnlyAndOverlays(t: Test, place: Place): Promise<void> {
  const readOnly = await place.run('podman', ['run', '--rm', '--read-only', 'img', 'sh', '-c', 'touch /x; cat /opt/one']);
  t.match(readOnly, { status: 0, stdout: 'one\n', stderr: /Read-only file system/ }, '--read-only');
  const source = place.own('source');
  fs.writeFileSync(`${source}/f`, 'below\n');
  const script = 'cat /src/f; echo over >/src/f; echo n >/src/n; cat /src/f; ls /src';
  const overlay = await place.podman('run', '--rm', '-v', `${source}:/src:O`, 'img', 'sh', '-c', script);
  t.equal(overlay, 'below\nover\nf\nn\n', '-v :O shows the directory, and takes changes');
  t.same([fs.readdirSync(source), fs.readFileSync(`${source}/f`, 'utf8')], [['f'], 'below\n'], 'which it keeps from it');
}

async function manyAtOnce(t: Test, place: Place): Promise<void> {
  const numbers = Array.from({ length: MANY }, (_, index) => index);
  const start = (number: number): Promise<string> =>
    place.podman('run', '-d', '--name', `many${number}`, 'img', 'sh', '-c', `echo ${number} >/number; ${STAY}`);
  await Promise.all(numbers.map(start));
  t.equal(lines(await place.podman('ps', '-q')).length, MANY, `${MANY} containers run at once`);
  const read = (number: number): Promise<string> =>
    place.podman('exec', `many${number}`, 'sh', '-c', 'until [ -s /number ]; do sleep 0.1; done; cat /number');
  for (const number of numbers) t.equal(await read(number), `${number}\n`);
  // one, but for a moment of such load that an engine is taken to hang
  t.ok(place.engines().length < MANY / 2, 'which share an engine');
  await place.podman('rm', '-af', '-t', '0');
}

async function buildah(t: Test, place: Place): Promise<void> {
  const context = smallContext(place);
  await place.must('buildah', 'bud', '-q', '--isolation=chroot', '--layers', '-t', 'built', context);
  const name = (await place.must('buildah', 'from', '-q', 'built')).trim();
  t.equal(await place.must('buildah', 'run', '--isolation=chroot', name, 'cat', '/opt/one'), 'one\n', 'run');
  await place.must('buildah', 'run', '--isolation=chroot', name, 'sh', '-c', 'rm /opt/two && echo two >/opt/three');
  fs.writeFileSync(place.at('home/copied'), 'copied\n');
  await place.must('buildah', 'copy', '-q', name, place.at('home/copied'), '/copied');
  await place.must('buildah', 'config', '--cmd', 'cat /opt/three /copied', name);
  await place.must('buildah', 'commit', '-q', '--rm', name, 'committed');
  t.equal(await place.podman('run', '--rm', 'committed'), 'two\ncopied\n', 'commit, and podman runs it');
  t.same(lines(await place.podman('run', '--rm', 'committed', 'ls', '/opt')), ['copy', 'dangling', 'old', 'one', 'pipe', 'three']);
  const mounted =
    'm=$(buildah from -q committed) && p=$(buildah mount $m) && cat "$p/opt/three" && buildah umount $m >/dev/null && buildah rm $m >/dev/null';
  const unshare = place.who === 'root' ? ['sh', '-ec', mounted] : ['buildah', 'unshare', 'sh', '-ec', mounted];
  t.equal(await place.must(unshare[0], ...unshare.slice(1)), 'two\n', 'mount');
}

/** The life of containers and mounts, over the real socket. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { Change, Mount } from '../../daemon/api/types.js';
import { leftBehind, sh, testWithPlyd, until } from './daemon.js';
import { must as command } from '../support/mounts.js';

testWithPlyd('a container lives: created, started, changed, stopped, started again, removed', async (t, plyd) => {
  const image = await plyd.image();
  const { events } = await plyd.listen();

  const like = path.join(plyd.base, 'top');
  await command('touch', ['-a', '-d', '@1600000001.123456789', like]);
  await command('touch', ['-m', '-d', '@1600000002.987654321', like]);
  await command('chmod', ['2751', like]);
  await command('chown', ['7:8', like]);
  await command('setfattr', ['-n', 'user.note', '-v', 'of the layer', like]);
  const created = await plyd.create('img', 'one');
  const attributes = (of: string): Promise<string> => command('stat', ['-c', '%a %u:%g %.9X %.9Y', of]);
  t.equal(await attributes(created.upper), await attributes(like), 'its root directory is like the topmost layer, to the nanosecond');
  t.match(await command('getfattr', ['-n', 'user.note', created.upper]), /user.note="of the layer"/);
  t.match(created, { name: 'one', image: image.id, imageName: 'img', state: 'created', startedAt: null, mountpoint: null, error: null });
  t.match(await plyd.must('GET', '/v1/images/img'), { containers: 1 });

  const started = await plyd.begin('one');
  t.equal(started.state, 'running');
  t.equal(started.mountpoint, path.join(plyd.root, 'containers', created.id, 'merged'));
  const point = started.mountpoint!;
  t.same(await plyd.begin('one'), started, 'starting it again changes nothing');
  t.same(await plyd.disagreements(), []);

  const shown = await sh('cd "$1" && cat etc/motd etc/hosts && sh usr/bin/tool', point);
  t.equal(shown.stdout, 'base\nlocalhost of the top\ntool\n', 'both layers show');
  const written = await sh('cd "$1" && echo new >etc/new && rm etc/motd && rm -r var/old && echo more >>usr/lib/libc', point);
  t.equal(written.status, 0, written.stderr);

  const { changes } = await plyd.must<{ changes: Change[] }>('GET', '/v1/containers/one/diff');
  t.same(
    changes.map(({ kind, path }) => `${kind} ${path}`),
    ['C /etc', 'D /etc/motd', 'A /etc/new', 'C /usr', 'C /usr/lib', 'C /usr/lib/libc', 'C /var', 'D /var/old'],
  );
  const { size } = await plyd.must<{ size: { bytes: number; files: number; whiteouts: number } }>('GET', '/v1/containers/one?size=true');
  t.match(size, { files: 2, whiteouts: 2 });
  const du = await command('du', ['-s', '--block-size=1', created.upper]);
  t.equal(size.bytes, Number(du.split('\t')[0]), 'the bytes are what du finds');
  t.notOk('size' in (await plyd.container('one')), 'nobody pays for a size that is not asked for');

  const stopped = await plyd.end('one');
  t.match(stopped, { state: 'stopped', mountpoint: null });
  t.same(await plyd.end('one'), stopped, 'stopping it again changes nothing');
  t.same(plyd.mounted(), []);
  t.same(await plyd.must('GET', '/v1/containers/one/diff'), { changes }, 'the changes of a stopped container are still there');

  await plyd.begin('one');
  t.equal((await sh('cat "$1/etc/new"', point)).stdout, 'new\n', 'what was written is still there');
  t.match(await plyd.refused('DELETE', '/v1/containers/one'), { status: 409, code: 'conflict', message: /running.*stop/s });
  await plyd.remove('one', true);
  t.same(await plyd.containers(), []);
  t.same(fs.readdirSync(path.join(plyd.root, 'containers')), [], 'its directories are gone');
  t.same(await plyd.disagreements(), []);
  t.match(await plyd.refused('GET', '/v1/containers/one'), { status: 404, code: 'not-found' });

  await until('the events', () => events.some(({ type }) => type === 'container.rm'));
  t.same(
    events.map(({ type }) => type).filter((type) => type.startsWith('container')),
    ['container.create', 'container.start', 'container.stop', 'container.start', 'container.stop', 'container.rm'],
  );
});

testWithPlyd('what cannot be is refused, with the reason and what is like it', async (t, plyd) => {
  await plyd.image();
  await plyd.create('img', 'apple');
  t.match(await plyd.refused('POST', '/v1/containers', { image: 'img', name: 'apple' }), {
    status: 409,
    code: 'conflict',
    message: /apple/,
  });
  t.match(await plyd.refused('POST', '/v1/containers', { image: 'imgg' }), { status: 404, code: 'not-found', near: ['img'] });
  t.match(await plyd.refused('POST', '/v1/containers', { image: 'img', name: 'a/b' }), { status: 400, code: 'bad-request' });
  t.match(await plyd.refused('POST', '/v1/containers', { image: 'img', options: 'lowerdir=/etc' }), { status: 400, code: 'bad-request' });
  t.match(await plyd.refused('POST', '/v1/containers', { image: 'img', options: 'passthrough=some' }), {
    status: 400,
    message: /passthrough/,
  });
  t.match(await plyd.refused('POST', '/v1/containers/aple/start'), { status: 404, near: ['apple'] });
  t.match(await plyd.refused('DELETE', '/v1/images/img'), { status: 409, code: 'in-use', by: ['apple'] });
  t.match(await plyd.refused('DELETE', '/v1/layers/top'), { status: 409, code: 'in-use', by: ['img'] });
  t.match(await plyd.refused('POST', '/v1/layers', { path: '/nowhere/at/all' }), { status: 400, message: /nowhere/ });
  t.match(await plyd.refused('POST', '/v1/layers', { path: 'relative' }), { status: 400, message: /absolute/ });
  t.equal((await plyd.containers()).length, 1, 'and nothing was made');
  t.equal(fs.readdirSync(path.join(plyd.root, 'containers')).length, 1);
  fs.renameSync(path.join(plyd.base, 'top'), path.join(plyd.base, 'moved'));
  t.match(await plyd.refused('POST', '/v1/containers/apple/start'), { status: 400, message: /top.*does not exist/s });
  t.match(await plyd.container('apple'), { state: 'created' });
  fs.renameSync(path.join(plyd.base, 'moved'), path.join(plyd.base, 'top'));
  await plyd.begin('apple');
  t.same(await plyd.disagreements(), []);
});

testWithPlyd('a busy container names who uses it; detaching works all the same', async (t, plyd) => {
  await plyd.image();
  await plyd.create('img', 'busy');
  const { mountpoint } = await plyd.begin('busy');
  const sleeper = spawn('sleep', ['60'], { cwd: mountpoint!, stdio: 'ignore' });
  t.teardown(() => sleeper.kill('SIGKILL'));
  const refused = await plyd.refused('POST', '/v1/containers/busy/stop');
  t.match(refused, { status: 409, code: 'busy', processes: [{ pid: sleeper.pid!, command: 'sleep' }] });
  t.match(refused.message, new RegExp(`sleep \\(pid ${sleeper.pid}\\)`));
  t.match(await plyd.container('busy'), { state: 'running' });
  t.same(await plyd.disagreements(), []);

  t.match(await plyd.must('POST', '/v1/containers/busy/stop?lazy=true'), { state: 'stopped' });
  t.same(plyd.mounted(), []);
  const again = await plyd.refused('POST', '/v1/containers/busy/start');
  t.match(again, { status: 409, code: 'busy', processes: [{ pid: sleeper.pid! }] }, 'two mounts would share an upper');
  t.same(await plyd.disagreements(), []);
  sleeper.kill('SIGKILL');
  await until('it can be started again', async () => (await plyd.request('POST', '/v1/containers/busy/start')).status === 200);
  t.same(await plyd.disagreements(), []);

  const holder = spawn('sleep', ['60'], { cwd: mountpoint!, stdio: 'ignore' });
  t.teardown(() => holder.kill('SIGKILL'));
  await plyd.remove('busy', true);
  t.same(await plyd.containers(), [], 'force removes what is in use');
  holder.kill('SIGKILL');
});

testWithPlyd('a container that is unmounted by another program is stopped', async (t, plyd) => {
  await plyd.image();
  const { events } = await plyd.listen();
  await plyd.create('img', 'c');
  const { mountpoint } = await plyd.begin('c');
  await command('umount', [mountpoint!]);
  await until('it is stopped', async () => (await plyd.container('c')).state === 'stopped');
  t.same(await plyd.disagreements(), []);
  t.match(
    events.find(({ type }) => type === 'container.stop'),
    { detail: /another program/ },
  );
  await plyd.begin('c');
  t.same(await plyd.disagreements(), []);
});

testWithPlyd('mounts without a container: made, listed, refused where they would do harm, unmounted', async (t, plyd) => {
  await plyd.image();
  const at = (name: string): string => path.join(plyd.base, name);
  for (const name of ['m', 'm2', 'm3', 'up,per:1', 'work']) fs.mkdirSync(at(name));
  fs.symlinkSync('m', at('link'));
  const request = { mountpoint: at('link'), lower: [at('top'), at('base')], upper: at('up,per:1'), work: at('work') };
  const mount = await plyd.must<Mount>('POST', '/v1/mounts', request);
  t.match(mount, { mountpoint: at('m'), lower: request.lower, upper: request.upper, container: null, state: 'mounted' });
  t.equal((await sh('cat "$1/etc/motd" && echo x >"$1/x"', at('m'))).stdout, 'base\n');
  t.ok(fs.existsSync(path.join(at('up,per:1'), 'x')), 'a comma and a colon in a path are no separators');
  t.match(await plyd.refused('POST', '/v1/mounts', request), { status: 409, code: 'conflict' });
  t.match(await plyd.refused('POST', '/v1/mounts', { ...request, mountpoint: at('m2') }), {
    status: 409,
    code: 'in-use',
    message: /upper/,
  });
  t.match(await plyd.refused('POST', '/v1/mounts', { mountpoint: at('m2'), lower: [at('top')], upper: at('work') }), { status: 400 });
  t.match(await plyd.refused('POST', '/v1/mounts', { mountpoint: 'm2', lower: [at('top')] }), { status: 400, message: /absolute/ });
  t.match(await plyd.refused('POST', '/v1/mounts', { mountpoint: at('nowhere'), lower: [at('top')] }), { status: 400, message: /nowhere/ });

  // A mount whose layer lies on another one gets an engine of its own.
  const upon = await plyd.must<Mount>('POST', '/v1/mounts', { mountpoint: at('m2'), lower: [at('m')] });
  t.equal((await sh('cat "$1/x"', at('m2'))).stdout, 'x\n');
  const { engines } = await plyd.info();
  t.same(engines.map(({ level, mounts }) => [level, mounts]).sort(), [
    [1, 1],
    [2, 1],
  ]);
  t.match(await plyd.refused('DELETE', `/v1/mounts/${mount.id}`), { status: 409, code: 'busy' }, 'its engine holds it');
  t.same(await plyd.must('DELETE', `/v1/mounts/${upon.id}`), undefined);
  await plyd.must('DELETE', `/v1/mounts/${mount.id.slice(0, 12)}`);
  t.same(await plyd.mounts(), []);
  t.same(await plyd.disagreements(), []);

  await plyd.create('img', 'c');
  await plyd.begin('c');
  const [own] = await plyd.mounts();
  t.match(await plyd.refused('DELETE', `/v1/mounts/${own.id}`), { status: 409, code: 'in-use', by: ['c'] });
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

/** Each verb: the requests it makes, and what it says when they are done. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { containers, failure, images, layers, mounts, ply, nothingLeft, StandIn } from './stand-in.js';

let plyd: StandIn;
t.beforeEach(async () => {
  plyd = await StandIn.listen();
});
t.afterEach(async () => {
  await plyd.end();
});
t.teardown(nothingLeft);

const A = 'a'.repeat(64);
const [web1] = containers();

t.test('what is asked for is what is sent', async (t) => {
  plyd
    .on('POST /mounts', { status: 201, body: mounts()[1] })
    .on('GET /mounts', { body: { mounts: mounts() } })
    .on(`DELETE /mounts/${'8'.repeat(64)}`, { status: 204 })
    .on(`DELETE /mounts/${'8'.repeat(64)}?lazy=true`, { status: 204 })
    .on('POST /layers', { status: 201, body: layers()[0] })
    .on('DELETE /layers/app', { status: 204 })
    .on('POST /layers/app/verify', { body: { ok: true, changed: [], added: [], removed: [] } })
    .on('POST /images', { status: 201, body: images()[0] })
    .on('POST /images/web/tag', { body: images()[0] })
    .on('DELETE /images/web', { body: { id: A, untagged: ['web'], removed: true } })
    .on('POST /containers', { status: 201, body: web1 })
    .on('POST /containers/web1/start', { body: web1 })
    .on('POST /containers/web1/stop', { body: web1 })
    .on('POST /containers/a%2Fb/stop?lazy=true', { body: web1 })
    .on('DELETE /containers/web1', { status: 204 })
    .on('DELETE /containers/web1?force=true', { status: 204 });
  const rows: [command: string, sent: string, shown: string][] = [
    ['mount -o lowerdir=/a:/b /m', 'POST /mounts {"mountpoint":"/m","lower":["/a","/b"]}', '8'.repeat(64)],
    [
      String.raw`mount -olowerdir=/a\:b:/c"c":/d\,e,ro -o upperdir=/u,workdir=/w,fsname="x,y" /m/../n`,
      String.raw`POST /mounts {"mountpoint":"/n","lower":["/a:b","/c\"c\"","/d,e"],"upper":"/u","work":"/w","options":"ro,fsname=\"x,y\""}`,
      '8'.repeat(64),
    ],
    ['umount /mnt/data/', `DELETE /mounts/${'8'.repeat(64)}`, '/mnt/data/'],
    ['umount -l 8888', `DELETE /mounts/${'8'.repeat(64)}?lazy=true`, '8888'],
    ['layer add /srv/app --name app', 'POST /layers {"path":"/srv/app","name":"app"}', 'e'.repeat(64)],
    ['layer rm app', 'DELETE /layers/app', 'app'],
    ['layer verify app', 'POST /layers/app/verify {}', 'app: as it was'],
    ['image create web app base', 'POST /images {"name":"web","layers":["app","base"]}', '1'.repeat(64)],
    ['tag web web:1.2', 'POST /images/web/tag {"name":"web:1.2"}', '1'.repeat(64)],
    ['image rm web', 'DELETE /images/web', `Untagged: web\nRemoved: ${A}`],
    ['rmi web', 'DELETE /images/web', `Untagged: web\nRemoved: ${A}`],
    ['create web', 'POST /containers {"image":"web"}', A],
    ['create web --name web1 -o volatile -o nodev', 'POST /containers {"image":"web","name":"web1","options":"volatile,nodev"}', A],
    ['start web1', 'POST /containers/web1/start {}', '/r/a/merged'],
    ['stop web1', 'POST /containers/web1/stop {}', 'web1'],
    ['stop --lazy a/b', 'POST /containers/a%2Fb/stop?lazy=true {}', 'a/b'],
    ['rm web1', 'DELETE /containers/web1', 'web1'],
    ['rm -f -f web1', 'DELETE /containers/web1?force=true', 'web1'],
  ];
  for (const [command, sent, shown] of rows) {
    t.match(await plyd.ply(...command.split(' ')), { status: 0, stdout: `${shown}\n`, stderr: '' }, command);
    t.equal(plyd.seen.at(-1), sent);
  }
});

t.test('relative directories are those of the caller', async (t) => {
  plyd.on('POST /mounts', { status: 201, body: mounts()[1] }).on('POST /layers', { status: 201, body: layers()[0] });
  const env = { PLY_SOCKET: plyd.socket };
  const options = { cwd: plyd.directory };
  await ply(['mount', '-o', 'lowerdir=a:../b,upperdir=u,workdir=w', 'm'], env, options);
  await ply(['layer', 'add', 'a'], env, options);
  const here = plyd.directory;
  t.strictSame(plyd.seen, [
    `POST /mounts {"mountpoint":"${here}/m","lower":["${here}/a","${path.dirname(here)}/b"],"upper":"${here}/u","work":"${here}/w"}`,
    `POST /layers {"path":"${here}/a"}`,
  ]);
});

t.test('umount finds a mount point through links in its path', async (t) => {
  fs.mkdirSync(path.join(plyd.directory, 'real'));
  fs.symlinkSync('real', path.join(plyd.directory, 'link'));
  const mount = { ...mounts()[1], mountpoint: path.join(plyd.directory, 'real/m') };
  plyd.on('GET /mounts', { body: { mounts: [mount] } }).on(`DELETE /mounts/${'8'.repeat(64)}`, { status: 204 });
  t.match(await plyd.ply('umount', path.join(plyd.directory, 'link/m')), { status: 0 });
});

t.test('several REFs: those that can be are done, the others are named, and the status is 1', async (t) => {
  plyd
    .on('POST /containers/a/stop', { body: web1 })
    .on('POST /containers/b/stop', failure(409, { code: 'conflict', message: 'container b does not run' }))
    .on('POST /containers/c/stop', { body: web1 });
  t.match(await plyd.ply('stop', 'a', 'b', 'c'), { status: 1, stdout: 'a\nc\n', stderr: 'ply: container b does not run\n' });
  const { status, stdout, stderr } = await plyd.ply('stop', 'a', 'b', 'c', '--json');
  t.equal(status, 1);
  t.match(JSON.parse(stdout), [{ name: 'web1' }, { name: 'web1' }]);
  t.same(JSON.parse(stderr), { error: { code: 'conflict', message: 'container b does not run' } });
});

t.test('--json of what is removed', async (t) => {
  plyd.on('DELETE /containers/a', { status: 204 }).on('DELETE /containers/b', { status: 204 });
  t.same(JSON.parse((await plyd.ply('rm', 'a', '--json')).stdout), { removed: 'a' });
  t.same(JSON.parse((await plyd.ply('--json', 'rm', 'a', 'b')).stdout), [{ removed: 'a' }, { removed: 'b' }]);
});

t.test('a layer that has changed: what, and status 1', async (t) => {
  plyd.on('POST /layers/app/verify', { body: { ok: false, changed: ['etc/b', 'etc'], added: ['etc/a'], removed: ['x\ny'] } });
  t.match(await plyd.ply('layer', 'verify', 'app'), {
    status: 1,
    stdout: 'C etc\nA etc/a\nC etc/b\nD x\\x0ay\n',
    stderr: /^ply: layer app has changed: 2 changed, 1 added, 1 removed: put/,
  });
  const asJson = await plyd.ply('layer', 'verify', 'app', '--json');
  t.match(asJson, { status: 1, stderr: '' });
  t.match(JSON.parse(asJson.stdout), { ok: false, added: ['etc/a'] });
});

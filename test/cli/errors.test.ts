/** What ply says when something is wrong, and its exit status. */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import t from 'tap';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { run } from '../support/mounts.js';
import { failure, ply, plyScript, nothingLeft, StandIn } from './stand-in.js';

let directory: string;
t.before(() => {
  directory = temporaryDirectory();
});
t.teardown(async () => {
  await removeDirectory(directory);
  await nothingLeft();
});

t.test('no daemon: where it was looked for, and how to start it', async (t) => {
  const socket = path.join(directory, 'none.sock');
  t.match(await ply(['ps', '--socket', socket]), {
    status: 1,
    stdout: '',
    stderr: `ply: plyd does not run: there is no socket ${socket}: start it (plyd), or say where it is with --socket or PLY_SOCKET\n`,
  });
  const { status, stderr } = await ply(['--json', 'ps'], { PLY_SOCKET: socket });
  t.equal(status, 1);
  t.match(JSON.parse(stderr), { error: { code: 'no-daemon', message: /plyd does not run/ } });

  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  fs.renameSync(socket, `${socket}.left`); // so that closing leaves it
  await new Promise((resolve) => server.close(resolve));
  t.match(await ply(['info', `--socket=${socket}.left`]), {
    status: 1,
    stderr: /^ply: plyd does not run: nobody listens on \S+: start it/,
  });
  t.match(await ply(['--socket', '/etc/passwd', 'info']), { status: 1, stderr: /^ply: \/etc\/passwd is no socket: say where/ });
  t.match(await ply(['--socket', '/etc/passwd/x', 'info']), { status: 1, stderr: /is no socket: say where/ });
});

t.test('no permission for the socket: whose it is', { skip: process.getuid?.() !== 0 && 'needs root' }, async (t) => {
  const plyd = await StandIn.listen();
  fs.chmodSync(plyd.socket, 0o660);
  const user = ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, plyScript];
  t.match(await run('setpriv', [...user, '--socket', plyd.socket, 'ps']), {
    status: 1,
    stderr: `ply: no permission for ${plyd.socket}: it is open to uid 0 and gid 0: use sudo, or join that group\n`,
  });
  await plyd.end();
});

t.test("the daemon's errors: its message, and what it knows besides", async (t) => {
  const plyd = await StandIn.listen();
  const rows: [error: { code: string; message: string; [more: string]: unknown }, shown: string][] = [
    [{ code: 'not-found', message: 'there is no container weeb' }, 'there is no container weeb'],
    [{ code: 'not-found', message: 'there is no container x', near: ['web1'] }, 'there is no container x\nDid you mean web1?'],
    [{ code: 'not-found', message: 'no such', near: ['web1', 'web2', 'web3'] }, 'no such\nDid you mean web1, web2 or web3?'],
    [{ code: 'not-found', message: 'no weeb: did you mean web1?', near: ['web1'] }, 'no weeb: did you mean web1?'],
    [
      { code: 'in-use', message: 'layer app is in use', by: ['image web', 'image api'] },
      'layer app is in use\nUsed by image web, image api',
    ],
    [
      { code: 'busy', message: '/m is busy: end the processes, or stop it with --lazy', processes: [{ pid: 12, command: 'bash' }] },
      '/m is busy: end the processes, or stop it with --lazy\nIn use by process 12 (bash)',
    ],
    [
      { code: 'busy', message: '/m is busy: bash (12)', processes: [{ pid: 12, command: 'bash' }] },
      '/m is busy: bash (12)\n--lazy detaches it all the same',
    ],
  ];
  for (const [error, shown] of rows) {
    plyd.on('POST /containers/x/stop', failure(409, error));
    t.match(await plyd.ply('stop', 'x'), { status: 1, stdout: '', stderr: `ply: ${shown}\n` });
    t.same(JSON.parse((await plyd.ply('stop', 'x', '--json')).stderr), { error });
  }
  await plyd.end();
});

t.test('a name that nothing has: all kinds are asked for near ones', async (t) => {
  const plyd = await StandIn.listen();
  const near = (...names: string[]): ReturnType<typeof failure> => failure(404, { code: 'not-found', message: 'none', near: names });
  plyd
    .on('GET /containers/wb?size=true', near('web1'))
    .on('GET /images/wb', near('web'))
    .on('GET /mounts', { body: { mounts: [{ id: 'f'.repeat(64), mountpoint: '/mnt/data' }] } });
  t.match(await plyd.ply('inspect', 'wb'), {
    status: 1,
    stderr: /^ply: there is no container, image, layer or mount wb: .*\nDid you mean web1 or web\?\n$/,
  });
  t.match(await plyd.ply('umount', '/mnt/dta'), {
    status: 1,
    stderr: /^ply: there is no mount \/mnt\/dta of plyd: .*\nDid you mean \/mnt\/data\?\n$/,
  });
  plyd.on('GET /mounts', { body: { mounts: ['12345', '12346'].map((id) => ({ id, mountpoint: `/${id}` })) } });
  t.match(await plyd.ply('umount', '1234'), { status: 1, stderr: /2 mounts' ids: give more of it \(12345, 12346\)/ });
  await plyd.end();
});

t.test('answers that are none', async (t) => {
  const plyd = await StandIn.listen();
  plyd.on('GET /info', (_, response) => response.end('<html>'));
  t.match(await plyd.ply('info'), { status: 1, stderr: /^ply: what answered is no plyd of this version: status 200, "<html>"/ });
  plyd.on('GET /info', (_, response) => response.writeHead(502).end('bad gateway'));
  t.match(await plyd.ply('info'), { status: 1, stderr: /status 502, "bad gateway"/ });
  plyd.on('GET /info', (_, response) => response.destroy());
  t.match(await plyd.ply('info'), { status: 1, stderr: /broke off before it had answered/ });
  plyd.on('GET /info', (_, response) => {
    response.writeHead(200, { 'content-length': 100 }).write('{');
    setTimeout(() => response.destroy(), 100);
  });
  t.match(await plyd.ply('info'), { status: 1, stderr: /broke off before it had answered/ });
  await plyd.end();
});

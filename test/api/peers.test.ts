/** Who is served. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import t from 'tap';
import { leftBehind, type Plyd, testWithPlyd } from '../plyd/daemon.js';

const CLIENT = `
require('node:http').get({ socketPath: process.argv[1], path: '/v1/info' }, (response) => {
  let text = '';
  response.on('data', (data) => (text += data));
  response.on('end', () => console.log(JSON.stringify({ status: response.statusCode, ...JSON.parse(text) })));
}).on('error', (error) => console.log(JSON.stringify({ code: error.code })));`;

/** What a client of another user, group or namespace is told. */
function asOther(plyd: Plyd, wrapper: string[]): { status?: number; code?: string; error?: { code: string; message: string } } {
  const [command, ...args] = [...wrapper, process.execPath, '-e', CLIENT, plyd.socket];
  const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 20_000 });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as { status?: number };
}

testWithPlyd('a peer of another user is refused, a member of the group and root are served', (t, plyd) => {
  t.match(asOther(plyd, ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']), { code: 'EACCES' }, 'the socket is not theirs');
  fs.chmodSync(plyd.socket, 0o666);
  const refused = asOther(plyd, ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']);
  t.match(refused, { status: 403, error: { code: 'forbidden', message: /user 65534/ } }, 'and if they reach it, they are told');
  t.match(asOther(plyd, ['setpriv', '--reuid=65534', '--regid=65534', '--groups=0']), { status: 200 });
  t.match(asOther(plyd, ['setpriv', '--reuid=65534', '--regid=0', '--clear-groups']), { status: 200 });
  t.match(asOther(plyd, ['env']), { status: 200 });
  return Promise.resolve();
});

testWithPlyd('a peer in another user namespace is refused, whoever it says it is', (t, plyd) => {
  t.match(asOther(plyd, ['unshare', '-U', '-r']), { status: 403, error: { code: 'forbidden', message: /user namespace/ } });
  t.match(asOther(plyd, ['unshare', '-U']), { status: 403, error: { message: /user namespace/ } });
  return Promise.resolve();
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

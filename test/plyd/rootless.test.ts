/** plyd of an ordinary user: its images and containers, without subuids; ply run and ply unshare in its namespaces. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { plyScript } from '../cli/stand-in.js';
import { type Finished, run } from '../support/mounts.js';
import { leftBehind, removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { CANNOT, PROGRAM, sleep, until } from './daemon.js';
import { spawn, spawnSync } from 'node:child_process';

const USER = 54321;
const AS_USER = [
  'setpriv',
  `--reuid=${USER}`,
  `--regid=${USER}`,
  '--clear-groups',
  '--no-new-privs',
  'env',
  '-i',
  `PATH=${process.env['PATH'] ?? ''}`,
];

/** /dev/fuse is open to all in there: a machine for ordinary users has it so. */
const OPEN_FUSE = 'mount --bind "$0" /dev/fuse && exec "$@"';

function whyNot(): string | undefined {
  if (CANNOT !== undefined) return CANNOT;
  const [name, ...args] = [...AS_USER, 'unshare', '--user', '--map-root-user', '--mount', 'true'];
  return spawnSync(name, args).status === 0 ? undefined : 'ordinary users may make no user namespaces here';
}

void t.test('an ordinary user', { skip: whyNot() ?? false }, async (t) => {
  const base = temporaryDirectory();
  const at = (...names: string[]): string => path.join(base, ...names);
  for (const name of ['run', 'data']) fs.mkdirSync(at(name), { mode: 0o700 });
  for (const name of ['bin', 'etc', 'tmp', 'proc', 'dev', 'sys']) fs.mkdirSync(at('layer', name), { recursive: true });
  fs.copyFileSync('/bin/busybox', at('layer/bin/sh'));
  fs.chmodSync(at('layer/bin/sh'), 0o755);
  fs.writeFileSync(at('layer/etc/motd'), 'hello\n');
  fs.writeFileSync(at('layer/etc/foreign'), 'of another\n');
  fs.writeFileSync(at('layer/etc/passwd'), 'root:x:0:0::/root:/bin/sh\n');
  spawnSync('chown', ['-R', `${USER}:${USER}`, base]);
  fs.chownSync(at('layer/etc/foreign'), 33, 44);
  for (const name of ['cat', 'stat', 'id']) fs.symlinkSync('sh', at('layer/bin', name));
  fs.chmodSync(at('layer/etc/foreign'), 0o644);
  const owners = spawnSync('tar', ['-C', at('layer'), '--owner=0', '--group=0', '--exclude=./etc/foreign', '-cf', at('foreign.tar'), '.']);
  if (owners.status !== 0) throw new Error(owners.stderr.toString());
  spawnSync('tar', ['-C', at('layer'), '-rf', at('foreign.tar'), './etc/foreign']);
  spawnSync('mknod', ['-m', '666', at('fuse'), 'c', '10', '229']);

  const settings = [`HOME=${base}`, `XDG_RUNTIME_DIR=${at('run')}`, `XDG_DATA_HOME=${at('data')}`];
  const ply = (...args: string[]): Promise<Finished> =>
    run(AS_USER[0], [...AS_USER.slice(1), ...settings, process.execPath, plyScript, ...args], { timeoutMs: 30_000, cwd: base });
  const log = fs.openSync(at('log'), 'a');
  const enter = ['--mount', '--propagation', 'private', 'sh', '-c', OPEN_FUSE, at('fuse')];
  const plyd = spawn('unshare', [...enter, ...AS_USER, ...settings, process.execPath, PROGRAM], { stdio: ['ignore', log, log] });
  fs.closeSync(log);
  const ended = new Promise((resolve) => plyd.on('exit', resolve));
  try {
    await until('it is ready', async () => (await ply('info')).status === 0);
    t.match(await ply('info'), { stdout: new RegExp(`Root: +${base}/data/ply\n`) }, 'with a root and a socket of its own');
    t.match(await ply('layer', 'add', at('layer'), '--name', 'layer'), { status: 0, stderr: '' });
    t.match(await ply('image', 'create', 'img', 'layer'), { status: 0 });
    t.match(await ply('create', 'img', '--name', 'c'), { status: 0, stderr: '' });
    const started = await ply('start', 'c');
    t.match(started, { status: 0, stderr: '' }, 'a container is mounted');
    const point = started.stdout.trim();
    t.match(await ply('unshare', 'cat', `${point}/etc/motd`), { status: 0, stdout: 'hello\n' }, 'and seen in there');
    t.match(await ply('unshare', 'sh', '-c', `echo new >${point}/etc/new && rm ${point}/etc/motd && chmod 700 ${point}/etc`), {
      status: 0,
      stderr: '',
    });
    t.match(await ply('diff', 'c'), { status: 0, stdout: 'C /etc\nD /etc/motd\nA /etc/new\n' });
    t.match(await ply('stop', 'c'), { status: 0 });
    t.match(await ply('rm', 'c'), { status: 0 });

    for (const way of [[], ['--chroot']]) {
      const asked = (...args: string[]): Promise<Finished> => ply('run', ...way, ...args);
      t.match(await asked('img', 'sh', '-c', 'echo x >/etc/x && cat /etc/x /etc/motd && id -u'), {
        status: 0,
        stdout: 'x\nhello\n0\n',
        stderr: '',
      });
      t.match(await asked('img', 'sh', '-c', 'exit 9'), { status: 9 });
      t.match(await asked('-u', '33', 'img', 'sh'), { status: 125, stderr: /user 33 or group 0 is not mapped in this user namespace/ });
    }
    // An image whose files belong to others: in, run, and out again as it was.
    t.match(await ply('import', at('foreign.tar'), 'foreign'), { status: 0, stderr: '' }, 'imported without subuids');
    t.match(
      await ply('run', 'foreign', 'sh', '-c', 'cat /etc/foreign; stat -c %u:%g /etc/foreign /etc/motd; echo y >/etc/y && cat /etc/y'),
      {
        status: 0,
        stdout: 'of another\n65534:65534\n0:0\ny\n',
        stderr: '',
      },
    );
    t.match(await ply('export', 'foreign', at('run/out.tar'), '--format', 'docker-archive'), { status: 0 });
    const inner = `tar -xOf '${at('run/out.tar')}' "$(tar -tf '${at('run/out.tar')}' | grep 'tar$' | head -n 1)" | cmp - '${at('foreign.tar')}'`;
    t.match(await run('sh', ['-c', inner]), { status: 0, stdout: '', stderr: '' }, 'owners are kept: it comes out byte for byte');
    t.match(await ply('ps', '-aq'), { status: 0, stdout: '' });
  } finally {
    plyd.kill('SIGTERM');
    const how = await ended;
    const said = fs.readFileSync(at('log'), 'utf8');
    t.equal(how, 0, said.slice(-1000));
    t.match(said, /"plyd is ready"[^]*"plyd has ended"/, 'the log is kept in the namespaces, too');
    await sleep(100);
    await removeDirectory(base);
  }
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

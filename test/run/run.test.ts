/** ply run: a command in a container of its own, of which nothing is left. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { onTerminal, ply as plyWith, plyScript } from '../cli/stand-in.js';
import { leftBehind, type Plyd, sleep, testWithPlyd, until } from '../plyd/daemon.js';
import { type Finished } from '../support/mounts.js';

const COMMANDS = ['sh', 'id', 'cat', 'env', 'pwd', 'sleep', 'hostname', 'ps', 'kill', 'touch', 'ls', 'stty', 'mkdir', 'readlink', 'grep'];

/** An image "box" of one layer: busybox, and some users. */
async function box(plyd: Plyd): Promise<void> {
  const layer = path.join(plyd.base, 'box');
  for (const name of ['bin', 'etc', 'tmp', 'proc', 'dev', 'sys', 'root', 'srv']) fs.mkdirSync(path.join(layer, name), { recursive: true });
  fs.copyFileSync('/bin/busybox', path.join(layer, 'bin/busybox'));
  fs.chmodSync(path.join(layer, 'bin/busybox'), 0o755);
  for (const name of COMMANDS) fs.symlinkSync('busybox', path.join(layer, 'bin', name));
  fs.writeFileSync(path.join(layer, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nwww:x:33:33::/srv/www:/bin/sh\n');
  fs.writeFileSync(path.join(layer, 'etc/group'), 'root:x:0:\nwww:x:33:\nadm:x:4:sys,www\n');
  await plyd.must('POST', '/v1/layers', { path: layer, name: 'box' });
  await plyd.must('POST', '/v1/images', { name: 'box', layers: ['box'] });
}

function ply(plyd: Plyd, ...args: string[]): Promise<Finished> {
  return plyWith(args, { PLY_SOCKET: plyd.socket }, { timeoutMs: 30_000 });
}

async function nothingIsLeft(t: Test, plyd: Plyd): Promise<void> {
  t.same(await plyd.containers(), [], 'no container');
  t.same(plyd.mounted(), [], 'no mount');
}

/** The process with this command line. */
function running(...command: string[]): number | undefined {
  const pids = fs.readdirSync('/proc').filter((pid) => /^\d+$/.test(pid));
  const pid = pids.find((pid) => {
    try {
      return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1') === command.map((word) => `${word}\0`).join('');
    } catch {
      return false; // it has ended
    }
  });
  return pid === undefined ? undefined : Number(pid);
}

for (const way of [[], ['--chroot']]) {
  testWithPlyd(`a command runs in a container, which is gone afterwards ${way.join('')}`, async (t, plyd) => {
    await box(plyd);
    const rows: [args: string[], expected: { status: number; stdout?: string | RegExp; stderr?: string | RegExp }][] = [
      [['box', 'id'], { status: 0, stdout: 'uid=0(root) gid=0(root)\n', stderr: '' }],
      [['-u', 'www', 'box', 'id'], { status: 0, stdout: 'uid=33(www) gid=33(www) groups=4(adm)\n' }],
      [['-u', '1000:adm', 'box', 'id'], { status: 0, stdout: 'uid=1000 gid=4(adm)\n' }],
      [['-u', 'nobody', 'box', 'id'], { status: 125, stderr: /no user nobody in the container/ }],
      [['-w', '/srv/a/b', 'box', 'pwd'], { status: 0, stdout: '/srv/a/b\n' }],
      [['-e', 'A=1', '-e', 'A=2', 'box', 'sh', '-c', 'echo $A $HOME $PATH'], { status: 0, stdout: /^2 \/root \/usr\/local\/sbin:/ }],
      [['--hostname', 'here', 'box', 'sh', '-c', 'hostname; echo $HOSTNAME'], { status: 0, stdout: 'here\nhere\n' }],
      [['box', 'sh', '-c', 'exit 7'], { status: 7, stdout: '', stderr: '' }],
      [['box', 'sh', '-c', 'kill -9 $$'], { status: 137 }],
      [['box', 'sh', '-c', 'kill -TERM $$'], { status: 143 }],
      [['box', 'nothing-of-that-name'], { status: 127, stderr: 'ply: run: there is no command nothing-of-that-name in the container\n' }],
      [['box', '/etc/passwd'], { status: 126, stderr: /cannot execute \/etc\/passwd/ }],
      [['box'], { status: 125, stderr: /the image box says no command/ }],
      [['bax', 'id'], { status: 125, stderr: /Did you mean box\?/ }],
      [['--entrypoint', 'ls', 'box', '-d', '/etc'], { status: 0, stdout: '/etc\n' }],
      [['box', 'ls', '--json'], { status: 1, stderr: /unrecognized option/ }], // the command's options
      [['box', 'sh', '-c', 'echo x >/tmp/x && cat /tmp/x && echo y >/dev/null && [ -d /proc/1 ]'], { status: 0, stdout: 'x\n' }],
      [['box', 'sh', '-c', 'touch /sys/x'], { status: 1, stderr: /Read-only/ }],
      [['box', 'sh', '-c', 'sleep 100 & ps >/ps; grep -c . /ps'], { status: 0, stdout: '5\n' }], // the heading; ply-enter, sh, sleep, ps
    ];
    for (const [args, expected] of rows) t.match(await ply(plyd, 'run', ...way, ...args), expected, args.join(' '));
    const pids = await ply(plyd, 'run', ...way, 'box', 'sh', '-c', 'readlink /proc/self/ns/pid /proc/self/ns/uts /proc/self/ns/mnt');
    for (const [at, name] of ['pid', 'uts', 'mnt'].entries()) {
      t.not(pids.stdout.split('\n')[at], fs.readlinkSync(`/proc/self/ns/${name}`), `${name} namespace of its own`);
    }
    await nothingIsLeft(t, plyd);
  });

  testWithPlyd(`signals are the command's, and the container goes whatever ends it ${way.join('')}`, async (t, plyd) => {
    await box(plyd);
    const start = (script: string): { pid: number; ended: Promise<number | string>; told: (what: string) => Promise<void> } => {
      const child = spawn(process.execPath, [plyScript, 'run', ...way, 'box', 'sh', '-c', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, PLY_SOCKET: plyd.socket },
        detached: true, // a process group of its own, so not the foreground one of any terminal
      });
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (more: string) => (text += more));
      const limit = setTimeout(() => child.kill('SIGKILL'), 30_000);
      const ended = new Promise<number | string>((resolve) =>
        child.on('exit', (status, signal) => {
          clearTimeout(limit);
          resolve(signal ?? status ?? -1);
        }),
      );
      return { pid: child.pid!, ended, told: (what) => until(what, () => text.includes(what)) };
    };
    for (const [signal, name] of [
      ['SIGTERM', 'TERM'],
      ['SIGINT', 'INT'],
      ['SIGHUP', 'HUP'],
      ['SIGUSR1', 'USR1'],
    ] as const) {
      const caught = start(`trap 'echo caught; exit 5' ${name}; echo ready; while :; do sleep 0.05; done`);
      await caught.told('ready');
      process.kill(caught.pid, signal);
      await caught.told('caught');
      t.equal(await caught.ended, 5, `${signal} came, and what the command made of it`);
    }
    const deaf = start('echo ready; exec sleep 100');
    await deaf.told('ready');
    process.kill(deaf.pid, 'SIGTERM');
    t.equal(await deaf.ended, 143);

    const killed = start('echo ready; exec sleep 4321');
    await killed.told('ready');
    await until('sh has become the command', () => running('sleep', '4321') !== undefined);
    process.kill(running('sleep', '4321')!, 'SIGKILL');
    t.equal(await killed.ended, 137, 'a command that is killed from outside');
    await nothingIsLeft(t, plyd);

    const orphan = start('echo ready; exec sleep 100');
    await orphan.told('ready');
    process.kill(orphan.pid, 'SIGKILL');
    await orphan.ended;
    const [{ id }] = await plyd.containers();
    await until('the command ends with ply', async () => (await plyd.request('POST', `/v1/containers/${id}/stop`)).status === 200);
    await plyd.remove(id);
  });
}

testWithPlyd('the terminal is the command’s, and Ctrl-C ends it', async (t, plyd) => {
  await box(plyd);
  const env = { PLY_SOCKET: plyd.socket };
  t.match(await onTerminal(`run box sh -c '[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && stty size >/dev/null && echo "terminal $TERM"'`, env), {
    status: 0,
    stdout: 'terminal xterm\n',
  });
  const keyboard = spawn('script', ['-qec', `'${process.execPath}' '${plyScript}' run box sh -c 'echo ready; sleep 100'`, '/dev/null'], {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let shown = '';
  keyboard.stdout.setEncoding('utf8').on('data', (text: string) => (shown += text));
  const ended = new Promise((resolve) => keyboard.on('close', resolve));
  await until('it runs', () => shown.includes('ready'));
  keyboard.stdin.write('\x03');
  t.equal(await ended, 130);
  await nothingIsLeft(t, plyd);
});

testWithPlyd('--keep leaves the container stopped, with what was written; --name names it', async (t, plyd) => {
  await box(plyd);
  const { status, stderr } = await ply(plyd, 'run', '--keep', '--name', 'kept', 'box', 'sh', '-c', 'echo new >/srv/new; exit 3');
  t.match({ status, stderr }, { status: 3, stderr: '' });
  t.match(await plyd.containers(), [{ name: 'kept', state: 'stopped' }]);
  t.match((await ply(plyd, 'diff', 'kept')).stdout, /^A \/srv\/new$/m);
  t.match(await ply(plyd, 'run', '--name', 'kept', 'box', 'id'), { status: 125, stderr: /already a container "kept"/ });
  t.match(await ply(plyd, 'run', '--keep', '--rm', 'box', 'id'), { status: 2, stderr: /which of the two/ });
  await plyd.remove('kept');
});

testWithPlyd('standard input comes through, byte by byte', async (t, plyd) => {
  await box(plyd);
  const child = spawn(process.execPath, [plyScript, 'run', 'box', 'cat'], { env: { ...process.env, PLY_SOCKET: plyd.socket } });
  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 7) % 256));
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stdin.end(bytes);
  t.equal(await new Promise((resolve) => child.on('close', resolve)), 0);
  t.ok(Buffer.concat(chunks).equals(bytes));
  await sleep(0);
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

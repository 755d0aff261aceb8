/** plyd under a service manager: what it tells (sd_notify), sockets that it is given (LISTEN_FDS), and its unit files. systemd itself is not needed. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { run } from '../support/mounts.js';
import { CANNOT, NO_FILE, Plyd, PROGRAM, until } from './daemon.js';

const UNITS = path.resolve(__dirname, '../../../scripts/systemd');
const ACTIVATE = '/usr/bin/systemd-socket-activate';

/** Receives datagrams, as a service manager does; each is a line of JSON in a file. */
const MANAGER = `
import json, socket, sys
address, file = sys.argv[1], sys.argv[2]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind('\\0' + address[1:] if address[0] == '@' else address)
with open(file, 'a', buffering=1) as out:
    out.write('"bound"\\n')
    while True:
        out.write(json.dumps(s.recv(65536).decode()) + '\\n')
`;

/** Becomes another program, with descriptor 3 passed as the socket that argv[1] says; argv[3] is LISTEN_FDNAMES, "-": there is none. */
const PASSES = `
import os, socket, sys
kind, at = sys.argv[1], sys.argv[2]
if kind == 'file': fd = os.open(at, os.O_RDWR | os.O_CREAT)
elif kind == 'datagram':
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(at); fd = s.fileno()
else:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); s.bind(at); fd = s.fileno()
    if kind != 'deaf': s.listen(5)
if fd == 3: os.set_inheritable(3, True)
else: os.dup2(fd, 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')
if sys.argv[3] != '-': os.environ['LISTEN_FDNAMES'] = sys.argv[3]
os.execvp(sys.argv[4], sys.argv[4:])
`;

class Manager {
  private constructor(
    private readonly child: ChildProcess,
    private readonly file: string,
  ) {}

  static async listen(address: string, file: string): Promise<Manager> {
    const manager = new Manager(spawn('python3', ['-c', MANAGER, address, file], { stdio: ['ignore', 'ignore', 'inherit'] }), file);
    await until('the manager', () => manager.told.includes('bound'), 30_000);
    return manager;
  }

  get told(): string[] {
    if (!fs.existsSync(this.file)) return [];
    const lines = fs.readFileSync(this.file, 'utf8').split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as string);
  }

  async has(pattern: RegExp): Promise<void> {
    await until(String(pattern), () => this.told.some((state) => pattern.test(state)), 30_000);
  }

  async end(): Promise<void> {
    const gone = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill();
    await gone;
  }
}

const skip = CANNOT ?? (spawnSync('python3', ['--version']).status === 0 ? false : 'needs python3');

for (const [kind, addressOf] of [
  ['a path', (base: string): string => `${base}/notify`],
  ['an abstract name', (base: string): string => `@plyfs-test-${process.pid}-${path.basename(base)}`],
] as const) {
  void t.test(`plyd tells a service manager at ${kind} that it is ready, alive, how it is, and that it ends`, { skip }, async (t) => {
    const plyd = new Plyd();
    const manager = await Manager.listen(addressOf(plyd.base), `${plyd.base}/told`);
    try {
      await plyd.start([], { NOTIFY_SOCKET: addressOf(plyd.base), WATCHDOG_USEC: '200000' });
      await manager.has(new RegExp(`^READY=1\nMAINPID=${plyd.child!.pid}\nSTATUS=Serving 0 mounts`));
      t.equal(
        manager.told.findIndex((state) => /READY/.test(state)) > manager.told.findIndex((state) => /^STATUS=Taking over/.test(state)),
        true,
      );
      await until('the watchdog is fed again and again', () => manager.told.filter((state) => state === 'WATCHDOG=1').length >= 3, 30_000);
      await plyd.image();
      await plyd.create('img', 'one');
      await plyd.begin('one');
      await manager.has(/^STATUS=Serving 1 mount with 1 engine$/);
      const environment = fs.readFileSync(`/proc/${plyd.engines()[0]}/environ`, 'latin1');
      t.notMatch(environment, /NOTIFY_SOCKET|WATCHDOG_USEC/, 'no engine speaks for plyd');
      t.equal(await plyd.stop(), 0);
      await manager.has(/^STOPPING=1\nSTATUS=Unmounting$/);
      t.notOk(plyd.lines().some(({ msg }) => /service manager/.test(msg)));
    } finally {
      await manager.end();
      t.same(await plyd.cleanUp(), []);
    }
  });
}

void t.test('a watchdog that is for another process is not fed; a manager that is gone is a line in the log', { skip }, async (t) => {
  const plyd = new Plyd();
  try {
    await plyd.start([], { NOTIFY_SOCKET: `${plyd.base}/nobody`, WATCHDOG_USEC: '100000', WATCHDOG_PID: '1' });
    t.ok(plyd.lines().some(({ level, msg, errno }) => level === 40 && /service manager/.test(msg) && errno === 2));
  } finally {
    t.same(await plyd.cleanUp(), []);
  }
});

void t.test('variables of a service manager that make no sense are refused', { skip }, async (t) => {
  const base = temporaryDirectory();
  const start = (env: NodeJS.ProcessEnv): { status: number | null; stderr: string } =>
    spawnSync(process.execPath, [PROGRAM, ...NO_FILE, '--root', `${base}/root`, '--socket', `${base}/sock`], {
      encoding: 'utf8',
      env: { ...process.env, ...env },
      timeout: 60_000,
    });
  t.match(start({ NOTIFY_SOCKET: 'relative' }), { status: 2, stderr: /NOTIFY_SOCKET is "relative".*from \// });
  t.match(start({ NOTIFY_SOCKET: '/x', WATCHDOG_USEC: 'soon' }), { status: 2, stderr: /WATCHDOG_USEC is "soon"/ });
  await removeDirectory(base);
});

void t.test(
  'plyd serves the socket that it was given, and leaves it where it is',
  { skip: skip || (fs.existsSync(ACTIVATE) ? false : 'needs systemd-socket-activate') },
  async (t) => {
    const plyd = new Plyd();
    const log = fs.openSync(plyd.logFile, 'a');
    const args = [
      '-E',
      'HOME',
      '-l',
      plyd.socket,
      '--fdname=api',
      process.execPath,
      PROGRAM,
      ...NO_FILE,
      '--root',
      plyd.root,
      '--log-level',
      'debug',
    ];
    const child = spawn(ACTIVATE, args, { stdio: ['ignore', log, log], env: { ...process.env, HOME: '/root' } });
    fs.closeSync(log);
    const ended = new Promise((resolve) => child.once('exit', (status, signal) => resolve(signal ?? status)));
    try {
      await until('the socket', () => fs.existsSync(plyd.socket), 30_000);
      const { ino } = fs.statSync(plyd.socket);
      const info = await plyd.info(); // starts it, and waits until it answers
      t.equal(info.pid, child.pid);
      t.equal(info.socket, plyd.socket);
      t.notMatch(fs.readFileSync(`/proc/${child.pid}/environ`, 'latin1'), /NOTIFY_SOCKET/);
      await plyd.image();
      await plyd.create('img', 'one');
      await plyd.begin('one');
      const [engine] = plyd.engines();
      t.notMatch(fs.readFileSync(`/proc/${engine}/environ`, 'latin1'), /LISTEN_/, 'no engine has the variables');
      child.kill('SIGTERM');
      t.equal(await ended, 0);
      t.equal(fs.statSync(plyd.socket).ino, ino);
    } finally {
      child.kill('SIGKILL');
      await ended;
      t.same(await plyd.cleanUp(), []);
    }
  },
);

for (const [what, names] of Object.entries({
  'no names': '-',
  'an empty one': '',
  unknown: 'unknown',
  'more than there are sockets': 'api:b:c',
}))
  void t.test(`a socket that comes alone is the API's, with LISTEN_FDNAMES: ${what}`, { skip }, async (t) => {
    const plyd = new Plyd();
    plyd.under = ['python3', '-c', PASSES, 'listening', plyd.socket, names];
    try {
      await plyd.start();
      const { ino } = fs.statSync(plyd.socket);
      t.equal((await plyd.info()).socket, plyd.socket);
      t.notOk(
        plyd.lines().some(({ level }) => level >= 40),
        'nothing is left over',
      );
      t.equal(await plyd.stop(), 0);
      t.equal(fs.statSync(plyd.socket).ino, ino, 'it is the one that was passed: it stays');
    } finally {
      t.same(await plyd.cleanUp(), []);
    }
  });

void t.test('what is no listening Unix stream socket is refused, and what it should be is said', { skip }, async (t) => {
  const base = temporaryDirectory();
  const start = (kind: string, name: string): { status: number | null; stderr: string } =>
    spawnSync('python3', ['-c', PASSES, kind, `${base}/${kind}`, name, process.execPath, PROGRAM, ...NO_FILE, '--root', `${base}/root`], {
      encoding: 'utf8',
      timeout: 60_000,
    });
  t.match(start('file', 'api'), { status: 2, stderr: /descriptor 3 \("api"\).*is no socket.*ListenStream/ });
  t.match(start('datagram', 'ply.sock'), { status: 2, stderr: /is no stream socket/ });
  t.match(start('deaf', 'plyd.socket'), { status: 2, stderr: /is not listening/ });
  fs.rmSync(`${base}/datagram`);
  t.match(start('file', 'containerd'), { status: 2, stderr: /descriptor 3 \("containerd"\).*is no socket/ });
  t.match(start('datagram', 'plyd-containerd.socket'), { status: 2, stderr: /is no stream socket/ });
  await removeDirectory(base);
});

/** In a container's root: of each kind what takes a capability. */
const WORK = `set -e
cd "$1"
touch -d 2001-01-01 setuid capable
echo more >>private
chown 55:66 other
chmod 6755 other
mknod -m 666 null c 1 3
mknod fifo p
chown -h 77:88 link
ln private again
rm -r directory
mkdir directory
rm gone
chown 33 capable-mine
setfattr -n security.capability -v "$2" capable-mine
stat -c '%n %u:%g %a' setuid private other null link capable-mine
getfattr -n security.capability -e hex capable capable-mine | grep =`;

/** cap_net_raw+ep */
const CAPABLE = '0x0100000200200000000000000000000000000000';

void t.test("with the capabilities that the unit leaves it, plyd does all that containers' files take", { skip }, async (t) => {
  const [, list] = /^CapabilityBoundingSet=~(.*)$/m.exec(fs.readFileSync(`${UNITS}/plyd.service`, 'utf8'))!;
  const dropped = list.split(' ').map((name) => name.replace(/^CAP_/, '-').toLowerCase());
  const plyd = new Plyd();
  plyd.under = ['setpriv', '--no-new-privs', `--bounding-set=${dropped.join(',')}`];
  const layer = `${plyd.base}/layer`;
  fs.mkdirSync(`${layer}/directory`, { recursive: true });
  for (const name of ['setuid', 'capable', 'capable-mine', 'private', 'other', 'gone', 'directory/file'])
    fs.writeFileSync(`${layer}/${name}`, name);
  fs.symlinkSync('private', `${layer}/link`);
  for (const name of ['setuid', 'capable', 'private']) fs.chownSync(`${layer}/${name}`, 33, 44);
  fs.chmodSync(`${layer}/setuid`, 0o6755);
  fs.chmodSync(`${layer}/private`, 0o600);
  t.equal(spawnSync('setfattr', ['-n', 'security.capability', '-v', CAPABLE, `${layer}/capable`]).status, 0);
  try {
    await plyd.start();
    const { id } = await plyd.must<{ id: string }>('POST', '/v1/layers', { path: layer, name: 'layer' });
    await plyd.must('POST', '/v1/images', { name: 'img', layers: [id] });
    await plyd.create('img', 'one');
    const { mountpoint } = await plyd.begin('one');
    for (const pid of [plyd.child!.pid!, ...plyd.engines()]) {
      const bounding = /^CapBnd:\s*(\w+)$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))![1];
      t.equal(BigInt(`0x${bounding}`) & (1n << 16n), 0n, 'CAP_SYS_MODULE is gone: it really is bounded');
    }
    const { status, stdout, stderr } = await run('sh', ['-c', WORK, 'sh', mountpoint!, CAPABLE], { timeoutMs: 60_000 });
    t.equal(status, 0, stderr);
    t.same(stdout.split('\n').slice(0, 6), [
      'setuid 33:44 6755',
      'private 33:44 600',
      'other 55:66 6755',
      'null 0:0 666',
      'link 77:88 777',
      'capable-mine 33:0 644',
    ]);
    t.same(stdout.split('\n').slice(6, 8), Array(2).fill(`security.capability=${CAPABLE}`));
    await plyd.must('GET', '/v1/containers/one/diff');
    await plyd.end('one');
    t.same(plyd.mounted(), []);
    await plyd.remove('one');
  } finally {
    t.same(await plyd.cleanUp(), []);
  }
});

const noAnalyze = spawnSync('systemd-analyze', ['--version']).status === 0 ? false : 'needs systemd-analyze';

void t.test('systemd finds nothing amiss in the unit files', { skip: noAnalyze }, async (t) => {
  const base = temporaryDirectory();
  const sockets = ['plyd.socket', 'plyd-containerd.socket'];
  for (const name of sockets) fs.copyFileSync(`${UNITS}/${name}`, `${base}/${name}`);
  const service = fs.readFileSync(`${UNITS}/plyd.service`, 'utf8');
  fs.writeFileSync(`${base}/plyd.service`, service.replace('/usr/bin/plyd', PROGRAM));
  const { status, stderr } = spawnSync(
    'systemd-analyze',
    ['verify', '--man=no', `${base}/plyd.service`, ...sockets.map((name) => `${base}/${name}`)],
    {
      encoding: 'utf8',
      timeout: 60_000,
    },
  );
  t.equal(status, 0, stderr);
  t.notMatch(stderr, /plyd\S*\.(service|socket)/);
  fs.writeFileSync(`${base}/plyd.service`, `${service.replace('/usr/bin/plyd', PROGRAM)}\n[Service]\nKillMood=process\n`);
  const wrong = spawnSync('systemd-analyze', ['verify', '--man=no', `${base}/plyd.service`], { encoding: 'utf8', timeout: 60_000 });
  t.match(wrong.stderr, /KillMood/, 'it would');
  await removeDirectory(base);
});

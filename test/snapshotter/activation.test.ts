/** containerd's socket from a service manager: plyd serves the one that was passed, and whoever calls while plyd is away waits. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { CANNOT, leftBehind, Plyd, until } from '../plyd/daemon.js';
import { run } from '../support/mounts.js';
import { argumentsFor, Snapshots, socketOf } from './client.js';

/** Listens on argv[2] and further paths, as systemd does for socket units, and hands duplicates of them to whoever connects to argv[1]. */
const MANAGER = `
import os, socket, sys
def listening(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(path)
    s.listen(64)
    return s
sockets = [listening(path) for path in sys.argv[2:]]
desk = listening(sys.argv[1] + '.new')
os.rename(sys.argv[1] + '.new', sys.argv[1])
while True:
    peer = desk.accept()[0]
    socket.send_fds(peer, [b'x'], [s.fileno() for s in sockets])
    peer.close()
`;

/** Becomes another program (argv[3] on), with the sockets of that manager (argv[1]) under names (argv[2]). */
const PASSES = `
import fcntl, os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.connect(sys.argv[1])
fds = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64) for fd in socket.recv_fds(s, 1, 8)[1]]
s.close()
for i, fd in enumerate(fds): os.dup2(fd, 3 + i)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=sys.argv[2])
os.execvp(sys.argv[3], sys.argv[3:])
`;

/** Connects as somebody else, and prints what comes. */
const STRANGER = `
import os, socket, sys
os.setgroups([])
os.setgid(54321)
os.setuid(54321)
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.settimeout(30)
s.connect(sys.argv[1])
print(s.recv(1))
`;

const NAMES = 'api:containerd';

/** What a process has open, but for what it closes meanwhile. */
function filesOf(pid: number): string[] {
  return fs.readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [fs.readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  });
}

/** The sockets of a path, as /proc/net/unix has them: the one that listens, and one for each connection. */
const socketsAt = (file: string): string[] =>
  fs
    .readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .filter((line) => line.endsWith(` ${file}`));

/** How many connections nobody has accepted, while nobody accepts any. */
const waitingAt = (file: string): number => socketsAt(file).length - 1;

function testActivated(name: string, body: (t: Test, plyd: Plyd, snapshots: Snapshots) => Promise<void>, names = NAMES): void {
  void t.test(name, { skip: CANNOT ?? false }, async (t) => {
    const plyd = new Plyd();
    const desk = path.join(plyd.base, 'desk');
    const manager: ChildProcess = spawn('python3', ['-c', MANAGER, desk, plyd.socket, socketOf(plyd)], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const ended = new Promise((resolve) => manager.once('exit', resolve));
    plyd.under = ['python3', '-c', PASSES, desk, names];
    const snapshots = new Snapshots(socketOf(plyd));
    try {
      await until('the manager', () => fs.existsSync(desk), 60_000);
      await body(t, plyd, snapshots);
      if (plyd.engines().length > 0) {
        await plyd.stop();
        await plyd.start(argumentsFor(plyd)); // which takes the engines with it
      }
    } finally {
      snapshots.close();
      manager.kill('SIGKILL');
      await ended;
      t.same(await plyd.cleanUp(), []);
    }
  });
}

testActivated('plyd serves both sockets that it was given, and leaves them where they are', async (t, plyd, snapshots) => {
  const inodes = (): number[] => [plyd.socket, socketOf(plyd)].map((file) => fs.statSync(file).ino);
  const before = inodes();
  await plyd.start(['--keep-mounts']);
  await snapshots.layer('base', '', 'echo base >motd');
  await snapshots.prepare('one', 'base');
  t.equal(await snapshots.inside('one', 'cat motd'), 'base\n');
  const [engine] = plyd.engines();
  t.notMatch(fs.readFileSync(`/proc/${engine}/environ`, 'latin1'), /LISTEN_/);
  const inherited = filesOf(engine);
  const listening = socketsAt(socketOf(plyd));
  t.ok(listening.length > 0);
  for (const line of listening) t.notOk(inherited.includes(`socket:[${line.split(/\s+/)[6]}]`), 'no engine has the socket');
  await snapshots.removeAll();
  t.equal(await plyd.stop(), 0);
  t.same(inodes(), before);
});

testActivated('a call while plyd is away waits for the next one, and finds what was there', async (t, plyd, snapshots) => {
  await plyd.start();
  await snapshots.layer('base', '', 'echo base >motd');
  const mount = await snapshots.prepare('one', 'base');
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    await plyd.stop(signal);
    t.equal(plyd.mounted().length, 1, `${signal}: with containerd's socket the mounts stay, though nobody has said so`);
    const waiting = new Snapshots(socketOf(plyd)); // as a containerd that has just started
    const call = waiting.mounts('one');
    await until('it is connected', () => waitingAt(socketOf(plyd)) > 0, 60_000);
    await plyd.start();
    t.same(await call, [mount]);
    waiting.close();
  }
  t.equal(await snapshots.inside('one', 'cat motd'), 'base\n');
  await snapshots.removeAll();
});

testActivated('the one that was passed goes before the one of the configuration, and that is said', async (t, plyd, snapshots) => {
  const elsewhere = path.join(plyd.base, 'elsewhere.sock');
  await plyd.start(['--containerd-socket', elsewhere]);
  t.same(await snapshots.list(), []);
  t.notOk(fs.existsSync(elsewhere));
  t.ok(
    plyd
      .lines()
      .some(
        ({ level, msg, configured, passed }) =>
          level === 40 && /not listened on/.test(msg) && configured === elsewhere && passed === socketOf(plyd),
      ),
  );
  await plyd.stop();
  fs.truncateSync(plyd.logFile);
  await plyd.start(['--containerd-socket', socketOf(plyd)]);
  t.same(await snapshots.list(), []);
  t.notOk(
    plyd.lines().some(({ level }) => level >= 40),
    'the same one: nothing to say',
  );
});

testActivated(
  'who may not use the API is sent away from the socket that was passed, too',
  async (t, plyd, snapshots) => {
    await plyd.start();
    t.same(await snapshots.list(), []);
    fs.chmodSync(plyd.base, 0o755);
    fs.chmodSync(socketOf(plyd), 0o666);
    const stranger = await run('python3', ['-c', STRANGER, socketOf(plyd)], { timeoutMs: 60_000 });
    t.equal(stranger.stdout, "b''\n", stranger.stderr);
    t.ok(plyd.lines().some(({ msg, refusal }) => /containerd's socket/.test(msg) && /54321/.test(String(refusal))));
  },
  'api:plyd-containerd.socket',
);

testActivated(
  "a socket without a name is not containerd's",
  async (t, plyd) => {
    await plyd.start();
    t.equal((await plyd.info()).socket, plyd.socket);
    t.ok(plyd.lines().some(({ level, sockets }) => level === 40 && JSON.stringify(sockets) === '[""]'));
  },
  'api:unknown',
);

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

/** The real containerd of Debian with plyd as its snapshotter: a root, a state, a socket and a configuration of its own. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { leftBehind, type Plyd, sleep, until } from '../plyd/daemon.js';
import { argumentsFor, inMount, type Snapshots, socketOf, testSnapshots } from '../snapshotter/client.js';
import { type Finished, must, run, tearAway } from '../support/mounts.js';

const DOCUMENT = path.resolve(__dirname, '../../../docs/kubernetes.md');
const BUSYBOX = '/bin/busybox';
const installed = (name: string): boolean => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
const MISSING = ['containerd', 'ctr', 'runc'].find((name) => !installed(name)) ?? (fs.existsSync(BUSYBOX) ? undefined : 'busybox-static');
const REFERENCE = 'docker.io/library/box:1';

class Containerd {
  private readonly child: ChildProcess;
  readonly socket: string;
  private readonly log: string;

  constructor(private readonly plyd: Plyd) {
    const at = (name: string): string => path.join(plyd.base, name);
    this.socket = at('c.sock');
    this.log = at('containerd.log');
    const [, snippet] = /^```toml\n(# containerd.*?)^```$/ms.exec(fs.readFileSync(DOCUMENT, 'utf8')) ?? [];
    if (snippet === undefined) throw new Error(`${DOCUMENT} has no configuration for containerd`);
    const own = `version = 2\nroot = "${at('croot')}"\nstate = "${at('cstate')}"\n[grpc]\n  address = "${this.socket}"\n[ttrpc]\n  address = "${at('t.sock')}"\n`;
    const text = snippet.replace(/^version = 2\n/m, '').replace('/run/ply/containerd.sock', socketOf(plyd));
    fs.writeFileSync(at('containerd.toml'), own + text.replace(/\[plugins\."io\.containerd\.grpc\.v1\.cri".*$/s, '') + QUIET);
    const out = fs.openSync(this.log, 'a');
    this.child = spawn('containerd', ['--config', at('containerd.toml'), '--log-level', 'info'], { stdio: ['ignore', out, out] });
    fs.closeSync(out);
  }

  async ready(): Promise<void> {
    await until(
      `containerd: ${fs.readFileSync(this.log, 'utf8').slice(-1000)}`,
      async () => (await this.ctr('version')).status === 0,
      60_000,
    );
  }

  ctr(...args: string[]): Promise<Finished> {
    return run('ctr', ['--address', this.socket, ...args], { timeoutMs: 120_000 });
  }

  must(...args: string[]): Promise<string> {
    return must('ctr', ['--address', this.socket, ...args], { timeoutMs: 120_000 });
  }

  /** With a container of ours that runs until it is told to end. Whether that can be: containerd's own snapshotter tells. */
  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    if (this.child.exitCode !== null) return;
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 20_000);
    await ended;
    clearTimeout(timer);
    const points = fs
      .readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[4] ?? '');
    for (const point of points.filter((one) => one.startsWith(`${this.plyd.base}/c`)).reverse()) await tearAway(point);
  }
}

/** Without what needs what is not on every machine; garbage is collected only when it is asked for, not while a test looks at what nothing refers to. */
const QUIET = `
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[plugins."io.containerd.gc.v1.scheduler"]
  deletion_threshold = 1000000
  mutation_threshold = 0
  startup_delay = "0s"
`;

const sha256 = (file: string): string => createHash('sha256').update(fs.readFileSync(file)).digest('hex');

/** An image of as many layers, as `docker save` writes it: busybox, and a file in each further layer. */
async function makeImage(base: string, layers: number): Promise<string> {
  const directory = path.join(base, `image-${layers}`);
  const root = path.join(directory, 'root');
  for (const name of ['bin', 'etc', 'tmp']) fs.mkdirSync(path.join(root, name), { recursive: true });
  fs.copyFileSync(BUSYBOX, path.join(root, 'bin/busybox'));
  for (const name of ['sh', 'cat', 'ls', 'rm', 'sleep', 'touch', 'test']) fs.symlinkSync('busybox', path.join(root, 'bin', name));
  fs.writeFileSync(path.join(root, 'etc/motd'), 'hello\n');
  fs.writeFileSync(path.join(root, 'etc/gone'), 'gone\n');
  const names: string[] = [];
  for (let i = 1; i <= layers; i++) {
    const from = i === 1 ? root : path.join(directory, `l${i}`);
    if (i > 1) {
      fs.mkdirSync(path.join(from, 'etc'), { recursive: true });
      fs.writeFileSync(path.join(from, `etc/layer${i}`), `${i}\n`);
      fs.writeFileSync(path.join(from, 'etc/last'), `${i}\n`);
      if (i === 2) fs.writeFileSync(path.join(from, 'etc/.wh.gone'), '');
    }
    await must('tar', ['-C', from, '--numeric-owner', '--owner=0', '--group=0', '-cf', path.join(directory, `layer${i}.tar`), '.']);
    names.push(`layer${i}.tar`);
  }
  const config = {
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: { Cmd: ['/bin/sh'], Env: ['PATH=/bin'] },
    rootfs: { type: 'layers', diff_ids: names.map((name) => `sha256:${sha256(path.join(directory, name))}`) },
  };
  fs.writeFileSync(path.join(directory, 'config.json'), JSON.stringify(config));
  fs.writeFileSync(
    path.join(directory, 'manifest.json'),
    JSON.stringify([{ Config: 'config.json', RepoTags: [REFERENCE], Layers: names }]),
  );
  const archive = path.join(base, `image-${layers}.tar`);
  await must('tar', ['-C', directory, '-cf', archive, 'manifest.json', 'config.json', ...names]);
  return archive;
}

function testContainerd(name: string, body: (t: Test, containerd: Containerd, snapshots: Snapshots, plyd: Plyd) => Promise<void>): void {
  if (MISSING !== undefined) {
    t.test(name, { skip: `${MISSING} is not installed` }, () => Promise.resolve());
    return;
  }
  testSnapshots(name, async (t, snapshots, plyd) => {
    const containerd = new Containerd(plyd);
    try {
      await containerd.ready();
      await body(t, containerd, snapshots, plyd);
    } finally {
      await containerd.end();
      await snapshots.removeAll();
    }
  });
}

t.test('containerd understands each line of the configuration in docs/kubernetes.md', { skip: MISSING ?? false }, async (t) => {
  const [, snippet = ''] = /^```toml\n(# containerd.*?)^```$/ms.exec(fs.readFileSync(DOCUMENT, 'utf8')) ?? [];
  const file = path.join(t.testdir(), 'config.toml');
  fs.writeFileSync(file, snippet);
  const dump = await must('containerd', ['--config', file, 'config', 'dump']);
  t.match(dump, /\[proxy_plugins\.ply\]\s+address = "\/run\/ply\/containerd\.sock"\s+type = "snapshot"/);
  t.match(dump, /\[plugins\."io\.containerd\.grpc\.v1\.cri"\.containerd\][^[]*snapshotter = "ply"/);
});

const RUN = ['run', '--snapshotter', 'ply', '--runc-binary', 'runc'];

testContainerd('an image is imported, run, changed, and told apart from its layers', async (t, containerd, _snapshots, plyd) => {
  await containerd.must('images', 'import', '--snapshotter', 'ply', await makeImage(plyd.base, 3));
  const list = await containerd.must('snapshots', '--snapshotter', 'ply', 'ls');
  t.equal(list.match(/Committed/g)?.length, 3, list);
  const first = await containerd.ctr(
    ...RUN,
    '--rm',
    REFERENCE,
    'one',
    '/bin/sh',
    '-c',
    'cat /etc/motd /etc/last; ls /etc; echo mine >/etc/mine',
  );
  t.equal(first.status, 0, first.stderr);
  t.equal(first.stdout, 'hello\n3\nlast\nlayer2\nlayer3\nmotd\n');
  await containerd.must(...RUN, REFERENCE, 'two', '/bin/sh', '-c', 'echo mine >/etc/mine; rm /etc/motd');
  const diff = path.join(plyd.base, 'diff.tar');
  await must('sh', ['-c', 'ctr --address "$1" snapshots --snapshotter ply diff two >"$2"', 'sh', containerd.socket, diff]);
  const entries = (await must('tar', ['-tf', diff])).split('\n');
  t.ok(entries.includes('etc/mine') && entries.includes('etc/.wh.motd'), entries.join(' '));
  await containerd.must('containers', 'rm', '--keep-snapshot', 'two');
  await containerd.must('snapshots', '--snapshotter', 'ply', 'commit', 'changed', 'two');
  await containerd.must('snapshots', '--snapshotter', 'ply', 'view', 'of-changed', 'changed');
  const mount = await containerd.must('snapshots', '--snapshotter', 'ply', 'mounts', '/mnt', 'of-changed');
  const [, source = ''] = /^mount -t bind (\S+) \/mnt -o ro,rbind/.exec(mount) ?? [];
  t.equal(
    await inMount({ type: 'bind', source, options: ['ro', 'rbind'] }, 'cat etc/mine; ls etc; touch no 2>/dev/null || echo refused'),
    'mine\nlast\nlayer2\nlayer3\nmine\nrefused\n',
  );
  for (const key of ['of-changed', 'changed']) await containerd.must('snapshots', '--snapshotter', 'ply', 'rm', key);
});

testContainerd('what nothing refers to is collected', async (t, containerd, snapshots, plyd) => {
  await containerd.must('images', 'import', '--snapshotter', 'ply', await makeImage(plyd.base, 3));
  await containerd.must(...RUN, REFERENCE, 'one', '/bin/sh', '-c', 'echo mine >/etc/mine');
  t.equal((await snapshots.list()).length, 4);
  await containerd.must('images', 'rm', '--sync', REFERENCE);
  t.equal((await snapshots.list()).length, 4, 'a container refers to all of it');
  await containerd.must('containers', 'rm', '--keep-snapshot', 'one');
  await containerd.must('images', 'import', '--snapshotter', 'ply', await makeImage(plyd.base, 1));
  await containerd.must('images', 'rm', '--sync', REFERENCE);
  t.same(await snapshots.list(), []);
  t.same(fs.readdirSync(path.join(plyd.base, 'root/snapshots')), [], 'nothing is left in the directory');
});

testContainerd('an image of 128 layers runs', async (t, containerd, _snapshots, plyd) => {
  await containerd.must('images', 'import', '--snapshotter', 'ply', await makeImage(plyd.base, 128));
  const { status, stdout, stderr } = await containerd.ctr(
    ...RUN,
    '--rm',
    REFERENCE,
    'deep',
    '/bin/sh',
    '-c',
    'cat /etc/motd /etc/last /etc/layer77',
  );
  t.equal(status, 0, stderr);
  t.equal(stdout, 'hello\n128\n77\n');
});

testContainerd('containers run on while plyd is killed and started again', async (t, containerd, snapshots, plyd) => {
  await containerd.must('images', 'import', '--snapshotter', 'ply', await makeImage(plyd.base, 2));
  await containerd.must(...RUN, '--detach', REFERENCE, 'long', '/bin/sleep', '1000');
  try {
    const inside = (...args: string[]): Promise<string> => containerd.must('tasks', 'exec', '--exec-id', `e${Date.now()}`, 'long', ...args);
    t.equal(await inside('/bin/sh', '-c', 'echo before >/etc/before; cat /etc/motd'), 'hello\n');
    await plyd.stop('SIGKILL');
    t.equal(await inside('/bin/cat', '/etc/before'), 'before\n', 'without a plyd');
    await plyd.start(argumentsFor(plyd));
    t.equal(await inside('/bin/cat', '/etc/before', '/etc/last'), 'before\n2\n');
    await until(
      'containerd has found it again',
      async () => (await containerd.ctr('snapshots', '--snapshotter', 'ply', 'ls')).status === 0,
      60_000,
    );
    t.equal((await snapshots.list('kind==active')).length, 1);
    await containerd.must(...RUN, '--rm', REFERENCE, 'another', '/bin/test', '-e', '/etc/motd');
  } finally {
    await containerd.ctr('tasks', 'kill', '-s', 'SIGKILL', 'long');
    await until('its end', async () => /STOPPED/.test((await containerd.ctr('tasks', 'ls')).stdout), 60_000).catch(() => undefined);
    await containerd.ctr('tasks', 'rm', '-f', 'long');
    await containerd.ctr('containers', 'rm', 'long');
    await sleep(100);
  }
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

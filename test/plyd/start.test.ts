/** plyd's beginning and end: directories, the socket, its configuration, one at a time, and what stays mounted. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { createInterface } from 'node:readline';
import t from 'tap';
import { CANNOT, leftBehind, NO_FILE, Plyd, PROGRAM, sh, testWithPlyd } from './daemon.js';

const mode = (file: string): string => (fs.statSync(file).mode & 0o7777).toString(8);

function runPlyd(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [PROGRAM, ...NO_FILE, ...args], { encoding: 'utf8', timeout: 20_000 });
}

testWithPlyd('the store is for nobody else, the socket for its group', async (t, plyd) => {
  t.equal(mode(plyd.root), '700');
  t.equal(mode(plyd.socket), '660');
  t.match(await plyd.info(), { root: plyd.root, socket: plyd.socket, pid: plyd.child!.pid!, transport: { used: 'dev' }, engines: [] });
  t.ok(
    plyd.lines().every(({ level, time, msg }) => typeof level === 'number' && typeof time === 'number' && typeof msg === 'string'),
    'the log is JSON',
  );
  t.equal(await plyd.stop(), 0);
  t.notOk(fs.existsSync(plyd.socket), 'the socket goes with it');
});

testWithPlyd('two plyd on one root, or on one socket: the second one says who the first is, and the first goes on', async (t, plyd) => {
  const root = runPlyd('--root', plyd.root, '--socket', `${plyd.base}/other`);
  t.match(root, { status: 2, stderr: new RegExp(`another plyd \\(process ${plyd.child!.pid}\\)`) });
  const socket = runPlyd('--root', `${plyd.base}/other-root`, '--socket', plyd.socket);
  t.match(socket, { status: 2, stderr: /another plyd listens/ });
  t.equal((await plyd.info()).pid, plyd.child!.pid);
});

void t.test(
  'a socket that nobody answers is replaced; one that somebody else answers, and a file, are not',
  { skip: CANNOT ?? false },
  async (t) => {
    const plyd = new Plyd();
    const other = net.createServer();
    try {
      fs.writeFileSync(plyd.socket, 'precious');
      const args = ['--root', plyd.root, '--socket', plyd.socket];
      t.match(runPlyd(...args), { status: 2, stderr: /no socket/ });
      t.equal(fs.readFileSync(plyd.socket, 'utf8'), 'precious');
      fs.rmSync(plyd.socket);
      await new Promise<void>((resolve) => other.listen(plyd.socket, resolve));
      t.match(runPlyd(...args), { status: 2, stderr: /listens/ });
      t.ok(fs.existsSync(plyd.socket));
      other.close();
      await plyd.start();
      await plyd.stop('SIGKILL');
      t.ok(fs.existsSync(plyd.socket), 'kill -9 leaves it');
      await plyd.start();
      t.ok(await plyd.info());
    } finally {
      other.close();
      t.same(await plyd.cleanUp(), []);
    }
  },
);

testWithPlyd('SIGTERM leaves nothing mounted, and the catalog says so', async (t, plyd) => {
  await plyd.image();
  fs.mkdirSync(`${plyd.base}/m`);
  await plyd.create('img', 'c');
  const { mountpoint } = await plyd.begin('c');
  await plyd.must('POST', '/v1/mounts', { mountpoint: `${plyd.base}/m`, lower: [mountpoint!] });
  t.equal(plyd.mounted().length, 2);
  t.equal(await plyd.stop(), 0);
  t.same(plyd.mounted(), []);
  t.same(plyd.engines(), []);
  await plyd.start();
  t.match(await plyd.containers(), [{ name: 'c', state: 'stopped' }]);
  t.same(await plyd.mounts(), []);
  t.same(await plyd.disagreements(), []);
});

testWithPlyd(
  'with --keep-mounts all goes on without plyd, and the next one takes it over',
  async (t, plyd) => {
    await plyd.image();
    await plyd.create('img', 'c');
    const { mountpoint } = await plyd.begin('c');
    const engines = plyd.engines();
    const inside = spawn('sh', [
      '-c',
      'cd "$1" && exec 3>>log && while read -r word; do echo "$word" >&3 && cat etc/motd; done',
      'sh',
      mountpoint!,
    ]);
    const answers = createInterface({ input: inside.stdout })[Symbol.asyncIterator]();
    const limit = setTimeout(() => inside.kill('SIGKILL'), 60_000); // then a line is missing below
    const say = async (word: string): Promise<string> => {
      inside.stdin.write(`${word}\n`);
      const next = (await answers.next()) as IteratorResult<string, undefined>;
      return next.value ?? 'it has ended';
    };
    t.equal(await say('before'), 'base');
    t.equal(await plyd.stop('SIGTERM'), 0);
    t.equal(plyd.mounted().length, 1);
    t.equal(await say('without'), 'base', 'what runs in the container goes on');
    t.equal((await sh('cat "$1/etc/motd" && echo x >"$1/x"', mountpoint!)).status, 0, 'it can be used');
    await plyd.start();
    t.same(plyd.engines(), engines, 'by the same engine');
    t.match((await plyd.info()).engines, [{ pid: engines[0], mounts: 1, level: 1 }]);
    t.same(await plyd.disagreements(), []);
    t.match(await plyd.must('GET', '/v1/containers/c'), { state: 'running', mountpoint });
    t.equal((await sh('cat "$1/x"', mountpoint!)).stdout, 'x\n');
    t.equal(await say('after'), 'base');
    inside.stdin.end();
    await once(inside, 'close');
    clearTimeout(limit);
    t.equal((await sh('cat "$1/log"', mountpoint!)).stdout, 'before\nwithout\nafter\n', 'with the file that it had open');
    await plyd.end('c');
    t.same(plyd.mounted(), []);
  },
  ['--keep-mounts'],
);

void t.test(
  'the configuration: the command line goes before the environment, that before the file',
  { skip: CANNOT ?? false },
  async (t) => {
    const plyd = new Plyd();
    try {
      const config = `${plyd.base}/plyd.toml`;
      fs.writeFileSync(config, `root = "${plyd.base}/never"\nworkers = 1\nlog-level = "silent"\n`);
      await plyd.start(['--config', config], { PLY_ROOT: `${plyd.base}/nor-this` });
      t.equal((await plyd.info()).root, plyd.root);
      t.same(
        fs.readdirSync(plyd.base).filter((name) => name.startsWith('n')),
        [],
      );
      await plyd.image();
      await plyd.create('img', 'c');
      await plyd.begin('c');
      t.match((await plyd.info()).engines, [{ workers: 1 }]);
      fs.writeFileSync(config, 'rot = "/x"\n');
      t.match(runPlyd('--config', config), { status: 2, stderr: /no setting "rot".*root/ });
      fs.writeFileSync(config, 'root = \n');
      t.match(runPlyd('--config', config), { status: 2, stderr: /cannot read the configuration/ });
    } finally {
      t.same(await plyd.cleanUp(), []);
    }
    t.match(runPlyd('--log-level', 'loud'), { status: 2, stderr: /one of trace/ });
    t.match(runPlyd('--transport', 'tcp'), { status: 2, stderr: /one of auto, dev, uring/ });
    t.match(runPlyd('--what'), { status: 2, stderr: /--what/ });
    t.match(runPlyd('--help'), { status: 0, stdout: /--keep-mounts/ });
    t.match(runPlyd('--version'), { status: 0, stdout: /^plyd \d+\.\d+\.\d+\n$/ });
  },
);

void t.test('the log is JSON, or for people, as plyd is told', { skip: CANNOT ?? false }, async (t) => {
  const plyd = new Plyd();
  try {
    await plyd.start(['--log-pretty']);
    await plyd.stop();
    t.match(plyd.log(), /^\[[0-9:.]+\] INFO: plyd is ready$/m, 'without colours, as this is no terminal');
    t.same(plyd.lines(), []);
    await plyd.start(['--no-log-pretty']);
    await plyd.stop();
    t.ok(plyd.lines().some(({ msg }) => msg === 'plyd is ready'));
  } finally {
    t.same(await plyd.cleanUp(), []);
  }
  t.match(runPlyd('--log-pretty', '--no-log-pretty'), { status: 2, stderr: /which/ });
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

/** plyd's configuration: where it comes from, what is wrong with it. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import t from 'tap';
import { KEYS } from '../../daemon/config.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { CANNOT, NO_FILE, PROGRAM } from './daemon.js';

interface Ran {
  status: number | null;
  stdout: string;
  stderr: string;
}

type Dump = Record<string, { value: unknown; from: string }>;

const { PLY_ROOT: _root, PLY_SOCKET: _socket, ...CLEAN } = process.env;

function start(command: readonly string[], env: NodeJS.ProcessEnv): Ran {
  return spawnSync(command[0], command.slice(1), { encoding: 'utf8', timeout: 60_000, env: { ...CLEAN, ...env } });
}

const plyd = (...args: string[]): Ran => start([process.execPath, PROGRAM, ...args], {});

/** `body` has a directory, and a file in it with that text. */
async function withFile(text: string, body: (file: string, base: string) => void): Promise<void> {
  const base = temporaryDirectory();
  try {
    fs.writeFileSync(`${base}/plyd.toml`, text);
    body(`${base}/plyd.toml`, base);
  } finally {
    await removeDirectory(base);
  }
}

void t.test('config check: a good file, and what is wrong in a bad one', async (t) => {
  await withFile(
    'root = "/srv/ply"\nsocket = "/run/x"\ngroup = "root"\nlog-level = "warn"\nkeep-mounts = true\nworkers = 2\n',
    (file, base) => {
      for (const ways of [
        ['config', 'check', file],
        ['--config', file, 'config', 'check'],
      ])
        t.match(plyd(...ways), { status: 0, stdout: `${file}: ok\n`, stderr: '' });
      t.same(JSON.parse(plyd('config', 'check', file, '--json').stdout), { file, there: true, ok: true });
      const bad: [text: string, error: RegExp][] = [
        ['root = "srv"', /: root has to be a whole path/],
        ['socket = 1', /: socket has to be a whole path/],
        ['containerd-socket = ""', /: containerd-socket has to be/],
        ['group = "nobody-has-this-one"', /: group cannot be "nobody-has-this-one": there is no such group/],
        ['group = -1', /: group has to be/],
        ['log-level = "loud"', /: log-level cannot be "loud": it takes one of trace/],
        ['keep-mounts = "yes"', /: keep-mounts has to be true or false/],
        ['warm-engine = 1', /: warm-engine has to be true or false/],
        ['workers = 30', /: workers has to be a number from 1 to 29/],
        ['transport = "tcp"', /: transport cannot be "tcp": it takes one of auto/],
        ['rot = "/x"', /: there is no setting "rot": there are root/],
        ['root =', /cannot read the configuration/],
      ];
      for (const [text, error] of bad) {
        fs.writeFileSync(file, text);
        const found = plyd('config', 'check', file);
        t.match(found, { status: 2, stdout: '', stderr: error }, text);
        t.ok(found.stderr.includes(file), 'the file is named');
      }
      fs.writeFileSync(file, 'workers = 0');
      const asJson = plyd('config', 'check', file, '--json');
      t.equal(asJson.status, 2);
      t.match(JSON.parse(asJson.stdout), { file, ok: false, error: /workers/ });
      t.match(plyd('--config', file, '--root', base, '--socket', `${base}/s`), { status: 2, stderr: /workers/ }, 'plyd does not start');
      t.match(plyd('config', 'check', `${base}/none`), { status: 2, stderr: /none: there is no such file/ });
      t.match(plyd('--config', `${base}/none`, 'config', 'dump'), { status: 2, stderr: /none: there is no such file/ });
    },
  );
});

void t.test('config dump: what counts, and who said it', async (t) => {
  await withFile('root = "/file/root"\nsocket = "/file/socket"\nworkers = 3\nlog-level = "warn"\n', (file) => {
    const args = [process.execPath, PROGRAM, '--config', file, '--log-level', 'error', 'config', 'dump'];
    const env = { PLY_ROOT: '/environment/root' };
    const sources = JSON.parse(start([...args, '--json'], env).stdout) as Dump;
    t.same(Object.keys(sources).sort(), [...KEYS].sort(), 'every setting');
    t.match(sources, {
      root: { value: '/environment/root', from: 'PLY_ROOT' },
      socket: { value: '/file/socket', from: file },
      'containerd-socket': { value: null, from: 'default' },
      'log-level': { value: 'error', from: 'command line' },
      workers: { value: 3, from: file },
      'keep-mounts': { value: false, from: 'default' },
      'warm-engine': { value: true, from: 'default' },
    });
    const { stdout, stderr } = start(args, env);
    t.equal(stderr, '');
    t.match(stdout, /^root = "\/environment\/root" +# PLY_ROOT$/m);
    t.match(stdout, /^log-level = "error" +# command line$/m);
    t.match(stdout, /^#group = +# default: plyd's own$/m);
    fs.writeFileSync(file, stdout);
    const again = JSON.parse(plyd('--config', file, 'config', 'dump', '--json').stdout) as Dump;
    for (const key of KEYS) t.same(again[key].value, sources[key].value, `${key}: what is printed is a configuration`);
    const implied = plyd(...NO_FILE, '--containerd-socket', '/x', '--socket', '/y', 'config', 'dump', '--json');
    t.match(JSON.parse(implied.stdout), { 'keep-mounts': { value: true, from: 'default' } });
  });
});

void t.test('words that plyd does not know are refused', (t) => {
  for (const words of [['config'], ['config', 'lint'], ['config', 'dump', 'x'], ['config', 'check', 'a', 'b'], ['start'], ['--json']])
    t.match(plyd(...NO_FILE, ...words), { status: 2, stderr: /plyd --help/ }, words.join(' '));
  t.end();
});

void t.test("the usual file of a user is in that one's configuration directory, if it is there", { skip: CANNOT ?? false }, async (t) => {
  await withFile('workers = 5\n', (file, base) => {
    fs.chmodSync(base, 0o755);
    const run = (env: NodeJS.ProcessEnv): Ran => {
      const asUser = ['setpriv', '--reuid=12345', '--regid=12345', '--clear-groups', process.execPath, PROGRAM];
      return start([...asUser, '--socket', '/x', '--root', '/y', 'config', 'dump', '--json'], { HOME: base, XDG_CONFIG_HOME: '', ...env });
    };
    const workers = (env: NodeJS.ProcessEnv): unknown => (JSON.parse(run(env).stdout) as Dump)['workers'];
    t.same(workers({}), { value: null, from: 'default' });
    for (const directory of ['ply', '.config/ply']) {
      fs.mkdirSync(`${base}/${directory}`, { recursive: true });
      fs.copyFileSync(file, `${base}/${directory}/plyd.toml`);
    }
    t.same(workers({}), { value: 5, from: `${base}/.config/ply/plyd.toml` });
    t.same(workers({ XDG_CONFIG_HOME: base }), { value: 5, from: `${base}/ply/plyd.toml` });
    fs.chmodSync(`${base}/ply/plyd.toml`, 0);
    t.match(run({ XDG_CONFIG_HOME: base }), { status: 2, stderr: /cannot read the configuration .*EACCES/ });
  });
});

void t.test('the usual file of root is /etc/ply/plyd.toml, if it is there', { skip: CANNOT ?? false }, async (t) => {
  await withFile('workers = 7\n', (file, base) => {
    fs.mkdirSync(`${base}/etc/ply`, { recursive: true });
    for (const one of ['passwd', 'group']) fs.copyFileSync(`/etc/${one}`, `${base}/etc/${one}`);
    const inOwnEtc = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', 'mount --bind "$0" /etc && exec "$@"', `${base}/etc`];
    const run = (...args: string[]): Ran => start([...inOwnEtc, process.execPath, PROGRAM, 'config', ...args], {});
    t.match(run('check'), { status: 0, stdout: '/etc/ply/plyd.toml: ok, as it is not there\n' });
    t.match(JSON.parse(run('dump', '--json').stdout), { workers: { value: null, from: 'default' } });
    fs.copyFileSync(file, `${base}/etc/ply/plyd.toml`);
    t.match(run('check'), { status: 0, stdout: '/etc/ply/plyd.toml: ok\n' });
    t.match(JSON.parse(run('dump', '--json').stdout), { workers: { value: 7, from: '/etc/ply/plyd.toml' } });
  });
});

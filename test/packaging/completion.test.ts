/** Completion, in the shells themselves; plyd is a stand-in. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { SHELLS } from '../../cli/completion/scripts.js';
import { VERBS } from '../../cli/verbs/list.js';
import { StandIn } from '../cli/stand-in.js';
import { leftBehind } from '../support/leaks.js';
import { type Finished, run } from '../support/mounts.js';

const DIST = path.resolve(__dirname, '../..');
const without = (shell: string): string | false =>
  spawnSync('sh', ['-c', `command -v ${shell}`]).status !== 0 && `needs ${shell} (scripts/setup)`;

const CONTAINERS = ['web', 'worker'].map((name) => ({ id: `${name}0123456789`, name, state: 'stopped', imageName: 'debian:12' }));
const MOUNTS = [
  { id: '0123456789ab', mountpoint: '/mnt/one', container: null, snapshot: null },
  { id: 'ba9876543210', mountpoint: '/mnt/web', container: 'web0123456789', snapshot: null },
];

async function withNames(body: (run: (command: string, ...args: string[]) => Promise<Finished>) => Promise<void>): Promise<void> {
  const standIn = await StandIn.listen();
  standIn.on('GET /containers', { body: { containers: CONTAINERS } });
  standIn.on('GET /images', { body: { images: [{ id: 'abcdef012345', names: ['debian:12', 'debian:13'] }] } });
  standIn.on('GET /layers', { body: { layers: [{ id: 'fedcba987654', name: 'base', path: '/srv/base' }] } });
  standIn.on('GET /mounts', { body: { mounts: MOUNTS } });
  const env = {
    ...process.env,
    PATH: `${path.join(DIST, 'bin')}:${process.env['PATH']}`,
    PLY_SOCKET: standIn.socket,
    HOME: standIn.directory,
  };
  try {
    await body((command, ...args) => run(command, args, { timeoutMs: 60_000, env, cwd: standIn.directory }));
  } finally {
    await standIn.end();
  }
}

void t.test('ply completion prints what each shell takes', async (t) => {
  await withNames(async (run) => {
    for (const shell of SHELLS) {
      const { status, stdout } = await run('ply', 'completion', shell);
      t.equal(status, 0);
      t.equal(stdout, fs.readFileSync(path.join(DIST, 'completions', shell), 'utf8'));
      if (!without(shell)) t.match(await run(shell, '-n', path.join(DIST, 'completions', shell)), { status: 0, stderr: '' });
    }
    t.match(await run('ply', 'completion', 'tcsh'), { status: 2, stderr: /bash, zsh, fish/ });
  });
});

void t.test('candidates', async (t) => {
  await withNames(async (run) => {
    const rows: [line: string, expected: readonly string[]][] = [
      ['ply sta', ['start', 'stats']],
      ['ply layer ', VERBS.filter(({ name }) => name.startsWith('layer ')).map(({ name }) => name.slice(6))],
      ['ply stop ', ['web', 'worker']],
      ['ply --socket /x stop wo', []],
      ['ply stop --la', ['--lazy']],
      ['ply run d', ['debian:12', 'debian:13']],
      ['ply run debian:12 ', [':files']],
      ['ply run --name x debian:1', ['debian:12', 'debian:13']],
      ['ply layer verify ', ['base']],
      ['ply image create x ', ['base']],
      ['ply commit w', ['web', 'worker']],
      ['ply inspect ', ['web', 'worker', 'debian:12', 'debian:13', 'base', '/mnt/one']],
      ['ply umount /m', ['/mnt/one']],
      ['ply stats ', ['/mnt/one', '/mnt/web']],
      ['ply import ', [':files']],
      ['ply completion ', ['bash', 'zsh', 'fish']],
      ['ply mount -o lowerdir=/a,work', ['lowerdir=/a,workdir=', 'lowerdir=/a,workers=']],
      ['plyfs -o up', ['upperdir=']],
      ['plyd --ro', ['--root']],
      ['plyd ', ['config']],
      ['plyd config ', ['check', 'dump']],
      ['plyd --transport ', ['auto', 'dev', 'uring']],
      ['plyd --log-level e', ['error']],
    ];
    for (const [line, expected] of rows) {
      const [program, ...words] = line.split(' ');
      const { status, stdout, stderr } = await run('ply', 'completion', 'candidates', program, ...words);
      t.match({ status, stderr }, { status: 0, stderr: '' }, line);
      const found = stdout.split('\n').filter((one) => one !== '');
      t.same(
        found.map((one) => one.replace(/\t.*/, '')),
        expected,
        line,
      );
    }
  });
});

const bashScript = (line: string): string => `
source "$(dirname "$(command -v ply)")/../completions/bash"
COMP_LINE=$1 COMP_POINT=\${#1}
_ply
printf '%s\\n' "\${COMPREPLY[@]}"
# ${line}`;

void t.test('bash completes', { skip: without('bash') }, async (t) => {
  await withNames(async (run) => {
    const complete = async (line: string): Promise<string> => (await run('bash', '--norc', '-c', bashScript(line), 'bash', line)).stdout;
    t.equal(await complete('ply sto'), 'stop \n');
    t.equal(await complete('ply start w'), 'web \nworker \n');
    t.equal(await complete('ply rmi debian:'), '12 \n13 \n', 'readline ends a word at a colon');
    t.equal(await complete('ply mount -o lowerdir=/a,upper'), '/a,upperdir=\n');
    t.equal(await complete('plyd --keep'), '--keep-mounts \n');
    const { stdout } = await run('bash', '--norc', '-c', 'source <(ply completion bash); complete -p ply plyd plyfs');
    t.equal(stdout, 'complete -F _ply ply\ncomplete -F _ply plyd\ncomplete -F _ply plyfs\n');
  });
});

void t.test('fish completes', { skip: without('fish') }, async (t) => {
  await withNames(async (run) => {
    const complete = async (line: string): Promise<string> =>
      (await run('fish', '--no-config', '-c', 'ply completion fish | source; complete -C $argv[1]', line)).stdout;
    t.match(await complete('ply sto'), /^stop\tunmount containers\n$/);
    t.match(await complete('ply start w'), /^web\tcontainer of debian:12, stopped\nworker\t.*\n$/);
    t.match(await complete('plyd --keep'), /^--keep-mounts\t/);
  });
});

void t.test('without a plyd, names are missing and nothing else', async (t) => {
  const env = { ...process.env, PLY_SOCKET: '/nonexistent/sock' };
  const ask = (...words: string[]): Promise<Finished> =>
    run(path.join(DIST, 'bin/ply'), ['completion', 'candidates', 'ply', ...words], { timeoutMs: 60_000, env });
  t.match(await ask('stop', ''), { status: 0, stdout: '', stderr: '' });
  t.match(await ask('sto'), { status: 0, stdout: /^stop\t/, stderr: '' });
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

/** Completion, in the shells themselves; plyd is a stand-in. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
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

type Run = (command: string, ...args: string[]) => Promise<Finished>;

async function withNames(body: (run: Run, env: NodeJS.ProcessEnv) => Promise<void>): Promise<void> {
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
    await body((command, ...args) => run(command, args, { timeoutMs: 60_000, env, cwd: standIn.directory }), env);
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

/** Tab completes; Ctrl-X writes the line as it then is to the file, and begins another. */
const zshSetup = (load: string, file: string): string =>
  [
    'autoload -Uz compinit && compinit -u -D',
    load,
    `show() { print -r -- "$BUFFER" >>${file}; BUFFER= }; zle -N show; bindkey '^X' show; bindkey '^I' complete-word`,
    `zle-line-init() { print ready >>${file} }; zle -N zle-line-init`,
    '',
  ].join('; ');

/** What becomes of each line in an interactive zsh when Tab is typed at its end, and all that the terminal has shown. */
async function inZsh(load: string, lines: readonly string[], env: NodeJS.ProcessEnv): Promise<{ completed: string[]; shown: string }> {
  const file = path.join(env['HOME']!, 'zsh.out');
  fs.writeFileSync(file, '');
  const shell = spawn('script', ['-qec', 'zsh -f -i', '/dev/null'], { env: { ...env, TERM: 'dumb' }, cwd: env['HOME'] });
  const limit = setTimeout(() => shell.kill('SIGKILL'), 60_000);
  let shown = '';
  let ended = false;
  shell.stdout.setEncoding('utf8').on('data', (text: string) => (shown += text));
  const end = once(shell, 'close').then(() => (ended = true));
  const said = async (count: number): Promise<string[]> => {
    for (;;) {
      const found = fs.readFileSync(file, 'utf8').split('\n').slice(0, -1);
      if (found.length >= count) return found;
      if (ended) throw new Error(`zsh has ended: ${shown}`);
      await sleep(20);
    }
  };
  shell.stdin.write(`${zshSetup(load, file)}\n`);
  await said(1);
  for (const [i, line] of lines.entries()) {
    shell.stdin.write(`${line}\t\x18`);
    await said(i + 2);
  }
  const completed = (await said(lines.length + 1)).slice(1);
  shell.stdin.write('exit\n');
  await end;
  clearTimeout(limit);
  return { completed, shown };
}

void t.test('zsh completes', { skip: without('zsh') }, async (t) => {
  await withNames(async (_, env) => {
    const functions = path.join(env['HOME']!, 'site-functions');
    fs.mkdirSync(functions);
    fs.copyFileSync(path.join(DIST, 'completions/zsh'), path.join(functions, '_ply'));
    const rows: [line: string, completed: string][] = [
      ['ply sto', 'ply stop '],
      ['ply start we', 'ply start web '],
      ['ply start w', 'ply start w'], // web or worker
      ['ply rmi debian:13', 'ply rmi debian:13 '],
      ['ply mount -o lowerdir=/a,upper', 'ply mount -o lowerdir=/a,upperdir='],
      ['plyd --keep', 'plyd --keep-mounts '],
      ['ply import site', 'ply import site-functions/'],
    ];
    const lines = rows.map(([line]) => line);
    const sourced = await inZsh('source <(ply completion zsh)', lines, env);
    t.same(
      sourced.completed,
      rows.map(([, completed]) => completed),
      'sourced',
    );
    t.match(sourced.shown.replaceAll('\r', ''), /web {2}container of debian:12, stopped *\nworker {2}container of debian:12, stopped/);
    const installed = await inZsh(`fpath=(${functions} $fpath); compinit -u -D`, lines.slice(0, 2), env);
    t.same(installed.completed, ['ply stop ', 'ply start web '], 'as a function of fpath');
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

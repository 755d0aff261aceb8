/** The command line: help, usage errors, and the time that a start costs. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { nearest } from '../../cli/errors.js';
import { names, VERBS } from '../../cli/verbs/list.js';
import { quickYargs } from '../../cli/yargs.js';
import { run } from '../support/mounts.js';
import { ply, plyScript } from './stand-in.js';

t.test('--version', async (t) => {
  t.match(await ply(['--version']), { status: 0, stdout: /^ply \d+\.\d+\.\d+\n$/, stderr: '' });
  t.match(JSON.parse((await ply(['--json', '-V'])).stdout), { version: /^\d/ });
});

t.test('--help lists every verb', async (t) => {
  for (const words of [['--help'], ['-h'], ['help']]) {
    const { status, stdout, stderr } = await ply(words);
    t.match({ status, stderr }, { status: 0, stderr: '' });
    for (const { name, summary } of VERBS) t.match(stdout, new RegExp(`\\bply ${name} +${summary}\n`));
  }
  t.match(await ply(['layer', '--help']), { status: 0, stdout: /ply layer add .*ply layer rm /s });
});

t.test('every verb has a module, and help with examples', async (t) => {
  const modules = fs.readdirSync(path.join(path.dirname(plyScript), 'verbs')).filter((file) => file.endsWith('.js') && file !== 'list.js');
  t.same(modules.map((file) => file.slice(0, -3)).sort(), VERBS.map(({ module }) => module).sort());
  for (const name of names()) {
    const { status, stdout, stderr } = await ply([...name.split(' '), '--help']);
    t.match({ status, stderr }, { status: 0, stderr: '' }, name);
    t.match(stdout, /^Usage: ply .*--socket.*--json.*\nExamples:\n  ply /s);
    t.ok(Math.max(...stdout.split('\n').map((line) => line.length)) <= 125, 'no line is too long');
  }
  t.match(await ply(['help', 'image', 'create']), { stdout: /TOPMOST LAYER COMES FIRST/ });
  t.match(await ply(['rm', '--nonsense', '--help']), { status: 0, stdout: /^Usage: ply rm/ });
});

t.test('usage errors: status 2, and what was meant', async (t) => {
  const rows: [command: string, message: string | RegExp][] = [
    ['', 'no verb given: `ply --help` lists them'],
    ['pss', 'there is no verb "pss"\nDid you mean `ply ps`?'],
    ['strat web1', 'there is no verb "strat"\nDid you mean `ply start`?'],
    ['unmount /mnt', 'there is no verb "unmount"\nDid you mean `ply umount` or `ply mount`?'],
    ['verify app', 'there is no verb "verify"\nDid you mean `ply layer verify`?'],
    ['frobnicate', 'there is no verb "frobnicate": `ply --help` lists them'],
    ['layer vrify app', 'there is no verb "layer vrify"\nDid you mean `ply layer verify`?'],
    ['layer', /^ply layer what\?/],
    ['rm', 'rm needs a CONTAINER\nTry `ply rm --help`'],
    ['image create web', /^image create needs a NAME and one LAYER or more, the topmost first\n/],
    ['diff a b', 'too many words: b\nTry `ply diff --help`'],
    ['ps --al', /^unknown argument: al\nTry `ply ps --help`/],
    ['--frob ps', /^unknown argument: frob\n/],
    ['--frob', /^unknown argument: frob/],
    ['create web --name', /^not enough arguments following: name\n/],
    ['layer add a b --name x', /^one name cannot be given to several layers/],
    ['events --since yesterday', /^--since takes the number of an event/],
    ['mount /m', /^lowerdir is missing/],
    ['mount -o lowerdir=/a::/b /m', /^lowerdir has an empty entry/],
    ['mount -o lowerdir=/a,upperdir= /m', /^upperdir has no value/],
  ];
  for (const [command, message] of rows) {
    const list = command.split(' ').filter((word) => word !== '');
    const { status, stdout, stderr } = await ply(list);
    t.match({ status, stdout }, { status: 2, stdout: '' }, command);
    const said = stderr.replace(/^ply: /, '').trimEnd();
    if (typeof message === 'string') t.equal(said, message);
    else t.match(said, message);
  }
  const { status, stderr } = await ply(['pss', '--json']);
  t.equal(status, 2);
  t.match(JSON.parse(stderr), { error: { code: 'usage', message: 'there is no verb "pss"', near: ['`ply ps`'] } });
  const notUtf8 = await run('bash', ['-c', `'${process.execPath}' '${plyScript}' layer add $'/a\\xff'`]);
  t.match(notUtf8, { status: 2, stderr: /not UTF-8/ });
});

t.test('near words', (t) => {
  const list = ['start', 'stop', 'rm', 'ps', 'inspect'];
  t.same(nearest('sto', list), ['stop']);
  t.same(nearest('satrt', list), ['start']);
  t.same(nearest('inspekt', list), ['inspect']);
  t.same(nearest('xyz', list), []);
  t.end();
});

t.test('yargs is loaded without its slow parts', (t) => {
  t.ok(quickYargs(), 'its factory is where we look for it');
  t.end();
});

t.test('a start costs little: under 100 ms of CPU more than Node itself', (t) => {
  const cost = (...args: string[]): number => {
    const before = process.resourceUsage === undefined ? 0 : childrenCpu();
    spawnSync(process.execPath, args, { stdio: 'ignore', timeout: 20_000 });
    return childrenCpu() - before;
  };
  const median = (...args: string[]): number => Array.from({ length: 5 }, () => cost(...args)).sort((a, b) => a - b)[2];
  const node = median('-e', '0');
  const version = median(plyScript, '--version');
  const ps = median(plyScript, '--socket', '/none', 'ps');
  t.comment(`milliseconds of CPU: node ${node}, ply --version ${version}, ply ps ${ps}`);
  // A machine in use by others doubles these; what is caught here is a module that should not have been loaded.
  t.ok(version < node + 40, `ply --version: ${version} ms`);
  t.ok(ps < node + 90, `ply ps: ${ps} ms`);
  t.end();
});

/** Of this process's ended children, in milliseconds (proc(5): cutime, cstime). */
function childrenCpu(): number {
  const stat = fs
    .readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(stat[13]) + Number(stat[14])) * 10;
}

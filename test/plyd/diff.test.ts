/** What diff says, against a comparison of the two whole trees. */
import path from 'node:path';
import t, { type Test } from 'tap';
import type { Change, Mount } from '../../daemon/api/types.js';
import fs from 'node:fs';
import { leftBehind, type Plyd, sh, testWithPlyd } from './daemon.js';
import { must as command } from '../support/mounts.js';

/** Prints the changes from one tree to another, by docker's rules, one per line; to be run as a child, for it touches mounts. */
const COMPARE = `
const fs = require('fs');
const [before, after] = process.argv.slice(1);
const lines = [];
const stat = (file) => fs.lstatSync(file, { bigint: true, throwIfNoEntry: false });
const names = (file) => fs.readdirSync(file);
const attributes = (s) => [s.mode, s.uid, s.gid, s.mtimeNs, s.isDirectory() ? 0 : s.nlink].join();
const content = (file, s) => s.isSymbolicLink() ? fs.readlinkSync(file) : s.isFile() ? fs.readFileSync(file, 'latin1') : '';
function added(path) {
  lines.push('A ' + path);
  if (stat(after + path).isDirectory()) for (const name of names(after + path)) added(path + '/' + name);
}
function walk(path) {
  let changed = false;
  const [a, b] = [before + path, after + path];
  const old = stat(a).isDirectory() ? new Set(names(a)) : new Set();
  const now = new Set(names(b));
  for (const name of old) if (!now.has(name)) { lines.push('D ' + path + '/' + name); changed = true; }
  for (const name of now) {
    const child = path + '/' + name;
    if (!old.has(name)) { added(child); changed = true; continue; }
    const [x, y] = [stat(before + child), stat(after + child)];
    let differs = attributes(x) !== attributes(y);
    if (y.isDirectory()) { if (walk(child)) differs = true; }
    else if (!differs) differs = content(before + child, x) !== content(after + child, y);
    if (differs) { lines.push('C ' + child); changed = true; }
  }
  return changed;
}
walk('');
process.stdout.write(lines.map((line) => line + '\\0').sort().join(''));
`;

async function compare(t: Test, plyd: Plyd, image: string, merged: string, what: string): Promise<void> {
  const whole = (await command(process.execPath, ['-e', COMPARE, image, merged], { timeoutMs: 20_000 })).split('\0').slice(0, -1);
  const { changes } = await plyd.must<{ changes: Change[] }>('GET', '/v1/containers/c/diff');
  const ours = changes.map(({ kind, path }) => `${kind} ${path}`);
  t.same(
    whole.filter((line) => !ours.includes(line)),
    [],
    `${what}: nothing is missing`,
  );
  t.same(
    ours.filter((line) => !whole.includes(line)),
    [],
    `${what}: nothing is made up`,
  );
}

/** A container, and its image mounted beside it. */
async function pair(plyd: Plyd): Promise<{ merged: string; image: string }> {
  const { layers } = await plyd.image();
  const lower: string[] = [];
  for (const layer of layers) lower.push((await plyd.must<{ path: string }>('GET', `/v1/layers/${layer}`)).path);
  const image = path.join(plyd.base, 'image');
  fs.mkdirSync(image);
  await plyd.must<Mount>('POST', '/v1/mounts', { mountpoint: image, lower });
  await plyd.create('img', 'c');
  return { merged: (await plyd.begin('c')).mountpoint!, image };
}

const CASES: Record<string, string> = {
  'a new tree': 'mkdir -p a/b/c && echo x >a/b/c/d && ln -s nowhere a/link',
  'a changed mode of a directory': 'chmod 700 usr/lib',
  'a changed mode of a file': 'chmod 600 usr/lib/libc',
  'a directory that was replaced': 'rm -r etc && mkdir etc && echo mine >etc/hosts',
  'a directory that was replaced and is empty': 'rm -r var && mkdir var',
  'a directory that was moved': 'mv usr usr2',
  'a directory that was moved, and what is in it changed':
    'mv usr usr2 && rm usr2/lib/libc && echo x >usr2/bin/new && echo y >>usr2/bin/tool',
  'a directory that was moved below another': 'mkdir -p new/er && mv opt/a new/er/a && mv new/er/a/b new/b',
  'a directory that was moved and another in its place': 'mv etc etc2 && mkdir etc && echo x >etc/motd',
  'two directories that changed places': 'mv etc x && mv usr etc && mv x usr',
  'a file in the place of a directory': 'rm -r etc && echo x >etc',
  'a directory in the place of a file': 'rm etc/motd && mkdir -p etc/motd/sub && echo x >etc/motd/sub/x',
  'a hard link': 'ln etc/motd etc/motd2',
  'a file that was moved': 'mv etc/motd usr/motd',
  'what came and went': 'echo x >new && rm new && mkdir d && rmdir d',
  'names with newlines and spaces': 'mkdir "a b" && : >"a b/c\nd"',
};

testWithPlyd('diff: what people do', async (t, plyd) => {
  const { image } = await pair(plyd);
  for (const [what, script] of Object.entries(CASES)) {
    await plyd.remove('c', true);
    await plyd.create('img', 'c');
    const merged = (await plyd.begin('c')).mountpoint!;
    const { status, stderr } = await sh(`cd "$1" && ${script}`, merged);
    t.equal(status, 0, `${what}: ${stderr}`);
    await compare(t, plyd, image, merged, what);
  }
});

testWithPlyd('diff: paths that are longer than PATH_MAX', async (t, plyd) => {
  await plyd.image();
  const { upper } = await plyd.create('img', 'c');
  const { mountpoint } = await plyd.begin('c');
  const name = 'n'.repeat(200);
  const made = await sh(`cd "$1" && for i in $(seq 30); do mkdir ${name} && cd -P ${name} || exit 1; done; : >end`, mountpoint!);
  t.equal(made.status, 0, made.stderr);
  const { changes } = await plyd.must<{ changes: Change[] }>('GET', '/v1/containers/c/diff');
  t.equal(changes.length, 31);
  t.equal(changes[30].path, `/${`${name}/`.repeat(30)}end`);
  const { size } = (await plyd.containers(true))[0];
  t.match(size, { files: 1 });
  await plyd.remove('c', true);
  t.notOk(fs.existsSync(upper), 'and they are removed');
});

testWithPlyd('diff: after many changes at random', async (t, plyd) => {
  const { merged, image } = await pair(plyd);
  let seed = 7;
  const random = (below: number): number => (seed = (seed * 48271) % 2147483647) % below;
  const places = ['etc', 'usr', 'usr/lib', 'var/old', 'opt/a', 'opt', 'x', 'y', 'x/y', 'usr/z'];
  const files = ['motd', 'hosts', 'libc', 'one', 'new1', 'new2', 'b', 'c'];
  const place = (): string => places[random(places.length)];
  const file = (): string => `${place()}/${files[random(files.length)]}`;
  for (let round = 0; round < 12; round++) {
    const script: string[] = [];
    for (let i = 0; i < 8; i++) {
      const choices = [
        `echo ${round}.${i} >${file()}`,
        `rm -f ${file()}`,
        `mkdir -p ${place()}`,
        `rm -rf ${place()}`,
        `mv -T ${place()} ${place()}`,
        `mv ${place()} ${place()}`,
        `mv -f ${file()} ${file()}`,
        `chmod 7${random(8)}${random(8)} ${place()}`,
        `ln ${file()} ${file()}`,
        `echo more >>${file()}`,
      ];
      script.push(`{ ${choices[random(choices.length)]}; } 2>/dev/null`);
    }
    await sh(`cd "$1"; ${script.join('; ')}`, merged);
    await compare(t, plyd, image, merged, `round ${round}`);
  }
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

/** Containers on imported layers: their life, the death of engines and of plyd, and a store that something is missing from. */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { importToCatalog } from '../support/imported.js';
import { must as command } from '../support/mounts.js';
import { CANNOT, kill, leftBehind, Plyd, sh, until, writeTree } from './daemon.js';

const BASE = { 'etc/motd': 'base\n', 'etc/hosts': 'localhost\n', 'usr/lib/libc': 'the library\n', 'var/old/one': '1\n' };
const TOP = { 'etc/hosts': 'localhost of the top\n', 'usr/bin/tool': '#!/bin/sh\necho tool\n' };

interface Store {
  plyd: Plyd;
  /** ids of the layers, the bottom first */
  base: string;
  top: string;
}

/** The images "img" (imported over imported) and "mixed" (imported over a directory). */
function testImported(name: string, body: (t: Test, store: Store) => Promise<void>): void {
  void t.test(name, { skip: CANNOT ?? false }, async (t) => {
    const plyd = new Plyd();
    try {
      const [bottom, top] = ['bottom', 'top'].map((part) => path.join(plyd.base, part));
      writeTree(bottom, BASE);
      writeTree(top, TOP);
      await command('chmod', ['2751', top]);
      await command('chown', ['7:8', top]);
      await command('setfattr', ['-n', 'user.note', '-v', 'of the layer', top]);
      await command('mknod', [path.join(top, 'var'), 'c', '0', '0']);
      await command('touch', ['-d', '@1600000002.987654321', top]);
      const ids: string[] = [];
      for (const directory of [bottom, top]) ids.push(await importToCatalog(plyd.root, directory));
      await plyd.start();
      const directory = await plyd.must<{ id: string }>('POST', '/v1/layers', { path: bottom, name: 'bottom' });
      await plyd.must('POST', '/v1/images', { name: 'img', layers: [ids[1], ids[0]] });
      await plyd.must('POST', '/v1/images', { name: 'mixed', layers: [ids[1], directory.id] });
      await body(t, { plyd, base: ids[0], top: ids[1] });
    } finally {
      t.same(await plyd.cleanUp(), [], 'nothing is left');
    }
  });
}

async function start(plyd: Plyd, image: string, name: string): Promise<string> {
  await plyd.create(image, name);
  return (await plyd.begin(name)).mountpoint!;
}

const object = (plyd: Plyd, content: string): string => {
  const found = fs
    .readdirSync(path.join(plyd.root, 'objects'), { recursive: true, encoding: 'utf8' })
    .map((name) => path.join(plyd.root, 'objects', name))
    .find((file) => fs.statSync(file).isFile() && fs.readFileSync(file, 'utf8') === content);
  if (found === undefined) throw new Error(`no object has ${content}`);
  return found;
};

testImported('a container lives on imported layers, and on a mix with directories', async (t, { plyd }) => {
  for (const image of ['img', 'mixed']) {
    const created = await plyd.create(image, image);
    const root = await command('stat', ['-c', '%a %u:%g %.9Y', created.upper]);
    t.equal(root, '2751 7:8 1600000002.987654321\n', `${image}: its root directory is like the topmost layer's`);
    t.match(await command('getfattr', ['-n', 'user.note', created.upper]), /user.note="of the layer"/);
    const point = (await plyd.begin(image)).mountpoint!;
    const shown = await sh('cd "$1" && cat etc/motd etc/hosts && sh usr/bin/tool && ls && stat -c "%a %h" etc/motd', point);
    t.equal(shown.stdout, 'base\nlocalhost of the top\ntool\netc\nusr\n644 1\n', `${image}: both layers show, and nothing of the objects`);
    const written = await sh('cd "$1" && echo more >>etc/motd && chmod 600 etc/hosts && mv usr/lib usr/moved && rm usr/bin/tool', point);
    t.equal(written.status, 0, written.stderr);
    const after = 'cd "$1" && cat etc/motd etc/hosts usr/moved/libc && stat -c %a etc/hosts && ls usr/bin | wc -l';
    const expected = 'base\nmore\nlocalhost of the top\nthe library\n600\n0\n';
    t.equal((await sh(after, point)).stdout, expected, `${image}: what is changed shows`);
    await plyd.end(image);
    await plyd.begin(image);
    t.equal((await sh(after, point)).stdout, expected, `${image}: when it is started again, too`);
  }
  const { body } = await plyd.request<{ changes: { kind: string; path: string }[] }>('GET', '/v1/containers/img/diff');
  t.same(
    body.changes.map(({ kind, path }) => `${kind} ${path}`),
    ['C /etc', 'C /etc/hosts', 'C /etc/motd', 'C /usr', 'C /usr/bin', 'D /usr/bin/tool', 'D /usr/lib', 'A /usr/moved', 'A /usr/moved/libc'],
  );
  const fresh = await start(plyd, 'img', 'fresh');
  t.equal((await sh('cd "$1" && cat etc/motd usr/lib/libc', fresh)).stdout, 'base\nthe library\n', 'the layers are as they were');
  for (const name of ['img', 'mixed', 'fresh']) await plyd.remove(name, true);
});

testImported('engines die, and plyd does: containers on imported layers go on', async (t, { plyd }) => {
  const point = await start(plyd, 'img', 'one');
  await sh('echo more >>"$1/etc/motd"', point);
  const look = (): Promise<string> => sh('cat "$1/etc/motd" "$1/etc/hosts"', point).then(({ stdout }) => stdout);
  const expected = 'base\nmore\nlocalhost of the top\n';
  const [engine] = plyd.engines();
  kill(engine);
  await until('it is mounted again', async () => (await look()) === expected);
  t.pass('after the death of its engine');
  const [second] = plyd.engines();
  await plyd.stop('SIGKILL');
  t.equal(await look(), expected, 'while there is no plyd');
  await plyd.start();
  t.same(plyd.engines(), [second], 'the engine is adopted');
  t.equal(await look(), expected);
  await plyd.stop('SIGKILL');
  kill(second);
  await plyd.start();
  t.equal(await look(), expected, 'after the death of both');
  await plyd.remove('one', true);
});

testImported('what is missing from the store is an error that names it', async (t, { plyd, base, top }) => {
  const point = await start(plyd, 'img', 'one');
  fs.rmSync(object(plyd, 'the library\n'));
  fs.rmSync(object(plyd, 'localhost\n')); // hidden by the top: nobody asks for it
  const read = await sh('cd "$1" && cat usr/lib/libc; stat -c %s usr/lib/libc; cat etc/hosts', point);
  t.equal(read.stdout, '12\nlocalhost of the top\n');
  t.match(read.stderr, /libc: Input\/output error/);
  t.match(plyd.log(), new RegExp(`layer ${base.slice(0, 12)}.*/usr/lib/libc.*sha256:`));
  t.not((await sh('echo more >>"$1/usr/lib/libc"', point)).status, 0, 'nor can it be copied up');
  t.equal((await sh('chmod 600 "$1/usr/lib/libc" && stat -c %a "$1/usr/lib/libc"', point)).stdout, '600\n', 'but by its metadata');
  await plyd.end('one');

  const index = path.join(plyd.root, 'layers', top, 'index.db');
  fs.renameSync(index, `${index}.away`);
  t.match(await plyd.refused('POST', '/v1/containers/one/start'), { message: new RegExp(`layer ${top.slice(0, 12)} .*index`) });
  fs.renameSync(`${index}.away`, index);
  t.equal((await plyd.begin('one')).state, 'running', 'when it is back');
  await plyd.remove('one', true);
});

testImported('a damaged index is EIO, and no death', async (t, { plyd, base }) => {
  const index = path.join(plyd.root, 'layers', base, 'index.db');
  const whole = fs.readFileSync(index);
  for (const page of [1, 2, 3, 4, 5]) {
    if (page * 4096 >= whole.length) break;
    const broken = Buffer.from(whole);
    broken.fill(0xa5, page * 4096, (page + 1) * 4096);
    fs.writeFileSync(index, broken);
    const point = await start(plyd, 'img', `p${page}`);
    const walked = await sh('find "$1" -ls; cat "$1"/etc/motd "$1"/usr/lib/libc', point);
    t.ok(walked.status === 0 || /Input\/output error/.test(walked.stderr), `page ${page}: ${walked.stderr}`);
    t.equal((await sh('cat "$1/etc/hosts" || test -d "$1"', point)).status, 0, 'it still answers');
    await plyd.remove(`p${page}`, true);
  }
  t.match(plyd.log(), new RegExp(`layer ${base.slice(0, 12)}: its index cannot be read`));
  fs.writeFileSync(index, whole);
  const point = await start(plyd, 'img', 'whole');
  t.equal((await sh('cat "$1/usr/lib/libc"', point)).stdout, 'the library\n');
  await plyd.remove('whole', true);
});

t.test('nothing is left behind', async (t) => {
  t.same(await leftBehind(), []);
});

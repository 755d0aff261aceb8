/** The commands of docs/api.md, run for real in their order. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { run } from '../support/mounts.js';
import { leftBehind, sh, testWithPlyd, writeTree } from '../plyd/daemon.js';

const DOCUMENT = path.resolve(__dirname, '../../../docs/api.md');

testWithPlyd('the commands in docs/api.md do what they say', async (t, plyd) => {
  const text = fs.readFileSync(DOCUMENT, 'utf8');
  const commands = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(([, block]) => block.trim().split('\n'));
  t.ok(commands.length > 15);
  writeTree(path.join(plyd.base, 'srv'), { 'layers/base/etc/motd': 'base\n', 'layers/tools/bin/tool': 'tool\n', 'view/.keep': '' });
  await sh('tar -C "$1" -cf "$2" .', path.join(plyd.base, 'srv/layers/base'), path.join(plyd.base, 'srv/debian.tar'));
  for (const command of commands) {
    const real = command.replaceAll('/run/ply/ply.sock', plyd.socket).replaceAll('/srv/', `${plyd.base}/srv/`);
    const { status, stdout, stderr } = await sh(real);
    t.equal(status, 0, `${command}: ${stdout}${stderr}`);
    for (const line of stdout.trim().split('\n')) if (line !== '') t.doesNotThrow(() => JSON.parse(line) as unknown, line.slice(0, 60));
  }
  t.same(await plyd.containers(), []);
  t.same(await plyd.mounts(), []);
});

testWithPlyd('the program in docs/api.md runs', async (t, plyd) => {
  const text = fs.readFileSync(DOCUMENT, 'utf8');
  const [, program] = /^```js\n(.*?)^```$/ms.exec(text) ?? [];
  writeTree(path.join(plyd.base, 'srv'), { 'base/etc/motd': 'base\n' });
  await sh('tar -C "$1" -cf "$2" .', path.join(plyd.base, 'srv/base'), path.join(plyd.base, 'srv/debian.tar'));
  const directory = t.testdir({ node_modules: { plyfs: t.fixture('symlink', path.resolve(__dirname, '../../..')) } });
  fs.writeFileSync(path.join(directory, 'program.mjs'), (program ?? '').replaceAll('/srv/', `${plyd.base}/srv/`));
  const { status, stdout, stderr } = await run(process.execPath, ['program.mjs'], {
    cwd: directory,
    env: { ...process.env, PLY_SOCKET: plyd.socket },
    timeoutMs: 30_000,
  });
  t.equal(status, 0, stderr);
  t.match(stdout, /\/merged is of it: [a-z_]+\n$/);
  t.same(await plyd.containers(), []);
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

/** The commands of docs/api.md, run for real in their order. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { leftBehind, sh, testWithPlyd, writeTree } from '../plyd/daemon.js';

const DOCUMENT = path.resolve(__dirname, '../../../docs/api.md');

testWithPlyd('the commands in docs/api.md do what they say', async (t, plyd) => {
  const text = fs.readFileSync(DOCUMENT, 'utf8');
  const commands = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(([, block]) => block.trim().split('\n'));
  t.ok(commands.length > 15);
  writeTree(path.join(plyd.base, 'srv'), { 'layers/base/etc/motd': 'base\n', 'layers/tools/bin/tool': 'tool\n', 'view/.keep': '' });
  for (const command of commands) {
    const real = command.replaceAll('/run/ply/ply.sock', plyd.socket).replaceAll('/srv/', `${plyd.base}/srv/`);
    const { status, stdout, stderr } = await sh(real);
    t.equal(status, 0, `${command}: ${stdout}${stderr}`);
    for (const line of stdout.trim().split('\n')) if (line !== '') t.doesNotThrow(() => JSON.parse(line) as unknown, line.slice(0, 60));
  }
  t.same(await plyd.containers(), []);
  t.same(await plyd.mounts(), []);
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

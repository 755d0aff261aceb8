/** commit, export, history and tree through ply. */
import fs from 'node:fs';
import t from 'tap';
import { leftBehind, testWithPlyd } from '../plyd/daemon.js';
import { ply } from '../cli/stand-in.js';

testWithPlyd('ply commit, history, tree and export', async (t, plyd) => {
  await plyd.image();
  const { upper } = await plyd.create('img', 'c');
  fs.writeFileSync(`${upper}/new`, 'new\n');
  const must = async (...args: string[]): Promise<string> => {
    const { status, stdout, stderr } = await ply(args, { PLY_SOCKET: plyd.socket }, { cwd: plyd.base, timeoutMs: 20_000 });
    t.equal(status, 0, stderr);
    return stdout;
  };
  const id = (await must('commit', 'c', 'web', '-m', 'words', '--change', 'USER 1', '--change', 'ENV A=1')).trim();
  t.match(id, /^[0-9a-f]{64}$/);
  const history = (await must('history', 'web')).split('\n');
  t.match(history[0], /^IMAGE +CREATED +CREATED BY +SIZE +COMMENT$/);
  t.ok(history[1].startsWith(id.slice(0, 12)) && /ply commit c +4B +words$/.test(history[1]), history[1]);
  t.match(history[2], /^<missing> /);
  t.match(JSON.parse(await must('history', '--json', 'web')), [{ comment: 'words', size: 4 }, {}, {}]);
  const tree = await must('tree', 'web', '--hidden');
  t.match(tree, /^ {2}3 {2}\/new$/m);
  t.match(tree, /^1>2 {2}\/etc\/hosts {2}10B$/m);
  t.match(tree, /^LAYER +LAYER ID +ADDS +HIDES +WASTES +CREATED BY$/m);
  t.match(tree, / wasted$/m);
  t.match(JSON.parse(await must('tree', 'web', '--json')), { image: id, layers: [{}, {}, {}], entries: [{ path: '/etc' }] });
  t.match(await must('export', 'web', 'web.tar'), /web\.tar: .*sha256:[0-9a-f]{64}$/m);
  t.ok(fs.statSync(`${plyd.base}/web.tar`).isFile(), 'the name is the client’s to complete');
  t.match(JSON.parse(await must('export', 'web', 'web.tar', '-f', 'docker-archive', '--json')), {
    digest: `sha256:${id}`,
    compress: 'none',
  });

  const wrong = async (args: string[], message: RegExp, status = 1): Promise<void> => {
    const found = await ply(args, { PLY_SOCKET: plyd.socket }, { cwd: plyd.base, timeoutMs: 20_000 });
    t.match(found, { status, stderr: message });
  };
  await wrong(['commit', 'c', 'web', '--change', 'RUN x'], /--change "RUN x"/);
  await wrong(['commit', 'c', 'Web:'], /cannot be an image's name/);
  await wrong(['export', 'web', 'x', '--format', 'zip'], /format/, 2);
  await wrong(['history', 'wec'], /there is no image "wec"/);
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

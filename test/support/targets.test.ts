import fs from 'node:fs';
import t from 'tap';
import { type Tree, device, dir, file, hard, merge, opaque, sparse, spread, symlink, whiteout } from './layers.js';
import { leftBehind } from './leaks.js';
import { Syscalls, op } from './syscalls.js';
import { target } from './targets.js';
import { difference, manifest } from './trees.js';

const tree: Tree = {
  'd/one': file('1', { mode: 0o4755, xattrs: { 'user.k': 'v' } }),
  'd/two': '2',
  'd/e/three': sparse(1 << 20, [[4096, 10]]),
  'd/e/\\xff\\x20': symlink('one'),
  'd/e/four': hard('d/two'),
  'd/null': device('c', '1:3'),
  'd/private': dir({ mode: 0o700, uid: 1000, gid: 1000 }),
};

t.test('a tree spread over layers shows on kernel overlayfs as it does on the host', async (t) => {
  for (const count of [1, 3, 40]) {
    const host = await target('host').setup([tree]);
    t.teardown(() => host.teardown());
    const kernel = await target('kernel-overlay').setup(spread(tree, count));
    t.teardown(() => kernel.teardown());
    const [a, b] = [await manifest(host.mountpoint), await manifest(kernel.mountpoint)];
    t.ok(a.size >= 10);
    t.same(difference(a, b, { ignorePath: /^\.$/ }), [], `${count} layers`);
    t.not(difference(a, new Map([...b].slice(1))).length, 0);
  }
});

t.test('merge knows whiteouts, opaque directories and what is below them', (t) => {
  const merged = merge([
    { 'a/x': whiteout(), o: opaque(), 'o/n': '1', 'f/.wh.g': '' },
    { 'a/x': 'low', 'a/y': 'kept', 'o/m': 'low', 'f/g': 'low', 'f/h': 'kept' },
    { 'a/x': 'lowest', 'f/g': 'lowest' },
  ]);
  t.same(Object.keys(merged).sort(), ['a', 'a/y', 'f', 'f/h', 'o', 'o/n']);
  t.same(merge(spread(tree, 3)), merge([tree]));
  t.end();
});

t.test('a read-only target refuses changes, a remount shows the same', async (t) => {
  for (const name of ['host', 'kernel-overlay']) {
    const mounted = await target(name).setup([{ a: '1' }], { readOnly: true });
    t.teardown(() => mounted.teardown());
    await mounted.remount();
    t.throws(() => fs.writeFileSync(`${mounted.mountpoint}/a`, ''), { code: 'EROFS' });
    t.equal(fs.readFileSync(`${mounted.mountpoint}/a`, 'utf8'), '1');
  }
});

/** Servers of a mount, by their command line. */
function servers(mountpoint: string): number[] {
  const commands = fs.readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
    try {
      return [{ pid: Number(pid), command: fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8') }];
    } catch {
      return []; // it ended while we looked
    }
  });
  return commands.filter(({ command }) => command.includes(mountpoint)).map(({ pid }) => pid);
}

t.test('a mount whose server does not answer ends the helper, is torn away, and stops nobody', async (t) => {
  const mounted = await target('plyfs').setup([{ a: '1' }]);
  t.teardown(() => mounted.teardown());
  const stopped = servers(mounted.mountpoint);
  t.ok(stopped.length > 0);
  for (const pid of stopped) process.kill(pid, 'SIGSTOP');
  const start = Date.now();
  const helper = Syscalls.start('/', { timeoutMs: 1000, onHang: () => mounted.tearAway() });
  const outcome = await helper.run([op('stat', { path: mounted.mountpoint + '/none' })]).catch((error: unknown) => error);
  await helper.end();
  for (const pid of stopped) process.kill(pid, 'SIGCONT');
  t.match(outcome, { message: /no answer within 1000 ms/ });
  t.ok(Date.now() - start < 15_000);
});

t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

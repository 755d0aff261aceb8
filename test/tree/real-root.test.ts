// A whole Debian root: the same tree as under the kernel's overlayfs, copied and compared by several processes at once, and changed as
// containers change it, with the upper then read by the other of the two.
//
//   PLYFS_CONFORMANCE_TARGETS=kernel-overlay     develops the test without plyfs
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { leftBehind, removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { run } from '../support/mounts.js';
import { type Mounted, target } from '../support/targets.js';
import { type Manifest, difference, manifest } from '../support/trees.js';
import { type Debian, changeAsContainer, debianLayers } from './debian.js';

const wanted = (process.env['PLYFS_CONFORMANCE_TARGETS'] ?? 'plyfs,plyfs-one-worker').split(',').filter((name) => name !== 'host');
const LIMIT_MS = 300_000;

const base = temporaryDirectory();
let debian: Debian;
let expected: Manifest;

/** Sets a target up over the layers, and takes it down whatever happens. */
async function withTarget<T>(name: string, use: (mounted: Mounted) => Promise<T>, upper?: { upper: string; work: string }): Promise<T> {
  const mounted = await target(name).setup(debian.layers, upper ? { upper } : {});
  try {
    return await use(mounted);
  } finally {
    await mounted.teardown();
  }
}

function same(t: Pick<Test, 'pass' | 'fail'>, name: string, one: Manifest, other: Manifest): void {
  const found = difference(one, other);
  if (found.length === 0) t.pass(`${name} (${one.size} files)`);
  else t.fail(name, { found, at: null, stack: '' });
}

t.test('a Debian root in three layers', async (t) => {
  debian = await debianLayers(base);
  expected = await withTarget('kernel-overlay', (mounted) => manifest(mounted.mountpoint));
  t.ok(expected.size > 5000, `${expected.size} files`);
});

for (const name of wanted) {
  t.test(`${name}: the tree is the one that the kernel shows`, async (t) => {
    const start = Date.now();
    same(
      t,
      'with an upper',
      withoutTimeOfTop(expected),
      withoutTimeOfTop(await withTarget(name, (mounted) => manifest(mounted.mountpoint))),
    );
    t.comment(`mount, whole tree with contents, unmount: ${Date.now() - start} ms`);
    const readOnly = await target(name).setup(debian.layers, { readOnly: true });
    t.teardown(() => readOnly.teardown());
    const seen = await manifest(readOnly.mountpoint);
    const strip = (tree: Manifest): Manifest => new Map([...tree].filter(([file]) => file !== '.')); // the root is the upper's there
    same(t, 'without an upper', strip(expected), strip(seen));
  });

  t.test(`${name}: two processes copy the root at once, and compare`, async (t) => {
    await withTarget(name, async ({ mountpoint }) => {
      const script =
        'for d in bin etc lib usr var opt; do [ ! -e $d ] || cp -a $d $0/ || exit 1; done; for d in etc usr var opt; do diff -r --no-dereference $d $0/$d || exit 2; done';
      const copies = ['copy1', 'copy2'];
      for (const copy of copies) fs.mkdirSync(path.join(mountpoint, copy));
      const done = await Promise.all(copies.map((copy) => run('sh', ['-c', script, copy], { cwd: mountpoint, timeoutMs: LIMIT_MS })));
      for (const { status, stderr, stdout } of done) t.equal(status, 0, `${stdout.slice(0, 1000)}${stderr.slice(0, 1000)}`);
      const [one, two] = [await manifest(mountpoint, { path: 'copy1' }), await manifest(mountpoint, { path: 'copy2' })];
      same(t, 'both copies are equal', withoutTimeOfTop(one), withoutTimeOfTop(two));
      const removed = await run('rm', ['-rf', ...copies], { cwd: mountpoint, timeoutMs: LIMIT_MS });
      t.equal(removed.status, 0, 'and can be removed');
      same(t, 'which leaves the root as it was', withoutTimeOfTop(expected), withoutTimeOfTop(await manifest(mountpoint)));
    });
  });

  const writers: [string, string][] = [
    [name, 'kernel-overlay'],
    ['kernel-overlay', name],
  ];
  for (const [writer, reader] of writers) {
    t.test(`a container's changes written by ${writer} are the same tree under ${reader}`, async (t) => {
      await withTarget(writer, async (mounted) => {
        await changeAsContainer(mounted, debian.debs);
        const written = await manifest(mounted.mountpoint);
        await mounted.remount();
        same(t, `under ${writer} after a remount`, written, await manifest(mounted.mountpoint));
        await mounted.unmount();
        const { upper, work } = mounted;
        const read = await withTarget(reader, (other) => manifest(other.mountpoint), { upper, work });
        same(t, `under ${reader}`, written, read);
      });
    });
  }
}

/** The root's own time changes when something is made in it. */
function withoutTimeOfTop(tree: Manifest): Manifest {
  const top = { ...tree.get('.') };
  delete top.mtime;
  return new Map(tree).set('.', top);
}

t.test('nothing is left behind', async (t) => {
  await removeDirectory(base);
  t.same(await leftBehind(), []);
});

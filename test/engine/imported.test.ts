/** A mount of imported layers against a mount of the same layers as directories: every attribute of every file. */
import fs from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { importDirectory } from '../support/imported.js';
import { build, device, dir, fifo, file, hard, opaque, socket, sparse, symlink, type Tree, whiteout } from '../support/layers.js';
import { leftBehind, removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { must } from '../support/mounts.js';
import { type Mounted, target } from '../support/targets.js';
import { difference, manifest } from '../support/trees.js';

const CANNOT = process.geteuid!() !== 0 ? 'needs root' : !fs.existsSync('/dev/fuse') ? 'needs /dev/fuse' : false;

/** VFS_CAP_REVISION_2, cap_net_raw+ep */
const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex');

const [TYPE, DIRECTORY, PLAIN] = [0o170000, 0o040000, 0o040755];

const LAYERS: readonly Tree[] = [
  {
    'etc/passwd': 'new',
    'etc/gone': whiteout(),
    'etc/was-directory': file('now a file', { uid: 5 }),
    'usr/closed': opaque(),
    'usr/closed/only': 'this',
    'usr/.wh.marked': '',
    'usr/other/.wh..wh..opq': '',
    'usr/other/kept': 'kept',
    'usr/lib/moved': symlink('../../etc/passwd', { uid: 1, gid: 2, mtime: '1500000000.000000001' }),
  },
  {
    etc: dir({ mode: 0o2775, uid: 10, gid: 20, xattrs: { 'user.of': 'etc' } }),
    'etc/gone': 'gone',
    'etc/hosts': file('hosts', { mode: 0o600, mtime: '1234567890.987654321' }),
    'usr/bin/su': file('su', { mode: 0o4755 }),
    'usr/bin/ping': file('ping', { xattrs: { 'security.capability': CAPABILITY, 'trusted.note': 'x', 'user.empty': '' } }),
    'usr/bin/one': 'linked',
    'usr/bin/two': hard('usr/bin/one'),
    'usr/lib/three': hard('usr/bin/one'),
    'usr/marked': 'hidden',
    'usr/lib/same': 'same content',
    'usr/lib/as': 'same content',
    'names/\\xff\\xfe\\x01': 'bytes',
    [`names/${'n'.repeat(255)}`]: 'long',
  },
  {
    'etc/passwd': 'old',
    'etc/was-directory/x': 'x',
    'usr/closed/hidden': 'hidden',
    'usr/other/hidden': 'hidden',
    'usr/lib/deep/er/and/deeper': 'deep',
    'dev/null': device('c', '1:3', { mode: 0o666 }),
    'dev/sda': device('b', '8:259', { uid: 0, gid: 6, mode: 0o660 }),
    'dev/fifo': fifo(),
    'dev/log': socket(),
    'big/sparse': sparse(9 << 20, [[1 << 20, 4096]]),
  },
];

/** The same lowers, both ways. */
async function both(t: Test, lowers: readonly (Tree | string)[], readOnly = false): Promise<{ one: Mounted; two: Mounted }> {
  const one = await target('plyfs-shared').setup(lowers, { readOnly });
  t.teardown(() => one.teardown());
  const two = await target('plyfs-imported').setup(one.lowers, { readOnly });
  t.teardown(() => two.teardown());
  return { one, two };
}

/** Of the root, an upper's own. */
const compare = async ({ one, two }: { one: Mounted; two: Mounted }): Promise<string[]> =>
  difference(await manifest(one.mountpoint), await manifest(two.mountpoint), { ignorePath: /^\.$/, names: ['directories', 'imported'] });

for (const readOnly of [false, true]) {
  t.test(`the tree is the same, ${readOnly ? 'read-only' : 'writable'}`, { skip: CANNOT }, async (t) => {
    const mounted = await both(t, LAYERS, readOnly);
    t.same(await compare(mounted), []);
    const { mountpoint } = mounted.two;
    const inodes = [...(await manifest(mountpoint, { ino: true, hash: false })).values()].map(({ ino }) => ino);
    t.equal(new Set(inodes).size, inodes.length - 2, 'but the three names of one file, each has a number of its own');
    const { f_type } = JSON.parse(await must('stat', ['-f', '-c', '{"f_type":"%t"}', mountpoint])) as { f_type: string };
    t.equal(f_type, '65735546', 'statfs');
    t.same(await compare(mounted), [], 'a second time');
  });
}

t.test('128 layers', { skip: CANNOT }, async (t) => {
  const layers = Array.from({ length: 128 }, (_, i): Tree => {
    const below = i < 127 ? { [`d/hidden-${i + 1}`]: whiteout() } : {};
    return { [`d/file-${i}`]: `${i}`, [`d/hidden-${i}`]: 'x', 'd/same': `${i}`, [`d/s${i % 7}/f${i}`]: `${i}`, ...below };
  });
  const mounted = await both(t, layers);
  t.same(await compare(mounted), []);
  t.equal(fs.readFileSync(path.join(mounted.two.mountpoint, 'd/same'), 'utf8'), '0');
});

t.test('directories that a layer does not have itself', { skip: CANNOT }, async (t) => {
  const base = temporaryDirectory();
  t.teardown(() => removeDirectory(base));
  const layers: Tree[] = [
    { 'usr/lib/new': 'new', 'fresh/dir/file': 'x' },
    { 'usr/lib/other': 'other' },
    { usr: dir({ mode: 0o700, uid: 7, mtime: '1000000000.5' }), 'usr/lib': dir({ mode: 0o1777, gid: 8, xattrs: { 'user.of': 'lib' } }) },
  ];
  const ids: string[] = [];
  for (const [i, layer] of layers.entries()) {
    const directory = path.join(base, `l${i}`);
    fs.mkdirSync(directory);
    await build(directory, layer);
    if (i === 2) fs.chmodSync(directory, 0o711);
    const id = await importDirectory(path.join(base, 'store'), directory);
    ids.push(id);
    if (i === 2) continue;
    const db = new Database(path.join(base, 'store/layers', id, 'index.db'));
    db.exec(
      `UPDATE entries SET implicit = 1, mode = ${PLAIN}, uid = 0, gid = 0, mtime = 0, mtime_nsec = 0 WHERE (mode & ${TYPE}) = ${DIRECTORY}`,
    );
    db.close();
  }
  const lowers = layers.map((_, i) => path.join(base, `l${i}`));
  const mounted = await target('plyfs-imported').setup(lowers, { store: { root: path.join(base, 'store'), ids }, readOnly: true });
  t.teardown(() => mounted.teardown());
  const seen = await manifest(mounted.mountpoint);
  t.match(seen.get('.'), { mode: '0711' }, 'the root');
  t.match(seen.get('usr'), { mode: '0700', uid: '7', mtime: '1000000000.500000000' });
  t.match(seen.get('usr/lib'), { mode: '1777', gid: '8', 'x.user.of': 'lib' });
  t.match(seen.get('fresh/dir'), { mode: '0755', uid: '0', mtime: '0.000000000' });
  t.equal(seen.get('usr/lib/new')?.['size'], '3');
  const writable = await target('plyfs-imported').setup(lowers, { store: { root: path.join(base, 'store'), ids } });
  t.teardown(() => writable.teardown());
  await must('sh', ['-c', 'echo >"$0/usr/lib/more" && touch -d @1000000001 "$0/usr"', writable.mountpoint]);
  t.match((await manifest(writable.upper)).get('usr/lib'), { mode: '1777', gid: '8', 'x.user.of': 'lib' }, 'copied up as it shows');
});

t.test('a layer whose root hides what is below', { skip: CANNOT }, async (t) => {
  const base = temporaryDirectory();
  t.teardown(() => removeDirectory(base));
  const mounted = await both(t, [
    { a: 'a', '.wh..wh..opq': '' },
    { b: 'b', 'c/d': 'd' },
  ]);
  t.same(fs.readdirSync(mounted.two.mountpoint), ['a']);
  t.same(await compare(mounted), []);
});

t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

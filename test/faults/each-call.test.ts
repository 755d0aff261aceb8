/**
 * Errors of the layers reach the caller as themselves, wherever they strike, and change nothing else: each errno in each system call of each
 * operation. PLYFS_FAULT_TRIALS is a pattern for the names.
 */
import t, { type Test } from 'tap';
import { type Tree, dir, fifo, file, hard, sparse, symlink, whiteout } from '../support/layers.js';
import { buildFaults } from '../support/faults.js';
import { leftBehind } from '../support/leaks.js';
import { type Trial, type Tried, tryAll } from './trials.js';

const raw = String.raw;
const long = process.env['PLYFS_TEST_LONG'] === '1';
const ERRNOS = long ? (['EIO', 'ENOSPC', 'EDQUOT', 'EROFS', 'EMFILE', 'ENOMEM'] as const) : (['EIO'] as const);
const wanted = new RegExp(process.env['PLYFS_FAULT_TRIALS'] ?? '');

const LOWER: Tree = {
  f: file('the lower file', { mode: 0o640, uid: 3, xattrs: { 'user.k': 'v' } }),
  g: file('another', { mode: 0o6755 }),
  big: sparse(300_000, [[0, 300_000]]),
  'h/one': 'linked',
  'h/two': hard('h/one'),
  l: symlink('f'),
  p: fifo(),
  'd/x': '1',
  'd/s/y': '2',
  e: dir({ mode: 0o750 }),
  gone: 'hidden',
  'gonedir/z': 'hidden',
};
const UPPER: Tree = {
  gone: whiteout(),
  gonedir: whiteout(),
  u: file('in the upper', { mode: 0o600 }),
  'ud/x': '3',
  ue: dir(),
  e: dir({ mode: 0o750, xattrs: { 'user.e': '1' } }),
};
const CAPABILITY = raw`\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00`;
const ACL = raw`\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x02\x00\x07\x00\xe8\x03\x00\x00\x04\x00\x05\x00\xff\xff\xff\xff\x10\x00\x07\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff`;

/** Of the tree above. */
const trial = (name: string, step: string, more: Partial<Trial> = {}): Trial => ({ name, step, lower: LOWER, upper: UPPER, ...more });

const TRIALS: readonly Trial[] = [
  trial('chmod of a lower', 'chmod f 0600'),
  trial('chown of a lower', 'chown f owner=5 group=6'),
  trial('utimens of a lower', 'utimens f mtime=5.5'),
  trial('setxattr of a lower', 'setxattr f user.n 1'),
  trial('removexattr of a lower', 'removexattr f user.k'),
  trial('chmod of a lower symlink by chown', 'chown l owner=5'),
  trial('chmod of a lower fifo', 'chmod p 0600'),
  trial('chmod of a lower directory', 'chmod d 0700'),
  trial('chmod below two lower directories', 'chmod d/s/y 0600'),
  trial('write to a small lower', 'write f off=4 data=X'),
  trial('write to a lower', 'write big off=1000 data=X'),
  trial('write to a metacopy', 'write big off=1000 data=X', { before: 'chmod big 0600' }),
  trial('write to a metacopy with capabilities', 'open w big flags=O_WRONLY', {
    before: `setxattr big security.capability ${CAPABILITY}`,
    after: 'getxattr big security.capability',
    // they are put by while data are written: where they cannot be put back either, that is done at the next write
    partial: true,
  }),
  trial('truncate of a lower to zero', 'truncate big 0'),
  trial('truncate of a lower', 'truncate big 100000'),
  trial('truncate of a lower to more', 'truncate f 1000'),
  trial('truncate of a metacopy', 'truncate big 100000', { before: 'chmod big 0600' }),
  trial('O_TRUNC of a lower', 'write big x flags=O_TRUNC'),
  trial('unlink of a lower', 'unlink f'),
  trial('unlink of an upper', 'unlink u'),
  trial('unlink of an upper over a lower', 'unlink f', { before: 'chmod f 0600' }),
  trial('unlink of a lower that is open', 'unlink f', { before: 'open r f', after: 'read fd=r' }),
  trial('unlink of an upper that is open', 'unlink u', { before: 'open r u flags=O_RDWR', after: 'read fd=r\nwrite fd=r off=0 data=x' }),
  trial('unlink of a copied-up lower that is open', 'unlink f', { before: 'open r f flags=O_RDWR', after: 'write fd=r off=0 data=x' }),
  trial('unlink of one name of a lower group', 'unlink h/one', { after: 'stat h/two' }),
  trial('unlink of one name of a copied-up group', 'unlink h/one', { before: 'write h/two X', after: 'stat h/two' }),
  trial('unlink of the last name of a group', 'unlink h/two', { before: 'unlink h/one' }),
  trial('unlink of the last name of an open group', 'unlink h/two', {
    before: 'unlink h/one\nopen r h/two flags=O_RDWR',
    after: 'read fd=r',
  }),
  trial('unlink of one of two upper names', 'unlink u', { before: 'link u v', after: 'stat v' }),
  trial('write to one name of a lower group', 'write h/one X', { after: 'read h/two' }),
  trial('chmod of one name of a lower group', 'chmod h/one 0600', { after: 'read h/two' }),
  trial('rename of a lower', 'rename f n'),
  trial('rename of a lower onto a lower', 'rename f g'),
  trial('rename of a lower onto an open lower', 'rename f g', { before: 'open r g', after: 'read fd=r' }),
  trial('rename of a lower onto an upper', 'rename f u'),
  trial('rename of an upper onto an open upper', 'rename v u', {
    before: 'write v 1 flags=O_CREAT\nopen r u flags=O_RDWR',
    after: 'read fd=r off=0\nwrite fd=r off=0 data=x',
  }),
  trial('rename of an upper onto one of two upper names', 'rename v u', { before: 'write v 1 flags=O_CREAT\nlink u w', after: 'stat w' }),
  trial('rename of a lower onto a whiteout', 'rename f gone'),
  trial('rename of a name of a group', 'rename h/one n', { after: 'read h/two' }),
  trial('rename of a name of a copied-up group', 'rename h/one n', { before: 'write h/two X', after: 'read h/two' }),
  trial('rename onto a name of a group', 'rename f h/one', { after: 'read h/two' }),
  trial('rename of a lower directory', 'rename d n'),
  trial('rename of a lower directory onto an empty merged one', 'rename d e'),
  trial('rename of an upper directory onto an upper one', 'rename ud ue'),
  trial('rename of an upper directory onto one of whiteouts', 'rename ud e2', {
    lower: { ...LOWER, 'e2/q': '1' },
    before: 'unlink e2/q',
  }),
  trial('rename of an upper directory onto a whiteout', 'rename ud gonedir'),
  trial('EXCHANGE of two lowers', 'rename f g flags=EXCHANGE'),
  trial('EXCHANGE of a lower and an upper', 'rename f u flags=EXCHANGE'),
  trial('EXCHANGE of a file and a directory', 'rename f d flags=EXCHANGE'),
  trial('EXCHANGE of two directories', 'rename d ud flags=EXCHANGE'),
  trial('EXCHANGE of a name of a group', 'rename h/one f flags=EXCHANGE', { after: 'read h/two' }),
  trial('RENAME_WHITEOUT of a lower', 'rename f n flags=WHITEOUT'),
  trial('RENAME_WHITEOUT of an upper', 'rename u n flags=WHITEOUT'),
  trial('link of a lower', 'link f n'),
  trial('link of a lower onto a whiteout', 'link f gone'),
  trial('link of an upper', 'link u n'),
  trial('link of a name of a group', 'link h/one n', { after: 'stat h/two' }),
  trial('link of a temporary file', 'linkfd t n', {
    before: 'open t . flags=O_TMPFILE|O_RDWR\nwrite fd=t data=hello',
    after: 'write fd=t off=0 data=hello',
  }),
  trial('a temporary file', 'open t d flags=O_TMPFILE|O_RDWR uid=0', { after: 'stat d' }),
  trial('mkdir', 'mkdir n 0751'),
  trial('mkdir in a lower directory', 'mkdir d/n 0751'),
  trial('mkdir onto a whiteout', 'mkdir gone 0751'),
  trial('mkdir onto the whiteout of a directory', 'mkdir gonedir 0751'),
  trial('mkdir in a setgid directory', 'mkdir sg/n 0751 uid=1000', { lower: { ...LOWER, sg: dir({ mode: 0o2777, gid: 42 }) } }),
  trial('creation', 'write n 1 flags=O_CREAT|O_EXCL'),
  trial('creation by an ordinary user', 'open n e/n flags=O_CREAT|O_RDWR mode=04711 uid=1000', {
    upper: { ...UPPER, e: dir({ mode: 0o777 }) },
    lower: { ...LOWER, e: dir({ mode: 0o777 }) },
    after: 'stat e/n',
    // the kernel asks for the attributes of what was made before it hands out the descriptor
    partial: true,
  }),
  trial('creation onto a whiteout', 'write gone 1 flags=O_CREAT|O_EXCL'),
  trial('creation under a default ACL onto a whiteout', 'write a/x 1 flags=O_CREAT|O_EXCL', {
    lower: { 'a/x': '1' },
    upper: {},
    before: `setxattr a system.posix_acl_default ${ACL}\nunlink a/x`,
  }),
  trial('symlink', 'symlink t n'),
  trial('symlink onto a whiteout', 'symlink t gone'),
  trial('mknod of a fifo', 'mknod n 010644'),
  trial('mknod of a char 0/0', 'mknod n 020644 0:0'),
  trial('mknod of a char 0/0 onto a whiteout', 'mknod gone 020644 0:0'),
  trial('rmdir of a lower', 'rmdir e2', { lower: { ...LOWER, e2: dir() } }),
  trial('rmdir of an upper', 'rmdir ue'),
  trial('rmdir of a merged one', 'rmdir e'),
  trial('rmdir of one of whiteouts', 'rmdir d/s', { before: 'unlink d/s/y' }),
  trial('setxattr of a default ACL', `setxattr e system.posix_acl_default ${ACL}`),
  trial('an ACL on a lower', `setxattr f system.posix_acl_access ${ACL}`),
  trial('fallocate', 'fallocate w 0 500000', { before: 'open w u flags=O_RDWR' }),
  trial('copy_file_range', 'copyrange r w off=0 tooff=0 len=100000', { before: 'open r big\nopen w u flags=O_RDWR', partial: true }),
  trial('fsync', 'fsync w', { before: 'open w u flags=O_RDWR\nwrite fd=w data=x' }),
  trial('reading', 'read f'),
  trial('reading what is larger', 'read big'),
  trial('listing', 'list .'),
  trial('listing a merged directory', 'list e'),
  trial('xattrs', 'listxattr f'),
  trial('a symlink', 'readlink l'),
  trial('a nested lower', 'stat d/s/y'),
  trial('an opaque directory', 'list o', {
    lower: { 'o/below': '1' },
    upper: { o: dir({ xattrs: { 'trusted.overlay.opaque': 'y' } }), 'o/above': '2' },
  }),
  trial('a redirected directory', 'list o', {
    lower: { 'was/below': '1' },
    upper: { o: dir({ xattrs: { 'trusted.overlay.redirect': 'was' } }), 'o/above': '2', was: whiteout() },
  }),
];

const trials = TRIALS.filter(({ name }) => wanted.test(name));
const results = new Map<string, Tried>();

for (const errno of ERRNOS) {
  t.test(`${errno} in each call of each operation`, async (t) => {
    buildFaults();
    const tried = await tryAll(trials, [errno]);
    report(t, tried.get('')!);
    for (const [name, { count, found }] of tried) {
      const before = results.get(name) ?? { count: 0, found: [] };
      results.set(name, { count: before.count + count, found: [...before.found, ...found] });
      if (long && found.length > 0) t.comment(`${name}: ${found.join('; ')}`);
    }
  });
}

t.test('the same without metacopies', async (t) => {
  const all = await tryAll(
    TRIALS.filter(({ name }) => wanted.test(name) && /^(chmod|utimens|setxattr|truncate|unlink|rename|link)/.test(name)),
    ['EIO'],
    ['metacopy=off', 'volatile'],
  );
  for (const [name, tried] of all) report(t, tried, name);
});

for (const { name } of trials) {
  t.test(name, (t) => {
    report(t, results.get(name) ?? { count: 0, found: ['not tried'] });
    t.end();
  });
}

function report(t: Pick<Test, 'pass' | 'fail'>, { count, found }: Tried, name = ''): void {
  if (found.length === 0) t.pass(`${name} ${count} faults`);
  else t.fail(`${name} ${count} faults`, { found, at: null, stack: '' });
}

t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

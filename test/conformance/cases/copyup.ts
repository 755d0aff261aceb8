import { type Entry, dir, file, hard, sparse, symlink } from '../../support/layers.js';
import { group } from '../model.js';

const raw = String.raw;
const ATTRIBUTES = { mode: 0o4751, uid: 5, gid: 6, mtime: '1000.000000007', xattrs: { 'user.a': 'x', 'trusted.b': 'y' } };

export default group('copy-up', [
  {
    name: 'each change of metadata keeps all the rest of the file',
    lower: Object.fromEntries(
      ['chmod', 'chown', 'utimens', 'setxattr', 'removexattr', 'link', 'rename', 'write', 'truncate'].map((name) => [
        name,
        file('some content', ATTRIBUTES),
      ]),
    ),
    steps: raw`
      chmod chmod 0600
      chown chown owner=9
      utimens utimens mtime=5.0
      setxattr setxattr user.n 1
      removexattr removexattr user.a
      link link linked
      rename rename renamed
      write write off=4 data=X
      truncate truncate 4
      manifest .`,
    again: 'manifest .',
  },
  {
    name: 'each change of metadata keeps all the rest of a directory, and its content',
    lower: Object.fromEntries<Entry | string>(
      ['chmod', 'chown', 'utimens', 'setxattr', 'rename', 'create'].flatMap((name): [string, Entry | string][] => [
        [name, dir(ATTRIBUTES)],
        [`${name}/f`, '1'],
      ]),
    ),
    steps: raw`
      chmod chmod 0600
      chown chown owner=9
      utimens utimens mtime=5.0
      setxattr setxattr user.n 1
      rename rename renamed
      write create/n 1 flags=O_CREAT
      manifest .`,
    again: 'manifest .',
  },
  {
    name: 'metadata first, data at the first write: the content is the same all along',
    lower: { f: sparse(300000, [[0, 300000]], ATTRIBUTES) },
    steps: raw`
      open r f
      chmod f 0600
      read f
      read fd=r
      stat f
      chown f owner=1
      rename f g
      link g h
      read h
      write g off=150000 data=X
      read h
      read fd=r off=0
      stat h
      truncate h 10
      read g`,
    again: 'manifest .',
  },
  {
    name: 'metadata first, then truncated to zero',
    lower: { f: sparse(100000, [[0, 100000]]) },
    steps: raw`
      chmod f 0600
      truncate f 0
      stat f
      read f
      write f new
      read f`,
    again: 'manifest .',
  },
  {
    name: 'metadata first, then O_TRUNC, then replaced',
    lower: { f: file('content', ATTRIBUTES), g: 'other' },
    steps: raw`
      utimens f mtime=1.0
      open t f flags=O_WRONLY|O_TRUNC
      stat f
      write fd=t data=n
      rename g f
      read f
      write fd=t data=m
      read f`,
    again: 'manifest .',
  },
  {
    name: 'parents are copied up as they are: attributes, xattrs, times',
    lower: {
      'a/b/c/f': '1',
      a: dir({ mode: 0o1755, uid: 3, xattrs: { 'user.p': 'q' } }),
      'a/b': dir({ mode: 0o2750, gid: 4, mtime: '77.000000001' }),
      'a/b/c': dir({ mtime: '78.5' }),
    },
    steps: raw`
      write a/b/c/f 2
      manifest .`,
    again: 'manifest .',
  },
  {
    name: 'the target of a symlink is copied up, not the link',
    lower: { 'd/f': '1', l: symlink('d/f'), m: symlink('l') },
    steps: raw`
      write m changed
      read d/f
      stat l
      stat m
      chmod m 0600
      stat d/f
      manifest .`,
    again: 'manifest .',
  },
  {
    name: 'a file without read permission for its writer is copied up',
    lower: { f: file('secret', { mode: 0o622 }), g: file('root only', { mode: 0 }) },
    steps: raw`
      write f flags=O_APPEND data=! uid=1000
      read f
      write g x
      read g
      read f uid=1000`,
    again: 'manifest .',
  },
  {
    name: 'a file in a directory its writer cannot list is copied up, owned as before',
    lower: { 'd/f': file('1', { uid: 1000, mode: 0o600 }), d: dir({ mode: 0o711 }) },
    steps: raw`
      write d/f mine uid=1000
      read d/f uid=1000
      stat d
      stat d/f
      list d`,
    again: 'manifest .',
  },
  {
    name: 'a write that cannot be: nothing changes',
    lower: { f: file('1', { mode: 0o644 }), d: dir() },
    steps: raw`
      write f x uid=1000
      chmod f 0777 uid=1000
      truncate f 0 uid=1000
      setxattr f user.k v uid=1000
      unlink f uid=1000
      write d x
      manifest .`,
    again: 'manifest .',
  },
  {
    name: 'a large file is copied up whole',
    lower: { f: sparse(20_000_000, [[0, 20_000_000]]) },
    steps: raw`
      open r f
      read fd=r off=19999990
      write f off=10000000 data=MIDDLE
      read f
      read fd=r off=9999990 len=30
      read fd=r off=19999990`,
    again: 'read f',
  },
  {
    name: 'two processes write different lower files of one directory, and the same one',
    lower: { 'd/a': 'aaaa', 'd/b': 'bbbb', 'd/c': 'cccc' },
    steps: raw`
      open a d/a flags=O_RDWR
      open b d/b flags=O_RDWR proc=b
      open c d/c flags=O_RDWR
      open c d/c flags=O_RDWR proc=b
      write fd=a data=A
      write fd=b data=B proc=b
      write fd=c off=0 data=C
      write fd=c off=3 data=C proc=b
      read d/a
      read d/b
      read d/c
      read fd=c off=0 proc=b`,
    again: 'manifest .',
  },
  {
    name: 'a file is changed, removed, made again, changed, many times',
    lower: { f: 'lower' },
    steps: Array.from({ length: 6 }, (_, i) => `write f try${i} flags=O_CREAT\nchmod f 0600\nread f\nunlink f`).join('\n') + '\nlist .',
    again: 'list .',
  },
  {
    name: 'hard links inside a renamed lower directory',
    lower: { 'd/a': '1', 'd/b': hard('d/a'), 'e/c': hard('d/a') },
    see: ['ino'],
    steps: raw`
      rename d f
      write f/a changed
      read e/c
      stat f/b
      stat e/c
      rename e f/e
      unlink f/b
      stat f/e/c
      manifest .`,
    again: raw`
      stat f/a
      stat f/e/c
      manifest .`,
  },
]);

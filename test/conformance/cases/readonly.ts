import { device, dir, fifo, file, hard, symlink, whiteout } from '../../support/layers.js';
import { group } from '../model.js';

const raw = String.raw;

/** On a mount without an upper, as root: what changes is EROFS, what reads works. */
export default group('read-only', [
  {
    name: 'every change is EROFS',
    lower: { f: file('1', { xattrs: { 'user.k': 'v' } }), d: dir(), 'd/g': '2', l: symlink('f'), h: hard('f') },
    steps: raw`
      write f x
      write n x flags=O_CREAT
      open a f flags=O_RDWR
      open b f flags=O_RDONLY|O_TRUNC
      open c n flags=O_RDONLY|O_CREAT
      open e f flags=O_RDONLY|O_CREAT
      open t d flags=O_TMPFILE|O_RDWR
      truncate f 0
      mkdir n
      mkdir d
      mknod n 010644
      symlink t n
      link f n
      link f d/g
      unlink f
      unlink nope
      rmdir d
      rename f n
      rename nope n
      rename f d/g flags=EXCHANGE
      chmod f 0600
      chown f owner=1
      chown l owner=1
      utimens f mtime=1.0
      setxattr f user.k w
      setxattr f user.n 1
      removexattr f user.k
      removexattr f user.none
      access f W
      access f R
      manifest .`,
    again: 'manifest .',
  },
  {
    name: 'every type reads',
    lower: {
      f: file('content', { mode: 0o4755, uid: 4, xattrs: { 'user.k': 'v' } }),
      l: symlink('f'),
      p: fifo(),
      c: device('c', '1:3'),
      'd/e/g': '2',
    },
    steps: raw`
      manifest .
      read f
      read l
      readlink l
      getxattr f user.k
      listxattr f
      list . ino=1
      open r f
      mmap m r
      mread m len=7
      flock r ex
      lock r rd
      fsync r
      open d d flags=O_RDONLY|O_DIRECTORY
      fsync d
      seekcheck .
      write c data=x
      stat nope`,
  },
  {
    name: 'an ordinary user is told EACCES or EROFS as on any read-only mount',
    lower: { f: file('1', { mode: 0o644 }), w: file('2', { mode: 0o666 }), d: dir({ mode: 0o777 }) },
    steps: raw`
      write f x uid=1000
      write w x uid=1000
      mkdir d/n uid=1000
      mkdir n uid=1000
      unlink f uid=1000
      chmod f 0600 uid=1000
      read f uid=1000`,
  },
  {
    name: 'layers merge without an upper too',
    layers: [
      { 'd/a': '1', 'd/x': whiteout(), e: file('over a directory') },
      { 'd/b': '2', 'd/x': 'hidden', 'e/f': '3' },
    ],
    steps: raw`
      manifest .
      list d
      stat d/x
      read e`,
    again: 'manifest .',
  },
  {
    name: 'hard links and holes are as they were',
    lower: { a: '1', b: hard('a'), s: { type: 'f', size: 1 << 22, segments: [[1 << 20, 4096]] } },
    see: ['ino', 'holes'],
    steps: raw`
      stat a
      stat b
      stat s
      segments s
      read s`,
    again: 'stat a\nstat b',
  },
]);

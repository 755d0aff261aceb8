import { device, dir, fifo, file, hard, symlink } from '../../support/layers.js';
import { everywhere, group } from '../model.js';

const raw = String.raw;
const EVERY_TYPE = {
  f: file('content', { xattrs: { 'user.k': 'v' } }),
  d: dir(),
  'd/in': '1',
  l: symlink('f'),
  p: fifo(),
  c: device('c', '1:3'),
};

export default group('attributes', [
  ...everywhere({
    name: 'chmod of every type',
    tree: EVERY_TYPE,
    steps: raw`
      chmod f 04751
      stat f
      read f
      getxattr f user.k
      chmod d 01700
      stat d
      list d
      chmod l 0600
      stat f
      stat l
      chmod p 0
      stat p
      chmod c 0777
      stat c
      chmod nope 0
      open h f
      chmod fd=h mode=0111
      stat f
      read f`,
    again: 'manifest .',
  }),
  ...everywhere({
    name: 'chown of every type, of owner or group alone, and of the link itself',
    tree: EVERY_TYPE,
    steps: raw`
      chown f owner=5 group=6
      stat f
      chown f group=7
      stat f
      chown f owner=8
      stat f
      chown f
      stat f
      chown d owner=5
      stat d
      stat d/in
      chown l owner=9 group=10
      stat l
      chown l owner=11 follow=1
      stat f
      chown p owner=5
      chown c group=4000000000
      stat c
      open h f
      chown fd=h owner=12
      read f
      stat f`,
    again: 'manifest .',
  }),
  ...everywhere({
    name: 'utimens: nanoseconds, before 1970, now, omit',
    see: ['atime'],
    tree: EVERY_TYPE,
    steps: raw`
      utimens f atime=1.000000001 mtime=2.999999999
      stat f
      utimens f atime=-1.5 mtime=-1000000000.123456789
      stat f
      utimens f atime=omit mtime=12.0
      stat f
      utimens f atime=34.000000034 mtime=omit
      stat f
      utimens f atime=now mtime=omit
      stat f
      utimens f atime=7.0 mtime=now
      stat f
      utimens f atime=9.0 mtime=9.0
      utimens f atime=omit mtime=omit
      stat f
      utimens d atime=5.5 mtime=6.5
      stat d
      utimens l atime=5.5 mtime=6.25
      stat l
      stat f
      utimens p atime=1.0 mtime=1.5
      stat p
      utimens f atime=5000000000.5 mtime=10000000000.000000001
      stat f
      open h d/in
      utimens fd=h mtime=77.000000077 atime=77.0
      stat d/in
      utimens nope mtime=1.0`,
    again: 'manifest .', // and not stat, which would show the atime of the manifest's own reading
  }),
  {
    name: 'only the owner changes mode and times; who may write may set them to now',
    lower: {
      '.': dir({ mode: 0o777 }),
      mine: file('1', { uid: 1000, gid: 1000, mode: 0o600 }),
      root: '2',
      writable: file('3', { mode: 0o666 }),
    },
    steps: raw`
      chmod mine 0640 uid=1000
      chmod root 0640 uid=1000
      chmod writable 0640 uid=1000
      utimens mine mtime=1.0 uid=1000
      utimens root mtime=1.0 uid=1000
      utimens root mtime=now atime=now uid=1000
      utimens writable mtime=1.0 uid=1000
      utimens writable mtime=now atime=now uid=1000
      utimens writable mtime=now atime=omit uid=1000
      stat mine
      stat root
      stat writable`,
  },
  {
    name: 'an ordinary user gives away nothing but the group to one of his own',
    lower: { '.': dir({ mode: 0o777 }), f: file('1', { uid: 1000, gid: 1000, mode: 0o6755 }) },
    steps: raw`
      chown f owner=1001 uid=1000
      chown f group=4242 uid=1000
      stat f
      chown f group=4242 uid=1000 groups=4242
      stat f
      chown f owner=1000 uid=1000
      chown f owner=0 uid=1000
      chown f uid=1000
      stat f`,
  },
  ...everywhere({
    name: 'chown takes setuid and setgid away, also from root, but not from directories and not setgid without group-execute',
    tree: { f: file('1', { mode: 0o6755 }), g: file('2', { mode: 0o2644 }), d: dir({ mode: 0o6755 }), same: file('3', { mode: 0o6711 }) },
    steps: raw`
      chown f owner=5
      stat f
      chown g group=5
      stat g
      chown d owner=5 group=5
      stat d
      chown same owner=0
      stat same
      chmod f 06755
      chown f
      stat f`,
  }),
  ...everywhere({
    name: 'a write or truncation by an ordinary user takes setuid away, by root not',
    tree: {
      w: file('1', { mode: 0o6777 }),
      t: file('2', { mode: 0o6777 }),
      o: file('3', { mode: 0o6777 }),
      r: file('4', { mode: 0o6777 }),
      g: file('5', { mode: 0o2666 }),
      ft: file('6', { mode: 0o4777 }),
      m: file('7777', { mode: 0o4777 }),
    },
    steps: raw`
      write w x uid=1000
      stat w
      truncate t 0 uid=1000
      stat t
      open o o flags=O_WRONLY|O_TRUNC uid=1000
      stat o
      write r x
      stat r
      write g x uid=1000
      stat g
      open ft ft flags=O_RDWR uid=1000
      truncate fd=ft size=1 uid=1000
      stat ft
      open m m flags=O_RDWR
      chmod m 04777
      fallocate m 0 100 uid=1000
      stat m`,
    again: 'manifest .',
  }),
  ...everywhere({
    name: 'chmod by an owner outside the group drops setgid of a file',
    tree: { f: file('1', { uid: 1000, gid: 4242 }), d: dir({ uid: 1000, gid: 4242 }) },
    steps: raw`
      chmod f 02775 uid=1000
      stat f
      chmod f 02775 uid=1000 groups=4242
      stat f
      chmod d 02775 uid=1000
      stat d
      chmod f 04775 uid=1000
      stat f`,
  }),
  ...everywhere({
    name: 'a setuid program runs as its owner',
    tree: { id: file('', { mode: 0o755 }) },
    steps: raw`
      exec /bin/cp /usr/bin/id id
      chmod id 04755
      exec ./id -u uid=1000
      chown id owner=1234
      exec ./id -u uid=1000
      chmod id 04755
      exec ./id -u uid=1000`,
  }),
  ...everywhere({
    name: 'file capabilities work, and a write or chown takes them away',
    tree: { id: file('', { mode: 0o755 }) },
    steps: raw`
      setxattr id security.capability \x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00
      getxattr id security.capability
      listxattr id
      chmod id 0700
      getxattr id security.capability
      write id x
      getxattr id security.capability
      setxattr id security.capability \x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00
      chown id owner=5
      getxattr id security.capability
      setxattr id security.capability \x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00
      truncate id 0
      getxattr id security.capability
      setxattr id security.capability \x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00 uid=1000
      listxattr id`,
  }),
  {
    name: 'capabilities of a lower file are there after copy-up of its metadata, and gone after a write',
    lower: {
      f: file('x', { mode: 0o755, xattrs: { 'security.capability': Buffer.from('0100000200040000000000000000000000000000', 'hex') } }),
    },
    steps: raw`
      getxattr f security.capability
      chmod f 0711
      getxattr f security.capability
      utimens f mtime=4.0
      setxattr f user.k v
      getxattr f security.capability
      link f g
      rename f h
      getxattr h security.capability
      write h y
      getxattr g security.capability`,
  },
  ...everywhere({
    name: 'a change of attributes shows by every name and descriptor at once',
    tree: { f: '1', g: hard('f') },
    steps: raw`
      open r f
      stat g
      chmod f 0600
      stat fd=r
      stat g
      chown g owner=9
      stat fd=r
      utimens fd=r mtime=3.25
      stat f
      stat g proc=b
      chmod f 0640 proc=b
      stat g`,
  }),
  {
    name: 'ctime moves with every change of the file',
    see: ['ctime'],
    lower: { f: '1', d: dir(), 'e/x': '1' },
    steps: raw`
      stat f
      sleep 20
      chmod f 0600
      stat f
      sleep 20
      write f x
      stat f
      sleep 20
      link f g
      stat f
      sleep 20
      setxattr f user.k v
      stat f
      sleep 20
      rename g h
      stat f
      sleep 20
      unlink h
      stat f
      stat f
      sleep 20
      write d/n 1 flags=O_CREAT
      stat d
      stat f`,
  },
  {
    name: 'atime of a new read is not before the last; noatime is asked for by the owner',
    lower: { f: file('1', { uid: 1000 }), g: '2' },
    steps: raw`
      open a f flags=O_RDONLY|O_NOATIME uid=1000
      read fd=a
      open b g flags=O_RDONLY|O_NOATIME uid=1000
      open c g flags=O_RDONLY|O_NOATIME
      read fd=c`,
  },
  {
    name: 'attributes of the root of the case change as any directory',
    lower: { f: '1' },
    steps: raw`
      chmod . 0711
      chown . owner=5 group=6
      setxattr . user.k v
      utimens . mtime=123.5
      stat .
      getxattr . user.k`,
    again: raw`
      stat .
      getxattr . user.k`,
  },
]);

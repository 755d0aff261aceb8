import { dir, file, symlink } from '../../support/layers.js';
import { everywhere, group } from '../model.js';

const raw = String.raw;
const open = dir({ mode: 0o777 });

export default group('create', [
  ...everywhere({
    name: 'a new file has the mode less the umask, the caller as owner, and changes its directory',
    tree: { 'd/old': '1', d: open },
    steps: raw`
      open f d/new flags=O_RDWR|O_CREAT mode=0666 umask=027
      stat fd=f
      stat d
      write fd=f data=hello
      read d/new
      open g d/mine flags=O_RDWR|O_CREAT mode=0666 uid=1000 gid=1001
      stat fd=g
      open h d/exact flags=O_WRONLY|O_CREAT mode=0777
      stat fd=h
      list d`,
    again: 'manifest .',
  }),
  ...everywhere({
    name: 'O_CREAT opens what is there, O_EXCL refuses it',
    tree: { f: file('old', { mode: 0o640 }), d: dir(), l: symlink('f'), dangling: symlink('made') },
    steps: raw`
      open a f flags=O_RDWR|O_CREAT mode=0777
      read fd=a
      stat f
      open b f flags=O_RDWR|O_CREAT|O_EXCL
      open c d flags=O_RDWR|O_CREAT
      open d d flags=O_RDONLY|O_CREAT
      open e d flags=O_RDWR|O_CREAT|O_EXCL
      open f l flags=O_RDWR|O_CREAT
      read fd=f
      open g l flags=O_RDWR|O_CREAT|O_EXCL
      open h dangling flags=O_RDWR|O_CREAT|O_EXCL
      open i dangling flags=O_RDWR|O_CREAT
      stat made
      open j l flags=O_RDWR|O_CREAT|O_NOFOLLOW
      open k new flags=O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW
      list .`,
  }),
  ...everywhere({
    name: 'a name that was unlinked is free, and nothing of the old file comes back',
    tree: { f: file('old content', { mode: 0o4711, uid: 7, gid: 8, xattrs: { 'user.old': '1' } }) },
    steps: raw`
      unlink f
      stat f
      open a f flags=O_RDWR|O_CREAT|O_EXCL mode=0600
      stat fd=a
      read fd=a
      listxattr f
      write fd=a data=new
      read f
      unlink f
      unlink f
      list .`,
    again: 'manifest .',
  }),
  {
    name: 'who may not write the directory creates nothing',
    lower: { d: dir({ mode: 0o755 }), g: dir({ mode: 0o775, gid: 4242 }), x: dir({ mode: 0o766 }) },
    steps: raw`
      write d/f 1 flags=O_CREAT uid=1000
      mkdir d/s uid=1000
      mknod d/p 010644 uid=1000
      symlink t d/l uid=1000
      write g/f 1 flags=O_CREAT uid=1000
      write g/f 1 flags=O_CREAT uid=1000 groups=4242
      stat g/f
      write x/f 1 flags=O_CREAT uid=1000
      list d
      stat d`,
  },
  ...everywhere({
    name: 'a setgid directory gives its group, and to directories the bit',
    tree: { d: dir({ mode: 0o2777, gid: 4242 }), 'd/sub': dir({ mode: 0o777 }) },
    steps: raw`
      open f d/f flags=O_RDWR|O_CREAT mode=0644 uid=1000
      stat d/f
      mkdir d/s 0755 uid=1000
      stat d/s
      mkdir d/s/t 0755 uid=1000
      stat d/s/t
      symlink t d/l uid=1000
      stat d/l
      mknod d/p 010644 uid=1000
      stat d/p
      write d/sub/g 1 flags=O_CREAT uid=1000
      stat d/sub/g
      open t d flags=O_TMPFILE|O_RDWR uid=1000
      stat fd=t`,
  }),
  {
    name: 'setgid and group-execute are asked for in a setgid directory: only members of the group and root get the bit',
    lower: { d: dir({ mode: 0o2777, gid: 4242 }), e: open },
    steps: raw`
      open a d/outsider flags=O_RDWR|O_CREAT mode=02770 uid=1000
      stat d/outsider
      open b d/member flags=O_RDWR|O_CREAT mode=02770 uid=1000 groups=4242
      stat d/member
      open c d/root flags=O_RDWR|O_CREAT mode=02770
      stat d/root
      open e d/noexec flags=O_RDWR|O_CREAT mode=02660 uid=1000
      stat d/noexec
      open f e/suid flags=O_RDWR|O_CREAT mode=06777 uid=1000
      stat e/suid
      mknod d/node 0102770 uid=1000
      stat d/node`,
  },
  {
    name: 'a file made without any permission can still be written through its descriptor',
    lower: { '.': open },
    steps: raw`
      open f x flags=O_RDWR|O_CREAT mode=0 uid=1000
      write fd=f data=hello uid=1000
      read fd=f off=0 uid=1000
      open g x flags=O_RDONLY uid=1000
      stat x
      open h y flags=O_RDONLY|O_CREAT mode=0222 uid=1000
      read fd=h uid=1000
      open i y flags=O_RDONLY uid=1000`,
  },
  {
    name: 'names that cannot be created say why',
    lower: { f: '1', d: dir() },
    steps: raw`
      write f/x 1 flags=O_CREAT
      write nope/x 1 flags=O_CREAT
      write x/ 1 flags=O_CREAT
      write d/ 1 flags=O_CREAT
      open a x flags=O_RDONLY|O_CREAT|O_DIRECTORY
      write . 1 flags=O_CREAT
      write .. 1 flags=O_CREAT
      mkdir f/
      mkdir x/
      stat x
      symlink t y/
      mknod z/ 0100644
      list .`,
  },
  {
    name: 'nothing can be made in a removed directory',
    lower: { 'd/e': dir(), k: 'x' },
    steps: raw`
      open d d flags=O_RDONLY|O_DIRECTORY
      rmdir d/e
      rmdir d
      stat fd=d
      write x at=d data=1 flags=O_CREAT
      mkdir x at=d
      symlink t x at=d
      mknod x 010644 at=d
      link k x toat=d
      rename k x toat=d
      getdents d
      list fd=d
      stat .. at=d
      write k 1`,
  },
  {
    name: 'a directory made anew in place of a lower one is empty, and stays so',
    lower: { 'd/a': '1', 'd/b/c': '2' },
    steps: raw`
      remove d
      mkdir d 0700
      list d
      stat d
      stat d/a
      write d/n 1 flags=O_CREAT
      mkdir d/b
      list d/b
      list d`,
    again: raw`
      list d
      list d/b
      stat d/a`,
  },
  {
    name: 'names that begin like a whiteout',
    lower: { f: '1', g: '2', 'd/x': '3' },
    steps: raw`
      write .wh.new 1 flags=O_CREAT
      mkdir .wh.dir
      symlink t .wh.link
      mknod .wh.node 010644
      link f .wh.hard
      rename g .wh.moved
      rename d .wh.d
      stat .wh.f
      stat f
      list .`,
    notKernel: 'to plyfs what it makes is a whiteout',
  },
  {
    name: 'two creators with O_EXCL: one wins',
    lower: {},
    steps: raw`
      open a lock flags=O_RDWR|O_CREAT|O_EXCL
      open a lock flags=O_RDWR|O_CREAT|O_EXCL proc=b
      unlink lock
      open a lock flags=O_RDWR|O_CREAT|O_EXCL proc=b
      stat lock`,
  },
  {
    name: 'umask of another process is its own',
    lower: {},
    steps: raw`
      open a x flags=O_RDWR|O_CREAT mode=0777 umask=077
      open a y flags=O_RDWR|O_CREAT mode=0777 proc=b
      mkdir d 0777 umask=022
      mknod p 010666 umask=0111
      stat x
      stat y
      stat d
      stat p`,
  },
]);

import { device, dir, fifo, file, hard, symlink } from '../../support/layers.js';
import { everywhere, group } from '../model.js';

const raw = String.raw;

export default group('link', [
  ...everywhere({
    name: 'a link is the same file: attributes, content, count',
    tree: { 'd/f': file('1', { mode: 0o640, uid: 3, xattrs: { 'user.k': 'v' } }), e: dir() },
    see: ['ino'],
    steps: raw`
      stat d/f
      link d/f e/g
      stat d/f
      stat e/g
      write e/g changed
      read d/f
      chmod d/f 0600
      stat e/g
      getxattr e/g user.k
      setxattr e/g user.l w
      getxattr d/f user.l
      stat e
      unlink d/f
      stat e/g
      read e/g
      link e/g d/f
      manifest .`,
    again: raw`
      stat d/f
      stat e/g
      write d/f again
      read e/g`,
  }),
  ...everywhere({
    name: 'link refuses directories, names in use, and missing sources',
    tree: { d: dir(), f: '1', g: '2', l: symlink('f') },
    steps: raw`
      link d x
      link f g
      link f d
      link nope x
      link f nope/x
      link f f
      link f g/x
      link f x/
      list .`,
  }),
  ...everywhere({
    name: 'symlinks and special files have links too',
    tree: { l: symlink('nowhere', { uid: 3 }), p: fifo(), c: device('c', '1:3'), f: '1', tof: symlink('f') },
    steps: raw`
      link l l2
      readlink l2
      stat l2
      link p p2
      stat p2
      link c c2
      stat c2
      link tof f2 follow=1
      stat f2
      link l x follow=1
      unlink l
      readlink l2
      manifest .`,
    again: 'manifest .',
  }),
  {
    name: 'a hard-link group of a lower stays joined: a write by one name shows by all',
    lower: { a: 'content', 'd/b': hard('a'), c: hard('a') },
    see: ['ino'],
    steps: raw`
      stat a
      stat d/b
      write d/b CHANGED
      read a
      read c
      stat a
      stat c
      chmod c 0600
      stat a
      chown a owner=7
      stat d/b
      utimens a mtime=77.0
      stat c`,
    again: raw`
      stat a
      stat d/b
      stat c
      read c
      write a x
      read d/b`,
  },
  {
    name: 'unlinking names of a lower group counts down',
    lower: { a: '1', b: hard('a'), c: hard('a'), 'd/e': hard('a') },
    steps: raw`
      unlink a
      stat b
      stat d/e
      unlink b
      stat c
      link c f
      stat f
      unlink d/e
      stat f
      unlink c
      stat f
      read f`,
    again: raw`
      stat f
      link f g
      stat g
      unlink f
      stat g`,
  },
  {
    name: 'a new link to a lower file joins the group',
    lower: { a: '1', b: hard('a') },
    see: ['ino'],
    steps: raw`
      link b n
      stat a
      stat n
      write n 2
      read a
      unlink b
      stat a`,
    again: raw`
      stat a
      stat n
      read n`,
  },
  {
    name: 'renaming names of a lower group keeps them one file',
    lower: { a: '1', b: hard('a'), d: dir(), o: 'other' },
    see: ['ino'],
    steps: raw`
      rename a d/a
      stat d/a
      stat b
      write b 2
      read d/a
      rename b o
      stat o
      read o
      unlink d/a
      stat o`,
    again: 'stat o',
  },
  {
    name: 'a group with a name replaced from above counts on',
    lower: { a: '1', b: hard('a'), c: hard('a'), x: 'x' },
    steps: raw`
      rename x b
      stat a
      stat b
      write c 2
      read a
      read b
      truncate a 0
      stat c`,
    again: raw`
      stat a
      stat b
      stat c`,
  },
  {
    name: 'a name of a lower group open while another is written',
    lower: { a: 'old', b: hard('a') },
    steps: raw`
      open r a
      read fd=r off=0
      write b new
      read fd=r off=0
      stat fd=r
      unlink a
      read fd=r off=0
      write b NEW
      read fd=r off=0
      unlink b
      read fd=r off=0
      stat fd=r`,
  },
  {
    name: 'a removed file cannot be linked by its descriptor, a temporary one can',
    lower: { f: '1' },
    steps: raw`
      open f f flags=O_RDWR
      unlink f
      linkfd f g
      open t . flags=O_TMPFILE|O_RDWR mode=0640
      write fd=t data=hello
      stat fd=t
      linkfd t g
      stat g
      read g
      linkfd t h
      stat g
      write fd=t off=0 data=HELLO
      read h
      list .`,
    again: 'manifest .',
  },
  {
    name: 'a link to an open file by its descriptor',
    lower: { f: '1', d: dir() },
    steps: raw`
      open f f
      linkfd f d/g
      stat f
      stat d/g
      write d/g 2
      read fd=f off=0
      read f`,
    again: raw`
      stat f
      read d/g`,
  },
  {
    name: 'linking is a right: the directory must be writable, the file reachable',
    lower: {
      d: dir({ mode: 0o777 }),
      r: dir(),
      f: file('1', { mode: 0o666 }),
      mine: file('2', { uid: 1000 }),
      'closed/x': '3',
      closed: dir({ mode: 0o700 }),
    },
    steps: raw`
      link mine d/m uid=1000
      link mine r/m uid=1000
      link closed/x d/x uid=1000
      stat d/m
      list d`,
  },
  {
    name: 'many links to one lower file',
    lower: { f: '1' },
    steps: Array.from({ length: 60 }, (_, i) => `link f l${i}`).join('\n') + '\nstat f\nwrite l59 x\nread l0\nunlink f\nstat l7',
    again: 'stat l59\nread l31',
  },
  {
    name: 'a whole lower group is removed and nothing comes back',
    lower: { a: '1', b: hard('a') },
    steps: raw`
      chmod a 0600
      unlink a
      unlink b
      list .
      write a new flags=O_CREAT
      stat a`,
    again: 'manifest .',
  },
  {
    name: 'symlinks are made with any target, and are not followed',
    lower: { d: dir({ mode: 0o777 }), f: '1' },
    steps: raw`
      symlink f l
      symlink /absolute/\xff/x l2
      symlink ../.. l3
      symlink x f
      symlink x d/u uid=1000
      stat d/u
      stat l
      stat l2
      readlink l2
      readlink l3
      symlink target= path=e
      chown l owner=5 group=6
      stat l
      stat f
      utimens l mtime=9.5
      stat l
      stat f
      chmod l 0600
      stat f
      unlink l
      stat f`,
    again: 'manifest .',
  },
]);

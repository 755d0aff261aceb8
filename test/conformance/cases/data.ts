import { dir, file, hard, sparse, symlink } from '../../support/layers.js';
import { everywhere, group } from '../model.js';

const raw = String.raw;
const KIB = 'k'.repeat(1024);
/** A file of some pages whose content depends on the position. */
const pages = (count: number) => sparse(count * 4096, [[0, count * 4096]]);

export default group('data', [
  ...everywhere({
    name: 'reading: from the start, from the middle, over the end, nothing',
    tree: { f: 'hello world', empty: '', big: pages(64) },
    steps: raw`
      read f
      read f off=6
      read f off=6 len=3
      read f off=11
      read f off=1000000
      read f len=0
      read empty
      read big
      read big off=4095 len=3
      read big off=262143
      open r f
      lseek r -5 END
      read fd=r
      read fd=r
      lseek r 1 SET
      read fd=r len=4
      lseek r 0 CUR
      write fd=r data=x`,
  }),
  ...everywhere({
    name: 'writing: over, beyond the end, into a hole, at the end',
    tree: { f: file('hello world', { mode: 0o640, uid: 4, xattrs: { 'user.k': 'v' } }) },
    steps: raw`
      write f HELLO
      read f
      write f off=9 data=LDIES
      read f
      write f off=20000 data=far
      stat f
      read f off=0 len=20
      read f off=12000
      open w f flags=O_RDWR
      lseek w 0 END
      write fd=w data=end
      lseek w 0 CUR
      read fd=w off=20000
      read f len=0
      write fd=w off=0 data=
      stat f
      getxattr f user.k`,
    again: 'manifest .',
  }),
  ...everywhere({
    name: 'O_APPEND writes at the end, whoever else writes',
    tree: { log: 'one.' },
    steps: raw`
      open a log flags=O_WRONLY|O_APPEND
      open b log flags=O_WRONLY|O_APPEND proc=b
      write fd=a data=two.
      write fd=b data=three. proc=b
      write fd=a data=four.
      write fd=a off=0 data=five.
      read log
      truncate log 3
      write fd=a data=!
      read log
      open c log flags=O_RDWR|O_APPEND
      read fd=c len=2
      write fd=c data=?
      read log`,
  }),
  ...everywhere({
    name: 'O_TRUNC empties, and keeps owner, mode and xattrs',
    tree: { f: file('long content', { mode: 0o640, uid: 4, gid: 5, xattrs: { 'user.k': 'v' } }), g: hard('f'), big: pages(100) },
    steps: raw`
      open t f flags=O_RDWR|O_TRUNC
      stat f
      read f
      getxattr f user.k
      write fd=t data=new
      read g
      open u big flags=O_WRONLY|O_TRUNC
      stat big
      open v f flags=O_WRONLY|O_CREAT|O_TRUNC mode=0777
      stat f
      open w f flags=O_RDONLY|O_TRUNC
      stat f`,
    again: 'manifest .',
  }),
  ...everywhere({
    name: 'truncate: shorter, longer, to zero, to the same size',
    tree: { f: 'hello world', big: pages(20) },
    steps: raw`
      truncate f 5
      read f
      truncate f 8
      read f
      truncate f 8
      stat f
      truncate big 5000
      read big
      truncate big 10000
      read big off=4990 len=20
      truncate f 0
      read f
      open w f flags=O_RDWR
      truncate fd=w size=3
      read fd=w off=0
      open r f
      truncate fd=r size=1
      truncate . 0
      truncate nope 0
      truncate f -1
      stat f`,
    again: 'manifest .',
  }),
  {
    name: 'truncate follows symlinks and needs the right to write',
    lower: { f: 'hello', l: symlink('f'), ro: file('x', { mode: 0o444 }), mine: file('yz', { mode: 0o200, uid: 1000 }) },
    steps: raw`
      truncate l 2
      stat l
      read f
      truncate ro 0 uid=1000
      truncate mine 1 uid=1000
      stat mine
      open w ro flags=O_WRONLY uid=1000
      open r mine flags=O_RDONLY uid=1000
      open rt ro flags=O_RDONLY|O_TRUNC uid=1000
      stat ro`,
  },
  ...everywhere({
    name: 'a reader that was there first sees what a later writer writes',
    tree: { f: 'old content here', rpm: pages(8) },
    steps: raw`
      open r f
      read fd=r
      open w f flags=O_RDWR
      write fd=w off=0 data=NEW
      read fd=r off=0
      truncate fd=w size=5
      stat fd=r
      read fd=r off=0
      write fd=w off=5 data=longer-than-before-by-far
      read fd=r off=0
      open p rpm proc=b
      read fd=p off=4096 len=16 proc=b
      write rpm off=4096 data=sixteen-bytes-it
      read fd=p off=4096 len=16 proc=b
      truncate rpm 0
      read fd=p off=0 proc=b
      stat fd=p proc=b`,
  }),
  ...everywhere({
    name: 'tail -f: a reader at the end sees what is appended',
    tree: { log: 'start.' },
    steps: raw`
      open r log
      read fd=r len=100
      write log flags=O_APPEND data=one.
      read fd=r len=100
      write log flags=O_APPEND data=two. proc=b
      stat fd=r
      read fd=r len=100`,
  }),
  ...everywhere({
    name: 'a file open when its last name goes lives on until it is closed',
    tree: { f: 'content', g: 'written' },
    steps: raw`
      open r f
      unlink f
      read fd=r
      stat fd=r
      open w g flags=O_RDWR
      write fd=w data=W
      unlink g
      write fd=w data=more
      read fd=w off=0
      truncate fd=w size=2
      stat fd=w
      chmod fd=w mode=0600
      chown fd=w owner=7
      utimens fd=w mtime=5.5
      setxattr fd=w name=user.k value=v
      getxattr fd=w name=user.k
      stat fd=w
      list .
      close w
      close r
      list .`,
    again: 'list .',
  }),
  ...everywhere({
    name: 'unlinked while open for reading only, then changed through another descriptor',
    tree: { f: 'content' },
    steps: raw`
      open r f
      open w f flags=O_WRONLY
      unlink f
      write fd=w data=CON
      read fd=r
      fsync w
      write f new flags=O_CREAT
      read fd=r off=0
      read f
      chmod fd=r mode=0640
      stat fd=w
      stat f`,
  }),
  {
    name: 'an unlinked lower file changed only by its read descriptor',
    lower: { f: file('content', { mode: 0o644 }) },
    steps: raw`
      open r f
      unlink f
      chmod fd=r mode=0600
      stat fd=r
      utimens fd=r mtime=7.25
      setxattr fd=r name=user.x value=y
      stat fd=r
      getxattr fd=r name=user.x
      read fd=r off=0`,
  },
  {
    name: 'a replaced file: old descriptors see the old, new ones the new',
    lower: { f: 'old' },
    steps: raw`
      open r f
      open w f flags=O_RDWR
      write f.new NEW flags=O_CREAT
      rename f.new f
      read fd=r off=0
      read f
      write fd=w data=x
      read fd=r off=0
      stat fd=r
      read f
      stat f`,
  },
  ...everywhere({
    name: 'large writes and reads cross every boundary',
    tree: { f: pages(300) },
    steps: raw`
      write f off=100000 len=1000000 pattern=5
      read f
      read f off=99990 len=20
      read f off=1099990 len=20
      write g flags=O_CREAT len=1048576 pattern=9
      read g
      write g off=1048570 len=20 pattern=1
      read g off=1048560
      stat g`,
    again: raw`
      read f
      read g`,
  }),
  {
    name: 'offsets beyond four gigabytes',
    lower: { f: '1' },
    steps: raw`
      write f off=5000000000 data=far
      stat f
      read f off=4999999998
      truncate f 10000000000
      stat f
      open r f
      lseek r 9999999999 SET
      read fd=r
      truncate f 5000000001
      read f off=5000000000
      truncate f 4`,
  },
  {
    name: 'a write changes mtime, a read does not; utimens back',
    lower: { f: file('1', { mtime: '100.5' }) },
    steps: raw`
      read f
      stat f
      open w f flags=O_RDWR
      stat f
      write fd=w data=
      stat f
      write fd=w data=x
      stat f
      utimens f mtime=100.5
      stat fd=w
      write fd=w data=y
      stat fd=w
      utimens f mtime=100.5
      close w
      stat f`,
    again: 'stat f',
  },
  {
    name: 'opening for writing without writing changes nothing',
    lower: { f: file('1', { mtime: '100.5', mode: 0o600 }), 'd/g': file('2', { mtime: '200.000000007' }), d: dir({ mtime: '300.5' }) },
    steps: raw`
      open w f flags=O_RDWR
      close w
      stat f
      open w d/g flags=O_WRONLY
      close w
      stat d/g
      stat d
      manifest .`,
    again: 'manifest .',
  },
  ...everywhere({
    name: 'O_DIRECT, O_SYNC and O_DSYNC read and write as ever',
    tree: { f: pages(4) },
    steps: raw`
      open d f flags=O_RDWR|O_DIRECT
      read fd=d off=4096 len=4096
      write fd=d off=4096 len=4096 pattern=7
      read fd=d off=4096 len=4096
      open r f
      read fd=r off=4096 len=4096
      open s f flags=O_WRONLY|O_SYNC
      write fd=s off=0 data=sync
      open t f flags=O_WRONLY|O_DSYNC
      write fd=t off=4 data=dsync
      read f off=0 len=16
      read fd=d off=0 len=4096
      fsync d
      fdatasync t
      syncfs d`,
  }),
  {
    name: 'fsync of a file, a directory, a lower file, a removed file',
    lower: { f: '1', d: dir() },
    steps: raw`
      open f f
      fsync f
      open d d flags=O_RDONLY|O_DIRECTORY
      fsync d
      write d/x 1 flags=O_CREAT
      fsync d
      fdatasync d
      open w f flags=O_RDWR
      write fd=w data=2
      fsync f
      unlink f
      fsync w
      syncfs w`,
  },
  {
    name: 'sendfile and copy by descriptor give the same bytes',
    lower: { f: pages(40), empty: '' },
    steps: raw`
      open r f
      open w out flags=O_RDWR|O_CREAT
      sendfile r w len=163840
      read out
      copyrange r w off=0 tooff=163840 len=163840
      stat out
      read out
      open e empty
      sendfile e w len=10
      copyrange e w off=0 tooff=0 len=10
      copyrange w r off=0 tooff=0 len=10
      open x f flags=O_RDWR
      copyrange w x off=100 tooff=0 len=5000
      read f
      copyrange x x off=0 tooff=100 len=1000
      copyrange x x off=0 tooff=20000 len=1000
      read f`,
  },
  {
    name: 'many descriptors of one file agree',
    lower: { f: 'start' },
    steps: raw`
      ${Array.from({ length: 12 }, (_, i) => `open r${i} f`).join('\n')}
      open w f flags=O_RDWR
      ${Array.from({ length: 12 }, (_, i) => `open w${i} f flags=O_RDWR`).join('\n')}
      ${Array.from({ length: 12 }, (_, i) => `write fd=w${i} off=${i} data=${'abcdefghijkl'[i]}`).join('\n')}
      ${Array.from({ length: 12 }, (_, i) => `read fd=r${i} off=0`).join('\n')}
      stat f`,
  },
  {
    name: 'descriptors of several opens close in any order',
    lower: { f: 'lower' },
    steps: raw`
      open a f
      open b f flags=O_RDWR
      close a
      write fd=b data=B
      open c f
      close b
      read fd=c
      open d f flags=O_WRONLY
      close c
      write fd=d off=1 data=D
      close d
      read f
      open e f
      read fd=e
      stat f`,
  },
  {
    name: 'running a program from a lower, a copied-up and a new file',
    lower: { sh: file('#!/bin/sh\necho lower $0\n', { mode: 0o755 }), plain: file('#!/bin/sh\necho no\n') },
    steps: raw`
      exec ./sh
      write sh off=10 flags=O_APPEND data=echo\x20appended\x0a
      exec ./sh
      exec ./plain
      chmod plain 0755
      exec ./plain
      write new flags=O_CREAT data=#!/bin/sh\x0aecho\x20new\x0a
      chmod new 0711
      exec ./new
      exec ./new uid=1000
      exec ./missing
      exec .`,
  },
  {
    name: 'a long text written in small pieces',
    lower: { f: KIB },
    steps: raw`
      open w f flags=O_RDWR|O_APPEND
      ${Array.from({ length: 50 }, (_, i) => `write fd=w data=line${i}.`).join('\n')}
      read f full=1
      stat f`,
    again: 'read f full=1',
  },
]);

import { device, dir, fifo, file, hard, symlink } from '../../support/layers.js';
import { everywhere, group } from '../model.js';

const raw = String.raw;

export default group('mkdir-rmdir-unlink', [
  ...everywhere({
    name: 'mkdir makes a directory with mode, owner and times, and refuses names in use',
    tree: { d: dir({ mode: 0o777 }), 'd/sub': dir(), f: '1', l: symlink('missing') },
    steps: raw`
      mkdir d/n 0751
      stat d/n
      mkdir d/u 0777 uid=1000 umask=027
      stat d/u
      mkdir d/sub
      mkdir f
      mkdir l
      mkdir d/sticky 01777
      stat d/sticky
      mkdir d/sgid 02777
      stat d/sgid
      stat d
      list d`,
    again: 'manifest .',
  }),
  ...everywhere({
    name: 'rmdir takes empty directories only',
    tree: { 'full/f': '1', empty: dir(), 'nested/in': dir(), f: '1', l: symlink('empty') },
    steps: raw`
      rmdir full
      rmdir empty
      rmdir empty
      rmdir nested
      rmdir nested/in
      rmdir nested
      rmdir f
      rmdir l
      rmdir nope
      list .
      stat .`,
    again: 'list .',
  }),
  ...everywhere({
    name: 'a directory that was emptied can be removed, and made again',
    tree: { 'd/a': '1', 'd/b': symlink('a'), 'd/c/x': '2', 'd/p': fifo() },
    steps: raw`
      unlink d/a
      rmdir d
      unlink d/b
      unlink d/p
      unlink d/c/x
      rmdir d/c
      list d
      rmdir d
      stat d
      mkdir d
      list d
      stat d/a
      write d/a new flags=O_CREAT
      read d/a
      stat d`,
    again: raw`
      manifest .`,
  }),
  ...everywhere({
    name: 'unlink takes every type but directories',
    tree: { f: '1', l: symlink('d'), p: fifo(), c: device('c', '1:3'), b: device('b', '7:0'), d: dir(), g: '2', h: hard('g') },
    steps: raw`
      unlink f
      unlink l
      unlink p
      unlink c
      unlink b
      unlink d
      unlink g
      stat h
      unlink nope
      unlink f
      list .
      stat .`,
    again: 'list .',
  }),
  ...everywhere({
    name: 'whole trees can be removed and nothing of them shows through',
    tree: { 't/a/b/c': '1', 't/a/b/d': '2', 't/a/e': '3', 't/f': '4', keep: '5' },
    steps: raw`
      remove t/a/b
      list t/a
      remove t
      list .
      mkdir t
      mkdir t/a
      list t/a
      stat t/a/e
      stat t/a/b`,
    again: 'manifest .',
  }),
  {
    name: 'a sticky directory lets only the owner of file or directory, and root, remove and rename',
    lower: {
      t: dir({ mode: 0o1777 }),
      't/root': '1',
      't/mine': file('2', { uid: 1000 }),
      't/other': file('3', { uid: 1001, mode: 0o666 }),
      't/d': dir({ uid: 1001 }),
      own: dir({ mode: 0o1777, uid: 1000 }),
      'own/root': '4',
    },
    steps: raw`
      unlink t/root uid=1000
      unlink t/other uid=1000
      rmdir t/d uid=1000
      rename t/other t/x uid=1000
      rename t/mine t/other uid=1000
      rename t/mine t/renamed uid=1000
      unlink t/renamed uid=1000
      unlink own/root uid=1000
      write t/new 1 flags=O_CREAT uid=1000
      unlink t/new uid=1001
      unlink t/new uid=1000
      unlink t/other
      list t
      list own`,
  },
  {
    name: 'who may not write the directory removes nothing, whoever owns the file',
    lower: {
      d: dir({ mode: 0o755 }),
      'd/f': file('1', { uid: 1000 }),
      'd/s': dir({ uid: 1000 }),
      w: dir({ mode: 0o777 }),
      'w/f': file('2', { mode: 0 }),
    },
    steps: raw`
      unlink d/f uid=1000
      rmdir d/s uid=1000
      rename d/f d/g uid=1000
      unlink w/f uid=1000
      list d
      list w`,
  },
  {
    name: 'a lower directory that held only whited-out names is empty',
    layers: [{ d: dir(), 'd/a': { type: 'c', dev: '0:0', mode: 0 } }, { 'd/a': '1' }],
    steps: raw`
      list d
      rmdir d
      mkdir d
      list d`,
    again: 'list d',
  },
  {
    name: 'the working directory of a process can be removed under it',
    lower: { 'd/e/f': '1' },
    steps: raw`
      chdir d/e proc=b
      unlink f proc=b
      rmdir d/e
      stat . proc=b
      list . proc=b
      write x 1 flags=O_CREAT proc=b
      stat .. proc=b
      rmdir d`,
  },
  {
    name: 'an open directory that was removed lists nothing, and its nlink is zero',
    lower: { 'd/a': '1' },
    see: ['nlink'],
    steps: raw`
      mkdir new
      open d new flags=O_RDONLY|O_DIRECTORY
      rmdir new
      stat fd=d
      getdents d
      fsync d
      chmod fd=d mode=0700
      stat fd=d`,
  },
  {
    name: 'making and removing the same name many times',
    lower: { x: 'low', 'd/f': '1' },
    steps:
      Array.from(
        { length: 5 },
        () => 'unlink x\nmkdir x\nrmdir x\nsymlink t x\nunlink x\nwrite x up flags=O_CREAT\nremove d\nmkdir d\nwrite d/f 2 flags=O_CREAT',
      ).join('\n') + '\nlist .\nread x\nlist d',
    again: 'manifest .',
  },
  {
    name: 'the times of a directory follow its entries',
    lower: { 'd/f': '1', 'd/s/g': '2', 'd/t': dir() },
    steps: raw`
      stat d
      chmod d/f 0600
      write d/f x
      setxattr d/f user.a 1
      utimens d/f mtime=5.0
      stat d
      stat d/s
      write d/s/g x
      stat d/s
      unlink d/s/g
      stat d/s
      stat d
      rmdir d/t
      stat d`,
  },
]);

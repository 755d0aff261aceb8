import { device, dir, fifo, file, hard, symlink } from '../../support/layers.js';
import { everywhere, group } from '../model.js';

const raw = String.raw;

export default group('identity', [
  ...everywhere({
    name: 'inode numbers stay over copy-up, rename and remount',
    see: ['ino', 'dev'],
    tree: { f: '1', d: dir(), 'd/x': '2', l: symlink('f'), p: fifo(), c: device('c', '1:3'), h: '3', i: hard('h') },
    steps: raw`
      stat .
      stat f
      stat d
      stat d/x
      stat l
      stat p
      stat c
      stat h
      stat i
      write f changed
      chmod d 0700
      utimens l mtime=1.0
      chmod p 0600
      chmod c 0600
      write h 4
      rename f d/f
      rename d e
      rename l l2
      stat e/f
      stat e
      stat e/x
      stat l2
      stat p
      stat c
      stat h
      stat i`,
    again: raw`
      stat e/f
      stat e
      stat e/x
      stat l2
      stat p
      stat c
      stat h
      stat i
      list e ino=1`,
  }),
  {
    name: 'a descriptor and its name agree before and after copy-up',
    see: ['ino', 'dev'],
    lower: { f: '1' },
    steps: raw`
      open r f
      stat fd=r
      stat f
      write f 2
      stat fd=r
      stat f
      open w f flags=O_RDWR
      stat fd=w`,
  },
  {
    name: 'different files have different numbers, whatever layer they are from',
    see: ['ino', 'dev'],
    layers: [
      { a: '1', 'd/x': '1' },
      { b: '2', 'd/y': '2' },
      { c: '3', 'd/z': '3' },
    ],
    upper: { u: '4', 'd/u': '4' },
    steps: raw`
      stat a
      stat b
      stat c
      stat u
      stat d
      stat d/x
      stat d/y
      stat d/z
      stat d/u
      write n 5 flags=O_CREAT
      stat n`,
    again: 'stat a\nstat b\nstat c\nstat u\nstat n\nstat d',
  },
  {
    name: 'new files keep their numbers over rename, link and remount',
    see: ['ino'],
    lower: { d: dir() },
    steps: raw`
      write a 1 flags=O_CREAT
      mkdir b
      symlink t c
      mknod p 010644
      stat a
      stat b
      stat c
      stat p
      link a d/a
      rename a d/b
      rename b d/c
      stat d/a
      stat d/b
      stat d/c`,
    again: 'stat d/a\nstat d/b\nstat d/c\nstat c\nstat p',
  },
  {
    name: 'a replaced name is another file',
    see: ['ino'],
    lower: { f: '1', g: '2' },
    steps: raw`
      open f f
      stat f
      stat g
      rename g f
      stat f
      stat fd=f`,
    again: 'stat f',
  },
  {
    name: 'the device number is one for all of the mount',
    see: ['dev'],
    lower: { 'd/f': '1', l: symlink('d'), c: device('c', '1:3') },
    upper: { u: '2' },
    steps: raw`
      stat .
      stat d
      stat d/f
      stat u
      stat l
      stat c
      write d/f 2
      stat d/f
      open t . flags=O_TMPFILE|O_RDWR
      stat fd=t`,
  },
  {
    name: 'a file handle opens its file while it lives, and then is ESTALE',
    lower: { f: 'content', 'd/g': '2', gone: '3' },
    steps: raw`
      open root . flags=O_RDONLY|O_DIRECTORY
      handle f h
      handle d k
      openhandle a h at=root
      read fd=a
      rename f d/f2
      openhandle b h at=root
      read fd=b
      write d/f2 CHANGED
      openhandle c h at=root
      read fd=c
      openhandle e k at=root flags=O_RDONLY|O_DIRECTORY
      list fd=e
      write n new flags=O_CREAT
      handle n m
      openhandle i m at=root
      read fd=i
      close i
      unlink n
      write other other flags=O_CREAT
      openhandle j m at=root`,
    notKernel: 'overlayfs gives handles only with nfs_export=on',
  },
  {
    name: 'inotify tells of changes made through the mount',
    lower: { f: '1', 'd/g': file('2') },
    steps: raw`
      watch w . mask=0x7c2
      watch w d mask=0x7c2
      write n 1 flags=O_CREAT
      events w
      write f 2
      events w
      rename n d/n
      events w
      unlink d/g
      events w
      mkdir s
      rmdir s
      events w`,
  },
]);

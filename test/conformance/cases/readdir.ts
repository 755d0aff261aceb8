import { type Tree, device, dir, fifo, file, socket, symlink, whiteout } from '../../support/layers.js';
import { everywhere, group } from '../model.js';

const raw = String.raw;
const many = (count: number, prefix = 'f'): Tree => Object.fromEntries(Array.from({ length: count }, (_, i) => [`d/${prefix}${i}`, '']));
const repeat = (count: number, step: (i: number) => string): string => Array.from({ length: count }, (_, i) => step(i)).join('\n');

export default group('readdir', [
  ...everywhere({
    name: 'names, types and inode numbers agree with stat',
    tree: { f: '1', d: dir(), 'e/x': '2', l: symlink('f'), p: fifo(), s: socket(), c: device('c', '1:3'), b: device('b', '7:0') },
    steps: raw`
      list . ino=1
      write n 1 flags=O_CREAT
      rename f g
      rename e e2
      chmod c 0600
      unlink p
      mkdir p
      list . ino=1
      list e2 ino=1`,
    again: 'list . ino=1\nlist e2 ino=1',
  }),
  ...everywhere({
    name: 'every name comes once, in whatever pieces it is read',
    tree: many(300),
    steps: raw`
      open d d flags=O_RDONLY|O_DIRECTORY
      ${repeat(60, () => 'getdents d size=300')}
      ${repeat(10, () => 'getdents d size=2000')}
      seekdir d
      list d size=100
      list d`,
  }),
  ...everywhere({
    name: 'every cookie leads back to the entry after it',
    tree: { ...many(120), 'd/s/x': '', 'd/t': dir() },
    steps: raw`
      seekcheck d
      seekcheck d size=300
      write d/new 1 flags=O_CREAT
      unlink d/f7
      rename d/f8 d/g8
      seekcheck d`,
    again: 'seekcheck d size=400',
  }),
  ...everywhere({
    name: 'a reader goes on after removals: every name that stays comes once',
    tree: many(100),
    staying: true,
    steps: raw`
      list d
      open d d flags=O_RDONLY|O_DIRECTORY
      getdents d size=1000 keep=k
      ${repeat(100, (i) => (i % 2 ? `unlink d/f${i}` : ''))}
      ${repeat(8, () => 'getdents d size=1000')}
      list d`,
  }),
  {
    name: 'rewinding shows what has changed since',
    lower: { 'd/a': '1', 'd/b': '2' },
    steps: raw`
      open d d flags=O_RDONLY|O_DIRECTORY
      getdents d
      write d/c 3 flags=O_CREAT
      unlink d/a
      rename d/b d/e
      seekdir d
      getdents d
      list d`,
  },
  {
    name: 'a seek back to a kept cookie reads the rest again',
    lower: many(50),
    steps: raw`
      open d d flags=O_RDONLY|O_DIRECTORY
      getdents d size=65536 keep=end
      seekdir d end
      getdents d
      seekdir d
      getdents d size=65536
      list d`,
  },
  {
    name: 'names of 255 bytes fill the buffers',
    lower: Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`d/${String(i).padStart(255, 'n')}`, ''])),
    steps: raw`
      list d
      list d size=700
      seekcheck d size=600
      open d d flags=O_RDONLY|O_DIRECTORY
      getdents d size=20`,
  },
  {
    name: 'names that are not UTF-8 are listed as they are',
    lower: Object.fromEntries(Array.from({ length: 128 }, (_, i) => [`d/x\\x${(i + 128).toString(16)}`, ''])),
    steps: raw`
      list d
      rename d/x\x80 d/\x80\x81
      unlink d/x\xff
      write d/\xfe\xff 1 flags=O_CREAT
      list d`,
    again: 'list d',
  },
  {
    name: 'a directory of five thousand names',
    lower: many(5000),
    steps: raw`
      list d
      seekcheck d size=32768
      ${repeat(300, (i) => `unlink d/f${i * 7}`)}
      ${repeat(300, (i) => `write d/n${i} x flags=O_CREAT`)}
      list d
      seekcheck d size=32768`,
    again: 'list d',
  },
  {
    name: 'a directory grows to three thousand names',
    lower: { d: dir() },
    steps: raw`
      ${repeat(3000, (i) => `mknod d/a-rather-long-name-number-${i} 0100644`)}
      list d
      seekcheck d size=32768
      remove d
      stat d`,
  },
  {
    name: 'whiteouts, opaque directories and their markers are not listed',
    lower: { 'd/a': '1', 'd/b': '2', 'd/c/x': '3', e: dir() },
    upper: { 'd/a': whiteout(), 'd/n': '4' },
    steps: raw`
      list d ino=1
      unlink d/b
      remove d/c
      list d ino=1
      mkdir d/c
      list d/c
      stat d/a
      write d/a back flags=O_CREAT
      list d ino=1`,
    again: 'manifest .',
  },
  {
    name: 'dot and dot-dot have the numbers of the directories they name',
    lower: { 'd/e/f': '1' },
    upper: { d: dir() },
    steps: raw`
      list d dots=1 ino=1
      list d/e dots=1 ino=1
      mkdir n
      list n dots=1 ino=1
      rename d/e n/e
      # the kernel may show a listing that it has until it is told, which may trail the rename
      sleep 200
      list n/e dots=1 ino=1`,
  },
  {
    name: 'listing needs the right to read the directory',
    lower: { d: dir({ mode: 0o711 }), 'd/f': '1', x: file('') },
    steps: raw`
      list d uid=1000
      open d d flags=O_RDONLY|O_DIRECTORY uid=1000
      list x
      open e x flags=O_RDONLY|O_DIRECTORY
      open f d flags=O_RDWR
      read d
      open g d flags=O_WRONLY`,
  },
  {
    name: 'two readers and a writer do not disturb each other',
    lower: many(40),
    staying: true,
    steps: raw`
      list d
      open a d flags=O_RDONLY|O_DIRECTORY
      open b d flags=O_RDONLY|O_DIRECTORY
      getdents a size=500
      write d/new 1 flags=O_CREAT
      ${repeat(6, () => 'getdents a size=800')}
      ${repeat(6, () => 'getdents b size=800')}
      list d`,
  },
]);

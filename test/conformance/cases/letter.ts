/** What goes wrong on overlays that are almost right: names at their limits, times, what programs that watch or run a file see. */
import fs from 'node:fs';
import { dir, file, hard, sparse, symlink } from '../../support/layers.js';
import { everywhere, group } from '../model.js';

const raw = String.raw;
const [A, B, C] = ['a', 'b', 'c'].map((letter) => letter.repeat(255));
const NEWLINE = String.raw`x\x0ay`;
/** Not what takes the name away: the open may come later. */
const MEANWHILE = ['chmod', 'link', 'xattr', 'utimes'] as const;
const SLEEP = fs.readFileSync('/bin/sleep');

export default group('letter', [
  ...everywhere({
    name: 'names of 255 bytes are changed, linked, renamed, exchanged and removed as any other',
    tree: { [A]: file('content', { mode: 0o640 }), [B]: dir(), [`${B}/${C}`]: 'inside', h: 'linked', [C]: hard('h') },
    steps: raw`
      chmod ${A} 0600
      write ${A} off=0 data=CON
      link ${A} ${B}/${A}
      unlink ${A}
      rename ${B}/${A} ${A}
      rename ${B}/${C} ${A} flags=EXCHANGE
      read ${A}
      write ${C} new
      read h
      unlink h
      unlink ${C}
      symlink ${A} ${C}
      rename ${B} ${'d'.repeat(255)}
      list ${'d'.repeat(255)}
      unlink ${A}
      unlink ${C}
      remove ${'d'.repeat(255)}
      mkdir ${B}
      list ${B}
      rmdir ${B}
      write ${B} x flags=O_CREAT
      list .`,
    again: 'manifest .',
  }),
  ...everywhere({
    name: 'names with newlines and bytes that are no UTF-8 keep their data through metadata changes, renames and remounts',
    tree: { [`${NEWLINE}/\\xff\\xfe`]: file('content'), [`${NEWLINE}/s\\x0a/deep`]: 'deep' },
    steps: raw`
      chmod ${NEWLINE}/\xff\xfe 0600
      rename ${NEWLINE} \xc3\x28
      chmod \xc3\x28/s\x0a/deep 0600
      rename \xc3\x28/s\x0a \x0a
      read \xc3\x28/\xff\xfe
      read \x0a/deep`,
    again: raw`
      manifest .
      write \x0a/deep DEEP
      read \xc3\x28/\xff\xfe
      unlink \xc3\x28/\xff\xfe
      rmdir \xc3\x28
      list .`,
  }),
  ...['msync m', 'munmap m', 'munmap m\nclose w'].flatMap((ending) =>
    ['', 'open r f\nread fd=r'].map((reader) => ({
      name: `a store through a shared mapping shows in mtime after ${ending.replace('\n', ', ')}${reader && ', while a reader has it open'}`,
      lower: { f: sparse(8192, [[0, 8192]]) },
      steps: `${reader}
        open w f flags=O_RDWR
        mmap m w len=8192 prot=READ|WRITE
        utimens fd=w mtime=60.5
        stat f
        mwrite m off=4090 data=acrosspages
        ${ending}
        stat f
        read f off=4088 len=14`,
      again: 'stat f',
    })),
  ),
  ...everywhere({
    name: 'inotify on a file tells of what happens to it, before and after it is copied up',
    tree: { f: 'lower', 'd/g': 'x' },
    steps: raw`
      watch w f mask=0xc0e
      chmod f 0600
      events w
      write f data=X
      events w
      truncate f 2
      events w
      link f h
      events w
      rename f d/f
      events w
      write h data=Y
      events w
      unlink h
      unlink d/f
      events w`,
  }),
  ...everywhere({
    name: 'a program that runs is not written, and one that is being written does not run',
    tree: { s: file(SLEEP, { mode: 0o755 }) },
    steps: raw`
      exec ./s arg=0.4 proc=b defer=1
      sleep 150
      open w s flags=O_RDWR
      open w s flags=O_WRONLY
      truncate s 0
      chmod s 0700
      rename s t
      collect proc=b
      open w t flags=O_WRONLY
      exec ./t arg=0
      close w
      exec ./t arg=0`,
  }),
  {
    name: 'times before 1970 and after 2038 are kept, of every type, and over remounts',
    lower: {
      f: file('x', { mtime: '-1.000000001' }),
      d: dir({ mtime: '-2000000000.5' }),
      l: symlink('f', { mtime: '4294967296.25' }),
      g: file('y', { mtime: '15000000000.999999999' }),
    },
    steps: raw`
      stat f
      stat d
      stat l
      stat g
      chmod f 0600
      chmod g 0600
      chown l owner=3
      chmod d 0700
      stat f
      stat d
      stat l
      stat g
      utimens f mtime=-2147483647.000000001 atime=0.0
      utimens g mtime=2147483648.5 atime=0.0
      stat f
      stat g`,
    again: 'stat f\nstat d\nstat l\nstat g',
  },
  ...everywhere({
    name: 'a directory changes its times when its names change, and not when what they name is copied up',
    see: ['ctime'],
    tree: { 'd/f': 'x', 'd/s/g': 'y', 'd/h': 'z' },
    steps: raw`
      open d d flags=O_RDONLY|O_DIRECTORY
      stat fd=d
      sleep 20
      write d/f X
      chmod d/s/g 0600
      utimens d/h mtime=5.0
      setxattr d/s user.k v
      stat fd=d
      sleep 20
      unlink d/h
      stat fd=d
      stat d/s`,
  }),
  {
    name: 'a file whose data are being copied up is changed by others meanwhile: no byte is lost',
    lower: Object.fromEntries(MEANWHILE.map((verb) => [verb, sparse(24 << 20, [[0, 24 << 20]])])),
    steps: MEANWHILE.map(
      (verb) => raw`
      open w${verb} ${verb} flags=O_RDWR proc=b defer=1
      sleep 2
      ${{ chmod: 'chmod chmod 0600', link: 'link link linked', xattr: 'setxattr xattr user.k v', utimes: 'utimens utimes mtime=5.5' }[verb]}
      collect proc=b
      read fd=w${verb} off=0 proc=b`,
    ).join('\n'),
    again: 'manifest .',
  },
  {
    name: 'st_nlink of directories follows their subdirectories',
    see: ['nlink'],
    lower: { 'l/s': dir(), x: '1' },
    upper: { 'u/s': dir() },
    steps: raw`
      mkdir n
      stat n
      mkdir n/a
      mkdir n/b
      stat n
      rmdir n/a
      stat n
      rename n/b m
      stat n
      stat l
      stat u
      mkdir l/t
      stat l`,
  },
  {
    name: 'inode flags are told and set, or there are none',
    lower: { f: 'x', d: dir() },
    steps: raw`
      open f f
      getflags f
      setflags f 0x80
      open d d flags=O_RDONLY|O_DIRECTORY
      getflags d
      setflags d 0x80`,
  },
]);

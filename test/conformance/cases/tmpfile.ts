import { dir } from '../../support/layers.js';
import { everywhere, group } from '../model.js';

const raw = String.raw;

export default group('tmpfile', [
  ...everywhere({
    name: 'O_TMPFILE has no name, takes everything a file takes, and goes with its descriptor',
    tree: { 'd/f': '1', d: dir({ mode: 0o777 }) },
    steps: raw`
      open t d flags=O_TMPFILE|O_RDWR mode=0640 umask=026
      stat fd=t
      write fd=t data=hello
      read fd=t off=0
      chmod fd=t mode=0600
      chown fd=t owner=5
      setxattr fd=t name=user.k value=v
      utimens fd=t mtime=9.5
      truncate fd=t size=3
      stat fd=t
      mmap m t prot=READ|WRITE
      mwrite m data=H
      read fd=t off=0
      list d
      stat d
      close t
      list d`,
  }),
  {
    name: 'it is given a name by linkat, once or often',
    lower: { d: dir({ mode: 0o777 }), 'd/used': '1' },
    see: ['ino'],
    steps: raw`
      open t d flags=O_TMPFILE|O_RDWR mode=0666 uid=1000
      write fd=t data=content
      stat fd=t
      linkfd t d/used
      linkfd t d/a uid=1000
      stat d/a
      stat d
      link d/a d/b
      write fd=t off=0 data=C
      read d/b
      unlink d/a
      unlink d/b
      stat fd=t
      read fd=t off=0
      linkfd t d/c
      list d`,
    again: 'manifest .',
  },
  {
    name: 'with O_EXCL it stays nameless; it wants a writable directory and a mode for writing',
    lower: { d: dir(), f: '1' },
    steps: raw`
      open x d flags=O_TMPFILE|O_RDWR|O_EXCL
      linkfd x d/n
      open a d flags=O_TMPFILE|O_RDONLY
      open b f flags=O_TMPFILE|O_RDWR
      open c nope flags=O_TMPFILE|O_RDWR
      open e d flags=O_TMPFILE|O_WRONLY uid=1000
      open g d flags=O_TMPFILE|O_WRONLY
      write fd=g data=x
      list d`,
  },
  {
    name: 'many at once do not meet',
    lower: { d: dir() },
    steps: raw`
      ${Array.from({ length: 30 }, (_, i) => `open t${i} d flags=O_TMPFILE|O_RDWR\nwrite fd=t${i} data=file${i}`).join('\n')}
      ${Array.from({ length: 30 }, (_, i) => (i % 3 ? `linkfd t${i} d/n${i}` : `close t${i}`)).join('\n')}
      list d
      read d/n1
      read d/n29`,
    again: 'manifest .',
  },
]);

import { device, dir, fifo, socket } from '../../support/layers.js';
import { everywhere, group } from '../model.js';

const raw = String.raw;

export default group('mknod', [
  {
    name: 'fifo, socket, devices and regular files are made with mode and numbers',
    lower: { d: dir() },
    steps: raw`
      mknod d/p 010640
      mknod d/s 0140600
      mknod d/c 020666 1:3
      mknod d/b 060660 7:0
      mknod d/big 020600 4095:1048575
      mknod d/f 0100644
      mknod d/zero 0644
      stat d/p
      stat d/s
      stat d/c
      stat d/b
      stat d/big
      stat d/f
      stat d/zero
      mknod d/f 0100644
      mknod d/x 040755
      mknod d/y 0120777
      list d`,
    again: 'manifest .',
  },
  {
    name: 'an ordinary user makes fifos and sockets, no devices',
    lower: { d: dir({ mode: 0o777 }) },
    steps: raw`
      mknod d/p 010666 uid=1000 umask=022
      mknod d/s 0140666 uid=1000
      mknod d/c 020666 1:3 uid=1000
      mknod d/b 060666 7:0 uid=1000
      manifest d`,
  },
  ...everywhere({
    name: 'special files keep their numbers when their attributes change',
    tree: { c: device('c', '1:3', { mode: 0o600 }), b: device('b', '259:1000'), p: fifo(), s: socket() },
    see: ['ino'],
    steps: raw`
      stat c
      chmod c 0666
      chown b owner=5
      utimens p mtime=3.5
      chmod s 0
      stat c
      stat b
      stat p
      stat s
      list .`,
    again: raw`
      stat c
      stat b
      stat p
      stat s`,
  }),
  {
    name: 'a device is the device, from a lower and made new',
    lower: { zero: device('c', '1:5', { mode: 0o666 }), null: device('c', '1:3', { mode: 0o666 }) },
    steps: raw`
      read zero len=4
      write null data=lost
      read null len=4
      mknod full 020666 1:7
      write full data=x
      open n null flags=O_RDWR uid=1000
      write fd=n data=x uid=1000
      truncate null 0
      stat null`,
  },
  {
    name: 'a fifo carries data between processes',
    lower: { p: fifo({ mode: 0o666 }) },
    steps: raw`
      open r p flags=O_RDONLY|O_NONBLOCK
      open w p flags=O_WRONLY proc=b
      write fd=w data=hello proc=b
      read fd=r len=5
      chmod p 0600
      write fd=w data=again proc=b
      read fd=r len=5
      open x p flags=O_WRONLY|O_NONBLOCK proc=b
      write fd=x data=more proc=b
      read fd=r len=4
      close r
      open y p flags=O_WRONLY|O_NONBLOCK`,
  },
  {
    name: 'a character device 0/0 made through the mount is shown as one',
    lower: { d: dir({ mode: 0o777 }), 'd/f': '1' },
    steps: raw`
      mknod d/mine 020600 0:0 uid=1000
      stat d/mine
      mknod d/w 020644 0:0
      stat d/w
      list d
      chmod d/w 0600
      stat d/w
      rename d/w d/v
      stat d/v
      link d/v d/u
      stat d/u
      unlink d/v
      list d`,
    again: raw`
      list d
      stat d/u`,
    notKernel: 'overlayfs takes it for a whiteout',
  },
]);

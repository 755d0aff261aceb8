/** What docs/compatibility.md says is otherwise than on a local file system: each line of it that no other case pins. */
import { dir, file } from '../../support/layers.js';
import { group } from '../model.js';

const raw = String.raw;

export default group('limits', [
  {
    name: 'a read of a lower does not move its atime',
    see: ['atime'],
    lower: { f: file('content', { mtime: '1000000000.5' }) },
    steps: raw`
      read f
      stat f`,
  },
  {
    name: 'opening a lower for writing moves only its ctime',
    see: ['ctime', 'atime'],
    lower: { f: file('content', { mtime: '1000000000.5' }) },
    steps: raw`
      stat f
      sleep 20
      open w f flags=O_WRONLY
      close w
      drop
      stat f`,
  },
  {
    name: 'an open ELF lower keeps its content',
    lower: { f: file(Buffer.from('\x7fELF\x02\x01\x01old', 'latin1')) },
    steps: raw`
      open r f
      mmap m r len=10
      write f off=7 data=new
      read f
      read fd=r off=0
      mread m len=10
      open again f
      read fd=again`,
  },
  {
    name: 'an O_PATH descriptor does not keep an unlinked file',
    lower: { f: 'content' },
    upper: { u: 'content' },
    steps: raw`
      open p u flags=O_PATH
      open first /proc/self/fd/3
      close first
      unlink u
      stat fd=p
      open r /proc/self/fd/3
      stat fd=p`,
  },
  {
    name: "the longest name of an overlay's xattr",
    lower: { f: '1' },
    steps: raw`
      setxattr f trusted.overlay.${'x'.repeat(231)} v
      setxattr f trusted.overlay.${'x'.repeat(232)} v
      getxattr f trusted.overlay.${'x'.repeat(231)}`,
  },
  {
    name: 'a removed directory takes no xattrs',
    lower: { k: '1' },
    upper: { d: dir() },
    steps: raw`
      open d d flags=O_RDONLY|O_DIRECTORY
      rmdir d
      chmod fd=d mode=0700
      stat fd=d
      setxattr fd=d name=user.k value=v
      removexattr fd=d name=user.k`,
  },
]);

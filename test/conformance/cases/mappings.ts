import { file, sparse } from '../../support/layers.js';
import { everywhere, group } from '../model.js';

const raw = String.raw;

export default group('mmap-locks', [
  ...everywhere({
    name: 'a shared mapping writes the file, and descriptors see it',
    tree: { f: sparse(8192, [[0, 8192]]) },
    steps: raw`
      open w f flags=O_RDWR
      mmap m w len=8192 prot=READ|WRITE
      mread m len=8
      mwrite m off=4090 data=acrosspages
      mread m off=4088 len=16
      msync m
      read fd=w off=4088 len=16
      read f off=4088 len=16
      write fd=w off=0 data=file
      mread m len=8
      munmap m
      close w
      read f off=4088 len=16
      stat f`,
    again: 'read f off=4088 len=16',
  }),
  ...everywhere({
    name: 'an old read-only mapping and descriptor see what is written later',
    tree: { f: sparse(12288, [[0, 12288]]) },
    steps: raw`
      open r f
      mmap old r len=12288
      mread old off=4096 len=8
      open w f flags=O_RDWR
      write fd=w off=4096 data=written!
      mread old off=4096 len=8
      read fd=r off=4096 len=8
      mmap new w len=12288 prot=READ|WRITE
      mwrite new off=8192 data=stored!!
      mread old off=8192 len=8
      read fd=r off=8192 len=8
      munmap new
      close w
      mread old off=8192 len=8
      read f off=8192 len=8`,
  }),
  {
    name: 'a private mapping keeps its own writes',
    lower: { f: 'abcdefgh' },
    steps: raw`
      open r f
      mmap p r prot=READ|WRITE private=1
      mwrite p data=MINE
      mread p len=8
      read fd=r off=0
      read f`,
  },
  {
    name: 'a mapping needs the rights of its descriptor',
    lower: { f: 'x' },
    steps: raw`
      open r f
      open w f flags=O_WRONLY
      mmap a r prot=READ|WRITE
      mmap b w
      mmap c r prot=READ
      mread c len=1`,
  },
  {
    name: 'a page beyond the end of a shortened file is SIGBUS',
    lower: { f: sparse(16384, [[0, 16384]]) },
    steps: raw`
      open w f flags=O_RDWR
      mmap m w len=16384
      mread m off=12288 len=4
      truncate f 4096
      mread m off=12288 len=4
      mread m off=0 len=4
      truncate f 16384
      mread m off=12288 len=4`,
  },
  {
    name: 'a mapping lives on without descriptor and without name',
    lower: { f: 'content of the lower file', g: 'will be written' },
    steps: raw`
      open r f
      mmap m r
      close r
      unlink f
      mread m len=7
      open w g flags=O_RDWR
      mmap n w prot=READ|WRITE
      close w
      mwrite n data=WILL
      unlink g
      mread n len=8
      msync n`,
  },
  {
    name: 'two processes share a mapping',
    lower: { f: sparse(4096, [[0, 4096]]) },
    steps: raw`
      open a f flags=O_RDWR
      mmap m a prot=READ|WRITE
      open b f flags=O_RDWR proc=b
      mmap m b prot=READ|WRITE proc=b
      mwrite m data=from-a
      mread m len=6 proc=b
      mwrite m off=100 data=from-b proc=b
      mread m off=100 len=6`,
  },
  {
    name: 'mtime follows a store through a mapping',
    lower: { f: file('0123456789', { mtime: '50.5' }) },
    steps: raw`
      open w f flags=O_RDWR
      mmap m w prot=READ|WRITE
      utimens f mtime=60.5
      stat f
      mwrite m data=x
      msync m
      stat f`,
  },
  ...everywhere({
    name: 'flock excludes between opens, whichever way the file was opened',
    tree: { f: '1' },
    steps: raw`
      open a f
      open b f flags=O_RDWR
      flock a sh
      flock b sh
      flock b ex
      flock a un
      flock b ex
      flock a sh
      flock a sh proc=b
      open c f proc=b
      flock c sh proc=b
      close b
      flock c ex proc=b
      flock a ex`,
  }),
  ...everywhere({
    name: 'record locks exclude between processes, by range',
    tree: { f: 'hundred bytes of something' },
    steps: raw`
      open a f flags=O_RDWR
      open b f flags=O_RDWR proc=b
      lock a wr start=0 len=10
      lock b wr start=0 len=10 proc=b
      lock b wr start=10 len=10 proc=b
      lock b rd start=5 len=1 proc=b
      getlock b rd start=5 len=1 proc=b
      getlock a wr start=10 len=0
      lock a un
      lock b wr proc=b
      lock a rd start=3 len=1
      close b proc=b
      lock a wr`,
  }),
  {
    name: 'a blocking lock is granted when the other lets go',
    lower: { f: '1' },
    steps: raw`
      open a f flags=O_RDWR
      open b f flags=O_RDWR proc=b
      lock a wr
      lock b wr wait=1 proc=b defer=1
      sleep 30
      lock a un
      collect proc=b
      lock a wr
      flock a ex
      flock b ex wait=1 proc=b defer=1
      sleep 30
      close a
      collect proc=b`,
  },
  {
    name: 'a lock on a file opened before its first write holds after it',
    lower: { f: '1' },
    steps: raw`
      open a f
      flock a ex
      lock a rd
      open b f flags=O_RDWR proc=b
      flock b ex proc=b
      write fd=b data=x proc=b
      flock b ex proc=b
      lock b wr proc=b
      flock a un
      flock b ex proc=b`,
  },
  {
    name: 'open file description locks belong to the descriptor',
    lower: { f: '1' },
    steps: raw`
      open a f flags=O_RDWR
      open b f flags=O_RDWR
      lock a wr ofd=1
      lock b wr ofd=1
      getlock b wr ofd=1
      close a
      lock b wr ofd=1`,
  },
]);

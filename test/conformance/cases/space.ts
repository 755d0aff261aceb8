import { sparse } from '../../support/layers.js';
import { everywhere, group } from '../model.js';

const raw = String.raw;
const MIB = 1 << 20;
const HOLES = sparse(8 * MIB, [
  [0, 4096],
  [MIB, 65536],
  [7 * MIB, 4096],
]);

export default group('space', [
  ...everywhere({
    name: 'SEEK_DATA and SEEK_HOLE find the segments',
    see: ['holes'],
    tree: { f: HOLES, full: sparse(65536, [[0, 65536]]), none: sparse(MIB, []), empty: '' },
    steps: raw`
      stat f
      segments f
      segments full
      segments none
      segments empty
      open r f
      lseek r 5000 DATA
      lseek r 5000 HOLE
      lseek r ${MIB} HOLE
      lseek r ${8 * MIB} DATA
      lseek r ${7 * MIB + 4096} DATA
      lseek r ${8 * MIB} HOLE
      lseek r -1 DATA`,
  }),
  ...everywhere({
    name: 'a sparse file stays sparse when it is copied up for a write',
    see: ['holes'],
    tree: { f: HOLES },
    steps: raw`
      write f off=${3 * MIB} data=x
      stat f
      segments f
      read f
      truncate f ${16 * MIB}
      stat f
      segments f`,
    again: 'stat f\nsegments f\nread f',
  }),
  ...everywhere({
    name: 'fallocate: allocates, keeps the size, punches, zeroes',
    tree: { f: sparse(65536, [[0, 65536]]), small: 'small' },
    steps: raw`
      open w f flags=O_RDWR
      fallocate w 0 131072
      stat f
      fallocate w 0 262144 mode=KEEP_SIZE
      stat f
      fallocate w 4096 8192 mode=PUNCH_HOLE|KEEP_SIZE
      segments f
      read f
      fallocate w 20480 4096 mode=ZERO_RANGE
      read f
      fallocate w 0 4096 mode=PUNCH_HOLE
      fallocate w -1 10
      fallocate w 0 0
      open s small flags=O_RDWR
      fallocate s 100 50
      read small
      fallocate s 2 2 mode=PUNCH_HOLE|KEEP_SIZE
      read small
      open r small
      fallocate r 0 10
      stat small`,
    again: 'manifest .',
  }),
  {
    name: 'fallocate that moves the rest of the file',
    lower: { f: sparse(65536, [[0, 65536]]) },
    steps: raw`
      open w f flags=O_RDWR
      fallocate w 32768 4096 mode=COLLAPSE_RANGE
      stat f
      read f
      fallocate w 8192 4096 mode=INSERT_RANGE
      stat f
      read f`,
  },
  ...everywhere({
    name: 'copy_file_range copies between lower, upper and new files',
    tree: { a: sparse(100000, [[0, 100000]]), b: 'short', 'd/c': sparse(MIB, [[500000, 4096]]) },
    steps: raw`
      open a a
      open b b flags=O_RDWR
      open n new flags=O_RDWR|O_CREAT
      copyrange a n off=0 tooff=0 len=100000
      read new
      copyrange a b off=50000 tooff=3 len=1000
      read b
      stat b
      copyrange a n off=99990 tooff=200000 len=1000
      stat new
      copyrange a n off=100000 tooff=0 len=10
      copyrange b a off=0 tooff=0 len=5
      open c d/c
      copyrange c n off=0 tooff=0 len=${MIB}
      read new
      open p n.append flags=O_WRONLY|O_CREAT|O_APPEND
      copyrange a p off=0 tooff=0 len=10
      open d d flags=O_RDONLY|O_DIRECTORY
      copyrange d n off=0 tooff=0 len=10`,
    again: 'manifest .',
  }),
  {
    name: 'copy_file_range by the position of the descriptors moves them',
    lower: { a: 'abcdefghij' },
    steps: raw`
      open a a
      open n new flags=O_RDWR|O_CREAT
      lseek a 2 SET
      copyrange a n len=3
      lseek a 0 CUR
      lseek n 0 CUR
      copyrange a n len=100
      read new`,
  },
  {
    name: 'holes read as zeros, also where a shorter file was',
    lower: { f: 'abcdefghijklmnop' },
    steps: raw`
      truncate f 4
      truncate f 12
      read f
      write f off=20 data=x
      read f
      write new off=10 flags=O_CREAT data=y
      read new`,
    again: 'read f\nread new',
  },
  {
    name: 'a lower of many holes is copied up by metadata first, then whole',
    see: ['holes'],
    lower: { f: HOLES },
    steps: raw`
      chmod f 0600
      stat f
      segments f
      read f
      write f off=${5 * MIB} data=here
      segments f
      read f`,
    again: 'segments f\nread f',
  },
  {
    name: 'statfs names the same file system everywhere, with its limits',
    lower: { f: '1', 'd/e': '2' },
    steps: raw`
      statfs .
      statfs f
      statfs d
      write n 1 flags=O_CREAT
      statfs n
      open f f
      statfs fd=f
      statfs nope`,
  },
]);

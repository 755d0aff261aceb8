import { dir, fifo, file, symlink } from '../../support/layers.js';
import { everywhere, group } from '../model.js';

const raw = String.raw;
const LONG = 'n'.repeat(255);
/** A relative path of exactly `length` bytes through nested directories. */
const deep = (length: number): string => {
  const parts = Array.from({ length: Math.floor(length / 200) }, () => 'p'.repeat(199));
  return [...parts, 'q'.repeat(length - parts.length * 200)].join('/');
};

export default group('lookup', [
  {
    name: 'what is missing is ENOENT, what is below a file ENOTDIR',
    lower: { f: '1', d: dir() },
    steps: raw`
      stat nope
      stat nope/x
      stat f/x
      stat f/
      stat d/
      stat d/nope
      open x f/ flags=O_RDONLY
      readlink f
      readlink d
      list f`,
  },
  ...everywhere({
    name: 'every type of file shows its attributes',
    tree: {
      f: file('hello', { mode: 0o4711, uid: 7, gid: 8 }),
      d: dir({ mode: 0o1777, uid: 7 }),
      l: symlink('f', { uid: 9, gid: 10 }),
      p: fifo({ mode: 0o600 }),
      empty: '',
    },
    steps: raw`
      stat f
      stat d
      stat l
      stat p
      stat empty
      stat l follow=1
      readlink l
      read f
      list .`,
  }),
  {
    name: 'a name of 255 bytes is found, one of 256 is ENAMETOOLONG',
    lower: { [LONG]: 'x' },
    steps: raw`
      stat ${LONG}
      read ${LONG}
      list .
      stat ${LONG}n
      write ${LONG}n x flags=O_CREAT
      mkdir ${LONG}n
      rename ${LONG} ${LONG}n
      rename ${LONG} ${LONG.slice(1)}
      list .`,
  },
  {
    name: 'names are bytes, whether they are UTF-8 or not',
    lower: {
      '\\xff\\xfe': 'not',
      '\\xc3\\xa9': 'composed',
      'e\\xcc\\x81': 'decomposed',
      '\\xed\\xa0\\x80': 'surrogate',
      'a\\x0ab': 'newline',
      '\\x20': 'space',
    },
    steps: raw`
      list .
      read \xff\xfe
      read \xc3\xa9
      read e\xcc\x81
      read \xed\xa0\x80
      read a\x0ab
      read \x20
      rename \xff\xfe \xfe\xff
      mkdir \x80\x81
      write \x80\x81/\xc0\xaf x flags=O_CREAT
      symlink \xff\xfe \x01
      readlink \x01
      list .
      list \x80\x81`,
    again: 'manifest .',
  },
  {
    name: 'names that look like something special are ordinary',
    lower: {
      '...': '1',
      '..x': '2',
      '-': '3',
      '*': '4',
      'a\\x5cb': '5',
      'x:y,z=1': '6',
      '%41': '7',
      '#1': '8',
      work: '9',
      index: '10',
      upper: '11',
    },
    steps: raw`
      list .
      read path=...
      read a\x5cb
      read path=x:y,z=1
      read %41
      write path=x:y,z=1 data=w flags=O_TRUNC
      rename %41 A
      rename \x231 \x232
      list .`,
  },
  {
    name: 'dot and dot-dot work inside merged directories',
    lower: { 'd/e/f': '1' },
    upper: { 'd/e': dir() },
    steps: raw`
      stat d/.
      stat d/e/..
      read d/./e/../e/f
      stat d/e/../../d/e/f
      mkdir d/.
      rmdir d/.
      rmdir d/..
      unlink d/..
      rename d/. x
      rename d/e d/..`,
  },
  {
    name: 'symlinks lead on, dangle, and loop',
    lower: {
      'd/f': '1',
      tod: symlink('d'),
      tof: symlink('tod/f'),
      nowhere: symlink('missing'),
      a: symlink('b'),
      b: symlink('a'),
      self: symlink('self/x'),
      up: symlink('../lookup-does-not-exist'),
    },
    steps: raw`
      read tof
      read tod/f
      list tod
      stat nowhere
      stat nowhere follow=1
      open x a
      stat a follow=1
      stat self follow=1
      stat up follow=1
      open y tof flags=O_NOFOLLOW
      open z tof flags=O_NOFOLLOW|O_PATH
      stat fd=z
      readlink fd=z
      open q tod flags=O_DIRECTORY|O_NOFOLLOW
      stat tod/`,
  },
  {
    name: 'a symlink chain of forty is followed, one of forty-one is ELOOP',
    lower: { s0: 'end', ...Object.fromEntries(Array.from({ length: 41 }, (_, i) => [`s${i + 1}`, symlink(`s${i}`)])) },
    steps: raw`
      read s40
      read s41`,
  },
  {
    name: 'a symlink target of 4,095 bytes is kept',
    lower: { l: symlink('t'.repeat(4000)) },
    steps: raw`
      readlink l
      stat l
      symlink ${'u'.repeat(4095)} m
      readlink m
      stat m
      rename l k
      readlink k`,
  },
  {
    name: 'a path of 4,000 bytes works, in the lower and made new',
    lower: { [deep(3900)]: 'deep' },
    steps: raw`
      read ${deep(3900)}
      write ${deep(3900)} data=DEEP
      read ${deep(3900)}
      chmod ${deep(3900)} 0600
      stat ${deep(3900)}
      stat ${'x/'.repeat(2048)}
      rename ${'p'.repeat(199)} r
      read ${deep(3900).replace('p'.repeat(199), 'r')}`,
    again: raw`read ${deep(3900).replace('p'.repeat(199), 'r')}`,
  },
  {
    name: 'directories a hundred deep',
    lower: { [Array.from({ length: 100 }, (_, i) => `d${i}`).join('/')]: file('bottom') },
    steps: raw`
      read ${Array.from({ length: 100 }, (_, i) => `d${i}`).join('/')}
      write ${Array.from({ length: 100 }, (_, i) => `d${i}`).join('/')} BOTTOM
      rename d0 e0
      read e0/${Array.from({ length: 99 }, (_, i) => `d${i + 1}`).join('/')}`,
  },
  {
    name: 'a name that was missing shows at once when it is made, also to another process',
    lower: {},
    steps: raw`
      stat x
      stat x proc=b
      write x 1 flags=O_CREAT
      stat x proc=b
      read x proc=b
      unlink x proc=b
      stat x
      mkdir x
      stat x proc=b`,
  },
  {
    name: 'names differ by case',
    lower: { a: '1' },
    steps: raw`
      stat A
      write A 2 flags=O_CREAT
      read a
      read A
      list .`,
  },
  {
    name: 'search permission of directories counts for an ordinary user',
    lower: {
      'closed/f': '1',
      closed: dir({ mode: 0o700 }),
      'pass/f': '2',
      pass: dir({ mode: 0o711 }),
      'see/f': '3',
      see: dir({ mode: 0o744 }),
      'group/f': '4',
      group: dir({ mode: 0o750, gid: 4242 }),
    },
    steps: raw`
      stat closed/f uid=1000
      list closed uid=1000
      stat pass/f uid=1000
      list pass uid=1000
      list see uid=1000
      stat see/f uid=1000
      stat group/f uid=1000
      stat group/f uid=1000 groups=17,4242
      stat group/f uid=1000 gid=4242
      list group uid=1000 groups=4242
      read pass/f uid=1000`,
  },
  {
    name: 'access tells what the permission bits say, to root and to others',
    lower: {
      r: file('', { mode: 0o444 }),
      w: file('', { mode: 0o222 }),
      x: file('', { mode: 0o111 }),
      none: file('', { mode: 0 }),
      mine: file('', { mode: 0o600, uid: 1000 }),
    },
    steps:
      ['r', 'w', 'x', 'none', 'mine']
        .map((f) => ['R', 'W', 'X', 'R|W|X'].map((m) => `access ${f} ${m}\naccess ${f} ${m} uid=1000`).join('\n'))
        .join('\n') + '\naccess missing F\naccess r F uid=1000',
  },
  {
    name: 'what a directory was replaced by is found by its new type',
    lower: { 'd/f': '1', g: '2' },
    steps: raw`
      remove d
      stat d/f
      write d now-a-file flags=O_CREAT
      stat d
      stat d/f
      unlink g
      mkdir g
      stat g
      write g/x 1 flags=O_CREAT
      list .`,
    again: 'manifest .',
  },
  {
    name: 'O_PATH descriptors reach what they name',
    lower: { 'd/f': 'data', l: symlink('d') },
    steps: raw`
      open p d/f flags=O_PATH
      stat fd=p
      read fd=p
      open dp d flags=O_PATH|O_DIRECTORY
      stat f at=dp
      read f at=dp
      rename d e
      read f at=dp
      write g at=dp data=new flags=O_CREAT
      read e/g
      chmod fd=p mode=0600
      stat fd=p`,
  },
]);

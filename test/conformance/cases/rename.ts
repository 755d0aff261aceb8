import { type Entry, type Tree, device, dir, fifo, file, hard, opaque, symlink, whiteout } from '../../support/layers.js';
import { type Case, everywhere, group } from '../model.js';

const raw = String.raw;

/** What one name of a rename can be, by where it comes from. `upper` and `lower` are trees below that name; "" is the name itself. */
interface Kind {
  lower?: Record<string, Entry | string>;
  upper?: Record<string, Entry | string>;
}
const KINDS: Record<string, Kind> = {
  'lower file': { lower: { '': file('lower', { mode: 0o640, uid: 3 }) } },
  'upper file': { upper: { '': file('upper') } },
  'upper file over a lower one': { lower: { '': 'below' }, upper: { '': 'above' } },
  'lower symlink': { lower: { '': symlink('x') } },
  'lower fifo': { lower: { '': fifo() } },
  'lower directory': { lower: { '': dir(), '/f': '1', '/s/g': '2' } },
  'empty lower directory': { lower: { '': dir({ mode: 0o700 }) } },
  'upper directory': { upper: { '': dir(), '/u': '3' } },
  'empty upper directory': { upper: { '': dir() } },
  'merged directory': { lower: { '': dir(), '/f': '1' }, upper: { '': dir(), '/u': '2' } },
  'merged directory, all whited out': { lower: { '': dir(), '/f': '1' }, upper: { '': dir(), '/f': whiteout() } },
  'opaque directory': { lower: { '': dir(), '/hidden': '1' }, upper: { '': opaque(), '/u': '2' } },
  'whited-out name': { lower: { '': 'gone' }, upper: { '': whiteout() } },
  'missing name': {},
};

const named = (name: string, part: Record<string, Entry | string> | undefined): Tree =>
  Object.fromEntries(Object.entries(part ?? {}).map(([rest, entry]) => [name + rest, entry]));

/** Every kind onto every kind, in one case for each pair: three directories deep, so that parents are lower, merged, and the same. */
function pairs(flags: string, kinds: readonly string[]): Case[] {
  return kinds.flatMap((from) =>
    kinds.map((to): Case => {
      const [a, b] = [KINDS[from], KINDS[to]];
      const lower = { ...named('a/from', a.lower), ...named('b/to', b.lower), ...named('c/one', a.lower), ...named('c/two', b.lower) };
      const upper = { ...named('a/from', a.upper), ...named('b/to', b.upper), ...named('c/one', a.upper), ...named('c/two', b.upper) };
      return {
        name: `${flags || 'plain'}: ${from} onto ${to}`,
        lower: { a: dir(), b: dir(), c: dir(), ...lower },
        ...(Object.keys(upper).length > 0 ? { upper } : {}),
        steps: raw`
          rename a/from b/to${flags && ` flags=${flags}`}
          rename c/one c/two${flags && ` flags=${flags}`}
          list a
          list b
          list c
          manifest .`,
        again: raw`
          manifest .
          mkdir a/from
          list a/from
          write c/one new flags=O_CREAT
          read c/one`,
      };
    }),
  );
}

const FILES_AND_DIRECTORIES = [
  'lower file',
  'upper file over a lower one',
  'lower symlink',
  'lower directory',
  'upper directory',
  'merged directory',
  'opaque directory',
  'whited-out name',
];

export default group('rename', [
  pairs('', [
    'lower file',
    'upper file over a lower one',
    'lower directory',
    'empty lower directory',
    'empty upper directory',
    'merged directory',
    'merged directory, all whited out',
    'opaque directory',
    'whited-out name',
  ]),
  pairs('NOREPLACE', ['lower file', 'merged directory', 'whited-out name', 'missing name']),
  pairs('EXCHANGE', FILES_AND_DIRECTORIES),
  ...everywhere({
    name: 'a file keeps its attributes and content, both directories change',
    tree: { 'a/f': file('content', { mode: 0o4755, uid: 5, gid: 6, mtime: '1000.000000001', xattrs: { 'user.k': 'v' } }), 'b/g': '2' },
    see: ['ino'],
    steps: raw`
      stat a/f
      rename a/f b/f
      stat b/f
      getxattr b/f user.k
      read b/f
      stat a
      stat b
      list a
      list b ino=1
      rename b/f b/g
      stat b/g
      read b/g`,
    again: raw`
      stat b/g
      read b/g
      list a`,
  }),
  ...everywhere({
    name: 'a directory takes what is in it along, and leaves nothing',
    tree: { 'd/e/f': file('1', { mode: 0o600 }), 'd/g': '2', 'd/l': symlink('e/f'), other: dir() },
    see: ['ino'],
    steps: raw`
      stat d
      stat d/e/f
      rename d other/n
      stat other/n
      stat other/n/e/f
      stat d
      read other/n/l
      list other/n ino=1
      write other/n/e/f changed
      write other/n/new 3 flags=O_CREAT
      unlink other/n/g
      mkdir d
      list d
      write d/g again flags=O_CREAT
      manifest .`,
    again: raw`
      manifest .
      stat other/n
      stat other/n/e/f
      rename other/n/e e
      rename d other/n/d
      manifest .`,
  }),
  ...everywhere({
    name: 'a directory renamed twice, and its subdirectory too, is read through both',
    tree: { 'a/b/c/f': '1', 'a/b/g': '2', 'a/h': '3' },
    steps: raw`
      rename a x
      rename x/b x/y
      rename x/y y
      rename x z
      manifest .
      write y/c/f CHANGED
      rename y/c z/c
      manifest .`,
    again: raw`
      manifest .
      rename z/c/f f
      rename z a
      mkdir z
      manifest .`,
  }),
  ...everywhere({
    name: 'directories swapped in a circle',
    tree: { 'a/1': '1', 'b/2': '2', 'c/3': '3' },
    steps: raw`
      rename a t
      rename b a
      rename c b
      rename t c
      manifest .`,
    again: 'manifest .',
  }),
  {
    name: 'a directory moved into a renamed directory and out again',
    lower: { 'p/q/r/f': '1', 's/t': '2' },
    steps: raw`
      rename p P
      rename s P/q/s
      rename P/q Q
      rename Q/s s
      rename Q/r r
      manifest .`,
    again: 'manifest .',
  },
  {
    name: 'a directory cannot go below itself, nor over what it is in',
    lower: { 'd/e/f': '1' },
    steps: raw`
      rename d d/e/d
      rename d d/x
      rename d/e d
      rename d/e/f d/e
      rename d/e/f d
      rename d d
      rename d/e d/e flags=NOREPLACE
      rename d d/e flags=EXCHANGE
      manifest .`,
  },
  {
    name: 'types must agree: directory over file, file over directory',
    lower: { d: dir(), f: '1', full: dir(), 'full/x': '2', l: symlink('d') },
    steps: raw`
      rename d f
      rename f d
      rename f full
      rename d full
      rename d l
      rename l d
      rename d/ f/
      rename f x/
      rename d e/
      rename e d
      manifest .`,
  },
  {
    name: 'flags that exclude each other or mean nothing are EINVAL',
    lower: { a: '1', b: '2' },
    steps: raw`
      rename a b flags=NOREPLACE|EXCHANGE
      rename a c flags=WHITEOUT|EXCHANGE
      rename a b flags=0x10
      rename nope b
      rename nope b flags=EXCHANGE
      rename a nope flags=EXCHANGE
      rename a nope/x
      rename a b/x
      manifest .`,
  },
  {
    name: 'two names of one file: nothing happens',
    lower: { a: '1', b: hard('a') },
    steps: raw`
      rename a b
      list .
      rename a b flags=EXCHANGE
      rename a a
      rename a b flags=NOREPLACE
      manifest .`,
    again: 'manifest .',
  },
  ...everywhere({
    name: 'EXCHANGE of two names in one directory and across, file with directory too',
    tree: { 'd/f': '1', 'd/s/x': '2', 'e/g': '3', 'e/t/y': '4' },
    see: ['ino'],
    steps: raw`
      stat d/f
      stat e/g
      rename d/f e/g flags=EXCHANGE
      stat d/f
      stat e/g
      rename d/s e/t flags=EXCHANGE
      rename d/f d/s flags=EXCHANGE
      stat d/s
      rename d e flags=EXCHANGE
      manifest .`,
    again: 'manifest .',
  }),
  {
    name: 'WHITEOUT leaves a character device 0/0 behind',
    lower: { f: '1', g: '2', 'd/x': '3' },
    upper: { u: '4' },
    steps: raw`
      rename f f2 flags=WHITEOUT
      stat f2
      list .
      rename u u2 flags=WHITEOUT
      list .`,
    notKernel: 'overlayfs refuses RENAME_WHITEOUT',
  },
  {
    name: 'a file open for reading and writing goes on through a rename',
    lower: { f: 'lower', 'd/g': 'x' },
    steps: raw`
      open r f
      open w f flags=O_RDWR
      rename f d/h
      write fd=w data=LOWER
      read fd=r off=0
      read d/h
      rename d e
      read e/h
      write fd=w off=0 data=again
      read fd=r off=0
      stat fd=r
      read e/h`,
  },
  {
    name: 'a file open while another is renamed over it keeps its own content',
    lower: { f: 'target', g: 'source' },
    steps: raw`
      open t f flags=O_RDWR
      open s g
      rename g f
      read fd=t off=0
      write fd=t off=0 data=T
      read fd=t off=0
      stat fd=t
      read fd=s off=0
      stat fd=s
      read f
      stat f`,
  },
  {
    name: 'a process in a directory stays there when it is renamed',
    lower: { 'd/e/f': '1', x: dir() },
    steps: raw`
      chdir d/e proc=b
      rename d x/y
      read f proc=b
      write g 2 flags=O_CREAT proc=b
      stat ../e/f proc=b
      read x/y/e/g
      stat ../../y proc=b
      manifest .`,
  },
  {
    name: 'an open directory follows its rename',
    lower: { 'd/f': '1' },
    steps: raw`
      open d d flags=O_RDONLY|O_DIRECTORY
      rename d e
      list fd=d
      write g at=d data=2 flags=O_CREAT
      list e
      rename f h at=d toat=d
      mkdir d
      list d
      list e
      unlink g at=d
      list e`,
  },
  {
    name: 'a rename over an unlinked-while-open name',
    lower: { f: '1', g: '2' },
    steps: raw`
      open f f flags=O_RDWR
      unlink f
      rename g f
      read fd=f off=0
      read f
      unlink f
      write f 3 flags=O_CREAT
      read fd=f off=0
      list .`,
  },
  {
    name: 'renaming needs the right to write both directories, and a directory its own',
    lower: {
      a: dir({ mode: 0o777 }),
      b: dir(),
      'a/f': '1',
      'b/g': '2',
      'a/d': dir({ mode: 0o755 }),
      'a/mine': dir({ uid: 1000 }),
      c: dir({ mode: 0o777 }),
      'a/mine/x': '1',
    },
    steps: raw`
      rename a/f b/f uid=1000
      rename b/g a/g uid=1000
      rename a/d a/e uid=1000
      rename a/e c/d uid=1000
      rename a/mine c/mine uid=1000
      rename a/f c/f uid=1000
      manifest .`,
  },
  {
    name: 'special files are renamed as they are',
    lower: {
      c: device('c', '1:3', { mode: 0o666 }),
      b: device('b', '7:0'),
      p: fifo({ uid: 3 }),
      l: symlink('nowhere', { uid: 4 }),
      d: dir(),
    },
    steps: raw`
      rename c d/c
      rename b d/b
      rename p d/p
      rename l d/l
      manifest .
      rename d/p d/l
      manifest .`,
    again: 'manifest .',
  },
  {
    name: 'renaming into and out of a directory made over a removed one',
    lower: { 'd/a': '1', 'd/b': '2', 'e/c': '3' },
    steps: raw`
      remove d
      mkdir d
      rename e/c d/c
      rename d f
      mkdir d
      rename f/c d/a
      manifest .`,
    again: 'manifest .',
  },
  {
    name: 'a rename leaves nothing where a lower file of the same name is: many times',
    lower: { a: 'A', b: 'B', 'd/x': 'X' },
    steps: Array.from({ length: 4 }, () => 'rename a t\nrename b a\nrename t b\nrename d u\nrename u d').join('\n') + '\nmanifest .',
    again: 'manifest .',
  },
  {
    name: 'mtime of the renamed stays, of the directories changes',
    lower: { 'a/d/x': '1', 'a/f': '2', b: dir() },
    steps: raw`
      rename a/d b/d
      stat b/d
      stat a
      stat b
      rename a/f b/f
      stat b/f`,
  },
]);

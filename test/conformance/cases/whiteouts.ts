import { type Tree, dir, file, hard, opaque, symlink, whiteout } from '../../support/layers.js';
import { type Case, group } from '../model.js';

const raw = String.raw;
const DIALECT = 'a dialect the kernel does not speak';

/** The same hiding, said in each dialect: by a whiteout of `name`. */
const WHITEOUTS: Record<string, (directory: string, name: string) => Tree> = {
  'char 0/0': (directory, name) => ({ [`${directory}/${name}`]: whiteout() }),
  '.wh.': (directory, name) => ({ [`${directory}/.wh.${name}`]: '' }),
};
const OPAQUES: Record<string, (directory: string) => Tree> = {
  'trusted.overlay': (directory) => ({ [directory]: opaque('trusted.overlay') }),
  'user.overlay': (directory) => ({ [directory]: opaque('user.overlay') }),
  'user.fuseoverlayfs': (directory) => ({ [directory]: opaque('user.fuseoverlayfs') }),
  '.wh..wh..opq': (directory) => ({ [`${directory}/.wh..wh..opq`]: '' }),
};
const kernelSpeaks = (dialect: string): Partial<Case> =>
  dialect === 'char 0/0' || dialect === 'trusted.overlay' ? {} : { notKernel: DIALECT };

const byWhiteout = Object.entries(WHITEOUTS).flatMap(([dialect, hide]): Case[] => [
  {
    name: `${dialect} hides a file, a directory and a symlink of the layers below, not of those above`,
    layers: [
      { 'd/above': 'top' },
      { ...hide('d', 'f'), ...hide('d', 's'), ...hide('d', 'l'), ...hide('d', 'above'), ...hide('d', 'never-there'), 'd/kept': 'kept' },
      { 'd/f': '1', 'd/s/x': '2', 'd/l': symlink('f'), 'd/above': 'low', 'd/other': '3' },
    ],
    steps: raw`
      list d ino=1
      stat d/f
      stat d/s/x
      read d/above
      stat d/.wh.f
      write d/f new flags=O_CREAT|O_EXCL
      mkdir d/s
      list d/s
      list d
      unlink d/above
      stat d/above
      unlink d/other
      list d`,
    again: 'manifest .',
    ...kernelSpeaks(dialect),
  },
  {
    name: `${dialect} in a directory that is removed and renamed`,
    layers: [
      { ...hide('d', 'f'), ...hide('e', 'g'), 'e/h': '3' },
      { 'd/f': '1', 'e/g': '2' },
    ],
    steps: raw`
      list d
      rename e e2
      list e2
      rmdir d
      mkdir d
      list d
      unlink e2/h
      rmdir e2
      manifest .`,
    again: 'manifest .',
    ...kernelSpeaks(dialect),
  },
]);

const byOpaque = Object.entries(OPAQUES).flatMap(([dialect, make]): Case[] => [
  {
    name: `${dialect} opaque: nothing below shows, at any depth`,
    layers: [{ ...make('d'), 'd/new': '1', 'd/s': dir() }, { 'd/old': '2', 'd/s/deep': '3' }, { 'd/older': '4' }],
    steps: raw`
      list d ino=1
      list d/s
      stat d/old
      stat d/s/deep
      write d/old back flags=O_CREAT
      rename d e
      list e
      manifest .`,
    again: 'manifest .',
    ...kernelSpeaks(dialect),
  },
  {
    name: `${dialect} opaque in the middle cuts off only what is below it`,
    layers: [{ 'd/top': '1' }, { ...make('d'), 'd/middle': '2' }, { 'd/bottom': '3' }],
    steps: raw`
      list d
      unlink d/middle
      list d
      write d/bottom new flags=O_CREAT
      read d/bottom
      rmdir d
      remove d
      list .`,
    again: 'manifest .',
    ...kernelSpeaks(dialect),
  },
]);

export default group('whiteouts', [
  byWhiteout,
  byOpaque,
  {
    name: 'both dialects for one name, and a name with its own marker in one layer',
    layers: [
      { 'd/.wh.f': '', 'd/f': 'here', 'd/.wh.g': '', 'd/g2': '' },
      { 'd/f': 'below', 'd/g': whiteout() },
      { 'd/f': 'lowest', 'd/g': 'lowest' },
    ],
    steps: raw`
      list d
      read d/f
      unlink d/f
      stat d/f
      stat d/g`,
    again: 'list d',
    notKernel: DIALECT,
  },
  {
    name: 'an opaque marker applies to its directory only',
    layers: [
      { 'a/.wh..wh..opq': '', 'a/b/x': '1' },
      { 'a/y': '2', 'a/b/z': '3', 'c/w': '4' },
    ],
    steps: raw`
      list a
      list a/b
      list c
      stat a/.wh..wh..opq`,
    notKernel: DIALECT,
  },
  {
    name: 'a file between directories cuts them off',
    layers: [{ 'd/top': '1' }, { d: file('a file') }, { 'd/bottom': '2' }],
    steps: raw`
      list d
      stat d/bottom
      remove d
      stat d
      mkdir d
      list d`,
    again: 'list d',
  },
  {
    name: 'a directory between files',
    layers: [{ x: file('top') }, { 'x/dir': '1' }, { x: symlink('low') }],
    steps: raw`
      read x
      unlink x
      stat x
      mkdir x
      list x`,
    again: 'list x',
  },
  {
    name: 'a whiteout over a directory, and a directory of the same name above it',
    layers: [{ 'd/new': '1' }, { d: whiteout() }, { 'd/old': '2' }],
    steps: raw`
      list d
      stat d/old
      unlink d/new
      rmdir d
      mkdir d
      list d`,
    again: 'list d',
  },
  {
    name: 'one directory through every layer: the topmost says the attributes',
    layers: [
      { d: dir({ mode: 0o701, uid: 1, mtime: '11.5', xattrs: { 'user.k': 'top' } }), 'd/1': '1' },
      { d: dir({ mode: 0o702, uid: 2, mtime: '22.5', xattrs: { 'user.k': 'middle', 'user.m': 'x' } }), 'd/2': '2' },
      { d: dir({ mode: 0o703, uid: 3, mtime: '33.5' }), 'd/3': '3' },
    ],
    steps: raw`
      stat d
      listxattr d
      getxattr d user.k
      list d
      unlink d/3
      chmod d 0755
      stat d
      list d`,
    again: 'manifest .',
  },
  {
    name: 'the same path in every layer: the topmost says the content',
    layers: [
      { f: file('top', { mode: 0o600 }), g: symlink('top') },
      { f: file('middle'), g: '2' },
      { f: 'bottom', 'g/x': '3' },
    ],
    steps: raw`
      read f
      stat f
      readlink g
      write f changed
      unlink g
      stat g
      unlink f
      stat f`,
    again: 'list .',
  },
  {
    name: 'hard links of one layer with a name hidden by another',
    layers: [{ b: 'other' }, { a: '1', b: hard('a'), c: hard('a') }],
    steps: raw`
      read b
      write a changed
      read c
      read b
      unlink b
      stat b
      read a`,
    again: 'manifest .',
  },
  {
    name: 'an upper that another mount left: whiteouts, opaque and merged directories',
    lower: { 'd/a': '1', 'd/b': '2', 'o/x': '3', 'm/s/y': '4', f: '5' },
    upper: { 'd/a': whiteout(), o: opaque(), 'o/n': '6', 'm/s': dir(), f: 'upper' },
    steps: raw`
      manifest .
      write d/a new flags=O_CREAT
      unlink d/a
      stat d/a
      rmdir o
      unlink o/n
      rmdir o
      mkdir o
      list o
      unlink m/s/y
      rmdir m/s
      rmdir m
      read f
      unlink f
      manifest .`,
    again: 'manifest .',
  },
  {
    name: 'a redirect written by the kernel into a lower is followed',
    layers: [
      { 'moved-here': dir({ xattrs: { 'trusted.overlay.redirect': 'was-here' } }), 'moved-here/new': '2', 'was-here': whiteout() },
      { 'was-here/old': '1', 'was-here/s/deep': '3' },
    ],
    merged: { 'moved-here/new': '2', 'moved-here/old': '1', 'moved-here/s/deep': '3' },
    steps: raw`
      list .
      list moved-here
      read moved-here/s/deep
      listxattr moved-here
      write moved-here/old changed
      rename moved-here again
      list again
      mkdir was-here
      list was-here`,
    again: raw`
      list again
      list was-here
      read again/old`,
  },
  {
    name: 'unlinking everything of a directory from three layers',
    layers: [
      { 'd/1': '1', 'd/s/1': '1' },
      { 'd/2': '2', 'd/s/2': '2', 'd/1': 'x' },
      { 'd/3': '3', 'd/s/3': '3', 'd/2': 'x' },
    ],
    steps: raw`
      unlink d/1
      unlink d/2
      list d
      unlink d/3
      unlink d/s/3
      unlink d/s/1
      list d/s
      unlink d/s/2
      rmdir d/s
      rmdir d
      list .
      mkdir d
      mkdir d/s
      list d/s`,
    again: 'manifest .',
  },
]);

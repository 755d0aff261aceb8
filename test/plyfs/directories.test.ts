/** The directories of a mount: opened, and refused where they cannot work together. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { closeDirectories, openDirectories, realPath } from '../../daemon/mounts/directories.js';
import { levelOf, levelsByDevice, sourceOf } from '../../daemon/mounts/level.js';
import { OptionError, parseOptions } from '../../daemon/mounts/options.js';
import { leftBehind, removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { must } from '../support/mounts.js';

const base = temporaryDirectory();
for (const name of ['a', 'b', 'u', 'w', 'u/in', 'a/in', 'other', 'bind', 'b\xe9']) fs.mkdirSync(path.join(base, name));
fs.mkdirSync(Buffer.from(`${base}/\xff`, 'latin1'));
fs.writeFileSync(path.join(base, 'file'), '');
fs.symlinkSync('a', path.join(base, 'link'));
fs.symlinkSync('loop', path.join(base, 'loop'));
const open = (text: string): ReturnType<typeof openDirectories> => openDirectories(parseOptions(text.replaceAll('@', base)));
const descriptors = (): number => fs.readdirSync('/proc/self/fd').length;

t.test('opened topmost first, through symlinks', (t) => {
  const directories = open('lowerdir=@/link:@/b,upperdir=@/u,workdir=@/w');
  const { layers, upper, work } = directories;
  t.same(
    [...layers, upper, work].map(realPath),
    ['a', 'b', 'u', 'w'].map((name) => path.join(base, name)),
  );
  closeDirectories(directories);
  const bytes = open('lowerdir=@/\xff');
  t.equal(realPath(bytes.layers[0]), `${base}/\xff`, 'names are bytes');
  closeDirectories(bytes);
  t.end();
});

t.test('a read-only mount with an upper has it as its topmost layer', (t) => {
  const directories = open('lowerdir=@/a,upperdir=@/u,workdir=@/w,ro');
  t.same(directories.layers.map(realPath), [`${base}/u`, `${base}/a`]);
  t.match(directories, { upper: -1, work: -1 });
  closeDirectories(directories);
  t.end();
});

t.test('what is refused, and that nothing stays open', async (t) => {
  await must('mount', ['-t', 'tmpfs', 'none', `${base}/other`]);
  fs.mkdirSync(`${base}/other/w`);
  await must('mount', ['--bind', `${base}/b`, `${base}/bind`]);
  const rows: [text: string, message: string][] = [
    ['lowerdir=@/none', 'lowerdir @/none does not exist: create it, or correct the path'],
    ['lowerdir=@/a:@/none', 'lowerdir @/none does not exist: create it, or correct the path'],
    ['lowerdir=@/file', 'lowerdir @/file is not a directory'],
    ['lowerdir=@/loop', 'lowerdir @/loop leads in a circle of symbolic links'],
    ['lowerdir=@/a,upperdir=@/none,workdir=@/w', 'upperdir @/none does not exist: create it, or correct the path'],
    ['lowerdir=@/a,upperdir=@/u,workdir=@/none', 'workdir @/none does not exist: create it, or correct the path'],
    ['lowerdir=@/a,upperdir=@/u,workdir=@/u', 'upperdir and workdir are the same directory, @/u: give workdir one of its own'],
    ['lowerdir=@/a,upperdir=@/u,workdir=@/u/in', 'workdir @/u/in lies inside upperdir @/u: put the two side by side'],
    ['lowerdir=@/a,upperdir=@/u/in,workdir=@/u', 'upperdir @/u/in lies inside workdir @/u: put the two side by side'],
    [
      'lowerdir=@/a,upperdir=@/u,workdir=@/other/w',
      'workdir @/other/w is on another file system than upperdir @/u: put both on one, since files are renamed from one to the other',
    ],
    [
      'lowerdir=@/a,upperdir=@/u,workdir=@/bind',
      'workdir @/bind is reached through another mount than upperdir @/u: name both through the same one, since files are renamed from one to the other',
    ],
    [
      'lowerdir=@/b:@/a,upperdir=@/a/in,workdir=@/w',
      'upperdir @/a/in overlaps with lowerdir @/a: what is written must lie outside all layers, and the layers outside of it',
    ],
    [
      'lowerdir=@/u/in,upperdir=@/u,workdir=@/w',
      'upperdir @/u overlaps with lowerdir @/u/in: what is written must lie outside all layers, and the layers outside of it',
    ],
    [
      'lowerdir=@/link,upperdir=@/u,workdir=@/a',
      'workdir @/a overlaps with lowerdir @/link: what is written must lie outside all layers, and the layers outside of it',
    ],
  ];
  const before = descriptors();
  try {
    for (const [text, message] of rows) t.throws(() => open(text), new OptionError(message.replaceAll('@', base)), text);
    t.equal(descriptors(), before);
    fs.mkdirSync(`${base}/other/u`);
    const fine = open('lowerdir=@,upperdir=@/other/u,workdir=@/other/w');
    t.ok(fine.upper >= 0, 'an upper on a file system that is mounted inside a layer is outside of it');
    closeDirectories(fine);
  } finally {
    await must('umount', [`${base}/other`]);
    await must('umount', [`${base}/bind`]);
  }
});

t.test('the level of a mount', (t) => {
  const { dev } = fs.statSync(base);
  const device = `${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`;
  const line = (source: string, type = 'fuse.plyfs'): string =>
    `36 35 ${device} / /mnt\\040x rw,relatime shared:1 master:2 - ${type} ${source} rw,user_id=0\n`;
  const directories = open('lowerdir=@/a:@/b');
  const level = (mountinfo: string): number => levelOf(directories.layers, mountinfo);
  t.equal(level(''), 1);
  t.equal(level(line('ext4', 'ext4')), 1);
  t.equal(level(line('plyfs')), 2);
  t.equal(level(line('plyfs:2')), 3);
  t.equal(level(line('plyfs').replace(device, '0:999')), 1, 'another plyfs mount');
  t.equal(levelOf(directories.layers), 1, 'as it is');
  t.same([sourceOf('plyfs', 1), sourceOf('plyfs', 2)], ['plyfs', 'plyfs:2']);
  t.same([...levelsByDevice(line('a b:7:12').replace('a b', 'a\\040b')).values()], [12]);
  closeDirectories(directories);
  t.end();
});

t.teardown(async () => {
  await removeDirectory(base);
  const left = await leftBehind();
  if (left.length > 0) throw new Error(left.join('\n'));
});

import * as fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { againWith, E, EMPTY, memory, native, O, O_PATH, opened, put, room, workDirectory } from './support';

const SIZE = 65536;
const buffer = room(SIZE + 8);
const read = (n: number) => (n < 0 ? n : memory.toString('latin1', buffer, buffer + n));
const names = (n: number) => String(read(n)).split('\0').filter(Boolean).sort();

t.test('attributes are set, read, listed and removed, on the symlink itself as on any file', (t) => {
  const { path, fd } = workDirectory(t);
  fs.writeFileSync(join(path, 'file'), '');
  fs.mkdirSync(join(path, 'dir'));
  fs.symlinkSync('file', join(path, 'link'));
  fs.symlinkSync('nowhere', join(path, 'dangling'));
  for (const name of ['dir', 'link', 'dangling', 'file']) {
    const held = opened(t, native.openat(fd, put(name), O_PATH, 0));
    const plain = name === 'dir' || name === 'file' ? [opened(t, native.openat(fd, put(name), O.O_RDONLY, 0))] : [];
    const ways: [dirfd: number, path: number, what: string][] = [
      [fd, put(name), 'by path'],
      [held, EMPTY, 'by O_PATH descriptor'],
      ...plain.map((each): [number, number, string] => [each, EMPTY, 'by descriptor']),
    ];
    for (const [dirfd, at, what] of ways) {
      const attribute = put('trusted.test');
      t.equal(native.getxattr(dirfd, at, attribute, buffer, SIZE), -E.ENODATA, `${name} ${what}`);
      t.equal(native.listxattr(dirfd, at, buffer, SIZE), 0);
      memory.set(Buffer.from([1, 0, 255]), buffer);
      t.equal(native.setxattr(dirfd, at, attribute, buffer, 3, 2), -E.ENODATA, 'XATTR_REPLACE of none');
      t.equal(native.setxattr(dirfd, at, attribute, buffer, 3, 1), 0, 'XATTR_CREATE');
      t.equal(native.setxattr(dirfd, at, attribute, buffer, 3, 1), -E.EEXIST, 'XATTR_CREATE again');
      t.equal(native.getxattr(dirfd, at, attribute, buffer, 0), 3, 'size 0 asks for the length');
      t.equal(native.getxattr(dirfd, at, attribute, buffer, 2), -E.ERANGE);
      memory.fill(9, buffer, buffer + 8);
      t.equal(read(native.getxattr(dirfd, at, attribute, buffer, SIZE)), '\x01\x00\xff');
      t.equal(memory[buffer + 3], 9, 'and not a byte more');
      t.same(names(native.listxattr(dirfd, at, buffer, SIZE)), ['trusted.test']);
      t.equal(native.listxattr(dirfd, at, buffer, 0), 13);
      t.equal(native.listxattr(dirfd, at, buffer, 5), -E.ERANGE);
      t.equal(native.setxattr(dirfd, at, attribute, buffer, 0, 0), 0, 'an empty value');
      t.equal(native.getxattr(dirfd, at, attribute, buffer, SIZE), 0);
      t.equal(native.removexattr(dirfd, at, attribute), 0);
      t.equal(native.removexattr(dirfd, at, attribute), -E.ENODATA);
    }
  }
  t.equal(native.setxattr(fd, put('link'), put('trusted.own'), buffer, 1, 0), 0);
  t.equal(native.getxattr(fd, put('file'), put('trusted.own'), buffer, 1), -E.ENODATA, 'nothing reached the target');
  t.equal(native.setxattr(fd, put('link'), put('user.x'), buffer, 1, 0), -E.EPERM, 'symlinks have no user attributes');
  t.end();
});

t.test('what the kernel refuses comes back', (t) => {
  const { path, fd } = workDirectory(t);
  fs.writeFileSync(join(path, 'f'), '');
  const f = put('f');
  t.equal(native.getxattr(fd, put('none'), put('user.x'), buffer, 1), -E.ENOENT);
  t.equal(native.getxattr(fd, f, put('nonsense'), buffer, 1), -E.EOPNOTSUPP);
  t.equal(native.getxattr(fd, f, put(`user.${'x'.repeat(300)}`), buffer, 1), -E.ERANGE);
  t.equal(native.setxattr(fd, f, put('user.x'), buffer, 1, 99), -E.EINVAL);
  t.equal(native.setxattr(fd, f, put('user.big'), buffer, SIZE + 1, 0), -E.E2BIG);
  t.equal(native.getxattr(9999, EMPTY, put('user.x'), buffer, 1), -E.EBADF);
  t.equal(native.listxattr(9999, f, buffer, 1), -E.EBADF);
  const name = put(Buffer.concat([Buffer.from('user.'), Buffer.from([0xff, 0xfe])]));
  t.equal(native.setxattr(fd, f, name, buffer, 1, 0), 0, 'a name is bytes');
  t.equal(read(native.listxattr(fd, f, buffer, SIZE)), 'user.\xff\xfe\0');
  t.end();
});

t.test('copyXattrs copies all but a prefix', (t) => {
  const { path, fd } = workDirectory(t);
  for (const name of ['from', 'to', 'bare']) fs.writeFileSync(join(path, name), '');
  fs.symlinkSync('x', join(path, 'link'));
  const [from, to, link] = [put('from'), put('to'), put('link')];
  const all = ['trusted.overlay.opaque', 'trusted.overlayish', 'trusted.x', 'user.a', 'user.b'];
  for (const name of all) {
    memory.write(`value of ${name}`, buffer);
    t.equal(native.setxattr(fd, from, put(name), buffer, 9 + name.length, 0), 0);
  }
  t.equal(native.copyXattrs(fd, from, fd, to, put('trusted.overlay.')), 0);
  t.same(names(native.listxattr(fd, to, buffer, SIZE)), all.slice(1));
  t.equal(read(native.getxattr(fd, to, put('user.a'), buffer, SIZE)), 'value of user.a');
  t.equal(native.copyXattrs(fd, from, fd, to, EMPTY), 0, 'again, over what is there, and without exception');
  t.same(names(native.listxattr(fd, to, buffer, SIZE)), all);
  t.equal(native.copyXattrs(fd, put('bare'), fd, to, EMPTY), 0, 'nothing to copy');
  t.equal(native.copyXattrs(fd, from, fd, link, EMPTY), -E.EPERM, 'user.* cannot be on a symlink');
  t.equal(native.copyXattrs(fd, from, fd, link, put('user.')), 0);
  t.same(names(native.listxattr(fd, link, buffer, SIZE)), all.slice(0, 3));
  const a = opened(t, native.openat(fd, link, O_PATH, 0));
  const b = opened(t, native.openat(fd, put('bare'), O_PATH, 0));
  t.equal(native.copyXattrs(a, EMPTY, b, EMPTY, EMPTY), 0, 'between descriptors');
  t.same(names(native.listxattr(b, EMPTY, buffer, SIZE)), all.slice(0, 3));
  t.equal(native.copyXattrs(fd, put('none'), fd, to, EMPTY), -E.ENOENT);
  t.equal(native.copyXattrs(fd, from, fd, put('none'), EMPTY), -E.ENOENT);
  const proc = opened(t, native.openHost(put('/proc/self'), O_PATH | O.O_DIRECTORY, 0));
  t.equal(native.copyXattrs(proc, put('status'), fd, to, EMPTY), 0, 'a source without attributes');
  t.end();
});

t.test('a value of 64 KiB is copied whole', { skip: !fs.existsSync('/dev/shm') && 'no tmpfs' }, (t) => {
  const { path, fd } = workDirectory(t, '/dev/shm');
  fs.writeFileSync(join(path, 'a'), '');
  fs.writeFileSync(join(path, 'b'), '');
  memory.fill(0x5a, buffer, buffer + SIZE);
  t.equal(native.setxattr(fd, put('a'), put('trusted.big'), buffer, SIZE, 0), 0);
  t.equal(native.copyXattrs(fd, put('a'), fd, put('b'), EMPTY), 0);
  t.equal(native.getxattr(fd, put('b'), put('trusted.big'), buffer, SIZE), SIZE);
  t.end();
});

void againWith(t, 'PLYFS_NO_XATTRAT', __filename);

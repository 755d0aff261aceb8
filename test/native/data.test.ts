import * as fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { STATFS_SIZE, StatRecord as S } from '../../native-bindings/index';
import { E, EMPTY, memory, native, O, O_PATH, opened, put, room, wide, workDirectory } from './support';

const SEEK_SET = 0,
  SEEK_END = 2,
  SEEK_DATA = 3,
  SEEK_HOLE = 4;
const buffer = room(1 << 20);

t.test('pread and pwrite reach beyond 4 GiB and stop at the end of the file', (t) => {
  const { path, fd } = workDirectory(t);
  const file = opened(t, native.openat(fd, put('f'), O.O_CREAT | O.O_RDWR, 0o600));
  for (const offset of [0, 2 ** 31 - 3, 2 ** 32 - 3, 2 ** 32, 9 * 2 ** 32 + 0x80000001]) {
    memory.write(`at ${offset}`, buffer);
    t.equal(native.pwrite(file, buffer, 20, ...wide(offset)), 20);
    memory.fill(0, buffer, buffer + 20);
    t.equal(native.pread(file, buffer, 20, ...wide(offset)), 20);
    t.match(memory.toString('latin1', buffer, buffer + 20), `at ${offset}`);
  }
  const size = 9 * 2 ** 32 + 0x80000001 + 20;
  t.equal(fs.statSync(join(path, 'f')).size, size);
  t.equal(native.pread(file, buffer, 100, ...wide(size - 7)), 7);
  t.equal(native.pread(file, buffer, 100, ...wide(size)), 0);
  t.equal(native.pread(file, buffer, 0, 0, 0), 0);
  t.equal(native.pwrite(file, buffer, 0, 0, 0), 0);
  t.equal(native.pread(file, buffer, 1, ...wide(-1)), -E.EINVAL);
  t.equal(native.pread(-1, buffer, 1, 0, 0), -E.EBADF);
  t.equal(native.pwrite(opened(t, native.openat(fd, put('f'), O.O_RDONLY, 0)), buffer, 1, 0, 0), -E.EBADF);
  t.equal(native.pread(fd, buffer, 1, 0, 0), -E.EISDIR);
  t.end();
});

t.test('pwrite to a full device fails, pread of a pipe too', (t) => {
  t.equal(native.pwrite(opened(t, native.openHost(put('/dev/full'), O.O_WRONLY, 0)), buffer, 5, 0, 0), -E.ENOSPC);
  t.equal(native.pread(opened(t, native.eventfd()), buffer, 8, 0, 0), -E.ESPIPE);
  t.end();
});

t.test('lseek finds data and holes', (t) => {
  const { fd } = workDirectory(t);
  const file = opened(t, native.openat(fd, put('f'), O.O_CREAT | O.O_RDWR, 0o600));
  const far = 6 * 2 ** 30;
  t.equal(native.pwrite(file, buffer, 4096, ...wide(far)), 4096);
  const out = room(8);
  const seek = (offset: number, whence: number) => {
    const result = native.lseek(file, ...wide(offset), whence, out);
    return result < 0 ? result : Number(memory.readBigInt64LE(out));
  };
  t.equal(seek(0, SEEK_DATA), far);
  t.equal(seek(0, SEEK_HOLE), 0);
  t.equal(seek(far, SEEK_HOLE), far + 4096);
  t.equal(seek(-1, SEEK_END), far + 4095);
  t.equal(seek(far + 4096, SEEK_DATA), -E.ENXIO);
  t.equal(seek(-1, SEEK_SET), -E.EINVAL);
  t.equal(seek(0, 99), -E.EINVAL);
  t.end();
});

t.test('statvfs writes a fuse_kstatfs', (t) => {
  const { path, fd } = workDirectory(t);
  const out = room(STATFS_SIZE);
  memory.fill(0xee, out, out + STATFS_SIZE);
  t.equal(native.statvfs(opened(t, native.openat(fd, EMPTY, O_PATH, 0)), out), 0, 'O_PATH will do');
  const want = fs.statfsSync(path, { bigint: true });
  t.same([memory.readBigUInt64LE(out), memory.readBigUInt64LE(out + 24)], [want.blocks, want.files]);
  t.equal(memory.readUInt32LE(out + 40), Number(want.bsize));
  t.equal(memory.readUInt32LE(out + 44), 255);
  t.ok(memory.subarray(out + 52, out + STATFS_SIZE).every((byte) => byte === 0));
  t.equal(native.statvfs(-1, out), -E.EBADF);
  t.end();
});

t.test('a file handle is the same for every name of a file', (t) => {
  const { path, fd } = workDirectory(t);
  fs.writeFileSync(join(path, 'a'), '');
  fs.linkSync(join(path, 'a'), join(path, 'b'));
  fs.symlinkSync('a', join(path, 'l'));
  const out = room(128),
    type = room(4);
  const handle = (dirfd: number, name: number, capacity = 128) => {
    const n = native.fileHandle(dirfd, name, out, capacity, type);
    return n < 0 ? n : `${memory.readInt32LE(type)}:${memory.toString('hex', out, out + n)}`;
  };
  const a = handle(fd, put('a'));
  t.type(a, 'string', String(a));
  t.equal(handle(fd, put('b')), a);
  t.equal(handle(opened(t, native.openat(fd, put('a'), O_PATH, 0)), EMPTY), a);
  t.not(handle(fd, put('l')), a, 'a symlink has its own');
  t.equal(handle(fd, put('a'), 2), -E.EOVERFLOW);
  t.equal(handle(fd, put('none')), -E.ENOENT);
  const proc = opened(t, native.openHost(put('/proc/self'), O_PATH, 0));
  t.equal(handle(proc, put('status')), -E.EOPNOTSUPP);
  t.end();
});

t.test('a file system has a UUID, or says that it has none', (t) => {
  const { fd } = workDirectory(t);
  const out = room(16);
  memory.fill(0xee, out, out + 16);
  const result = native.filesystemUuid(fd, out);
  t.ok(result === 16 || result === -E.ENOTTY, String(result));
  if (result === 16) t.ok(memory.subarray(out, out + 16).some((byte) => byte !== 0xee));
  t.equal(native.filesystemUuid(opened(t, native.openHost(put('/proc'), O.O_RDONLY, 0)), out), -E.ENOTTY);
  t.equal(native.filesystemUuid(opened(t, native.openat(fd, EMPTY, O_PATH, 0)), out), -E.EBADF);
  t.end();
});

t.test('inode flags are read and set', (t) => {
  const { fd } = workDirectory(t);
  const file = opened(t, native.openat(fd, put('f'), O.O_CREAT | O.O_RDWR, 0o600));
  const out = room(8);
  memory.fill(0xee, out, out + 8);
  const first = native.getInodeFlags(file, out);
  if (first === -E.ENOTTY || first === -E.EOPNOTSUPP) {
    t.pass('the file system has no flags', { skip: true });
    t.end();
    return;
  }
  t.equal(first, 0);
  t.equal(memory.readUInt32LE(out + 4), 0xeeeeeeee, 'four bytes and no more');
  const flags = memory.readUInt32LE(out);
  const NODUMP = 0x40;
  t.equal(native.setInodeFlags(file, flags | NODUMP), 0);
  t.equal(native.getInodeFlags(file, out), 0);
  t.equal(memory.readUInt32LE(out), flags | NODUMP);
  t.equal(native.getInodeFlags(-1, out), -E.EBADF);
  t.equal(native.setInodeFlags(-1, 0), -E.EBADF);
  t.end();
});

t.test('ficlone says where it cannot', (t) => {
  const { fd } = workDirectory(t);
  const a = opened(t, native.openat(fd, put('a'), O.O_CREAT | O.O_RDWR, 0o600));
  const b = opened(t, native.openat(fd, put('b'), O.O_CREAT | O.O_RDWR, 0o600));
  t.equal(native.pwrite(a, buffer, 4096, 0, 0), 4096);
  const result = native.ficlone(b, a);
  t.ok(result === 0 || result === -E.EOPNOTSUPP, String(result));
  t.equal(native.ficlone(b, opened(t, native.openHost(put('/proc/self/status'), O.O_RDONLY, 0))), -E.EXDEV);
  t.equal(native.ficlone(-1, a), -E.EBADF);
  const record = room(S.SIZE);
  t.equal(native.stat(b, EMPTY, record), 0);
  t.equal(memory.readBigUInt64LE(record + S.size), result === 0 ? 4096n : 0n);
  t.end();
});

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { StatRecord as S } from '../../native-bindings/index';
import { againWith, E, EMPTY, memory, native, O, O_PATH, O_TMPFILE, opened, put, room, wide, workDirectory } from './support';

const record = room(S.SIZE);
const u32 = (field: number) => memory.readUInt32LE(record + field);
const u64 = (field: number) => memory.readBigUInt64LE(record + field);

t.test('stat tells what Node tells, for every type of file', (t) => {
  const { path, fd } = workDirectory(t);
  fs.writeFileSync(join(path, 'file'), 'x'.repeat(10_000));
  fs.symlinkSync('nowhere', join(path, 'link'));
  fs.mkdirSync(join(path, 'dir'));
  t.equal(native.mknodat(fd, put('fifo'), 0o010600, 0), 0);
  t.equal(native.mknodat(fd, put('device'), 0o020600, 0x12345678), 0);
  fs.chownSync(join(path, 'file'), 70_000, 80_000);
  for (const name of ['file', 'link', 'dir', 'fifo', 'device']) {
    memory.fill(0xee, record, record + S.SIZE);
    t.equal(native.stat(fd, put(name), record), 0, name);
    const want = fs.lstatSync(join(path, name), { bigint: true });
    t.same([u64(S.ino), u64(S.size), u64(S.blocks)], [want.ino, want.size, want.blocks]);
    t.same([u32(S.mode), u32(S.nlink), u32(S.uid), u32(S.gid)], [want.mode, want.nlink, want.uid, want.gid].map(Number));
    t.equal(u64(S.mtime) * 1_000_000_000n + BigInt(u32(S.mtimensec)), want.mtimeNs);
    t.equal(u64(S.ctime) * 1_000_000_000n + BigInt(u32(S.ctimensec)), want.ctimeNs);
    t.equal(u64(S.atime) * 1_000_000_000n + BigInt(u32(S.atimensec)), want.atimeNs);
    t.equal(u32(S.blksize), Number(want.blksize));
    t.equal(u32(S.flags), 0);
    if (u32(S.btimeKnown)) t.equal(u64(S.btime) * 1_000_000_000n + BigInt(u32(S.btimensec)), want.birthtimeNs);
    t.ok(memory.subarray(record + 112, record + S.SIZE).every((byte) => byte === 0));
  }
  t.equal(native.stat(fd, put('device'), record), 0);
  t.equal(u32(S.rdev), 0x12345678, 'the device number comes back as it was given');
  t.equal(native.stat(fd, put('absent'), record), -E.ENOENT);
  t.equal(native.stat(fd, put('file/x'), record), -E.ENOTDIR);
  t.end();
});

t.test('statAll tells of each what stat tells, and of what cannot be asked nothing', (t) => {
  const { path, fd } = workDirectory(t);
  for (const name of ['a', 'b']) fs.writeFileSync(join(path, name), name.repeat(5));
  fs.symlinkSync('a', join(path, 'l'));
  const names = ['a', 'absent', 'l', 'b', 'a/b'].map((name) => put(name));
  const list = room(4 * names.length);
  names.forEach((name, i) => memory.writeUInt32LE(name, list + 4 * i));
  const out = room(S.SIZE * names.length);
  memory.fill(0xee, out, out + S.SIZE * names.length);
  t.equal(native.statAll(fd, list, names.length, out), 3);
  names.forEach((name, i) => {
    const found = native.stat(fd, name, record) === 0;
    const want = found ? memory.subarray(record, record + S.SIZE) : Buffer.alloc(S.SIZE);
    t.same(memory.subarray(out + S.SIZE * i, out + S.SIZE * (i + 1)), want, String(i));
  });
  t.equal(native.statAll(fd, list, 0, out), 0);
  t.equal(native.statAll(fd, list + 2, 1, out), -E.EINVAL, 'offsets are words');
  t.equal(native.statAll(fd, list, 1, out + 4), -E.EINVAL, 'records begin at multiples of 8');
  memory.writeUInt32LE(put('/etc'), list);
  t.equal(native.statAll(fd, list, 1, out), -E.EINVAL, 'an absolute path');
  memory.writeUInt32LE(0xfffffff0, list);
  t.equal(native.statAll(fd, list, 1, out), -E.EFAULT, 'a name outside of the arena');
  t.equal(native.statAll(9999, list, 0, out), 0);
  t.end();
});

t.test('an empty path is dirfd itself, an O_PATH descriptor of a symlink too', (t) => {
  const { path, fd } = workDirectory(t);
  fs.symlinkSync('target', join(path, 'link'));
  const link = opened(t, native.openat(fd, put('link'), O_PATH, 0));
  t.equal(native.stat(link, EMPTY, record), 0);
  t.equal(u32(S.mode) & 0o170000, 0o120000);
  const out = room(64);
  t.equal(native.readlinkat(link, EMPTY, out, 64), 6);
  t.equal(memory.toString('latin1', out, out + 6), 'target');
  t.equal(native.readlinkat(fd, put('link'), out, 3), 3, 'cut to the capacity');
  t.equal(native.readlinkat(fd, put('absent'), out, 64), -E.ENOENT);
  t.equal(native.readlinkat(fd, put('.'), out, 64), -E.EINVAL);
  t.equal(native.fchownat(link, EMPTY, 12, 13), 0);
  t.equal(fs.lstatSync(join(path, 'link')).uid, 12);
  t.equal(native.linkat(link, EMPTY, fd, put('second')), 0);
  t.equal(fs.lstatSync(join(path, 'second')).nlink, 2);
  t.equal(native.openat(link, EMPTY, O.O_RDONLY, 0), -E.ELOOP, 'not followed when opened anew');
  t.equal(native.openat(9999, EMPTY, O.O_RDONLY, 0), -E.EBADF);
  t.equal(native.linkat(9999, EMPTY, fd, put('third')), -E.EBADF);
  t.equal(native.mkdirat(fd, EMPTY, 0o700), -E.ENOENT, 'elsewhere an empty path is no name');
  t.equal(native.unlinkat(fd, EMPTY, 0), -E.ENOENT);
  t.end();
});

t.test('openat opens one file, close-on-exec, and never a symlink', (t) => {
  const { path, fd } = workDirectory(t);
  const file = opened(t, native.openat(fd, put('new'), O.O_CREAT | O.O_EXCL | O.O_RDWR, 0o640));
  t.equal(fs.statSync(join(path, 'new')).mode & 0o7777, 0o640);
  t.match(fs.readFileSync(`/proc/self/fdinfo/${file}`, 'latin1'), /flags:\s+02[0-7]*\n/, 'O_CLOEXEC');
  fs.symlinkSync('new', join(path, 'link'));
  t.equal(native.openat(fd, put('link'), O.O_RDONLY, 0), -E.ELOOP);
  t.equal(native.openat(fd, put('new'), O.O_CREAT | O.O_EXCL, 0o600), -E.EEXIST);
  t.equal(native.openat(fd, put('new'), O.O_DIRECTORY, 0), -E.ENOTDIR);
  const reopened = opened(t, native.openat(opened(t, native.openat(fd, put('new'), O_PATH, 0)), EMPTY, O.O_WRONLY, 0));
  t.equal(fs.writeSync(reopened, 'x'), 1);
  const other = native.dup(reopened);
  t.match(fs.readFileSync(`/proc/self/fdinfo/${other}`, 'latin1'), /flags:\s+02[0-7]*1\n/);
  t.equal(native.close(other), 0);
  t.equal(native.close(other), -E.EBADF);
  t.equal(native.dup(other), -E.EBADF);
  t.end();
});

t.test('openBeneath refuses every symlink on the way, and the way out', (t) => {
  const { path, fd } = workDirectory(t);
  fs.mkdirSync(join(path, 'a/b'), { recursive: true });
  fs.writeFileSync(join(path, 'a/b/f'), 'x');
  fs.symlinkSync('a', join(path, 'link'));
  fs.symlinkSync('f', join(path, 'a/b/end'));
  const open = (name: string, flags: number) => native.openBeneath(fd, put(name), flags, 0o600);
  opened(t, open('a/b/f', O.O_RDONLY));
  opened(t, open('a/b/../b/f', O.O_RDONLY));
  opened(t, open('a/made', O.O_CREAT | O.O_WRONLY));
  opened(t, open('a', O_TMPFILE | O.O_RDWR));
  opened(t, open('a/b/end', O_PATH | O.O_NOFOLLOW));
  t.equal(open('link/b/f', O.O_RDONLY), -E.ELOOP);
  t.equal(open('a/b/end', O.O_RDONLY), -E.ELOOP);
  t.equal(open('../x', O.O_RDONLY), -E.EXDEV);
  t.equal(open('a/../../x', O.O_RDONLY), -E.EXDEV);
  t.equal(open('a/none', O.O_RDONLY), -E.ENOENT);
  t.equal(native.openBeneath(fd, EMPTY, O.O_RDONLY, 0), -E.ENOENT);
  t.end();
});

t.test('openDirectory walks paths longer than PATH_MAX', (t) => {
  const { path, fd } = workDirectory(t);
  const names = Array.from({ length: 60 }, (_, i) => `${i}-`.padEnd(200, 'x'));
  let at = native.dup(fd);
  for (const name of names) {
    t.equal(native.mkdirat(at, put(name), 0o700), 0);
    const next = native.openDirectory(at, put(name), name.length, 0);
    native.close(at);
    at = next;
  }
  t.equal(native.stat(at, EMPTY, record), 0);
  const inode = u64(S.ino);
  native.close(at);
  for (const slashes of ['/', '///']) {
    const whole = names.join(slashes);
    const deep = opened(t, native.openDirectory(fd, put(whole), whole.length, 0));
    t.equal(native.stat(deep, EMPTY, record), 0);
    t.equal(u64(S.ino), inode, `${whole.length} bytes`);
  }
  t.teardown(() => spawnSync('rm', ['-rf', join(path, names[0])])); // deeper than a path of Node's can say
  fs.symlinkSync('0', join(path, 'link'));
  const open = (name: string) => native.openDirectory(fd, put(name), Buffer.byteLength(name), 0);
  t.equal(open('link'), -E.ELOOP, 'O_PATH of a symlink is not a directory reached');
  t.equal(open('/tmp'), -E.EINVAL);
  t.equal(open('a\0b'), -E.EINVAL);
  t.equal(open('..'), -E.EXDEV);
  t.equal(open('none'), -E.ENOENT);
  t.equal(open(`${names[0]}/none`), -E.ENOENT);
  t.equal(open('y'.repeat(5000)), -E.ENAMETOOLONG);
  t.equal(open(`${names.join('/')}/${'y'.repeat(5000)}`), -E.ENAMETOOLONG);
  const same = opened(t, open(''));
  t.equal(fs.readlinkSync(`/proc/self/fd/${same}`), path);
  t.equal(native.openDirectory(9999, EMPTY, 0, 0), -E.EBADF);
  t.end();
});

t.test('openHost follows symlinks and takes any path', (t) => {
  const { path } = workDirectory(t);
  fs.symlinkSync('/etc', join(path, 'etc'));
  const fd = opened(t, native.openHost(put(join(path, 'etc')), O_PATH | O.O_DIRECTORY, 0));
  t.equal(fs.readlinkSync(`/proc/self/fd/${fd}`), '/etc');
  opened(t, native.openHost(put('.'), O.O_RDONLY, 0));
  t.equal(native.openHost(put('/no/such'), O.O_RDONLY, 0), -E.ENOENT);
  t.end();
});

t.test('names are made, linked, renamed and removed', (t) => {
  const { path, fd } = workDirectory(t);
  const has = (name: string) => fs.existsSync(join(path, name));
  const a = put('a'),
    b = put('b'),
    c = put('c');
  t.equal(native.mkdirat(fd, a, 0o1750), 0);
  t.equal(fs.statSync(join(path, 'a')).mode & 0o7777, 0o1750);
  t.equal(native.mkdirat(fd, a, 0o700), -E.EEXIST);
  t.equal(native.unlinkat(fd, a, 0), -E.EISDIR);
  t.equal(native.symlinkat(put('/anything at all'), fd, b), 0);
  t.equal(fs.readlinkSync(join(path, 'b')), '/anything at all');
  t.equal(native.symlinkat(a, fd, b), -E.EEXIST);
  t.equal(native.renameat2(fd, a, fd, b, 1), -E.EEXIST, 'RENAME_NOREPLACE');
  t.equal(native.renameat2(fd, a, fd, b, 2), 0, 'RENAME_EXCHANGE');
  t.ok(fs.lstatSync(join(path, 'a')).isSymbolicLink());
  t.equal(native.renameat2(fd, a, fd, c, 4), 0, 'RENAME_WHITEOUT');
  t.ok(fs.lstatSync(join(path, 'a')).isCharacterDevice());
  t.equal(native.renameat2(fd, put('none'), fd, c, 0), -E.ENOENT);
  t.equal(native.renameat2(fd, a, fd, c, 77), -E.EINVAL);
  t.equal(native.linkat(fd, c, fd, put('d')), 0);
  t.ok(fs.lstatSync(join(path, 'd')).isSymbolicLink(), 'the link itself is linked');
  t.equal(native.linkat(fd, c, fd, put('d')), -E.EEXIST);
  t.equal(native.unlinkat(fd, b, 0x200), 0);
  t.notOk(has('b'));
  const unnamed = opened(t, native.openat(fd, put('.'), O_TMPFILE | O.O_RDWR, 0o600));
  t.equal(native.linkat(unnamed, EMPTY, fd, put('named')), 0, 'an O_TMPFILE file gets a name');
  t.ok(has('named'));
  t.end();
});

t.test('a name is bytes, not UTF-8', (t) => {
  const { path, fd } = workDirectory(t);
  const name = Buffer.from([0x66, 0xff, 0xfe, 0x80, 0x0a, 0x20]);
  const full = Buffer.concat([Buffer.from(`${path}/`), name]);
  t.equal(native.close(native.openat(fd, put(name), O.O_CREAT | O.O_WRONLY, 0o600)), 0);
  t.same(fs.readdirSync(path, 'buffer'), [name]);
  t.equal(native.renameat2(fd, put(name), fd, put(Buffer.from([0xc3])), 0), 0);
  t.same(fs.readdirSync(path, 'buffer'), [Buffer.from([0xc3])]);
  t.equal(native.symlinkat(put(name), fd, put(name)), 0);
  t.same(fs.readlinkSync(full, 'buffer'), name);
  t.end();
});

t.test('ids, modes and times change without following', (t) => {
  const { path, fd } = workDirectory(t);
  fs.writeFileSync(join(path, 'f'), '');
  fs.symlinkSync('f', join(path, 'l'));
  const f = put('f'),
    l = put('l');
  const mode = () => fs.statSync(join(path, 'f')).mode & 0o7777;
  t.equal(native.fchownat(fd, l, 5, 6), 0);
  t.equal(fs.statSync(join(path, 'f')).uid, 0);
  t.equal(native.fchownat(fd, l, -1, 7), 0);
  t.same([fs.lstatSync(join(path, 'l')).uid, fs.lstatSync(join(path, 'l')).gid], [5, 7]);
  t.equal(native.fchmodat(fd, f, 0o4711), 0);
  t.equal(mode(), 0o4711);
  t.equal(native.fchmodat(fd, l, 0o600), -E.EOPNOTSUPP);
  t.equal(mode(), 0o4711);
  const byPath = opened(t, native.openat(fd, f, O_PATH, 0));
  t.equal(native.fchmodat(byPath, EMPTY, 0o123), 0, 'an O_PATH descriptor');
  t.equal(mode(), 0o123);
  t.equal(native.fchmodat(opened(t, native.openat(fd, l, O_PATH, 0)), EMPTY, 0o600), -E.EOPNOTSUPP);
  t.equal(native.fchmodat(fd, put('none'), 0o600), -E.ENOENT);
  t.equal(native.fchmodat(9999, EMPTY, 0o600), -E.EBADF);

  const times = room(32);
  const set = (...values: bigint[]) => values.forEach((value, i) => memory.writeBigInt64LE(value, times + 8 * i));
  set(-5n, 999_999_999n, 2n ** 33n, 1n);
  t.equal(native.utimensat(fd, f, times), 0);
  const before = fs.statSync(join(path, 'f'), { bigint: true });
  t.equal(before.atimeNs, -4_000_000_001n);
  t.equal(before.mtimeNs, 2n ** 33n * 1_000_000_000n + 1n);
  set(0n, 0x3ffffffen, 7n, 0n);
  t.equal(native.utimensat(fd, l, times), 0, 'the link itself, atime left');
  t.equal(fs.lstatSync(join(path, 'l'), { bigint: true }).mtimeNs, 7_000_000_000n);
  t.equal(native.utimensat(byPath, EMPTY, times), 0);
  t.equal(fs.statSync(join(path, 'f'), { bigint: true }).mtimeNs, 7_000_000_000n);
  set(0n, 1_000_000_000n, 0n, 0n);
  t.equal(native.utimensat(fd, f, times), -E.EINVAL);
  t.end();
});

t.test('truncate takes 64 bits and neither follows nor blocks', (t) => {
  const { path, fd } = workDirectory(t);
  fs.writeFileSync(join(path, 'f'), '');
  fs.symlinkSync('f', join(path, 'l'));
  const f = put('f');
  const size = 5 * 2 ** 32 + 3;
  t.equal(native.truncateat(fd, f, ...wide(size)), 0);
  t.equal(fs.statSync(join(path, 'f')).size, size);
  t.equal(native.stat(fd, f, record), 0);
  t.equal(u64(S.size), BigInt(size));
  t.equal(native.truncateat(fd, f, ...wide(0xfffffff0)), 0, 'a low word with its top bit set');
  t.equal(fs.statSync(join(path, 'f')).size, 0xfffffff0);
  t.equal(native.truncateat(opened(t, native.openat(fd, f, O.O_WRONLY, 0)), EMPTY, 1, 0), 0);
  t.equal(fs.statSync(join(path, 'f')).size, 1);
  t.equal(native.truncateat(opened(t, native.openat(fd, f, O.O_RDONLY, 0)), EMPTY, 1, 0), -E.EINVAL);
  t.equal(native.truncateat(fd, f, ...wide(-1)), -E.EINVAL);
  t.equal(native.truncateat(fd, put('l'), 0, 0), -E.ELOOP);
  t.equal(native.mknodat(fd, put('fifo'), 0o010600, 0), 0);
  t.equal(native.truncateat(fd, put('fifo'), 0, 0), -E.ENXIO, 'a FIFO without a reader');
  t.end();
});

void againWith(t, 'PLYFS_NO_FCHMODAT2', __filename);

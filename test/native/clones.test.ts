import * as fs from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { againWith, E, memory, native, O, O_CLOEXEC, O_PATH, opened, put, room, workDirectory } from './support';

const RDONLY = 0x01;
const NOATIME = 0x10;
const ATIME = 0x70;
const DOT = put('.');
const SUBDIRECTORY = O_PATH | O.O_DIRECTORY;

const isRoot = process.geteuid!() === 0;
const without = process.env['PLYFS_NO_OPEN_TREE'] === '1';
const skip = isRoot ? without && 'without open_tree' : 'needs root';

/** Reads a file with an atime before its other times; whether that moved it. */
function movesAtime(path: string, fd: number, name: string): boolean {
  fs.utimesSync(join(path, name), 1000, 2000);
  const file = native.openat(fd, put(name), O.O_RDONLY, 0);
  if (file < 0) throw new Error(`errno ${-file}`);
  const out = put('xxxxxxxx');
  const count = native.pread(file, out, 4, 0, 0);
  native.close(file);
  if (count !== 4 || memory.toString('latin1', out, out + 4) !== 'text') throw new Error(`read ${count} bytes`);
  return fs.statSync(join(path, name)).atimeMs !== 1_000_000;
}

function tree(t: Test): { path: string; fd: number } {
  const { path, fd } = workDirectory(t);
  for (const name of ['one', 'other']) {
    fs.mkdirSync(join(path, name));
    fs.writeFileSync(join(path, name, 'f'), 'text');
  }
  return { path, fd };
}

t.test('a clone has attributes of its own, and other directories are reached by it', { skip }, (t) => {
  const { path, fd } = tree(t);
  const one = opened(t, native.openat(fd, put('one'), SUBDIRECTORY, 0));
  const other = opened(t, native.openat(fd, put('other'), SUBDIRECTORY, 0));
  const clone = opened(t, native.cloneMount(one, RDONLY | NOATIME, ATIME));
  t.not(native.mountId(clone), native.mountId(one), 'another mount');
  t.equal(native.mountId(other), native.mountId(one));
  const inside = opened(t, native.openat(clone, DOT, O.O_RDONLY | O.O_DIRECTORY, 0));
  const byClone = opened(t, native.openOnMount(inside, other));
  t.equal(native.mountId(byClone), native.mountId(clone));
  t.equal(movesAtime(join(path, 'one'), clone, 'f'), false);
  t.equal(movesAtime(join(path, 'other'), byClone, 'f'), false);
  t.equal(movesAtime(join(path, 'other'), other, 'f'), true, 'the original goes on as before');
  t.equal(native.mkdirat(clone, put('d'), 0o700), -E.EROFS);
  t.equal(native.mkdirat(one, put('d'), 0o700), 0);
  t.end();
});

t.test('what is mounted below a directory is not on its clone, then or later', { skip }, (t) => {
  const { path, fd } = workDirectory(t);
  const mounted = (name: string): void => {
    fs.mkdirSync(join(path, name), { recursive: true });
    t.equal(native.mount('tmpfs', Buffer.from(join(path, name)), 'tmpfs', 0, ''), 0);
    t.teardown(() => native.umount(Buffer.from(join(path, name)), 0));
    fs.writeFileSync(join(path, name, 'f'), '');
  };
  mounted('before');
  fs.mkdirSync(join(path, 'after'));
  const clone = opened(t, native.cloneMount(fd, NOATIME, ATIME));
  mounted('after');
  for (const name of ['before', 'after']) {
    const flags = O.O_RDONLY | O.O_DIRECTORY;
    const found = opened(t, native.openBeneath(clone, put(name), flags, 0));
    t.equal(native.mountId(found), native.mountId(clone), name);
    t.equal(native.openat(found, put('f'), O.O_RDONLY, 0), -E.ENOENT);
  }
  t.end();
});

t.test('a descriptor is moved to the place of another', (t) => {
  const { path, fd } = tree(t);
  const one = native.openat(fd, put('one'), SUBDIRECTORY, 0);
  const other = opened(t, native.openat(fd, put('other'), SUBDIRECTORY, 0));
  t.equal(native.moveDescriptor(one, other), 0);
  t.equal(fs.readlinkSync(`/proc/self/fd/${other}`), join(path, 'one'));
  t.equal(fs.existsSync(`/proc/self/fd/${one}`), false);
  const flags = /^flags:\s*(\d+)$/m.exec(fs.readFileSync(`/proc/self/fdinfo/${other}`, 'latin1'))![1];
  t.ok(parseInt(flags, 8) & O_CLOEXEC, 'closed by exec');
  t.equal(native.moveDescriptor(9999, other), -E.EBADF);
  t.equal(native.moveDescriptor(other, -1), -E.EBADF);
  t.end();
});

t.test('a mount of a FUSE device that nobody finds', { skip: !isRoot && 'needs root' }, async (t) => {
  const device = opened(t, native.fuseOpen());
  const inbox = room(65536);
  const before = fs.readFileSync('/proc/self/mountinfo', 'latin1');
  const mount = native.fuseMount(device);
  t.ok(mount >= 0, 'mounted');
  t.equal(fs.readFileSync('/proc/self/mountinfo', 'latin1'), before, 'it is in no tree of mounts');
  const bytes = native.recv(device, inbox, 65536);
  t.ok(bytes > 40, 'the kernel says INIT');
  t.equal(native.recv(device, inbox, 65536), -E.EAGAIN, 'it is there');
  t.equal(native.close(mount), 0);
  const recv = (): number => native.recv(device, inbox, 65536);
  for (const end = Date.now() + 5000; recv() === -E.EAGAIN && Date.now() < end;) await new Promise(setImmediate);
  t.equal(recv(), -E.ENODEV, 'it has gone with its descriptor');
});

t.test('what cannot be cloned is refused', (t) => {
  const { fd } = workDirectory(t);
  t.equal(native.cloneMount(-1, 0, 0), -E.EBADF);
  t.equal(native.mountId(9999), -E.EBADF);
  t.equal(native.fuseMount(-1), -E.EBADF);
  t.equal(native.fuseMount(fd), isRoot ? -E.EINVAL : -E.EPERM, 'no device of FUSE');
  t.equal(native.openOnMount(9999, fd), isRoot ? -E.EBADF : -E.EPERM);
  if (without) t.equal(native.cloneMount(fd, RDONLY, 0), -E.ENOSYS);
  else if (isRoot) {
    t.equal(native.cloneMount(9999, 0, 0), -E.EBADF);
    t.equal(native.cloneMount(fd, 1 << 30, 0), -E.EINVAL, 'an attribute that there is not');
  }
  t.end();
});

void againWith(t, 'PLYFS_NO_OPEN_TREE', __filename);

import { spawnSync } from 'node:child_process';
import { createHash, randomFillSync } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { JobKind, JobSlot as J } from '../../native-bindings/index';
import { E, inChild, memory, native, O, opened, put, room, words, workDirectory } from './support';

const MIB = 1 << 20;

interface Job {
  kind: JobKind;
  a: number;
  b?: number;
  flags?: number;
  offset?: number;
  length?: number;
  offset2?: number;
  notify?: number;
}

function submit(job: Job, slot = room(J.SIZE)): number {
  memory.fill(0, slot, slot + J.SIZE);
  memory.writeUInt32LE(job.kind, slot + J.kind);
  memory.writeUInt32LE(job.flags ?? 0, slot + J.flags);
  memory.writeInt32LE(job.a, slot + J.a);
  memory.writeInt32LE(job.b ?? -1, slot + J.b);
  memory.writeBigInt64LE(BigInt(job.offset ?? 0), slot + J.offset);
  memory.writeBigInt64LE(BigInt(job.length ?? 0), slot + J.length);
  memory.writeBigInt64LE(BigInt(job.offset2 ?? 0), slot + J.offset2);
  memory.writeUInt32LE(job.notify ?? 0, slot + J.notify);
  const queued = native.jobSubmit(slot);
  if (queued !== 0) throw new Error(`jobSubmit: ${queued}`);
  return slot;
}

const state = (slot: number) => Atomics.load(words, (slot + J.state) / 4);

function wait(slot: number): number {
  while (state(slot) === 1) {
    if (native.futexWait(slot + J.state, 1, 60_000) === -E.ETIMEDOUT) throw new Error('the job does not end');
  }
  if (state(slot) !== 2) throw new Error(`state ${state(slot)}`);
  return memory.readInt32LE(slot + J.result);
}

const run = (job: Job) => wait(submit(job));

function create(t: Test, fd: number, name: string): number {
  return opened(t, native.openat(fd, put(name), O.O_CREAT | O.O_RDWR, 0o600));
}

function hash(path: string): string {
  const digest = createHash('sha1');
  const fd = fs.openSync(path, 'r');
  const chunk = Buffer.alloc(4 * MIB);
  for (let n; (n = fs.readSync(fd, chunk)) > 0;) digest.update(chunk.subarray(0, n));
  fs.closeSync(fd);
  return digest.digest('hex');
}

/** Where data and holes begin, as lseek tells. */
function layout(fd: number, size: number): number[] {
  const out = room(8);
  const edges: number[] = [];
  for (let at = 0, whence = 3; at < size; whence = 7 - whence) {
    if (native.lseek(fd, at | 0, Math.floor(at / 2 ** 32), whence, out) < 0) break;
    at = Number(memory.readBigInt64LE(out));
    edges.push(at);
  }
  return edges;
}

t.test('before the pool there are no jobs, and there is one pool', (t) => {
  const slot = room(J.SIZE);
  memory.writeUInt32LE(JobKind.SYNCFS, slot + J.kind);
  t.equal(native.jobSubmit(slot), -E.ESRCH);
  for (const threads of [0, -1, 17]) t.equal(native.jobPoolStart(threads), -E.EINVAL);
  t.equal(native.jobPoolStart(3), 0);
  t.equal(native.jobPoolStart(3), -E.EEXIST);
  const names = () => fs.readdirSync('/proc/self/task').map((task) => fs.readFileSync(`/proc/self/task/${task}/comm`, 'latin1').trim());
  for (let i = 0; i < 1000 && names().filter((name) => name.startsWith('plyfs-job-')).length < 3; i++) native.futexWait(slot, 0, 1);
  t.same(
    names()
      .filter((name) => name.startsWith('plyfs-job-'))
      .sort(),
    ['plyfs-job-0', 'plyfs-job-1', 'plyfs-job-2'],
  );
  for (const task of fs.readdirSync('/proc/self/task')) {
    if (!fs.readFileSync(`/proc/self/task/${task}/comm`, 'latin1').startsWith('plyfs-job-')) continue;
    const blocked = BigInt(`0x${/SigBlk:\s+(\w+)/.exec(fs.readFileSync(`/proc/self/task/${task}/status`, 'latin1'))![1]}`);
    t.equal(blocked & 0x7fff_fffen, 0x7ffb_fefen & blocked & 0x7fff_fffen, 'only signals that can be blocked');
    t.ok(blocked & (1n << 14n) && blocked & (1n << 1n), 'SIGTERM and SIGINT are blocked');
  }
  t.end();
});

t.test('what is no job is refused', (t) => {
  const slot = room(J.SIZE);
  for (const kind of [0, 7, 0xffffffff]) {
    memory.writeUInt32LE(kind, slot + J.kind);
    t.equal(native.jobSubmit(slot), -E.EINVAL);
  }
  t.equal(native.jobSubmit(slot + 4), -E.EINVAL, 'not aligned');
  memory.writeUInt32LE(JobKind.SYNCFS, slot + J.kind);
  words[(slot + J.state) / 4] = 1;
  t.equal(native.jobSubmit(slot), -E.EBUSY, 'queued already');
  t.equal(native.jobPoolEvent(32, 0), -E.EINVAL);
  t.equal(native.jobPoolEvent(-1, 0), -E.EINVAL);
  t.equal(native.jobPoolEvent(0, -2), -E.EINVAL);
  t.end();
});

t.test('errors come back as a result', (t) => {
  const { fd } = workDirectory(t);
  const file = create(t, fd, 'f');
  t.equal(run({ kind: JobKind.COPY, a: -1, b: file, length: 5 }), -E.EBADF);
  t.equal(run({ kind: JobKind.COPY, a: file, b: -1, length: 5 }), -E.EBADF);
  t.equal(run({ kind: JobKind.COPY, a: file, b: file, offset: -1, length: 5 }), -E.EINVAL);
  t.equal(run({ kind: JobKind.COPY, a: file, b: file, length: -5 }), -E.EINVAL);
  t.equal(run({ kind: JobKind.COPY, a: fd, b: file, length: 5 }), -E.EISDIR);
  t.equal(run({ kind: JobKind.FSYNC, a: -1 }), -E.EBADF);
  t.equal(run({ kind: JobKind.SYNCFS, a: 9999 }), -E.EBADF);
  t.equal(run({ kind: JobKind.FALLOCATE, a: file, length: -1 }), -E.EINVAL);
  t.equal(run({ kind: JobKind.FALLOCATE, a: file, flags: 0x80000000, length: 1 }), -E.EOPNOTSUPP);
  t.equal(run({ kind: JobKind.COPY_RANGE, a: file, b: file, length: -1 }), -E.EINVAL);
  t.equal(run({ kind: JobKind.CLOSE, a: 9999 }), -E.EBADF);
  t.end();
});

t.test('fsync, fdatasync, syncfs, fallocate, close', (t) => {
  const { path, fd } = workDirectory(t);
  const file = create(t, fd, 'f');
  t.equal(run({ kind: JobKind.FSYNC, a: file }), 0);
  t.equal(run({ kind: JobKind.FSYNC, a: file, flags: 1 }), 0);
  t.equal(run({ kind: JobKind.SYNCFS, a: file }), 0);
  t.equal(run({ kind: JobKind.FALLOCATE, a: file, offset: 5 * 2 ** 30, length: MIB }), 0);
  t.equal(fs.statSync(join(path, 'f')).size, 5 * 2 ** 30 + MIB);
  t.equal(run({ kind: JobKind.FALLOCATE, a: file, flags: 3, offset: 5 * 2 ** 30, length: MIB }), 0, 'PUNCH_HOLE');
  t.ok(fs.statSync(join(path, 'f')).blocks < 64);
  const doomed = native.dup(file);
  t.equal(run({ kind: JobKind.CLOSE, a: doomed }), 0);
  t.equal(native.close(doomed), -E.EBADF);
  t.end();
});

t.test('COPY_RANGE returns its count, at 64-bit offsets', (t) => {
  const { fd } = workDirectory(t);
  const [a, b] = [create(t, fd, 'a'), create(t, fd, 'b')];
  const from = 6 * 2 ** 30 + 10,
    to = 2 ** 32 + 1;
  fs.writeSync(a, Buffer.from('0123456789'), 0, 10, from);
  t.equal(run({ kind: JobKind.COPY_RANGE, a, b, offset: from + 2, length: 5, offset2: to }), 5);
  t.equal(run({ kind: JobKind.COPY_RANGE, a, b, offset: from + 8, length: 5, offset2: to + 5 }), 2, 'the source ends');
  const read = Buffer.alloc(10);
  t.equal(fs.readSync(b, read, 0, 10, to), 7);
  t.equal(read.toString('latin1', 0, 7), '2345689');
  t.end();
});

/** Data at 0, 20 MiB and the last page of 64 MiB. */
function sparse(t: Test, fd: number, name: string): number {
  const file = create(t, fd, name);
  fs.writeSync(file, randomFillSync(Buffer.alloc(5000)), 0, 5000, 0);
  fs.writeSync(file, randomFillSync(Buffer.alloc(MIB)), 0, MIB, 20 * MIB);
  fs.writeSync(file, randomFillSync(Buffer.alloc(4096)), 0, 4096, 64 * MIB - 4096);
  return file;
}

const places: [where: string, from: string | undefined, to: string | undefined][] = [
  ['on one file system', undefined, undefined],
  ['from another file system', '/dev/shm', undefined],
  ['on tmpfs', '/dev/shm', '/dev/shm'],
];

for (const [where, fromParent, toParent] of places) {
  t.test(`COPY keeps content and holes, ${where}`, (t) => {
    const from = workDirectory(t, fromParent),
      to = workDirectory(t, toParent);
    const a = sparse(t, from.fd, 'a');
    const b = create(t, to.fd, 'b');
    const slot = submit({ kind: JobKind.COPY, a, b, length: 64 * MIB, flags: 1 });
    t.equal(wait(slot), 0);
    t.equal(memory.readBigInt64LE(slot + J.progress), BigInt(64 * MIB));
    t.equal(hash(join(to.path, 'b')), hash(join(from.path, 'a')));
    t.same(layout(b, 64 * MIB), layout(a, 64 * MIB));
    t.same(layout(b, 64 * MIB).length, 6, 'three stretches of data');
    const kib = Number(spawnSync('du', ['-k', join(to.path, 'b')], { encoding: 'utf8' }).stdout.split('\t')[0]);
    t.ok(kib >= 1024 && kib < 1200, `${kib} KiB on disk`);
    t.end();
  });
}

t.test('COPY of a range makes the destination end where the range does', (t) => {
  const { path, fd } = workDirectory(t);
  const a = sparse(t, fd, 'a');
  const b = create(t, fd, 'b');
  t.equal(run({ kind: JobKind.COPY, a, b, length: 20 * MIB + 100 }), 0);
  t.equal(fs.statSync(join(path, 'b')).size, 20 * MIB + 100);
  t.equal(run({ kind: JobKind.COPY, a, b, offset: 20 * MIB + 100, length: 44 * MIB - 100 }), 0, 'and the rest');
  t.equal(hash(join(path, 'b')), hash(join(path, 'a')));
  t.equal(run({ kind: JobKind.COPY, a, b, offset: 20 * MIB, length: 0 }), 0);
  t.equal(fs.statSync(join(path, 'b')).size, 20 * MIB);
  t.end();
});

t.test('COPY of a source shorter than asked: zeros to the end of the range', (t) => {
  const { path, fd } = workDirectory(t);
  const [a, b] = [create(t, fd, 'a'), create(t, fd, 'b')];
  fs.writeSync(a, 'short');
  fs.writeSync(b, Buffer.alloc(100_000, 'old'));
  t.equal(run({ kind: JobKind.COPY, a, b, length: 50_000 }), 0);
  const want = Buffer.alloc(50_000);
  want.write('short');
  t.ok(fs.readFileSync(join(path, 'b')).equals(want), 'nothing of what was there before');
  t.equal(run({ kind: JobKind.COPY, a, b, offset: 60_000, length: 10 }), 0, 'all of it after the end');
  t.equal(fs.statSync(join(path, 'b')).size, 60_010);
  t.end();
});

t.test('COPY over old content leaves none of it in the holes', (t) => {
  const { path, fd } = workDirectory(t);
  const a = sparse(t, fd, 'a');
  const b = create(t, fd, 'b');
  fs.writeSync(b, Buffer.alloc(30 * MIB, 'old'));
  t.equal(run({ kind: JobKind.COPY, a, b, length: 64 * MIB }), 0);
  t.equal(hash(join(path, 'b')), hash(join(path, 'a')));
  t.end();
});

t.test('COPY reads a file of /proc, which has no size', (t) => {
  const { path, fd } = workDirectory(t);
  const a = opened(t, native.openHost(put('/proc/version'), O.O_RDONLY, 0));
  t.equal(run({ kind: JobKind.COPY, a, b: create(t, fd, 'b'), length: 4096 }), 0);
  const want = fs.readFileSync('/proc/version');
  const copied = fs.readFileSync(join(path, 'b'));
  t.ok(copied.subarray(0, want.length).equals(want));
  t.equal(copied.length, 4096);
  t.end();
});

t.test('COPY of 300 MiB shows progress and rings the eventfd', async (t) => {
  const { path, fd } = workDirectory(t);
  const a = create(t, fd, 'a');
  const block = randomFillSync(Buffer.alloc(MIB));
  for (let i = 0; i < 300; i++) {
    block.writeUInt32LE(i);
    fs.writeSync(a, block);
  }
  const bell = opened(t, native.eventfd());
  t.equal(native.jobPoolEvent(5, bell), 0);
  let watch: { stop(): void } | undefined;
  const rung = new Promise<void>((resolve) => (watch = native.watchReadable(bell, resolve)));
  const slot = submit({ kind: JobKind.COPY, a, b: create(t, fd, 'b'), length: 300 * MIB, notify: 1 << 5 });
  const seen = new Set<bigint>();
  while (state(slot) === 1) {
    seen.add(memory.readBigInt64LE(slot + J.progress));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await rung;
  watch!.stop();
  t.equal(wait(slot), 0);
  t.ok(
    [...seen].every((bytes) => bytes >= 0n && bytes <= BigInt(300 * MIB)),
    `progress: ${[...seen].join(', ')}`,
  );
  t.equal(native.eventfdDrain(bell), 1);
  t.equal(hash(join(path, 'b')), hash(join(path, 'a')));
  t.equal(native.jobPoolEvent(5, -1), 0);
  t.equal(run({ kind: JobKind.FSYNC, a, notify: 1 << 5 }), 0, 'a bit without an eventfd rings nothing');
  t.equal(native.eventfdDrain(bell), -E.EAGAIN);
});

t.test('FICLONE is used where the file system has it', (t) => {
  const { path, fd } = workDirectory(t);
  const image = join(path, 'image'),
    mountPoint = join(path, 'mnt');
  fs.mkdirSync(mountPoint);
  fs.closeSync(fs.openSync(image, 'w'));
  fs.truncateSync(image, 400 * MIB);
  const ok = (command: string, ...args: string[]) => spawnSync(command, args).status === 0;
  if (!ok('mkfs.xfs', '-q', '-m', 'reflink=1', image) || !ok('mount', '-o', 'loop', image, mountPoint)) {
    t.pass('no loop device or no XFS', { skip: true });
    t.end();
    return;
  }
  try {
    const at = native.openDirectory(fd, put('mnt'), 3, 0);
    const dirfd = native.openHost(put(mountPoint), O.O_RDONLY | O.O_DIRECTORY, 0);
    const flags = O.O_CREAT | O.O_RDWR;
    const [a, b, c] = ['a', 'b', 'c'].map((name) => native.openat(at, put(name), flags, 0o600)) as [number, number, number];
    for (let i = 0; i < 150; i++) fs.writeSync(a, randomFillSync(Buffer.alloc(MIB)));
    fs.fsyncSync(a);
    const free = () => fs.statfsSync(mountPoint).bavail * fs.statfsSync(mountPoint).bsize;
    const before = free();
    t.equal(run({ kind: JobKind.COPY, a, b, length: 150 * MIB, flags: 1 }), 0);
    t.ok(before - free() < 20 * MIB, 'the copy takes no room');
    t.equal(native.ficlone(c, a), 0);
    t.equal(hash(join(mountPoint, 'b')), hash(join(mountPoint, 'a')));
    t.equal(run({ kind: JobKind.COPY, a, b: c, length: 150 * MIB + 5000 }), 0);
    t.equal(fs.statSync(join(mountPoint, 'c')).size, 150 * MIB + 5000);
    for (const each of [a, b, c, at, dirfd]) native.close(each);
  } finally {
    spawnSync('umount', ['-l', mountPoint]);
  }
  t.end();
});

t.test('the queue takes 1,024 jobs, and every one is done', (t) => {
  const { fd } = workDirectory(t);
  const file = create(t, fd, 'f');
  const slots = Array.from({ length: 3000 }, () => room(J.SIZE));
  const left: number[] = [];
  let refused = 0;
  for (const slot of slots) {
    memory.writeUInt32LE(JobKind.FSYNC, slot + J.kind);
    memory.writeInt32LE(file, slot + J.a);
    let queued = native.jobSubmit(slot);
    for (; queued === -E.EAGAIN; queued = native.jobSubmit(slot)) {
      refused++;
      native.futexWait(slot, 0, 1);
    }
    if (queued !== 0) left.push(queued);
  }
  t.same(left, []);
  t.comment(`${refused} times the queue was full`);
  t.ok(slots.every((slot) => wait(slot) === 0));
  t.end();
});

t.test('the queue says when it is full', (t) => {
  const child = inChild(`
    native.arenaCreate(4); native.jobPoolStart(1);
    const words = new Int32Array(native.arenaBuffer());
    const fs = require('node:fs');
    const zero = fs.openSync('/dev/zero'), sink = fs.openSync('/dev/null', 'w');
    words.set([0, 0, ${JobKind.COPY}, 0, zero, sink, 0, 0, 0, 1 << 20], 0); // for ever: the pool's one thread is taken
    native.jobSubmit(0);
    while (Atomics.load(words, ${J.progress / 4}) === 0) native.futexWait(128, 0, 1);
    let queued = 0, result;
    for (let i = 1; i < 2000; i++) {
      words[i * 32 + 2] = ${JobKind.SYNCFS};
      if ((result = native.jobSubmit(i * 128)) !== 0) break;
      queued++;
    }
    require('node:fs').writeSync(1, JSON.stringify([queued, result]));
    native.exitNow(0);`);
  t.equal(child.stdout, JSON.stringify([1024, -E.EAGAIN]), child.stderr);
  t.end();
});

t.test('a process can exit while jobs run', (t) => {
  const { path } = workDirectory(t);
  const child = inChild(`
    native.arenaCreate(4); native.jobPoolStart(4);
    const fs = require('node:fs');
    const words = new Int32Array(native.arenaBuffer());
    const zero = fs.openSync('/dev/zero'), out = fs.openSync(${JSON.stringify(join(path, 'big'))}, 'w');
    for (let i = 0; i < 4; i++) {
      words.set([0, 0, ${JobKind.COPY}, 0, zero, out, 0, 0, 1 << 28, 0], i * 32);
      native.jobSubmit(i * 128);
    }
    setTimeout(() => process.exit(5), 50);`);
  t.equal(child.status, 5, child.stderr);
  t.end();
});

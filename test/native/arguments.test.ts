// Whatever JavaScript hands in: a refusal, never a crash and never a look outside of the arena.
import { inspect } from 'node:util';
import t from 'tap';
import { ARENA_SIZE, E, EMPTY, memory, native, put, room, untyped, workDirectory } from './support';

/** Arguments: how many, and which are (offset, length) or a path; d directory, p path, o offset, n length of the offset before it, i any integer. */
const SHAPES: Record<string, string> = {
  arenaCreate: 'i',
  arenaAttach: 'ii',
  arenaPunch: 'on',
  futexWait: 'oii',
  futexWake: 'oi',
  fuseClone: 'i',
  recv: 'ion',
  send: 'ion',
  sendRecv: 'iononO',
  backingOpen: 'ii',
  backingClose: 'ii',
  backingOpenAt: 'idp',
  ringCreate: 'ii',
  ringFile: 'ii',
  ringRegister: 'O',
  ringCommit: 'Oon',
  ringPoll: 'iii',
  ringNop: 'i',
  ringNext: 'OOiii',
  ringRefuse: 'i',
  epollAdd: 'iiii',
  epollDelete: 'ii',
  epollWait: 'ioNi',
  eventfdSignal: 'i',
  eventfdDrain: 'i',
  openat: 'dpii',
  openBeneath: 'dpii',
  openDirectory: 'doni',
  openHost: 'sii',
  close: 'i',
  dup: 'i',
  cloneMount: 'dii',
  mountId: 'd',
  openOnMount: 'dd',
  moveDescriptor: 'dd',
  lockDirectory: 'd',
  stat: 'dpO',
  statAll: 'dONO',
  mkdirat: 'dpi',
  mknodat: 'dpii',
  symlinkat: 'sdp',
  readlinkat: 'dpon',
  unlinkat: 'dpi',
  renameat2: 'dpdpi',
  linkat: 'dpdp',
  fchownat: 'dpii',
  fchmodat: 'dpi',
  utimensat: 'dpO',
  truncateat: 'dpii',
  getxattr: 'dpson',
  setxattr: 'dpsoni',
  listxattr: 'dpon',
  removexattr: 'dps',
  copyXattrs: 'dpdps',
  readDirents: 'iion',
  pread: 'ionii',
  pwrite: 'ionii',
  lseek: 'iiiiO',
  ficlone: 'ii',
  syncfs: 'i',
  statvfs: 'iO',
  fileHandle: 'dponO',
  filesystemUuid: 'iO',
  getInodeFlags: 'iO',
  setInodeFlags: 'ii',
  jobPoolStart: 'i',
  jobPoolEvent: 'ii',
  jobSubmit: 'O',
  pinThread: 'i',
  timeSlice: 'i',
  lowerThread: 'i',
  threadCpu: 'i',
  umask: 'i',
  growFileTable: 'i',
  exitNow: 'i',
  closeOnExecFrom: 'i',
  fuseMount: 'd',
  socketKind: 'i',
  closeOnExec: 'ii',
};
const WITHOUT = ['fuseOpen', 'ringProbe', 'ringClose', 'ringSubmit', 'epollCreate', 'eventfd', 'raiseFileLimit', 'faultClear'];
const METHODS = ['arenaBuffer', 'mount', 'umount', 'exec', 'nameThread', 'socketpair', 'sendMessage', 'receiveMessage', 'peerCredentials'];
const MORE_METHODS = ['sendDatagram', 'watchReadable', 'fuseHeader', 'faultSet', 'zstdStream', 'zstdStep'];

t.test('every function of the addon is covered here', (t) => {
  t.same(Object.keys(native).sort(), [...Object.keys(SHAPES), ...WITHOUT, ...METHODS, ...MORE_METHODS].sort());
  t.end();
});

const NO_INTEGERS = [
  undefined,
  null,
  'x',
  '1',
  '',
  NaN,
  Infinity,
  -Infinity,
  0.5,
  2 ** 32,
  -(2 ** 31) - 1,
  1n,
  {},
  [],
  true,
  Symbol('s'),
  () => 1,
];

t.test('an argument that is missing or no 32-bit integer is -EINVAL, in every place', (t) => {
  for (const [name, shape] of Object.entries(SHAPES)) {
    t.equal(untyped[name](), -E.EINVAL, `${name}()`);
    for (let place = 0; place < shape.length; place++) {
      const results = NO_INTEGERS.map((bad) => {
        const args: unknown[] = Array.from(shape).map(() => -1);
        args[place] = bad;
        return untyped[name](...args);
      });
      results.push(untyped[name](...Array<number>(place).fill(-1)));
      t.ok(
        results.every((result) => result === -E.EINVAL),
        `${name}, argument ${place + 1}: ${String(results)}`,
      );
    }
  }
  t.end();
});

t.test('a range that leaves the arena is -EFAULT, whatever else is asked', (t) => {
  const { fd } = workDirectory(t);
  const name = put('absent');
  const good = room(8192);
  const offsets = [-1, -8, -(2 ** 31), ARENA_SIZE, ARENA_SIZE - 1, ARENA_SIZE + 8, 2 ** 31 - 1, 2 ** 31 - 8, 2 ** 32 - 8];
  const lengths = [-1, -(2 ** 31), ARENA_SIZE + 1, 2 ** 31 - 1, 2 ** 32 - 1];
  const valid: Record<string, number> = { d: fd, p: name, s: name, o: good, O: good, n: 64, N: 4, i: -1 };
  for (const [function_, shape] of Object.entries(SHAPES)) {
    for (const [place, kind] of Array.from(shape).entries()) {
      const wrong = kind === 'n' ? lengths : 'oOps'.includes(kind) ? offsets : kind === 'N' ? [ARENA_SIZE / 8 + 1, 2 ** 31 - 1] : [];
      for (const value of wrong) {
        // A single byte at the end is a fine place for a string (an empty one) or for one byte.
        if (value === ARENA_SIZE - 1 && 'ps'.includes(kind)) continue;
        const args = Array.from(shape).map((letter) => valid[letter]);
        args[place] = value;
        t.equal(untyped[function_](...args), -E.EFAULT, `${function_}(${args.join(', ')})`);
      }
    }
  }
  t.end();
});

t.test('a path is absolute: -EINVAL; unterminated at the end of the arena: -EFAULT; too long: -ENAMETOOLONG', (t) => {
  const { fd } = workDirectory(t);
  const good = room(8192);
  const absolute = put('/etc/passwd');
  const long = room(8192);
  memory.fill(0x61, long, long + 4096);
  const end = ARENA_SIZE - 3;
  memory.set(Buffer.from('abc'), end);
  t.teardown(() => memory.fill(0, end));
  const valid: Record<string, number> = { d: fd, p: put('absent'), s: put('user.x'), o: good, O: good, n: 64, N: 4, i: -1 };
  const call = (name: string, shape: string, place: number, value: number) =>
    untyped[name](...Array.from(shape).map((letter, i) => (i === place ? value : valid[letter])));
  for (const [name, shape] of Object.entries(SHAPES)) {
    for (const [place, kind] of Array.from(shape).entries()) {
      if (kind === 'p') t.equal(call(name, shape, place, absolute), -E.EINVAL, `${name}: absolute`);
      if (kind !== 'p' && kind !== 's') continue;
      t.equal(call(name, shape, place, end), -E.EFAULT, `${name}: no NUL before the end of the arena`);
      t.equal(call(name, shape, place, long), -E.ENAMETOOLONG, `${name}: no NUL in 4096 bytes`);
    }
    const place = shape.indexOf('d');
    if (place >= 0) t.equal(call(name, shape, place, -100), -E.EBADF, `${name}: AT_FDCWD`);
  }
  t.equal(native.stat(fd, ARENA_SIZE - 4097, good), 0, 'an empty path right before the rest of the arena');
  t.end();
});

t.test('the last byte of the arena can end a path', (t) => {
  const { fd } = workDirectory(t);
  memory.set(Buffer.from('d\0'), ARENA_SIZE - 2);
  t.equal(native.mkdirat(fd, ARENA_SIZE - 2, 0o700), 0);
  t.equal(native.stat(fd, ARENA_SIZE - 2, room(128)), 0);
  t.equal(native.stat(fd, ARENA_SIZE - 2, ARENA_SIZE - 128), 0, 'a record in the very last bytes');
  t.equal(native.stat(fd, ARENA_SIZE - 2, ARENA_SIZE - 127), -E.EFAULT);
  memory.fill(0, ARENA_SIZE - 128);
  t.end();
});

t.test('unsigned words are taken as the same 32 bits', (t) => {
  const { fd } = workDirectory(t);
  t.equal(native.fchownat(fd, EMPTY, 0xffffffff, -1), 0);
  t.equal(native.close(0xffffffff), -E.EBADF);
  t.end();
});

t.test('methods throw a TypeError for wrong types and nothing else', (t) => {
  const wrong: [name: string, ...args: unknown[]][] = [
    ['mount'],
    ['mount', 's', 'target', 't', 0, ''],
    ['mount', 1, Buffer.from('/x'), 't', 0, ''],
    ['mount', 's', Buffer.from('/x'), 't', NaN, ''],
    ['mount', 's', Buffer.from('/x'), 't', 0],
    ['umount'],
    ['exec'],
    ['exec', 'ls'],
    ['exec', ['ls', 1]],
    ['umount', '/x', 0],
    ['umount', Buffer.from('/x'), '0'],
    ['nameThread'],
    ['nameThread', 7],
    ['socketpair'],
    ['socketpair', []],
    ['socketpair', new Int32Array(1)],
    ['socketpair', new Uint32Array(2)],
    ['sendMessage'],
    ['sendMessage', 1, 'text', []],
    ['sendMessage', 1, Buffer.from('x')],
    ['sendMessage', 1, Buffer.from('x'), ['1']],
    ['sendMessage', 1, Buffer.from('x'), { length: 1 }],
    ['sendMessage', NaN, Buffer.from('x'), []],
    ['receiveMessage'],
    ['receiveMessage', 1],
    ['receiveMessage', '1', 10],
    ['peerCredentials'],
    ['peerCredentials', 'x'],
    ['sendDatagram'],
    ['sendDatagram', '/x', Buffer.from('x')],
    ['sendDatagram', Buffer.from('/x'), 'x'],
    ['watchReadable'],
    ['watchReadable', 0],
    ['watchReadable', 0, {}],
    ['watchReadable', NaN, () => undefined],
    ['fuseHeader'],
    ['fuseHeader', 5],
    ['zstdStream'],
    ['zstdStream', 'x'],
    ['zstdStep'],
    ['zstdStep', {}, Buffer.alloc(1), Buffer.alloc(1), new Uint32Array(2), 0],
    ['zstdStep', native.zstdStream(-1), 'x', Buffer.alloc(1), new Uint32Array(2), 0],
    ['zstdStep', native.zstdStream(-1), Buffer.alloc(1), new Int32Array(1), new Uint32Array(2), 0],
    ['zstdStep', native.zstdStream(-1), Buffer.alloc(1), Buffer.alloc(1), new Uint32Array(1), 0],
    ['zstdStep', native.zstdStream(-1), Buffer.alloc(1), Buffer.alloc(1), new Uint32Array(2)],
  ];
  for (const [name, ...args] of wrong)
    t.throws(() => untyped[name](...args), TypeError, `${name}(${args.map((arg) => inspect(arg)).join(', ')})`);
  t.equal(untyped['receiveMessage'](-1, 0), -E.EINVAL);
  t.equal(untyped['receiveMessage'](-1, -1), -E.EINVAL);
  t.equal(untyped['receiveMessage'](-1, 2 ** 30), -E.EINVAL);
  t.equal(native.umount(Buffer.from('/a\0b'), 0), -E.EINVAL);
  t.equal(native.umount(Buffer.alloc(5000, 0x61), 0), -E.ENAMETOOLONG);
  t.equal(native.umount(Buffer.alloc(0), 0), -E.ENOENT);
  t.equal(native.exec([]), -E.EINVAL);
  t.equal(native.exec(['/nowhere/no-program', 'x']), -E.ENOENT);
  t.equal(native.mount('a\0b', Buffer.from('/x'), 't', 0, ''), -E.EINVAL);
  t.equal(native.mount('a', Buffer.from('/x'), 't', 0, 'x'.repeat(5000)), -E.EINVAL);
  t.end();
});

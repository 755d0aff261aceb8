import * as fs from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { DirentRecord as D, ReadDirents, StatRecord as S } from '../../native-bindings/index';
import { E, memory, native, O, opened, put, room, workDirectory } from './support';

interface Entry {
  name: Buffer;
  type: number;
  hasStat: number;
  ino: bigint;
  mode: number;
}

const CAPACITY = 1 << 20;
const out = room(CAPACITY);

function decode(bytes: number): Entry[] {
  const entries: Entry[] = [];
  for (let at = out; at < out + bytes; at += memory.readUInt32LE(at)) {
    const name = at + D.name;
    entries.push({
      name: Buffer.from(memory.subarray(name, name + memory.readUInt16LE(at + D.nameLength))),
      type: memory[at + D.type],
      hasStat: memory[at + D.hasStat],
      ino: memory.readBigUInt64LE(at + D.stat + S.ino),
      mode: memory.readUInt32LE(at + D.stat + S.mode),
    });
    if (memory.readUInt32LE(at) % 8 !== 0) throw new Error('a record is not padded');
    if (memory[name + entries.at(-1)!.name.length] !== 0) throw new Error('a name does not end in a NUL');
  }
  return entries;
}

/** All of a directory, and how many calls it took. */
function readAll(fd: number, flags: number, capacity: number): [entries: Entry[], calls: number] {
  const entries: Entry[] = [];
  for (let calls = 1; ; calls++) {
    memory.fill(0xee, out, out + capacity);
    const bytes = native.readDirents(fd, flags, out, capacity);
    if (bytes < 0) throw new Error(`errno ${-bytes}`);
    if (bytes === 0) return [entries, calls];
    entries.push(...decode(bytes));
  }
}

const open = (t: Test, path: string) => opened(t, native.openHost(put(path), O.O_RDONLY | O.O_DIRECTORY, 0));

t.test('a directory of 5,000 entries is the same through any buffer', (t) => {
  const { path } = workDirectory(t);
  for (let i = 0; i < 5000; i++) fs.writeFileSync(join(path, `${i}-`.padEnd(5 + (i % 240), 'n')), '');
  const want = fs.readdirSync(path).sort();
  for (const capacity of [400, 1000, 4096, 65536, CAPACITY]) {
    for (const flags of [0, ReadDirents.WITH_STAT]) {
      const [entries, calls] = readAll(open(t, path), flags, capacity);
      t.same(entries.map((entry) => entry.name.toString()).sort(), want, `capacity ${capacity}: ${calls} calls`);
    }
  }
  t.end();
});

t.test('a record has the type, the inode and, when asked, the attributes', (t) => {
  const { path, fd } = workDirectory(t);
  fs.writeFileSync(join(path, 'file'), 'x');
  fs.writeFileSync(join(path, '.wh.gone'), '');
  fs.mkdirSync(join(path, '.wh.dir'));
  fs.symlinkSync('x', join(path, 'link'));
  fs.mkdirSync(join(path, 'dir'));
  t.equal(native.mknodat(fd, put('whiteout'), 0o020000, 0), 0);
  t.equal(native.mknodat(fd, put('fifo'), 0o010600, 0), 0);
  const types: Record<string, number> = { '.wh.dir': 4, '.wh.gone': 8, dir: 4, fifo: 1, file: 8, link: 10, whiteout: 2 };
  for (const flags of [0, ReadDirents.STAT_SUSPECTS, ReadDirents.WITH_STAT]) {
    const [entries] = readAll(open(t, path), flags, CAPACITY);
    t.same(Object.fromEntries(entries.map((entry) => [entry.name, entry.type]).sort()), types);
    for (const { name, ino, hasStat, mode } of entries) {
      const want = fs.lstatSync(join(path, name.toString()), { bigint: true });
      const stated = flags === ReadDirents.WITH_STAT || (flags !== 0 && ['.wh.gone', 'whiteout'].includes(name.toString()));
      t.equal(ino, want.ino);
      t.equal(hasStat, Number(stated), `${name.toString()}, flags ${flags}`);
      t.equal(mode, stated ? Number(want.mode) : 0);
    }
  }
  t.end();
});

t.test('names are bytes, up to 255 of them', (t) => {
  const { fd, path } = workDirectory(t);
  const names = [Buffer.from([0xff]), Buffer.from([0xc3, 0x28, 0x0a]), Buffer.alloc(255, 0x80), Buffer.from('...')];
  for (const name of names) t.equal(native.mkdirat(fd, put(name), 0o700), 0);
  const [entries] = readAll(open(t, path), 0, 400);
  t.same(
    entries.map((entry) => entry.name).sort((a, b) => a.compare(b)),
    [...names].sort((a, b) => a.compare(b)),
  );
  t.end();
});

t.test('the end, too little room and what is no directory', (t) => {
  const { fd, path } = workDirectory(t);
  const empty = open(t, path);
  t.equal(native.readDirents(empty, 0, out, CAPACITY), 0, 'dots are left out');
  t.equal(native.readDirents(empty, 0, out, CAPACITY), 0, 'and again');
  t.equal(native.mkdirat(fd, put('x'.repeat(100)), 0o700), 0);
  const small = open(t, path);
  t.equal(native.readDirents(small, 0, out, 0), -E.ENOBUFS);
  t.equal(native.readDirents(small, 0, out, 239), -E.ENOBUFS);
  t.equal(native.readDirents(small, 0, out, 240), 240, 'a refused record comes when there is room');
  t.equal(native.readDirents(small, 0, out, 240), 0);
  t.equal(native.readDirents(small, 4, out, 240), -E.EINVAL, 'an unknown flag');
  fs.writeFileSync(join(path, 'f'), '');
  t.equal(native.readDirents(opened(t, native.openat(fd, put('f'), O.O_RDONLY, 0)), 0, out, 400), -E.ENOTDIR);
  t.equal(native.readDirents(-1, 0, out, 400), -E.EBADF);
  t.end();
});

/** Every answer, byte by byte, as the kernel reads it. */
import t from 'tap';
import { Encoder, MIN_REPLY } from '../../daemon/protocol/encode';
import { FOREVER, type Operations } from '../../daemon/protocol/operations';
import { Answer } from '../../daemon/protocol/reader';
import { dump, hex, Memory, REPLY, REPLY_SIZE, SCRATCH } from './support';

const EIO = -5;
const UNIQUE_LOW = 0x04030201;
const UNIQUE_HIGH = 0x88070605 | 0;

/** A stat record as native-bindings writes it. */
const ATTR = hex(`
  1122334455667788 0010000000000000             # ino, size 4096
  0800000000000000                              # blocks 8
  ffffffffffffffff 0100000000000000 0200000001000000 # atime -1, mtime 1, ctime 2^32 + 2
  0a000000 0b000000 0c000000                    # nanoseconds: 10, 11, 12
  b6610000 02000000                             # mode 060666, nlink 2
  e8030000 d0070000                             # uid 1000, gid 2000
  45a31279                                      # rdev: minor 0x79145 of major 0x2a3
  00100000 00000000                             # blksize 4096, flags`);
const TAIL = hex(`
  08000000 01000000                             # device 8:1
  0500000000000000 0d000000                     # btime 5, nanoseconds 13
  01000000                                      # btime is known
  0000000000000000 0000000000000000             # the rest`);

class Bench {
  readonly memory = new Memory();
  readonly encoder: Encoder;

  constructor() {
    this.encoder = new Encoder(this.memory.buffer);
    this.memory.bytes.set(ATTR, SCRATCH);
    this.memory.bytes.set(TAIL, SCRATCH + ATTR.length);
  }

  /** The answer to something that expects `answer`, at most `limit` bytes. */
  answer(answer: number, limit: number, write: (encoder: Encoder) => void, result = 0, capacity = REPLY_SIZE): Uint8Array {
    this.memory.bytes.fill(this.memory.fill, REPLY, REPLY + REPLY_SIZE);
    this.encoder.begin(REPLY, capacity, answer, limit);
    write(this.encoder);
    const length = this.encoder.finish(UNIQUE_LOW, UNIQUE_HIGH, result);
    return this.memory.reply(length);
  }
}

const ENTRY = `
  0700000000000000 0300000000000000             # nodeid 7, generation 3
  ffffffffffffffff 0000000000000000             # entry_valid for ever, attr_valid 0
  00000000 00000000                             # their nanoseconds
  1122334455667788 0010000000000000 0800000000000000 # attr: ino, size, blocks
  ffffffffffffffff 0100000000000000 0200000001000000 # atime, mtime, ctime
  0a000000 0b000000 0c000000 b6610000 02000000  # nanoseconds, mode, nlink
  e8030000 d0070000 45a31279 00100000 00000000  # uid, gid, rdev, blksize, flags`;

t.test('answers of a fixed size', (t) => {
  const bench = new Bench();
  const check = (name: string, size: number, write: (encoder: Encoder) => void, expected: string): void => {
    t.strictSame(dump(bench.answer(size, 0, write)), dump(hex(expected)), name);
    const end = REPLY + 16 + size;
    t.ok(
      bench.memory.bytes.subarray(end, end + 512).every((byte) => byte === bench.memory.fill),
      `${name}, and no more`,
    );
  };

  check('nothing but the header', 0, () => undefined, '10000000 00000000 0102030405060788 # len 16, error 0, unique');
  check('entry', 128, (e) => e.entry(7, 3, FOREVER, 0, SCRATCH), `90000000 00000000 0102030405060788 ${ENTRY}`);
  check(
    'entry with a nodeid and a generation above 2^31, valid for a minute',
    128,
    (e) => e.entry(0xfffffffe, 0xffffffff, 60, FOREVER, SCRATCH),
    `90000000 00000000 0102030405060788
    feffffff00000000 ffffffff00000000           # nodeid, generation
    3c00000000000000 ffffffffffffffff           # entry_valid 60, attr_valid for ever
    ${ENTRY.split('\n').slice(3).join('\n')}`,
  );
  check(
    'negative entry',
    128,
    (e) => e.negativeEntry(FOREVER),
    `90000000 00000000 0102030405060788          # len 144
    0000000000000000 0000000000000000           # nodeid 0, generation 0
    ffffffffffffffff 0000000000000000           # entry_valid for ever, attr_valid 0
    ${'00'.repeat(96)}`,
  );
  check(
    'attr',
    104,
    (e) => e.attr(FOREVER, SCRATCH),
    `78000000 00000000 0102030405060788          # len 120
    ffffffffffffffff 00000000 00000000          # attr_valid for ever, nanoseconds, dummy
    ${ENTRY.split('\n').slice(4).join('\n')}`,
  );
  check(
    'statx with the birth time',
    288,
    (e) => e.statx(0, SCRATCH),
    `30010000 00000000 0102030405060788          # len 304
    0000000000000000 00000000 00000000          # attr_valid 0, nanoseconds, flags
    0000000000000000 0000000000000000           # spare
    ff0f0000 00100000 0000000000000000          # mask BASIC_STATS BTIME, blksize, attributes
    02000000 e8030000 d0070000 b661 0000        # nlink, uid, gid, mode, spare
    1122334455667788 0010000000000000           # ino, size
    0800000000000000 0000000000000000           # blocks, attributes_mask
    ffffffffffffffff 0a000000 00000000          # atime
    0500000000000000 0d000000 00000000          # btime
    0200000001000000 0c000000 00000000          # ctime
    0100000000000000 0b000000 00000000          # mtime
    a3020000 45910700 00000000 00000000         # rdev 0x2a3:0x79145, dev, which is the kernel's to fill in
    ${'00'.repeat(112)}`,
  );
  bench.memory.bytes[SCRATCH + 108] = 0;
  t.strictSame(
    dump(bench.answer(288, 0, (e) => e.statx(FOREVER, SCRATCH)).slice(48, 56)),
    ['ff07000000100000'],
    'statx without it: mask BASIC_STATS',
  );
  t.strictSame(
    dump(bench.answer(288, 0, (e) => e.statx(FOREVER, SCRATCH)).slice(16, 32)),
    ['ffffffffffffffff', '0000000000000000'],
    'for ever',
  );
  t.strictSame(
    dump(bench.answer(288, 0, (e) => e.statx(0, SCRATCH)).slice(128, 144)),
    ['0000000000000000', '0000000000000000'],
    'and no btime',
  );
  check(
    'open with a backing',
    16,
    (e) => e.open(0xfffffffe, 0xa0, 5),
    `20000000 00000000 0102030405060788          # len 32
    feffffff00000000 a0000000 05000000          # fh 2^32 - 2, open_flags PASSTHROUGH NOFLUSH, backing_id 5`,
  );
  check(
    'open with a handle above 2^32',
    16,
    (e) => e.open(2 ** 52 + 9, 2, 0),
    `20000000 00000000 0102030405060788          # len 32
    0900000000001000 02000000 00000000          # fh 2^52 + 9, open_flags KEEP_CACHE, no backing`,
  );
  check(
    'created',
    144,
    (e) => e.created(7, 3, FOREVER, 0, SCRATCH, 9, 0x80, 4),
    `a0000000 00000000 0102030405060788          # len 160
    ${ENTRY}
    0900000000000000 80000000 04000000          # fh 9, open_flags PASSTHROUGH, backing_id 4`,
  );
  check('written', 8, (e) => e.written(0x100000), '18000000 00000000 0102030405060788 00001000 00000000 # len 24, size 1 MiB, padding');
  check('seek', 8, (e) => e.seek(-1, 1), '18000000 00000000 0102030405060788 ffffffff01000000 # len 24, offset 2^33 - 1');
  check('length of an xattr', 8, (e) => e.xattrSize(20), '18000000 00000000 0102030405060788 14000000 00000000 # len 24, size 20, padding');
  const statfs = Uint8Array.from({ length: 80 }, (_, i) => i + 1);
  bench.memory.bytes.set(statfs, SCRATCH + 256);
  t.strictSame(bench.answer(80, 0, (e) => e.statfs(SCRATCH + 256)).slice(16), statfs, 'statfs: 80 bytes as they are');
  t.end();
});

t.test('answers of bytes', (t) => {
  const bench = new Bench();
  const put = (text: string) => (e: Encoder) => {
    bench.memory.bytes.set(Buffer.from(text), e.data);
    e.bytes(text.length);
  };
  t.strictSame(
    dump(bench.answer(Answer.BYTES, 3, put('abc'))),
    dump(hex('13000000 00000000 0102030405060788 616263')),
    'as many as were asked for',
  );
  t.strictSame(dump(bench.answer(Answer.BYTES, 3, put(''))), dump(hex('10000000 00000000 0102030405060788')), 'none');
  t.strictSame(dump(bench.answer(Answer.BYTES, 100, () => undefined)), dump(hex('10000000 00000000 0102030405060788')), 'none, unsaid');
  t.equal(bench.answer(Answer.BYTES, REPLY_SIZE - 16, (e) => e.bytes(REPLY_SIZE - 16)).length, REPLY_SIZE, 'as many as there is room for');
  bench.encoder.begin(REPLY, 1024, Answer.BYTES, 4096);
  t.equal(bench.encoder.capacity, 1008, 'the capacity is the room less the header');
  bench.encoder.begin(REPLY, 1024, Answer.BYTES, 100);
  t.equal(bench.encoder.capacity, 100, 'or what was asked for');

  t.strictSame(
    dump(bench.answer(Answer.IOCTL, 4, put('abcd'))),
    dump(
      hex(`
      24000000 00000000 0102030405060788        # len 36
      00000000 00000000 00000000 00000000       # result 0, flags, in_iovs, out_iovs
      61626364                                  # "abcd"`),
    ),
    'of an ioctl',
  );
  t.strictSame(
    dump(bench.answer(Answer.IOCTL, 0, () => undefined)),
    dump(hex('20000000 00000000 0102030405060788 00000000 00000000 00000000 00000000')),
    'of an ioctl that says nothing',
  );
  bench.encoder.begin(REPLY, 1024, Answer.IOCTL, 4096);
  t.equal(bench.encoder.capacity, 992, 'which has 16 bytes less');
  t.end();
});

t.test('errors', (t) => {
  const bench = new Bench();
  const error = (answer: number, write: (encoder: Encoder) => void, result: number, limit = 100): number => {
    const reply = bench.answer(answer, limit, write, result);
    t.equal(reply.length, 16, 'is a header alone');
    return new DataView(reply.buffer).getInt32(4, true);
  };
  const nothing = (): void => undefined;
  t.strictSame(dump(bench.answer(128, 0, nothing, -2)), dump(hex('10000000 feffffff 0102030405060788')), 'ENOENT, byte by byte');
  t.equal(
    error(128, (e) => e.entry(7, 0, 0, 0, SCRATCH), -13),
    -13,
    'what was written before does not count',
  );
  t.equal(error(0, nothing, -511), -511, 'the greatest error there is');
  t.equal(error(0, nothing, -512), EIO, 'one that the kernel would not take: ERESTARTSYS');
  t.equal(error(0, nothing, 2), EIO, 'a positive one');
  t.equal(error(0, nothing, Number.NaN), EIO, 'none at all');
  t.equal(error(128, nothing, 0), EIO, 'success, but no answer');
  t.equal(
    error(128, (e) => e.attr(0, SCRATCH), 0),
    EIO,
    'success, but the answer of something else',
  );
  t.equal(
    error(Answer.BYTES, (e) => e.bytes(101), 0),
    EIO,
    'more bytes than were asked for',
  );
  t.equal(
    error(Answer.BYTES, (e) => e.bytes(-1), 0),
    EIO,
    'fewer than none',
  );
  t.equal(
    error(Answer.BYTES, (e) => e.xattrSize(5), 0),
    EIO,
    'the length of an xattr whose bytes were asked for',
  );
  t.equal(
    error(8, (e) => e.bytes(8), 0),
    EIO,
    'the bytes of an xattr whose length was asked for',
  );
  t.throws(() => bench.encoder.begin(REPLY, MIN_REPLY - 1, 0, 0), RangeError, 'no answer begins where there is no room for it');
  t.throws(() => bench.encoder.begin(REPLY + 4, REPLY_SIZE, 0, 0), RangeError, 'or where it would not be aligned');
  t.end();
});

t.test('directory records', (t) => {
  const bench = new Bench();
  const name = SCRATCH + 512;
  bench.memory.bytes.set(Buffer.from(`${'n'.repeat(300)}\0`), name);
  t.strictSame(
    dump(
      bench.answer(Answer.BYTES, 4096, (e) => {
        t.ok(e.dirent(1, 2, 3, 4, 8, name, 1));
        t.ok(e.dirent(-1, -1, -1, 0x7fffffff, 4, name, 8));
        t.ok(e.dirent(5, 0, 6, 0, 10, name, 9));
      }),
    ),
    dump(
      hex(`
      78000000 00000000 0102030405060788        # len 120
      0100000002000000 0300000004000000         # ino, off
      01000000 08000000 6e 00000000000000       # namelen 1, DT_REG, "n", padding
      ffffffffffffffff ffffffffffffff7f         # ino 2^64 - 1, off 2^63 - 1
      08000000 04000000 6e6e6e6e6e6e6e6e        # namelen 8, DT_DIR, no padding
      0500000000000000 0600000000000000         # ino, off
      09000000 0a000000 6e6e6e6e6e6e6e6e6e 00000000000000 # namelen 9, DT_LNK`),
    ),
    'READDIR',
  );
  t.strictSame(
    dump(
      bench.answer(Answer.BYTES, 4096, (e) => {
        t.ok(e.direntPlus(7, 3, FOREVER, 0, SCRATCH, 1, 2, 3, 4, 6, name, 3));
        t.ok(e.direntPlus(0, 0, 0, 0, 0, 1, 2, 5, 0, 4, name, 2));
      }),
    ),
    dump(
      hex(`
      50010000 00000000 0102030405060788        # len 336
      ${ENTRY}
      0100000002000000 0300000004000000         # ino, off
      03000000 06000000 6e6e6e 0000000000       # namelen 3, DT_BLK, "nnn", padding
      ${'00'.repeat(128)}                       # nodeid 0: the kernel learns no more than what follows
      0100000002000000 0500000000000000         # ino, off
      02000000 04000000 6e6e 000000000000       # namelen 2, DT_DIR, "nn", padding`),
    ),
    'READDIRPLUS',
  );

  const filled = (limit: number, size: number, plus: boolean): number =>
    bench.answer(Answer.BYTES, limit, (e) => {
      while (plus ? e.direntPlus(7, 3, 0, 0, SCRATCH, 1, 0, 1, 0, 8, name, size) : e.dirent(1, 0, 1, 0, 8, name, size));
    }).length - 16;
  let wrong = '';
  for (let limit = 0; limit < 700; limit++) {
    for (const size of [1, 8, 9, 255]) {
      const dirent = (24 + size + 7) & ~7;
      if (filled(limit, size, false) !== Math.floor(limit / dirent) * dirent) wrong += ` ${limit}/${size}`;
      const plus = (152 + size + 7) & ~7;
      if (filled(limit, size, true) !== Math.floor(limit / plus) * plus) wrong += ` plus ${limit}/${size}`;
    }
  }
  t.equal(wrong, '', 'as many as fit into what was asked for, and never more');
  t.equal(
    bench.answer(Answer.BYTES, 1 << 20, (e) => void e.dirent(1, 0, 1, 0, 8, name, 200), 0, 512).length,
    240,
    'one, where there is room',
  );
  t.end();
});

t.test('an answer that could not be delivered takes its references back', (t) => {
  const bench = new Bench();
  const name = SCRATCH + 512;
  bench.memory.bytes.set(Buffer.from('..x'), name);
  const takenBack = (): number[] => {
    const nodes: number[] = [];
    const operations = { undelivered: (node: number) => void nodes.push(node) } as Operations;
    bench.encoder.undelivered(operations);
    bench.encoder.undelivered(operations);
    return nodes;
  };
  bench.answer(128, 0, (e) => e.entry(7, 0, 0, 0, SCRATCH));
  t.strictSame(takenBack(), [7, 0], 'entry, once; 0: no lookup, but there may be an open');
  bench.answer(144, 0, (e) => e.created(8, 0, 0, 0, SCRATCH, 1, 0, 0));
  t.strictSame(takenBack(), [8, 0], 'created');
  bench.answer(128, 0, (e) => e.negativeEntry(0));
  t.strictSame(takenBack(), [0, 0], 'negative entry: none');
  bench.answer(128, 0, (e) => e.entry(7, 0, 0, 0, SCRATCH), -5);
  t.strictSame(takenBack(), [0, 0], 'an error: none');
  bench.answer(Answer.BYTES, 4096, (e) => {
    e.direntPlus(4, 0, 0, 0, SCRATCH, 1, 0, 1, 0, 4, name, 1);
    e.direntPlus(5, 0, 0, 0, SCRATCH, 1, 0, 1, 0, 4, name, 2);
    e.direntPlus(0xfffffffe, 0, 0, 0, SCRATCH, 1, 0, 1, 0, 8, name, 3);
    e.direntPlus(0, 0, 0, 0, 0, 1, 0, 1, 0, 8, name, 3);
    e.direntPlus(9, 0, 0, 0, SCRATCH, 1, 0, 1, 0, 8, name + 2, 1);
  });
  t.strictSame(takenBack(), [0, 0xfffffffe, 9, 0], 'READDIRPLUS: all but those of "." and ".." and node 0');
  bench.answer(Answer.BYTES, 4096, (e) => void e.dirent(4, 0, 1, 0, 8, name, 3));
  t.strictSame(takenBack(), [0, 0], 'READDIR: none');
  t.end();
});

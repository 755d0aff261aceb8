/** Every request is decoded to its operation; what is malformed is refused and not a byte beyond it looked at. */
import t from 'tap';
import { Opcode } from '../../daemon/protocol/abi';
import { ASIDE, Decoder } from '../../daemon/protocol/decode';
import { Encoder } from '../../daemon/protocol/encode';
import { Kind, SET_ASIDE } from '../../daemon/protocol/operations';
import { makeRows } from '../../daemon/protocol/rows';
import { samples, type Sample } from './requests';
import { hex, Memory, recorder, REPLY, REPLY_SIZE, REQUEST, type Call } from './support';

const EIO = -5;
const ENAMETOOLONG = -36;
const ENOSYS = -38;
const EPROTO = -71;

interface Outcome {
  failure: number;
  length: number;
  error: number | undefined;
  calls: Call[];
}

class Bench {
  readonly decoder: Decoder;
  readonly encoder: Encoder;

  constructor(readonly memory = new Memory()) {
    this.decoder = new Decoder(memory.buffer);
    this.encoder = new Encoder(memory.buffer);
  }

  /** Decodes what lies at REQUEST and dispatches it. */
  serve(length: number, shortSetxattr = false): Outcome {
    const calls: Call[] = [];
    this.decoder.message.extendedSetxattr = !shortSetxattr;
    const failure = this.decoder.decode(REQUEST, length);
    const sent = this.decoder.dispatch(recorder(this.memory, calls), this.encoder, REPLY, REPLY_SIZE);
    const error = sent > 0 ? new DataView(this.memory.buffer).getInt32(REPLY + 4, true) : undefined;
    return { failure, length: sent, error, calls };
  }

  sample(sample: Sample, length = sample.message.length, fit = false): Outcome {
    this.memory.place(sample.message, length, fit);
    return this.serve(length, sample.shortSetxattr);
  }
}

/** A request with the header of all samples. */
function request(opcode: number, body: Uint8Array): Uint8Array {
  const message = new Uint8Array(40 + body.length);
  const view = new DataView(message.buffer);
  view.setUint32(0, message.length, true);
  view.setUint32(4, opcode, true);
  view.setUint32(8, 2, true);
  view.setUint32(16, 7, true);
  message.set(body, 40);
  return message;
}

const ascii = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

function join(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

t.test('each request is decoded to its operation', (t) => {
  for (const sample of samples) {
    const bench = new Bench();
    const { failure, length, calls } = bench.sample(sample);
    t.equal(failure, sample.failure ?? 0, `${sample.name}: decoded`);
    t.strictSame(calls, sample.calls, `${sample.name}: its operation`);
    t.equal(bench.decoder.answered, !sample.unanswered, `${sample.name}: is it answered`);
    t.equal(length > 0, !sample.unanswered, `${sample.name}: is there an answer`);
  }
  t.end();
});

t.test('there is a sample of every opcode', (t) => {
  const memory = new Memory();
  const seen = new Set(samples.map((sample) => new DataView(sample.message.buffer).getUint32(4, true)));
  const decoder = new Decoder(memory.buffer);
  const rows = makeRows(decoder.message, decoder.init).filter((row) => row.opcode !== 0);
  t.equal(rows.length, 51, 'rows');
  for (const row of rows) t.ok(seen.has(row.opcode), row.name);
  t.end();
});

t.test('a message is refused at every length that is not its own', (t) => {
  for (const sample of samples) {
    const bench = new Bench();
    let wrong = '';
    for (let length = 0; length < sample.message.length; length++) {
      const { failure, calls } = bench.sample(sample, length);
      if (failure !== EPROTO || calls.length > 0 || !bench.memory.untouched(length)) wrong += ` ${length}`;
    }
    t.equal(wrong, '', sample.name);
    bench.memory.place(sample.message);
    t.equal(bench.serve(sample.message.length + 8).failure, EPROTO, `${sample.name}: longer than it says`);
  }
  t.end();
});

t.test('a message that ends at any byte, and says so, is refused, or decoded as the shorter form that it is', (t) => {
  for (const sample of samples) {
    const low = new Bench(new Memory(0x00));
    const high = new Bench(new Memory(0x41));
    const accepted: number[] = [];
    let wrong = '';
    for (let length = 0; length < sample.message.length; length++) {
      const outcome = low.sample(sample, length, true);
      if (outcome.failure === 0) accepted.push(length);
      // What follows a message must make no difference.
      if (JSON.stringify(outcome) !== JSON.stringify(high.sample(sample, length, true))) wrong += ` ${length}`;
      if (!low.memory.untouched(length) || (outcome.failure !== 0 && outcome.calls.length > 0)) wrong += ` ${length}`;
    }
    t.equal(wrong, '', `${sample.name}: reads nothing beyond`);
    const unexpected = accepted.filter((length) => sample.shorter?.(length) !== true);
    t.strictSame(unexpected, [], `${sample.name}: accepts nothing shorter`);
  }
  t.end();
});

t.test('bytes that a newer kernel may append are ignored', (t) => {
  for (const sample of samples) {
    const bench = new Bench();
    if ((sample.message[36] | sample.message[37]) !== 0) continue; // extensions are at the end
    const longer = join(sample.message, ascii('\x01\x02\x03\x04\x05\x06\x07\x08'));
    bench.memory.place(longer, longer.length, true);
    const { failure, calls } = bench.serve(longer.length, sample.shortSetxattr);
    t.equal(failure, sample.failure ?? 0, `${sample.name}: decoded`);
    t.strictSame(calls, sample.calls, `${sample.name}: its operation`);
  }
  t.end();
});

t.test('INIT in its three lengths', (t) => {
  const sample = samples.find((one) => one.name === 'INIT')!;
  const bench = new Bench();
  const expected = { major: 7, minor: 45, maxReadahead: 0x20000, flags: 0x73fffffb, flags2: 0x5fd };
  bench.sample(sample);
  t.match(bench.decoder.init, expected, '64 bytes');
  bench.sample(sample, 56, true);
  t.match(bench.decoder.init, { ...expected, flags2: 0 }, '16 bytes: no flags2');
  bench.sample(sample, 48, true);
  t.match(bench.decoder.init, { major: 7, minor: 45, maxReadahead: 0, flags: 0, flags2: 0 }, '8 bytes: the version');
  t.equal(bench.sample(sample).error, ENOSYS, 'one that is dispatched is refused');
  t.end();
});

t.test('names', (t) => {
  const bench = new Bench();
  const lookup = (name: Uint8Array): Outcome => {
    const message = request(Opcode.LOOKUP, name);
    bench.memory.place(message);
    return bench.serve(message.length);
  };
  const named = (text: string): Outcome => lookup(ascii(text));
  t.equal(named(`${'n'.repeat(255)}\0`).failure, 0, '255 bytes');
  t.equal(named(`${'n'.repeat(256)}\0`).failure, ENAMETOOLONG, '256 bytes');
  t.equal(named(`${'n'.repeat(1024)}\0`).failure, ENAMETOOLONG, '1,024 bytes, as long as the kernel sends them');
  t.equal(named('n'.repeat(300)).failure, EPROTO, 'too long, and without an end');
  t.equal(named('name').failure, EPROTO, 'without an end');
  t.equal(named('\0').failure, EPROTO, 'empty');
  t.equal(named('').failure, EPROTO, 'absent');
  t.equal(named('a/b\0').failure, EPROTO, 'with a slash');
  t.equal(named('/\0').failure, EPROTO, 'a slash');
  t.equal(named('...\0').failure, 0, 'three dots');
  t.equal(named('.a\0').failure, 0, 'a dot and a letter');
  t.equal(named('..a\0').failure, 0, 'two dots and a letter');
  t.equal(named(' \\"\n\x7f\0').failure, 0, 'whatever else');
  t.end();
});

t.test('targets, and names and values of xattrs', (t) => {
  const bench = new Bench(new Memory());
  const send = (opcode: number, ...body: Uint8Array[]): Outcome => {
    const message = request(opcode, join(...body));
    bench.memory.place(message);
    return bench.serve(message.length);
  };
  t.equal(send(Opcode.SYMLINK, ascii(`n\0${'t'.repeat(4095)}\0`)).failure, 0, 'target of 4,095 bytes');
  t.equal(send(Opcode.SYMLINK, ascii(`n\0${'t'.repeat(4096)}\0`)).failure, ENAMETOOLONG, 'target of 4,096 bytes');
  t.equal(send(Opcode.SYMLINK, ascii('n\0\0')).failure, EPROTO, 'empty target');
  t.equal(send(Opcode.SYMLINK, ascii('n\0')).failure, EPROTO, 'no target');
  t.equal(send(Opcode.SYMLINK, ascii('a/b\0t\0')).failure, EPROTO, 'slash in the name of a link');

  const size = hex('00000000 00000000');
  t.equal(send(Opcode.GETXATTR, size, ascii(`${'x'.repeat(255)}\0`)).failure, 0, 'xattr name of 255 bytes');
  t.equal(send(Opcode.GETXATTR, size, ascii(`${'x'.repeat(256)}\0`)).failure, -34, 'xattr name of 256 bytes');
  t.equal(send(Opcode.GETXATTR, size, ascii('\0')).failure, EPROTO, 'empty xattr name');

  const setxattr = (length: string, value: Uint8Array): number =>
    send(Opcode.SETXATTR, hex(`${length} 00000000 00000000 00000000`), ascii('user.a\0'), value).failure;
  t.equal(setxattr('00000000', ascii('')), 0, 'empty value');
  t.equal(setxattr('03000000', ascii('ab')), EPROTO, 'value beyond the message');
  t.equal(setxattr('ffffffff', ascii('ab')), -7, 'value of 2^32 - 1 bytes');
  t.equal(setxattr('01000100', ascii('ab')), -7, 'value of 65,537 bytes');
  t.equal(setxattr('00000100', ascii('ab')), EPROTO, 'value of 65,536 bytes, beyond the message');
  t.end();
});

t.test('sizes that a message does not bear out', (t) => {
  const bench = new Bench();
  const changed = (name: string, at: number, value: number): number => {
    const sample = samples.find((one) => one.name === name)!;
    const message = Uint8Array.from(sample.message);
    new DataView(message.buffer).setUint32(at, value, true);
    bench.memory.place(message);
    return bench.serve(message.length).failure;
  };
  t.equal(changed('WRITE', 56, 4), EPROTO, 'WRITE of a byte more than there is');
  t.equal(changed('WRITE', 56, 0xffffffff), EPROTO, 'WRITE of 2^32 - 1 bytes');
  t.equal(changed('WRITE', 56, 2), 0, 'WRITE of a byte less');
  t.equal(changed('IOCTL', 64, 5), EPROTO, 'IOCTL with a byte more than there is');
  t.equal(changed('IOCTL', 64, 0xffffffff), EPROTO, 'IOCTL with 2^32 - 1 bytes');
  t.equal(changed('BATCH_FORGET', 40, 3), EPROTO, 'BATCH_FORGET of one more than there are');
  t.equal(changed('BATCH_FORGET', 40, 0x10000000), EPROTO, 'BATCH_FORGET of 2^28, which is 2^32 bytes');
  t.equal(changed('BATCH_FORGET', 40, 0xffffffff), EPROTO, 'BATCH_FORGET of 2^32 - 1');
  t.equal(changed('CREATE', 36, 1), EPROTO, 'extensions that are not there');
  t.equal(changed('CREATE', 36, 0xffff), EPROTO, 'extensions longer than the message');
  t.equal(changed('CREATE with a supplementary group', 58, 24), EPROTO, 'an extension longer than all of them');
  t.equal(changed('CREATE with a supplementary group', 58, 0), EPROTO, 'an extension of no size');
  t.equal(changed('CREATE with a supplementary group', 58, 8), EPROTO, 'a list of groups without a count');
  t.equal(changed('CREATE with a supplementary group', 66, 2), EPROTO, 'more groups than the extension holds');
  t.equal(changed('CREATE with a supplementary group', 66, 0x40000000), EPROTO, '2^30 groups');
  t.equal(changed('CREATE with a supplementary group', 66, 0), 0, 'a list of no group');
  t.end();
});

t.test('what is answered to a message that cannot be decoded', (t) => {
  const bench = new Bench();
  const sample = samples[0];
  t.equal(bench.sample(sample, 43, true).error, EIO, 'EIO to a malformed one');
  t.equal(bench.sample(sample, 43).error, EIO, 'EIO to one of another length than it says');
  t.equal(bench.sample(sample, 39, true).length, 0, 'nothing without a header');
  t.equal(bench.sample(sample, 0).length, 0, 'nothing to nothing');
  const forget = samples.find((one) => one.name === 'FORGET')!;
  t.equal(bench.sample(forget, 47, true).length, 0, 'nothing to a FORGET, even a malformed one');
  const place = (offset: number, length: number): number => bench.decoder.decode(offset, length);
  bench.memory.place(sample.message);
  t.equal(place(REQUEST + 4, 44), EPROTO, 'not at a multiple of 8');
  t.equal(place(-8, 44), EPROTO, 'before the arena');
  t.equal(place(0x10000 - 40, 44), EPROTO, 'beyond the arena');
  t.equal(place(0x20000, 44), EPROTO, 'outside of the arena');
  t.equal(place(REQUEST, -1), EPROTO, 'of a negative length, as a failed recv returns it');
  t.end();
});

t.test('the header', (t) => {
  const bench = new Bench();
  const message = hex(`
    28000000 11000000 efcdab8967452381          # len 40, STATFS, unique 0x81234567_89abcdef: sent again
    0500000001000000 ffffffff feffffff          # node 2^32 + 5: not ours, uid 2^32 - 1, gid 2^32 - 2
    ffffffff 0000 ffff                          # pid 2^32 - 1, no extensions, padding that is not zero`);
  bench.memory.place(message);
  const { calls, error } = bench.serve(message.length);
  t.strictSame(
    calls,
    [{ method: 'statfs', node: 0, uid: 0xffffffff, gid: 0xfffffffe, pid: 0xffffffff }],
    'unsigned, and node 0 for one not ours',
  );
  t.ok(bench.decoder.resent, 'bit 63: a request that was sent before');
  t.strictSame(bench.memory.reply(16).slice(8), message.slice(8, 16), 'is answered with it');
  t.equal(error, EIO, 'EIO when a handler claims success and answered nothing');
  bench.sample(samples[0]);
  t.notOk(bench.decoder.resent, 'not in another');
  t.end();
});

t.test('an operation is set aside, dispatched again, or failed', (t) => {
  const bench = new Bench();
  const { memory, decoder, encoder } = bench;
  memory.place(samples[0].message);
  decoder.decode(REQUEST, samples[0].message.length);
  const aside = recorder(memory, [], () => SET_ASIDE);
  t.equal(decoder.dispatch(aside, encoder, REPLY, REPLY_SIZE), ASIDE, 'set aside');
  const calls: Call[] = [];
  decoder.decode(REQUEST, samples[0].message.length);
  const length = decoder.dispatch(
    recorder(memory, calls, () => -13),
    encoder,
    REPLY,
    REPLY_SIZE,
  );
  t.equal(length, 16, 'answered later');
  t.strictSame(calls, samples[0].calls, 'with the same operation');
  t.strictSame(memory.reply(16), hex('10000000 f3ffffff 0200000000000000'), 'EACCES');

  const throwing = recorder(memory, [], () => {
    throw new Error('of a handler');
  });
  t.throws(() => decoder.dispatch(throwing, encoder, REPLY, REPLY_SIZE), /of a handler/, 'what a handler throws goes through');
  t.equal(decoder.fail(encoder, REPLY, REPLY_SIZE, EIO), 16, 'and can be answered');
  t.strictSame(memory.reply(16), hex('10000000 fbffffff 0200000000000000'), 'with EIO');
  const forget = samples.find((one) => one.name === 'FORGET')!;
  memory.place(forget.message);
  decoder.decode(REQUEST, forget.message.length);
  t.equal(decoder.fail(encoder, REPLY, REPLY_SIZE, EIO), 0, 'but not when nobody waits for it');
  t.end();
});

/** docs/api.md says what each kind is. */
const KINDS: Readonly<Record<string, Kind>> = {
  ...of(Kind.LOOKUP, 'LOOKUP'),
  ...of(Kind.ATTRIBUTES, 'GETATTR READLINK STATFS GETXATTR LISTXATTR ACCESS STATX'),
  ...of(Kind.LIST, 'OPENDIR READDIR RELEASEDIR READDIRPLUS'),
  ...of(Kind.OPEN, 'OPEN RELEASE FLUSH'),
  ...of(Kind.READ, 'READ LSEEK'),
  ...of(Kind.WRITE, 'WRITE FSYNC FSYNCDIR SYNCFS FALLOCATE COPY_FILE_RANGE COPY_FILE_RANGE_64'),
  ...of(Kind.CHANGE, 'SETATTR SYMLINK MKNOD MKDIR UNLINK RMDIR RENAME LINK SETXATTR REMOVEXATTR CREATE RENAME2 TMPFILE'),
};

function of(kind: Kind, names: string): Record<string, Kind> {
  return Object.fromEntries(names.split(' ').map((name) => [name, kind]));
}

t.test('statistics have every operation under its kind', (t) => {
  const { decoder } = new Bench();
  const rows = makeRows(decoder.message, decoder.init);
  for (const { name, kind } of rows) t.equal(kind, KINDS[name] ?? Kind.OTHER, name);
  for (const name of Object.keys(KINDS))
    t.ok(
      rows.some((row) => row.name === name),
      name,
    );
  t.end();
});

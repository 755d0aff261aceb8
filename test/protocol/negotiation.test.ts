/** INIT with kernels from 7.31 on: what is offered is answered with what we want of it, and the capabilities say what came of it. */
import t from 'tap';
import { InitFlag, InitFlag2 } from '../../daemon/protocol/abi';
import { Decoder } from '../../daemon/protocol/decode';
import { Encoder } from '../../daemon/protocol/encode';
import {
  DEFAULT_WISHES,
  InitRequest,
  negotiate,
  type Capabilities,
  type Negotiation,
  type Wishes,
} from '../../daemon/protocol/negotiation';
import { dump, hex, Memory, REPLY, REPLY_SIZE, REQUEST } from './support';

const below = (bit: number): number => 2 ** bit - 1;
const RESERVED = 1 << 2; // FILE_OPS is offered by no kernel

/** What each kernel offers: all bits of its version, as Linux 6.18 was seen to do. */
const KERNELS = {
  '7.31': { minor: 31, flags: below(27) & ~RESERVED & ~InitFlag.MAP_ALIGNMENT, flags2: 0 },
  '7.35': { minor: 35, flags: below(30) & ~RESERVED & ~InitFlag.MAP_ALIGNMENT, flags2: 0 },
  '7.38': { minor: 38, flags: below(31) & ~RESERVED & ~InitFlag.MAP_ALIGNMENT, flags2: below(4) },
  '7.40': { minor: 40, flags: below(31) & ~RESERVED & ~InitFlag.MAP_ALIGNMENT, flags2: below(8) },
  '7.45': { minor: 45, flags: 0x73fffffb, flags2: 0x5fd },
};

function offer(kernel: keyof typeof KERNELS, change: Partial<InitRequest> = {}): InitRequest {
  return Object.assign(new InitRequest(), { major: 7, maxReadahead: 131072, ...KERNELS[kernel] }, change);
}

function agreed(negotiation: Negotiation): Extract<Negotiation, { outcome: 'agreed' }> {
  if (negotiation.outcome !== 'agreed') throw new Error(negotiation.outcome);
  return negotiation;
}

const wish = (wishes: Partial<Wishes>): Wishes => ({ ...DEFAULT_WISHES, ...wishes });

const BASE: Capabilities = {
  minor: 31,
  requestBytes: 80 + 1048576,
  maxWrite: 1048576,
  canNotify: true,
  readsDirectoriesWithAttributes: true,
  hasParallelDirops: true,
  hasPosixAcl: true,
  cachesSymlinks: true,
  cachesDirectories: true,
  canSkipOpendir: true,
  keepsPagesUntilInvalidated: true,
  hasHandleKillprivV2: false,
  hasSetxattrExt: false,
  canSkipFlush: false,
  hasTmpfile: false,
  hasSupplementaryGroup: false,
  canExpireEntries: false,
  hasParallelDirectWrites: false,
  hasStatx: false,
  canMapDirectIo: false,
  canPassthrough: false,
  canResend: false,
  hasIoUring: false,
  ringPayload: 0,
  canExpireAllEntries: false,
  hasWideCopyFileRange: false,
};
const AT_35 = { ...BASE, minor: 35, hasHandleKillprivV2: true, hasSetxattrExt: true, canSkipFlush: true };
const AT_38 = { ...AT_35, minor: 38, hasTmpfile: true, hasSupplementaryGroup: true, canExpireEntries: true, hasParallelDirectWrites: true };
const AT_40 = { ...AT_38, minor: 40, hasStatx: true, canMapDirectIo: true, canPassthrough: true, canResend: true };
const AT_45 = { ...AT_40, minor: 45, canExpireAllEntries: true, hasWideCopyFileRange: true };

t.test('capabilities by kernel', (t) => {
  const of = (kernel: keyof typeof KERNELS): Capabilities => agreed(negotiate(offer(kernel))).capabilities;
  t.strictSame(of('7.31'), BASE, '7.31, Linux 5.4');
  t.strictSame(of('7.35'), AT_35, '7.35, Linux 5.16');
  t.strictSame(of('7.38'), AT_38, '7.38, Linux 6.2');
  t.strictSame(of('7.40'), AT_40, '7.40, Linux 6.9');
  t.strictSame(of('7.45'), AT_45, '7.45, Linux 6.18');
  t.equal(agreed(negotiate(offer('7.45', { minor: 60 }))).reply.minor, 45, 'a later one is answered with our minor');
  t.equal(agreed(negotiate(offer('7.31'))).reply.minor, 31, 'an older one with its own');
  t.end();
});

t.test('what we never ask for, and only ask for when it is offered', (t) => {
  const never =
    InitFlag.POSIX_LOCKS |
    InitFlag.FLOCK_LOCKS |
    InitFlag.WRITEBACK_CACHE |
    InitFlag.NO_OPEN_SUPPORT |
    InitFlag.AUTO_INVAL_DATA |
    InitFlag.SPLICE_WRITE |
    InitFlag.SPLICE_MOVE |
    InitFlag.SPLICE_READ |
    InitFlag.HANDLE_KILLPRIV |
    InitFlag.SUBMOUNTS |
    InitFlag.MAP_ALIGNMENT |
    InitFlag.INIT_RESERVED;
  const never2 =
    InitFlag2.SECURITY_CTX |
    InitFlag2.HAS_INODE_DAX |
    InitFlag2.NO_EXPORT_SUPPORT |
    InitFlag2.ALLOW_IDMAP |
    InitFlag2.OVER_IO_URING |
    InitFlag2.REQUEST_TIMEOUT;
  for (const kernel of Object.keys(KERNELS) as (keyof typeof KERNELS)[]) {
    const { reply } = agreed(negotiate(offer(kernel)));
    t.equal(reply.flags & never, 0, `${kernel}: none that we do not want`);
    t.equal(reply.flags2 & never2, 0, `${kernel}: nor in flags2`);
    t.equal(reply.flags & ~KERNELS[kernel].flags, 0, `${kernel}: none that is not offered`);
    t.equal(reply.flags2 & ~KERNELS[kernel].flags2, 0, `${kernel}: nor in flags2`);
  }
  const all = agreed(negotiate(offer('7.45', { flags: -1, flags2: -1 })));
  t.equal((all.reply.flags & never) | (all.reply.flags2 & never2), 0, 'not even of a kernel that offers all there is');
  const none = agreed(negotiate(offer('7.45', { flags: 0, flags2: -1 })));
  t.equal(none.reply.flags | none.reply.flags2, 0, 'nothing of one that offers nothing, and flags2 only with INIT_EXT');
  t.equal(none.reply.maxWrite, 131072, 'which then has requests of 128 KiB');
  t.equal(none.reply.maxPages, 0, 'and no say in it');
  t.notOk(none.capabilities.canPassthrough || none.capabilities.canResend, 'and no capability that hangs on flags2');
  t.end();
});

t.test('wishes', (t) => {
  const flags = (wishes: Partial<Wishes>): number => agreed(negotiate(offer('7.45'), wish(wishes))).reply.flags;
  const plus = InitFlag.DO_READDIRPLUS | InitFlag.READDIRPLUS_AUTO;
  t.equal(flags({}) & plus, plus, 'READDIRPLUS when it pays');
  t.equal(flags({ readdirplus: 'always' }) & plus, InitFlag.DO_READDIRPLUS, 'always');
  t.equal(flags({ readdirplus: 'never' }) & plus, 0, 'never');
  t.equal(flags({ posixAcl: false }) & InitFlag.POSIX_ACL, 0, 'noacl');
  t.equal(agreed(negotiate(offer('7.45'), wish({ passthrough: false }))).reply.maxStackDepth, 0, 'no stacking without passthrough');
  t.equal(agreed(negotiate(offer('7.45'))).reply.maxStackDepth, 1, 'passthrough at depth 1');
  t.equal(agreed(negotiate(offer('7.45'), wish({ maxStackDepth: 2 }))).reply.maxStackDepth, 2, 'passthrough at depth 2');
  t.equal(agreed(negotiate(offer('7.38'), wish({ maxStackDepth: 2 }))).reply.maxStackDepth, 0, 'of a kernel that has none: none');
  t.notOk(agreed(negotiate(offer('7.45'), wish({ passthrough: false }))).capabilities.canPassthrough, 'passthrough=never');
  t.ok(
    agreed(negotiate(offer('7.45', { flags2: 0x7fd }), wish({ ioUring: true }))).capabilities.hasIoUring,
    'io_uring where it is offered',
  );
  t.notOk(agreed(negotiate(offer('7.45'), wish({ ioUring: true }))).capabilities.hasIoUring, 'and only there');
  const ring = agreed(negotiate(offer('7.45', { flags2: 0x7fd }), wish({ ioUring: true })));
  t.match(
    ring,
    { reply: { maxPages: 32, maxWrite: 131072 }, capabilities: { ringPayload: 131072 } },
    'with buffers for each entry, small ones',
  );
  const least = wish({ ioUring: true, ringPages: 1 });
  t.equal(
    agreed(negotiate(offer('7.45', { flags2: 0x7fd }), least)).capabilities.ringPayload,
    8192,
    'and no smaller than the kernel wants',
  );
  t.equal(agreed(negotiate(offer('7.45'), wish({ ioUring: true }))).reply.maxPages, 256, 'without it, requests are large');
  t.equal(agreed(negotiate(offer('7.45'), wish({ maxPages: 16, pageSize: 65536 }))).reply.maxWrite, 1048576, 'pages of 64 KiB');
  t.equal(agreed(negotiate(offer('7.45'), wish({ maxPages: 1000 }))).reply.maxPages, 256, 'no more pages than there are');
  t.end();
});

t.test('versions that we do not speak', (t) => {
  const refused = (change: Partial<InitRequest>): string => {
    const negotiation = negotiate(offer('7.31', change));
    return negotiation.outcome === 'refused' ? negotiation.reason : negotiation.outcome;
  };
  t.equal(refused({ minor: 30 }), 'the kernel speaks FUSE 7.30; plyfs needs 7.31 or newer (Linux 5.4)', '7.30');
  t.equal(refused({ minor: 0 }), 'the kernel speaks FUSE 7.0; plyfs needs 7.31 or newer (Linux 5.4)', '7.0');
  t.equal(refused({ major: 6, minor: 99 }), 'the kernel speaks FUSE 6.99; plyfs needs 7.31 or newer (Linux 5.4)', '6.99');
  const again = negotiate(offer('7.45', { major: 8, minor: 0 }));
  t.match(again, { outcome: 'again', reply: { major: 7, minor: 45 } }, '8.0 is told our version, and will ask again');
  t.end();
});

/** From the bytes of INIT to those of its answer. */
function exchange(message: Uint8Array, wishes?: Wishes): { reply: string[]; decoder: Decoder } {
  const memory = new Memory();
  const decoder = new Decoder(memory.buffer);
  const encoder = new Encoder(memory.buffer);
  memory.place(message);
  if (decoder.decode(REQUEST, message.length) !== 0) throw new Error('INIT was not decoded');
  const length = decoder.answerInit(negotiate(decoder.init, wishes), encoder, REPLY, REPLY_SIZE);
  return { reply: dump(memory.reply(length)), decoder };
}

const HEADER = '0100000000000000 0000000000000000 00000000 00000000 00000000 00000000'; // unique 1, no node, nobody

t.test('INIT with Linux 6.18, byte by byte', (t) => {
  const { reply, decoder } = exchange(
    hex(`
    68000000 1a000000 ${HEADER}
    07000000 2d000000 00000200 fbffff73         # 7.45, max_readahead 128 KiB, flags
    fd050000 ${'00'.repeat(44)}                 # flags2, unused`),
  );
  t.strictSame(
    reply,
    dump(
      hex(`
      50000000 00000000 0100000000000000        # len 80, error 0, unique 1
      07000000 2d000000 00000200 79e0d473       # 7.45, max_readahead 128 KiB, flags, see below
      4000 3000 00001000                        # max_background 64, congestion_threshold 48, max_write 1 MiB
      01000000 0001 0000                        # time_gran 1, max_pages 256, map_alignment 0
      bc000000 01000000                         # flags2: CREATE_SUPP_GROUP EXPIRE_ONLY ALLOW_MMAP PASSTHROUGH RESEND, max_stack_depth 1
      0000 ${'00'.repeat(22)}                   # request_timeout 0, unused`).map((byte) => byte),
    ),
    'the answer',
  );
  t.equal(decoder.message.extendedSetxattr, true, 'and SETXATTR will have 16 bytes');
  t.end();
});

t.test('INIT with Linux 5.16, whose body has 16 bytes', (t) => {
  const { reply, decoder } = exchange(
    hex(`
    38000000 1a000000 ${HEADER}
    07000000 23000000 00000200 fbffff33         # 7.35, max_readahead 128 KiB, flags`),
  );
  t.equal(reply.length, 10, 'is answered with 64 bytes');
  t.equal(reply[2], '0700000023000000', 'major 7, minor 35');
  t.equal(reply[3], '0000020079e0d433', 'max_readahead, flags');
  t.equal(reply[6], '0000000000000000', 'no flags2, no stacking');
  t.equal(decoder.message.extendedSetxattr, true, 'SETXATTR has 16 bytes');
  t.end();
});

t.test('INIT with Linux 5.4', (t) => {
  const { reply, decoder } = exchange(
    hex(`
    38000000 1a000000 ${HEADER}
    07000000 1f000000 00000200 fbffff03         # 7.31, max_readahead 128 KiB, flags`),
  );
  t.equal(reply[2], '070000001f000000', 'major 7, minor 31');
  t.equal(reply[3], '0000020079e0d403', 'max_readahead, flags');
  t.equal(decoder.message.extendedSetxattr, false, 'SETXATTR has 8 bytes');
  t.end();
});

t.test('INIT that is refused is answered with an error', (t) => {
  const { reply } = exchange(
    hex(`
    38000000 1a000000 ${HEADER}
    07000000 1a000000 00000200 fbff3f00         # 7.26`),
  );
  t.strictSame(reply, dump(hex('10000000 b9ffffff 0100000000000000')), 'EPROTO');
  t.end();
});

/**
 * INIT: what the kernel offers, what we want of it, and what comes of that. Everything else asks the named capabilities, never a bit or a
 * version. A kernel that lacks something makes a mount slower or less exact, and never breaks it; fuse-kernel-facts.md says what each gives.
 */
import { InitFlag, InitFlag2, Version } from './abi';
import { InHeader, WriteIn } from './layout';

/** The oldest protocol that we serve: Linux 5.4. */
export const MIN_MINOR = 31;

/** The body of INIT. */
export class InitRequest {
  major = 0;
  minor = 0;
  maxReadahead = 0;
  flags = 0;
  /** 0 from a kernel older than 7.36 */
  flags2 = 0;
}

/** The fields of struct fuse_init_out. */
export interface InitReply {
  major: number;
  minor: number;
  maxReadahead: number;
  flags: number;
  flags2: number;
  maxBackground: number;
  congestionThreshold: number;
  maxWrite: number;
  timeGranularity: number;
  maxPages: number;
  maxStackDepth: number;
}

/** What a mount asks for. */
export interface Wishes {
  /** Let the kernel read and write backing files itself. */
  passthrough: boolean;
  /** With passthrough, how deep file systems may be stacked: 1, and our mount may be a lower of a kernel overlay; 2, and a backing may lie on one. */
  maxStackDepth: 1 | 2;
  /** POSIX ACLs; false for the mount option noacl. */
  posixAcl: boolean;
  /** Directories are read with attributes: always, when the kernel thinks that it pays, or never. */
  readdirplus: 'always' | 'auto' | 'never';
  ioUring: boolean;
  /** What maxPages is at most with io_uring: each entry of its queues has a buffer of that size. */
  ringPages: number;
  /** Greatest request for reading and writing in pages of pageSize bytes, at most 256. */
  maxPages: number;
  pageSize: number;
  maxBackground: number;
  congestionThreshold: number;
}

export const DEFAULT_WISHES: Readonly<Wishes> = {
  passthrough: true,
  maxStackDepth: 1,
  posixAcl: true,
  readdirplus: 'auto',
  ioUring: false,
  ringPages: 32,
  maxPages: 256,
  pageSize: 4096,
  maxBackground: 64,
  congestionThreshold: 48,
};

/** What the kernel of a mount does, each with the protocol version that it came in. */
export interface Capabilities {
  minor: number;
  /** bytes that a buffer for requests must have */
  requestBytes: number;
  /** greatest WRITE, and greatest READ and READDIR */
  maxWrite: number;

  /** 7.12: names and nodes can be invalidated; 7.15: NOTIFY_STORE; 7.18: NOTIFY_DELETE. Always, from 7.31 on. */
  canNotify: boolean;
  /** 7.21 */
  readsDirectoriesWithAttributes: boolean;
  /** 7.25: lookups and readdirs of one directory come in parallel */
  hasParallelDirops: boolean;
  /** 7.26 */
  hasPosixAcl: boolean;
  /** 7.28 */
  cachesSymlinks: boolean;
  cachesDirectories: boolean;
  /** 7.29: OPENDIR may be answered ENOSYS */
  canSkipOpendir: boolean;
  /** 7.30: cached pages go only when we say so, or at truncation */
  keepsPagesUntilInvalidated: boolean;
  /** 7.33: setuid and setgid are ours to strip, and the kernel asks for no security.capability before each write */
  hasHandleKillprivV2: boolean;
  /** 7.33: SETXATTR has 16 bytes before the name */
  hasSetxattrExt: boolean;
  /** 7.35: FOPEN_NOFLUSH */
  canSkipFlush: boolean;
  /** 7.37: TMPFILE is asked */
  hasTmpfile: boolean;
  /** 7.38: what is made comes with the supplementary group that is the parent's */
  hasSupplementaryGroup: boolean;
  /** 7.38: InvalEntryFlag.EXPIRE_ONLY */
  canExpireEntries: boolean;
  /** 7.38: FOPEN_PARALLEL_DIRECT_WRITES */
  hasParallelDirectWrites: boolean;
  /** 7.39: STATX is asked: birth times can be told */
  hasStatx: boolean;
  /** 7.39: shared mappings of FOPEN_DIRECT_IO files */
  canMapDirectIo: boolean;
  /** 7.40: FOPEN_PASSTHROUGH; the right to it shows at the first BACKING_OPEN */
  canPassthrough: boolean;
  /** 7.40: NOTIFY_RESEND */
  canResend: boolean;
  /** 7.42 */
  hasIoUring: boolean;
  /** with it (else 0), bytes of the payload of an entry: all but the header and the fixed structure of a request, or all but the header of an answer */
  ringPayload: number;
  /** 7.44: NOTIFY_INC_EPOCH */
  canExpireAllEntries: boolean;
  /** 7.45: COPY_FILE_RANGE_64 is asked */
  hasWideCopyFileRange: boolean;
}

export type Negotiation =
  | { outcome: 'agreed'; reply: InitReply; capabilities: Capabilities }
  /** the kernel speaks a later major version: it will send a second INIT in ours */
  | { outcome: 'again'; reply: InitReply }
  | { outcome: 'refused'; reason: string };

/** What we want whenever it is offered. What is not here and not in wanted() is not wanted: fuse-kernel-facts.md, design.md section 4. */
const ALWAYS =
  InitFlag.ASYNC_READ |
  InitFlag.ATOMIC_O_TRUNC |
  InitFlag.EXPORT_SUPPORT |
  InitFlag.BIG_WRITES |
  InitFlag.DONT_MASK |
  InitFlag.ASYNC_DIO |
  InitFlag.PARALLEL_DIROPS |
  InitFlag.MAX_PAGES |
  InitFlag.CACHE_SYMLINKS |
  InitFlag.NO_OPENDIR_SUPPORT |
  InitFlag.EXPLICIT_INVAL_DATA |
  InitFlag.HANDLE_KILLPRIV_V2 |
  InitFlag.SETXATTR_EXT |
  InitFlag.INIT_EXT;

const ALWAYS2 = InitFlag2.CREATE_SUPP_GROUP | InitFlag2.HAS_EXPIRE_ONLY | InitFlag2.DIRECT_IO_ALLOW_MMAP | InitFlag2.HAS_RESEND;

/** Pages of a request where MAX_PAGES is not offered (FUSE_DEFAULT_MAX_PAGES_PER_REQ), and the most there are without a sysctl. */
const enum Pages {
  DEFAULT = 32,
  MOST = 256,
}

/** FUSE_MIN_READ_BUFFER; max_write covers max_pages (replyTo), which fuse_uring_create looks at too */
const MIN_READ_BUFFER = 8192;

function wanted(wishes: Wishes): number {
  let flags: number = ALWAYS;
  if (wishes.posixAcl) flags |= InitFlag.POSIX_ACL;
  if (wishes.readdirplus !== 'never') flags |= InitFlag.DO_READDIRPLUS;
  if (wishes.readdirplus === 'auto') flags |= InitFlag.READDIRPLUS_AUTO;
  return flags;
}

function wanted2(wishes: Wishes): number {
  let flags: number = ALWAYS2;
  if (wishes.passthrough) flags |= InitFlag2.PASSTHROUGH;
  if (wishes.ioUring) flags |= InitFlag2.OVER_IO_URING;
  return flags;
}

/** What to answer an INIT with. The Decoder's answerInit() sends it. */
export function negotiate(offer: InitRequest, wishes: Wishes = DEFAULT_WISHES): Negotiation {
  if (offer.major < Version.KERNEL_VERSION || (offer.major === Version.KERNEL_VERSION && offer.minor < MIN_MINOR)) {
    const theirs = `${offer.major}.${offer.minor}`;
    return {
      outcome: 'refused',
      reason: `the kernel speaks FUSE ${theirs}; plyfs needs ${Version.KERNEL_VERSION}.${MIN_MINOR} or newer (Linux 5.4)`,
    };
  }
  const reply = replyTo(offer, wishes);
  if (offer.major > Version.KERNEL_VERSION) return { outcome: 'again', reply: { ...reply, minor: Version.KERNEL_MINOR_VERSION } };
  return { outcome: 'agreed', reply, capabilities: capabilitiesOf(reply) };
}

function replyTo(offer: InitRequest, wishes: Wishes): InitReply {
  const flags = offer.flags & wanted(wishes);
  const flags2 = (flags & InitFlag.INIT_EXT) !== 0 ? offer.flags2 & wanted2(wishes) : 0;
  const most = (flags2 & InitFlag2.OVER_IO_URING) !== 0 ? Math.min(wishes.maxPages, wishes.ringPages) : wishes.maxPages;
  const maxPages = (flags & InitFlag.MAX_PAGES) !== 0 ? Math.max(1, Math.min(most, Pages.MOST)) : 0;
  return {
    major: Version.KERNEL_VERSION,
    minor: Math.min(offer.minor, Version.KERNEL_MINOR_VERSION),
    maxReadahead: offer.maxReadahead,
    flags,
    flags2,
    maxBackground: wishes.maxBackground,
    congestionThreshold: wishes.congestionThreshold,
    maxWrite: (maxPages === 0 ? Pages.DEFAULT : maxPages) * wishes.pageSize,
    timeGranularity: 1,
    maxPages,
    maxStackDepth: (flags2 & InitFlag2.PASSTHROUGH) !== 0 ? wishes.maxStackDepth : 0,
  };
}

/** A flag that was agreed on counts whatever the version: distributions carry features back. What has no flag goes by the version. */
function capabilitiesOf(reply: InitReply): Capabilities {
  const has = (flag: InitFlag): boolean => (reply.flags & flag) !== 0;
  const has2 = (flag: InitFlag2): boolean => (reply.flags2 & flag) !== 0;
  const since = (minor: number): boolean => reply.minor >= minor;
  return {
    minor: reply.minor,
    requestBytes: InHeader.SIZE + WriteIn.SIZE + reply.maxWrite,
    maxWrite: reply.maxWrite,
    canNotify: since(18),
    readsDirectoriesWithAttributes: has(InitFlag.DO_READDIRPLUS),
    hasParallelDirops: has(InitFlag.PARALLEL_DIROPS),
    hasPosixAcl: has(InitFlag.POSIX_ACL),
    cachesSymlinks: has(InitFlag.CACHE_SYMLINKS),
    cachesDirectories: since(28),
    canSkipOpendir: has(InitFlag.NO_OPENDIR_SUPPORT),
    keepsPagesUntilInvalidated: has(InitFlag.EXPLICIT_INVAL_DATA),
    hasHandleKillprivV2: has(InitFlag.HANDLE_KILLPRIV_V2),
    hasSetxattrExt: has(InitFlag.SETXATTR_EXT),
    canSkipFlush: since(35),
    hasTmpfile: since(37),
    hasSupplementaryGroup: has2(InitFlag2.CREATE_SUPP_GROUP),
    canExpireEntries: has2(InitFlag2.HAS_EXPIRE_ONLY),
    hasParallelDirectWrites: since(38),
    hasStatx: since(39),
    canMapDirectIo: has2(InitFlag2.DIRECT_IO_ALLOW_MMAP),
    canPassthrough: has2(InitFlag2.PASSTHROUGH),
    canResend: has2(InitFlag2.HAS_RESEND),
    hasIoUring: has2(InitFlag2.OVER_IO_URING),
    ringPayload: has2(InitFlag2.OVER_IO_URING) ? Math.max(MIN_READ_BUFFER, reply.maxWrite) : 0,
    canExpireAllEntries: since(44),
    hasWideCopyFileRange: since(45),
  };
}

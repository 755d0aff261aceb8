/**
 * What an overlay does differently from a plain directory, known and with the reason. Whatever differs and is not here is a finding.
 */
import { parseLine } from './case';
import type { Context } from './compare';
import type { Entry } from '../support/layers.js';
import { ELF_HEAD } from './trees';

export interface Deviation {
  name: string;
  /** whose it is: of the target's name */
  targets: RegExp;
  reason: string;
  /** a bug that is to be fixed, and the case that shows it (test/fuzz/cases) */
  open?: string;
  /** afterwards the trees are no longer the same: the rest of the case is not compared */
  parts: boolean;
  applies(context: Context): boolean;
}

const KERNEL = /^kernel/;
const ANY = /./;

/** Is it only about these keys? */
const only = (context: Context, ...keys: string[]): boolean => context.keys.every((key) => keys.includes(key));

const PLYFS = /^plyfs/;
const CROSSED = 'the tree as the other overlay shows it';

/** Has a lower an ELF file? plyfs hands these out by passthrough although the mount is writable. */
function hasElf(context: Context): boolean {
  return context.one.layers.some((layer) => Object.values(layer).some((entry) => String((entry as Entry).data).startsWith(ELF_HEAD)));
}

/** Entries that only the overlay lists. */
function onlyThere(plain: string | undefined, other: string | undefined): string[] {
  const known = new Set(plain?.split(' '));
  return (other ?? '').split(' ').filter((entry) => !known.has(entry));
}

/** Data segments as pairs. */
const segments = (rows: string | undefined): number[][] => (rows ?? '').split(' ').map((one) => one.split(':').map(Number));

/** Is one the other but for zeros to its end from some place on? Bytes as the tester writes them. */
function clearedFrom(cleared: string | undefined, other: string | undefined): boolean {
  const bytes = (text = ''): string[] => text.match(/\\x[0-9a-f]{2}|[^]/g) ?? [];
  const [zeroed, kept] = [bytes(cleared), bytes(other)];
  const from = zeroed.findIndex((byte, at) => byte !== kept[at]);
  return zeroed.length === kept.length && from >= 0 && zeroed.slice(from).every((byte) => byte === '\\x00');
}

/** Was there a store through a mapping, and then a change of a size? */
function growsAfterStore(lines: readonly string[]): boolean {
  const stored = lines.findIndex((text) => text.startsWith('mwrite '));
  return stored >= 0 && lines.slice(stored).some((text) => /^(f?truncate|fallocate) /.test(text));
}

/** Does every segment of `inner` lie in one of `outer`? */
function covers(outer: string | undefined, inner: string | undefined): boolean {
  if (inner === undefined) return true;
  return segments(inner).every(([start, end]) => segments(outer).some(([from, to]) => from <= start && end <= to));
}

export const deviations: readonly Deviation[] = [
  {
    name: 'what goes through a FIFO leaves no time',
    targets: ANY,
    reason: "the data stay in the kernel's pipe and never reach the file that is under the overlay",
    parts: false,
    applies: (context) => only(context, 'mtime', 'mtimeMoved', 'ctimeMoved?') && context.plain.type === 'p',
  },
  {
    name: 'a failed RENAME_WHITEOUT moves the time of its directory',
    targets: ANY,
    reason: 'ext4 has made the whiteout by the time it finds that the target is not empty, and takes it away again',
    parts: false,
    applies: (context) =>
      only(context, 'mtime', 'mtimeMoved', 'ctimeMoved?') &&
      context.plain.type === 'd' &&
      context.plain.mtime === 'now' &&
      context.one.lines.slice(0, context.at).some((text) => text.startsWith('rename ') && text.includes('flags=WHITEOUT')),
  },
  {
    name: 'unlinking does not move the ctime of a lower',
    targets: ANY,
    reason: 'it is not changed: what its last name leaves behind is as it was, but for the link count',
    parts: false,
    applies: (context) =>
      context.line.args.fd !== undefined && only(context, 'ctimeMoved?') && (context.plain.nlink === '0' || context.plain.type === 'd'),
  },
  {
    name: 'a small copy fills holes',
    targets: PLYFS,
    reason: 'up to 64 KiB are read and written at once, which costs less than to ask for holes',
    parts: false,
    applies: (context) => context.line.verb === 'segments' && only(context, 'rows') && covers(context.other.rows, context.plain.rows),
  },
  {
    name: 'what a mapping holds beyond the end of its file stays until it is written back',
    targets: ANY,
    reason:
      'a page is cleared beyond the end of the file when it is written back, and a volatile mount need not do that for an fsync (mmap(2))',
    parts: false,
    applies: (context) =>
      context.line.verb === 'mread' &&
      only(context, 'data') &&
      context.one.lines.slice(0, context.at).some((text) => text.startsWith('mwrite ')) &&
      clearedFrom(context.plain.data, context.other.data),
  },
  {
    name: 'what a mapping holds beyond the end of its file is in it when it grows',
    targets: PLYFS,
    reason: "of a file that plyfs serves the page is FUSE's, whose truncate does not clear the rest of the last page (fuse_do_setattr)",
    parts: true,
    applies: (context) => only(context, 'data', 'hash', 'rows') && growsAfterStore(context.one.lines.slice(0, context.at)),
  },
  {
    name: 'a store through a mapping moves the time when it is written back',
    targets: ANY,
    reason:
      'of a file that plyfs serves (not by passthrough) the kernel keeps the page, and sends a WRITE later; kernel overlayfs is mounted volatile, so that an fsync writes nothing back',
    parts: false,
    applies: (context) =>
      only(context, 'mtime', 'mtimeMoved', 'ctimeMoved?') &&
      context.one.lines.slice(0, context.at).some((text) => text.startsWith('mwrite ')),
  },
  {
    name: 'an own char 0/0 is a marked file to the kernel',
    targets: PLYFS,
    reason: 'stored as an empty file with a private xattr (design.md, section 4): the kernel would take the device for a whiteout',
    parts: false,
    applies: ({ line, plain, other }) =>
      line.verb === CROSSED && plain.type === 'c' && plain.rdev === '0:0' && other.type === 'f' && other.size === '0',
  },
  {
    name: 'the kernel lists whiteouts of a single layer, where plyfs wrote the upper',
    targets: PLYFS,
    reason: 'as below, seen when the kernel mounts what plyfs wrote',
    parts: false,
    applies: ({ line, plain, other }) => line.verb === CROSSED && plain.error === 'missing' && other.error === 'ENOENT',
  },
  {
    name: 'whiteouts of a single layer are listed',
    targets: KERNEL,
    reason: 'a directory that only one lower has is read as it is (ovl_iterate_real); looking the name up says ENOENT',
    parts: false,
    applies: (context) =>
      (context.line.verb === 'list' &&
        only(context, 'entries') &&
        onlyThere(context.plain.entries, context.other.entries).every((entry) => entry.endsWith(':c'))) ||
      (context.line.verb === 'seekcheck' && only(context, 'count')) ||
      (context.line.verb.startsWith('the tree') && [context.plain.error, context.other.error].sort().join() === 'ENOENT,missing'),
  },
  {
    name: 'redirects above 256 bytes',
    targets: KERNEL,
    reason: 'redirect_max: rename of a directory, and link of a metacopy, are EXDEV beyond it',
    parts: true,
    applies: ({ line, plain, other }) => /^(link|linkfd|rename)$/.test(line.verb) && plain.error !== 'EXDEV' && other.error === 'EXDEV',
  },
  {
    name: 'copy-up fills holes',
    targets: KERNEL,
    reason: 'ovl_copy_up_file copies in chunks and skips only holes that a chunk begins in',
    parts: false,
    applies: (context) =>
      (context.line.verb === 'segments' && only(context, 'rows') && covers(context.other.rows, context.plain.rows)) ||
      (context.line.verb === 'lseek' && /DATA|HOLE/.test(context.line.args.whence)),
  },
  {
    name: 'data of a metacopy move mtime',
    targets: KERNEL,
    reason: 'ovl_copy_up_meta_inode_data writes the data into the upper file and leaves the time that this gives it',
    parts: false,
    applies: (context) =>
      only(context, 'mtime', 'mtimeMoved') &&
      context.plain.type === 'f' &&
      (context.other.mtime === 'now' || context.plain.mtime === 'now'),
  },
  {
    name: 'a failed change of a directory moves its time',
    targets: KERNEL,
    reason: 'the copy-up that came before the failure stays, and what it did to the parent',
    parts: false,
    applies: (context) =>
      only(context, 'mtime', 'mtimeMoved') &&
      context.plain.type === 'd' &&
      (context.other.mtime === 'now' || context.plain.mtime === 'now'),
  },
  {
    name: 'a lower opened for reading stays a lower',
    targets: KERNEL,
    reason: 'documented: a descriptor or mapping from before the copy-up does not see what is written after it',
    parts: false,
    applies: ({ line, openedWith }) =>
      line.verb === 'mread' || (/^(read|segments|lseek)$/.test(line.verb) && openedWith().startsWith('O_RDONLY')),
  },
  {
    name: 'a lower opened for reading is copied from',
    targets: KERNEL,
    reason: 'the same, and the old data have got into another file',
    parts: true,
    applies: (context) =>
      /^(read|mread|segments|lseek|stat|copyrange|sendfile|the tree)$/.test(context.line.verb) &&
      only(context, 'data', 'hash', 'n', 'rows', 'off', 'size', 'error') &&
      context.one.lines.slice(0, context.at + 1).some((text) => {
        const { verb, args } = parseLine(text);
        return (verb === 'copyrange' || verb === 'sendfile') && context.openedWith(args.fd).startsWith('O_RDONLY');
      }),
  },
  {
    name: 'an unlinked lower cannot be copied up',
    targets: KERNEL,
    reason: 'whatever would change it through a descriptor fails (EEXIST from the index)',
    parts: true,
    applies: ({ line, plain, other }) =>
      line.args.fd !== undefined &&
      line.verb !== 'linkfd' &&
      plain.error !== other.error &&
      /^(EEXIST|EISDIR|ENOTDIR|ENOENT|ENOTEMPTY)$/.test(other.error),
  },
  {
    name: 'an unlinked lower still counts a link',
    targets: KERNEL,
    reason: "fstat of a lower that was never copied up shows the lower's nlink",
    parts: false,
    applies: (context) => context.line.args.fd !== undefined && only(context, 'nlink', 'ctimeMoved?') && context.plain.nlink === '0',
  },
  {
    name: 'an ACL that is not there cannot be removed',
    targets: KERNEL,
    reason: 'ENODATA, where ext4 has nothing to do and says so',
    parts: false,
    applies: ({ line, plain, other }) =>
      line.verb === 'removexattr' && line.args.name.startsWith('system.') && plain.error === 'ok' && other.error === 'ENODATA',
  },
  {
    name: 'd_ino of what was linked into an upper directory',
    targets: KERNEL,
    reason: "a directory that only the upper has is read as it is, with the upper's numbers",
    parts: false,
    applies: (context) => context.line.verb === 'list' && only(context, 'wrongNumbers'),
  },
  {
    name: 'removing an ACL takes setgid away',
    targets: KERNEL,
    reason: 'ovl_set_acl strips it as setting one would, where ext4 has nothing to remove',
    parts: true,
    applies: (context) =>
      only(context, 'mode') &&
      (parseInt(context.plain.mode, 8) & ~0o2000) === parseInt(context.other.mode, 8) &&
      context.one.lines.slice(0, context.at).some((text) => /^removexattr .*name=system\.posix_acl/.test(text)),
  },
  {
    name: 'a change through a descriptor brings an unlinked special file back',
    targets: KERNEL,
    reason: 'copying up a FIFO, device or socket does not look whether it is still there: the name appears again in the upper',
    parts: true,
    applies: (context) =>
      (onlyThere(context.plain.entries, context.other.entries).some((entry) => /:[pcbs]$/.test(entry)) ||
        /^[pcbs]$/.test(context.other.type ?? '') ||
        context.other.error === 'EEXIST' ||
        context.other.error === 'ESTALE' ||
        (context.plain.error === 'ENOENT' && context.other.error === 'ok') ||
        only(context, 'nlink')) &&
      context.one.lines.slice(0, context.at).some((text) => /^(chmod|chown|utimens|setxattr|removexattr) fd=/.test(text)),
  },
  {
    name: 'the copy of what an overlay wrote has other holes',
    targets: ANY,
    reason: 'the plain tree is a copy by cp, which makes holes of its own',
    parts: false,
    applies: ({ line, one }) => one.by !== '' && (line.verb === 'segments' || /DATA|HOLE/.test(line.args.whence ?? '')),
  },
  {
    name: 'unwritten extents are data to one and a hole to the other',
    targets: ANY,
    reason: 'what fallocate left, SEEK_DATA and SEEK_HOLE report by the state of the page cache',
    parts: false,
    applies: ({ line, one, at }) =>
      (line.verb === 'segments' || /DATA|HOLE/.test(line.args.whence ?? '')) &&
      one.lines.slice(0, at).some((text) => text.startsWith('fallocate')),
  },
  {
    name: 'no RENAME_WHITEOUT',
    targets: KERNEL,
    reason: 'ovl_rename knows only NOREPLACE and EXCHANGE',
    parts: true,
    applies: ({ line, other }) => line.verb === 'rename' && line.args.flags === 'WHITEOUT' && other.error === 'EINVAL',
  },
  {
    name: 'an ELF lower that was open is another node after it was written',
    targets: PLYFS,
    reason:
      'its passthrough cannot be changed to the upper: the name leads to a new node, descriptors from before keep the lower (design.md, section 4)',
    parts: true,
    applies: (context) => hasElf(context) && (context.line.args.fd !== undefined || context.line.verb === 'mread'),
  },

  {
    name: 'other names of an ELF lower that was linked while open stay with the old file',
    targets: PLYFS,
    reason:
      'the kernel has the old node cached under them, and is not told (docs/compatibility.md); one with several names before it is opened is served',
    parts: true,
    applies: (context) => {
      const { lines } = context.one;
      const opened = lines.findIndex((text) => text.startsWith('open '));
      return hasElf(context) && opened >= 0 && lines.slice(opened, context.at).some((text) => /^link(fd)? /.test(text));
    },
  },
  {
    name: 'a removed directory has no xattrs, and takes none',
    targets: PLYFS,
    reason: 'nothing of it is left on disk to keep them (docs/compatibility.md)',
    parts: true,
    applies: ({ line, other, one, at }) =>
      line.verb.endsWith('xattr') &&
      (line.args.fd ?? line.args.at) !== undefined &&
      (/^(ESTALE|ENOENT|ENODATA)$/.test(other.error) || (line.verb === 'listxattr' && other.rows === undefined)) &&
      one.lines.slice(0, at).some((text) => /^(rmdir|rename) /.test(text)),
  },
];

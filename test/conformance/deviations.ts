/**
 * Where a file system is known not to behave as the host does, and why. A difference that is not listed here fails; so does an entry
 * that no run shows any more.
 */
export interface Deviation {
  /** whose: the kernel's overlayfs, or plyfs by decision (design.md says so), or plyfs over imported layers */
  of: 'kernel' | 'plyfs' | 'imported';
  /** "subject: name" of the cases, as a whole or by a pattern */
  cases: string | RegExp;
  /** fields of the facts; default all */
  field?: string | RegExp;
  /** the step, without its number; default all */
  step?: RegExp;
  why: string;
  /** of the kernel: plyfs may do the same */
  plyfsMay?: boolean;
  /** not seen with every number of lowers, or on every run */
  sometimes?: boolean;
}

export const deviations: readonly Deviation[] = [
  {
    of: 'kernel',
    cases: /^create: O_CREAT opens what is there, O_EXCL refuses it \[copied up\]$/,
    field: 'mtime',
    why: 'the data of a file whose metadata was copied up earlier comes with the time of the copying',
  },
  {
    of: 'kernel',
    cases: /^rename: plain: .*directory.* onto opaque directory$/,
    field: /^mtime of [ac]$/,
    why: 'a rename that fails with ENOTEMPTY has touched the source directory already',
  },
  {
    of: 'kernel',
    cases: /^data: a file open when its last name goes lives on until it is closed \[(lower|merged)\]$/,
    field: 'nlink',
    step: /^stat fd=r$/,
    why: 'a descriptor of a lower file shows the nlink of the lower, also when its last name is gone',
  },
  {
    of: 'kernel',
    cases: 'identity: a replaced name is another file',
    field: 'nlink',
    step: /^stat fd=f$/,
    why: 'a descriptor of a lower file shows the nlink of the lower, also when its last name is gone',
  },
  {
    of: 'kernel',
    cases: 'data: an unlinked lower file changed only by its read descriptor',
    why: 'a lower file that has no name any more cannot be copied up (EEXIST)',
  },
  {
    of: 'kernel',
    cases: /^mmap-locks: an old read-only mapping and descriptor see what is written later/,
    field: 'data',
    step: /^mread map=old/,
    why: 'an old mapping of a lower file goes on showing the lower after copy-up; the descriptor does not',
  },
  {
    of: 'kernel',
    cases: /^xattrs: sizes: .* \[copied up\]$/,
    field: 'size',
    step: /^listxattr path=f size=0$/,
    why: 'the length that is asked for with size 0 counts the private names too',
  },
  {
    of: 'kernel',
    cases: 'xattrs: ACLs are refused where they mean nothing',
    field: 'error',
    step: /^removexattr path=f name=system.posix_acl_access$/,
    why: 'an ACL that is not there cannot be removed; ext4 does not mind',
    plyfsMay: true,
  },
  {
    of: 'kernel',
    cases: /^space: a (sparse file stays sparse when|lower of many holes is)/,
    field: 'rows',
    step: /^segments/,
    why: 'copy-up keeps holes only in pieces of a megabyte or more',
  },
  {
    of: 'kernel',
    cases: 'whiteouts: hard links of one layer with a name hidden by another',
    field: /^nlink( of .)?$/,
    why: 'the nlink of a lower group counts names that other layers hide',
    plyfsMay: true,
  },
  {
    of: 'kernel',
    cases: 'read-only: an ordinary user is told EACCES or EROFS as on any read-only mount',
    field: 'error',
    step: /^write path=f/,
    why: 'a file system that is read-only says so before it looks at permissions; the host here is a read-only bind mount',
    plyfsMay: true,
    sometimes: true,
  },
  {
    of: 'kernel',
    cases: /^letter: names of 255 bytes/,
    step: /^(rename|read) /,
    why: 'redirect_max: a directory whose path is longer than 256 bytes cannot be moved (EXDEV)',
    sometimes: true,
  },
  {
    of: 'kernel',
    cases: /^letter: a directory changes its times when/,
    field: 'ctime',
    why: 'copying up what a directory holds moves its ctime; nothing can put that back',
    sometimes: true,
  },
  {
    of: 'kernel',
    cases: 'letter: st_nlink of directories follows their subdirectories',
    field: 'nlink',
    step: /^stat path=l$/,
    why: 'a directory of several layers, or that was copied up, has 1 (find(1) and others take that for "not counted")',
    plyfsMay: true,
  },
  {
    of: 'kernel',
    cases: /^letter: a file whose data are being copied up/,
    field: /^mtime/,
    why: 'the data of a file whose metadata was copied up earlier comes with the time of the copying',
    sometimes: true,
  },
  {
    of: 'kernel',
    cases: /^limits: a read of a lower/,
    field: 'atime',
    why: 'overlayfs reads lowers without atime',
  },
  {
    of: 'plyfs',
    cases: /^limits: a read of a lower/,
    field: 'atime',
    why: 'as on overlayfs (docs/compatibility.md)',
  },
  {
    of: 'kernel',
    cases: /^limits: opening a lower for writing/,
    field: 'ctime',
    why: 'copying up moves it; nothing can set a ctime',
  },
  {
    of: 'kernel',
    cases: /^limits: an open ELF lower/,
    field: 'data',
    step: /^mread/,
    why: 'an old mapping of a lower file goes on showing the lower after copy-up',
  },
  {
    of: 'kernel',
    cases: /^limits: the longest name/,
    field: 'error',
    why: 'such names are kept with "overlay." in them (escaped): there is no room for that beyond 247 bytes',
  },
  {
    of: 'plyfs',
    cases: /^limits: the longest name/,
    field: 'error',
    why: 'as for the kernel; ERANGE, as of any name that is too long',
  },
  {
    of: 'plyfs',
    cases: /^limits: opening a lower for writing/,
    field: 'ctime',
    why: 'copying up moves it; nothing can set a ctime (docs/compatibility.md)',
  },
  {
    of: 'plyfs',
    cases: /^limits: an open ELF lower/,
    field: 'data',
    step: /^(mread|read fd=r)/,
    why: 'what has it open by passthrough keeps it (docs/compatibility.md)',
  },
  {
    of: 'plyfs',
    cases: /^limits: an O_PATH descriptor/,
    step: /^open fd=r/,
    why: 'ESTALE: nothing is left of the file (docs/compatibility.md)',
  },
  {
    of: 'plyfs',
    cases: /^limits: a removed directory/,
    field: 'error',
    step: /xattr/,
    why: 'nothing of it is left on disk (docs/compatibility.md)',
  },
  {
    of: 'plyfs',
    cases: 'letter: inode flags are told and set, or there are none',
    why: 'not served yet: ENOTTY (docs/compatibility.md)',
  },
  {
    of: 'plyfs',
    cases: 'space: fallocate that moves the rest of the file',
    why: 'FUSE in the kernel refuses COLLAPSE_RANGE and INSERT_RANGE before asking anyone (fuse_file_fallocate)',
  },
  {
    of: 'plyfs',
    cases: 'create: names that begin like a whiteout',
    why: 'such a name would be a whiteout in the upper: EINVAL (docs/compatibility.md)',
  },
  {
    of: 'imported',
    cases: /^space: (SEEK_DATA and SEEK_HOLE|a (sparse file|lower of many holes))|^read-only: hard links and holes/,
    field: 'holes',
    why: "a layer's index has no st_blocks: a file that was not written to shows those of its size (what holes its object has, SEEK_HOLE finds)",
  },
  {
    of: 'imported',
    cases: 'whiteouts: a redirect written by the kernel into a lower is followed',
    why: 'what a tar gives its directories as trusted.overlay.* is not believed',
  },
  {
    of: 'imported',
    cases: /^limits: a read of a lower/,
    field: 'atime',
    why: 'the index says the times, and an object is many files',
  },
];

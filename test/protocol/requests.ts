/**
 * A request of every kind as the kernel sends it, byte by byte, and what it must be decoded to. All are asked by uid 1000, gid 2000, pid 12345
 * about node 7, with unique 2, unless their hex says otherwise.
 */
import { hex, type Call } from './support';

export interface Sample {
  name: string;
  message: Uint8Array;
  /** The calls it makes; each has node 7, uid 1000, gid 2000, pid 12345 where it says nothing else. */
  calls: Call[];
  /** decode()'s result, when it is not 0 */
  failure?: number;
  /** Bytes of the answer when nobody answers; 0: none is due. */
  unanswered?: boolean;
  /** Was SETXATTR_EXT negotiated? Yes, where nothing is said. */
  shortSetxattr?: boolean;
  /** Shorter lengths that are good as well: a shorter form that is documented. */
  shorter?: (length: number) => boolean;
}

const call = (method: string, fields: Call = {}): Call => ({ node: 7, uid: 1000, gid: 2000, pid: 12345, method, ...fields });

export const samples: Sample[] = [
  {
    name: 'LOOKUP',
    message: hex(`
      2c000000 01000000 0200000000000000        # len 44, LOOKUP, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      65746300                                  # "etc"`),
    calls: [call('lookup', { name: 'etc' })],
  },
  {
    name: 'LOOKUP of a name that is no UTF-8',
    message: hex(`
      2c000000 01000000 0200000000000000        # len 44, LOOKUP, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      ff2ee900                                  # "\\xff.\\xe9"`),
    calls: [call('lookup', { name: '\xff.\xe9' })],
  },
  {
    name: 'LOOKUP of ".", as an export asks',
    message: hex(`
      2a000000 01000000 0200000000000000        # len 42, LOOKUP, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      2e00                                      # "."`),
    failure: -2,
    calls: [],
  },
  {
    name: 'LOOKUP of "..", as an export asks',
    message: hex(`
      2b000000 01000000 0200000000000000        # len 43, LOOKUP, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      2e2e00                                    # ".."`),
    failure: -2,
    calls: [],
  },
  {
    name: 'FORGET',
    message: hex(`
      30000000 02000000 0200000000000000        # len 48, FORGET, unique 2
      0700000000000000 00000000 00000000        # node 7, uid 0, gid 0
      00000000 0000 0000                        # pid 0, no extensions, padding
      0300000000000000                          # nlookup 3`),
    calls: [call('forget', { uid: 0, gid: 0, pid: 0, count: 3 })],
    unanswered: true,
  },
  {
    name: 'FORGET of more references than an int holds',
    message: hex(`
      30000000 02000000 0200000000000000        # len 48, FORGET, unique 2
      0700000000000000 00000000 00000000        # node 7, uid 0, gid 0
      00000000 0000 0000                        # pid 0, no extensions, padding
      0000000001000000                          # nlookup 2^32`),
    calls: [call('forget', { uid: 0, gid: 0, pid: 0, count: 0x7fffffff })],
    unanswered: true,
  },
  {
    name: 'BATCH_FORGET',
    message: hex(`
      50000000 2a000000 0200000000000000        # len 80, BATCH_FORGET, unique 2
      0000000000000000 00000000 00000000        # node 0, uid 0, gid 0
      00000000 0000 0000                        # pid 0, no extensions, padding
      02000000 00000000                         # count 2, dummy
      0900000000000000 0100000000000000         # node 9, nlookup 1
      0800000001000000 ffffffffffffffff         # node 2^32 + 8: not ours, nlookup 2^64 - 1`),
    calls: [
      call('forget', { node: 9, uid: 0, gid: 0, pid: 0, count: 1 }),
      call('forget', { node: 0, uid: 0, gid: 0, pid: 0, count: 0x7fffffff }),
    ],
    unanswered: true,
  },
  {
    name: 'GETATTR by node',
    message: hex(`
      38000000 03000000 0200000000000000        # len 56, GETATTR, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      00000000 00000000                         # getattr_flags 0, dummy
      0500000000000000                          # fh, which does not count`),
    calls: [call('getattr', { hasHandle: false, fh: 0 })],
  },
  {
    name: 'GETATTR by handle',
    message: hex(`
      38000000 03000000 0200000000000000        # len 56, GETATTR, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      01000000 00000000                         # getattr_flags FH, dummy
      0500000001000000                          # fh 2^32 + 5`),
    calls: [call('getattr', { hasHandle: true, fh: 2 ** 32 + 5 })],
  },
  {
    name: 'SETATTR of everything',
    message: hex(`
      80000000 04000000 0200000000000000        # len 128, SETATTR, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      7f000000 00000000                         # valid MODE UID GID SIZE ATIME MTIME FH, padding
      0500000000000000                          # fh 5
      0102030405060780                          # size 0x8007060504030201
      0000000000000000                          # lock_owner
      fdffffffffffffff                          # atime -3
      0000000100000000                          # mtime 2^24
      0900000000000000                          # ctime
      0a000000 ffc99a3b 0c000000                # nanoseconds: 10, 999999999, 12
      ed810000                                  # mode 0100755
      00000000 d2040000 ffffffff 00000000       # unused, uid 1234, gid 4294967295, unused`),
    calls: [
      call('setattr', {
        valid: 0x7f,
        fh: 5,
        sizeLow: 0x04030201,
        sizeHigh: 0x80070605 | 0,
        atimeLow: -3,
        atimeHigh: -1,
        atimeNsec: 10,
        mtimeLow: 0x1000000,
        mtimeHigh: 0,
        mtimeNsec: 999999999,
        mode: 0o100755,
        newUid: 1234,
        newGid: 0xffffffff,
      }),
    ],
  },
  {
    name: 'SETATTR that strips setuid after a write',
    message: hex(`
      80000000 04000000 0200000000000000        # len 128, SETATTR, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      00000000 00000000                         # valid 0, padding
      0500000000000000 0000000000000000         # fh, which does not count; size
      0000000000000000 0000000000000000         # lock_owner, atime
      0000000000000000 0000000000000000         # mtime, ctime
      00000000 00000000 00000000                # nanoseconds
      00000000                                  # mode
      00000000 00000000 00000000 00000000       # unused, uid, gid, unused`),
    calls: [
      call('setattr', {
        valid: 0,
        fh: 0,
        sizeLow: 0,
        sizeHigh: 0,
        atimeLow: 0,
        atimeHigh: 0,
        atimeNsec: 0,
        mtimeLow: 0,
        mtimeHigh: 0,
        mtimeNsec: 0,
        mode: 0,
        newUid: 0,
        newGid: 0,
      }),
    ],
  },
  {
    name: 'READLINK',
    message: hex(`
      28000000 05000000 0200000000000000        # len 40, READLINK, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding`),
    calls: [call('readlink')],
  },
  {
    name: 'SYMLINK',
    message: hex(`
      2f000000 06000000 0200000000000000        # len 47, SYMLINK, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      6c00                                      # name "l"
      2e2e2f6100                                # target "../a"`),
    calls: [call('symlink', { name: 'l', target: '../a', mode: 0o120777, umask: 0, supplementaryGroup: -1 })],
  },
  {
    name: 'SYMLINK with a supplementary group',
    message: hex(`
      3f000000 06000000 0200000000000000        # len 63, SYMLINK, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0200 0000                        # pid 12345, 16 bytes of extensions, padding
      6c00                                      # name "l"
      2e2e2f6100                                # target "../a"
      10000000 20000000                         # extension of 16 bytes, EXT_GROUPS
      01000000 64000000                         # 1 group: 100`),
    calls: [call('symlink', { name: 'l', target: '../a', mode: 0o120777, umask: 0, supplementaryGroup: 100 })],
  },
  {
    name: 'MKNOD',
    message: hex(`
      3a000000 08000000 0200000000000000        # len 58, MKNOD, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      b6210000 03010000 12000000 00000000       # mode 020666, rdev 1:3, umask 022, padding
      6e00                                      # "n"`),
    calls: [call('mknod', { name: 'n', mode: 0o020666, rdev: 0x103, umask: 0o22, supplementaryGroup: -1 })],
  },
  {
    name: 'MKNOD without a type, which is a regular file',
    message: hex(`
      3a000000 08000000 0200000000000000        # len 58, MKNOD, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      a4010000 00000000 00000000 00000000       # mode 0644, rdev, umask, padding
      6e00                                      # "n"`),
    calls: [call('mknod', { name: 'n', mode: 0o100644, rdev: 0, umask: 0, supplementaryGroup: -1 })],
  },
  {
    name: 'MKDIR',
    message: hex(`
      32000000 09000000 0200000000000000        # len 50, MKDIR, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      ff030000 12000000                         # mode 01777, umask 022
      6400                                      # "d"`),
    calls: [call('mkdir', { name: 'd', mode: 0o041777, umask: 0o22, supplementaryGroup: -1 })],
  },
  {
    name: 'MKDIR with two extensions',
    message: hex(`
      56000000 09000000 0200000000000000        # len 86, MKDIR, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0400 0000                        # pid 12345, 32 bytes of extensions, padding
      ff010000 12000000                         # mode 0777, umask 022
      64697231 3100                             # "dir11"
      0c000000 21000000 aaaaaaaa 00000000       # extension of 12 bytes and padding, of a type to come
      10000000 20000000                         # extension of 16 bytes, EXT_GROUPS
      01000000 00000080                         # 1 group: 2^31`),
    calls: [call('mkdir', { name: 'dir11', mode: 0o040777, umask: 0o22, supplementaryGroup: 2 ** 31 })],
  },
  {
    name: 'UNLINK',
    message: hex(`
      2a000000 0a000000 0200000000000000        # len 42, UNLINK, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      7500                                      # "u"`),
    calls: [call('unlink', { name: 'u' })],
  },
  {
    name: 'RMDIR',
    message: hex(`
      2a000000 0b000000 0200000000000000        # len 42, RMDIR, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      7500                                      # "u"`),
    calls: [call('rmdir', { name: 'u' })],
  },
  {
    name: 'RENAME',
    message: hex(`
      36000000 0c000000 0200000000000000        # len 54, RENAME, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0800000000000000                          # newdir 8
      6f00 62636400                             # "o", "bcd"`),
    calls: [call('rename', { newParent: 8, flags: 0, name: 'o', newName: 'bcd' })],
  },
  {
    name: 'RENAME2',
    message: hex(`
      3c000000 2d000000 0200000000000000        # len 60, RENAME2, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0800000000000000 02000000 00000000        # newdir 8, flags EXCHANGE, padding
      6f00 6200                                 # "o", "b"`),
    calls: [call('rename', { newParent: 8, flags: 2, name: 'o', newName: 'b' })],
  },
  {
    name: 'LINK',
    message: hex(`
      32000000 0d000000 0200000000000000        # len 50, LINK, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      ffffffff00000000                          # oldnodeid 2^32 - 1
      6800                                      # "h"`),
    calls: [call('link', { target: 0xffffffff, name: 'h' })],
  },
  {
    name: 'OPEN',
    message: hex(`
      30000000 0e000000 0200000000000000        # len 48, OPEN, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      02820000 01000000                         # flags O_RDWR O_TRUNC O_LARGEFILE, open_flags KILL_SUIDGID`),
    calls: [call('open', { flags: 0x8202, killSuidgid: true })],
  },
  {
    name: 'READ',
    message: hex(`
      50000000 0f000000 0200000000000000        # len 80, READ, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0500000000000000 00100000f0000000         # fh 5, offset 0xf000001000
      00000200 00000000                         # size 128 KiB, read_flags
      0000000000000000 00800000 00000000        # lock_owner, flags O_LARGEFILE, padding`),
    calls: [call('read', { fh: 5, offsetLow: 0x1000, offsetHigh: 0xf0, size: 0x20000 })],
  },
  {
    name: 'WRITE',
    message: hex(`
      53000000 10000000 0200000000000000        # len 83, WRITE, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0500000000000000 ffffffff00000000         # fh 5, offset 2^32 - 1
      03000000 04000000                         # size 3, write_flags KILL_SUIDGID
      0000000000000000 01840000 00000000        # lock_owner, flags O_WRONLY O_APPEND O_LARGEFILE, padding
      616263                                    # "abc"`),
    calls: [call('write', { fh: 5, offsetLow: -1, offsetHigh: 0, size: 3, data: 'abc', flags: 0x8401, killSuidgid: true })],
  },
  {
    name: 'STATFS',
    message: hex(`
      28000000 11000000 0200000000000000        # len 40, STATFS, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding`),
    calls: [call('statfs')],
  },
  {
    name: 'RELEASE',
    message: hex(`
      40000000 12000000 0200000000000000        # len 64, RELEASE, unique 2
      0700000000000000 00000000 00000000        # node 7, uid 0, gid 0
      00000000 0000 0000                        # pid 0, no extensions, padding
      0500000000000000 00800000 00000000        # fh 5, flags O_LARGEFILE, release_flags
      0000000000000000                          # lock_owner`),
    calls: [call('release', { uid: 0, gid: 0, pid: 0, fh: 5, flags: 0x8000 })],
  },
  {
    name: 'RELEASEDIR',
    message: hex(`
      40000000 1d000000 0200000000000000        # len 64, RELEASEDIR, unique 2
      0700000000000000 00000000 00000000        # node 7, uid 0, gid 0
      00000000 0000 0000                        # pid 0, no extensions, padding
      0500000000000000 00800100 00000000        # fh 5, flags O_LARGEFILE O_DIRECTORY, release_flags
      0000000000000000                          # lock_owner`),
    calls: [call('releasedir', { uid: 0, gid: 0, pid: 0, fh: 5, flags: 0x18000 })],
  },
  {
    name: 'FSYNC',
    message: hex(`
      38000000 14000000 0200000000000000        # len 56, FSYNC, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0500000000000000 01000000 00000000        # fh 5, fsync_flags FDATASYNC, padding`),
    calls: [call('fsync', { fh: 5, datasync: true })],
  },
  {
    name: 'FSYNCDIR',
    message: hex(`
      38000000 1e000000 0200000000000000        # len 56, FSYNCDIR, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0500000000000000 00000000 00000000        # fh 5, fsync_flags, padding`),
    calls: [call('fsyncdir', { fh: 5, datasync: false })],
  },
  {
    name: 'SETXATTR with SETXATTR_EXT',
    message: hex(`
      42000000 15000000 0200000000000000        # len 66, SETXATTR, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      03000000 01000000 01000000 00000000       # size 3, flags CREATE, setxattr_flags ACL_KILL_SGID, padding
      757365722e6100                            # "user.a"
      760077                                    # value "v\\0w"`),
    calls: [call('setxattr', { name: 'user.a', value: 'v\0w', flags: 1, aclKillSgid: true })],
  },
  {
    name: 'SETXATTR of an older kernel',
    message: hex(`
      3a000000 15000000 0200000000000000        # len 58, SETXATTR, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      03000000 02000000                         # size 3, flags REPLACE
      757365722e6100                            # "user.a"
      760077                                    # value "v\\0w"`),
    shortSetxattr: true,
    calls: [call('setxattr', { name: 'user.a', value: 'v\0w', flags: 2, aclKillSgid: false })],
  },
  {
    name: 'GETXATTR, with a name in which a slash may be',
    message: hex(`
      39000000 16000000 0200000000000000        # len 57, GETXATTR, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      00010000 00000000                         # size 256, padding
      757365722e612f6200                        # "user.a/b"`),
    calls: [call('getxattr', { name: 'user.a/b', size: 256 })],
  },
  {
    name: 'LISTXATTR of the length',
    message: hex(`
      30000000 17000000 0200000000000000        # len 48, LISTXATTR, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      00000000 00000000                         # size 0, padding`),
    calls: [call('listxattr', { size: 0 })],
  },
  {
    name: 'LISTXATTR of more than there can be',
    message: hex(`
      30000000 17000000 0200000000000000        # len 48, LISTXATTR, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      ffffffff 00000000                         # size 2^32 - 1, padding`),
    calls: [call('listxattr', { size: 65536 })],
  },
  {
    name: 'REMOVEXATTR',
    message: hex(`
      2f000000 18000000 0200000000000000        # len 47, REMOVEXATTR, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      757365722e6100                            # "user.a"`),
    calls: [call('removexattr', { name: 'user.a' })],
  },
  {
    name: 'FLUSH',
    message: hex(`
      40000000 19000000 0200000000000000        # len 64, FLUSH, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      ffffffffffffffff 00000000 00000000        # fh 2^64 - 1: not ours, unused, padding
      0102030405060708                          # lock_owner`),
    calls: [call('flush', { fh: -1 })],
  },
  {
    name: 'INIT',
    message: hex(`
      68000000 1a000000 0200000000000000        # len 104, INIT, unique 2
      0000000000000000 00000000 00000000        # node 0, uid 0, gid 0
      00000000 0000 0000                        # pid 0, no extensions, padding
      07000000 2d000000 00000200 fbffff73       # major 7, minor 45, max_readahead 128 KiB, flags
      fd050000 00000000 0000000000000000        # flags2, unused…
      0000000000000000 0000000000000000
      0000000000000000 0000000000000000`),
    calls: [],
    shorter: (length) => length >= 48,
  },
  {
    name: 'OPENDIR',
    message: hex(`
      30000000 1b000000 0200000000000000        # len 48, OPENDIR, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      00980100 00000000                         # flags O_DIRECTORY O_NONBLOCK O_LARGEFILE, open_flags`),
    calls: [call('opendir', { flags: 0x19800 })],
  },
  {
    name: 'READDIR',
    message: hex(`
      50000000 1c000000 0200000000000000        # len 80, READDIR, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0500000000000000 2a00000000000000         # fh 5, offset 42
      00100000 00000000                         # size 4096, read_flags
      0000000000000000 00000000 00000000        # lock_owner, flags, padding`),
    calls: [call('readdir', { fh: 5, offsetLow: 42, offsetHigh: 0, size: 4096, plus: false })],
  },
  {
    name: 'READDIRPLUS',
    message: hex(`
      50000000 2c000000 0200000000000000        # len 80, READDIRPLUS, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0500000000000000 ffffffffffffff7f         # fh 5, offset 2^63 - 1
      00100000 00000000                         # size 4096, read_flags
      0000000000000000 00000000 00000000        # lock_owner, flags, padding`),
    calls: [call('readdir', { fh: 5, offsetLow: -1, offsetHigh: 0x7fffffff, size: 4096, plus: true })],
  },
  ...(
    [
      ['GETLK', '1f'],
      ['SETLK', '20'],
      ['SETLKW', '21'],
    ] as const
  ).map(([name, opcode]) => ({
    name,
    message: hex(`
      58000000 ${opcode}000000 0200000000000000 # len 88, GETLK, SETLK or SETLKW, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0500000000000000 0102030405060708         # fh 5, owner
      0000000000000000 ffffffffffffff7f         # start 0, end
      01000000 39300000 00000000 00000000       # type F_WRLCK, pid, lk_flags, padding`),
    failure: -38,
    calls: [],
    shorter: () => true,
  })),
  {
    name: 'ACCESS',
    message: hex(`
      30000000 22000000 0200000000000000        # len 48, ACCESS, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      04000000 00000000                         # mask R_OK, padding`),
    calls: [call('access', { mask: 4 })],
  },
  {
    name: 'CREATE',
    message: hex(`
      3a000000 23000000 0200000000000000        # len 58, CREATE, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      c1800000 b6810000 12000000 00000000       # flags O_WRONLY O_CREAT O_EXCL O_LARGEFILE, mode 0100666, umask 022, open_flags
      6300                                      # "c"`),
    calls: [call('create', { name: 'c', mode: 0o100666, umask: 0o22, flags: 0x80c1, killSuidgid: false, supplementaryGroup: -1 })],
  },
  {
    name: 'CREATE with a supplementary group',
    message: hex(`
      4a000000 23000000 0200000000000000        # len 74, CREATE, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0200 0000                        # pid 12345, 16 bytes of extensions, padding
      41820000 b6810000 12000000 01000000       # flags O_WRONLY O_CREAT O_TRUNC O_LARGEFILE, mode 0100666, umask 022, KILL_SUIDGID
      6300                                      # "c"
      10000000 20000000                         # extension of 16 bytes, EXT_GROUPS
      01000000 64000000                         # 1 group: 100`),
    calls: [call('create', { name: 'c', mode: 0o100666, umask: 0o22, flags: 0x8241, killSuidgid: true, supplementaryGroup: 100 })],
  },
  {
    name: 'TMPFILE, whose name is a slash',
    message: hex(`
      3a000000 33000000 0200000000000000        # len 58, TMPFILE, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      02804100 80810000 12000000 00000000       # flags O_RDWR O_TMPFILE O_LARGEFILE, mode 0100600, umask 022, open_flags
      2f00                                      # "/"`),
    calls: [call('tmpfile', { name: '', mode: 0o100600, umask: 0o22, flags: 0x418002, killSuidgid: false, supplementaryGroup: -1 })],
  },
  {
    name: 'INTERRUPT',
    message: hex(`
      30000000 24000000 0300000000000000        # len 48, INTERRUPT, unique 3
      0000000000000000 00000000 00000000        # node 0, uid 0, gid 0
      00000000 0000 0000                        # pid 0, no extensions, padding
      0200000000000000                          # of the request 2`),
    calls: [],
    unanswered: true,
  },
  {
    name: 'BMAP',
    message: hex(`
      38000000 25000000 0200000000000000        # len 56, BMAP, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0100000000000000 00100000 00000000        # block 1, blocksize 4096, padding`),
    failure: -38,
    calls: [],
    shorter: () => true,
  },
  {
    name: 'DESTROY',
    message: hex(`
      28000000 26000000 0200000000000000        # len 40, DESTROY, unique 2
      0000000000000000 00000000 00000000        # node 0, uid 0, gid 0
      00000000 0000 0000                        # pid 0, no extensions, padding`),
    calls: [],
  },
  {
    name: 'IOCTL',
    message: hex(`
      4c000000 27000000 0200000000000000        # len 76, IOCTL, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0500000000000000 00000000 01660880        # fh 5, flags, cmd FS_IOC_GETFLAGS
      f0efeeedfc7f0000 04000000 08000000        # arg, in_size 4, out_size 8
      61626364                                  # "abcd"`),
    calls: [call('ioctl', { fh: 5, flags: 0, command: 0x80086601, data: 'abcd', inSize: 4, outSize: 8 })],
  },
  {
    name: 'POLL',
    message: hex(`
      40000000 28000000 0200000000000000        # len 64, POLL, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0500000000000000 0100000000000000         # fh 5, kh 1
      01000000 05000000                         # flags SCHEDULE_NOTIFY, events`),
    failure: -38,
    calls: [],
    shorter: () => true,
  },
  {
    name: 'NOTIFY_REPLY',
    message: hex(`
      51000000 29000000 0200000000000000        # len 81, NOTIFY_REPLY, unique 2
      0700000000000000 00000000 00000000        # node 7, uid 0, gid 0
      00000000 0000 0000                        # pid 0, no extensions, padding
      0000000000000000 0000000000000000         # dummy, offset 0
      01000000 00000000                         # size 1, dummy
      0000000000000000 0000000000000000         # dummies
      61                                        # "a"`),
    calls: [],
    unanswered: true,
    shorter: () => true,
  },
  {
    name: 'FALLOCATE',
    message: hex(`
      48000000 2b000000 0200000000000000        # len 72, FALLOCATE, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0500000000000000 0010000000000000         # fh 5, offset 4096
      0000000001000000 03000000 00000000        # length 2^32, mode KEEP_SIZE PUNCH_HOLE, padding`),
    calls: [call('fallocate', { fh: 5, offsetLow: 4096, offsetHigh: 0, lengthLow: 0, lengthHigh: 1, mode: 3 })],
  },
  {
    name: 'LSEEK',
    message: hex(`
      40000000 2e000000 0200000000000000        # len 64, LSEEK, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0500000000000000 0010000000000000         # fh 5, offset 4096
      04000000 00000000                         # whence SEEK_HOLE, padding`),
    calls: [call('lseek', { fh: 5, offsetLow: 4096, offsetHigh: 0, whence: 4 })],
  },
  ...(
    [
      ['COPY_FILE_RANGE', '2f', false],
      ['COPY_FILE_RANGE_64', '35', true],
    ] as const
  ).map(([name, opcode, wide]) => ({
    name,
    message: hex(`
      60000000 ${opcode}000000 0200000000000000 # len 96, COPY_FILE_RANGE or COPY_FILE_RANGE_64, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0500000000000000 0010000000000000         # fh_in 5, off_in 4096
      0800000000000000 0600000000000000         # nodeid_out 8, fh_out 6
      0020000000000000 0000000002000000         # off_out 8192, len 2^33
      0000000000000000                          # flags`),
    calls: [
      call('copyFileRange', {
        fh: 5,
        offsetLow: 4096,
        offsetHigh: 0,
        targetNode: 8,
        targetFh: 6,
        targetOffsetLow: 8192,
        targetOffsetHigh: 0,
        lengthLow: 0,
        lengthHigh: 2,
        flags: 0,
        wide,
      }),
    ],
  })),
  {
    name: 'SETUPMAPPING',
    message: hex(`
      50000000 30000000 0200000000000000        # len 80, SETUPMAPPING, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0500000000000000 0000000000000000         # fh 5, foffset
      0010000000000000 0200000000000000         # len 4096, flags READ
      0000000000000000                          # moffset`),
    failure: -38,
    calls: [],
    shorter: () => true,
  },
  {
    name: 'REMOVEMAPPING',
    message: hex(`
      3c000000 31000000 0200000000000000        # len 60, REMOVEMAPPING, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      01000000                                  # count 1
      0000000000000000 0010000000000000         # moffset, len 4096`),
    failure: -38,
    calls: [],
    shorter: () => true,
  },
  {
    name: 'SYNCFS',
    message: hex(`
      30000000 32000000 0200000000000000        # len 48, SYNCFS, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0000000000000000                          # padding`),
    failure: -38,
    calls: [],
    shorter: () => true,
  },
  {
    name: 'STATX',
    message: hex(`
      40000000 34000000 0200000000000000        # len 64, STATX, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      01000000 00000000 0500000000000000        # getattr_flags FH, reserved, fh 5
      00000000 ff0f0000                         # sx_flags, sx_mask BASIC_STATS BTIME`),
    calls: [call('statx', { hasHandle: true, fh: 5, mask: 0xfff })],
  },
  {
    name: 'an opcode of a kernel to come',
    message: hex(`
      30000000 36000000 0200000000000000        # len 48, opcode 54, unique 2
      0700000000000000 e8030000 d0070000        # node 7, uid 1000, gid 2000
      39300000 0000 0000                        # pid 12345, no extensions, padding
      0000000000000000                          # who knows`),
    failure: -38,
    calls: [],
    shorter: () => true,
  },
  {
    name: 'CUSE_INIT',
    message: hex(`
      38000000 00100000 0200000000000000        # len 56, CUSE_INIT, unique 2
      0000000000000000 00000000 00000000        # node 0, uid 0, gid 0
      00000000 0000 0000                        # pid 0, no extensions, padding
      07000000 2d000000 00000000 01000000       # major 7, minor 45, unused, flags`),
    failure: -38,
    calls: [],
    shorter: () => true,
  },
];

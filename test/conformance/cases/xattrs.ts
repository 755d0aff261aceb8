import { device, dir, fifo, file, hard, symlink } from '../../support/layers.js';
import { everywhere, group } from '../model.js';

const raw = String.raw;

/** The binary form of a POSIX ACL (version 2): tag, permissions, id of each entry. */
function acl(...entries: [tag: number, permissions: number, id?: number][]): Buffer {
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(2, 0);
  entries.forEach(([tag, permissions, id = 0xffffffff], index) => {
    bytes.writeUInt16LE(tag, 4 + index * 8);
    bytes.writeUInt16LE(permissions, 6 + index * 8);
    bytes.writeUInt32LE(id, 8 + index * 8);
  });
  return bytes;
}
const hex = (bytes: Buffer): string => [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
const [OWNER, USER, GROUP_OWNER, GROUP, MASK, OTHER] = [1, 2, 4, 8, 16, 32];
const SHARED = acl([OWNER, 7], [USER, 7, 1000], [GROUP_OWNER, 5], [MASK, 7], [OTHER, 0]);
const WITH_GROUP = acl([OWNER, 6], [GROUP_OWNER, 0], [GROUP, 6, 4242], [MASK, 6], [OTHER, 0]);
const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';

export default group('xattrs', [
  ...everywhere({
    name: 'set, get, list, replace, remove',
    tree: {
      f: file('1', { xattrs: { 'user.a': '1', 'user.b': Buffer.from([0, 255, 10]), 'trusted.t': 'root' } }),
      d: dir({ xattrs: { 'user.d': 'x' } }),
    },
    steps: raw`
      listxattr f
      getxattr f user.a
      getxattr f user.b
      getxattr f trusted.t
      getxattr f user.none
      setxattr f user.c new
      setxattr f user.a changed
      setxattr f user.empty value=
      listxattr f
      getxattr f user.a
      getxattr f user.empty
      removexattr f user.b
      removexattr f user.b
      getxattr f user.b
      listxattr f
      listxattr d
      setxattr d user.e y
      removexattr d user.d
      listxattr d
      getxattr nope user.a
      read f
      stat f`,
    again: 'manifest .',
  }),
  ...everywhere({
    name: 'CREATE wants it absent, REPLACE wants it there',
    tree: { f: file('1', { xattrs: { 'user.a': '1' } }), plain: '2' },
    steps: raw`
      setxattr f user.a 2 flags=CREATE
      setxattr f user.b 2 flags=REPLACE
      setxattr f user.a 3 flags=REPLACE
      setxattr f user.b 4 flags=CREATE
      setxattr f user.c 4 flags=CREATE|REPLACE
      setxattr plain user.a 1 flags=REPLACE
      removexattr plain user.a
      stat plain
      listxattr f
      getxattr f user.a`,
  }),
  ...everywhere({
    name: 'sizes: zero asks, too small is ERANGE, too long fails and changes nothing',
    tree: { f: file('1', { xattrs: { 'user.a': 'x'.repeat(100) } }) },
    steps: raw`
      getxattr f user.a size=0
      getxattr f user.a size=99
      getxattr f user.a size=100
      listxattr f size=0
      listxattr f size=3
      setxattr f user.long size=2000
      getxattr f user.long
      setxattr f user.huge size=65536
      setxattr f user.over size=65537
      setxattr f user.${'n'.repeat(250)} 1
      setxattr f user.${'n'.repeat(251)} 1
      listxattr f`,
    again: 'manifest .',
  }),
  ...everywhere({
    name: 'user xattrs belong on files and directories; other types take trusted and security',
    tree: { l: symlink('nowhere', { xattrs: { 'trusted.k': 'link' } }), p: fifo(), c: device('c', '1:3') },
    steps: raw`
      setxattr l user.a 1
      setxattr p user.a 1
      setxattr c user.a 1
      getxattr l user.a
      getxattr p user.a
      getxattr l trusted.k
      listxattr l
      setxattr l trusted.k changed
      setxattr p trusted.k on-fifo
      setxattr c security.x on-device
      getxattr c security.x
      listxattr p
      removexattr l trusted.k
      listxattr l
      stat l`,
    again: 'manifest .',
  }),
  {
    name: 'a symlink is followed only when that is asked for',
    lower: {
      f: file('1', { xattrs: { 'user.k': 'target' } }),
      l: symlink('f', { xattrs: { 'trusted.k': 'link' } }),
      dangling: symlink('nope'),
    },
    steps: raw`
      getxattr l user.k follow=1
      getxattr l user.k
      listxattr l
      listxattr l follow=1
      setxattr l user.n 1 follow=1
      listxattr f
      setxattr l trusted.n 1
      listxattr f
      removexattr l user.k follow=1
      listxattr f
      setxattr dangling user.k 1 follow=1
      setxattr dangling trusted.k 1
      listxattr dangling`,
  },
  {
    name: 'ordinary users: user xattrs by the permission bits, trusted unseen',
    lower: {
      f: file('1', { xattrs: { 'user.k': 'v', 'trusted.t': 'secret' } }),
      closed: file('2', { mode: 0o600, xattrs: { 'user.k': 'v' } }),
      open: file('3', { mode: 0o666 }),
      sticky: dir({ mode: 0o1777 }),
    },
    steps: raw`
      getxattr f user.k uid=1000
      setxattr f user.k w uid=1000
      getxattr closed user.k uid=1000
      listxattr closed uid=1000
      setxattr open user.k w uid=1000
      getxattr open user.k
      getxattr f trusted.t uid=1000
      setxattr open trusted.t x uid=1000
      listxattr f uid=1000
      listxattr f
      removexattr f trusted.t uid=1000
      setxattr sticky user.k v uid=1000
      setxattr open security.x y uid=1000`,
  },
  {
    name: 'namespaces: unknown and empty names are refused',
    lower: { f: '1' },
    steps: raw`
      setxattr f nonsense.k v
      setxattr f user v
      setxattr f user. v
      getxattr f nonsense.k
      removexattr f nonsense.k
      listxattr f`,
  },
  {
    name: 'the xattrs of the overlay itself are not listed after every kind of change',
    lower: { f: '1', g: hard('f'), 'd/x': '2', 'e/y': '3', l: symlink('f'), p: fifo(), z: '5' },
    steps: raw`
      chmod f 0600
      write z changed
      rename d d2
      chmod e 0700
      remove d2
      mkdir d2
      utimens l mtime=1.0
      chmod p 0600
      write e/n 1 flags=O_CREAT
      listxattr f
      listxattr g
      listxattr z
      listxattr d2
      listxattr e
      listxattr l
      listxattr p
      listxattr .
      manifest .`,
    again: 'manifest .',
  },
  ...everywhere({
    name: 'the xattrs of an overlay inside are kept as they are, and mean nothing here',
    tree: { 'd/x': '1', 'e/y': '2', f: '3' },
    steps: raw`
      setxattr d trusted.overlay.opaque y
      setxattr e trusted.overlay.redirect /d
      setxattr f trusted.overlay.metacopy value=
      setxattr d user.overlay.opaque y
      getxattr d trusted.overlay.opaque
      getxattr e trusted.overlay.redirect
      listxattr d
      listxattr e
      listxattr f
      list d
      list e
      read f
      removexattr e trusted.overlay.redirect
      getxattr e trusted.overlay.redirect
      getxattr e trusted.overlay.origin
      rename d g
      listxattr g
      list g`,
    again: raw`
      listxattr g
      list g
      list e
      read f`,
  }),
  ...everywhere({
    name: 'xattrs go with a rename, a link and a write',
    tree: { f: file('1', { xattrs: { 'user.k': 'v' } }), 'd/x': '2', d: dir({ xattrs: { 'user.d': 'w' } }) },
    steps: raw`
      rename f d/f
      getxattr d/f user.k
      link d/f g
      getxattr g user.k
      setxattr g user.n 1
      write d/f x
      listxattr d/f
      rename d e
      getxattr e user.d
      listxattr e`,
    again: 'manifest .',
  }),
  ...everywhere({
    name: 'xattrs by a descriptor, of a removed file too',
    tree: { f: file('1', { xattrs: { 'user.k': 'v' } }) },
    steps: raw`
      open r f
      getxattr fd=r name=user.k
      setxattr fd=r name=user.n value=1
      listxattr f
      unlink f
      listxattr fd=r
      setxattr fd=r name=user.o value=2
      removexattr fd=r name=user.k
      listxattr fd=r`,
  }),
  ...everywhere({
    name: 'an access ACL decides, shows in the mode, and follows chmod',
    tree: { f: file('1', { mode: 0o600 }), d: dir({ mode: 0o700 }), 'd/x': '2' },
    steps: raw`
      read f uid=1000
      setxattr f ${ACCESS} ${hex(SHARED)}
      stat f
      read f uid=1000
      write f x uid=1000
      read f uid=1001
      chmod f 0600
      getxattr f ${ACCESS}
      read f uid=1000
      chmod f 0660
      read f uid=1000
      setxattr f ${ACCESS} ${hex(WITH_GROUP)}
      stat f
      read f uid=1000
      read f uid=1000 groups=4242
      setxattr d ${ACCESS} ${hex(SHARED)}
      list d uid=1000
      listxattr f
      removexattr f ${ACCESS}
      stat f
      listxattr f`,
    again: 'manifest .',
  }),
  ...everywhere({
    name: 'a default ACL is inherited, and the umask then does not count',
    tree: { d: dir({ mode: 0o777 }), 'd/old': dir() },
    steps: raw`
      setxattr d ${DEFAULT} ${hex(SHARED)}
      listxattr d
      open f d/f flags=O_RDWR|O_CREAT mode=0666 umask=077
      stat d/f
      getxattr d/f ${ACCESS}
      mkdir d/s 0777 umask=077
      stat d/s
      getxattr d/s ${ACCESS}
      getxattr d/s ${DEFAULT}
      write d/s/g 1 flags=O_CREAT uid=1000 umask=022
      stat d/s/g
      getxattr d/s/g ${ACCESS}
      symlink t d/l
      listxattr d/l
      mknod d/p 010666 umask=022
      stat d/p
      open t d flags=O_TMPFILE|O_RDWR mode=0666 umask=077
      stat fd=t
      getxattr fd=t name=${ACCESS}
      write d/old/n 1 flags=O_CREAT umask=022
      stat d/old/n
      listxattr d/old/n
      removexattr d ${DEFAULT}
      open h d/h flags=O_RDWR|O_CREAT mode=0666 umask=077
      stat d/h`,
    again: 'manifest .',
  }),
  {
    name: 'lowers may carry ACLs, and keep them over copy-up',
    lower: {
      f: file('1', { mode: 0o670, xattrs: { [ACCESS]: acl([OWNER, 6], [USER, 6, 1000], [GROUP_OWNER, 0], [MASK, 7], [OTHER, 0]) } }),
      d: dir({ mode: 0o770, xattrs: { [DEFAULT]: SHARED, [ACCESS]: SHARED } }),
      'd/x': '1',
    },
    steps: raw`
      stat f
      read f uid=1000
      read f uid=1001
      write f 2 uid=1000
      getxattr f ${ACCESS}
      chown f owner=5
      getxattr f ${ACCESS}
      write d/new 1 flags=O_CREAT uid=1000
      getxattr d/new ${ACCESS}
      write d/x 2 uid=1000
      stat d/x
      listxattr d/x
      rename d e
      getxattr e ${DEFAULT}
      manifest .`,
    again: 'manifest .',
  },
  {
    name: 'ACLs are refused where they mean nothing',
    lower: { f: '1', d: dir(), l: symlink('f'), mine: file('', { uid: 1000 }) },
    steps: raw`
      setxattr f ${DEFAULT} ${hex(SHARED)}
      setxattr l ${ACCESS} ${hex(SHARED)}
      setxattr f ${ACCESS} bogus
      setxattr d ${ACCESS} ${hex(acl([OWNER, 7], [USER, 7, 5], [OTHER, 0]))}
      setxattr f ${ACCESS} ${hex(SHARED)} uid=1000
      setxattr mine ${ACCESS} ${hex(SHARED)} uid=1000
      stat mine
      getxattr f ${ACCESS}
      getxattr f ${DEFAULT}
      removexattr f ${ACCESS}
      listxattr d`,
  },
  {
    name: 'an ACL that says no more than a mode becomes one',
    lower: { f: '1' },
    steps: raw`
      setxattr f ${ACCESS} ${hex(acl([OWNER, 6], [GROUP_OWNER, 4], [OTHER, 0]))}
      stat f
      listxattr f`,
    again: 'stat f',
  },
  {
    name: 'setgid of a file goes when an outsider sets an ACL',
    lower: { f: file('1', { mode: 0o2775, uid: 1000, gid: 4242 }) },
    steps: raw`
      setxattr f ${ACCESS} ${hex(SHARED)} uid=1000
      stat f
      chmod f 02775
      setxattr f ${ACCESS} ${hex(SHARED)} uid=1000 groups=4242
      stat f`,
  },
]);

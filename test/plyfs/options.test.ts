/** The text of -o. */
import t from 'tap';
import { MountFlag, OptionError, parseOptions } from '../../daemon/mounts/options.js';

const UPPER = 'upperdir=/u,workdir=/w';

t.test('the forms that callers use', (t) => {
  const podman = parseOptions('lowerdir=/s/l/SEDR:/s/l/AU3S,upperdir=/s/1/diff,workdir=/s/1/work,,volatile');
  t.match(podman, { lower: ['/s/l/SEDR', '/s/l/AU3S'], upper: '/s/1/diff', work: '/s/1/work', volatile: true, ignored: [] });
  t.same(parseOptions('lowerdir=/a,dev,suid').flags, MountFlag.RDONLY, 'mount.fuse3 appends dev,suid');
  const keepId = parseOptions(`lowerdir=/a,${UPPER},uidmapping=:0:1:2001:2001:0:1,gidmapping=:0:1:1`);
  t.match(keepId, {
    uidMap: [
      { kept: 0, shown: 1, count: 2001 },
      { kept: 2001, shown: 0, count: 1 },
    ],
    gidMap: [{ kept: 0, shown: 1, count: 1 }],
    ignored: [],
  });
  t.match(parseOptions(`rw,lowerdir=/a,${UPPER},private,_netdev,lazytime`), { flags: MountFlag.LAZYTIME, ignored: ['private', '_netdev'] });
  t.end();
});

t.test('escapes, quotes and bytes in paths', (t) => {
  const rows: [text: string, lower: string[]][] = [
    [String.raw`lowerdir=/a\:b:/c`, ['/a:b', '/c']],
    [String.raw`lowerdir=/a\\:/c`, ['/a\\', '/c']],
    [String.raw`lowerdir=/a\,b:/c,volatile`, ['/a,b', '/c']],
    [String.raw`lowerdir=/a\\\:b`, ['/a\\:b']],
    [String.raw`lowerdir=/a\ b`, ['/a b']],
    ['lowerdir="/a,b:/c",volatile', ['/a,b', '/c']],
    ['lowerdir=/a"b:/c', ['/a"b', '/c']],
    ['lowerdir=/a\xff\xfe:/c', ['/a\xff\xfe', '/c']],
    ['lowerdir=/a=b', ['/a=b']],
    ['lowerdir=/a,lowerdir=/b', ['/b']],
  ];
  for (const [text, lower] of rows) t.same(parseOptions(text).lower, lower, text);
  t.match(parseOptions(String.raw`lowerdir=/l,upperdir=/u\:x,workdir=/w\,y`), { upper: '/u:x', work: '/w,y' });
  t.match(parseOptions('lowerdir=/l,context="a:b,c",volatile'), { volatile: true, ignored: [] });
  t.end();
});

t.test('500 layers', (t) => {
  const list = Array.from({ length: 500 }, (_, i) => `/var/lib/containers/storage/overlay/l/${String(i).padStart(26, '0')}`);
  t.same(parseOptions(`lowerdir=${list.join(':')}`).lower, list);
  t.end();
});

t.test('what an option means, and that the last one counts', (t) => {
  const rows: [text: string, expected: object][] = [
    ['', { redirect: true, metacopy: true, index: true, passthrough: 'auto', maxStackDepth: 1, acl: true, xattrs: true, volatile: false }],
    ['redirect_dir=off,metacopy=off,index=off', { redirect: false, metacopy: false, index: false }],
    ['redirect_dir=off,redirect_dir=on', { redirect: true }],
    ['redirect_dir=follow', { redirect: false }],
    ['passthrough=never', { passthrough: 'never' }],
    ['passthrough=always,max_stack_depth=2', { passthrough: 'always', maxStackDepth: 2 }],
    ['noacl', { acl: false }],
    ['noxattrs', { xattrs: false }],
    ['userxattr', { userxattr: true }],
    ['squash_to_uid=0,squash_to_gid=4294967294', { squashUid: 0, squashGid: 4294967294 }],
    ['workers=1', { workers: 1 }],
    ['transport=dev,transport=uring', { transport: 'uring' }],
    ['workers=29,log_level=trace', { workers: 29, logLevel: 'trace' }],
    ['fsname=rootfs of x', { fsname: 'rootfs of x' }],
    ['allow_other,default_permissions,defaults', { ignored: [] }],
    ['volatile', { volatile: true }],
    [
      '',
      { uidMap: [], gidMap: [], xattrPermissions: 0, staticNlink: false, timeout: undefined, squashUid: undefined, squashGid: undefined },
    ],
    ['uidmapping=0:1000:1:1:100000:65536,uidmapping=5:6:7', { uidMap: [{ kept: 5, shown: 6, count: 7 }] }],
    [
      'uidmapping="0:1000:1,1:100000:65536"',
      {
        uidMap: [
          { kept: 0, shown: 1000, count: 1 },
          { kept: 1, shown: 100000, count: 65536 },
        ],
      },
    ],
    ['gidmapping=0:0:4294967295', { gidMap: [{ kept: 0, shown: 0, count: 4294967295 }] }],
    ['uidmapping=,gidmapping=0:1:0', { uidMap: [], gidMap: [] }],
    ['squash_to_root', { squashUid: 0, squashGid: 0 }],
    ['squash_to_gid=5,squash_to_root', { squashUid: 0, squashGid: 5 }],
    ['squash_to_root,squash_to_uid=5', { squashUid: 5, squashGid: 0 }],
    ['xattr_permissions=1,xattr_permissions=2', { xattrPermissions: 2 }],
    ['static_nlink', { staticNlink: true }],
    ['fsync=0', { volatile: true }],
    ['fsync=0,fsync=1', { volatile: false }],
    ['volatile,fsync=1', { volatile: true }],
    ['noxattrs=1', { xattrs: false }],
    ['noxattrs=0', { xattrs: true }],
    ['timeout=0', { timeout: 0 }],
    ['timeout=1.75', { timeout: 1 }],
    ['timeout=1e9', { timeout: 1000000000 }],
    ['timeout=1000000000000', { timeout: 2147483647 }],
    ['threaded=1,writeback=0,fast_ino=1,context="system_u:object_r:container_file_t:s0:c1,c2",plugins=', { ignored: [] }],
  ];
  for (const [text, expected] of rows) t.match(parseOptions(`lowerdir=/l,${text}`), expected, text);
  t.equal(parseOptions('lowerdir=/l').userxattr, undefined);
  t.end();
});

t.test('mount flags', (t) => {
  const rows: [text: string, flags: number][] = [
    [UPPER, 0],
    ['', MountFlag.RDONLY],
    ['rw', MountFlag.RDONLY], // without an upper it is read-only, whatever is said
    [`${UPPER},ro`, MountFlag.RDONLY],
    [`${UPPER},ro,rw`, 0],
    [`${UPPER},nodev,nosuid,noexec`, MountFlag.NODEV | MountFlag.NOSUID | MountFlag.NOEXEC],
    [`${UPPER},nodev,nosuid,dev`, MountFlag.NOSUID],
    [`${UPPER},noatime,nodiratime,sync,dirsync`, MountFlag.NOATIME | MountFlag.NODIRATIME | MountFlag.SYNCHRONOUS | MountFlag.DIRSYNC],
    [`${UPPER},relatime,strictatime,nosymfollow`, MountFlag.RELATIME | MountFlag.STRICTATIME | MountFlag.NOSYMFOLLOW],
  ];
  for (const [text, flags] of rows) t.equal(parseOptions(`lowerdir=/l,${text}`).flags, flags, text || '(none)');
  t.end();
});

t.test('what cannot be is refused with the reason and what to do', (t) => {
  const rows: [text: string, message: RegExp][] = [
    ['', /^lowerdir is missing: name at least one layer/],
    ['upperdir=/u,workdir=/w', /^lowerdir is missing/],
    ['lowerdir', /^option lowerdir has no value: it takes the path of a directory/],
    ['lowerdir=', /^option lowerdir has no value/],
    ['lowerdir=/a::/b', /^lowerdir has an empty entry in "\/a::\/b"/],
    ['lowerdir=/a:', /empty entry/],
    ['lowerdir=:/a', /empty entry/],
    ['lowerdir=/a,upperdir=/u', /^upperdir without workdir: add workdir=DIR/],
    ['lowerdir=/a,workdir=/w', /^workdir without upperdir: add upperdir=DIR/],
    ['lowerdir=/a,redirect_dir=nofollow', /^option redirect_dir cannot be "nofollow": it takes one of on, off, follow/],
    ['lowerdir=/a,metacopy', /^option metacopy has no value: it takes one of on, off/],
    ['lowerdir=/a,index=1', /^option index cannot be "1"/],
    ['lowerdir=/a,passthrough=yes', /^option passthrough cannot be "yes": it takes one of auto, always, never/],
    ['lowerdir=/a,workers=0', /^option workers cannot be "0": it takes a number from 1 to 29/],
    ['lowerdir=/a,workers=30', /number from 1 to 29/],
    ['lowerdir=/a,workers=two', /^option workers cannot be "two"/],
    ['lowerdir=/a,workers=0x2', /^option workers/],
    ['lowerdir=/a,squash_to_uid=-1', /^option squash_to_uid cannot be "-1"/],
    ['lowerdir=/a,squash_to_gid=4294967295', /^option squash_to_gid/],
    ['lowerdir=/a,max_stack_depth=3', /^option max_stack_depth/],
    ['lowerdir=/a,transport=ring', /^option transport cannot be "ring": it takes one of auto, dev, uring/],
    ['lowerdir=/a,log_level=loud', /^option log_level cannot be "loud": it takes one of trace, debug/],
    ['lowerdir=/a,uidmapping=0:1', /^option uidmapping cannot be "0:1": it takes ID ON DISK:ID SHOWN:HOW MANY/],
    ['lowerdir=/a,gidmapping=0:1:x', /^option gidmapping/],
    ['lowerdir=/a,gidmapping=0:-1:1', /^option gidmapping/],
    ['lowerdir=/a,uidmapping=0:1:4294967295', /^option uidmapping/],
    ['lowerdir=/a,xattr_permissions=3', /^option xattr_permissions cannot be "3"/],
    ['lowerdir=/a,xattr_permissions', /^option xattr_permissions has no value/],
    ['lowerdir=/a,fsync', /^option fsync has no value/],
    ['lowerdir=/a,fsync=2', /^option fsync/],
    ['lowerdir=/a,timeout=soon', /^option timeout cannot be "soon": it takes a number of seconds/],
    ['lowerdir=/a,plugins=/usr/lib/p.so', /^option plugins \("\/usr\/lib\/p.so"\): plyfs loads no plugins/],
    ['lowerdir=/a,redirect_dir=constructor', /^option redirect_dir/],
  ];
  for (const [text, message] of rows) {
    let caught: unknown;
    try {
      parseOptions(text);
    } catch (error) {
      caught = error;
    }
    t.ok(caught instanceof OptionError, text || '(empty)');
    t.match((caught as Error | undefined)?.message, message);
  }
  t.same(parseOptions('lowerdir=/a,constructor,toString=1').ignored, ['constructor', 'toString'], 'names of Object are no options');
  t.end();
});

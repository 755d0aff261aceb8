import t from 'tap';
import { native } from './support';

t.test('fuseHeader knows sizes, offsets and values', (t) => {
  const want: Record<string, number> = {
    'sizeof:fuse_in_header': 40,
    'sizeof:fuse_out_header': 16,
    'sizeof:fuse_attr': 88,
    'sizeof:fuse_entry_out': 128,
    'sizeof:fuse_setattr_in': 88,
    'sizeof:fuse_kstatfs': 80,
    'sizeof:fuse_direntplus': 152,
    'offsetof:fuse_in_header.unique': 8,
    'offsetof:fuse_attr.mode': 60,
    'offsetof:fuse_entry_out.attr': 40,
    'offsetof:fuse_dirent.name': 24,
    'offsetof:fuse_init_out.max_write': 20,
    FUSE_LOOKUP: 1,
    FUSE_RENAME2: 45,
    FUSE_NOTIFY_DELETE: 6,
    FUSE_KERNEL_VERSION: 7,
    FUSE_ROOT_ID: 1,
    FATTR_CTIME: 1 << 10,
    FOPEN_STREAM: 16,
    FUSE_POSIX_ACL: 1 << 20,
    FUSE_DEV_IOC_CLONE: 0x8004e500,
  };
  for (const [name, value] of Object.entries(want)) t.equal(native.fuseHeader(name), value, name);
  t.end();
});

t.test('what is newer than the header is undefined, and unsigned when it is there', (t) => {
  const minor = native.fuseHeader('FUSE_KERNEL_MINOR_VERSION')!;
  t.ok(minor >= 31);
  const since: [name: string, minor: number, value: number][] = [
    ['FUSE_SYNCFS', 34, 50],
    ['FUSE_INIT_RESERVED', 36, 2 ** 31],
    ['FUSE_SECURITY_CTX', 36, 2 ** 32],
    ['offsetof:fuse_in_header.total_extlen', 38, 36],
    ['FUSE_STATX', 39, 52],
    ['FUSE_PASSTHROUGH', 40, 2 ** 37],
    ['offsetof:fuse_init_out.max_stack_depth', 40, 36],
    ['FUSE_OVER_IO_URING', 42, 2 ** 41],
    ['FUSE_COPY_FILE_RANGE_64', 45, 53],
  ];
  for (const [name, from, value] of since) t.equal(native.fuseHeader(name), minor >= from ? value : undefined, name);
  for (const name of ['', 'sizeof:', 'FUSE_NONSENSE', 'sizeof:fuse_none', 'FUSE_LOOKUP\0', 'x'.repeat(1000)])
    t.equal(native.fuseHeader(name), undefined);
  t.end();
});

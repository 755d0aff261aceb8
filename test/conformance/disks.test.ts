/**
 * Layers on ext4, xfs, btrfs and tmpfs, mixed in one stack, with the upper on each of them: the host, on ext4, says what is right. And what a
 * file system of its own lets one see: a full disk, xattrs as large as it holds, that fsync writes.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { build, sparse, type Tree } from '../support/layers.js';
import { leftBehind, removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { disk, type Disk, type Kind } from '../support/loops.js';
import { must } from '../support/mounts.js';
import { script } from '../support/script.js';
import { runOperations } from '../support/syscalls.js';
import { type Mounted, target } from '../support/targets.js';
import { difference, manifest } from '../support/trees.js';
import { writable } from './cases.js';
import { differences, known, show } from './compare.js';
import { runOn } from './run.js';
import { compose, fits } from './stack.js';

const KINDS: readonly Kind[] = ['ext4', 'xfs', 'btrfs', 'tmpfs'];
const long = process.env['PLYFS_TEST_LONG'] === '1';
/** Each upper takes minutes with all of them. */
const SUBJECTS = !long
  ? ['identity', 'whiteouts', 'copy-up', 'letter']
  : ['lookup', 'create', 'mkdir-rmdir-unlink', 'link', 'mknod', 'data', 'tmpfile', 'identity', 'whiteouts', 'copy-up', 'xattrs', 'letter'];

/** What a case asks of the host's own file system, and others have not. */
const LOCAL = [
  /xattrs: sizes:/, // of values: each file system has its own limit
  /st_nlink of directories/, // btrfs has always 1
  /inode flags/,
  /mknod: a fifo carries data/, // whether that moves the times of its file
  /xattrs: lowers may carry ACLs/, // xfs lists them as trusted.SGI_ACL_FILE too
];
/** And what the upper's file system cannot hold. */
const BEYOND: Partial<Record<Kind, RegExp>> = {
  xfs: /symlink target of 4,095 bytes|mknod: fifo, socket, devices and regular files|xattrs: (CREATE wants|an access ACL|a default ACL)/,
};

async function on(kinds: readonly Kind[], work: (disks: Disk[]) => Promise<void>): Promise<void> {
  const disks: Disk[] = [];
  try {
    for (const kind of kinds) disks.push(await disk(kind, 600));
    await work(disks);
  } finally {
    for (const one of disks) await one.remove();
  }
}

t.test('a stack of lowers on four file systems', async (t) => {
  const cases = writable.filter(
    (one) => SUBJECTS.includes(one.subject) && fits(one, 4) && !LOCAL.some((pattern) => pattern.test(`${one.subject}: ${one.one.name}`)),
  );
  const stack = compose(cases, 4);
  await on(KINDS, async (disks) => {
    const lowers: string[] = [];
    for (const [index, { directory }] of disks.entries()) {
      const lower = path.join(directory, 'lower');
      fs.mkdirSync(lower);
      await build(lower, stack.lowers[index]);
      lowers.push(lower);
    }
    const host = await runOn(target('host'), cases, stack, { lowers });
    t.equal(host.stopped, undefined, 'the host answered');
    for (const [index, kind] of KINDS.entries()) {
      if (!long && kind === 'ext4') continue;
      const run = await runOn(target('plyfs'), cases, stack, { lowers, upperIn: disks[index].directory });
      const found = cases.flatMap((one) => {
        const title = `${one.subject}: ${one.one.name}`;
        if (BEYOND[kind]?.test(title) === true) return [];
        const wrong = differences(host.facts.get(one.id) ?? [], run.facts.get(one.id) ?? []);
        return wrong
          .filter((it) => !known('plyfs', title, it) && !known('kernel', title, it)?.plyfsMay)
          .map((it) => `${title}: ${show(it)}`);
      });
      if (run.stopped !== undefined) found.push(run.stopped);
      if (found.length === 0) t.pass(`the upper on ${kind}: as on the host`);
      else t.fail(`the upper on ${kind}`, { found: found.slice(0, 30), at: null, stack: '' });
      t.same(run.lost, [], `the upper on ${kind}: the tree is the same after a remount`);
    }
  });
});

t.test('inode numbers are unique across layers on different file systems', async (t) => {
  await on(['ext4', 'ext4', 'xfs', 'btrfs', 'tmpfs'], async (disks) => {
    const lowers: string[] = [];
    for (const [index, { directory }] of disks.entries()) {
      const lower = path.join(directory, 'lower');
      fs.mkdirSync(lower);
      // fresh file systems of one kind give the same numbers
      await build(lower, Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`d/${index}-${i}`, 'x'])));
      lowers.push(lower);
    }
    const mounted = await target('plyfs').setup(lowers, { upperIn: disks[1].directory });
    try {
      const made = Array.from({ length: 50 }, (_, i) => `write d/new-${i} x flags=O_CREAT\nchmod d/0-${i} 0600`).join('\n');
      await runOperations(mounted.mountpoint, script(made));
      const seen = [...(await manifest(mounted.mountpoint, { ino: true })).values()].map(({ ino }) => ino);
      t.equal(seen.length, 302, 'all are there');
      t.equal(new Set(seen).size, seen.length, 'each has a number of its own');
    } finally {
      await mounted.teardown();
    }
  });
});

t.test('a lower on a file system that has no ACLs', async (t) => {
  const base = temporaryDirectory();
  const lower = path.join(base, 'lower');
  fs.mkdirSync(lower);
  await must('mount', ['-t', 'ramfs', 'ramfs', lower]);
  try {
    await must('sh', ['-c', 'mkdir d && echo of-another >d/f && echo more >d/g && chown -R 1:1 .'], { cwd: lower });
    for (const readOnly of [false, true]) {
      const mounted = await target('plyfs').setup([lower], { readOnly });
      try {
        const file = path.join(mounted.mountpoint, 'd', 'f');
        const other = ['--reuid=65534', '--regid=65534', '--clear-groups'];
        t.equal(await must('cat', [file]), 'of-another\n', `root reads it${readOnly ? ', read-only' : ''}`);
        t.equal(await must('setpriv', [...other, 'cat', file]), 'of-another\n', 'so does anybody');
        t.equal(await must('setpriv', [...other, 'ls', path.dirname(file)]), 'f\ng\n', 'and lists its directory');
        if (readOnly) continue;
        await must('sh', ['-c', 'echo 1 >>d/f && setfacl -m u:65534:rw d/f && setpriv "$@" sh -c "echo 2 >>d/f"', 'sh', ...other], {
          cwd: mounted.mountpoint,
        });
        t.equal(await must('cat', [file]), 'of-another\n1\n2\n', 'its copy takes ACLs where the upper does');
      } finally {
        await mounted.teardown();
      }
    }
  } finally {
    await must('umount', [lower]);
    await removeDirectory(base);
  }
});

t.test('xattr values of 64 KiB, on an upper that holds them', async (t) => {
  await on(['xfs'], async ([{ directory }]) => {
    const lower = path.join(directory, 'lower');
    fs.mkdirSync(lower);
    await build(lower, { f: 'x', g: 'y' });
    await runOperations(lower, script('setxattr g user.big size=65536'));
    const steps = script(`
      setxattr f user.big size=65536
      getxattr f user.big
      setxattr f user.over size=65537
      getxattr g user.big
      chmod g 0600
      getxattr g user.big
      listxattr g
      write g more
      getxattr g user.big`);
    const mounted = await target('plyfs').setup([lower], { upperIn: directory });
    try {
      const seen = await runOperations(mounted.mountpoint, steps);
      t.same(
        seen.map(({ error, fields }) => [error, fields.size ?? fields.n ?? '']),
        [
          ['ok', ''],
          ['ok', '65536'],
          ['E2BIG', ''],
          ['ok', '65536'],
          ['ok', ''],
          ['ok', '65536'],
          ['ok', ''],
          ['ok', '4'],
          ['ok', '65536'],
        ],
      );
    } finally {
      await mounted.teardown();
    }
  });
});

const left = (mounted: Mounted): string[] => fs.readdirSync(path.join(mounted.work, 'work'));

t.test('a full upper: ENOSPC, the file as it was, nothing left in work', async (t) => {
  const lower: Tree = {
    big: sparse(6 << 20, [[0, 6 << 20]]),
    small: 'small',
    'd/f': 'x',
    ...Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`m${i}`, 'x'.repeat(3000)])),
  };
  const small = await disk('ext4', 6);
  let mounted: Mounted | undefined;
  try {
    mounted = await target('plyfs').setup([lower], { upperIn: small.directory });
    const before = await manifest(mounted.mountpoint);
    const refused = await runOperations(
      mounted.mountpoint,
      script(`
        write big off=100 data=X
        open w big flags=O_RDWR
        truncate big 5900000
        chmod big 0600
        write big off=100 data=X
        chmod big 0644`),
    );
    t.same(
      refused.map(({ error }) => error),
      ['ENOSPC', 'ENOSPC', 'ENOSPC', 'ok', 'ENOSPC', 'ok'],
    );
    t.same(difference(before, await manifest(mounted.mountpoint)), [], 'the tree is as it was');
    t.same(left(mounted), [], 'work is empty');

    // to the last block and inode
    const filling = await runOperations(
      mounted.mountpoint,
      script(
        'open w filler flags=O_RDWR|O_CREAT\n' +
          'write fd=w len=65536 pattern=1\n'.repeat(100) +
          'write fd=w len=1024 pattern=1\n'.repeat(80),
      ),
    );
    t.ok(
      filling.some(({ error }) => error === 'ENOSPC'),
      'it is full',
    );
    const full = await manifest(mounted.mountpoint);
    const many = Array.from({ length: 40 }, (_, i) => [
      `write m${i} X`,
      `mkdir new${i}`,
      `rename d/f d/g${i}`,
      `rename d/g${i} d/f`,
      `unlink m${i}x`,
    ]).flat();
    const outcomes = await runOperations(mounted.mountpoint, script(many.join('\n')));
    const strange = outcomes
      .map(({ error }, index) => `${many[index]}: ${error}`)
      .filter((line) => !/: (ok|ENOSPC)$/.test(line) && !/^(unlink|rename).*: ENOENT$/.test(line));
    t.same(strange, [], 'what cannot be done is ENOSPC');
    const failed = new Set(many.filter((_, index) => outcomes[index].error === 'ENOSPC').map((line) => line.split(' ')[1]));
    t.ok(failed.size > 0, 'and some cannot be done');
    const now = await manifest(mounted.mountpoint);
    for (const [name, fields] of full) if (failed.has(name) && fields.type === 'f') t.same(now.get(name), fields, `${name} is as it was`);
    t.same(left(mounted), [], 'work is empty');
    await mounted.remount();
    t.same(difference(now, await manifest(mounted.mountpoint)), [], 'and the tree is the same after a remount');

    const freed = await runOperations(mounted.mountpoint, script('unlink filler\nsleep 300\nwrite small off=0 data=S\nread small'));
    t.same(
      freed.map(({ error }) => error),
      ['ok', 'ok', 'ok', 'ok'],
    );
  } finally {
    await mounted?.teardown();
    await small.remove();
  }
});

t.test('fsync reaches the disk, of data, of copied-up data, of new names; syncfs does not (docs/compatibility.md)', async (t) => {
  const one = await disk('ext4', 40);
  const mounted = await target('plyfs').setup([{ lower: sparse(300_000, [[0, 300_000]]) }], { upperIn: one.directory });
  const onDisk = (text: string): boolean => fs.readFileSync(one.image).includes(text);
  try {
    const secret = ['first', 'second', 'third'].map((word) => `${word}-${process.pid}-${Date.now()}`);
    const seen = await runOperations(
      mounted.mountpoint,
      script(`
        open a new flags=O_RDWR|O_CREAT
        write fd=a data=${secret[0]}
        fsync a
        open b lower flags=O_RDWR
        write fd=b off=1000 data=${secret[1]}
        fdatasync b
        open c third flags=O_RDWR|O_CREAT
        write fd=c data=${secret[2]}
        syncfs c`),
    );
    t.same(
      seen.map(({ error }) => error),
      Array<string>(9).fill('ok'),
    );
    t.ok(onDisk(secret[0]), 'data');
    t.ok(onDisk(secret[1]), 'data of a file that was copied up');
    t.notOk(onDisk(secret[2]), 'the kernel does not tell a FUSE server of syncfs(2)');
  } finally {
    await mounted.teardown();
    await one.remove();
  }
});

/** Ends a file system as a power cut would: XFS_IOC_GOINGDOWN of <xfs/xfs_fs.h>, with its log flushed or without. */
const GO_DOWN =
  'import fcntl, os, struct, sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack("I", int(sys.argv[2])))';

t.test('a power cut after a copy-up by reflink: the whole file, or the lower', async (t) => {
  for (const [flush, when] of [
    [1, 'with the log written'],
    [2, 'with the log lost'],
  ] as const) {
    await on(['xfs'], async ([one]) => {
      const { directory } = one;
      const lower = path.join(directory, 'lower');
      fs.mkdirSync(lower);
      await build(lower, { f: sparse(3 << 20, [[0, 3 << 20]]) });
      const content = fs.readFileSync(path.join(lower, 'f'));
      await must('sync', ['-f', lower]);
      const mounted = await target('plyfs').setup([lower], { upperIn: directory });
      const copy = path.join(mounted.upper, 'f');
      try {
        await must('sync', ['-f', lower]); // the directories of the upper
        const seen = await runOperations(mounted.mountpoint, script('open a f flags=O_RDWR'));
        t.same(
          seen.map(({ error }) => error),
          ['ok'],
        );
        t.equal(fs.statSync(copy).size, content.length, 'it was copied up');
        await must('python3', ['-c', GO_DOWN, directory, String(flush)]);
        t.throws(() => fs.readdirSync(mounted.upper), { code: 'EIO' }, 'the disk is gone');
        await mounted.unmount();
        await one.mountAgain();
        const is = fs.existsSync(copy);
        if (flush === 1) t.ok(is, `${when}: there`);
        if (is) t.ok(fs.readFileSync(copy).equals(content), `${when}: whole`);
        t.ok(fs.readFileSync(path.join(lower, 'f')).equals(content), `${when}: the lower is as it was`);
      } finally {
        await mounted.teardown();
      }
    });
  }
});

t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

/**
 * Mounts that no row of cases shows: deep, wide and large ones, many lowers, several processes at once, overlays on top of overlays.
 * PLYFS_TEST_LONG=1 makes them larger.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { build, dir, file, hard, symlink, type Tree } from '../support/layers.js';
import { leftBehind, removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { must, run, unmount } from '../support/mounts.js';
import { script } from '../support/script.js';
import { type Outcome, Syscalls } from '../support/syscalls.js';
import { type Lower, type Mounted, plyfsBinary, type SetupOptions, target } from '../support/targets.js';
import { difference, manifest } from '../support/trees.js';
import { Normaliser } from './normalise.js';

const raw = String.raw;
const long = process.env['PLYFS_TEST_LONG'] === '1';

async function mounted(
  name: string,
  lowers: readonly Lower[],
  work: (mount: Mounted) => Promise<void>,
  options: SetupOptions = {},
): Promise<void> {
  const mount = await target(name).setup(lowers, options);
  try {
    await work(mount);
  } finally {
    await mount.teardown();
  }
}

async function play(mount: Mounted, text: string, timeoutMs = 60_000): Promise<Outcome[]> {
  const helper = Syscalls.start(mount.mountpoint, { timeoutMs, onHang: () => mount.tearAway() });
  try {
    return await helper.run(script(text));
  } finally {
    await helper.end();
  }
}

const errors = (outcomes: readonly Outcome[]): string[] => outcomes.map(({ error }) => error);

// ---- times -----------------------------------------------------------------------------------------------------------------------------

/** The helper asks for all attributes, and so for atime, of which the kernel is never sure: stat(1) with %Y asks for mtime alone, which it may have cached. */
const STORE = String.raw`
stat -c %Y "$1" >/dev/null
python3 -c 'import mmap, os, sys
page = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 4096)
page[:5] = b"store"
os._exit(0)' "$1"
stat -c %Y "$1"`;

t.test('a store through a mapping shows in mtime at once, of a file that was looked at before', async (t) => {
  const old = file('x'.repeat(8192), { mtime: '1000000000' });
  await mounted(
    'plyfs',
    [{ lower: old }],
    async (mount) => {
      const at = (name: string): string => path.join(mount.mountpoint, name);
      await must('sh', ['-c', 'head -c 8192 /dev/zero >"$1" && touch -d @1000000000 "$1"', 'sh', at('new')]);
      for (const name of ['lower', 'upper', 'new']) {
        const seconds = Number(await must('sh', ['-c', STORE, 'sh', at(name)]));
        t.equal(seconds, Math.floor(fs.statSync(path.join(mount.upper, name)).mtimeMs / 1000), name);
        t.ok(seconds > 1_000_000_000, `${name} was stored to`);
      }
    },
    { upper: { upper: old } },
  );
});

// ---- inode numbers ---------------------------------------------------------------------------------------------------------------------

t.test('two names that the kernel gave a file have one number, whichever directories are read at once', async (t) => {
  const PAIRS = Array.from({ length: 300 }, (_, i) => i);
  const kernel = await target('kernel-overlay').setup([
    Object.fromEntries(
      PAIRS.flatMap((i): [string, ReturnType<typeof file>][] => [
        [`a${i}/f`, file('x')],
        [`b${i}/other`, file('y')],
      ]),
    ),
  ]);
  try {
    const play = (mount: Mounted, text: string): Promise<string> => must('sh', ['-c', text], { cwd: mount.mountpoint });
    await play(kernel, 'for i in $(seq 0 299); do ln a$i/f b$i/g || exit; done');
    await kernel.unmount();
    const ours = await target('plyfs').setup(kernel.lowers, { upper: { upper: kernel.upper, work: kernel.work } });
    try {
      const numbers = async (directory: string, name: string): Promise<string[]> => {
        const text = await play(ours, `for i in $(seq 0 299); do echo ${directory}$i; done | xargs ls -i1`);
        return [...text.matchAll(/^ *([0-9]+) (.*)$/gm)].filter((match) => match[2] === name).map((match) => match[1]);
      };
      const [of, at] = await Promise.all([numbers('a', 'f'), numbers('b', 'g')]);
      t.equal(of.length, PAIRS.length);
      t.same(
        of.filter((number, i) => number !== at[i]),
        [],
      );
    } finally {
      await ours.teardown();
    }
  } finally {
    await kernel.teardown();
  }
});

t.test('what the kernel copied up has the number of its lower, and what it made one of its own', async (t) => {
  const names = ['d', 'd/sub', 'd/sub/f', 'd/g'];
  const numbers = (mount: Mounted, of: readonly string[]): number[] =>
    of.map((name) => fs.lstatSync(path.join(mount.mountpoint, name)).ino);
  await mounted('plyfs', [{ 'd/sub/f': 'x', 'd/g': 'y' }], async (before) => {
    const untouched = numbers(before, names);
    await before.unmount();
    await mounted('kernel-overlay', before.lowers, async (kernel) => {
      const change = 'chmod 700 d d/sub && echo more | tee -a d/sub/f d/g && mkdir d/new && echo >d/sub/new';
      await must('sh', ['-c', change], { cwd: kernel.mountpoint });
      await kernel.unmount();
      await mounted(
        'plyfs',
        before.lowers,
        (ours) => {
          t.same(numbers(ours, names), untouched);
          const all = numbers(ours, [...names, 'd/new', 'd/sub/new']);
          t.equal(new Set(all).size, all.length);
          return Promise.resolve();
        },
        { upper: { upper: kernel.upper, work: kernel.work } },
      );
    });
  });
});

// ---- changing while reading --------------------------------------------------------------------------------------------------------------

const CHANGE_EACH = String.raw`
import os, sys
seen = 0
with os.scandir(sys.argv[1]) as entries:
    for entry in entries:
        seen += 1
        if seen == 20000: break
        path = entry.path
        how = sys.argv[2]
        if how == "again": os.unlink(path)
        if how in ("again", "copy"): open(path + ".new" if how == "copy" else path, "w").close()
        if how in ("away", "back"): os.rename(path, path + ".new")
        if how == "back": os.rename(path + ".new", path)
print(seen, len(os.listdir(sys.argv[1])))`;

t.test('whoever changes every file that a directory shows sees each once, and comes to an end', async (t) => {
  const changeEach = async (mount: Mounted, of: string, count: number): Promise<void> => {
    for (const how of ['again', 'back', 'away', 'copy']) {
      const said = await must('python3', ['-c', CHANGE_EACH, path.join(mount.mountpoint, 'd'), how]);
      t.equal(said, `${count} ${how === 'copy' ? 2 * count : count}\n`, `${of}, ${how}`);
    }
  };
  await mounted('plyfs', [{ 'lower/f': 'x' }], async (mount) => {
    const files = Array.from({ length: 3000 }, (_, i) => `write d/f${i} x flags=O_CREAT`).join('\n');
    t.same([...new Set(errors(await play(mount, `mkdir d\n${files}`)))], ['ok']);
    await changeEach(mount, 'of the upper', 3000);
  });
  const lower = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`d/f${i}`, 'x']));
  await mounted('plyfs', [lower], (mount) => changeEach(mount, 'of a lower', 1000));
});

// ---- 32-bit programs -----------------------------------------------------------------------------------------------------------------------

const NUMBERS = String.raw`
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
libc.readdir.argtypes = libc.telldir.argtypes = [ctypes.c_void_p]
libc.telldir.restype = ctypes.c_long
numbers, cookies = set(), []
for directory in sys.argv[1:]:
    stream = libc.opendir(directory.encode())
    while libc.readdir(stream): cookies.append(libc.telldir(stream))
    numbers.add(os.stat(directory).st_ino)
    with os.scandir(directory) as entries:
        for entry in entries:
            assert entry.inode() == entry.stat(follow_symlinks=False).st_ino, entry.path
            numbers.add(entry.inode())
print(len(numbers), max(numbers) < 2**32, len(cookies), max(cookies) < 2**31)`;

t.test(
  'inode numbers and positions in directories have room in a 32-bit program that knows no more (readdir(3), stat(2): EOVERFLOW)',
  async (t) => {
    const [low, high] = ['low', 'high'].map((which) => Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`d/${which}${i}`, 'x'])));
    await mounted('plyfs', [high, { ...low, 'd/s': symlink('low0'), 'd/h': hard('d/low1') }], async (mount) => {
      const steps = 'write d/new 1 flags=O_CREAT\nwrite d/low2 1 flags=O_APPEND\nrename d/low3 d/moved\nmkdir d/e\nlink d/new d/newer';
      t.same([...new Set(errors(await play(mount, steps)))], ['ok']);
      const numbers = (): Promise<string> => must('python3', ['-c', NUMBERS, mount.mountpoint, path.join(mount.mountpoint, 'd')]);
      // 2 directories, 600 files, s, new, e
      const expected = '605 True 610 True\n';
      t.equal(await numbers(), expected);
      await mount.remount();
      t.equal(await numbers(), expected, 'mounted again');
    });
  },
);

// ---- deep ------------------------------------------------------------------------------------------------------------------------------

const DEPTH = 25;
const name = (depth: number): string => `${depth}`.padEnd(200, 'n');
/** Descends `from` to `to` by descriptors: the path is longer than any that a call takes. */
const descend = (from: number, to: number, prefix = 'd', make = false): string =>
  Array.from({ length: to - from }, (_, i) => {
    const depth = from + i;
    const at = depth === 0 ? '' : `at=${prefix}${depth - 1}`;
    return `${make ? `mkdir ${name(depth)} ${at}\n` : ''}open ${prefix}${depth} ${name(depth)} ${at} flags=O_RDONLY|O_DIRECTORY`;
  }).join('\n');
const last = DEPTH - 1;

t.test('directories nested past 4,096 bytes', async (t) => {
  const base = temporaryDirectory();
  const make = `${descend(0, DEPTH, 'd', true)}
    write f at=d${last} data=bottom flags=O_CREAT
    write g at=d${last} data=other flags=O_CREAT
    link g h at=d${last} toat=d${last}
    mkdir s at=d${last}
    write s/x at=d${last} data=1 flags=O_CREAT`;
  const steps = `${descend(0, DEPTH)}
    read f at=d${last}
    list fd=d${last}
    chmod f 0600 at=d${last}
    stat f at=d${last}
    read f at=d${last}
    write f at=d${last} off=0 data=BOT
    read f at=d${last}
    write g at=d${last} data=more flags=O_APPEND
    read h at=d${last}
    unlink g at=d${last}
    rename f F at=d${last} toat=d${last}
    rename f nope at=d${last} toat=d${last}
    write new at=d${last} data=new flags=O_CREAT
    unlink new at=d${last}
    mkdir t at=d${last}
    write t/y at=d${last} data=2 flags=O_CREAT
    rename t u at=d${last} toat=d${last}
    read u/y at=d${last}
    list fd=d${last}
    rename ${name(0)} top
    read F at=d${last}
    list fd=d${last}`;
  const again = `open d0 top flags=O_RDONLY|O_DIRECTORY
    ${descend(1, DEPTH)}
    read F at=d${last}
    read h at=d${last}
    list fd=d${last}
    unlink F at=d${last}
    unlink h at=d${last}
    list fd=d${last}`;
  try {
    const facts: Record<string, unknown> = {};
    for (const kind of ['host', 'plyfs']) {
      const lower = path.join(base, kind);
      fs.mkdirSync(lower);
      const helper = Syscalls.start(lower);
      t.same([...new Set(errors(await helper.run(script(make))))], ['ok'], 'the lower is made');
      await helper.end();
      const options = kind === 'host' ? { lower } : undefined;
      // the host works on the layer itself: cp and a kernel overlay do not reach so deep
      const mount = options === undefined ? await target(kind).setup([lower]) : undefined;
      const at = mount?.mountpoint ?? lower;
      const normaliser = new Normaliser([]);
      const both: unknown[] = [];
      for (const text of [steps, again]) {
        const one = Syscalls.start(at, { timeoutMs: 60_000, onHang: () => mount?.tearAway() });
        const lines = script(text);
        both.push(normaliser.facts(lines, await one.run(lines)));
        await one.end();
        await mount?.remount();
      }
      facts[kind] = both;
      if (mount !== undefined) {
        const helper2 = Syscalls.start(mount.mountpoint);
        t.same(errors(await helper2.run(['remove path=top'])), ['ok'], 'all of it can be removed');
        await helper2.end();
        t.same(fs.readdirSync(path.join(mount.work, 'work')), [], 'work is empty');
        await mount.teardown();
      }
    }
    t.same(facts.plyfs, facts.host);
  } finally {
    await removeDirectory(base);
  }
});

t.test(
  'a directory whose path is longer than the upper has room for cannot be moved: ENOSPC, and nothing changes (docs/compatibility.md)',
  async (t) => {
    const base = temporaryDirectory();
    const lower = path.join(base, 'lower');
    fs.mkdirSync(lower);
    const helper = Syscalls.start(lower);
    await helper.run(script(`${descend(0, DEPTH, 'd', true)}\nmkdir s at=d${last}\nwrite s/x at=d${last} data=1 flags=O_CREAT`));
    await helper.end();
    try {
      await mounted('plyfs', [lower], async (mount) => {
        const outcomes = await play(
          mount,
          `${descend(0, DEPTH)}\nrename s t at=d${last} toat=d${last}\nread s/x at=d${last}\nlist fd=d${last}`,
        );
        t.same(errors(outcomes.slice(DEPTH)), ['ENOSPC', 'ok', 'ok']);
        t.same(
          outcomes.at(-1)?.rows.map((row) => row.name),
          ['s'],
        );
      });
    } finally {
      await removeDirectory(base);
    }
  },
);

// ---- wide and large --------------------------------------------------------------------------------------------------------------------

t.test('500 lowers mount and answer', async (t) => {
  const lowers = Array.from({ length: 500 }, (_, i): Tree => ({
    [`f${i}`]: `${i}`,
    'd/same': `${i}`,
    [`d/${i % 50}/g${i}`]: 'x',
    ...(i % 7 === 0 ? { 'd/h': hard(`f${i}`) } : {}),
  }));
  await mounted('plyfs', lowers, async (mount) => {
    const start = Date.now();
    const outcomes = await play(
      mount,
      'read f0\nread f499\nread d/same\nlist d\nwrite f499 changed flags=O_TRUNC\nread f499\nrename d e\nread e/49/g499\nlist e\nread e/h',
    );
    t.same([...new Set(errors(outcomes))], ['ok']);
    t.same(
      [outcomes[0], outcomes[1], outcomes[2], outcomes[5], outcomes[7]].map(({ fields }) => fields.data),
      ['0', '499', '0', 'changed', 'x'],
    );
    t.equal(outcomes[3].rows.length, 52);
    t.ok(Date.now() - start < 20_000, `in ${Date.now() - start} ms`);
    const all = await manifest(mount.mountpoint);
    t.equal(all.size, 500 + 500 + 50 + 4, 'all is there');
    await mount.remount();
    t.same(difference(all, await manifest(mount.mountpoint)), [], 'after a remount too');
  });
});

const ENTRIES = 100_000;

t.test('100,000 entries: read in pieces while others come and go, nothing is missed and nothing doubled', async (t) => {
  const base = temporaryDirectory();
  const lower = path.join(base, 'lower');
  fs.mkdirSync(path.join(lower, 'd'), { recursive: true });
  for (let i = 0; i < ENTRIES; i++) fs.closeSync(fs.openSync(path.join(lower, `d/stay${i}`), 'w'));
  try {
    await mounted('plyfs', [lower], async (mount) => {
      // another process makes, renames and removes other names as long as the readers read
      const noise = Syscalls.start(mount.mountpoint, { timeoutMs: 120_000, onHang: () => mount.tearAway() });
      let ending = false;
      const busy = (async () => {
        for (let round = 0; !ending; round++) {
          const lines = Array.from(
            { length: 200 },
            (_, i) => `mknod d/noise${i} 0100644\nrename d/noise${i} d/moved${i}\nunlink d/moved${i}`,
          );
          await noise.run(script(lines.join('\n')));
        }
      })();
      const reader = Syscalls.start(mount.mountpoint, { timeoutMs: 120_000, onHang: () => mount.tearAway() });
      for (const size of [32768, 5000]) {
        const [{ error, rows }] = await reader.run([`list path=d size=${size}`]);
        const stay = rows.map((row) => row.name).filter((one) => one.startsWith('stay'));
        t.equal(error, 'ok');
        t.equal(stay.length, ENTRIES, `in pieces of ${size} bytes: none missed or doubled`);
        t.equal(new Set(stay).size, ENTRIES, 'each once');
      }
      ending = true;
      await busy;
      await noise.end();
      const [seek] = await reader.run(['seekcheck path=d size=32768']);
      t.same([seek.error, seek.fields.count], ['ok', `${ENTRIES + 2}`], 'every cookie leads back');
      await reader.end();
    });
  } finally {
    await removeDirectory(base);
  }
});

t.test('metadata of a 1 GiB lower file: kilobytes are written, and it takes milliseconds', async (t) => {
  const GIB = 1 << 30;
  const base = temporaryDirectory();
  const lower = path.join(base, 'lower');
  fs.mkdirSync(lower);
  for (const one of ['chmod', 'chown', 'utimes', 'xattr', 'zero', 'some', 'rename', 'link'])
    await must('fallocate', ['-l', `${GIB}`, path.join(lower, one)]);
  await run('sh', ['-c', `head -c 1048576 /dev/urandom | dd of=${path.join(lower, 'some')} conv=notrunc status=none`]);
  const used = async (mount: Mounted): Promise<number> => Number((await must('du', ['-sk', mount.upper])).split(/\s/)[0]);
  try {
    await mounted('plyfs', [lower], async (mount) => {
      await play(mount, 'list .');
      const start = Date.now();
      const outcomes = await play(
        mount,
        'chmod chmod 0600\nchown chown owner=5\nutimens utimes mtime=5.0\nsetxattr xattr user.k v\ntruncate zero 0\nrename rename renamed\nlink link linked',
      );
      const took = Date.now() - start;
      t.same([...new Set(errors(outcomes))], ['ok']);
      t.ok(took < 1500, `seven of them in ${took} ms`);
      const kib = await used(mount);
      t.ok(kib < 200, `${kib} KiB in the upper`);
      const cut = await play(mount, 'truncate some 100000\nstat some');
      t.same(errors(cut), ['ok', 'ok']);
      const more = (await used(mount)) - kib;
      t.ok(more >= 96 && more < 200, `truncation to 100,000 bytes writes ${more} KiB`);
      const sizes = await play(mount, 'stat chmod\nstat zero\nstat some');
      t.same(
        sizes.map(({ fields }) => Number(fields.size)),
        [GIB, 0, 100_000],
      );
    });
  } finally {
    await removeDirectory(base);
  }
});

t.test('a name added to a lower under the mount does not show in a directory that was read', async (t) => {
  await mounted('plyfs', [{ 'd/a': '1' }], async (mount) => {
    await play(mount, 'list d');
    fs.writeFileSync(path.join(mount.lowers[0], 'd/b'), '2');
    const [listed, found] = await play(mount, 'list d\nstat d/b');
    t.same([listed.rows.map((row) => row.name), found.error], [['a'], 'ENOENT']);
  });
});

// ---- several at once -------------------------------------------------------------------------------------------------------------------

for (const options of [[], ['passthrough=never']]) {
  t.test(`O_APPEND from several writers: no line is lost or torn ${options.join()}`, async (t) => {
    const rounds = long ? 3000 : 400;
    await mounted(
      'plyfs',
      [{ log: 'start.' }],
      async (mount) => {
        const reader = await play(mount, 'read log');
        t.equal(reader[0].error, 'ok');
        const all = await Promise.all(
          ['a', 'b', 'c', 'd'].map((letter) => {
            const lines = Array.from({ length: rounds }, (_, i) => `write fd=w data=${letter}${i}${letter.repeat(i % 50)};`);
            return play(mount, `open w log flags=O_WRONLY|O_APPEND\n${lines.join('\n')}`);
          }),
        );
        for (const outcomes of all) t.same([...new Set(errors(outcomes))], ['ok']);
        const [{ fields }] = await play(mount, 'read log full=1');
        const lines = fields.data.slice('start.'.length).split(';');
        t.equal(lines.pop(), '', 'the last is whole');
        const expected = ['a', 'b', 'c', 'd'].flatMap((letter) =>
          Array.from({ length: rounds }, (_, i) => `${letter}${i}${letter.repeat(i % 50)}`),
        );
        t.same(lines.sort(), expected.sort());
      },
      { mountOptions: options },
    );
  });
}

// ---- the work directory ----------------------------------------------------------------------------------------------------------------

/** A default ACL that lets user 1 do everything (struct posix_acl_xattr). */
const DEFAULT_ACL = [
  '02000000',
  '0100 0700 ffffffff',
  '0200 0700 01000000',
  '0400 0500 ffffffff',
  '1000 0700 ffffffff',
  '2000 0500 ffffffff',
]
  .join('')
  .replaceAll(' ', '');

const SHOW = raw`
import os, sys
for name in ("f", "d", "d/n"):
    path = os.path.join(sys.argv[1], name)
    s = os.lstat(path)
    print(name, oct(s.st_mode & 0o7777), s.st_gid, [x for x in os.listxattr(path) if x.startswith("system.")])`;

for (const name of ['kernel-overlay', 'plyfs'])
  t.test(`a default ACL and the setgid bit of workdir get onto nothing that is made there (${name})`, async (t) => {
    const top = temporaryDirectory();
    const [upper, work] = ['upper', 'work'].map((part) => path.join(top, part));
    for (const one of [upper, work]) fs.mkdirSync(one);
    await must('chgrp', ['1', work]);
    await must('chmod', ['2755', work]);
    const set = 'import os, sys; os.setxattr(sys.argv[1], "system.posix_acl_default", bytes.fromhex(sys.argv[2]))';
    await must('python3', ['-c', set, work, DEFAULT_ACL]);
    const lower: Tree = { f: file('secret', { mode: 0o640 }), d: dir() };
    await mounted(
      name,
      [lower],
      async (mount) => {
        await must('sh', ['-c', 'cd "$1" && umask 022 && echo more >>f && rmdir d && mkdir d && touch d/n', 'sh', mount.mountpoint]);
        t.equal(await must('python3', ['-c', SHOW, mount.mountpoint]), 'f 0o640 0 []\nd 0o755 0 []\nd/n 0o644 0 []\n');
      },
      { upper: { upper, work } },
    );
    await removeDirectory(top);
  });

// ---- overlays on overlays --------------------------------------------------------------------------------------------------------------

const OUTER: Tree = {
  f: 'lower',
  g: 'other',
  'd/x': '1',
  'd/s/y': '2',
  h: file('linked'),
  i: hard('h'),
  e: dir({ xattrs: { 'user.k': 'v' } }),
};
const CHANGES = raw`
  chmod f 0600
  write f X
  unlink g
  rename d D
  write D/s/y more flags=O_APPEND
  unlink D/x
  mkdir d
  write d/new 1 flags=O_CREAT
  setxattr e user.n 1
  unlink h
  write i changed flags=O_TRUNC
  mkdir m
  rename e m/e
  symlink t l
  mknod p 010644`;

/** An overlay of kind `kind` mounted by hand over directories. */
async function over(kind: 'overlay' | 'plyfs', options: string, point: string): Promise<void> {
  if (kind === 'overlay') await must('mount', ['-t', 'overlay', 'overlay', '-o', options, point], { timeoutMs: 20_000 });
  else await must(plyfsBinary, ['-o', options, point], { timeoutMs: 20_000 });
}

for (const kind of ['overlay', 'plyfs'] as const) {
  t.test(
    `${kind === 'overlay' ? "the kernel's overlay" : 'plyfs'} on top of plyfs as its lower, and then of its upper's mount`,
    async (t) => {
      const base = temporaryDirectory();
      const at = (part: string): string => path.join(base, part);
      for (const part of ['u', 'w', 'm', 'u2', 'w2', 'host', 'mergedhost']) fs.mkdirSync(at(part));
      await build(at('host'), OUTER);
      try {
        await mounted('plyfs', [OUTER], async (inner) => {
          await over(
            kind,
            `lowerdir=${inner.mountpoint},upperdir=${at('u')},workdir=${at('w')}${kind === 'overlay' ? ',redirect_dir=on,index=off' : ''}`,
            at('m'),
          );
          try {
            const there = Syscalls.start(at('m'), { timeoutMs: 60_000, onHang: () => inner.tearAway() });
            const here = Syscalls.start(at('host'));
            const lines = script(CHANGES);
            const [a, b] = [await there.run(lines), await here.run(lines)];
            await there.end();
            await here.end();
            t.same(errors(a), errors(b), 'every change is answered as on the host');
            const ignore = ['mtime', 'nlink', 'group'];
            t.same(difference(await manifest(at('host')), await manifest(at('m')), { ignore }), [], 'and the trees are the same');
          } finally {
            await unmount(at('m'));
          }
        });
      } finally {
        await removeDirectory(base);
      }
    },
  );

  t.test(`${kind === 'overlay' ? "the kernel's overlay" : 'plyfs'} with upper and work directory in a plyfs mount`, async (t) => {
    const base = temporaryDirectory();
    const at = (part: string): string => path.join(base, part);
    for (const part of ['lower', 'm', 'host']) fs.mkdirSync(at(part));
    await build(at('host'), OUTER);
    await build(at('lower'), OUTER);
    try {
      await mounted('plyfs', [{ 'c/u/.keep': '', 'c/w/.keep': '' }], async (inner) => {
        const [upper, work] = [path.join(inner.mountpoint, 'c/u'), path.join(inner.mountpoint, 'c/w')];
        await must('rm', [path.join(upper, '.keep'), path.join(work, '.keep')]);
        const options = `lowerdir=${at('lower')},upperdir=${upper},workdir=${work}${kind === 'overlay' ? ',redirect_dir=on' : ''}`;
        if (kind === 'overlay') {
          const { status, stderr } = await run('mount', ['-t', 'overlay', 'overlay', '-o', options, at('m')], { timeoutMs: 20_000 });
          // the kernel takes no file system whose names must be revalidated for an upper (ovl_dentry_remote)
          if (status !== 0) {
            t.match(stderr, /wrong fs type|not supported|bad option/, 'the kernel refuses any FUSE upper (docs/compatibility.md)');
            return;
          }
        } else await over(kind, options, at('m'));
        try {
          for (let round = 0; round < 2; round++) {
            const there = Syscalls.start(at('m'), { timeoutMs: 60_000, onHang: () => inner.tearAway() });
            const here = Syscalls.start(at('host'));
            const lines = round === 0 ? script(CHANGES) : script('write f again\nrename D/s d/s\nunlink l\nlist .');
            const [a, b] = [await there.run(lines), await here.run(lines)];
            await there.end();
            await here.end();
            t.same(errors(a), errors(b), 'every change is answered as on the host');
            t.same(
              difference(await manifest(at('host')), await manifest(at('m')), { ignore: ['mtime', 'nlink', 'group'] }),
              [],
              'and the trees are the same',
            );
            await unmount(at('m'));
            if (round === 0) await inner.remount();
            await over(kind, options, at('m'));
            t.same(
              difference(await manifest(at('host')), await manifest(at('m')), { ignore: ['mtime', 'nlink', 'group'] }),
              [],
              'after a remount of both too',
            );
          }
        } finally {
          await unmount(at('m'));
        }
      });
    } finally {
      await removeDirectory(base);
    }
  });
}

t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

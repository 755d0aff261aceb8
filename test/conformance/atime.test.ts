/**
 * Access times: what a read moves, in the upper and in the lowers, seen through the mount and on the host, by the mount's own atime options; the kernel's
 * overlayfs says how. For an ordinary user, and where mounts cannot be cloned, what is left of that.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { CANNOT } from '../plyd/daemon.js';
import { leftBehind, removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { file, symlink, type Tree } from '../support/layers.js';
import { must, run, tearAway } from '../support/mounts.js';
import { script } from '../support/script.js';
import { Syscalls } from '../support/syscalls.js';
import { type Mounted, plyfsBinary, type SetupOptions, target } from '../support/targets.js';

const skip = CANNOT ?? false;
const LIMIT_MS = 60_000;
const LAYERS = ['upper', 'top', 'bottom'] as const;
const PROGRAM = fs.readFileSync('/bin/true');

/** Files of one layer, by the layer's name: each is read in another way. */
function filesOf(layer: string): Tree {
  return {
    [`${layer}-text`]: file('text'),
    [`${layer}-elf`]: file(PROGRAM),
    [`${layer}-program`]: file(PROGRAM, { mode: 0o755 }),
    [`${layer}-mapped`]: file('mapped text'),
    [`${layer}-mapped-elf`]: file(PROGRAM),
    [`${layer}-link`]: symlink('nowhere'),
    [`${layer}-dir/x`]: file('x'),
  };
}

const NAMES = LAYERS.flatMap((layer) => Object.keys(filesOf(layer)).map((name) => name.replace('/x', '')));

const READING = LAYERS.map(
  (layer) => `
    read ${layer}-text
    read ${layer}-elf
    exec ${layer}-program
    open ${layer}-m ${layer}-mapped flags=O_RDONLY
    mmap ${layer}-map ${layer}-m len=8 prot=READ
    mread ${layer}-map len=8
    open ${layer}-e ${layer}-mapped-elf flags=O_RDONLY
    mmap ${layer}-emap ${layer}-e len=8 prot=READ
    mread ${layer}-emap len=8
    readlink ${layer}-link
    list ${layer}-dir`,
).join('\n');

/** Times that a file had before: `old` is before its other times, and moves even with relatime; `ahead` is after them, and does not. */
const BEFORE = { old: new Date('2001-02-03'), ahead: new Date(Date.now() + 3_600_000) };

interface Moved {
  view: string[];
  host: string[];
}

const hostPath = (mount: Mounted, name: string): string => {
  const directories: Record<string, string> = { upper: mount.upper, top: mount.lowers[0], bottom: mount.lowers[1] };
  return path.join(directories[name.replace(/-.*/, '')], name);
};

/** Mounts, reads, and says of which files the atime moved. */
async function moved(name: string, atime: string, before: Date, options: SetupOptions = {}): Promise<Moved> {
  const { mountOptions = [], ...others } = options;
  const mount = await target(name).setup([filesOf('top'), filesOf('bottom')], {
    ...others,
    upper: filesOf('upper'),
    mountOptions: [atime, ...mountOptions],
  });
  try {
    // nobody has asked the mount for them yet
    for (const one of NAMES) fs.lutimesSync(hostPath(mount, one), before, new Date('2001-02-04'));
    const helper = Syscalls.start(mount.mountpoint, { timeoutMs: LIMIT_MS, onHang: () => mount.tearAway() });
    const hasMoved = (seconds: string | undefined): boolean => parseInt(seconds!, 10) !== Math.floor(before.getTime() / 1000);
    const view: string[] = [];
    try {
      const outcomes = await helper.run(script(READING));
      for (const { error } of outcomes) if (error !== 'ok') throw new Error(`${name}: ${error} in ${JSON.stringify(outcomes)}`);
      for (const [i, { fields }] of (await helper.run(script(NAMES.map((one) => `stat ${one}`).join('\n')))).entries())
        if (hasMoved(fields.atime)) view.push(NAMES[i]);
    } finally {
      await helper.end();
    }
    const host = NAMES.filter((one) => hasMoved(String(fs.lstatSync(hostPath(mount, one)).atimeMs / 1000)));
    return { view, host };
  } finally {
    await mount.teardown();
  }
}

for (const atime of ['relatime', 'noatime', 'strictatime', 'nodiratime'])
  for (const [age, before] of Object.entries(BEFORE))
    t.test(`${atime} moves what it does on the kernel's overlayfs, of a time that is ${age}`, { skip }, async (t) => {
      const oracle = await moved('kernel-overlay', atime, before);
      t.ok(
        oracle.host.every((one) => one.startsWith('upper')),
        'the kernel leaves lowers alone',
      );
      t.same(await moved('plyfs', atime, before), oracle);
    });

t.test('so do shared lowers, and reads that the engine serves', { skip }, async (t) => {
  const oracle = await moved('kernel-overlay', 'relatime', BEFORE.old);
  t.same(await moved('plyfs-shared', 'relatime', BEFORE.old), oracle, 'shared');
  // of a read that was served the kernel does not forget the attributes
  for (const atime of ['relatime', 'noatime'])
    t.same((await moved('plyfs-served', atime, BEFORE.old)).host, atime === 'relatime' ? oracle.host : [], `served, ${atime}`);
});

t.test('where mounts cannot be cloned, lowers that are not passed through are read without moving their atime', { skip }, async (t) => {
  const { host } = await moved('plyfs', 'relatime', BEFORE.old, {
    mountOptions: ['passthrough=never'],
    env: { ...process.env, PLYFS_NO_OPEN_TREE: '1' },
  });
  t.same(
    host.filter((one) => !one.startsWith('upper')),
    ['top-link', 'bottom-link'],
    'readlink(2) knows no O_NOATIME',
  );
  const quiet = await moved('plyfs', 'noatime', BEFORE.old, {
    mountOptions: ['passthrough=never'],
    env: { ...process.env, PLYFS_NO_OPEN_TREE: '1' },
  });
  t.same(quiet.host, ['upper-link', 'top-link', 'bottom-link'], 'noatime holds for the upper too');
});

t.test('an object of an imported layer keeps its atime', { skip }, async (t) => {
  const mount = await target('plyfs-imported').setup([filesOf('top'), filesOf('bottom')]);
  try {
    const objects = path.join(path.dirname(mount.mountpoint), 'store', 'objects');
    const all = fs
      .readdirSync(objects, { recursive: true, encoding: 'utf8' })
      .map((one) => path.join(objects, one))
      .filter((one) => fs.statSync(one).isFile());
    t.ok(all.length >= 3, 'objects are there');
    for (const one of all) fs.utimesSync(one, BEFORE.old, new Date('2001-02-04'));
    await must('sh', ['-c', 'cat * >/dev/null 2>&1; ./top-program'], { cwd: mount.mountpoint, timeoutMs: LIMIT_MS });
    t.same(
      all.filter((one) => fs.statSync(one).atimeMs !== BEFORE.old.getTime()),
      [],
    );
  } finally {
    await mount.teardown();
  }
});

for (const name of ['kernel-overlay', 'plyfs'])
  t.test(`${name}: the host unmounts the file system of the layers, and the overlay goes on`, { skip }, async (t) => {
    const base = temporaryDirectory();
    await must('mount', ['-t', 'tmpfs', 'tmpfs', base]);
    try {
      for (const one of ['l', 'u']) fs.mkdirSync(path.join(base, one));
      fs.writeFileSync(path.join(base, 'l', 'f'), 'lower');
      const mount = await target(name).setup([path.join(base, 'l')], { upperIn: path.join(base, 'u') });
      try {
        await must('umount', [base], { timeoutMs: LIMIT_MS });
        const text = 'cat f && echo changed >f && mv f g && ln g h && mkdir d && echo new >d/n && cat g h d/n';
        t.equal(await must('sh', ['-ec', text], { cwd: mount.mountpoint, timeoutMs: LIMIT_MS }), 'lowerchanged\nchanged\nnew\n');
      } finally {
        await mount.teardown();
      }
    } finally {
      await run('umount', [base], { timeoutMs: LIMIT_MS });
      await removeDirectory(base);
    }
  });

/** In a user namespace the options of the host's mounts are locked, so there are no clones. */
const ROOTLESS = String.raw`
touch -a -d 2001-02-03 l/f l/d u/f2
"$1" -o lowerdir=l,upperdir=u,workdir=w,noatime m
trap 'umount m' EXIT
[ "$(cat m/f m/f2 m/d/x)" = 123 ] || exit 1
ls m/d >/dev/null
for i in m/f m/f2 l/f l/d u/f2; do stat -c '%n %X' $i; done`;

t.test("an ordinary user's lowers keep their atime too, and so does an upper with noatime", { skip }, async (t) => {
  const base = temporaryDirectory();
  try {
    for (const one of ['l', 'u', 'w', 'm', 'l/d']) fs.mkdirSync(path.join(base, one));
    for (const [one, text] of Object.entries({ 'l/f': '1', 'u/f2': '2', 'l/d/x': '3' })) fs.writeFileSync(path.join(base, one), text);
    await must('chown', ['-R', '1000:1000', base]);
    await must('mknod', ['-m', '666', path.join(base, 'fuse'), 'c', '10', '229']);
    const open = ['--mount', '--propagation', 'private', 'sh', '-c', 'mount --bind fuse /dev/fuse && exec "$@"', 'sh'];
    const enter = ['setpriv', '--reuid=1000', '--regid=1000', '--clear-groups', 'unshare', '--user', '--map-root-user', '--mount'];
    const env = { ...process.env, PLY_SOCKET: path.join(base, 'run', 'ply.sock') };
    const text = await must('unshare', [...open, ...enter, 'sh', '-euc', ROOTLESS, 'sh', plyfsBinary], {
      cwd: base,
      timeoutMs: LIMIT_MS,
      env,
    });
    const old = BEFORE.old.getTime() / 1000;
    t.same(
      text.trim().split('\n'),
      ['m/f', 'm/f2', 'l/f', 'l/d', 'u/f2'].map((one) => `${one} ${old}`),
    );
  } finally {
    await tearAway(path.join(base, 'm'));
    await removeDirectory(base);
  }
});

t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

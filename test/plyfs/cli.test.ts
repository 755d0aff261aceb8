/** The mount helper as its callers see it: the built dist/bin/plyfs over the overlay. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { leftBehind, removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { type Finished, mountAt, must, run, tearAway } from '../support/mounts.js';
import { plyfsBinary } from '../support/targets.js';

const LIMIT_MS = 20_000;

class Place {
  readonly base = temporaryDirectory();
  readonly mountpoint = path.join(this.base, 'm');
  readonly options = '-o lowerdir=@/a:@/b,upperdir=@/u,workdir=@/w'.replaceAll('@', this.base).split(' ');
  readonly readOnly = '-o lowerdir=@/a:@/b'.replaceAll('@', this.base).split(' ');

  constructor() {
    for (const name of ['a', 'b', 'u', 'w', 'm']) fs.mkdirSync(path.join(this.base, name));
    fs.writeFileSync(path.join(this.base, 'a', 'top'), 'of a\n');
    fs.writeFileSync(path.join(this.base, 'b', 'top'), 'of b\n');
    fs.writeFileSync(path.join(this.base, 'b', 'low'), 'of b\n');
  }

  plyfs(...args: string[]): Promise<Finished> {
    return run(plyfsBinary, args, { cwd: this.base, timeoutMs: LIMIT_MS });
  }

  read(name: string): Promise<Finished> {
    return run('cat', [path.join(this.mountpoint, name)], { timeoutMs: LIMIT_MS });
  }

  /** Engines that serve something of ours. */
  engines(): number[] {
    const found: number[] = [];
    for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      const command = readOrEmpty(`/proc/${pid}/cmdline`);
      if (command.includes('daemon/engine/main.js') && command.includes(this.base)) found.push(Number(pid));
    }
    return found;
  }

  async engineGone(ms = 5000): Promise<boolean> {
    for (const end = Date.now() + ms; Date.now() < end;) {
      if (this.engines().length === 0) return true;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return false;
  }

  async end(): Promise<void> {
    await tearAway(this.mountpoint);
    if (!(await this.engineGone())) for (const pid of this.engines()) process.kill(pid, 'SIGKILL');
    await removeDirectory(this.base);
  }
}

function readOrEmpty(file: string): string {
  try {
    return fs.readFileSync(file, 'latin1');
  } catch {
    return ''; // it ended
  }
}

let place: Place;
t.beforeEach(() => {
  place = new Place();
  process.env['PLY_SOCKET'] = path.join(place.base, 'run', 'ply.sock'); // an engine is shared within a test, not beyond
});
t.afterEach(() => place.end());

t.test('--version and --help', async (t) => {
  t.match(await place.plyfs('--version'), { status: 0, stdout: /^plyfs \d+\.\d+\.\d+\n$/, stderr: '' });
  t.match(await place.plyfs('--help'), { status: 0, stdout: /^Usage: plyfs .*Examples:/s, stderr: '' });
});

t.test('all forms of the command line mount, and the mount is usable when it ends', async (t) => {
  const forms: [form: string, args: string[]][] = [
    ['-o OPTS TARGET', [...place.options, place.mountpoint]],
    ['TARGET -o OPTS', [place.mountpoint, ...place.options]],
    ['SRC TARGET -o OPTS,dev,suid', ['none', place.mountpoint, '-o', `${place.options[1]},dev,suid`]],
    ['a relative target', [...place.options, 'm']],
    ['relative directories', ['-o', 'lowerdir=a:b,upperdir=u,workdir=w', 'm']],
    ['symlinks to layers', ['-o', 'lowerdir=link:b', 'm']],
    ['-oOPTS', [`-o${place.options[1]}`, 'm']],
  ];
  fs.symlinkSync('a', path.join(place.base, 'link'));
  for (const [form, args] of forms) {
    t.match(await place.plyfs(...args), { status: 0, stdout: '', stderr: '' }, form);
    t.match(await place.read('top'), { status: 0, stdout: 'of a\n' });
    t.match(await place.read('low'), { status: 0, stdout: 'of b\n' });
    await must('umount', [place.mountpoint]);
    t.ok(await place.engineGone(), 'the engine has ended');
  }
});

t.test('mount.fuse3 calls it', async (t) => {
  await must('mount.fuse3', [`${plyfsBinary}#src`, place.mountpoint, '-o', place.options[1]]);
  t.match(await place.read('top'), { stdout: 'of a\n' });
});

t.test('what is mounted where, and with what options', async (t) => {
  const line = (): string =>
    fs
      .readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .find((one) => one.includes(place.mountpoint)) ?? '';
  const rows: [args: string[], expected: RegExp][] = [
    [place.options, /^plyfs \S+ fuse\.plyfs rw,relatime,user_id=0,group_id=0,default_permissions,allow_other /],
    [place.readOnly, /^plyfs \S+ fuse\.plyfs ro,/],
    [['-o', `${place.options[1]},nodev,nosuid,noexec,noatime`], / fuse\.plyfs rw,nosuid,nodev,noexec,noatime,/],
    [['-o', `${place.options[1]},fsname=its name`], /^its\\040name /],
    [['src', ...place.options], /^src /],
  ];
  for (const [args, expected] of rows) {
    const [source, rest] = args[0] === 'src' ? [['src'], args.slice(1)] : [[], args];
    t.match(await place.plyfs(...source, place.mountpoint, ...rest), { status: 0 });
    t.match(line(), expected);
    await must('umount', [place.mountpoint]);
  }
});

t.test('squash_to_uid and squash_to_gid: everything is shown as theirs', async (t) => {
  await must(plyfsBinary, ['-o', `lowerdir=${place.base}/a,squash_to_uid=7,squash_to_gid=8`, place.mountpoint]);
  t.equal(await must('stat', ['-c', '%u:%g', place.mountpoint, path.join(place.mountpoint, 'top')]), '7:8\n7:8\n');
  t.equal(fs.statSync(path.join(place.base, 'a', 'top')).uid, 0, 'and the layer is as it was');
});

t.test('a read-only mount refuses changes', async (t) => {
  await place.plyfs(...place.readOnly, place.mountpoint);
  t.match(await run('touch', [`${place.mountpoint}/new`]), { status: 1, stderr: /Read-only file system/ });
});

t.test('errors: status, message, and nothing left', async (t) => {
  fs.writeFileSync(path.join(place.base, 'file'), '');
  fs.mkdirSync(path.join(place.base, 'badwork'));
  fs.writeFileSync(path.join(place.base, 'badwork', 'work'), '');
  const at = (text: string): string => text.replaceAll('@', place.base);
  const rows: [args: string[], status: number, message: RegExp][] = [
    [[], 2, /^plyfs: no mountpoint given\nTry `plyfs --help`\.\n$/],
    [['-o', 'lowerdir=/'], 2, /^plyfs: no mountpoint given/],
    [['-x', place.mountpoint], 2, /^plyfs: unknown option -x/],
    [['a', 'b', 'c'], 2, /^plyfs: too many arguments: c/],
    [[place.mountpoint], 1, /^plyfs: lowerdir is missing: name at least one layer.*\n$/],
    [
      ['-o', 'lowerdir=@/none', place.mountpoint].map(at),
      1,
      /^plyfs: lowerdir \S+\/none does not exist: create it, or correct the path\n$/,
    ],
    [[...place.options, `${place.base}/none`], 1, /^plyfs: mountpoint \S+\/none does not exist/],
    [[...place.options, `${place.base}/file`], 1, /^plyfs: mountpoint \S+\/file is not a directory/],
    [['-o', 'lowerdir=@/a,upperdir=@/u', place.mountpoint].map(at), 1, /^plyfs: upperdir without workdir/],
    [['-o', 'lowerdir=@/a,workers=0', place.mountpoint].map(at), 1, /^plyfs: option workers cannot be "0"/],
    [
      ['-o', 'lowerdir=@/a,upperdir=@/u,workdir=@/badwork', place.mountpoint].map(at),
      1,
      /^plyfs: cannot open the directory "work" in workdir/,
    ],
    [['--log', '/none/log', ...place.options, place.mountpoint], 1, /^plyfs: cannot open the log file \/none\/log/],
  ];
  for (const [args, status, message] of rows) {
    const result = await place.plyfs(...args);
    t.match(result, { status, stdout: '', stderr: message }, args.join(' '));
    t.equal(mountAt(place.mountpoint), undefined, 'nothing is mounted');
  }
  t.ok(await place.engineGone(), 'no engine is left');
});

t.test('an ordinary user is told what is missing', async (t) => {
  const user = ['--reuid=65534', '--regid=65534', '--clear-groups', plyfsBinary];
  const result = await run('setpriv', [...user, ...place.readOnly, place.mountpoint]);
  t.match(result, { status: 1, stderr: /^plyfs: cannot (open \/dev\/fuse: permission denied|mount on \S+: not permitted)/ });
});

t.test('in a user and mount namespace of its own', async (t) => {
  fs.chmodSync(place.base, 0o755);
  const script = `"$0" "$@" && cat m/top && echo changed >m/top && touch m/new && umount m`;
  const result = await run('unshare', ['-rm', 'sh', '-c', script, plyfsBinary, ...place.options, 'm'], {
    cwd: place.base,
    timeoutMs: LIMIT_MS,
  });
  t.match(result, { status: 0, stdout: 'of a\n', stderr: '' });
  t.equal(fs.readFileSync(path.join(place.base, 'u/top'), 'utf8'), 'changed\n');
});

t.test('nothing of the caller stays with the engine', async (t) => {
  const inherited = fs.openSync(path.join(place.base, 'a', 'top'), 'r');
  const script = `exec 9<top 117<top; exec "$0" "$@"`;
  const child = spawn('bash', ['-c', script, plyfsBinary, ...place.options, place.mountpoint], {
    cwd: path.join(place.base, 'a'),
    stdio: ['pipe', 'pipe', 'pipe', inherited],
  });
  const closed = await new Promise((resolve) => child.on('close', resolve)); // of its output, too: the engine does not hold it
  t.equal(closed, 0);
  const [engine] = place.engines();
  const known =
    /^(\/dev\/null|\/dev\/fuse|anon_inode:\[(eventpoll|eventfd|eventpoll)\]|pipe:\[\d+\]|socket:\[\d+\]|\/memfd:plyfs-arena \(deleted\)|)$/;
  const identity = (file: string): string => (({ dev, ino }) => `${dev}:${ino}`)(fs.statSync(file));
  const directories = ['a', 'b', 'u', 'w/work', 'w/ply-orphans', 'w/index', 'w'].map((name) => identity(path.join(place.base, name)));
  // directories on clones of their mounts have no path
  const nameless = (): string[] => fs.readdirSync(`/proc/${engine}/fd`).filter((fd) => !known.test(readLink(`/proc/${engine}/fd/${fd}`)));
  const isStray = (fd: string): boolean => {
    try {
      return !directories.includes(identity(`/proc/${engine}/fd/${fd}`));
    } catch {
      return false; // closed meanwhile
    }
  };
  let strays: string[] = [];
  // its other workers may just be loading their program
  for (const end = Date.now() + LIMIT_MS; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) {
    strays = nameless()
      .filter(isStray)
      .map((fd) => readLink(`/proc/${engine}/fd/${fd}`));
    if (strays.length === 0) break;
  }
  t.same(strays, []);
  const unknown = nameless();
  const mountOf = (file: string): string | undefined => /^mnt_id:\s*(\d+)/m.exec(fs.readFileSync(file, 'latin1'))?.[1];
  const mountIds = unknown.map((fd) => mountOf(`/proc/${engine}/fdinfo/${fd}`));
  t.notOk(mountIds.includes(mountOf(`/proc/self/fdinfo/${inherited}`)), 'nor is anything open on the mount that they lie on');
  // What it cannot write to, no fault of ours can change: ST_RDONLY and ST_NOATIME, which Node's statfs() does not tell.
  const flagsOf = async (name: string): Promise<string> => {
    const fd = unknown.find((one) => identity(`/proc/${engine}/fd/${one}`) === identity(path.join(place.base, name)));
    return (await run('python3', ['-c', `import os; print(os.statvfs('/proc/${engine}/fd/${fd}').f_flag & (1 | 1024))`])).stdout.trim();
  };
  t.same(await Promise.all(['a', 'b', 'u'].map(flagsOf)), ['1025', '1025', '0'], 'lowers are read-only, and their atime stays');
  const stat = fs
    .readFileSync(`/proc/${engine}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');
  t.equal(Number(stat[3]), engine, 'it leads a session of its own');
  t.equal(fs.readlinkSync(`/proc/${engine}/cwd`), '/');
  for (const fd of [0, 1, 2]) t.equal(readLink(`/proc/${engine}/fd/${fd}`), '/dev/null');
  fs.closeSync(inherited);
});

function readLink(file: string): string {
  try {
    return fs.readlinkSync(file);
  } catch {
    return '';
  }
}

t.test('every way to unmount ends the engine', async (t) => {
  const ways: [way: string, args: string[]][] = [
    ['umount', [place.mountpoint]],
    ['umount', ['-l', place.mountpoint]],
    ['fusermount3', ['-u', place.mountpoint]],
    ['umount', ['-f', place.mountpoint]],
  ];
  for (const [way, args] of ways) {
    await place.plyfs(...place.options, place.mountpoint);
    await must(way, args);
    t.ok(await place.engineGone(), `${way} ${args[0]}`);
  }
});

t.test('umount -l while files are read and written', async (t) => {
  await place.plyfs(...place.options, place.mountpoint);
  const script = `dd if=/dev/zero of=new bs=64k count=400 status=none && sync new && wc -c <new && cat low`;
  const busy = run('sh', ['-c', `sleep 0.1; ${script}`], { cwd: place.mountpoint, timeoutMs: LIMIT_MS });
  await new Promise((resolve) => setTimeout(resolve, 50));
  await must('umount', ['-l', place.mountpoint]);
  t.match(await busy, { status: 0, stdout: `${400 * 65536}\nof b\n` });
  t.ok(await place.engineGone());
});

t.test('SIGTERM to the engine unmounts', async (t) => {
  await place.plyfs(...place.options, place.mountpoint);
  process.kill(place.engines()[0], 'SIGTERM');
  t.ok(await place.engineGone());
  t.equal(mountAt(place.mountpoint), undefined);
});

t.test('in the foreground', async (t) => {
  const start = async (...flags: string[]): Promise<{ pid: number; ended: Promise<Finished> }> => {
    const child = spawn(plyfsBinary, [...flags, ...place.options, place.mountpoint], { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
    const ended = new Promise<Finished>((resolve) => child.on('close', (status) => resolve({ status, stdout, stderr })));
    for (let i = 0; i < 200 && !stderr.includes('"mounted"'); i++) await new Promise((resolve) => setTimeout(resolve, 50));
    return { pid: child.pid!, ended };
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const running = await start('-f');
    t.match(await place.read('top'), { stdout: 'of a\n' });
    process.kill(running.pid, signal);
    t.match(await running.ended, { status: 0 }, signal);
    t.equal(mountAt(place.mountpoint), undefined);
  }
  const unmounted = await start('-f');
  await must('umount', [place.mountpoint]);
  t.match(await unmounted.ended, { status: 0, stderr: /"msg":"unmounted"/ });

  const debug = await start('-d', '-o', 'frobnicate');
  process.kill(debug.pid, 'SIGKILL');
  t.match((await debug.ended).stderr, /"ignored":\["frobnicate"\]/);
  t.ok(await place.engineGone(), 'the engine ends when plyfs is killed');
  t.equal(mountAt(place.mountpoint), undefined);
});

t.test('--log', async (t) => {
  const log = path.join(place.base, 'log');
  await place.plyfs('--log', log, ...place.options, place.mountpoint);
  await must('umount', [place.mountpoint]);
  t.ok(await place.engineGone());
  const lines = fs
    .readFileSync(log, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as object);
  t.match(lines, [
    { level: 30, msg: 'mounted', mountpoint: place.mountpoint, layers: 2, writable: true },
    { level: 30, msg: /^transport: (dev|uring): / },
    { level: 30, msg: 'unmounted' },
  ]);
  t.equal(fs.statSync(log).mode & 0o777, 0o640);
});

t.test('500 layers', async (t) => {
  const layers = Array.from({ length: 500 }, (_, i) => {
    const layer = path.join(place.base, `l${i}`);
    fs.mkdirSync(layer);
    fs.writeFileSync(path.join(layer, `of-${i}`), '');
    return layer;
  });
  t.match(await place.plyfs('-o', `lowerdir=${layers.join(':')}`, place.mountpoint), { status: 0, stderr: '' });
  const names = (await must('ls', [place.mountpoint])).trim().split('\n');
  t.equal(names.length, 500);
});

t.test('a mountpoint and layers whose names are not UTF-8, or need escapes', async (t) => {
  const odd = Buffer.from(`${place.base}/\xff, :\\`, 'latin1');
  fs.mkdirSync(odd);
  fs.mkdirSync(Buffer.concat([odd, Buffer.from('/m')]));
  fs.writeFileSync(Buffer.concat([odd, Buffer.from('/f')]), 'odd\n');
  const script = String.raw`d=$(printf '\377, :\\'); e=$(printf '\377\\, \\:\\\\'); "$0" -o "lowerdir=$e:a" "$d/m" && cat "$d/m/f" "$d/m/top"`;
  t.match(await run('sh', ['-c', script, plyfsBinary], { cwd: place.base }), { status: 0, stdout: 'odd\nof a\n', stderr: '' });
  process.kill(place.engines()[0], 'SIGTERM');
  t.ok(await place.engineGone());
  t.notOk(fs.readFileSync('/proc/mounts', 'latin1').includes(place.base), 'and SIGTERM unmounts it');
});

t.test('a mount whose layer is on a plyfs mount: its level is told', async (t) => {
  await place.plyfs(...place.options, place.mountpoint);
  const nested = path.join(place.base, 'nested');
  fs.mkdirSync(nested);
  t.match(await place.plyfs('-o', `lowerdir=${place.mountpoint}`, nested), { status: 0, stderr: '' });
  t.match(fs.readFileSync('/proc/mounts', 'utf8'), new RegExp(`^plyfs:2 ${nested} `, 'm'));
  t.match(await run('cat', [`${nested}/top`], { timeoutMs: LIMIT_MS }), { stdout: 'of a\n' });
  await must('umount', [nested]);
});

t.teardown(async () => {
  const left = await leftBehind();
  if (left.length > 0) throw new Error(left.join('\n'));
});

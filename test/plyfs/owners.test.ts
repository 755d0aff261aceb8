/**
 * Whose files are, by fuse-overlayfs's options: ids that are mapped (uidmapping, gidmapping), squashed, or kept in xattrs (xattr_permissions); and the real
 * fuse-overlayfs over the same directories beside it, where it means the same.
 */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { CANNOT, kill, leftBehind, Plyd, until } from '../plyd/daemon.js';
import { importToCatalog } from '../support/imported.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { mounts, must, run, tearAway } from '../support/mounts.js';
import { plyfsBinary } from '../support/targets.js';

const LIMIT_MS = 60_000;
const OTHER = process.env['PATH']!.split(':').some((one) => fs.existsSync(path.join(one, 'fuse-overlayfs')));
const NO_OTHER = CANNOT ?? (OTHER ? false : 'needs fuse-overlayfs');

/** A lower `l`, and mounts with an upper of their own, in a directory that all may enter. */
class Place {
  readonly base = temporaryDirectory();
  socket = path.join(this.base, 'run', 'ply.sock');

  constructor() {
    fs.chmodSync(this.base, 0o755);
  }

  /** Runs a script there; its output. `as`: a uid that is gid too. */
  async sh(script: string, as = 0, ...more: string[]): Promise<string> {
    const by = ['setpriv', `--reuid=${as}`, `--regid=${as}`, '--clear-groups', 'sh', '-ec', script, 'sh', ...more];
    return must(by[0], by.slice(1), { cwd: this.base, timeoutMs: LIMIT_MS });
  }

  /** The message of a script that fails. */
  async fails(script: string, as = 0): Promise<string> {
    const done = await run('setpriv', [`--reuid=${as}`, `--regid=${as}`, '--clear-groups', 'sh', '-ec', script], {
      cwd: this.base,
      timeoutMs: LIMIT_MS,
    });
    return done.status === 0 ? '(it did not fail)' : done.stderr;
  }

  async mount(name: string, options: string, program = plyfsBinary): Promise<void> {
    for (const one of [name, `${name}.u`, `${name}.w`]) fs.mkdirSync(path.join(this.base, one), { recursive: true });
    const env = { ...process.env, PLY_SOCKET: this.socket };
    const args = ['-o', `lowerdir=l,upperdir=${name}.u,workdir=${name}.w,${options}`, name];
    await must(program, args, { cwd: this.base, timeoutMs: LIMIT_MS, env });
  }

  async unmount(name: string): Promise<void> {
    await must('umount', [path.join(this.base, name)], { timeoutMs: LIMIT_MS });
  }

  /** Every name below a directory: type, mode, owner. */
  async tree(name: string): Promise<string[]> {
    const lines = await this.sh(`find ${name} -mindepth 1 -printf '%P %y %m %U:%G\\n' | sort`);
    return lines.split('\n').filter((line) => line !== '');
  }

  async end(): Promise<void> {
    for (const { point } of mounts().filter((one) => one.point.startsWith(`${this.base}/`))) await tearAway(point);
    await until('the end of the engines', () => this.engines().length === 0).catch(() => undefined);
    for (const pid of this.engines()) kill(pid);
    await removeDirectory(this.base);
  }

  engines(): number[] {
    return fs
      .readdirSync('/proc')
      .filter((pid) => /^\d+$/.test(pid) && commandOf(pid).includes('daemon/engine/main.js') && commandOf(pid).includes(this.base))
      .map(Number);
  }
}

function commandOf(pid: string): string {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return ''; // it ended
  }
}

function test(name: string, body: (t: Test, place: Place) => Promise<void>, skip: string | false = CANNOT ?? false): void {
  void t.test(name, { skip }, async (t) => {
    const place = new Place();
    try {
      await body(t, place);
    } finally {
      await place.end();
    }
  });
}

const LOWER = `mkdir -p l/d l/open && echo a >l/a && echo b >l/d/b && echo o >l/d/other && ln -s a l/s && mkfifo l/p
  chown 5:6 l/a && chown 7:8 l/d && chown 4000:4001 l/d/other && chown -h 3:4 l/s && chmod 751 l/d && chmod 777 l/open`;

const SHOWN = ['a f 644 105:206', 'd d 751 107:208', 'd/b f 644 100:200', 'd/other f 644 65534:65534', 'open d 777 100:200'];
const MAPPED = 'uidmapping=:0:100:1000,gidmapping=:0:200:1000';

test('mapped ids are shown, and turned back in all that is made and given away', async (t, place) => {
  await place.sh(LOWER);
  await place.mount('m', MAPPED);
  t.same(await place.tree('m'), [...SHOWN, 'p p 644 100:200', 's l 777 103:204']);

  const makes = 'cd m/open; echo f >f; mkdir d; ln -s f s; mkfifo p; ln f hard; python3 -c "$1"';
  const nameless =
    'import ctypes, os; fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o640); assert ctypes.CDLL(None).linkat(-100, b"/proc/self/fd/%d" % fd, -100, b"t", 0x400) == 0';
  await place.sh(makes, 201, nameless);
  await place.sh('mknod m/open/null c 1 3; chown 301:401 m/open/f; chgrp 402 m/a; chown 311 m/d/b; chown -h 312:412 m/s');
  const made = (uid: string, gid: string): string[] =>
    ['d d 755', 'f f 644', 'hard f 644', 'null c 644', 'p p 644', 's l 777', 't f 640'].map((one) => `open/${one} ${uid}:${gid}`);
  const changed = (lines: string[], owners: Readonly<Record<string, string>>): string[] =>
    lines.map((line) => (owners[line.split(' ')[0]] === undefined ? line : `${line.replace(/\S+$/, '')}${owners[line.split(' ')[0]]}`));
  const shown = changed(made('201', '201'), { 'open/f': '301:401', 'open/hard': '301:401', 'open/null': '65534:65534' });
  t.same(
    (await place.tree('m')).filter((line) => line.startsWith('open/')),
    shown,
  );
  const kept = changed(made('101', '1'), { 'open/f': '201:201', 'open/hard': '201:201', 'open/null': '65534:65534' });
  t.same(
    (await place.tree('m.u')).filter((line) => line.startsWith('open/')),
    kept,
    'on disk',
  );
  t.match(
    await place.tree('m.u'),
    ['a f 644 5:202', 'd d 751 7:8', 'd/b f 644 211:0'],
    'what was copied up keeps the ids that were not changed',
  );
  t.ok((await place.tree('m.u')).includes('s l 777 212:212'));

  t.match(await place.fails('chown 5000 m/a'), /Invalid argument/, 'an id that is mapped to none cannot own');
  t.match(await place.fails('chgrp 99 m/a'), /Invalid argument/);
  t.ok((await place.tree('m')).includes('a f 644 105:402'));
  await place.sh('mkdir m/open/none', 5000);
  const nobody = '65534:65534\n65534:65534\n';
  t.equal(await place.sh('stat -c %u:%g m/open/none m.u/open/none; rmdir m/open/none'), nobody, "what it makes is nobody's");

  // who may is decided by what is shown
  await place.sh('chmod 600 m/a && chown 105:205 m/a');
  t.match(await place.fails('cat m/a', 5), /Permission denied/);
  t.equal(await place.sh('cat m/a', 105), 'a\n');
  await place.unmount('m');
  await place.mount('m', MAPPED);
  t.same(
    (await place.tree('m')).filter((line) => line.startsWith('open/')),
    shown,
    'mounted again',
  );
});

test('ids inside ACLs are mapped both ways, and are inherited', async (t, place) => {
  await place.sh(`${LOWER}; setfacl -m u:5:rw,g:6:r l/a; setfacl -d -m u:7:rwx l/open; setfacl -m u:4000:r l/d/b`);
  await place.mount('m', MAPPED);
  const acl = async (name: string): Promise<string[]> =>
    (await place.sh(`getfacl -nc ${name}`)).split('\n').filter((line) => /^(default:)?(user|group):\d/.test(line));
  t.same(await acl('m/a'), ['user:105:rw-', 'group:206:r--']);
  t.same(await acl('m/d/b'), ['user:65534:r--']);
  await place.sh('setfacl -m u:110:rwx,g:210:x m/a');
  await place.sh('mkdir m/open/d; echo >m/open/f', 201);
  t.same(await acl('m/a'), ['user:105:rw-', 'user:110:rwx', 'group:206:r--', 'group:210:--x']);
  t.same(await acl('m.u/a'), ['user:5:rw-', 'user:10:rwx', 'group:6:r--', 'group:10:--x']);
  t.same(await acl('m/open/d'), ['user:107:rwx', 'default:user:107:rwx']);
  t.match(await acl('m.u/open/d'), ['user:7:rwx', 'default:user:7:rwx']);
  t.match((await acl('m/open/f'))[0], /^user:107:rwx/);
  t.match(await place.fails('setfacl -m u:5000:r m/a'), /Invalid argument/);
  t.same((await acl('m/a')).length, 4);
  await place.sh('chmod 700 m/a && setfacl -m u:110:r m/a');
  t.equal(await place.sh('cat m/a', 110), 'a\n', 'the kernel lets in who is shown');
  t.match(await place.fails('cat m/a', 10), /Permission denied/);
});

test('a directory with setgid gives its group, as it is kept, to what is made in it', async (t, place) => {
  await place.sh(`${LOWER}; chgrp 9 l/open; chmod 2777 l/open`);
  for (const [name, more] of Object.entries({ mapped: MAPPED, kept: `${MAPPED},xattr_permissions=2` })) {
    await place.mount(name, more);
    await place.sh(`mkdir ${name}/open/d; echo >${name}/open/d/f`, 201);
    t.same(
      (await place.tree(name)).filter((line) => line.startsWith('open/')),
      ['open/d d 2755 201:209', 'open/d/f f 644 201:209'],
      name,
    );
  }
});

test('mounts of one engine that share their lowers map them each in its way', async (t, place) => {
  await place.sh(LOWER);
  const maps: Readonly<Record<string, string>> = { one: MAPPED, two: 'uidmapping=0:300:10', plain: '', squashed: 'squash_to_root' };
  for (const [name, map] of Object.entries(maps)) await place.mount(name, `sharelowers,${map}`);
  t.equal(place.engines().length, 1);
  const seen = async (): Promise<Record<string, string>> => {
    const found: Record<string, string> = {};
    for (const name of Object.keys(maps)) found[name] = await place.sh(`stat -c %u:%g ${name}/a ${name}/d ${name}/d/other | tr '\\n' ' '`);
    return found;
  };
  const expected = {
    one: '105:206 107:208 65534:65534 ',
    two: '305:6 307:8 65534:4001 ',
    plain: '5:6 7:8 4000:4001 ',
    squashed: '0:0 0:0 0:0 ',
  };
  t.same(await seen(), expected);
  await place.sh('for m in one two plain squashed; do echo more >>$m/a; done');
  t.same(await seen(), expected, 'copied up');
  t.same(await place.sh('stat -c %u:%g *.u/a'), '5:6\n5:6\n5:6\n5:6\n');
});

test('squashing: what is shown stays the same, whatever is given away; as with fuse-overlayfs', async (t, place) => {
  await place.sh(LOWER);
  const rows: [options: string, owner: string][] = [
    ['squash_to_root', '0:0'],
    ['squash_to_uid=7', '7:6'],
    ['squash_to_root,squash_to_gid=9', '0:9'],
    ['squash_to_uid=7,squash_to_gid=8,uidmapping=0:100:1000', '7:8'],
  ];
  for (const [i, [options, owner]] of rows.entries()) {
    for (const program of OTHER ? [plyfsBinary, 'fuse-overlayfs'] : [plyfsBinary]) {
      const name = `${path.basename(program)}${i}`;
      await place.mount(name, options, program);
      t.equal(await place.sh(`stat -c %u:%g ${name}/a`), `${owner}\n`, `${name}: ${options}`);
      await place.sh(`chown 105:106 ${name}/a; echo >${name}/open/new`);
      const [uid, gid] = (await place.sh(`stat -c %u:%g ${name}/a`)).trim().split(':');
      t.equal(`${uid}:${gid}`, options.includes('gid') || options.includes('root') ? owner : '7:106', `${name}: given away`);
      const kept = options.includes('uidmapping') ? '5:106\n' : '105:106\n';
      t.equal(await place.sh(`stat -c %u:%g ${name}.u/a`), kept, `${name}: and kept all the same`);
      await place.unmount(name);
    }
  }
  await place.mount('map', 'squash_to_root,uidmapping=0:100:1000');
  await place.sh('chown 5000:5000 map/a; echo >map/open/by', 0);
  t.equal(await place.sh('stat -c %u:%g map/a map.u/a'), '0:0\n5:5000\n', 'an id that is mapped to none: no error, and the owner stays');
});

/** Makes and changes all kinds of things in `m`. */
const CHANGES: readonly [as: number, script: string][] = [
  [0, 'chmod 777 m; chmod 1757 m/d; chown 107:108 m/a; chmod 4750 m/a; echo more >>m/d/b'],
  [105, 'cd m/open; echo f >f; mkdir d; umask 077; echo p >private; mkdir closed; mv f d/moved'],
  [0, 'chown 301:302 m/open/private; chmod 2711 m/open/closed; chown 9:9 m/open/closed; ln m/a m/linked; rm m/d/other'],
];

for (const mode of [1, 2]) {
  test(`xattr_permissions=${mode}: owners and modes are in xattrs, and files on disk are nobody's`, async (t, place) => {
    await place.sh(LOWER);
    await place.mount('m', `xattr_permissions=${mode}`);
    for (const [as, script] of CHANGES) await place.sh(script, as);
    const expected = [
      'a f 4750 107:108',
      'd d 1757 7:8',
      'd/b f 644 0:0',
      'linked f 4750 107:108',
      'open d 777 0:0',
      'open/closed d 2711 9:9',
      'open/d d 755 105:105',
      'open/d/moved f 644 105:105',
      'open/private f 600 301:302',
      'p p 644 0:0',
      's l 777 3:4',
    ];
    t.same(await place.tree('m'), expected);
    for (const line of (await place.tree('m.u')).filter((one) => / [df] /.test(one))) t.match(line, / 755 0:0$| 777 0:0$/, line);
    t.notMatch(await place.sh('getfattr -dm - -R m'), /override/, 'the mount does not show them');
    t.match(await place.fails('setfattr -n user.containers.override_stat -v 0:0:4777 m/d/b'), /Operation not permitted/);
    t.match(await place.fails('getfattr -n user.fuseoverlayfs.override_stat m/d/b'), /No such attribute/);
    t.match(await place.fails('setfacl -m u:5:r m/d/b'), /Operation not supported/, 'the disk could not say what an ACL means');
    t.match(await place.fails('cat m/open/private', 105), /Permission denied/);
    t.equal(
      await place.sh('echo x >>m/a; stat -c %a m/a; chown 107 m/a; stat -c %a m/a', 0),
      '4750\n750\n',
      'giving away takes the setuid bit',
    );
    await place.sh('echo own >>m/open/d/moved; ln -s x m/open/s; mkfifo m/open/p', 105);
    const kept = (await place.tree('m')).filter((line) => / [psl] /.test(line));
    t.same(kept, ['open/p p 644 105:105', 'open/s l 777 105:105', 'p p 644 0:0', 's l 777 3:4'], 'what is no file or directory');
    const before = await place.tree('m');
    await place.unmount('m');
    await place.mount('m', `xattr_permissions=${mode}`);
    t.same(await place.tree('m'), before, 'mounted again');
  });

  test(
    `xattr_permissions=${mode}: what plyfs writes fuse-overlayfs reads, and the other way round`,
    async (t, place) => {
      await place.sh(LOWER);
      const options = `xattr_permissions=${mode}`;
      const isKept = (line: string): boolean => / [df] /.test(line); // fuse-overlayfs keeps only those in xattrs
      for (const [writer, reader] of [
        [plyfsBinary, 'fuse-overlayfs'],
        ['fuse-overlayfs', plyfsBinary],
      ]) {
        await place.mount('m', options, writer);
        for (const [as, script] of CHANGES) await place.sh(script.replace('; ln m/a m/linked', ''), as);
        const written = (await place.tree('m')).filter(isKept);
        t.ok(written.some((line) => line.startsWith('open/private f ') && line.endsWith(' 301:302')));
        await place.unmount('m');
        await place.mount('m', options, reader);
        t.same((await place.tree('m')).filter(isKept), written, `${path.basename(reader)} reads`);
        await place.unmount('m');
        await place.sh('rm -rf m.u m.w');
      }
    },
    NO_OTHER,
  );
}

test('owners kept in xattrs of lowers are read, in every form and under every name', async (t, place) => {
  await place.sh(LOWER);
  const set = (name: string): string => `k() { setfattr -n ${name} -v "$2" "l/$1"; }; `;
  const forms = 'k . 0:0:755; k a 11:12:4750; k d 13:14:40711; k d/b 15:16:100600';
  const typed =
    '; k . 0:0:0755:dir; k a 11:12:4750:file; touch l/null l/pipe l/sock l/disk; k null 0:0:666:char-1-3; k pipe 7:7:600:pipe; k sock 1:1:755:socket; k disk 0:6:660:block-8-17';
  const expected = [
    'a f 4750 11:12',
    'd d 711 13:14',
    'd/b f 600 15:16',
    'd/other f 644 4000:4001',
    'open d 777 0:0',
    'p p 644 0:0',
    's l 777 3:4',
  ];
  for (const name of ['security.fuseoverlayfs.override_stat', 'user.fuseoverlayfs.override_stat']) {
    await place.sh(set(name) + forms);
    await place.mount('m', 'volatile');
    t.same(await place.tree('m'), expected, name);
    await place.unmount('m');
    if (OTHER) {
      await place.mount('m', 'volatile', 'fuse-overlayfs');
      // fuse-overlayfs 1.10 answers ENODATA for what has no such xattr in such a layer
      t.same(
        (await place.sh('stat -c "%a %u:%g" m/a m/d m/d/b')).trim().split('\n'),
        ['4750 11:12', '711 13:14', '600 15:16'],
        'fuse-overlayfs',
      );
      await place.unmount('m');
    }
    await place.sh(`find l -exec setfattr -hx ${name} {} + 2>&1 || true`);
    await place.sh('rm -rf m.u m.w');
  }
  await place.sh(set('user.containers.override_stat') + forms + typed);
  await place.mount('m', 'volatile');
  const special = ['disk b 660 0:6', 'null c 666 0:0', 'pipe p 600 7:7', 'sock s 755 1:1'];
  t.same(await place.tree('m'), [...expected, ...special].sort());
  t.equal(await place.sh('stat -c %t:%T m/disk m/null | tr "\\n" " "; cat m/null'), '8:11 1:3 ', 'a device is one');
  await place.sh('echo more >>m/a; chmod 640 m/null; chown 1:1 m/pipe; chmod 700 m/d');
  t.same(await place.tree('m.u'), ['a f 4750 11:12', 'd d 700 13:14', 'null c 640 0:0', 'pipe p 600 1:1'], 'copied up they are real');
  t.notMatch(await place.sh('getfattr -dm - -R m m.u'), /override/);
  t.equal(await place.sh('stat -c %a m/a; cat m/a'), '4750\na\nmore\n');
});

test('ids that xattrs of lowers cannot mean', async (t, place) => {
  await place.sh('mkdir l; cd l; touch kept group high wide; chown 7:8 *; chmod 600 *');
  const set = (name: string, value: string): string => `setfattr -n user.fuseoverlayfs.override_stat -v ${value} l/${name};`;
  await place.sh(
    set('', '0:0:755') +
      set('kept', '-1:12:100644') +
      set('group', '12:-1:644') +
      set('high', '-2:4294967294:644') +
      set('wide', '4294967296:0:4755'),
  );
  await place.mount('m', 'volatile');
  const stat = (name: string): string => `stat -c '%u:%g %a' m/${name}`;
  t.equal(await place.sh(stat('kept')), '7:12 644\n', 'fuse-overlayfs 1.10 writes -1 for an owner that it was not told');
  t.equal(await place.sh(stat('group')), '12:8 644\n');
  t.equal(await place.sh(stat('high')), '4294967294:4294967294 644\n');
  t.match(await place.fails(stat('wide')), /Invalid argument/, 'of more than 32 bits: it is not cut to 0');
  await place.unmount('m');
});

test('a container does not make its upper a layer of which owners are in xattrs', async (t, place) => {
  await place.sh('mkdir l');
  await place.mount('m', 'volatile');
  for (const name of ['user.fuseoverlayfs.override_stat', 'security.fuseoverlayfs.override_stat', 'user.containers.override_stat'])
    t.match(await place.fails(`setfattr -n ${name} -v 0:0:4755 m`), /Operation not permitted/, name);
  await place.sh('touch m/f; setfattr -n user.containers.override_stat -v 0:0:4755 m/f');
  t.equal(await place.sh('getfattr -n user.containers.override_stat --only-values m/f'), '0:0:4755', 'elsewhere, others may keep theirs');
  await place.unmount('m');
  await place.sh('rm -r l m.w; mv m.u l');
  await place.mount('n', 'volatile');
  t.equal(await place.sh('stat -c %a n/f'), '644\n', 'it is as it was');
  await place.unmount('n');
});

test('static_nlink, and how long the kernel may believe what it was told (timeout)', async (t, place) => {
  await place.sh(`${LOWER}; mkdir l/open/x l/open/y`);
  await place.mount('m', 'static_nlink,timeout=0');
  t.equal(await place.sh('stat -c %h m/open m/open/x m/a'), '1\n1\n1\n');
  await place.sh('mkdir m/made; mkdir m/made/x; echo >m/f; ln m/f m/g');
  t.equal(await place.sh('stat -c %h m/made m/f'), '1\n2\n');
  t.equal(await place.sh('stat -c %a m/f; chmod 604 m.u/f; stat -c %a m/f'), '644\n604\n', 'asked again each time');
});

test('a mapping outlives the engine: plyd mounts it again as it was', async (t, place) => {
  await place.sh(LOWER);
  const plyd = await Plyd.start();
  try {
    place.socket = plyd.socket;
    await place.mount('m', `${MAPPED},sharelowers`);
    t.equal((await plyd.info()).engines.length, 1, 'plyd serves it');
    t.same((await place.tree('m')).slice(0, SHOWN.length), SHOWN);
    const [{ pid }] = (await plyd.info()).engines;
    kill(pid);
    await until(
      'it is mounted again',
      async () =>
        (await run('stat', [path.join(place.base, 'm', 'a')], { timeoutMs: 5000 })).status === 0 &&
        (await plyd.info()).engines[0]?.pid !== pid,
      60_000,
    );
    t.same((await place.tree('m')).slice(0, SHOWN.length), SHOWN);
    await place.sh('echo >m/open/new', 201);
    t.equal(await place.sh('stat -c %u:%g m.u/open/new'), '101:1\n');
    await place.unmount('m');
  } finally {
    t.same(await plyd.cleanUp(), []);
  }
});

test('imported layers are mapped too, and what changed is told as it is kept', async (t, place) => {
  await place.sh(LOWER);
  const plyd = new Plyd();
  try {
    const layer = await importToCatalog(plyd.root, path.join(place.base, 'l'));
    await plyd.start();
    await plyd.must('POST', '/v1/images', { name: 'img', layers: [layer] });
    await plyd.must('POST', '/v1/containers', { image: 'img', name: 'plain' });
    await plyd.must('POST', '/v1/containers', { image: 'img', name: 'mapped', options: MAPPED });
    const refused = await plyd.refused('POST', '/v1/containers', { image: 'img', name: 'kept', options: 'xattr_permissions=2' });
    t.match(refused.message, /xattr_permissions is not for containers/);
    const [plain, mapped] = [(await plyd.begin('plain')).mountpoint!, (await plyd.begin('mapped')).mountpoint!];
    const owners = (point: string): Promise<string> => place.sh(`cd ${point} && stat -c %u:%g a d d/b d/other s | tr '\\n' ' '`);
    t.equal(await owners(plain), '5:6 7:8 0:0 4000:4001 3:4 ');
    t.equal(await owners(mapped), '105:206 107:208 100:200 65534:65534 103:204 ');
    await place.sh(`echo more >>${mapped}/a; chown 110:210 ${mapped}/d/b`);
    t.equal(await owners(mapped), '105:206 107:208 110:210 65534:65534 103:204 ');
    t.equal(await owners(plain), '5:6 7:8 0:0 4000:4001 3:4 ');
    const { upper } = await plyd.container('mapped');
    t.equal(await place.sh(`cd ${upper} && stat -c %u:%g a d d/b | tr '\\n' ' '`), '5:6 7:8 10:10 ');
    for (const name of ['plain', 'mapped']) await plyd.end(name);
  } finally {
    t.same(await plyd.cleanUp(), []);
  }
});

test('xattr_permissions=2 in a user namespace of one id: modes and owners that could not be set are kept', async (t, place) => {
  await place.sh(
    `${LOWER}; setfattr -n user.fuseoverlayfs.override_stat -v 0:0:755 l; setfattr -n user.fuseoverlayfs.override_stat -v 0:0:4711 l/a`,
  );
  await place.sh('rm l/d/other; chown -hR 0:0 l; chmod 0 l/d/b; mkdir m m.u m.w');
  const script = [
    '"$0" -o lowerdir=l,upperdir=m.u,workdir=m.w,xattr_permissions=2 m',
    'stat -c "%a %u:%g" m/a m/d/b',
    'mkdir m/new; echo n >m/new/f; chmod 2700 m/new; chmod 4755 m/new/f; ln -s f m/new/s; chown -h 0:0 m/new/s; chmod 400 m/d/b',
    'stat -c "%a %u:%g" m/new m/new/f m/d/b',
    'umount m',
  ];
  const env = { ...process.env, PLY_SOCKET: place.socket };
  const done = await run('unshare', ['-rm', 'sh', '-ec', script.join('\n'), plyfsBinary], { cwd: place.base, timeoutMs: LIMIT_MS, env });
  t.match(done, { status: 0, stderr: '', stdout: '4711 0:0\n0 0:0\n2700 0:0\n4755 0:0\n400 0:0\n' });
  t.equal(await place.sh('stat -c %a m.u/new m.u/new/f m.u/d/b | tr "\\n" " "'), '755 755 755 ', 'on disk no bit gives rights');
  t.match(await place.sh('getfattr -dm - -R m.u'), /user.fuseoverlayfs.override_stat="0:0:4755"/);
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

/** Two layers with some of everything that a read-only mount shows, and what a process sees of a tree. */
import path from 'node:path';
import { must, run } from '../support/mounts.js';

const LAYERS = `
set -eu
mkdir -p base/usr/bin base/usr/share/doc base/var/old/deep base/opaque/below base/gone "base/with space" top/usr/bin top/opaque top/new
cd base
printf 'hello\\n' >usr/bin/hello; chmod 4755 usr/bin/hello; chown 12:34 usr/bin/hello
cp /bin/busybox usr/bin/busybox
head -c 3000000 /dev/urandom >usr/share/big
truncate -s 50000000 usr/share/sparse; printf end >>usr/share/sparse
: >usr/share/empty
ln usr/bin/hello usr/share/joined; ln usr/bin/hello usr/share/doc/joined-too
ln -s ../bin/hello usr/share/link; ln -s nowhere usr/dangling; ln -s "$(printf '%01000d' 0)" usr/long-link
printf below >opaque/below/file; printf gone >gone/file; printf one >var/old/one; printf two >var/old/deep/two
mkfifo usr/fifo; mknod usr/null c 1 3; mknod usr/disk b 259 1048575
printf x >"with space/$(printf 'n%.0s' $(seq 255))"; printf x >"with space/Ünïcödé 日本 𝒳"
printf x >"with space/$(printf '\\357\\273\\277')bom"
chmod 1777 var; chmod 2750 usr/share/doc; chown 4294967294:65534 usr/share/empty
setfattr -n user.note -v text usr/share/big; setfattr -n user.large -v "$(printf '%03000d' 7)" usr/share/joined
setfattr -n user.binary -v 0x00ff00c3 var; setfattr -n trusted.kept -v yes usr; setfacl -m u:7:r-- usr/share/big
setcap cap_net_raw+ep usr/bin/busybox
touch -d '2001-02-03 04:05:06.789012345' usr/bin/hello; touch -d '2150-01-01 00:00:00' usr/share/big; touch -d '1969-12-31 23:59:58.25' usr/share/empty
cd ../top
printf 'hello of the top\\n' >usr/bin/tool; printf other >new/file
mknod gone c 0 0; mkdir -p var; mknod var/old c 0 0
setfattr -n trusted.overlay.opaque -v y opaque; printf top >opaque/own
chmod 711 usr; chown 5:6 usr; touch -d '2010-10-10 10:10:10.5' usr var opaque new ../base/usr/share
`;

/** Makes `base` and `top` in a directory; returns them, the topmost first. */
export async function makeLayers(directory: string): Promise<string[]> {
  await must('bash', ['-c', LAYERS], { cwd: directory });
  return ['top', 'base'].map((name) => path.join(directory, name));
}

/** Everything below a directory as a process sees it, names in sorted order, one JSON object. */
const WALKER = `
import hashlib, json, os, stat, sys
seen, groups = {}, {}
def text(b): return b.decode('utf-8', 'backslashreplace')
def look(path, rel):
    s = os.lstat(path)
    kind = stat.S_IFMT(s.st_mode)
    one = {'mode': oct(s.st_mode), 'uid': s.st_uid, 'gid': s.st_gid, 'nlink': s.st_nlink, 'mtime': s.st_mtime_ns // 1000000,
           'xattrs': {text(os.fsencode(n)): os.getxattr(path, n, follow_symlinks=False).hex() for n in sorted(os.listxattr(path, follow_symlinks=False))}}
    if kind != stat.S_IFDIR: one.update(size=s.st_size, blocks=s.st_blocks)
    if kind in (stat.S_IFCHR, stat.S_IFBLK): one['device'] = [os.major(s.st_rdev), os.minor(s.st_rdev)]
    if kind == stat.S_IFLNK: one['target'] = text(os.readlink(path))
    if kind == stat.S_IFREG: one['sha256'] = hashlib.sha256(open(path, 'rb').read()).hexdigest()
    groups.setdefault(s.st_ino, []).append(text(rel))
    seen[text(rel)] = one
    if kind == stat.S_IFDIR:
        for entry in sorted(os.scandir(path), key=lambda e: e.name):
            at = os.path.join(path, entry.name)
            if entry.inode() != os.lstat(at).st_ino: one.setdefault('d_ino', []).append(text(entry.name))
            if entry.is_symlink() != stat.S_ISLNK(os.lstat(at).st_mode): one.setdefault('d_type', []).append(text(entry.name))
            look(at, os.path.join(rel, entry.name))
look(os.fsencode(sys.argv[1]), b'.')
print(json.dumps({'seen': seen, 'joined': sorted(sorted(g) for g in groups.values() if len(g) > 1)}))
`;

export interface Seen {
  /** by path */
  seen: Record<string, Record<string, unknown> & { mtime: number }>;
  /** paths with one inode number */
  joined: string[][];
}

export async function walk(directory: string): Promise<Seen> {
  return JSON.parse(await must('python3', ['-c', WALKER, directory], { timeoutMs: 120_000 })) as Seen;
}

/** Runs some Python; what it prints. */
export async function python(script: string, ...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await run('python3', ['-c', script, ...args], { timeoutMs: 60_000 });
  return status === 0 ? stdout.trim() : `status ${status}: ${stderr.trim()}`;
}

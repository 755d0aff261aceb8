/**
 * stress-ng's class "filesystem" with --verify, in a mount. Tried first on ext4 and on kernel overlayfs (stress-ng 0.15.06, Linux 6.18), where all
 * of these pass. Left out of the class:
 *
 *   binderfs, bind-mount, dup, eventfd, io, ioprio, procfs    not about the file system under --temp-path
 *   fiemap, verity                                            ioctls that FUSE does not pass, or that this kernel does not have: they skip themselves
 *   inode-flags                                               does nothing on ext4 either
 *   fanotify                                                  watches every mount of the machine
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { type Tree } from '../support/layers.js';
import { leftBehind } from '../support/leaks.js';
import { arena, assertClean, Client, more } from './arena';

/** Run together, one instance each. */
const GROUPS = [
  ['access', 'chmod', 'chown', 'dentry', 'rename', 'symlink', 'utime'],
  ['copy-file', 'fallocate', 'fpunch', 'fsize', 'hdd', 'iomix', 'sync-file', 'touch'],
  ['chdir', 'dir', 'dirdeep', 'dirmany', 'filename', 'getdent', 'link', 'mknod'],
  ['chattr', 'dnotify', 'fcntl', 'file-ioctl', 'fstat', 'handle', 'inotify', 'xattr'],
  ['flock', 'lease', 'locka', 'lockf', 'lockofd', 'open'],
];

const SECONDS = more(5);
/** Each as small as stress-ng lets it be, or nearly. */
const SIZES = ['--hdd-bytes', '16m', '--iomix-bytes', '16m', '--copy-file-bytes', '128m'];

/** stress-ng works below a directory that the lower has, so that it begins with a copy-up. */
const lower: Tree = { 'stress/here/file': 'lower' };

for (const stressors of GROUPS) {
  t.test(stressors.join(' '), async (t) => {
    const mounted = await arena(t, [lower]);
    const here = path.join(mounted.mountpoint, 'stress/here');
    const each = stressors.flatMap((name) => [`--${name}`, '1']);
    const args = [...each, '--timeout', `${SECONDS}`, '--verify', '--temp-path', here, ...SIZES];
    const { status, output } = await Client.start('stress-ng', args, (SECONDS + 60) * 1000).ended;
    t.equal(status, 0, status === 0 ? 'stress-ng is content' : output);
    t.same(fs.readdirSync(here), ['file'], 'it has tidied up');
    await assertClean(t, mounted);
  });
}

t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

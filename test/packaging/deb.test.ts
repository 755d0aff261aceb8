/** The Debian package: lintian, and its life in a fresh Debian root: installed, used, removed, purged. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { makePackage } from '../../scripts/install/deb.js';
import { CANNOT, leftBehind } from '../plyd/daemon.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { run } from '../support/mounts.js';
import { debianRoot, GIVE_NODE } from './debian-root.js';

const missing = ['dpkg-deb', 'dpkg-shlibdeps', 'lintian', 'mmdebstrap'].find(
  (one) => spawnSync('sh', ['-c', `command -v ${one}`]).status !== 0,
);
const skip = CANNOT ?? (missing === undefined ? false : `needs ${missing} (scripts/setup)`);

/** In mount and PID namespaces of its own, over a kernel overlay on the Debian root: that stays as it was, and nothing outlives this. */
const LIFE = String.raw`
set -eu
${GIVE_NODE}
base=$1 lower=$2 debs=$3 package=$4
mkdir -p "$base"/{upper,work,r}
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$base/upper,workdir=$base/work" "$base/r"
mount -t proc proc "$base/r/proc"
mount -t sysfs sysfs "$base/r/sys"
mkdir -p "$base/r/mnt/debs"
for device in null fuse urandom; do touch "$base/r/dev/$device"; mount --bind "/dev/$device" "$base/r/dev/$device"; done
give_node "$base/r"
cp "$debs"/{fuse3,libfuse3-3}_*.deb "$package" "$base/r/mnt/debs/"
cat >"$base/r/mnt/life" <<'END'
set -eu
export DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ldconfig
dpkg -i /mnt/debs/*fuse3*.deb >/dev/null 2>&1
files() { find / -xdev \( -path /var/lib/dpkg -o -path /var/log -o -path /mnt -o -path /proc -o -path /sys \) -prune -o -print | sort; }
files >/mnt/before
dpkg -i /mnt/debs/plyfs_*.deb
dpkg -s plyfs | grep -q '^Status: install ok installed'
dpkg --audit
ply --version
plyd 2>/mnt/log &
plyd=$!
trap 'kill $plyd 2>/dev/null || true' EXIT
for attempt in $(seq 300); do
  if ply info >/mnt/info 2>&1; then break; fi
  sleep 0.2
done
cat /mnt/info
mkdir -p /mnt/a /mnt/m
echo 'in the package' >/mnt/a/file
mount -t fuse.plyfs -o lowerdir=/mnt/a none /mnt/m
cat /mnt/m/file
umount /mnt/m
kill $plyd
wait $plyd
files >/mnt/used
dpkg -r plyfs
test -e /etc/ply/plyd.toml
dpkg -P plyfs 2>&1
files >/mnt/after
diff /mnt/before /mnt/after | sed 's/^/LEFT /' | grep '^LEFT [<>]' || true
echo END
END
timeout 240 chroot "$base/r" /usr/bin/env -i HOME=/root LANG=C.UTF-8 /bin/bash /mnt/life || { status=$?; cat "$base/r/mnt/log" >&2; exit $status; }
`;

void t.test('it is built, lintian finds no error, and a fresh Debian takes it and gives it back', { skip, timeout: 900_000 }, async (t) => {
  const base = temporaryDirectory();
  try {
    const file = makePackage(path.join(base, 'deb'));
    const lint = await run('lintian', ['--allow-root', '--fail-on', 'error', '--tag-display-limit', '0', file], { timeoutMs: 300_000 });
    t.equal(lint.status, 0, lint.stdout + lint.stderr);
    const { root, debs } = await debianRoot(['fuse3', 'libfuse3-3']);
    const args = [
      '--mount',
      '--pid',
      '--fork',
      '--kill-child',
      '--propagation',
      'private',
      'bash',
      '-c',
      LIFE,
      'bash',
      path.join(base, 'life'),
      root,
      debs,
      file,
    ];
    const { status, stdout, stderr } = await run('unshare', args, { timeoutMs: 300_000 });
    t.equal(status, 0, stdout + stderr);
    t.match(stdout, /^ply \d(.*\n)*.*in the package\n/m);
    t.match(stdout, /\/var\/lib\/ply stays/);
    const left = stdout.split('\n').filter((line) => line.startsWith('LEFT '));
    t.same(
      left.filter((line) => !/^LEFT > (\/var\/lib\/ply|\/run\/ply|\/run\/mount|\/var\/lib\/systemd|\/etc\/systemd)(\/|$)/.test(line)),
      [],
      'what is left behind',
    );
    t.ok(fs.statSync(file).size > 1e6);
  } finally {
    await removeDirectory(base);
  }
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

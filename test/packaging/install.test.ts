/** What `make install` puts into place runs where there is no build tree: the repository is hidden by a tmpfs. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { install, type Places, uninstall } from '../../scripts/install/install.js';
import { productionPackages } from '../../scripts/install/packages.js';
import { CANNOT, leftBehind, sh } from '../plyd/daemon.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';

const REPOSITORY = path.resolve(__dirname, '../../..');

function places(destdir: string): Places {
  const [prefix, sysconfdir] = ['/opt/p', '/etc'];
  return { destdir, prefix, sysconfdir, mountdir: '/opt/p/sbin', unitdir: '/opt/p/lib/systemd/system', zshdir: '/opt/p/share/zsh' };
}

const SCRIPT = String.raw`
set -eu
repository=$1 base=$2
unset NODE_OPTIONS # tap's, in the repository
mount -t tmpfs tmpfs "$repository"
cd "$base"
export PATH=$base/dest/opt/p/bin:$PATH PLY_SOCKET=$base/sock PLY_ROOT=$base/root
ply --version
plyd --log-level warn 2>"$base/log" &
plyd=$!
trap 'kill $plyd 2>/dev/null || true; cat "$base/log" >&2' EXIT
for attempt in $(seq 300); do
  if ply info >info 2>&1; then break; fi
  sleep 0.2
done
cat info
mkdir tree m && echo 'of the image' >tree/file && tar -C tree -cf tree.tar .
ply import tree.tar demo >/dev/null
ply create demo --name one >/dev/null
point=$(ply start one)
cat "$point/file"
ply stop one
ply mount -o "lowerdir=$base/tree" m >/dev/null
echo "mounted: $(cat m/file)"
ply umount m
kill $plyd
wait $plyd
trap 'cat "$base/log" >&2' EXIT
plyfs -o "lowerdir=$base/tree" m
echo "plyfs: $(cat m/file)"
umount m
"$base/dest/opt/p/sbin/mount.plyfs" none m -o "ro,lowerdir=$base/tree"
echo "mount.plyfs: $(cat m/file)"
umount m
trap - EXIT
`;

void t.test('installed, it runs without the repository', { skip: CANNOT ?? false }, async (t) => {
  const base = temporaryDirectory();
  try {
    install(places(path.join(base, 'dest')));
    const { status, stdout, stderr } = await sh(
      `exec timeout 180 unshare --mount --pid --fork --kill-child --mount-proc --propagation private bash -c "$1" sh "$2" "$3"`,
      SCRIPT,
      REPOSITORY,
      base,
    );
    t.equal(status, 0, stderr);
    t.match(stdout, /^ply \d/);
    t.match(stdout, /\nof the image\n(.*\n)*mounted: of the image\n(.*\n)*plyfs: of the image\nmount\.plyfs: of the image\n$/);
  } finally {
    await removeDirectory(base);
  }
});

void t.test('the packages of production are installed, and none of development', (t) => {
  const found = productionPackages(REPOSITORY);
  const { dependencies, devDependencies } = JSON.parse(fs.readFileSync(path.join(REPOSITORY, 'package.json'), 'utf8')) as Record<
    'dependencies' | 'devDependencies',
    Record<string, string>
  >;
  for (const name of Object.keys(dependencies)) t.ok(found.includes(`node_modules/${name}`), name);
  // some of ours for development are others' for production
  const { packages } = JSON.parse(fs.readFileSync(path.join(REPOSITORY, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>;
  };
  const only = Object.keys(devDependencies).filter((name) => packages[`node_modules/${name}`]?.dev === true);
  t.ok(only.length > 5);
  for (const name of only) t.notOk(found.includes(`node_modules/${name}`), name);
  t.end();
});

void t.test('uninstall removes all of it, but a configuration that somebody has changed', async (t) => {
  const base = temporaryDirectory();
  try {
    const where = places(base);
    install(where);
    uninstall(where);
    const files = (): string[] =>
      fs
        .readdirSync(base, { withFileTypes: true, recursive: true })
        .filter((one) => !one.isDirectory())
        .map((one) => one.name);
    t.same(files(), []);
    t.throws(() => uninstall(where), /not installed there/);
    install(where);
    fs.appendFileSync(path.join(base, 'etc/ply/plyd.toml'), 'workers = 1\n');
    install(where); // an upgrade
    uninstall(where);
    t.same(files(), ['plyd.toml']);
    t.match(fs.readFileSync(path.join(base, 'etc/ply/plyd.toml'), 'utf8'), /^workers = 1$/m);
  } finally {
    await removeDirectory(base);
  }
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

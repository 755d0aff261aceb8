/**
 * make deb: what `make install PREFIX=/usr` puts into place, as a Debian package. It is bound to the major version of Node.js that it was built with, through
 * better-sqlite3's addon; Debian 12 has an older one. So it does not depend on a package nodejs: it looks for node in PATH when it is installed, and says
 * what is missing; plyd's launcher says it again.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { copyright } from './copyright.js';
import { install } from './install.js';

const ROOT = path.resolve(__dirname, '../../..');
/** Whoever builds the package can say who they are. */
const MAINTAINER = `${process.env['DEBFULLNAME'] || 'The plyfs authors'} <${process.env['DEBEMAIL'] || 'plyfs@localhost.localdomain'}>`;

const run = (command: string, args: readonly string[], cwd = ROOT): string => execFileSync(command, args, { cwd, encoding: 'utf8' });

/** Makes the package in `out`, and returns its path. Compressing takes most of the time, and a test may do without. */
export function makePackage(out: string, compression: 'xz' | 'none' = 'xz'): string {
  const { version } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const architecture = run('dpkg', ['--print-architecture']).trim();
  const work = path.join(path.resolve(out), 'work');
  const tree = path.join(work, 'tree');
  fs.rmSync(work, { recursive: true, force: true });
  fs.mkdirSync(path.join(tree, 'DEBIAN'), { recursive: true });
  install({
    destdir: tree,
    prefix: '/usr',
    sysconfdir: '/etc',
    mountdir: '/usr/sbin',
    unitdir: '/lib/systemd/system',
    zshdir: '/usr/share/zsh/vendor-completions',
  });
  fs.rmSync(path.join(tree, 'usr/lib/plyfs/installed')); // dpkg has its own list
  fs.rmSync(path.join(tree, 'usr/lib/plyfs/LICENSE')); // in copyright
  for (const name of programsIn(tree)) run('strip', ['--strip-unneeded', name]);
  documentation(tree, version);
  control(tree, version, architecture, dependencies(work, tree));
  permissions(tree);
  const file = path.join(path.resolve(out), `plyfs_${version}_${architecture}.deb`);
  run('dpkg-deb', ['--build', '--root-owner-group', `-Z${compression}`, tree, file]);
  fs.rmSync(work, { recursive: true });
  return file;
}

function files(tree: string): string[] {
  return fs
    .readdirSync(tree, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && !path.join(entry.parentPath, entry.name).startsWith(path.join(tree, 'DEBIAN')))
    .map((entry) => path.join(entry.parentPath, entry.name));
}

/** ELF files: programs and addons. */
function programsIn(tree: string): string[] {
  return files(tree).filter((file) => {
    const descriptor = fs.openSync(file, 'r');
    const head = Buffer.alloc(4);
    fs.readSync(descriptor, head);
    fs.closeSync(descriptor);
    return head.equals(Buffer.from('\x7fELF', 'latin1'));
  });
}

/** Of the shared libraries, with the versions that what was linked here needs. */
function dependencies(work: string, tree: string): string {
  fs.mkdirSync(path.join(work, 'debian'), { recursive: true });
  fs.writeFileSync(path.join(work, 'debian/control'), 'Source: plyfs\n\nPackage: plyfs\nArchitecture: any\nDescription: plyfs\n');
  const linked = programsIn(tree).filter((file) => !file.endsWith('/ply-enter')); // which is static
  const found = run('dpkg-shlibdeps', ['-O', '--warnings=0', ...linked.map((file) => `-e${file}`)], work);
  const libraries = /shlibs:Depends=(.*)/.exec(found)?.[1];
  if (libraries === undefined) throw new Error('dpkg-shlibdeps found no library that plyfs needs: is dpkg-dev whole?');
  return libraries;
}

function documentation(tree: string, version: string): void {
  const to = path.join(tree, 'usr/share/doc/plyfs');
  fs.mkdirSync(to, { recursive: true });
  const date = new Date(Number(process.env['SOURCE_DATE_EPOCH'] ?? run('git', ['log', '-1', '--format=%ct']).trim()) * 1000);
  const stamp = date.toUTCString().replace(/GMT$/, '+0000');
  const changelog = `plyfs (${version}) unstable; urgency=medium\n\n  * Built from its source tree: the log of its repository says what changed.\n\n -- ${MAINTAINER}  ${stamp}\n`;
  fs.writeFileSync(path.join(to, 'changelog.gz'), gzipSync(changelog, { level: 9 }));
  fs.writeFileSync(path.join(to, 'copyright'), copyright(ROOT));
  const overrides = path.join(tree, 'usr/share/lintian/overrides');
  fs.mkdirSync(overrides, { recursive: true });
  fs.writeFileSync(path.join(overrides, 'plyfs'), OVERRIDES);
}

const OVERRIDES = `# ply-enter runs in a container, which has none of our libraries.
plyfs: statically-linked-binary [usr/lib/plyfs/dist/bin/ply-enter]
# DEBEMAIL says who built it; unset, it is nobody whom mail would reach.
plyfs: bogus-mail-host *
plyfs: bogus-mail-host-in-debian-changelog *
# Upstream's own package, from its source tree: no bug of Debian's is closed by it.
plyfs: initial-upload-closes-no-bugs *
# npm's packages come with their modules' modes and licences; the licences are in copyright.
plyfs: extra-license-file *
plyfs: package-contains-documentation-outside-usr-share-doc *
# Installed for each of its names, from one file.
plyfs: embedded-library *sqlite3*
plyfs: hardening-no-fortify-functions *
`;

/** Where the release's own tools run; without systemd, and in a chroot, nothing is started. */
const PRELUDE = `#!/bin/sh
set -e
units=''
for unit in plyd.socket plyd.service; do
  if [ -e "/lib/systemd/system/$unit" ]; then units="$units $unit"; fi
done
`;

const CONTAINERD = 'plyd-containerd.socket';

const scripts = (abi: string, major: string): Readonly<Record<string, string>> => ({
  postinst: `${PRELUDE}
node_is_right() {
  command -v node >/dev/null && node -e 'process.exit(process.versions.modules === "${abi}" ? 0 : 1)'
}
if [ "$1" = configure ]; then
  right=yes
  if ! node_is_right; then
    right=''
    echo "plyfs: Node.js ${major} (20.19 or later of 20) is needed and not in PATH ($(command -v node || echo 'there is no node')):" >&2
    echo 'plyfs: install it (https://nodejs.org), then start plyd: systemctl start plyd' >&2
  fi
  if [ -n "$units" ] && command -v deb-systemd-helper >/dev/null; then
    for unit in $units; do
      deb-systemd-helper unmask "$unit" >/dev/null || true
      if deb-systemd-helper --quiet was-enabled "$unit"; then deb-systemd-helper enable "$unit" >/dev/null || true
      else deb-systemd-helper update-state "$unit" >/dev/null || true; fi
    done
    # For those who use containerd: enabled by them, or not at all.
    if deb-systemd-helper debian-installed ${CONTAINERD}; then
      deb-systemd-helper unmask ${CONTAINERD} >/dev/null || true
      if deb-systemd-helper --quiet was-enabled ${CONTAINERD}; then deb-systemd-helper enable ${CONTAINERD} >/dev/null || true; fi
    fi
    deb-systemd-helper update-state ${CONTAINERD} >/dev/null || true
  fi
  if [ -n "$units" ] && [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
    if [ -n "$2" ]; then deb-systemd-invoke try-restart plyd.service >/dev/null || true; fi
    if [ -n "$right" ]; then for unit in $units; do
      case $unit in *.socket) deb-systemd-invoke start "$unit" >/dev/null || true; break ;; *) deb-systemd-invoke start "$unit" >/dev/null || true ;; esac
    done; fi
  fi
fi
`,
  prerm: `${PRELUDE}
# Without the package nobody could say what these are, or mount them again when their engine dies. Nothing has been done yet, so all goes on as it was.
if [ "$1" = remove ]; then
  mounted=$(awk '$3 == "fuse.plyfs" { print $2 }' /proc/self/mounts 2>/dev/null || true)
  if [ -n "$mounted" ]; then
    echo 'plyfs: it is not removed while something is mounted with it. Stop containers with "ply stop", unmount the rest, and try again:' >&2
    printf '%s\\n' "$mounted" | sed 's/^/plyfs:   /' >&2
    exit 1
  fi
  if [ -n "$units" ] && [ -d /run/systemd/system ]; then
    # shellcheck disable=SC2086
    deb-systemd-invoke stop $units ${CONTAINERD} >/dev/null || true
  fi
fi
`,
  postrm: `#!/bin/sh
set -e
if command -v deb-systemd-helper >/dev/null; then
  for unit in plyd.socket plyd.service ${CONTAINERD}; do
    case $1 in
      remove) deb-systemd-helper mask "$unit" >/dev/null || true ;;
      purge) deb-systemd-helper purge "$unit" >/dev/null || true
        deb-systemd-helper unmask "$unit" >/dev/null || true ;;
    esac
  done
fi
if [ -d /run/systemd/system ]; then systemctl --system daemon-reload >/dev/null || true; fi
if [ "$1" = purge ] && [ -d /var/lib/ply ]; then
  echo 'plyfs: /var/lib/ply stays: images, and what containers wrote. rm -r it if nobody wants it any more.' >&2
fi
`,
});

function control(tree: string, version: string, architecture: string, libraries: string): void {
  const kilobytes = Math.ceil(files(tree).reduce((sum, file) => sum + fs.statSync(file).size, 0) / 1024);
  const at = (name: string): string => path.join(tree, 'DEBIAN', name);
  const [major] = process.versions.node.split('.');
  fs.writeFileSync(
    at('control'),
    `Package: plyfs
Version: ${version}
Architecture: ${architecture}
Maintainer: ${MAINTAINER}
Installed-Size: ${kilobytes}
Depends: ${libraries}, fuse3, init-system-helpers (>= 1.52)
Recommends: bubblewrap
Suggests: nodejs (>= 20.19)
Section: admin
Priority: optional
Description: container root filesystems from shared layers
 plyfs shows stacks of read-only layers, with a writable one on top, as one
 tree: an overlay file system over FUSE, for root and for ordinary users. It
 comes with plyd, a daemon that keeps layers, images and containers, its
 client ply, and plyfs, which podman and buildah take as a mount_program.
 .
 It runs on Node.js ${major} (20.19 or later), which Debian 12 does not have: it
 has to be in PATH, as node.
`,
  );
  fs.writeFileSync(at('conffiles'), '/etc/ply/plyd.toml\n');
  const sums = files(tree).filter((file) => !file.startsWith(path.join(tree, 'etc')));
  fs.writeFileSync(at('md5sums'), run('md5sum', sums.map((file) => path.relative(tree, file)).sort(), tree));
  for (const [name, text] of Object.entries(scripts(process.versions.modules, major))) fs.writeFileSync(at(name), text, { mode: 0o755 });
}

/** Whatever umask this was built under. */
function permissions(tree: string): void {
  fs.chmodSync(tree, 0o755);
  for (const entry of fs.readdirSync(tree, { withFileTypes: true, recursive: true })) {
    const file = path.join(entry.parentPath, entry.name);
    if (entry.isDirectory()) fs.chmodSync(file, 0o755);
    else if (entry.isFile()) fs.chmodSync(file, (fs.statSync(file).mode & 0o100) !== 0 && !file.endsWith('.node') ? 0o755 : 0o644);
  }
}

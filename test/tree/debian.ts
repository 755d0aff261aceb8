/** A real Debian root as three layers, and a set of changes that a container makes to it. */
import fs from 'node:fs';
import path from 'node:path';
import { type Mounted, target } from '../support/targets.js';
import { must } from '../support/mounts.js';

const repository = path.resolve(__dirname, '../../..');
const MINUTES = 60_000;

/** Installed in the change set: maintainer scripts, alternatives, byte-compilation. */
const PACKAGES = ['figlet', 'python3-minimal', 'python3.11-minimal', 'libpython3.11-minimal', 'libexpat1', 'libssl3', 'media-types'];

export interface Debian {
  /** topmost first */
  layers: string[];
  /** the .deb files to install */
  debs: string[];
}

async function copy(from: string, to: string, ...parts: string[]): Promise<void> {
  fs.mkdirSync(to);
  await must(
    'sh',
    [
      '-c',
      'cd "$1" && shift && to=$1 && shift && tar --create --format=posix --xattrs --xattrs-include="*" --acls "$@" | tar -C "$to" -x -p --same-owner --numeric-owner --xattrs --xattrs-include="*" --acls',
      'sh',
      from,
      to,
      ...parts,
    ],
    { timeoutMs: 5 * MINUTES },
  );
}

/**
 * The root in three layers below `directory`: all but /usr/lib and /usr/share, these two, and on top what the kernel's overlayfs wrote
 * when things were changed on it: whiteouts, opaque and redirected directories, metacopies, new files.
 */
export async function debianLayers(directory: string): Promise<Debian> {
  const root = (await must(path.join(repository, 'scripts/make-debian-root'), PACKAGES, { timeoutMs: 10 * MINUTES })).trim();
  const [base, usr] = [path.join(directory, 'base'), path.join(directory, 'usr')];
  await copy(root, base, '--anchored', '--exclude=./usr/share', '--exclude=./usr/lib', '.');
  await copy(root, usr, '--no-recursion', '.', './usr', '--recursion', './usr/share', './usr/lib');
  const changed = await target('kernel-overlay').setup([usr, base], { upper: await emptyUpper(directory) });
  try {
    await must('sh', ['-euc', LAYER_CHANGES], { cwd: changed.mountpoint, timeoutMs: MINUTES });
  } finally {
    await changed.teardown();
  }
  const debs = fs.readdirSync(path.join(root, '../debs')).map((name) => path.join(root, '../debs', name));
  return { layers: [path.join(directory, 'upper'), usr, base], debs };
}

function emptyUpper(directory: string): Promise<{ upper: string; work: string }> {
  const [upper, work] = [path.join(directory, 'upper'), path.join(directory, 'work')];
  fs.mkdirSync(upper);
  fs.mkdirSync(work);
  return Promise.resolve({ upper, work });
}

/** What an image's author does in a layer. */
const LAYER_CHANGES = String.raw`
  rm -rf usr/share/locale usr/share/zoneinfo/right
  rm -rf usr/share/doc/adduser && mkdir usr/share/doc/adduser && echo replaced >usr/share/doc/adduser/copyright
  mv usr/share/common-licenses usr/share/licenses
  ln -s licenses usr/share/common-licenses
  chmod g+w usr/share/perl5 usr/share/base-files/*
  touch -d '2001-02-03 04:05:06.123456789' etc/debian_version
  echo localhost >etc/hostname
  mkdir -p opt/app/data && head -c 300000 /dev/zero | tr '\0' x >opt/app/data/blob && ln opt/app/data/blob opt/app/blob
  printf 'name with \377' >"opt/app/$(printf 'n\377n')"
  rm -f etc/motd && mkdir etc/motd && rmdir etc/motd
  setfattr -n user.layer -v top opt/app
  mkfifo run/pipe; mknod -m 600 dev/loop99 b 7 99
  truncate -s 10M var/lib/sparse && printf end | dd of=var/lib/sparse bs=1 seek=10485757 conv=notrunc status=none
`;

/** What a container does, in the shell inside of it, after the packages are installed. */
const CONTAINER_CHANGES = String.raw`
  mv /usr/share/doc /usr/share/documents && ln -s documents /usr/share/doc
  chmod -R g+rX /etc/default /usr/share/perl5
  chown -R games:games /var/games /usr/share/misc 2>/dev/null || chown -R 5:60 /usr/share/misc
  find /usr/share/licenses -type f -exec touch -d 2020-02-02 {} +
  rm -rf /usr/lib/locale /var/log/* /var/cache/debconf/*-old
  mv /opt/app /opt/app.old && mkdir /opt/app && echo new >/opt/app/data
  echo appended >>/opt/app.old/data/blob
  sed -i s/localhost/container/ /etc/hostname
  cp -a /etc/default /etc/default.bak && rm -rf /etc/default && mv /etc/default.bak /etc/default
  useradd -m tester && su tester -c 'cd && echo mine >file && ln file link && chmod 600 file'
  find /usr/lib/python3* -name '*.pyc' | wc -l
  ln /usr/bin/perl /usr/local/bin/perl && chmod 711 /usr/local/bin/perl
  dpkg --audit
  apt-get purge -y -q -o Dpkg::Use-Pty=0 figlet
  mknod /root/null c 1 3; mkfifo /root/fifo; printf x | dd of=/root/holes bs=1 seek=5000000 status=none
  setfattr -n trusted.x -v 1 /root/holes 2>/dev/null || true
`;

/** Runs a shell in a chroot with its own mounts and processes: nothing of it outlives it. */
async function inside(mounted: Mounted, script: string): Promise<string> {
  const prelude = 'mount --rbind /dev "$0/dev"; mount -t proc proc "$0/proc"; exec chroot "$0" /bin/sh -euc "$1"';
  const env = {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/root',
    LC_ALL: 'C',
    DEBIAN_FRONTEND: 'noninteractive',
  };
  const unshare = ['--mount', '--pid', '--ipc', '--fork', '--kill-child', '--propagation', 'private'];
  return must('unshare', [...unshare, 'sh', '-euc', prelude, mounted.mountpoint, script], { timeoutMs: 5 * MINUTES, env });
}

/** apt-get installs the packages from files (no network), then everything else is moved about. */
export async function changeAsContainer(mounted: Mounted, debs: readonly string[]): Promise<void> {
  const archive = path.join(mounted.mountpoint, 'debs');
  fs.mkdirSync(archive);
  for (const deb of debs) fs.copyFileSync(deb, path.join(archive, path.basename(deb)));
  const settings = '-y -q -o Dpkg::Use-Pty=0 -o APT::Sandbox::User=root --no-install-recommends';
  await inside(
    mounted,
    `apt-get install ${settings} /debs/*.deb && figlet -f small ok && python3 -c 'print(sum(range(10)))' && rm -r /debs`,
  );
  await inside(mounted, CONTAINER_CHANGES);
}

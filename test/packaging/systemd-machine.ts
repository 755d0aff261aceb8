/**
 * A Debian with systemd as PID 1, in namespaces and a control group of its own: a kernel overlay over the Debian root, /dev/fuse of this machine, and
 * node. Nothing in there outlives the process that is started here, and nothing of the machine is changed: /proc/sys and /sys are read-only in it.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { until } from '../plyd/daemon.js';
import { type Finished, must, run, type RunOptions } from '../support/mounts.js';
import { debianRoot, GIVE_NODE } from './debian-root.js';

/** What systemd and plyfs depend on and a minimal Debian has not. */
const PACKAGES = [
  'dmsetup',
  'fuse3',
  'libapparmor1',
  'libargon2-1',
  'libcryptsetup12',
  'libdevmapper1.02.1',
  'libfdisk1',
  'libfuse3-3',
  'libip4tc2',
  'libjson-c5',
  'libkmod2',
  'libseccomp2',
  'libssl3',
  'libsystemd-shared',
];

/** Of no use here: consoles, sessions (which want a D-Bus), timers, and file systems of the kernel. */
const MASKED = [
  'apt-daily-upgrade.timer',
  'apt-daily.timer',
  'dev-hugepages.mount',
  'dev-mqueue.mount',
  'dpkg-db-backup.timer',
  'e2scrub_all.timer',
  'e2scrub_reap.service',
  'fstrim.timer',
  'getty.target',
  'sys-kernel-config.mount',
  'sys-kernel-debug.mount',
  'sys-kernel-tracing.mount',
  'systemd-logind.service',
];

/**
 * The hierarchy of cgroup v2 is mounted afresh, wherever this machine has it mounted, if at all; `group` is one in our own. Controllers are not needed:
 * so it does not matter which of them belong to v1.
 */
const GROUP = String.raw`
mount -t cgroup2 none "$base/cgroup"
own=$base/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
group=$own/$name
`;

const ENTER = String.raw`
set -eu
base=$1 name=$2
${GROUP}
mkdir "$group"
echo $$ >"$group/cgroup.procs"
shift 2
exec unshare --pid --mount --uts --ipc --cgroup --net --fork --kill-child --propagation private bash -c "$@"
`;

/** Does a group of one's own, in namespaces of one's own, work here? */
const TRY = String.raw`
set -eu
base=$1 name=$2
${GROUP}
mkdir "$group"
rmdir "$group"
cd "$base/r"
exec unshare --pid --mount --uts --ipc --cgroup --net --fork --kill-child bash -ec '
  for type in cgroup2 tmpfs sysfs proc; do mount -t $type none .; done'
`;

/** Whoever is in there dies with the PID namespace; that takes a moment. */
const LEAVE = String.raw`
set -eu
base=$1 name=$2
${GROUP}
for attempt in $(seq 100); do
  [ -d "$group" ] || exit 0
  if find "$group" -depth -type d -exec rmdir {} + 2>"$base/cgroup-left"; then exit 0; fi
  sleep 0.1
done
cat "$base/cgroup-left" >&2
exit 1
`;

const BOOT = String.raw`
set -eu
${GIVE_NODE}
base=$1 lower=$2 debs=$3
r=$base/r
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$base/upper,workdir=$base/work" "$r"
mount -t proc proc "$r/proc"
mount --bind "$r/proc/sys" "$r/proc/sys"
mount -o remount,bind,ro "$r/proc/sys"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$r/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$r/sys/fs/cgroup"
mount -t tmpfs -o mode=755,nosuid tmpfs "$r/dev"
for device in null zero full random urandom tty fuse; do
  touch "$r/dev/$device"
  mount --bind "/dev/$device" "$r/dev/$device"
done
mkdir "$r/dev/pts"
mount -t devpts -o newinstance,mode=620,ptmxmode=666 devpts "$r/dev/pts"
ln -s pts/ptmx "$r/dev/ptmx"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$r/run"
for place in var/lib/ply var/web; do # a kernel overlay is no place for an upper
  mkdir -p "$r/$place" "$base/disk/$place"
  mount --bind "$base/disk/$place" "$r/$place"
done
if [ ! -e "$base/installed" ]; then
  give_node "$r"
  mkdir -p "$r/mnt/debs" "$r/mnt/old"
  cp "$debs"/{${PACKAGES.join(',')},systemd}_*.deb "$r/mnt/debs/"
  chroot "$r" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive sh -ec '
    ldconfig
    cd /mnt/debs
    dpkg --force-unsafe-io -i $(ls | grep -v ^systemd_)
    dpkg --force-unsafe-io -i systemd_*
    rm /mnt/debs/*
  '
  for unit in ${MASKED.join(' ')}; do ln -sf /dev/null "$r/etc/systemd/system/$unit"; done
  mkdir -p "$r/var/log/journal"
  touch "$base/installed"
fi
cd "$r"
mount --make-rprivate /
pivot_root . mnt/old
mount --make-rshared /
umount -l /mnt/old
exec env -i container=plyfs-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=multi-user.target </dev/null
`;

const BOOT_MS = 120_000;
const LIMIT_MS = 60_000;

const unshared = (script: string, ...args: string[]): string[] => [
  '--mount',
  '--propagation',
  'private',
  'bash',
  '-c',
  script,
  'bash',
  ...args,
];

/** Why no systemd can be booted here; undefined: one can. */
export function cannotBoot(): string | undefined {
  const base = fs.mkdtempSync('/tmp/plyfs-');
  try {
    for (const name of ['cgroup', 'r']) fs.mkdirSync(path.join(base, name));
    const args = unshared(TRY, base, `plyfs-systemd-${path.basename(base)}`);
    const { status, stderr, error } = spawnSync('unshare', args, { encoding: 'utf8', timeout: LIMIT_MS });
    return status === 0 ? undefined : `no systemd can be booted here: ${error?.message ?? stderr.trim()}`;
  } finally {
    fs.rmSync(base, { recursive: true });
  }
}

export class SystemdMachine {
  private child: ChildProcess | undefined;
  private ended: Promise<unknown> = Promise.resolve();
  /** systemd, as it is known here */
  private init = 0;
  private readonly name: string;

  private constructor(
    private readonly base: string,
    private readonly root: string,
    private readonly debs: string,
  ) {
    this.name = `plyfs-systemd-${path.basename(base)}`;
  }

  /** `base` is an empty directory on a file system where a kernel overlay can have its upper. */
  static async make(base: string): Promise<SystemdMachine> {
    const { root, debs } = await debianRoot([...PACKAGES, 'systemd']);
    for (const name of ['cgroup', 'r', 'upper', 'work']) fs.mkdirSync(path.join(base, name), { recursive: true });
    return new SystemdMachine(base, root, debs);
  }

  /** Resolves when systemd has started all that it should. */
  async boot(): Promise<void> {
    const console = fs.openSync(this.console, 'a');
    const args = unshared(ENTER, this.base, this.name, BOOT, 'bash', this.base, this.root, this.debs);
    const child = spawn('unshare', args, { stdio: ['ignore', console, console] });
    fs.closeSync(console);
    this.child = child;
    this.ended = new Promise((resolve) => child.once('exit', resolve));
    let state = '';
    try {
      await until(
        'systemd',
        async () => {
          if (child.exitCode !== null || child.signalCode !== null) throw new Error('it ended');
          const found = await run('pgrep', ['--parent', String(child.pid), '--exact', 'systemd']);
          if (found.status !== 0) return false;
          this.init = Number(found.stdout);
          const { stdout, stderr } = await this.sh('systemctl is-system-running');
          state = stdout.trim() || stderr.trim();
          return state === 'running' || state === 'degraded';
        },
        BOOT_MS,
      );
    } catch (error) {
      throw new Error(
        `systemd does not boot: ${(error as Error).message}, ${state}\n${fs.readFileSync(this.console, 'utf8').slice(-3000)}`,
      );
    }
  }

  private get console(): string {
    return path.join(this.base, 'console');
  }

  /** A path of its own, as it is known here. */
  at(name: string): string {
    return path.join('/proc', String(this.init), 'root', name);
  }

  /** A script of bash, in all its namespaces. */
  sh(script: string, options: RunOptions = {}): Promise<Finished> {
    const environment = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'LANG=C.UTF-8'];
    const namespaces = ['--mount', '--pid', '--uts', '--ipc', '--net', '--cgroup', '--root', '--wd'];
    const args = ['--target', String(this.init), ...namespaces, 'env', '-i', ...environment, 'bash', '-c', script];
    return run('nsenter', args, { timeoutMs: LIMIT_MS, ...options });
  }

  /** The output of one that has to succeed, without the last line's end. */
  async must(script: string, options: RunOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.sh(script, options);
    if (status !== 0) throw new Error(`${script}: status ${status}\n${stdout.slice(-2000)}${stderr.slice(-2000)}`);
    return stdout.trimEnd();
  }

  /** All is stopped in order, as on a machine that is switched off. */
  async shutDown(): Promise<void> {
    await this.sh('systemctl poweroff');
    await until('the end of systemd', () => this.child?.exitCode !== null || this.child.signalCode !== null, LIMIT_MS);
    await this.leaveGroup();
  }

  /** Whatever its state. */
  async end(): Promise<void> {
    this.child?.kill('SIGKILL');
    await this.ended;
    await this.leaveGroup();
  }

  private async leaveGroup(): Promise<void> {
    await must('unshare', unshared(LEAVE, this.base, this.name));
  }
}

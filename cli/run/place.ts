/** The namespaces that a container's command runs in: command lines that make them, and end in ply-enter (native-bindings/launcher). */
import { joining } from './namespaces';
import { program } from './program';

/** ply-enter, as an open descriptor: the container's files do not have it. */
export const ENTER = '/proc/self/fd/3';

/** What docker leaves to root in a container. */
const CAPABILITIES = [
  ...['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP', 'NET_BIND_SERVICE', 'NET_RAW'],
  ...['SYS_CHROOT', 'MKNOD', 'AUDIT_WRITE', 'SETFCAP'],
];

export interface Place {
  /** where the container is mounted */
  root: string;
  hostname: string;
  /** whose user and mount namespace it is mounted in, if it is not our own */
  namespaces: number | undefined;
  chroot: boolean;
}

/** Ctrl-C is the command's: what waits for it must not end of it. */
const DEAF = 'trap "" INT QUIT HUP TERM; exec "$@"';

/** The command line that ends in ply-enter; its words follow. */
export function enclosing(place: Place): string[] {
  return ['/bin/sh', '-c', DEAF, 'sh', ...joining(place.namespaces), ...(place.chroot ? changedRoot(place) : bubble(place))];
}

function bubble({ root, hostname }: Place): string[] {
  return [
    program('bwrap', 'bubblewrap', ', or use --chroot'),
    ...['--bind', root, '/', '--proc', '/proc', '--dev', '/dev', '--ro-bind-try', '/sys', '/sys', '--perms', '1777', '--tmpfs', '/tmp'],
    ...['--unshare-pid', '--unshare-ipc', '--unshare-uts', '--hostname', hostname, '--die-with-parent', '--as-pid-1'],
    ...['--cap-drop', 'ALL', ...CAPABILITIES.flatMap((name) => ['--cap-add', `CAP_${name}`])],
    ...['--', ENTER],
  ];
}

/** $1 is the container's root, $2 its name. What it has no directory for is left out, but for /proc, without which nothing could be executed. */
const MOUNTS = `
  set -e
  cd "$1"
  [ ! -L proc ] && [ ! -L dev ] && [ ! -L sys ] && [ ! -L tmp ] || { echo "ply: run: a mount point of the container is a symlink" >&2; exit 125; }
  [ -d proc ] || mkdir proc
  mount -t proc -o nosuid,nodev,noexec proc proc
  if [ -d dev ]; then
    mount -t tmpfs -o mode=755,nosuid dev dev
    for name in null zero full random urandom tty; do : >dev/$name; mount --bind /dev/$name dev/$name; done
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
    mount -t tmpfs -o mode=1777,nosuid,nodev shm dev/shm
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    for name in 0:stdin 1:stdout 2:stderr; do ln -s /proc/self/fd/\${name%:*} dev/\${name#*:}; done
  fi
  if [ -d sys ] && mount --bind /sys sys 2>/dev/null; then mount -o remount,bind,ro,nosuid,nodev,noexec sys; fi # not in a user namespace
  if [ -d tmp ]; then mount -t tmpfs -o mode=1777,nosuid,nodev tmp tmp; fi
  hostname "$2"
  root=$1
  shift 2
  exec chroot "$root" "$@"`;

function changedRoot({ root, hostname }: Place): string[] {
  const unshare = [program('unshare', 'util-linux'), '--mount', '--pid', '--ipc', '--uts', '--fork', '--kill-child'];
  return [...unshare, '--propagation', 'slave', '/bin/sh', '-c', MOUNTS, 'sh', root, hostname, ENTER];
}

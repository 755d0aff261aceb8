/**
 * A Kubernetes node, as far as the installer's pod sees one: a Debian root in mount and PID namespaces of its own, with Debian's containerd and runc. Its
 * PID 1 stands in for systemd: it listens on plyd's sockets, and starts and stops plyd and containerd when systemctl asks. It does not know units
 * (test/plyd/service.test.ts has systemd verify ours). There is no kubelet: pods are containers that `ctr run` starts there as plyd.yaml says.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { CANNOT, until } from '../plyd/daemon.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { type Finished, run } from '../support/mounts.js';

export const REPOSITORY = path.resolve(__dirname, '../../..');
const LIMIT_MS = 180_000;

const PROGRAMS = ['containerd', 'containerd-shim-runc-v2', 'ctr', 'runc'];
const missing = ['podman', 'mmdebstrap', 'nsenter', ...PROGRAMS].find((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0);
export const skip = CANNOT ?? (missing === undefined ? false : `needs ${missing} (scripts/setup)`);

/** Makes the root (base, Debian root, programs), enters it, and becomes its PID 1. */
const ENTER = String.raw`
set -eu
base=$1 lower=$2; shift 2
mkdir -p "$base"/{upper,work,root,containerd,ply,run}
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$base/upper,workdir=$base/work" "$base/root"
cd "$base/root"
mkdir -p var/lib/containerd var/lib/ply etc/containerd etc/systemd/system
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount --bind "$base/run" run
mount --bind "$base/containerd" var/lib/containerd
mount --bind "$base/ply" var/lib/ply
for program; do
  cp "$(command -v "$program")" usr/local/bin/
  for library in $(ldd "$(command -v "$program")" | awk '$3 ~ "^/" { print $3 }'); do
    [ -e ".$library" ] || { mkdir -p ".$(dirname "$library")"; cp "$library" ".$library"; }
  done
done
cp "$base/systemctl" usr/local/bin/systemctl
cp "$base/init" init
mkdir old
pivot_root . old
umount -l /old
rmdir /old
exec env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin perl -e 'use Socket; $^F = 9; mkdir "/run/ply"; my @sockets; # descriptors 3 and 4
for (@ARGV) { my $s; socket($s, AF_UNIX, SOCK_STREAM, 0) && bind($s, sockaddr_un($_)) && listen($s, 64) || die "$_: $!"; push @sockets, $s }
exec "/bin/bash", "/init"' /run/ply/ply.sock /run/ply/containerd.sock </dev/null
`;

/** PID 1: does what systemctl asks, one after the other. */
const INIT = String.raw`
mkfifo /run/request
declare -A pid active
start() {
  case $1 in
    plyd.socket | plyd-containerd.socket) [ -e "/etc/systemd/system/$1" ] && active[$1]=yes ;;
    plyd.service)
      command=$(sed -n 's/^ExecStart=//p' /etc/systemd/system/plyd.service)
      LISTEN_FDS=2 LISTEN_FDNAMES=api:containerd bash -c 'LISTEN_PID=$$ exec "$@"' bash $command >>/var/log/plyd 2>&1 5>&- </dev/null &
      pid[$1]=$! ;;
    containerd.service)
      containerd >>/var/log/containerd 2>&1 3>&- 4>&- 5>&- </dev/null &
      pid[$1]=$!
      until ctr version >/dev/null 2>&1; do sleep 0.1; done ;;
  esac
}
stop() {
  if [ -n "\${pid[$1]:-}" ]; then kill "\${pid[$1]}"; wait "\${pid[$1]}"; unset "pid[$1]"; fi
  unset "active[$1]"
  case $1 in plyd.socket) rm -f /run/ply/ply.sock ;; plyd-containerd.socket) rm -f /run/ply/containerd.sock ;; esac
}
answer() {
  echo "$*" >>/var/log/systemctl
  if [ "$1" = --quiet ]; then shift; fi
  local verb=$1; shift
  case $verb in
    daemon-reload | enable) ;;
    is-active) [ -n "\${active[$1]:-}" ] ;;
    disable) for unit in "\${@:2}"; do stop "$unit"; done ;;
    start) for unit; do start "$unit"; done ;;
    stop) for unit; do stop "$unit"; done ;;
    restart) for unit; do stop "$unit"; start "$unit"; done ;;
    show) echo "\${pid[\${@: -1}]:-0}" ;;
    *) echo "no $verb here"; return 1 ;;
  esac
}
exec 5<>/run/request
touch /run/up
while read -r id words <&5; do
  answer $words >"/run/answer-$id.new" 2>&1 || echo FAILED >>"/run/answer-$id.new"
  mv "/run/answer-$id.new" "/run/answer-$id"
done
`.replaceAll('\\$', '$');

const SYSTEMCTL = String.raw`#!/bin/sh
echo "$$ $*" >/run/request
until [ -e "/run/answer-$$" ]; do sleep 0.05; done
grep -v '^FAILED$' "/run/answer-$$"
! grep -q '^FAILED$' "/run/answer-$$"
status=$?
rm "/run/answer-$$"
exit $status
`;

/** Registries, layers and containers of podman below a directory. */
export function podmanEnvironment(base: string): NodeJS.ProcessEnv {
  const at = (name: string): string => path.join(base, name);
  fs.mkdirSync(at('home/.config/containers'), { recursive: true });
  fs.writeFileSync(at('home/.config/containers/policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
  fs.writeFileSync(at('storage.conf'), `[storage]\ndriver = "overlay"\ngraphroot = "${at('graph')}"\nrunroot = "${at('runroot')}"\n`);
  fs.writeFileSync(
    at('containers.conf'),
    '[containers]\nnetns = "host"\n[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n',
  );
  fs.mkdirSync(at('tmp'));
  return { HOME: at('home'), TMPDIR: at('tmp'), CONTAINERS_CONF: at('containers.conf'), CONTAINERS_STORAGE_CONF: at('storage.conf') };
}

export class KubernetesNode {
  readonly base = temporaryDirectory();
  private child: ChildProcess | undefined;
  private pods = 0;

  /** `root`: the path of a Debian root, which stays as it is. */
  async start(root: string): Promise<void> {
    fs.writeFileSync(this.at('init'), INIT);
    fs.writeFileSync(this.at('systemctl'), SYSTEMCTL, { mode: 0o755 });
    const log = fs.openSync(this.at('log'), 'w');
    const unshare = ['--mount', '--pid', '--fork', '--kill-child', '--propagation', 'private', 'bash', '-c', ENTER, 'node'];
    this.child = spawn('unshare', [...unshare, this.base, root, ...PROGRAMS], { stdio: ['ignore', log, log] });
    fs.closeSync(log);
    const up = (): boolean => fs.existsSync(this.at('run/up'));
    await until('the node', () => up() || this.child?.exitCode !== null, 60_000);
    if (!up()) throw new Error(fs.readFileSync(this.at('log'), 'utf8'));
  }

  at(...names: string[]): string {
    return path.join(this.base, ...names);
  }

  /** PID 1, as seen from here. */
  private get pid(): string {
    const { pid } = this.child!;
    return fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
  }

  /** A script of bash on the node. */
  run(script: string, ...args: string[]): Promise<Finished> {
    const enter = ['--target', this.pid, '--mount', '--pid', '--', 'env', '-i', 'PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];
    return run('nsenter', [...enter, 'bash', '-c', script, 'bash', ...args], { timeoutMs: LIMIT_MS });
  }

  /** What it prints; throws when it fails. */
  async must(script: string, ...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(`set -e; ${script}`, ...args);
    if (status !== 0) throw new Error(`${script}: status ${status}\n${stdout}${stderr}${await this.logs()}`);
    return stdout;
  }

  async logs(): Promise<string> {
    const { stdout } = await this.run('tail -n 20 /var/log/plyd /var/log/containerd /var/log/systemctl 2>&1');
    return stdout + fs.readFileSync(this.at('log'), 'utf8');
  }

  read(file: string): Promise<string> {
    return this.must('cat "$1"', file);
  }

  async write(file: string, text: string): Promise<void> {
    await this.must('printf %s "$2" >"$1"', file, text);
  }

  /** What systemctl was asked since the last time. */
  async asked(): Promise<string[]> {
    return (await this.must('cat /var/log/systemctl; : >/var/log/systemctl')).split('\n').slice(0, -1);
  }

  /** What plyd.yaml's container `install` does, in its words, and how it ended; containerd may be restarted meanwhile. */
  async install(image: string): Promise<{ status: number; log: string }> {
    const name = `pod-${++this.pods}`;
    const log = `/var/log/${name}`;
    const pod = '--detach --privileged --with-ns pid:/proc/1/ns/pid --mount type=bind,src=/,dst=/host,options=rbind:rslave:rw';
    await this.must(`ctr run ${pod} --log-uri "file://${log}" "$1" ${name} sh -c 'install-on-node 2>&1; echo "status $?"'`, image);
    let text = '';
    await until(
      'the end of the installer',
      async () => /^status \d+$/m.test((text = (await this.run(`cat ${log}`)).stdout)),
      LIMIT_MS,
    ).catch(async (error: unknown) => {
      throw new Error(`${(error as Error).message}\n${text}${await this.logs()}`);
    });
    await until('its task is over', async () => (await this.run(`ctr tasks rm ${name}`)).status === 0, 60_000);
    await this.must(`ctr containers rm ${name}`);
    return { status: Number(/^status (\d+)$/m.exec(text)![1]), log: text };
  }

  async end(): Promise<void> {
    const { child } = this;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      process.kill(Number(this.pid), 'SIGKILL'); // and with it all that runs there
      await ended;
    }
    await removeDirectory(this.base);
  }
}

/**
 * A machine's podman and buildah, of root or of an ordinary user, with settings, storage and engines of their own below a temporary directory.
 *
 * The ordinary user exists only in a mount namespace, whose /etc is a copy with that user and its subuids, and whose /dev/fuse is open to all.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { CANNOT, until } from '../plyd/daemon.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { type Finished, must, type RunOptions, run } from '../support/mounts.js';
import { plyfsBinary } from '../support/targets.js';

const LIMIT_MS = 180_000;
const USER = 54322;
/** The first of its subuids, and how many: newuidmap maps them. */
const SUBIDS = [600_000, 65_536] as const;

/** What lets podman run in a container and on old cgroups too (clients.md section 1); nothing in it is about plyfs. */
const CONTAINERS_CONF = `
[containers]
netns = "host"
default_sysctls = []
default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
`;

export type Who = 'root' | 'rootless';

export interface PlaceOptions {
  /** none: native overlay, of root */
  mountProgram?: string;
  /** the whole storage.conf, where it is not to be the usual; gets the lines that say where storage is */
  storageConf?: (places: string) => string;
}

/** Why nothing of this can run here. */
export function whyNot(who: Who, ...programs: string[]): string | undefined {
  if (CANNOT !== undefined) return CANNOT;
  const needed = ['podman', 'buildah', 'runc', ...(who === 'rootless' ? ['newuidmap', 'setpriv', 'nsenter'] : []), ...programs];
  const missing = needed.find((name) => spawnSync('sh', ['-c', 'command -v "$0"', name]).status !== 0);
  if (missing !== undefined) return `needs ${missing}: scripts/setup installs it`;
  if (who === 'root') return undefined;
  const made = spawnSync('setpriv', [`--reuid=${USER}`, `--regid=${USER}`, '--clear-groups', 'unshare', '--user', '--mount', 'true']);
  return made.status === 0 ? undefined : 'ordinary users may make no user namespaces here';
}

export class Place {
  private constructor(
    readonly who: Who,
    readonly base: string,
    readonly env: NodeJS.ProcessEnv,
    private readonly namespace: ChildProcess | undefined,
  ) {}

  static async make(who: Who, { mountProgram = plyfsBinary, storageConf }: PlaceOptions = {}): Promise<Place> {
    const base = temporaryDirectory();
    const at = (...names: string[]): string => path.join(base, ...names);
    for (const name of ['run', 'home', 'tmp']) fs.mkdirSync(at(name), { mode: 0o700 });
    const places = `graphroot = "${at('graph')}"\nrunroot = "${at('runroot')}"\n`;
    const program = mountProgram === '' ? '' : `[storage.options.overlay]\nmount_program = "${mountProgram}"\n`;
    fs.writeFileSync(at('storage.conf'), storageConf?.(places) ?? `[storage]\ndriver = "overlay"\n${places}${program}`);
    fs.writeFileSync(at('containers.conf'), CONTAINERS_CONF);
    // podman looks there first, for root too
    fs.mkdirSync(at('home/.config/containers'), { recursive: true });
    fs.writeFileSync(at('home/.config/containers/policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
    const env = {
      PATH: process.env['PATH'],
      HOME: at('home'),
      TMPDIR: at('tmp'),
      CONTAINERS_CONF: at('containers.conf'),
      CONTAINERS_STORAGE_CONF: at('storage.conf'),
      ...(who === 'root' ? { PLY_SOCKET: at('run/ply.sock') } : { XDG_RUNTIME_DIR: at('run'), USER: 'plytest' }),
    };
    if (who === 'root') return new Place(who, base, env, undefined);
    const namespace = await machineOfUser(base);
    await must('chown', ['-R', `${USER}:${USER}`, at('run'), at('home'), at('tmp')]);
    fs.mkdirSync(at('graph'));
    fs.mkdirSync(at('runroot'));
    for (const name of ['graph', 'runroot']) fs.chownSync(at(name), USER, USER);
    return new Place(who, base, env, namespace);
  }

  at(...names: string[]): string {
    return path.join(this.base, ...names);
  }

  /** As that user. `cwd` is the base unless given. */
  run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
    const all = { timeoutMs: LIMIT_MS, cwd: this.base, ...options, env: { ...this.env, ...options.env } };
    if (this.namespace === undefined) return run(command, args, all);
    const { cwd } = all;
    const enter = ['-t', `${this.namespace.pid}`, '-m', 'setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--init-groups'];
    return run('nsenter', [...enter, 'env', '-C', cwd, command, ...args], { ...all, cwd: '/' });
  }

  /** Its output; anything but status 0 is an error with all that was said. */
  async must(command: string, ...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(command, args);
    if (status !== 0) throw new Error(`${command} ${args.join(' ')}: status ${status}\n${stdout.slice(-2000)}${stderr.slice(-4000)}`);
    return stdout;
  }

  podman(...args: string[]): Promise<string> {
    return this.must('podman', ...args);
  }

  sh(script: string, ...args: string[]): Promise<Finished> {
    return this.run('sh', ['-c', script, 'sh', ...args]);
  }

  /** A directory that the user may read and write. */
  own(...names: string[]): string {
    const directory = this.at('home', ...names);
    fs.mkdirSync(directory, { recursive: true });
    if (this.who === 'rootless') fs.chownSync(directory, USER, USER);
    return directory;
  }

  /** Builds what is in `context`, a layer for each step. */
  build(context: string, tag: string, ...more: string[]): Promise<string> {
    return this.podman('build', '-q', '--isolation=chroot', '--layers', ...more, '-t', tag, context);
  }

  /** Process ids, of engines and of what else runs for it. */
  processes(pattern: RegExp): number[] {
    return fs.readdirSync('/proc').flatMap((name) => {
      const text = /^\d+$/.test(name) ? readOrEmpty(`/proc/${name}/cmdline`) : '';
      return text.includes(this.base) && pattern.test(text) ? [Number(name)] : [];
    });
  }

  engines(): number[] {
    return this.processes(/daemon\/engine\/main\.js\0/);
  }

  /** Where something is mounted below its directory, in the namespaces that its containers are mounted in. */
  mounted(): string[] {
    const processes = ['self', ...(this.namespace === undefined ? [] : [this.namespace.pid, this.pause()])].filter(
      (pid) => pid !== undefined,
    );
    return processes.flatMap((pid) =>
      readOrEmpty(`/proc/${pid}/mountinfo`)
        .split('\n')
        .map((line) => line.split(' ')[4] ?? '')
        .filter((point) => point.startsWith(`${this.base}/`)),
    );
  }

  /** rootless: the process that keeps podman's namespaces. */
  private pause(): number | undefined {
    return Number(readOrEmpty(this.at('run/libpod/tmp/pause.pid'))) || undefined;
  }

  /** `podman system reset`, and that it leaves nothing. What it does leave is ended all the same. */
  async end(t: Test): Promise<void> {
    try {
      await this.podman('rm', '-af', '-t', '0');
      await this.podman('system', 'reset', '-f');
      // podman's own bind mount of its graph stays
      const left = (): string[] => this.mounted().filter((point) => !point.endsWith('/overlay'));
      await until('the end of mounts and engines', () => left().length === 0 && this.engines().length === 0).catch(() => undefined);
      t.same([...left(), ...this.engines()], [], 'podman system reset leaves nothing mounted, and no engine');
    } finally {
      const pause = this.pause();
      for (const pid of [...this.engines(), ...this.processes(/conmon/), ...(pause === undefined ? [] : [pause])]) end(pid);
      this.namespace?.kill('SIGKILL');
      for (const point of this.who === 'root' ? this.mounted().reverse() : []) await run('umount', ['-l', point]);
      await until(
        'the end of the namespace',
        () => this.namespace === undefined || this.namespace.exitCode !== null || this.namespace.signalCode !== null,
      );
      await removeDirectory(this.base);
    }
  }
}

/** Starts what keeps the namespace, and waits until it is as it should be. */
async function machineOfUser(base: string): Promise<ChildProcess> {
  await must('cp', ['-a', '/etc', path.join(base, 'etc')]);
  const append = (file: string, line: string): void => fs.appendFileSync(path.join(base, 'etc', file), `${line}\n`);
  append('passwd', `plytest:x:${USER}:${USER}::${base}/home:/bin/sh`);
  append('group', `plytest:x:${USER}:`);
  for (const file of ['subuid', 'subgid']) fs.writeFileSync(path.join(base, 'etc', file), `plytest:${SUBIDS.join(':')}\n`);
  await must('mknod', ['-m', '666', path.join(base, 'fuse'), 'c', '10', '229']);
  const script =
    'mount --make-rshared / && mount --bind "$0/etc" /etc && mount --bind "$0/fuse" /dev/fuse && touch "$0/ready" && exec sleep infinity';
  const child = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script, base], { stdio: 'ignore' });
  await until('a mount namespace for an ordinary user', () => fs.existsSync(path.join(base, 'ready')));
  return child;
}

function readOrEmpty(file: string): string {
  try {
    return fs.readFileSync(file, 'latin1');
  } catch {
    return ''; // it is not there, or not any more
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended
  }
}

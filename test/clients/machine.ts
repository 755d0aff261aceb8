/** A mount namespace in which plyfs is installed as on a machine: /usr/bin/plyfs and the names that mount(8) looks for, over the machine's own. */
import fs from 'node:fs';
import path from 'node:path';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { type Finished, run } from '../support/mounts.js';
import { plyfsBinary } from '../support/targets.js';
import { until } from '../plyd/daemon.js';

const LIMIT_MS = 60_000;

export const MOUNT_NAMES = ['mount.plyfs', 'mount.fuse.plyfs'];

/** Lays directories of links over /usr/bin and /usr/sbin, then runs the script, and unmounts what it left below the base ($0). */
const ENTER = `for d in bin sbin; do mount -t overlay overlay -o "lowerdir=$0/$d:/usr/$d" "/usr/$d" || exit 99; done
cd "$0" && export PLY_SOCKET="$0/run/ply.sock" || exit 99
(eval "$1"); status=$?
for point in $(grep " $0/" /proc/mounts | cut -d " " -f 2); do echo "left: $point" >&2; umount -l "$point"; done
exit $status`;

export class Machine {
  readonly base = temporaryDirectory();

  constructor(names: readonly string[] = MOUNT_NAMES) {
    for (const name of ['bin', 'sbin', 'run', 'a', 'b', 'u', 'w', 'm']) fs.mkdirSync(this.at(name));
    fs.symlinkSync(plyfsBinary, this.at('bin/plyfs'));
    for (const name of names) fs.symlinkSync(plyfsBinary, this.at('sbin', name));
    fs.writeFileSync(this.at('a/top'), 'of a\n');
    fs.writeFileSync(this.at('b/low'), 'of b\n');
  }

  at(...names: string[]): string {
    return path.join(this.base, ...names);
  }

  /** A shell script with the base as its directory. What it leaves mounted is said in stderr. */
  sh(script: string): Promise<Finished> {
    return run('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', ENTER, this.base, script], { timeoutMs: LIMIT_MS });
  }

  private engines(): string[] {
    return fs.readdirSync('/proc').filter((name) => {
      try {
        return /^\d+$/.test(name) && fs.readFileSync(`/proc/${name}/cmdline`, 'latin1').includes(`--rendezvous=${this.base}`);
      } catch {
        return false; // it ended
      }
    });
  }

  /** With its last mount the engine ends. Which were still there. */
  async end(): Promise<string[]> {
    await until('the end of the engine', () => this.engines().length === 0).catch(() => undefined);
    const left = this.engines();
    for (const pid of left) process.kill(Number(pid), 'SIGKILL');
    await removeDirectory(this.base);
    return left;
  }
}

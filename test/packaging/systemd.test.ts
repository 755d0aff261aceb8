/**
 * The Debian package under a systemd that runs: activation, readiness, mounts that outlive restarts, crashes, the watchdog and upgrades, mount units and fstab
 * at the machine's start and end, and removal. The steps build on each other, in one machine.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { makePackage } from '../../scripts/install/deb.js';
import { CANNOT, leftBehind, until } from '../plyd/daemon.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { cannotBoot, SystemdMachine } from './systemd-machine.js';

const README = fs.readFileSync(path.resolve(__dirname, '../../../README.md'), 'utf8');
const missing = ['dpkg-deb', 'dpkg-shlibdeps', 'mmdebstrap'].find((one) => spawnSync('sh', ['-c', `command -v ${one}`]).status !== 0);
const LIMIT_MS = 60_000;
const CAP_SYS_RESOURCE = 24n;

/** The block that follows the sentence that names the file. */
function blockFor(file: string): string {
  const block = /^```\w*\n(.*?)^```$/ms.exec(README.slice(README.indexOf(`in \`${file}\``)))?.[1];
  if (block === undefined) throw new Error(`README.md has no block for ${file}`);
  return block;
}

interface Line {
  level: number;
  time: number;
  name: string;
  msg: string;
}

class Steps {
  merged = '';

  constructor(
    private readonly t: Test,
    private readonly machine: SystemdMachine,
  ) {}

  private must(script: string): Promise<string> {
    return this.machine.must(script);
  }

  private property(unit: string, name: string): Promise<string> {
    return this.must(`systemctl show --timestamp=us+utc --property=${name} --value ${unit}`);
  }

  private async is(unit: string, state: string, why: string): Promise<void> {
    this.t.equal(await this.property(unit, 'ActiveState'), state, why);
  }

  private pid(): Promise<string> {
    return this.property('plyd.service', 'MainPID');
  }

  /** Of plyd.service; plyd and its engines. */
  private async processes(): Promise<string[]> {
    const found = await this.must(`cat /sys/fs/cgroup/system.slice/plyd.service/cgroup.procs 2>/dev/null || true`);
    return found.split('\n').filter((pid) => pid !== '');
  }

  private async engines(): Promise<string[]> {
    const main = await this.pid();
    return (await this.processes()).filter((pid) => pid !== main);
  }

  /** The kernel's number of a mount. */
  private mountId(place: string): Promise<string> {
    return this.must(`findmnt --noheadings --output ID --types fuse.plyfs --mountpoint '${place}'`);
  }

  private fuseMounts(): Promise<string> {
    return this.must(`awk '$3 == "fuse.plyfs" { print $2 }' /proc/self/mounts`);
  }

  /** Another plyd than this one serves. */
  private async another(pid: string): Promise<void> {
    const served = async (): Promise<boolean> => {
      const now = await this.pid();
      return now !== '0' && now !== pid && (await this.property('plyd.service', 'ActiveState')) === 'active';
    };
    await until('another plyd', served, LIMIT_MS);
  }

  /** All that has been said so far. */
  private journal(...options: string[]): Promise<string> {
    return this.must(`journalctl --sync && journalctl --output=cat --quiet ${options.join(' ')}`);
  }

  /** Of plyd and the engines. */
  private async lines(): Promise<Line[]> {
    const said = await this.journal('--unit=plyd');
    return said
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Line);
  }

  // ---- the steps -----------------------------------------------------------------------------------------------------------------------------------

  async install(): Promise<void> {
    await this.must('dpkg -i /mnt/debs/plyfs_*.deb');
    await this.is('plyd.socket', 'active', 'the package starts the socket');
    await this.is('plyd.service', 'inactive', 'and nobody has asked for plyd');
    this.t.equal(await this.must('stat -c "%a %U %G" /run/ply/ply.sock'), '660 root root');
    this.t.match(await this.must('ply ps'), /^CONTAINER ID/, 'a client starts plyd');
    await this.is('plyd.service', 'active', 'which runs now');
    this.t.match(await this.property('plyd.service', 'StatusText'), /^Serving 0 mounts with (0 engines|1 engine)$/); // one waits for the first container
    const ready = (await this.lines()).find(({ msg }) => msg === 'plyd is ready');
    const active = Date.parse((await this.property('plyd.service', 'ActiveEnterTimestamp')).replace(/^\w+ (\S+) (\S+) UTC$/, '$1T$2Z'));
    this.t.ok(ready !== undefined && active >= ready.time, `active at ${active}: not before it is ready, at ${ready?.time}`);
  }

  async mount(): Promise<void> {
    await this.must('mkdir -p /srv/layer/etc && echo base >/srv/layer/etc/motd && echo old >/srv/layer/etc/old');
    await this.must('ply layer add /srv/layer --name base && ply image create img base && ply create img --name web');
    this.merged = await this.must('ply start web');
    this.t.equal(
      await this.must(
        `cd '${this.merged}' && cat etc/motd && echo changed >etc/motd && chown 33:44 etc/old && mknod null c 1 3 && cat etc/motd`,
      ),
      'base\nchanged',
      'another process of the machine reads and writes there',
    );
    this.t.equal(
      await this.must(
        'ply commit web img:changed >/dev/null && ply create img:changed --name two >/dev/null && cat "$(ply start two)/etc/motd"',
      ),
      'changed',
    );
    await this.must('ply rm --force two');
    const shown = async (): Promise<boolean> =>
      (await this.must('systemctl status plyd')).includes('Status: "Serving 1 mount with 1 engine"');
    await until('the status', shown, LIMIT_MS);
  }

  async hardening(): Promise<void> {
    const all = await this.processes();
    this.t.equal(all.length, 2, 'plyd and an engine');
    const effective = BigInt(`0x${await this.must("awk '/^CapEff/ { print $2 }' /proc/1/status")}`);
    const mayRaise = (effective & (1n << CAP_SYS_RESOURCE)) !== 0n;
    for (const pid of all) {
      this.t.equal(
        await this.must(`readlink /proc/${pid}/ns/mnt`),
        await this.must('readlink /proc/1/ns/mnt'),
        'in the mount namespace of all',
      );
      const status = await this.must(`cat /proc/${pid}/status`);
      this.t.match(status, /^NoNewPrivs:\s+1$/m);
      this.t.match(status, /^Seccomp:\s+2$/m);
      if (mayRaise) {
        this.t.equal(await this.must(`cat /proc/${pid}/oom_score_adj`), '-900');
        this.t.match(await this.must(`cat /proc/${pid}/limits`), /^Max open files +1048576 +1048576 /m);
      }
    }
    if (!mayRaise) this.t.comment('OOMScoreAdjust and LimitNOFILE: not looked at, as this machine has no CAP_SYS_RESOURCE');
  }

  /** What happens while a shell has a file of the container open. It is to be the same mount, with the same engine, and the file goes on. */
  private async undisturbed(how: string, what: string): Promise<void> {
    await this.must('systemctl reset-failed plyd'); // five starts in ten seconds are too many to systemd
    const before = { pid: await this.pid(), engines: await this.engines(), mount: await this.mountId(this.merged) };
    const file = `${this.merged}/etc/log`;
    await this.must(`exec 5<>'${file}'
      echo one >&5; ${what}
      until [ "$(systemctl show --property=MainPID --value plyd)" != ${before.pid} ] && systemctl --quiet is-active plyd; do sleep 0.1; done
      echo two >&5`);
    this.t.not(await this.pid(), before.pid, `${how}: another plyd`);
    this.t.same(await this.engines(), before.engines, 'the same engine');
    this.t.equal(await this.mountId(this.merged), before.mount, 'the same mount');
    this.t.equal(await this.must(`cat '${file}'`), 'one\ntwo', 'an open file goes on');
    this.t.match(await this.must('ply ps'), / web +img .* Up /);
  }

  async restarts(): Promise<void> {
    await this.undisturbed('restart', 'systemctl restart plyd');
    await this.undisturbed('upgrade', 'dpkg -i /mnt/debs/plyfs_*.deb >/dev/null 2>&1');
    await this.undisturbed('death', 'systemctl kill --signal=KILL --kill-whom=main plyd');
    const [pid, engines] = [await this.pid(), await this.engines()];
    await this.must('systemctl kill --signal=HUP --kill-whom=main plyd');
    this.t.match(await this.machine.sh('systemctl reload plyd'), { status: 3, stderr: /not applicable/ }, 'there is no reload');
    this.t.equal(await this.pid(), pid, 'and SIGHUP is none');
    await this.must('systemctl kill --signal=KILL plyd');
    await this.another(pid);
    this.t.notMatch(await this.engines(), engines, 'its engine has died with it: another one has mounted it again');
    this.t.equal(await this.must(`cat '${this.merged}/etc/log'`), 'one\ntwo');
  }

  async watchdog(): Promise<void> {
    const place = '/run/systemd/system/plyd.service.d';
    await this.must(
      `mkdir -p ${place} && printf '[Service]\\nWatchdogSec=4\\n' >${place}/watchdog.conf && systemctl daemon-reload && systemctl restart plyd`,
    );
    await this.undisturbed('watchdog', `kill -STOP "$(systemctl show --property=MainPID --value plyd)"`);
    this.t.match(await this.journal('--unit=plyd'), /Watchdog timeout/);
    await this.must(`rm -r ${place} && systemctl daemon-reload && systemctl restart plyd`);
  }

  async stop(): Promise<void> {
    const engines = await this.engines();
    await this.must('systemctl stop plyd');
    await this.is('plyd.service', 'inactive', 'stopped');
    this.t.same(await this.processes(), engines, 'only the engine is left');
    this.t.equal(await this.must(`cat '${this.merged}/etc/motd'`), 'changed', 'and serves');
    this.t.match(await this.must('ply ps'), / web +img .* Up /, 'the socket has plyd started again');
    await this.is('plyd.service', 'active', 'it runs');
    await this.must('ply stop web && systemctl stop plyd.socket plyd.service');
    await until('the end of all processes', async () => (await this.processes()).length === 0, LIMIT_MS);
    this.t.equal(await this.fuseMounts(), '', 'nothing is mounted');
    this.t.equal(await this.must('ls -A /run/ply'), 'ply.sock.lock', 'and no socket left');
    await this.must('systemctl start plyd && ply start web');
    await this.is('plyd.socket', 'active', 'the service brings its socket');
  }

  /** Of README.md, both: one at /srv/web, the other at /srv/unit. */
  async mountUnits(): Promise<void> {
    await this.must(
      'mkdir -p /layers/app /layers/base /srv/web /srv/unit /var/web/upper /var/web/work /var/web/unit/upper /var/web/unit/work',
    );
    await this.must('echo base >/layers/base/file');
    fs.writeFileSync(this.machine.at('etc/fstab'), blockFor('/etc/fstab'));
    const unit = blockFor('/etc/systemd/system/srv-web.mount')
      .replaceAll('/srv/web', '/srv/unit')
      .replaceAll('/var/web/', '/var/web/unit/');
    fs.writeFileSync(this.machine.at('etc/systemd/system/srv-unit.mount'), unit);
    await this.must('systemctl stop plyd && systemctl daemon-reload');
    await this.must('systemctl enable --now srv-unit.mount');
    await this.is('plyd.service', 'active', 'the unit wants plyd');
    await this.must('systemctl start srv-web.mount');
    for (const place of ['/srv/unit', '/srv/web']) {
      this.t.match(await this.must('ply mounts'), new RegExp(` ${place} .*mounted`), `plyd serves ${place}`);
      this.t.equal(await this.must(`cat ${place}/file && echo ${place} >${place}/file && cat ${place}/file`), `base\n${place}`);
    }
    const since = async (): Promise<string[]> =>
      Promise.all(['srv-unit.mount', 'srv-web.mount'].map((unit) => this.property(unit, 'ActiveEnterTimestampMonotonic')));
    const before = await since();
    await this.must('systemctl restart plyd');
    this.t.same(await since(), before, 'a restart of plyd is none of theirs');
    await this.must('systemctl stop srv-web.mount');
    this.t.notMatch(await this.fuseMounts(), /srv\/web/, 'stopped');
    await until('plyd to know', async () => !(await this.must('ply mounts')).includes(' /srv/web '), LIMIT_MS);
    await this.must('systemctl start srv-web.mount');
  }

  async reboot(): Promise<void> {
    await this.machine.shutDown();
    await this.machine.boot();
    this.t.equal(await this.must('systemctl list-units --failed --no-legend --plain'), '');
    for (const unit of ['local-fs.target', 'plyd.socket', 'plyd.service', 'srv-web.mount', 'srv-unit.mount'])
      await this.is(unit, 'active', `${unit} is up`);
    this.t.match(await this.must('ply ps'), / web +img .* Up /, 'the container that was running runs again');
    this.t.equal(
      await this.must(`cat '${this.merged}/etc/motd' /srv/web/file /srv/unit/file`),
      'changed\n/srv/web\n/srv/unit',
      'with what was written',
    );
    this.t.equal((await this.must('ply mounts')).split('\n').length, 4, 'and plyd serves all of them');
    const said = await this.journal();
    this.t.notMatch(said, /ordering cycle/);
    const order = ['plyd has ended', 'Unmounting var-lib-ply-containers'].map((text) => said.indexOf(text));
    this.t.ok(order[0] >= 0 && order[0] < order[1], 'plyd had ended before systemd unmounted its containers');
  }

  async log(): Promise<void> {
    const lines = await this.lines();
    this.t.ok(lines.every(({ level, time, msg }) => level > 0 && time > 0 && typeof msg === 'string'));
    this.t.ok(
      lines.some(({ name, msg }) => name === 'plyd' && msg === 'plyd is ready'),
      'of plyd',
    );
    this.t.ok(
      lines.some(({ name, msg }) => name === 'plyfs-engine' && msg === 'mounted'),
      'and of engines',
    );
    this.t.same(
      lines.filter(({ level }) => level >= 50),
      [],
      'no error',
    );
  }

  async remove(): Promise<void> {
    const refused = await this.machine.sh('dpkg -r plyfs');
    this.t.match(refused, { status: 1, stderr: /not removed while something is mounted with it/ });
    for (const place of [this.merged, '/srv/web', '/srv/unit']) this.t.match(refused.stderr, new RegExp(`^plyfs: +${place}$`, 'm'));
    this.t.match(await this.must('ply ps'), / web +img .* Up /, 'all is as it was');
    await this.must('ply stop web && systemctl stop srv-web.mount srv-unit.mount && dpkg -r plyfs');
    await until('the end of all processes', async () => (await this.processes()).length === 0, LIMIT_MS);
    this.t.equal(await this.fuseMounts(), '');
    for (const unit of ['plyd.socket', 'plyd.service']) await this.is(unit, 'inactive', `${unit} has ended`);
    this.t.match(await this.must('dpkg -P plyfs 2>&1'), /\/var\/lib\/ply stays/);
    this.t.equal(
      await this.must('find /etc/systemd /run/systemd/system -name "*plyd*"; ls -A /run/ply 2>/dev/null || true'),
      'ply.sock.lock',
    );
    this.t.equal(await this.must('systemctl list-unit-files --no-legend "plyd*" || true'), '');
  }
}

const STEPS = ['install', 'mount', 'hardening', 'restarts', 'watchdog', 'stop', 'mountUnits', 'reboot', 'log', 'remove'] as const;

/** Says how long it took. */
async function timed<T>(t: Test, what: string, work: () => Promise<T>): Promise<T> {
  const begun = Date.now();
  const result = await work();
  t.comment(`${what}: ${((Date.now() - begun) / 1000).toFixed(1)} s`);
  return result;
}

const skip = CANNOT ?? (missing === undefined ? cannotBoot() : `needs ${missing} (scripts/setup)`) ?? false;

void t.test('the package under systemd', { skip, timeout: 900_000 }, async (t) => {
  const base = temporaryDirectory();
  try {
    const machine = await SystemdMachine.make(base);
    try {
      const file = await timed(t, 'package', () => Promise.resolve(makePackage(path.join(base, 'deb'), 'none')));
      await timed(t, 'boot', () => machine.boot());
      fs.copyFileSync(file, machine.at(`mnt/debs/${path.basename(file)}`));
      const steps = new Steps(t, machine);
      for (const step of STEPS) {
        try {
          await timed(t, step, () => steps[step]());
        } catch (error) {
          const log = await machine.sh('journalctl --lines=60 --no-pager');
          t.fail(`${step}: ${(error as Error).message}`, { log: log.stdout });
          return;
        }
      }
      await machine.shutDown();
    } finally {
      await machine.end();
    }
  } finally {
    await removeDirectory(base);
  }
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

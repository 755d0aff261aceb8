/** The life of a container, through ply and a real plyd: real mounts, so whatever touches one is a child process with a time limit. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { Container, Event } from '../../daemon/api/types.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { type Finished, mountAt, mounts, must, run, tearAway } from '../support/mounts.js';
import { nothingLeft, ply } from './stand-in.js';

const daemonScript = path.resolve(__dirname, '../../cli/plyd.js');
const LIMIT_MS = 20_000;

function reasonToSkip(): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  if (!fs.existsSync('/dev/fuse')) return 'needs /dev/fuse';
  return fs.existsSync(daemonScript) ? false : `${daemonScript} does not exist`;
}

/** A plyd of our own, in a directory of its own. */
class Plyd {
  readonly base = temporaryDirectory();
  readonly socket = path.join(this.base, 'ply.sock');
  private log = '';
  private readonly process: ChildProcess;
  private readonly ended: Promise<number | null>;

  constructor() {
    const args = [daemonScript, '--config', '/dev/null', '--root', path.join(this.base, 'root'), '--socket', this.socket];
    this.process = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.process.stderr!.setEncoding('utf8').on('data', (text: string) => (this.log += text));
    this.ended = new Promise((resolve) => this.process.on('exit', resolve));
    for (const [file, text] of [
      ['app/of-app', 'app\n'],
      ['app/both', 'app\n'],
      ['base/both', 'base\n'],
      ['base/etc/conf', 'base\n'],
    ]) {
      const whole = path.join(this.base, file);
      fs.mkdirSync(path.dirname(whole), { recursive: true });
      fs.writeFileSync(whole, text);
    }
    fs.mkdirSync(path.join(this.base, 'm'));
  }

  async ready(): Promise<this> {
    for (const end = Date.now() + LIMIT_MS; Date.now() < end;) {
      if (this.process.exitCode !== null) break;
      if (fs.existsSync(this.socket) && (await this.ply('info')).status === 0) return this;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`plyd did not start:\n${this.log}`);
  }

  ply(...args: string[]): Promise<Finished> {
    return ply(args, { PLY_SOCKET: this.socket }, { cwd: this.base, timeoutMs: LIMIT_MS });
  }

  /** What it printed, when it has to succeed. */
  async must(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.ply(...args);
    if (status !== 0) throw new Error(`ply ${args.join(' ')}: status ${status}\n${stderr}\n${this.log.slice(-2000)}`);
    return stdout;
  }

  async json<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.must(...args, '--json')) as T;
  }

  sh(script: string): Promise<string> {
    return must('sh', ['-euc', script], { cwd: this.base, timeoutMs: LIMIT_MS });
  }

  /** SIGTERM, and what is still mounted then. */
  async end(): Promise<{ status: number | null; mounted: string[] }> {
    this.process.kill('SIGTERM');
    const limit = setTimeout(() => this.process.kill('SIGKILL'), LIMIT_MS);
    const status = await this.ended;
    clearTimeout(limit);
    const mounted = mounts()
      .map(({ point }) => point)
      .filter((point) => point.startsWith(this.base));
    for (const point of mounted) await tearAway(point);
    await removeDirectory(this.base);
    return { status, mounted };
  }
}

t.test('with a real plyd', { skip: reasonToSkip() }, async (t) => {
  const plyd = await new Plyd().ready();
  t.teardown(nothingLeft);

  await t.test('layers, an image, two containers', async (t) => {
    t.match(await plyd.must('layer', 'add', 'app', '--name', 'app'), /^[0-9a-f]{64}\n$/);
    t.match(await plyd.json('layer', 'add', 'base', '--name', 'base'), {
      name: 'base',
      path: `${plyd.base}/base`,
      entries: 3,
      files: 2,
      size: 10,
    });
    t.match(await plyd.must('layer', 'ls'), /^LAYER ID .*\n[0-9a-f]{12} +app +2 +8B .*\n[0-9a-f]{12} +base +3 +10B .*\n$/);
    t.match(await plyd.must('image', 'create', 'web', 'app', 'base'), /^[0-9a-f]{64}\n$/);
    t.match(await plyd.must('images'), /^NAME .*\nweb +[0-9a-f]{12} +2 .* 18B +18B +0\n$/);
    for (const name of ['one', 'two']) await plyd.must('create', 'web', '--name', name);
    t.equal(await plyd.must('ps'), 'CONTAINER ID   NAME   IMAGE   CREATED   STATUS   MOUNTPOINT\n', 'none runs');
    t.match(await plyd.must('ps', '-a'), /\n[0-9a-f]{12} +one +web .* Created\n[0-9a-f]{12} +two +web .* Created\n$/);
  });

  const mountpoints: string[] = [];
  await t.test('they start, the first is changed, the second sees nothing of it', async (t) => {
    mountpoints.push(...(await plyd.must('start', 'one', 'two')).trim().split('\n'));
    const [one, two] = mountpoints;
    t.match(mountAt(one), { type: 'fuse.plyfs' });
    t.match((await plyd.json<Container>('start', 'one')).mountpoint, one, 'one that runs stays as it is');
    t.equal(await plyd.sh(`cat ${one}/both ${one}/of-app ${one}/etc/conf`), 'app\napp\nbase\n', 'the first layer named is topmost');
    await plyd.sh(`cd ${one}; rm of-app; echo changed >etc/conf; mkdir new; echo 12345 >new/file`);
    t.equal(await plyd.must('diff', 'one'), 'C /etc\nC /etc/conf\nA /new\nA /new/file\nD /of-app\n');
    t.equal(await plyd.must('diff', 'two'), '');
    t.equal(await plyd.sh(`cat ${two}/of-app ${two}/etc/conf; ls ${two}`), 'app\nbase\nboth\netc\nof-app\n');
    t.match(await plyd.json<Container[]>('ps', '-s'), [
      { name: 'one', size: { files: 2, whiteouts: 1 } },
      { name: 'two', size: { files: 0, whiteouts: 0 } },
    ]);
    t.match(await plyd.must('inspect', one), /^Mount: +[0-9a-f]{64}\n/);
    t.match(await plyd.must('inspect', 'one'), /^Container: +one\n.*Written: +.* \(2 files, 1 whiteout\)\n$/s);
  });

  await t.test('what is in use is not removed or unmounted, and who uses it is named', async (t) => {
    t.match(await plyd.ply('layer', 'rm', 'app'), { status: 1, stderr: /^ply: .*\bweb\b/ });
    t.match(await plyd.ply('rmi', 'web'), { status: 1, stderr: /^ply: .*\bone\b/ });
    t.match(await plyd.ply('rm', 'one'), { status: 1, stderr: /^ply: / });
    const holder = spawn('sleep', ['60'], { cwd: mountpoints[0], stdio: 'ignore' });
    await new Promise((resolve) => holder.on('spawn', resolve));
    const inside = await ply(['stop', 'one'], { PLY_SOCKET: plyd.socket }, { cwd: mountpoints[0], timeoutMs: LIMIT_MS });
    t.match(inside, { status: 1, stdout: '', stderr: new RegExp(`^ply: .*\\b${holder.pid}\\b.*\\n--lazy `, 's') });
    const asJson = JSON.parse((await plyd.ply('stop', 'one', '--json')).stderr) as { error: { code: string; processes: unknown[] } };
    t.match(asJson, { error: { code: 'busy', processes: [{ pid: holder.pid, command: 'sleep' }] } });
    t.equal(asJson.error.processes.length, 1, 'ply itself is none of them');
    t.equal(await plyd.must('stop', '--lazy', 'one'), 'one\n');
    holder.kill();
    t.equal(mountAt(mountpoints[0]), undefined);
  });

  await t.test('what was written is there after another start', async (t) => {
    t.equal(await plyd.must('start', 'one'), `${mountpoints[0]}\n`);
    t.equal(await plyd.sh(`cat ${mountpoints[0]}/new/file`), '12345\n');
  });

  await t.test('a mount of directories', async (t) => {
    const [id] = (await plyd.must('mount', '-o', 'lowerdir=app:base', 'm')).split('\n');
    t.equal(await plyd.sh('cat m/both m/etc/conf'), 'app\nbase\n');
    t.match(await plyd.must('mounts'), new RegExp(`\n${id.slice(0, 12)} +${plyd.base}/m +2 +ro .* mounted\n`));
    t.match(await plyd.ply('mount', '-o', 'lowerdir=app', 'm'), { status: 1, stderr: /^ply: / });
    t.equal(await plyd.must('umount', 'm'), 'm\n');
    t.match(await plyd.ply('umount', 'm'), { status: 1, stderr: /^ply: there is no mount m of plyd/ });
    t.match(await plyd.ply('umount', mountpoints[1]), { status: 1, stderr: /ply stop two/ });
    t.match(await plyd.ply('mount', '-o', 'lowerdir=/none', 'm'), { status: 1, stderr: /\/none does not exist/ });
  });

  await t.test('names that nothing has', async (t) => {
    for (const command of ['start onne', 'stop onne', 'rm onne', 'diff onne', 'inspect onne']) {
      t.match(
        await plyd.ply(...command.split(' ')),
        { status: 1, stdout: '', stderr: /^ply: there is no .*\nDid you mean one\?\n$/ },
        command,
      );
    }
    t.match(await plyd.ply('create', 'wib'), { status: 1, stderr: /Did you mean web\?/ });
    t.match(await plyd.ply('image', 'create', 'other', 'bass'), { status: 1, stderr: /Did you mean base\?/ });
  });

  await t.test('a changed layer is found', async (t) => {
    t.equal(await plyd.must('layer', 'verify', 'app', 'base'), 'app: as it was\nbase: as it was\n');
    fs.appendFileSync(path.join(plyd.base, 'base/both'), 'more');
    t.match(await plyd.ply('layer', 'verify', 'base'), {
      status: 1,
      stdout: 'C both\n',
      stderr: /^ply: layer base has changed: 1 changed, 0 added/,
    });
  });

  await t.test('everything goes again, and the events tell', async (t) => {
    t.equal(await plyd.must('stop', 'two'), 'two\n');
    t.equal(await plyd.must('rm', 'two'), 'two\n');
    t.equal(await plyd.must('rm', '-f', 'one'), 'one\n');
    t.match(await plyd.must('image', 'rm', 'web'), /^Untagged: web\nRemoved: [0-9a-f]{64}\n$/);
    t.equal(await plyd.must('layer', 'rm', 'app', 'base'), 'app\nbase\n');
    t.same(await plyd.json('ps', '-a'), []);
    t.same(fs.readdirSync(path.join(plyd.base, 'root/containers')), []);
    const { stdout } = await ply(['events', '--since', '0', '--json'], { PLY_SOCKET: plyd.socket }, { timeoutMs: 2000 });
    const types = stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (JSON.parse(line) as Event).type);
    for (const type of ['layer.add', 'image.create', 'container.start', 'container.stop', 'mount', 'umount', 'container.rm', 'layer.rm']) {
      t.ok(types.includes(type as Event['type']), type);
    }
  });

  t.same(await plyd.end(), { status: 0, mounted: [] }, 'plyd leaves nothing mounted');
  t.match(await run('pgrep', ['-f', plyd.base]), { stdout: '' }, 'and no process');
});

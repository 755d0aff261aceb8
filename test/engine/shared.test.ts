/** Mounts of one engine that share what their lowers say (sharelowers): each shows its own changes, and a further one costs little. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { closeDirectories, openDirectories } from '../../daemon/mounts/directories.js';
import { EngineProcess } from '../../daemon/mounts/engine-process.js';
import { parseOptions } from '../../daemon/mounts/options.js';
import { native } from '../../native-bindings/index.js';
import { leftBehind, removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { mountAt, must, run, tearAway } from '../support/mounts.js';
import { within } from './harness.js';

/** Directories and files of the lowers: enough that a mount which does not share them takes megabytes. */
const DIRECTORIES = 300;
const FILES = 60;

/** Prints one line per name: path, type, mode, link count, size, inode number, owner, content of links. */
const LIST = ['-printf', '%P %y %m %n %s %i %U:%G %l\\n'];

class Engine {
  readonly base = temporaryDirectory();
  readonly process: EngineProcess;
  private readonly points: string[] = [];

  constructor(workers: number) {
    const log = fs.openSync(path.join(this.base, 'log'), 'a');
    this.process = new EngineProcess({ workers, log, foreground: true, label: this.base });
    fs.closeSync(log);
    for (let layer = 0; layer < 2; layer++) {
      for (let directory = layer; directory < DIRECTORIES; directory++) {
        const at = path.join(this.base, `l${layer}`, `d${directory % 20}`, `e${directory}`);
        fs.mkdirSync(at, { recursive: true });
        for (let file = 0; file < FILES / 2; file++) fs.writeFileSync(path.join(at, `f${file}-${layer}`), `${layer} ${file}\n`);
      }
    }
    fs.symlinkSync('d0/e0', path.join(this.base, 'l0', 'link'));
    fs.linkSync(path.join(this.base, 'l0/d0/e0/f1-0'), path.join(this.base, 'l0/d1/again'));
  }

  async mount(name: string, share = true): Promise<string> {
    const [point, upper, work] = ['m', 'u', 'w'].map((kind) => path.join(this.base, `${kind}-${name}`));
    for (const directory of [point, upper, work]) fs.mkdirSync(directory, { recursive: true });
    const options = parseOptions(
      `lowerdir=${this.base}/l0:${this.base}/l1,upperdir=${upper},workdir=${work}${share ? ',sharelowers' : ''}`,
    );
    const directories = openDirectories(options);
    const device = native.fuseOpen();
    try {
      const data = `fd=${device},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other`;
      const mounted = native.mount('plyfs', Buffer.from(point), 'fuse.plyfs', 0, data);
      if (mounted < 0) throw new Error(`mount: errno ${-mounted}`);
      this.points.push(point);
      const fds = [device, ...directories.layers, directories.upper, directories.work];
      await this.process.mount({ options, mountpoint: point, dev: mountAt(point)!.dev, writable: true, level: 1 }, fds);
    } finally {
      fs.closeSync(device);
      closeDirectories(directories);
    }
    return point;
  }

  async unmount(point: string): Promise<void> {
    await must('umount', [point]);
    this.points.splice(this.points.indexOf(point), 1);
  }

  /** Bytes of the node table. */
  async table(): Promise<number> {
    for (const fd of fs.readdirSync(`/proc/${this.process.pid}/fd`)) {
      const file = `/proc/${this.process.pid}/fd/${fd}`;
      if (!fs.readlinkSync(file).includes('memfd:')) continue;
      return Number(await must('stat', ['-Lc', '%b', file])) * 512;
    }
    throw new Error('the engine has no node table');
  }

  async end(): Promise<void> {
    for (const point of this.points) await tearAway(point);
    if ((await within(this.process.ended, 5000)) === undefined) this.process.kill('SIGKILL');
    await this.process.ended;
    this.process.leave();
    await removeDirectory(this.base);
  }
}

const list = async (point: string): Promise<string[]> =>
  (await must('find', [point, '-mindepth', '1', ...LIST]))
    .split('\n')
    .filter((line) => line !== '')
    .sort();

for (const workers of [1, 3]) {
  t.test(`with ${workers} worker(s)`, async (t) => {
    const engine = new Engine(workers);
    t.teardown(() => engine.end());
    const alone = await engine.mount('alone', false);
    const one = await engine.mount('one');
    const two = await engine.mount('two');
    const expected = await list(alone);

    t.test('all show what one shows that does not share', async (t) => {
      t.same(await list(one), expected);
      t.same(await list(two), expected);
      t.equal(await must('sh', ['-c', `cd "$0" && cat link/f2-0 d1/again d3/e3/f5-1`, two]), '0 2\n0 1\n1 5\n');
    });

    t.test('what one changes the other does not see, nor the next', async (t) => {
      const script = [
        'cd "$0"',
        'echo more >>d2/e2/f0-0',
        'chmod 600 d2/e2/f1-0',
        'rm d3/e3/f0-0 && rm -r d4',
        'mv d5 moved && mv moved/e5/f0-0 moved/e25/new',
        'mkdir d6/e6/fresh && echo x >d6/e6/fresh/file',
        'ln d7/e7/f0-0 d8/linked',
        'echo by >>d0/e0/f1-0', // of two names
        'touch d9',
      ];
      await must('sh', ['-ec', script.join('\n'), one]);
      t.same(await list(two), expected, 'the other');
      t.same(await list(await engine.mount('three')), expected, 'a new one');
      const changed = await list(one);
      t.not(
        changed.find((line) => line.startsWith('moved/e25/new ')),
        undefined,
      );
      t.equal(
        changed.find((line) => line.startsWith('d4/')),
        undefined,
      );
      t.equal(await must('sh', ['-c', 'cd "$0" && cat d1/again d2/e2/f0-0 moved/e25/f3-0', one]), '0 1\nby\n0 0\nmore\n0 3\n');
      await engine.unmount(one);
      t.same(await list(await engine.mount('one')), changed, 'mounted again');
    });

    t.test('a file that is open in both while one writes it', async (t) => {
      const reader = 'exec 3<d10/e10/f0-0; echo ready; read line; cat <&3';
      const script = `cd "$0"; (${reader}) <"$2" >"$3" & sleep 0.2; cd "$1"; echo new >d10/e10/f0-0; cat d10/e10/f0-0; echo >"$2"; wait`;
      const [fifo, out] = [path.join(engine.base, 'fifo'), path.join(engine.base, 'out')];
      await must('mkfifo', [fifo]);
      t.equal(await must('sh', ['-c', script, two, `${engine.base}/m-three`, fifo, out], { timeoutMs: 20_000 }), 'new\n');
      t.equal(fs.readFileSync(out, 'utf8'), 'ready\n0 0\n');
    });

    t.test('they go one by one, and what they shared with the last', async (t) => {
      const before = await engine.table();
      for (const name of ['one', 'three', 'two']) {
        t.same((await run('ls', [path.join(engine.base, `m-${name}`)])).status, 0);
        await engine.unmount(path.join(engine.base, `m-${name}`));
      }
      for (const end = Date.now() + 10_000; (await engine.table()) > before * 0.7 && Date.now() < end;)
        await new Promise((resolve) => setTimeout(resolve, 50));
      t.ok((await engine.table()) <= before * 0.7, `the node table had ${before} bytes and has ${await engine.table()} now`);
      t.same(await list(alone), expected);
    });
  });
}

t.test('a further mount costs little of what the first does', async (t) => {
  const engine = new Engine(1);
  t.teardown(() => engine.end());
  const grown: number[] = [];
  for (const name of ['one', 'two', 'three']) {
    const point = await engine.mount(name);
    const before = await engine.table();
    await list(point);
    grown.push((await engine.table()) - before);
  }
  t.ok(grown[1] < grown[0] / 10 && grown[2] < grown[0] / 10, `the node table grew by ${grown.join(', ')} bytes`);
});

t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

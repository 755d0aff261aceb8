/** Mounts come and go while workers run; the engine's life; the control channel. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import t from 'tap';
import { leftBehind } from '../support/leaks.js';
import { mountAt, must, run } from '../support/mounts.js';
import { lonelyQueues } from '../support/transport.js';
import { gate, read, reader, StandInEngine, state, until, within } from './harness.js';

for (const workers of [1, 3]) {
  t.test(`with ${workers} worker(s)`, (t) => {
    let engine: StandInEngine;
    t.beforeEach(() => {
      engine = new StandInEngine(workers);
    });
    t.afterEach(() => engine.end());

    t.test('two mounts are served at once, and each goes without the other', async (t) => {
      const [one, two] = [await engine.mount(1), await engine.mount(2)];
      t.match(await read(`${one}/hello`), { stdout: 'hello from 1 layers' });
      t.match(await read(`${two}/hello`), { stdout: 'hello from 2 layers' });
      await must('umount', [one]);
      await until('unmounted', () => engine.lines().some((line) => line.msg === 'unmounted'));
      t.match(await read(`${two}/hello`), { stdout: 'hello from 2 layers' });
      const three = await engine.mount(3);
      t.match(await read(`${three}/hello`), { stdout: 'hello from 3 layers' }, 'in the record of the first');
      await must('umount', [two]);
      await must('umount', [three]);
      t.equal(await within(engine.process.ended, 5000), 0);
    });

    t.test('files are read further ahead than the kernel would by itself', async (t) => {
      const point = await engine.mount();
      const readahead = `/sys/class/bdi/${mountAt(point)!.dev}/read_ahead_kb`;
      const expected = isWritable(readahead) ? '512' : '128';
      await until('the readahead is set', () => fs.readFileSync(readahead, 'latin1').trim() === expected);
      await must('umount', [point]);
      t.equal(await within(engine.process.ended, 5000), 0);
    });

    t.test('there is room for many descriptors from the beginning', async (t) => {
      await engine.mount();
      const limit = Number(/Max open files\s+(\d+)/.exec(fs.readFileSync(`/proc/${engine.process.pid}/limits`, 'latin1'))![1]);
      const size = (): number => Number(/FDSize:\s+(\d+)/.exec(fs.readFileSync(`/proc/${engine.process.pid}/status`, 'latin1'))![1]);
      await until('the table of descriptors has grown', () => size() >= Math.min(limit, 16_384));
      t.ok(size() > 256);
    });

    t.test('mounts come and go while another is read', async (t) => {
      const stays = await engine.mount();
      const before = descriptors(engine);
      const busy = spawn('sh', ['-c', `while cat ${stays}/hello >/dev/null; do :; done`], { stdio: 'ignore' });
      for (let i = 0; i < 10; i++) {
        const point = await engine.mount(2);
        t.match(await read(`${point}/hello`), { stdout: 'hello from 2 layers' });
        await must('umount', ['-l', point]);
      }
      busy.kill('SIGKILL');
      await until('all unmounted', () => engine.lines().filter((line) => line.msg === 'unmounted').length === 10);
      t.equal(descriptors(engine), before, 'no descriptor of a mount that is gone stays open');
      await until('not busy', async () => (await run('umount', [stays])).status === 0);
      t.equal(await within(engine.process.ended, 5000), 0);
    });

    t.test('a mount that is read in all directions does not keep another one waiting', async (t) => {
      const [loud, quiet] = [await engine.mount(), await engine.mount()];
      const readers = Array.from({ length: 4 }, () => spawn('dd', [`if=${loud}/huge`, 'of=/dev/null', 'bs=4k'], { stdio: 'ignore' }));
      for (let i = 0; i < 5; i++) t.match(await read(`${quiet}/hello`, 2000), { status: 0 });
      for (const one of readers) one.kill('SIGKILL');
    });

    t.test('umount -l in the middle of reading: the readers finish, then it ends', async (t) => {
      const point = await engine.mount();
      const slow = run('dd', [`if=${point}/huge`, 'of=/dev/null', 'bs=64k', 'count=2000', 'status=none'], { timeoutMs: 15_000 });
      await new Promise((resolve) => setTimeout(resolve, 50));
      await must('umount', ['-l', point]);
      t.match(await slow, { status: 0 });
      t.equal(await within(engine.process.ended, 5000), 0);
    });

    t.test('SIGTERM unmounts and ends; a SIGHUP does nothing', async (t) => {
      const point = await engine.mount();
      engine.process.kill('SIGHUP');
      t.match(await read(`${point}/hello`), { status: 0 });
      engine.process.kill('SIGTERM');
      t.equal(await within(engine.process.ended, 5000), 0);
      t.equal(mountAt(point), undefined);
    });

    t.test('SIGTERM with a file open: the mount goes from its place, the engine ends a little later', async (t) => {
      const point = await engine.mount();
      const waiting = reader(`${point}/aside`);
      await until('set aside', async () => (await state(point)).aside > 0);
      engine.process.kill('SIGTERM');
      await until('unmounted', () => mountAt(point) === undefined);
      t.equal(await within(engine.process.ended, 500), undefined, 'it lets the user finish');
      t.equal(await within(engine.process.ended, 9000), 0);
      t.match(await within(waiting.ended, 5000), { status: 1 });
    });

    t.test('SIGTERM with workers stuck in a system call ends it all the same', { skip: lonelyQueues(workers) }, async (t) => {
      const point = await engine.mount();
      const stuck = reader(`${point}/blocks`);
      await until('stuck', async () => (await state(point)).served.length > 0);
      engine.process.kill('SIGTERM');
      await until('unmounted', () => mountAt(point) === undefined);
      engine.process.kill('SIGTERM');
      t.equal(await within(engine.process.ended, 5000), 0);
      await stuck.ended;
    });

    t.test('a worker that dies ends the engine', async (t) => {
      const point = await engine.mount();
      t.match(await read(`${point}/dies`, 5000), { status: 1 });
      t.equal(await within(engine.process.ended, 5000), 1);
      t.ok(engine.lines().some((line) => line.level === 60 && line.msg.includes('worker')));
    });

    t.test('a mount that the overlay refuses: the reason comes back, others go on', async (t) => {
      const point = await engine.mount();
      await t.rejects(engine.mount(1, { options: 'squash_to_uid=666' }), { message: 'the stand-in refuses this mount' });
      t.match(await read(`${point}/hello`), { status: 0 });
      await must('umount', [point]);
      t.equal(await within(engine.process.ended, 5000), 0);
    });

    t.test('an engine whose only mount is refused waits for the end of its control channel', async (t) => {
      await t.rejects(engine.mount(1, { options: 'squash_to_uid=666' }), { message: 'the stand-in refuses this mount' });
      engine.process.leave();
      t.equal(await within(engine.process.ended, 5000), 0);
    });

    t.test('one engine serves one level of mounts', async (t) => {
      await engine.mount(1, { level: 2 });
      await t.rejects(engine.mount(1, { level: 1 }), { message: /a mount of level 1 cannot be served by an engine of level 2/ });
    });

    t.test('more layers than descriptors fit into one message', async (t) => {
      const point = await engine.mount(600);
      t.match(await read(`${point}/hello`), { stdout: 'hello from 600 layers' });
      await must('umount', [point]);
      t.equal(await within(engine.process.ended, 5000), 0);
    });

    t.end();
  });
}

t.test('an engine in the foreground ends with its control channel', async (t) => {
  const engine = new StandInEngine(1, true);
  const point = await engine.mount();
  engine.process.leave();
  t.equal(await within(engine.process.ended, 5000), 0);
  t.equal(mountAt(point), undefined);
  await engine.end();
});

t.test('the gate of one mount is none of the next: nothing is left of a mount that is gone', async (t) => {
  const engine = new StandInEngine(3);
  const [stays, first] = [await engine.mount(), await engine.mount()];
  const waiting = reader(`${first}/held`);
  await until('set aside', async () => (await state(first)).jobs === 1);
  waiting.child.kill('SIGKILL');
  await waiting.ended;
  await gate(first, 1);
  await must('umount', [first]);
  await until('unmounted', () => engine.lines().some((line) => line.msg === 'unmounted'));
  t.match(await state(stays), { jobs: 0 });
  await engine.end();
});

/** Those that a mount brings: of the device, and of its directories. */
function descriptors(engine: StandInEngine): number {
  const links = fs.readdirSync(`/proc/${engine.process.pid}/fd`).map((fd) => fs.readlinkSync(`/proc/${engine.process.pid}/fd/${fd}`));
  return links.filter((link) => link === '/dev/fuse' || link === engine.base).length;
}

t.teardown(async () => {
  const left = await leftBehind();
  if (left.length > 0) throw new Error(left.join('\n'));
});

/** Not in a container whose /sys is read-only. */
function isWritable(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.W_OK);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EROFS') return false;
    throw error;
  }
}

/** The worker loop over real mounts of the stand-in: each request is answered, whatever its handler does. */
import { availableParallelism } from 'node:os';
import t from 'tap';
import { leftBehind } from '../support/leaks.js';
import { abortFuse, type Finished, mountAt, must, run } from '../support/mounts.js';
import { lonelyQueues, TRANSPORT } from '../support/transport.js';
import { gate, read, reader, StandInEngine, type State, state, until, within } from './harness.js';

/** Why not: for the tests of leaders. */
function canLead(workers: number): string | false {
  if (TRANSPORT !== 'dev') return 'only over the device is there a choice';
  return workers > 1 && availableParallelism() > 1 ? false : 'there is nobody to choose among';
}

for (const workers of [1, 3]) {
  t.test(`with ${workers} worker(s)`, (t) => {
    let engine: StandInEngine;
    let point: string;
    t.beforeEach(async () => {
      engine = new StandInEngine(workers);
      point = await engine.mount();
    });
    t.afterEach(() => engine.end());

    t.test('a file is read', async (t) => {
      t.match(await read(`${point}/hello`), { status: 0, stdout: 'hello from 1 layers', stderr: '' });
      t.match(await read(`${point}/none`), { status: 1, stderr: /No such file/ });
    });

    t.test('a handler that throws costs its request EIO, and a full table ENOMEM; serving goes on', async (t) => {
      t.match(await read(`${point}/throws`), { status: 1, stderr: /Input\/output error/ });
      t.match(await read(`${point}/full`), { status: 1, stderr: /Cannot allocate memory/ });
      t.match(await read(`${point}/hello`), { status: 0 });
      const errors = engine.lines().filter((line) => line.level === 50);
      t.equal(errors.length, 1, 'only what nobody expected is logged');
      t.match(errors[0], { operation: 'READ', err: { message: 'thrown on purpose', stack: /stand-in/ } });
    });

    t.test('who reads ahead and fails is no trouble to anybody', async (t) => {
      for (const file of ['ahead-full', 'ahead-throws']) {
        t.match(await read(`${point}/${file}`), { status: 0, stdout: 'wished' });
        await new Promise((resolve) => setTimeout(resolve, 200));
        t.match(await read(`${point}/hello`), { status: 0 });
      }
      const errors = engine.lines().filter(({ msg }) => msg === 'reading ahead failed');
      if (workers === 1) t.equal(errors.length, 0, 'there is nobody to do it');
      else t.match(errors, [{ err: { message: 'ahead on purpose' } }], 'a full table is not worth a line');
    });

    t.test('replies as large as a request may ask for', async (t) => {
      const { stdout } = await run('sh', ['-c', `dd if=${point}/huge bs=1M count=8 status=none | wc -c`], { timeoutMs: 15_000 });
      t.equal(stdout.trim(), String(8 << 20));
    });

    t.test('a request that was set aside is answered when its job is done, and others go on meanwhile', async (t) => {
      const waiting = reader(`${point}/aside`);
      await until('set aside', async () => (await state(point)).aside > 0);
      t.equal(await within(waiting.ended, 100), undefined);
      t.match(await read(`${point}/hello`), { status: 0 });
      await gate(point, 1);
      t.match(await within(waiting.ended, 5000), { status: 0, stdout: 'released' });
    });

    t.test('a job of the pool: its result reaches the handler', async (t) => {
      t.match(await read(`${point}/job`), { status: 0, stdout: 'job: 0' });
      t.match(await state(point), { jobs: 0 });
    });

    t.test('many requests set aside at once', async (t) => {
      const all = Array.from({ length: 20 }, () => reader(`${point}/aside`));
      await until('all set aside', async () => (await state(point)).aside >= 20);
      await gate(point, 1);
      for (const one of all) t.match(await within(one.ended, 5000), { status: 0, stdout: 'released' });
    });

    t.test('requests of one CPU that were set aside keep no other of that CPU waiting', async (t) => {
      const pinned = (file: string): ReturnType<typeof run> =>
        run('taskset', ['-c', '0', 'cat', `${point}/${file}`], { timeoutMs: 10_000 });
      const all = Array.from({ length: 10 }, () => pinned('aside'));
      await until('all set aside', async () => (await state(point)).aside >= 10);
      for (let i = 0; i < 5; i++) t.match(await pinned('hello'), { status: 0 });
      await gate(point, 1);
      for (const one of await Promise.all(all)) t.match(one, { status: 0, stdout: 'released' });
    });

    t.test('a killed caller of a request set aside ends at once, and its job slot comes back when the job is done', async (t) => {
      const waiting = reader(`${point}/held`);
      await until('set aside', async () => (await state(point)).jobs === 1);
      waiting.child.kill('SIGKILL');
      t.ok(await within(waiting.ended, 3000), 'it does not wait for the job');
      t.match(await state(point), { jobs: 1 }, 'the job runs');
      await gate(point, 1);
      await until('its slot is free', async () => (await state(point)).jobs === 0);
    });

    t.test('a signal that the caller survives does not end its request', async (t) => {
      const waiting = run('perl', ['-e', `$SIG{USR1} = sub {}; open F, '<', '${point}/aside'; sysread F, $_, 99 or die $!; print`]);
      await until('set aside', async () => (await state(point)).aside > 0);
      await must('pkill', ['-USR1', '-f', `^perl .*${point}/aside`]);
      t.equal(await within(waiting, 300), undefined, 'it still waits');
      await gate(point, 1);
      t.match(await waiting, { status: 0, stdout: 'released' });
    });

    t.test('when all workers are stuck in system calls, spare ones serve', { skip: lonelyQueues(workers) }, async (t) => {
      const stuck = Array.from({ length: workers }, () => reader(`${point}/blocks`));
      // Over io_uring the stuck requests are those of some CPUs: others may have a worker left.
      const served = ({ by, sparesAwake }: State): boolean => (TRANSPORT === 'uring' ? sparesAwake === 1 : by > workers);
      await until('a spare serves', async () => served(await state(point)));
      t.match(await read(`${point}/hello`), { status: 0 });
      t.match(await state(point), { sparesAwake: 1 });
      await gate(point, 1);
      for (const one of stuck) t.match(await within(one.ended, 5000), { status: 0, stdout: 'released' });
      await until('the spares sleep', async () => (await state(point)).sparesAwake === 0);
      // What was lent to a queue of io_uring stays there: spares go on serving it.
      if (TRANSPORT === 'dev') for (let i = 0; i < 5; i++) t.ok((await state(point)).by <= workers);
      await must('umount', [point]);
      t.equal(await within(engine.process.ended, 5000), 0, 'the spares let go too');
    });

    t.test('one worker serves a lone caller; when it is stuck, the others serve again', { skip: canLead(workers) }, async (t) => {
      const lone = 'i=0; while [ $i -lt 2000 ]; do [ -e "$0/none" ]; i=$((i+1)); done';
      await until('one leads', async () => {
        t.match(await run('sh', ['-c', lone, point], { timeoutMs: 10_000 }), { status: 0 });
        return (await state(point)).leader !== 0;
      });
      const stuck = reader(`${point}/blocks`);
      await until('the leader is stuck', async () => (await state(point)).leader === 0);
      for (let i = 0; i < 20; i++) t.match(await read(`${point}/hello`, 5000), { status: 0 });
      t.match(await state(point), { sparesAwake: 0 }, 'the others are enough');
      t.match(await run('sh', ['-c', lone, point], { timeoutMs: 10_000 }), { status: 0 });
      t.match(await state(point), { leader: 0 }, 'nobody leads for some time');
      await gate(point, 1);
      t.match(await within(stuck.ended, 5000), { status: 0, stdout: 'released' });
    });

    t.test('callers come alone and two at a time, and nobody is forgotten', { skip: canLead(workers) }, async (t) => {
      const callers = (number: number, times: number): Promise<Finished> => {
        const all =
          'k=$1; while [ $k -gt 0 ]; do k=$((k-1)); (i=0; while [ $i -lt $2 ]; do [ -e "$0/none" ]; i=$((i+1)); done) & done; wait';
        return run('sh', ['-c', all, point, String(number), String(times)], { timeoutMs: 20_000 });
      };
      for (let round = 0; round < 40; round++) for (const number of [1, 2, 1, 3]) t.match(await callers(number, 300), { status: 0 });
      await until('two are served by two', async () => {
        const before = (await state(point)).served;
        t.match(await callers(2, 5000), { status: 0 });
        const after = (await state(point)).served;
        return after.filter((count, worker) => count - before[worker] > 100).length >= 2;
      });
    });

    t.test('an idle engine burns no CPU', async (t) => {
      await read(`${point}/hello`);
      await new Promise((resolve) => setTimeout(resolve, 1500)); // the watch goes to sleep
      const before = await switches(engine.process.pid!);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const after = await switches(engine.process.pid!);
      t.ok(after - before <= 3, `${after - before} context switches in a second`);
    });

    t.test('umount ends it', async (t) => {
      await must('umount', [point]);
      t.equal(await within(engine.process.ended, 5000), 0);
      t.equal(engine.lines().at(-1)?.msg, 'unmounted');
    });

    t.test('umount -l with a request set aside: it is answered, then all ends', async (t) => {
      const waiting = reader(`${point}/aside`);
      await until('set aside', async () => (await state(point)).aside > 0);
      const again = await run('sh', ['-c', `exec 3<>${point}/release; umount -l ${point}; printf 1 >&3`], { timeoutMs: 10_000 });
      t.match(again, { status: 0 });
      t.match(await within(waiting.ended, 5000), { status: 0, stdout: 'released' });
      t.equal(await within(engine.process.ended, 5000), 0);
    });

    t.test('an aborted connection with requests set aside and readers at work ends cleanly', async (t) => {
      const waiting = [reader(`${point}/aside`), reader(`${point}/held`)];
      const busy = run('sh', ['-c', `while cat ${point}/hello; do :; done >/dev/null`], { timeoutMs: 10_000 });
      await until('set aside', async () => (await state(point)).jobs === 1);
      const mount = mountAt(point)!;
      await must('umount', ['-l', point]);
      await abortFuse(mount);
      for (const one of waiting) t.match(await within(one.ended, 5000), { status: 1 });
      await busy;
      // The jobs of aborted requests run on, and the mount's descriptors stay open for them: here for ever.
      engine.process.kill('SIGTERM');
      t.equal(await within(engine.process.ended, 8000), 0);
    });

    t.end();
  });
}

/** Of all its threads. */
async function switches(pid: number): Promise<number> {
  const text = await must('sh', ['-c', `cat /proc/${pid}/task/*/status`]);
  return [...text.matchAll(/ctxt_switches:\s*(\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
}

t.teardown(async () => {
  const left = await leftBehind();
  if (left.length > 0) throw new Error(left.join('\n'));
});

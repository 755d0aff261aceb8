import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import t from 'tap';
import { ADDON, E, inChild, memory, native, opened, room } from './support';

const EPOLLIN = 1;
const EPOLLHUP = 0x10;
const EPOLLEXCLUSIVE = 1 << 28;

t.test('an eventfd counts, drains and does not block', (t) => {
  const fd = opened(t, native.eventfd());
  t.equal(native.eventfdDrain(fd), -E.EAGAIN);
  t.equal(native.eventfdSignal(fd), 0);
  t.equal(native.eventfdSignal(fd), 0);
  t.equal(native.eventfdDrain(fd), 2);
  t.equal(native.eventfdDrain(fd), -E.EAGAIN);
  const huge = Buffer.alloc(8);
  huge.writeBigUInt64LE(2n ** 40n);
  writeSync(fd, huge);
  t.equal(native.eventfdDrain(fd), 2 ** 31 - 1, 'saturated');
  huge.writeBigUInt64LE(2n ** 64n - 2n);
  writeSync(fd, huge);
  t.equal(native.eventfdSignal(fd), -E.EAGAIN, 'full');
  t.equal(native.eventfdSignal(-1), -E.EBADF);
  t.equal(native.eventfdDrain(-1), -E.EBADF);
  t.match(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'), /flags:\s+02004002/, 'O_CLOEXEC|O_NONBLOCK');
  t.end();
});

t.test('epoll tells which descriptors are ready, by tag', (t) => {
  const epoll = opened(t, native.epollCreate());
  const [a, b, c] = [opened(t, native.eventfd()), opened(t, native.eventfd()), opened(t, native.eventfd())];
  t.equal(native.epollAdd(epoll, a, EPOLLIN, 1), 0);
  t.equal(native.epollAdd(epoll, b, EPOLLIN | EPOLLEXCLUSIVE, 0xfffffffe), 0);
  t.equal(native.epollAdd(epoll, c, EPOLLIN, 3), 0);
  t.equal(native.epollAdd(epoll, a, EPOLLIN, 1), -E.EEXIST);
  const out = room(64);
  const wait = (max: number, timeout: number) => {
    const n = native.epollWait(epoll, out, max, timeout);
    return n < 0 ? n : Array.from({ length: n }, (_, i) => [memory.readUInt32LE(out + 8 * i), memory.readUInt32LE(out + 8 * i + 4)]);
  };
  t.same(wait(8, 0), []);
  native.eventfdSignal(b);
  t.same(wait(8, 1000), [[0xfffffffe, EPOLLIN]]);
  native.eventfdSignal(a);
  native.eventfdSignal(c);
  t.equal((wait(8, -1) as unknown[]).length, 3);
  t.equal((wait(2, -1) as unknown[]).length, 2, 'no more than asked');
  t.equal(native.epollDelete(epoll, a), 0);
  t.equal(native.epollDelete(epoll, a), -E.ENOENT);
  t.equal((wait(8, -1) as unknown[]).length, 2);
  native.eventfdDrain(b);
  native.eventfdDrain(c);
  const start = performance.now();
  t.same(wait(8, 50), []);
  t.ok(performance.now() - start > 40);
  t.equal(native.epollWait(epoll, out, 0, 0), -E.EINVAL);
  t.equal(native.epollWait(epoll, out, -1, 0), -E.EINVAL);
  t.equal(native.epollWait(a, out, 1, 0), -E.EINVAL, 'not an epoll');
  t.equal(native.epollWait(-1, out, 1, 0), -E.EBADF);
  t.equal(native.epollAdd(epoll, -1, EPOLLIN, 0), -E.EBADF);
  t.end();
});

t.test('watchReadable calls back on the event loop until it is stopped', async (t) => {
  const fd = opened(t, native.eventfd());
  let calls = 0;
  let watch: { stop(): void } | undefined;
  await new Promise<void>((resolve) => {
    watch = native.watchReadable(fd, () => {
      native.eventfdDrain(fd);
      if (++calls === 3) resolve();
      else native.eventfdSignal(fd);
    });
    native.eventfdSignal(fd);
  });
  watch!.stop();
  watch!.stop();
  native.eventfdSignal(fd);
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(calls, 3);
  const again = native.watchReadable(fd, () => {
    calls++;
    again.stop(); // in its own callback
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(calls, 4, 'a stopped descriptor may be watched again');
});

t.test('watchReadable keeps the loop alive, may be forgotten, and ends with its environment', (t) => {
  const threads = inChild(
    `const { Worker } = require('node:worker_threads');
     const code = 'const n = require(' + JSON.stringify(${JSON.stringify(ADDON)}) + ');' +
       'const fd = n.eventfd(); n.eventfdSignal(fd); const w = [1, 2, 3].map(() => n.watchReadable(n.eventfd(), () => 0));' +
       'n.watchReadable(fd, () => process.exit(7)); w[0].stop(); setTimeout(() => 0, 1e6);';
     const once = () => new Promise((r) => new Worker(code, { eval: true }).on('exit', r));
     (async () => { for (let i = 0; i < 10; i++) if (await once() !== 7) throw 1; print('ended'); })();`,
  );
  t.equal(threads.stdout, '"ended"', threads.stderr);
  const collected = inChild(
    `require('node:v8').setFlagsFromString('--expose-gc');
     const gc = require('node:vm').runInNewContext('gc');
     const fd = native.eventfd();
     let calls = 0;
     (() => native.watchReadable(fd, () => { calls++; native.eventfdDrain(fd); if (calls === 2) { print(calls); process.exit(); } }))();
     for (let i = 0; i < 3; i++) { const gone = native.watchReadable(native.eventfd(), () => 0); gone.stop(); }
     setImmediate(() => { gc(); gc(); native.eventfdSignal(fd); setTimeout(() => { gc(); native.eventfdSignal(fd); }, 20); });`,
  );
  t.equal(collected.stdout, '2', collected.stderr);
  const thrown = inChild(
    `const fd = native.eventfd(); native.eventfdSignal(fd);
     process.on('uncaughtException', (error) => { print(error.message); process.exit(3); });
     native.watchReadable(fd, () => { throw new Error('from the callback'); });`,
  );
  t.same([thrown.status, thrown.stdout], [3, '"from the callback"'], 'an exception of the callback is uncaught');
  t.end();
});

t.test('watchReadable throws for what cannot be polled', (t) => {
  const file = openSync(__filename, 'r');
  t.throws(() => native.watchReadable(file, () => undefined), { code: 'EPERM' });
  closeSync(file);
  t.throws(() => native.watchReadable(-1, () => undefined), { code: 'EBADF' });
  t.throws(() => native.watchReadable(99_999, () => undefined), { code: 'EBADF' });
  t.end();
});

t.test('the end of a socket is readiness', async (t) => {
  const fds = new Int32Array(2);
  t.equal(native.socketpair(fds), 0);
  const [near, far] = fds as unknown as [number, number];
  const ready = new Promise<number>((resolve) => {
    const watch = native.watchReadable(near, () => {
      watch.stop();
      resolve(readSync(near, Buffer.alloc(1)));
    });
  });
  native.close(far);
  t.equal(await ready, 0);
  const epoll = opened(t, native.epollCreate());
  const out = room(8);
  t.equal(native.epollAdd(epoll, near, EPOLLIN, 1), 0);
  t.equal(native.epollWait(epoll, out, 1, 0), 1);
  t.equal(memory.readUInt32LE(out + 4) & EPOLLHUP, EPOLLHUP);
  native.close(near);
});

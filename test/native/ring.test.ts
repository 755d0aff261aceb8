// The ring without FUSE: what is queued completes, waiting ends, and what is wrong is refused. With FUSE: test/engine, over io_uring.
import t from 'tap';
import { RING_INBOX, RING_TAGS, RingEntry, RingEvent } from '../../native-bindings/index';
import { ADDON, E, inChild, memory, native, opened, room } from './support';

const probed = native.ringProbe();
const skip = probed < 0 && `no io_uring here: errno ${-probed}`;

const event = room(RingEvent.SIZE);
const inbox = room(RING_INBOX);
const outbox = room(4096);

function next(timeoutMs: number): [count: number, tag: number, result: number] {
  const count = native.ringNext(event, inbox, outbox, timeoutMs, 0);
  return [count, memory.readInt32LE(event + RingEvent.tag), memory.readInt32LE(event + RingEvent.result)];
}

t.test('without a ring nothing is queued', (t) => {
  t.equal(native.ringNop(1), -E.EBADF);
  t.equal(native.ringPoll(0, 1, 0), -E.EBADF);
  t.equal(native.ringSubmit(), -E.EBADF);
  t.equal(native.ringFile(0, 0), -E.EBADF);
  t.equal(native.ringClose(), -E.EBADF);
  t.equal(next(0)[0], -E.EBADF);
  t.equal(native.ringCreate(0, 8), -E.EINVAL);
  t.equal(native.ringCreate(8, 4), -E.EINVAL, 'fewer completions than commands');
  t.end();
});

t.test('a ring of this thread', { skip }, (t) => {
  t.equal(native.ringCreate(8, 64), 0);
  t.teardown(() => native.ringClose());
  t.equal(native.ringCreate(8, 64), -E.EEXIST);

  t.test('completions come in order, more than fit at once, and a wait ends', (t) => {
    for (let i = 0; i < 30; i++) t.equal(native.ringNop(i), 0);
    for (let i = 0; i < 30; i++) t.same(next(1000), [1, i, 0]);
    const before = Date.now();
    t.equal(next(50)[0], 0, 'none');
    t.ok(Date.now() - before >= 45, 'within the time');
    t.end();
  });

  t.test('a poll completes when its descriptor is readable, one that is to wait no sooner', (t) => {
    const fd = opened(t, native.eventfd());
    native.ringPoll(fd, 7, 0);
    t.equal(next(20)[0], 0, 'not yet');
    native.eventfdSignal(fd);
    t.same(next(1000), [1, 7, 1], 'POLLIN');
    const before = Date.now();
    native.ringPoll(fd, 8, 60);
    t.same(next(1000), [1, 8, 1]);
    t.ok(Date.now() - before >= 50, 'later, though it was readable');
    t.end();
  });

  t.test('what is no FUSE device is refused, as what is no entry', (t) => {
    const entry = room(RingEntry.payload + 8192);
    memory.writeUInt32LE(8192, entry + RingEntry.capacity);
    memory.writeUInt32LE(5, entry + RingEntry.file);
    t.equal(native.ringRegister(entry), 0, 'it is queued');
    t.same(next(1000), [1, entry, -E.EBADF], 'nothing is in the table of files');
    t.equal(native.ringFile(5, opened(t, native.eventfd())), 0);
    native.ringRegister(entry);
    t.same(next(1000), [1, entry, -E.EOPNOTSUPP], 'an eventfd takes no commands');
    t.equal(native.ringFile(5, -1), 0);
    t.ok(native.ringFile(256, 0) < 0, 'the table has 256 places');
    t.equal(native.ringRegister(8), -E.EINVAL, 'where tags are');
    t.equal(native.ringRegister(entry + 4), -E.EINVAL, 'not aligned');
    t.equal(native.ringCommit(entry, outbox, 8), -E.EINVAL, 'shorter than its header');
    t.equal(native.ringCommit(entry, outbox, -1), -E.EFAULT);
    t.equal(native.ringCommit(entry, outbox, 16 + 8193), -E.EINVAL, 'longer than the payload');
    memory.writeUInt32LE(0x7fffffff, entry + RingEntry.capacity);
    t.equal(native.ringRegister(entry), -E.EFAULT, 'a payload beyond the arena');
    t.equal(native.ringNop(RING_TAGS), -E.EINVAL);
    t.equal(native.ringRefuse(0), -E.EEXIST, "not with a ring of one's own");
    t.end();
  });
  t.end();
});

t.test('each thread has a ring of its own, and they go with it', { skip }, (t) => {
  const child = inChild(
    `const { Worker } = require('worker_threads');
     native.arenaCreate(1);
     native.ringCreate(8, 8);
     const code = \`const native = require(${JSON.stringify(ADDON)}); native.ringCreate(8, 8) === 0 && native.ringClose() === 0 || process.exit(3)\`;
     let left = 40;
     const one = () => new Worker(code, { eval: true }).on('exit', (status) => { if (status) process.exit(status); if (--left) one(); else print(native.ringClose()); });
     one();`,
  );
  t.match(child, { status: 0, stdout: '0' });
  t.end();
});

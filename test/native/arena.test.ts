import { fstatSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { ADDON, ARENA_MIB, ARENA_SIZE, E, arenaFd, inChild, memory, native, room, words } from './support';

t.test('there is one arena per process', (t) => {
  t.ok(arenaFd >= 0);
  t.equal(fstatSync(arenaFd).size, ARENA_SIZE);
  t.equal(native.arenaCreate(1), -E.EEXIST);
  t.equal(native.arenaAttach(arenaFd, ARENA_MIB), -E.EEXIST);
  t.equal(native.arenaBuffer().byteLength, ARENA_SIZE);
  t.equal(native.arenaBuffer(), native.arenaBuffer(), 'the same ArrayBuffer at every call');
  t.end();
});

t.test('an arena may have 1 to 2048 MiB', (t) => {
  const child = inChild(`
    const sizes = [0, -1, 2049, 1e9].map((n) => native.arenaCreate(n));
    print([...sizes, native.arenaCreate(2048) >= 0, native.arenaBuffer().byteLength]);
    const bytes = new Uint8Array(native.arenaBuffer()); bytes[2 ** 31 - 1] = 7;
    print([bytes[2 ** 31 - 1], native.futexWake(2 ** 31 - 4, 1), native.futexWake(2 ** 31, 1)]);`);
  t.same(child.stdout.split('\n'), [JSON.stringify([-22, -22, -22, -22, true, 2 ** 31]), JSON.stringify([7, 0, -E.EFAULT])]);
  t.end();
});

t.test('without an arena the buffer throws and every range is refused', (t) => {
  const child = inChild(`
    let thrown; try { native.arenaBuffer(); } catch (error) { thrown = error.code; }
    print([thrown, native.stat(3, 0, 0), native.pread(3, 0, 0, 0, 0), native.jobSubmit(0), native.arenaPunch(0, 0)]);`);
  t.equal(child.stdout, JSON.stringify(['ENXIO', -14, -14, -14, -14]));
  t.end();
});

t.test('another process attaches the same memory', (t) => {
  const word = room(8);
  const child = inChild(
    `const refused = [native.arenaAttach(3, ${ARENA_MIB + 1}), native.arenaAttach(0, 1), native.arenaAttach(-1, 1), native.arenaAttach(3, 0)];
     const attached = native.arenaAttach(3, ${ARENA_MIB});
     require('node:fs').closeSync(3);
     const words = new Int32Array(native.arenaBuffer());
     words[${word / 4}] = 4711;
     print([...refused, attached, native.futexWake(${word}, 1), native.arenaPunch(${ARENA_SIZE - 4096}, 4096)]);`,
    ADDON,
    [arenaFd],
  );
  t.equal(child.stdout, JSON.stringify([-22, -22, -E.EBADF, -22, 0, 0, 0]));
  t.equal(words[word / 4], 4711);
  t.end();
});

t.test('who has the memfd cannot shrink it', (t) => {
  const child = inChild(`require('node:fs').ftruncateSync(3, 4096)`, ADDON, [arenaFd]);
  t.match(child.stderr, /EPERM/);
  t.end();
});

t.test('punched pages read as zero and are given back', (t) => {
  const start = 32 << 20;
  const blocks = () => fstatSync(arenaFd).blocks;
  const before = blocks();
  memory.fill(0xaa, start, start + (8 << 20));
  t.ok(blocks() - before >= (8 << 20) / 512);
  t.equal(native.arenaPunch(start, 8 << 20), 0);
  t.ok(blocks() - before < 64, `${blocks() - before} blocks remain`);
  t.ok(memory.subarray(start, start + (8 << 20)).every((byte) => byte === 0));
  memory.fill(0xaa, start, start + 8192);
  t.equal(native.arenaPunch(start + 100, 4096), 0);
  t.equal(memory[start + 99], 0xaa);
  t.equal(memory[start + 100], 0);
  t.equal(memory[start + 4195], 0);
  t.equal(memory[start + 4196], 0xaa);
  t.equal(native.arenaPunch(ARENA_SIZE - 4096, 8192), -E.EFAULT);
  t.end();
});

t.test('a futex waits for its value, its time or a wake', (t) => {
  const word = room(8);
  words[word / 4] = 5;
  t.equal(native.futexWait(word, 6, -1), -E.EAGAIN);
  const start = performance.now();
  t.equal(native.futexWait(word, 5, 60), -E.ETIMEDOUT);
  t.ok(performance.now() - start > 50);
  t.equal(native.futexWait(word, 5, 0), -E.ETIMEDOUT);
  t.equal(native.futexWait(word + 2, 5, 0), -E.EINVAL, 'not aligned');
  t.equal(native.futexWake(word, 1), 0, 'nobody waits');
  t.equal(native.futexWake(word, -1), -E.EINVAL);
  words[word / 4] = -1;
  t.equal(native.futexWait(word, -1, 1), -E.ETIMEDOUT, 'the word is compared as 32 bits');
  t.end();
});

t.test('worker threads see the same arena and wake each other', async (t) => {
  const flags = room(64);
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    const native = require(workerData.addon);
    const words = new Int32Array(native.arenaBuffer());
    const at = workerData.flags / 4;
    Atomics.add(words, at + 1, 1);
    const waited = native.futexWait(workerData.flags, 0, 10000);
    parentPort.postMessage([waited === 0 || waited === -11, Atomics.load(words, at), native.arenaCreate(1), native.nameThread('test-worker')]);`;
  const workers = [1, 2, 3].map(() => new Worker(code, { eval: true, workerData: { addon: ADDON, flags } }));
  const answers = workers.map((worker) => new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject)));
  const exits = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)));
  while (Atomics.load(words, flags / 4 + 1) < 3) await new Promise((resolve) => setTimeout(resolve, 5));
  Atomics.store(words, flags / 4, 99);
  let woken = 0;
  for (let i = 0; i < 100 && woken < 3; i++) {
    woken += native.futexWake(flags, 100);
    await new Promise((resolve) => setTimeout(resolve, 2));
    if (woken === 0 && i === 99) t.comment('the workers had not begun to wait');
  }
  for (const answer of await Promise.all(answers)) t.same(answer, [true, 99, -E.EEXIST, 0]);
  t.same(await Promise.all(exits), [0, 0, 0]);
  t.equal(words[flags / 4], 99, 'the memory outlives the workers');
});

t.test('a worker may be the first and only one to load the addon', (t) => {
  const child = inChild(
    `const { Worker } = require('node:worker_threads');
     const code = 'const n = require(' + JSON.stringify(${JSON.stringify(ADDON)}) + '); n.arenaCreate(4); n.arenaBuffer(); n.jobPoolStart(2);';
     const once = () => new Promise((r) => new Worker(code, { eval: true }).on('exit', r));
     (async () => { for (let i = 0; i < 20; i++) await once(); console.log('alive'); })();`,
    'node:path', // the main thread loads none
  );
  t.equal(child.stdout, 'alive', child.stderr);
  t.end();
});

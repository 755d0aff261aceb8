import { existsSync } from 'node:fs';
import t from 'tap';
import { E, FAULTS_ADDON, inChild, native } from './support';

t.test('an ordinary build has no faults', (t) => {
  t.equal(native.faultSet('mkdirat', E.EIO, 0, 1, 0), -E.ENOSYS);
  t.equal(native.faultClear(), -E.ENOSYS);
  t.end();
});

const skip = !existsSync(FAULTS_ADDON) && 'no build with faults: npm run build:native:faults';
const run = (code: string): unknown => {
  const child = inChild(code, FAULTS_ADDON);
  return child.stdout === '' ? child : JSON.parse(child.stdout);
};

t.test('the calls asked for fail, and no others', { skip }, (t) => {
  const code = `
    native.arenaCreate(1);
    const call = () => native.umask(0o22);
    call();
    const out = [native.faultSet('umask', ${E.EIO}, 2, 2, 0), call(), call(), call(), native.close(-1), call(), call()];
    out.push(native.faultSet('umask', ${E.ENOSPC}, 0, -1, 0), call(), call(), native.faultClear(), call());
    print(out);`;
  const ok = 0o22;
  t.same(run(code), [0, ok, ok, -E.EIO, -E.EBADF, -E.EIO, ok, 0, -E.ENOSPC, -E.ENOSPC, 0, ok]);
  t.end();
});

t.test('a failing call does nothing, and neither does one with wrong arguments count', { skip }, (t) => {
  const code = `
    const before = native.umask(0o22); native.umask(0o22);
    native.faultSet('umask', ${E.EIO}, 0, 1, 0);
    print([native.umask('x'), native.umask(0o77), native.umask(0o22)]);`;
  t.same(run(code), [-E.EINVAL, -E.EIO, 0o22]);
  t.end();
});

t.test('a delay alone lets the call through', { skip }, (t) => {
  const code = `
    native.umask(0o22);
    native.faultSet('umask', 0, 0, 1, 120);
    const start = Date.now();
    const first = native.umask(0o22), took = Date.now() - start;
    native.umask(0o22);
    print([first, took >= 115 && took < 5000, Date.now() - start - took < 100]);`;
  t.same(run(code), [0o22, true, true]);
  t.end();
});

t.test('methods and jobs fail too', { skip }, (t) => {
  const code = `
    native.arenaCreate(1); native.jobPoolStart(1);
    const words = new Int32Array(native.arenaBuffer());
    const job = () => {
      words.set([0, 0, 3, 0, 1], 0);
      native.jobSubmit(0);
      while (Atomics.load(words, 0) === 1) native.futexWait(0, 1, 1000);
      return words[1];
    };
    const methods = { mount: ['x', Buffer.from('/none'), 'tmpfs', 0, ''], umount: [Buffer.from('/none'), 0], nameThread: ['x'],
      socketpair: [new Int32Array(2)], sendMessage: [-1, Buffer.from('x'), []], receiveMessage: [-1, 5], peerCredentials: [-1] };
    const out = [native.faultSet('job:SYNCFS', ${E.EIO}, 1, 1, 0), job() !== -5, job(), job() !== -5];
    for (const [name, args] of Object.entries(methods)) { native.faultSet(name, ${E.EDQUOT}, 0, 1, 0); out.push(native[name](...args)); }
    native.faultSet('watchReadable', ${E.EMFILE}, 0, 1, 0);
    try { native.watchReadable(native.eventfd(), () => 0); } catch (error) { out.push(error.code); }
    print(out);`;
  t.same(run(code), [0, true, -E.EIO, true, ...Array<number>(7).fill(-E.EDQUOT), 'EMFILE']);
  t.end();
});

t.test('a name that is none, and numbers that make no sense, are refused', { skip }, (t) => {
  const code = `
    const set = (...args) => native.faultSet(...args);
    print([set('nonsense', 5, 0, 1, 0), set('job:NONE', 5, 0, 1, 0), set('umask', -1, 0, 1, 0), set('umask', 5000, 0, 1, 0), set('umask', 5, -1, 1, 0),
      set('umask', 5, 0, 1, -1), set('umask', 5, 0, 1), set(5, 5, 0, 1, 0), set(), set('x'.repeat(100), 5, 0, 1, 0)]);`;
  t.same(run(code), Array<number>(10).fill(-E.EINVAL));
  t.end();
});

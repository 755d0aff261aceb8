import fs from 'node:fs';
import t from 'tap';
import { HelperError, Syscalls, op, runOperations, unescape } from './syscalls.js';

function directory(test: Pick<typeof t, 'teardown'>): string {
  const made = fs.mkdtempSync('/tmp/plyfs-helper-');
  test.teardown(() => fs.rmSync(made, { recursive: true, force: true }));
  return made;
}

t.test('a batch answers in order, with errno names and fields', async (t) => {
  const [made, again, seen] = await runOperations(directory(t), [
    op('mkdir', { path: 'd', mode: 0o710 }),
    op('mkdir', { path: 'd' }),
    op('stat', { path: 'd' }),
  ]);
  t.equal(made?.error, 'ok');
  t.equal(again?.error, 'EEXIST');
  t.match(seen?.fields, { type: 'd', mode: '0710' });
});

t.test('names and data carry any byte', async (t) => {
  const name = Buffer.from([0xff, 0x20, 0x5c, 0x0a, 0x3d, 0x41]);
  const [, list, read] = await runOperations(directory(t), [
    op('write', { path: name, flags: 'O_CREAT', data: Buffer.from([0, 1, 0x20, 0xff]) }),
    op('list', { path: '.' }),
    op('read', { path: name }),
  ]);
  t.same(
    list?.rows.map((row) => unescape(row.name ?? '')),
    [name],
  );
  t.same(unescape(read?.fields.data ?? ''), Buffer.from([0, 1, 0x20, 0xff]));
});

t.test('an operation is done as another user, in another process, or later', async (t) => {
  const helper = Syscalls.start(directory(t));
  t.teardown(() => helper.end());
  const outcomes = await helper.run([
    op('mkdir', { path: 'd', mode: 0o755 }),
    op('mkdir', { path: 'd/x', uid: 1234 }),
    op('open', { fd: 'f', path: 'f', flags: 'O_RDWR|O_CREAT' }),
    op('lock', { fd: 'f', kind: 'wr' }),
    op('open', { fd: 'f', path: 'f', flags: 'O_RDWR', proc: 'b' }),
    op('lock', { fd: 'f', kind: 'wr', proc: 'b' }),
    op('lock', { fd: 'f', kind: 'wr', proc: 'b', wait: true, defer: true }),
    op('lock', { fd: 'f', kind: 'un' }),
    op('collect', { proc: 'b' }),
  ]);
  t.same(
    outcomes.map((outcome) => outcome.error),
    ['ok', 'EACCES', 'ok', 'ok', 'ok', 'EAGAIN', 'ok', 'ok', 'ok'],
  );
});

t.test('a call that does not come back ends the run, and says where', async (t) => {
  let torn = false;
  const helper = Syscalls.start(directory(t), { timeoutMs: 300, onHang: () => void (torn = true) });
  const error = await helper.run([op('ids', {}), op('sleep', { ms: 60_000 })]).catch((caught: unknown) => caught);
  t.ok(error instanceof HelperError);
  t.match(error, { message: /no answer within 300 ms, at: sleep ms=60000/, outcomes: { length: 1 } });
  t.ok(torn);
  await helper.end();
});

t.test('a mistake in a test is no outcome', async (t) => {
  await t.rejects(
    runOperations(directory(t), [op('close', { fd: 'f' }), op('open', { fd: 'f', path: 'x', flags: 'O_BOGUS' })]),
    /unknown O_BOGUS/,
  );
});

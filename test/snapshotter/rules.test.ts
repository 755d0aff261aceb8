/** The rules that containerd has for snapshotters (clients.md section 3), over gRPC against a real plyd. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { leftBehind } from '../plyd/daemon.js';
import { run } from '../support/mounts.js';
import { refusal, socketOf, testSnapshots } from './client.js';

testSnapshots('a snapshot without a parent is a bind of its directory', async (t, snapshots) => {
  const mount = await snapshots.prepare('a');
  t.match(mount, { type: 'bind', source: /\/snapshots\/1\/fs$/, options: ['rw', 'rbind'] });
  await snapshots.inside('a', 'echo hello >file');
  t.equal(fs.readFileSync(`${mount.source}/file`, 'utf8'), 'hello\n');
  t.match(await snapshots.view('v'), { type: 'bind', options: ['ro', 'rbind'] });
});

testSnapshots('what was committed is under its children, with its deletions, and does not change', async (t, snapshots) => {
  await snapshots.layer(
    'base',
    '',
    'mkdir -p d/e opq; echo one >one; echo two >two; echo x >d/e/x; echo old >opq/old; ln one link; chmod 640 two',
  );
  await snapshots.layer('top', 'base', 'rm two; rm -r opq; mkdir opq; echo new >opq/new; mv d moved; chmod 600 moved/e/x; echo more >>one');
  await snapshots.prepare('c', 'top');
  t.equal(
    await snapshots.inside('c', 'find . | LC_ALL=C sort; cat one; stat -c %a moved/e/x; cat moved/e/x'),
    ['.', './link', './moved', './moved/e', './moved/e/x', './one', './opq', './opq/new', 'one', 'more', '600', 'x', ''].join('\n'),
  );
  await snapshots.inside('c', 'rm -r moved; echo changed >one');
  await snapshots.view('v', 'top');
  t.equal(await snapshots.inside('v', 'cat one; ls moved/e'), 'one\nmore\nx\n');
  await snapshots.view('v-base', 'base');
  t.equal(await snapshots.inside('v-base', 'cat one; ls'), 'one\nd\nlink\none\nopq\ntwo\n');
});

testSnapshots('a view is read-only, where it is mounted too', async (t, snapshots) => {
  await snapshots.layer('base', '', 'echo one >one');
  const { source, options } = await snapshots.view('v', 'base');
  t.match(options, ['ro', 'rbind']);
  t.throws(() => fs.writeFileSync(`${source}/two`, ''), { code: 'EROFS' });
  t.match(await snapshots.inside('v', 'touch two 2>&1 || true; cat one'), /Read-only file system\none\n$/);
  t.equal(await refusal(snapshots.commit('w', 'v')), 'FAILED_PRECONDITION', 'and is not committed');
});

testSnapshots('mounts are the same as often as they are asked for', async (t, snapshots, plyd) => {
  await snapshots.layer('base', '', 'touch one');
  const first = await snapshots.prepare('a', 'base');
  t.same(await snapshots.mounts('a'), [first]);
  t.same(await Promise.all([1, 2, 3].map(() => snapshots.mounts('a'))), [[first], [first], [first]]);
  t.same(plyd.mounted(), [first.source]);
  t.equal(await refusal(snapshots.mounts('base')), 'FAILED_PRECONDITION', 'a committed one has none');
  t.equal(await refusal(snapshots.mounts('none')), 'NOT_FOUND');
  await snapshots.remove('a');
  t.same(plyd.mounted(), [], 'removed, it is not mounted');
});

testSnapshots('128 layers can be mounted', async (t, snapshots) => {
  for (let i = 1, parent = ''; i <= 128; parent = `l${i}`, i++) {
    const { source } = await snapshots.prepare(`a${i}`, parent);
    fs.writeFileSync(`${source}/f${i}`, `${i}\n`);
    if (i > 1) fs.writeFileSync(`${source}/f1`, `${i}\n`);
    await snapshots.commit(`l${i}`, `a${i}`);
  }
  await snapshots.prepare('top', 'l128');
  t.equal(await snapshots.inside('top', 'ls | wc -l; cat f1 f64 f128'), '128\n128\n64\n128\n');
  await snapshots.remove('top');
});

testSnapshots('keys: what is there already, what is not, and what is no parent', async (t, snapshots) => {
  await snapshots.layer('base', '', 'touch one');
  await snapshots.prepare('a', 'base');
  t.equal(await refusal(snapshots.prepare('a', 'base')), 'ALREADY_EXISTS');
  t.equal(await refusal(snapshots.view('base')), 'ALREADY_EXISTS');
  t.equal(await refusal(snapshots.prepare('')), 'INVALID_ARGUMENT');
  t.equal(await refusal(snapshots.prepare('b', 'none')), 'NOT_FOUND');
  t.equal(await refusal(snapshots.prepare('b', 'a')), 'INVALID_ARGUMENT', 'an active one is no parent');
  t.equal(await refusal(snapshots.commit('base', 'a')), 'ALREADY_EXISTS');
  t.equal(await refusal(snapshots.commit('a', 'a')), 'ALREADY_EXISTS');
  t.equal(await refusal(snapshots.commit('c', 'a', {}, 'none')), 'INVALID_ARGUMENT', 'another parent than it was prepared over');
  t.equal(await refusal(snapshots.commit('c', 'none')), 'NOT_FOUND');
  t.equal(await refusal(snapshots.commit('c', 'base')), 'FAILED_PRECONDITION', 'a committed one is not committed again');
  t.equal(await refusal(snapshots.remove('base')), 'FAILED_PRECONDITION', 'it has a child');
  for (const call of [snapshots.remove('none'), snapshots.stat('none'), snapshots.usage('none'), snapshots.update('none', {})])
    t.equal(await refusal(call), 'NOT_FOUND');
  const long = 'k'.repeat(1_000_000);
  t.equal(await refusal(snapshots.stat(long)), 'NOT_FOUND', 'a key of any length can be asked for');
  t.equal(await refusal(snapshots.update('a', {}, [long])), 'INVALID_ARGUMENT');
  t.equal(await refusal(snapshots.list(`${long} `)), 'INVALID_ARGUMENT');
  t.same(await snapshots.keys(), ['a', 'base']);
  await snapshots.remove('a');
  await snapshots.remove('base');
  t.same(await snapshots.keys(), []);
  t.match(await snapshots.prepare('a'), {}, 'a key is free again');
});

testSnapshots('commit: a new time, and other labels instead of the old ones', async (t, snapshots) => {
  await snapshots.prepare('a', '', { old: '1', both: '1' });
  const before = await snapshots.stat('a');
  t.match(before, { name: 'a', parent: '', kind: 'ACTIVE', labels: { old: '1', both: '1' } });
  t.same(before.createdAt, before.updatedAt);
  await snapshots.commit('c', 'a', { both: '2', empty: '' });
  const after = await snapshots.stat('c');
  t.same([after.kind, after.labels], ['COMMITTED', { both: '2' }]);
  t.same(after.createdAt, after.updatedAt);
  const time = ({ createdAt: { seconds, nanos } }: typeof after): number => seconds * 1000 + nanos / 1e6;
  t.ok(time(after) > time(before), `${time(after)}`);
  t.ok(Math.abs(time(after) - Date.now()) < 600_000, 'milliseconds');
  t.equal(await refusal(snapshots.stat('a')), 'NOT_FOUND');
});

testSnapshots('update: labels, all or some, and nothing else', async (t, snapshots) => {
  await snapshots.prepare('a', '', { x: '1', y: '1' });
  t.same((await snapshots.update('a', { x: '2' }, ['labels.x'])).labels, { x: '2', y: '1' });
  t.same((await snapshots.update('a', { 'a.b/c': '3' }, ['labels.a.b/c', 'labels.y'])).labels, { x: '2', 'a.b/c': '3' }, 'no value: gone');
  t.same((await snapshots.update('a', { z: '1' }, ['labels'])).labels, { z: '1' });
  t.same((await snapshots.update('a', { all: '1' })).labels, { all: '1' });
  t.equal(await refusal(snapshots.update('a', { q: '1' }, ['labels.q', 'parent'])), 'INVALID_ARGUMENT');
  t.same((await snapshots.stat('a')).labels, { all: '1' }, 'and then nothing is changed');
  t.same((await snapshots.update('a', {})).labels, {});
  t.same((await snapshots.update('a', {}, ['labels.constructor', 'labels.__proto__'])).labels, {}, 'names that objects have');
});

testSnapshots('list: filters are joined by or, what is in one by and', async (t, snapshots) => {
  await snapshots.layer('base', '', 'true', { 'containerd.io/gc.root': 'yes', colour: 'red' });
  await snapshots.prepare('a1', 'base', { colour: 'blue', 'x.y/z': 'a,b' });
  await snapshots.view('v1', 'base');
  const expected: [filters: string[], keys: string[]][] = [
    [[], ['a1', 'base', 'v1']],
    [['name==a1'], ['a1']],
    [
      ['kind==active', 'kind==view'],
      ['a1', 'v1'],
    ],
    [['parent==base'], ['a1', 'v1']],
    [['parent==base,kind!=view'], ['a1']],
    [['labels.colour'], ['a1', 'base']],
    [['labels."containerd.io/gc.root"'], ['base']],
    [['labels."containerd.io/gc.root"==yes'], ['base']],
    [['labels."x.y/z"=="a,b"'], ['a1']],
    [['labels.colour!=red'], ['a1', 'v1']],
    [['name~=/^[av]1$/'], ['a1', 'v1']],
    [['name~=^b'], ['base']],
    [['labels.colour~=|^(?:red)$|'], ['base']],
    [['name~="(?i)BASE"'], ['base']],
    [['nothing==x'], []],
    [[''], ['a1', 'base', 'v1']],
    [
      ['', 'name==a1'],
      ['a1', 'base', 'v1'],
    ],
    [[' name == a1, kind==active'], ['a1']],
    [['labels.nothing!=x'], ['a1', 'base', 'v1']],
    [['labels.nothing!=""'], []],
    [['labels.nothing==""'], []],
    [['name=="\\x61\\061"'], ['a1']],
    [['name=="\\u0061\\U00000031"'], ['a1']],
    [['name~=/^\\\\w1$/'], ['a1', 'v1']],
    [['labels."x.y/z"~=|^a,\\x62|'], ['a1']],
    [['name~=\\A(?P<letter>a)1\\z'], ['a1']],
    [['name~=/(/'], []],
    [['name~=('], []],
    [['labels.constructor'], []],
  ];
  for (const [filters, keys] of expected) t.same(await snapshots.keys(...filters), keys, filters.join(' or '));
  for (const wrong of [
    'name==',
    'name==a1,',
    '==a',
    'name=a',
    'name===a',
    'name==/a/',
    'name==.a',
    'name==a ',
    'name~=/\\d/',
    'name=~a',
    'name=="a',
    'name=="\\q"',
    'labels.',
  ])
    t.equal(await refusal(snapshots.list(wrong)), 'INVALID_ARGUMENT', wrong);
  t.match((await snapshots.list('name==v1'))[0], { parent: 'base', kind: 'VIEW' });
});

testSnapshots('usage leaves out the parents, and stays what it was at the commit', async (t, snapshots) => {
  await snapshots.layer('base', '', 'dd if=/dev/urandom of=big bs=1M count=4 status=none; mkdir d');
  const base = await snapshots.usage('base');
  t.ok(base.size >= 4 << 20 && base.size < 5 << 20, `${base.size}`);
  t.equal(base.inodes, 3);
  const { source } = await snapshots.prepare('a', 'base');
  t.match(await snapshots.usage('a'), { inodes: 1 });
  fs.writeFileSync(`${source}/small`, 'x');
  const { size, inodes } = await snapshots.usage('a');
  t.ok(size < 1 << 20 && size > 0, `${size}`);
  t.equal(inodes, 2);
  await snapshots.commit('top', 'a');
  t.match(await snapshots.usage('top'), { inodes: 2 });
  t.same(await snapshots.usage('base'), base);
  await snapshots.view('v', 'top');
  t.same(await snapshots.usage('v'), { size: 0, inodes: 0 });
});

testSnapshots("a new snapshot's root has the owner and the mode of its parent's", async (t, snapshots) => {
  await snapshots.layer('base', '', 'chown 1234:5678 .; chmod 1751 .');
  await snapshots.prepare('a', 'base');
  t.equal(await snapshots.inside('a', 'stat -c "%u %g %a" .'), '1234 5678 1751\n');
  await snapshots.commit('top', 'a');
  await snapshots.view('v', 'top');
  t.equal(await snapshots.inside('v', 'stat -c "%u %g %a" .'), '1234 5678 1751\n');
});

testSnapshots('a layer that is here need not be fetched: the label snapshot.ref', async (t, snapshots) => {
  const reference = { 'containerd.io/snapshot.ref': 'sha256:aa' };
  await snapshots.prepare('one/1/extract', '', reference);
  t.equal(await refusal(snapshots.prepare('two/1/extract', '', reference)), 'OK', 'nobody has it yet');
  await snapshots.commit('one/2/sha256:aa', 'one/1/extract', reference);
  t.equal(await refusal(snapshots.prepare('two/3/extract', '', reference)), 'ALREADY_EXISTS');
  t.same(
    await snapshots.keys('labels."containerd.io/snapshot.ref"==sha256:aa,kind==committed'),
    ['one/2/sha256:aa'],
    'containerd finds it',
  );
  t.equal(await refusal(snapshots.prepare('two/4/extract', 'one/2/sha256:aa', reference)), 'OK', 'over another parent it is another');
  t.equal(await refusal(snapshots.prepare('two/5/run', 'one/2/sha256:aa')), 'OK');
});

testSnapshots('what is in use is not committed, and is removed all the same', async (t, snapshots, plyd) => {
  await snapshots.layer('base', '', 'touch one');
  const { source } = await snapshots.prepare('a', 'base');
  const fd = fs.openSync(`${source}/one`, 'r');
  t.equal(await refusal(snapshots.commit('c', 'a')), 'FAILED_PRECONDITION');
  t.match(await snapshots.stat('a'), { kind: 'ACTIVE' });
  await snapshots.remove('a');
  t.same(plyd.mounted(), []);
  fs.closeSync(fd);
  t.same(await snapshots.keys(), ['base']);
});

testSnapshots('directories go with their snapshots, and cleanup takes only halves', async (t, snapshots, plyd) => {
  const directory = path.join(plyd.root, 'snapshots');
  await snapshots.layer('base', '', 'touch one');
  await snapshots.prepare('a', 'base');
  t.same(fs.readdirSync(directory).sort(), ['1', '2']);
  t.same(fs.readdirSync(path.join(directory, '1')).sort(), ['fs', 'merged'], 'a committed one has no work directory');
  await snapshots.remove('a');
  for (const name of ['7.removing', '8.new', '1.removing', '9']) fs.mkdirSync(path.join(directory, name));
  await snapshots.call('cleanup', {});
  t.same(fs.readdirSync(directory).sort(), ['1', '1.removing', '9']);
});

testSnapshots("plyd's own commands live with snapshots", async (t, snapshots, plyd) => {
  await snapshots.layer('base', '', 'echo hello >one');
  const { source } = await snapshots.prepare('a', 'base');
  const [mount] = await plyd.mounts();
  t.match(mount, { mountpoint: source, container: null, state: 'mounted' });
  t.match(await plyd.refused('DELETE', `/v1/mounts/${mount.id}`), { code: 'in-use', message: /snapshot a/ });
  await plyd.must('POST', '/v1/prune?all=true');
  t.equal((await plyd.request('GET', '/v1/df?verbose=true')).status, 200);
  t.notMatch((await plyd.text('POST', '/v1/fsck')).text, /"problem"/);
  t.equal(await snapshots.inside('a', 'cat one'), 'hello\n');
});

testSnapshots('the socket is not for others', async (t, snapshots, plyd) => {
  await snapshots.keys();
  t.equal(fs.statSync(socketOf(plyd)).mode & 0o777, 0o660);
  fs.chmodSync(plyd.base, 0o755);
  fs.chmodSync(socketOf(plyd), 0o666);
  const stranger = `const s = require('net').connect(${JSON.stringify(socketOf(plyd))}); s.on('data', () => process.exit(3)); s.on('close', () => process.exit(0));
    s.on('error', () => process.exit(0)); s.write('PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n');`;
  const { status } = await run('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, '-e', stranger]);
  t.equal(status, 0, 'even if it were open to them: who they are is asked');
  t.match(
    plyd.lines().filter(({ refusal }) => refusal !== undefined),
    [{ refusal: /user 65534/ }],
  );
  await plyd.stop();
  t.notOk(fs.existsSync(socketOf(plyd)), 'and goes with plyd');
  await plyd.start();
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

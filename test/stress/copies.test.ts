/** Whole trees copied out of the lower, into the upper and beside each other, twice at once. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { build, type Entry, type Tree } from '../support/layers.js';
import { leftBehind, removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { difference, manifest } from '../support/trees.js';
import { Random } from '../fuzz/random';
import { randomXattr } from '../fuzz/trees';
import { arena, assertClean, Client, more } from './arena';

const FILES = more(1500, 8);
const LIMIT_MS = 180_000;

/** Files of all sizes in some hundred directories, with hard links, symlinks, holes, xattrs, owners. */
function bigTree(count: number): Tree {
  const random = new Random(count, 31);
  const tree: Tree = {};
  const files: string[] = [];
  for (let i = 0; i < count; i++) {
    const name = `d${random.below(20)}/d${random.below(10)}/f${i}`;
    const attributes = { mode: random.pick([0o644, 0o600, 0o755, 0o4755]), uid: random.below(3) * 500, gid: random.below(3) * 500 };
    const kind = random.weighted({ small: 60, large: 10, sparse: 5, link: 10, symlink: 10, fifo: 5 });
    if (kind === 'link' && files.length > 0) tree[name] = { type: 'h', first: random.pick(files) };
    else if (kind === 'symlink') tree[name] = { type: 'l', target: `f${random.below(count)}` };
    else if (kind === 'fifo') tree[name] = { type: 'p', ...attributes };
    else {
      const made: Entry = { type: 'f', ...attributes, data: 'x'.repeat(random.below(300)) };
      if (kind === 'large') made.segments = [[0, random.below(300_000)]];
      if (kind === 'sparse') Object.assign(made, { segments: [[random.below(1000) * 4096, 5000]], size: 5_000_000 });
      if (random.chance(10)) made.xattrs = Object.fromEntries([randomXattr(random, 'f')]);
      tree[name] = made;
      files.push(name);
    }
  }
  return tree;
}

async function copyTwice(test: Pick<typeof t, 'equal'>, from: string, to: string): Promise<void> {
  const clients = [1, 2].map((number) => Client.start('cp', ['-a', from, `${to}${number}`], LIMIT_MS));
  for (const { status, output } of await Promise.all(clients.map((client) => client.ended))) test.equal(status, 0, output);
}

/** chmod of every file, more in small ones: metadata and data are copied up, through hard links too. */
const CHANGE = `cd "$1" && find . -type f -exec chmod u+x,g-w {} + && find . -type f -size -2k -exec sh -c 'for f; do echo more >>"$f"; done' sh {} +`;

async function all(test: Pick<typeof t, 'equal'>, clients: readonly Client[]): Promise<void> {
  for (const { status, output } of await Promise.all(clients.map((client) => client.ended))) test.equal(status, 0, output);
}

t.test('a tree is copied twice at once, out of the lower and into the upper', async (t) => {
  const host = temporaryDirectory();
  t.teardown(() => removeDirectory(host));
  const lower = path.join(host, 'lower');
  fs.mkdirSync(lower);
  await build(lower, Object.fromEntries(Object.entries(bigTree(FILES)).map(([name, entry]) => [`tree/${name}`, inTree(entry as Entry)])));
  const mounted = await arena(t, [{}, lower]);
  const inMount = (name: string): string => path.join(mounted.mountpoint, name);
  const expected = await manifest(path.join(lower, 'tree'));

  await copyTwice(t, inMount('tree'), inMount('copy'));
  await copyTwice(t, path.join(lower, 'tree'), inMount('from-host'));
  for (const name of ['tree', 'copy1', 'copy2', 'from-host1', 'from-host2']) {
    t.same(difference(expected, await manifest(inMount(name))), [], `${name} is as it should be`);
  }

  // Two are changed in place at once, and compared with what the same does on the host.
  await all(t, [Client.start('cp', ['-a', path.join(lower, 'tree'), path.join(host, 'changed')], LIMIT_MS)]);
  const changed = [inMount('copy1'), inMount('tree'), path.join(host, 'changed')];
  await all(
    t,
    changed.map((root) => Client.start('sh', ['-c', CHANGE, 'sh', root], LIMIT_MS)),
  );
  const like = await manifest(path.join(host, 'changed'));
  for (const name of ['copy1', 'tree']) {
    t.same(difference(like, await manifest(inMount(name)), { ignore: ['mtime'] }), [], `${name} was changed as the host's was`);
  }

  await all(
    t,
    ['copy1', 'copy2', 'tree'].map((name) => Client.start('rm', ['-rf', inMount(name)], LIMIT_MS)),
  );
  await mounted.remount();
  const left = [...(await manifest(mounted.mountpoint, { hash: false })).keys()].filter((name) => !/^(from-host|\.$)/.test(name));
  t.same(left, [], 'what was removed stays removed');
  await assertClean(t, mounted);
});

/** The entry as it stands below tree/. */
function inTree(entry: Entry): Entry {
  return entry.type === 'h' ? { ...entry, first: `tree/${entry.first!}` } : entry;
}

t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

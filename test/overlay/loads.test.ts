/** What loading and listing directories asks of lowers: an overlay in this process, without a kernel, whose calls of native-bindings are counted. */
import { counted, hook } from './counted.js';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { ensureLoaded, unload } from '../../daemon/overlay/directory.js';
import { OverlayMount, setUpMount, tearDownMount } from '../../daemon/overlay/index.js';
import { Mount } from '../../daemon/overlay/mount.js';
import { Inode, LoadState } from '../../daemon/overlay/table/layout.js';
import { Memory } from '../../daemon/overlay/table/memory.js';
import { Table } from '../../daemon/overlay/table/table.js';
import { WorkerContext } from '../../daemon/overlay/worker.js';
import { Forget, Lookup, Readdir, type Reply } from '../../daemon/protocol/operations.js';
import { StatRecord } from '../../native-bindings/index.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { build, dir, file, type Tree } from '../support/layers.js';

const skip = process.geteuid!() !== 0 ? 'needs root' : false;
const O_PATH_DIRECTORY = 0o10000000 | fs.constants.O_DIRECTORY;
const ROOT = 1;

const memory = Memory.create(256);
const context = new WorkerContext(new Table(memory, 0));
const { i32, u8 } = memory;

interface Listed {
  node: number;
  mode: number;
  size: number;
}

class Overlay {
  readonly mount: Mount;
  private readonly index: number;
  private readonly operations: OverlayMount;
  private readonly known: number[] = [];

  private constructor(
    private readonly base: string,
    layers: number,
    share: boolean,
  ) {
    const layerFds = Array.from({ length: layers }, (_, layer) => fs.openSync(this.lower(layer, ''), O_PATH_DIRECTORY));
    const none = { upperFd: -1, workFd: -1, deviceFd: -1, flags: 0, xattrPermissions: 0, atime: 0 } as const;
    this.index = setUpMount(context, { ...none, layerFds, level: 1, share });
    this.mount = new Mount(context, this.index);
    this.operations = new OverlayMount(context, this.index);
  }

  static async of(trees: readonly Tree[], share = false): Promise<Overlay> {
    const base = temporaryDirectory();
    for (const [layer, tree] of trees.entries()) {
      fs.mkdirSync(path.join(base, `l${layer}`));
      await build(path.join(base, `l${layer}`), tree);
    }
    return new Overlay(base, trees.length, share);
  }

  lower(layer: number, name: string): string {
    return path.join(this.base, `l${layer}`, name);
  }

  /** READDIR or READDIRPLUS, from the beginning to the end, so many records in an answer. */
  list(node: number, plus = true, most = 1000): Map<string, Listed> {
    const found = new Map<string, Listed>();
    const op = Object.assign(new Readdir(), { node, plus });
    for (let more = true; more;) {
      more = false;
      let left = most;
      const keep = (record: Listed, low: number, high: number, name: number, length: number): boolean => {
        if (left-- === 0) return false;
        more = true;
        [op.offsetLow, op.offsetHigh] = [low, high];
        const text = Buffer.from(u8.subarray(name, name + length)).toString();
        if (text !== '.' && text !== '..') found.set(text, record);
        if (record.node !== 0) this.known.push(record.node);
        return true;
      };
      const reply: Partial<Reply> = {
        dirent: (_low, _high, low, high, _type, name, length) => keep({ node: 0, mode: 0, size: 0 }, low, high, name, length),
        direntPlus: (child, _generation, _entry, _attr, attr, _low, _high, low, high, _type, name, length) =>
          keep(
            { node: child, mode: attr === 0 ? 0 : i32[(attr + StatRecord.mode) >> 2], size: i32[(attr + StatRecord.size) >> 2] },
            low,
            high,
            name,
            length,
          ),
      };
      const result = this.operations.readdir(op, reply as Reply);
      if (result !== 0) throw new Error(`READDIR: ${result}`);
    }
    return found;
  }

  /** The nodeid; 0: there is none; or a negative errno. */
  lookup(node: number, name: string): number {
    const at = context.scratch.path;
    u8.set(Buffer.from(`${name}\0`), at);
    let found = 0;
    const reply: Partial<Reply> = { entry: (child) => (found = child), negativeEntry: () => undefined };
    const result = this.operations.lookup(Object.assign(new Lookup(), { node, name: at, nameLength: name.length }), reply as Reply);
    if (found !== 0) this.known.push(found);
    return result === 0 ? found : result;
  }

  /** All names, by READDIRPLUS: what the walk of a tree asks for. */
  walk(node = ROOT, at = ''): string[] {
    return [...this.list(node)].flatMap(([name, { node: child, mode }]) =>
      (mode & fs.constants.S_IFMT) === fs.constants.S_IFDIR ? [`${at}${name}/`, ...this.walk(child, `${at}${name}/`)] : [`${at}${name}`],
    );
  }

  forgetAll(): void {
    for (const node of this.known.splice(0)) this.operations.forget(Object.assign(new Forget(), { node, count: 1 }));
  }

  /** The record of what is kept for a listing; 0: nothing. */
  stats(node: number): number {
    return i32[node + Inode.STATS];
  }

  async end(): Promise<void> {
    hook.before = () => undefined;
    this.operations.detach();
    this.mount.detach();
    tearDownMount(context, this.index);
    await removeDirectory(this.base);
  }
}

async function overlay(t: Test, trees: readonly Tree[], share = false): Promise<Overlay> {
  const made = await Overlay.of(trees, share);
  t.teardown(() => made.end());
  return made;
}

const DEEP: Tree[] = [
  { 'a/b/c/top': '1', 'a/own/x': '2', only: '3' },
  { 'a/b/c/middle': '1', 'a/b/m': '2', 'z/y/x': '3' },
  { 'a/b/c/bottom': '1', 'z/y/w': '22', 'z/link': '4' },
];
const WALKED = ['a/', 'a/b/', 'a/b/c/', 'a/b/c/bottom', 'a/b/c/middle', 'a/b/c/top', 'a/b/m', 'a/own/', 'a/own/x'];
const REST = ['only', 'z/', 'z/link', 'z/y/', 'z/y/w', 'z/y/x'];
/** (directory, lower) but the root's: a, a/b, a/b/c in all three; a/own in the first; z, z/y in two. */
const PAIRS = 3 * 3 + 1 + 2 * 2;
const BOTTOM = 5;

t.test('a walk asks each lower of a directory once', { skip }, async (t) => {
  const made = await overlay(t, DEEP);
  let seen: string[] = [];
  const calls = counted(() => (seen = made.walk()));
  t.same(seen.sort(), [...WALKED, ...REST].sort());
  t.equal(calls['lseek'] ?? 0, 0, 'what was opened just now is not rewound');
  t.equal(calls['openDirectory'], PAIRS + 3, 'opened once');
  t.equal(calls['listxattr'], PAIRS - BOTTOM, 'asked once for marks, but in the bottom layer, where they have no meaning');
  t.equal(calls['getxattr'], BOTTOM + 3, 'and there for xattr whiteouts; so are the roots');
  t.equal(calls['stat'], seen.length);
  t.equal(calls['statAll'] ?? 0, 0);
});

t.test('what was loaded ahead is listed without asking again', { skip }, async (t) => {
  const made = await overlay(t, DEEP);
  const ahead = (directory: string): number => {
    const node = directory.split('/').reduce((at, name) => made.lookup(at, name), ROOT);
    return counted(() => ensureLoaded(made.mount, node, true))['statAll'] ?? 0;
  };
  t.equal(ahead('a/b'), 2, 'one call for the names that a lower brings: two have any');
  t.equal(ahead('a/b/c'), 3);
  t.equal(ahead('z'), 2);
  const ab = made.lookup(made.lookup(ROOT, 'a'), 'b');
  for (const node of [ab, made.lookup(ab, 'c'), made.lookup(ROOT, 'z')]) {
    let listed = 0;
    t.same(
      counted(() => (listed = made.list(node).size)),
      {},
    );
    t.ok(listed > 0);
  }
});

t.test('only who loads ahead asks for attributes', { skip }, async (t) => {
  const made = await overlay(t, DEEP);
  const looked = counted(() => t.ok(made.lookup(made.lookup(ROOT, 'a'), 'b') > 0));
  t.match(looked, { stat: 2 });
  t.notOk('statAll' in looked);
  for (const plus of [false, true]) t.notOk('statAll' in counted(() => made.list(made.lookup(ROOT, plus ? 'z' : 'a'), plus)));
});

t.test('what was kept goes at the end of the listing, and with the directory', { skip }, async (t) => {
  const made = await overlay(t, [{ 'd/1': '', 'd/2': '', 'd/3': '' }]);
  const node = made.lookup(ROOT, 'd');
  ensureLoaded(made.mount, node, true);
  t.ok(made.stats(node) > 0);
  const calls = counted(() => t.same([...made.list(node, true, 2).keys()].sort(), ['1', '2', '3'], 'in several answers'));
  t.notOk('stat' in calls);
  t.equal(made.stats(node), 0);
  made.forgetAll();
  const again = made.lookup(ROOT, 'd');
  ensureLoaded(made.mount, again, true);
  t.ok(made.stats(again) > 0);
  const { waiting } = context.table.epochs;
  made.forgetAll();
  t.ok(context.table.epochs.waiting >= waiting + 5, 'its record, three names, and what was kept for them');
});

t.test('what was kept is not believed for long, nor by a lookup', { skip }, async (t) => {
  const made = await overlay(t, [{ 'd/old': '1', 'd/new': '1', 'd/seen': '1' }]);
  const change = (name: string): void => fs.writeFileSync(made.lower(0, `d/${name}`), 'changed');
  const node = made.lookup(ROOT, 'd');
  ensureLoaded(made.mount, node, true);
  change('seen');
  t.equal(i32[made.lookup(node, 'seen') + Inode.SIZE_LOW], 7, 'a lookup asks');
  change('old');
  const { now } = Date;
  t.teardown(() => (Date.now = now));
  Date.now = () => now() + 500;
  t.match(made.list(node, true, 3).get('old'), { size: 1 }, 'a listing that comes soon');
  made.forgetAll();
  const again = made.lookup(ROOT, 'd');
  ensureLoaded(made.mount, again, true);
  change('new');
  Date.now = () => now() + 3000;
  t.match(made.list(again).get('new'), { size: 7 }, 'one that comes late');
});

t.test('an entry that cannot be asked is listed without attributes, and the others with theirs', { skip }, async (t) => {
  const made = await overlay(t, [{ 'd/gone': '1', 'd/here': '22' }]);
  const node = made.lookup(ROOT, 'd');
  hook.before = (name) => name === 'statAll' && fs.rmSync(made.lower(0, 'd/gone'));
  ensureLoaded(made.mount, node, true);
  const listed = made.list(node);
  t.match(listed.get('gone'), { node: 0 });
  t.match(listed.get('here'), { size: 2 });
});

t.test('a directory of very many names is asked name by name', { skip }, async (t) => {
  const many = (count: number): Tree => Object.fromEntries(Array.from({ length: count }, (_, i) => [`d/${i}`, '']));
  for (const [count, kept] of [
    [255, true],
    [256, false],
  ] as const) {
    const made = await overlay(t, [many(count)]);
    const node = made.lookup(ROOT, 'd');
    ensureLoaded(made.mount, node, true);
    t.equal(made.stats(node) > 0, kept, String(count));
    t.equal(made.list(node).size, count);
  }
});

t.test('marks count wherever they were asked for', { skip }, async (t) => {
  const opaque = (value: string, prefix = 'trusted.overlay'): Tree['x'] => dir({ xattrs: { [`${prefix}.opaque`]: value } });
  const hidden = file('', { xattrs: { 'trusted.overlay.whiteout': 'y' } });
  const made = await overlay(t, [
    { top: opaque('x'), 'top/a': hidden, 'plain/1': '' },
    { 'top/a': '', 'top/b': '', middle: opaque('x'), 'middle/a': hidden, 'cut/deep/kept': '', 'cut/deep': opaque('y', 'user.overlay') },
    {
      'middle/a': '',
      'middle/b': '',
      'cut/deep/lost': '',
      'moved/m': '',
      'cut/fuse/kept': '',
      'cut/fuse': opaque('y', 'user.fuseoverlayfs'),
    },
    { bottom: opaque('x'), 'bottom/a': hidden, 'bottom/b': '', 'plain/2': '', 'cut/fuse/lost': '', 'was/there': '' },
  ]);
  const seen = made.walk().filter((name) => !name.endsWith('/'));
  t.same(seen.sort(), ['bottom/b', 'cut/deep/kept', 'cut/fuse/kept', 'middle/b', 'moved/m', 'plain/1', 'plain/2', 'top/b', 'was/there']);
});

t.test('a redirect is followed where the directory was listed with attributes', { skip }, async (t) => {
  const redirect = (to: string): Tree['x'] => dir({ xattrs: { 'trusted.overlay.redirect': to } });
  const made = await overlay(t, [
    { 'p/moved': redirect('/was'), 'p/moved/new': '', 'p/named': redirect('before'), 'p/named/n/top': '' },
    { 'was/deep/old': '', 'p/before/n/old': '', 'p/moved/not': '', 'p/named/not': '' },
    { 'was/deep/older': '' },
  ]);
  const seen = made.walk().filter((name) => name.startsWith('p/') && !name.endsWith('/'));
  t.same(seen.sort(), ['p/before/n/old', 'p/moved/deep/old', 'p/moved/deep/older', 'p/moved/new', 'p/named/n/old', 'p/named/n/top']);
});

t.test('a directory that is read twice through one descriptor is read from its beginning', { skip }, async (t) => {
  const made = await overlay(t, [{ 'd/1': '', 'd/2': '' }]);
  const node = made.lookup(ROOT, 'd');
  ensureLoaded(made.mount, node);
  unload(made.mount, node);
  t.equal(i32[node + Inode.LOAD], LoadState.NOT);
  t.equal(counted(() => ensureLoaded(made.mount, node))['lseek'], 1);
  t.equal(made.list(node).size, 2);
});

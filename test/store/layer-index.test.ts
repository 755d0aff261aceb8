/** A layer's index holds what lstat, readlink, listxattr and the contents say, byte for byte. */
import { createHash } from 'node:crypto';
import Database from 'better-sqlite3';
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Layer } from '../../daemon/api/types.js';
import { addLayer, decodeXattrs, FileType, type IndexRow, LayerIndex, openIndex, Whiteout } from '../../daemon/store/index.js';
import { failure, openCatalog, refusal, temporary } from './support.js';
import { bytes, isRoot, keepTimes, makeDeep, makeNode, setXattr } from './trees.js';

const needsRoot = isRoot ? false : 'needs root';

async function indexOf(t: Test, directory: string): Promise<{ index: LayerIndex; layer: Layer }> {
  const catalog = openCatalog(t);
  const layer = await addLayer(catalog, { path: directory });
  const index = openIndex(catalog, layer);
  t.teardown(() => index.close());
  return { index, layer };
}

/** Every path below the tree, with what lstat says, as bytes. */
function* walk(directory: Buffer, below = Buffer.alloc(0)): Generator<{ path: Buffer; full: Buffer; stat: fs.BigIntStats }> {
  for (const name of fs.readdirSync(directory, { encoding: 'buffer' })) {
    const full = Buffer.concat([directory, bytes('/'), name]);
    const path = below.length === 0 ? name : Buffer.concat([below, bytes('/'), name]);
    const stat = fs.lstatSync(full, { bigint: true });
    yield { path, full, stat };
    if (stat.isDirectory()) yield* walk(full, path);
  }
}

const NANO = 1_000_000_000n;

/** Compares one row with the file; the message names what differs. */
function difference(row: IndexRow, full: Buffer, stat: fs.BigIntStats): string {
  const wrong: string[] = [];
  const same = (what: string, found: unknown, wanted: unknown): void => {
    if (found !== wanted) wrong.push(`${what}: ${String(found)}, not ${String(wanted)}`);
  };
  same('mode', row.mode, Number(stat.mode));
  same('uid', row.uid, Number(stat.uid));
  same('gid', row.gid, Number(stat.gid));
  same('ino', row.ino, stat.ino);
  same('mtime', row.mtime * NANO + BigInt(row.mtimeNsec), stat.mtimeNs);
  same('ctime', row.ctime * NANO + BigInt(row.ctimeNsec), stat.ctimeNs);
  same('size', row.size, stat.isFile() || stat.isSymbolicLink() ? Number(stat.size) : 0);
  same(
    'target',
    row.target?.toString('hex'),
    stat.isSymbolicLink() ? fs.readlinkSync(full, { encoding: 'buffer' }).toString('hex') : undefined,
  );
  same('digest', row.digest?.toString('hex'), stat.isFile() ? createHash('sha256').update(fs.readFileSync(full)).digest('hex') : undefined);
  return wrong.join('; ');
}

function replace(file: string, make: () => void): void {
  fs.unlinkSync(file);
  make();
}

function unlinkTwin(directory: string): void {
  execFileSync('cp', ['-p', join(directory, 'big'), join(directory, 'big3')]);
  fs.renameSync(join(directory, 'big3'), join(directory, 'big2'));
}

function compare(t: Test, index: LayerIndex, directory: string): number {
  let count = 0;
  for (const { path, full, stat } of walk(Buffer.from(directory))) {
    const row = index.find(path);
    const told = row === undefined ? 'is missing' : difference(row, full, stat);
    if (told !== '') t.fail(`${path.toString('latin1')}: ${told}`);
    count++;
  }
  t.equal(difference(index.root(), Buffer.from(directory), fs.lstatSync(directory, { bigint: true })), '');
  return count;
}

/** Names and contents that are easily got wrong. */
function oddTree(directory: string): void {
  const odd = ['\xff\xfe', 'a\nb', 'sp ace', 'x'.repeat(255), '\xe4'.repeat(255), '-rf', '%00', "quo'te", '..a', '\x01', 'ä', 'empty'];
  fs.mkdirSync(join(directory, 'odd'));
  for (const name of odd) fs.writeFileSync(Buffer.concat([Buffer.from(`${directory}/odd/`), bytes(name)]), name === 'empty' ? '' : name);
  fs.mkdirSync(Buffer.concat([Buffer.from(`${directory}/`), bytes('d\xff')]));
  fs.writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), bytes('d\xff/inside')]), 'x');
  fs.symlinkSync(bytes('to \xff nowhere'), join(directory, 'dangling'));
  fs.symlinkSync('/etc', join(directory, 'out'));
  fs.symlinkSync('.', join(directory, 'circle'));
  fs.symlinkSync('y'.repeat(4000), join(directory, 'long-link'));
  fs.writeFileSync(join(directory, 'big'), Buffer.alloc(3_000_001, 'plyfs'));
  fs.writeFileSync(join(directory, 'setuid'), 'x', { mode: 0o755 });
  fs.chmodSync(join(directory, 'setuid'), 0o6751);
  fs.mkdirSync(join(directory, 'sticky'));
  fs.chmodSync(join(directory, 'sticky'), 0o1777);
  fs.writeFileSync(join(directory, 'old'), 'x');
  fs.utimesSync(join(directory, 'old'), 0, -1234.5);
  fs.mkdirSync(join(directory, 'void'));
  makeNode(directory, 'pipe', FileType.FIFO | 0o600);
  makeNode(directory, 'socket', FileType.SOCKET | 0o600);
}

t.test('everything that lstat shows', async (t) => {
  const directory = temporary(t);
  oddTree(directory);
  const { index, layer } = await indexOf(t, directory);
  const count = compare(t, index, directory);
  t.equal(layer.entries, count);
  t.same(index.facts(), { entries: layer.entries, files: layer.files, size: layer.size, treeDigest: layer.treeDigest });
  t.equal(index.find(bytes('out/passwd')), undefined, 'no symlink was followed');
  t.ok(index.find(bytes('d\xff/inside')));
  t.equal(index.find(bytes('d\xfe/inside')), undefined);
  const names = index.children(index.find(bytes('odd'))!.id).map((row) => row.name);
  t.same(
    names,
    [...names].sort((a, b) => Buffer.compare(a, b)),
  );
});

t.test('ids follow the tree breadth first, by the bytes of the names', async (t) => {
  const directory = temporary(t);
  for (const path of ['b/x', 'a/y/z', 'B']) fs.mkdirSync(join(directory, path), { recursive: true });
  const { index } = await indexOf(t, directory);
  t.same(
    [...index.rows()].map(({ id, parent, name }) => [id, parent, name.toString()]),
    [
      [1, 0, ''],
      [2, 1, 'B'],
      [3, 1, 'a'],
      [4, 1, 'b'],
      [5, 3, 'y'],
      [6, 4, 'x'],
      [7, 5, 'z'],
    ],
  );
});

t.test('hard links: one group per inode that has several names here', async (t) => {
  const directory = temporary(t);
  const tree = join(directory, 'tree');
  fs.mkdirSync(join(tree, 'sub'), { recursive: true });
  fs.writeFileSync(join(tree, 'a'), 'same');
  fs.linkSync(join(tree, 'a'), join(tree, 'sub/b'));
  fs.linkSync(join(tree, 'a'), join(tree, 'c'));
  fs.symlinkSync('x', join(tree, 'link'));
  fs.linkSync(join(tree, 'link'), join(tree, 'link2'));
  fs.writeFileSync(join(tree, 'alone'), 'other');
  fs.linkSync(join(tree, 'alone'), join(directory, 'outside'));
  const { index, layer } = await indexOf(t, tree);
  const group = (path: string): number => index.find(bytes(path))!.hardlink;
  t.equal(group('a'), index.find(bytes('a'))!.id);
  t.same([group('c'), group('sub/b')], [group('a'), group('a')]);
  t.not(group('link'), 0);
  t.equal(group('link'), group('link2'));
  t.equal(group('alone'), 0, 'its other name is outside');
  t.match(layer, { files: 4, size: 9, entries: 7 }, 'each inode is counted once');
  t.ok(index.find(bytes('c'))!.digest!.equals(index.find(bytes('a'))!.digest!));
});

t.test('devices, whiteouts and opaque directories in every dialect', { skip: needsRoot }, async (t) => {
  const tree = temporary(t);
  for (const name of ['opaque', 'opaque-fuse', 'opaque-user', 'opaque-marker', 'xattr', 'plain']) fs.mkdirSync(join(tree, name));
  setXattr(tree, 'opaque', 'trusted.overlay.opaque', 'y');
  setXattr(tree, 'opaque-fuse', 'user.fuseoverlayfs.opaque', 'y');
  setXattr(tree, 'opaque-user', 'user.overlay.opaque', 'y');
  fs.writeFileSync(join(tree, 'opaque-marker/.wh..wh..opq'), '');
  setXattr(tree, 'xattr', 'trusted.overlay.opaque', 'x');
  for (const directory of ['xattr', 'plain']) {
    for (const [name, content] of [
      ['gone', ''],
      ['full', 'x'],
    ] as const) {
      fs.writeFileSync(join(tree, directory, name), content);
      setXattr(join(tree, directory), name, 'trusted.overlay.whiteout', '');
    }
  }
  makeNode(tree, 'deleted', FileType.CHARACTER, 0);
  makeNode(tree, 'null', FileType.CHARACTER | 0o666, (1 << 8) | 3);
  makeNode(tree, 'disk', FileType.BLOCK | 0o660, (259 << 8) | 5);
  fs.writeFileSync(join(tree, '.wh.name'), '');
  const { index } = await indexOf(t, tree);
  const row = (path: string): IndexRow => index.find(bytes(path))!;
  for (const name of ['opaque', 'opaque-fuse', 'opaque-user', 'opaque-marker']) t.equal(row(name).opaque, true, name);
  for (const name of ['xattr', 'plain']) t.equal(row(name).opaque, false, name);
  const whiteouts = new Map(
    [...index.rows()].filter((each) => each.whiteout !== Whiteout.NONE).map((each) => [each.name.toString(), each.whiteout]),
  );
  t.same(Object.fromEntries(whiteouts), {
    deleted: Whiteout.OWN_NAME,
    '.wh.name': Whiteout.MARKER,
    '.wh..wh..opq': Whiteout.MARKER,
    gone: Whiteout.OWN_NAME,
  });
  t.equal(row('xattr/gone').whiteout, Whiteout.OWN_NAME);
  t.equal(row('plain/gone').whiteout, Whiteout.NONE, 'the directory does not say that it holds such');
  t.same([row('null').rdev, row('disk').rdev, row('deleted').rdev], [0x103, (259 << 8) | 5, 0]);
});

t.test('xattrs: as bytes, of every kind of file', { skip: needsRoot }, async (t) => {
  const tree = temporary(t);
  fs.writeFileSync(join(tree, 'file'), 'x');
  fs.mkdirSync(join(tree, 'directory'));
  fs.symlinkSync('file', join(tree, 'link'));
  fs.writeFileSync(join(tree, 'none'), 'x');
  const value = Buffer.from([0, 255, 10, 0, 1]);
  setXattr(tree, 'file', 'user.b', value);
  setXattr(tree, 'file', 'user.a', '');
  setXattr(tree, 'file', 'user.\xff\xfe', 'odd');
  setXattr(tree, 'directory', 'trusted.big', Buffer.alloc(3000, 'z'));
  setXattr(tree, 'link', 'trusted.of-the-link', 'yes');
  const { index } = await indexOf(t, tree);
  const of = (path: string): unknown =>
    decodeXattrs(index.find(bytes(path))!.xattrs).map(({ name, value }) => [name.toString('latin1'), value.toString('latin1')]);
  t.same(of('file'), [
    ['user.a', ''],
    ['user.b', value.toString('latin1')],
    ['user.\xff\xfe', 'odd'],
  ]);
  t.same(of('directory'), [['trusted.big', 'z'.repeat(3000)]]);
  t.same(of('link'), [['trusted.of-the-link', 'yes']]);
  t.equal(index.find(bytes('none'))!.xattrs, null);
});

t.test('deeper than PATH_MAX, and wide', { timeout: 120_000 }, async (t) => {
  const tree = temporary(t);
  makeDeep(tree, 'n'.repeat(200), 300);
  fs.mkdirSync(join(tree, 'wide'));
  for (let i = 0; i < 3000; i++) fs.writeFileSync(join(tree, 'wide', `file-${i}-${'w'.repeat(i % 200)}`), String(i));
  const { index, layer } = await indexOf(t, tree);
  t.equal(layer.entries, 300 + 1 + 1 + 3000);
  t.ok(index.find(bytes(`${`${'n'.repeat(200)}/`.repeat(300)}leaf`)));
  t.equal(index.children(index.find(bytes('wide'))!.id).length, 3000);
  execFileSync('rm', ['-rf', tree]);
});

t.test('an empty tree', async (t) => {
  const { index, layer } = await indexOf(t, temporary(t));
  t.match(layer, { entries: 0, files: 0, size: 0 });
  t.same(index.children(1), []);
});

t.test('a copy has the same digest; whatever a reader could see changes it', { skip: needsRoot }, async (t) => {
  const base = temporary(t);
  const tree = join(base, 'tree');
  fs.mkdirSync(tree);
  oddTree(tree);
  fs.linkSync(join(tree, 'big'), join(tree, 'big2'));
  setXattr(tree, 'old', 'user.a', '1');
  const catalog = openCatalog(t);
  const digests = new Map<string, string>();
  const digestOf = async (what: string, directory: string): Promise<string> => {
    const { treeDigest } = await addLayer(catalog, { path: directory });
    const twin = digests.get(treeDigest);
    if (twin !== undefined) t.fail(`${what} has the digest of ${twin}`);
    return treeDigest;
  };
  const wanted = await digestOf('the tree', tree);
  digests.set(wanted, 'the tree');
  const copy = (name: string): string => {
    execFileSync('cp', ['-a', tree, join(base, name)]);
    return join(base, name);
  };
  t.equal((await addLayer(catalog, { path: copy('copy') })).treeDigest, wanted);
  const noted = copy('noted');
  setXattr(noted, 'void', 'trusted.overlay.origin', Buffer.from([0, 1, 2]));
  t.equal((await addLayer(catalog, { path: noted })).treeDigest, wanted, 'where an overlay took it from is no part of it');
  const changes: Record<string, (directory: string) => void> = {
    content: (directory) => keepTimes(directory, 'old', (file) => fs.writeFileSync(file, 'y')),
    mode: (directory) => fs.chmodSync(join(directory, 'old'), 0o600),
    'mode of the root': (directory) => fs.chmodSync(directory, 0o711),
    owner: (directory) => fs.chownSync(join(directory, 'old'), 1, 0),
    group: (directory) => fs.lchownSync(join(directory, 'dangling'), 0, 7),
    mtime: (directory) => fs.utimesSync(join(directory, 'old'), 0, -1234.25),
    'link target': (directory) => keepTimes(directory, 'circle', (file) => replace(file, () => fs.symlinkSync('/', file))),
    xattr: (directory) => setXattr(directory, 'old', 'user.a', '2'),
    'an xattr more': (directory) => setXattr(directory, 'big', 'user.c', '1'),
    name: (directory) => keepTimes(directory, '', () => fs.renameSync(join(directory, 'void'), join(directory, 'voie'))),
    'a link made a copy': (directory) => keepTimes(directory, '', () => unlinkTwin(directory)),
    type: (directory) => keepTimes(directory, 'pipe', (file) => replace(file, () => makeNode(directory, 'pipe', FileType.SOCKET | 0o600))),
    'an entry more': (directory) => keepTimes(directory, '', () => fs.writeFileSync(join(directory, 'more'), '')),
  };
  for (const [what, change] of Object.entries(changes)) {
    const changed = copy(what.replaceAll(' ', '-'));
    change(changed);
    digests.set(await digestOf(what, changed), what);
  }
  t.equal(digests.size, Object.keys(changes).length + 1);
});

t.test('the finished file is a database that needs no log, owned by nobody else', async (t) => {
  const tree = temporary(t);
  fs.writeFileSync(join(tree, 'a'), 'x');
  const catalog = openCatalog(t);
  const layer = await addLayer(catalog, { path: tree });
  const directory = catalog.layerDirectory(layer.id);
  t.same(fs.readdirSync(directory), ['index.db']);
  const db = new Database(join(directory, 'index.db'), { readonly: true });
  t.equal(db.pragma('journal_mode', { simple: true }), 'delete');
  t.equal(db.pragma('integrity_check', { simple: true }), 'ok');
  db.close();
  openIndex(catalog, layer).close();
  t.same(fs.readdirSync(directory), ['index.db'], 'readers leave nothing beside it');
  t.match(await failure(() => LayerIndex.open(join(catalog.root, 'ply.db'))), /another program.*ply layer add/, 'a catalog is no index');
});

t.test('what cannot be a layer', async (t) => {
  const directory = temporary(t);
  const catalog = openCatalog(t);
  fs.writeFileSync(join(directory, 'file'), 'x');
  fs.mkdirSync(join(directory, 'tree'));
  fs.symlinkSync('tree', join(directory, 'link'));
  const refused = async (path: string, name?: string): Promise<unknown> => {
    const error: unknown = await addLayer(catalog, name === undefined ? { path } : { path, name }).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    return refusal(() => {
      throw error as Error;
    });
  };
  t.match(await refused('relative'), { code: 'bad-request', message: /not absolute/ });
  t.match(await refused(''), { code: 'bad-request', message: /not absolute/ });
  t.match(await refused('/a\0b'), { code: 'bad-request', message: /NUL/ });
  t.match(await refused(join(directory, 'missing')), { code: 'bad-request', message: /there is no .*missing/ });
  t.match(await refused(join(directory, 'file')), { code: 'bad-request', message: /not a directory/ });
  t.match(await refused(join(directory, 'tree'), 'bad name'), { code: 'bad-request' });
  const layer = await addLayer(catalog, { path: join(directory, 'link'), name: 'good' });
  t.equal(layer.path, join(directory, 'tree'), 'the path without symlinks');
  t.match(await refused(join(directory, 'tree/.')), { code: 'conflict', message: /already the layer good/ });
  fs.mkdirSync(join(directory, 'tree2'));
  t.match(await refused(join(directory, 'tree2'), 'good'), { code: 'conflict' });
  t.same(fs.readdirSync(join(catalog.root, 'layers')), [layer.id], 'and nothing is left of them');
});

/** An imported layer answers what the directory answers that it was made of; where it must not, it says what its index says. */
import fs from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import t from 'tap';
import { O, O_DIRECTORY } from '../../daemon/layers/disk.js';
import { ImportedLower, OBJECT_PATH_BYTES } from '../../daemon/layers/imported.js';
import { DirectoryLower, DirentMark, FIRST_ROW, type Lower } from '../../daemon/layers/lower.js';
import { DirentRecord, StatRecord } from '../../daemon/layers/records.js';
import { onTrouble } from '../../daemon/layers/trouble.js';
import { Errno } from '../../daemon/errno.js';
import { Memory } from '../../daemon/overlay/table/memory.js';
import { importDirectory } from '../support/imported.js';
import { build, device, dir, fifo, file, hard, opaque, symlink, whiteout } from '../support/layers.js';
import { leftBehind, removeDirectory, temporaryDirectory } from '../support/leaks.js';

const TREE = {
  'a/b/file': file('content', {
    mode: 0o4751,
    uid: 1000,
    gid: 70000,
    mtime: '1600000000.123456789',
    xattrs: { 'user.one': '1', 'user.two': 'zwei' },
  }),
  'a/b/again': file('content', { mtime: '-5.000000007' }),
  'a/first': 'linked',
  'a/second': hard('a/first'),
  'a/link': symlink('b/file', { uid: 3 }),
  'a/fifo': fifo({ mode: 0o600 }),
  'a/dev': device('c', '1:259', { mode: 0o640 }),
  'a/gone': whiteout(),
  [`a/${'n'.repeat(255)}`]: 'long',
  'a/\\xff\\x0a': 'bytes',
  'a/empty': '',
  ...Object.fromEntries(Array.from({ length: 2500 }, (_, i) => [`many/${i}`, ''])),
  closed: opaque(),
};

const FIELDS = {
  mode: StatRecord.mode,
  uid: StatRecord.uid,
  gid: StatRecord.gid,
  rdev: StatRecord.rdev,
  mtime: StatRecord.mtime,
  mtimensec: StatRecord.mtimensec,
};

class Stage {
  readonly memory = Memory.create(64);
  readonly base = temporaryDirectory();
  private at = this.memory.takePages(8);
  readonly stat = this.take(StatRecord.SIZE);
  readonly value = this.take(65536);
  readonly object = this.take(OBJECT_PATH_BYTES);
  private readonly texts = this.take(65536);
  private text = 0;
  readonly troubles: string[] = [];
  id = '';

  private take(bytes: number): number {
    this.at += 64 + Math.ceil(bytes / 64) * 64;
    return this.at - Math.ceil(bytes / 64) * 64;
  }

  /** NUL-terminated, in the arena. */
  put(bytes: string): number {
    const at = this.texts + (this.text++ % 8) * 8192;
    const length = Buffer.from(this.memory.buffer, at, 8191).write(bytes, 'latin1');
    this.memory.u8[at + length] = 0;
    return at;
  }

  imported(id = this.id): ImportedLower {
    const [directory, objects] = [path.join(this.base, 'store/layers', id), path.join(this.base, 'store/objects')].map((name) =>
      fs.openSync(name, O.PATH | O_DIRECTORY),
    );
    return new ImportedLower(directory, id.slice(0, 32), this.memory, { objects, path: this.object, prefix: 'trusted.overlay.' });
  }

  directory(name: string): Lower {
    return new DirectoryLower(fs.openSync(path.join(this.base, name), O.PATH | O_DIRECTORY), this.memory.u8);
  }

  /** All that is said of a file but its inode number, and what the index does not have. */
  told(lower: Lower, handle: number, name: string): Record<string, unknown> {
    const failed = lower.stat(handle, this.put(name), this.stat);
    if (failed < 0) return { error: failed };
    const { u32 } = this.memory;
    const word = (at: number): number => u32[(this.stat + at) >> 2];
    const isDirectory = (word(StatRecord.mode) & 0o170000) === 0o040000;
    const told: Record<string, unknown> = {};
    for (const [field, at] of Object.entries(FIELDS)) told[field] = word(at);
    if (!isDirectory) Object.assign(told, { size: word(StatRecord.size), nlink: word(StatRecord.nlink) });
    if ((word(StatRecord.mode) & 0o170000) === 0o120000) told.link = this.bytes(lower.readlinkat(handle, this.put(name), this.value, 4096));
    const list = lower.listxattr(handle, this.put(name), this.value, 65536);
    const xattrs = String(this.bytes(list))
      .split('\0')
      .filter((one) => one.startsWith('user.'))
      .sort();
    told.xattrs = xattrs.map((one) => [one, this.bytes(lower.getxattr(handle, this.put(name), this.put(one), this.value, 65536))]);
    return told;
  }

  bytes(length: number): string | number {
    return length < 0 ? length : Buffer.from(this.memory.buffer, this.value, length).toString('latin1');
  }

  /** The names of a directory, with type and marks. */
  list(lower: Lower, handle: number, capacity = 65536): { name: string; type: number; marks: number }[] {
    const { u8, u32 } = this.memory;
    const fd = lower.openat(handle, this.put('.'), O.RDONLY | O_DIRECTORY, 0);
    const found: { name: string; type: number; marks: number }[] = [];
    for (let bytes; (bytes = lower.readDirents(fd, 0, this.value, capacity)) > 0;) {
      for (let at = this.value; at < this.value + bytes; at += u32[at >> 2]) {
        const length = u8[at + DirentRecord.nameLength] | (u8[at + DirentRecord.nameLength + 1] << 8);
        const name = Buffer.from(this.memory.buffer, at + DirentRecord.name, length).toString('latin1');
        found.push({ name, type: u8[at + DirentRecord.type], marks: u8[at + DirentRecord.hasStat] });
      }
    }
    lower.close(fd);
    return found.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  read(lower: Lower, handle: number, name: string): string | number {
    const fd = lower.openat(handle, this.put(name), O.RDONLY, 0);
    if (fd < 0) return fd;
    const text = fs.readFileSync(fd, 'latin1');
    fs.closeSync(fd);
    return text;
  }
}

const open = (stage: Stage, lower: Lower, name: string): number => lower.openDirectory(stage.put(name), name.length, 0);

t.test('an imported layer', { skip: process.geteuid!() !== 0 ? 'needs root' : false }, async (t) => {
  const stage = new Stage();
  onTrouble((what) => stage.troubles.push(what));
  t.teardown(() => removeDirectory(stage.base));
  fs.mkdirSync(path.join(stage.base, 'tree'));
  await build(path.join(stage.base, 'tree'), TREE);
  stage.id = await importDirectory(path.join(stage.base, 'store'), path.join(stage.base, 'tree'));
  const [imported, directory] = [stage.imported(), stage.directory('tree')];

  t.test('says of each file what its directory says', (t) => {
    for (const parent of ['', 'a', 'a/b', 'closed', 'many']) {
      const [here, there] = [open(stage, imported, parent), open(stage, directory, parent)];
      t.ok(here >= FIRST_ROW, 'a handle is a row');
      const names = stage.list(directory, there);
      t.same(
        stage.list(imported, here).map(({ name, type }) => [name, type]),
        names.map(({ name, type }) => [name, type]),
        `the names in ${parent}/`,
      );
      t.same(stage.list(imported, here, 640), stage.list(imported, here), 'in small pieces, too');
      for (const { name, type } of [...names, { name: '', type: 4 }]) {
        if (name === 'gone') continue;
        t.same(stage.told(imported, here, name), stage.told(directory, there, name), `${parent}/${name}`);
        if (type === 8) t.equal(stage.read(imported, here, name), stage.read(directory, there, name));
      }
    }
    t.end();
  });

  t.test('has inode numbers of its rows, one for all names of a file', (t) => {
    const inode = (name: string): number => {
      imported.stat(open(stage, imported, path.dirname(name)), stage.put(path.basename(name)), stage.stat);
      return stage.memory.u32[stage.stat >> 2];
    };
    t.equal(inode('a/first'), inode('a/second'));
    t.not(inode('a/b/file'), inode('a/b/again'), 'the same content is two files');
    const handle = (name: string): string => {
      const length = imported.fileHandle(open(stage, imported, 'a'), stage.put(name), stage.value, 128, stage.stat);
      return String(stage.bytes(length));
    };
    t.equal(handle('first'), handle('second'));
    t.not(handle('first'), handle('empty'));
    t.end();
  });

  t.test('tells in a listing what hides', (t) => {
    const marks = (parent: string, name: string): number =>
      stage.list(imported, open(stage, imported, parent)).find((one) => one.name === name)!.marks;
    t.equal(marks('', 'closed') & DirentMark.OPAQUE, DirentMark.OPAQUE);
    t.equal(marks('', 'a') & DirentMark.OPAQUE, 0);
    t.match(stage.told(imported, open(stage, imported, 'a'), 'gone'), { mode: 0o020000, rdev: 0 }, 'a whiteout is char 0/0');
    const mark = imported.getxattr(imported.root, stage.put('closed'), stage.put('trusted.overlay.opaque'), stage.value, 16);
    t.equal(stage.bytes(mark), 'y');
    const other = imported.getxattr(imported.root, stage.put('closed'), stage.put('trusted.overlay.redirect'), stage.value, 16);
    t.equal(other, -Errno.ENODATA);
    t.end();
  });

  t.test('finds by path, and follows no symlink', (t) => {
    for (const [name, result] of [
      ['a/nothing', -Errno.ENOENT],
      ['a/b/file/x', -Errno.ENOTDIR],
      ['a/link', -Errno.ELOOP],
      ['a/link/x', -Errno.ELOOP],
    ] as const) {
      t.equal(imported.openBeneath(stage.put(name)), result, name);
      t.equal(directory.openBeneath(stage.put(name)), result, `${name}, as a directory has it`);
    }
    t.equal(open(stage, imported, 'a/b/file'), -Errno.ENOTDIR);
    t.equal(open(stage, imported, ''), imported.root);
    t.equal(imported.enter(open(stage, imported, 'a'), stage.put('b')), open(stage, imported, 'a/b'));
    t.equal(imported.getxattr(open(stage, imported, 'a/b'), stage.put('file'), stage.put('user.two'), stage.value, 2), -Errno.ERANGE);
    t.equal(imported.getxattr(open(stage, imported, 'a/b'), stage.put('file'), stage.put('user.two'), stage.value, 0), 4);
    t.end();
  });

  t.test('does not believe the marks that a tar brings', async (t) => {
    fs.mkdirSync(path.join(stage.base, 'marked'));
    await build(path.join(stage.base, 'marked'), { d: dir({ xattrs: { 'trusted.overlay.redirect': '/etc', 'user.kept': 'x' } }) });
    const marked = stage.imported(await importDirectory(path.join(stage.base, 'store'), path.join(stage.base, 'marked')));
    const asked = (name: string): number => marked.getxattr(marked.root, stage.put('d'), stage.put(name), stage.value, 64);
    t.equal(asked('trusted.overlay.redirect'), -Errno.ENODATA);
    t.equal(asked('user.kept'), 1);
    marked.detach();
  });

  t.test('without its object a file is EIO, and named once', (t) => {
    const objects = path.join(stage.base, 'store/objects');
    fs.renameSync(objects, `${objects}.away`);
    fs.mkdirSync(objects);
    const other = stage.imported();
    for (let i = 0; i < 2; i++) t.equal(stage.read(other, open(stage, other, 'a'), 'first'), -Errno.EIO);
    t.equal(stage.troubles.length, 1);
    t.match(stage.troubles[0], new RegExp(`layer ${stage.id.slice(0, 12)}: /a/first .*sha256:[0-9a-f]{64}`));
    fs.rmdirSync(objects);
    fs.renameSync(`${objects}.away`, objects);
    other.detach();
    t.end();
  });

  t.test('a name that no file can have is EIO for its directory', (t) => {
    imported.detach();
    const db = new Database(path.join(stage.base, 'store/layers', stage.id, 'index.db'));
    db.prepare("UPDATE entries SET name = ? WHERE name = CAST('empty' AS BLOB)").run(Buffer.from('x/../y'));
    db.close();
    const other = stage.imported();
    const fd = other.openat(open(stage, other, 'a'), stage.put('.'), O_DIRECTORY);
    t.equal(other.readDirents(fd, 0, stage.value, 65536), -Errno.EIO);
    other.detach();
    t.end();
  });

  t.test('a missing index is EIO', (t) => {
    fs.rmSync(path.join(stage.base, 'store/layers', stage.id, 'index.db'));
    const other = stage.imported();
    t.equal(other.stat(other.root, stage.put(''), stage.stat), -Errno.EIO);
    t.match(stage.troubles.at(-1), /its index cannot be read: .*index\.db is missing/);
    t.end();
  });
});

t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

/** What a layer's tar means, and what it must not be. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { decodeXattrs, FileType, Whiteout } from '../../daemon/store/index.js';
import { readFraming } from '../../daemon/store/framing.js';
import { gzip, header, type Member, memberBytes, paxRecord, rowsOf, sha256, Store, tar } from './tars.js';

const X = (size: number): string => 'x'.repeat(size);

t.test('rows: types, attributes, contents', async (t) => {
  const store = new Store(t);
  const rows = await store.tree(
    t,
    tar(
      { name: './', mode: 0o711, uid: 7, gid: 8 },
      { name: './bin/', mode: 0o2755 },
      { name: './bin/su', content: 'suid', mode: 0o4755, uid: 1, gid: 2, mtime: 12345 },
      { name: '/absolute', content: 'at the root' },
      { name: 'link', type: '2', link: '../../etc/passwd' },
      { name: 'dev/null', type: '3', device: [1, 3], mode: 0o666 },
      { name: 'dev/sda', type: '4', device: [8, 0x12345] },
      { name: 'dev/zero', type: '3', device: [0, 0] },
      { name: 'pipe', type: '6' },
      { name: 'empty' },
      {
        name: 'short',
        content: 'pax',
        pax: {
          path: `${X(200)}/${X(255)}`,
          mtime: '-1.5',
          uid: '4000000000',
          'SCHILY.xattr.user.a': Buffer.from([0, 10, 255]),
          'LIBARCHIVE.xattr.user.b%20c': 'eA==',
          'SCHILY.xattr.trusted.overlay.opaque': 'y',
        },
      },
    ),
  );
  const { ...root } = rows.get('/')!;
  t.match(root, { id: 1, mode: FileType.DIRECTORY | 0o711, uid: 7, gid: 8, implicit: false });
  t.match(rows.get('/bin'), { mode: FileType.DIRECTORY | 0o2755, opaque: false });
  t.match(rows.get('/bin/su'), {
    mode: FileType.REGULAR | 0o4755,
    uid: 1,
    gid: 2,
    mtime: 12345n,
    mtimeNsec: 0,
    size: 4,
    ino: 0n,
    ctime: 0n,
  });
  t.equal(rows.get('/bin/su')!.digest!.toString('hex'), sha256('suid'));
  t.match(rows.get('/absolute'), { size: 11 });
  t.equal(rows.get('/link')!.target!.toString(), '../../etc/passwd');
  t.match(rows.get('/link'), { size: 16 });
  t.match(rows.get('/dev'), { implicit: true, mode: FileType.DIRECTORY | 0o755, uid: 0, mtime: 0n });
  t.match(rows.get('/dev/null'), { mode: FileType.CHARACTER | 0o666, rdev: 0x103 });
  t.match(rows.get('/dev/sda'), { mode: FileType.BLOCK | 0o644, rdev: (0x45 | (8 << 8) | (0x12300 << 12)) >>> 0 });
  t.match(rows.get('/dev/zero'), { whiteout: Whiteout.NONE }, 'a device is a device');
  t.match(rows.get('/pipe'), { mode: FileType.FIFO | 0o644 });
  t.equal(rows.get('/empty')!.digest!.toString('hex'), sha256(''));
  const long = rows.get(`/${X(200)}/${X(255)}`)!;
  t.match(long, { mtime: -2n, mtimeNsec: 500_000_000, uid: 4_000_000_000, size: 3 });
  t.same(
    decodeXattrs(long.xattrs).map(({ name, value }) => [name.toString(), [...value]]),
    [
      ['user.a', [0, 10, 255]],
      ['user.b c', [0x78]],
    ],
    'an overlay’s own marks are nobody else’s to set',
  );
});

t.test('an entry replaces what was there; a directory only changes', async (t) => {
  const store = new Store(t);
  const rows = await store.tree(
    t,
    tar(
      ...[{ name: 'f', content: 'one' }, { name: 'f', content: 'two!' }, { name: 'd/' }, { name: 'd/kept' }, { name: 'd/', mode: 0o700 }],
      ...[{ name: 'gone/' }, { name: 'gone/deep/file' }, { name: 'gone', content: 'now a file' }],
      ...[{ name: 'was-file' }, { name: 'was-file/' }, { name: 'was-file/in' }],
    ),
  );
  t.match(rows.get('/f'), { size: 4 });
  t.match(rows.get('/d'), { mode: FileType.DIRECTORY | 0o700 });
  t.ok(rows.has('/d/kept'));
  t.match(rows.get('/gone'), { size: 10 });
  t.notOk(rows.has('/gone/deep'));
  t.match(rows.get('/was-file'), { opaque: true }, 'the file would have hidden what is below');
  t.equal(rows.size, 7);
});

t.test('whiteouts are normalised, wherever they stand', async (t) => {
  const store = new Store(t);
  const rows = await store.tree(
    t,
    tar(
      ...[
        { name: 'a/.wh.gone' },
        { name: 'a/.wh.gone' },
        { name: 'b/.wh..wh..opq' },
        { name: 'b/file' },
        { name: 'c/file' },
        { name: 'c/.wh..wh..opq' },
      ],
      ...[{ name: '.wh.again' }, { name: 'again/' }, { name: 'first/' }, { name: '.wh.first' }, { name: 'stays' }, { name: '.wh.stays' }],
      ...[
        { name: '.wh.below' },
        { name: 'below/file' },
        { name: '.wh..wh.plnk/' },
        { name: '.wh..wh.plnk/1.2', content: 'x' },
        { name: '.wh..wh.aufs' },
      ],
    ),
  );
  t.match(rows.get('/a/gone'), { whiteout: Whiteout.OWN_NAME, mode: FileType.CHARACTER, rdev: 0, size: 0, digest: null });
  for (const name of ['/b', '/c', '/again', '/first', '/below']) t.match(rows.get(name), { opaque: true, whiteout: Whiteout.NONE }, name);
  t.match(rows.get('/stays'), { whiteout: Whiteout.NONE, mode: FileType.REGULAR | 0o644 });
  t.match(rows.get('/below'), { implicit: true });
  t.notOk([...rows.keys()].some((path) => path.includes('.wh.')));
});

t.test('hard links: groups, first names by number, replaced members', async (t) => {
  const store = new Store(t);
  const rows = await store.tree(
    t,
    tar(
      ...[
        { name: 'z', content: 'body' },
        { name: 'a', type: '1', link: 'z' },
        { name: 'd/b', type: '1', link: './a' },
        { name: 'c', type: '1', link: '/z' },
      ],
      ...[
        { name: 'one', content: 'x' },
        { name: 'two', type: '1', link: 'one' },
        { name: 'one', content: 'other' },
      ],
      ...[
        { name: 's', type: '2', link: 'z' },
        { name: 's2', type: '1', link: 's' },
      ],
    ),
  );
  const first = rows.get('/a')!;
  for (const name of ['/z', '/a', '/d/b', '/c'])
    t.match(rows.get(name), { hardlink: first.id, size: 4, mode: FileType.REGULAR | 0o644 }, name);
  t.match(rows.get('/one'), { hardlink: 0, size: 5 });
  t.match(rows.get('/two'), { hardlink: 0, size: 1 }, 'the only name that is left');
  t.equal(rows.get('/s2')!.hardlink, rows.get('/s')!.id);
  t.equal(rows.get('/s2')!.target!.toString(), 'z');
  const [layer] = store.catalog.layers.all();
  t.match(layer, { entries: rows.size - 1, files: 6, size: 4 + 5 + 1, kind: 'imported', path: null });
});

t.test('what tar(1) and bsdtar-like dialects write comes out the same: framing and objects are the tar', async (t) => {
  const store = new Store(t);
  const tree = join(store.base, 'tree');
  fs.mkdirSync(join(tree, X(120), X(120)), { recursive: true });
  fs.writeFileSync(join(tree, X(120), X(120), X(200)), 'deep');
  fs.symlinkSync(X(300), join(tree, 'long-link'));
  fs.writeFileSync(join(tree, 'large'), Buffer.alloc(3_000_001, 'plyfs'));
  fs.linkSync(join(tree, 'large'), join(tree, 'linked'));
  fs.writeFileSync(join(tree, 'half'), Buffer.alloc(500_000, 1));
  for (const format of ['v7', 'ustar', 'gnu', 'posix', 'oldgnu']) {
    const skip = format === 'v7' || format === 'ustar' ? ['--exclude', 'long-link', '--exclude', X(120)] : [];
    const made = execFileSync('tar', ['-C', tree, `--format=${format}`, ...skip, '-c', '.'], { maxBuffer: 1e9 });
    const odd = Buffer.concat([made, Buffer.from('what follows the end')]);
    for (const bytes of [made, odd, gzip(odd), execFileSync('zstd', ['-q', '-c'], { input: odd, maxBuffer: 1e9 })]) {
      const { layers } = await store.import(bytes);
      const hash = createHash('sha256');
      const { catalog } = store;
      for (const part of readFraming(join(catalog.layerDirectory(layers[0].id), 'framing')))
        hash.update('raw' in part ? part.raw : fs.readFileSync(catalog.objects.path(part.digest)));
      t.equal(hash.digest('hex'), layers[0].id, format);
      t.equal(layers[0].id, sha256(bytes === made ? made : odd));
      const rows = rowsOfLayer(store, t, layers[0].id);
      t.equal(rows.get('/large')!.hardlink, rows.get('/linked')!.hardlink);
      if (skip.length === 0) t.match(rows.get(`/${X(120)}/${X(120)}/${X(200)}`), { size: 4 });
      if (skip.length === 0) t.equal(rows.get('/long-link')!.target!.length, 300);
    }
  }
  for (const row of fs.readdirSync(join(store.root, 'objects'), { recursive: true, withFileTypes: true }))
    if (row.isFile()) t.equal(fs.statSync(join(row.parentPath, row.name)).mode & 0o7777, 0o400);
});

function rowsOfLayer(store: Store, t: Parameters<Store['index']>[0], id: string): ReturnType<typeof rowsOf> {
  return rowsOf(store.index(t, id));
}

/** Each with what the refusal says. */
const HOSTILE: Record<string, [Buffer, RegExp]> = {
  'a name out of the tree': [tar({ name: '../evil', content: 'x' }), /"\.\." in it/],
  'a name that goes up inside': [tar({ name: 'a/../../evil', content: 'x' }), /"\.\." in it/],
  'a hard link out of the tree': [tar({ name: 'a', type: '1', link: '../../etc/passwd' }), /target has "\.\." in it/],
  'a hard link to what is not there': [tar({ name: 'a', type: '1', link: '/etc/passwd' }), /hard link to etc\/passwd, which is no file/],
  'a hard link to itself': [tar({ name: 'a', type: '1', link: './a' }), /hard link to itself/],
  'a hard link to a directory': [tar({ name: 'd/' }, { name: 'a', type: '1', link: 'd' }), /hard link to the directory d/],
  'a hard link to what was whited out': [tar({ name: '.wh.f' }, { name: 'a', type: '1', link: 'f' }), /which is not there/],
  'an entry below a symlink': [
    tar({ name: 'l', type: '2', link: '/etc' }, { name: 'l/passwd', content: 'x' }),
    /below l, which is no directory/,
  ],
  'an entry below a file': [tar({ name: 'f' }, { name: 'f/g' }), /below f, which is no directory/],
  'an entry below a whiteout': [tar({ name: '.wh.d/x' }), /below a whiteout/],
  'a whiteout of nothing': [tar({ name: 'd/.wh.' }), /whiteout of nothing/],
  'a whiteout of the parent': [tar({ name: 'd/.wh...' }), /whiteout of nothing/],
  'a root that is a file': [tar({ name: './', type: '0' }), /root is a file/],
  'a name of 256 bytes': [tar({ name: 'x', pax: { path: X(256) } }), /256 bytes: 255/],
  'a path of 5000 bytes': [tar({ name: 'x', pax: { path: `${X(200)}/`.repeat(25) } }), /4,?095/],
  'a device that there cannot be': [tar({ name: 'd', type: '3', device: [4096, 0] }), /device number/],
  'a symlink to nothing': [tar({ name: 'l', type: '2', link: '' }), /0 bytes/],
  'an owner that means none': [tar({ name: 'x', pax: { uid: '4294967295' } }), /owner/],
  'a sparse file': [tar({ name: 'x', pax: { 'GNU.sparse.major': '1' } }), /sparse/],
  'an old sparse file': [tar({ name: 'x', type: 'S' }), /sparse/],
  'an unknown type': [tar({ name: 'x', type: 'V' }), /unknown type "V"/],
  'PAX without a length': [pax('x=y\n'), /no length/],
  'PAX with a wrong length': [pax('99 path=x\n'), /another length/],
  'PAX with length 0': [pax('0 path=x\n'), /another length/],
  'PAX without a newline': [pax('8 path=xx'), /another length/],
  'PAX without a key': [pax('5 =x\n'), /no key/],
  'PAX with a NUL in the path': [tar({ name: 'x', pax: { path: 'a\0b' } }), /NUL/],
  'PAX with a negative size': [tar({ name: 'x', pax: { size: '-1' } }), /size that is no number/],
  'PAX with a size beyond all': [tar({ name: 'x', pax: { size: '99999999999999999999' } }), /size that is no number/],
  'PAX with an mtime that is none': [tar({ name: 'x', pax: { mtime: '1e9' } }), /no time/],
  'PAX of 2 MiB': [tar({ name: 'p', type: 'x', size: 2 << 20 }), /extended header of 2097152 bytes/],
  'a GNU long name of 2 MiB': [tar({ name: 'p', type: 'L', size: 2 << 20 }), /extended header/],
  'an xattr that is too large': [tar({ name: 'x', pax: { 'SCHILY.xattr.user.x': X(65537) } }), /extended attribute/],
  'a wrong checksum': [tar({ name: 'a' }, { name: 'b' }).fill(0x31, 512 + 10, 512 + 12), /wrong checksum/],
  'a negative uid': [tar({ name: 'a', spoil: (block) => block.fill(0xff, 108, 116) }), /negative uid/],
  'a size that is no number': [tar({ name: 'a', spoil: (block) => void block.write('9z', 124) }), /size is no number/],
  'a size of 2^62': [
    tar({ name: 'a', spoil: (block) => void Buffer.from('800000004000000000000000', 'hex').copy(block, 124) }),
    /size is no number/,
  ],
  'a size of 8 GiB that is not there': [tar({ name: 'a', pax: { size: String(8 * 2 ** 30) } }), /was cut/],
  'a content that is cut': [tar({ name: 'a', content: X(5000) }).subarray(0, 2048), /middle of an entry/],
  'no end': [memberBytes({ name: 'a' }), /without its end marker/],
  'a single block of zeros': [
    Buffer.concat([memberBytes({ name: 'a' }), Buffer.alloc(512), memberBytes({ name: 'b' })]),
    /single block of zeros/,
  ],
  'no tar at all': [Buffer.alloc(2000, 'text '), /wrong checksum/],
  nothing: [Buffer.alloc(0), /it is empty/],
  'gzip that is cut': [gzip(tar({ name: 'a', content: X(100_000) })).subarray(0, 150), /gzip was cut/],
  'gzip that is damaged': [
    damaged(gzip(tar({ name: 'a', content: createHash('sha512').update('1').digest() }))),
    /gzip is damaged|wrong checksum/,
  ],
  'zstd that is none': [Buffer.from('28b52ffd00000000ffff', 'hex'), /zstd (was cut|is damaged)/],
};

function pax(records: string): Buffer {
  const body = Buffer.alloc(512);
  body.write(records, 'latin1');
  return Buffer.concat([header({ name: 'p', type: 'x', size: records.length }), body, tar({ name: 'x' })]);
}

function damaged(bytes: Buffer): Buffer {
  bytes[bytes.length - 30] ^= 0xff;
  return bytes;
}

t.test('hostile layers: a clear refusal, and the store is as it was', async (t) => {
  const store = new Store(t);
  await store.import(tar({ name: 'there', content: 'already' }));
  for (const [what, [bytes, told]] of Object.entries(HOSTILE)) t.match(await store.refused(t, bytes), told, what);
  t.notOk(fs.existsSync(join(store.base, 'evil')));
});

t.test('bombs', async (t) => {
  const store = new Store(t);
  const bomb = gzip(tar({ name: 'zeros', content: Buffer.alloc(20 << 20) }));
  t.match(await store.refused(t, bomb, { maxSize: 10 << 20 }), /more uncompressed bytes than are allowed \(--max-size\)/);
  t.match(await store.import(bomb, { maxSize: 21 << 20 }), { layers: [{ reused: false }] });
  // a file of 2 GiB in 2 MiB: gzip's members follow each other, and each is 16 MiB of zeros
  const zeros = gzip(Buffer.alloc(16 << 20));
  const huge = Buffer.concat([gzip(header({ name: 'zeros', size: 2 ** 31 })), ...Array<Buffer>(128).fill(zeros), gzip(Buffer.alloc(1024))]);
  t.match(await store.refused(t, huge), /more than 200 times the bytes of its blob: a bomb/);
});

t.test('numbers in GNU’s binary form, old headers, names as bytes', async (t) => {
  const store = new Store(t);
  const binary = (block: Buffer): void => void Buffer.from('80000000000000000000000000000003'.slice(-24), 'hex').copy(block, 124);
  const big: Member = { name: 'big', content: 'abc', spoil: (block) => (binary(block), void (block[124] = 0x80)) };
  const past: Member = { name: 'past', spoil: (block) => void Buffer.from('ffffffffffffffffffffffff', 'hex').copy(block, 136) };
  const old: Member = { name: 'old/', type: '\0', spoil: (block) => void block.fill(0, 257, 512) };
  const name = Buffer.from('caf\xe9\xff', 'latin1');
  const rows = await store.tree(
    t,
    tar(big, past, old, { name }, { name: 'g', type: 'g', size: 0 }, { name: 'c', type: '7', content: 'cc' }),
  );
  t.match(rows.get('/big'), { size: 3 });
  t.match(rows.get('/past'), { mtime: -1n });
  t.match(rows.get('/old'), { mode: FileType.DIRECTORY | 0o644 });
  t.ok(rows.has('/caf\xe9\xff'));
  t.match(rows.get('/c'), { size: 2 });
  t.notOk(rows.has('/g'));
  t.equal(paxRecord('a', 'b').toString(), '6 a=b\n');
});

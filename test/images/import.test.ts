/** Images in all the forms that they come in, and those that are refused. */
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { ImportEvent } from '../../daemon/api/types.js';
import { importImage } from '../../daemon/images/import.js';
import { prune } from '../../daemon/images/prune.js';
import { fsck, usage } from '../../daemon/images/store-work.js';
import { archiveOf, dockerFiles, gzip, layoutFiles, makeImage, rowsOf, sha256, Store, tar, writeFiles } from './tars.js';

const BASE = tar(
  { name: 'etc/' },
  { name: 'etc/passwd', content: 'root' },
  { name: 'etc/group', content: 'wheel' },
  { name: 'bin/sh', content: 'shell' },
);
const TOP = tar({ name: 'etc/.wh.group' }, { name: 'app', content: 'app' }, { name: 'etc/passwd2', type: '1', link: 'etc/passwd' });

t.test('every form gives the same layers, and the second time nothing is read', async (t) => {
  const store = new Store(t);
  const image = makeImage({ layers: [BASE, TOP], tag: 'img:1' });
  const zipped = makeImage({
    layers: [BASE, TOP],
    tag: 'zipped',
    compress: gzip,
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
  });
  const first = await store.import(layoutFiles(image));
  t.match(first, {
    image: { id: image.id, name: 'img:1', layers: [sha256(TOP), sha256(BASE)] },
    layers: [{ id: sha256(BASE), reused: false }, {}],
  });
  t.equal(store.catalog.images.config(image.id)!.toString(), image.blobs.get(image.id)!.toString());
  const forms = {
    'OCI archive': archiveOf(layoutFiles(image)),
    'OCI archive, gzip': gzip(archiveOf(layoutFiles(image))),
    'compressed layers': layoutFiles(zipped),
    'docker-archive': archiveOf(dockerFiles([BASE, TOP], ['docker:1', 'docker:latest'])),
    'docker-archive, unpacked': dockerFiles([BASE, TOP], ['docker:1']),
  };
  for (const [form, what] of Object.entries(forms)) {
    const events: ImportEvent[] = [];
    const { layers } = await store.import(what, { progress: (event) => events.push(event) });
    t.same(
      layers,
      [sha256(BASE), sha256(TOP)].map((id) => ({ id, reused: true })),
      form,
    );
    t.match(events[0], { type: 'plan', layers: 2, reused: 2, bytes: 0 }, form);
  }
  t.same(
    store.catalog.images
      .all()
      .map(({ name }) => name)
      .sort(),
    ['docker:1', 'img:1'],
  );
  t.same(store.catalog.images.namesOf(image.id), ['img:1', 'zipped'], 'the blob is another, the image is not');
  t.match(store.catalog.layers.get(sha256(BASE)), { blob: { digest: sha256(BASE), size: BASE.length }, tarSize: BASE.length });
  t.same(await fsck(store.catalog).then(({ problems }) => problems), []);
});

t.test('docker save since 25: a layout, with the names in manifest.json', async (t) => {
  const store = new Store(t);
  const image = makeImage({ layers: [BASE, TOP] });
  const manifest = [
    {
      Config: `blobs/sha256/${image.id}`,
      RepoTags: ['app:2', 'app:latest'],
      Layers: [BASE, TOP].map((layer) => `blobs/sha256/${sha256(layer)}`),
    },
  ];
  const files = { ...layoutFiles(image), 'manifest.json': Buffer.from(JSON.stringify(manifest)) };
  const { image: imported } = await store.import(archiveOf(files));
  t.equal(imported.id, image.id);
  t.same(store.catalog.images.namesOf(image.id), ['app:2', 'app']);
});

t.test('a hard link to a file of a lower layer is that file', async (t) => {
  const store = new Store(t);
  const middle = tar({ name: 'etc/.wh.passwd' }, { name: 'other', content: 'x' });
  const links = tar(
    { name: 'one', type: '1', link: 'bin/sh' },
    { name: 'two', type: '1', link: 'bin/sh' },
    { name: 'three', type: '1', link: 'two' },
  );
  await store.import(layoutFiles(makeImage({ layers: [BASE, middle, links], tag: 'a' })));
  const rows = rowsOf(store.index(t, sha256(links)));
  for (const name of ['/one', '/two', '/three'])
    t.match(rows.get(name), { size: 5, hardlink: rows.get('/one')!.id, digest: Buffer.from(sha256('shell'), 'hex') }, name);
  const hidden = tar({ name: 'one', type: '1', link: 'etc/passwd' });
  t.match(await store.refused(t, layoutFiles(makeImage({ layers: [BASE, middle, hidden] }))), /etc\/passwd, which is no file/);
  t.same((await fsck(store.catalog)).problems, []);
});

t.test('names: those of the archive, or those that are asked for; a name moves', async (t) => {
  const store = new Store(t);
  const one = makeImage({ layers: [BASE], tag: 'app:1' });
  const two = makeImage({ layers: [BASE, TOP], tag: 'app:1' });
  await store.import(layoutFiles(one));
  await store.import(layoutFiles(two), { tags: ['mine', 'mine:2'] });
  t.same(store.catalog.images.namesOf(two.id), ['mine', 'mine:2']);
  await store.import(layoutFiles(two));
  t.equal(store.catalog.images.get('app:1').id, two.id, 'docker’s rule');
  t.equal(store.catalog.images.get(one.id).name, null);
  t.match(await prune(store.catalog, false), { images: [one.id], layers: [], objects: 0 });
  const both = layoutFiles(makeImage({ layers: [BASE], tag: 'x' }), makeImage({ layers: [tar({ name: 'f' })], tag: 'y' }));
  t.match(await store.refused(t, both, { tags: ['z'] }), /holds 2 images \(x, y\)/);
  t.match(await store.import(both), { images: [{ name: 'x' }, { name: 'y' }] });
  t.match(await store.refused(t, layoutFiles(one), { tags: ['../evil'] }), /cannot be an image's name/);
  t.match(await store.refused(t, archiveOf(dockerFiles([BASE], ['a b c']))), /cannot be an image's name/);
});

t.test('platforms', async (t) => {
  const store = new Store(t);
  const platform = (architecture: string, os = 'linux'): ReturnType<typeof makeImage> =>
    makeImage({ layers: [tar({ name: architecture })], platform: { os, architecture }, tag: 'multi' });
  const here = process.arch === 'x64' ? 'amd64' : process.arch;
  t.match(await store.import(layoutFiles(platform('s390x'), platform(here), platform('riscv64'))), {
    image: { layers: [sha256(tar({ name: here }))] },
  });
  t.match(
    await store.refused(t, layoutFiles(platform('s390x'), platform('riscv64'))),
    /not for linux\/\w+: there is linux\/s390x, linux\/riscv64/,
  );
  t.match(await store.refused(t, layoutFiles(platform(here, 'windows'))), /there is windows/);
  t.match(
    await store.refused(t, layoutFiles(makeImage({ layers: [BASE], config: (config) => ({ ...config, os: 'windows' }) }))),
    /for windows/,
  );
});

t.test('wrong digests, wrong JSON, unknown types: nothing is imported', async (t) => {
  const store = new Store(t);
  await store.import(layoutFiles(makeImage({ layers: [BASE], tag: 'there' })));
  const extra = tar({ name: 'extra', content: 'extra' });
  const good = makeImage({ layers: [extra, TOP] });
  const files = layoutFiles(good);
  const without = (name: string): Record<string, Buffer> => Object.fromEntries(Object.entries(files).filter(([key]) => key !== name));
  const blob = (bytes: Buffer): string => `blobs/sha256/${sha256(bytes)}`;
  const manifestName = `blobs/sha256/${(good.descriptor['digest'] as string).slice(7)}`;
  const layer = (change: (layer: Record<string, unknown>) => object): Record<string, Buffer> =>
    layoutFiles(makeImage({ layers: [extra, TOP], manifest: (m) => ({ ...m, layers: m.layers.map(change) }) }));
  const flipped = Buffer.from(TOP);
  flipped[1024] ^= 1;
  const cases: Record<string, [Record<string, Buffer> | Buffer, RegExp]> = {
    'a damaged layer': [{ ...files, [blob(TOP)]: flipped }, /its digest is sha256:.*was promised/],
    'a layer that is cut': [{ ...files, [blob(TOP)]: TOP.subarray(0, 600) }, /cut|promised/],
    'a layer that is another': [
      layoutFiles(
        makeImage({
          layers: [extra, TOP],
          config: (c) => ({ ...c, rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(extra)}`, `sha256:${sha256('x')}`] } }),
        }),
      ),
      /its diffID is sha256:.*was promised/,
    ],
    'a size that is wrong': [layer((one) => ({ ...one, size: 5 })), /promised/],
    'a missing layer': [without(blob(TOP)), /there is no blobs.*not whole/],
    'a damaged config': [{ ...files, [`blobs/sha256/${good.id}`]: Buffer.from('{}') }, /not what its digest says/],
    'a damaged manifest': [{ ...files, [manifestName]: Buffer.from('{}') }, /not what its digest says/],
    'an index that is no JSON': [{ ...files, 'index.json': Buffer.from('{"manifests": [') }, /index.json is no JSON/],
    'an index that is not UTF-8': [{ ...files, 'index.json': Buffer.from([0x22, 0xff, 0x22]) }, /no JSON/],
    'an index that is something else': [{ ...files, 'index.json': Buffer.from('{"manifests": 7}') }, /manifests: /],
    'an index of 5 MiB': [{ ...files, 'index.json': Buffer.alloc(5 << 20, ' ') }, /4194304 are the most/],
    'an empty index': [{ ...files, 'index.json': Buffer.from('{"manifests": []}') }, /without an image/],
    'a layout of version 2': [{ ...files, 'oci-layout': Buffer.from('{"imageLayoutVersion":"2.0.0"}') }, /version 1/],
    'no index': [without('index.json'), /there is no index.json/],
    'a digest that names a file elsewhere': [
      {
        ...files,
        'index.json': Buffer.from(files['index.json'].toString().replace(/sha256:[0-9a-f]{64}/, 'sha256:../../../../etc/passwd')),
      },
      /sha256 digest is needed/,
    ],
    sha512: [layer((one) => ({ ...one, digest: `sha512:${'0'.repeat(128)}` })), /sha256 digest is needed/],
    'an unknown layer type': [layer((one) => ({ ...one, mediaType: 'application/x-cpio' })), /unknown media type "application\/x-cpio"/],
    'layers and diffIDs that differ in number': [
      layoutFiles(makeImage({ layers: [extra, TOP], manifest: (m) => ({ ...m, layers: m.layers.slice(1) }) })),
      /1 layers and its config 2/,
    ],
    'no layers': [layoutFiles(makeImage({ layers: [] })), /no layer/],
    'an artifact': [
      layoutFiles(makeImage({ layers: [extra], manifest: (m) => ({ ...m, config: { ...m.config, mediaType: 'application/helm' } }) })),
      /no image of a container/,
    ],
    'docker: a config with another digest': [
      archiveOf({
        ...dockerFiles([extra], []),
        'manifest.json': Buffer.from(JSON.stringify([{ Config: `${'0'.repeat(64)}.json`, Layers: [] }])),
        [`${'0'.repeat(64)}.json`]: Buffer.from('{}'),
      }),
      /not what its digest says/,
    ],
    'docker: a layer with another diffID': [archiveOf({ ...dockerFiles([extra], []), [`${sha256(extra)}.tar`]: TOP }), /promised/],
    'docker: a name out of the archive': [
      archiveOf({ 'manifest.json': Buffer.from('[{"Config": "../../etc/passwd", "Layers": []}]') }),
      /no name of a file/,
    ],
    'docker: no manifest in it': [archiveOf({ 'manifest.json': Buffer.from('[]') }), /without an image/],
    'an archive that is cut': [archiveOf(files).subarray(0, 3000), /cut|wrong checksum/],
    'a directory of something else': [{ file: Buffer.from('x') }, /directory without an image/],
  };
  for (const [what, [given, told]] of Object.entries(cases)) t.match(await store.refused(t, given, {}), told, what);
  const link = store.path();
  fs.symlinkSync('/etc/passwd', link);
  await t.rejects(importImage(store.catalog, link, {}), { code: 'bad-request' }, 'a symlink is not followed');
  const through = writeFiles(store.path(), files);
  fs.unlinkSync(join(through, blob(TOP)));
  fs.symlinkSync('/dev/zero', join(through, blob(TOP)));
  await t.rejects(importImage(store.catalog, through, {}), { code: 'bad-request' });
  await t.rejects(importImage(store.catalog, '/dev/zero', {}), { code: 'bad-request' });
  await t.rejects(importImage(store.catalog, store.path(), {}), { code: 'bad-request', message: /there is no/ });
  await t.rejects(importImage(store.catalog, 'relative', {}), { code: 'bad-request', message: /not absolute/ });
});

t.test('an import that is aborted leaves nothing', async (t) => {
  const store = new Store(t);
  const before = store.state();
  const controller = new AbortController();
  const layers = [1, 2, 3, 4].map((n) => tar({ name: `big${n}`, content: Buffer.alloc(30 << 20, `${n}`) }));
  const work = store.import(layoutFiles(makeImage({ layers })), {
    signal: controller.signal,
    progress({ type }) {
      if (type === 'layer') controller.abort(new Error('enough'));
    },
  });
  await t.rejects(work, { message: 'enough' });
  t.same(store.state(), before);
});

t.test('the same image several times at once, and prunes beside it', async (t) => {
  const store = new Store(t);
  const layers = [0, 1, 2].map((n) =>
    tar(...Array.from({ length: 300 }, (_, i) => ({ name: `d${i % 7}/f${i}`, content: `content ${i * (n + 1)}` }))),
  );
  const files = layoutFiles(makeImage({ layers, tag: 'img' }));
  let over = false;
  const pruning = (async () => {
    while (!over) await prune(store.catalog, false);
  })();
  const results = await Promise.all([1, 2, 3].map(() => store.import(files)));
  over = true;
  await pruning;
  t.equal(new Set(results.map(({ image }) => image.id)).size, 1);
  t.same((await fsck(store.catalog)).problems, []);
  t.same(store.catalog.leases.all(), []);
  await store.import(layoutFiles(makeImage({ layers: [layers[0]], tag: 'other' })));
  await prune(store.catalog, false);
  t.same((await fsck(store.catalog)).problems, []);
  const all = await prune(store.catalog, true);
  t.equal(all.images.length, 2);
  t.equal(store.objects(), 0);
  t.same((store.state() as { files: string[] }).files, []);
});

/** Of all files below. */
function bytesOn(directory: string): number {
  return fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + fs.statSync(join(entry.parentPath, entry.name)).size, 0);
}

t.test('df says what lies on the disk, and prune frees what df promised', async (t) => {
  const store = new Store(t);
  const { catalog, root } = store;
  const own = (text: string): Buffer => tar({ name: text, content: text.repeat(1000) });
  const [a, b] = [own('a'), own('b')];
  await store.import(layoutFiles(makeImage({ layers: [BASE, a], tag: 'one' })));
  await store.import(layoutFiles(makeImage({ layers: [BASE, b], tag: 'two' })));
  catalog.containers.create({ image: 'one', name: 'c', upper: join(root, 'u'), work: join(root, 'w') });
  const before = await usage(catalog, true);
  const onDisk = bytesOn(join(root, 'objects')) + bytesOn(join(root, 'layers'));
  t.match(before, { images: { total: 2, active: 1, size: onDisk }, layers: { total: 3, active: 3, size: onDisk, reclaimable: 0 } });
  t.match(before.objects, { total: 5, active: 5, size: bytesOn(join(root, 'objects')), reclaimable: 0 });
  const layerBytes = (layer: Buffer): number => bytesOn(catalog.layerDirectory(sha256(layer)));
  const shared = layerBytes(BASE) + 'rootwheelshell'.length;
  t.match(before.imageList, [
    { name: 'one', containers: 1, shared, unique: layerBytes(a) + 1000 },
    { name: 'two', containers: 0, shared, unique: layerBytes(b) + 1000 },
  ]);
  t.equal(before.images.reclaimable, layerBytes(b) + 1000);
  t.match(await prune(catalog, false), { images: [], layers: [], objects: 0, bytes: 0 });
  const pruned = await prune(catalog, true);
  t.match(pruned, { layers: [sha256(b)], objects: 1, bytes: before.images.reclaimable });
  const after = await usage(catalog, false);
  t.equal(after.layers.size, onDisk - pruned.bytes);
  t.equal(after.layers.size, bytesOn(join(root, 'objects')) + bytesOn(join(root, 'layers')));
  t.match(catalog.sizes(), { objects: after.objects.total, objectBytes: bytesOn(join(root, 'objects')) });
});

t.test('fsck finds a flipped byte in any file, and what does not belong there', async (t) => {
  const store = new Store(t);
  const { catalog, root } = store;
  await store.import(layoutFiles(makeImage({ layers: [BASE, TOP], tag: 'one' })));
  t.match(await fsck(catalog), { ok: true, checked: { layers: 2, objects: 4 } });
  const files = (store.state() as { files: string[] }).files;
  for (const file of files) {
    const bytes = fs.readFileSync(file);
    const places = file.includes('/objects/') || file.endsWith('framing') ? [0, bytes.length >> 1, bytes.length - 1] : [60, 2000];
    for (const place of places) {
      const wrong = Buffer.from(bytes);
      wrong[place] ^= 0x10;
      rewrite(file, wrong);
      const { ok, problems } = await fsck(catalog);
      if (file.endsWith('index.db') && ok) continue; // an unused byte of a page
      t.notOk(ok, `${file} at ${place}`);
      t.match(problems[0].name, file.includes('/objects/') ? file.slice(-62) : /^[0-9a-f]{64}$/);
    }
    rewrite(file, bytes);
  }
  t.same((await fsck(catalog)).problems, []);
  fs.mkdirSync(join(root, 'tmp/9-9'), { recursive: true });
  fs.mkdirSync(join(root, 'layers', '0'.repeat(64)));
  fs.writeFileSync(join(root, 'objects/00', '0'.repeat(62)), 'stray');
  t.same(
    (await fsck(catalog)).problems.map(({ kind }) => kind),
    ['leftover', 'leftover', 'leftover'],
  );
  t.match(await fsck(catalog, { repair: true }), { ok: true });
  t.same((await fsck(catalog)).problems, []);
  fs.unlinkSync(catalog.objects.path(Buffer.from(sha256('shell'), 'hex')));
  t.match(await fsck(catalog), { ok: false, problems: [{ kind: 'object', message: 'it is missing' }] });
});

function rewrite(file: string, bytes: Buffer): void {
  fs.unlinkSync(file);
  fs.writeFileSync(file, bytes, { mode: file.includes('/objects/') ? 0o400 : 0o600 });
}

/** What was imported comes out again byte for byte, whatever wrote it. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { exportImage } from '../../daemon/images/export.js';
import { importImage } from '../../daemon/images/import.js';
import { Catalog } from '../../daemon/store/index.js';
import { must as command } from '../support/mounts.js';
import { leftBehind } from '../plyd/daemon.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const idle = { report: () => undefined, signal: new AbortController().signal };

const TREE = `mkdir -p d/sub && seq 3000 >d/seq && ln d/seq d/seq2 && ln -s seq d/link && mkfifo d/fifo && : >d/empty
  head -c 1500000 /dev/urandom >d/big && setfattr -n user.a -v b d/seq && touch -d '2001-02-03 04:05:06.789' d/seq
  mkdir -p d/${'l'.repeat(110)}/${'m'.repeat(110)} && : >d/${'l'.repeat(110)}/${'m'.repeat(110)}/${'n'.repeat(110)}`;

/** Tars as different programs write them. */
const TARS: Record<string, string> = {
  gnu: 'tar --format=gnu -cf "$1" d',
  pax: 'tar --format=pax --xattrs -cf "$1" ./d',
  'small blocks': 'tar -b 1 --format=ustar --exclude="l*" -cf "$1" d',
  'python, with what follows the end': `python3 -c "
import sys, tarfile
with tarfile.open(sys.argv[1], 'w', format=tarfile.PAX_FORMAT) as tar: tar.add('d')
" "$1" && echo trailing >>"$1"`,
};

void t.test('diffIDs and bytes of the layers, and the bytes of the config, are what they were', async (t) => {
  const base = temporaryDirectory();
  const catalog = Catalog.open(path.join(base, 'root'));
  t.teardown(async () => {
    catalog.close();
    await removeDirectory(base);
  });
  const tree = path.join(base, 'tree');
  fs.mkdirSync(tree);
  await command('sh', ['-c', TREE], { cwd: tree });
  const archive = path.join(base, 'archive');
  fs.mkdirSync(archive);
  const layers: Buffer[] = [];
  for (const [at, script] of Object.values(TARS).entries()) {
    const file = path.join(archive, `${at}.tar`);
    await command('sh', ['-c', script, 'sh', file], { cwd: tree });
    layers.push(fs.readFileSync(file));
  }
  const diffIds = layers.map((bytes) => `sha256:${sha256(bytes)}`);
  const config = Buffer.from(
    `{ "os":"linux","architecture":"amd64",\n "config":{"Env":["A=1"]}, "unknown": 1.0, "rootfs":{"type":"layers","diff_ids":${JSON.stringify(diffIds)}}}\n`,
  );
  fs.writeFileSync(path.join(archive, 'config.json'), config);
  const names = layers.map((_, at) => `${at}.tar`);
  fs.writeFileSync(path.join(archive, 'manifest.json'), JSON.stringify([{ Config: 'config.json', RepoTags: ['odd:1'], Layers: names }]));
  await command('tar', ['-cf', '../archive.tar', 'manifest.json', 'config.json', ...names], { cwd: archive });
  await importImage(catalog, path.join(base, 'archive.tar'));
  const layout = path.join(base, 'layout');
  const told = await exportImage(catalog, 'odd:1', { path: layout, format: 'oci-dir', compress: 'none' }, idle);
  t.same(
    told.layers.map(({ diffId }) => `sha256:${diffId}`),
    diffIds,
  );
  for (const [at, bytes] of layers.entries())
    t.ok(fs.readFileSync(path.join(layout, 'blobs/sha256', sha256(bytes))).equals(bytes), Object.keys(TARS)[at]);
  t.ok(fs.readFileSync(path.join(layout, 'blobs/sha256', sha256(config))).equals(config), 'the config');

  const again = Catalog.open(path.join(base, 'again'));
  t.teardown(() => again.close());
  for (const [format, compress] of [
    ['oci-archive', 'gzip'],
    ['oci-archive', 'zstd'],
    ['docker-archive', 'none'],
  ] as const) {
    const file = path.join(base, `${format}.${compress}`);
    await exportImage(catalog, 'odd:1', { path: file, format, compress }, idle);
    const { image, layers: found } = await importImage(again, file);
    t.same(
      found.map(({ id }) => `sha256:${id}`),
      diffIds,
      `${format} ${compress}, imported again`,
    );
    t.equal(image.id, sha256(config));
    t.equal(image.name, 'odd:1');
  }

  // A byte that has changed on the disk is not handed on.
  const object = catalog.objects.path(
    createHash('sha256')
      .update(fs.readFileSync(path.join(tree, 'd/seq')))
      .digest(),
  );
  fs.chmodSync(object, 0o600);
  const fd = fs.openSync(object, 'r+');
  fs.writeSync(fd, 'X', 10);
  fs.closeSync(fd);
  await t.rejects(
    exportImage(catalog, 'odd:1', { path: path.join(base, 'bad'), compress: 'none' }, idle),
    /is not what the image was made of/,
  );
  t.notOk(fs.existsSync(path.join(base, 'bad')));
  t.notOk(fs.readdirSync(base).some((name) => name.endsWith('.ply-part')));
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

/** Archives that are nearly right: whatever comes out, it is a refusal in words or a whole image, soon, and the store is in order. */
import t from 'tap';
import { planOf } from '../../daemon/images/manifests.js';
import { placeOf } from '../../daemon/images/entry-path.js';
import { TarError } from '../../daemon/images/tar-header.js';
import { TarReader } from '../../daemon/images/tar-reader.js';
import { fsck } from '../../daemon/images/store-work.js';
import { CatalogError } from '../../daemon/store/index.js';
import { Random } from '../fuzz/random.js';
import { checksum, layoutFiles, makeImage, type Member, Store, tar } from './tars.js';

const SECONDS = process.env['PLYFS_TEST_LONG'] === '1' ? 60 : 3;

const NAMES = ['a', 'b/', 'a/b', '.wh.a', 'b/.wh..wh..opq', './', '../x', 'x'.repeat(100), 'b/c/d', '.wh.', '/e', 'l', 'l/m'];
const KEYS = ['path', 'linkpath', 'size', 'uid', 'mtime', 'SCHILY.xattr.user.x', 'LIBARCHIVE.xattr.y', 'GNU.sparse.map', 'comment'];
const VALUES = ['', 'a', '0', '-1', '1.5', '../..', 'é', '99999999999999999999', 'b/c', '\0'];

function member(random: Random): Member {
  const type = random.pick(['0', '0', '0', '1', '2', '3', '4', '5', '6', '7', '\0', 'g', 'L', 'K', 'S', 'V', 'x']);
  const content = random.chance(50) ? 'x'.repeat(random.below(2000)) : '';
  return {
    ...{ name: random.pick(NAMES), type, content, link: random.pick([...NAMES, '']) },
    ...(random.chance(20) && { pax: { [random.pick(KEYS)]: random.pick(VALUES) } }),
    ...(random.chance(10) && { size: random.below(5000) }),
  };
}

/** Some bytes are others; half of the headers' checksums are right all the same. */
function spoiled(bytes: Buffer, random: Random): Buffer {
  const some = Buffer.from(bytes);
  for (let i = random.below(4); i > 0; i--) {
    const at = random.below(some.length);
    some[at] = random.below(256);
    const block = some.subarray(at - (at % 512), at - (at % 512) + 512);
    if (block.length === 512 && random.chance(50)) checksum(block);
  }
  return random.chance(10) ? some.subarray(0, random.below(some.length)) : some;
}

/** In pieces of any size; what came out, or how it was refused. */
function read(bytes: Buffer, random: Random): string {
  const seen: string[] = [];
  let raw = 0;
  let content = 0;
  const reader = new TarReader({
    raw: (some) => void (raw += some.length),
    entry(entry) {
      seen.push(`${entry.type} ${entry.path.toString('latin1')} ${entry.size}`);
      placeOf(entry);
    },
    content: (some) => void (content += some.length),
    end: () => void seen.push('.'),
  });
  try {
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(bytes.length, at + 1 + random.below(random.pick([1, 700, 5000])));
      reader.push(bytes.subarray(at, end));
      at = end;
    }
    reader.finish(true);
    if (raw + content !== bytes.length) throw new Error(`${raw} + ${content} bytes came out of ${bytes.length}`);
  } catch (error) {
    if (!(error instanceof TarError)) throw error;
    seen.push(error.message);
  }
  return seen.join('\n');
}

t.test('tars: refused or read, the same in whatever pieces they come', (t) => {
  let count = 0;
  let good = 0;
  for (const end = Date.now() + SECONDS * 500; Date.now() < end; count++) {
    const random = new Random(count + 1);
    const bytes = spoiled(tar(...Array.from({ length: random.below(6) }, () => member(random))), random);
    const first = read(bytes, random);
    const second = read(bytes, random);
    if (first !== second) t.equal(first, second, `seed ${count + 1}`);
    if (first.endsWith('.')) good++;
  }
  t.ok(count > 100 && good > 5, `${count} tars, ${good} of them good`);
  t.end();
});

t.test('whole imports: refused in words or done, nothing in between', async (t) => {
  const store = new Store(t);
  let [count, good] = [0, 0];
  for (const end = Date.now() + SECONDS * 500; Date.now() < end; count++) {
    const random = new Random(1_000_000 + count);
    const plain = tar(
      ...Array.from({ length: 1 + random.below(5) }, () => ({ ...member(random), type: random.pick(['0', '0', '1', '2', '5']) })),
    );
    const bytes = random.chance(50) ? plain : spoiled(plain, random);
    try {
      await store.import(random.chance(50) ? bytes : layoutFiles(makeImage({ layers: [bytes, plain] })));
      good++;
    } catch (error) {
      if (!(error instanceof CatalogError)) throw new Error(`seed ${1_000_000 + count}`, { cause: error });
    }
  }
  t.ok(count > 3, `${count} imports, ${good} of them good`);
  t.same((await fsck(store.catalog)).problems, []);
  t.same(store.catalog.leases.all(), []);
});

t.test('manifests: refused in words, or an image', (t) => {
  const files = layoutFiles(makeImage({ layers: [tar({ name: 'a' })], tag: 'x' }));
  let count = 0;
  for (const end = Date.now() + SECONDS * 300; Date.now() < end; count++) {
    const random = new Random(2_000_000 + count);
    const now = { ...files };
    const name = random.pick(['index.json', 'oci-layout', 'index.json', ...Object.keys(files)]);
    now[name] = random.chance(50) ? spoiled(now[name], random) : mutated(now[name], random);
    const archive = {
      path: '/x',
      has: (one: string) => one in now,
      read: (one: string) => now[one] ?? refuse(one),
      source: (one: string) => ({ source: { file: one, offset: 0, length: 0 }, size: 0 }),
    };
    try {
      planOf(archive);
    } catch (error) {
      if (!(error instanceof TarError)) throw new Error(`seed ${2_000_000 + count}`, { cause: error });
    }
  }
  t.ok(count > 100, `${count} manifests`);
  t.end();
});

function refuse(name: string): never {
  throw new TarError(`there is no ${name}`);
}

/** JSON with a value somewhere that is of another kind. */
function mutated(bytes: Buffer, random: Random): Buffer {
  const odd = ['null', '[]', '{}', '-1', '1e400', '"sha256:"', '"../../x"', '{"__proto__": 1}', 'true', '[[[[]]]]'];
  const text = bytes.toString('latin1');
  const values = [...text.matchAll(/:("[^"]*"|\d+)/g)];
  if (values.length === 0) return bytes;
  const { index, 0: found } = random.pick(values);
  return Buffer.from(`${text.slice(0, index)}:${random.pick(odd)}${text.slice(index + found.length)}`, 'latin1');
}

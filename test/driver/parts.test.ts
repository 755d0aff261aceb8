/** The parts of the driver that need no kernel. */
import t from 'tap';
import { fuseOptions, pointOf } from '../../daemon/engine/fuse-native/mount-options.js';
import { decodeName } from '../../daemon/engine/fuse-native/names.js';
import { Nodes } from '../../daemon/engine/fuse-native/nodes.js';
import { InodeNumbers, statfsAt } from '../../daemon/engine/fuse-native/numbers.js';
import { Errno } from '../../daemon/errno.js';
import { MountFlag } from '../../daemon/mounts/options.js';

void t.test('inode numbers that differ in their upper half only do not become one', (t) => {
  const numbers = new InodeNumbers();
  const [one, other] = [numbers.of(5, 0), numbers.of(5, 1)];
  t.not(one, other);
  t.equal(numbers.of(5, 0), one, 'and stay');
  t.equal(numbers.of(5, 1), other);
  t.end();
});

void t.test('more blocks than 32 bits count are told in larger ones', (t) => {
  const words = new Uint32Array(20);
  const put = (at: number, value: number): void => {
    words[at / 4] = value % 2 ** 32;
    words[at / 4 + 1] = Math.floor(value / 2 ** 32);
  };
  for (const [blocks, times] of [
    [2 ** 32 - 1, 1],
    [2 ** 32, 2],
    [5 * 2 ** 33, 16],
  ]) {
    put(0, blocks);
    put(8, blocks / 2);
    put(16, blocks / 4);
    put(24, 2 ** 40);
    words[10] = 4096;
    words[12] = 4096;
    const { frsize, bsize, blocks: told, bavail, files } = statfsAt(words, 0);
    t.same([frsize, bsize], [4096 * times, 4096 * times]);
    t.ok(Math.abs(told * frsize - blocks * 4096) < frsize && told < 2 ** 32, `${blocks} blocks`);
    t.ok(Math.abs(bavail * frsize - blocks * 1024) < frsize);
    t.equal(files, 2 ** 32 - 1);
  }
  t.end();
});

void t.test('names are text that stands for one name only', (t) => {
  t.equal(decodeName(Buffer.from('日本')), '日本');
  t.equal(decodeName(Buffer.from([0xef, 0xbb, 0xbf, 0x61])), '\ufeffa');
  for (const bytes of [[0xff], [0x63, 0xe9], [0xed, 0xa0, 0x80], [0xc0, 0x80], [0xef, 0xbf, 0xbd]])
    t.equal(decodeName(Buffer.from(bytes)), undefined);
  t.end();
});

void t.test('nodes are found by path once, and forgotten when there are many, but for what is open', (t) => {
  const counts = new Map<number, number>();
  const asked: string[] = [];
  const count = (node: number, by: number): void => void counts.set(node, (counts.get(node) ?? 0) + by);
  const lookup = (directory: number, name: Buffer): number => {
    asked.push(`${directory}/${String(name)}`);
    if (String(name) === 'none') return -Errno.ENOENT;
    const node = directory * 10 + Number(name);
    count(node, 1);
    return node;
  };
  const nodes = new Nodes(lookup, (node) => count(node, -1), 3);
  t.equal(nodes.find('/'), 1);
  t.equal(nodes.find('/2/3'), 123);
  t.equal(nodes.find('/2/3'), 123);
  t.same(asked, ['1/2', '12/3'], 'each is asked for once');
  t.equal(nodes.find('/2/none'), -Errno.ENOENT);
  t.equal(nodes.find('/none/2'), -Errno.ENOENT);
  t.equal(nodes.find('/\ufffd'), -Errno.ENOENT);
  t.equal(nodes.find(`/${'9'.repeat(256)}`), -Errno.ENAMETOOLONG);
  t.equal(nodes.find('/4'), 14);
  nodes.tidy((node) => node === 123);
  t.same(
    [...counts],
    [
      [12, 0],
      [123, 1],
      [14, 0],
    ],
  );
  t.equal(nodes.find('/2/3'), 123);
  t.equal(counts.get(123), 1, 'still the same reference');
  t.end();
});

void t.test("libfuse's options", (t) => {
  t.match(fuseOptions(MountFlag.RDONLY, 'plyfs:2'), /^-oro,suid,dev,allow_other,default_permissions,.*use_ino.*,fsname=plyfs:2$/);
  t.match(
    fuseOptions(MountFlag.RDONLY | MountFlag.NOSUID | MountFlag.NODEV | MountFlag.NOEXEC, 'a,b\\'),
    /^-oro,nosuid,nodev,noexec,.*,fsname=a\\,b\\\\$/,
  );
  t.throws(() => fuseOptions(0, 'x'.repeat(1000)), /fsname/);
  t.equal(pointOf(Buffer.from('/mnt/ü').toString('latin1')), '/mnt/ü');
  t.throws(() => pointOf('/mnt/\xff'), /not UTF-8/);
  t.throws(() => pointOf(`/${'d/'.repeat(600)}`), /longer than 1023 bytes/);
  t.end();
});

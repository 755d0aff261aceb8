import t from 'tap';
import { lowOf, shownHigh, shownLow } from '../../daemon/overlay/inode-numbers';

const INODES = [
  1n,
  2n,
  (1n << 27n) - 1n,
  1n << 27n,
  (1n << 27n) + 1n,
  (1n << 31n) - 1n,
  1n << 31n,
  (1n << 32n) - 1n,
  1n << 32n,
  (1n << 47n) + 1n,
];
const SLOTS = Array.from({ length: 501 }, (_, i) => i + 1);

const words = (number: bigint): [number, number] => [Number(BigInt.asIntN(32, number)), Number(BigInt.asIntN(32, number >> 32n))];

function shown(ino: bigint, slot: number): bigint {
  const [low, high] = words(ino);
  return (BigInt(shownHigh(low, high, slot) >>> 0) << 32n) | BigInt(shownLow(low, high, slot) >>> 0);
}

t.test('each inode of each layer is shown by a number of its own', (t) => {
  const all = SLOTS.flatMap((slot) => INODES.map((ino) => shown(ino, slot)));
  t.equal(new Set(all).size, all.length);
  t.end();
});

t.test('32 bits are enough for small numbers in the lowest layers', (t) => {
  for (const slot of SLOTS)
    for (const ino of INODES) if (shown(ino, slot) < 1n << 32n !== (slot <= 31 && ino < 1n << 27n)) t.fail(`${ino} in ${slot}`);
  t.equal(shown(5n, 3), (3n << 27n) | 5n);
  t.equal(shown(5n, 32), (32n << 48n) | 5n);
  t.end();
});

t.test('the low word in the layer comes back', (t) => {
  for (const slot of SLOTS) {
    for (const ino of INODES) {
      const [low, high] = words(shown(ino, slot));
      if (lowOf(low, high) !== words(ino)[0]) t.fail(`${ino} in ${slot}: ${lowOf(low, high)}`);
    }
  }
  t.end();
});

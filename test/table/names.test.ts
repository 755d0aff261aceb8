import t from 'tap';
import { play } from './scenario';

t.test('a name is found without a lock when it is there, whatever changes around it', async (t) => {
  const counted = await play('names', 'addRemoveFind', 4, { rounds: 100_000 });
  t.ok(
    counted.found > 10_000 && counted.none > 10_000,
    `found ${counted.found}, not there ${counted.none}, changed meanwhile ${counted.changed}`,
  );
  t.equal(counted.dentries, 0);
  t.ok(counted.kept <= 16 + 1, `${counted.kept} pages kept`);
});

t.test('names that come later are in front: who reads on from a cookie does not see them', async (t) => {
  t.match(await play('names', 'order', 0), { orders: 10 });
});

t.test('only the very name is found', async (t) => {
  t.match(await play('names', 'nearMisses', 0), { hits: 2, elsewhere: 0 });
});

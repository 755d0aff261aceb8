import t from 'tap';
import { play } from './scenario';

const SLOTS = 1024;

t.test('a worker is woken when its job has ended, and no slot is lost', async (t) => {
  const { ended, free } = await play('jobs', 'own', 3, { rounds: 20_000, threads: 3 });
  t.ok(ended >= 60_000, `${ended} jobs`);
  t.equal(free, SLOTS);
});

t.test('everybody who waits for one job is woken, though its slot is used again at once', async (t) => {
  const { slept, free } = await play('jobs', 'shared', 4, { rounds: 60_000, threads: 4 });
  t.ok(slept > 1000, `slept ${slept} times`);
  t.equal(free, SLOTS);
});

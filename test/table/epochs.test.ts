import t from 'tap';
import { play } from './scenario';

t.test('what a reader has found is not used again while it is inside', async (t) => {
  const { kept } = await play('epochs', 'readersAndReplacers', 4, { rounds: 100_000 });
  t.ok(kept <= 1, `${kept} pages kept`);
});

t.test('so it is when the epoch counter wraps around', async (t) => {
  for (const from of [0x7fffffff - 300, -300]) {
    const { kept, epoch } = await play('epochs', 'readersAndReplacers', 4, { rounds: 50_000, from });
    t.ok(kept <= 1, `${kept} pages kept, the epoch went from ${from} to ${epoch}`);
  }
});

t.test('a reader that does not come back costs memory, not time', async (t) => {
  const { kept, waiting, seconds } = await play('epochs', 'stalledReader', 3, { rounds: 150_000 });
  t.ok(waiting >= 150_000, `${waiting} records waited for it`);
  t.ok(seconds < 10, `two threads retired 300,000 records in ${seconds} s`);
  t.ok(kept <= 1, `${kept} pages kept`);
});

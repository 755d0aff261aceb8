import t from 'tap';
import { play } from './scenario';

/** Size classes; each may keep one empty page. */
const CLASSES = 16;

t.test('no cell is handed out twice, each is zeroed, and the pages come back', async (t) => {
  const { kept, resident } = await play('allocator', 'churn', 4, { rounds: 100_000 });
  t.ok(kept <= CLASSES, `${kept} pages kept`);
  // The hash buckets of the arena's head were never touched; some pages of its front were.
  t.ok(resident < 4 << 20, `${resident} bytes of memory are left in the arena`);
});

t.test('a cell may be given back by another thread', async (t) => {
  const { kept, passed } = await play('allocator', 'handedOn', 4, { rounds: 50_000 });
  t.ok(passed > 190_000);
  t.ok(kept <= CLASSES + 1, `${kept} pages kept (one holds the mailboxes)`);
});

t.test('an inode record is told from everything else', async (t) => {
  const { said, possible } = await play('allocator', 'isInode', 0);
  t.equal(said, possible);
});

t.test('a full table says so and stays whole', async (t) => {
  const { kept, taken } = await play('allocator', 'full', 4);
  t.ok(taken > 1000);
  t.ok(kept <= CLASSES, `${kept} pages kept`);
  const { first, second, expected, tooLarge } = await play('allocator', 'fullExactly', 0);
  t.equal(first, expected);
  t.equal(second, expected);
  t.equal(tooLarge, 1, 'what no page can hold is a mistake');
});

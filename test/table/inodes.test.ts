import t from 'tap';
import { play } from './scenario';

t.test('a dead record never gains a count, and is not used again while somebody looks at it', async (t) => {
  const counted = await play('inodes', 'countAndKill', 4, { rounds: 100_000 });
  t.ok(counted.killed > 1000 && counted.killed === counted.made, `${counted.made} made, ${counted.killed} killed`);
  t.equal(counted.inodes, 0);
  t.ok(counted.kept <= 1, `${counted.kept} pages kept`);
});

t.test('no count is lost', async (t) => {
  t.match(await play('inodes', 'tally', 4, { rounds: 200_000 }), { lost: 0 });
});

t.test('a count that reached its greatest stays: the record lives as long as its mount', async (t) => {
  t.match(await play('inodes', 'saturation', 4, { rounds: 10_000 }), { stuck: 1 });
});

t.test('the names of a file are chained, and pin their directories', async (t) => {
  const { bound } = await play('inodes', 'aliases', 4, { rounds: 100_000 });
  t.ok(bound > 10_000, `${bound} names given`);
});

t.test('a number has one record, though all look it up at once', async (t) => {
  const counted = await play('inodes', 'idents', 4, { rounds: 100_000 });
  t.ok(counted.made > 1000 && counted.found > 1000, `${counted.made} made, ${counted.found} found`);
  t.equal(counted.inodes, 0);
  t.ok(counted.kept <= 1, `${counted.kept} pages kept`);
  t.match(await play('inodes', 'identChain', 0), { removed: 2000 });
});

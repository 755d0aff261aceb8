import t from 'tap';
import { play } from './scenario';

const ROUNDS = 200_000;

t.test('one at a time holds a mutex, whatever the stay inside', async (t) => {
  for (const longest of [0, 200]) {
    const { entered, plain } = await play('locks', 'mutex', 4, { rounds: ROUNDS, longest });
    t.equal(plain, entered, `stays up to ${longest}`);
  }
});

t.test('who sleeps for a mutex is woken', async (t) => {
  t.match(await play('locks', 'mutexSleepers', 4, { rounds: 2000 }), { entered: 8000 });
});

t.test('a writer is alone with a reader-writer lock, readers are together', async (t) => {
  for (const writers of [2, 50, 100]) {
    const { wrote, plain, missed, mostInside } = await play('locks', 'readersAndWriters', 4, { rounds: ROUNDS, writers });
    t.equal(plain, wrote, `${writers} % writers`);
    t.equal(missed, 0, 'nobody slept until the limit while the lock was free');
    if (writers < 100) t.ok(mostInside > 1, `${mostInside} readers at once`);
  }
});

t.test('a writer gets its turn among readers without a pause, and a reader among writers', async (t) => {
  for (const name of ['writerAmongReaders', 'readerAmongWriters']) {
    const { longest, others } = await play('locks', name, 4, { turns: 300 });
    t.ok(longest < 1000, `${name}: waited at most ${longest} ms (the others had it ${others} times)`);
  }
});

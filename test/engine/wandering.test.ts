/** When answers are given so that their callers stay on the CPU: without a ring, from what the workers were asked. */
import t from 'tap';
import { Wandering } from '../../daemon/engine/wandering.js';

const CALLER = 4711;

function two(isAllowed = true): [Wandering, Wandering] {
  const words = new Int32Array(1024);
  return [new Wandering(words, 1, isAllowed), new Wandering(words, 2, isAllowed)];
}

/** The caller goes to and fro. */
function wander(workers: readonly Wandering[], rounds: number, caller = CALLER): void {
  for (let i = 0; i < rounds; i++) for (const worker of workers) worker.served(caller);
}

t.test('a caller that comes from the other worker each time is to stay', (t) => {
  const [one, other] = two();
  wander([one, other], 2);
  t.equal(one.isToStay || other.isToStay, false, 'twice is nothing yet');
  wander([one, other], 6);
  t.equal(one.isToStay, true);
  t.equal(other.isToStay, true);
  t.end();
});

t.test('one that stays is left alone after some answers', (t) => {
  const [one, other] = two();
  wander([one, other], 8);
  for (let i = 0; i < 100; i++) one.served(CALLER);
  t.equal(one.isToStay, false);
  for (let i = 0; i < 1000; i++) one.served(CALLER);
  t.equal(one.isToStay, false, 'nor is it ever again');
  t.end();
});

t.test('now and then is not wandering', (t) => {
  const [one, other] = two();
  for (let i = 0; i < 100; i++) {
    for (let j = 0; j < 10; j++) one.served(CALLER);
    for (let j = 0; j < 10; j++) other.served(CALLER);
  }
  t.equal(one.isToStay || other.isToStay, false);
  t.end();
});

t.test('requests that nobody waits for do not count', (t) => {
  const [one, other] = two();
  for (let i = 0; i < 8; i++) {
    one.served(CALLER);
    one.served(0);
    other.served(CALLER);
    other.served(0);
  }
  t.equal(one.isToStay, true);
  t.end();
});

t.test('two callers are not held on one CPU', (t) => {
  const [one, other] = two();
  for (let i = 0; i < 100; i++) {
    one.served(CALLER);
    other.served(CALLER + 1);
  }
  t.equal(one.isToStay || other.isToStay, false, 'they do not wander');
  wander([one, other], 8);
  t.equal(one.isToStay, true);
  one.served(CALLER + 1);
  t.equal(one.isToStay, false, 'somebody else has come');
  t.end();
});

t.test('who could not come back from it does nothing', (t) => {
  const [one, other] = two(false);
  wander([one, other], 100);
  t.equal(one.isToStay || other.isToStay, false);
  t.end();
});

/** Who counts as stuck (daemon/engine/stuck): by clocks that each thread reads for itself. */
import t from 'tap';
import { Clock, elapsed } from '../../daemon/engine/clock.js';
import { helper, isStuck } from '../../daemon/engine/stuck.js';
import { workerSlot } from '../../daemon/engine/words.js';
import { Control, WorkerSlot } from '../../daemon/overlay/table/layout.js';

const WORKERS = 2;
const NOW = 1_000_000;
const words = (): Int32Array => new Int32Array(Control.JOBS);

t.test('a worker that is in one request for 20 ms is stuck, one that has nothing to do is not', (t) => {
  const i32 = words();
  t.equal(isStuck(i32, 1, NOW), false);
  for (const [since, stuck] of [
    [NOW - 20, true],
    [NOW - 19, false],
    [NOW, false],
  ] as const) {
    i32[workerSlot(1) + WorkerSlot.BUSY_SINCE] = since;
    t.equal(isStuck(i32, 1, NOW), stuck, `since ${NOW - since} ms`);
  }
  t.equal(isStuck(i32, 2, NOW), false, 'another one');
  t.end();
});

t.test('nor is one that began after the clock was read', (t) => {
  const i32 = words();
  for (const later of [1, 2, 1000]) {
    i32[workerSlot(1) + WorkerSlot.BUSY_SINCE] = NOW + later;
    t.equal(isStuck(i32, 1, NOW), false);
    t.equal(isStuck(i32, 1, NOW, 10), false);
  }
  const spare = helper(i32, 1, WORKERS, NOW);
  i32[workerSlot(spare) + WorkerSlot.BUSY_SINCE] = NOW + 1;
  t.equal(helper(i32, 1, WORKERS, NOW), spare, 'it can help');
  t.end();
});

t.test('the clock begins anew after 2^31 ms, and time goes on', (t) => {
  t.equal(elapsed(5, 0x7fffffff - 4), 10);
  t.equal(elapsed(0x7fffffff - 4, 5), -10);
  t.equal(elapsed(NOW, NOW), 0);
  const clock = new Clock();
  const [first, second] = [clock.now(), new Clock().now()];
  t.ok(Math.abs(elapsed(second, first)) < 1000, 'every clock shows the same');
  t.end();
});

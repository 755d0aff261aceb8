/** Which worker serves which io_uring queue. */
import t from 'tap';
import { possibleCpus, queuesOf } from '../../daemon/engine/queues.js';

t.test('every queue has a worker, and a CPU its own where there are as many', (t) => {
  const machines: [usable: number[], possible: number][] = [
    [[0], 1],
    [[0, 1], 2],
    [[0, 1, 2, 3], 8],
    [[2, 5], 8],
    [[1], 2],
  ];
  for (const [usable, possible] of machines) {
    for (const workers of [1, 2, 3, 4, 7]) {
      const queues = Array.from({ length: workers }, (_, i) => queuesOf(i, workers, usable, possible));
      const name = `${workers} workers, CPUs ${usable.join(' ')} of ${possible}`;
      t.same([...new Set(queues.flat())].sort(), [...Array(possible).keys()], `${name}: none is left out`);
      for (const [index, own] of queues.entries()) {
        const cpu = usable[index % usable.length];
        t.ok(own.includes(cpu), `${name}: worker ${index} serves the CPU that it is pinned to`);
        const others = own.filter((queue) => queue !== cpu && usable.includes(queue));
        if (workers >= usable.length) t.same(others, [], `${name}: worker ${index} serves no other that has a worker`);
      }
    }
  }
  t.end();
});

t.test('an idle CPU without a worker of its own has one worker, not all', (t) => {
  const serving = [0, 1, 2].filter((index) => queuesOf(index, 3, [0, 1, 2], 64).includes(40));
  t.equal(serving.length, 1);
  t.end();
});

t.test('this machine', (t) => {
  t.ok(possibleCpus() >= 1);
  t.end();
});

/** Which worker serves which of the kernel's io_uring queues. There is one for every CPU that could be, and each must be served by somebody. */
import fs from 'node:fs';

/** How many CPUs there could be, present or not: num_possible_cpus(). */
export function possibleCpus(): number {
  const list = fs.readFileSync('/sys/devices/system/cpu/possible', 'latin1').trim();
  return list.split(',').reduce((sum, range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return sum + last - first + 1;
  }, 0);
}

/**
 * The queues of worker `index` (0 and up) of `workers`, the first of which are pinned to the CPUs of `usable` in turn. A CPU with workers of its own is
 * served by all of them, every other one by one worker.
 */
export function queuesOf(index: number, workers: number, usable: readonly number[], possible: number): number[] {
  const own = usable[index % usable.length];
  return Array.from({ length: possible }, (_, queue) => queue).filter((queue) => {
    const place = usable.indexOf(queue);
    return place >= 0 && place < workers ? queue === own : (place >= 0 ? place : queue) % workers === index;
  });
}

/** Eight processes in one mount: what each of them did is there in the end, and what all wanted one of them got. */
import t from 'tap';
import { leftBehind } from '../support/leaks.js';
import { arena, type Arena, assertClean, more, script } from './arena';
import { judge, type Knowledge, lowerTrees } from './model';

const ACTORS = 8;

async function act(test: Pick<typeof t, 'equal'>, mounted: Arena, rounds: number): Promise<Knowledge[]> {
  const clients = Array.from({ length: ACTORS }, (_, id) =>
    script('actor', [mounted.mountpoint, `${id}`, `${ACTORS}`, `${rounds}`], 240_000),
  );
  const all = await Promise.all(clients.map((client) => client.ended));
  all.forEach(({ status, output }, id) => test.equal(status, 0, `actor ${id}: ${status === 0 ? 'agrees' : output.slice(0, 500)}`));
  return all.filter(({ status }) => status === 0).map(({ output }) => JSON.parse(output) as Knowledge);
}

for (const options of [[], ['passthrough=never', 'volatile']]) {
  t.test(`eight processes work in one mount ${options.join(' ')}`, async (t) => {
    const mounted = await arena(t, lowerTrees(ACTORS), options);
    const all = await act(t, mounted, more(options.length === 0 ? 1000 : 2000));
    if (all.length < ACTORS) return;
    t.same(judge(mounted.mountpoint, all), [], 'the tree is what they say');
    await mounted.remount();
    t.same(judge(mounted.mountpoint, all), [], 'and so it is after a remount');
    await assertClean(t, mounted);
  });
}

t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

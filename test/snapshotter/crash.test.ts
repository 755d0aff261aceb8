/** kill -9 of plyd at every step of what containerd asks: afterwards catalog, mounts and directories agree, and all can still be used. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { leftBehind, until } from '../plyd/daemon.js';
import { argumentsFor, refusal, type Snapshots, testSnapshots } from './client.js';

const STEPS: Record<string, { request: (snapshots: Snapshots) => Promise<unknown>; points: string[] }> = {
  prepare: {
    request: (snapshots) => snapshots.prepare('new', 'base'),
    points: ['snapshot:directories', 'snapshot:row', 'snapshot:renamed', 'mount:row', 'mount:mounted'],
  },
  commit: {
    request: (snapshots) => snapshots.commit('top', 'active'),
    points: ['unmount:row', 'unmount:unmounted', 'snapshot-commit:unmounted', 'snapshot-commit:row'],
  },
  remove: {
    request: (snapshots) => snapshots.remove('active'),
    points: ['snapshot-remove:unmounted', 'snapshot-remove:renamed', 'snapshot-remove:row'],
  },
};

for (const [doing, { request, points }] of Object.entries(STEPS)) {
  for (const point of points) {
    testSnapshots(`plyd is killed during ${doing}, at ${point}`, async (t, snapshots, plyd) => {
      await snapshots.layer('base', '', 'echo base >motd');
      await snapshots.prepare('active', 'base');
      await snapshots.inside('active', 'echo mine >mine');
      const bystander = await snapshots.prepare('bystander', 'base');
      await plyd.stop('SIGKILL');
      await plyd.start(argumentsFor(plyd), { PLYD_PAUSE_AT: point });
      const answer = refusal(request(snapshots));
      await until(point, () => fs.existsSync(plyd.pauses) && fs.readFileSync(plyd.pauses, 'utf8').includes(point), 30_000);
      await plyd.stop('SIGKILL');
      t.not(await answer, 'OK');
      fs.rmSync(plyd.pauses);
      await plyd.start(argumentsFor(plyd));
      t.same(await snapshots.mounts('bystander'), [bystander]);
      t.equal(await snapshots.inside('bystander', 'cat motd'), 'base\n');
      const keys = await snapshots.keys();
      t.equal(fs.readdirSync(path.join(plyd.root, 'snapshots')).length, keys.length, 'a directory for each, and no half ones');
      for (const key of keys.filter((key) => key !== 'base' && key !== 'top'))
        await snapshots.inside(key, 'grep -q base motd && touch new');
      if (keys.includes('active')) t.equal(await snapshots.inside('active', 'cat mine'), 'mine\n');
      if (keys.includes('top')) {
        await snapshots.view('of-top', 'top');
        t.equal(await snapshots.inside('of-top', 'cat mine motd'), 'mine\nbase\n');
      }
      await snapshots.removeAll();
      t.same(plyd.mounted(), []);
      t.same(fs.readdirSync(path.join(plyd.root, 'snapshots')), []);
    });
  }
}

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

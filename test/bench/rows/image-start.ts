import fs from 'node:fs';
import path from 'node:path';
import { type Figure, ownLimit, row, verify } from '../contract.js';
import { debianImages, plyProgram, timed } from '../images.js';
import { Plyd } from '../plyd.js';
import { command } from '../processes.js';
import { median, percentile } from '../statistics.js';

const figure = (key: string, title: string, checks: Figure['checks'] = []): Figure => ({ key, title, unit: 'ms', better: 'less', checks });

export const imageStart = row({
  name: 'image-start',
  title: 'start of a container of an imported image, p50 / p99; ply run of a command in it',
  about:
    'an imported Debian image: POST …/start of 200 containers of it, one after the other, over a kept connection, and an lstat in the mount that it names; the first one of the image apart (another image’s container runs already, so the engine does). Then ply run IMAGE true, median of 10: from exec of ply to its end, the container made and removed. Nothing is unpacked or walked.',
  dominates:
    'start: as for a container of directories; the first one opens the layers’ indexes. run: the start of Node.js, bubblewrap’s namespaces, and making and removing the container, with an fsync for each change of the catalog.',
  systems: ['dev', 'uring'],
  figures: [
    figure('first', 'first start of the image', ownLimit({ atMost: 50 })),
    figure('p50', 'start, p50', ownLimit({ atMost: 5 })),
    figure('p99', 'start, p99', ownLimit({ atMost: 20 })),
    figure('run', 'ply run IMAGE true'),
  ],
  setup: debianImages,
  async prepare(place, { images: [debian] }) {
    const plyd = await Plyd.start(place);
    await timed(plyProgram(place), ['import', debian.archive, debian.name], { ...process.env, PLY_SOCKET: plyd.socket });
    fs.mkdirSync(place.path('other'));
    await plyd.image('other', [place.path('other')]);
    await plyd.create('other', 'other', `transport=${place.system}`);
    await plyd.startContainer('other'); // the engine runs: its start is not the image's
    return plyd;
  },
  async measure(place, plyd, { images: [debian], entries }) {
    const times: number[] = [];
    const options = `transport=${place.system}`;
    for (let i = 0; i < place.bench.amount(200, 20); i++) {
      await plyd.create(debian.name, `c${i}`, options);
      const began = process.hrtime.bigint();
      const point = await plyd.startContainer(`c${i}`);
      fs.lstatSync(path.join(point, 'etc'));
      times.push(Number(process.hrtime.bigint() - began) / 1e6);
      if (i === 0) verify('entries', await count(point), entries);
      await plyd.remove(`c${i}`);
    }
    const runs: number[] = [];
    for (let i = 0; i < place.bench.amount(10, 3); i++) {
      const args = ['run', '-o', options, debian.name, 'true'];
      runs.push((await timed(plyProgram(place), args, { ...process.env, PLY_SOCKET: plyd.socket })) * 1000);
    }
    return { first: times[0], p50: percentile(times.slice(1), 50), p99: percentile(times.slice(1), 99), run: median(runs) };
  },
});

async function count(point: string): Promise<number> {
  return Number(await command('sh', ['-c', 'find "$0" -mindepth 1 -printf x | wc -c', point], { limitMs: 120_000 }));
}

/** The log's lines: the same from the main thread (pino) and from workers. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { type Log, openLineLog, openLog } from '../../daemon/log.js';
import { leftBehind, removeDirectory, temporaryDirectory } from '../support/leaks.js';

const base = temporaryDirectory();

for (const [name, open] of Object.entries({ pino: openLog, lines: openLineLog })) {
  t.test(name, (t) => {
    const file = path.join(base, name);
    const fd = fs.openSync(file, 'w');
    const log: Log = open('info', { name: 'test', worker: 3 }, fd);
    log.debug({}, 'not written');
    log.info({ mount: 1, mountpoint: '/m\u{fffd}"\n' }, 'mounted');
    log.error({ err: new RangeError('broken') }, 'a request failed');
    t.ok(log.enabled('warn') && !log.enabled('debug') && !log.enabled('silent'));
    const lines = fs
      .readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    t.match(lines, [
      {
        level: 30,
        time: Number,
        pid: process.pid,
        hostname: String,
        name: 'test',
        worker: 3,
        mount: 1,
        mountpoint: '/m\u{fffd}"\n',
        msg: 'mounted',
      },
      { level: 50, name: 'test', err: { type: 'RangeError', message: 'broken', stack: /log\.test/ }, msg: 'a request failed' },
    ]);
    fs.closeSync(fd);
    t.end();
  });
}

t.test('a descriptor that takes nothing does not stop a worker', (t) => {
  openLineLog('info', {}, 9999).fatal({}, 'nobody hears it');
  openLineLog('silent', {}, 2).fatal({}, 'nobody is to hear it');
  t.pass();
  t.end();
});

t.teardown(async () => {
  await removeDirectory(base);
  const left = await leftBehind();
  if (left.length > 0) throw new Error(left.join('\n'));
});

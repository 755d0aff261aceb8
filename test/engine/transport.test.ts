/** Which transport a mount gets, and what is said when it is not the one that was asked for. */
import fs from 'node:fs';
import t from 'tap';
import { ringFailure } from '../../daemon/engine/transport.js';
import { Errno } from '../../daemon/errno.js';
import { leftBehind } from '../support/leaks.js';
import { read, StandInEngine, until } from './harness.js';

const PARAMETER = '/sys/module/fuse/parameters/enable_uring';

function switchedOn(): boolean | undefined {
  return fs.existsSync(PARAMETER) ? fs.readFileSync(PARAMETER, 'latin1').trim() === 'Y' : undefined;
}

async function told(engine: StandInEngine): Promise<string[]> {
  const lines = (): string[] => engine.lines().flatMap(({ msg }) => (msg.startsWith('transport: ') ? [msg] : []));
  await until('told', () => lines().length > 0);
  return lines();
}

t.test('dev when it is asked for, and it is said once', async (t) => {
  const engine = new StandInEngine(1);
  for (let i = 0; i < 2; i++) {
    const point = await engine.mount(1, { options: 'transport=dev' });
    t.match(await read(`${point}/hello`), { status: 0 });
  }
  t.same(await told(engine), ['transport: dev: transport=dev was asked for']);
  await engine.end();
});

t.test('auto always serves, and says why not over io_uring', async (t) => {
  const engine = new StandInEngine(2);
  const before = switchedOn();
  const point = await engine.mount(1, { options: 'transport=auto' });
  t.match(await read(`${point}/hello`), { status: 0 });
  const [line] = await told(engine);
  if (before !== switchedOn()) t.pass('the switch was used by another test meanwhile');
  else if (before === undefined) t.match(line, /^transport: dev: .*it came with Linux 6\.14/);
  else if (before) t.match(line, /^transport: (uring: |dev: .*not use io_uring)/);
  else t.match(line, /^transport: dev: .*switched off: as root, echo Y >\/sys\/module\/fuse\/parameters\/enable_uring/);
  await engine.end();
});

t.test('io_uring that is demanded and cannot be had is an error, and others go on', async (t) => {
  const engine = new StandInEngine(1);
  const point = await engine.mount(1, { options: 'transport=dev' });
  if (switchedOn() === true) t.pass('it can be had here', { skip: 'enable_uring is Y' });
  else await t.rejects(engine.mount(1, { options: 'transport=uring' }), { message: /^transport=uring cannot be had: / });
  t.match(await read(`${point}/hello`), { status: 0 });
  await engine.end();
});

t.test('why there is no ring', (t) => {
  t.match(ringFailure(-Errno.EPERM), /kernel\.io_uring_disabled/);
  t.match(ringFailure(-Errno.ENOSYS), /no io_uring/);
  t.match(ringFailure(-Errno.ENOMEM), /RLIMIT_MEMLOCK/);
  t.match(ringFailure(-Errno.EINVAL), /errno 22/);
  t.end();
});

t.teardown(async () => {
  const left = await leftBehind();
  if (left.length > 0) throw new Error(left.join('\n'));
});

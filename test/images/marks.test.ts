/** What somebody in a container sets that looks like a mark of an overlay's is none: diff and commit see what the mount shows. */
import t from 'tap';
import type { Change, CommitResult } from '../../daemon/api/types.js';
import { leftBehind, testWithPlyd } from '../plyd/daemon.js';
import { must } from '../support/mounts.js';
import { done } from './support.js';

/** cap_setuid=ep, as vfs_cap_data has it (<linux/capability.h>) */
const CAPABILITY = '0x0100000280000000000000000000000000000000';

/** To be run by an ordinary user, in a container's tree; `old` is a directory of the image that is his. */
const PRETEND = `
  echo mine >mine/file; : >mine/empty; : >mine/gone
  setfattr -n user.overlay.metacopy mine/file
  setfattr -n user.overlay.redirect -v /etc/hosts mine/file
  setfattr -n user.overlay.ply.capability -v ${CAPABILITY} mine/file
  setfattr -n user.overlay.ply.char00 mine/empty
  setfattr -n user.overlay.whiteout mine/gone
  setfattr -n user.overlay.opaque -v x mine
  setfattr -n user.overlay.opaque -v y var/old
  setfattr -n user.overlay.redirect -v /etc var/old`;

const LOOK = `find . -mindepth 1 -printf '%P %y %m %U %s\\n' | LC_ALL=C sort; cat mine/file; getcap -r .`;

testWithPlyd('marks that an ordinary user sets in a container', async (t, plyd) => {
  await plyd.image();
  await plyd.create('img', 'c');
  const mountpoint = (await plyd.begin('c')).mountpoint!;
  const look = (at: string): Promise<string> => must('sh', ['-ec', LOOK], { cwd: at, timeoutMs: 20_000 });
  await must('sh', ['-ec', 'mkdir mine; chown 1000:1000 mine var/old'], { cwd: mountpoint, timeoutMs: 20_000 });
  const user = ['--reuid=1000', '--regid=1000', '--clear-groups', 'sh', '-ec', PRETEND];
  await must('setpriv', user, { cwd: mountpoint, timeoutMs: 20_000 });
  const before = await look(mountpoint);
  t.match(before, /^var\/old\/one f /m, 'nothing is hidden');
  const { changes } = await plyd.must<{ changes: Change[] }>('GET', '/v1/containers/c/diff');
  t.same(
    changes.map(({ kind, path }) => `${kind} ${path}`),
    ['A /mine', 'A /mine/empty', 'A /mine/file', 'A /mine/gone', 'C /var', 'C /var/old'],
  );
  await done<CommitResult>(plyd, 'POST', '/v1/containers/c/commit', { tag: 'made' });
  await plyd.create('made', 'd');
  const made = (await plyd.begin('d')).mountpoint!;
  t.equal(await look(made), before, 'the file has its own data, and no capability');
  for (const name of ['d', 'c']) await plyd.remove(name, true);
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

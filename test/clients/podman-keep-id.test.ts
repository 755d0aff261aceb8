/** --userns=keep-id: the user in the container is the user outside, and root's files are still root's. */
import t from 'tap';
import { leftBehind } from '../plyd/daemon.js';
import { smallContext } from './context.js';
import { Place, whyNot } from './place.js';

void t.test('--userns=keep-id', { skip: whyNot('rootless') ?? false }, async (t) => {
  const place = await Place.make('rootless');
  try {
    await place.build(smallContext(place), 'img');
    const source = place.own('source');
    const id = (await place.must('id', '-u')).trim();
    const script =
      'id -u; stat -c "%u:%g %n" /etc/passwd /opt/dangling; touch /src/mine; echo x >/tmp/mine; stat -c "%u %n" /src/mine /tmp/mine';
    const said = await place.podman('run', '--name', 'worker', '--userns=keep-id', '-v', `${source}:/src`, 'img', 'sh', '-c', script);
    t.equal(said, `${id}\n0:0 /etc/passwd\n33:44 /opt/dangling\n${id} /src/mine\n${id} /tmp/mine\n`, 'owners are as in the image');
    const root = 'chown 33:44 /tmp/mine && stat -c "%u:%g" /tmp/mine && rm /etc/passwd && echo done';
    const asRoot = await place.podman(
      'run',
      '--name',
      'rooted',
      '--userns=keep-id',
      '--user',
      '0',
      'img',
      'sh',
      '-c',
      `touch /tmp/mine && ${root}`,
    );
    t.equal(asRoot, '33:44\ndone\n', 'root in there changes what is root’s, and gives it away');
    await place.podman('commit', '-q', 'rooted', 'committed');
    const later = await place.podman(
      'run',
      '--rm',
      'committed',
      'sh',
      '-c',
      'stat -c "%u:%g %n" /tmp/mine /bin/busybox; ls /etc/passwd 2>&1',
    );
    t.match(later, /^33:44 \/tmp\/mine\n0:0 \/bin\/busybox\n/, 'and commit keeps the owners of the container');
  } finally {
    await place.end(t);
  }
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

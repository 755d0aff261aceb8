/** A Debian image in which apt-get installs packages: of a repository in the build's context, so that no mirror is asked. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { leftBehind } from '../plyd/daemon.js';
import { must, run } from '../support/mounts.js';
import { Place, whyNot } from './place.js';

const ROOT = path.resolve(__dirname, '../../../scripts/make-debian-root');
const LIMIT_MS = 600_000;

const STEPS = `FROM localhost/debian
COPY debs/ /debs/
RUN rm -rf /etc/apt/sources.list /etc/apt/sources.list.d && echo 'deb [trusted=yes] file:/debs ./' >/etc/apt/sources.list && apt-get update -q
RUN DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends figlet && rm -rf /debs
RUN dpkg --verify && dpkg --audit && apt-get purge -y -q figlet && test ! -e /usr/bin/figlet
`;

/** Why there is no Debian root; undefined: it is at the path. */
async function debianRoot(): Promise<{ root?: string; why?: string }> {
  const { status, stdout, stderr } = await run(ROOT, ['figlet'], { timeoutMs: LIMIT_MS });
  return status === 0 ? { root: stdout.trim() } : { why: `no Debian root can be made here: ${stderr.trim().slice(-300)}` };
}

async function contextWith(place: Place, root: string): Promise<string> {
  const context = place.own('context');
  const debs = path.join(context, 'debs');
  fs.mkdirSync(debs);
  const cache = path.join(root, '../debs');
  for (const name of fs.readdirSync(cache).filter((one) => one.startsWith('figlet_')))
    fs.copyFileSync(path.join(cache, name), path.join(debs, name));
  fs.writeFileSync(path.join(debs, 'Packages'), await must('dpkg-scanpackages', ['.'], { cwd: debs }));
  fs.writeFileSync(path.join(context, 'Containerfile'), STEPS);
  return context;
}

void t.test('RUN apt-get', { skip: whyNot('root', 'mmdebstrap', 'dpkg-scanpackages') ?? false }, async (t) => {
  const { root, why } = await debianRoot();
  if (root === undefined) {
    t.plan(0, why);
    return;
  }
  const place = await Place.make('root');
  try {
    const tar = place.at('tmp/debian.tar');
    await must('tar', ['-C', root, '--numeric-owner', '--xattrs', '-cf', tar, '.'], { timeoutMs: LIMIT_MS });
    await place.podman('import', '-q', tar, 'debian');
    fs.rmSync(tar);
    await place.build(await contextWith(place, root), 'with-apt');
    t.match(await place.podman('run', '--rm', 'with-apt', 'dpkg', '--audit'), /^$/, 'dpkg finds nothing amiss');
    t.match(await place.podman('diff', 'with-apt'), /^D \/usr\/bin\/figlet$/m, 'the last layer has whiteouts of what was purged');
    const parent = (await place.podman('image', 'inspect', '--format', '{{.Parent}}', 'with-apt')).trim();
    t.match(await place.podman('run', '--rm', parent, 'figlet', '-f', 'term', 'plyfs'), /plyfs/, 'which the layer before it has');
  } finally {
    await place.end(t);
  }
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

/** What README.md says to put where, for each client, as it is written: only paths are others here. */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { CANNOT, leftBehind } from '../plyd/daemon.js';
import { must, run } from '../support/mounts.js';
import { plyfsBinary } from '../support/targets.js';
import { smallContext } from './context.js';
import { Machine } from './machine.js';
import { Place, whyNot } from './place.js';

const README = fs.readFileSync(path.resolve(__dirname, '../../../README.md'), 'utf8');
const INSTALLED = '/usr/bin/plyfs';

/** The block that follows the sentence that names the file. */
function blockFor(file: string): string {
  const at = README.indexOf(`in \`${file}\``);
  const block = /^```\w*\n(.*?)^```$/ms.exec(README.slice(at))?.[1];
  if (at < 0 || block === undefined) throw new Error(`README.md has no block for ${file}`);
  return block;
}

async function works(t: Test, place: Place, global: readonly string[] = []): Promise<void> {
  const podman = (...args: string[]): Promise<string> => place.podman(...global, ...args);
  await podman('build', '-q', '--isolation=chroot', '-t', 'img', smallContext(place));
  t.match(await podman('run', '--rm', 'img', 'head', '-n', '1', '/proc/self/mounts'), /^plyfs \/ fuse\.plyfs /, 'podman runs on plyfs');
  if (global.length === 0) {
    const built = await place.must('buildah', 'from', '-q', 'img');
    t.equal(await place.must('buildah', 'run', '--isolation=chroot', built.trim(), 'cat', '/opt/one'), 'one\n', 'and buildah');
    await place.must('buildah', 'rm', '-a');
  }
}

void t.test('podman and buildah of root', { skip: whyNot('root') ?? false }, async (t) => {
  const block = blockFor('/etc/containers/storage.conf').replace(INSTALLED, plyfsBinary);
  const place = await Place.make('root', { storageConf: (places) => block.replace('[storage]\n', `[storage]\n${places}`) });
  try {
    await works(t, place);
  } finally {
    await place.end(t);
  }
});

void t.test('podman and buildah of an ordinary user', { skip: whyNot('rootless') ?? false }, async (t) => {
  const place = await Place.make('rootless');
  try {
    delete place.env['CONTAINERS_STORAGE_CONF'];
    const block = blockFor('~/.config/containers/storage.conf').replace(INSTALLED, plyfsBinary);
    fs.writeFileSync(place.at('home/.config/containers/storage.conf'), block);
    await works(t, place);
  } finally {
    await place.end(t);
  }
});

void t.test('CRI-O: its options, as podman takes them', { skip: whyNot('root') ?? false }, async (t) => {
  const { parse } = await import('smol-toml');
  const { crio } = parse(blockFor('/etc/crio/crio.conf.d/10-plyfs.conf').replace(INSTALLED, plyfsBinary)) as {
    crio: { storage_driver: string; storage_option: string[] };
  };
  const place = await Place.make('root');
  try {
    await works(t, place, ['--storage-driver', crio.storage_driver, ...crio.storage_option.flatMap((one) => ['--storage-opt', one])]);
  } finally {
    await place.end(t);
  }
});

/** README's paths, made below the base. */
function here(machine: Machine, text: string): string {
  for (const name of ['layers/app', 'layers/base', 'web/upper', 'web/work', 'srv/web']) fs.mkdirSync(machine.at(name), { recursive: true });
  fs.writeFileSync(machine.at('layers/base/file'), 'base\n');
  return text
    .replaceAll('/var/web', machine.at('web'))
    .replaceAll('/layers/', `${machine.at('layers')}/`)
    .replaceAll('/srv/web', machine.at('srv/web'));
}

const USE = 'cat srv/web/file && echo new >srv/web/file && umount srv/web && cat web/upper/file';

for (const [name, names] of [
  ['with mount.fuse.plyfs', ['mount.fuse.plyfs']],
  ['with mount.fuse3', []],
] as const) {
  void t.test(`fstab and systemd's mount unit, ${name}`, { skip: CANNOT ?? false }, async (t) => {
    const machine = new Machine(names);
    try {
      fs.writeFileSync(machine.at('fstab'), here(machine, blockFor('/etc/fstab')));
      t.match(await machine.sh(`mount -a -T fstab && ${USE}`), { status: 0, stdout: 'base\nnew\n', stderr: '' }, 'fstab');
      fs.rmSync(machine.at('web/upper/file'));
      const unit = here(machine, blockFor('/etc/systemd/system/srv-web.mount'));
      const field = (key: string): string => new RegExp(`^${key}=(.*)$`, 'm').exec(unit)?.[1] ?? '';
      // as systemd does it (mount_enter_mounting)
      const command = `mount '${field('What')}' '${field('Where')}' -t ${field('Type')} -o '${field('Options')}'`;
      t.match(await machine.sh(`${command} && ${USE}`), { status: 0, stdout: 'base\nnew\n', stderr: '' }, 'the unit');
    } finally {
      t.same(await machine.end(), [], 'no engine is left');
    }
  });
}

void t.test(
  'the mount unit is one to systemd',
  { skip: CANNOT ?? (fs.existsSync('/usr/bin/systemd-analyze') ? false : 'needs systemd-analyze') },
  async (t) => {
    const machine = new Machine();
    try {
      const file = machine.at('srv-web.mount');
      const unit = blockFor('/etc/systemd/system/srv-web.mount');
      fs.writeFileSync(file, unit);
      t.match(await run('systemd-analyze', ['verify', '--man=no', file]), { status: 0, stderr: '' });
      t.match(
        await must('systemd-escape', ['-p', '--suffix=mount', /^Where=(.*)$/m.exec(unit)?.[1] ?? '']),
        'srv-web.mount\n',
        'and its name is that of its place',
      );
    } finally {
      await machine.end();
    }
  },
);

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

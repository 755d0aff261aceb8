/** mount(8), umount(8) and fstab, with plyfs as the helper of a file system type. */
import fs from 'node:fs';
import t, { type Test } from 'tap';
import { CANNOT, leftBehind } from '../plyd/daemon.js';
import { Machine, MOUNT_NAMES } from './machine.js';

function onMachine(name: string, body: (t: Test, machine: Machine) => Promise<void>, names?: readonly string[]): void {
  void t.test(name, { skip: CANNOT ?? false }, async (t) => {
    const machine = new Machine(names);
    try {
      await body(t, machine);
    } finally {
      t.same(await machine.end(), [], 'no engine is left');
    }
  });
}

const SHOW = 'grep " $0/m " /proc/mounts | cut -d " " -f 1,3,4 | cut -d , -f 1-3';
const OPTIONS = 'lowerdir=a:b,upperdir=u,workdir=w';

for (const [name, type, names] of [
  ['mount -t plyfs, by mount.plyfs', 'plyfs', MOUNT_NAMES],
  ['mount -t fuse.plyfs, by mount.fuse.plyfs', 'fuse.plyfs', MOUNT_NAMES],
  ['mount -t fuse.plyfs, by mount.fuse3', 'fuse.plyfs', []],
] as const) {
  onMachine(
    name,
    async (t, machine) => {
      const script = `mount -t ${type} layers m -o ${OPTIONS},nodev && ${SHOW} && cat m/top m/low && echo new >m/new && umount m && cat u/new && ls m`;
      t.match(await machine.sh(script), { status: 0, stdout: 'layers fuse.plyfs rw,nodev,relatime\nof a\nof b\nnew\n', stderr: '' });
      const flags = `mount -s -n -v -t ${type} layers m -r -o lowerdir=a:b && ${SHOW} && umount m`;
      t.match(
        await machine.sh(flags),
        { status: 0, stdout: /^layers fuse\.plyfs ro,relatime,/m, stderr: '' },
        'with the flags that mount(8) hands on',
      );
      const wrong = await machine.sh(`mount -t ${type} layers m -o lowerdir=a:nowhere`);
      t.match(wrong, { status: /[1-9]/, stderr: /plyfs: .*nowhere/ }, 'what fails says why');
      t.notMatch(wrong.stderr, /left:/, 'and mounts nothing');
    },
    names,
  );
}

onMachine('mount -f looks at the options and mounts nothing', async (t, machine) => {
  for (const type of ['plyfs', 'fuse.plyfs']) {
    t.match(await machine.sh(`mount -f -t ${type} layers m -o ${OPTIONS} && ${SHOW}`), { status: 0, stdout: '', stderr: '' });
    t.match(await machine.sh(`mount -f -t ${type} layers m -o upperdir=u`), { status: 1, stderr: /lowerdir is missing/ });
  }
});

onMachine('a remount changes the flags, and nothing else', async (t, machine) => {
  for (const type of ['plyfs', 'fuse.plyfs']) {
    const { status, stdout, stderr } = await machine.sh(
      `mount -t ${type} layers m -o ${OPTIONS},nosuid && mount -o remount,ro "$0/m" && ${SHOW} && ! touch m/x && mount -o remount,rw,lowerdir=/none "$0/m" && ${SHOW} && touch m/x && ls u; umount m`,
    );
    t.equal(status, 0, stderr);
    t.match(stdout, /^layers fuse\.plyfs ro,nosuid,relatime\nlayers fuse\.plyfs rw,nosuid,relatime\nx\n$/);
    t.match(stderr, /Read-only file system/);
  }
  const direct = await machine.sh(
    `mount -t plyfs layers m -o ${OPTIONS},nodev && plyfs -o remount,noexec "$0/m" && ${SHOW}; plyfs -f -o remount,ro "$0/m"; touch m/y; umount m; plyfs -o remount,ro "$0/m"`,
  );
  t.equal(direct.status, 1);
  t.match(direct.stdout, /^layers fuse\.plyfs rw,nodev,noexec\n/);
  t.match(direct.stderr, /Read-only file system.*\nplyfs: cannot remount .*\/m: no plyfs is mounted there\n$/s);
});

onMachine('lines of an fstab', async (t, machine) => {
  const further = 'noauto,nofail,_netdev,nosuid,x-systemd.requires=plyd.service';
  for (const type of ['plyfs', 'fuse.plyfs']) {
    const auto = `lowerdir=${machine.at('a')}:${machine.at('b')},upperdir=${machine.at('u')},workdir=${machine.at('w')}`;
    fs.mkdirSync(machine.at('its place'), { recursive: true });
    const line = (place: string, options: string): string => `layers ${machine.at(place)} ${type} ${options} 0 0\n`;
    fs.writeFileSync(machine.at('fstab'), line('m', auto) + line('its\\040place', `lowerdir=${machine.at('b')},${further}`));
    const all = `mount -a -T fstab && ${SHOW} && cat m/top && mount -a -T fstab && grep -c " $0/m " /proc/mounts && umount m`;
    t.match(await machine.sh(all), { status: 0, stdout: /^layers fuse\.plyfs rw,relatime,.*\nof a\n1\n$/, stderr: '' }, 'mount -a, twice');
    const one = 'mount -T fstab "$0/its place" && cat "its place/low" && umount "$0/its place"';
    t.match(await machine.sh(one), { status: 0, stdout: 'of b\n', stderr: '' }, 'one by its mountpoint');
  }
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));

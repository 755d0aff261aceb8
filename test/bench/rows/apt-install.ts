import { row, seconds, verify } from '../contract.js';
import { APT_INSTALL, INSTALLED, aptRoot, inside, mountRoot, timedInside, warmRoot } from '../debian.js';

/** The commonest thing that an image is built with. */
export const aptInstall = row({
  name: 'apt-install',
  title: 'apt-get install of git, python3, gcc (local file: repository)',
  about:
    'apt-get install --no-install-recommends in a chroot over a Debian minbase root of three layers, from packages in one of them; dpkg with force-unsafe-io, as Debian’s images have it. The programs are run afterwards, and dpkg --audit has to be silent.',
  dominates:
    'dpkg unpacking: CREATE, WRITE, SETATTR, RENAME for each file, LINK of its status files, and the maintainer scripts’ many execs (LOOKUP, OPEN, mmap of libraries).',
  systems: ['bare', 'ov', 'fo', 'dev', 'uring'],
  figures: [seconds('install', 'apt-get install', { devOv: 1.3, uringOv: 1.15, foDev: 1.3, foUring: 1.4 })],
  setup: async (bench) => warmRoot(await aptRoot(bench)),
  prepare: mountRoot,
  async measure(place, { point }) {
    const ran = await timedInside(place, point, `${APT_INSTALL} ${INSTALLED.join(' ')}`);
    const answer = await inside(
      point,
      'git --version; python3 -c "print(6 * 7)"; echo "int main(void) { return 7; }" | gcc -S -x c -o - - | grep -c main:; dpkg --audit',
    );
    verify('what the programs say', answer.replace(/^git version 2[.0-9]+\n/, ''), '42\n1\n');
    return { install: ran.seconds };
  },
});

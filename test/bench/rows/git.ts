import { row, seconds, verify } from '../contract.js';
import { inside, mountRoot, timedInside, toolsRoot, warmRoot } from '../debian.js';

const DIRECTORIES = '/usr/lib/python3 /usr/include';

/** Reading everything, writing many small files, and looking at everything again. */
export const git = row({
  name: 'git',
  title: 'git add + commit + 5 status over /usr/lib/python3 and /usr/include',
  about:
    'git init, add --all, commit and five times status in each of the two directories of a Debian root with tools (python3-numpy and python3-sympy are in the first), in a fresh mount. The number of committed files is verified.',
  dominates:
    'add: OPEN and READ of each file, and hashing; CREATE, LINK and UNLINK of each object. status: lstat of each file, which the kernel answers, and reading each directory.',
  systems: ['bare', 'ov', 'fo', 'dev', 'uring'],
  figures: [seconds('git', 'git add, commit, 5 status', { devOv: 1.8, uringOv: 1.3, foDev: 1.6, foUring: 2.2 })],
  setup: async (bench) => warmRoot(await toolsRoot(bench)),
  prepare: mountRoot,
  async measure(place, { point }) {
    const script = `for d in ${DIRECTORIES}; do cd $d; git init -q; git config gc.auto 0; git add --all; git commit -q -m all; for i in 1 2 3 4 5; do git status --porcelain; done; done`;
    const ran = await timedInside(place, point, script);
    const counts = await inside(
      point,
      `for d in ${DIRECTORIES}; do cd $d; git ls-tree -r HEAD | wc -l; find . -path ./.git -prune -o ! -type d -print | wc -l; done`,
    );
    const [committed, there, committedToo, thereToo] = counts.trim().split('\n');
    verify('files in the commit of /usr/lib/python3', committed, there);
    verify('files in the commit of /usr/include', committedToo, thereToo);
    verify('there are files', Number(committed) > 1000 && Number(committedToo) > 500, true);
    return { git: ran.seconds };
  },
});

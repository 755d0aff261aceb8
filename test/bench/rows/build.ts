import { row, seconds, verify } from '../contract.js';
import { inside, mountRoot, timedInside, toolsRoot, warmRoot } from '../debian.js';

/** Many short processes over the same headers. */
export const build = row({
  name: 'build',
  title: 'a C build with -j2',
  about:
    'make -j2 of a program of 61 C files in a Debian root with tools, in a fresh mount. The program is run, and what it prints compared with the bare directory’s.',
  dominates: 'the compiler. Of the file system: exec and mmap of cc1, as and ld, lookups along the include path, small writes of objects.',
  systems: ['bare', 'ov', 'fo', 'dev', 'uring'],
  figures: [seconds('build', 'C build with -j2', { foDev: 1.3, foUring: 1.5 })],
  setup: async (bench) => ({ ...(await warmRoot(await toolsRoot(bench))), answers: new Set<string>() }),
  prepare: (place, shared) => mountRoot(place, shared),
  async measure(place, { point }, { answers }) {
    const ran = await timedInside(place, point, 'make -C /src -s -j2 program');
    answers.add((await inside(point, '/src/program')).trim());
    verify('different answers of the program', answers.size, 1);
    return { build: ran.seconds };
  },
});

import fs from 'node:fs';
import { row, seconds, verify } from '../contract.js';
import { inside, mountRoot, timedInside, toolsRoot, warmRoot } from '../debian.js';

const GREP = 'grep -r -l -F "Copyright (C)" /usr';

/** Reading everything once. */
export const grep = row({
  name: 'grep',
  title: 'grep -r over /usr',
  about:
    'grep -r -l for a string over /usr of a Debian root with tools, in a fresh mount. The files that it finds are compared with what it finds on the bare directory.',
  dominates: 'OPEN, READ (or passthrough) and RELEASE of each file, the reading of directories, and grep itself.',
  systems: ['bare', 'ov', 'fo', 'dev', 'uring'],
  figures: [seconds('grep', 'grep -r over /usr', { foDev: 1.3, foUring: 1.5 })],
  async setup(bench) {
    const root = await warmRoot(await toolsRoot(bench));
    const sorted = (text: string): string => text.split('\n').sort().join('\n');
    return { ...root, sorted, expected: sorted(await inside(root.merged, GREP)) };
  },
  prepare: (place, shared) => mountRoot(place, shared),
  async measure(place, { point }, { sorted, expected }) {
    const out = place.path('found');
    const ran = await timedInside(place, point, GREP, out);
    verify('the files that grep finds are those of the bare directory', sorted(fs.readFileSync(out, 'utf8')) === expected, true);
    return { grep: ran.seconds };
  },
});

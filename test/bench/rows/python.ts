import fs from 'node:fs';
import { row, seconds, verify } from '../contract.js';
import { mountRoot, timedInside, toolsRoot, warmRoot } from '../debian.js';

const PROGRAM = [
  'import sys, asyncio, email.mime.text, http.server, multiprocessing, sqlite3, ssl, unittest, xml.dom.minidom, numpy, sympy, sympy.stats',
  'print(len(sys.modules) > 700, int(numpy.arange(10).sum()), sympy.integrate(sympy.Symbol("x")))',
].join('; ');

/** Starting a program of a thousand files. */
export const python = row({
  name: 'python',
  title: 'python3 with big imports',
  about:
    'python3 importing numpy, sympy and much of its own library (some 800 modules) in a fresh mount. The program’s answer is verified.',
  dominates: 'the interpreter; then for each module lstat and open in every directory of the path, and reading its .pyc.',
  systems: ['bare', 'ov', 'fo', 'dev', 'uring'],
  figures: [seconds('python', 'python3 with big imports', { foDev: 1.3, foUring: 1.5 })],
  setup: async (bench) => warmRoot(await toolsRoot(bench)),
  prepare: mountRoot,
  async measure(place, { point }) {
    const out = place.path('answer');
    const ran = await timedInside(place, point, `python3 -c '${PROGRAM}'`, out);
    verify('its answer', fs.readFileSync(out, 'utf8').trim(), 'True 45 x**2/2');
    return { python: ran.seconds };
  },
});

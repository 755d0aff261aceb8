/** Writes dist/man, dist/completions and dist/plyd.toml, after tsc: node dist/scripts/manual/main.js */
import fs from 'node:fs';
import path from 'node:path';
import { completionScript, SHELLS } from '../../cli/completion/scripts.js';
import { exampleConfiguration, pages } from './pages.js';

const DIST = path.resolve(__dirname, '../..');

for (const directory of ['man', 'completions']) {
  fs.rmSync(path.join(DIST, directory), { recursive: true, force: true });
  fs.mkdirSync(path.join(DIST, directory));
}
for (const page of pages()) fs.writeFileSync(path.join(DIST, 'man', `${page.name}.${page.section}`), page.toString());
for (const shell of SHELLS) fs.writeFileSync(path.join(DIST, 'completions', shell), completionScript(shell));
fs.writeFileSync(path.join(DIST, 'plyd.toml'), exampleConfiguration());

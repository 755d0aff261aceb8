/** The manual: groff has nothing to say against it, and it names all there is. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { HELP as PLYD_HELP, KEYS } from '../../daemon/config.js';
import { OPTION_NAMES } from '../../daemon/mounts/options.js';
import { namesIn, sections } from '../../scripts/manual/help.js';
import { verbs } from '../../scripts/manual/pages.js';
import { run } from '../support/mounts.js';

const DIRECTORY = path.resolve(__dirname, '../../man');
const NO_MAN = spawnSync('sh', ['-c', 'command -v man && command -v groff']).status !== 0 && 'needs man-db and groff (scripts/setup)';

/** As source, without what is escaped. */
function plain(name: string): string {
  const source = fs.readFileSync(path.join(DIRECTORY, name), 'utf8');
  return source
    .replaceAll(/\\f[BIRP]/g, '')
    .replaceAll('\\-', '-')
    .replaceAll('\\(aq', "'")
    .replaceAll('\\(dq', '"');
}

void t.test('groff formats every page without a warning', { skip: NO_MAN }, async (t) => {
  const pages = fs.readdirSync(DIRECTORY).sort();
  t.same(pages, ['ply.1', 'plyd.8', 'plyfs.8', 'plyfs.toml.5']);
  for (const page of pages) {
    const file = path.join(DIRECTORY, page);
    const found = await run('man', ['--warnings', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', file], {
      timeoutMs: 60_000,
      env: { ...process.env, LC_ALL: 'C.UTF-8' },
    });
    t.equal(found.stderr, '', page);
    t.equal(found.status, 0);
    t.ok(found.stdout.length > 1000);
  }
});

void t.test('ply(1) has every verb with its options', (t) => {
  const text = plain('ply.1');
  for (const { name, aliases, verb } of verbs()) {
    const from = text.indexOf(`\n.SS "ply ${name}"\n`);
    t.ok(from >= 0, name);
    const section = text.slice(from, text.indexOf('\n.S', from + 5));
    for (const [option, { alias = [] }] of Object.entries(verb.options ?? {})) {
      for (const one of [option, ...[alias].flat()])
        t.match(section, new RegExp(`^(.*, )?${one.length === 1 ? '-' : '--'}${one}\\b`, 'm'), `${name}: ${one}`);
    }
    for (const alias of aliases) t.ok(section.includes(`ply ${alias}`));
  }
  t.end();
});

void t.test('plyfs(8) has every mount option, plyd(8) every option, plyfs.toml(5) every setting', (t) => {
  const plyfs = plain('plyfs.8');
  for (const name of OPTION_NAMES) t.match(plyfs, new RegExp(`(^|[ ,])${name}(=|,|\\b)`, 'm'), name);
  const plyd = plain('plyd.8');
  const options = sections(PLYD_HELP).flatMap(({ rows }) => rows.flatMap(({ term }) => namesIn(term)));
  t.ok(options.includes('--root'));
  for (const option of options) t.ok(plyd.includes(option), option);
  const toml = plain('plyfs.toml.5');
  for (const key of KEYS) t.match(toml, new RegExp(`^${key}$`, 'm'));
  t.end();
});

void t.test('the configuration that is installed sets nothing, and names every setting', (t) => {
  const text = fs.readFileSync(path.resolve(__dirname, '../../plyd.toml'), 'utf8');
  t.same(
    text.split('\n').filter((line) => !/^(#.*)?$/.test(line)),
    [],
  );
  for (const key of KEYS) t.match(text, new RegExp(`^#${key} = `, 'm'));
  t.end();
});

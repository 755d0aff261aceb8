/** ply(1), plyd(8), plyfs(8), plyfs.toml(5), of the tables that the programs themselves go by. */
import fs from 'node:fs';
import path from 'node:path';
import type { Options } from 'yargs';
import { HELP as PLYFS_HELP } from '../../cli/arguments.js';
import { EVERYWHERE } from '../../cli/command-line.js';
import { GROUPS, VERBS } from '../../cli/verbs/list.js';
import type { Verb } from '../../cli/verb.js';
import { KEYS, HELP as PLYD_HELP } from '../../daemon/config.js';
import { OPTION_NAMES } from '../../daemon/mounts/options.js';
import { namesIn, type Row, sections, usage } from './help.js';
import { ENVIRONMENT, FILES, FURTHER_OPTIONS, PLY, PLYD, PLYFS, SETTINGS, TOML } from './prose.js';
import { Page } from './roff.js';

const ROOT = path.resolve(__dirname, '../../..');
const VERSION = (JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string }).version;

export function verbs(): { name: string; aliases: readonly string[]; summary: string; verb: Verb }[] {
  return VERBS.map(({ name, module, summary, aliases = [] }) => {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- as ply itself does
    const { verb } = require(`../../cli/verbs/${module}.js`) as { verb: Verb };
    return { name, aliases, summary, verb };
  });
}

function optionTerm(name: string, option: Options): string {
  const names = [name, ...[option.alias ?? []].flat()].sort((a, b) => a.length - b.length);
  const dashed = names.map((one) => (one.length === 1 ? `-${one}` : `--${one}`)).join(', ');
  const choices = option.choices?.map(String).join('|');
  return option.type === 'boolean' ? dashed : `${dashed} ${choices ?? 'VALUE'}`;
}

function optionsOf(page: Page, options: Readonly<Record<string, Options>>): void {
  for (const [name, option] of Object.entries(options)) page.row(optionTerm(name, option), option.describe ?? '');
}

function ply(): Page {
  const page = new Page('ply', 1, 'the client of plyd: container root filesystems from shared layers', VERSION);
  page.heading('SYNOPSIS').forms(['ply VERB [OPTIONS] ...', 'ply VERB --help']);
  page.heading('DESCRIPTION').text(PLY);
  page.heading('OPTIONS').text('For every verb:');
  optionsOf(page, EVERYWHERE);
  page.row('-h, --help', "show a verb's options and examples").row('-V, --version', 'print the version');
  page.heading('VERBS');
  for (const [group, about] of Object.entries(GROUPS)) page.row(`ply ${group} VERB`, about);
  for (const { name, aliases, verb } of verbs()) {
    page.subheading(`ply ${name}`).forms(verb.usage.map((line) => `ply ${line}`));
    page.text(verb.about);
    if (aliases.length > 0) page.text(`Also: ${aliases.map((alias) => `\`ply ${alias}\``).join(', ')}`);
    optionsOf(page, verb.options ?? {});
    if (verb.notes !== undefined) page.text(verb.notes);
    for (const [command, purpose] of verb.examples) page.example(`ply ${command}`, purpose);
  }
  page.heading('ENVIRONMENT');
  for (const [name, about] of ENVIRONMENT) page.row(name, about);
  page.heading('EXIT STATUS').text('0: done. 1: failed. 2: the command line makes no sense. `ply run` has statuses of its own.');
  files(page);
  return seeAlso(page, 'plyd(8), plyfs(8), plyfs.toml(5)');
}

function files(page: Page): void {
  page.heading('FILES');
  for (const [name, about] of FILES) page.row(name, about);
}

function seeAlso(page: Page, others: string): Page {
  return page.heading('SEE ALSO').text(others.replace(/([a-z.]+)\(/g, '`$1`('));
}

function rows(page: Page, list: readonly Row[]): void {
  for (const { term, about } of list) page.row(term, about);
}

function plyd(): Page {
  const page = new Page('plyd', 8, 'the daemon of plyfs', VERSION);
  page.heading('SYNOPSIS').forms(usage(PLYD_HELP));
  page.heading('DESCRIPTION').text(PLYD);
  page.heading('OPTIONS');
  for (const section of sections(PLYD_HELP)) {
    if (section.title !== '') page.subheading(section.title);
    rows(page, section.rows);
    if (section.title !== '') section.text.forEach((text) => page.text(text));
  }
  page.heading('EXIT STATUS').text('0: ended as it was asked to. 1: failed. 2: the command line or the configuration makes no sense.');
  files(page);
  return seeAlso(page, 'ply(1), plyfs(8), plyfs.toml(5)');
}

/** Rows for the mount options that plyfs takes and its help does not name. */
export function unnamedMountOptions(): Row[] {
  const named = new Set(sections(PLYFS_HELP).flatMap((section) => section.rows.flatMap(({ term }) => namesIn(term))));
  const further = OPTION_NAMES.filter((name) => !named.has(name));
  const described = further.filter((name) => Object.hasOwn(FURTHER_OPTIONS, name));
  const flags = further.filter((name) => !Object.hasOwn(FURTHER_OPTIONS, name));
  return [
    ...described.map((name) => ({ term: name, about: FURTHER_OPTIONS[name] })),
    ...(flags.length > 0 ? [{ term: flags.join(', '), about: 'as for mount(8), or for fuse-overlayfs' }] : []),
  ];
}

function plyfs(): Page {
  const page = new Page('plyfs', 8, 'mount a stack of directories as one tree', VERSION);
  const [first, ...others] = sections(PLYFS_HELP);
  page.heading('SYNOPSIS').forms([...usage(PLYFS_HELP), 'mount -t plyfs -o OPTIONS SOURCE MOUNTPOINT']);
  page.heading('DESCRIPTION');
  first.text.forEach((text) => page.text(text));
  page.text(PLYFS);
  page.heading('OPTIONS');
  rows(page, first.rows);
  for (const { title, text, rows: list } of others) {
    if (title === 'Examples') {
      page.heading('EXAMPLES');
      for (const { term, about } of list) page.example(term, about || 'writes go to upper');
    } else {
      page.heading(title.startsWith('Options') ? 'MOUNT OPTIONS' : title.toUpperCase());
      if (title.startsWith('Options')) page.text(`${title.replace(/^Options \(?(.*?)\)?$/, '$1').replace(/^o/, 'O')}.`);
      rows(page, [...list, ...(title.startsWith('Options') ? unnamedMountOptions() : [])]);
    }
    for (const paragraph of text) {
      if (paragraph.startsWith('Exit status: ')) page.heading('EXIT STATUS').text(paragraph.slice('Exit status: '.length));
      else page.text(paragraph);
    }
  }
  page.heading('ENVIRONMENT').row(...ENVIRONMENT[0]);
  return seeAlso(page, 'ply(1), plyd(8), plyfs.toml(5), mount(8)');
}

/** What each setting means, and a value of it. Throws for one that nobody has described. */
export function settings(): { name: string; value: string; about: string }[] {
  const ofHelp = sections(PLYD_HELP).flatMap((section) => section.rows);
  return KEYS.map((name) => {
    const about = SETTINGS[name]?.about ?? ofHelp.find(({ term }) => namesIn(term).includes(`--${name}`))?.about;
    if (about === undefined)
      throw new Error(`the setting ${name} of plyd.toml is described nowhere: say in scripts/manual/prose.ts what it means`);
    return { name, value: SETTINGS[name]?.value ?? '', about };
  });
}

function toml(): Page {
  const page = new Page('plyfs.toml', 5, "plyd's configuration", VERSION);
  page.heading('DESCRIPTION').text(TOML);
  page.heading('SETTINGS');
  for (const { name, about } of settings()) page.row(`\`${name}\``.replaceAll('`', ''), about);
  page.heading('EXAMPLE').example('root = "/srv/ply"\ngroup = "ply"\nlog-level = "warn"', '');
  files(page);
  return seeAlso(page, 'plyd(8), ply(1)');
}

/** /etc/ply/plyd.toml as it is installed: all settings, none of them set. */
export function exampleConfiguration(): string {
  const lines = settings().flatMap(({ name, value, about }) => ['', `# ${about}`, `#${name} = ${value}`]);
  return [`# The configuration of plyd: plyfs.toml(5). What is commented out is not set.`, ...lines, ''].join('\n');
}

export function pages(): Page[] {
  return [ply(), plyd(), plyfs(), toml()];
}

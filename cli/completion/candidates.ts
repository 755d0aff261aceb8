/** What could be typed next: of the verbs' own tables, the programs' help texts, and what a running plyd has. Knows no shell. */
import type { Options } from 'yargs';
import { Client } from '../../client/client';
import { HELP as PLYD_HELP } from '../../daemon/config';
import { OPTION_NAMES } from '../../daemon/mounts/options';
import { HELP as PLYFS_HELP } from '../arguments';
import { EVERYWHERE } from '../command-line';
import type { Verb } from '../verb';
import { find, GROUPS, VERBS } from '../verbs/list';
import { FILES, SHELLS } from './scripts';

/** A word, and what it is; FILES: the shell knows best. */
export type Candidate = readonly [word: string, about?: string];

const NAMES: readonly Candidate[] = [[FILES]];

/** `words` are those after the program, the last being the one to complete ("" if it is not begun). */
export async function candidates(program: string, words: readonly string[], daemon: Client): Promise<Candidate[]> {
  const current = words.at(-1) ?? '';
  const found = program === 'ply' ? await ofPly(words.slice(0, -1), current, daemon) : ofHelp(program, words.at(-2) ?? '', current);
  return found.filter(([word]) => word === FILES || word.startsWith(current));
}

// ---- plyd, plyfs -----------------------------------------------------------------------------------------------------------------------------------

function ofHelp(program: string, before: string, current: string): readonly Candidate[] {
  if (program === 'plyfs' && (before === '-o' || before === '--options')) return mountOptions(current);
  if (!current.startsWith('-')) {
    const values = valuesOf(program, before);
    if (values.length > 0) return values;
    if (program === 'plyd' && before === '') return [['config', 'check or dump the configuration']];
    if (program === 'plyd' && before === 'config') return ['check', 'dump'].map((word): Candidate => [word]);
    return NAMES;
  }
  const rows = (program === 'plyfs' ? PLYFS_HELP : PLYD_HELP).split('\n').map((line) => /^ {2}(-.*?)(?: {2,}(.*))?$/.exec(line));
  return rows.flatMap((row) => {
    const options = row?.[1].match(/(?<![^ ,])--?[a-z][a-z-]*/gi) ?? [];
    return options.map((option): Candidate => (row?.[2] === undefined ? [option] : [option, row[2]]));
  });
}

/** Of an option whose help lists them, as that of plyd's --log-level does: "a, b, c (usual)". */
function valuesOf(program: string, option: string): Candidate[] {
  if (program !== 'plyd' || !/^--(log-level|transport)$/.test(option)) return [];
  const line = PLYD_HELP.split('\n').find((one) => one.trimStart().startsWith(option)) ?? '';
  const list = option === '--log-level' ? line.replace(/^\s*\S+\s+\S+\s+/, '') : (/: (.*?)(?:\(auto|$)/.exec(line)?.[1] ?? '');
  return list
    .replace(/\(.*?\)/g, '')
    .split(',')
    .map((word): Candidate => [word.trim()])
    .filter(([word]) => /^[a-z]+$/.test(word));
}

// ---- mount options -----------------------------------------------------------------------------------------------------------------------------------

/** Of the option after the last comma; the whole word each time. */
function mountOptions(current: string): Candidate[] {
  const before = current.slice(0, current.lastIndexOf(',') + 1);
  const described = new Map<string, string>();
  for (const line of PLYFS_HELP.slice(PLYFS_HELP.indexOf('\nOptions')).split('\n')) {
    const row = /^ {2}([a-z]\S*(?:, \S+)*)(?: {2,}(.*))?$/.exec(line);
    for (const form of row?.[1].split(', ') ?? []) if (/^[a-z_]+(=|$)/.test(form)) described.set(form.replace(/=.*/, '='), row?.[2] ?? '');
  }
  const named = [...described.keys()].map((form) => form.replace(/=$/, ''));
  const all: Candidate[] = [...described, ...OPTION_NAMES.filter((name) => !named.includes(name)).map((name): Candidate => [name])];
  return all.map(([word, about]) => (about === undefined ? [before + word] : [before + word, about]));
}

// ---- ply -----------------------------------------------------------------------------------------------------------------------------------------------

async function ofPly(words: readonly string[], current: string, daemon: Client): Promise<readonly Candidate[]> {
  let at = 0;
  while (at < words.length && words[at].startsWith('-')) at += words[at] === '--socket' ? 2 : 1;
  if (at > words.length) return NAMES;
  const rest = words.slice(at);
  if (rest[0] === 'help') return verbsAfter(rest.slice(1));
  const found = find(rest);
  if (!found)
    return current.startsWith('-')
      ? [...optionWords(EVERYWHERE), ['--help', 'show this'], ['--version', 'print the version']]
      : verbsAfter(rest);
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- as command-line.ts
  const { verb } = require(`../verbs/${found.entry.module}.js`) as { verb: Verb };
  const socket = words[words.indexOf('--socket') + 1];
  return ofVerb(verb, rest.slice(found.length), current, words.includes('--socket') ? new Client({ socket }) : daemon);
}

function verbsAfter(words: readonly string[]): Candidate[] {
  const [group] = words;
  if (group !== undefined && !(words.length === 1 && Object.hasOwn(GROUPS, group))) return [];
  if (group !== undefined) {
    return VERBS.filter(({ name }) => name.startsWith(`${group} `)).map(({ name, summary }) => [name.slice(group.length + 1), summary]);
  }
  const single = VERBS.filter(({ name }) => !name.includes(' ')).map(({ name, summary }): Candidate => [name, summary]);
  return [...single, ...Object.entries(GROUPS), ['help', "show a verb's options and examples"]];
}

const namesOf = (name: string, { alias = [] }: Options): string[] =>
  [name, ...[alias].flat()].map((one) => (one.length === 1 ? `-${one}` : `--${one}`));

function optionWords(options: Readonly<Record<string, Options>>): Candidate[] {
  return Object.entries(options).flatMap(([name, option]) => namesOf(name, option).map((word): Candidate => [word, option.describe ?? '']));
}

async function ofVerb(verb: Verb, words: readonly string[], current: string, daemon: Client): Promise<readonly Candidate[]> {
  const options = { ...verb.options, ...EVERYWHERE };
  const taking = (word: string): [string, Options] | undefined =>
    Object.entries(options).find(([name, option]) => option.type !== 'boolean' && namesOf(name, option).includes(word));
  const positionals: string[] = [];
  let waiting: [string, Options] | undefined;
  for (const word of words) {
    if (waiting) waiting = undefined;
    else if (word.startsWith('-') && word !== '--') waiting = taking(word);
    else positionals.push(word);
  }
  if (verb.stopsAtWords === true && positionals.length > verb.words.min - 1 && positionals.length > 0) return NAMES; // somebody else's words
  if (waiting) {
    const [name, { choices }] = waiting;
    if (name === 'o') return mountOptions(current);
    return choices ? choices.map((one): Candidate => [String(one)]) : NAMES;
  }
  if (current.startsWith('-')) return [...optionWords(options), ['--help', 'show this'], ['-h', 'show this']];
  return named(placeholder(verb, positionals.length), daemon);
}

/** What usage has in this place: `image create NAME LAYER…` has a NAME first, and LAYERs then. "" where there is nothing. */
function placeholder({ usage, words }: Verb, at: number): string {
  if (at >= words.max) return '';
  const list = usage[0]
    .replace(/\[-[^\]]*\]+|-\w \S+|\[OPTIONS\]/g, '')
    .split(' ')
    .filter((word) => /^\[?[A-Z]/.test(word) || /^[a-z]+(\|[a-z]+)+/.test(word));
  return list[Math.min(at, list.length - 1)] ?? '';
}

type Names = (daemon: Client) => Promise<Candidate[]>;

const containers: Names = async (daemon) =>
  (await daemon.containers.list()).map(({ name, state, imageName }) => [name, `container of ${imageName}, ${state}`]);
const images: Names = async (daemon) =>
  (await daemon.images.list()).flatMap(({ id, names }) =>
    (names.length > 0 ? names : [id.slice(0, 12)]).map((name): Candidate => [name, 'image']),
  );
const layers: Names = async (daemon) =>
  (await daemon.layers.list()).map(({ id, name, path }) => [name ?? id.slice(0, 12), `layer ${path ?? ''}`.trim()]);
const allMounts: Names = async (daemon) => (await daemon.mounts.list()).map(({ mountpoint }) => [mountpoint, 'mount']);
const mounts: Names = async (daemon) =>
  (await daemon.mounts.list())
    .filter(({ container, snapshot }) => container === null && snapshot === null)
    .map(({ mountpoint }) => [mountpoint, 'mount']);

const KINDS: readonly (readonly [RegExp, readonly Names[]])[] = [
  [/CONTAINER/, [containers]],
  [/IMAGE/, [images]],
  [/LAYER/, [layers]],
  [/MOUNTPOINT\|ID/, [mounts]],
  [/MOUNT\b/, [allMounts]],
  [/REF/, [containers, images, layers, mounts]],
];

/** A plyd that is not there, or slow, has no names. */
const PATIENCE_MS = 1500;

async function named(place: string, daemon: Client): Promise<readonly Candidate[]> {
  if (place === '') return [];
  if (place.includes('|') && place === place.toLowerCase()) return SHELLS.map((shell): Candidate => [shell]);
  const kinds = KINDS.find(([pattern]) => pattern.test(place))?.[1];
  if (!kinds) return /FILE|DIR|MOUNTPOINT|CMD|ARG/.test(place) ? NAMES : [];
  const late = new Promise<Candidate[]>((resolve) => setTimeout(resolve, PATIENCE_MS, []).unref());
  const asked = kinds.map((kind) => kind(daemon).catch((): Candidate[] => [])); // whoever presses Tab wants no error there
  return Promise.race([Promise.all(asked).then((lists) => lists.flat()), late]);
}

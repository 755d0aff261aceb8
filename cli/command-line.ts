/** From the command line to a verb's Arguments, and the help: yargs does both. */
import type { Argv, Options } from 'yargs';
import { usualSocket } from '../client/connection';
import { nearest, UsageError } from './errors';
import { Arguments, type Verb } from './verb';
import { find, GROUPS, names, VERBS } from './verbs/list';
import { yargs } from './yargs';

export const EVERYWHERE: Readonly<Record<string, Options>> = {
  socket: { type: 'string', requiresArg: true, describe: "plyd's socket (PLY_SOCKET; /run/ply/ply.sock or $XDG_RUNTIME_DIR/ply/ply.sock)" },
  json: { type: 'boolean', describe: "the API's objects as JSON; errors too" },
};

export type Request =
  { action: 'help'; text: string } | { action: 'version' } | { action: 'run'; verb: Verb; args: Arguments; socket: string };

/** Is JSON asked for? To be known even of a command line that makes no sense. */
export function wantsJson(list: readonly string[]): boolean {
  const end = list.indexOf('--');
  return (end < 0 ? list : list.slice(0, end)).includes('--json');
}

/** `list` is the command line without program and script. Throws UsageError. */
export function understand(list: readonly string[]): Request {
  if (list.some((word) => word.includes('\ufffd'))) {
    throw new UsageError(
      'a word of the command line is not UTF-8, and the API takes no other: give the directory another name, or use plyfs, which takes any',
    );
  }
  const { before, rest } = split(list);
  if (before.includes('--version') || before.includes('-V')) return { action: 'version' };
  if (rest[0] === 'help') return understand([...rest.slice(1), '--help']);
  if (rest.length === 0) {
    if (before.includes('--help') || before.includes('-h')) return { action: 'help', text: overview() };
    options(yargs([]))
      .strictOptions()
      .parseSync([...before]); // complains of what is no option
    throw new UsageError('no verb given: `ply --help` lists them');
  }
  const found = find(rest);
  if (!found) return withoutVerb(rest);
  // None but that: loading it is part of every command's time.
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- as the verb's name is known only now
  const { verb } = require(`./verbs/${found.entry.module}.js`) as { verb: Verb };
  return parse(verb, found.entry.name, [...before, ...rest.slice(found.length)]);
}

/** The options before the verb, and the rest from the verb on. */
function split(list: readonly string[]): { before: string[]; rest: string[] } {
  let at = 0;
  while (at < list.length && list[at].startsWith('-') && list[at] !== '--') at += list[at] === '--socket' ? 2 : 1;
  return { before: list.slice(0, at), rest: list.slice(list[at] === '--' ? at + 1 : at) };
}

function withoutVerb(rest: readonly string[]): Request {
  const [first = '', second] = rest;
  if (Object.hasOwn(GROUPS, first)) {
    if (second === undefined || second.startsWith('-')) {
      if (rest.includes('--help') || rest.includes('-h')) return { action: 'help', text: overview(first) };
      throw new UsageError(`ply ${first} what? \`ply ${first} --help\` lists its verbs`);
    }
    const verbs = names().filter((name) => name.startsWith(`${first} `));
    throw unknown(`${first} ${second}`, [
      ...nearest(
        second,
        verbs.map((name) => name.slice(first.length + 1)),
      ).map((name) => `${first} ${name}`),
    ]);
  }
  const heads = [...new Set(names().map((name) => name.replace(/ .*/, '')))];
  const last = VERBS.filter(({ name }) => name.endsWith(` ${first}`)).map(({ name }) => name); // `ply verify`: of layers
  throw unknown(first, [...nearest(first, heads), ...last]);
}

function unknown(given: string, near: readonly string[]): UsageError {
  return new UsageError(
    `there is no verb "${given}"${near.length > 0 ? '' : ': `ply --help` lists them'}`,
    near.map((name) => `\`ply ${name}\``),
  );
}

const PARSING = {
  'boolean-negation': false,
  'camel-case-expansion': false,
  'dot-notation': false,
  'greedy-arrays': false,
  'parse-numbers': false,
  'parse-positional-numbers': false,
};

/** yargs as we use it: words stay as they are written, nothing ends the process. */
function options(parser: Argv): Argv {
  return parser
    .scriptName('ply')
    .parserConfiguration(PARSING)
    .exitProcess(false)
    .showHelpOnFail(false)
    .help(false)
    .version(false)
    .options(EVERYWHERE)
    .option('help', { alias: 'h', type: 'boolean', describe: 'show this' })
    .fail((message, error) => {
      throw message ? new UsageError(lowerFirst(message)) : error;
    });
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);

/** `-olowerdir=…` as `-o lowerdir=…`: mount(8) takes it so, and yargs would read a word of one-letter options. */
function apart(list: readonly string[]): string[] {
  const end = list.indexOf('--');
  return list.flatMap((word, at) => (/^-o[^=]/.test(word) && (end < 0 || at < end) ? ['-o', word.slice(2)] : [word]));
}

function parse(verb: Verb, name: string, given: readonly string[]): Request {
  const parser = options(yargs([])).options({ ...verb.options });
  if (verb.stopsAtWords === true) parser.parserConfiguration({ ...PARSING, 'halt-at-non-option': true });
  const list = verb.options && Object.hasOwn(verb.options, 'o') ? apart(given) : given;
  let parsed: Readonly<Record<string, unknown>>;
  try {
    parsed = parser.strictOptions().parseSync(list);
  } catch (error) {
    if (list.includes('--help') || list.includes('-h')) return { action: 'help', text: helpOf(verb) }; // what else is wrong does not count
    throw error instanceof UsageError ? withHint(error, name) : error;
  }
  if (parsed['help'] === true) return { action: 'help', text: helpOf(verb) };
  const words = (parsed['_'] as (string | number)[]).map(String);
  const { min, max, names } = verb.words;
  if (words.length < min) throw withHint(new UsageError(`${name} needs ${names}`), name);
  if (words.length > max) throw withHint(new UsageError(`too many words: ${words.slice(max).join(' ')}`), name);
  if (words.includes('') && name !== 'completion') throw withHint(new UsageError('an empty word names nothing'), name);
  const args = new Arguments(words, parsed);
  const socket = args.text('socket') ?? process.env['PLY_SOCKET'];
  return { action: 'run', verb, args, socket: socket || usualSocket() };
}

const withHint = (error: UsageError, name: string): UsageError => new UsageError(`${error.message}\nTry \`ply ${name} --help\``);

const LONG_COMMAND = 56;

/** yargs keeps to 80 columns where it knows no terminal; ours are wider, up to what people like to read. */
function columns(): number {
  return Math.min(process.stdout.columns ?? 100, 110);
}

function shown(parser: Argv): string {
  let text = '';
  parser.wrap(columns()).showHelp((help) => (text = help));
  return `${text.trimEnd()}\n`;
}

function helpOf(verb: Verb): string {
  const usage = verb.usage.map((line, at) => `${at === 0 ? 'Usage: ' : '       '}ply ${line}`).join('\n');
  const parser = options(yargs([]))
    .usage(`${usage}\n\n${verb.about}`)
    .options({ ...verb.options })
    .group(Object.keys(verb.options ?? {}), 'Options:')
    .group([...Object.keys(EVERYWHERE), 'help'], 'For every verb:');
  return shown(parser) + examplesOf(verb) + (verb.notes === undefined ? '' : `\n${verb.notes}\n`);
}

/** Not yargs's: it breaks a long command into lines that nobody can copy. */
function examplesOf({ examples }: Verb): string {
  const column = Math.max(...examples.map(([command]) => command.length).filter((length) => length <= LONG_COMMAND)) + 'ply '.length + 2;
  const lines = examples.map(([command, purpose]) => {
    const typed = `ply ${command}`;
    return command.length <= LONG_COMMAND ? `  ${typed.padEnd(column)}${purpose}\n` : `  ${typed}\n  ${' '.repeat(column)}${purpose}\n`;
  });
  return `\nExamples:\n${lines.join('')}`;
}

const EXAMPLES = `Examples:
  ply import debian.tar debian            what docker save or podman save wrote
  ply run debian cat /etc/os-release      in a container that is gone afterwards
  ply run --keep --name work debian sh    in one that stays
  ply diff work && ply commit work debian:work
  ply export debian:work work.tar         for skopeo, podman and others
  ply images --json | jq -r '.[].names[]'

`;

/** Of all verbs, or of a group's. */
function overview(group?: string): string {
  const about =
    group === undefined ? 'The client of plyd: container root filesystems from shared layers.' : `ply ${group}: ${GROUPS[group]}.`;
  const parser = options(yargs([])).usage(`Usage: ply ${group === undefined ? '' : `${group} `}VERB …\n\n${about}`);
  for (const { name, summary } of VERBS) {
    if (group === undefined || name.startsWith(`${group} `)) parser.command(name, summary);
  }
  if (group === undefined) parser.option('version', { alias: 'V', type: 'boolean', describe: 'print the version' });
  return shown(
    parser.group([...Object.keys(EVERYWHERE), 'help', ...(group === undefined ? ['version'] : [])], 'Options:').epilog(
      `${group === undefined ? EXAMPLES : ''}\`ply VERB --help\` shows a verb's options and examples.
A container, image or layer goes by its name, its id, or 4 or more first characters of its id.
Exit status: 0 done, 1 failed, 2 wrong command line. NO_COLOR=1 switches colours off.`,
    ),
  );
}

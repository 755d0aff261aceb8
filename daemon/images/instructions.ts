/** Changes of an image's config in the words of a Dockerfile, as of `docker commit --change`. */
import { posix } from 'node:path';
import { CatalogError } from '../store';

/** What of the "config" of an image is changed here; the rest stays as it is. */
export interface RunConfig {
  Cmd?: string[] | null;
  Entrypoint?: string[] | null;
  Env?: string[] | null;
  ExposedPorts?: Record<string, object> | null;
  Labels?: Record<string, string> | null;
  OnBuild?: string[] | null;
  User?: string;
  Volumes?: Record<string, object> | null;
  WorkingDir?: string;
  [other: string]: unknown;
}

type Change = (config: RunConfig, rest: string, instruction: string) => void;

/** Applies the instructions, one after the other, to a copy. Throws CatalogError. */
export function changed(config: RunConfig, instructions: readonly string[]): RunConfig {
  const copy = structuredClone(config);
  const own = instructions.some((one) => /^\s*cmd\s/i.test(one));
  for (const instruction of instructions) {
    const [, word, rest] = /^\s*(\S+)\s*([^]*?)\s*$/.exec(instruction) ?? [];
    const change = CHANGES.get(word?.toUpperCase() ?? '');
    if (change === undefined) throw wrong(instruction, `there is no such change: ${[...CHANGES.keys()].join(', ')} are those there are`);
    if (rest === '') throw wrong(instruction, `${word.toUpperCase()} needs something after it`);
    change(copy, rest, instruction);
    // docker's rule: a command was for the entrypoint that it came with
    if (word.toUpperCase() === 'ENTRYPOINT' && !own) copy.Cmd = null;
  }
  return copy;
}

const CHANGES: ReadonlyMap<string, Change> = new Map<string, Change>([
  ['CMD', (config, rest, instruction) => (config.Cmd = command(rest, instruction))],
  ['ENTRYPOINT', (config, rest, instruction) => (config.Entrypoint = command(rest, instruction))],
  [
    'ENV',
    (config, rest, instruction) => {
      for (const [name, value] of pairs(config, rest, instruction)) config.Env = withVariable(config.Env ?? [], name, value);
    },
  ],
  [
    'EXPOSE',
    (config, rest, instruction) => {
      for (const word of words(rest, instruction))
        for (const port of ports(expanded(word, config), instruction)) config.ExposedPorts = { ...config.ExposedPorts, [port]: {} };
    },
  ],
  [
    'LABEL',
    (config, rest, instruction) => {
      for (const [name, value] of pairs(config, rest, instruction)) config.Labels = { ...config.Labels, [name]: value };
    },
  ],
  [
    'ONBUILD',
    (config, rest, instruction) => {
      if (/^(ONBUILD|FROM|MAINTAINER)\b/i.test(rest)) throw wrong(instruction, 'that cannot be told to a later build');
      config.OnBuild = [...(config.OnBuild ?? []), rest];
    },
  ],
  ['USER', (config, rest, instruction) => (config.User = one(config, rest, instruction))],
  [
    'VOLUME',
    (config, rest, instruction) => {
      for (const path of list(rest) ?? words(rest, instruction))
        config.Volumes = { ...config.Volumes, [absolute(expanded(path, config), instruction)]: {} };
    },
  ],
  [
    'WORKDIR',
    (config, rest, instruction) =>
      (config.WorkingDir = posix.resolve(
        '/',
        config.WorkingDir === undefined || config.WorkingDir === '' ? '/' : config.WorkingDir,
        one(config, rest, instruction),
      )),
  ],
]);

function wrong(instruction: string, why: string): CatalogError {
  return new CatalogError('bad-request', `--change ${JSON.stringify(instruction)}: ${why}`);
}

/** A JSON array is taken as it is; anything else is for a shell. */
function command(rest: string, instruction: string): string[] {
  if (rest.startsWith('[') && list(rest) === undefined && rest.endsWith(']') && rest.includes('"'))
    throw wrong(instruction, 'this is nearly JSON: write ["WORD", "WORD"], with double quotes');
  return list(rest) ?? ['/bin/sh', '-c', rest];
}

function list(text: string): string[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((word) => typeof word === 'string') ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Words of a line, with their quotes. */
function words(text: string, instruction: string): string[] {
  const found = text.match(/(?:\\[^]|"(?:\\[^]|[^"\\])*"|'[^']*'|[^\s"'\\])+/g) ?? [];
  if (found.join('').length !== text.replace(/(\\[^]|"(?:\\[^]|[^"\\])*"|'[^']*')|\s+/g, '$1').length)
    throw wrong(instruction, 'a quotation mark is not closed');
  return found;
}

function one(config: RunConfig, rest: string, instruction: string): string {
  const found = words(rest, instruction);
  if (found.length !== 1) throw wrong(instruction, 'one word is needed');
  return expanded(found[0], config);
}

/** NAME=VALUE…, or NAME and the rest of the line. */
function pairs(config: RunConfig, rest: string, instruction: string): [string, string][] {
  const found = words(rest, instruction);
  if (!found[0].includes('=')) {
    const [, name, value] = /^(\S+)\s+([^]+)$/.exec(rest) ?? [];
    if (value === undefined) throw wrong(instruction, 'write NAME=VALUE');
    return [[expanded(name, config), expanded(value, config)]];
  }
  return found.map((word) => {
    const at = word.indexOf('=');
    if (at < 1) throw wrong(instruction, `${word} is no NAME=VALUE`);
    return [expanded(word.slice(0, at), config), expanded(word.slice(at + 1), config)];
  });
}

/** Without its quotes, and with $NAME, ${NAME}, ${NAME:-WORD} and ${NAME:+WORD} replaced by what the image's environment has. */
function expanded(word: string, config: RunConfig): string {
  const environment = new Map(
    (config.Env ?? []).map((line): [string, string] => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]),
  );
  const replaced = (text: string): string =>
    text.replace(/\\([$"\\])|\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})/g, (_, escaped, plain, braced, how, other) => {
      if (escaped !== undefined) return escaped as string;
      const value = environment.get((plain ?? braced) as string) ?? '';
      if (how === '+') return value === '' ? '' : (other as string);
      return value === '' && how === '-' ? (other as string) : value;
    });
  return word.replace(/"((?:\\[^]|[^"\\])*)"|'([^']*)'|((?:\\[^]|[^"'\\])+)/g, (_, double, single, bare) => {
    if (single !== undefined) return single as string;
    if (double !== undefined) return replaced(double as string);
    return replaced(bare as string).replace(/\\([^])/g, '$1');
  });
}

function withVariable(all: readonly string[], name: string, value: string): string[] {
  const line = `${name}=${value}`;
  const at = all.findIndex((other) => other.split('=', 1)[0] === name);
  return at < 0 ? [...all, line] : all.with(at, line);
}

/** "80", "80/udp", "8000-8002/tcp" */
function ports(text: string, instruction: string): string[] {
  const [, first, last = first, protocol = 'tcp'] = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(text) ?? [];
  if (first === undefined || Number(first) > Number(last) || Number(last) > 65535)
    throw wrong(instruction, `${text} is no port: write PORT or PORT/udp`);
  const from = Number(first);
  return Array.from({ length: Number(last) - from + 1 }, (_, i) => `${from + i}/${protocol.toLowerCase()}`);
}

function absolute(path: string, instruction: string): string {
  if (!path.startsWith('/')) throw wrong(instruction, `${path} is not absolute`);
  return path;
}

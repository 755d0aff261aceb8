/** plyd's configuration file (TOML): where it is, what may stand in it. */
import fs from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { LOG_LEVELS, type LogLevel, type Transport, TRANSPORTS } from './mounts/options';
import { isRoot } from './runtime';

/** The message is for the user. */
export class ConfigError extends Error {}

/** What the file says; nothing is filled in. */
export interface Settings {
  root?: string;
  socket?: string;
  'containerd-socket'?: string;
  /** a name, or a number */
  group?: string | number;
  'log-level'?: LogLevel;
  'log-pretty'?: boolean;
  'keep-mounts'?: boolean;
  'warm-engine'?: boolean;
  workers?: number;
  transport?: Transport;
}

export type Key = keyof Settings;

type Check<T> = (value: unknown) => T;

/** What is wrong with a value, as it goes on after the setting's name. */
class Wrong extends Error {}

const path: Check<string> = (value) => {
  if (typeof value === 'string' && isAbsolute(value)) return value;
  throw new Wrong('has to be a whole path, from /');
};

const yesOrNo: Check<boolean> = (value) => {
  if (typeof value === 'boolean') return value;
  throw new Wrong('has to be true or false');
};

export const oneOf =
  <T extends string>(words: readonly T[]): Check<T> =>
  (value) => {
    const word = words.find((one) => one === value);
    if (word === undefined) throw new Wrong(`cannot be ${JSON.stringify(value)}: it takes one of ${words.join(', ')}`);
    return word;
  };

const MOST_WORKERS = 29;

const workers: Check<number> = (value) => {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MOST_WORKERS) return value;
  throw new Wrong(`has to be a number from 1 to ${MOST_WORKERS}`);
};

const group: Check<string | number> = (value) => {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value;
  if (typeof value !== 'string') throw new Wrong("has to be a group's name or number");
  if (groupId(value) === undefined)
    throw new Wrong(`cannot be "${value}": there is no such group; make it (groupadd --system ${value}), or name another one`);
  return value;
};

export const CHECKS: { readonly [K in Key]-?: Check<NonNullable<Settings[K]>> } = {
  root: path,
  socket: path,
  'containerd-socket': path,
  group,
  'log-level': oneOf(LOG_LEVELS),
  'log-pretty': yesOrNo,
  'keep-mounts': yesOrNo,
  'warm-engine': yesOrNo,
  workers,
  transport: oneOf(TRANSPORTS),
};

export const KEYS = Object.keys(CHECKS) as readonly Key[];

/** `value` as the setting `key` of `where` (a file, an option); throws ConfigError. */
export function checked<K extends Key>(key: K, value: unknown, where: string): NonNullable<Settings[K]> {
  try {
    return CHECKS[key](value) as NonNullable<Settings[K]>;
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    throw new ConfigError(`${where} ${error.message}`);
  }
}

/** undefined: there is no such group */
export function groupId(name: string | number): number | undefined {
  if (typeof name === 'number') return name;
  for (const line of fs.readFileSync('/etc/group', 'utf8').split('\n')) {
    const [one, , id] = line.split(':');
    if (one === name && id !== undefined) return Number(id);
  }
  return undefined;
}

/** Where the file is if nobody says; undefined: this user has no home. */
export function usualFile(environment: NodeJS.ProcessEnv): string | undefined {
  if (isRoot()) return '/etc/ply/plyd.toml';
  const { XDG_CONFIG_HOME: directory = '', HOME: home = '' } = environment;
  if (directory === '' && home === '') return undefined;
  return join(directory === '' ? join(home, '.config') : directory, 'ply', 'plyd.toml');
}

/** undefined: there is no such file. Throws ConfigError for everything else that is wrong with it. */
export function readFile(path: string): Settings | undefined {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- most plyds have no such file
  const { parse } = require('smol-toml') as { parse: (text: string) => Record<string, unknown> };
  let parsed: Record<string, unknown>;
  try {
    parsed = parse(fs.readFileSync(path, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new ConfigError(`cannot read the configuration ${path}: ${(error as Error).message}`);
  }
  const settings: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(parsed)) {
    const key = KEYS.find((one) => one === name);
    if (key === undefined) throw new ConfigError(`${path}: there is no setting "${name}": there are ${KEYS.join(', ')}`);
    settings[key] = checked(key, value, `${path}: ${key}`);
  }
  return settings;
}

/** As readFile(), of a file that has to be there. */
export function readNamedFile(path: string): Settings {
  const settings = readFile(path);
  if (settings === undefined) throw new ConfigError(`cannot read the configuration ${path}: there is no such file`);
  return settings;
}

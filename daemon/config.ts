/** What plyd is told: by its command line, else by its environment, else by its configuration file (TOML), else what is usual. */
import fs from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { isRoot, usualSocket } from './runtime';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const TRANSPORTS = ['auto', 'dev', 'uring'] as const;
export type Transport = (typeof TRANSPORTS)[number];

export interface Config {
  /** the store's directory */
  root: string;
  socket: string;
  /** where containerd finds its snapshotter; undefined: nowhere */
  containerdSocket: string | undefined;
  /** whose members may do what root may; undefined: plyd's own group */
  group: number | undefined;
  logLevel: LogLevel;
  /** at the end the mounts stay, and their engines; so it is where nothing is said and containerd's containers run on them */
  keepMounts: boolean;
  /** of each engine; undefined: one per CPU */
  workers: number | undefined;
  /** how requests come from the kernel, for mounts that do not say */
  transport: Transport;
}

/** The message is for the user. */
export class ConfigError extends Error {}

export const HELP = `Usage: plyd [OPTIONS]

The daemon of plyfs: container root filesystems from shared layers. Talk to it with ply, or HTTP over its socket.

  --root DIR         the store's directory (PLY_ROOT; /var/lib/ply, for users $XDG_DATA_HOME/ply)
  --socket PATH      where it listens (PLY_SOCKET; /run/ply/ply.sock, for users $XDG_RUNTIME_DIR/ply/ply.sock)
  --containerd-socket PATH  be containerd's proxy snapshotter there too (docs/kubernetes.md); implies --keep-mounts
  --config FILE      a TOML file of root, socket, containerd-socket, group, log-level, keep-mounts, workers, transport
  --log-level LEVEL  ${LOG_LEVELS.join(', ')} (info)
  --keep-mounts      at its end leave mounted what is mounted: the next plyd takes it over
  --transport WHICH  how requests come from the kernel: auto, dev (/dev/fuse), uring (auto: io_uring where it is switched on)
  --help, --version
`;

const OPTIONS = {
  root: { type: 'string' },
  socket: { type: 'string' },
  'containerd-socket': { type: 'string' },
  config: { type: 'string' },
  'log-level': { type: 'string' },
  'keep-mounts': { type: 'boolean' },
  transport: { type: 'string' },
  help: { type: 'boolean' },
  version: { type: 'boolean' },
} as const;

export const KEYS = ['root', 'socket', 'containerd-socket', 'group', 'log-level', 'keep-mounts', 'workers', 'transport'];

export type Asked = { action: 'run'; config: Config } | { action: 'help' } | { action: 'version' };

/** Throws ConfigError. */
export function readConfig(args: readonly string[], environment: NodeJS.ProcessEnv): Asked {
  const given = readArguments(args);
  if (given.help === true) return { action: 'help' };
  if (given.version === true) return { action: 'version' };
  const file = given.config === undefined ? {} : readFile(given.config);
  const root = given.root ?? nonEmpty(environment['PLY_ROOT']) ?? text(file, 'root') ?? usualRoot(environment);
  const socket = given.socket ?? nonEmpty(environment['PLY_SOCKET']) ?? text(file, 'socket') ?? usualSocket(environment);
  if (socket === undefined) throw new ConfigError('XDG_RUNTIME_DIR is not set: say with --socket where to listen');
  const containerdSocket = given['containerd-socket'] ?? text(file, 'containerd-socket');
  const config: Config = {
    root: resolve(root),
    socket: resolve(socket),
    containerdSocket: containerdSocket === undefined ? undefined : resolve(containerdSocket),
    group: groupOf(file['group']),
    logLevel: levelOf(given['log-level'] ?? text(file, 'log-level') ?? 'info'),
    keepMounts: given['keep-mounts'] ?? flag(file, 'keep-mounts') ?? containerdSocket !== undefined,
    workers: workersOf(file['workers']),
    transport: transportOf(given.transport ?? text(file, 'transport') ?? 'auto'),
  };
  for (const path of [config.socket, config.containerdSocket ?? ''])
    if (Buffer.byteLength(path) > 107) throw new ConfigError(`the path of the socket has more than 107 bytes: choose a shorter one`);
  return { action: 'run', config };
}

function readArguments(args: readonly string[]): ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'] {
  try {
    const { values } = parseArgs({ args: [...args], options: OPTIONS });
    for (const name of ['root', 'socket', 'containerd-socket', 'config'] as const)
      if (values[name] === '') throw new Error(`--${name} has no value`);
    return values;
  } catch (error) {
    throw new ConfigError(`${(error as Error).message.replace(/\. To specify.*$/s, '')}\nTry \`plyd --help\`.`);
  }
}

function readFile(path: string): Record<string, unknown> {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- most plyds have no such file
  const { parse } = require('smol-toml') as { parse: (text: string) => Record<string, unknown> };
  let parsed: Record<string, unknown>;
  try {
    parsed = parse(fs.readFileSync(path, 'utf8'));
  } catch (error) {
    throw new ConfigError(`cannot read the configuration ${path}: ${(error as Error).message}`);
  }
  const unknown = Object.keys(parsed).find((key) => !KEYS.includes(key));
  if (unknown !== undefined) throw new ConfigError(`${path}: there is no setting "${unknown}": there are ${KEYS.join(', ')}`);
  return parsed;
}

function text(file: Record<string, unknown>, key: string): string | undefined {
  const value = file[key];
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || value === '') throw new ConfigError(`the configuration's ${key} has to be a string`);
  if (key !== 'log-level' && key !== 'transport' && !isAbsolute(value))
    throw new ConfigError(`the configuration's ${key} has to be a whole path, from /`);
  return value;
}

function flag(file: Record<string, unknown>, key: string): boolean | undefined {
  const value = file[key];
  if (value !== undefined && typeof value !== 'boolean') throw new ConfigError(`the configuration's ${key} has to be true or false`);
  return value;
}

function levelOf(text: string): LogLevel {
  const level = LOG_LEVELS.find((one) => one === text);
  if (level === undefined) throw new ConfigError(`the log level cannot be "${text}": it takes one of ${LOG_LEVELS.join(', ')}`);
  return level;
}

function transportOf(text: string): Transport {
  const transport = TRANSPORTS.find((one) => one === text);
  if (transport === undefined) throw new ConfigError(`the transport cannot be "${text}": it takes one of ${TRANSPORTS.join(', ')}`);
  return transport;
}

const MOST_WORKERS = 29;

function workersOf(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MOST_WORKERS) return value;
  throw new ConfigError(`the configuration's workers has to be a number from 1 to ${MOST_WORKERS}`);
}

function groupOf(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value;
  if (typeof value !== 'string') throw new ConfigError("the configuration's group has to be a group's name or number");
  for (const line of fs.readFileSync('/etc/group', 'utf8').split('\n')) {
    const [name, , id] = line.split(':');
    if (name === value && id !== undefined) return Number(id);
  }
  throw new ConfigError(`there is no group "${value}": make it (groupadd --system ${value}), or name another one`);
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}

function usualRoot(environment: NodeJS.ProcessEnv): string {
  if (isRoot()) return '/var/lib/ply';
  return join(nonEmpty(environment['XDG_DATA_HOME']) ?? join(homedir(), '.local', 'share'), 'ply');
}

/** What plyd is told: by its command line, else by its environment, else by its configuration file (config-file.ts), else what is usual. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { checked, ConfigError, groupId, type Key, KEYS, readFile, readNamedFile, type Settings, usualFile } from './config-file';
import { LOG_LEVELS, type LogLevel, type Transport } from './mounts/options';
import { isRoot, usualSocket } from './runtime';

export { ConfigError, KEYS };

export interface Config {
  /** the store's directory */
  root: string;
  socket: string;
  /** where containerd finds its snapshotter; undefined: nowhere */
  containerdSocket: string | undefined;
  /** whose members may do what root may; undefined: plyd's own group */
  group: number | undefined;
  logLevel: LogLevel;
  /** for people, not as JSON; undefined: on a terminal */
  logPretty: boolean | undefined;
  /** at the end the mounts stay, and their engines; undefined: where containerd's containers run on them */
  keepMounts: boolean | undefined;
  /** an engine runs before the first mount, and practises (mounts/practice.ts) */
  warmEngine: boolean;
  /** of each engine; undefined: one per CPU */
  workers: number | undefined;
  /** how requests come from the kernel, for mounts that do not say */
  transport: Transport;
}

export const HELP = `Usage: plyd [OPTIONS]
       plyd [OPTIONS] config dump [--json]
       plyd config check [FILE] [--json]

The daemon of plyfs: container root filesystems from shared layers. Talk to it with ply, or HTTP over its socket.

  --root DIR         the store's directory (PLY_ROOT; /var/lib/ply, for users $XDG_DATA_HOME/ply)
  --socket PATH      where it listens (PLY_SOCKET; /run/ply/ply.sock, for users $XDG_RUNTIME_DIR/ply/ply.sock)
  --containerd-socket PATH  be containerd's proxy snapshotter there too (docs/kubernetes.md); implies --keep-mounts
  --config FILE      a TOML file of root, socket, containerd-socket, group, log-level, log-pretty, keep-mounts, warm-engine,
                     workers, transport
                     (/etc/ply/plyd.toml, for users $XDG_CONFIG_HOME/ply/plyd.toml, if it is there; /dev/null: none)
  --log-level LEVEL  ${LOG_LEVELS.join(', ')} (info)
  --log-pretty, --no-log-pretty  the log for people, or as JSON (for people on a terminal)
  --keep-mounts      at its end leave mounted what is mounted: the next plyd takes it over
  --no-warm-engine   start engines when they are needed: else one is there before, and practises for some seconds, so that the first container
                     does not find it slow
  --transport WHICH  how requests come from the kernel: auto, dev (/dev/fuse), uring (auto: io_uring where it is switched on)
  --help, --version

Configuration:
  config check       is there anything wrong in the file? (status 2: yes)
  config dump        what plyd goes by, and who said it, as TOML: plyd config dump --root /srv/ply
  --json             config check and dump: as JSON
`;

const OPTIONS = {
  root: { type: 'string' },
  socket: { type: 'string' },
  'containerd-socket': { type: 'string' },
  config: { type: 'string' },
  'log-level': { type: 'string' },
  'log-pretty': { type: 'boolean' },
  'no-log-pretty': { type: 'boolean' },
  'keep-mounts': { type: 'boolean' },
  'warm-engine': { type: 'boolean' },
  'no-warm-engine': { type: 'boolean' },
  transport: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean' },
  version: { type: 'boolean' },
} as const;

/** `from`: "command line", "PLY_ROOT", "PLY_SOCKET", the file's path, or "default". `value` undefined: nobody said, and plyd finds out. */
export type Sources = Readonly<Record<Key, { value: Settings[Key]; from: string }>>;

export type Asked =
  | { action: 'run'; config: Config }
  | { action: 'dump'; sources: Sources; json: boolean }
  /** file undefined: there is no usual one */
  | { action: 'check'; file: string | undefined; named: boolean; json: boolean }
  | { action: 'help' }
  | { action: 'version' };

/** Throws ConfigError. */
export function readConfig(args: readonly string[], environment: NodeJS.ProcessEnv): Asked {
  const { values: given, positionals } = readArguments(args);
  for (const name of ['log-pretty', 'warm-engine'] as const)
    if (given[name] === true && given[`no-${name}`] === true) throw misused(`--${name} and --no-${name}: which?`);
  if (given.help === true) return { action: 'help' };
  if (given.version === true) return { action: 'version' };
  const [word, verb, file = given.config, ...rest] = positionals;
  const json = given.json === true;
  if (word === 'config' && verb === 'check' && rest.length === 0)
    return { action: 'check', file: file ?? usualFile(environment), named: file !== undefined, json };
  const dumps = word === 'config' && verb === 'dump' && positionals.length === 2;
  if (positionals.length > 0 && !dumps) throw misused(`plyd ${positionals.join(' ')}: there are config check [FILE] and config dump`);
  if (json && !dumps) throw misused('--json is for config check and config dump');
  const sources = gather(given, environment);
  const config = configOf(sources);
  return dumps ? { action: 'dump', sources, json } : { action: 'run', config };
}

type Given = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'];

function gather(given: Given, environment: NodeJS.ProcessEnv): Sources {
  const path = given.config === undefined ? usualFile(environment) : resolve(given.config);
  const file = path === undefined ? {} : given.config === undefined ? (readFile(path) ?? {}) : readNamedFile(path);
  const options: Partial<Record<Key, string | boolean>> = {
    ...given,
    ...(given['no-log-pretty'] === true && { 'log-pretty': false }),
    ...(given['no-warm-engine'] === true && { 'warm-engine': false }),
  };
  const variables: Partial<Record<Key, string>> = { root: 'PLY_ROOT', socket: 'PLY_SOCKET' };
  const pick = <K extends Key>(key: K, usual: () => Settings[K]): { value: Settings[K]; from: string } => {
    const option = options[key];
    if (option !== undefined) {
      const value = key === 'root' || key.endsWith('socket') ? resolve(option as string) : option;
      return { value: checked(key, value, `--${key}`), from: 'command line' };
    }
    const variable = variables[key] ?? '';
    const said = environment[variable] ?? '';
    if (said !== '') return { value: checked(key, resolve(said), variable), from: variable };
    return file[key] === undefined ? { value: usual(), from: 'default' } : { value: file[key], from: path ?? '' };
  };
  const containerd = pick('containerd-socket', () => undefined);
  return {
    root: pick('root', () => usualRoot(environment)),
    socket: pick('socket', () => usualSocket(environment)),
    'containerd-socket': containerd,
    group: pick('group', () => undefined),
    'log-level': pick('log-level', () => 'info'),
    'log-pretty': pick('log-pretty', () => undefined),
    'keep-mounts': pick('keep-mounts', () => containerd.value !== undefined),
    'warm-engine': pick('warm-engine', () => true),
    workers: pick('workers', () => undefined),
    transport: pick('transport', () => 'auto'),
  };
}

function configOf(sources: Sources): Config {
  const of = <K extends Key>(key: K): Settings[K] => sources[key].value as Settings[K];
  const socket = of('socket');
  if (socket === undefined) throw new ConfigError('XDG_RUNTIME_DIR is not set: say with --socket where to listen');
  const group = of('group');
  const config: Config = {
    root: of('root')!,
    socket,
    containerdSocket: of('containerd-socket'),
    group: group === undefined ? undefined : groupId(group),
    logLevel: of('log-level')!,
    logPretty: of('log-pretty'),
    keepMounts: sources['keep-mounts'].from === 'default' ? undefined : of('keep-mounts'),
    warmEngine: of('warm-engine')!,
    workers: of('workers'),
    transport: of('transport')!,
  };
  for (const path of [config.socket, config.containerdSocket ?? ''])
    if (Buffer.byteLength(path) > 107) throw new ConfigError(`the path of the socket has more than 107 bytes: choose a shorter one`);
  return config;
}

function readArguments(args: readonly string[]): { values: Given; positionals: string[] } {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
    for (const name of ['root', 'socket', 'containerd-socket', 'config'] as const)
      if (values[name] === '') throw new Error(`--${name} has no value`);
    return { values, positionals };
  } catch (error) {
    throw misused((error as Error).message.replace(/\. To specify.*$/s, ''));
  }
}

function misused(message: string): ConfigError {
  return new ConfigError(`${message}\nTry \`plyd --help\`.`);
}

function usualRoot(environment: NodeJS.ProcessEnv): string {
  if (isRoot()) return '/var/lib/ply';
  const { XDG_DATA_HOME: directory = '' } = environment;
  return resolve(join(directory === '' ? join(homedir(), '.local', 'share') : directory, 'ply'));
}

/** What is run in a container, and as whom: what the command line says, else what the image's config says. */
import { PlyError } from '../../client/errors';

/** Of the OCI image config's `config`. */
export interface ImageSettings {
  entrypoint: readonly string[];
  cmd: readonly string[];
  env: readonly string[];
  workingDir: string;
  user: string;
}

export interface Asked {
  command: readonly string[];
  /** instead of the image's; empty: none */
  entrypoint: string | undefined;
  /** NAME=VALUE, or NAME: with our own value */
  env: readonly string[];
  workingDir: string | undefined;
  user: string | undefined;
  hostname: string;
}

export interface Settings {
  command: string[];
  env: string[];
  workingDir: string;
  user: string;
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The config is somebody else's: what is not of the type that it should be counts as absent. */
export function imageSettings(config: Readonly<Record<string, unknown>> | null): ImageSettings {
  const inner = config?.['config'];
  const found = (typeof inner === 'object' && inner !== null ? inner : {}) as Record<string, unknown>;
  const text = (name: string): string => (typeof found[name] === 'string' ? found[name] : '');
  const list = (name: string): string[] => {
    const value = found[name];
    return Array.isArray(value) && value.every((one) => typeof one === 'string') ? value : [];
  };
  return { entrypoint: list('Entrypoint'), cmd: list('Cmd'), env: list('Env'), workingDir: text('WorkingDir'), user: text('User') };
}

export function settings(image: string, config: Readonly<Record<string, unknown>> | null, asked: Asked): Settings {
  const { entrypoint, cmd, env, workingDir, user } = imageSettings(config);
  const first = asked.entrypoint === undefined ? entrypoint : asked.entrypoint === '' ? [] : [asked.entrypoint];
  const usual = asked.entrypoint === undefined ? cmd : []; // the image's Cmd belongs to its Entrypoint
  const command = [...first, ...(asked.command.length > 0 ? asked.command : usual)];
  if (command.length === 0) {
    throw new PlyError({ code: 'bad-request', message: `the image ${image} says no command: name one (ply run ${image} CMD…)` });
  }
  return {
    command,
    env: environment([`PATH=${PATH}`, `HOSTNAME=${asked.hostname}`, ...terminal(), ...env, ...asked.env.flatMap(ownValue)]),
    workingDir: asked.workingDir ?? workingDir,
    user: asked.user ?? user,
  };
}

/** The last one of a name counts. */
function environment(given: readonly string[]): string[] {
  const values = new Map<string, string>();
  for (const one of given) {
    const name = one.split('=', 1)[0];
    if (name !== '' && one.includes('=') && !one.includes('\0')) values.set(name, one);
  }
  return [...values.values()];
}

function terminal(): string[] {
  const term = process.env['TERM'];
  return term === undefined || term === '' ? [] : [`TERM=${term}`];
}

function ownValue(one: string): string[] {
  if (one.includes('=')) return [one];
  const value = process.env[one];
  return value === undefined ? [] : [`${one}=${value}`];
}

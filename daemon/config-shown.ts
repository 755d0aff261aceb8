/** plyd config dump, plyd config check: what they print. */
import type { Sources } from './config';
import { ConfigError, readFile, readNamedFile } from './config-file';

// eslint-disable-next-line @typescript-eslint/no-require-imports -- an ES module
const { stringify } = require('smol-toml') as { stringify: (value: object) => string };

/** For what nobody has set, and plyd finds out. */
const UNSET: Readonly<Record<string, string>> = {
  'containerd-socket': 'none',
  group: "plyd's own",
  'log-pretty': 'on a terminal',
  workers: 'one per CPU, at most 8',
};

/** Can be read as a configuration. JSON: by setting, `{value, from}`; null where nothing is set. */
export function dump(sources: Sources, json: boolean): string {
  const all = Object.entries(sources);
  if (json) {
    const shown = all.map(([key, { value, from }]) => [key, { value: value ?? null, from }]);
    return `${JSON.stringify(Object.fromEntries(shown), undefined, 2)}\n`;
  }
  const lines = all.map(([key, { value, from }]) =>
    value === undefined
      ? { text: `#${key} =`, note: `${from}: ${UNSET[key] ?? 'not set'}` }
      : { text: stringify({ [key]: value }).trim(), note: from },
  );
  const width = Math.max(...lines.map(({ text }) => text.length));
  return lines.map(({ text, note }) => `${text.padEnd(width)} # ${note}\n`).join('');
}

/** Throws ConfigError, but for JSON: `{file, ok}`, and `error` where it is not. */
export function check(file: string | undefined, named: boolean, json: boolean): { text: string; ok: boolean } {
  try {
    if (file === undefined) throw new ConfigError('neither XDG_CONFIG_HOME nor HOME is set: name a FILE');
    const there = (named ? readNamedFile(file) : readFile(file)) !== undefined;
    return {
      ok: true,
      text: json ? `${JSON.stringify({ file, there, ok: true })}\n` : `${file}: ok${there ? '' : ', as it is not there'}\n`,
    };
  } catch (error) {
    if (!json || !(error instanceof ConfigError)) throw error;
    return { ok: false, text: `${JSON.stringify({ file: file ?? null, ok: false, error: error.message })}\n` };
  }
}

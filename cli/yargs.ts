/**
 * yargs, without what makes its own entry slow: that loads string-width and cliui (25 ms of CPU for their Unicode tables), a translation and
 * the whole ESM loader before a word is parsed. Here yargs's factory gets the same platform with these parts loaded when help is shown.
 * The factory is not among the entries that yargs's package.json exports: where it is not found so, yargs's own entry serves as well.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { format, inspect } from 'node:util';
import type { Argv } from 'yargs';
import { factory, ofYargs, parser as parserModule, words as wordsModule } from './yargs-parts';

type Yargs = (args: readonly string[]) => Argv;

const load = createRequire(__filename);

/** Translations: English only, whatever the locale says, as every other text of ours. */
const english = {
  __: (text: string, ...values: unknown[]): string => format(text, ...values),
  __n: (one: string, many: string, count: number, ...values: unknown[]): string => format(count === 1 ? one : many, ...values),
  getLocale: (): string => 'en',
  setLocale: (): void => undefined,
  updateLocale: (): void => undefined,
};

/** An ES module's default export; `require` gives some modules as that already. */
const entry = (module: unknown): unknown => (module as { default?: unknown }).default ?? module;

interface ParserModule {
  YargsParser: new (platform: object) => { parse: (args: string[], options: unknown) => { argv: unknown } };
}

/** yargs-parser, as its own entry (build/lib/index.js) makes it: that one imports fs and util as ES modules, which loads all of them. */
function parser(): unknown {
  const { YargsParser } = parserModule() as ParserModule;
  const words = wordsModule() as object;
  const made = new YargsParser({
    cwd: () => process.cwd(),
    env: () => process.env,
    format,
    normalize: (file: string) => path.normalize(file),
    resolve: (...files: string[]) => path.resolve(...files),
    require: load,
  });
  const parse = (args: readonly string[], options: unknown): unknown => made.parse([...args], options).argv;
  return Object.assign(parse, words, { detailed: (args: readonly string[], options: unknown) => made.parse([...args], options) });
}

/** What yargs asks of the platform it runs on (lib/platform-shims/esm.mjs in yargs). */
function platform(): object {
  const assert = (): typeof import('node:assert') => load('node:assert') as typeof import('node:assert');
  return {
    assert: {
      strictEqual: (...values: [unknown, unknown, string?]) => assert().strictEqual(...values),
      notStrictEqual: (...values: [unknown, unknown, string?]) => assert().notStrictEqual(...values),
    },
    cliui: (options: unknown) => (entry(ofYargs()('cliui')) as (options: unknown) => unknown)(options),
    stringWidth: (text: string) =>
      /^[ -~\n]*$/.test(text) ? text.length : (entry(ofYargs()('string-width')) as (text: string) => number)(text),
    Parser: parser(),
    y18n: english,
    findUp: () => undefined,
    getEnv: (name: string) => process.env[name],
    getCallerFile: () => __filename,
    getProcessArgvBin: () => 'ply',
    inspect,
    mainFilename: __filename,
    path,
    readFileSync: fs.readFileSync,
    readdirSync: fs.readdirSync,
    require: load,
    process: {
      argv: () => process.argv,
      cwd: () => process.cwd(),
      emitWarning: (warning: string, type?: string) => process.emitWarning(warning, type),
      execPath: () => process.execPath,
      exit: (status: number) => process.exit(status),
      nextTick: (then: () => void) => process.nextTick(then),
      stdColumns: null,
    },
  };
}

/** The factory itself; undefined where yargs has moved it. */
export function quickYargs(): Yargs | undefined {
  try {
    const { YargsFactory } = factory() as { YargsFactory: (platform: object) => Yargs };
    return YargsFactory(platform());
  } catch {
    return undefined; // another version of yargs: its own entry is slower, no less right
  }
}

export function yargs(args: readonly string[]): Argv {
  return (quickYargs() ?? (entry(load('yargs')) as Yargs))(args);
}

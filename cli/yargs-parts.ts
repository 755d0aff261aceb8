/**
 * What yargs.ts takes of yargs: modules that are not among the entries which its package.json exports. In the bundle (scripts/bundle.ts) this module is
 * another one, which has them in it.
 */
import { createRequire } from 'node:module';
import path from 'node:path';

const load = createRequire(__filename);

/** Throws where yargs has moved them. */
const yargsDirectory = (): string => path.dirname(load.resolve('yargs/package.json'));

/** What yargs itself would get with `require`. */
export const ofYargs = (): NodeJS.Require => createRequire(path.join(yargsDirectory(), 'index.mjs'));

const parserDirectory = (): string => path.dirname(ofYargs().resolve('yargs-parser'));

export const factory = (): unknown => load(path.join(yargsDirectory(), 'build/lib/yargs-factory.js'));
export const parser = (): unknown => load(path.join(parserDirectory(), 'yargs-parser.js'));
export const words = (): unknown => load(path.join(parserDirectory(), 'string-utils.js'));

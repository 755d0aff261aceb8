/**
 * Puts the modules of a program into one file, with V8's code for it (daemon/bundled.ts loads them): node dist/scripts/bundle.js, after tsc.
 *
 * What is bundled is what tsc has made, so the modules in it are the very ones that the tests load.
 */
import { build, type Plugin } from 'esbuild';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import v8 from 'node:v8';
import vm from 'node:vm';
import { BUNDLES, type Manifest } from '../daemon/bundled.js';

const DIST = path.resolve(__dirname, '..');

/** What is loaded from each, by its path from dist. */
const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  engine: ['daemon/engine/run', 'daemon/engine/worker'],
  ply: ['cli/main'],
};

/** A module in a bundle still sees where it lies, by way of the bundle's argument. */
const ownPlace: Plugin = {
  name: 'own-place',
  setup(on) {
    on.onLoad({ filter: /\.js$/ }, ({ path: file }) => {
      const name = path.relative(DIST, file);
      if (name.startsWith('..')) return undefined; // a package's
      const place = (of: string): string => `(__dist+${JSON.stringify(`/${of}`)})`;
      const contents = name === 'cli/yargs-parts.js' ? yargsParts() : fs.readFileSync(file, 'utf8');
      return { contents: contents.replaceAll('__dirname', place(path.dirname(name))).replaceAll('__filename', place(name)) };
    });
  },
};

/** As cli/yargs-parts.ts, with the modules themselves. */
function yargsParts(): string {
  const yargs = path.dirname(require.resolve('yargs/package.json'));
  const parser = path.dirname(createRequire(path.join(yargs, 'index.mjs')).resolve('yargs-parser'));
  const load = (...file: string[]): string => `() => require(${JSON.stringify(path.join(...file))})`;
  return `
const { createRequire } = require('node:module');
exports.ofYargs = () => createRequire(createRequire(__filename).resolve('yargs'));
exports.factory = ${load(yargs, 'build/lib/yargs-factory.js')};
exports.parser = ${load(parser, 'yargs-parser.js')};
exports.words = ${load(parser, 'string-utils.js')};`;
}

async function bundle(name: string, entries: readonly string[]): Promise<void> {
  const list = entries.map((entry) => `${JSON.stringify(entry)}: () => require(${JSON.stringify(`./${entry}.js`)})`);
  const { outputFiles, metafile } = await build({
    stdin: { contents: `module.exports = {${list.join(', ')}};`, resolveDir: DIST, sourcefile: `${name}.js` },
    outfile: path.join(DIST, BUNDLES, `${name}.js`),
    absWorkingDir: DIST,
    bundle: true,
    platform: 'node',
    target: 'node20',
    packages: 'external',
    banner: { js: '(function (module, require, __dist) {' },
    footer: { js: '})' },
    charset: 'ascii',
    legalComments: 'none',
    sourcemap: 'external',
    sourcesContent: false,
    plugins: [ownPlace],
    metafile: true,
    write: false,
    logLevel: 'warning',
  });
  const [map, source] = ['.map', '.js'].map((ending) => outputFiles.find((one) => one.path.endsWith(ending))!);
  const text = source.text.replace(/[^\0-\x7f]/g, '?'); // in comments only
  const mapped = map.text.replaceAll('"../../', '"'); // sources, from the repository
  const hash = createHash('sha256').update(text).update(mapped).digest('hex').slice(0, 16);
  const file = (ending: string): string => `${BUNDLES}/${name}-${hash}.${ending}`;
  const modules = Object.keys(metafile.inputs).filter((input) => input !== `${name}.js`);
  const manifest: Manifest = { source: file('js'), code: file('code'), map: file('map'), modules };
  fs.mkdirSync(path.join(DIST, BUNDLES), { recursive: true });
  write(manifest.source, text);
  write(manifest.code, codeOf(text, path.join(DIST, manifest.source)));
  write(manifest.map, mapped);
  write(`${BUNDLES}/${name}.json`, JSON.stringify(manifest));
  for (const other of fs.readdirSync(path.join(DIST, BUNDLES))) {
    if (other.startsWith(`${name}-`) && !other.includes(hash)) fs.rmSync(path.join(DIST, BUNDLES, other));
  }
}

/** V8's code for all of its functions, not only for those that run while it is loaded. */
function codeOf(source: string, filename: string): Buffer {
  v8.setFlagsFromString('--no-lazy');
  const script = new vm.Script(source, { filename });
  v8.setFlagsFromString('--lazy'); // the code is only taken by a V8 that has the same flags
  return script.createCachedData();
}

/** Whoever starts meanwhile finds the old one or the new one. */
function write(name: string, contents: string | Uint8Array): void {
  const file = path.join(DIST, name);
  fs.writeFileSync(`${file}.new`, contents);
  fs.renameSync(`${file}.new`, file);
}

async function main(): Promise<void> {
  for (const [name, entries] of Object.entries(PROGRAMS)) await bundle(name, entries);
}

void main();

/**
 * Puts the modules of a program into one file, with V8's code for it (daemon/bundled.ts loads them): node dist/scripts/bundle.js, after tsc.
 *
 * What is bundled is what tsc has made, so the modules in it are the very ones that the tests load.
 */
import { build, type Plugin } from 'esbuild';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import v8 from 'node:v8';
import vm from 'node:vm';
import { BUNDLES, type Manifest } from '../daemon/bundled.js';

const DIST = path.resolve(__dirname, '..');

/** What is loaded from each, by its path from dist. */
const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  engine: ['daemon/engine/run', 'daemon/engine/worker'],
};

/** A module in a bundle still sees its own directory, by way of the bundle's argument. */
const ownDirectory: Plugin = {
  name: 'own-directory',
  setup(on) {
    on.onLoad({ filter: /\.js$/ }, ({ path: file }) => {
      const directory = `(__dist+${JSON.stringify(`/${path.relative(DIST, path.dirname(file))}`)})`;
      return { contents: fs.readFileSync(file, 'utf8').replaceAll('__dirname', directory) };
    });
  },
};

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
    minifyWhitespace: true,
    legalComments: 'none',
    sourcemap: 'external',
    sourcesContent: false,
    plugins: [ownDirectory],
    metafile: true,
    write: false,
    logLevel: 'warning',
  });
  const [map, source] = ['.map', '.js'].map((ending) => outputFiles.find((one) => one.path.endsWith(ending))!);
  if (/[^\0-\x7f]/.test(source.text)) throw new Error(`the bundle ${name} is not ASCII, and is read as such`);
  const mapped = map.text.replaceAll('"../../', '"'); // sources, from the repository
  const hash = createHash('sha256').update(source.contents).update(mapped).digest('hex').slice(0, 16);
  const file = (ending: string): string => `${BUNDLES}/${name}-${hash}.${ending}`;
  const modules = Object.keys(metafile.inputs).filter((input) => input !== `${name}.js`);
  const manifest: Manifest = { source: file('js'), code: file('code'), map: file('map'), modules };
  fs.mkdirSync(path.join(DIST, BUNDLES), { recursive: true });
  write(manifest.source, source.contents);
  write(manifest.code, codeOf(source.text, path.join(DIST, manifest.source)));
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

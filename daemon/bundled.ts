/**
 * A program's modules in one file, with V8's code for them: finding, reading and compiling each by itself is most of a start. scripts/bundle.ts makes these
 * files. They are never needed: where something of them is missing, or a module is newer than they are, the modules themselves are loaded.
 */
import fs from 'node:fs';
import { createRequire, SourceMap } from 'node:module';
import { join } from 'node:path';
import vm from 'node:vm';

/** All names are paths from dist. */
export interface Bundle {
  /** names of these have a hash of the source in them: V8 compares no more of it than its length */
  source: string;
  code: string;
  map: string;
}

/** `<bundle>.json` */
export interface Manifest extends Bundle {
  /** what is in it */
  modules: readonly string[];
}

/** What the source evaluates to: it gives `module` an object with a function for each entry, which loads it. */
type Program = (module: { exports: Record<string, () => unknown> }, require: NodeJS.Require, dist: string) => void;

const DIST = join(__dirname, '..');

/** Directory of the bundles, from dist. */
export const BUNDLES = 'bundles';

export function findBundle(name: string): Bundle | undefined {
  try {
    const made = join(DIST, BUNDLES, `${name}.json`);
    const { modules, ...bundle } = JSON.parse(fs.readFileSync(made, 'utf8')) as Manifest;
    const { mtimeMs } = fs.statSync(made);
    return modules.some((module) => fs.statSync(`${DIST}/${module}`).mtimeMs > mtimeMs) ? undefined : bundle;
  } catch {
    return undefined;
  }
}

/** An upgrade takes the old one's files away. */
export function isThere({ source, code }: Bundle): boolean {
  return [source, code].every((name) => fs.existsSync(join(DIST, name)));
}

/** The exports of a module (its path from dist), from a bundle of which it is an entry if that can be had. */
export function load(bundle: Bundle | undefined, module: string): unknown {
  const require = createRequire(__filename);
  const program = bundle === undefined ? undefined : open(bundle);
  if (program === undefined) return require(join(DIST, module));
  const exported: Parameters<Program>[0] = { exports: {} };
  program(exported, require, DIST);
  return exported.exports[module]();
}

function open(bundle: Bundle): Program | undefined {
  const [file, code, map] = [bundle.source, bundle.code, bundle.map].map((name) => join(DIST, name));
  let script: vm.Script;
  try {
    // The source is ASCII. V8 compiles it when the code is that of another V8.
    script = new vm.Script(fs.readFileSync(file, 'latin1'), { filename: file, cachedData: fs.readFileSync(code) });
  } catch {
    return undefined; // a newer one has taken its place
  }
  mapStacks(file, map);
  return script.runInThisContext() as Program;
}

interface Frame extends NodeJS.CallSite {
  /** as V8 has it in a stack */
  toString(): string;
}

/**
 * Has stacks name places in the sources. The map is read with the first stack that somebody looks at; not for an error with a code, which is mostly no fault of
 * ours, and which Node's own streams look at.
 */
function mapStacks(file: string, mapFile: string): void {
  let inSources: ((frame: Frame) => string) | undefined;
  Error.prepareStackTrace = (error, frames: Frame[]) => {
    try {
      if (!('code' in error)) inSources ??= mapper(file, mapFile);
    } catch {
      // there is no map
    }
    return [String(error), ...frames.map(inSources ?? ((frame) => frame.toString()))].join('\n    at ');
  };
}

function mapper(file: string, mapFile: string): (frame: Frame) => string {
  const map = new SourceMap(JSON.parse(fs.readFileSync(mapFile, 'utf8')) as ConstructorParameters<typeof SourceMap>[0]);
  return (frame) => {
    const text = frame.toString();
    const [line, column] = [frame.getLineNumber(), frame.getColumnNumber()];
    if (frame.getFileName() !== file || line === null || column === null) return text;
    const found = map.findEntry(line - 1, column - 1);
    if (!('originalSource' in found)) return text;
    const { originalSource, originalLine, originalColumn } = found;
    return text.replace(`${file}:${line}:${column}`, `${originalSource}:${originalLine + 1}:${originalColumn + 1}`);
  };
}

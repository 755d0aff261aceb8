/**
 * The npm packages that an installation needs, by package-lock.json: what `dependencies` lead to, found as Node finds it. Not a list that somebody has to
 * keep: what is added to package.json is installed.
 */
import fs from 'node:fs';
import path from 'node:path';

/** Needed while `npm ci` runs, to fetch or compile an addon, and by nothing that runs later: left out, and what only they depend on. */
const FOR_INSTALL_SCRIPTS: ReadonlySet<string> = new Set(['prebuild-install']);

interface Locked {
  version?: string;
  dependencies?: Readonly<Record<string, string>>;
  optionalDependencies?: Readonly<Record<string, string>>;
  peerDependencies?: Readonly<Record<string, string>>;
  peerDependenciesMeta?: Readonly<Record<string, { optional?: boolean }>>;
}

/**
 * Their directories ("node_modules/zod"), sorted. Optional ones that npm did not install are none; any other that is missing throws, as `npm ci` has to
 * run first.
 */
export function productionPackages(root: string): string[] {
  const { packages } = JSON.parse(fs.readFileSync(path.join(root, 'package-lock.json'), 'utf8')) as { packages: Record<string, Locked> };
  const found = new Set<string>();
  const visit = (from: string): void => {
    const { dependencies = {}, optionalDependencies = {}, peerDependencies = {}, peerDependenciesMeta = {} } = packages[from];
    const peers = Object.keys(peerDependencies).filter((name) => peerDependenciesMeta[name]?.optional !== true);
    for (const name of [...Object.keys({ ...dependencies, ...optionalDependencies }), ...peers]) {
      if (FOR_INSTALL_SCRIPTS.has(name)) continue;
      const directory = resolved(packages, from, name);
      const isThere = directory !== undefined && fs.existsSync(path.join(root, directory, 'package.json'));
      if (!isThere && Object.hasOwn(optionalDependencies, name)) continue;
      if (!isThere) throw new Error(`${name}, which ${from || 'plyfs'} needs, is not in node_modules: run npm ci`);
      if (found.has(directory)) continue;
      found.add(directory);
      visit(directory);
    }
  };
  visit('');
  return [...found].sort();
}

/** As require() looks: in the package's own node_modules, then in those above. */
function resolved(packages: Readonly<Record<string, Locked>>, from: string, name: string): string | undefined {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    const candidate = at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`;
    if (Object.hasOwn(packages, candidate)) return candidate;
    if (at === '') return undefined;
    if (!at.includes('/node_modules/')) {
      const top = `node_modules/${name}`;
      return Object.hasOwn(packages, top) ? top : undefined;
    }
  }
}

const LICENCE = /^(licen[cs]e|copying|notice)/i;
const USELESS = /\.(map|md|markdown|tsbuildinfo|yml|yaml|flow|ts|mts|cts)$|^\.|^(Makefile|tsconfig.*|.*\.gyp|bench.*\.js|test\.js)$/i;
const NO_CODE: ReadonlySet<string> = new Set([
  'test',
  'tests',
  '__tests__',
  'docs',
  'doc',
  'example',
  'examples',
  'benchmarks',
  'benchmark',
  'coverage',
]);

/**
 * The files of a package that running it takes, as paths within it: no tests, types or maps; of an addon what it was built to, not its sources.
 */
export function filesOf(directory: string): string[] {
  const isAddon = fs.existsSync(path.join(directory, 'binding.gyp'));
  const found: string[] = [];
  const visit = (at: string): void => {
    for (const entry of fs.readdirSync(path.join(directory, at), { withFileTypes: true })) {
      const name = path.join(at, entry.name);
      if (entry.isDirectory()) {
        const isTop = at === '';
        if (entry.name === 'node_modules' || entry.name.startsWith('.') || (isTop && NO_CODE.has(entry.name))) continue;
        if (isAddon && isTop && (entry.name === 'deps' || entry.name === 'src')) continue;
        visit(name);
      } else if (isAddon && name.startsWith('build/')) {
        if (/^build\/Release\/[^/]+\.node$/.test(name) && !/^test/.test(entry.name)) found.push(name);
      } else if (LICENCE.test(entry.name) || !USELESS.test(entry.name)) found.push(name);
    }
  };
  visit('');
  return found.sort();
}

export function licenceFiles(directory: string): string[] {
  return fs.readdirSync(directory).filter((name) => LICENCE.test(name) && fs.statSync(path.join(directory, name)).isFile());
}

/** fuse-native itself, for tests that mount with it: npm puts it into a temporary directory, which a plyd is told of by NODE_PATH. */
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import t, { type Test } from 'tap';
import { CANNOT, Plyd } from '../plyd/daemon.js';
import { run } from '../support/mounts.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';

const VERSION = '2.2.6';
const INSTALL_MS = 300_000;

/** Is it where plyfs finds it without being told? Then what happens without it cannot be seen. */
export function isBesidePlyfs(): boolean {
  try {
    createRequire(__filename).resolve('fuse-native');
    return true;
  } catch {
    return false;
  }
}

export interface Installed {
  /** a node_modules directory that has it */
  modules: string;
}

/** Or why it cannot be had. */
async function install(): Promise<Installed | string> {
  if (CANNOT !== undefined) return CANNOT;
  const prefix = temporaryDirectory();
  const quiet = ['--no-save', '--no-package-lock', '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = await run('npm', ['install', ...quiet, '--prefix', prefix, `fuse-native@${VERSION}`], { cwd: prefix, timeoutMs: INSTALL_MS });
  if (npm.status !== 0) return `npm cannot install fuse-native@${VERSION}: ${npm.stderr.trim().slice(-300)}`;
  const modules = path.join(prefix, 'node_modules');
  const loaded = await run(process.execPath, ['-e', "require('fuse-native')"], {
    cwd: prefix,
    env: { ...process.env, NODE_PATH: modules },
  });
  if (loaded.status !== 0) return `fuse-native@${VERSION} cannot be loaded here: ${loaded.stderr.trim().slice(0, 300)}`;
  return { modules };
}

let installing: Promise<Installed | string> | undefined;

/** A test with a plyd that has fuse-native, of which nothing may be left; skipped where fuse-native cannot be had. */
export function testWithFuseNative(name: string, body: (t: Test, plyd: Plyd, installed: Installed) => Promise<void>): void {
  void t.test(name, async (t) => {
    const installed = await (installing ??= install());
    if (typeof installed === 'string') {
      t.pass('skipped', { skip: installed });
      return;
    }
    const plyd = new Plyd();
    try {
      await plyd.start([], { NODE_PATH: installed.modules });
      await body(t, plyd, installed);
    } finally {
      t.same(await plyd.cleanUp(), [], 'nothing is left');
    }
  });
}

/** After the last test: what was installed goes. */
export async function uninstall(): Promise<void> {
  const installed = await installing;
  if (typeof installed === 'object') await removeDirectory(path.dirname(installed.modules));
}

/** A copy of what is installed, of which the addon wants another library than libfuse 2; returns its node_modules. */
export function withoutLibfuse({ modules }: Installed, directory: string): string {
  const copy = path.join(directory, 'node_modules');
  fs.cpSync(modules, copy, { recursive: true });
  const addons = fs
    .readdirSync(path.join(copy, 'fuse-native'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.node'))
    .map((file) => path.join(copy, 'fuse-native', file));
  for (const addon of addons) {
    const text = fs.readFileSync(addon, 'latin1').replaceAll('libfuse.so.2', 'libfuse.so.9');
    fs.writeFileSync(addon, text, 'latin1');
  }
  return copy;
}

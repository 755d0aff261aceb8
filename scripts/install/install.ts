/**
 * make install: copies what runs without the build tree, with the times that it has (a bundle older than its modules would not be used).
 *
 *   PREFIX/lib/plyfs/            dist (programs, modules, bundles), both addons, node_modules of production: all found from their own place
 *   PREFIX/bin/{ply,plyd,plyfs}  symlinks into it
 *   MOUNTDIR/mount.{fuse.,}plyfs the same, for mount(8), which looks in /sbin only
 *   PREFIX/share, PREFIX/lib/systemd/system, SYSCONFDIR/ply/plyd.toml (kept if it is there)
 *
 * What is outside PREFIX/lib/plyfs is listed in PREFIX/lib/plyfs/installed: make uninstall goes by it.
 */
import fs from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { filesOf, productionPackages } from './packages.js';

export interface Places {
  /** in front of every path that is written; not in what files say */
  destdir: string;
  /** whole path */
  prefix: string;
  sysconfdir: string;
  /** where mount(8) finds its helpers */
  mountdir: string;
  unitdir: string;
  /** of zsh's completions */
  zshdir: string;
}

const ROOT = path.resolve(__dirname, '../../..');
const PROGRAMS = ['ply', 'plyd', 'plyfs'] as const;
/** What mount(8) looks for: of type plyfs, and of type fuse.plyfs. */
const HELPERS = ['mount.plyfs', 'mount.fuse.plyfs'] as const;
const LISTED = 'installed';

/** What of dist is no part of a running plyfs. */
const NOT_INSTALLED = /^(test|scripts|man)\/|^\.tsbuildinfo$|\.js\.map$|\.new$/;

/** Also those for programs that use plyfs/client: their types. */
const hasTypes = (name: string): boolean => !name.endsWith('.d.ts') || /^(client|daemon\/api)\//.test(name);

class Installation {
  private readonly outside: string[] = [];

  private readonly home: string;

  constructor(private readonly places: Places) {
    this.home = path.join(places.prefix, 'lib/plyfs');
  }

  run(): void {
    const { prefix, sysconfdir, mountdir } = this.places;
    fs.rmSync(this.there(this.home), { recursive: true, force: true }); // files of an older version would be loaded
    this.program();
    for (const name of PROGRAMS) this.link(path.join(prefix, 'bin', name), path.join(this.home, 'dist/bin', name));
    for (const name of HELPERS) this.link(path.join(mountdir, name), path.join(this.home, 'dist/bin/plyfs'));
    this.manual();
    this.completions();
    this.units();
    this.configuration(path.join(sysconfdir, 'ply/plyd.toml'));
    fs.writeFileSync(this.there(path.join(this.home, LISTED)), this.outside.map((file) => `${file}\n`).join(''));
  }

  private there(file: string): string {
    return path.join(this.places.destdir, file);
  }

  private copy(from: string, to: string): void {
    const target = this.there(to);
    fs.mkdirSync(path.dirname(target), { recursive: true, mode: 0o755 });
    fs.copyFileSync(from, target);
    const { atime, mtime, mode } = fs.statSync(from);
    fs.chmodSync(target, (mode & 0o111) !== 0 && !/\.(c?js|json)$/.test(from) ? 0o755 : 0o644);
    fs.utimesSync(target, atime, mtime);
  }

  private write(to: string, contents: string | Buffer): void {
    const target = this.there(to);
    fs.mkdirSync(path.dirname(target), { recursive: true, mode: 0o755 });
    fs.writeFileSync(target, contents);
    fs.chmodSync(target, 0o644);
    this.outside.push(to);
  }

  private link(from: string, to: string): void {
    const target = this.there(from);
    fs.mkdirSync(path.dirname(target), { recursive: true, mode: 0o755 });
    fs.rmSync(target, { force: true });
    fs.symlinkSync(path.relative(path.dirname(from), to), target);
    this.outside.push(from);
  }

  private program(): void {
    for (const name of tree(path.join(ROOT, 'dist'))) {
      if (!NOT_INSTALLED.test(name) && hasTypes(name)) this.copy(path.join(ROOT, 'dist', name), path.join(this.home, 'dist', name));
    }
    for (const name of ['package.json', 'LICENSE', 'native-bindings/build/Release/plyfs.node']) {
      this.copy(path.join(ROOT, name), path.join(this.home, name));
    }
    for (const directory of productionPackages(ROOT)) {
      for (const name of filesOf(path.join(ROOT, directory))) {
        this.copy(path.join(ROOT, directory, name), path.join(this.home, directory, name));
      }
    }
  }

  private manual(): void {
    for (const name of listed(path.join(ROOT, 'dist/man'))) {
      const section = path.extname(name).slice(1);
      const page = gzipSync(fs.readFileSync(path.join(ROOT, 'dist/man', name)), { level: 9 });
      this.write(path.join(this.places.prefix, 'share/man', `man${section}`, `${name}.gz`), page);
    }
  }

  private completions(): void {
    const { prefix, zshdir } = this.places;
    const script = (shell: string): string => fs.readFileSync(path.join(ROOT, 'dist/completions', shell), 'utf8');
    for (const name of PROGRAMS) {
      this.write(path.join(prefix, 'share/bash-completion/completions', name), script('bash'));
      this.write(path.join(prefix, 'share/fish/vendor_completions.d', `${name}.fish`), script('fish'));
    }
    this.write(path.join(zshdir, '_ply'), script('zsh'));
  }

  /** Units name programs by their whole path. */
  private units(): void {
    const from = path.join(ROOT, 'scripts/systemd');
    for (const name of listed(from).filter((one) => /\.(service|socket)$/.test(one))) {
      const text = fs.readFileSync(path.join(from, name), 'utf8');
      const programs = text.replace(/\/\S*\/(plyd|plyfs|ply)(?=\s|$)/gm, (whole: string, program: string) =>
        /\/s?bin\/\w+$/.test(whole) ? path.join(this.places.prefix, 'bin', program) : whole,
      );
      this.write(path.join(this.places.unitdir, name), programs);
    }
  }

  private configuration(file: string): void {
    if (fs.existsSync(this.there(file))) return;
    this.write(file, fs.readFileSync(path.join(ROOT, 'dist/plyd.toml')));
    this.outside.pop(); // whoever uninstalls keeps what they wrote in there: see uninstall()
  }
}

/** Files below a directory, as paths from it. */
function tree(directory: string): string[] {
  return fs
    .readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(directory, path.join(entry.parentPath, entry.name)))
    .sort();
}

function listed(directory: string): string[] {
  return fs.existsSync(directory) ? fs.readdirSync(directory).sort() : [];
}

export function install(places: Places): void {
  new Installation(places).run();
}

/** Removes what install() put there; the configuration only if nobody has changed it, and the store never. */
export function uninstall(places: Places): void {
  const there = (file: string): string => path.join(places.destdir, file);
  const home = there(path.join(places.prefix, 'lib/plyfs'));
  const list = path.join(home, LISTED);
  if (!fs.existsSync(list)) throw new Error(`there is no ${list}: plyfs was not installed there by make install`);
  for (const file of fs.readFileSync(list, 'utf8').split('\n')) if (file !== '') fs.rmSync(there(file), { force: true });
  const settings = there(path.join(places.sysconfdir, 'ply/plyd.toml'));
  if (fs.existsSync(settings) && fs.readFileSync(settings, 'utf8') === fs.readFileSync(path.join(ROOT, 'dist/plyd.toml'), 'utf8')) {
    fs.rmSync(settings);
    removeIfEmpty(path.dirname(settings));
  }
  fs.rmSync(home, { recursive: true });
}

function removeIfEmpty(directory: string): void {
  if (fs.readdirSync(directory).length === 0) fs.rmdirSync(directory);
}

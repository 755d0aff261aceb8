/**
 * The directories that a mount is made of, opened once: from then on they are descriptors, and what happens to their names does not matter.
 * Symlinks in what the user named are followed (containers' storage names layers by l/XXXX links).
 */
import fs from 'node:fs';
import { type ImportedLowers, MountFlag, type MountOptions, OptionError, shown } from './options';

const O_PATH = 0o10000000;
const { O_DIRECTORY } = fs.constants;

/** O_PATH descriptors, owned by whoever asked for them. */
export interface Directories {
  /** topmost first */
  layers: number[];
  /** -1 both on a read-only mount */
  upper: number;
  work: number;
  imported?: ImportedFds;
}

/** Which of the layers are imported ones of a store. */
export interface ImportedFds {
  /** of its `objects/` */
  objects: number;
  /** as ImportedLowers has them, for each of the layers */
  ids: string[];
}

/** One directory, and what is to be compared. */
interface Opened {
  option: string;
  /** byte strings: as named, and as it is */
  named: string;
  real: string;
  fd: number;
  dev: number;
  ino: number;
}

/**
 * Opens what the options name and refuses what cannot work. Nothing stays open when it throws OptionError.
 * With `ro` the upper counts as the topmost layer: it is not written to at all, not even probed.
 */
export function openDirectories(options: MountOptions): Directories {
  const layers: number[] = [];
  let upper = -1;
  let work = -1;
  let imported: ImportedFds | undefined;
  try {
    for (const [i, path] of options.lower.entries()) layers.push(openLower(path, options.imported?.ids[i] ?? ''));
    if (options.imported !== undefined) imported = openObjects(options.imported);
    if (options.upper !== undefined) upper = openDirectory('upperdir', options.upper);
    if (options.work !== undefined) work = openDirectory('workdir', options.work);
    if (upper >= 0) check(options, layers, upper, work);
    if ((options.flags & MountFlag.RDONLY) === 0 || upper < 0) return { layers, upper, work, ...(imported && { imported }) };
    if (work >= 0) fs.closeSync(work);
    const ids = imported && { imported: { ...imported, ids: ['', ...imported.ids] } };
    return { layers: [upper, ...layers], upper: -1, work: -1, ...ids };
  } catch (error) {
    closeDirectories({ layers, upper, work, ...(imported && { imported }) });
    throw error;
  }
}

export function closeDirectories({ layers, upper, work, imported }: Directories): void {
  for (const fd of [...layers, upper, work, imported?.objects ?? -1]) if (fd >= 0) fs.closeSync(fd);
}

/** `id`: of an imported layer, else ''. */
function openLower(path: string, id: string): number {
  if (id !== '' && !fs.existsSync(Buffer.from(`${path}/index.db`, 'latin1')))
    throw new OptionError(`the layer ${id.slice(0, 12)} has lost its index (${shown(path)}/index.db is missing): import its image again`);
  return openDirectory('lowerdir', path);
}

function openObjects({ objects, ids }: ImportedLowers): ImportedFds {
  return { objects: openDirectory('the object store', objects), ids };
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist: create it, or correct the path',
  ENOTDIR: 'is not a directory',
  EACCES: 'cannot be reached: permission denied on the way to it',
  ELOOP: 'leads in a circle of symbolic links',
  ENAMETOOLONG: 'is too long for a path',
  ENOTCONN: 'lies on a mount whose server has died: unmount that first',
};

/** O_PATH|O_DIRECTORY, symlinks followed. `option` says for what, in the error. */
export function openDirectory(option: string, path: string): number {
  try {
    return fs.openSync(Buffer.from(path, 'latin1'), O_PATH | O_DIRECTORY);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    throw new OptionError(`${option} ${shown(path)} ${REASONS[code] ?? `cannot be opened (${code || String(error)})`}`);
  }
}

/** Where a descriptor's directory is, as a byte string. */
export function realPath(fd: number): string {
  return fs.readlinkSync(`/proc/self/fd/${fd}`, { encoding: 'buffer' }).toString('latin1');
}

function describe(option: string, named: string, fd: number): Opened {
  const { dev, ino } = fs.fstatSync(fd);
  return { option, named, real: realPath(fd), fd, dev, ino };
}

/** The mount that a descriptor was reached through: renames do not cross from one to another, even of the same file system. */
function mountId(fd: number): string | undefined {
  return /^mnt_id:\s*(\d+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1];
}

function check(options: MountOptions, layers: readonly number[], upperFd: number, workFd: number): void {
  const upper = describe('upperdir', options.upper!, upperFd);
  const work = describe('workdir', options.work!, workFd);
  if (same(upper, work)) throw new OptionError(`upperdir and workdir are the same directory, ${name(upper)}: give workdir one of its own`);
  for (const [inner, outer] of [
    [work, upper],
    [upper, work],
  ]) {
    if (inside(inner, outer)) {
      throw new OptionError(`${inner.option} ${name(inner)} lies inside ${outer.option} ${name(outer)}: put the two side by side`);
    }
  }
  if (upper.dev !== work.dev) {
    throw new OptionError(
      `workdir ${name(work)} is on another file system than upperdir ${name(upper)}: put both on one, since files are renamed from one to the other`,
    );
  }
  if (mountId(upper.fd) !== mountId(work.fd)) {
    throw new OptionError(
      `workdir ${name(work)} is reached through another mount than upperdir ${name(upper)}: name both through the same one, since files are renamed from one to the other`,
    );
  }
  options.lower.forEach((path, index) => {
    const lower = describe('lowerdir', path, layers[index]);
    for (const own of [upper, work]) {
      if (same(own, lower) || inside(own, lower) || inside(lower, own)) {
        throw new OptionError(
          `${own.option} ${name(own)} overlaps with lowerdir ${name(lower)}: what is written must lie outside all layers, and the layers outside of it`,
        );
      }
    }
  });
}

function name(directory: Opened): string {
  return shown(directory.named);
}

function same(a: Opened, b: Opened): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

function inside(inner: Opened, outer: Opened): boolean {
  return inner.dev === outer.dev && inner.real.startsWith(outer.real === '/' ? '/' : `${outer.real}/`);
}

/**
 * A tar of one layer, as the OCI image specification has it ("Image Layer Filesystem Changeset"): made of a container's upper, or of a directory that is
 * a layer. What an overlay keeps in its own ways is resolved: whiteouts and opaque directories become `.wh.` files, a directory that was moved is there
 * with all that it shows, a metacopy with its data. Nothing of the overlay's is left in it.
 *
 * The same content gives the same bytes: entries come sorted, with their own times, and nothing says when or where it was made.
 */
import fs from 'node:fs';
import type { Source, Step } from '../mounts/changes';
import type { OpenTrees } from '../mounts/diff';
import type { LayerTree } from '../mounts/layer-tree';
import type { Place } from '../mounts/lowers';
import { type Entry, isDirectory, isLink, isRegular, MARK, OPAQUE_FILE } from '../mounts/tree-reader';
import { FileType, StoreError, type Xattr } from '../store';
import { END, fits, padding, tarHeader } from './tar-writer';

const CHUNK_BYTES = 256 * 1024;
/** Names of a file system. */
const LONGEST_NAME = 255;

/** Overlays' own, and what only says something about the machine it is on. */
const LEFT_OUT = /^((trusted|user)\.overlay\.|user\.fuseoverlayfs\.|security\.(selinux|ima|evm)$)/;
/** Marks of plyfs (TreeReader): an empty file that stands for a container's own char 0/0; capabilities that are put by while data are copied. */
const CHARACTER_ZERO = 'ply.char00';
const CAPABILITY = 'ply.capability';

export interface LayerTarOptions {
  /** called with the path of each regular file that has its data in the upper itself; what it returns is given these, and told when they end */
  watch?: (path: string) => { update: (chunk: Buffer) => void; end: () => void };
}

export function* layerTar(trees: OpenTrees, options: LayerTarOptions = {}): Generator<Buffer, void> {
  yield* new LayerTar(trees, options).write();
}

/** One that a tar tells of. */
interface Content {
  entry: Entry;
  /** what has its attributes */
  tree: LayerTree;
  path: string;
}

class LayerTar {
  /** of inodes with several names: the path of the first */
  private readonly first = new Map<string, Buffer>();

  constructor(
    private readonly trees: OpenTrees,
    private readonly options: LayerTarOptions,
  ) {}

  *write(): Generator<Buffer, void> {
    yield* this.root();
    this.trees.changes.keepLinks();
    for (const step of this.trees.changes.walk()) yield* this.step(step);
    yield END;
  }

  private *step(step: Step): Generator<Buffer, void> {
    switch (step.step) {
      case 'gone':
        if (!step.replaced) yield whiteout(step.path);
        return;
      case 'enter':
        yield this.header(step.path, this.content(step.source));
        if (step.replaced) yield mark(`${step.path}/${OPAQUE_FILE}`);
        return;
      case 'file':
        yield* this.file(step.path, step.source, step.old.file !== undefined || step.old.directory !== undefined);
        return;
      case 'leave':
    }
  }

  /** Only if it is not as the image has it. */
  private *root(): Generator<Buffer, void> {
    const { upper, lowers } = this.trees;
    const now: Content = { entry: upper.root(), tree: upper, path: '' };
    const { directory } = lowers.found();
    if (directory !== undefined) {
      const { entry, place } = directory;
      const old: Content = { entry, tree: lowers.layers[place.layer], path: '' };
      if (this.header('', now).equals(this.header('', old))) return;
    }
    yield this.header('', now);
  }

  private *file(path: string, source: Source, hides: boolean): Generator<Buffer, void> {
    const content = this.content(source);
    const { entry } = content;
    if (!fits(entry.mode)) {
      if (hides) yield whiteout(path); // a socket: it cannot be told, but that what was there is gone
      return;
    }
    const inode = inodeOf(source, entry);
    const first = inode === undefined ? undefined : this.first.get(inode);
    if (first !== undefined) {
      yield this.header(path, content, { linkTo: first });
      return;
    }
    if (inode !== undefined) this.first.set(inode, Buffer.from(path, 'latin1'));
    if (!isRegular(entry) || this.isCharacterZero(content)) yield this.header(path, content);
    else yield* this.regular(path, content, source);
  }

  /** As many bytes as it had when it was opened, whatever somebody writes meanwhile. */
  private *regular(path: string, content: Content, source: Source): Generator<Buffer, void> {
    const isOwn = source.kind === 'upper' && !source.tree.isMetacopy(source.path);
    const fd = isOwn ? source.tree.open(source.path) : this.openData(source);
    try {
      const { size } = fs.fstatSync(fd);
      yield this.header(path, content, { size });
      const watcher = isOwn ? this.options.watch?.(path) : undefined;
      for (let at = 0; at < size;) {
        const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, size - at)); // zeros, should the file be shorter by now
        for (let got = 0, more = 1; more > 0 && got < chunk.length; got += more)
          more = fs.readSync(fd, chunk, got, chunk.length - got, at + got);
        watcher?.update(chunk);
        at += chunk.length;
        yield chunk;
      }
      watcher?.end();
      yield padding(size);
    } finally {
      fs.closeSync(fd);
    }
  }

  /** Of what does not have its data itself, or may not. */
  private openData(source: Source): number {
    const { lowers } = this.trees;
    const open = ({ layer, path }: Place): number => lowers.layers[layer].open(path);
    switch (source.kind) {
      case 'upper':
        return open(lowers.below(source.tree, source.path, source.below, 0));
      case 'indexed':
        return source.tree.isMetacopy(source.path) ? open(lowers.data(source.lower)) : source.tree.open(source.path);
      case 'lower':
        return open(lowers.data(source.file));
      case 'directory':
        throw new RangeError('a directory has no data');
    }
  }

  private content(source: Source): Content {
    const { layers } = this.trees.lowers;
    switch (source.kind) {
      case 'lower':
        return { entry: source.file.entry, tree: layers[source.file.layer], path: source.file.path };
      case 'directory':
        return { entry: source.entry, tree: layers[source.place.layer], path: source.place.path };
      default:
        return source;
    }
  }

  private header(path: string, content: Content, more: { size?: number; linkTo?: Buffer } = {}): Buffer {
    const { entry, tree, path: at } = content;
    const isZero = this.isCharacterZero(content);
    return tarHeader({
      path: Buffer.from(isDirectory(entry) ? (path === '' ? './' : `${path}/`) : path, 'latin1'),
      mode: isZero ? FileType.CHARACTER | (entry.mode & 0o7777) : entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      mtime: entry.mtime,
      mtimeNsec: entry.mtimeNsec,
      size: more.size ?? 0,
      rdev: isRegular(entry) ? 0 : entry.rdev,
      xattrs: more.linkTo === undefined ? ownXattrs(tree.xattrs(at), this.trees.marks) : [],
      ...(more.linkTo !== undefined && { linkTo: more.linkTo }),
      ...(isLink(entry) && more.linkTo === undefined && { target: tree.target(at) }),
    });
  }

  private isCharacterZero({ entry, tree, path }: Content): boolean {
    return (
      isRegular(entry) &&
      entry.size === 0 &&
      tree.xattrs(path).some(({ name }) => name.toString('latin1') === this.trees.marks + CHARACTER_ZERO)
    );
  }
}

/** Those that belong to the file, sorted by the bytes of their names. */
function ownXattrs(all: readonly Xattr[], marks: string): Xattr[] {
  const own = all.filter(({ name }) => !LEFT_OUT.test(name.toString('latin1')));
  const kept = all.find(({ name }) => name.toString('latin1') === marks + CAPABILITY);
  const capability = Buffer.from('security.capability');
  if (kept !== undefined && !own.some(({ name }) => name.equals(capability))) own.push({ name: capability, value: kept.value });
  return own.sort((a, b) => Buffer.compare(a.name, b.name));
}

/** What the names of one inode have in common; undefined: it has one name. */
function inodeOf(source: Source, entry: Entry): string | undefined {
  if (source.kind === 'lower') return entry.nlink > 1 ? `${source.file.layer}:${entry.ino}` : undefined;
  return entry.nlink > 1 || source.kind === 'indexed' ? `upper:${entry.ino}` : undefined;
}

function whiteout(path: string): Buffer {
  const slash = path.lastIndexOf('/') + 1;
  if (path.length - slash + MARK.length > LONGEST_NAME)
    throw new StoreError(
      `${Buffer.from(path, 'latin1').toString()} was deleted, and its name is too long to say so in a layer: delete or replace the directory it was in`,
    );
  return mark(`${path.slice(0, slash)}${MARK}${path.slice(slash)}`);
}

function mark(path: string): Buffer {
  const none = { uid: 0, gid: 0, mtime: 0n, mtimeNsec: 0, size: 0, rdev: 0, xattrs: [] };
  return tarHeader({ ...none, path: Buffer.from(path, 'latin1'), mode: FileType.REGULAR });
}

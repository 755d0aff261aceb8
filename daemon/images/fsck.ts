/**
 * Verifies the store: catalog, layers' indexes and framings, objects by their hashes, containers' and snapshots' directories. In a thread of its own (store-thread.ts), with a
 * read-only connection: imports and containers go on meanwhile, and what they are about to write is no fault.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import type { FsckEvent, FsckProblem, Layer } from '../api/types';
import { HALF_MADE, HALF_REMOVED } from '../mounts/containers';
import type { SnapshotKind } from '../store/snapshots';
import { type Connection, openReadOnly } from '../store/database';
import { StoreError } from '../store/errors';
import { readFraming } from '../store/framing';
import { LayerIndex } from '../store/index-rows';
import { checkIndex } from '../store/index-verify';
import { Objects } from '../store/objects';
import { CATALOG } from '../store/schema';

export interface Checked {
  layers: number;
  objects: number;
  containers: number;
  snapshots: number;
  bytes: number;
}

interface SnapshotRow {
  number: number;
  key: string;
  kind: SnapshotKind;
  /** as it was committed */
  inodes: number | null;
}

const SNAPSHOTS = 'SELECT seq AS number, key, kind, inodes FROM snapshots';

interface LayerRow extends Pick<Layer, 'id' | 'kind' | 'treeDigest'> {
  seq: number;
}

const BUFFER = 1 << 20;
const PROGRESS_MS = 200;

export function checkStore(root: string, cancelled: Int32Array, tell: (event: FsckEvent) => void): Checked {
  const db = openReadOnly(join(root, 'ply.db'), CATALOG);
  try {
    return new Check(root, db, cancelled, tell).run();
  } finally {
    db.close();
  }
}

class Check {
  private readonly objects: Objects;
  private readonly buffer = Buffer.alloc(BUFFER);
  private readonly checked: Checked = { layers: 0, objects: 0, containers: 0, snapshots: 0, bytes: 0 };
  private told = 0;
  private total = 0;

  constructor(
    private readonly root: string,
    private readonly db: Connection,
    private readonly cancelled: Int32Array,
    private readonly tell: (event: FsckEvent) => void,
  ) {
    this.objects = new Objects(root);
  }

  run(): Checked {
    this.total = this.db.prepare<[], number>('SELECT coalesce(sum(size), 0) FROM objects').pluck().get()!;
    this.catalog();
    for (const layer of this.layerRows()) this.layer(layer);
    this.contents();
    this.strays();
    for (const container of this.containers()) this.container(container);
    for (const snapshot of this.snapshots()) this.snapshot(snapshot);
    this.strangers();
    return this.checked;
  }

  private problem(kind: FsckProblem['kind'], name: string, message: string): void {
    this.tell({ type: 'problem', problem: { kind, name, message, repaired: false } });
  }

  private catalog(): void {
    for (const found of this.db.prepare<[], string>('PRAGMA integrity_check(20)').pluck().all())
      if (found !== 'ok') this.problem('catalog', 'ply.db', found);
    const broken = this.db.pragma('foreign_key_check') as unknown[];
    if (broken.length > 0) this.problem('catalog', 'ply.db', `${broken.length} rows refer to nothing`);
  }

  // ---- layers ------------------------------------------------------------------------------------------------------------------------------------

  private layerRows(): LayerRow[] {
    return this.db.prepare<[], LayerRow>('SELECT seq, id, kind, tree_digest AS treeDigest FROM layers ORDER BY seq').all();
  }

  private layer(layer: LayerRow): void {
    const directory = join(this.root, 'layers', layer.id);
    this.checked.layers++;
    this.telling(layer.id, () => this.index(layer, join(directory, 'index.db')));
    if (layer.kind === 'imported') this.telling(layer.id, () => this.framing(layer, join(directory, 'framing')));
  }

  private telling(id: string, work: () => void): void {
    if (!this.isThere(id)) return; // somebody has removed it meanwhile
    try {
      work();
    } catch (error) {
      if (this.isThere(id)) this.problem('layer', id, (error as Error).message);
    }
  }

  private isThere(layer: string): boolean {
    return this.db.prepare('SELECT 1 FROM layers WHERE id = ?').get(layer) !== undefined;
  }

  private index(layer: LayerRow, file: string): void {
    const index = LayerIndex.open(file);
    try {
      index.checkFile();
      checkIndex(index, file, layer.treeDigest, layer.kind);
      if (layer.kind === 'directory') return;
      const known = this.referred(layer);
      for (const { digest } of index.rows())
        if (digest !== null && !known.has(digest.toString('latin1')))
          throw new StoreError(`${file} refers to the object ${digest.toString('hex')}, and the catalog does not say so`);
    } finally {
      index.close();
    }
  }

  private framing(layer: LayerRow, file: string): void {
    const known = this.referred(layer);
    for (const part of readFraming(file))
      if ('digest' in part && !known.has(part.digest.toString('latin1')))
        throw new StoreError(`${file} refers to the object ${part.digest.toString('hex')}, and the catalog does not say so`);
  }

  private referred({ seq }: LayerRow): Set<string> {
    const sql = 'SELECT digest FROM layer_objects JOIN objects ON objects.id = object WHERE layer = ?';
    return new Set(
      this.db
        .prepare<[number], Buffer>(sql)
        .pluck()
        .all(seq)
        .map((digest) => digest.toString('latin1')),
    );
  }

  // ---- objects -----------------------------------------------------------------------------------------------------------------------------------

  /** In the order of their names, some at a time: no reader may hold up the catalog's writers for long. */
  private contents(): void {
    const next = this.db.prepare<[Buffer], { id: number; digest: Buffer; size: number }>(
      'SELECT id, digest, size FROM objects WHERE digest > ? ORDER BY digest LIMIT 500',
    );
    for (let after: Buffer = Buffer.alloc(0); ;) {
      const some = next.all(after);
      for (const { id, digest, size } of some) {
        const fault = this.faultOf(digest, size);
        if (fault !== undefined && this.isReferred(id)) this.problem('object', digest.toString('hex'), fault);
        this.checked.objects++;
      }
      if (some.length === 0) return;
      after = some[some.length - 1].digest;
    }
  }

  /** One that only an import refers to may not be there yet. */
  private isReferred(object: number): boolean {
    return this.db.prepare('SELECT 1 FROM layer_objects WHERE object = ?').get(object) !== undefined;
  }

  private faultOf(digest: Buffer, size: number): string | undefined {
    let fd: number;
    try {
      fd = this.objects.open(digest);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'it is missing' : `it cannot be read: ${(error as Error).message}`;
    }
    try {
      const stat = fs.fstatSync(fd);
      if (!stat.isFile()) return 'it is no regular file';
      if (stat.size !== size) return `it has ${stat.size} bytes, not ${size}`;
      if (!this.hashOf(fd).equals(digest)) return 'its content has another hash: it is damaged';
      return (stat.mode & 0o7777) === 0o400
        ? undefined
        : `its mode is ${(stat.mode & 0o7777).toString(8)}, not 400: somebody else was here`;
    } catch (error) {
      if (error instanceof Cancelled) throw error;
      return `it cannot be read: ${(error as Error).message}`;
    } finally {
      fs.closeSync(fd);
    }
  }

  private hashOf(fd: number): Buffer {
    const hash = createHash('sha256');
    for (let found: number; (found = fs.readSync(fd, this.buffer)) > 0;) {
      hash.update(this.buffer.subarray(0, found));
      this.checked.bytes += found;
      this.tellProgress();
    }
    return hash.digest();
  }

  private tellProgress(): void {
    if (Atomics.load(this.cancelled, 0) !== 0) throw new Cancelled();
    const now = Date.now();
    if (now - this.told < PROGRESS_MS) return;
    this.told = now;
    this.tell({ type: 'progress', bytes: this.checked.bytes, total: this.total });
  }

  private strays(): void {
    if (!fs.existsSync(this.objects.directory)) return;
    const known = this.db.prepare<[Buffer]>('SELECT 1 FROM objects WHERE digest = ?');
    for (let first = 0; first < 256; first++) {
      const head = first.toString(16).padStart(2, '0');
      for (const name of this.objects.list(first)) {
        if (!/^[0-9a-f]{62}$/.test(name)) this.problem('leftover', `objects/${head}/${name}`, 'it is none of ours');
        else if (known.get(Buffer.from(head + name, 'hex')) === undefined)
          this.problem('leftover', `objects/${head}/${name}`, 'no layer has it');
      }
    }
  }

  // ---- containers --------------------------------------------------------------------------------------------------------------------------------

  private containers(): { name: string; upper: string; work: string }[] {
    return this.db
      .prepare<[], { name: string; upper: string; work: string }>('SELECT name, upper, work FROM containers ORDER BY seq')
      .all();
  }

  private container({ name, upper, work }: { name: string; upper: string; work: string }): void {
    this.checked.containers++;
    for (const directory of [upper, work]) {
      try {
        if (!fs.lstatSync(directory).isDirectory()) throw new Error('it is no directory');
        walk(directory);
      } catch (error) {
        this.problem('container', name, `${directory}: ${(error as Error).message}`);
      }
    }
  }

  // ---- snapshots ---------------------------------------------------------------------------------------------------------------------------------

  private snapshots(): SnapshotRow[] {
    return this.db.prepare<[], SnapshotRow>(`${SNAPSHOTS} ORDER BY seq`).all();
  }

  private snapshot(snapshot: SnapshotRow): void {
    this.checked.snapshots++;
    if (this.faultIn(snapshot) === undefined) return;
    const now = this.settled(snapshot.number); // it may have been committed meanwhile
    const fault = now && this.faultIn(now);
    if (fault !== undefined && this.settled(snapshot.number) !== undefined) this.problem('snapshot', now!.key, fault);
  }

  /** Undefined: it is gone, or about to be, or to be made: then its directory has another name for a moment. */
  private settled(number: number): SnapshotRow | undefined {
    const row = this.db.prepare<[number], SnapshotRow>(`${SNAPSHOTS} WHERE seq = ?`).get(number);
    return [HALF_MADE, HALF_REMOVED].some((half) => fs.existsSync(this.snapshotDirectory(number) + half)) ? undefined : row;
  }

  private faultIn({ number, kind, inodes }: SnapshotRow): string | undefined {
    const directory = this.snapshotDirectory(number);
    // '': the directory itself, which lstat(2) would follow as a symbolic link on the way to the others
    for (const part of kind === 'active' ? ['', 'fs', 'work', 'merged'] : ['', 'fs', 'merged']) {
      const path = join(directory, part);
      try {
        if (!fs.lstatSync(path).isDirectory()) throw new Error('it is no directory');
        if (part === '' || part === 'merged') continue; // what is mounted at merged is none of the store
        walk(path);
        const found = kind === 'committed' ? inodesIn(path) : undefined;
        if (found !== undefined && found !== inodes)
          throw new Error(`it has ${found} files and directories, and had ${inodes} when it was committed: somebody has changed it`);
      } catch (error) {
        return `${path}: ${(error as Error).message}`;
      }
    }
    return undefined;
  }

  /** Directories without a row. `<n>.new` and `<n>.removing` are looked for by plyd, which knows those that it is about. */
  private strangers(): void {
    const directory = join(this.root, 'snapshots');
    if (!fs.existsSync(directory)) return;
    const known = this.db.prepare<[string]>('SELECT 1 FROM snapshots WHERE CAST(seq AS TEXT) = ?');
    for (const name of fs.readdirSync(directory)) {
      const path = join(directory, name);
      if (name.endsWith(HALF_MADE) || name.endsWith(HALF_REMOVED) || known.get(name) !== undefined) continue;
      if (fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined)
        // its row goes when it has another name
        this.problem('snapshot', path, 'no snapshot of the catalog has this directory: it stays. Put ply.db back, or delete it');
    }
  }

  private snapshotDirectory(number: number): string {
    return join(this.root, 'snapshots', String(number));
  }
}

/** Nobody waits for the answer any more. */
class Cancelled extends Error {}

/** Every name can be looked at. What goes meanwhile went because the container runs. */
function walk(directory: string): void {
  const pending = [Buffer.from(directory)];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    try {
      for (const entry of fs.readdirSync(next, { withFileTypes: true, encoding: 'buffer' }))
        if (entry.isDirectory()) pending.push(Buffer.concat([next, SLASH, entry.name]));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && (error as NodeJS.ErrnoException).code !== 'ENAMETOOLONG') throw error;
    }
  }
}

const SLASH = Buffer.from('/');

/** As containerd counts: every inode once, the root too; undefined: a path in there is too long to be looked at from outside. */
function inodesIn(root: string): number | undefined {
  let found = 1;
  const linked = new Set<bigint>();
  const pending = [Buffer.from(root)];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    try {
      for (const entry of fs.readdirSync(next, { withFileTypes: true, encoding: 'buffer' })) {
        const path = Buffer.concat([next, SLASH, entry.name]);
        if (entry.isDirectory()) pending.push(path);
        else {
          const { nlink, ino } = fs.lstatSync(path, { bigint: true });
          if (nlink > 1n && linked.has(ino)) continue;
          if (nlink > 1n) linked.add(ino);
        }
        found++;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENAMETOOLONG') return undefined;
      throw error;
    }
  }
  return found;
}

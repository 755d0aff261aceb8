/**
 * The catalog's layers. What is in one is in its index. The tree of a directory lies where its path says; the contents of an imported layer are objects,
 * and `layer_objects` says which.
 */
import type { Layer } from '../api/types';
import type { Connection } from './database';
import { CatalogError } from './errors';
import type { LeaseId } from './leases';
import { checkName, type Id, isId, newId, quoted, shortId } from './names';
import { listed, type Referable, resolve } from './references';

/** A directory. */
export interface NewLayer extends Pick<Layer, 'entries' | 'files' | 'size' | 'treeDigest'> {
  id?: Id;
  name?: string | null;
  path: string;
}

/** One that was imported or committed; `id` is its diffID. */
export interface NewImportedLayer extends Pick<Layer, 'id' | 'entries' | 'files' | 'size' | 'treeDigest' | 'blob'> {
  source: string;
  tarSize: number;
}

const COLUMNS = `id, name, kind, path, source, created_at AS createdAt, entries, files, size, tree_digest AS treeDigest, tar_size AS tarSize,
  blob_digest, blob_type, blob_size`;

type Stored = Omit<Layer, 'blob'> & { blob_digest: string | null; blob_type: string | null; blob_size: number | null };

export class Layers implements Referable {
  readonly what = 'layer';
  readonly table = 'layers';
  readonly list = 'ply layer ls';

  constructor(private readonly db: Connection) {}

  /** Throws 'conflict' if name or path is taken: worth asking before the tree is indexed, which takes time. */
  checkFree(name: string | null, path: string): void {
    if (name !== null) {
      checkName('layer', name);
      const other = this.byName(name);
      if (other !== undefined)
        throw new CatalogError('conflict', `there is already a layer ${quoted(name)}: choose another name or remove that one`, {
          by: [shortId(other)],
        });
    }
    const other = this.db.prepare<[string], Pick<Layer, 'id' | 'name'>>('SELECT id, name FROM layers WHERE path = ?').get(path);
    if (other !== undefined) {
      throw new CatalogError(
        'conflict',
        `${path} is already the layer ${label(other)}: use that one, or remove it first if the tree has changed`,
        { by: [label(other)] },
      );
    }
  }

  /** Called when the layer's index stands in its place. */
  add(layer: NewLayer): Layer {
    const id = layer.id ?? newId();
    if (!isId(id)) throw new CatalogError('bad-request', `${quoted(id)} is no id: 64 hexadecimal digits are needed`);
    return this.db
      .transaction(() => {
        this.checkFree(layer.name ?? null, layer.path);
        this.db
          .prepare(
            `INSERT INTO layers (id, name, kind, path, created_at, entries, files, size, tree_digest) VALUES (?, ?, 'directory', ?, ?, ?, ?, ?, ?)`,
          )
          .run(id, layer.name ?? null, layer.path, new Date().toISOString(), layer.entries, layer.files, layer.size, layer.treeDigest);
        return this.byId(id);
      })
      .immediate();
  }

  /**
   * Called when index, framing and objects stand in their places. What `lease` holds of objects become the layer's, and the lease holds the layer instead: no
   * prune comes between. False: somebody else was faster, and the lease holds that layer now.
   */
  addImported(layer: NewImportedLayer, lease: LeaseId): boolean {
    return this.db
      .transaction(() => {
        const isNew = this.db.prepare('SELECT 1 FROM layers WHERE id = ?').get(layer.id) === undefined;
        if (isNew) {
          const { id, source, entries, files, size, treeDigest, tarSize, blob } = layer;
          const { lastInsertRowid } = this.db
            .prepare(
              `INSERT INTO layers (id, kind, source, created_at, entries, files, size, tree_digest, tar_size, blob_digest, blob_type, blob_size)
                VALUES (?, 'imported', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
            )
            .run(
              ...[id, source, new Date().toISOString(), entries, files, size, treeDigest, tarSize],
              ...[blob?.digest ?? null, blob?.mediaType ?? null, blob?.size ?? null],
            );
          this.db
            .prepare('INSERT INTO layer_objects (layer, object) SELECT ?, object FROM leased_objects WHERE lease = ?')
            .run(lastInsertRowid, lease);
        }
        this.db.prepare('DELETE FROM leased_objects WHERE lease = ?').run(lease);
        this.db.prepare('INSERT OR IGNORE INTO leased_layers (lease, layer) VALUES (?, ?)').run(lease, layer.id);
        return isNew;
      })
      .immediate();
  }

  /** Imported ones that neither an image nor a lease refers to. */
  unused(): Id[] {
    const sql = `SELECT id FROM layers WHERE kind = 'imported' AND id NOT IN (SELECT layer FROM image_layers) AND id NOT IN (SELECT layer FROM leased_layers)
      ORDER BY seq`;
    return this.db.prepare<[], Id>(sql).pluck().all();
  }

  has(id: Id): boolean {
    return this.db.prepare('SELECT 1 FROM layers WHERE id = ?').get(id) !== undefined;
  }

  get(ref: string): Layer {
    return this.byId(resolve(this.db, this, ref));
  }

  all(): Layer[] {
    return this.db.prepare<[], Stored>(`SELECT ${COLUMNS} FROM layers ORDER BY seq`).all().map(parsed);
  }

  /** Removes the row, and says what it was: the index is the caller's to delete, afterwards. 'in-use' names the images that are made of it. */
  remove(ref: string): Layer {
    return this.db
      .transaction(() => {
        const layer = this.get(ref);
        const by = this.images(layer.id);
        if (by.length > 0) {
          throw new CatalogError(
            'in-use',
            `the layer ${label(layer)} is used by the image${by.length > 1 ? 's' : ''} ${listed(by)}: remove ${by.length > 1 ? 'these' : 'it'} first`,
            { by },
          );
        }
        const leased = this.db
          .prepare<[Id], string>('SELECT owner FROM leased_layers JOIN leases ON leases.id = lease WHERE layer = ? ORDER BY lease')
          .pluck()
          .all(layer.id);
        if (leased.length > 0)
          throw new CatalogError('in-use', `the layer ${label(layer)} is used by ${listed(leased)}: wait for its end`, { by: leased });
        this.db.prepare('DELETE FROM layers WHERE id = ?').run(layer.id);
        return layer;
      })
      .immediate();
  }

  /** Names of the images that use it. */
  private images(id: Id): string[] {
    const sql = `SELECT coalesce((SELECT CASE tag WHEN 'latest' THEN repository ELSE repository || ':' || tag END FROM tags WHERE tags.image = images.id
      ORDER BY seq LIMIT 1), substr(id, 1, 12)) FROM images WHERE id IN (SELECT image FROM image_layers WHERE layer = ?) ORDER BY seq`;
    return this.db.prepare<[Id], string>(sql).pluck().all(id);
  }

  private byId(id: Id): Layer {
    return parsed(this.db.prepare<[Id], Stored>(`SELECT ${COLUMNS} FROM layers WHERE id = ?`).get(id)!);
  }

  byName(name: string): Id | undefined {
    return this.db.prepare<[string], Id>('SELECT id FROM layers WHERE name = ?').pluck().get(name);
  }

  names(): string[] {
    return this.db.prepare<[], string>('SELECT name FROM layers WHERE name IS NOT NULL').pluck().all();
  }
}

function parsed({ blob_digest: digest, blob_type: mediaType, blob_size: size, ...row }: Stored): Layer {
  return { ...row, blob: digest === null ? null : { digest, mediaType: mediaType!, size: size! } };
}

function label(layer: Pick<Layer, 'id' | 'name'>): string {
  return layer.name ?? shortId(layer.id);
}

/** The catalog's layers. What is in one is in its index (layer-index.ts); the tree itself lies where its path says. */
import type { Layer } from '../api/types';
import type { Connection } from './database';
import { CatalogError } from './errors';
import { checkName, type Id, isId, newId, quoted, shortId } from './names';
import { listed, type Referable, resolve } from './references';

export interface NewLayer extends Omit<Layer, 'id' | 'name' | 'createdAt'> {
  id?: Id;
  name?: string | null;
}

const COLUMNS = 'id, name, path, created_at AS createdAt, entries, files, size, tree_digest AS treeDigest';

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
    const other = this.db.prepare<[string], Layer>(`SELECT ${COLUMNS} FROM layers WHERE path = ?`).get(path);
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
          .prepare('INSERT INTO layers (id, name, path, created_at, entries, files, size, tree_digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
          .run(id, layer.name ?? null, layer.path, new Date().toISOString(), layer.entries, layer.files, layer.size, layer.treeDigest);
        return this.byId(id);
      })
      .immediate();
  }

  get(ref: string): Layer {
    return this.byId(resolve(this.db, this, ref));
  }

  all(): Layer[] {
    return this.db.prepare<[], Layer>(`SELECT ${COLUMNS} FROM layers ORDER BY seq`).all();
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
        this.db.prepare('DELETE FROM layers WHERE id = ?').run(layer.id);
        return layer;
      })
      .immediate();
  }

  /** Names of the images that use it. */
  private images(id: Id): string[] {
    const sql = `SELECT (SELECT CASE tag WHEN 'latest' THEN repository ELSE repository || ':' || tag END FROM tags WHERE tags.image = images.id ORDER BY seq LIMIT 1)
      FROM images JOIN image_layers ON image_layers.image = images.id WHERE layer = ? ORDER BY images.seq`;
    return this.db.prepare<[Id], string>(sql).pluck().all(id);
  }

  private byId(id: Id): Layer {
    return this.db.prepare<[Id], Layer>(`SELECT ${COLUMNS} FROM layers WHERE id = ?`).get(id)!;
  }

  byName(name: string): Id | undefined {
    return this.db.prepare<[string], Id>('SELECT id FROM layers WHERE name = ?').pluck().get(name);
  }

  names(): string[] {
    return this.db.prepare<[], string>('SELECT name FROM layers WHERE name IS NOT NULL').pluck().all();
  }
}

function label(layer: Layer): string {
  return layer.name ?? shortId(layer.id);
}

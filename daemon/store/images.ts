/** The catalog's images: ordered stacks of layers, and their names. */
import type { Image } from '../api/types';
import type { Connection } from './database';
import { CatalogError } from './errors';
import type { Layers } from './layers';
import { checkImageName, type Id, imageName, newId, quoted, shortId } from './names';
import { listed, type Referable, resolve } from './references';
import { splitImageName } from './schema';

export interface NewImage {
  name: string;
  /** ids, beginnings of ids, or names; topmost first */
  layers: readonly string[];
}

/** One that was imported or committed. */
export interface NewImportedImage {
  /** the sha256 of the config */
  id: Id;
  /** the bytes as they are */
  config: Buffer;
  /** ids, topmost first; one may stand there twice */
  layers: readonly Id[];
  /** names, which move to it from the images that have them now */
  tags: readonly string[];
}

type ImageRow = Pick<Image, 'id' | 'createdAt' | 'size' | 'containers'>;

const SELECT = `SELECT id, created_at AS createdAt,
  (SELECT coalesce(sum(size), 0) FROM layers WHERE id IN (SELECT layer FROM image_layers WHERE image = images.id)) AS size,
  (SELECT count(*) FROM containers WHERE image = images.id) AS containers FROM images`;

export class Images implements Referable {
  readonly what = 'image';
  readonly table = 'images';
  readonly list = 'ply images';

  constructor(
    private readonly db: Connection,
    private readonly layers: Layers,
  ) {}

  create(image: NewImage): Image {
    const id = newId();
    return this.db
      .transaction(() => {
        const { repository, tag } = this.checkFree(image.name);
        if (image.layers.length === 0)
          throw new CatalogError('bad-request', `the image ${quoted(image.name)} has no layer: name at least one`);
        this.db.prepare('INSERT INTO images (id, created_at) VALUES (?, ?)').run(id, new Date().toISOString());
        this.db.prepare('INSERT INTO tags (repository, tag, image) VALUES (?, ?, ?)').run(repository, tag, id);
        const seen = new Set<Id>();
        for (const ref of image.layers) {
          const layer = this.layers.get(ref).id;
          if (seen.has(layer))
            throw new CatalogError('bad-request', `the layer ${quoted(ref)} stands twice in the image: name each layer once`);
          this.db.prepare('INSERT INTO image_layers (image, position, layer) VALUES (?, ?, ?)').run(id, seen.size, layer);
          seen.add(layer);
        }
        return this.byId(id);
      })
      .immediate();
  }

  /** One that is there already only gets the names. An image that loses its last name stays, until prune. */
  addImported(image: NewImportedImage): { image: Image; isNew: boolean } {
    const { id, config, layers, tags } = image;
    return this.db
      .transaction(() => {
        const { changes } = this.db
          .prepare('INSERT OR IGNORE INTO images (id, created_at, config) VALUES (?, ?, ?)')
          .run(id, new Date().toISOString(), config);
        if (changes > 0) {
          const add = this.db.prepare('INSERT INTO image_layers (image, position, layer) VALUES (?, ?, ?)');
          layers.forEach((layer, position) => add.run(id, position, layer));
        }
        for (const name of tags) this.moveTag(id, name);
        return { image: this.byId(id), isNew: changes > 0 };
      })
      .immediate();
  }

  /** docker's rule: a name belongs to the image that got it last. */
  private moveTag(id: Id, name: string): void {
    const { repository, tag } = checkImageName(name);
    this.db
      .prepare(
        'INSERT INTO tags (repository, tag, image) VALUES (?, ?, ?) ON CONFLICT (repository, tag) DO UPDATE SET image = excluded.image',
      )
      .run(repository, tag, id);
  }

  /** As it was read; undefined: an image of directories has none. */
  config(id: Id): Buffer | undefined {
    return this.db.prepare<[Id], Buffer | null>('SELECT config FROM images WHERE id = ?').pluck().get(id) ?? undefined;
  }

  get(ref: string): Image {
    return this.byId(resolve(this.db, this, ref));
  }

  all(): Image[] {
    return this.db
      .prepare<[], ImageRow>(`${SELECT} ORDER BY seq`)
      .all()
      .map((row) => this.complete(row));
  }

  /** All names of an image, the oldest first: that one is its `name`. */
  namesOf(id: Id): string[] {
    const rows = this.db
      .prepare<[Id], { repository: string; tag: string }>('SELECT repository, tag FROM tags WHERE image = ? ORDER BY seq')
      .all(id);
    return rows.map(({ repository, tag }) => imageName(repository, tag));
  }

  /** A further name. */
  tag(ref: string, name: string): Image {
    return this.db
      .transaction(() => {
        const image = this.get(ref);
        const { repository, tag } = this.checkFree(name);
        this.db.prepare('INSERT INTO tags (repository, tag, image) VALUES (?, ?, ?)').run(repository, tag, image.id);
        return image;
      })
      .immediate();
  }

  /** Removes the image; of one with several names only that by which it was called, if it was. 'in-use' names the containers. */
  remove(ref: string): { image: Image; removed: boolean } {
    return this.db
      .transaction(() => {
        const image = this.get(ref);
        const { repository, tag } = splitImageName(ref);
        if (this.byName(ref) === image.id && this.namesOf(image.id).length > 1) {
          this.db.prepare('DELETE FROM tags WHERE repository = ? AND tag = ?').run(repository, tag);
          return { image, removed: false };
        }
        const by = this.db.prepare<[Id], string>('SELECT name FROM containers WHERE image = ? ORDER BY seq').pluck().all(image.id);
        if (by.length > 0) {
          throw new CatalogError(
            'in-use',
            `the image ${image.name ?? shortId(image.id)} is used by the container${by.length > 1 ? 's' : ''} ${listed(by)}: remove ${by.length > 1 ? 'these' : 'it'} first`,
            { by },
          );
        }
        this.db.prepare('DELETE FROM images WHERE id = ?').run(image.id);
        return { image, removed: true };
      })
      .immediate();
  }

  /** Ids of those that no container is made of: with `named`, those that have a name too. */
  unused(named: boolean): Id[] {
    const sql = `SELECT id FROM images WHERE id NOT IN (SELECT image FROM containers)${named ? '' : ' AND id NOT IN (SELECT image FROM tags)'} ORDER BY seq`;
    return this.db.prepare<[], Id>(sql).pluck().all();
  }

  private checkFree(name: string): { repository: string; tag: string } {
    const parts = checkImageName(name);
    const other = this.byName(name);
    if (other !== undefined) {
      throw new CatalogError(
        'conflict',
        `there is already an image ${quoted(imageName(parts.repository, parts.tag))}: choose another name or remove that one`,
        { by: [shortId(other)] },
      );
    }
    return parts;
  }

  private byId(id: Id): Image {
    return this.complete(this.db.prepare<[Id], ImageRow>(`${SELECT} WHERE id = ?`).get(id)!);
  }

  private complete({ id, createdAt, size, containers }: ImageRow): Image {
    const layers = this.db.prepare<[Id], Id>('SELECT layer FROM image_layers WHERE image = ? ORDER BY position').pluck().all(id);
    return { id, name: this.namesOf(id).at(0) ?? null, layers, createdAt, size, containers };
  }

  byName(name: string): Id | undefined {
    const { repository, tag } = splitImageName(name);
    return this.db.prepare<[string, string], Id>('SELECT image FROM tags WHERE repository = ? AND tag = ?').pluck().get(repository, tag);
  }

  names(): string[] {
    const rows = this.db.prepare<[], { repository: string; tag: string }>('SELECT repository, tag FROM tags').all();
    return rows.map(({ repository, tag }) => imageName(repository, tag));
  }
}

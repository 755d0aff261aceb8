/** The catalog's tables, version by version. Ids are 64 hex digits; times RFC 3339 in UTC; rows are listed in the order in which they were made. */
import type { Kind } from './database';

const ID = `TEXT NOT NULL CHECK (length(id) = 64 AND id NOT GLOB '*[^0-9a-f]*')`;

const first = `
  CREATE TABLE layers (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          ${ID} UNIQUE,
    name        TEXT UNIQUE,
    path        TEXT NOT NULL UNIQUE,
    created_at  TEXT NOT NULL,
    entries     INTEGER NOT NULL CHECK (entries >= 0),
    files       INTEGER NOT NULL CHECK (files >= 0),
    size        INTEGER NOT NULL CHECK (size >= 0),
    tree_digest TEXT NOT NULL CHECK (length(tree_digest) = 64)
  ) STRICT;

  CREATE TABLE images (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         ${ID} UNIQUE,
    name       TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL
  ) STRICT;

  CREATE TABLE image_layers (
    image    TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    position INTEGER NOT NULL CHECK (position >= 0), -- 0 is the topmost
    layer    TEXT NOT NULL REFERENCES layers (id) ON DELETE RESTRICT,
    PRIMARY KEY (image, position),
    UNIQUE (image, layer)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX image_layers_by_layer ON image_layers (layer);

  CREATE TABLE containers (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         ${ID} UNIQUE,
    name       TEXT NOT NULL UNIQUE,
    image      TEXT NOT NULL REFERENCES images (id) ON DELETE RESTRICT,
    created_at TEXT NOT NULL,
    started_at TEXT,
    state      TEXT NOT NULL CHECK (state IN ('created', 'running', 'stopped', 'failed')),
    error      TEXT CHECK ((error IS NOT NULL) = (state = 'failed')),
    mountpoint TEXT CHECK ((mountpoint IS NOT NULL) = (state = 'running')),
    upper      TEXT NOT NULL UNIQUE,
    work       TEXT NOT NULL UNIQUE,
    options    TEXT NOT NULL
  ) STRICT;
  CREATE INDEX containers_by_image ON containers (image);

  CREATE TABLE mounts (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         ${ID} UNIQUE,
    mountpoint TEXT NOT NULL UNIQUE,
    lower      TEXT NOT NULL CHECK (json_type(lower) = 'array'),
    upper      TEXT,
    work       TEXT,
    options    TEXT NOT NULL,
    container  TEXT UNIQUE REFERENCES containers (id) ON DELETE RESTRICT,
    created_at TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('mounted', 'failed'))
  ) STRICT;
`;

/**
 * An image may have several names, and each is repository and tag. A mount's row is written before mount(2) and goes after umount(2), so it says how
 * far it got, what was found mounted (the device), and which engine serves it: what a plyd that comes after a crash must know.
 */
const second = `
  CREATE TABLE tags (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT NOT NULL,
    tag        TEXT NOT NULL,
    image      TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    UNIQUE (repository, tag)
  ) STRICT;
  CREATE INDEX tags_by_image ON tags (image);
  INSERT INTO tags (repository, tag, image) SELECT repository_of(name), tag_of(name), id FROM images ORDER BY seq;

  CREATE TABLE images_new (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         ${ID} UNIQUE,
    created_at TEXT NOT NULL
  ) STRICT;
  INSERT INTO images_new SELECT seq, id, created_at FROM images;
  DROP TABLE images;
  ALTER TABLE images_new RENAME TO images;

  CREATE TABLE mounts_new (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         ${ID} UNIQUE,
    mountpoint TEXT NOT NULL UNIQUE,
    lower      TEXT NOT NULL CHECK (json_type(lower) = 'array'),
    upper      TEXT,
    work       TEXT,
    options    TEXT NOT NULL,
    container  TEXT UNIQUE REFERENCES containers (id) ON DELETE RESTRICT,
    created_at TEXT NOT NULL,
    phase      TEXT NOT NULL CHECK (phase IN ('mounting', 'mounted', 'unmounting', 'failed')),
    device     TEXT,   -- major:minor, as in /proc/self/mountinfo
    engine     INTEGER -- pid
  ) STRICT;
  INSERT INTO mounts_new SELECT seq, id, mountpoint, lower, upper, work, options, container, created_at, state, NULL, NULL FROM mounts;
  DROP TABLE mounts;
  ALTER TABLE mounts_new RENAME TO mounts;
`;

/** "ports:5000/a/b:c" is repository "ports:5000/a/b" with tag "c"; without a tag: "latest". */
export function splitImageName(name: string): { repository: string; tag: string } {
  const colon = name.lastIndexOf(':');
  if (colon <= name.lastIndexOf('/')) return { repository: name, tag: 'latest' };
  return { repository: name.slice(0, colon), tag: name.slice(colon + 1) };
}

export const CATALOG: Kind = {
  name: "plyfs's catalog",
  applicationId: 0x706c7943, // "plyC"
  remedy:
    'put a backup of it in its place; without one, move the whole directory away (the containers’ uppers are in it) and start plyd again, which begins with an empty one',
  migrations: [
    (db) => db.exec(first),
    (db) => {
      db.function('repository_of', { deterministic: true }, (name: string) => splitImageName(name).repository);
      db.function('tag_of', { deterministic: true }, (name: string) => splitImageName(name).tag);
      db.exec(second);
    },
  ],
};

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

/**
 * Imported layers, and what they are made of. A layer's contents are objects, each stored once; how often one is referred to is counted from
 * layer_objects, never kept. What runs (an import, a commit, an export) holds a lease on the objects and layers that it relies on and that nothing else
 * may refer to yet: no lease outlives its plyd.
 */
const third = `
  CREATE TABLE layers_new (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          ${ID} UNIQUE, -- of an imported one its diffID
    name        TEXT UNIQUE,
    kind        TEXT NOT NULL CHECK (kind IN ('directory', 'imported')),
    path        TEXT UNIQUE CHECK ((path IS NULL) = (kind = 'imported')),
    source      TEXT CHECK ((source IS NULL) = (kind = 'directory')), -- what it was imported or committed from: for people
    created_at  TEXT NOT NULL,
    entries     INTEGER NOT NULL CHECK (entries >= 0),
    files       INTEGER NOT NULL CHECK (files >= 0),
    size        INTEGER NOT NULL CHECK (size >= 0),
    tree_digest TEXT NOT NULL CHECK (length(tree_digest) = 64),
    tar_size    INTEGER CHECK ((tar_size IS NULL) = (kind = 'directory')), -- uncompressed
    blob_digest TEXT CHECK (length(blob_digest) = 64),
    blob_type   TEXT CHECK ((blob_type IS NULL) = (blob_digest IS NULL)),
    blob_size   INTEGER CHECK ((blob_size IS NULL) = (blob_digest IS NULL))
  ) STRICT;
  INSERT INTO layers_new (seq, id, name, kind, path, created_at, entries, files, size, tree_digest)
    SELECT seq, id, name, 'directory', path, created_at, entries, files, size, tree_digest FROM layers;
  DROP TABLE layers;
  ALTER TABLE layers_new RENAME TO layers;

  ALTER TABLE images ADD COLUMN config BLOB; -- as it was read: its sha256 is the id. NULL: an image of directories

  CREATE TABLE image_layers_new (
    image    TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    position INTEGER NOT NULL CHECK (position >= 0), -- 0 is the topmost
    layer    TEXT NOT NULL REFERENCES layers (id) ON DELETE RESTRICT,
    PRIMARY KEY (image, position)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO image_layers_new SELECT image, position, layer FROM image_layers;
  DROP TABLE image_layers;
  ALTER TABLE image_layers_new RENAME TO image_layers;
  CREATE INDEX image_layers_by_layer ON image_layers (layer);

  CREATE TABLE objects (
    id     INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    size   INTEGER NOT NULL CHECK (size >= 0)
  ) STRICT;

  CREATE TABLE layer_objects (
    layer  INTEGER NOT NULL REFERENCES layers (seq) ON DELETE CASCADE,
    object INTEGER NOT NULL REFERENCES objects (id) ON DELETE RESTRICT,
    PRIMARY KEY (layer, object)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX layer_objects_by_object ON layer_objects (object);

  CREATE TABLE leases (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL, -- who, for messages: "the import of /srv/debian.tar"
    since TEXT NOT NULL
  ) STRICT;

  CREATE TABLE leased_objects (
    lease  INTEGER NOT NULL REFERENCES leases (id) ON DELETE CASCADE,
    object INTEGER NOT NULL REFERENCES objects (id) ON DELETE RESTRICT,
    PRIMARY KEY (lease, object)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX leased_objects_by_object ON leased_objects (object);

  CREATE TABLE leased_layers (
    lease INTEGER NOT NULL REFERENCES leases (id) ON DELETE CASCADE,
    layer TEXT NOT NULL REFERENCES layers (id) ON DELETE RESTRICT,
    PRIMARY KEY (lease, layer)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX leased_layers_by_layer ON leased_layers (layer);
`;

/**
 * containerd's snapshots (snapshotter/). The number names the directory snapshots/<seq>: it is given by who makes that first. A mount may be a snapshot's.
 */
const fourth = `
  CREATE TABLE snapshots (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    key        TEXT NOT NULL UNIQUE CHECK (key <> ''),
    parent     INTEGER REFERENCES snapshots (seq) ON DELETE RESTRICT,
    kind       TEXT NOT NULL CHECK (kind IN ('active', 'view', 'committed')),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    bytes      INTEGER CHECK ((bytes IS NOT NULL) = (kind = 'committed')),
    inodes     INTEGER CHECK ((inodes IS NOT NULL) = (kind = 'committed'))
  ) STRICT;
  CREATE INDEX snapshots_by_parent ON snapshots (parent);

  CREATE TABLE snapshot_labels (
    snapshot INTEGER NOT NULL REFERENCES snapshots (seq) ON DELETE CASCADE,
    name     TEXT NOT NULL,
    value    TEXT NOT NULL CHECK (value <> ''),
    PRIMARY KEY (snapshot, name)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX snapshot_labels_by_value ON snapshot_labels (name, value);

  ALTER TABLE mounts ADD COLUMN snapshot INTEGER REFERENCES snapshots (seq) ON DELETE RESTRICT;
  CREATE UNIQUE INDEX mounts_by_snapshot ON mounts (snapshot);
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
    (db) => db.exec(third),
    (db) => db.exec(fourth),
  ],
};

/** Tars and images made by hand, right and wrong ones. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Test } from 'tap';
import { importImage, type ImportOptions } from '../../daemon/images/import.js';
import { architecture } from '../../daemon/images/manifests.js';
import { Catalog, CatalogError, type IndexRow, LayerIndex } from '../../daemon/store/index.js';
import type { ImportResult } from '../../daemon/api/types.js';

export interface Member {
  name: string | Buffer;
  /** default: '5' for a name that ends in a slash, else '0' */
  type?: string;
  content?: Buffer | string;
  link?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  /** of the header, when it is not the content's */
  size?: number;
  device?: [major: number, minor: number];
  /** a PAX header before it */
  pax?: Record<string, string | Buffer>;
  /** changes the header's block in the end; the checksum is made after it */
  spoil?: (block: Buffer) => void;
}

const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, '0')}\0`;

export function header(member: Member): Buffer {
  const block = Buffer.alloc(512);
  const { name, content = '', mode, uid = 0, gid = 0, mtime = 1_700_000_000, link = '', device } = member;
  const type = member.type ?? (name.toString().endsWith('/') ? '5' : '0');
  const size = member.size ?? Buffer.byteLength(content);
  bytesOf(name).copy(block, 0, 0, 100);
  block.write(octal(mode ?? (type === '5' ? 0o755 : 0o644), 8), 100, 'latin1');
  block.write(octal(uid, 8), 108, 'latin1');
  block.write(octal(gid, 8), 116, 'latin1');
  block.write(octal(size, 12), 124, 'latin1');
  block.write(octal(mtime, 12), 136, 'latin1');
  block.write(type, 156, 'latin1');
  block.write(link.slice(0, 100), 157, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  if (device !== undefined) {
    block.write(octal(device[0], 8), 329, 'latin1');
    block.write(octal(device[1], 8), 337, 'latin1');
  }
  member.spoil?.(block);
  checksum(block);
  return block;
}

export function checksum(block: Buffer): void {
  block.fill(0x20, 148, 156);
  block.write(
    `${octal(
      block.reduce((sum, byte) => sum + byte, 0),
      7,
    )} `,
    148,
    'latin1',
  );
}

const bytesOf = (content: Buffer | string): Buffer => (Buffer.isBuffer(content) ? content : Buffer.from(content));

const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);

export function paxRecord(key: string, value: string | Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), bytesOf(value), Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

export function memberBytes(member: Member): Buffer {
  const parts: Buffer[] = [];
  if (member.pax !== undefined) {
    const records = Buffer.concat(Object.entries(member.pax).map(([key, value]) => paxRecord(key, value)));
    parts.push(header({ name: 'PaxHeaders/x', type: 'x', size: records.length }), padded(records));
  }
  parts.push(header(member), padded(bytesOf(member.content ?? '')));
  return Buffer.concat(parts);
}

export function tar(...members: Member[]): Buffer {
  return Buffer.concat([...members.map(memberBytes), Buffer.alloc(1024)]);
}

export const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

export interface ImageParts {
  /** uncompressed tars, the lowest first */
  layers: Buffer[];
  tag?: string;
  compress?: (tar: Buffer) => Buffer;
  mediaType?: string;
  platform?: { os: string; architecture: string };
  /** the last word on each */
  config?: (config: Record<string, unknown>) => unknown;
  manifest?: (manifest: { config: object; layers: Record<string, unknown>[] }) => unknown;
}

/** Blobs by digest, and the manifest's descriptor. */
export function makeImage(parts: ImageParts): { blobs: Map<string, Buffer>; descriptor: Record<string, unknown>; id: string } {
  const {
    layers,
    compress = (bytes: Buffer): Buffer => bytes,
    mediaType = 'application/vnd.oci.image.layer.v1.tar',
    tag,
    platform,
  } = parts;
  const blobs = new Map<string, Buffer>();
  const put = (bytes: Buffer): { digest: string; size: number } => {
    const digest = sha256(bytes);
    blobs.set(digest, bytes);
    return { digest: `sha256:${digest}`, size: bytes.length };
  };
  const descriptors = layers.map((layer) => ({ mediaType, ...put(compress(layer)) }));
  const plain = {
    created: '2026-01-02T03:04:05Z',
    architecture: platform?.architecture ?? architecture(),
    os: platform?.os ?? 'linux',
    config: { Cmd: ['/bin/sh'] },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) },
  };
  const config = put(Buffer.from(JSON.stringify(parts.config?.(plain) ?? plain)));
  const manifest = { schemaVersion: 2, config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config }, layers: descriptors };
  const made = put(Buffer.from(JSON.stringify(parts.manifest?.(manifest) ?? manifest)));
  const descriptor = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    ...made,
    ...(platform !== undefined && { platform }),
    ...(tag !== undefined && { annotations: { 'org.opencontainers.image.ref.name': tag } }),
  };
  return { blobs, descriptor, id: config.digest.slice(7) };
}

/** An OCI layout as files. */
export function layoutFiles(...images: ReturnType<typeof makeImage>[]): Record<string, Buffer> {
  const files: Record<string, Buffer> = {
    'oci-layout': Buffer.from('{"imageLayoutVersion":"1.0.0"}'),
    'index.json': Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: images.map(({ descriptor }) => descriptor) })),
  };
  for (const { blobs } of images) for (const [digest, bytes] of blobs) files[`blobs/sha256/${digest}`] = bytes;
  return files;
}

/** docker's old form. */
export function dockerFiles(layers: readonly Buffer[], tags: string[]): Record<string, Buffer> {
  const config = Buffer.from(
    JSON.stringify({
      os: 'linux',
      architecture: architecture(),
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) },
    }),
  );
  const names = layers.map((layer) => `${sha256(layer)}.tar`);
  return {
    ...Object.fromEntries(layers.map((layer, i) => [names[i], layer])),
    [`${sha256(config)}.json`]: config,
    'manifest.json': Buffer.from(JSON.stringify([{ Config: `${sha256(config)}.json`, RepoTags: tags, Layers: names }])),
  };
}

export const archiveOf = (files: Record<string, Buffer>): Buffer =>
  tar(...Object.entries(files).map(([name, content]) => ({ name, content })));

export function writeFiles(directory: string, files: Record<string, Buffer>): string {
  for (const [name, bytes] of Object.entries(files)) {
    fs.mkdirSync(join(directory, name, '..'), { recursive: true });
    fs.writeFileSync(join(directory, name), bytes);
  }
  return directory;
}

export class Store {
  readonly root: string;
  readonly catalog: Catalog;
  private count = 0;

  constructor(
    t: Test,
    readonly base = fs.mkdtempSync(`${fs.existsSync('/dev/shm') ? '/dev/shm' : '/tmp'}/plyfs-images-`),
  ) {
    this.root = join(base, 'store');
    this.catalog = Catalog.open(this.root);
    t.teardown(() => {
      this.catalog.close();
      fs.rmSync(base, { recursive: true, force: true });
    });
  }

  /** A name that is free. */
  path(ending = ''): string {
    return join(this.base, `file-${++this.count}${ending}`);
  }

  import(what: Buffer | Record<string, Buffer>, options: ImportOptions = {}): Promise<ImportResult> {
    const path = this.path();
    if (Buffer.isBuffer(what)) fs.writeFileSync(path, what);
    else writeFiles(path, what);
    return importImage(this.catalog, path, options);
  }

  /** The message of the refusal; the store must be as it was. */
  async refused(t: Test, what: Buffer | Record<string, Buffer>, options: ImportOptions = {}): Promise<string> {
    const before = this.state();
    try {
      await this.import(what, options);
    } catch (error) {
      if (!(error instanceof CatalogError)) throw error;
      t.same(this.state(), before, `nothing was imported: ${error.message}`);
      return error.message;
    }
    throw new Error('it was not refused');
  }

  /** Whatever there is, on the disk and in the catalog. */
  state(): unknown {
    const files = fs.existsSync(this.root)
      ? fs
          .readdirSync(this.root, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile() && !entry.name.startsWith('ply.db'))
          .map((entry) => join(entry.parentPath, entry.name))
          .sort()
      : [];
    const { catalog } = this;
    return { files, images: catalog.images.all(), layers: catalog.layers.all(), leases: catalog.leases.all(), rows: this.objects() };
  }

  objects(): number {
    const { objectRows } = this.catalog;
    return objectRows.count();
  }

  index(t: Test, id: string): LayerIndex {
    const index = LayerIndex.open(join(this.catalog.layerDirectory(id), 'index.db'));
    t.teardown(() => index.close());
    return index;
  }

  /** Of one layer, by path. */
  async tree(t: Test, layer: Buffer): Promise<Map<string, IndexRow>> {
    const { layers } = await this.import(layer);
    return rowsOf(this.index(t, layers[0].id));
  }
}

export function rowsOf(index: LayerIndex): Map<string, IndexRow> {
  const rows = new Map<string, IndexRow>();
  const paths = new Map<number, string>();
  for (const row of index.rows()) {
    const above = paths.get(row.parent) ?? '';
    const path = row.parent === 0 ? '' : `${above}/${row.name.toString('latin1')}`;
    paths.set(row.id, path);
    rows.set(path === '' ? '/' : path, row);
  }
  return rows;
}

export const gzip = (bytes: Buffer): Buffer => gzipSync(bytes);

/**
 * `ply export`: an image to a file or directory, which appears whole or not at all.
 *
 * It is written beside its place under a name that is noted in `<root>/exports` before: what a crash leaves there is removed by the next plyd.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { basename, dirname, isAbsolute, join, normalize } from 'node:path';
import type { ExportProgress, ExportRequest, ExportResult } from '../api/types';
import { removeTree } from '../mounts/containers';
import { pauseAt } from '../mounts/pause';
import { type Catalog, CatalogError } from '../store';
import { runChild } from '../store/child';
import type { Exported } from './export-files';
import { CHILD, configOf, exportedLayers, whileLeased } from './images';
import type { Task } from './work';

const PART = '.ply-part';

export interface Working<P> {
  report: (progress: P) => void;
  signal: AbortSignal;
}

export async function exportImage(
  catalog: Catalog,
  ref: string,
  { path, format = 'oci-archive', compress = format === 'docker-archive' ? 'none' : 'gzip' }: ExportRequest,
  { report, signal }: Working<ExportProgress>,
): Promise<ExportResult> {
  const image = catalog.images.get(ref);
  const target = checked(path);
  const { bytes, config } = configOf(catalog, image);
  const names = catalog.images.namesOf(image.id);
  const asked = names.filter((name) => name === ref || name === ref.replace(/:latest$/, ''));
  const part = join(dirname(target), `.${basename(target).slice(0, 200)}.${randomBytes(6).toString('hex')}${PART}`);
  const totalBytes = image.layers.reduce((sum, id) => sum + (catalog.layers.get(id).tarSize ?? 0), 0);
  const task: Task = {
    kind: 'export',
    ...{ format, compress, target, part },
    names: asked.length > 0 ? asked : names,
    config: bytes ?? config,
    layers: exportedLayers(catalog, image.layers),
  };
  const done = await whileLeased(catalog, `the export of the image ${image.name ?? image.id}`, image.layers, () =>
    whileNoted(catalog.root, part, async () => {
      await pauseAt('export:noted');
      return runChild<ExportProgress, Exported>(CHILD, task, {
        about: target,
        cancel: 'ask',
        onProgress: (progress) => report({ ...progress, totalBytes }),
        signal,
      });
    }),
  );
  const { digest, size, layers } = done;
  return { image: image.id, path: target, format, compress, digest, size, layers: layers.map(({ diffId, blob }) => ({ diffId, ...blob })) };
}

function checked(path: string): string {
  if (!isAbsolute(path)) throw new CatalogError('bad-request', `${path} is not absolute: give the file's whole path, from /`);
  const target = normalize(path).replace(/\/$/, '');
  if (target === '') throw new CatalogError('bad-request', 'an image cannot be exported to /: give the name of a file');
  return target;
}

// ---- what a crash leaves -------------------------------------------------------------------------------------------------------------------------

/** Of exports that run: what else is noted is a leftover. */
const underWay = new Set<string>();

const notes = (root: string): string => join(root, 'exports');

/** Who writes the part cleans up after itself unless it is killed. */
async function whileNoted<T>(root: string, part: string, work: () => Promise<T>): Promise<T> {
  fs.mkdirSync(notes(root), { recursive: true, mode: 0o700 });
  const note = join(notes(root), randomBytes(8).toString('hex'));
  underWay.add(note);
  fs.writeFileSync(note, part, { flag: 'wx', mode: 0o600 });
  try {
    return await work();
  } catch (error) {
    await removeTree(part).catch(() => undefined);
    throw error;
  } finally {
    fs.rmSync(note, { force: true });
    underWay.delete(note);
  }
}

/** Removes what exports have begun that ended with an earlier plyd. Returns the paths. */
export async function sweepExports(root: string): Promise<string[]> {
  if (!fs.existsSync(notes(root))) return [];
  const swept: string[] = [];
  for (const name of fs.readdirSync(notes(root))) {
    const note = join(notes(root), name);
    if (underWay.has(note)) continue;
    const part = fs.readFileSync(note, 'utf8');
    // An empty note: the crash came before anything was written.
    if (isAbsolute(part) && part.endsWith(PART)) {
      await removeTree(part);
      swept.push(part);
    }
    fs.rmSync(note, { force: true });
  }
  return swept;
}

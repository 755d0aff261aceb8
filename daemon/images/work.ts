/** The child process that makes layers' tars, exports images and walks their trees; its other end is in commit.ts, export.ts and look.ts. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { native } from '../../native-bindings/index';
import { Errno } from '../errno';
import { type ContainerTrees, openTrees } from '../mounts/diff';
import type { LayerPlace } from '../mounts/layer-tree';
import { TreeReader } from '../mounts/tree-reader';
import { type Breathe, type ChildSide, serveTask } from '../store/child-side';
import { StoreError } from '../store/errors';
import type { TreeEntry } from '../api/types';
import { type ExportProgress, exportFiles, type ExportTask } from './export-files';
import { type ExportedLayer, layerChunks } from './export-layer';
import { imageTree } from './image-tree';
import { layerTar } from './layer-tar';

export type Task =
  /** a layer's tar, to standard output */
  | { kind: 'tar'; trees: ContainerTrees }
  /** diffIDs */
  | { kind: 'digests'; layers: ExportedLayer[] }
  | ExportTask
  | { kind: 'tree'; layers: LayerPlace[] };

/** What is told while it goes on. */
export type Told = { bytes: number } | ExportProgress | TreeEntry[];

const STDOUT = 1;
/** It is a socket of packets. */
const PACKET_BYTES = 64 * 1024;
const ENTRIES_AT_ONCE = 500;

const side: ChildSide<Told> = { progress: { bytes: 0 } };

async function perform(task: Task, breathe: Breathe): Promise<unknown> {
  const made = native.arenaCreate(1);
  if (made < 0 && made !== -Errno.EEXIST) throw new Error(`cannot have memory (errno ${-made})`);
  switch (task.kind) {
    case 'tar':
      return writeTar(task.trees, breathe);
    case 'digests':
      return digests(task.layers, breathe);
    case 'export':
      return exported(task, breathe);
    case 'tree':
      return tree(task.layers, breathe);
  }
}

/** Its end is this process's. */
async function writeTar(trees: ContainerTrees, breathe: Breathe): Promise<void> {
  const progress = { bytes: 0 };
  side.progress = progress;
  const opened = openTrees(trees, new TreeReader(0, trees.userxattr));
  try {
    for (const chunk of layerTar(opened)) {
      for (let done = 0; done < chunk.length;) done += fs.writeSync(STDOUT, chunk, done, Math.min(PACKET_BYTES, chunk.length - done));
      progress.bytes += chunk.length;
      await breathe();
    }
  } finally {
    opened.close();
  }
}

async function digests(layers: readonly ExportedLayer[], breathe: Breathe): Promise<string[]> {
  const found: string[] = [];
  for (const layer of layers) {
    const hash = createHash('sha256');
    for (const chunk of layerChunks(layer)) {
      hash.update(chunk);
      await breathe();
    }
    found.push(hash.digest('hex'));
  }
  return found;
}

async function exported(task: ExportTask, breathe: Breathe): Promise<unknown> {
  const remove = (): void => fs.rmSync(task.part, { recursive: true, force: true });
  const progress: ExportProgress = { bytes: 0, totalBytes: 0, layers: 0, totalLayers: task.layers.length };
  side.progress = progress;
  side.cleanUp = remove;
  try {
    return await exportFiles(task, progress, breathe);
  } catch (error) {
    remove();
    throw explained(error, task.target);
  }
}

function explained(error: unknown, target: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof StoreError || code === undefined) return error;
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new StoreError(`no space is left for ${target}: free some, or export to another place`);
  if (code === 'ENOENT' || code === 'EACCES' || code === 'EROFS' || code === 'ENOTDIR' || code === 'EPERM')
    return new StoreError(`cannot write ${target}: ${message}`);
  return error;
}

async function tree(layers: readonly LayerPlace[], breathe: Breathe): Promise<unknown> {
  let entries: TreeEntry[] = [];
  const tell = async (): Promise<void> => {
    const told = entries;
    entries = [];
    await new Promise((resolve) => process.send?.({ kind: 'progress', progress: told }, resolve));
  };
  const shares = await imageTree(
    layers,
    new TreeReader(0),
    (entry) => void entries.push(entry),
    async () => {
      if (entries.length >= ENTRIES_AT_ONCE) await tell();
    },
  );
  if (entries.length > 0) await tell();
  await breathe();
  return shares;
}

serveTask(side, perform);

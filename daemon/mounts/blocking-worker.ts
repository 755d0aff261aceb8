/** A thread of blocking.ts: one call after the other. */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import { native } from '../../native-bindings/index';
import type { Reply } from './blocking';
import type { ContainerTrees, Diff } from './diff';
import { findHolders, type Holder, type HoldersRequest } from './holders';
import {
  type Inspected,
  inspectMount,
  type InspectRequest,
  type Prepared,
  type PrepareRequest,
  prepareMount,
  resolvePoint,
} from './prepare';
import type { MountOptions } from './options';
import { type Lesson, type MovesRequest, openLesson, practise } from './practice-lesson';
import { measure, measureInodes, type Size } from './size';
import { imitate, type Unreadable, type Source } from './imitate';

export interface Calls {
  prepare(request: PrepareRequest): Prepared;
  inspect(request: InspectRequest): Inspected | undefined;
  /** byte strings */
  resolvePoint(mountpoint: string): string;
  /** 0 or a negative errno */
  umount(request: { point: string; flags: number }): number;
  holders(request: HoldersRequest): Holder[];
  /** does a directory answer that the server of its mount is gone (ENOTCONN)? */
  isDead(request: { path: string }): boolean;
  /** gives a directory the attributes of an image's root; which layer could not be read, if so */
  imitate(request: { from: Source[]; to: string }): Unreadable | undefined;
  diff(request: ContainerTrees): Diff;
  size(request: { upper: string }): Size;
  openLesson(request: { options: MountOptions }): Lesson;
  practise(request: MovesRequest): void;
  /** of a directory, a byte string */
  inodes(request: { root: string }): { bytes: number; inodes: number };
}

/** SQLite is loaded by who needs it: a thread that mounts is to be there at once. */
const load = createRequire(__filename);

const { slot } = workerData as { slot: number };

const CALLS: Calls = {
  prepare: prepareMount,
  inspect: inspectMount,
  resolvePoint,
  umount: ({ point, flags }) => native.umount(Buffer.from(point, 'latin1'), flags),
  holders: findHolders,
  isDead({ path }) {
    try {
      fs.statSync(Buffer.from(path, 'latin1'));
      return false;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOTCONN';
    }
  },
  imitate: ({ from, to }) => imitate(from, to, slot),
  diff: (request) => (load('./diff') as typeof import('./diff')).findChanges(request, slot),
  openLesson,
  practise,
  size: ({ upper }) => measure(upper, slot),
  inodes: ({ root }) => measureInodes(root, slot),
};

parentPort!.on('message', ({ name, request }: { name: keyof Calls; request: never }) => {
  let reply: Reply;
  try {
    reply = { ok: true, result: CALLS[name](request) };
  } catch (error) {
    const { constructor, message } = error as Error;
    reply = { ok: false, kind: constructor.name, message };
  }
  parentPort!.postMessage(reply);
});

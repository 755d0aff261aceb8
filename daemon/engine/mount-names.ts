/**
 * What the log calls a mount: the id that the daemon has given it, as `ply mounts` shows it, or else the engine's own number. The ids are in shared memory,
 * as workers write lines too.
 */
import { Limits } from '../overlay/table/layout';
import type { Memory } from '../overlay/table/memory';
import { EngineWord } from './words';

/** Of one id, in ASCII; the rest is 0. */
const BYTES = Limits.PAGE_BYTES / Limits.MAX_MOUNTS;

/** By the main thread, before a worker sees the mount. */
export function nameMount(memory: Memory, mount: number, id: string | undefined): void {
  const { i32, u8 } = memory;
  if (i32[EngineWord.MOUNT_NAMES] === 0) {
    if (id === undefined) return;
    i32[EngineWord.MOUNT_NAMES] = memory.takePages(1);
  }
  const at = i32[EngineWord.MOUNT_NAMES] + mount * BYTES;
  u8.fill(0, at, at + BYTES);
  if (id !== undefined) u8.set(Buffer.from(id.slice(0, BYTES - 1), 'latin1'), at);
}

export function mountName({ i32, u8 }: Memory, mount: number): string | number {
  const page = i32[EngineWord.MOUNT_NAMES];
  if (page === 0) return mount;
  const bytes = u8.subarray(page + mount * BYTES, page + (mount + 1) * BYTES);
  const id = Buffer.from(bytes.subarray(0, bytes.indexOf(0))).toString('latin1');
  return id === '' ? mount : id;
}

/** A slow job that belongs to one operation: started at its first dispatch, its result taken at a later one. */
import { disk } from '../layers/disk';
import { JobSlot } from '../layers/records';
import { SET_ASIDE } from '../protocol/operations';
import type { Mount } from './mount';

export interface JobRequest {
  kind: number;
  flags: number;
  /** descriptors of the job's own: closed at its end; b -1: none */
  a: number;
  b: number;
  offsetLow: number;
  offsetHigh: number;
  lengthLow: number;
  lengthHigh: number;
  offset2Low: number;
  offset2High: number;
}

/**
 * `begin` is called at the first dispatch to open what the job needs (or to return an errno). Returns SET_ASIDE until the job is done,
 * then a negative errno, or 0 with the job's count in `m.jobCount`.
 */
export function ownJob(m: Mount, begin: () => JobRequest | number): number {
  const { context, table, i32 } = m;
  if (context.job === 0) {
    const request = begin();
    if (typeof request === 'number') return request;
    return start(m, request);
  }
  const slot = context.job;
  if (!table.jobDone(slot)) return SET_ASIDE;
  const at = slot >> 2;
  const result = i32[at + JobSlot.result / 4];
  closeBoth(i32[at + JobSlot.a / 4], i32[at + JobSlot.b / 4]);
  context.job = 0;
  table.giveJob(slot);
  if (result < 0) return result;
  m.jobCount = result;
  return 0;
}

function start(m: Mount, request: JobRequest): number {
  const { context, table, i32 } = m;
  let slot: number;
  try {
    slot = table.takeJob();
  } catch (error) {
    closeBoth(request.a, request.b);
    throw error;
  }
  const at = slot >> 2;
  i32[at + JobSlot.kind / 4] = request.kind;
  i32[at + JobSlot.flags / 4] = request.flags;
  i32[at + JobSlot.a / 4] = request.a;
  i32[at + JobSlot.b / 4] = request.b;
  i32[at + JobSlot.offset / 4] = request.offsetLow;
  i32[at + JobSlot.offset / 4 + 1] = request.offsetHigh;
  i32[at + JobSlot.length / 4] = request.lengthLow;
  i32[at + JobSlot.length / 4 + 1] = request.lengthHigh;
  i32[at + JobSlot.offset2 / 4] = request.offset2Low;
  i32[at + JobSlot.offset2 / 4 + 1] = request.offset2High;
  context.job = slot;
  const result = table.submitJob(slot);
  if (result >= 0) return SET_ASIDE;
  context.job = 0;
  closeBoth(request.a, request.b);
  table.giveJob(slot);
  return result;
}

function closeBoth(a: number, b: number): void {
  if (a >= 0) disk.close(a);
  if (b >= 0) disk.close(b);
}

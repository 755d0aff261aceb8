/** Who asks. FUSE says a caller's uid and gid, and not which further groups it is in. */
import fs from 'node:fs';
import type { Caller } from '../protocol/operations';

/**
 * Is the caller in a group? It waits for our answer, so its thread is there to be asked; one of another pid namespace (pid 0) is taken to be in
 * no further group. Allocates: for what is rare.
 */
export function isInGroup(by: Caller, group: number): boolean {
  if (by.gid === group) return true;
  if (by.pid === 0) return false;
  let status: string;
  try {
    status = fs.readFileSync(`/proc/${by.pid}/status`, 'latin1');
  } catch {
    return false; // it was killed
  }
  const groups = /^Groups:(.*)$/m.exec(status)?.[1] ?? '';
  return groups.split(/\s/).includes(String(group));
}

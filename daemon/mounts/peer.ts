/**
 * Who may talk to plyd (design.md section 1). Whoever hands it an upper directory gets that written with plyd's rights, so it serves its own user and root,
 * and the members of its socket's group, who are as good as root; all of them in its own user namespace only. A plyd of an ordinary user, in a user namespace
 * that it made for itself (rootless.ts), serves that user in the initial one too: that is where they came from.
 */
import fs from 'node:fs';
import type { Socket } from 'node:net';
import { native } from '../../native-bindings/index';
import { userNamespace } from '../runtime';

/** undefined: it may. Otherwise why not. */
export function refusalOf(socket: Socket, group: number): string | undefined {
  const handle = (socket as unknown as { _handle: { fd: number } | null })._handle;
  const peer = handle === null ? -1 : native.peerCredentials(handle.fd);
  if (typeof peer === 'number') return 'plyd cannot tell who you are';
  const { pid, uid, gid } = peer;
  const own = process.geteuid!();
  if (pid !== process.pid && !isSameNamespace(pid, uid, own) && !(uid === own && isWhereWeCameFrom(pid))) {
    return `plyd serves only its own user namespace, and process ${pid} is in another one: use plyfs there, or a plyd of its own`;
  }
  if (uid === own || uid === 0 || gid === group || groupsOf(pid).includes(group)) return undefined;
  return `plyd serves only user ${own}, root, and members of group ${group}, and process ${pid} is of user ${uid}: ask its administrator, or use plyfs`;
}

function isSameNamespace(pid: number, uid: number, own: number): boolean {
  try {
    return userNamespace(pid) === userNamespace('self');
  } catch {
    return uid === 0 && own !== 0; // root's processes are not ours to look at, and root may look at ours
  }
}

/** The map of the initial namespace is whole, and begins at an id that ours does not have. Maps are open to all, other than the names of namespaces. */
function isWhereWeCameFrom(pid: number): boolean {
  const EVERYBODY = 4294967295;
  const map = (of: number | 'self'): number[] => fs.readFileSync(`/proc/${of}/uid_map`, 'latin1').trim().split(/\s+/).map(Number);
  try {
    const [inside, , count] = map(pid);
    return inside === 0 && count === EVERYBODY && map('self')[2] !== EVERYBODY;
  } catch {
    return false; // it ended
  }
}

function groupsOf(pid: number): number[] {
  try {
    const line = /^Groups:\s*(.*)$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? '';
    return line
      .split(/\s+/)
      .filter((one) => one !== '')
      .map(Number);
  } catch {
    return []; // it ended
  }
}

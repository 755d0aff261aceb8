/** Where daemons and engines are met, and who meets whom there: both for plyd and for what talks to it. */
import fs from 'node:fs';
import { join } from 'node:path';

/** Root of the machine, not of a user namespace of somebody's. */
export function isRoot(): boolean {
  if (process.geteuid!() !== 0) return false;
  const [inside, outside] = fs.readFileSync('/proc/self/uid_map', 'latin1').trim().split(/\s+/).map(Number);
  return inside === 0 && outside === 0;
}

/** plyd's socket, where nothing else is said; undefined: this user has no directory for such. */
export function usualSocket(environment: NodeJS.ProcessEnv): string | undefined {
  if (isRoot()) return '/run/ply/ply.sock';
  const directory = environment['XDG_RUNTIME_DIR'] ?? '';
  return directory === '' ? undefined : join(directory, 'ply', 'ply.sock');
}

/** Where the plyd of that socket takes mounts that plyfs has made. */
export function handoverSocket(socket: string): string {
  return `${socket}.plyfs`;
}

/** "user:[4026531837]" */
export function userNamespace(pid: number | 'self'): string {
  return fs.readlinkSync(`/proc/${pid}/ns/user`);
}

/** Is it of our uid and user namespace? So it may do nothing through us that it could not do itself. */
export function isOurOwn({ pid, uid }: { pid: number; uid: number }): boolean {
  if (uid !== process.geteuid!()) return false;
  try {
    return userNamespace(pid) === userNamespace('self');
  } catch {
    return false; // it ended, or is not ours to look at, or lives in a pid namespace beside ours
  }
}

/** The namespaces that plyd mounts in: an ordinary user's plyd has a user and a mount namespace of its own. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { constants } from 'node:os';
import type { Client } from '../../client/client';
import { program } from './program';

/** The process whose namespaces they are; undefined: they are our own. */
export async function namespacesOf(daemon: Client): Promise<number | undefined> {
  const { pid } = await daemon.info();
  try {
    return fs.readlinkSync(`/proc/${pid}/ns/user`) === fs.readlinkSync('/proc/self/ns/user') ? undefined : pid;
  } catch {
    return undefined; // another user's
  }
}

/** The beginning of a command line that goes there. */
export function joining(namespaces: number | undefined): string[] {
  if (namespaces === undefined) return [];
  return [program('nsenter', 'util-linux'), '--user', '--mount', '--preserve-credentials', '--target', String(namespaces)];
}

/** Runs it there, in the directory that we are in, with our own streams and terminal; resolves with its status. */
export async function runIn(daemon: Client, command: readonly string[]): Promise<number> {
  const join = joining(await namespacesOf(daemon));
  const [name, ...args] = [...join, ...(join.length > 0 ? [`--wdns=${process.cwd()}`, '--'] : []), ...command];
  process.removeAllListeners('SIGINT');
  process.on('SIGINT', () => undefined); // it is the command's
  const child = spawn(name, args, { stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (status, signal) => resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}

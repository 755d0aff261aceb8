/** The daemon's socket: made so that nobody else can connect even for a moment, and only where nobody listens. */
import fs from 'node:fs';
import net, { type Server } from 'node:net';
import { dirname } from 'node:path';
import { ConfigError } from './config';
import { Exclusive, Taken } from './mounts/exclusive';

const NOT_FOR_OTHERS = 0o117;

/** Resolves when it listens. Throws ConfigError. The lock is to be released when the server is closed. */
export async function listen(server: Server, path: string, group: number | undefined): Promise<Exclusive> {
  fs.mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const lock = takeLock(path);
  try {
    await removeStale(path);
    await bind(server, path);
    if (group !== undefined) fs.chownSync(path, -1, group);
    return lock;
  } catch (error) {
    lock.release();
    throw error;
  }
}

/**
 * On a socket that a service manager listens on (it stays there when plyd ends, and who connects meanwhile waits). Its owner and mode are the
 * manager's business. Resolves with its path; throws ConfigError.
 */
export async function listenOn(server: Server, fd: number): Promise<{ path: string; lock: Exclusive }> {
  const path = pathOf(fd);
  if (path === undefined)
    throw new ConfigError(
      `the socket that was passed as descriptor ${fd} has no path: ListenStream= has to be one, such as /run/ply/ply.sock`,
    );
  const lock = takeLock(path);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(new ConfigError(`cannot use the socket ${path} that was passed: ${error.message}`)));
      server.listen({ fd }, resolve);
    });
    return { path, lock };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Where a socket is bound; Node does not say. /proc/net/unix: Num RefCount Protocol Flags Type St Inode Path */
function pathOf(fd: number): string | undefined {
  const inode = String(fs.fstatSync(fd).ino);
  for (const line of fs.readFileSync('/proc/net/unix', 'utf8').split('\n')) {
    const found = /^\S+ \S+ \S+ \S+ \S+ \S+ +(\d+) (\/.*)$/.exec(line);
    if (found?.[1] === inode) return found[2];
  }
  return undefined;
}

function takeLock(path: string): Exclusive {
  try {
    return Exclusive.take(`${path}.lock`);
  } catch (error) {
    if (error instanceof Taken) throw new ConfigError(`another plyd listens on ${path}: use that one, or give this one another --socket`);
    throw new ConfigError(`cannot listen on ${path}: ${(error as Error).message}`);
  }
}

async function removeStale(path: string): Promise<void> {
  const found = fs.lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new ConfigError(`${path} is there already and no socket: give another --socket`);
  if (await answers(path)) throw new ConfigError(`another program listens on ${path}: end it, or give another --socket`);
  fs.unlinkSync(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'));
  });
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(new ConfigError(`cannot listen on ${path}: ${error.message}`)));
    server.once('listening', resolve);
    const before = process.umask(NOT_FOR_OTHERS);
    try {
      server.listen({ path, backlog: 1024 }); // it binds before it returns
    } finally {
      process.umask(before);
    }
  });
}

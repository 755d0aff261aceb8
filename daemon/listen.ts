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

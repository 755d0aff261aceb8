/** Coming to a rendezvous (engine/rendezvous.ts), of an engine or of plyd. */
import fs from 'node:fs';
import net from 'node:net';
import { basename, dirname } from 'node:path';
import { native } from '../../native-bindings/index';
import { Errno } from '../errno';
import { isOurOwn } from '../runtime';
import { EngineError } from './engine-channel';
import { inTime } from './in-time';

/** Nobody is there. */
export class Nobody extends EngineError {}

/** Hands whoever is there a new control channel; returns our end of it. Rejects with EngineError, also when it is not of our uid and user namespace. */
export async function meet(path: string, ms: number): Promise<number> {
  const directory = openDirectory(path);
  // The address of a Unix socket has 107 bytes: the directory is named by a descriptor.
  const socket = net.connect(`/proc/self/fd/${directory}/${basename(path)}`);
  try {
    await inTime(connected(socket), ms);
    const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
    const peer = native.peerCredentials(fd);
    if (typeof peer === 'number' || !isOurOwn(peer))
      throw new EngineError(`${path} is answered by a process of another user or user namespace`);
    const pair = new Int32Array(2);
    const failed = native.socketpair(pair);
    if (failed < 0) throw new EngineError(`socketpair: errno ${-failed}`);
    const sent = native.sendMessage(fd, Buffer.from('{}'), [pair[1]]);
    native.close(pair[1]);
    if (sent >= 0) return pair[0];
    native.close(pair[0]);
    if (sent === -Errno.EPIPE) throw new Nobody(`${path} is answered no more`);
    throw new EngineError(`cannot send to ${path} (errno ${-sent})`);
  } finally {
    socket.destroy();
    fs.closeSync(directory);
  }
}

function openDirectory(path: string): number {
  try {
    return fs.openSync(dirname(path), 'r');
  } catch (error) {
    throw missing(error as NodeJS.ErrnoException);
  }
}

function connected(socket: net.Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', (error) => reject(missing(error)));
  });
}

/** ECONNREFUSED: what is left of one that was killed. */
function missing(error: NodeJS.ErrnoException): EngineError {
  const { code = '', message } = error;
  return ['ENOENT', 'ECONNREFUSED'].includes(code) ? new Nobody(message) : new EngineError(message);
}

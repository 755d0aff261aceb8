/** Where an engine, or plyd, is found: a Unix stream socket that takes a new control channel (control.ts). */
import fs from 'node:fs';
import net from 'node:net';
import { basename, dirname } from 'node:path';
import { native } from '../../native-bindings/index';
import { Errno } from '../errno';
import type { Log } from '../log';
import { isOurOwn } from '../runtime';
import { closeAll } from './control-channel';

export interface Rendezvous {
  /** Nobody finds it any more, nor is anybody taken who has just come. */
  close(): void;
}

/** It listens when this returns. `onChannel` gets the descriptor, which is its own then; only peers of our own uid and user namespace get that far. */
export function openRendezvous(path: string, log: Log, onChannel: (fd: number) => void): Rendezvous {
  let open = true;
  const server = net.createServer({ pauseOnConnect: true }, (socket) => {
    // Node must not read what comes: it would lose the descriptor.
    const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
    const ours = native.dup(fd);
    socket.destroy();
    const peer = native.peerCredentials(ours);
    if (!open || typeof peer === 'number' || !isOurOwn(peer)) native.close(ours);
    else receive(ours, log, (channel) => (open ? onChannel(channel) : native.close(channel)));
  });
  server.on('error', (error) => log.error({ err: error, path }, 'cannot listen: nobody finds this process there'));
  // The address of a Unix socket has 107 bytes: the directory is named by a descriptor.
  const directory = fs.openSync(dirname(path), 'r');
  server.listen(`/proc/self/fd/${directory}/${basename(path)}`); // it binds before it returns
  fs.closeSync(directory);
  server.unref();
  const own = fs.lstatSync(path, { throwIfNoEntry: false })?.ino;
  if (own !== undefined) fs.chmodSync(path, 0o600);
  return {
    close: () => {
      open = false;
      // The server stays: its own end would remove the name too, when it may be somebody else's already.
      if (own !== undefined && fs.lstatSync(path, { throwIfNoEntry: false })?.ino === own) fs.rmSync(path, { force: true });
    },
  };
}

function receive(fd: number, log: Log, onChannel: (fd: number) => void): void {
  const watch = native.watchReadable(fd, () => {
    const message = native.receiveMessage(fd, 4096);
    if (message === -Errno.EAGAIN) return;
    watch.stop();
    native.close(fd);
    const [channel, ...others] = typeof message === 'object' ? message.fds : [];
    closeAll(others);
    if (channel === undefined) {
      // as a mount helper does that only asks whether anybody is here
      log.debug({}, 'somebody came and left no channel');
      return;
    }
    onChannel(channel);
  });
}

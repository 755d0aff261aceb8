/** Where an engine is found again: a Unix stream socket that takes a new control channel (control.ts). */
import fs from 'node:fs';
import net from 'node:net';
import { basename, dirname } from 'node:path';
import { native } from '../../native-bindings/index';
import { Errno } from '../errno';
import type { Log } from '../log';
import { closeAll } from './control-channel';

/** `onChannel` gets the descriptor, which is its own then. */
export function openRendezvous(path: string, log: Log, onChannel: (fd: number) => void): void {
  const server = net.createServer({ pauseOnConnect: true }, (socket) => {
    // Node must not read what comes: it would lose the descriptor.
    const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
    const ours = native.dup(fd);
    socket.destroy();
    const peer = native.peerCredentials(ours);
    if (typeof peer === 'number' || peer.uid !== process.geteuid!()) native.close(ours);
    else receive(ours, log, onChannel);
  });
  server.on('error', (error) => log.error({ err: error }, 'no daemon can find this engine again'));
  // The address of a Unix socket has 107 bytes: the directory is named by a descriptor.
  const directory = fs.openSync(dirname(path), 'r');
  server.listen(`/proc/self/fd/${directory}/${basename(path)}`);
  server.unref();
}

function receive(fd: number, log: Log, onChannel: (fd: number) => void): void {
  const watch = native.watchReadable(fd, () => {
    const message = native.receiveMessage(fd, 4096);
    if (message === -Errno.EAGAIN) return;
    watch.stop();
    native.close(fd);
    if (typeof message !== 'object') return;
    const [channel, ...others] = message.fds;
    closeAll(others);
    if (channel === undefined) return;
    log.info({}, 'a daemon has adopted this engine');
    onChannel(channel);
  });
}

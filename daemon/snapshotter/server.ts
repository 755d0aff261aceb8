/** Where containerd finds its snapshotter: a socket of its own, whose peers are those of the API's socket. Loaded only where it is asked for. */
import net from 'node:net';
import type { Log } from '../log';
import type { Keeper } from '../mounts/keeper';
import type { Locks } from '../mounts/lock';
import type { Catalog } from '../store';
import { KeptSnapshots } from './kept-snapshots';
import { SnapshotService } from './service';

export interface SnapshotServerOptions {
  catalog: Catalog;
  keeper: Keeper;
  locks: Locks;
  log: Log;
  /** why a peer is not served; undefined: it is */
  refuse: (socket: net.Socket) => string | undefined;
}

export class SnapshotServer {
  readonly socket: net.Server;
  private readonly service: SnapshotService;

  constructor({ catalog, keeper, locks, log, refuse }: SnapshotServerOptions) {
    this.service = new SnapshotService(new KeptSnapshots(catalog, keeper, locks), log);
    this.socket = net.createServer((socket) => {
      const refusal = refuse(socket);
      socket.on('error', () => undefined); // it hung up
      if (refusal === undefined) {
        this.service.connect(socket);
      } else {
        log.warn({ refusal }, "a client of containerd's socket is sent away");
        socket.destroy();
      }
    });
  }

  async close(limitMs: number): Promise<void> {
    this.socket.close();
    await this.service.close(limitMs);
  }
}

/**
 * Mounts that plyfs has made and hands over (share.ts has the other side): plyd serves them as its own, with a row in the catalog, and mounts them again
 * when their engine dies. It talks as an engine does (engine/control.ts), and declines what it could not mount again itself: what is mounted in another
 * mount namespace, or below another root. Then plyfs goes to the engine of its uid and user namespace.
 */
import fs from 'node:fs';
import { native } from '../../native-bindings/index';
import type { MountRequest, Request } from '../engine/control';
import { ControlChannel, type Outcome } from '../engine/control-channel';
import { openRendezvous, type Rendezvous } from '../engine/rendezvous';
import type { Log } from '../log';
import { handoverSocket } from '../runtime';
import { CatalogError } from '../store';
import { EngineGone } from './engine-channel';
import type { Events } from './events';
import { bytes, type Keeper } from './keeper';
import { shown } from './options';
import { planOf } from './plan';
import type { Inspected } from './prepare';
import { Ending } from './supervisor';

type Asked = Exclude<Request, { type: 'descriptors' }>;

export class Handover {
  private readonly rendezvous: Rendezvous;
  private readonly startedAt = Date.now();

  /** To be made while nobody else listens on the API's socket. */
  constructor(
    private readonly keeper: Keeper,
    private readonly events: Events,
    private readonly log: Log,
    socket: string,
  ) {
    const path = handoverSocket(socket);
    if (fs.lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) fs.unlinkSync(path); // of a plyd that was killed
    this.rendezvous = openRendezvous(path, log, (fd) => this.met(fd));
  }

  close(): void {
    this.rendezvous.close();
  }

  private met(fd: number): void {
    const channel: ControlChannel = new ControlChannel(
      fd,
      async (request, descriptors) => {
        try {
          return await this.handle(request, descriptors);
        } catch (error) {
          if (error instanceof EngineGone) channel.close(); // so plyfs sees what has happened
          throw error;
        }
      },
      () => undefined,
      this.log,
    );
  }

  private async handle(request: Asked, descriptors: number[]): Promise<Outcome> {
    let served = false;
    try {
      if (request.type === 'hello') return { ok: true, hello: { pid: process.pid, workers: 0, startedAt: this.startedAt } };
      if (request.type === 'plan') return { ok: true, plan: planOf(request) };
      if (request.type !== 'mount') return { ok: false, error: `plyd does not take ${request.type} here: use its API` };
      const outcome = await this.take(request, descriptors);
      served = outcome.ok;
      return outcome;
    } finally {
      for (const fd of served ? descriptors.slice(1) : descriptors) native.close(fd);
    }
  }

  private async take({ mountpoint, dev, level, writable, further = '' }: MountRequest, descriptors: number[]): Promise<Outcome> {
    const found = await this.keeper.supervisor.blocking.call('inspect', { mountpoint, dev, level, writable, descriptors });
    if (found === undefined) return this.decline(mountpoint, 'it is not to be seen from here as it was mounted');
    const layout = textOf(found, further);
    if (layout === undefined || bytes(shown(mountpoint)) !== mountpoint) return this.decline(mountpoint, 'its paths are not UTF-8');
    try {
      const mount = await this.keeper.take(layout, shown(mountpoint), found.prepared);
      this.events.emit({ type: 'mount', id: mount.id, name: mount.mountpoint, detail: 'handed over by plyfs' });
      return { ok: true, mount: 0 };
    } catch (error) {
      if (error instanceof Ending || error instanceof CatalogError) return this.decline(mountpoint, error.message);
      this.log.warn({ mountpoint: shown(mountpoint), err: error }, 'a mount that plyfs handed over is not served');
      throw error;
    }
  }

  private decline(mountpoint: string, why: string): Outcome {
    this.log.info({ mountpoint: shown(mountpoint), why }, 'a mount of plyfs is left to another engine');
    return { ok: false, error: why, declined: true };
  }
}

/** For a row of the catalog; undefined: it is not text. */
function textOf(
  { lower, upper, work }: Inspected,
  further: string,
): { lower: string[]; upper: string | null; work: string | null; options: string } | undefined {
  const all = [...lower, upper ?? '', work ?? '', further];
  if (!all.every((one) => bytes(shown(one)) === one)) return undefined;
  const own = (path: string | undefined): string | null => (path === undefined ? null : shown(path));
  return { lower: lower.map(shown), upper: own(upper), work: own(work), options: shown(further) };
}

/**
 * The mounts that are served, and the engines that serve them. It knows nothing of the catalog: the keeper (keeper.ts) does.
 *
 * Of every mount it holds duplicates of the device descriptors. While they are open, requests of an engine that died wait instead of failing, so they are
 * closed as soon as its death is known; then the mount is detached and made again with a new engine, and so are the mounts whose directories
 * lie on it.
 */
import { native } from '../../native-bindings/index';
import type { ListedMount } from '../engine/control';
import { Errno } from '../errno';
import type { Log } from '../log';
import { Blocking } from './blocking';
import { type OtherDriver, otherDriver } from './drivers';
import { Engine, type EngineSettings } from './engine';
import { EngineError, EngineGone } from './engine-channel';
import type { Holder } from './holders';
import { inTime, sleep } from './in-time';
import { sourceOf } from './level';
import { MountFailure } from './mount';
import { isWithin, type MountEntry, mountTable, PLYFS, topMount } from './mountinfo';
import { type MountOptions, parseOptions, shown } from './options';
import type { Practice } from './practice';
import type { Prepared } from './prepare';

/** What is to be mounted, and how, as often as need be. */
export interface Plan {
  id: string;
  options: MountOptions;
  /** byte string */
  mountpoint: string;
}

export interface Served {
  readonly plan: Plan;
  engine: Engine;
  /** the engine's name for it */
  index: number;
  /** byte string: where it is, symlinks followed */
  point: string;
  level: number;
  mountId: number;
  dev: string;
  on: string[];
  writes: string[];
  devices: number[];
  /** served: mounted. leaving: being unmounted. lingering: unmounted, and still in use. lost: its engine died, and it is being made again */
  state: 'served' | 'leaving' | 'lingering' | 'lost';
  /** settled when it is not lost any more */
  recovered: Promise<void>;
  /** the kernel has let go of it */
  over: Promise<void>;
  setOver: () => void;
  /** it does not count for its engine any more */
  released: boolean;
}

/** What an engine is told of a mount for a plyd that comes later. */
export interface Tag {
  id: string;
  mountId: number;
  dev: string;
  on: string[];
  writes: string[];
}

export function tagOf({ tag, mounted }: ListedMount): Tag | undefined {
  return tag === undefined ? undefined : { ...(JSON.parse(tag) as Tag), ...mounted };
}

/** Its directories are in use by another mount. */
export class MountTaken extends Error {}

/** plyd takes nothing any more. */
export class Ending extends MountFailure {}

/** What was detached from there is still in use. */
class Lingers extends Error {
  constructor(readonly served: Served) {
    super('still in use');
  }
}

/** A mount that somebody uses. */
export class MountBusy extends Error {
  constructor(
    message: string,
    readonly processes: Holder[],
    /** other mounts on it */
    readonly mounts: string[],
  ) {
    super(message);
  }
}

export interface SupervisorEvents {
  /** unmounted by somebody else */
  onGone: (id: string) => void;
  /** made again after its engine had died */
  onRecovered: (id: string) => void;
  /** could not be made again */
  onFailed: (id: string, error: Error) => void;
  onEngineStart: (engine: Engine, adopted: boolean) => void;
  onEngineEnd: (engine: Engine, how: string, expected: boolean) => void;
}

const MNT_DETACH = 2;
const IDLE_ENGINE_MS = 5000;
/** Of mounts that lie on no other mount of plyfs (level.ts). */
const USUAL_LEVEL = 1;
/** Between umount(2) and the engine's word that the kernel has let go, if nobody uses it. */
const OVER_MS = 3000;
const PATIENCE_MS = 500;
/** An engine that takes longer for an answer hangs. */
const ANSWER_MS = 60_000;
const ATTEMPTS = 3;
/** An engine that dies oftener than this within a minute is not started again. */
const DEATHS = 10;
const MINUTE = 60_000;

export class Supervisor {
  readonly blocking = new Blocking();
  private readonly engines = new Set<Engine>();
  private readonly mounts = new Map<string, Served>();
  /** "dev:inode" that a mount being made writes to */
  private readonly reserved = new Set<string>();
  /** served, but without their devices yet */
  private readonly pending = new Set<Served>();
  private readonly deaths: number[] = [];
  private practice: Practice | undefined;
  /** does not end when it has nothing to do */
  private kept: Engine | undefined;
  private closing = false;

  constructor(
    private readonly settings: EngineSettings,
    private readonly log: Log,
    private readonly events: SupervisorEvents,
  ) {
    native.raiseFileLimit(); // some descriptors for each mount
  }

  get(id: string): Served | undefined {
    return this.mounts.get(id);
  }

  get running(): readonly Engine[] {
    return [...this.engines];
  }

  /** Engines that ended without having been told to. */
  deathsSoFar = 0;

  /** Where what was mounted is not, as its engine died. For people. */
  get lost(): string[] {
    return [...this.mounts.values()].filter(({ state }) => state === 'lost').map(({ point }) => shown(point));
  }

  // ---- mounting --------------------------------------------------------------------------------------------------------------------------------

  /** Resolves when it is usable. Rejects with OptionError, MountFailure or EngineError, and then nothing is mounted. */
  async mount(plan: Plan): Promise<Served> {
    const other = this.mounts.get(plan.id);
    if (other !== undefined) throw await this.stillThere(other);
    return await this.make(plan);
  }

  private async stillThere(served: Served): Promise<Error> {
    if (served.state !== 'lingering') return new MountFailure(`${shown(served.point)} is mounted already`);
    const processes = await this.blocking.call('holders', { mountId: served.mountId, dev: served.dev, elsewhere: true });
    return new MountBusy(`${shown(served.point)} was detached, and is still in use${by(processes)}: end these first`, processes, []);
  }

  /** An engine that dies meanwhile costs an attempt, and so does a mount on the same upper whose end is near. */
  private async make(plan: Plan): Promise<Served> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.attempt(plan);
      } catch (error) {
        if (error instanceof Lingers) {
          if (attempt < ATTEMPTS && (await happens(error.served.over, PATIENCE_MS))) continue;
          throw await this.stillThere(error.served);
        }
        if (!(error instanceof EngineGone) || attempt === ATTEMPTS || this.closing) throw error;
        this.log.warn(
          { mount: plan.id, mountpoint: shown(plan.mountpoint), err: error },
          'an engine died while it was to serve a mount: once more',
        );
      }
    }
  }

  private async attempt({ id, options, mountpoint }: Plan): Promise<Served> {
    const prepared = await this.blocking.call('prepare', { options, mountpoint });
    const { layers, upper, work, device, imported } = prepared;
    const before = device >= 0 ? undefined : topMount(mountTable(), prepared.point)?.id; // the driver mounts by itself
    try {
      return await this.serveAlone({ id, options, mountpoint }, prepared);
    } catch (error) {
      if (device >= 0) native.close(device); // whoever waits for an answer gets an error
      await this.takeAway(prepared.point, device >= 0 ? prepared.mountId : newMount(prepared.point, before));
      throw error;
    } finally {
      for (const fd of [...layers, upper, work, imported?.objects ?? -1]) if (fd >= 0) native.close(fd);
    }
  }

  /**
   * Another process has mounted it (`plan` says how to do that again), and takes it away if this rejects: as mount() does, or with {@link Ending}, and then
   * nothing was touched, or with EngineGone, and then it is of no use any more. Owns the device when it resolves, and no other descriptor.
   */
  async take(plan: Plan, prepared: Prepared): Promise<Served> {
    try {
      return await this.serveAlone(plan, prepared);
    } catch (error) {
      throw await this.explained(error);
    }
  }

  /** Rejects with MountTaken or MountBusy when others write to one of these ("dev:inode"). */
  async checkWrites(writes: readonly string[]): Promise<void> {
    try {
      this.refuseShared(writes);
    } catch (error) {
      throw await this.explained(error);
    }
  }

  private async explained(error: unknown): Promise<unknown> {
    return error instanceof Lingers ? await this.stillThere(error.served) : error;
  }

  /** Nobody else writes where it writes. */
  private async serveAlone(plan: Plan, prepared: Prepared): Promise<Served> {
    const { writes } = prepared;
    this.refuseShared(writes);
    for (const one of writes) this.reserved.add(one);
    try {
      return await this.serve(plan, prepared);
    } finally {
      for (const one of writes) this.reserved.delete(one);
    }
  }

  private refuseShared(writes: readonly string[]): void {
    const inUse = [...this.mounts.values()].find((other) => other.state !== 'lost' && writes.some((one) => other.writes.includes(one)));
    if (inUse?.state === 'lingering') throw new Lingers(inUse);
    if (inUse === undefined && !writes.some((one) => this.reserved.has(one))) return;
    const where = inUse === undefined ? 'that is being mounted' : `at ${shown(inUse.point)}`;
    throw new MountTaken(`the upper or work directory is in use by the mount ${where}: two would spoil each other's files`);
  }

  /** Owns prepared.device when it resolves. */
  private async serve(plan: Plan, prepared: Prepared): Promise<Served> {
    const { level, point, device, layers, imported, upper, work, on, writes } = prepared;
    const driver = otherDriver(plan.options);
    const engine = this.engineFor(level, driver);
    engine.load++;
    let served: Served | undefined;
    try {
      const own = upper >= 0 ? [upper, work] : [];
      const { mountId, dev } = prepared;
      const tag: Tag = { id: plan.id, mountId, dev, on, writes };
      const request = {
        options: plan.options,
        mountpoint: point,
        dev,
        writable: upper >= 0,
        level,
        tag: JSON.stringify(tag),
        name: plan.id,
        ...(imported && { imported: imported.ids }),
        ...(driver === undefined ? { devices: true } : { source: sourceOf(shown(plan.options.fsname ?? 'plyfs'), level) }),
      };
      const given = [...(device >= 0 ? [device] : []), ...layers, ...(imported ? [imported.objects] : []), ...own];
      const asked = engine.channel.ask({ type: 'mount', ...request }, given);
      const { mount: index = -1, descriptors, mounted = { mountId, dev } } = await inTime(asked, ANSWER_MS);
      served = makeServed({ plan, engine, index, point, level, ...mounted, on, writes });
      await this.settle(served, descriptors);
      if (device >= 0) native.close(device);
      return served;
    } catch (error) {
      if (served !== undefined) this.release(served);
      else if (--engine.load === 0 && driver !== undefined) this.stopIdleEngine(engine);
      throw error;
    }
  }

  /** From here on it is known by its id. The engine may have news of it already. */
  private async settle(served: Served, devices: number[] = []): Promise<void> {
    const { id } = served.plan;
    this.pending.add(served);
    try {
      // An engine of an older build has not sent them.
      const has = devices.length > 0 || served.engine.driver !== undefined; // fuse-native keeps its own
      served.devices = has ? devices : await inTime(served.engine.devices(served.index), ANSWER_MS);
      if (served.engine.ended) throw new EngineGone('the engine ended as soon as it served the mount');
      if (served.released) throw new MountFailure(`${shown(served.point)} was unmounted as soon as it was mounted`);
      this.mounts.set(id, served);
    } finally {
      this.pending.delete(served);
    }
  }

  private engineFor(level: number, driver: OtherDriver | undefined): Engine {
    if (this.closing) throw new Ending('plyd is ending');
    this.practice?.leaveOff();
    const found = [...this.engines].find((engine) => engine.level === level && engine.driver === driver && engine.hasRoom);
    if (found !== undefined) {
      found.cancelStop();
      return found;
    }
    return this.startEngine(level, 0, driver);
  }

  private startEngine(level: number, restarts: number, driver?: OtherDriver): Engine {
    const engine = Engine.spawn(this.settings, level, restarts, this.engineEvents, driver);
    this.engines.add(engine);
    this.log.info({ engine: engine.pid, level, restarts, ...(driver && { driver }) }, 'engine started');
    this.events.onEngineStart(engine, false);
    engine.greet().catch((error: unknown) => {
      if (!engine.ended) this.log.warn({ engine: engine.pid, err: error }, 'an engine does not answer');
    });
    return engine;
  }

  /** From now on there is an engine before the first mount asks for one, and it practises meanwhile. */
  keepWarm(practice: Practice): void {
    this.practice = practice;
    this.startWarm();
  }

  private startWarm(): void {
    if (this.practice === undefined || this.closing) return;
    if ([...this.engines].some(({ level, driver, closing }) => level === USUAL_LEVEL && driver === undefined && !closing)) return;
    this.kept = this.startEngine(USUAL_LEVEL, 0);
    void this.practice.run(this.kept);
  }

  // ---- unmounting ------------------------------------------------------------------------------------------------------------------------------

  /**
   * Rejects with MountBusy, and then it is as it was. `lazy`: whoever uses it goes on, nobody else finds it.
   * Resolves with whether the kernel has let go of it; if not, it lingers, and its directories are not to be mounted again.
   */
  async unmount(id: string, lazy: boolean): Promise<{ over: boolean }> {
    let served = this.mounts.get(id);
    for (; served?.state === 'lost'; served = this.mounts.get(id)) await served.recovered;
    if (served === undefined) return { over: true };
    if (served.state === 'lingering') return { over: await happens(served.over, 100) };
    served.state = 'leaving';
    try {
      await this.unmountPoint(served, lazy);
    } catch (error) {
      served.state = 'served';
      if (served.engine.ended) this.recover([served], served.engine);
      throw error;
    }
    if (served.engine.ended) this.forget(served);
    const over = await happens(served.over, lazy ? 300 : OVER_MS);
    if (over) return { over };
    served.state = 'lingering';
    this.closeDevices(served);
    this.log.warn({ mount: served.plan.id, mountpoint: shown(served.point) }, 'unmounted, and still in use');
    return { over };
  }

  private async unmountPoint(served: Served, lazy: boolean): Promise<void> {
    for (const end = Date.now() + 400; ;) {
      const table = mountTable();
      if (!table.some(({ id }) => id === served.mountId)) return; // somebody was faster
      this.refuseCovered(table, served);
      const detach = lazy || served.engine.ended; // whoever uses it gets errors only
      const result = await this.blocking.call('umount', { point: served.point, flags: detach ? MNT_DETACH : 0 });
      if (result >= 0) return;
      if (result === -Errno.EBUSY && !detach) {
        if (Date.now() >= end) throw await this.busy(served);
        await sleep(50); // the end of a process comes a little before the end of what it used
      } else if (result !== -Errno.EINVAL && result !== -Errno.ENOENT) {
        throw new MountFailure(`cannot unmount ${shown(served.point)} (errno ${-result})`);
      } else if (Date.now() >= end) {
        throw new MountFailure(`cannot unmount ${shown(served.point)}: its directory was moved or replaced (errno ${-result})`);
      }
    }
  }

  private refuseCovered(table: readonly MountEntry[], { point, mountId }: Served): void {
    const top = topMount(table, point);
    if (top?.id === mountId) return;
    throw new MountBusy(
      `${shown(point)} is covered by another mount (${top?.type ?? 'moved'}): unmount that one first`,
      [],
      [shown(point)],
    );
  }

  private async busy({ point, mountId, dev }: Served): Promise<MountBusy> {
    const processes = await this.blocking.call('holders', { mountId, dev, elsewhere: false });
    const mounts = mountTable().filter((entry) => entry.id !== mountId && isWithin(entry.point, point));
    const points = mounts.map((entry) => shown(entry.point));
    const reason = points.length > 0 ? `: ${points.join(', ')} ${points.length > 1 ? 'are' : 'is'} mounted on it` : by(processes);
    const remedy = points.length > 0 ? 'unmount that first' : 'end what uses it';
    return new MountBusy(`${shown(point)} is in use${reason}: ${remedy}, or detach it lazily`, processes, points);
  }

  /** Detaches what is mounted at a point, if it is this mount. Never fails: what cannot be detached is logged. */
  private async takeAway(point: string, mountId: number): Promise<void> {
    for (let i = 0; i < 5; i++) {
      const table = mountTable();
      if (!table.some(({ id }) => id === mountId)) return;
      if (topMount(table, point)?.id !== mountId) break;
      const result = await this.blocking.call('umount', { point, flags: MNT_DETACH });
      if (result < 0) this.log.warn({ mountpoint: shown(point), errno: -result }, 'cannot detach a mount');
    }
  }

  /** Detaches every plyfs mount at a point that no engine of ours serves. Returns how many. */
  async detachStale(point: string, isStale: (entry: MountEntry) => boolean | Promise<boolean> = () => true): Promise<number> {
    for (let detached = 0; ; detached++) {
      const top = topMount(mountTable(), point);
      const ours = [...this.mounts.values()].some(({ mountId }) => mountId === top?.id);
      if (top?.type !== PLYFS || ours || !(await isStale(top))) return detached;
      if ((await this.blocking.call('umount', { point, flags: MNT_DETACH })) < 0) return detached;
    }
  }

  // ---- what engines tell -----------------------------------------------------------------------------------------------------------------------

  private readonly engineEvents = {
    onMountEnded: (engine: Engine, index: number): void => this.mountEnded(engine, index),
    onEnd: (engine: Engine, how: string): void => this.engineEnded(engine, how),
  };

  private mountEnded(engine: Engine, index: number): void {
    const served = [...this.mounts.values(), ...this.pending].find((one) => one.engine === engine && one.index === index);
    if (served === undefined) return;
    const { state } = served;
    if (state === 'lost') this.release(served);
    else this.forget(served);
    if (state === 'served' && !this.pending.has(served)) this.events.onGone(served.plan.id);
  }

  /** It is over. */
  private forget(served: Served): void {
    if (this.mounts.get(served.plan.id) === served) this.mounts.delete(served.plan.id);
    this.release(served);
  }

  private release(served: Served): void {
    if (served.released) return;
    const { engine } = served;
    served.released = true;
    this.closeDevices(served);
    served.setOver();
    engine.load--;
    if (engine.load === 0 && !engine.ended) this.stopIdleEngine(engine);
  }

  /** One of a driver that is not our own has had its mount. */
  private stopIdleEngine(engine: Engine): void {
    if (engine === this.kept) return;
    if (engine.driver === undefined) engine.stopSoon(IDLE_ENGINE_MS);
    else void engine.stop(8000);
  }

  private closeDevices(served: Served): void {
    closeAll(served.devices.splice(0));
  }

  private engineEnded(engine: Engine, how: string): void {
    this.engines.delete(engine);
    const victims = [...this.mounts.values()].filter((one) => one.engine === engine);
    for (const served of victims) this.closeDevices(served); // now its requests fail
    const expected = engine.closing;
    if (!expected) this.deathsSoFar++;
    this.log[expected ? 'info' : 'error'](
      { engine: engine.pid, level: engine.level, mounts: victims.length, how },
      expected ? 'engine ended' : 'engine died',
    );
    this.events.onEngineEnd(engine, how, expected);
    const lost: Served[] = [];
    for (const served of victims) {
      if (served.state === 'lingering' || this.closing) this.forget(served);
      else if (served.state === 'served') lost.push(served); // one that is leaving is detached by whoever unmounts it
    }
    if (lost.length > 0) this.recover(this.withDependents(lost), engine);
    else if (expected) this.startWarm(); // one that dies while it practises would do so again
  }

  /** The mounts that lie on lost ones have to be made again too: their directories are gone with them. */
  private withDependents(lost: readonly Served[]): Served[] {
    const all = new Set(lost);
    for (let grown = true; grown;) {
      grown = false;
      for (const served of this.mounts.values()) {
        if (all.has(served) || served.state !== 'served' || ![...all].some(({ dev }) => served.on.includes(dev))) continue;
        all.add(served);
        grown = true;
      }
    }
    return [...all];
  }

  // ---- recovery --------------------------------------------------------------------------------------------------------------------------------

  private recover(lost: readonly Served[], dead: Engine): void {
    const now = Date.now();
    this.deaths.push(now);
    while (now - (this.deaths[0] ?? now) > MINUTE) this.deaths.shift();
    const hopeless = this.deaths.length > DEATHS;
    for (const served of lost) served.state = 'lost';
    const inOrder = [...lost].sort((a, b) => b.level - a.level);
    const done = this.makeAgain(inOrder, dead, hopeless).catch((error: unknown) => {
      this.log.error({ err: error }, 'mounts of an engine that died could not be made again');
    });
    for (const served of lost) served.recovered = done;
  }

  private async makeAgain(lost: readonly Served[], dead: Engine, hopeless: boolean): Promise<void> {
    for (const served of lost) {
      this.closeDevices(served);
      await this.takeAway(served.point, served.mountId);
      if (served.engine !== dead) await happens(served.over, 2000);
    }
    if (!hopeless && !this.closing && dead.driver === undefined) this.startEngine(dead.level, dead.restarts + 1);
    for (const served of [...lost].reverse()) await this.makeOneAgain(served, hopeless);
  }

  private async makeOneAgain(served: Served, hopeless: boolean): Promise<void> {
    const { id } = served.plan;
    this.release(served);
    try {
      if (hopeless) throw new EngineError('the engine dies again and again: see the log, then start it again');
      if (this.closing) throw new EngineError('plyd is ending');
      await this.make(served.plan);
    } catch (error) {
      this.mounts.delete(id);
      this.log.error({ mount: id, mountpoint: shown(served.point), err: error }, 'a mount could not be made again');
      this.events.onFailed(id, error as Error);
      return;
    }
    this.events.onRecovered(id);
  }

  /** Takes over the engines of the plyd before us. */
  async adopt(): Promise<{ found: { engine: Engine; mounts: ListedMount[] }[]; killed: number[] }> {
    const { adopted, killed } = await Engine.adoptAll(this.settings.directory, this.engineEvents);
    const found: { engine: Engine; mounts: ListedMount[] }[] = [];
    for (const engine of adopted) {
      this.engines.add(engine);
      try {
        found.push({ engine, mounts: await engine.list() });
        this.events.onEngineStart(engine, true);
      } catch (error) {
        this.log.warn({ engine: engine.pid, err: error }, 'an adopted engine does not answer');
        await engine.stop(0);
        killed.push(engine.pid);
      }
    }
    return { found, killed };
  }

  /** A mount of an adopted engine is the one that the plan asks for. */
  async adoptMount(plan: Plan, engine: Engine, listed: ListedMount, { dev, on, writes }: Tag, entry: MountEntry): Promise<Served> {
    const { mount: index, mountpoint: point, level } = listed;
    engine.load++;
    const served = makeServed({ plan, engine, index, point, level, mountId: entry.id, dev, on, writes });
    try {
      await this.settle(served);
      return served;
    } catch (error) {
      this.release(served);
      throw error;
    }
  }

  /** An adopted engine still serves what is mounted nowhere any more, since somebody uses it: its upper is not to be mounted again before that is over. */
  async adoptLingering(engine: Engine, listed: ListedMount, { id, mountId, dev, on, writes }: Tag): Promise<void> {
    const { mount: index, mountpoint: point, level } = listed;
    const plan = { id, options: parseOptions('lowerdir=/'), mountpoint: point }; // which nobody is to carry out
    engine.load++;
    const served = makeServed({ plan, engine, index, point, level, mountId, dev, on, writes });
    served.state = 'lingering';
    this.mounts.set(id, served);
    try {
      const isOver = !(await engine.list()).some(({ mount }) => mount === index); // before we listened
      if (isOver) this.forget(served);
      else await happens(served.over, OVER_MS);
    } catch (error) {
      this.log.warn({ engine: engine.pid, err: error }, 'an engine does not say whether a detached mount is still in use: taken as in use');
    }
  }

  /** An adopted engine that serves nothing that is wanted ends. */
  stopIdle(): void {
    for (const engine of this.engines) if (engine.load === 0) this.stopIdleEngine(engine);
  }

  // ---- the end ---------------------------------------------------------------------------------------------------------------------------------

  /** No new mount from now on. Unmounts all, those on top first, and ends the engines. Resolves with the ids of what was unmounted. */
  async shutDown(): Promise<void> {
    this.closing = true;
    await this.practice?.stop();
    const all = [...this.mounts.values()].sort((a, b) => b.level - a.level);
    for (const level of new Set(all.map((one) => one.level))) {
      await Promise.all(all.filter((one) => one.level === level).map((one) => this.unmountForGood(one)));
    }
    await Promise.all([...this.engines].map((engine) => engine.stop(8000)));
  }

  private async unmountForGood({ plan, point, mountId }: Served): Promise<void> {
    try {
      await this.unmount(plan.id, false);
    } catch (error) {
      this.log.warn({ mount: plan.id, mountpoint: shown(point), reason: (error as Error).message }, 'detached, though it is in use');
      await this.takeAway(point, mountId);
    }
  }

  /** The engines go on without us. */
  async leave(): Promise<void> {
    this.closing = true;
    await this.practice?.stop();
    for (const engine of this.engines) engine.leave();
    for (const served of this.mounts.values()) this.closeDevices(served);
  }
}

function makeServed(what: Pick<Served, 'plan' | 'engine' | 'index' | 'point' | 'level' | 'mountId' | 'dev' | 'on' | 'writes'>): Served {
  let setOver = (): void => undefined;
  const over = new Promise<void>((resolve) => (setOver = resolve));
  return { ...what, devices: [], state: 'served', recovered: Promise.resolve(), over, setOver, released: false };
}

/** The plyfs mount at a point, if it is not the one that was there before; else -1. */
function newMount(point: string, before: number | undefined): number {
  const top = topMount(mountTable(), point);
  return top !== undefined && top.type === PLYFS && top.id !== before ? top.id : -1;
}

function closeAll(fds: readonly number[]): void {
  for (const fd of fds) native.close(fd);
}

function by(processes: readonly Holder[]): string {
  if (processes.length === 0) return '';
  const named = processes.slice(0, 5).map(({ pid, command }) => `${command} (pid ${pid})`);
  return ` by ${named.join(', ')}${processes.length > 5 ? ` and ${processes.length - 5} more` : ''}`;
}

/** Did it happen within the time? */
async function happens(event: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), ms)));
  try {
    return await Promise.race([event.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

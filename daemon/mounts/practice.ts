/**
 * Practice for an engine that has nothing to do yet. Its code is interpreted first, and compiled by V8 where it turns out to be hot, in each worker by itself: the
 * first tens of thousands of requests take several times as long as later ones, and whoever starts the first container would wait for that. So plyd has
 * an engine make its first experience with mounts of plyd's own, which are in no tree of mounts (native.fuseMount), on layers of its own (practice-place.ts).
 *
 * It is worth nothing but time: whatever goes wrong ends it, with a line in the log.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { native } from '../../native-bindings/index';
import { usableCpus } from '../engine/privileges';
import type { Log } from '../log';
import type { Blocking } from './blocking';
import { closeDirectories } from './directories';
import type { Engine } from './engine';
import { inTime, sleep } from './in-time';
import { bytes, escaped } from './keeper';
import { type MountOptions, parseOptions } from './options';
import { practiceBases, practicePlace, type PracticePlace } from './practice-place';

/** What a plyfs mounts, what a container has of directories, and of imported layers: what V8 finds out of one kind only, it has to take back at the next. */
const KINDS = ['imported', 'directories', 'shared directories'] as const;
type Kind = (typeof KINDS)[number];

/** Of each kind, for each worker: more of them help little. */
const ROUNDS = 2;
/** A machine that is too busy for that has no use for it. */
const MOST_MS = 10_000;
const ANSWER_MS = 10_000;
/** Each worker loads SQLite when it meets its first imported layer, while it is idle: a request that had to wait for that would look stuck. */
const OPENING_MS = 200;

export class Practice {
  private wanted = false;
  private running: Promise<void> = Promise.resolve();
  /** have workers met an imported layer? */
  private hasOpened = false;

  constructor(
    /** the store's directory */
    private readonly root: string,
    private readonly blocking: Blocking,
    private readonly log: Log,
  ) {}

  /** Resolves when the engine has practised, or need not any more. */
  run(engine: Engine): Promise<void> {
    this.wanted = true;
    this.running = this.tryAll(engine);
    return this.running;
  }

  /** Somebody needs the machine: no further mount. */
  leaveOff(): void {
    this.wanted = false;
  }

  /** The same; resolves when the last mount has gone. */
  async stop(): Promise<void> {
    this.leaveOff();
    await this.running;
  }

  private async tryAll(engine: Engine): Promise<void> {
    const began = performance.now();
    try {
      await engine.greet();
      const place = await practicePlace(this.root);
      const mounts = await this.lessons(engine, place);
      await this.remove(place.writable);
      engine.isWarm = this.wanted;
      this.log.info({ engine: engine.pid, mounts, ms: Math.round(performance.now() - began) }, 'an engine has practised');
    } catch (error) {
      if (!engine.ended) this.log.warn({ engine: engine.pid, err: error }, 'an engine could not practise: its first requests will be slow');
      for (const directory of practiceBases(this.root)) await this.remove(directory); // it may be that, or a full disk: the next one gets another
    }
  }

  private async lessons(engine: Engine, place: PracticePlace): Promise<number> {
    const cpus = usableCpus().slice(0, engine.workers);
    const began = performance.now();
    let done = 0;
    for (let round = 0; round < ROUNDS; round++) {
      for (const cpu of cpus) {
        for (const kind of KINDS) {
          if (!this.wanted || performance.now() - began > MOST_MS) return done;
          await this.lesson(engine, lessonOptions(place, kind), cpu, round % 2 === 0);
          done++;
        }
      }
    }
    return done;
  }

  private async lesson(engine: Engine, options: MountOptions, cpu: number, listsFirst: boolean): Promise<void> {
    const own = [options.upper!, options.work!].map((path) => Buffer.from(path, 'latin1'));
    for (const directory of own) fs.mkdirSync(directory, { recursive: true });
    const { level, device, directories, root } = await this.blocking.call('openLesson', { options });
    const { layers, upper, work, imported } = directories;
    try {
      const request = { options, mountpoint: '', dev: '', writable: true, level, practice: true, name: 'practice' };
      const given = [device, ...layers, ...(imported ? [imported.objects] : []), upper, work];
      await inTime(engine.channel.ask({ type: 'mount', ...request, ...(imported && { imported: imported.ids }) }, given), ANSWER_MS);
    } catch (error) {
      native.close(root);
      throw error;
    } finally {
      native.close(device);
      closeDirectories(directories);
    }
    if (imported !== undefined && !this.hasOpened) await sleep(OPENING_MS);
    this.hasOpened ||= imported !== undefined;
    await this.blocking.call('practise', { root, cpu, listsFirst });
  }

  private async remove(directory: string): Promise<void> {
    try {
      await fs.promises.rm(directory, { recursive: true, force: true });
    } catch (error) {
      this.log.warn({ directory, err: error }, 'what an engine practised on cannot be removed');
    }
  }
}

let serial = 0;

/**
 * Each mount writes to directories of its own. The device will do: the way from a request to its answer is the same, and who waits in a ring may have to wait
 * for V8's compilers (engine/wandering.ts).
 */
function lessonOptions(place: PracticePlace, kind: Kind): MountOptions {
  const lowers = kind === 'imported' ? place.imported.map(({ path }) => path) : place.directories;
  const own = join(place.writable, String(++serial));
  const writable = ['upper', 'work'].map((name) => `${name}dir=${escaped(join(own, name))}`);
  const options = parseOptions(['volatile', 'transport=dev', `lowerdir=${lowers.map(escaped).join(':')}`, ...writable].join(','));
  if (kind === 'directories') return options;
  const store = { objects: bytes(place.objects), ids: place.imported.map(({ id }) => id) };
  return { ...options, share: true, ...(kind === 'imported' && { imported: store }) };
}

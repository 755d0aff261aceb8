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
import { practiceBase, practicePlace, type PracticePlace } from './practice-place';

/** Of each kind of layer, for each worker: as many as it takes until more of them help no further. */
const ROUNDS = 3;
/** A machine that is too busy for that has no use for it. */
const MOST_MS = 10_000;
const ANSWER_MS = 10_000;
/** Each worker loads SQLite when it meets its first imported layer, while it is idle: a request that had to wait for that would look stuck. */
const OPENING_MS = 200;

export class Practice {
  private wanted = false;
  private running: Promise<void> = Promise.resolve();
  private serial = 0;

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
      await this.remove(practiceBase(this.root)); // it may be that: the next one gets another
    }
  }

  private async lessons(engine: Engine, place: PracticePlace): Promise<number> {
    const cpus = usableCpus().slice(0, engine.workers);
    const began = performance.now();
    let done = 0;
    for (let round = 0; round < ROUNDS; round++) {
      for (const cpu of cpus) {
        for (const imported of [true, false]) {
          if (!this.wanted || performance.now() - began > MOST_MS) return done;
          await this.lesson(engine, place, imported, cpu, round % 2 === 0);
          done++;
        }
      }
    }
    return done;
  }

  private async lesson(engine: Engine, place: PracticePlace, imported: boolean, cpu: number, listsFirst: boolean): Promise<void> {
    const own = join(place.writable, String(++this.serial));
    for (const directory of ['upper', 'work']) fs.mkdirSync(join(own, directory), { recursive: true });
    const options = lessonOptions(place, imported, own);
    const isFirst = this.serial === 1;
    const { level, device, directories, root } = await this.blocking.call('openLesson', { options });
    const { layers, upper, work, imported: store } = directories;
    try {
      const request = { options, mountpoint: '', dev: '', writable: true, level, practice: true, name: 'practice' };
      const given = [device, ...layers, ...(store ? [store.objects] : []), upper, work];
      await inTime(engine.channel.ask({ type: 'mount', ...request, ...(store && { imported: store.ids }) }, given), ANSWER_MS);
    } catch (error) {
      native.close(root);
      throw error;
    } finally {
      native.close(device);
      closeDirectories(directories);
    }
    if (isFirst) await sleep(OPENING_MS);
    await this.blocking.call('practise', { root, cpu, listsFirst });
    await this.remove(own);
  }

  private async remove(directory: string): Promise<void> {
    try {
      await fs.promises.rm(directory, { recursive: true, force: true });
    } catch (error) {
      this.log.warn({ directory, err: error }, 'what an engine practised on cannot be removed');
    }
  }
}

function lessonOptions(place: PracticePlace, imported: boolean, own: string): MountOptions {
  const lowers = imported ? place.imported.map(({ path }) => path) : place.directories;
  const places = [
    `lowerdir=${lowers.map(escaped).join(':')}`,
    ...['upper', 'work'].map((name) => `${name}dir=${escaped(join(own, name))}`),
  ];
  const options = { ...parseOptions(['volatile', ...places].join(',')), share: true };
  return imported ? { ...options, imported: { objects: bytes(place.objects), ids: place.imported.map(({ id }) => id) } } : options;
}

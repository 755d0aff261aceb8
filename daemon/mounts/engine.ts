/** An engine of the daemon's: started by us, or by the plyd before us and adopted. */
import fs from 'node:fs';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import type { CountedMount, CountedTimes, ListedMount } from '../engine/control';
import type { OtherDriver } from './drivers';
import { EngineChannel, EngineError, EngineGone } from './engine-channel';
import { DRIVER_MAINS, EngineProcess } from './engine-process';
import { inTime, sleep } from './in-time';
import { meet } from './meet';

/** A little less than the engine's own limit. */
const MOST_MOUNTS = 250;
const ADOPT_MS = 5000;

export interface EngineSettings {
  /** where each engine's rendezvous is, and what is known of it */
  directory: string;
  workers?: number;
  transport?: string;
  logLevel: string;
  /** descriptor that it logs to, or what gets its lines */
  log: number | Writable;
  label: string;
}

export interface EngineEvents {
  onMountEnded: (engine: Engine, mount: number) => void;
  /** `how` it ended; told once */
  onEnd: (engine: Engine, how: string) => void;
}

/** What a plyd that comes later needs to know; `start` tells a process from a later one with the same pid. */
interface EngineRecord {
  pid: number;
  start: string;
  level: number;
  driver?: OtherDriver;
}

export class Engine {
  /** mounts that it serves, or is about to */
  load = 0;
  /** it takes no further mount */
  closing = false;
  ended = false;
  /** it has practised (practice.ts) */
  isWarm = false;
  workers = 0;
  startedAt = new Date();
  private stopTimer: NodeJS.Timeout | undefined;

  private constructor(
    readonly pid: number,
    readonly level: number,
    readonly restarts: number,
    readonly channel: EngineChannel,
    private readonly start: string,
    private readonly file: string,
    /** of an engine that is our child */
    readonly exit: Promise<number | string> | undefined,
    /** not plyfs's own */
    readonly driver: OtherDriver | undefined,
  ) {}

  get hasRoom(): boolean {
    return !this.closing && !this.ended && this.load < (this.driver === undefined ? MOST_MOUNTS : 1);
  }

  /** Starts one. It answers when it is ready; if it dies before, whoever asked it something is told. */
  static spawn(settings: EngineSettings, level: number, restarts: number, events: EngineEvents, driver?: OtherDriver): Engine {
    const name = `${level}-${process.pid}-${Date.now().toString(36)}${Math.floor(Math.random() * 1e6).toString(36)}`;
    const file = join(settings.directory, name);
    const { workers, transport, logLevel, log, label } = settings;
    const child = new EngineProcess(
      {
        foreground: false,
        supervised: true,
        rendezvous: `${file}.sock`,
        logLevel,
        log,
        label,
        ...(driver === undefined
          ? { ...(workers !== undefined && { workers }), ...(transport !== undefined && { transport }) }
          : { program: DRIVER_MAINS[driver] }),
      },
      {
        onMountEnded: (mount) => events.onMountEnded(engine, mount),
        onEnd: () => void engine.tellEnd(events),
      },
    );
    if (child.pid === undefined) {
      child.channel.close();
      throw new EngineError('cannot start an engine process: is there memory, and are there processes to be had?');
    }
    const start = startOf(child.pid) ?? '';
    const engine = new Engine(child.pid, level, restarts, child.channel, start, file, child.ended, driver);
    void child.ended.then(() => engine.tellEnd(events));
    fs.writeFileSync(`${file}.json`, JSON.stringify({ pid: child.pid, start, level, ...(driver && { driver }) } satisfies EngineRecord), {
      mode: 0o600,
    });
    return engine;
  }

  /**
   * Engines that a plyd before us left: those that answer are ours from now on, the others are killed. Resolves when there is no other one left.
   */
  static async adoptAll(directory: string, events: EngineEvents): Promise<{ adopted: Engine[]; killed: number[] }> {
    const adopted: Engine[] = [];
    const killed: number[] = [];
    const known = new Set<string>();
    for (const name of fs.readdirSync(directory)) {
      if (!name.endsWith('.json')) continue;
      const file = join(directory, name.slice(0, -'.json'.length));
      const record = readRecord(`${file}.json`);
      if (record !== undefined && startOf(record.pid) === record.start) {
        const engine = await Engine.adopt(file, record, events);
        if (engine !== undefined) {
          adopted.push(engine);
          known.add(`${file}.json`).add(`${file}.sock`);
          continue;
        }
        await killAndWait(record);
        killed.push(record.pid);
      }
    }
    for (const name of fs.readdirSync(directory)) {
      if (!known.has(join(directory, name))) fs.rmSync(join(directory, name), { force: true });
    }
    return { adopted, killed };
  }

  private static async adopt(file: string, record: EngineRecord, events: EngineEvents): Promise<Engine | undefined> {
    let engine: Engine | undefined;
    let channel: EngineChannel | undefined;
    try {
      channel = new EngineChannel(await meet(`${file}.sock`, ADOPT_MS), {
        onMountEnded: (mount) => events.onMountEnded(engine!, mount),
        onEnd: () => {
          channel?.fail(new EngineGone('the engine has ended'));
          void engine?.tellEnd(events);
        },
      });
      engine = new Engine(record.pid, record.level, 0, channel, record.start, file, undefined, record.driver);
      await engine.greet();
      return engine;
    } catch {
      if (engine !== undefined) engine.ended = true; // who is told of no beginning is told of no end
      channel?.close();
      return undefined;
    }
  }

  async greet(): Promise<void> {
    const { hello } = await inTime(this.channel.ask({ type: 'hello' }), ADOPT_MS);
    if (hello === undefined || hello.pid !== this.pid) throw new EngineError('another process answered');
    this.workers = hello.workers;
    this.startedAt = new Date(hello.startedAt);
  }

  async list(): Promise<ListedMount[]> {
    const all: ListedMount[] = [];
    for (;;) {
      const { mounts = [], more = false } = await inTime(this.channel.ask({ type: 'list', after: all.at(-1)?.mount ?? -1 }), ADOPT_MS);
      all.push(...mounts);
      if (!more || mounts.length === 0) return all;
    }
  }

  async counted(): Promise<{ counted: CountedMount[]; times: CountedTimes[] }> {
    const { counted = [], times = [], more } = await inTime(this.channel.ask({ type: 'stats' }), ADOPT_MS);
    for (let goOn = more; goOn === true;) {
      const next = await inTime(this.channel.ask({ type: 'stats', after: counted.at(-1)?.mount ?? -1 }), ADOPT_MS);
      counted.push(...(next.counted ?? []));
      goOn = next.more;
    }
    return { counted, times };
  }

  /** Duplicates of a mount's device descriptors, ours to close. */
  async devices(mount: number): Promise<number[]> {
    return (await this.channel.ask({ type: 'devices', mount })).descriptors;
  }

  /** Has it unmount all and end; kills it when it does not. Resolves when it is gone. */
  async stop(graceMs: number): Promise<void> {
    this.closing = true;
    this.cancelStop();
    await this.channel.ask({ type: 'stop' }).catch(() => undefined); // gone already
    if (!(await this.isGone(graceMs))) await killAndWait({ pid: this.pid, start: this.start });
    this.removeFiles();
  }

  /** Stops it when nothing has come after a while. */
  stopSoon(ms: number): void {
    this.cancelStop();
    this.stopTimer = setTimeout(() => {
      if (this.load === 0) void this.stop(5000);
    }, ms);
    this.stopTimer.unref();
  }

  cancelStop(): void {
    clearTimeout(this.stopTimer);
  }

  /** It goes on serving what it serves, and takes a new daemon at its rendezvous. */
  leave(): void {
    this.ended = true; // for us
    this.cancelStop();
    this.channel.close();
  }

  private removeFiles(): void {
    for (const ending of ['.json', '.sock']) fs.rmSync(`${this.file}${ending}`, { force: true });
  }

  private async isGone(ms: number): Promise<boolean> {
    for (const end = Date.now() + ms; Date.now() < end;) {
      if (startOf(this.pid) !== this.start) return true;
      await sleep(10);
    }
    return false;
  }

  private async tellEnd(events: EngineEvents): Promise<void> {
    if (this.ended) return;
    this.ended = true;
    this.cancelStop();
    this.channel.fail(new EngineGone('the engine has ended'));
    this.channel.close();
    this.removeFiles();
    const how = this.exit === undefined ? undefined : await inTime(this.exit, 1000).catch(() => undefined);
    events.onEnd(this, how === undefined ? 'it is gone' : typeof how === 'number' ? `status ${how}` : how);
  }
}

function readRecord(file: string): EngineRecord | undefined {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8')) as EngineRecord;
  } catch {
    return undefined; // half written, when plyd was killed: then it served nothing yet, and ends by itself
  }
}

/** When a process was started, in clock ticks since the boot; undefined: there is none, or only its remains. */
function startOf(pid: number): string | undefined {
  try {
    const fields = fs
      .readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

async function killAndWait({ pid, start }: { pid: number; start: string }): Promise<void> {
  for (let i = 0; i < 500 && startOf(pid) === start; i++) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      return; // it has just ended
    }
    await sleep(10);
  }
}

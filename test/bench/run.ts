/** Runs rows: rounds over systems, in turns, each measurement in a place of its own. */
import fs from 'node:fs';
import path from 'node:path';
import { type Bench, Place, settle } from './bench.js';
import { LIMIT_MS, type Row, type System, Unavailable, type Values } from './contract.js';
import { NoiseMeter } from './noise.js';
import { Stopped, allowCommands, cpuSeconds, stopAll } from './processes.js';
import { type Note, type Processor, type RowResult, evaluateRow } from './results.js';
import { type Summary, median, summary } from './statistics.js';
import { isUring } from './systems.js';

export interface RunSettings {
  runs: number;
  systems: readonly System[];
  /** a reason for each system that cannot be measured at all */
  unavailable: Partial<Record<System, string>>;
  /** before each measurement that needs it */
  switchUringOn: () => void;
}

/** Settles as the work does, but not later than its limit; then the commands that it waits for are killed. */
async function limited<T>(work: Promise<T>, limitMs: number, what: string): Promise<T> {
  let late = false;
  let expire: ((error: Error) => void) | undefined;
  const expired = new Promise<never>((_, reject) => (expire = reject));
  const timer = setTimeout(() => {
    late = true;
    stopAll(`${what}: no end within ${limitMs / 1000} s`);
    setTimeout(() => expire?.(new Error(`${what}: no end within ${limitMs / 1000} s`)), 5000);
  }, limitMs);
  try {
    return await Promise.race([work, expired]);
  } catch (error) {
    if (!late) throw error;
    allowCommands();
    throw new Error(`${what}: no end within ${limitMs / 1000} s`);
  } finally {
    clearTimeout(timer);
  }
}

function busySeconds(): number {
  const [user, nice, system, , , irq, softirq] = fs.readFileSync('/proc/stat', 'latin1').split('\n')[0].split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) / 100;
}

/** The measurements of one row, as they come in. */
class RowRun {
  private readonly samples: Partial<Record<System, Values[]>> = {};
  private readonly processors: Partial<Record<System, Processor[]>> = {};
  private readonly notes: Note[] = [];
  private readonly remarks = new Set<string>();
  private readonly dropped = new Set<System>();

  constructor(
    private readonly bench: Bench,
    private readonly row: Row,
    private readonly noise: NoiseMeter,
    private readonly settings: RunSettings,
    private readonly isInterrupted: () => boolean,
  ) {
    for (const system of row.systems) this.offer(system);
  }

  private offer(system: System): void {
    const reason = this.settings.unavailable[system];
    if (reason === undefined && this.settings.systems.includes(system)) return;
    this.dropped.add(system);
    // What holds for all rows is said once, at the end.
  }

  private note(error: unknown, system?: System): void {
    if (error instanceof Stopped) return;
    const text = error instanceof Error ? error.message : String(error);
    this.notes.push({ ...(system !== undefined && { system }), failed: !(error instanceof Unavailable), text });
    if (system !== undefined) this.dropped.add(system);
  }

  async run(): Promise<RowResult> {
    const began = Date.now();
    this.noise.beginRow();
    const place = new Place(this.bench, 'bare', path.join(this.bench.directory, this.row.name));
    try {
      const shared = await limited(this.row.setup(this.bench, place), 30 * 60_000, 'setup');
      await this.rounds(shared);
    } catch (error) {
      this.note(error);
    }
    await this.leave(place);
    return this.result((Date.now() - began) / 1000);
  }

  private async rounds(shared: unknown): Promise<void> {
    const runs = Math.min(this.settings.runs, this.row.mostRuns ?? Infinity);
    for (let round = 0; round < runs; round++) {
      for (let turn = 0; turn < this.row.systems.length; turn++) {
        const system = this.row.systems[(turn + round) % this.row.systems.length];
        if (this.isInterrupted()) return;
        if (!this.dropped.has(system)) await this.once(system, round, shared);
      }
    }
  }

  private async once(system: System, round: number, shared: unknown): Promise<void> {
    this.bench.say(`${this.row.name}: ${system}, ${round + 1}`);
    const place = new Place(this.bench, system, path.join(this.bench.directory, `${this.row.name}-${system}-${round}`));
    try {
      await this.measure(place, shared);
    } catch (error) {
      this.note(error, system);
    }
    await this.leave(place);
  }

  private async leave(place: Place): Promise<void> {
    for (const remark of place.remarks) this.remarks.add(remark);
    await place.takeAway().catch((error: unknown) => this.note(error, place.system));
  }

  private async measure(place: Place, shared: unknown): Promise<void> {
    const limitMs = this.row.limitMs ?? LIMIT_MS;
    if (isUring(place.system)) this.settings.switchUringOn();
    const prepared = await limited(this.row.prepare(place, shared), limitMs, 'prepare');
    try {
      await settle();
      await this.noise.sample();
      const [servers, before, busy] = [place.servers(), cpuSeconds(place.servers()), busySeconds()];
      const values = await limited(this.row.measure(place, prepared, shared), limitMs, 'measure');
      const after = cpuSeconds(servers);
      (this.samples[place.system] ??= []).push(values);
      (this.processors[place.system] ??= []).push({
        serverUser: Math.max(0, after.user - before.user),
        serverSystem: Math.max(0, after.system - before.system),
        busy: busySeconds() - busy,
      });
    } finally {
      await this.row.cleanup?.(place, prepared);
    }
  }

  private result(seconds: number): RowResult {
    const { name, title, figures, systems } = this.row;
    const found: Record<string, Partial<Record<System, Summary>>> = {};
    for (const { key } of figures) {
      found[key] = {};
      for (const system of systems) {
        const values = (this.samples[system] ?? []).map((one) => one[key]).filter((value) => value !== undefined);
        if (values.length > 0) found[key][system] = summary(values);
      }
    }
    const processor: Partial<Record<System, Processor>> = {};
    for (const [system, list] of Object.entries(this.processors)) {
      const of = (key: keyof Processor): number => median(list.map((one) => one[key]));
      processor[system as System] = { serverUser: of('serverUser'), serverSystem: of('serverSystem'), busy: of('busy') };
    }
    const [notes, remarks] = [this.notes, [...this.remarks]];
    return { name, title, figures: evaluateRow(figures, found), processor, notes, remarks, noise: this.noise.endRow(), seconds };
  }
}

export async function runRow(
  bench: Bench,
  row: Row,
  noise: NoiseMeter,
  settings: RunSettings,
  isInterrupted: () => boolean,
): Promise<RowResult> {
  return new RowRun(bench, row, noise, settings, isInterrupted).run();
}

/** What engines have counted, of all mounts; and whether plyd can do its work. */
import fs from 'node:fs';
import { join } from 'node:path';
import type { OperationTimes, Stats } from '../api/types';
import type { Catalog } from '../store';
import type { Engine } from './engine';
import { inTime } from './in-time';
import type { Supervisor } from './supervisor';

type Counted = Awaited<ReturnType<Engine['counted']>>;

/** Engines that do not answer (they hang, or were started by an older plyd that knew nothing of this) are in the answer, without mounts. */
export async function collectStatistics(supervisor: Supervisor, catalog: Catalog): Promise<Stats> {
  const engines = supervisor.running;
  const answers = await Promise.all(engines.map((engine) => engine.counted().catch(() => undefined)));
  const rows = new Map(catalog.mounts.all().map((row) => [row.id, row]));
  const mounts = answers
    .flatMap((answer) => answer?.counted ?? [])
    .flatMap((one) => {
      const row = rows.get(idOf(one.tag) ?? '');
      return row === undefined ? [] : [mountStats(row, one)];
    });
  return {
    time: new Date().toISOString(),
    engines: engines.map(({ pid, level, workers, load, restarts }, i) => ({
      pid,
      level,
      workers,
      mounts: load,
      restarts,
      answers: answers[i] !== undefined,
    })),
    engineDeaths: supervisor.deathsSoFar,
    mounts,
    times: together(answers),
  };
}

function idOf(tag: string | undefined): string | undefined {
  return tag === undefined ? undefined : (JSON.parse(tag) as { id: string }).id;
}

function mountStats(
  row: { id: string; mountpoint: string; container: string | null },
  counted: Counted['counted'][number],
): Stats['mounts'][number] {
  const { operations, opensPassthrough, opensServed, lookupHits, nodesRead, directoriesRead, copiedFiles, copiedBytes, times } = counted;
  return {
    id: row.id,
    mountpoint: row.mountpoint,
    container: row.container,
    operations,
    opens: { passthrough: opensPassthrough, served: opensServed },
    lookups: { all: operations['LOOKUP'] ?? 0, hits: lookupHits },
    nodesRead,
    directoriesRead,
    copiedUp: { files: copiedFiles, bytes: copiedBytes },
    times: times ?? [],
  };
}

/** Of all engines, by operation. */
function together(answers: readonly (Counted | undefined)[]): OperationTimes[] {
  const found = new Map<string, OperationTimes>();
  for (const { operation, buckets, sumMs } of answers.flatMap((answer) => answer?.times ?? [])) {
    const known = found.get(operation) ?? { operation, buckets: buckets.map(() => 0), sumMs: 0 };
    buckets.forEach((count, i) => (known.buckets[i] += count));
    known.sumMs += sumMs;
    found.set(operation, known);
  }
  return [...found.values()].sort((a, b) => (a.operation < b.operation ? -1 : 1));
}

const STORE_MS = 5000;

/** Why plyd cannot do its work now: nothing, when it can. */
export async function hindrances(supervisor: Supervisor, catalog: Catalog): Promise<string[]> {
  const found: string[] = [];
  try {
    catalog.counts();
  } catch (error) {
    found.push(`the catalog cannot be read: ${(error as Error).message}`);
  }
  const { R_OK, W_OK, X_OK } = fs.constants;
  for (const name of ['containers', 'layers', 'engines']) {
    const directory = join(catalog.root, name);
    await inTime(fs.promises.access(directory, R_OK | W_OK | X_OK), STORE_MS).catch((error: unknown) =>
      found.push(`the store's ${directory} cannot be used: ${(error as Error).message}`),
    );
  }
  for (const engine of supervisor.running) {
    await engine.greet().catch((error: unknown) => {
      if (!engine.ended) found.push(`engine ${engine.pid} does not answer: ${(error as Error).message}`);
    });
  }
  for (const mount of supervisor.lost) found.push(`${mount} is being mounted again, as its engine has died`);
  return found;
}

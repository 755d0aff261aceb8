/** The process in which a scenario is played: `node stage.js FILE SCENARIO THREADS ARGS`; prints what was counted as JSON. See scenario.ts. */
import path from 'node:path';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { native } from '../../native-bindings/index';
import { Memory } from '../../daemon/overlay/table/memory';
import { Table } from '../../daemon/overlay/table/table';
import { Limits } from '../../daemon/overlay/table/layout';
import { assert, type Scenario } from './scenario';

interface Part {
  file: string;
  name: string;
  thread: number;
  threads: number;
  shared: Record<string, number>;
  /** word index: how many threads are ready */
  barrier: number;
}

function find(file: string, name: string): Scenario {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- which one is known only now
  const module = require(path.join(__dirname, file)) as { scenarios: Record<string, Scenario> };
  const scenario = module.scenarios[name];
  assert(scenario !== undefined, () => `${file} has no scenario ${name}`);
  return scenario;
}

function take(part: Part): void {
  const memory = new Memory();
  const table = new Table(memory, part.thread);
  const scenario = find(part.file, part.name);
  Atomics.add(memory.i32, part.barrier, 1);
  native.futexWake(part.barrier * 4, part.threads);
  for (let ready; (ready = Atomics.load(memory.i32, part.barrier)) < part.threads;) native.futexWait(part.barrier * 4, ready, -1);
  parentPort?.postMessage(scenario.run?.(table, part.thread, part.shared) ?? {});
}

async function direct(): Promise<void> {
  const [file, name, threadsText, argsText] = process.argv.slice(2);
  const threads = Number(threadsText);
  const scenario = find(file, name);
  const memory = Memory.create(scenario.mebibytes ?? 256);
  const table = new Table(memory, Limits.MAX_WORKERS - 1);
  const barrier = memory.takePages(1) / 4;
  const shared = scenario.setup(table, JSON.parse(argsText) as Record<string, number>);
  const counted: Record<string, number> = {};
  const count = (numbers: Record<string, number> | undefined): void => {
    for (const [key, value] of Object.entries(numbers ?? {})) counted[key] = (counted[key] ?? 0) + value;
  };
  await Promise.all(
    Array.from({ length: threads }, async (_, thread) => {
      const part: Part = { file, name, thread, threads, shared, barrier };
      const worker = new Worker(__filename, { workerData: part });
      await new Promise<void>((resolve, reject) => {
        worker.on('message', count);
        worker.on('error', reject);
        worker.on('exit', () => resolve());
      });
    }),
  );
  count(scenario.check?.(table, shared, counted));
  process.stdout.write(JSON.stringify(counted));
}

if (isMainThread) {
  direct().catch((error: unknown) => {
    process.stderr.write(error instanceof Error ? (error.stack ?? error.message) : String(error));
    native.exitNow(1); // the other threads may sleep in a futex, and process.exit would wait for them
  });
} else {
  take(workerData as Part);
}

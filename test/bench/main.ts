/** `make bench`: see docs/performance.md, and options.ts for the command line. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { mounts } from '../support/mounts.js';
import { type Bench, cached, remove } from './bench.js';
import { buildProgram, Client } from './client.js';
import type { Row, System } from './contract.js';
import { writeDocs } from './docs.js';
import { whyNoFuseNative } from './fuse-native.js';
import { NoiseMeter } from './noise.js';
import { HELP, type Options, UsageError, readOptions, repository } from './options.js';
import { MARK, allowCommands, commandLine, stopAll } from './processes.js';
import { writeHtml } from './report-html.js';
import { closing, rowText, tableHead } from './report-table.js';
import { merged, type Report, reportOf, type RowResult } from './results.js';
import { rows } from './rows/index.js';
import { runRow } from './run.js';
import { switchUringOn, whyNoTransport, whyNoUring } from './uring.js';

let interrupted = false;

function say(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

function quietLine(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
}

function onSignal(signal: NodeJS.Signals): void {
  if (interrupted) process.exit(130); // the janitor takes away what is left
  interrupted = true;
  quietLine();
  console.error(`${signal}: cleaning up`);
  stopAll(`interrupted by ${signal}`);
}

function chosenRows(names: readonly string[] | undefined): readonly Row[] {
  if (names === undefined) return rows.filter(({ onRequest }) => onRequest !== true);
  const unknown = names.find((name) => !rows.some((row) => row.name === name));
  if (unknown !== undefined) throw new UsageError(`there is no row ${unknown}: make bench ROW=list shows those there are`);
  return rows.filter(({ name }) => names.includes(name));
}

/** One run at a time, on the machine's account: two would measure each other. */
function lock(directory: string): void {
  const file = path.join(directory, 'lock');
  const holder = fs.existsSync(file) ? Number(fs.readFileSync(file, 'utf8')) : 0;
  if (holder > 0 && holder !== process.pid && commandLine(holder).includes('bench/main.js')) {
    throw new UsageError(`make bench runs already, as process ${holder}`);
  }
  fs.writeFileSync(file, String(process.pid));
  process.on('exit', () => fs.rmSync(file, { force: true }));
}

/** It outlives us, and ends when we do: see scripts/bench-janitor. Its environment has no mark. */
function startJanitor(directory: string): ChildProcess {
  const args = [directory, MARK];
  const janitor = spawn(path.join(repository, 'scripts/bench-janitor'), args, { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  janitor.stdin?.on('error', () => undefined); // said below
  janitor.on('error', (error) => console.error(`bench: no janitor: ${error.message}`));
  return janitor;
}

/**
 * make starts us in a mount namespace of our own. It began as a copy, with the mounts of everybody who works on this machine; we would keep them in use
 * for hours. FUSE and overlay mounts of others go; in their namespaces they stay.
 */
function leaveOthersMounts(): void {
  const namespace = (pid: number | 'self'): string => fs.readlinkSync(`/proc/${pid}/ns/mnt`);
  if (namespace('self') === namespace(process.ppid)) return;
  for (const { point, type } of mounts().reverse()) {
    if (type === 'overlay' || (type.startsWith('fuse') && type !== 'fusectl'))
      spawnSync('umount', ['-l', '--no-canonicalize', point], { timeout: 10_000 });
  }
}

function said(file: string, ...args: string[]): string {
  try {
    return execFileSync(file, args, { encoding: 'utf8', timeout: 30_000, stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return 'unknown';
  }
}

function machine(options: Options): Record<string, string> {
  const git = (...args: string[]): string => said('git', '-C', path.dirname(fs.realpathSync(options.plyfs)), ...args);
  return {
    kernel: os.release(),
    CPU: `${os.availableParallelism()} × ${os.cpus()[0]?.model.trim() ?? 'unknown'}`,
    memory: `${(os.totalmem() / 2 ** 30).toFixed(0)} GiB`,
    'file system': said('findmnt', '--noheadings', '--first-only', '--output', 'FSTYPE', '--target', options.directory),
    'Node.js': process.version,
    plyfs: `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain', '--untracked-files=no') === '' ? '' : ' with changes'}`,
    'fuse-overlayfs': /^fuse-overlayfs: version (\S+)/m.exec(said('fuse-overlayfs', '--version'))?.[1] ?? 'unknown',
  };
}

async function makeBench(options: Options): Promise<Bench> {
  const cache = path.join(options.directory, 'cache');
  fs.mkdirSync(cache, { recursive: true });
  const directory = path.join(options.directory, `run-${process.pid}`);
  fs.mkdirSync(directory);
  return {
    client: await Client.build(cache),
    floor: await buildProgram(cache, 'floor'),
    cache,
    directory,
    scale: options.scale,
    programs: { plyfs: options.plyfs, plyd: options.plyd },
    alone: options.alone,
    amount: (full, least = 1) => Math.max(least, Math.round(full * options.scale)),
    cached: (name, make) => {
      if (!fs.existsSync(path.join(cache, name))) say(`making ${name}`);
      return cached(cache, name, make);
    },
    say,
  };
}

function save(report: Report, out: string): void {
  fs.mkdirSync(out, { recursive: true });
  fs.writeFileSync(path.join(out, 'results.json.new'), `${JSON.stringify(report, null, 1)}\n`);
  fs.renameSync(path.join(out, 'results.json.new'), path.join(out, 'results.json'));
  writeHtml(report, path.join(out, 'report.html'));
}

async function measure(options: Options, chosen: readonly Row[], janitor: ChildProcess): Promise<Report> {
  const unavailable: Partial<Record<System, string>> = {};
  const noUring = options.systems.includes('uring') ? (whyNoUring() ?? whyNoTransport(options.plyfs)) : 'not asked for';
  if (noUring !== undefined) unavailable.uring = noUring;
  const noFloor = whyNoUring();
  if (noFloor !== undefined) unavailable.floor = noFloor;
  const noFuseNative = options.systems.includes('fuse-native') ? whyNoFuseNative() : 'not asked for';
  if (noFuseNative !== undefined) unavailable['fuse-native'] = noFuseNative;
  const bench = await makeBench(options);
  const tell = (before: string): boolean | undefined => janitor.stdin?.write(`${before}\n`);
  const noise = new NoiseMeter(bench.client);
  const began = Date.now();
  const results: RowResult[] = [];
  const about = machine(options);
  const report = (): Report => ({
    started: new Date(began).toISOString(),
    seconds: (Date.now() - began) / 1000,
    machine: about,
    runs: options.runs,
    scale: options.scale,
    ...(noUring !== undefined && { noUring }),
    ...(noFuseNative !== undefined && { noFuseNative }),
    interrupted,
    rows: results,
  });
  try {
    console.log(tableHead());
    for (const row of chosen) {
      if (interrupted) break;
      const result = await runRow(
        bench,
        row,
        noise,
        { ...options, unavailable, switchUringOn: () => switchUringOn(tell) },
        () => interrupted,
      );
      quietLine();
      console.log(rowText(result));
      results.push(result);
      save(report(), options.out); // what is measured is not lost, whatever comes
    }
  } finally {
    allowCommands();
    await remove(bench.directory);
  }
  return report();
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) return print(HELP);
  if (options.rows?.includes('list') === true) {
    return print(rows.map((row) => `${row.name.padEnd(22)} ${row.title}${row.onRequest === true ? ' (only when named)' : ''}\n`).join(''));
  }
  const report = options.from === undefined ? await run(options) : readReports(options.from);
  if (options.from !== undefined) console.log([tableHead(), ...report.rows.map(rowText)].join('\n'));
  console.log(closing(report));
  if (report.rows.length > 0) save(report, options.out);
  console.log(`${path.join(options.out, 'results.json')}, ${path.join(options.out, 'report.html')}`);
  if (options.docs) writeDocs(report, path.join(repository, 'docs/performance.md'));
  if (interrupted) return 130;
  return report.rows.some(({ notes }) => notes.some(({ failed }) => failed)) ? 1 : 0;
}

function readReports(files: readonly string[]): Report {
  const reports = files.map((file) => {
    if (!fs.existsSync(file)) throw new UsageError(`--from: ${file} does not exist`);
    const report = reportOf(fs.readFileSync(file, 'utf8'));
    if (report === undefined) throw new UsageError(`--from: ${file} is no results.json of a run`);
    return report;
  });
  if (reports.length === 0) throw new UsageError('--from takes the results.json of one run or more');
  return merged(
    reports,
    rows.map(({ name }) => name),
  );
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

/** FUSE_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC */
const CANNOT_HOLD_UPPERS = [0x65735546, 0x794c7630];

async function run(options: Options): Promise<Report> {
  const chosen = chosenRows(options.rows);
  if (process.geteuid?.() !== 0) throw new UsageError('mounting needs root');
  if (!fs.existsSync(options.plyfs)) throw new UsageError(`${options.plyfs} does not exist: make build`);
  fs.mkdirSync(options.directory, { recursive: true });
  if (CANNOT_HOLD_UPPERS.includes(fs.statfsSync(options.directory).type)) {
    throw new UsageError(`${options.directory} is on an overlay or FUSE mount, which cannot hold the kernel's uppers: choose another DIR=`);
  }
  leaveOthersMounts();
  lock(options.directory);
  const janitor = startJanitor(path.join(options.directory, `run-${process.pid}`));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  return measure(options, chosen, janitor);
}

main().then(
  (status) => process.exit(status),
  (error: unknown) => {
    quietLine();
    console.error(error instanceof UsageError ? `bench: ${error.message}` : error);
    process.exit(1);
  },
);

// Runs the compiled tests through tap, counts what they assert, and fails when they leave something behind.
//
//   scripts/run-tests [dist/test/….test.js …]       without arguments: all of dist/test
//
//   PLYFS_TEST_LONG=1      the tests look at it: those that take minutes run only then
//   PLYFS_TEST_JOBS=N      files at a time (1; tests that mount or measure want to be alone)
//   PLYFS_TEST_TIMEOUT=S   seconds for one file (900)
//
// A file that asserts nothing fails. The raw TAP is kept in dist/test-results.tap. The last line is exactly `N passed, N failed`; what was left
// behind counts as one failure.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { inspect } from 'node:util';
import { Parser, type Result } from 'tap-parser';

const root = path.resolve(__dirname, '../..');
const RAW_RESULTS = path.join(root, 'dist/test-results.tap');
const SETTLE_MS = 5000; // a lazy unmount and the end of an engine may trail the last test a little

class Counts {
  passed = 0;
  failed = 0;
  skipped = 0;

  get seen(): number {
    return this.passed + this.failed + this.skipped;
  }

  add(other: Counts): void {
    this.passed += other.passed;
    this.failed += other.failed;
    this.skipped += other.skipped;
  }
}

/** The compiled tests whose source still exists: tsc does not take away what a deleted source left in dist. */
function allTests(): string[] {
  return fs
    .readdirSync(path.join(root, 'dist/test'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.js') && fs.existsSync(path.join(root, 'test', file.replace(/\.js$/, '.ts'))))
    .map((file) => path.join('dist/test', file))
    .sort();
}

function report(kind: string, result: Result): void {
  console.log(`  ${kind} ${result.fullname}${result.skip || result.todo ? ` (${String(result.skip || result.todo)})` : ''}`);
  if (kind === 'FAIL' && result.diag) console.log(inspect(result.diag, { depth: 6, breakLength: 140 }).replace(/^/gm, '       '));
}

/**
 * Counts test points, not the summary that closes a subtest: that one counts only when it says what none of its points did (a time-out, an exit
 * status, a wrong plan, a reason to skip all of it).
 */
function count(parser: Parser, counts: Counts): void {
  let inside = new Counts();
  parser.on('child', (child: Parser) => {
    inside = new Counts();
    count(child, inside);
  });
  parser.on('assert', (result: Result) => {
    const own = result.closingTestPoint ? inside : new Counts();
    inside = new Counts();
    if (result.skip || result.todo) {
      if (own.seen === 0) own.skipped++;
      report('skip', result);
    } else if (!result.ok) {
      if (own.failed === 0) {
        own.failed++;
        report('FAIL', result);
      }
    } else if (!result.closingTestPoint) {
      own.passed++;
    }
    counts.add(own);
  });
}

/** The top level of tap's output: one subtest per file. */
function countFiles(parser: Parser, counts: Counts): void {
  let file = new Counts();
  parser.on('child', (child: Parser) => {
    file = new Counts();
    count(child, file);
  });
  parser.on('assert', (result: Result) => {
    if (file.seen === 0 && (!result.skip || result.skip === 'no tests found')) {
      file.failed++;
      console.log(`  FAIL ${result.name} asserts nothing`);
      report('FAIL', result);
    } else if (file.seen === 0) {
      file.skipped++;
      report('skip', result);
    } else if (!result.ok && file.failed === 0) {
      file.failed++;
      report('FAIL', result);
    }
    const skipped = file.skipped > 0 ? `, ${file.skipped} skipped` : '';
    const seconds = result.time ? ` in ${(result.time / 1000).toFixed(1)} s` : '';
    console.log(`${file.failed > 0 ? 'not ok' : 'ok'} ${result.name}: ${file.passed} passed, ${file.failed} failed${skipped}${seconds}`);
    counts.add(file);
    file = new Counts();
  });
}

/** `runtime`: where plyfs finds who serves its mounts. So the machine's own plyd and engines have nothing to do with tests. */
async function runTap(files: string[], counts: Counts, runtime: string): Promise<void> {
  const jobs = process.env['PLYFS_TEST_JOBS'] ?? '1';
  const timeout = process.env['PLYFS_TEST_TIMEOUT'] ?? '900';
  const options = ['--reporter=tap', '--disable-coverage', '--allow-empty-coverage', `--jobs=${jobs}`, `--timeout=${timeout}`];
  const tap = spawn(path.join(root, 'node_modules/.bin/tap'), ['run', ...options, ...files], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, PLY_SOCKET: path.join(runtime, 'ply.sock') },
  });
  const parser = new Parser();
  countFiles(parser, counts);
  const raw = fs.createWriteStream(RAW_RESULTS);
  tap.stdout.on('data', (chunk: Buffer) => {
    raw.write(chunk);
    parser.write(chunk);
  });
  const status = await new Promise<string>((resolve, reject) => {
    tap.on('error', reject);
    tap.on('close', (code, signal) => resolve(signal ?? String(code)));
  });
  parser.end();
  raw.end();
  if (status !== '0' && counts.failed === 0) {
    counts.failed++;
    console.log(`  FAIL tap ended with ${status}, see ${RAW_RESULTS}`);
  }
}

/** What a test could leave behind: one line each. */
function leftovers(): Set<string> {
  const found = new Set<string>();
  for (const line of fs.readFileSync('/proc/mounts', 'utf8').split('\n')) if (line !== '') found.add(`mount: ${line}`);
  for (const pid of fs.readdirSync('/proc')) {
    if (/^\d+$/.test(pid) && Number(pid) !== process.pid) addProcess(pid, found);
  }
  for (const directory of new Set(['/tmp', os.tmpdir()])) {
    for (const name of fs.readdirSync(directory)) if (name.startsWith('plyfs-')) found.add(`file: ${path.join(directory, name)}`);
  }
  return found;
}

function addProcess(pid: string, found: Set<string>): void {
  try {
    const command = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
    if (!/dist\/daemon|dist\/bin\/ply/.test(command)) return;
    const started = fs
      .readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')[19];
    found.add(`process: ${pid} (started ${started}) ${command}`);
  } catch (error) {
    if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error; // it ended while we looked
  }
}

async function leftSince(before: Set<string>): Promise<string[]> {
  for (const end = Date.now() + SETTLE_MS; ;) {
    const left = [...leftovers()].filter((line) => !before.has(line));
    if (left.length === 0 || Date.now() > end) return left;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function main(): Promise<number> {
  const files = process.argv.length > 2 ? process.argv.slice(2) : allTests();
  const counts = new Counts();
  const before = leftovers();
  if (files.length > 0) {
    const runtime = fs.mkdtempSync('/tmp/plyfs-run-');
    await runTap(files, counts, runtime);
    fs.rmSync(runtime, { recursive: true });
  } else {
    counts.failed++;
    console.log('  FAIL no test found in dist/test: make build');
  }
  const left = await leftSince(before);
  if (left.length > 0) {
    counts.failed++;
    console.log(`  FAIL the tests left behind:\n${left.map((line) => `       ${line}`).join('\n')}`);
  }
  if (counts.skipped > 0) console.log(`${counts.skipped} skipped (see above)`);
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  return counts.failed === 0 ? 0 : 1;
}

main().then(
  (status) => (process.exitCode = status),
  (error: unknown) => {
    console.error(error);
    process.exitCode = 2;
  },
);

/** The engine's modules in one file (daemon/bundled.ts), and what is done when something is wrong with it. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { Manifest } from '../../daemon/bundled.js';
import { leftBehind, removeDirectory, temporaryDirectory } from '../support/leaks.js';

const DIST = path.resolve(__dirname, '../..');
const base = temporaryDirectory();

/** In a program of its own, which gets the directory of a dist. */
const LOAD = `
const { join } = require('node:path');
const vm = require('node:vm');
const dist = process.argv[1];
const Script = vm.Script;
let taken;
vm.Script = class extends Script { constructor(...all) { super(...all); taken = !this.cachedDataRejected; } };
const { findBundle, load } = require(join(dist, 'daemon/bundled'));
const { runEngine } = load(findBundle('engine'), 'daemon/engine/run');
let stack = '';
try { runEngine(['--log-level=loud']); } catch (error) { stack = error.stack; }
console.log(JSON.stringify({ bundled: require.cache[join(dist, 'daemon/engine/run.js')] === undefined, taken, stack }));
`;

interface Loaded {
  bundled: boolean;
  /** V8 took the code */
  taken?: boolean;
  stack: string;
}

function load(dist: string): Loaded {
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', LOAD, dist], { encoding: 'utf8', timeout: 20_000 });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as Loaded;
}

/** A dist of its own, to be spoiled. */
function copy(name: string): { dist: string; manifest: Manifest } {
  const dist = path.join(base, name, 'dist');
  for (const part of ['daemon', 'bundles', 'native-bindings']) {
    fs.cpSync(path.join(DIST, part), path.join(dist, part), { recursive: true, preserveTimestamps: true });
  }
  for (const part of ['node_modules', 'native-bindings']) fs.symlinkSync(path.resolve(DIST, '..', part), path.join(base, name, part));
  return { dist, manifest: JSON.parse(fs.readFileSync(path.join(dist, 'bundles/engine.json'), 'utf8')) as Manifest };
}

const COMPLAINT = /^Error: --log-level=loud: it takes one of trace,.*\n {4}at runEngine \(/;

/** Whether a running engine would start more threads: at first, and after each change of its dist. */
const REPLACED = `
const { join } = require('node:path');
const fs = require('node:fs');
const dist = process.argv[1];
const bundle = require(join(dist, 'daemon/bundled')).findBundle('engine');
const { isAsStarted } = require(join(dist, 'daemon/engine/threads'));
const said = [isAsStarted(bundle), isAsStarted(undefined)];
const thread = join(dist, 'daemon/engine/thread.js');
fs.renameSync(join(dist, bundle.source), join(dist, 'away'));
said.push(isAsStarted(bundle), isAsStarted(undefined));
fs.renameSync(join(dist, 'away'), join(dist, bundle.source));
said.push(isAsStarted(bundle));
fs.copyFileSync(thread, thread + '.new');
fs.renameSync(thread + '.new', thread);
said.push(isAsStarted(bundle), isAsStarted(undefined));
fs.rmSync(thread);
said.push(isAsStarted(bundle));
console.log(JSON.stringify(said));
`;

t.test('an engine whose files were replaced starts no threads from those of another build', (t) => {
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', REPLACED, copy('replaced').dist], { encoding: 'utf8', timeout: 20_000 });
  t.equal(stderr, '');
  t.same(JSON.parse(stdout), [true, true, false, true, true, false, false, false]);
  t.end();
});

t.test('the engine is loaded from its bundle, with the code that V8 made at the build, and stacks name the sources', (t) => {
  const { bundled, taken, stack } = load(DIST);
  t.ok(bundled && taken === true);
  t.match(stack, COMPLAINT);
  t.match(stack, /at runEngine \(daemon\/engine\/run\.ts:\d+:\d+\)/);
  const [, line] = /run\.ts:(\d+)/.exec(stack) ?? [];
  const source = fs.readFileSync(path.resolve(DIST, '../daemon/engine/run.ts'), 'utf8').split('\n');
  t.match(source[Number(line) - 1], /throw new Error\(`--log-level=/, 'the line of the throw');
  t.end();
});

t.test('without a bundle the modules are loaded', (t) => {
  const { dist } = copy('none');
  fs.rmSync(path.join(dist, 'bundles'), { recursive: true });
  const { bundled, stack } = load(dist);
  t.notOk(bundled);
  t.match(stack, COMPLAINT);
  t.end();
});

t.test('a bundle that is older than one of its modules is not used', (t) => {
  const { dist, manifest } = copy('older');
  const [module = ''] = manifest.modules.filter((name) => name.endsWith('overlay/lookup.js'));
  const later = new Date(Date.now() + 60_000);
  fs.utimesSync(path.join(dist, module), later, later);
  t.notOk(load(dist).bundled);
  t.end();
});

t.test('a bundle of which a file is missing is not used', (t) => {
  const { dist, manifest } = copy('half');
  fs.rmSync(path.join(dist, manifest.code));
  const { bundled, stack } = load(dist);
  t.notOk(bundled);
  t.match(stack, COMPLAINT);
  t.end();
});

t.test('code that V8 does not take only costs time', (t) => {
  for (const [name, spoil] of Object.entries({
    empty: () => Buffer.alloc(0),
    'cut off': (code: Buffer) => code.subarray(0, code.length >> 1),
    'of another V8': (code: Buffer) => Buffer.concat([code.subarray(0, 4), Buffer.from([1, 2, 3, 4]), code.subarray(8)]),
  })) {
    const { dist, manifest } = copy(name);
    const file = path.join(dist, manifest.code);
    fs.writeFileSync(file, spoil(fs.readFileSync(file)));
    const { bundled, taken, stack } = load(dist);
    t.ok(bundled && taken === false, name);
    t.match(stack, COMPLAINT, name);
  }
  t.end();
});

t.test('stacks are readable without the map, too', (t) => {
  const { dist, manifest } = copy('mapless');
  fs.rmSync(path.join(dist, manifest.map));
  const { bundled, stack } = load(dist);
  t.ok(bundled);
  t.match(stack, COMPLAINT);
  t.end();
});

t.teardown(async () => {
  await removeDirectory(base);
  const left = await leftBehind();
  if (left.length > 0) throw new Error(left.join('\n'));
});

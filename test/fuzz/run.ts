/**
 * Plays cases: many at once in one mount of each target, each case in a directory of its own, for a mount costs more than a case.
 *
 * The case's root is <mount>/<name>/r; one level more than needed, so that a symlink to `../x` stays in the case.
 */
import fs from 'node:fs';
import path from 'node:path';
import { build, type Entry, merge, type Tree, under } from '../support/layers.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { run } from '../support/mounts.js';
import { HelperError, op, type Outcome, Syscalls } from '../support/syscalls.js';
import { type Mounted, target } from '../support/targets.js';
import { type Manifest, toManifest } from '../support/trees.js';
import { type Case, parseLine, REMOUNT } from './case';

export interface RunOptions {
  /** of support/targets.ts, and "plain"; "kernel" is kernel-overlay */
  targets: readonly string[];
  /** mount options for plyfs */
  plyfsOptions?: readonly string[];
  /** leave everything in place, and say where */
  keep?: boolean;
  /** mount what plyfs wrote with the kernel's overlayfs, and the other way round */
  cross?: boolean;
  timeoutMs?: number;
  /** gets every line of plyfs's log that is an error */
  onComplaint?: (line: string) => void;
  /** for compare() */
  every?: boolean;
}

/** What a target made of one case. */
export interface Played {
  /** per line of the case; shorter when the target hung or died */
  outcomes: Outcome[];
  /** the tree at the start, when an overlay wrote the topmost layer */
  start?: Manifest;
  /** the tree at the end */
  manifest?: Manifest;
  /** after the file system was mounted once more */
  again?: Manifest;
  /** as the other overlay shows what this one wrote */
  crossed?: Manifest;
  /** the target did not answer, or died */
  failure?: string;
}

/** per case, by target */
export type Results = Map<string, Played>[];

/** One of the file systems under comparison. */
interface Side {
  name: string;
  /** holds the cases' directories */
  directory: string;
  mounted?: Mounted;
}

const ROOT = 'r';
const nameOf = (index: number): string => `s${index}`;

// ---- trees -----------------------------------------------------------------------------------------------------------------------------

/** The trees of all cases side by side: what layer `at` of the mount holds. */
function layerOfAll(cases: readonly Case[], at: number): Tree {
  const all: Tree = {};
  cases.forEach((one, index) => {
    const layer = one.layers[at] as Tree | undefined;
    if (layer !== undefined) Object.assign(all, under(`${nameOf(index)}/${ROOT}`, layer));
  });
  return all;
}

/** Every path of a layer that is a name of the file at `first`. */
function namesOf(layer: Tree, first: string): string[] {
  return Object.entries(layer).flatMap(([path, entry]) => (path === first || (entry as Entry).first === first ? [path] : []));
}

/** Names of lower files that the merge hides: an overlay counts them in nlink, so the plain tree has them elsewhere. */
export function hiddenLinks(layers: readonly Tree[], merged: Tree): string[] {
  const hidden: string[] = [];
  for (const layer of layers) {
    for (const [path, entry] of Object.entries(layer)) {
      if (path === '.' || (entry as Entry).type === 'd' || (entry as Entry).type === 'h') continue;
      const names = namesOf(layer, path);
      if (names.length === 1) continue;
      const seen = names.filter((name) => name in merged && layers.find((other) => name in other) === layer);
      if (seen.length > 0) for (let i = seen.length; i < names.length; i++) hidden.push(seen[0]);
    }
  }
  return hidden;
}

export function mergedOf(one: Case): Tree {
  const root = one.layers[0]['.'];
  return { '.': root, ...merge(one.layers.map(({ '.': _, ...layer }) => layer)) };
}

function plainOfAll(cases: readonly Case[]): Tree {
  const all: Tree = {};
  cases.forEach((one, index) => {
    const merged = mergedOf(one);
    const at = `${nameOf(index)}/${ROOT}`;
    Object.assign(all, under(at, merged));
    hiddenLinks(one.layers, merged).forEach((path, i) => {
      const entry = merged[path] as Entry;
      all[`${nameOf(index)}/hidden${i}`] = { type: 'h', first: `${at}/${entry.type === 'h' ? entry.first! : path}` };
    });
  });
  return all;
}

// ---- sides -----------------------------------------------------------------------------------------------------------------------------

/** No sync at every unmount: it would cost more than the cases. */
const KERNEL_OPTIONS = ['volatile'];

/** What one run has mounted and made; added one by one, for what was mounted before a failure is to be unmounted. */
interface Stage {
  base: string;
  sides: Side[];
  /** files that plyfs logs to */
  logs: string[];
  /** whose upper is the topmost layer */
  writer?: Mounted;
}

async function setUp(stage: Stage, cases: readonly Case[], options: RunOptions): Promise<void> {
  const { base, sides } = stage;
  const depth = Math.max(...cases.map((one) => one.layers.length));
  const lowers: string[] = [];
  for (let at = 0; at < depth; at++) {
    const directory = path.join(base, `l${at}`);
    fs.mkdirSync(directory);
    await build(directory, layerOfAll(cases, at));
    lowers.push(directory);
  }
  const plain = path.join(base, 'plain');
  fs.mkdirSync(plain);
  if (cases[0].by !== '') await writeTopmost(stage, cases, lowers, plain, options);
  else await build(plain, plainOfAll(cases));
  for (const name of options.targets) {
    if (name === 'plain') sides.push({ name, directory: plain });
    else {
      const mounted = await mount(stage, name, lowers, options);
      sides.push({ name, directory: mounted.mountpoint, mounted });
    }
  }
}

/** Lets an overlay write one more layer, which is then the topmost; the plain tree is a copy of what that overlay shows in the end. */
async function writeTopmost(stage: Stage, cases: readonly Case[], lowers: string[], plain: string, options: RunOptions): Promise<void> {
  const name = cases[0].by;
  const writer = await mount(stage, name, lowers, options);
  stage.writer = writer;
  const results: Results = cases.map(() => new Map<string, Played>());
  const asCases = cases.map((one) => ({ ...one, lines: one.before }));
  await new Player({ name, directory: writer.mountpoint, mounted: writer }, results, LIMIT_MS).phase(asCases, 0);
  const failed = results.map((result) => result.get(name)?.failure).find((failure) => failure !== undefined);
  if (failed !== undefined) throw new Error(`writing the topmost layer: ${failed}`);
  const { status, stderr } = await run('cp', ['-a', `${writer.mountpoint}/.`, plain]);
  // The kernel lists whiteouts that are not there (deviations.ts).
  const serious = stderr.split('\n').filter((text) => text !== '' && !/cannot stat .*: No such file or directory$/.test(text));
  if (status === null || serious.length > 0) throw new Error(`copying what ${name} shows: ${serious.join('\n')}`);
  await writer.unmount();
  lowers.unshift(writer.upper);
}

function mount(stage: Stage, name: string, lowers: readonly string[], options: RunOptions, from?: Mounted): Promise<Mounted> {
  const kernel = name === 'kernel';
  const mountOptions = kernel ? KERNEL_OPTIONS : name.startsWith('plyfs') ? (options.plyfsOptions ?? []) : [];
  const log = path.join(stage.base, `log${stage.logs.length}`);
  if (name.startsWith('plyfs')) stage.logs.push(log);
  const upper = from && { upper: from.upper, work: from.work };
  return target(kernel ? 'kernel-overlay' : name).setup(lowers, { mountOptions, log, ...(upper && { upper }) });
}

/** The kernel refuses to mount an upper again that was mounted volatile, unless this is gone. */
function forgetVolatile(mounted: Mounted): void {
  fs.rmSync(path.join(mounted.work, 'work/incompat'), { recursive: true, force: true });
}

async function remount(side: Side): Promise<void> {
  if (side.mounted === undefined) return;
  await side.mounted.unmount();
  forgetVolatile(side.mounted);
  await side.mounted.remount();
}

async function tearDown(stage: Stage, options: RunOptions): Promise<void> {
  const { sides, base, writer } = stage;
  if (options.keep) {
    console.log(`kept: ${base} ${sides.map((side) => `${side.name}: ${side.directory}`).join(', ')}`);
    return;
  }
  for (const side of sides) await side.mounted?.teardown();
  await writer?.teardown();
  for (const log of stage.logs) for (const line of errorsIn(log)) options.onComplaint?.(line);
  await removeDirectory(base);
}

// ---- playing ---------------------------------------------------------------------------------------------------------------------------

const ERROR = 50;

function errorsIn(log: string): string[] {
  if (!fs.existsSync(log)) return [];
  const lines = fs.readFileSync(log, 'utf8').split('\n');
  return lines.filter((line) => line !== '' && (!line.startsWith('{') || (JSON.parse(line) as { level: number }).level >= ERROR));
}

/** A case's lines between two remounts. */
function phasesOf(lines: readonly string[]): string[][] {
  const phases: string[][] = [[]];
  for (const line of lines) {
    if (line === REMOUNT) phases.push([]);
    else phases[phases.length - 1].push(line);
  }
  return phases;
}

/** What closes all that the lines may have left open: the next case's lines use the same names. */
function closing(lines: readonly string[]): string[] {
  const open = new Map<string, string>();
  for (const line of lines) {
    const { verb, args } = parseLine(line);
    if (verb === 'open') open.set(args.fd, `close fd=${args.fd}`);
    else if (verb === 'close') open.delete(args.fd);
    else if (verb === 'mmap') open.set(`map ${args.map}`, `munmap map=${args.map}`);
    else if (verb === 'munmap') open.delete(`map ${args.map}`);
  }
  return [...open.values()];
}

const REMOUNTED: Outcome = { error: 'ok', fields: {}, rows: [] };

class Player {
  private helper: Syscalls | undefined;

  constructor(
    private readonly side: Side,
    private readonly results: Results,
    private readonly timeoutMs: number,
  ) {}

  private played(index: number): Played {
    const { name } = this.side;
    const known = this.results[index].get(name);
    if (known !== undefined) return known;
    const made: Played = { outcomes: [] };
    this.results[index].set(name, made);
    return made;
  }

  /** Runs lines in a case's directory; what went wrong with the target itself is noted, and the next case gets a new helper. */
  private async run(index: number, lines: readonly string[]): Promise<Outcome[] | undefined> {
    const { directory, mounted } = this.side;
    this.helper ??= Syscalls.start(directory, { timeoutMs: this.timeoutMs, onHang: () => mounted?.tearAway() });
    const enter = op('chdir', { path: `${directory}/${nameOf(index)}/${ROOT}` });
    try {
      const [entered, ...outcomes] = await this.helper.run([enter, ...lines]);
      if (entered.error !== 'ok') throw new Error(`cannot enter the case: ${entered.error}`);
      return outcomes;
    } catch (error) {
      const played = this.played(index);
      played.failure = error instanceof Error ? error.message : String(error);
      if (error instanceof HelperError) played.outcomes.push(...error.outcomes.slice(1));
      await this.end();
      return undefined;
    }
  }

  async phase(cases: readonly Case[], number: number): Promise<void> {
    for (const [index, one] of cases.entries()) {
      const lines = phasesOf(one.lines)[number] as string[] | undefined;
      const played = this.played(index);
      if (lines === undefined || played.failure !== undefined) continue;
      const outcomes = await this.run(index, [...lines, ...closing(lines)]);
      if (outcomes === undefined) continue;
      if (number > 0) played.outcomes.push(REMOUNTED);
      played.outcomes.push(...outcomes.slice(0, lines.length));
    }
    await this.end();
  }

  async manifests(cases: readonly Case[], as: 'start' | 'manifest' | 'again' | 'crossed'): Promise<void> {
    for (const index of cases.keys()) {
      const played = this.played(index);
      if (played.failure !== undefined) continue;
      const outcomes = await this.run(index, ['manifest path=. ino=1']);
      if (outcomes === undefined) continue;
      if (outcomes[0].error !== 'ok') played.failure = `the tree cannot be read: ${outcomes[0].error}`;
      else played[as] = toManifest(outcomes[0].rows);
    }
    await this.end();
  }

  async end(): Promise<void> {
    const { helper } = this;
    this.helper = undefined;
    await helper?.end();
  }
}

/** The upper of one overlay is shown by the other. */
async function cross(stage: Stage, side: Side, cases: readonly Case[], results: Results, options: RunOptions): Promise<void> {
  if (side.mounted === undefined) return;
  const other = side.name === 'kernel' ? options.targets.find((name) => name.startsWith('plyfs')) : 'kernel';
  if (other === undefined) return;
  await side.mounted.unmount();
  forgetVolatile(side.mounted);
  const mounted = await mount(stage, other, side.mounted.lowers, options, side.mounted);
  try {
    await new Player({ name: side.name, directory: mounted.mountpoint, mounted }, results, LIMIT_MS).manifests(cases, 'crossed');
  } finally {
    await mounted.teardown();
  }
}

const LIMIT_MS = 20_000;

/** All of the same `by`: the overlay that writes the topmost layer is one for all. */
export async function play(cases: readonly Case[], options: RunOptions): Promise<Results> {
  const results: Results = cases.map(() => new Map<string, Played>());
  const stage: Stage = { base: temporaryDirectory(), sides: [], logs: [] };
  const { sides } = stage;
  try {
    await setUp(stage, cases, options);
    const players = sides.map((side) => new Player(side, results, options.timeoutMs ?? LIMIT_MS));
    if (stage.writer !== undefined) await Promise.all(players.map((player) => player.manifests(cases, 'start')));
    const phases = Math.max(...cases.map((one) => phasesOf(one.lines).length));
    for (let number = 0; number < phases; number++) {
      if (number > 0) await Promise.all(sides.map(remount));
      await Promise.all(players.map((player) => player.phase(cases, number)));
    }
    await Promise.all(players.map((player) => player.manifests(cases, 'manifest')));
    for (const [at, side] of sides.entries()) {
      if (side.mounted === undefined || side.name === 'kernel') continue;
      await remount(side);
      await players[at].manifests(cases, 'again');
    }
    if (options.cross) for (const side of sides) await cross(stage, side, cases, results, options);
  } finally {
    await tearDown(stage, options);
  }
  return results;
}

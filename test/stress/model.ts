/** What the actors (actor.ts) and whoever judges them agree on: the lower they begin with, what they know at the end, what must follow from it. */
import fs from 'node:fs';
import path from 'node:path';
import { type Entry, file, type Tree } from '../support/layers.js';

export const SHARED = ['shared/a', 'shared/b', 'shared/c'];

/** Things that only one actor gets, a quarter each: a directory to make, a file to make, a lower file to move, a lower file to remove. */
export const RACES = 200;

export interface Known {
  content: string;
  mode: number;
  /** the same for all names of a file */
  group: string;
}

export interface Knowledge {
  files: Record<string, Known>;
  directories: string[];
  /** races */
  won: string[];
  /** lines to the shared logs */
  appended: number;
}

const LOWER_FILES = 12;

/** Files of an actor that the lower holds: in its own directory and in the shared ones. */
export function lowerFiles(id: number): Record<string, Known> {
  const files: Record<string, Known> = {};
  for (let i = 0; i < LOWER_FILES; i++) {
    const directory = [`p${id}`, ...SHARED][i % 4];
    const name = `${directory}/p${id}-lower${i}`;
    const content = `${name} ${'lower '.repeat(i * 100)}`;
    files[name] = { content, mode: 0o644, group: name };
  }
  return files;
}

/** The lower of the stress: two layers, so that the shared directories are merged ones. */
export function lowerTrees(actors: number): Tree[] {
  const layers: Tree[] = [{}, {}];
  const put = (at: number, name: string, entry: Entry): void => void (layers[at % 2][name] = entry);
  for (let id = 0; id < actors; id++) {
    put(0, `p${id}`, { type: 'd' });
    Object.entries(lowerFiles(id)).forEach(([name, { content, mode }], i) => put(id + i, name, file(content, { mode })));
  }
  SHARED.forEach((directory, i) => {
    for (const layer of layers) layer[directory] = { type: 'd', mode: 0o777 };
    put(i, `${directory}/log`, file('first\n', { mode: 0o666 }));
  });
  for (let number = 0; number < RACES; number++) {
    if (number % 4 > 1) put(number, `${SHARED[number % SHARED.length]}/race${number}`, file(`race ${number}`));
  }
  return layers;
}

/** Every file below a directory: content, mode, links. */
function readTree(root: string): { files: Map<string, Known>; directories: Set<string>; groups: Map<string, string[]> } {
  const files = new Map<string, Known>();
  const directories = new Set<string>();
  const groups = new Map<string, string[]>();
  for (const entry of fs.readdirSync(root, { recursive: true, withFileTypes: true })) {
    const full = path.join(entry.parentPath, entry.name);
    const name = path.relative(root, full);
    if (entry.isDirectory()) {
      directories.add(name);
      continue;
    }
    const stat = fs.lstatSync(full);
    const number = String(stat.ino);
    files.set(name, { content: fs.readFileSync(full, 'utf8'), mode: stat.mode & 0o7777, group: number });
    groups.set(number, [...(groups.get(number) ?? []), name]);
    if (groups.get(number)!.length > stat.nlink) throw new Error(`${name} has more names than its ${stat.nlink} links`);
  }
  return { files, directories, groups };
}

/** What is wrong with a tree, after actors that say they know `all`. */
export function judge(root: string, all: readonly Knowledge[]): string[] {
  const wrong: string[] = [];
  const seen = readTree(root);
  const expected = new Map(all.flatMap(({ files }) => Object.entries(files)));
  for (const [name, known] of expected) {
    const found = seen.files.get(name);
    if (found === undefined) wrong.push(`${name} is missing`);
    else if (found.content !== known.content)
      wrong.push(`${name} holds ${found.content.length} bytes, not the ${known.content.length} written`);
    else if (found.mode !== known.mode) wrong.push(`${name} has mode ${found.mode.toString(8)}, not ${known.mode.toString(8)}`);
    else {
      const joined = seen.groups.get(found.group)!.sort().join();
      const same = [...expected].filter(([, other]) => other.group === known.group).map(([other]) => other);
      if (joined !== same.sort().join()) wrong.push(`${name} is one file with ${joined}, not with ${same.join()}`);
    }
  }
  for (const name of seen.files.keys()) if (!expected.has(name) && /\/p\d+-[^/]*$/.test(name)) wrong.push(`${name} should not be there`);
  const directories = new Set(all.flatMap((one) => one.directories));
  for (const name of directories) if (!seen.directories.has(name)) wrong.push(`directory ${name} is missing`);
  for (const name of seen.directories)
    if (!directories.has(name) && /\/p\d+-[^/]*$/.test(name)) wrong.push(`directory ${name} should not be there`);
  return [...wrong, ...judgeRaces(seen, all), ...judgeLogs(root, all)];
}

function judgeRaces(seen: ReturnType<typeof readTree>, all: readonly Knowledge[]): string[] {
  const wrong: string[] = [];
  for (let number = 0; number < RACES; number++) {
    const directory = SHARED[number % SHARED.length];
    const name = `${directory}/race${number}`;
    const winners = all.flatMap(({ won }, id) => (won.includes(name) ? [id] : []));
    if (winners.length !== 1) wrong.push(`${name} was won by ${winners.length} (${winners.join()})`);
    const there = seen.files.has(name) || seen.directories.has(name);
    if (there !== number % 4 < 2) wrong.push(`${name} is ${there ? '' : 'not '}there`);
    if (number % 4 === 1 && seen.files.get(name)?.content !== String(winners[0])) wrong.push(`${name} is not its winner's`);
    if (number % 4 === 2 && seen.files.get(`${directory}/won${number}`)?.content !== `race ${number}`) wrong.push(`${name} was not moved`);
  }
  return wrong;
}

/** Every line of every actor is in its log once, in its order, behind what the lower held. */
function judgeLogs(root: string, all: readonly Knowledge[]): string[] {
  const wrong: string[] = [];
  SHARED.forEach((directory, at) => {
    const [first, ...lines] = fs
      .readFileSync(path.join(root, directory, 'log'), 'utf8')
      .split('\n')
      .slice(0, -1);
    if (first !== 'first') wrong.push(`${directory}/log has lost its first line`);
    all.forEach(({ appended }, id) => {
      const mine = lines.filter((line) => line.startsWith(`p${id} `)).map((line) => line.slice(line.indexOf(' ') + 1));
      const expected = Array.from({ length: appended }, (_, i) => i).filter((i) => i % SHARED.length === at);
      if (mine.join() !== expected.join())
        wrong.push(`${directory}/log has ${mine.length} lines of actor ${id}, not ${expected.length} in order`);
    });
    const sum = all.reduce((total, { appended }) => total + Math.ceil((appended - at) / SHARED.length), 0);
    if (lines.length !== sum) wrong.push(`${directory}/log has ${lines.length} lines, not ${sum}`);
  });
  return wrong;
}

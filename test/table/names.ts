/** Scenarios of dentries: names hung, found without a lock, and taken away. */
import { Control, Dentry, DentryFlags, Inode, Limits, LoadState } from '../../daemon/overlay/table/layout';
import type { Table } from '../../daemon/overlay/table/table';
import { Random } from '../fuzz/random';
import { assert, drain, type Scenario } from './scenario';

const MOUNT = 1;
const DIRECTORIES = 4;
const NAMES = 512;
/** Words of a name's row: offset of its bytes, its length, and per directory a version (odd: being changed) and the dentry it has. */
const enum Row {
  BYTES = 0,
  LENGTH = 1,
  VERSIONS = 2,
  DENTRIES = 6,
  SIZE = 16,
}

interface Names {
  /** word index of the rows */
  rows: number;
  /** word indexes of the directories' inode records: first + 64 * i is not promised, so they are listed here */
  directories: number;
}

function row(shared: Names, name: number): number {
  return shared.rows + Row.SIZE * name;
}

function put(table: Table, at: number, bytes: ArrayLike<number>): void {
  for (let i = 0; i < bytes.length; i++) table.u8[at + i] = bytes[i];
}

/** Any bytes but NUL and slash. */
function randomName(random: Random, length: number): number[] {
  return Array.from({ length }, () => {
    const byte = random.between(1, 255);
    return byte === 47 ? 46 : byte;
  });
}

/** Names that share a bucket, and some the whole hash, in the first directory: found by trying. */
function colliding(table: Table, directory: number, scratch: number, random: Random): number[][] {
  const byBucket = new Map<number, number[][]>();
  const byHash = new Map<number, number[]>();
  const found: number[][] = [];
  for (let i = 0; i < 400_000; i++) {
    const name = randomName(random, random.between(4, 6));
    put(table, scratch, name);
    const hash = table.hash(directory, scratch, name.length);
    const twin = byHash.get(hash);
    if (twin !== undefined && twin.join() !== name.join()) found.push(twin, name);
    byHash.set(hash, name);
    const bucket = byBucket.get(hash & Limits.DENTRY_MASK);
    if (bucket === undefined) byBucket.set(hash & Limits.DENTRY_MASK, [name]);
    else bucket.push(name);
  }
  const full = [...byBucket.values()].filter((names) => names.length > 4);
  for (const names of full) {
    found.push(...names);
    if (found.length > 200) break;
  }
  return found;
}

function makeNames(table: Table): Names {
  const random = new Random(1, 7);
  const rows = table.memory.takePages(1) / 4;
  const directories = table.memory.takePages(1) / 4;
  let bytes = table.memory.takePages(4);
  const scratch = table.memory.takePages(1);
  for (let i = 0; i < DIRECTORIES; i++) {
    const directory = table.newInode(MOUNT);
    table.i32[directory + Inode.LOOKUPS] = 1;
    table.i32[directory + Inode.MODE] = 0o040755;
    // new names go to the end of every other one, and to the front of the rest
    if (i % 2 === 1) table.i32[directory + Inode.LOAD] = LoadState.LOADED;
    table.i32[directories + i] = directory;
  }
  const seen = new Set<string>();
  const hard = colliding(table, table.i32[directories], scratch, random);
  assert(hard.length > 20, () => `only ${hard.length} colliding names`);
  for (let name = 0; name < NAMES;) {
    const content = hard.pop() ?? randomName(random, name % 4 === 0 ? 1 + (name % 255) : random.between(1, 255));
    if (seen.has(content.join())) continue;
    seen.add(content.join());
    put(table, bytes, content);
    table.i32[rows + Row.SIZE * name + Row.BYTES] = bytes;
    table.i32[rows + Row.SIZE * name + Row.LENGTH] = content.length;
    bytes += content.length;
    name++;
  }
  return { rows, directories };
}

/** Looks a name up without a lock, and compares with what is known to be there, if nobody changed it meanwhile. */
function look(table: Table, shared: Names, name: number, at: number): 'found' | 'none' | 'changed' {
  const { i32, u8 } = table;
  const line = row(shared, name);
  const directory = i32[shared.directories + at];
  const before = Atomics.load(i32, line + Row.VERSIONS + at);
  const [bytes, length] = [i32[line + Row.BYTES], i32[line + Row.LENGTH]];
  const dentry = table.find(directory, bytes, length);
  if (dentry !== 0) {
    assert(table.nameLength(dentry) === length, () => 'found a name of another length');
    for (let i = 0; i < length; i++) assert(u8[table.name(dentry) + i] === u8[bytes + i], () => 'found another name');
    assert(u8[table.name(dentry) + length] === 0, () => 'a name does not end in NUL');
    assert(i32[dentry + Dentry.PARENT] === directory, () => 'found a name of another directory');
  }
  const expected = Atomics.load(i32, line + Row.DENTRIES + at);
  if ((before & 1) !== 0 || Atomics.load(i32, line + Row.VERSIONS + at) !== before) return 'changed';
  assert(dentry === expected, () => `name ${name} is dentry ${expected}, and ${dentry} was found`);
  return dentry === 0 ? 'none' : 'found';
}

/** Gives a name to a directory, or takes it away. */
function change(table: Table, shared: Names, name: number, at: number): void {
  const { i32, memory } = table;
  const line = row(shared, name);
  const directory = i32[shared.directories + at];
  memory.lock(directory + Inode.LOCK);
  const dentry = i32[line + Row.DENTRIES + at];
  Atomics.add(i32, line + Row.VERSIONS + at, 1);
  if (dentry === 0) {
    const made = table.addDentry(directory, i32[line + Row.BYTES], i32[line + Row.LENGTH], 8, 0);
    Atomics.store(i32, line + Row.DENTRIES + at, made);
  } else {
    table.removeDentry(dentry);
    Atomics.store(i32, line + Row.DENTRIES + at, 0);
  }
  Atomics.add(i32, line + Row.VERSIONS + at, 1);
  memory.unlock(directory + Inode.LOCK);
}

/** Walks a directory's chain both ways; the names in it. The caller holds its lock, or is alone. */
function walk(table: Table, directory: number): Set<number> {
  const { i32 } = table;
  const seen = new Set<number>();
  let cookie = 2; // those of "." and ".."
  let previous = 0;
  for (let at = i32[directory + Inode.FIRST]; at !== 0; at = i32[at + Dentry.NEXT]) {
    assert(i32[at + Dentry.PREVIOUS] === previous, () => 'the chain of a directory is broken');
    assert(i32[at + Dentry.COOKIE] > cookie, () => 'cookies do not rise');
    assert((i32[at + Dentry.FLAGS] & DentryFlags.DEAD) === 0, () => 'a dead dentry hangs in its directory');
    cookie = i32[at + Dentry.COOKIE];
    previous = at;
    seen.add(at);
  }
  assert(i32[directory + Inode.LAST] === previous, () => 'LAST is not the last');
  assert(i32[directory + Inode.ENTRIES] === seen.size, () => `${seen.size} names, ENTRIES says ${i32[directory + Inode.ENTRIES]}`);
  return seen;
}

export const scenarios: Record<string, Scenario> = {
  /** Everybody adds, removes and looks, in a few directories, under their locks. args: rounds */
  addRemoveFind: {
    setup: (table, { rounds }) => ({ ...makeNames(table), rounds, before: table.i32[Control.PAGES_USED] }),
    run(table, thread, shared) {
      const names = shared as unknown as Names;
      const random = new Random(thread, 8);
      const counted = { found: 0, none: 0, changed: 0, walked: 0 };
      for (let i = 0; i < shared.rounds; i++) {
        const at = random.chance(60) ? 0 : random.below(DIRECTORIES);
        const name = random.below(NAMES);
        table.epochs.enter();
        if (random.chance(30)) change(table, names, name, at);
        else for (let n = 0; n < 4; n++) counted[look(table, names, (name + n) % NAMES, at)]++;
        if (random.chance(0.1)) {
          const directory = table.i32[names.directories + at];
          table.memory.lock(directory + Inode.LOCK);
          counted.walked += walk(table, directory).size;
          table.memory.unlock(directory + Inode.LOCK);
        }
        table.epochs.leave();
      }
      drain(table);
      return counted;
    },
    check(table, shared) {
      const names = shared as unknown as Names;
      let left = 0;
      for (let at = 0; at < DIRECTORIES; at++) {
        const there = walk(table, table.i32[names.directories + at]);
        left += there.size;
        for (let name = 0; name < NAMES; name++) {
          const dentry = table.i32[row(names, name) + Row.DENTRIES + at];
          assert(dentry === 0 || there.has(dentry), () => 'a name is missing in its directory');
          look(table, names, name, at);
        }
      }
      assert(table.i32[Control.DENTRIES] === left, () => `${left} dentries, the table counts ${table.i32[Control.DENTRIES]}`);
      for (let at = 0; at < DIRECTORIES; at++) {
        for (let name = 0; name < NAMES; name++) if (table.i32[row(names, name) + Row.DENTRIES + at] !== 0) change(table, names, name, at);
      }
      drain(table);
      for (let bucket = 0; bucket <= Limits.DENTRY_MASK; bucket++) {
        assert(table.i32[Control.DENTRY_BUCKETS + bucket] === 0, () => 'something was left in the hash');
      }
      return { dentries: table.i32[Control.DENTRIES], kept: table.i32[Control.PAGES_USED] - shared.before };
    },
  },

  /** The order of a directory's names: those that are loaded, those that come later, and who changes places. */
  order: {
    setup(table) {
      const { i32, u8 } = table;
      const [directory, bytes] = [table.newInode(MOUNT), table.memory.takePages(1)];
      const made: Record<string, number> = {};
      const names = (dentries: Iterable<number>): string =>
        [...dentries].map((dentry) => String.fromCharCode(u8[table.name(dentry)])).join('');
      let orders = 0;
      const expect = (order: string): void => {
        const found = names(walk(table, directory));
        assert(found === order, () => `the order is ${found}, and should be ${order}`);
        orders++;
      };
      const add = (letters: string, order: string): void => {
        for (const letter of letters) {
          u8[bytes] = letter.charCodeAt(0);
          made[letter] = table.addDentry(directory, bytes, 1, 8, 0);
        }
        expect(order);
      };
      const exchange = (one: string, other: string, order: string): void => {
        table.changePlaces(made[one], made[other]);
        expect(order);
      };
      add('abc', 'abc');
      i32[directory + Inode.LOAD] = LoadState.LOADED;
      const cookie = i32[made.a + Dentry.COOKIE];
      add('def', 'fedabc');
      exchange('f', 'b', 'bedafc');
      table.removeDentry(made.b);
      expect('edafc');
      add('g', 'gedafc');
      exchange('g', 'e', 'egdafc');
      add('h', 'hegdafc');
      exchange('h', 'c', 'cegdafh');
      const behind = names([...walk(table, directory)].filter((dentry) => i32[dentry + Dentry.COOKIE] > cookie));
      assert(behind === 'fh', () => `who reads on behind a sees ${behind}`);
      // no serials are left in front
      i32[directory + Inode.COOKIE] = 3;
      add('ij', 'jicegdafh');
      for (const dentry of walk(table, directory)) table.removeDentry(dentry);
      add('k', 'k');
      return { orders };
    },
    check: (_table, shared) => shared,
  },

  /** Names that are no names: of 0 and 256 bytes, with a NUL, longer or shorter than one that exists. */
  nearMisses: {
    setup(table) {
      const [directory, bytes] = [table.newInode(MOUNT), table.memory.takePages(1)];
      put(table, bytes, new Uint8Array(300).fill(97));
      table.addDentry(directory, bytes, 255, 8, 0);
      table.addDentry(directory, bytes, 1, 8, 0);
      let hits = 0;
      for (let length = 0; length <= 300; length++) if (table.find(directory, bytes, length) !== 0) hits++;
      return { hits, elsewhere: table.find(directory + Inode.SIZE, bytes, 255) };
    },
    check: (_table, shared) => shared,
  },
};

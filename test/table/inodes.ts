/** Scenarios of inode records: counting and dying, their names, and finding them by their number. */
import { Control, Dentry, Inode, InodeFlags, Limits, Lookups } from '../../daemon/overlay/table/layout';
import type { Table } from '../../daemon/overlay/table/table';
import { Random } from '../fuzz/random';
import { assert, drain, type Scenario } from './scenario';

const MOUNT = 1;
const PLACES = 32;
const HOLDER = 16;

/** A record that says in several words which it is. */
function make(table: Table, serial: number): number {
  const inode = table.newInode(MOUNT);
  table.i32[inode + Inode.SIZE_LOW] = serial;
  table.i32[inode + Inode.UID] = ~serial;
  return inode;
}

function assertAlive(table: Table, inode: number): number {
  const serial = table.i32[inode + Inode.SIZE_LOW];
  assert(table.i32[inode + Inode.UID] === ~serial, () => `record ${inode} is not whole`);
  assert(Atomics.load(table.i32, inode + Inode.LOOKUPS) > 0, () => `record ${inode} is counted and dead`);
  return serial;
}

/** Drops a count, and kills and frees the record with the last one, as FORGET does. */
function drop(table: Table, place: number, inode: number): boolean {
  if (table.dropLookups(inode, 1) !== 0 || !table.kill(inode)) return false;
  assert(!table.addLookup(inode), () => 'a dead record was counted');
  assert(Atomics.compareExchange(table.i32, place, inode, 0) === inode, () => 'a record died twice');
  table.freeInode(inode);
  return true;
}

function place(shared: Record<string, number>, index: number): number {
  return shared.places + 16 * index;
}

/** The record of an inode number, found or made, with a count: what a LOOKUP of one of several names does. */
function lookUp(table: Table, number: number, serial: number): { inode: number; made: boolean } {
  const found = table.findIdent(MOUNT, number, number >>> 3);
  if (found !== 0) return { inode: found, made: false };
  const inode = make(table, serial);
  table.i32[inode + Inode.INO_LOW] = number;
  table.i32[inode + Inode.INO_HIGH] = number >>> 3;
  table.i32[inode + Inode.LOOKUPS] = 1;
  const first = table.addIdent(inode);
  if (first === inode) return { inode, made: true };
  table.i32[inode + Inode.LOOKUPS] = Lookups.DEAD;
  table.freeInode(inode);
  return { inode: first, made: false };
}

function forget(table: Table, inode: number): void {
  if (table.dropLookups(inode, 1) !== 0 || !table.kill(inode)) return;
  table.removeIdent(inode);
  table.freeInode(inode);
}

/** The dentries that an inode record says lead to it. */
function aliases(table: Table, inode: number): Set<number> {
  const seen = new Set<number>();
  for (let at = table.i32[inode + Inode.DENTRY]; at !== 0; at = table.i32[at + Dentry.ALIAS]) {
    assert(!seen.has(at), () => 'the chain of names is a ring');
    assert(table.i32[at + Dentry.INODE] === inode, () => 'a name in the chain leads elsewhere');
    seen.add(at);
  }
  return seen;
}

export const scenarios: Record<string, Scenario> = {
  /** Records are found through places, counted, held a while, dropped, killed with the last count, made again. args: rounds */
  countAndKill: {
    setup: (table, { rounds }) => ({ rounds, places: table.memory.takePages(1) / 4, before: table.i32[Control.PAGES_USED] }),
    run(table, thread, shared) {
      const { i32 } = table;
      const random = new Random(thread, 9);
      const held: { at: number; inode: number; serial: number }[] = [];
      const counted = { killed: 0, refused: 0, made: 0 };
      const letGo = (): void => {
        const one = held.pop();
        if (one === undefined) return;
        assert(assertAlive(table, one.inode) === one.serial, () => 'a record that is held was used for another file');
        if (drop(table, place(shared, one.at), one.inode)) counted.killed++;
      };
      for (let i = 0; i < shared.rounds; i++) {
        table.epochs.enter();
        const at = random.below(PLACES);
        const inode = Atomics.load(i32, place(shared, at));
        if (inode === 0) {
          const serial = (thread << 24) | i;
          const fresh = make(table, serial);
          i32[fresh + Inode.LOOKUPS] = 1;
          if (Atomics.compareExchange(i32, place(shared, at), 0, fresh) === 0) {
            held.push({ at, inode: fresh, serial });
            counted.made++;
          } else {
            i32[fresh + Inode.LOOKUPS] = Lookups.DEAD;
            table.freeInode(fresh);
          }
        } else if (table.addLookup(inode)) held.push({ at, inode, serial: assertAlive(table, inode) });
        else counted.refused++;
        random.shuffle(held);
        while (held.length > random.below(HOLDER)) letGo();
        table.epochs.leave();
      }
      table.epochs.enter();
      while (held.length > 0) letGo();
      table.epochs.leave();
      drain(table);
      return counted;
    },
    check(table, shared) {
      for (let at = 0; at < PLACES; at++) assert(table.i32[place(shared, at)] === 0, () => 'a record was never killed');
      return { inodes: table.i32[Control.INODES], kept: table.i32[Control.PAGES_USED] - shared.before };
    },
  },

  /** All count one record up and down at once: nothing is lost. args: rounds */
  tally: {
    setup(table, { rounds }) {
      const inode = make(table, 1);
      table.i32[inode + Inode.LOOKUPS] = 1;
      return { rounds, inode };
    },
    run(table, thread, { rounds, inode }) {
      const random = new Random(thread, 10);
      let mine = 0;
      for (let i = 0; i < rounds; i++) {
        if (mine < 3 || random.chance(60)) {
          assert(table.addLookup(inode), () => 'a live record was not counted');
          mine++;
        } else {
          const count = random.between(1, 3);
          table.dropLookups(inode, count);
          mine -= count;
        }
        assert(!table.kill(inode), () => 'killed while it was counted');
      }
      return { mine };
    },
    check: (table, { inode }, { mine }) => ({ lost: mine + 1 - table.i32[inode + Inode.LOOKUPS] }),
  },

  /** Near the greatest count: it sticks, whatever comes and goes. args: rounds */
  saturation: {
    setup(table, { rounds }) {
      const inode = make(table, 1);
      table.i32[inode + Inode.LOOKUPS] = Lookups.SATURATED - 100;
      return { rounds, inode };
    },
    run(table, _thread, { rounds, inode }) {
      for (let i = 0; i < rounds; i++) {
        assert(table.addLookup(inode), () => 'a live record was not counted');
        if (Atomics.load(table.i32, inode + Inode.LOOKUPS) >= Lookups.SATURATED) table.dropLookups(inode, 1000);
      }
      return {};
    },
    check: (table, { inode }) => ({ stuck: table.i32[inode + Inode.LOOKUPS] >= Lookups.SATURATED && !table.kill(inode) ? 1 : 0 }),
  },

  /**
   * Files with several names in several directories: names are given and taken under the directory's and the node's lock. args: rounds
   */
  aliases: {
    setup(table, { rounds }) {
      const scratch = table.memory.takePages(1);
      const list = table.memory.takePages(1) / 4;
      const directories = Array.from({ length: 4 }, (_, i) => make(table, i));
      const inodes = Array.from({ length: 8 }, (_, i) => make(table, 100 + i));
      directories.concat(inodes).forEach((inode, i) => (table.i32[list + i] = inode));
      for (let i = 0; i < 64; i++) {
        table.u8[scratch] = 65 + i;
        table.i32[list + 64 + i] = table.addDentry(directories[i % 4], scratch, 1, 8, 0);
      }
      return { rounds, list };
    },
    run(table, thread, { rounds, list }) {
      const { i32, memory } = table;
      const random = new Random(thread, 11);
      let bound = 0;
      for (let i = 0; i < rounds; i++) {
        const dentry = i32[list + 64 + random.below(64)];
        const directory = i32[dentry + Dentry.PARENT];
        memory.lock(directory + Inode.LOCK);
        const known = i32[dentry + Dentry.INODE];
        const inode = known !== 0 ? known : i32[list + 4 + random.below(8)];
        memory.lock(inode + Inode.LOCK);
        if (known === 0) {
          table.bind(dentry, inode);
          bound++;
        } else {
          assert(aliases(table, inode).has(dentry), () => 'a name is not in the chain of its file');
          table.unbind(dentry);
          assert(!aliases(table, inode).has(dentry), () => 'a name stayed in the chain');
        }
        memory.unlock(inode + Inode.LOCK);
        memory.unlock(directory + Inode.LOCK);
      }
      return { bound };
    },
    check(table, { list }) {
      const { i32 } = table;
      const chained = Array.from({ length: 8 }, (_, i) => aliases(table, i32[list + 4 + i]).size).reduce((a, b) => a + b);
      const pinned = Array.from({ length: 4 }, (_, i) => i32[i32[list + i] + Inode.PINS]).reduce((a, b) => a + b);
      let leading = 0;
      for (let i = 0; i < 64; i++) if (i32[i32[list + 64 + i] + Dentry.INODE] !== 0) leading++;
      assert(chained === leading && pinned === leading, () => `${leading} names lead to files, ${chained} are chained, ${pinned} pinned`);
      return { leading };
    },
  },

  /** Numbers are looked up and forgotten by all: never two live records of one number, and numbers that share a bucket. args: rounds */
  idents: {
    setup: (table, { rounds }) => ({ rounds, places: table.memory.takePages(1) / 4, before: table.i32[Control.PAGES_USED] }),
    run(table, thread, { rounds, places }) {
      const { i32, memory } = table;
      const random = new Random(thread, 12);
      const counted = { made: 0, found: 0 };
      const held: { inode: number; number: number; serial: number }[] = [];
      const letGo = (): void => {
        const one = held.pop();
        if (one === undefined) return;
        assert(assertAlive(table, one.inode) === one.serial, () => 'a record that is held was used for another file');
        assert(i32[one.inode + Inode.INO_LOW] === one.number, () => 'found a record of another number');
        memory.lock(places + 16 * one.number);
        i32[places + 16 * one.number + 1]--;
        memory.unlock(places + 16 * one.number);
        forget(table, one.inode);
      };
      for (let i = 0; i < rounds; i++) {
        table.epochs.enter();
        const number = random.below(48);
        const { inode, made } = lookUp(table, number, (thread << 24) | i);
        counted[made ? 'made' : 'found']++;
        // While anybody holds the number, it is this record and no other.
        const model = places + 16 * number;
        memory.lock(model);
        const before = i32[model + 2];
        assert(i32[model + 1]++ === 0 || before === inode, () => `number ${number} has two records: ${before} and ${inode}`);
        i32[model + 2] = inode;
        memory.unlock(model);
        held.push({ inode, number, serial: assertAlive(table, inode) });
        random.shuffle(held);
        while (held.length > random.below(HOLDER)) letGo();
        table.epochs.leave();
      }
      table.epochs.enter();
      while (held.length > 0) letGo();
      table.epochs.leave();
      drain(table);
      return counted;
    },
    check(table, { before }) {
      for (let bucket = 0; bucket <= Limits.IDENT_MASK; bucket++) {
        assert(table.i32[Control.IDENT_BUCKETS + bucket] === 0, () => 'something was left in the hash');
      }
      return { inodes: table.i32[Control.INODES], kept: table.i32[Control.PAGES_USED] - before };
    },
  },

  /** One bucket with many: each is found, and each can be taken out from wherever it hangs. */
  identChain: {
    setup(table) {
      const inodes = Array.from({ length: 2000 }, (_, i) => lookUp(table, Math.imul(i, 0x10001), i).inode);
      const random = new Random(3, 13);
      random.shuffle(inodes);
      inodes.forEach((inode, i) => {
        const number = table.i32[inode + Inode.INO_LOW];
        assert(table.findIdent(MOUNT, number, number >>> 3) === inode, () => `${number} is not found`);
        assert(table.findIdent(MOUNT + 1, number, number >>> 3) === 0, () => 'found in another mount');
        if (i % 2 === 0) table.removeIdent(inode);
        table.removeIdent(inode); // the second time it does nothing
        assert((table.i32[inode + Inode.FLAGS] & InodeFlags.IDENT) === 0, () => 'the flag stayed');
        assert(table.findIdent(MOUNT, number, number >>> 3) === 0, () => `${number} is found after it was removed`);
      });
      return { removed: inodes.length };
    },
    check: (_table, shared) => shared,
  },
};

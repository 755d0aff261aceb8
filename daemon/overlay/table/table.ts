/** One thread's view of the node table: records made, hung, found and freed. What they mean and the locks: layout.ts. */
import { native, JobSlot } from '../../../native-bindings/index';
import { Allocator } from './allocator';
import { Epochs } from './epoch';
import { packStat, PACKED_WORDS, unpackStat } from '../../layers/packed-stat';
import { Blob, Control, Dentry, DentryFlags, Inode, InodeFlags, Limits, LoadState, LOWER_WORDS, Lookups, MountWord } from './layout';
import { Memory, TableFull } from './memory';

/** In words. */
const JOB_HOLDERS = JobSlot.holders / 4;

const SLASH = 0x2f;

/** Where a dentry keeps a stat record: behind the name and its NUL. */
function statWord(dentry: number, nameLength: number): number {
  return dentry + Dentry.NAME + ((nameLength + 4) >> 2);
}

/** Serial of the first name of a directory that is loaded: as many can come after it as before. */
const FIRST_SERIAL = 1 << 30;
/** The smaller ones are the cookies of "." and "..". */
const LEAST_SERIAL = 3;

export class Table {
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly allocator: Allocator;
  readonly epochs: Epochs;

  constructor(
    readonly memory: Memory,
    readonly worker: number,
  ) {
    this.u8 = memory.u8;
    this.u32 = memory.u32;
    this.i32 = memory.i32;
    this.allocator = new Allocator(memory);
    this.epochs = new Epochs(memory, this.allocator, worker);
  }

  mountRecord(index: number): number {
    return Control.MOUNTS + index * MountWord.SIZE;
  }

  // ---- blobs -----------------------------------------------------------------------------------------------------------------------

  /** A zeroed one for `bytes`, its length still to be written; one reference. */
  takeBlob(bytes: number): number {
    const blob = this.allocator.take(Blob.DATA * 4 + bytes);
    this.u32[blob + Blob.COUNT] = 1;
    return blob;
  }

  /** A copy of `length` bytes at `from` with a NUL behind it; one reference. */
  bytesBlob(from: number, length: number): number {
    const blob = this.allocator.take(Blob.DATA * 4 + length + 1);
    this.u32[blob + Blob.COUNT] = 1;
    this.u32[blob + Blob.LENGTH] = length;
    const at = (blob + Blob.DATA) * 4;
    this.u8.copyWithin(at, from, from + length);
    this.u8[at + length] = 0;
    return blob;
  }

  /** The path of the name of `length` bytes at `name` in the directory with the path `parent`; one reference. */
  pathBlob(parent: number, name: number, length: number): number {
    const { u8, u32 } = this;
    const head = parent === 0 ? 0 : u32[parent + Blob.LENGTH];
    const before = head === 0 ? 0 : head + 1;
    const blob = this.allocator.take(Blob.DATA * 4 + before + length + 1);
    u32[blob + Blob.COUNT] = 1;
    u32[blob + Blob.LENGTH] = before + length;
    const at = this.blobBytes(blob);
    const from = this.blobBytes(parent);
    for (let i = 0; i < head; i++) u8[at + i] = u8[from + i];
    if (head > 0) u8[at + head] = SLASH;
    for (let i = 0; i < length; i++) u8[at + before + i] = u8[name + i];
    return blob; // the cell was zeroed: the NUL is there
  }

  /** A list of words; one reference. */
  listBlob(words: readonly number[]): number {
    const blob = this.allocator.take((Blob.DATA + words.length) * 4);
    this.u32[blob + Blob.COUNT] = 1;
    this.u32[blob + Blob.LENGTH] = words.length;
    for (let i = 0; i < words.length; i++) this.u32[blob + Blob.DATA + i] = words[i];
    return blob;
  }

  holdBlob(blob: number): number {
    if (blob !== 0) Atomics.add(this.i32, blob + Blob.COUNT, 1);
    return blob;
  }

  /** Drops a reference; the last one retires it (a reader may still look). */
  dropBlob(blob: number): void {
    if (blob !== 0 && Atomics.sub(this.i32, blob + Blob.COUNT, 1) === 1) this.epochs.retire(blob);
  }

  blobBytes(blob: number): number {
    return (blob + Blob.DATA) * 4;
  }

  /** Drops a directory's list of lowers with the paths in it. */
  dropLowers(list: number): void {
    if (list === 0 || Atomics.sub(this.i32, list + Blob.COUNT, 1) !== 1) return;
    const length = this.u32[list + Blob.LENGTH];
    for (let i = 1; i < length; i += LOWER_WORDS) this.dropBlob(this.u32[list + Blob.DATA + i]);
    this.epochs.retire(list);
  }

  // ---- dentries --------------------------------------------------------------------------------------------------------------------

  hash(parent: number, name: number, length: number): number {
    const { u8 } = this;
    let h = Math.imul(parent, 0x9e3779b1) | 0;
    for (let i = 0; i < length; i++) h = Math.imul(h ^ u8[name + i], 0x01000193);
    h ^= h >>> 15;
    h = Math.imul(h, 0x85ebca6b);
    return (h ^ (h >>> 13)) | 0;
  }

  /** The dentry of a name in a loaded directory, whiteouts included; 0: none. Takes no lock. */
  find(parent: number, name: number, length: number, hash = this.hash(parent, name, length)): number {
    const { i32, u8 } = this;
    let dentry = Atomics.load(i32, Control.DENTRY_BUCKETS + (hash & Limits.DENTRY_MASK));
    outer: for (; dentry !== 0; dentry = Atomics.load(i32, dentry + Dentry.HASH_NEXT)) {
      if (i32[dentry + Dentry.HASH] !== hash || i32[dentry + Dentry.PARENT] !== parent) continue;
      const flags = i32[dentry + Dentry.FLAGS];
      if (flags >>> DentryFlags.NAME_SHIFT !== length || (flags & DentryFlags.DEAD) !== 0) continue;
      const at = (dentry + Dentry.NAME) * 4;
      for (let i = 0; i < length; i++) if (u8[at + i] !== u8[name + i]) continue outer;
      return dentry;
    }
    return 0;
  }

  /** Byte offset of a dentry's name, NUL-terminated. */
  name(dentry: number): number {
    return (dentry + Dentry.NAME) * 4;
  }

  nameLength(dentry: number): number {
    return this.i32[dentry + Dentry.FLAGS] >>> DentryFlags.NAME_SHIFT;
  }

  /**
   * Makes the dentry of a name that has none and hangs it into its directory, at the end while that is loaded, afterwards in front (Dentry.COOKIE); the caller holds
   * the directory's lock. `flags`: type and DentryFlags; with STAT there is room for keepStat. Throws TableFull and changes nothing.
   */
  addDentry(parent: number, name: number, length: number, flags: number, inode: number): number {
    const { i32, u8 } = this;
    const bytes = (flags & DentryFlags.STAT) === 0 ? Dentry.NAME * 4 + length + 1 : (statWord(0, length) + PACKED_WORDS) * 4;
    const dentry = this.allocator.take(bytes);
    const hash = this.hash(parent, name, length);
    i32[dentry + Dentry.PARENT] = parent;
    i32[dentry + Dentry.HASH] = hash;
    i32[dentry + Dentry.FLAGS] = flags | (length << DentryFlags.NAME_SHIFT);
    i32[dentry + Dentry.INODE] = inode;
    const at = (dentry + Dentry.NAME) * 4;
    for (let i = 0; i < length; i++) u8[at + i] = u8[name + i];
    if (i32[parent + Inode.LOAD] === LoadState.LOADED) this.putFirst(parent, dentry, this.serialInFront(parent));
    else {
      i32[dentry + Dentry.COOKIE] = this.lastSerial(parent) + 1;
      this.link(parent, i32[parent + Inode.LAST], dentry, 0);
    }
    if ((flags & (DentryFlags.WHITEOUT | DentryFlags.HIDDEN)) === 0) i32[parent + Inode.ENTRIES]++;
    this.hang(dentry, hash);
    Atomics.add(i32, Control.DENTRIES, 1);
    return dentry;
  }

  /** Serial of the last dentry of a directory that is loaded just now. */
  lastSerial(directory: number): number {
    const last = this.i32[directory + Inode.LAST];
    return last === 0 ? FIRST_SERIAL - 1 : this.i32[last + Dentry.COOKIE];
  }

  /** The next one before all that were given; when there are none left, the directory's dentries get others, and who reads it just now may see some of them twice. */
  private serialInFront(directory: number): number {
    const { i32 } = this;
    const lowest = i32[directory + Inode.COOKIE] || FIRST_SERIAL;
    if (lowest > LEAST_SERIAL) return lowest - 1;
    let serial = FIRST_SERIAL;
    for (let dentry = i32[directory + Inode.FIRST]; dentry !== 0; dentry = i32[dentry + Dentry.NEXT])
      i32[dentry + Dentry.COOKIE] = serial++;
    return FIRST_SERIAL - 1;
  }

  private putFirst(directory: number, dentry: number, serial: number): void {
    const { i32 } = this;
    i32[dentry + Dentry.COOKIE] = serial;
    i32[directory + Inode.COOKIE] = serial;
    this.link(directory, 0, dentry, i32[directory + Inode.FIRST]);
  }

  /** Hangs a dentry between two that are neighbours, or at an end (0). */
  private link(directory: number, previous: number, dentry: number, next: number): void {
    const { i32 } = this;
    i32[dentry + Dentry.PREVIOUS] = previous;
    i32[dentry + Dentry.NEXT] = next;
    if (previous === 0) i32[directory + Inode.FIRST] = dentry;
    else i32[previous + Dentry.NEXT] = dentry;
    if (next === 0) i32[directory + Inode.LAST] = dentry;
    else i32[next + Dentry.PREVIOUS] = dentry;
  }

  private unlink(directory: number, dentry: number): void {
    const { i32 } = this;
    const [previous, next] = [i32[dentry + Dentry.PREVIOUS], i32[dentry + Dentry.NEXT]];
    if (previous === 0) i32[directory + Inode.FIRST] = next;
    else i32[previous + Dentry.NEXT] = next;
    if (next === 0) i32[directory + Inode.LAST] = previous;
    else i32[next + Dentry.PREVIOUS] = previous;
  }

  /** Keeps the stat record at the offset `stat` with a dentry that was made with DentryFlags.STAT and is not yet seen by others. */
  keepStat(dentry: number, stat: number): void {
    packStat(this.u32, stat >> 2, statWord(dentry, this.nameLength(dentry)));
  }

  /** Writes it to the offset `stat`, all but the inode number. */
  keptStat(dentry: number, stat: number): void {
    unpackStat(this.u32, statWord(dentry, this.nameLength(dentry)), stat >> 2);
  }

  private hang(dentry: number, hash: number): void {
    const { i32 } = this;
    const bucket = Control.DENTRY_BUCKETS + (hash & Limits.DENTRY_MASK);
    const stripe = Control.STRIPES + (hash & Limits.STRIPE_MASK);
    this.memory.lock(stripe);
    i32[dentry + Dentry.HASH_NEXT] = i32[bucket];
    Atomics.store(i32, bucket, dentry);
    this.memory.unlock(stripe);
  }

  /** Unhangs a dentry that has no inode record and retires it; the caller holds the directory's lock. */
  removeDentry(dentry: number): void {
    const { i32 } = this;
    const hash = i32[dentry + Dentry.HASH];
    const parent = i32[dentry + Dentry.PARENT];
    const bucket = Control.DENTRY_BUCKETS + (hash & Limits.DENTRY_MASK);
    const stripe = Control.STRIPES + (hash & Limits.STRIPE_MASK);
    this.memory.lock(stripe);
    const next = i32[dentry + Dentry.HASH_NEXT];
    if (i32[bucket] === dentry) Atomics.store(i32, bucket, next);
    else {
      let before = i32[bucket];
      while (before !== 0 && i32[before + Dentry.HASH_NEXT] !== dentry) before = i32[before + Dentry.HASH_NEXT];
      if (before !== 0) Atomics.store(i32, before + Dentry.HASH_NEXT, next);
    }
    this.memory.unlock(stripe);
    this.unlink(parent, dentry);
    const flags = i32[dentry + Dentry.FLAGS];
    if ((flags & (DentryFlags.WHITEOUT | DentryFlags.HIDDEN)) === 0) i32[parent + Inode.ENTRIES]--;
    Atomics.store(i32, dentry + Dentry.FLAGS, flags | DentryFlags.DEAD);
    this.dropBlob(i32[dentry + Dentry.LOWERS]);
    i32[dentry + Dentry.LOWERS] = 0;
    Atomics.sub(i32, Control.DENTRIES, 1);
    this.epochs.retire(dentry);
  }

  /**
   * `dentry`, which was just made, and `other` change places in their directory: readers find what has got a new name once, before or after. The caller holds
   * the directory's lock.
   */
  changePlaces(dentry: number, other: number): void {
    const { i32 } = this;
    const directory = i32[dentry + Dentry.PARENT];
    const serial = i32[dentry + Dentry.COOKIE];
    this.unlink(directory, dentry); // it was in front
    const [previous, next] = [i32[other + Dentry.PREVIOUS], i32[other + Dentry.NEXT]];
    this.unlink(directory, other);
    i32[dentry + Dentry.COOKIE] = i32[other + Dentry.COOKIE];
    this.link(directory, previous, dentry, next);
    this.putFirst(directory, other, serial);
  }

  /** Changes a dentry's flags (not the name's length); ENTRIES follows the whiteout bit. The caller holds the directory's lock. */
  setDentryFlags(dentry: number, flags: number): void {
    const { i32 } = this;
    const was = i32[dentry + Dentry.FLAGS];
    const parent = i32[dentry + Dentry.PARENT];
    const hidden = DentryFlags.WHITEOUT | DentryFlags.HIDDEN;
    if ((was & hidden) !== 0 && (flags & hidden) === 0) i32[parent + Inode.ENTRIES]++;
    if ((was & hidden) === 0 && (flags & hidden) !== 0) i32[parent + Inode.ENTRIES]--;
    Atomics.store(i32, dentry + Dentry.FLAGS, (was & ~0xffff) | (flags & 0xffff));
  }

  /** Joins dentry and inode record: the name leads to it, and it knows the name. The caller holds the directory's and the node's lock. */
  bind(dentry: number, inode: number): void {
    const { i32 } = this;
    i32[dentry + Dentry.ALIAS] = i32[inode + Inode.DENTRY];
    i32[inode + Inode.DENTRY] = dentry;
    Atomics.add(i32, i32[dentry + Dentry.PARENT] + Inode.PINS, 1);
    Atomics.store(i32, dentry + Dentry.INODE, inode);
  }

  /** The reverse of bind. The caller holds the node's lock and the directory's, or the inode record is dead. */
  unbind(dentry: number): void {
    const { i32 } = this;
    const inode = i32[dentry + Dentry.INODE];
    if (inode === 0) return;
    if (i32[inode + Inode.DENTRY] === dentry) i32[inode + Inode.DENTRY] = i32[dentry + Dentry.ALIAS];
    else {
      let before = i32[inode + Inode.DENTRY];
      while (before !== 0 && i32[before + Dentry.ALIAS] !== dentry) before = i32[before + Dentry.ALIAS];
      if (before !== 0) i32[before + Dentry.ALIAS] = i32[dentry + Dentry.ALIAS];
    }
    i32[dentry + Dentry.ALIAS] = 0;
    Atomics.store(i32, dentry + Dentry.INODE, 0);
    Atomics.sub(i32, i32[dentry + Dentry.PARENT] + Inode.PINS, 1);
  }

  // ---- inode records -----------------------------------------------------------------------------------------------------------------

  /** A fresh record, hung nowhere, with no lookup counted. */
  newInode(mount: number): number {
    const { i32 } = this;
    const inode = this.allocator.take(Inode.SIZE * 4, true);
    i32[inode + Inode.GENERATION] = Atomics.add(i32, Control.GENERATION, 1) & 0x7fffffff;
    i32[inode + Inode.MOUNT] = mount;
    Atomics.add(i32, Control.INODES, 1);
    Atomics.add(i32, this.mountRecord(mount) + MountWord.INODES, 1);
    return inode;
  }

  /** Adds one to the kernel's references; false when the record is dead. Saturates. */
  addLookup(inode: number): boolean {
    const { i32 } = this;
    for (;;) {
      const count = Atomics.load(i32, inode + Inode.LOOKUPS);
      if (count < 0) return false;
      if (count >= Lookups.SATURATED) return true;
      if (Atomics.compareExchange(i32, inode + Inode.LOOKUPS, count, count + 1) === count) return true;
    }
  }

  /** Takes `count` references away; returns what is left. A saturated count stays: such a node lives as long as its mount. */
  dropLookups(inode: number, count: number): number {
    const { i32 } = this;
    for (;;) {
      const was = Atomics.load(i32, inode + Inode.LOOKUPS);
      if (was < 0 || was >= Lookups.SATURATED) return was;
      const left = was > count ? was - count : 0;
      if (Atomics.compareExchange(i32, inode + Inode.LOOKUPS, was, left) === was) return left;
    }
  }

  /** Moves a record whose count is 0 to dead: nobody can count on it any more. False when somebody did. */
  kill(inode: number): boolean {
    return Atomics.compareExchange(this.i32, inode + Inode.LOOKUPS, 0, Lookups.DEAD) === 0;
  }

  /** Retires a dead record and what it holds in the table. It must be unbound from all dentries and out of the ident hash. */
  freeInode(inode: number): void {
    const { i32 } = this;
    this.dropBlob(i32[inode + Inode.DATA_PATH]);
    if ((i32[inode + Inode.MODE] & 0o170000) !== 0o040000) this.dropBlob(i32[inode + Inode.LOWER_PATH]);
    this.dropLowers(i32[inode + Inode.LOWERS]);
    this.dropBlob(i32[inode + Inode.ORIGIN]);
    this.dropBlob(i32[inode + Inode.INDEX_NAME]);
    Atomics.sub(i32, Control.INODES, 1);
    Atomics.sub(i32, this.mountRecord(i32[inode + Inode.MOUNT]) + MountWord.INODES, 1);
    i32[inode + Inode.MOUNT] = 0; // no mount has index 0: whoever looks through the pages passes it over
    this.epochs.retire(inode);
  }

  // ---- ident hash: (mount, inode number as shown) -> inode record, for what may have several names ----------------------------------------

  private identHash(mount: number, low: number, high: number): number {
    let h = Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b) ^ Math.imul(mount, 0xc2b2ae35);
    h ^= h >>> 15;
    return h;
  }

  private identLock(hash: number): number {
    return Control.IDENT_STRIPES + (hash & 255);
  }

  /** Finds the live record of an inode number and counts a lookup on it; 0: none. */
  findIdent(mount: number, low: number, high: number): number {
    const { i32 } = this;
    const hash = this.identHash(mount, low, high);
    const lock = this.identLock(hash);
    this.memory.lock(lock);
    let inode = i32[Control.IDENT_BUCKETS + (hash & Limits.IDENT_MASK)];
    while (inode !== 0) {
      if (
        i32[inode + Inode.INO_LOW] === (low | 0) &&
        i32[inode + Inode.INO_HIGH] === (high | 0) &&
        i32[inode + Inode.MOUNT] === mount &&
        this.addLookup(inode)
      )
        break;
      inode = i32[inode + Inode.IDENT_NEXT];
    }
    this.memory.unlock(lock);
    return inode;
  }

  /**
   * Hangs a record into the hash and returns it; or, when a live one of the same inode number hangs there already (two workers came at
   * once, by two names, and findIdent told both that there is none), returns that one with a lookup counted: the caller's is one too many.
   */
  addIdent(inode: number): number {
    const { i32 } = this;
    const [mount, low, high] = [i32[inode + Inode.MOUNT], i32[inode + Inode.INO_LOW], i32[inode + Inode.INO_HIGH]];
    const hash = this.identHash(mount, low, high);
    const lock = this.identLock(hash);
    const bucket = Control.IDENT_BUCKETS + (hash & Limits.IDENT_MASK);
    this.memory.lock(lock);
    let other = i32[bucket];
    while (other !== 0) {
      if (other === inode) break;
      if (
        i32[other + Inode.INO_LOW] === low &&
        i32[other + Inode.INO_HIGH] === high &&
        i32[other + Inode.MOUNT] === mount &&
        this.addLookup(other)
      )
        break;
      other = i32[other + Inode.IDENT_NEXT];
    }
    if (other === 0) {
      i32[inode + Inode.IDENT_NEXT] = i32[bucket];
      i32[bucket] = inode;
      Atomics.or(i32, inode + Inode.FLAGS, InodeFlags.IDENT);
      other = inode;
    }
    this.memory.unlock(lock);
    return other;
  }

  removeIdent(inode: number): void {
    const { i32 } = this;
    if ((Atomics.load(i32, inode + Inode.FLAGS) & InodeFlags.IDENT) === 0) return;
    const hash = this.identHash(i32[inode + Inode.MOUNT], i32[inode + Inode.INO_LOW], i32[inode + Inode.INO_HIGH]);
    const lock = this.identLock(hash);
    this.memory.lock(lock);
    const bucket = Control.IDENT_BUCKETS + (hash & Limits.IDENT_MASK);
    let before = 0;
    for (let at = i32[bucket]; at !== 0; before = at, at = i32[at + Inode.IDENT_NEXT]) {
      if (at !== inode) continue;
      if (before === 0) i32[bucket] = i32[inode + Inode.IDENT_NEXT];
      else i32[before + Inode.IDENT_NEXT] = i32[inode + Inode.IDENT_NEXT];
      break;
    }
    Atomics.and(i32, inode + Inode.FLAGS, ~InodeFlags.IDENT);
    this.memory.unlock(lock);
  }

  // ---- slow jobs ---------------------------------------------------------------------------------------------------------------------

  /**
   * A job slot of its own, zeroed; its byte offset. Throws TableFull when 1,024 jobs are under way. A slot is free when nobody holds it: he who
   * took it until giveJob, and the pool from jobSubmit until it has looked whom to wake, which is after the job is done for all to see.
   */
  takeJob(): number {
    const { i32, u32 } = this;
    this.memory.lock(Control.JOBS_LOCK);
    try {
      for (let i = 0; i < Limits.MAX_JOBS; i++) {
        const slot = Control.JOBS + i * (JobSlot.SIZE / 4);
        if (Atomics.load(i32, slot + JOB_HOLDERS) !== 0) continue;
        u32.fill(0, slot, slot + JobSlot.SIZE / 4);
        i32[slot + JOB_HOLDERS] = 1;
        return slot * 4;
      }
    } finally {
      this.memory.unlock(Control.JOBS_LOCK);
    }
    throw new TableFull('1,024 slow jobs are under way');
  }

  giveJob(slot: number): void {
    Atomics.sub(this.i32, slot / 4 + JOB_HOLDERS, 1);
  }

  /** Has the job ended? Its result is then valid. Otherwise this worker is woken when it has. */
  jobDone(slot: number): boolean {
    const { i32 } = this;
    const state = (slot + JobSlot.state) / 4;
    if (Atomics.load(i32, state) === 2) return true;
    Atomics.or(i32, (slot + JobSlot.notify) / 4, 1 << this.worker);
    return Atomics.load(i32, state) === 2;
  }

  /** Submits a filled-in job slot; this worker is woken at its end. Throws when the pool refuses. */
  submitJob(slot: number): number {
    Atomics.or(this.i32, (slot + JobSlot.notify) / 4, 1 << this.worker);
    return native.jobSubmit(slot);
  }
}

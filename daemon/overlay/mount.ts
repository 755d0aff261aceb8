/**
 * A worker's view of one mount, and the gates from a node to its place on disk: no other code finds a descriptor or builds a name for
 * a system call. A place is (dirfd, name): the gate leaves it in `placeFd` and `placeName`, and whom to ask about it in `placeFiles`.
 */
import { disk, DirentType, Mode, O, O_DIRECTORY, type Disk } from '../layers/disk';
import { ImportedLower } from '../layers/imported';
import { DirectoryLower, type Files, FIRST_ROW, type Lower, openQuietly } from '../layers/lower';
import { Names } from '../layers/names';
import { OverriddenLower, OverriddenUpper, type OverridePlace, type UpperFiles } from '../layers/override';
import { Override, OVERRIDES } from '../layers/override-names';
import { Errno } from '../errno';
import { FdCache } from './fd-cache';
import { isShared, ownNode } from './image';
import { shownHigh, shownLow } from './inode-numbers';
import {
  Blob,
  Dentry,
  DentryFlags,
  Inode,
  InodeFlags,
  LAYER_ID_BYTES,
  LOWER_WORDS,
  LowerHandle,
  MountFlags,
  MountState,
  MountWord,
} from './table/layout';
import type { Table } from './table/table';
import { View, viewSeconds } from './view';
import type { Scratch, WorkerContext } from './worker';

export class Mount {
  readonly table: Table;
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly disk: Disk = disk;
  readonly scratch: Scratch;
  readonly names: Names;
  readonly record: number;
  readonly root: number;
  readonly flags: number;
  readonly writable: boolean;
  readonly upperFd: number;
  readonly workFd: number;
  readonly indexFd: number;
  readonly orphansFd: number;
  readonly device: number;
  readonly layerFds: readonly number[];
  /** the same, as whom to ask; topmost first */
  readonly lowers: readonly Lower[];
  /** what it shares with other mounts (image.ts), and the list of its words about that */
  readonly image?: Mount;
  readonly sharedWords: number;
  /** is it such, and no mount? */
  readonly isImage: boolean;
  /** an image's: are directories loaded before they are asked for (ahead.ts), and where this worker is with that: a dentry for each level */
  readonly readsAhead: boolean;
  readonly ahead: number[] = [];
  prepared = false;
  /** how owners are shown (view.ts); undefined: as they are */
  readonly view: View | undefined;
  /** how long the kernel may believe names and attributes */
  readonly seconds: number;
  /** whom to ask about owners and modes in the upper, and to change them */
  readonly upper: UpperFiles;
  /** are they kept in xattrs: in the upper; anywhere? */
  readonly overridesUpper: boolean;
  /** how the upper's files are opened to be read: with `noatime` quietly, where its mount is no clone that would see to it (private-mounts.ts) */
  readonly openUpper: Disk['openat'];
  readonly hasOverrides: boolean;
  /** what the last gate found */
  placeFiles: Files = disk;
  placeFd = -1;
  placeName = 0;
  /** did the last lowerDirectory open the descriptor? Nobody has read from it then */
  isFresh = false;
  /** what ownJob's last finished job counted */
  jobCount = 0;
  private readonly fds: FdCache;

  constructor(
    readonly context: WorkerContext,
    readonly index: number,
  ) {
    const table = context.table;
    this.table = table;
    this.u8 = table.u8;
    this.i32 = table.i32;
    this.u32 = table.u32;
    this.scratch = context.scratch;
    this.record = table.mountRecord(index);
    const word = (at: number): number => this.i32[this.record + at];
    this.flags = word(MountWord.FLAGS);
    this.root = word(MountWord.ROOT);
    this.writable = (this.flags & MountFlags.WRITABLE) !== 0;
    this.upperFd = word(MountWord.UPPER_FD);
    this.workFd = word(MountWord.WORK_FD);
    this.indexFd = word(MountWord.INDEX_FD);
    this.orphansFd = word(MountWord.ORPHANS_FD);
    this.device = word(MountWord.DEVICE_FD);
    this.view = View.of(table, word(MountWord.VIEW));
    this.seconds = viewSeconds(table, word(MountWord.VIEW));
    const layers = word(MountWord.LAYERS);
    this.layerFds = Array.from(this.i32.subarray(layers + Blob.DATA, layers + Blob.DATA + word(MountWord.LAYER_COUNT)));
    const user = (this.flags & MountFlags.USERXATTR) !== 0;
    const half = this.scratch.namesCapacity / 2;
    this.names = new Names(this.u8, this.scratch.names + (user ? half : 0), half, user);
    this.hasOverrides = word(MountWord.OVERRIDES) !== 0;
    const override = this.overrideAt(-1);
    this.overridesUpper = override !== Override.NONE;
    this.upper = this.overridesUpper ? new OverriddenUpper(this.overridePlace(override), this.scratch.stat3) : disk;
    this.openUpper = this.has(MountFlags.NOATIME) ? openQuietly : disk.openat;
    this.fds = new FdCache(disk);
    this.isImage = word(MountWord.STATE) === MountState.IMAGE;
    const image = word(MountWord.IMAGE);
    if (image !== 0) this.image = context.images.view(image, () => new Mount(context, image));
    this.sharedWords = word(MountWord.SHARED_WORDS);
    this.lowers = this.image?.lowers ?? this.layerFds.map((fd, layer) => this.makeLower(fd, layer));
    this.readsAhead = this.isImage && this.lowers.every((lower) => lower.isListed);
  }

  detach(): void {
    this.fds.clear();
    if (this.image !== undefined) this.context.images.leave(this.image);
    else for (const lower of this.lowers) lower.detach();
  }

  private makeLower(fd: number, layer: number): Lower {
    const ids = this.i32[this.record + MountWord.LAYER_IDS];
    const at = ids === 0 ? 0 : this.table.blobBytes(ids) + layer * LAYER_ID_BYTES;
    const id = Buffer.from(this.u8.subarray(at, ids === 0 ? at : at + LAYER_ID_BYTES));
    const override = this.overrideAt(layer);
    if (override !== Override.NONE) return new OverriddenLower(fd, this.overridePlace(override));
    if (id.every((byte) => byte === 0)) return new DirectoryLower(fd, this.u8);
    const place = {
      objects: this.i32[this.record + MountWord.OBJECTS_FD],
      path: this.scratch.object,
      prefix: this.names.prefix,
    };
    return new ImportedLower(fd, id.toString('hex'), this.table.memory, place);
  }

  /** Under which xattr a layer keeps owners and modes; -1: the upper. */
  private overrideAt(layer: number): Override {
    const list = this.i32[this.record + MountWord.OVERRIDES];
    const word = list === 0 ? 0 : this.i32[list + Blob.DATA + layer + 1];
    return OVERRIDES[word];
  }

  private overridePlace(override: Override): OverridePlace {
    return { u8: this.u8, u32: this.u32, xattr: this.names.overrides[override], value: this.scratch.override };
  }

  private readonly uuids = new Map<number, Uint8Array>();

  /** Whose file handles a layer's are: part of the kernel's origin handles. */
  layerUuid(layer: number): Uint8Array {
    const known = this.uuids.get(layer);
    if (known !== undefined) return known;
    const uuid = new Uint8Array(16);
    this.lowers[layer].uuid(uuid, this.scratch.words);
    this.uuids.set(layer, uuid);
    return uuid;
  }

  has(flag: MountFlags): boolean {
    return (this.flags & flag) !== 0;
  }

  // ---- ids: as the kernel has them, and as they are kept (view.ts) ---------------------------------------------------------------------

  /** -1: as none */
  keptUid(id: number): number {
    return this.view === undefined ? id : this.view.keptUid(id);
  }

  keptGid(id: number): number {
    return this.view === undefined ? id : this.view.keptGid(id);
  }

  shownGid(id: number): number {
    return this.view === undefined ? id : this.view.shownGid(id);
  }

  // ---- locks -------------------------------------------------------------------------------------------------------------------------

  lock(node: number): void {
    this.table.memory.lock(node + Inode.LOCK);
  }

  unlock(node: number): void {
    this.table.memory.unlock(node + Inode.LOCK);
  }

  // ---- nodes -------------------------------------------------------------------------------------------------------------------------

  /** The inode record of a nodeid; 0 when it is none of this mount (the kernel never asks for such: ESTALE). */
  node(nodeid: number): number {
    if (nodeid === 1) return this.root;
    if (!this.table.allocator.isInode(nodeid)) return 0;
    const mount = this.i32[nodeid + Inode.MOUNT];
    if (mount !== this.index) return this.image !== undefined && mount === this.image.index ? ownNode(this, nodeid) : 0;
    return Atomics.load(this.i32, nodeid + Inode.LOOKUPS) > 0 ? nodeid : 0;
  }

  /** The same for what only looks: it may be the image's node, whose place is to be found through its own mount. */
  nodeToLookAt(nodeid: number): number {
    return isShared(this, nodeid) ? nodeid : this.node(nodeid);
  }

  /** The mount through which a node's place is found: this one, or the image. */
  holderOf(node: number): Mount {
    return this.image !== undefined && this.i32[node + Inode.MOUNT] === this.image.index ? this.image : this;
  }

  nodeid(node: number): number {
    if (node === this.root) return 1;
    return this.i32[node + Inode.SHARED] || node;
  }

  /** The generation that goes with the nodeid. */
  generation(node: number): number {
    return this.i32[(this.i32[node + Inode.SHARED] || node) + Inode.GENERATION];
  }

  nodeFlags(node: number): number {
    return Atomics.load(this.i32, node + Inode.FLAGS);
  }

  setFlags(node: number, flags: number): void {
    Atomics.or(this.i32, node + Inode.FLAGS, flags);
  }

  clearFlags(node: number, flags: number): void {
    Atomics.and(this.i32, node + Inode.FLAGS, ~flags);
  }

  isDirectory(node: number): boolean {
    return (this.i32[node + Inode.MODE] & Mode.TYPE) === Mode.DIRECTORY;
  }

  isRegular(node: number): boolean {
    return (this.i32[node + Inode.MODE] & Mode.TYPE) === Mode.REGULAR;
  }

  /** Number of lowers of a directory. */
  lowerCount(directory: number): number {
    const list = this.i32[directory + Inode.LOWERS];
    return list === 0 ? 0 : this.i32[list + Blob.LENGTH] / LOWER_WORDS;
  }

  /** Layer index of a directory's lower at `position` (0: topmost). */
  lowerLayer(directory: number, position: number): number {
    return this.i32[this.i32[directory + Inode.LOWERS] + Blob.DATA + LOWER_WORDS * position];
  }

  /** Path blob of it. */
  lowerPath(directory: number, position: number): number {
    return this.i32[this.i32[directory + Inode.LOWERS] + Blob.DATA + LOWER_WORDS * position + 1];
  }

  /** Has its lower at `position` been found to have no mark of an overlay? */
  isUnmarked(directory: number, position: number): boolean {
    return this.i32[this.i32[directory + Inode.LOWERS] + Blob.DATA + LOWER_WORDS * position + 2] === (LowerHandle.UNMARKED as number);
  }

  // ---- inode numbers as they are shown (inode-numbers.ts) ----------------------------------------------------------------------------------

  private slot(layer: number): number {
    return this.layerFds.length - layer;
  }

  /** Low word of the number shown for the inode (low, high) of lower `layer`, or of the upper (layer -1). */
  inoLow(low: number, high: number, layer: number): number {
    return shownLow(low, high, this.slot(layer));
  }

  /** The high word of it. */
  inoHigh(low: number, high: number, layer: number): number {
    return shownHigh(low, high, this.slot(layer));
  }

  /** Writes both to two words of the table. */
  putNumber(word: number, low: number, high: number, layer: number): void {
    this.i32[word] = this.inoLow(low, high, layer);
    this.i32[word + 1] = this.inoHigh(low, high, layer);
  }

  // ---- gates: to be used under the mount's rename lock, shared or exclusive ------------------------------------------------------------

  /** O_PATH descriptor of a directory's upper, owned by the cache; negative errno. */
  upperDirectory(directory: number): number {
    if (directory === this.root) return this.upperFd;
    const { i32 } = this;
    const cached = this.fds.get(directory, i32[directory + Inode.GENERATION], 0);
    if (cached >= 0) return cached;
    // up to the nearest ancestor that is open, then down again
    const way = [directory];
    let fd = -1;
    for (let at = directory; ;) {
      const dentry = i32[at + Inode.DENTRY];
      if (dentry === 0) return -Errno.ENOENT;
      at = i32[dentry + Dentry.PARENT];
      fd = at === this.root ? this.upperFd : this.fds.get(at, i32[at + Inode.GENERATION], 0);
      if (fd >= 0) break;
      way.push(at);
    }
    for (let i = way.length - 1; i >= 0; i--) {
      const name = this.table.name(i32[way[i] + Inode.DENTRY]);
      fd = disk.openBeneath(fd, name, O.PATH | O_DIRECTORY, 0);
      if (fd < 0) return fd;
      this.fds.put(way[i], i32[way[i] + Inode.GENERATION], 0, fd);
    }
    return fd;
  }

  /**
   * Handle of a directory's lower at `position`: a row's, or a descriptor owned by the cache (open for reading, or O_PATH where that is not allowed);
   * negative errno.
   */
  lowerDirectory(directory: number, position: number): number {
    const { i32 } = this;
    const known = i32[directory + Inode.LOWERS] + Blob.DATA + LOWER_WORDS * position + 2;
    this.isFresh = false;
    if (i32[known] >= FIRST_ROW) return i32[known];
    const generation = i32[directory + Inode.GENERATION];
    const cached = this.fds.get(directory, generation, position + 1);
    if (cached >= 0) return cached;
    this.isFresh = true;
    const path = this.lowerPath(directory, position);
    const lower = this.lowers[this.lowerLayer(directory, position)];
    const fd = lower.openDirectory(this.table.blobBytes(path), i32[path + Blob.LENGTH], 1);
    if (fd >= FIRST_ROW) i32[known] = fd;
    else if (fd >= 0) this.fds.put(directory, generation, position + 1, fd);
    return fd;
  }

  private placeAt(files: Files, fd: number, name: number): number {
    this.placeFiles = files;
    this.placeFd = fd;
    this.placeName = name;
    return fd < 0 ? fd : 0;
  }

  /** The place of a node's metadata: its upper if it is there, else its lower. 0 or negative errno. */
  place(node: number): number {
    const flags = this.nodeFlags(node);
    if ((flags & InodeFlags.UPPER) === 0) return this.lowerPlace(node);
    if (this.isDirectory(node)) return this.placeAt(disk, this.upperDirectory(node), this.names.empty);
    return this.upperPlace(node, flags);
  }

  private upperPlace(node: number, flags: number): number {
    const { i32 } = this;
    if ((flags & InodeFlags.ORPHAN) !== 0) return this.placeAt(disk, this.orphansFd, this.orphanName(node));
    if ((flags & InodeFlags.INDEXED) !== 0) return this.placeAt(disk, this.indexFd, this.table.blobBytes(i32[node + Inode.INDEX_NAME]));
    const dentry = i32[node + Inode.DENTRY];
    if (dentry === 0) return -Errno.ESTALE;
    return this.placeAt(disk, this.upperDirectory(i32[dentry + Dentry.PARENT]), this.table.name(dentry));
  }

  /** The place of a regular file's data in a lower. */
  lowerDataPlace(node: number): number {
    const path = this.i32[node + Inode.DATA_PATH];
    return path === 0 ? this.lowerPlace(node) : this.openPath(this.i32[node + Inode.DATA_LAYER] - 1, path);
  }

  /** The place of what a node is in its topmost lower. */
  lowerPlace(node: number): number {
    const { i32 } = this;
    if (this.isDirectory(node)) {
      const position = i32[node + Inode.ATTRIBUTES_OF];
      return this.placeAt(this.lowerAt(node, position), this.lowerDirectory(node, position), this.names.empty);
    }
    const path = i32[node + Inode.LOWER_PATH];
    if (path !== 0) return this.openPath(i32[node + Inode.LAYER] - 1, path);
    const dentry = i32[node + Inode.DENTRY];
    if (dentry === 0) return -Errno.ESTALE;
    const parent = i32[dentry + Dentry.PARENT];
    const position = i32[dentry + Dentry.LOWER] - 1;
    return this.placeAt(this.lowerAt(parent, position), this.lowerDirectory(parent, position), this.table.name(dentry));
  }

  /** Whom to ask about a directory's lower at `position`. */
  lowerAt(directory: number, position: number): Lower {
    return this.lowers[this.lowerLayer(directory, position)];
  }

  /** The name of the last place where later gates do not overwrite it (scratch.path, if it was made up). */
  stablePlaceName(): number {
    const { path, path3 } = this.scratch;
    if (this.placeName !== path3) return this.placeName;
    this.u8.copyWithin(path, path3, path3 + 256);
    this.placeName = path;
    return path;
  }

  /** The place (directory, last component) of a path blob below a layer's root. */
  private openPath(layer: number, path: number): number {
    const from = this.table.blobBytes(path);
    const length = this.i32[path + Blob.LENGTH];
    let slash = length;
    while (slash > 0 && this.u8[from + slash - 1] !== 47) slash--;
    const lower = this.lowers[layer];
    const fd = lower.openDirectory(from, slash === 0 ? 0 : slash - 1, 0);
    this.closeLater(fd);
    return this.placeAt(lower, fd, from + slash);
  }

  /** Has the directory an upper at this moment? Then what is inside may be changed. */
  hasUpper(node: number): boolean {
    return (this.nodeFlags(node) & InodeFlags.UPPER) !== 0;
  }

  /** Name of a node in workdir/ply-orphans, written to scratch.path3. */
  orphanName(node: number): number {
    return this.hexName(this.scratch.path3, 'o', node);
  }

  /** Name of what is being built for a node in the work directory, written to `at`. */
  workName(at: number, node: number): number {
    return this.hexName(at, '#', node);
  }

  /** A name in the work directory that nothing else has, written to `at`. */
  freshName(at: number): number {
    const serial = Atomics.add(this.i32, this.record + MountWord.SERIAL, 1) >>> 0;
    return this.hexName(at, 't', serial, this.context.index);
  }

  private hexName(at: number, head: string, first: number, second = this.i32[first + Inode.GENERATION]): number {
    const text = `${head}${first.toString(16)}-${second.toString(16)}`;
    for (let i = 0; i < text.length; i++) this.u8[at + i] = text.charCodeAt(i);
    this.u8[at + text.length] = 0;
    return at;
  }

  /** A dentry's type as DT_*, or -1 when the name does not exist (none, a whiteout). */
  dentryType(dentry: number): number {
    if (dentry === 0) return -1;
    const flags = this.i32[dentry + Dentry.FLAGS];
    return (flags & (DentryFlags.WHITEOUT | DentryFlags.HIDDEN | DentryFlags.DEAD)) !== 0 ? -1 : flags & DentryFlags.TYPE_MASK;
  }

  isDirectoryDentry(dentry: number): boolean {
    return this.dentryType(dentry) === DirentType.DIRECTORY;
  }

  /** Of a handle that was opened for this operation: a row is none. */
  closeLater(handle: number): void {
    if (handle >= 0 && handle < FIRST_ROW) this.fds.later(handle);
  }
}

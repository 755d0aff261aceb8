/** A mount's record, made before the kernel's first request and taken apart after its last. Both by the engine's main thread. */
import { Errno } from '../errno';
import { disk, Mode, O, O_DIRECTORY, RenameFlag } from '../layers/disk';
import { Names, writeAscii } from '../layers/names';
import { OverriddenUpper, overrideOf } from '../layers/override';
import { Override } from '../layers/override-names';
import { cloneLowers, cloneUpper } from '../layers/private-mounts';
import { StatRecord } from '../layers/records';
import { CHUNK_WORDS, standFor } from './image';
import { Mount } from './mount';
import { attributes, dispose, takeAttributes } from './node';
import { removeTree } from './remove';
import {
  Blob,
  Control,
  Inode,
  InodeFlags,
  LAYER_ID_BYTES,
  Limits,
  Lookups,
  LowerHandle,
  MountFlags,
  MountState,
  MountWord,
} from './table/layout';
import { viewBlob, type ViewSpec } from './view';
import type { WorkerContext } from './worker';

/** What is wrong with what was asked to be mounted, for the user. */
export class MountError extends Error {}

export interface MountSpec {
  /** O_PATH directory descriptors; -1 both: read-only */
  upperFd: number;
  workFd: number;
  /** topmost first */
  layerFds: number[];
  /** Are some of the lowers imported layers? These descriptors are then of `layers/<id>`. */
  imported?: ImportedLayers;
  deviceFd: number;
  /** MountFlags that are wished for and possible */
  flags: number;
  /** how things are shown; undefined: as they are */
  view?: ViewSpec;
  /** owners and modes in the upper are kept in an xattr, as fuse-overlayfs has xattr_permissions: under a privileged name (1), or under a user's (2) */
  xattrPermissions: 0 | 1 | 2;
  /** MountAttribute bits: how the mount itself does atime, and so its upper */
  atime: number;
  level: number;
  /** the lowers never change while they are mounted: what they say is shared with other such mounts of the same (image.ts) */
  share: boolean;
}

export interface ImportedLayers {
  /** descriptor of `objects/` */
  objectsFd: number;
  /** for each lower: the imported layer's id, 64 hexadecimal digits; '': it is a directory */
  ids: readonly string[];
}

/** Takes a mount record (state SETTING_UP), probes and sweeps the upper, makes the root's node. Takes over the descriptors unless it throws MountError. */
export function setUpMount(context: WorkerContext, spec: MountSpec): number {
  const { table } = context;
  const index = takeRecord(context);
  const { i32 } = table;
  const record = table.mountRecord(index);
  const opened: number[] = [];
  try {
    const writable = spec.upperFd >= 0;
    cloneMounts(context, spec);
    let flags = (spec.flags & ~MountFlags.WRITABLE) | (writable ? MountFlags.WRITABLE : 0);
    i32[record + MountWord.UPPER_FD] = spec.upperFd;
    i32[record + MountWord.WORK_FD] = -1;
    i32[record + MountWord.INDEX_FD] = -1;
    i32[record + MountWord.ORPHANS_FD] = -1;
    if (writable) {
      const names = new Names(table.u8, context.scratch.names, context.scratch.namesCapacity / 2, (flags & MountFlags.USERXATTR) !== 0);
      const inWork = (name: string): number => {
        const fd = openWorkDirectory(context, names, spec.workFd, name);
        opened.push(fd);
        return fd;
      };
      i32[record + MountWord.WORK_FD] = inWork('work');
      i32[record + MountWord.ORPHANS_FD] = inWork('ply-orphans');
      sweep(context, names, spec.workFd, 'work', i32[record + MountWord.WORK_FD]);
      sweep(context, names, spec.workFd, 'ply-orphans', i32[record + MountWord.ORPHANS_FD]);
      probeUpper(context, names, i32[record + MountWord.WORK_FD]);
      if ((flags & MountFlags.INDEX) !== 0 && !haveHandles(context, names, spec)) flags &= ~MountFlags.INDEX;
      if ((flags & MountFlags.INDEX) !== 0) i32[record + MountWord.INDEX_FD] = inWork('index');
    } else flags &= ~MountFlags.INDEX;
    i32[record + MountWord.FLAGS] = flags;
    i32[record + MountWord.DEVICE_FD] = spec.deviceFd;
    i32[record + MountWord.LAYER_COUNT] = spec.layerFds.length;
    i32[record + MountWord.LAYERS] = table.listBlob(spec.layerFds);
    setImported(context, record, spec.imported);
    i32[record + MountWord.VIEW] = spec.view === undefined ? 0 : viewBlob(table, spec.view);
    setOverrides(context, record, spec);
    i32[record + MountWord.LEVEL] = spec.level;
    i32[record + MountWord.RENAME_LOCK] = 0;
    i32[record + MountWord.SERIAL] = 0;
    if (spec.share || spec.imported !== undefined) shareLowers(context, index, spec);
    makeRoot(context, index, spec.layerFds.length);
    if (spec.workFd >= 0) disk.close(spec.workFd);
    return index;
  } catch (error) {
    for (const fd of opened) if (fd >= 0) disk.close(fd);
    leaveImage(context, index);
    giveRecord(context, index);
    throw error;
  }
}

/** What lies on another mount of ours stays: its engine has to learn of its end, and who unmounts it that it is in use. */
function cloneMounts(context: WorkerContext, { layerFds, imported, upperFd, workFd, atime, level }: MountSpec): void {
  if (level > 1) return;
  const dot = put(context, '.');
  // an index is opened by the path of its directory, which there is none to on a clone
  const lowers = layerFds.filter((_, i) => (imported?.ids[i] ?? '') === '');
  cloneLowers(imported === undefined ? lowers : [...lowers, imported.objectsFd], dot);
  if (upperFd >= 0) cloneUpper(upperFd, workFd, atime, dot);
}

function setImported(context: WorkerContext, record: number, imported: ImportedLayers | undefined): void {
  const { table, scratch } = context;
  const { i32, u8 } = table;
  i32[record + MountWord.OBJECTS_FD] = imported?.objectsFd ?? -1;
  if (imported === undefined) return;
  const bytes = Buffer.concat(
    imported.ids.map((id) => Buffer.from(id.slice(0, 2 * LAYER_ID_BYTES).padEnd(2 * LAYER_ID_BYTES, '0'), 'hex')),
  );
  u8.set(bytes, scratch.dirents);
  i32[record + MountWord.LAYER_IDS] = table.bytesBlob(scratch.dirents, bytes.length);
}

/**
 * Where owners and modes are kept in xattrs: in the lowers whose root says so, and in the upper where the mount asks for it. What the upper's root says does
 * not count without that: whoever owns the root of a container could have written it.
 */
function setOverrides(context: WorkerContext, record: number, { upperFd, layerFds, imported, xattrPermissions, flags }: MountSpec): void {
  const { table, scratch } = context;
  const names = new Names(table.u8, scratch.names, scratch.namesCapacity / 2, (flags & MountFlags.USERXATTR) !== 0);
  const said = (fd: number): Override => overrideOf(fd, names.empty, names.overrides, scratch.override);
  const lowers = layerFds.map((fd, i) => ((imported?.ids[i] ?? '') === '' ? said(fd) : Override.NONE));
  let upper = Override.NONE;
  if (upperFd >= 0 && xattrPermissions === 1) upper = Override.PRIVILEGED;
  else if (upperFd >= 0 && xattrPermissions === 2) upper = said(upperFd) === Override.CONTAINERS ? Override.CONTAINERS : Override.USER;
  if (upper !== Override.NONE) markRoot(context, names, upperFd, names.overrides[upper]);
  const list = [upper, ...lowers];
  if (list.some((one) => one !== Override.NONE)) table.i32[record + MountWord.OVERRIDES] = table.listBlob(list);
}

/** The upper's root says that its files' owners are in xattrs, if it does not yet. */
function markRoot({ table, scratch }: WorkerContext, names: Names, root: number, xattr: number): void {
  const place = { u8: table.u8, u32: table.u32, xattr, value: scratch.override };
  const upper = new OverriddenUpper(place, scratch.stat3);
  if (disk.getxattr(root, names.empty, xattr, scratch.override, 0) > 0) return;
  const at = scratch.stat >> 2;
  let result = disk.stat(root, names.empty, scratch.stat);
  if (result >= 0) {
    const [uid, gid, mode] = [StatRecord.uid, StatRecord.gid, StatRecord.mode].map((word) => table.u32[at + word / 4]);
    result = upper.write(root, names.empty, uid, gid, mode);
  }
  if (result < 0)
    fail(
      "xattr_permissions: upperdir cannot hold its owner's xattr",
      result,
      'xattr_permissions=2 takes user xattrs, and 1 takes root and security xattrs',
    );
}

/** Joins the image of the same lowers, or makes it. */
function shareLowers(context: WorkerContext, index: number, spec: MountSpec): void {
  const { table } = context;
  const { i32 } = table;
  const user = spec.flags & MountFlags.USERXATTR;
  const known = findImage(context, index, spec.layerFds, user);
  const image = known === 0 ? makeImage(context, spec, user) : known;
  i32[table.mountRecord(image) + MountWord.SHARERS]++;
  const record = table.mountRecord(index);
  i32[record + MountWord.IMAGE] = image;
  i32[record + MountWord.SHARED_WORDS] = table.allocator.take(CHUNK_WORDS * 4);
}

/** `mount` is one of the same kinds of lowers. */
function findImage(context: WorkerContext, mount: number, layers: readonly number[], user: number): number {
  const { table } = context;
  const { i32 } = table;
  for (let index = 1; index < Limits.MAX_MOUNTS; index++) {
    const record = table.mountRecord(index);
    if (i32[record + MountWord.STATE] !== MountState.IMAGE || (i32[record + MountWord.FLAGS] & MountFlags.USERXATTR) !== user) continue;
    const list = i32[record + MountWord.LAYERS];
    if (i32[list + Blob.LENGTH] !== layers.length || !sameIds(context, table.mountRecord(mount), record)) continue;
    if (layers.every((fd, i) => isSameFile(context, fd, i32[list + Blob.DATA + i]))) return index;
  }
  return 0;
}

function sameIds({ table }: WorkerContext, one: number, other: number): boolean {
  const [ids, others] = [one, other].map((record) => {
    const blob = table.i32[record + MountWord.LAYER_IDS];
    return blob === 0
      ? ''
      : Buffer.from(table.u8.subarray(table.blobBytes(blob), table.blobBytes(blob) + table.i32[blob + Blob.LENGTH])).toString('hex');
  });
  return ids === others;
}

function isSameFile(context: WorkerContext, one: number, other: number): boolean {
  const { stat, stat2 } = context.scratch;
  const { u8, u32 } = context.table;
  u8[context.scratch.path] = 0;
  if (disk.stat(one, context.scratch.path, stat) < 0 || disk.stat(other, context.scratch.path, stat2) < 0) return false;
  return [StatRecord.ino, StatRecord.ino + 4, StatRecord.devMajor, StatRecord.devMinor].every(
    (at) => u32[(stat + at) >> 2] === u32[(stat2 + at) >> 2],
  );
}

/** The image has descriptors of its own: it outlives the mount that was first. */
function makeImage(context: WorkerContext, spec: MountSpec, user: number): number {
  const { layerFds: layers, imported } = spec;
  const { table } = context;
  const { i32 } = table;
  const index = takeRecord(context);
  const record = table.mountRecord(index);
  const fds: number[] = [];
  const again = (directory: number): number => {
    const fd = disk.openat(directory, put(context, '.'), O.PATH | O_DIRECTORY, 0);
    if (fd < 0) fail('cannot open a lower directory once more', fd, 'raise the limit of open files');
    fds.push(fd);
    return fd;
  };
  try {
    const layerFds = layers.map(again);
    setImported(context, record, imported && { ...imported, objectsFd: again(imported.objectsFd) });
    setOverrides(context, record, { ...spec, upperFd: -1, layerFds });
    for (const word of [MountWord.UPPER_FD, MountWord.WORK_FD, MountWord.INDEX_FD, MountWord.ORPHANS_FD, MountWord.DEVICE_FD])
      i32[record + word] = -1;
    i32[record + MountWord.FLAGS] = user;
    i32[record + MountWord.LAYER_COUNT] = layerFds.length;
    i32[record + MountWord.LAYERS] = table.listBlob(layerFds);
    i32[record + MountWord.ORDINALS] = 1; // the root's is 0
    Atomics.store(i32, record + MountWord.STATE, MountState.IMAGE);
    makeRoot(context, index, layerFds.length);
    return index;
  } catch (error) {
    for (const fd of fds) disk.close(fd);
    giveRecord(context, index);
    throw error;
  }
}

/** A mount no longer shares; the last one takes the image with it. Nobody has a view of the mount any more. */
function leaveImage(context: WorkerContext, index: number): void {
  const { table } = context;
  const { i32 } = table;
  const record = table.mountRecord(index);
  const image = i32[record + MountWord.IMAGE];
  if (image === 0) return;
  i32[record + MountWord.IMAGE] = 0;
  const words = i32[record + MountWord.SHARED_WORDS];
  for (let i = 0; i < CHUNK_WORDS; i++) if (i32[words + i] !== 0) table.allocator.give(i32[words + i]);
  table.allocator.give(words);
  if (--i32[table.mountRecord(image) + MountWord.SHARERS] === 0) tearDownMount(context, image);
}

function takeRecord(context: WorkerContext): number {
  const { memory, i32 } = context.table;
  memory.lock(Control.MOUNTS_LOCK);
  try {
    // index 0 stays free: it stands for "no mount" in inode records
    for (let index = 1; index < Limits.MAX_MOUNTS; index++) {
      const record = context.table.mountRecord(index);
      if (i32[record + MountWord.STATE] !== MountState.FREE) continue;
      i32.fill(0, record, record + MountWord.SIZE);
      i32.fill(-1, record + MountWord.CHANNELS, record + MountWord.SIZE);
      Atomics.store(i32, record + MountWord.STATE, MountState.SETTING_UP);
      return index;
    }
  } finally {
    memory.unlock(Control.MOUNTS_LOCK);
  }
  throw new MountError(`this engine has ${Limits.MAX_MOUNTS - 1} mounts already, which is its limit`);
}

function giveRecord(context: WorkerContext, index: number): void {
  const { i32 } = context.table;
  const record = context.table.mountRecord(index);
  for (const word of [MountWord.LAYERS, MountWord.LAYER_IDS, MountWord.VIEW, MountWord.OVERRIDES])
    if (i32[record + word] !== 0) context.table.dropBlob(i32[record + word]);
  Atomics.store(i32, record + MountWord.STATE, MountState.FREE);
}

function put(context: WorkerContext, name: string): number {
  writeAscii(context.table.u8, context.scratch.path, name);
  return context.scratch.path;
}

function fail(what: string, result: number, advice: string): never {
  throw new MountError(`${what} (errno ${-result}); ${advice}`);
}

/** What is made in it inherits nothing: a default ACL or setgid bit of workdir would else get onto what is copied up or takes the place of a whiteout. */
function openWorkDirectory(context: WorkerContext, names: Names, workFd: number, name: string): number {
  const made = disk.mkdirat(workFd, put(context, name), 0o700);
  if (made < 0 && made !== -Errno.EEXIST)
    fail(
      `cannot make the directory "${name}" in workdir`,
      made,
      'workdir must be an empty, writable directory on the file system of upperdir',
    );
  const fd = disk.openBeneath(workFd, put(context, name), O.PATH | O_DIRECTORY, 0);
  if (fd < 0) fail(`cannot open the directory "${name}" in workdir`, fd, 'give an empty directory as workdir');
  let bare = 0;
  for (const acl of [names.defaultAcl, names.accessAcl]) {
    const result = disk.removexattr(fd, names.empty, acl);
    if (result !== -Errno.ENODATA && result !== -Errno.EOPNOTSUPP) bare ||= Math.min(result, 0);
  }
  if (bare === 0) bare = disk.fchmodat(fd, names.empty, 0o700);
  if (bare < 0) {
    disk.close(fd);
    fail(`cannot take from the directory "${name}" what it inherited from workdir`, bare, 'give an empty directory as workdir');
  }
  return fd;
}

/** What a crash left in the work directory, and files that nobody has open any more. */
function sweep(context: WorkerContext, names: Names, workFd: number, name: string, fd: number): void {
  const { table, scratch } = context;
  const inside = disk.openat(fd, names.dot, O.RDONLY | O_DIRECTORY, 0);
  if (inside < 0) fail(`cannot read the directory "${name}" in workdir`, inside, `plyfs needs to read and write it (descriptor ${workFd})`);
  try {
    for (;;) {
      const bytes = disk.readDirents(inside, 0, scratch.dirents, 4096);
      if (bytes <= 0) return;
      const entries: Buffer[] = [];
      for (let at = scratch.dirents; at < scratch.dirents + bytes; at += table.u32[at >> 2]) {
        const from = at + 136;
        entries.push(Buffer.from(table.u8.subarray(from, table.u8.indexOf(0, from) + 1)));
      }
      for (const entry of entries) {
        table.u8.set(entry, scratch.walk);
        removeTree({ u8: table.u8, u32: table.u32, scratch, names }, fd, scratch.walk);
      }
    }
  } finally {
    disk.close(inside);
  }
}

/** Refuses an upper that cannot hold what an overlay must write: says which. */
function probeUpper(context: WorkerContext, names: Names, work: number): void {
  const { scratch } = context;
  const advice = 'use a file system that can (ext4, xfs, btrfs, tmpfs of Linux 6.6 or later)';
  const probe = put(context, 'probe');
  writeAscii(context.table.u8, scratch.path2, 'probe2');
  disk.unlinkat(work, probe, 0);
  const file = disk.openat(work, probe, O.CREAT | O.EXCL | O.RDWR, 0o600);
  if (file < 0) fail('cannot write to workdir', file, 'it must be writable');
  disk.close(file);
  try {
    context.table.u8[scratch.words] = 0x79;
    let result = disk.setxattr(work, probe, names.ino, scratch.words, 1, 0);
    if (result < 0)
      fail(
        `upperdir's file system cannot hold ${names.prefix}* xattrs`,
        result,
        names.prefix.startsWith('trusted') ? `${advice}, or mount with userxattr` : advice,
      );
    result = disk.linkat(work, probe, work, scratch.path2);
    if (result < 0) fail("upperdir's file system cannot hold hard links", result, advice);
    disk.unlinkat(work, scratch.path2, 0);
    result = disk.renameat2(work, probe, work, scratch.path2, RenameFlag.WHITEOUT);
    if (result < 0) fail("upperdir's file system cannot leave whiteouts (char device 0/0, RENAME_WHITEOUT)", result, advice);
    result = disk.renameat2(work, probe, work, scratch.path2, RenameFlag.EXCHANGE);
    if (result < 0) fail("upperdir's file system cannot exchange names (RENAME_EXCHANGE)", result, advice);
  } finally {
    disk.unlinkat(work, probe, 0);
    disk.unlinkat(work, scratch.path2, 0);
  }
}

/** The index needs file handles of every layer. */
function haveHandles(context: WorkerContext, names: Names, { layerFds, imported }: MountSpec): boolean {
  const { scratch } = context;
  return layerFds.every(
    (fd, i) => (imported?.ids[i] ?? '') !== '' || disk.fileHandle(fd, names.empty, scratch.value, 128, scratch.words) > 0,
  );
}

function makeRoot(context: WorkerContext, index: number, layers: number): void {
  const { table } = context;
  const { i32 } = table;
  const root = table.newInode(index);
  i32[table.mountRecord(index) + MountWord.ROOT] = root;
  const empty = table.bytesBlob(context.scratch.path, 0);
  const list: number[] = [];
  for (let layer = 0; layer < layers; layer++) list.push(layer, layer === 0 ? empty : table.holdBlob(empty), LowerHandle.NONE);
  i32[root + Inode.LOWERS] = table.listBlob(list);
  i32[root + Inode.ORIGIN] = table.holdBlob(empty);
  i32[root + Inode.LOOKUPS] = Lookups.SATURATED;
  i32[root + Inode.MODE] = Mode.DIRECTORY;
  const m = new Mount(context, index);
  try {
    fillRoot(context, m, layers);
  } finally {
    m.detach();
  }
}

function fillRoot(context: WorkerContext, m: Mount, layers: number): void {
  const { i32, u32 } = context.table;
  const { root } = m;
  // the root's number is its topmost lower's, whether there is an upper or not
  const result = m.lowers[0].stat(m.lowers[0].root, m.names.empty, context.scratch.stat);
  if (result < 0) fail('cannot read the topmost lower directory', result, 'it must exist and be readable');
  u32.copyWithin(root + Inode.ATTR, context.scratch.stat >> 2, (context.scratch.stat + StatRecord.SIZE) >> 2);
  m.putNumber(root + Inode.INO_LOW, i32[root + Inode.INO_LOW], i32[root + Inode.INO_HIGH], 0);
  const taken = m.lowers[0].isImplicit(m.lowers[0].root) ? takeAttributes(m, root) : 0;
  if (taken < 0) fail('cannot read a lower', taken, 'it must exist and be readable');
  let flags = InodeFlags.ROOT;
  if (m.writable) flags |= InodeFlags.UPPER | InodeFlags.MERGED;
  if (layers > 1) flags |= InodeFlags.MERGED;
  m.setFlags(root, flags);
  if (m.writable) {
    const upper = attributes(m, root, context.scratch.stat);
    if (upper < 0) fail('cannot read upperdir', upper, 'it must exist and be readable');
    i32[root + Inode.MODE] = i32[(context.scratch.stat + StatRecord.mode) >> 2];
    i32[root + Inode.UID] = i32[(context.scratch.stat + StatRecord.uid) >> 2];
    i32[root + Inode.GID] = i32[(context.scratch.stat + StatRecord.gid) >> 2];
    if (disk.getxattr(m.upperFd, m.names.empty, m.names.opaque, context.scratch.value, 16) === 1) m.setFlags(root, InodeFlags.OPAQUE);
  }
  if (m.image !== undefined && (m.nodeFlags(root) & InodeFlags.OPAQUE) === 0) {
    i32[root + Inode.SHARED] = m.image.root;
    standFor(m, root, m.image.root);
  }
}

/** Frees everything of an ENDED mount that every worker has let go of, its descriptors too. */
export function tearDownMount(context: WorkerContext, index: number): void {
  const { table } = context;
  const { i32 } = table;
  const record = table.mountRecord(index);
  const m = new Mount(context, index);
  // records that nothing leads to (open and unlinked) are found only by going through the pages
  table.allocator.eachInode((node) => {
    if (i32[node + Inode.MOUNT] !== index) return;
    for (let dentry = i32[node + Inode.DENTRY]; dentry !== 0; dentry = i32[node + Inode.DENTRY]) table.unbind(dentry);
    table.removeIdent(node);
  });
  table.allocator.eachInode((node) => {
    if (i32[node + Inode.MOUNT] !== index) return;
    i32[node + Inode.BACKING] = 0; // went with the connection
    i32[node + Inode.LOOKUPS] = Lookups.DEAD;
    dispose(m, node);
  });
  m.detach();
  for (const word of [
    MountWord.UPPER_FD,
    MountWord.WORK_FD,
    MountWord.INDEX_FD,
    MountWord.ORPHANS_FD,
    MountWord.DEVICE_FD,
    MountWord.OBJECTS_FD,
  ]) {
    const fd = i32[record + word];
    if (fd >= 0) disk.close(fd);
  }
  const layers = i32[record + MountWord.LAYERS];
  for (let i = 0; i < i32[layers + Blob.LENGTH]; i++) disk.close(i32[layers + Blob.DATA + i]);
  leaveImage(context, index);
  giveRecord(context, index);
  table.epochs.reclaim();
}

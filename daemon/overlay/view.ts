/**
 * How a mount shows what its layers say of owners (uidmapping, gidmapping, squash_to_*) and of directories' links (static_nlink). The table, layers and
 * uppers hold everything as it is kept on disk, so mounts that show it differently share an image (image.ts): only what goes to the kernel is shown, by
 * `apply`, and only ids that come from it are turned back, by `keptUid` and `keptGid`.
 */
import fs from 'node:fs';
import { Mode } from '../layers/disk';
import { StatRecord } from '../layers/records';
import { FOREVER } from '../protocol/operations';
import { Blob } from './table/layout';
import type { Table } from './table/table';

/** `count` ids from `kept` on, as they are on disk, are shown as those from `shown` on. */
export interface IdRange {
  kept: number;
  shown: number;
  count: number;
}

export interface ViewSpec {
  /** everything is shown as owned by these; -1: by its owner */
  squashUid: number;
  squashGid: number;
  /** empty: as they are */
  uids: readonly IdRange[];
  gids: readonly IdRange[];
  /** directories show one link */
  staticNlink: boolean;
  /** how long the kernel may believe names and attributes; FOREVER: no limit */
  seconds: number;
}

const NOBODY = 65534;
const NONE = 0xffffffff;

/** Words of the blob in which a mount's record has it; the ranges follow, uids first, three words each. */
const enum ViewWord {
  SQUASH_UID = 0,
  SQUASH_GID = 1,
  STATIC_NLINK = 2,
  SECONDS = 3,
  UIDS = 4,
  RANGES = 5,
}

/** 0: everything is shown as it is. */
export function viewBlob(table: Table, { squashUid, squashGid, uids, gids, staticNlink, seconds }: ViewSpec): number {
  const plain = squashUid < 0 && squashGid < 0 && uids.length === 0 && gids.length === 0 && !staticNlink;
  if (plain && seconds === FOREVER) return 0;
  const ranges = [...uids, ...gids].flatMap(({ kept, shown, count }) => [kept, shown, count]);
  return table.listBlob([squashUid, squashGid, staticNlink ? 1 : 0, seconds, uids.length, ...ranges]);
}

/** How long the kernel may believe what a mount with this blob (or 0) says. */
export function viewSeconds(table: Table, blob: number): number {
  return blob === 0 ? FOREVER : table.i32[blob + Blob.DATA + ViewWord.SECONDS];
}

export class View {
  private readonly squashUid: number;
  private readonly squashGid: number;
  private readonly staticNlink: boolean;
  private readonly uids: readonly IdRange[];
  private readonly gids: readonly IdRange[];
  private readonly nobody: number;
  private readonly nogroup: number;

  /** undefined: nothing is shown otherwise than it is kept. */
  static of(table: Table, blob: number): View | undefined {
    const view = blob === 0 ? undefined : new View(table, blob);
    return view === undefined || (!view.squashes && !view.maps && !view.staticNlink) ? undefined : view;
  }

  private constructor(table: Table, blob: number) {
    const words = Array.from(table.u32.subarray(blob + Blob.DATA, blob + Blob.DATA + table.u32[blob + Blob.LENGTH]));
    this.squashUid = words[ViewWord.SQUASH_UID];
    this.squashGid = words[ViewWord.SQUASH_GID];
    this.staticNlink = words[ViewWord.STATIC_NLINK] !== 0;
    const ranges: IdRange[] = [];
    for (let at: number = ViewWord.RANGES; at < words.length; at += 3)
      ranges.push({ kept: words[at], shown: words[at + 1], count: words[at + 2] });
    this.uids = ranges.slice(0, words[ViewWord.UIDS]);
    this.gids = ranges.slice(words[ViewWord.UIDS]);
    this.nobody = overflowId('uid');
    this.nogroup = overflowId('gid');
  }

  /** Are ids on disk others than those that are shown? Then so are those inside ACLs. */
  get maps(): boolean {
    return this.uids.length > 0 || this.gids.length > 0;
  }

  /** Is everything shown as of one owner? Then whether an owner can be kept does not matter: what shows stays the same. */
  get squashes(): boolean {
    return this.squashUid !== NONE || this.squashGid !== NONE;
  }

  /** Turns what is kept into what is shown, in a stat record; `at` is a word index. */
  apply(u32: Uint32Array, at: number): void {
    const [uid, gid] = [at + StatRecord.uid / 4, at + StatRecord.gid / 4];
    u32[uid] = this.squashUid !== NONE ? this.squashUid : this.shownUid(u32[uid]);
    u32[gid] = this.squashGid !== NONE ? this.squashGid : this.shownGid(u32[gid]);
    if (this.staticNlink && (u32[at + StatRecord.mode / 4] & Mode.TYPE) === Mode.DIRECTORY) u32[at + StatRecord.nlink / 4] = 1;
  }

  /** An id of the disk as it is shown where nothing is squashed; the overflow id where it is mapped to none (user_namespaces(7)). */
  shownUid(id: number): number {
    return forward(this.uids, id, this.nobody);
  }

  shownGid(id: number): number {
    return forward(this.gids, id, this.nogroup);
  }

  /** The id on disk of one that is shown; -1 where there is none. */
  keptUid(id: number): number {
    return backward(this.uids, id);
  }

  keptGid(id: number): number {
    return backward(this.gids, id);
  }

  /**
   * The owner on disk of what somebody makes. For a caller that is mapped to none (a container's manager, outside of its ids) that is the overflow id, as
   * with fuse-overlayfs: whoever makes something for a container gives it away next.
   */
  makerUid(id: number): number {
    const kept = this.keptUid(id);
    return kept < 0 ? this.nobody : kept;
  }

  makerGid(id: number): number {
    const kept = this.keptGid(id);
    return kept < 0 ? this.nogroup : kept;
  }
}

/** Where ranges overlap the last one counts, as with fuse-overlayfs. */
function forward(ranges: readonly IdRange[], id: number, otherwise: number): number {
  if (ranges.length === 0) return id;
  for (let i = ranges.length - 1; i >= 0; i--) {
    const { kept, shown, count } = ranges[i];
    if (id >= kept && id - kept < count) return shown + (id - kept);
  }
  return otherwise;
}

function backward(ranges: readonly IdRange[], id: number): number {
  if (ranges.length === 0) return id;
  for (let i = ranges.length - 1; i >= 0; i--) {
    const { kept, shown, count } = ranges[i];
    if (id >= shown && id - shown < count) return kept + (id - shown);
  }
  return -1;
}

/** As the kernel shows ids that a user namespace does not map. */
function overflowId(kind: 'uid' | 'gid'): number {
  try {
    return Number(fs.readFileSync(`/proc/sys/kernel/overflow${kind}`, 'latin1'));
  } catch {
    return NOBODY; // the kernel's default; a container may hide the file
  }
}

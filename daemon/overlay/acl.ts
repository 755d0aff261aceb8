/**
 * The ids inside POSIX ACLs, where a mount shows others than are kept. An ACL as an xattr (<linux/posix_acl_xattr.h>) is a u32 version, 2, and for each
 * entry u16 tag, u16 permissions, u32 id, all little-endian; the id counts for named users and groups only.
 */
import { Errno } from '../errno';
import { startsWith } from '../layers/names';
import type { Mount } from './mount';

const ACL = 'system.posix_acl_';
const HEAD = 4;
const ENTRY = 8;

const enum Tag {
  USER = 0x02,
  GROUP = 0x08,
}

export function isAcl(m: Mount, name: number): boolean {
  return startsWith(m.u8, name, ACL);
}

/** Turns the ids of the ACL at `value`, as kept, into those that are shown, in place. */
export function showAcl(m: Mount, value: number, length: number): void {
  const { view } = m;
  if (view === undefined) return;
  eachId(m, value, length, (tag, id) => (tag === Tag.USER ? view.shownUid(id) : view.shownGid(id)));
}

/** Turns them back, in place. 0, or -EINVAL for an id that is kept as none, as in a user namespace that does not map it. */
export function keepAcl(m: Mount, value: number, length: number): number {
  const { view } = m;
  let result = 0;
  if (view === undefined) return result;
  eachId(m, value, length, (tag, id) => {
    const kept = tag === Tag.USER ? view.keptUid(id) : view.keptGid(id);
    if (kept < 0) result = -Errno.EINVAL;
    return kept < 0 ? id : kept;
  });
  return result;
}

function eachId(m: Mount, value: number, length: number, change: (tag: number, id: number) => number): void {
  const view = new DataView(m.u8.buffer, m.u8.byteOffset + value, length);
  for (let at = HEAD; at + ENTRY <= length; at += ENTRY) {
    const tag = view.getUint16(at, true);
    if (tag === Tag.USER || tag === Tag.GROUP) view.setUint32(at + 4, change(tag, view.getUint32(at + 4, true)), true);
  }
}

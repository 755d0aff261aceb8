/** One directory like another: owner, mode, times to the nanosecond, xattrs. */
import fs from 'node:fs';
import { native } from '../../native-bindings/index';
import { Errno } from '../errno';
import { shown } from './options';
import { within } from './size';
import { TreeReader } from './tree-reader';

/** Overlays' own marks stay where they are. */
const MARKS = 'trusted.overlay.';

/** Byte strings. Returns why `from` cannot be read, if so; throws when `to` cannot be changed. */
export function imitate(from: string, to: string, slot: number): string | undefined {
  const open = (path: string): number => fs.openSync(Buffer.from(path, 'latin1'), fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  let source: number;
  try {
    source = open(from);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
  within(source, () => {
    within(open(to), (target) => {
      const { mode, uid, gid, atimeNs, mtimeNs } = fs.fstatSync(source, { bigint: true });
      fs.fchownSync(target, Number(uid), Number(gid));
      fs.fchmodSync(target, Number(mode) & 0o7777);
      const arena = new TreeReader(slot).scratch;
      const copied = native.copyXattrs(source, arena.text(''), target, arena.text(''), arena.text(MARKS));
      if (copied < 0 && copied !== -Errno.EOPNOTSUPP) throw new Error(`cannot copy the attributes of ${shown(from)} (errno ${-copied})`);
      const timed = native.utimensat(target, arena.text(''), arena.times(atimeNs, mtimeNs)); // Node's utimes are doubles: too coarse
      if (timed < 0) throw new Error(`cannot set the times of ${shown(to)} (errno ${-timed})`);
    });
  });
  return undefined;
}

/** One directory like another: owner, mode, times to the nanosecond, xattrs. */
import fs from 'node:fs';
import { native } from '../../native-bindings/index';
import { Errno } from '../errno';
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
      const failed = native.copyXattrs(source, arena.text(''), target, arena.text(''), arena.text(MARKS));
      if (failed < 0 && failed !== -Errno.EOPNOTSUPP) throw new Error(`cannot copy the attributes of ${from} (errno ${-failed})`);
      native.utimensat(target, arena.text(''), arena.times(atimeNs, mtimeNs));
    });
  });
  return undefined;
}

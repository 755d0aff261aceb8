/** The options that libfuse 2 mounts with. */
import { isUtf8 } from 'node:buffer';
import { MountFlag } from '../../mounts/options';
import { MountRefused } from '../mounting';

/** fuse-native copies options and mount point into 1,024 bytes each, and cuts what is longer. */
const ROOM = 1023;
/** For ever: nothing changes on a read-only mount. Seconds. */
const A_YEAR = 31_536_000;

/** Those that a mount has anyway, of libfuse's own accord, are undone by their opposites. What else there is, mounts/drivers.ts has refused. */
const FLAGS: readonly [flag: MountFlag, on: string, off?: string][] = [
  [MountFlag.NOSUID, 'nosuid', 'suid'],
  [MountFlag.NODEV, 'nodev', 'dev'],
  [MountFlag.NOEXEC, 'noexec'],
  [MountFlag.SYNCHRONOUS, 'sync'],
  [MountFlag.DIRSYNC, 'dirsync'],
  [MountFlag.NOATIME, 'noatime'],
];

/** As one argument. Throws MountRefused. */
export function fuseOptions(flags: number, source: string): string {
  const own = FLAGS.flatMap(([flag, on, off]) => ((flags & flag) !== 0 ? on : (off ?? [])));
  const name = source.replace(/[\\,]/g, '\\$&');
  const times = [`entry_timeout=${A_YEAR}`, `attr_timeout=${A_YEAR}`, `negative_timeout=${A_YEAR}`];
  const all = ['ro', ...own, 'allow_other', 'default_permissions', 'use_ino', 'kernel_cache', ...times, 'subtype=plyfs', `fsname=${name}`];
  const text = `-o${all.join(',')}`;
  if (Buffer.byteLength(text) > ROOM) throw new MountRefused('the driver fuse-native has no room for so long a fsname: give a shorter one');
  return text;
}

/** The mount point, a byte string, as fuse-native takes it. Throws MountRefused. */
export function pointOf(mountpoint: string): string {
  const bytes = Buffer.from(mountpoint, 'latin1');
  if (!isUtf8(bytes)) throw new MountRefused('the driver fuse-native cannot mount there: the path of the mountpoint is not UTF-8');
  if (bytes.length > ROOM)
    throw new MountRefused(`the driver fuse-native cannot mount there: the path of the mountpoint is longer than ${ROOM} bytes`);
  return bytes.toString();
}

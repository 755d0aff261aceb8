/** The flags of a mount that exists (mount(2), MS_REMOUNT). What it is a mount of stays as it is. */
import { native } from '../../native-bindings/index';
import { MountFailure } from './mount';
import { mountTable, PLYFS, topMount } from './mountinfo';
import { changeFlags, shown } from './options';
import { resolvePoint } from './prepare';

const MS_REMOUNT = 32;

/** `options` and `mountpoint` are byte strings; what the options do not name stays. Throws MountFailure. */
export function remount(mountpoint: string, options: string): void {
  const point = resolvePoint(mountpoint);
  const entry = topMount(mountTable(), point);
  if (entry?.type !== PLYFS) throw new MountFailure(`cannot remount ${shown(point)}: no plyfs is mounted there`);
  const flags = changeFlags(changeFlags(0, entry.options), options);
  const result = native.mount(entry.source, Buffer.from(point, 'latin1'), PLYFS, flags | MS_REMOUNT, '');
  if (result >= 0) return;
  const reasons: Readonly<Record<number, string>> = {
    1: 'not permitted: it takes root, or whoever mounted it in a namespace of their own',
    16: 'busy: files are open for writing there',
  };
  throw new MountFailure(`cannot remount ${shown(point)}: ${reasons[-result] ?? `errno ${-result}`}`);
}

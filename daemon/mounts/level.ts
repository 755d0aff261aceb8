/**
 * Mounts on mounts. A mount whose layer lies on another plyfs mount must not be served by that one's engine: its workers would wait for
 * themselves. So a mount has a level, 1 + the deepest of the plyfs mounts that its directories lie on, and an engine serves one level only.
 *
 * A level above 1 is told by the mount's source, `plyfs:2`, which every process sees in /proc/self/mountinfo.
 */
import fs from 'node:fs';

const TYPE = 'fuse.plyfs';

/** The source of a mount of the given level. */
export function sourceOf(name: string, level: number): string {
  return level === 1 ? name : `${name}:${level}`;
}

/** The level of a mount made of the given directories; `mountinfo` is that of the process that opened them. */
export function levelOf(directories: readonly number[], mountinfo = fs.readFileSync('/proc/self/mountinfo', 'latin1')): number {
  const levels = levelsByDevice(mountinfo);
  let deepest = 0;
  if (levels.size > 0) for (const fd of directories) deepest = Math.max(deepest, levels.get(fs.fstatSync(fd).dev) ?? 0);
  return deepest + 1;
}

/** Level of each plyfs mount by its st_dev. proc(5): ID PARENT MAJOR:MINOR ROOT POINT OPTIONS … - TYPE SOURCE SUPER */
export function levelsByDevice(mountinfo: string): Map<number, number> {
  const levels = new Map<number, number>();
  if (!mountinfo.includes(TYPE)) return levels;
  for (const line of mountinfo.split('\n')) {
    const [, device = '', source = ''] = /^\d+ \d+ (\d+:\d+) .* - fuse\.plyfs (\S+)/.exec(line) ?? [];
    if (device === '') continue;
    const [major = 0, minor = 0] = device.split(':').map(Number);
    levels.set(makeDevice(major, minor), Number(/:(\d{1,3})$/.exec(source)?.[1] ?? 1));
  }
  return levels;
}

/** makedev(3), for numbers that fit the kernel's 12 and 20 bits. */
function makeDevice(major: number, minor: number): number {
  return (minor & 0xff) + (major & 0xfff) * 256 + Math.floor(minor / 256) * 1048576;
}

/** What is mounted somewhere, as an engine sees it in /proc/self/mountinfo. */
import fs from 'node:fs';
import type { MountedAs } from './control';

/** Of the topmost file system that is mounted there (a byte string), if it is one of ours: the number of one that is gone is soon another's. */
export function mountedAt(mountpoint: string): MountedAs | undefined {
  const escaped = mountpoint.replace(/[ \t\n\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`);
  const lines = fs.readFileSync('/proc/self/mountinfo', 'latin1').split('\n');
  const topmost = lines.findLast((line) => line.split(' ', 5)[4] === escaped);
  if (topmost?.includes(' - fuse.plyfs ') !== true) return undefined;
  const [mountId = '', , dev = ''] = topmost.split(' ', 3);
  return { mountId: Number(mountId), dev };
}

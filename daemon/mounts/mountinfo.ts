/** What is mounted, as proc(5) tells: /proc/PID/mountinfo. */
import fs from 'node:fs';

export interface MountEntry {
  id: number;
  /** "major:minor" of the file system */
  dev: string;
  /** byte string (options.ts) */
  point: string;
  type: string;
  source: string;
  /** those of the mount, between commas: ro, nosuid and the like */
  options: string;
}

export const PLYFS = 'fuse.plyfs';

/** In the order of mounting: what hides something else comes after it. */
export function mountTable(pid: number | 'self' = 'self'): MountEntry[] {
  return fs
    .readFileSync(`/proc/${pid}/mountinfo`, 'latin1')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      // ID PARENT MAJOR:MINOR ROOT POINT OPTIONS … - TYPE SOURCE SUPER
      const fields = line.split(' ');
      const dash = fields.indexOf('-', 6);
      return {
        id: Number(fields[0]),
        dev: fields[2] ?? '',
        point: unescaped(fields[4] ?? ''),
        type: fields[dash + 1] ?? '',
        source: unescaped(fields[dash + 2] ?? ''),
        options: fields[5] ?? '',
      };
    });
}

function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

/** What one sees at a mountpoint. */
export function topMount(table: readonly MountEntry[], point: string): MountEntry | undefined {
  return table.findLast((entry) => entry.point === point);
}

/** Is `path` the directory, or below it? Both are absolute. */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === '/' ? '/' : `${directory}/`);
}

/** Temporary directories, and the check that nothing of a test outlives it: mounts, processes, descriptors, files. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { mounts, run, tearAway } from './mounts.js';

const made = new Set<string>();
const removed = new Set<string>();

/**
 * A directory below /tmp/plyfs-XXXXXX that any user may pass. /tmp is ext4: a kernel overlay's upper needs that. ext4 looks long for an
 * inode where many were freed in the last seconds, and tests free many: +T has each directory in there put into a block group by its name.
 */
export function temporaryDirectory(): string {
  const outer = fs.mkdtempSync('/tmp/plyfs-');
  fs.chmodSync(outer, 0o755);
  spawnSync('chattr', ['+T', outer]);
  const directory = path.join(outer, outer.slice(-6));
  fs.mkdirSync(directory, 0o755);
  made.add(directory);
  return directory;
}

/** Removes it, and refuses to cross into a mount. */
export async function removeDirectory(directory: string): Promise<void> {
  if (mounts().some(({ point }) => inside(point, directory))) throw new Error(`${directory} still holds a mount`);
  const outer = path.dirname(directory);
  await run('rm', ['-rf', '--one-file-system', outer], { timeoutMs: 300_000 });
  if (fs.existsSync(outer)) throw new Error(`${directory} cannot be removed`);
  made.delete(directory);
  removed.add(directory);
}

const inside = (file: string, directory: string): boolean => file === directory || file.startsWith(directory + '/');

/** Descriptors and working directories of any process that lead into one of the directories. */
function holders(directories: readonly string[]): string[] {
  const found: string[] = [];
  for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const link of links(pid)) {
      const file = link.slice(link.indexOf(' ') + 1).replace(/ \(deleted\)$/, '');
      if (directories.some((directory) => inside(file, directory))) found.push(`process ${pid} holds ${link}`);
    }
  }
  return found;
}

function links(pid: string): string[] {
  try {
    const names = ['cwd', 'root', ...fs.readdirSync(`/proc/${pid}/fd`).map((fd) => `fd/${fd}`)];
    return names.map((name) => `${name} ${fs.readlinkSync(path.join('/proc', pid, name))}`);
  } catch {
    return []; // it ended, or a descriptor was closed, while we looked: then it holds nothing for long
  }
}

function leaks(directories: readonly string[]): string[] {
  return [
    ...mounts()
      .filter(({ point }) => directories.some((directory) => inside(point, directory)))
      .map(({ point, type }) => `mount ${point} (${type})`),
    ...holders(directories),
    ...directories.filter((directory) => fs.existsSync(directory)).map((directory) => `directory ${directory}`),
  ];
}

/** To be asked as the last thing of a test file: one line for each thing left behind. Tidies up, so that the next file starts clean. */
export async function leftBehind(): Promise<string[]> {
  const all = [...made];
  // Directories that were removed are watched too: a server that still holds descriptors of them is a leak.
  const watched = [...new Set([...all, ...removed])];
  let found = leaks(watched);
  for (const end = Date.now() + 5000; found.length > 0 && Date.now() < end; found = leaks(watched)) {
    await new Promise((resolve) => setTimeout(resolve, 100)); // a server ends a little after its unmount
  }
  for (const { point } of mounts().filter((mount) => all.some((directory) => inside(mount.point, directory)))) await tearAway(point);
  for (const directory of all) await removeDirectory(directory);
  return found;
}

/** Who uses a mount: found through /proc, without a request to the file system itself, which may hang. */
import fs from 'node:fs';
import { mountTable } from './mountinfo';

export interface Holder {
  pid: number;
  command: string;
}

const O_PATH = 0o10000000;
const MOST = 100;

export interface HoldersRequest {
  mountId: number;
  /** "major:minor" */
  dev: string;
  /** it is unmounted here: whoever has it in a mount namespace of their own counts too */
  elsewhere: boolean;
}

/** Processes that hold a file, a working directory, a root, a program or a mapping of the mount; at most 100. */
export function findHolders({ mountId, dev, elsewhere }: HoldersRequest): Holder[] {
  const found: Holder[] = [];
  const namespaces = new Map<string, Set<number>>();
  const own = link('self', 'ns/mnt');
  for (const name of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || found.length >= MOST) continue;
    const pid = Number(name);
    const namespace = link(name, 'ns/mnt');
    if (namespace === undefined) continue; // it ended
    let ids = namespaces.get(namespace);
    if (ids === undefined) namespaces.set(namespace, (ids = mountIds(pid, dev).add(mountId)));
    const sees = elsewhere && namespace !== own && ids.size > 1;
    if (sees || holds(name, ids, dev)) found.push({ pid, command: commandOf(name) });
  }
  return found;
}

/** The mounts of the file system in a process's mount namespace. */
function mountIds(pid: number, dev: string): Set<number> {
  try {
    return new Set(
      mountTable(pid)
        .filter((entry) => entry.dev === dev)
        .map(({ id }) => id),
    );
  } catch {
    return new Set(); // it ended
  }
}

function holds(pid: string, ids: ReadonlySet<number>, dev: string): boolean {
  return (
    ['cwd', 'root', 'exe'].some((name) => ids.has(mountOfLink(`/proc/${pid}/${name}`))) ||
    names(`/proc/${pid}/fdinfo`).some((fd) => ids.has(mountIdIn(`/proc/${pid}/fdinfo/${fd}`))) ||
    maps(pid, dev)
  );
}

/** An O_PATH descriptor of what /proc links to asks the file system nothing. */
function mountOfLink(path: string): number {
  let fd: number;
  try {
    fd = fs.openSync(path, O_PATH);
  } catch {
    return -1; // it ended, or is a kernel thread
  }
  const id = mountIdIn(`/proc/self/fdinfo/${fd}`);
  fs.closeSync(fd);
  return id;
}

function mountIdIn(fdinfo: string): number {
  return Number(/^mnt_id:\s*(\d+)/m.exec(text(fdinfo))?.[1] ?? -1);
}

/** "00:35" in /proc/PID/maps, hexadecimal. */
function maps(pid: string, dev: string): boolean {
  const [major = 0, minor = 0] = dev.split(':').map(Number);
  const hex = [major, minor].map((number) => number.toString(16).padStart(2, '0')).join(':');
  return text(`/proc/${pid}/maps`)
    .split('\n')
    .some((line) => line.split(' ', 4)[3] === hex);
}

function commandOf(pid: string): string {
  return text(`/proc/${pid}/comm`).trimEnd();
}

function text(path: string): string {
  try {
    return fs.readFileSync(path, 'latin1');
  } catch {
    return ''; // it ended, or it is not ours to read
  }
}

function names(path: string): string[] {
  try {
    return fs.readdirSync(path);
  } catch {
    return [];
  }
}

function link(pid: string, name: string): string | undefined {
  try {
    return fs.readlinkSync(`/proc/${pid}/${name}`);
  } catch {
    return undefined;
  }
}

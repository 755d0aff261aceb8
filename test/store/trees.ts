/** Making trees of every kind of file, with names that are bytes. Through native-bindings, as Node makes neither devices nor xattrs. */
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { native } from '../../native-bindings/index.js';

native.arenaCreate(1);
const memory = Buffer.from(native.arenaBuffer());

export const isRoot = process.getuid?.() === 0;
export const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

function put(at: number, value: Buffer): number {
  value.copy(memory, at);
  memory[at + value.length] = 0;
  return at;
}

function check(result: number, what: string): number {
  if (result < 0) throw new Error(`${what}: errno ${-result}`);
  return result;
}

/** Calls `act` with a descriptor of the directory and its entry's name, NUL-terminated in the arena. */
function at<T>(directory: string | Buffer, name: Buffer, act: (fd: number, name: number) => T): T {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return act(fd, put(0, name));
  } finally {
    closeSync(fd);
  }
}

/** `mode` with the type's bits; rdev as new_encode_dev has it. */
export function makeNode(directory: string, name: string, mode: number, rdev = 0): void {
  at(directory, bytes(name), (fd, entry) => check(native.mknodat(fd, entry, mode, rdev), `mknod ${name}`));
}

export function setXattr(directory: string, name: string, xattr: string, value: Buffer | string): void {
  const content = Buffer.from(value as string);
  at(directory, bytes(name), (fd, entry) => {
    content.copy(memory, 8192);
    check(native.setxattr(fd, entry, put(4096, bytes(xattr)), 8192, content.length, 0), `setxattr ${name} ${xattr}`);
  });
}

/** A chain of `depth` directories named `name`, however long the path becomes. Removed with `rm -rf`. */
export function makeDeep(directory: string, name: string, depth: number): void {
  let fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  put(0, bytes(name));
  for (let i = 0; i < depth; i++) {
    check(native.mkdirat(fd, 0, 0o755), 'mkdirat');
    const next = check(native.openat(fd, 0, constants.O_RDONLY | constants.O_DIRECTORY, 0), 'openat');
    closeSync(fd);
    fd = next;
  }
  closeSync(check(native.openat(fd, put(0, bytes('leaf')), constants.O_WRONLY | constants.O_CREAT, 0o600), 'openat'));
  closeSync(fd);
}

/** Changes an entry of the directory so that neither's mtime shows it; the name may be gone or new. */
export function keepTimes(directory: string, name: string, change: (file: string) => void): void {
  const file = join(directory, name);
  const aside = mkdtempSync('/tmp/plyfs-times-');
  const saved = [file, directory].map((each, i) => ({ each, times: join(aside, String(i)) }));
  for (const { each, times } of saved) {
    writeFileSync(times, '');
    execFileSync('touch', ['-h', '-r', each, times]);
  }
  change(file);
  for (const { each, times } of saved) execFileSync('touch', ['-h', '-r', times, each]);
  rmSync(aside, { recursive: true });
}

/**
 * enable_uring of the fuse module, on for the run and then as it was: at the end of the process however it ends, but for SIGKILL, after which
 * scripts/bench-janitor does it.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';

export const PARAMETER = '/sys/module/fuse/parameters/enable_uring';

/** What it is now, or undefined on a kernel without it. */
export function uringParameter(): 'Y' | 'N' | undefined {
  try {
    return fs.readFileSync(PARAMETER, 'latin1').startsWith('Y') ? 'Y' : 'N';
  } catch {
    return undefined; // no such kernel, or the module is not loaded
  }
}

/** Asked for a transport that there is none of, a plyfs that knows the option says so; another one ignores it, and stumbles over the lower. */
function knowsTransports(plyfs: string): boolean {
  const { stderr } = spawnSync(plyfs, ['-o', 'lowerdir=/nonexistent,transport=none-such', '/nonexistent'], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  return /transport.*none-such/.test(stderr);
}

let switchedOn = false;

/** For the run, or again: others on the machine may switch it off meanwhile. `changed` hears what it was. Throws if it may not. */
export function switchUringOn(changed: (before: string) => void): void {
  const before = uringParameter();
  if (before !== 'N') return;
  changed(before);
  if (!switchedOn) process.on('exit', () => fs.writeFileSync(PARAMETER, before));
  switchedOn = true;
  fs.writeFileSync(PARAMETER, 'Y');
}

/** Why this plyfs cannot be measured over io_uring where the kernel has it, or undefined if it can. */
export function whyNoTransport(plyfs: string): string | undefined {
  return knowsTransports(plyfs) ? undefined : 'this plyfs has no option transport=uring';
}

/** Why nothing can be measured over io_uring, or undefined if it can. */
export function whyNoUring(): string | undefined {
  if (uringParameter() === undefined) return `${PARAMETER} does not exist: the kernel's FUSE has no io_uring`;
  try {
    fs.accessSync(PARAMETER, fs.constants.W_OK);
  } catch (error) {
    return `it cannot be switched on: ${(error as Error).message}`;
  }
  return undefined;
}

/** What this process may do. */
import fs from 'node:fs';

const CAP_SYS_ADMIN = 21n;
const CAP_SYS_NICE = 23n;

let admin: boolean | undefined;

function isInitialAdmin(): boolean {
  return hasInitial(CAP_SYS_ADMIN);
}

/** Has it the capability in the initial user namespace? */
function hasInitial(capability: bigint): boolean {
  const status = fs.readFileSync('/proc/self/status', 'latin1');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  const map = fs.readFileSync('/proc/self/uid_map', 'latin1').trim().split(/\s+/).map(Number);
  return (effective & (1n << capability)) !== 0n && map.length === 3 && map[0] === 0 && map[1] === 0 && map[2] === 0xffffffff;
}

/** SCHED_IDLE and back again (sched(7)). */
export function mayLowerItself(): boolean {
  return hasInitial(CAP_SYS_NICE);
}

/** FUSE_DEV_IOC_BACKING_OPEN (fs/fuse/passthrough.c). */
export function mayPassThrough(): boolean {
  return (admin ??= isInitialAdmin());
}

/** trusted.* xattrs (xattr(7)). */
export function mayUseTrusted(): boolean {
  return (admin ??= isInitialAdmin());
}

/** The CPUs that this process may use, from /proc/self/status: "0-3,8". */
export function usableCpus(): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(fs.readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

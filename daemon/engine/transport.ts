/** How a mount's requests come to us: through clones of the device, or over io_uring where kernel and administrator allow it. */
import fs from 'node:fs';
import { native } from '../../native-bindings/index';
import { Errno } from '../errno';
import type { TransportInfo } from './control';

const PARAMETER = '/sys/module/fuse/parameters/enable_uring';

/** Why a mount that is made now cannot have io_uring; undefined: it can, as far as can be known before. */
export function hindrance(): string | undefined {
  let enabled: string;
  try {
    enabled = fs.readFileSync(PARAMETER, 'latin1').trim();
  } catch {
    return 'the kernel has no FUSE over io_uring: it came with Linux 6.14 (CONFIG_FUSE_IO_URING)';
  }
  if (enabled !== 'Y') return `it is switched off: as root, echo Y >${PARAMETER}`;
  const probed = native.ringProbe();
  return probed < 0 ? ringFailure(probed) : undefined;
}

/** Why a ring could not be made, or was refused. */
export function ringFailure(result: number): string {
  switch (-result) {
    case Errno.EPERM:
    case Errno.EACCES:
      return 'this process may not use io_uring: see kernel.io_uring_disabled, and the seccomp profile of its container';
    case Errno.ENOSYS:
      return 'the kernel has no io_uring, or a seccomp profile hides it';
    case Errno.ENOMEM:
      return 'there is no memory for its rings: see RLIMIT_MEMLOCK';
    default:
      return `the kernel refuses its rings (errno ${-result})`;
  }
}

export const OVER_URING: TransportInfo = { used: 'uring', why: 'the kernel has FUSE over io_uring, and it is switched on' };
export const AS_ASKED: TransportInfo = { used: 'dev', why: 'transport=dev was asked for' };

export function insteadOfUring(reason: string): TransportInfo {
  return { used: 'dev', why: `clones of /dev/fuse; io_uring cannot be had: ${reason}` };
}

/**
 * Over which transport the tests mount. What runs on a machine must not depend on how its administrator left a switch: dev, unless
 *
 *   PLYFS_TEST_TRANSPORT=uring scripts/run-tests …
 *
 * says otherwise; io_uring must be switched on then (/sys/module/fuse/parameters/enable_uring).
 */
import os from 'node:os';
import { type Transport, TRANSPORTS } from '../../daemon/mounts/options.js';

function asked(): Transport {
  const name = process.env['PLYFS_TEST_TRANSPORT'] ?? 'dev';
  const transport = TRANSPORTS.find((one) => one === name);
  if (transport === undefined) throw new Error(`PLYFS_TEST_TRANSPORT=${name}: it takes one of ${TRANSPORTS.join(', ')}`);
  return transport;
}

export const TRANSPORT = asked();

/** Why a test with so many workers that get stuck cannot be had; false: it can. */
export function lonelyQueues(workers: number): string | false {
  if (TRANSPORT !== 'uring' || workers >= os.availableParallelism()) return false;
  return 'over io_uring a worker of several CPUs that is stuck in the call of one keeps a caller of each other waiting';
}

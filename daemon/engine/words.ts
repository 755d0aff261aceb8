/** What of the table's shared memory is the engine's own: words that overlay/table/layout.ts leaves free. */
import { Control, MountWord, WorkerSlot } from '../overlay/table/layout';

export const enum EngineWord {
  /** 1: the main thread does not watch for stuck workers, since nothing happens; who begins to work sets it to 0 and wakes it */
  WATCH_ASLEEP = 120,
  /** ReadAhead */
  READ_AHEAD = 121,
  /** thread id of whom a worker served last through its ring, and that worker's slot (wandering.ts) */
  LAST_CALLER = 122,
  LAST_WORKER = 123,
  /** when a leader was found stuck, as Clock counts; 0: never (leading.ts) */
  LEADER_STUCK = 125,
  /** byte offset of the page with the mounts' ids (mount-names.ts); 0: none has one */
  MOUNT_NAMES = 124,
  /** worker slot of the main thread; the workers have 1 and up */
  MAIN = 0,
}

/** What was listed is worth reading ahead of (overlay/ahead.ts), and one worker at a time does that. */
export const enum ReadAhead {
  NOBODY = 0,
  /** a worker was woken for it */
  WANTED = 1,
  UNDER_WAY = 2,
}

/** Words of a mount record, set by the main thread before the mount is ACTIVE. */
export const enum EngineMountWord {
  /** slot of the one worker that waits for its requests; 0: all do (leading.ts) */
  LEADER = 4,
  /** which mount it is of all that had this record: workers let go of each once */
  SERIAL = 30,
  /** 1: SETXATTR comes with 16 bytes before the name */
  EXTENDED_SETXATTR = 31,
  /** Transport */
  TRANSPORT = 29,
  /** workers that have not yet lent their entries to the kernel, or found that they cannot */
  RING_LEFT = 28,
  /** the first errno (negative) of those that could not */
  RING_ERROR = 27,
  /** bytes of an entry's payload */
  RING_CAPACITY = 26,
  /** nodeid of the regular file that was asked about last over io_uring; 0: none yet */
  REGULAR_NODE = 25,
}

export const enum EngineWorkerWord {
  /** descriptor of the epoll that it waits in; 0: it has not begun */
  EPOLL = 7,
}

export const enum Transport {
  DEV = 0,
  URING = 1,
  /** io_uring was agreed on, and then a worker could not have it: everything comes over the device */
  FAILED = 2,
}

export function mountRecord(mount: number): number {
  return Control.MOUNTS + mount * MountWord.SIZE;
}

export function workerSlot(worker: number): number {
  return Control.WORKERS + worker * WorkerSlot.SIZE;
}

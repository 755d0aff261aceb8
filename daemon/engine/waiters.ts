/**
 * Who waits for a mount's requests at its device: workers whose epoll has their clone of it. EPOLLEXCLUSIVE: a request wakes one of them. Any thread may
 * let a worker join or leave, without waking it.
 */
import { native } from '../../native-bindings/index';
import { Errno } from '../errno';
import { MountWord } from '../overlay/table/layout';
import { EngineWorkerWord, mountRecord, workerSlot } from './words';

const EPOLLIN = 1;
const EPOLLEXCLUSIVE = 1 << 28;

/** The tag of its events is the mount's index + 1. */
export function join(epoll: number, fd: number, mount: number): void {
  const result = native.epollAdd(epoll, fd, EPOLLIN | EPOLLEXCLUSIVE, mount + 1);
  if (result < 0 && result !== -Errno.EEXIST) throw new Error(`epoll_ctl: errno ${-result}`);
}

/** One that it is not in, or that is closed, is left already. */
export function leave(epoll: number, fd: number): void {
  const result = native.epollDelete(epoll, fd);
  if (result < 0 && result !== -Errno.ENOENT && result !== -Errno.EBADF) throw new Error(`epoll_ctl: errno ${-result}`);
}

/** Another worker, at the device of a mount that is ACTIVE and that the caller has not let go of. */
export function setWaiting(i32: Int32Array, worker: number, mount: number, wanted: boolean): void {
  const epoll = i32[workerSlot(worker) + EngineWorkerWord.EPOLL];
  const fd = i32[mountRecord(mount) + MountWord.CHANNELS + worker];
  if (epoll === 0) return; // it has not begun yet, and looks when it does
  if (wanted) join(epoll, fd, mount);
  else leave(epoll, fd);
}

/**
 * The control channel of an engine: how the mount helper (plyfs), and later the daemon, tell it what to do.
 *
 * It is a SOCK_SEQPACKET Unix socket, given to the engine as an inherited descriptor (--control=3). One message is one JSON object, with
 * descriptors beside it (SCM_RIGHTS). Every request but `descriptors` has an `id` of its sender's choice, and gets exactly one answer with
 * that id. Requests may follow each other without waiting; answers may come in another order.
 *
 *   descriptors   more descriptors for the request that follows: one message carries 250 at most, a mount may have 500 layers. No answer.
 *   mount         serve a mount. Its descriptors, in this order: the device (/dev/fuse, mounted already, its INIT unread), the layers
 *                 (O_PATH directories, topmost first), and when `writable` the upper and the work directory. The engine owns them from
 *                 then on. Answered when the mount is usable, or with an error; the mounting and, after an error, unmounting of the
 *                 mountpoint is the sender's.
 *   list          the mounts that are served.
 *   stop          unmount everything (MNT_DETACH) and end. Answered at once.
 *
 * An answer is {id, ok: true, …} or {id, ok: false, error}: `error` is a sentence for the user. id 0 concerns all requests: the engine could not
 * start, or fails.
 *
 * End of the channel: an engine that was started for its own mounts goes on while it has some, unless it runs in the foreground
 * (--foreground), and else ends.
 */
import type { MountOptions } from '../mounts/options';

export interface MountRequest {
  type: 'mount';
  id: number;
  options: MountOptions;
  /** byte string (options.ts): where it is mounted, for unmounting at the engine's end and for people */
  mountpoint: string;
  /** the upper and the work directory come after the layers */
  writable: boolean;
  /** 1 + the deepest level of the plyfs mounts that its directories lie on */
  level: number;
}

export interface ListRequest {
  type: 'list';
  id: number;
}

export interface StopRequest {
  type: 'stop';
  id: number;
}

export interface Descriptors {
  type: 'descriptors';
}

export type Request = MountRequest | ListRequest | StopRequest | Descriptors;

export interface ListedMount {
  mountpoint: string;
  level: number;
  layers: number;
  writable: boolean;
  passthrough: boolean;
  transport: TransportInfo;
}

/** How a mount's requests come from the kernel. */
export interface TransportInfo {
  used: 'dev' | 'uring';
  /** a sentence for people: why this one, and not the other */
  why: string;
}

export type Answer = { id: number; ok: true; mount?: number; mounts?: ListedMount[] } | { id: number; ok: false; error: string };

/** Bytes of one message at most; the kernel's own limit (net.core.wmem_default) is a little above. */
export const MESSAGE_BYTES = 192 * 1024;
/** Descriptors in one message at most. */
export const MESSAGE_DESCRIPTORS = 250;

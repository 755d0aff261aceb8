/**
 * The control channel of an engine: how the daemon and the mount helper (plyfs) tell it what to do. plyfs talks so to the daemon, too, which
 * takes `hello` and `mount` only.
 *
 * It is a SOCK_SEQPACKET Unix socket, given to the engine as an inherited descriptor (--control=3). One message is one JSON object, with
 * descriptors beside it (SCM_RIGHTS). Every request but `descriptors` has an `id` of its sender's choice, and gets exactly one answer with
 * that id. Requests may follow each other without waiting; answers may come in another order.
 *
 *   descriptors   more descriptors for the request that follows: one message carries 250 at most, a mount may have 500 layers. No answer.
 *   mount         serve a mount. Its descriptors, in this order: the device (/dev/fuse, mounted already, its INIT unread), the layers
 *                 (O_PATH directories, topmost first; of an imported one that is `layers/<id>` of its store), with `imported` the store's
 *                 `objects/`, and when `writable` the upper and the work directory. The engine owns them from
 *                 then on. Answered when the mount is usable, or with an error; the mounting and, after an error, unmounting of the
 *                 mountpoint is the sender's.
 *   list          the mounts that are served, those with an index above `after`, as many as one message holds: `more` says that there are others.
 *   hello         what this engine is.
 *   devices       a mount's device descriptors beside the answer: the device, then its clones. They are duplicates, for whoever wants the mount to
 *                 outlive the engine: as long as one is open, requests of a dead engine wait instead of failing.
 *   plan          what a mount's options come to, for plyfs's launcher (mounts/plan.ts). Nothing is opened or mounted.
 *   stats         what was counted for the mounts with an index above `after`, as many as one message holds (`more`), and, where `after` is absent, how long
 *                 operations took.
 *   stop          unmount everything (MNT_DETACH) and end. Answered at once.
 *
 * An engine of the driver fuse-native (fuse-native/) serves one mount, which it mounts by itself: no device comes with the request, which has a `source`
 * instead, and the answer says what was `mounted`. There are no device descriptors to be had from it.
 *
 * An answer is {id, ok: true, …} or {id, ok: false, error}: `error` is a sentence for the user. id 0 concerns all requests: the engine could not
 * start, or fails. `declined` says that nothing was touched, and another engine may do it. {id: 0, ok: true, ended} says that the kernel has let go of a mount, whoever unmounted it.
 *
 * The engine's end: with its last mount, but for one that the daemon started (--supervised), which then waits for the next mount. When the channel
 * ends, an engine goes on while it has mounts and else ends; one in the foreground (--foreground) unmounts and ends.
 *
 * An engine is found by its rendezvous (--rendezvous=PATH): a Unix stream socket there takes one message with one descriptor, a SOCK_SEQPACKET
 * socket that is a control channel from then on. A supervised engine takes it, from a daemon that was started again, in the place of the one it had. One
 * that plyfs started takes any number of them, and does not end while one is open; its rendezvous goes first.
 */
import type { MountOptions } from '../mounts/options';

export interface MountRequest {
  type: 'mount';
  id: number;
  options: MountOptions;
  /** byte string (options.ts): where it is mounted, for unmounting at the engine's end and for people */
  mountpoint: string;
  /** for each layer: the id of an imported one, or '' for a directory; absent: all are directories */
  imported?: string[];
  /** the upper and the work directory come after the layers */
  writable: boolean;
  /** of the mounted file system, as in mountinfo: at its end the engine unmounts this one, and nothing else that may be there by then */
  dev: string;
  /** 1 + the deepest level of the plyfs mounts that its directories lie on */
  level: number;
  /** the sender's own note: `list` has it again */
  tag?: string;
  /** what lines of the log are to call it: the id that people know; absent: the engine's own number */
  name?: string;
  /** to an engine that mounts by itself: what the mount is to be said to be of */
  source?: string;
  /** a mount to practise on (mounts/practice.ts): nowhere to be found, none of the mounts that are listed, and no news */
  practice?: boolean;
  /** to an engine: duplicates of the device descriptors come with the answer, as with that to `devices` */
  devices?: boolean;
  /** byte string, to the daemon only: the options as they were given, without the directories */
  further?: string;
}

export interface ListRequest {
  type: 'list';
  id: number;
  after?: number;
}

export interface HelloRequest {
  type: 'hello';
  id: number;
}

/** What a mount's options come to, before its directories are opened (mounts/plan.ts). */
export interface PlanRequest {
  type: 'plan';
  id: number;
  /** byte strings */
  options: string;
  source?: string;
}

export interface DevicesRequest {
  type: 'devices';
  id: number;
  /** its index, as the answer to `mount` gave it */
  mount: number;
}

export interface StatsRequest {
  type: 'stats';
  id: number;
  after?: number;
}

export interface StopRequest {
  type: 'stop';
  id: number;
}

export interface Descriptors {
  type: 'descriptors';
}

export type Request = MountRequest | ListRequest | HelloRequest | PlanRequest | DevicesRequest | StatsRequest | StopRequest | Descriptors;

/** A mount in /proc/self/mountinfo. */
export interface MountedAs {
  mountId: number;
  /** "major:minor" of the file system */
  dev: string;
}

export interface ListedMount {
  mount: number;
  /** by an engine that mounts by itself */
  mounted?: MountedAs;
  tag?: string;
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

/** Since the mount was made. */
export interface CountedMount {
  mount: number;
  tag?: string;
  /** requests answered, by the name of the FUSE operation; none that was never asked for */
  operations: Record<string, number>;
  opensPassthrough: number;
  opensServed: number;
  /** LOOKUPs that were answered without reading anything */
  lookupHits: number;
  nodesRead: number;
  directoriesRead: number;
  copiedFiles: number;
  copiedBytes: number;
  /** absent: an engine that was started before there were any */
  times?: ({ kind: CountedKind } & Times)[];
}

/** Kinds of operations (protocol/operations.ts, Kind). */
export type CountedKind = 'lookup' | 'attributes' | 'list' | 'open' | 'read' | 'write' | 'change' | 'other';

export type CountedTimes = { operation: string } & Times;

/** How long handlers took, of the requests that were timed (overlay/counters.ts, TIMED_ONE_IN). */
interface Times {
  /** [i]: those that took less than 2^i microseconds and are in no bucket before; the last one has the rest */
  buckets: number[];
  sumMs: number;
}

export interface Hello {
  pid: number;
  workers: number;
  /** milliseconds since 1970 */
  startedAt: number;
}

export type Answer =
  | {
      id: number;
      ok: true;
      mount?: number;
      mounts?: ListedMount[];
      more?: boolean;
      hello?: Hello;
      ended?: number;
      plan?: string;
      mounted?: MountedAs;
      counted?: CountedMount[];
      times?: CountedTimes[];
    }
  | { id: number; ok: false; error: string; declined?: true };

/** Bytes of one message at most; the kernel's own limit (net.core.wmem_default) is a little above. */
export const MESSAGE_BYTES = 192 * 1024;
/** Descriptors in one message at most. */
export const MESSAGE_DESCRIPTORS = 250;

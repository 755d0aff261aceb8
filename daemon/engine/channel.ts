/**
 * Where one worker gets a mount's requests and answers them: a clone of the device, which is here, or the worker's ring (ring.ts). Whoever answers
 * a request knows no more of either than Channel.
 */
import { native } from '../../native-bindings/index';
import { Errno } from '../errno';
import { Limits } from '../overlay/table/layout';
import type { Memory } from '../overlay/table/memory';

export interface Channel {
  /** Where the request lies that was received last, or resumed. */
  readonly request: number;
  /** Where its answer is to be written. */
  readonly reply: number;
  readonly replyCapacity: number;
  /** What resume() wants to know of it. */
  readonly token: number;
  /** The result of the last send: 0, or a negative errno. */
  readonly sent: number;
  /** Sends `length` bytes of the reply (0: there is none). */
  send(length: number): void;
  /** The kernel has what was sent when this returns. */
  flush(): void;
  /** The request will be answered later, after resume(). Until then others are received. */
  setAside(): void;
  /** The next answer is that of a request which was set aside: to be put back at `request` by the caller, who has kept it. */
  resume(token: number): void;
}

/** Results of CloneChannel.receive(): no request waits; the kernel has let go of the mount. */
export const NOTHING = 0;
export const GONE = -1;

/** A worker's memory for requests and answers, shared by its channels: it handles one request at a time. */
export interface Buffers {
  readonly request: number;
  readonly requestCapacity: number;
  readonly reply: number;
  readonly replyCapacity: number;
  /** 4 KiB for small things */
  readonly scratch: number;
}

/** Room for 1 MiB of data (FUSE_MAX_MAX_PAGES) with the headers before it. */
const MESSAGE_PAGES = 17;

export function makeBuffers(memory: Memory): Buffers {
  const request = memory.takePages(2 * MESSAGE_PAGES + 1);
  const capacity = MESSAGE_PAGES * Limits.PAGE_BYTES;
  const reply = request + capacity;
  return { request, requestCapacity: capacity, reply, replyCapacity: capacity, scratch: reply + capacity };
}

/** A clone of the device (FUSE_DEV_IOC_CLONE): all clones share one queue of requests, and an answer goes to the clone that read its request. */
export class CloneChannel implements Channel {
  readonly request: number;
  readonly reply: number;
  readonly replyCapacity: number;
  readonly token = 0;
  sent = 0;
  private readonly capacity: number;
  private readonly status: number;

  constructor(
    readonly fd: number,
    buffers: Buffers,
    private readonly i32: Int32Array,
  ) {
    this.request = buffers.request;
    this.capacity = buffers.requestCapacity;
    this.reply = buffers.reply;
    this.replyCapacity = buffers.replyCapacity;
    this.status = buffers.scratch;
  }

  /** Length of a request, NOTHING, or GONE. Does not wait. Throws on what should not happen. */
  receive(): number {
    const length = native.recv(this.fd, this.request, this.capacity);
    return length > 0 ? length : this.classify(length);
  }

  send(length: number): void {
    const result = length === 0 ? 0 : native.send(this.fd, this.reply, length);
    this.sent = result < 0 ? result : 0;
  }

  flush(): void {
    // each send is a write(2)
  }

  setAside(): void {
    // the device takes answers in any order
  }

  resume(): void {
    // nor does it say where they are written
  }

  /** send, then receive. */
  sendAndReceive(length: number): number {
    const received = native.sendRecv(this.fd, this.reply, length, this.request, this.capacity, this.status);
    this.sent = this.i32[this.status >> 2];
    return received > 0 ? received : this.classify(received);
  }

  /** The device's own errors (fuse_dev_do_read). EINTR and ENOENT are retried by native-bindings. */
  private classify(result: number): number {
    if (result === -Errno.EAGAIN) return NOTHING;
    // With FUSE_ABORT_ERROR an aborted connection says the second; we do not ask for it, and it costs nothing to know it.
    if (result === -Errno.ENODEV || result === -Errno.ECONNABORTED) return GONE;
    throw new Error(`cannot read from the FUSE device: ${result === 0 ? 'end of file' : `errno ${-result}`}`);
  }
}

/** The control plane's end of an engine's control channel: see daemon/engine/control.ts. */
import { native } from '../../native-bindings/index';
import type { Answer, MountRequest, Request } from '../engine/control';
import { Errno } from '../errno';

/** As engine/control.ts has them. */
const MESSAGE_BYTES = 192 * 1024;
const MESSAGE_DESCRIPTORS = 250;

/** Why the engine could not do what it was asked; the message is for the user. */
export class EngineError extends Error {}

/** Not this one, and nothing was touched: another may do it. */
export class EngineDeclined extends EngineError {}

/** The engine is gone: what it was asked may have happened or not. */
export class EngineGone extends EngineError {}

export type Granted = Extract<Answer, { ok: true }> & { descriptors: number[] };

type Asked = Exclude<Request, { type: 'descriptors' }>;
type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

interface Waiting {
  resolve: (answer: Granted) => void;
  reject: (error: Error) => void;
}

export class EngineChannel {
  private readonly watch: { stop(): void };
  private readonly waiting = new Map<number, Waiting>();
  private lastId = 0;
  private closed = false;

  constructor(
    private readonly fd: number,
    private readonly events: {
      /** the kernel has let go of a mount */
      onMountEnded?: (mount: number) => void;
      /** the other end is closed: the engine is gone, or about to be */
      onEnd?: () => void;
    } = {},
  ) {
    this.watch = native.watchReadable(fd, () => this.receive());
  }

  /** Resolves with the answer; the descriptors beside it are the caller's. Those that are sent stay the caller's. */
  ask(request: WithoutId<Asked>, descriptors: readonly number[] = []): Promise<Granted> {
    if (this.closed) return Promise.reject(new EngineGone('the engine has ended'));
    const id = ++this.lastId;
    const answer = new Promise<Granted>((resolve, reject) => this.waiting.set(id, { resolve, reject }));
    try {
      let at = 0;
      for (; descriptors.length - at > MESSAGE_DESCRIPTORS; at += MESSAGE_DESCRIPTORS) {
        this.send({ type: 'descriptors' }, descriptors.slice(at, at + MESSAGE_DESCRIPTORS));
      }
      this.send({ ...request, id }, descriptors.slice(at));
    } catch (error) {
      this.waiting.get(id)?.reject(error as Error);
      this.waiting.delete(id);
    }
    return answer;
  }

  /** Resolves with the mount's index when it is usable. */
  async mount(request: Omit<MountRequest, 'type' | 'id'>, descriptors: readonly number[]): Promise<number> {
    const { mount = -1 } = await this.ask({ type: 'mount', ...request }, descriptors);
    return mount;
  }

  /** Whoever waits for an answer gets this instead. */
  fail(error: EngineError): void {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.watch.stop();
    native.close(this.fd);
  }

  private send(request: Request, descriptors: number[]): void {
    const data = Buffer.from(JSON.stringify(request));
    if (data.length > MESSAGE_BYTES) throw new EngineError('the mount options are too long: fewer layers, or shorter paths to them');
    const sent = native.sendMessage(this.fd, data, descriptors);
    if (sent === -Errno.EPIPE) throw new EngineGone('the engine has ended');
    if (sent < 0) throw new EngineError(`cannot send to the engine (errno ${-sent})`);
  }

  private receive(): void {
    const message = native.receiveMessage(this.fd, MESSAGE_BYTES);
    if (message === -Errno.EAGAIN) return;
    if (typeof message === 'object') {
      this.take(JSON.parse(message.data.toString()) as Answer, message.fds);
      return;
    }
    if (typeof message === 'number') this.fail(new EngineGone(`cannot receive from the engine (errno ${-message})`));
    this.close();
    this.events.onEnd?.();
  }

  private take(answer: Answer, descriptors: number[]): void {
    if (answer.id === 0) {
      if (!answer.ok) this.fail(new EngineError(answer.error));
      else if (answer.ended !== undefined) this.events.onMountEnded?.(answer.ended);
      return;
    }
    const waiting = this.waiting.get(answer.id);
    this.waiting.delete(answer.id);
    if (answer.ok && waiting !== undefined) {
      waiting.resolve({ ...answer, descriptors });
      return;
    }
    for (const fd of descriptors) native.close(fd);
    if (!answer.ok) waiting?.reject(answer.declined === true ? new EngineDeclined(answer.error) : new EngineError(answer.error));
  }
}

/** The engine's end of the control channel: see control.ts. */
import { native } from '../../native-bindings/index';
import { Errno } from '../errno';
import type { Log } from '../log';
import { type Answer, MESSAGE_BYTES, type Request } from './control';

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;
/** `descriptors` go beside the answer, and stay the handler's. */
export type Outcome = WithoutId<Answer> & { descriptors?: number[] };

/** What a request is answered with. The descriptors are the handler's from then on. */
export type Handler = (request: Exclude<Request, { type: 'descriptors' }>, descriptors: number[]) => Outcome | Promise<Outcome>;

export class ControlChannel {
  private readonly watch: { stop(): void };
  private descriptors: number[] = [];
  private open = true;

  get isOpen(): boolean {
    return this.open;
  }

  constructor(
    private readonly fd: number,
    private readonly handler: Handler,
    private readonly onEnd: () => void,
    private readonly log: Log,
  ) {
    this.watch = native.watchReadable(fd, () => this.receive());
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    this.watch.stop();
    native.close(this.fd);
    closeAll(this.descriptors);
  }

  private receive(): void {
    while (this.open) {
      const message = native.receiveMessage(this.fd, MESSAGE_BYTES);
      if (message === -Errno.EAGAIN) return;
      if (message === undefined || typeof message === 'number') {
        // ECONNRESET: it ended with something of ours unread (unix(7)), which is an end as any other
        if (message !== undefined && message !== -Errno.ECONNRESET) this.log.error({ errno: -message }, 'the control channel failed');
        this.close();
        this.onEnd();
        return;
      }
      this.descriptors.push(...message.fds);
      this.handle(message.data);
    }
  }

  private handle(data: Buffer): void {
    let request: Request;
    try {
      request = JSON.parse(data.toString()) as Request;
    } catch (error) {
      this.log.error({ err: error }, 'a control message is not JSON');
      closeAll(this.descriptors.splice(0));
      return;
    }
    if (request.type === 'descriptors') return;
    void this.answer(request, this.descriptors.splice(0));
  }

  private async answer(request: Exclude<Request, { type: 'descriptors' }>, descriptors: number[]): Promise<void> {
    let outcome: Outcome;
    try {
      outcome = await this.handler(request, descriptors);
    } catch (error) {
      outcome = { ok: false, error: error instanceof Error ? error.message : String(error) };
    }
    const { descriptors: sending = [], ...answer } = outcome;
    this.send({ id: request.id, ...answer }, sending);
  }

  /** Something that nobody asked for. */
  tell(news: WithoutId<Answer>): void {
    this.send({ id: 0, ...news }, []);
  }

  private send(answer: Answer, descriptors: number[]): void {
    if (!this.open) return;
    const sent = native.sendMessage(this.fd, Buffer.from(JSON.stringify(answer)), descriptors);
    if (sent < 0) this.log.warn({ errno: -sent }, 'an answer could not be sent');
  }
}

export function closeAll(descriptors: readonly number[]): void {
  for (const fd of descriptors) if (fd >= 0) native.close(fd);
}

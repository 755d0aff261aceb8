/** What the tests of daemon/protocol share: hex with comments, a memory with guard zones, and an Operations that notes what it is asked. */
import type { Operations, Reply } from '../../daemon/protocol/operations';

/** Bytes written as hex, in groups as one likes; '#' begins a comment that ends with the line. */
export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replace(/#.*/g, '').replace(/\s+/g, ''), 'hex'));
}

/** The same, of bytes in memory, for a comparison that can be read: 8 bytes a line. */
export function dump(bytes: Uint8Array): string[] {
  return (
    Buffer.from(bytes)
      .toString('hex')
      .match(/.{1,16}/g) ?? []
  ).map((line) => line);
}

export const REQUEST = 0x1000;
export const REPLY = 0x8000;
export const REPLY_SIZE = 0x4000;
export const SCRATCH = 0xe000;
const SIZE = 0x10000;

/** An arena with a place for a request, one for a reply, and `fill` everywhere else. */
export class Memory {
  readonly buffer = new ArrayBuffer(SIZE);
  readonly bytes = new Uint8Array(this.buffer);
  private readonly view = new DataView(this.buffer);

  constructor(readonly fill = 0xa5) {
    this.bytes.fill(fill);
  }

  /** Puts a message where requests come, its first `length` bytes only, and `fill` around it. With `fit`, its header says that length. */
  place(message: Uint8Array, length = message.length, fit = false): void {
    this.bytes.fill(this.fill, 0, REPLY);
    this.bytes.set(message.subarray(0, length), REQUEST);
    if (fit && length >= 4) this.view.setUint32(REQUEST, length, true);
  }

  /** Is everything as it was, outside of the `length` bytes of the request and of the room for the reply? */
  untouched(length: number): boolean {
    return this.all(0, REQUEST) && this.all(REQUEST + length, REPLY) && this.all(REPLY + REPLY_SIZE, SIZE);
  }

  reply(length: number): Uint8Array {
    return this.bytes.slice(REPLY, REPLY + length);
  }

  text(offset: number, length: number): string {
    return Buffer.from(this.bytes.subarray(offset, offset + length)).toString('latin1');
  }

  private all(from: number, to: number): boolean {
    for (let i = from; i < to; i++) if (this.bytes[i] !== this.fill) return false;
    return true;
  }
}

export type Call = Record<string, unknown>;

/** The fields of an operation as numbers, and what lies in memory as text: `name` and `nameLength` become the name. */
export function described(memory: Memory, operation: object): Call {
  const fields = { ...operation } as Record<string, number>;
  const call: Call = { ...fields };
  const parts = [
    ['name', 'nameLength'],
    ['newName', 'newNameLength'],
    ['target', 'targetLength'],
    ['value', 'valueLength'],
    ['data', fields.inSize === undefined ? 'size' : 'inSize'],
  ];
  for (const [at, length] of parts) {
    if (fields[at] === undefined || fields[length] === undefined) continue;
    call[at] = memory.text(fields[at], fields[length]);
    if (length.endsWith('Length')) Reflect.deleteProperty(call, length);
  }
  return call;
}

/** Notes each call as {method, …fields} in `calls`, and answers as `answer` does. */
export function recorder(
  memory: Memory,
  calls: Call[],
  answer: (method: string, reply: Reply, operation: object) => number = () => 0,
): Operations {
  return new Proxy({} as Operations, {
    get: (_, method: string) => (operation: object, reply: Reply) => {
      calls.push({ method, ...(typeof operation === 'object' ? described(memory, operation) : { node: operation }) });
      return answer(method, reply, operation);
    },
  });
}

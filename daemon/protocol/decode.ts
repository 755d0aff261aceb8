/** From the bytes of a request to its operation, and on to whoever serves it. One Decoder per worker; nothing is allocated per request. */
import { Errno } from '../errno';
import { UNIQUE_RESEND_HIGH } from './abi';
import type { Encoder } from './encode';
import { InitRequest, type Negotiation } from './negotiation';
import { Kind, type Operations, SET_ASIDE } from './operations';
import { Answer, Message } from './reader';
import { makeRows, type Row } from './rows';

/** What dispatch() returns when the operation was set aside: there is nothing to send yet. */
export const ASIDE = -1;

/** A message too broken to tell whose it is: it gets no answer. */
const BROKEN: Row = {
  name: 'broken',
  opcode: 0,
  kind: Kind.OTHER,
  size: 0,
  answer: Answer.NONE,
  operation: null,
  decode: () => -Errno.EPROTO,
  handle: () => -Errno.EPROTO,
};

export class Decoder {
  /** The header of the request decoded last, and the cursor; for the engine's log and statistics. */
  readonly message: Message;
  /** The body of an INIT. */
  readonly init = new InitRequest();
  /** The row of the request decoded last. */
  row: Row = BROKEN;
  /** What decode() returned. */
  failure = 0;
  private readonly rows: Row[];

  constructor(memory: ArrayBuffer) {
    this.message = new Message(memory);
    this.rows = makeRows(this.message, this.init);
  }

  /**
   * Reads the request of `length` bytes at `offset`, which must be a multiple of 8. 0, or what it will be answered with: -EPROTO (malformed: EIO to the
   * caller), -ENOSYS (not known), -ENAMETOOLONG, -ENOENT ("." and ".."), -ERANGE and -E2BIG (xattrs). Bytes after the last that we know of are ignored,
   * since a newer kernel may append some.
   */
  decode(offset: number, length: number): number {
    return (this.failure = this.read(offset, length));
  }

  private read(offset: number, length: number): number {
    const message = this.message;
    const malformed = message.open(offset, length);
    const opcode = message.opcode;
    const row = opcode < this.rows.length ? this.rows[opcode] : this.rows[0];
    this.row = row;
    message.answer = row.answer;
    message.limit = 0;
    if (malformed !== 0) {
      if (opcode === 0) this.row = BROKEN;
      return malformed;
    }
    return message.take(row.size) ? row.decode(message, row.operation) : -Errno.EPROTO;
  }

  /** Was the request sent before, to a server that did not answer it? (NOTIFY_RESEND) */
  get resent(): boolean {
    return (this.message.uniqueHigh & UNIQUE_RESEND_HIGH) !== 0;
  }

  /** Does the kernel wait for an answer? Not to FORGET, BATCH_FORGET, INTERRUPT. */
  get answered(): boolean {
    return this.row.answer !== Answer.NONE;
  }

  /**
   * Has the request that was decoded last handled, and writes its answer at `offset` (a multiple of 8, with room for `capacity` bytes). Returns the
   * bytes to send: 0 when there is no answer; ASIDE when it was set aside, to be decoded and dispatched again. What a handler throws goes through; then
   * fail() is the answer.
   */
  dispatch(operations: Operations, encoder: Encoder, offset: number, capacity: number): number {
    const message = this.message;
    const row = this.row;
    encoder.begin(offset, capacity, message.answer, message.limit);
    let result = this.failure;
    if (result === 0) result = row.handle(operations, row.operation, encoder);
    else if (result === -Errno.EPROTO) result = -Errno.EIO;
    if (result === SET_ASIDE) return ASIDE;
    return row.answer === Answer.NONE ? 0 : encoder.finish(message.uniqueLow, message.uniqueHigh, result);
  }

  /** Answers the INIT that was decoded last with what negotiate() made of it; returns the bytes to send. */
  answerInit(negotiation: Negotiation, encoder: Encoder, offset: number, capacity: number): number {
    const message = this.message;
    encoder.begin(offset, capacity, message.answer, message.limit);
    if (negotiation.outcome === 'refused') return encoder.finish(message.uniqueLow, message.uniqueHigh, -Errno.EPROTO);
    encoder.init(negotiation.reply);
    if (negotiation.outcome === 'agreed') message.extendedSetxattr = negotiation.capabilities.hasSetxattrExt;
    return encoder.finish(message.uniqueLow, message.uniqueHigh, 0);
  }

  /** Answers the request that was decoded last with an error, whatever its handler wrote; returns the bytes to send, 0 when none are. */
  fail(encoder: Encoder, offset: number, capacity: number, errno: number): number {
    const message = this.message;
    if (this.row.answer === Answer.NONE) return 0;
    encoder.begin(offset, capacity, message.answer, message.limit);
    return encoder.finish(message.uniqueLow, message.uniqueHigh, errno);
  }
}

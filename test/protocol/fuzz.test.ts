/** 100,000 mutated requests: the decoder neither throws, nor reads or writes outside, nor hands on what an overlay could not trust. */
import t from 'tap';
import { Decoder } from '../../daemon/protocol/decode';
import { Encoder } from '../../daemon/protocol/encode';
import type { Operations, Reply } from '../../daemon/protocol/operations';
import { samples } from './requests';
import { described, Memory, REPLY, REPLY_SIZE, REQUEST, SCRATCH } from './support';

const ROUNDS = 100_000;
const SEED = Number(process.env.PLYFS_FUZZ_SEED ?? 20261120);

/** mulberry32: the same numbers for the same seed */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return Math.floor((((x ^ (x >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const SPECIAL = [0, 1, 0x7f, 0x80, 0xff, 0x2e, 0x2f];

/** A sample with some bytes changed, cut or made longer; mostly with a header that says its length. */
function mutated(pick: (below: number) => number): { message: Uint8Array; shortSetxattr: boolean } {
  const sample = samples[pick(samples.length)];
  const grown = new Uint8Array(sample.message.length + (pick(4) === 0 ? pick(600) : 0));
  grown.set(sample.message);
  for (let i = sample.message.length; i < grown.length; i++) grown[i] = pick(3) === 0 ? 0 : 97 + pick(26);
  const message = grown.subarray(0, pick(3) === 0 ? pick(grown.length + 1) : grown.length);
  for (let changes = pick(6); changes > 0 && message.length > 0; changes--) {
    const at = pick(4) === 0 ? pick(message.length) : Math.min(message.length - 1, 36 + pick(40));
    message[at] = pick(2) === 0 ? SPECIAL[pick(SPECIAL.length)] : pick(256);
  }
  if (message.length >= 4 && pick(10) !== 0) new DataView(message.buffer, message.byteOffset).setUint32(0, message.length, true);
  if (message.length >= 8 && pick(8) === 0) message[4] = pick(60);
  return { message, shortSetxattr: sample.shortSetxattr === true || pick(8) === 0 };
}

/** What is wrong with an operation that was handed on; '' when nothing is. */
function complaint(memory: Memory, method: string, operation: Record<string, unknown>, end: number): string {
  for (const [key, value] of Object.entries(operation)) {
    if (typeof value === 'number' ? !Number.isSafeInteger(value) : typeof value !== 'boolean')
      return `${method}.${key} is ${String(value)}`;
  }
  const fields = operation as Record<string, number>;
  const text = (at: string, most: number, name: boolean): string => {
    const offset = fields[at];
    const length = fields[`${at}Length`];
    if (length === undefined || method === 'tmpfile') return '';
    if (length < 1 || length > most || offset < REQUEST + 40 || offset + length >= end)
      return `${method}.${at} is outside: ${offset}, ${length}`;
    const content = memory.text(offset, length);
    if (memory.bytes[offset + length] !== 0 || content.includes('\0')) return `${method}.${at} does not end where it says`;
    return name && (content.includes('/') || content === '.' || content === '..') ? `${method}.${at} is ${content}` : '';
  };
  const range = (at: string, length: string): string => {
    if (fields[at] === undefined || fields[length] === undefined) return '';
    return fields[length] < 0 || fields[at] < REQUEST + 40 || fields[at] + fields[length] > end ? `${method}.${at} is outside` : '';
  };
  const xattr = method.endsWith('xattr');
  return (
    text('name', 255, !xattr) ||
    text('newName', 255, true) ||
    text('target', 4095, false) ||
    range('value', 'valueLength') ||
    range('data', fields.inSize === undefined ? 'size' : 'inSize')
  );
}

/** Answers at random, with every method of Reply, whether it suits the operation or not. */
function answerAnyhow(reply: Reply | undefined, pick: (below: number) => number): number {
  const attr = SCRATCH;
  const some = (): number => pick(0x7fffffff);
  for (let times = pick(3); reply !== undefined && times > 0; times--) {
    const kinds: (() => void)[] = [
      () => reply.bytes(pick(2) === 0 ? pick(reply.capacity + 1) : pick(0x7fffffff) - 5),
      () => reply.entry(some(), some(), -1, -1, attr),
      () => reply.negativeEntry(-1),
      () => reply.attr(0, attr),
      () => reply.statx(0, attr),
      () => reply.open(some() * 1024, 2, -1),
      () => reply.created(some(), some(), 0, 0, attr, some(), 0, 0),
      () => reply.written(some()),
      () => reply.seek(some(), some()),
      () => reply.xattrSize(some()),
      () => reply.statfs(attr),
      () => {
        while (reply.dirent(some(), 0, some(), 0, 8, SCRATCH, 1 + pick(255)));
      },
      () => {
        while (reply.direntPlus(some(), 0, -1, -1, attr, some(), 0, some(), 0, 8, SCRATCH, 1 + pick(255)));
      },
    ];
    kinds[pick(kinds.length)]();
  }
  return [0, 0, 0, 0, -2, -5, 1, -1000, 17, Number.NaN][pick(10)];
}

t.test(`${ROUNDS} mutated requests, seed ${SEED}`, (t) => {
  const memories = [new Memory(0x00), new Memory(0x61)];
  const decoders = memories.map((memory) => new Decoder(memory.buffer));
  const encoder = new Encoder(memories[0].buffer);
  const pick = random(SEED);
  let handled = 0;
  let refused = 0;
  const problems: string[] = [];

  for (let round = 0; round < ROUNDS && problems.length < 5; round++) {
    const { message, shortSetxattr } = mutated(pick);
    const problem = (text: string): void => void problems.push(`round ${round}: ${text}: ${Buffer.from(message).toString('hex')}`);
    const seen: string[][] = [[], []];
    const fails = decoders.map((decoder, i) => {
      memories[i].place(message);
      decoder.message.extendedSetxattr = !shortSetxattr;
      return decoder.decode(REQUEST, message.length);
    });

    for (const [i, decoder] of decoders.entries()) {
      const memory = memories[i];
      const operations = new Proxy({} as Operations, {
        get: (_, method: string) => (operation: object, reply: Reply | undefined) => {
          if (typeof operation !== 'object') return 0; // undelivered
          seen[i].push(
            method + JSON.stringify(described(memory, operation), (key, value: unknown) => (key === 'data' && value === 0 ? '' : value)),
          );
          const wrong = complaint(memory, method, operation as Record<string, unknown>, REQUEST + message.length);
          if (wrong !== '') problem(wrong);
          return i === 0 && method !== 'forget' ? answerAnyhow(reply, pick) : 0;
        },
      });
      const room = 512 + pick(REPLY_SIZE - 512);
      const length = decoder.dispatch(operations, i === 0 ? encoder : new Encoder(memory.buffer), REPLY, room);
      if (length > room || (length > 0 && new DataView(memory.buffer).getUint32(REPLY, true) !== length))
        problem(`an answer of ${length} bytes`);
      if (i === 0 && length > 0 && round % 16 === 0) encoder.undelivered(operations);
      memory.bytes.fill(memory.fill, REPLY, REPLY + room);
      if (!memory.untouched(message.length)) problem('something outside was written');
    }
    if (fails[0] !== fails[1] || seen[0].join() !== seen[1].join()) problem('what follows a message made a difference');
    if (seen[0].length > 0) handled++;
    if (fails[0] !== 0) refused++;
  }
  t.strictSame(problems, [], 'none made trouble');
  t.ok(handled > ROUNDS / 10, `${handled} were handled`);
  t.ok(refused > ROUNDS / 10, `${refused} were refused`);
  t.end();
});

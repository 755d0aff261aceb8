/** zstd streams: what zstd(1) makes and takes, in pieces of any size. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { E, native } from './support';
import type { ZstdStream } from '../../native-bindings/index.js';

/** All that comes out, with pieces of these sizes; a number: the error. */
function run(level: number, input: Buffer, pieceIn: number, pieceOut: number): { out: Buffer; last: number } | number {
  const stream = native.zstdStream(level) as ZstdStream;
  const parts: Buffer[] = [];
  const at = new Uint32Array(2);
  let last = 1;
  for (let start = 0; start < input.length || last > 0; start += pieceIn) {
    const piece = input.subarray(start, start + pieceIn);
    at[0] = 0;
    for (;;) {
      const room = Buffer.alloc(pieceOut);
      at[1] = 0;
      const ending = start + pieceIn >= input.length ? 1 : 0;
      const before = at[0];
      const result = native.zstdStep(stream, piece, room, at, ending);
      if (result < 0) return result;
      if (at[0] !== before || at[1] !== 0) last = result; // else it speaks of the next frame
      parts.push(room.subarray(0, at[1]));
      if (at[0] === piece.length && (level < 0 || ending === 0 ? at[1] < pieceOut : last === 0)) break;
    }
    if (start + pieceIn >= input.length) break;
  }
  return { out: Buffer.concat(parts), last };
}

const content = Buffer.concat([Buffer.alloc(300_000, 'plyfs '), randomBytes(100_000), Buffer.alloc(50_000)]);

t.test('what zstd(1) made is read, in pieces of any size', (t) => {
  const made = execFileSync('zstd', ['-q', '-c'], { input: content });
  for (const [pieceIn, pieceOut] of [
    [made.length, 1 << 20],
    [1, 4096],
    [1000, 7],
  ]) {
    const read = run(-1, made, pieceIn, pieceOut);
    t.match(read, { last: 0 });
    t.ok((read as { out: Buffer }).out.equals(content));
  }
  const twice = run(-1, Buffer.concat([made, made]), 5000, 5000) as { out: Buffer };
  t.equal(twice.out.length, 2 * content.length, 'frames one after the other');
  t.end();
});

t.test('zstd(1) reads what is made here', (t) => {
  for (const level of [1, 3, 19]) {
    const made = run(level, content, 10_000, 3000) as { out: Buffer };
    t.ok(execFileSync('zstd', ['-q', '-d', '-c'], { input: made.out }).equals(content));
    t.ok(made.out.length < 110_000);
  }
  t.equal(native.zstdStream(1000), -E.EINVAL);
  t.end();
});

t.test('damage is told, and so is a frame that is not whole', (t) => {
  const made = Buffer.from(execFileSync('zstd', ['-q', '-c'], { input: content }));
  t.equal(run(-1, Buffer.from('this is no zstd at all'), 100, 100), -E.EBADMSG);
  made[200_00] ^= 1;
  t.equal(run(-1, made, made.length, 1 << 20), -E.EBADMSG, 'the checksum');
  made[200_00] ^= 1;
  t.match(run(-1, made.subarray(0, 50_000), 50_000, 1 << 20), { last: 1 });
  t.equal(native.zstdStep(native.zstdStream(-1) as ZstdStream, made, Buffer.alloc(1), Uint32Array.of(made.length + 1, 0), 0), -E.EINVAL);
  t.end();
});

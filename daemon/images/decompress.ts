/** Layers plain, gzip or zstd: which it is, its first bytes say. */
import { constants, createGunzip } from 'node:zlib';
import { native, type ZstdStream } from '../../native-bindings/index';
import { TarError } from './tar-header';

type Bytes = AsyncIterable<Buffer> | Iterable<Buffer>;

export type Compression = 'none' | 'gzip' | 'zstd';

/** Of what comes out at once. */
const CHUNK = 1 << 18;

/** What is compressed otherwise (bzip2, xz) is no tar either, and the reader will say so. */
export function compressionOf(head: Buffer): Compression {
  if (head.length >= 2 && head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  const magic = head.length >= 4 ? head.readUInt32LE() : 0;
  // A skippable frame may come first.
  return magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50 ? 'zstd' : 'none';
}

/**
 * The uncompressed bytes; a buffer of it holds until the next is asked for. All of `source` is read, what may follow the compressed part too. Throws
 * TarError for what is damaged or cut.
 */
export async function* decompressed(source: Bytes, compression: Compression): AsyncGenerator<Buffer> {
  if (compression === 'none') yield* source;
  else if (compression === 'gzip') yield* gunzipped(source);
  else yield* unzstd(source);
}

async function* gunzipped(source: Bytes): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: CHUNK, flush: constants.Z_NO_FLUSH });
  let failed: unknown;
  const fed = feed(source, gunzip).catch((error: unknown) => {
    failed = error;
    gunzip.destroy();
  });
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) yield chunk;
    await fed;
  } catch (error) {
    if (failed !== undefined) throw failed as Error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code?.startsWith('Z_') === true)
      throw new TarError(code === 'Z_BUF_ERROR' ? 'its gzip was cut' : `its gzip is damaged (${message})`);
    throw error;
  } finally {
    gunzip.destroy();
  }
}

/** What follows the last member is read, and passed over, as gzip(1) does. */
async function feed(source: Bytes, gunzip: ReturnType<typeof createGunzip>): Promise<void> {
  for await (const chunk of source) {
    if (gunzip.writableEnded || gunzip.destroyed || gunzip.readableEnded) continue;
    if (!gunzip.write(chunk)) await drained(gunzip);
  }
  gunzip.end();
}

function drained(gunzip: ReturnType<typeof createGunzip>): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      for (const event of ['drain', 'close', 'end', 'error']) gunzip.off(event, done);
      resolve();
    };
    for (const event of ['drain', 'close', 'end', 'error']) gunzip.on(event, done);
  });
}

async function* unzstd(source: Bytes): AsyncGenerator<Buffer> {
  const stream = native.zstdStream(-1);
  if (typeof stream === 'number') throw new Error(`no zstd stream can be made: errno ${-stream}`);
  const output = Buffer.allocUnsafe(CHUNK);
  let isWhole = false;
  for await (const input of source) {
    const at = new Uint32Array(2);
    do {
      at[1] = 0;
      isWhole = step(stream, input, output, at) ?? isWhole;
      if (at[1] > 0) yield output.subarray(0, at[1]);
    } while (at[0] < input.length || at[1] === CHUNK);
  }
  if (!isWhole) throw new TarError('its zstd was cut');
}

/** Is a frame whole now? Undefined: nothing moved, so that nothing is said. */
function step(stream: ZstdStream, input: Buffer, output: Buffer, at: Uint32Array): boolean | undefined {
  const before = at[0];
  const result = native.zstdStep(stream, input, output, at, 0);
  if (result < 0) throw new TarError('its zstd is damaged, or needs more than 128 MiB of memory');
  return at[0] === before && at[1] === 0 ? undefined : result === 0;
}

/** Compression of a layer's tar. The same bytes give the same bytes: levels are fixed, and no time or name is in it. */
import { once } from 'node:events';
import { createGzip } from 'node:zlib';
import { native } from '../../native-bindings/index';

export type Compression = 'gzip' | 'zstd' | 'none';

type Chunks = AsyncIterable<Buffer>;

/** docker's and zstd's own defaults. */
const GZIP_LEVEL = 6;
const ZSTD_LEVEL = 3;
const OUTPUT_BYTES = 256 * 1024;

export const MEDIA_TYPES: Readonly<Record<Compression, string>> = {
  gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  zstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  none: 'application/vnd.oci.image.layer.v1.tar',
};

export function compressed(chunks: Chunks, how: Compression): Chunks {
  if (how === 'none') return chunks;
  return how === 'gzip' ? gzipped(chunks) : zstd(chunks);
}

async function* gzipped(chunks: Chunks): AsyncGenerator<Buffer> {
  const gzip = createGzip({ level: GZIP_LEVEL });
  const feed = (async () => {
    try {
      for await (const chunk of chunks) if (!gzip.write(chunk)) await once(gzip, 'drain');
      gzip.end();
    } catch (error) {
      gzip.destroy(error as Error);
    }
  })();
  try {
    for await (const chunk of gzip as AsyncIterable<Buffer>) yield chunk;
    await feed;
  } finally {
    gzip.destroy();
  }
}

async function* zstd(chunks: Chunks): AsyncGenerator<Buffer> {
  const stream = native.zstdStream(ZSTD_LEVEL);
  if (typeof stream === 'number') throw new Error(`cannot compress with zstd (errno ${-stream})`);
  const at = new Uint32Array(2);
  const step = function* (input: Buffer, end: 0 | 1): Generator<Buffer> {
    for (let more = true; more;) {
      const output = Buffer.allocUnsafe(OUTPUT_BYTES);
      at[1] = 0;
      const left = native.zstdStep(stream, input, output, at, end);
      if (left < 0) throw new Error(`cannot compress with zstd (errno ${-left})`);
      if (at[1] > 0) yield output.subarray(0, at[1]);
      more = at[0] < input.length || (end === 1 && left !== 0);
    }
    at[0] = 0;
  };
  for await (const chunk of chunks) yield* step(chunk, 0);
  yield* step(Buffer.alloc(0), 1);
}

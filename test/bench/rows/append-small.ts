import { row, seconds, verify } from '../contract.js';
import { command } from '../processes.js';
import { flatFiles } from '../trees.js';

/** The price of the first write to a file of a layer. */
export const appendSmall = row({
  name: 'append-small',
  title: 'append to 2,000 lower files of 64 KiB',
  about:
    'open for appending, write a line, close, of each file, in a fresh mount whose upper is on the same ext4 as the lower. The sizes are verified.',
  dominates: 'the copy-up: creating, copying 64 KiB, xattrs, fsync, link into place. The fsyncs are the disk, and vary with it.',
  systems: ['bare', 'ov', 'fo', 'dev', 'uring'],
  figures: [seconds('append', 'append to 64 KiB files', { devOv: 1.2, uringOv: 1.1, foDev: 1, foUring: 1 })],
  setup: (bench) => flatFiles(bench, bench.amount(2000, 100), 65536),
  async prepare(place, { lower }) {
    await command('sh', ['-c', 'cat "$1"/*/* >/dev/null', 'sh', lower], { limitMs: 120_000 });
    return place.mount({ lowers: [lower], bare: { tree: lower, copy: true } });
  },
  async measure(place, { point }, { list }) {
    const answer = await place.client.call<{ seconds: number; files: number }>(['append', point, list.file], { limitMs: 300_000 });
    verify('files', answer.files, list.count);
    const line = 'one more line\n'.length;
    verify('bytes after it', (await place.client.walk(point)).bytes, list.bytes + list.count * line);
    return { append: answer.seconds };
  },
});

import path from 'node:path';
import type { ImportEvent, ImportResult } from '../../daemon/api/types';
import { UsageError } from '../errors';
import { bytesOf, size } from '../format';
import type { Output } from '../output';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['import FILE|DIR [TAG…] [--max-size SIZE]'],
  about:
    'Imports an image: an OCI layout (directory or tar), a docker-archive (`docker save`, `podman save`) or the tar of a root directory; plain, gzip or zstd. Each file is stored once, whatever layers and images have it. Prints the id of the image.',
  words: { min: 1, max: Infinity, names: 'a FILE or DIR' },
  options: {
    'max-size': {
      type: 'string',
      requiresArg: true,
      describe: 'how many uncompressed bytes the layers may have (20G); allows what looks like a bomb',
    },
  },
  examples: [
    ['import debian.tar debian:12', 'what `podman save` made, under a name of our own'],
    ['import oci-layout/', 'with the names that it gives'],
    ['import rootfs.tar.zst mine', 'the tar of a root directory'],
  ],
  async run(args, daemon, output) {
    const [file, ...tags] = args.words;
    const maxSize = args.text('max-size');
    const limit = maxSize === undefined ? undefined : bytesOf(maxSize);
    if (maxSize !== undefined && limit === undefined)
      throw new UsageError(`--max-size takes a number of bytes, with K, M, G or T, not "${maxSize}"`);
    const body = { path: path.resolve(file), ...(tags.length > 0 && { tags }), ...(limit !== undefined && { maxSize: limit }) };
    const bar = new Bar(output);
    try {
      const result = await daemon.work<ImportResult>('/images/import', body, (event) => {
        if (output.json) output.line(JSON.stringify(event));
        else bar.show(event as ImportEvent);
      });
      bar.end();
      if (output.json) output.line(JSON.stringify({ type: 'result', result }));
      else for (const { id, name } of result.images) output.line(name === null ? id : `${id} ${name}`);
    } finally {
      bar.end();
    }
  },
};

const WIDTH = 24;

/** Bytes, files and layers on one line of a terminal. */
class Bar {
  private readonly begun = Date.now();
  private plan = { layers: 0, reused: 0, bytes: 0 };
  private layers = 0;
  private done = { bytes: 0, files: 0 };
  private shown = false;

  constructor(private readonly output: Output) {}

  show(event: ImportEvent): void {
    if (event.type === 'plan') this.plan = event;
    else if (event.type === 'layer') this.layers++;
    else this.done = event;
    const { plan, done } = this;
    const share = plan.bytes === 0 ? 1 : Math.min(1, done.bytes / plan.bytes);
    const filled = Math.round(share * WIDTH);
    const seconds = Math.max(1, (Date.now() - this.begun) / 1000);
    const words = [
      `${'█'.repeat(filled)}${'░'.repeat(WIDTH - filled)} ${String(Math.floor(share * 100)).padStart(3)} %`,
      `${size(done.bytes)} of ${size(plan.bytes)}`,
      `${done.files} files`,
      `layer ${this.layers} of ${plan.layers}${plan.reused > 0 ? ` (${plan.reused} reused)` : ''}`,
      `${size(done.bytes / seconds)}/s`,
    ];
    this.output.passing(words.join(' · '));
    this.shown = true;
  }

  end(): void {
    if (this.shown) this.output.passing('');
    this.shown = false;
  }
}

import type { Image } from '../../daemon/api/types';
import { ago, shortId, size, table } from '../format';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['images [-q]'],
  about: 'Lists images. Their sizes count each layer once.',
  words: { min: 0, max: 0, names: '' },
  options: { quiet: { alias: 'q', type: 'boolean', describe: 'ids only' } },
  examples: [
    ['images', 'all of them'],
    ['images --json', 'with their layers'],
  ],
  async run(args, daemon, output) {
    const { images } = await daemon.get<{ images: Image[] }>('/images');
    if (output.json) output.value(images);
    else if (args.flag('quiet')) output.text(images.map(({ id }) => `${shortId(id)}\n`).join(''));
    else {
      const rows = images.map((image) => [
        image.name ?? '<none>',
        shortId(image.id),
        String(image.layers.length),
        ago(image.createdAt),
        size(image.size),
        String(image.containers),
      ]);
      output.text(table(['NAME', 'IMAGE ID', 'LAYERS', 'CREATED', 'SIZE', 'CONTAINERS'], rows, output.paint));
    }
  },
};

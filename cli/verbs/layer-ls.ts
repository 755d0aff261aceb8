import { ago, shortId, size, table } from '../format';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['layer ls [-q]'],
  about: 'Lists layers.',
  words: { min: 0, max: 0, names: '' },
  options: { quiet: { alias: 'q', type: 'boolean', describe: 'ids only' } },
  examples: [
    ['layer ls', 'all of them'],
    ['layer verify $(ply layer ls -q)', 'see whether any has changed'],
  ],
  async run(args, daemon, output) {
    const layers = await daemon.layers.list();
    if (output.json) output.value(layers);
    else if (args.flag('quiet')) output.text(layers.map(({ id }) => `${shortId(id)}\n`).join(''));
    else {
      const rows = layers.map((layer) => [
        shortId(layer.id),
        layer.name ?? '',
        String(layer.entries),
        size(layer.size),
        ago(layer.createdAt),
        layer.path ?? layer.source ?? '',
      ]);
      output.text(table(['LAYER ID', 'NAME', 'ENTRIES', 'SIZE', 'CREATED', 'PATH'], rows, output.paint));
    }
  },
};

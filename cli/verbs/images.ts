import type { Image } from '../../daemon/api/types';
import { ago, type Cell, shortId, size, table } from '../format';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['images [-q] [--dangling]'],
  about: 'Lists images, a line for each name. SIZE counts each layer once, UNIQUE is what no other image has a layer of.',
  words: { min: 0, max: 0, names: '' },
  options: {
    quiet: { alias: 'q', type: 'boolean', describe: 'ids only, each once' },
    dangling: { type: 'boolean', describe: 'only images without a name' },
  },
  examples: [
    ['images', 'all of them'],
    ['images --json', 'with their layers'],
    ["images --json | jq -r '.[].names[]'", 'names, for programs'],
  ],
  notes: 'What the store takes up in all, with everything that is shared counted once, is what `ply df` says.',
  async run(args, daemon, output) {
    const all = await daemon.images.list();
    const images = all.filter(({ names }) => !args.flag('dangling') || names.length === 0);
    if (output.json) output.value(images);
    else if (args.flag('quiet')) output.text(images.map(({ id }) => `${shortId(id)}\n`).join(''));
    else output.text(table(['NAME', 'IMAGE ID', 'LAYERS', 'CREATED', 'SIZE', 'UNIQUE', 'CONTAINERS'], images.flatMap(rows), output.paint));
  },
};

function rows(image: Image): Cell[][] {
  const { id, names, layers, createdAt, uniqueSize, containers } = image;
  return (names.length > 0 ? names : ['<none>']).map((name) => [
    name,
    shortId(id),
    String(layers.length),
    ago(createdAt),
    size(image.size),
    size(uniqueSize),
    String(containers),
  ]);
}

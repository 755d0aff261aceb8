import path from 'node:path';
import { UsageError } from '../errors';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['layer add DIR… [--name NAME]'],
  about:
    'Takes directories as layers: they are read and indexed, and stay where they are. Prints the id of each. Nothing may change them from then on (`ply layer verify` looks).',
  words: { min: 1, max: Infinity, names: 'a DIR' },
  options: { name: { alias: 'n', type: 'string', requiresArg: true, describe: 'a name for the layer' } },
  examples: [
    ['layer add /srv/layers/debian --name debian', 'a layer named debian'],
    ['layer add /srv/layers/*', 'many, known by their ids'],
  ],
  async run(args, daemon, output) {
    const name = args.text('name');
    if (name !== undefined && args.words.length > 1) {
      throw new UsageError('one name cannot be given to several layers: add them one by one');
    }
    await output.each(
      args.words,
      (word) => output.patiently(`indexing ${word}`, daemon.layers.add({ path: path.resolve(word), ...(name !== undefined && { name }) })),
      ({ id }) => output.line(id),
    );
  },
};

import { describeLayer } from '../describe';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['layer inspect LAYER…'],
  about: 'Shows all of a layer.',
  words: { min: 1, max: Infinity, names: 'a LAYER' },
  examples: [
    ['layer inspect debian', 'for people'],
    ['layer inspect debian --json', 'for programs: sizes are bytes'],
  ],
  async run(args, daemon, output) {
    await output.each(
      args.words,
      (word) => daemon.layers.get(word),
      (layer, word) => output.text((word === args.words[0] ? '' : '\n') + describeLayer(layer, output.paint)),
    );
  },
};

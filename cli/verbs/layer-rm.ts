import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['layer rm LAYER…'],
  about: 'Forgets layers that no image uses. Their directories stay as they are.',
  words: { min: 1, max: Infinity, names: 'a LAYER' },
  examples: [['layer rm debian', 'by its name']],
  async run(args, daemon, output) {
    await output.each(
      args.words,
      async (word) => {
        await daemon.layers.remove(word);
        return { removed: word };
      },
      (_, word) => output.line(word),
    );
  },
};

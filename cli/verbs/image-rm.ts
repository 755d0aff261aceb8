import { route } from '../client';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['image rm IMAGE…', 'rmi IMAGE…'],
  about: 'Removes images that no container uses. Their layers stay.',
  words: { min: 1, max: Infinity, names: 'an IMAGE' },
  examples: [['image rm web', 'by its name']],
  async run(args, daemon, output) {
    await output.each(
      args.words,
      async (word) => {
        await daemon.delete(route`/images/${word}`);
        return { removed: word };
      },
      (_, word) => output.line(word),
    );
  },
};

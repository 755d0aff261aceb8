import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['rmi IMAGE…'],
  about:
    'Removes images that no container uses; of one with several names only the name that is given. Their layers stay until nobody wants them (`ply prune`).',
  words: { min: 1, max: Infinity, names: 'an IMAGE' },
  examples: [
    ['rmi web', 'by its name'],
    ['rmi $(ply images -q --dangling)', 'those that have no name any more'],
  ],
  async run(args, daemon, output) {
    await output.each(
      args.words,
      (word) => daemon.images.remove(word),
      ({ id, untagged, removed }) => {
        for (const name of untagged) output.line(`Untagged: ${name}`);
        if (removed) output.line(`Removed: ${id}`);
      },
    );
  },
};

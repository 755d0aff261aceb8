import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['create IMAGE [--name NAME] [-o OPTIONS]'],
  about: 'Creates a container: an image, and an upper directory of its own. Prints its id. `ply start` mounts it.',
  words: { min: 1, max: 1, names: 'an IMAGE' },
  options: {
    name: { alias: 'n', type: 'string', requiresArg: true, describe: 'a name for the container (one is made up)' },
    o: { alias: 'options', type: 'string', array: true, requiresArg: true, describe: 'options for its mount, as of `plyfs -o`' },
  },
  examples: [
    ['create web --name web1', 'a container named web1'],
    ['create web --name scratch -o volatile,nosuid', 'with mount options'],
    ['start web1', 'mounts it'],
  ],
  async run(args, daemon, output) {
    const name = args.text('name');
    const options = args.texts('o').join(',');
    const container = await daemon.containers.create({
      image: args.word(0),
      ...(name !== undefined && { name }),
      ...(options !== '' && { options }),
    });
    if (output.json) output.value(container);
    else output.line(container.id);
  },
};

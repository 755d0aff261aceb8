import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['start CONTAINER…'],
  about: 'Mounts containers, and prints the mount point of each.',
  words: { min: 1, max: Infinity, names: 'a CONTAINER' },
  examples: [
    ['start web1', 'mounts web1'],
    ['start --json web1 | jq -r .mountpoint', 'for programs'],
  ],
  async run(args, daemon, output) {
    await output.each(
      args.words,
      (word) => daemon.containers.start(word),
      ({ mountpoint, id }) => output.line(mountpoint ?? id),
    );
  },
};

import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['rm [-f] CONTAINER…'],
  about: 'Removes containers, and with them what they wrote. Their images stay.',
  words: { min: 1, max: Infinity, names: 'a CONTAINER' },
  options: { force: { alias: 'f', type: 'boolean', describe: 'stop running ones first' } },
  examples: [
    ['rm web1', 'a stopped container'],
    ['rm -f $(ply ps -aq)', 'all of them'],
  ],
  async run(args, daemon, output) {
    process.chdir('/'); // or we might be what keeps it busy
    await output.each(
      args.words,
      async (word) => {
        await daemon.containers.remove(word, { force: args.flag('force') });
        return { removed: word };
      },
      (_, word) => output.line(word),
    );
  },
};

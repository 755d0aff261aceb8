import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['stop [--lazy] CONTAINER…'],
  about: 'Unmounts containers. What they wrote stays, and `ply start` mounts them again.',
  words: { min: 1, max: Infinity, names: 'a CONTAINER' },
  options: { lazy: { alias: 'l', type: 'boolean', describe: 'take the mount away now, and end it when nobody uses it any more' } },
  examples: [
    ['stop web1 web2', 'two of them'],
    ['stop --lazy web1', 'though processes are in it'],
  ],
  async run(args, daemon, output) {
    process.chdir('/'); // or we might be what keeps it busy
    await output.each(
      args.words,
      (word) => daemon.containers.stop(word, { lazy: args.flag('lazy') }),
      (_, word) => output.line(word),
    );
  },
};

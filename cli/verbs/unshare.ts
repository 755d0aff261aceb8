import { runIn } from '../run/namespaces';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['unshare [CMD [ARG…]]'],
  about:
    "Runs a command (your shell) where an ordinary user's plyd has its mounts: in plyd's user and mount namespace. Where plyd has none of its own, it is simply run.",
  words: { min: 0, max: Infinity, names: '' },
  stopsAtWords: true,
  examples: [
    ['unshare ls "$(ply start web1)"', 'look into a container'],
    ['unshare', 'a shell in there'],
  ],
  async run(args, daemon, output) {
    output.status = await runIn(daemon, args.words.length > 0 ? args.words : [process.env['SHELL'] || '/bin/sh']);
  },
};

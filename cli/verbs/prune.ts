import { shortId, size } from '../format';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['prune [--all]'],
  about:
    'Removes what nothing refers to: images that have lost their name, imported layers that no image has, objects that no layer has, and what was left of an import that was killed or of a snapshot that was not finished. Layers made of directories stay.',
  words: { min: 0, max: 0, names: '' },
  options: { all: { alias: 'a', type: 'boolean', describe: 'images too that have a name and no container' } },
  examples: [
    ['prune', 'what is certainly of no use'],
    ['prune --all', 'all but what containers need'],
  ],
  async run(args, daemon, output) {
    const pruned = await output.patiently('pruning', daemon.prune({ all: args.flag('all') }));
    if (output.json) {
      output.value(pruned);
      return;
    }
    for (const id of pruned.images) output.line(`image ${shortId(id)}`);
    for (const id of pruned.layers) output.line(`layer ${shortId(id)}`);
    output.line(`${pruned.objects} objects${pruned.leftovers > 0 ? `, ${pruned.leftovers} leftovers` : ''}: ${size(pruned.bytes)} freed`);
  },
};

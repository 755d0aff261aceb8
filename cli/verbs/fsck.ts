import { PlyError } from '../../client/errors';
import type { FsckProblem } from '../../daemon/api/types';
import { count, printable, size } from '../format';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['fsck [--repair]'],
  about:
    'Verifies the store: catalog, indexes of layers, objects by their hashes, directories of containers and snapshots. --repair removes what is damaged and what is left over.',
  words: { min: 0, max: 0, names: '' },
  options: { repair: { type: 'boolean', describe: 'remove damaged objects and leftovers' } },
  examples: [
    ['fsck', 'reads every object'],
    ['fsck --repair', 'and removes what is damaged, so that an import writes it again'],
  ],
  notes: 'Exit status: 0 all is well (or repaired), 1 there are problems.',
  async run(args, daemon, output) {
    const work = daemon.fsck({ repair: args.flag('repair') });
    for await (const event of work) {
      if (event.type === 'progress') output.passing(`verified ${size(event.bytes)} of ${size(event.total)}`);
      if (output.json) output.line(JSON.stringify(event));
    }
    const result = await work.result();
    output.passing('');
    if (output.json) output.line(JSON.stringify({ type: 'result', result }));
    else {
      for (const problem of result.problems) output.line(shown(problem));
      const { layers, objects, containers, snapshots, bytes } = result.checked;
      const parts = [count(layers, 'layer'), `${count(objects, 'object')} (${size(bytes)})`, count(containers, 'container')];
      output.line(`${[...parts, count(snapshots, 'snapshot')].join(', ')} verified`);
    }
    const open = result.problems.filter(({ repaired }) => !repaired).length;
    if (open > 0) output.fail(new PlyError({ code: 'damaged', message: `${count(open, 'problem')} found` }));
  },
};

function shown({ kind, name, message, repaired }: FsckProblem): string {
  return `${kind} ${printable(name)}: ${printable(message)}${repaired ? ' (repaired)' : ''}`;
}

import type { LayerVerification } from '../../daemon/api/types';
import { PlyError } from '../../client/errors';
import { printable } from '../format';
import { deviations } from '../shown';
import type { Verb } from '../verb';

/** The API names no more of each kind. */
const MOST = 1000;

export const verb: Verb = {
  usage: ['layer verify LAYER…'],
  about: 'Reads a layer again and says what is not as it was when it was added, with the letters of `ply diff`: added, changed, deleted.',
  words: { min: 1, max: Infinity, names: 'a LAYER' },
  examples: [
    ['layer verify debian', 'one layer'],
    ['layer verify $(ply layer ls -q)', 'all of them'],
  ],
  notes: 'Exit status: 0 all are as they were, 1 something has changed.',
  async run(args, daemon, output) {
    await output.each(
      args.words,
      async (word) => {
        const found = await output.patiently(`reading ${word}`, daemon.layers.verify(word));
        if (!found.ok) output.status = 1;
        return found;
      },
      (found, word) => {
        if (found.ok) output.line(`${word}: ${output.paint('green', 'as it was')}`);
        for (const { kind, path } of deviations(found)) output.line(`${kind} ${printable(path)}`);
        if (!found.ok) output.fail(changed(word, found));
      },
    );
  },
};

function changed(word: string, found: LayerVerification): PlyError {
  const some = (paths: string[]): string => (paths.length >= MOST ? `${MOST} or more` : String(paths.length));
  const numbers = `${some(found.changed)} changed, ${some(found.added)} added, ${some(found.removed)} removed`;
  const advice = 'put that back, or add the directory again: its containers may see the old or the new';
  return new PlyError({ code: 'changed', message: `layer ${word} has changed: ${numbers}: ${advice}` });
}

import type { LayerVerification } from '../../daemon/api/types';
import { route } from '../client';
import { PlyError } from '../errors';
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
      (word) =>
        output
          .patiently(`reading ${word}`, daemon.post<LayerVerification>(route`/layers/${word}/verify`))
          .then((found) => judged(found, word)),
      (found, word) => {
        if (found.ok) output.line(`${word}: ${output.paint('green', 'as it was')}`);
        else for (const { kind, path } of deviations(found)) output.line(`${kind} ${printable(path)}`);
      },
    );

    function judged(found: LayerVerification, word: string): LayerVerification {
      if (found.ok) return found;
      const some = (paths: string[]): string => (paths.length >= MOST ? `${MOST} or more` : String(paths.length));
      const message = `layer ${word} has changed: ${some(found.changed)} changed, ${some(found.added)} added, ${some(found.removed)} removed`;
      if (output.json) output.status = 1;
      else
        output.fail(
          new PlyError({
            code: 'changed',
            message: `${message}. Put that back, or add the directory again: its containers may see either`,
          }),
        );
      return found;
    }
  },
};

import type { HistoryEntry } from '../../daemon/api/types';
import { ago, shortId, size, table } from '../format';
import type { Verb } from '../verb';

const LONGEST = 45;

export const verb: Verb = {
  usage: ['history IMAGE [--no-trunc] [-q]'],
  about: 'Shows the steps that made an image, the newest first, with those that made no layer.',
  words: { min: 1, max: 1, names: 'an IMAGE' },
  options: {
    'no-trunc': { type: 'boolean', describe: 'whole ids and commands' },
    quiet: { alias: 'q', type: 'boolean', describe: 'ids only' },
  },
  examples: [
    ['history web', 'its steps'],
    ['history --no-trunc web', 'with the whole commands'],
    ['history --json web', 'with the layers and authors'],
  ],
  notes: 'An id is known of the image only; the steps before it are <missing>, as docker has it.',
  async run(args, daemon, output) {
    const history = await daemon.images.history(args.word(0));
    const whole = args.flag('no-trunc');
    const idOf = ({ id }: HistoryEntry): string => (id === null ? '<missing>' : whole ? id : shortId(id));
    if (output.json) output.value(history);
    else if (args.flag('quiet')) output.text(history.map((entry) => `${idOf(entry)}\n`).join(''));
    else {
      const rows = history.map((entry) => [
        idOf(entry),
        entry.created === null ? '' : ago(entry.created),
        whole || entry.createdBy.length <= LONGEST ? entry.createdBy : `${entry.createdBy.slice(0, LONGEST - 1)}…`,
        size(entry.size),
        entry.comment,
      ]);
      output.text(table(['IMAGE', 'CREATED', 'CREATED BY', 'SIZE', 'COMMENT'], rows, output.paint));
    }
  },
};
